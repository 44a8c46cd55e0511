"""desk"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

CASE: tuple[sa.Column[Any], ...] = (
    sa.Column('state', sa.String(length=8), server_default='new', nullable=False),
    sa.Column('owner', sa.String(length=32), server_default='', nullable=False),
    sa.Column('waits_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('staff_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('snoozed_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('told_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('end', sa.String(length=16), server_default='', nullable=False),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('answer_seconds', sa.Integer(), nullable=True),
    sa.Column('thread', sa.String(length=32), server_default='', nullable=False),
    sa.Column('root', sa.String(length=64), server_default='', nullable=False),
    sa.Column('shown_to', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('briefed', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('posting', sa.String(length=64), server_default='', nullable=False),
    sa.Column('posting_until', sa.DateTime(timezone=True), nullable=True),
)

# Whatever changes an open case, by whichever hand: what staff have open in Slack does not show the queue as it is any
# more; see the other one, of migration 0008. The rows are locked in order: two cases may change at the same time.
QUEUE_IS_STALE = """
create function slack_queue_is_stale() returns trigger language plpgsql as $$
begin
    if tg_table_name = 'contact' then
        if not exists (
            select from "case" join conversation on conversation.id = "case".conversation_id
            where conversation.contact_id = new.id and "case".closed_at is null
        ) then
            return null;
        end if;
    end if;
    perform from slack_screen where home_queue and home_at is not null and xmin <> pg_current_xact_id()::xid
    order by conversation_id for update;
    update slack_screen set home_stale = true
    where home_queue and home_at is not null and xmin <> pg_current_xact_id()::xid;
    if found then notify ally_promises, 'work'; end if;
    return null;
end $$
"""
SHOWN = ('state', 'owner', 'waits_since', 'staff_at', 'snoozed_until', 'closed_at', 'answered_at', 'thread')


def _differs(columns: tuple[str, ...]) -> str:
    """Only what a queue shows: not how far a thread has come."""
    return ' or '.join(f'old.{one} is distinct from new.{one}' for one in columns)


def upgrade() -> None:
    for column in CASE:
        op.add_column('case', column._copy())
    op.create_index('ix_case_answered', 'case', ['answered_at'], unique=False, postgresql_where=sa.text('answered_at is not null'))
    op.create_index('ix_case_closed', 'case', ['closed_at'], unique=False, postgresql_where=sa.text('closed_at is not null'))
    op.add_column('slack_screen', sa.Column('home_queue', sa.Boolean(), server_default=sa.text('false'), nullable=False))
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
    op.execute(QUEUE_IS_STALE)
    op.execute(
        'create trigger slack_queue_is_stale after insert or delete on "case" '
        'for each row execute function slack_queue_is_stale()'
    )
    for table, columns in (('case', SHOWN), ('contact', ('name', 'language', 'member_id'))):
        op.execute(
            f'create trigger slack_queue_is_stale_too after update on "{table}" for each row '
            f'when ({_differs(columns)}) execute function slack_queue_is_stale()'
        )
    op.execute("update compatible set schema = 9, oldest_code = 1")


def downgrade() -> None:
    op.execute('drop trigger slack_queue_is_stale on "case"')
    for table in ('case', 'contact'):
        op.execute(f'drop trigger slack_queue_is_stale_too on "{table}"')
    op.execute('drop function slack_queue_is_stale()')
    op.drop_column('slack_screen', 'home_queue')
    op.drop_index('ix_case_closed', table_name='case')
    op.drop_index('ix_case_answered', table_name='case')
    op.drop_table('slack_pace')
    op.drop_table('staff_line')
    op.drop_column('message', 'by')
    op.drop_constraint(op.f('ck_case_state'), 'case')
    for column in reversed(CASE):
        op.drop_column('case', column.name)
    op.execute("update compatible set schema = 8, oldest_code = 1")
