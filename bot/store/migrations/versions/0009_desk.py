"""desk"""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

CASE = (
    sa.Column('state', sa.String(length=8), server_default='new', nullable=False),
    sa.Column('owner', sa.String(length=32), server_default='', nullable=False),
    sa.Column('waits_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('staff_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('snoozed_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('told_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('end', sa.String(length=16), server_default='', nullable=False),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('thread', sa.String(length=32), server_default='', nullable=False),
    sa.Column('root', sa.String(length=64), server_default='', nullable=False),
    sa.Column('shown_to', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('posting', sa.String(length=64), server_default='', nullable=False),
    sa.Column('posting_until', sa.DateTime(timezone=True), nullable=True),
)


def upgrade() -> None:
    for column in CASE:
        op.add_column('case', column._copy())
    op.execute("update \"case\" set state = 'closed' where closed_at is not null")
    op.execute("update \"case\" set waits_since = opened_at where closed_at is null")
    op.create_check_constraint(
        op.f('ck_case_state'), 'case', "state in ('new', 'owned', 'parked', 'snoozed', 'closed')"
    )
    op.add_column('message', sa.Column('by', sa.String(length=32), server_default='', nullable=False))
    op.create_table('staff_line',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('case_number', sa.Integer(), nullable=False),
    sa.Column('ts', sa.String(length=32), nullable=False),
    sa.Column('by', sa.String(length=32), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('state', sa.String(length=10), server_default='held', nullable=False),
    sa.Column('shown', sa.String(length=10), server_default='', nullable=False),
    sa.Column('why', sa.String(length=200), server_default='', nullable=False),
    sa.Column('promise_id', sa.BigInteger(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('tool', sa.String(length=16), server_default='', nullable=False),
    sa.Column('gloss', sa.Text(), server_default='', nullable=False),
    sa.CheckConstraint(
        "state in ('held', 'leaving', 'sent', 'delivered', 'read', 'failed', 'recalled')", name=op.f('ck_staff_line_state')
    ),
    sa.ForeignKeyConstraint(['case_number'], ['case.number'], name=op.f('fk_staff_line_case_number'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_staff_line')),
    sa.UniqueConstraint('case_number', 'ts', name=op.f('uq_staff_line_case_number_ts'))
    )
    op.create_index(op.f('ix_staff_line_promise_id'), 'staff_line', ['promise_id'], unique=False)
    op.create_table('slack_pace',
    sa.Column('channel', sa.String(length=32), nullable=False),
    sa.Column('next_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('channel', name=op.f('pk_slack_pace'))
    )
    op.execute("update compatible set schema = 9, oldest_code = 1")


def downgrade() -> None:
    op.drop_table('slack_pace')
    op.drop_table('staff_line')
    op.drop_column('message', 'by')
    op.drop_constraint(op.f('ck_case_state'), 'case')
    for column in reversed(CASE):
        op.drop_column('case', column.name)
    op.execute("update compatible set schema = 8, oldest_code = 1")
