"""door"""

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('door_key',
    sa.Column('mailbox_id', sa.Uuid(), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('made_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('refused_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('refusal', sa.String(length=64), server_default='', nullable=False),
    sa.ForeignKeyConstraint(['mailbox_id'], ['mailbox.id'], name=op.f('fk_door_key_mailbox_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('mailbox_id', name=op.f('pk_door_key')),
    sa.UniqueConstraint('hash', name=op.f('uq_door_key_hash'))
    )
    op.drop_constraint(op.f('ck_link_kind'), 'link', type_='check')
    op.create_check_constraint(op.f('ck_link_kind'), 'link', "kind in ('password', 'sign_in', 'door')")
    op.execute("update compatible set schema = 13, oldest_code = 1")


def downgrade() -> None:
    op.execute("delete from link where kind = 'door'")
    op.drop_constraint(op.f('ck_link_kind'), 'link', type_='check')
    op.create_check_constraint(op.f('ck_link_kind'), 'link', "kind in ('password', 'sign_in')")
    op.drop_table('door_key')
    op.execute("update compatible set schema = 12, oldest_code = 1")
