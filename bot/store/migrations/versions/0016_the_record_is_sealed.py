"""the record is sealed"""

import sqlalchemy as sa
from alembic import op

revision = '0016'
down_revision = '0012'
branch_labels = None
depends_on = None

# There is no retention that would need an exception: the record holds opaque ids only, and grows by some kilobytes a day.
APPEND_ONLY = """
create function append_only() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end $$
"""
TABLES = ('audit', 'audit_day')


def upgrade() -> None:
    op.create_index(op.f('ix_audit_at'), 'audit', ['at'], unique=False)
    op.create_table('audit_day',
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('entries', sa.Integer(), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('day', name=op.f('pk_audit_day'))
    )
    op.create_table('provider_erasure',
    sa.Column('channel', sa.String(length=16), nullable=False),
    sa.Column('message_id', sa.String(length=64), nullable=False),
    sa.Column('tries', sa.Integer(), server_default='0', nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('channel', 'message_id', name=op.f('pk_provider_erasure'))
    )
    op.create_index(op.f('ix_provider_erasure_due_at'), 'provider_erasure', ['due_at'], unique=False)
    op.execute(APPEND_ONLY)
    for table in TABLES:
        op.execute(
            f'create trigger append_only before update or delete or truncate on {table} '
            'for each statement execute function append_only()'
        )
    op.execute("update compatible set schema = 16, oldest_code = 1")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f'drop trigger append_only on {table}')
    op.execute('drop function append_only()')
    op.drop_table('provider_erasure')
    op.drop_table('audit_day')
    op.drop_index(op.f('ix_audit_at'), table_name='audit')
    op.execute("update compatible set schema = 12, oldest_code = 1")
