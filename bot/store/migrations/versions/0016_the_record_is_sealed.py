"""the record is sealed"""

import sqlalchemy as sa
from alembic import op

revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None

# Entries go when they are two years old (`store.bounds`), no sooner; the digests of their days stay.
APPEND_ONLY = """
create function append_only() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and tg_level = 'ROW' and old.at < now() - interval '730 days' then
        return old;
    end if;
    raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end $$
"""
TRIGGERS = {
    'append_only on audit': 'before update or truncate on audit for each statement',
    'kept_two_years on audit': 'before delete on audit for each row',
    'append_only on audit_day': 'before update or delete or truncate on audit_day for each statement',
}


def upgrade() -> None:
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
    for name, when in TRIGGERS.items():
        op.execute(f'create trigger {name.partition(" ")[0]} {when} execute function append_only()')
    op.execute("update compatible set schema = 16, oldest_code = 1")


def downgrade() -> None:
    for name in TRIGGERS:
        op.execute(f'drop trigger {name}')
    op.execute('drop function append_only()')
    op.drop_table('provider_erasure')
    op.drop_table('audit_day')
    op.execute("update compatible set schema = 15, oldest_code = 1")
