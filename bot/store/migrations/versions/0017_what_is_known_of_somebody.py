"""what is known of somebody"""

import sqlalchemy as sa
from alembic import op

revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column('link', 'member_id', existing_type=sa.Uuid(), nullable=True)
    op.drop_constraint(op.f('ck_link_kind'), 'link', type_='check')
    op.create_check_constraint(op.f('ck_link_kind'), 'link', "kind in ('password', 'sign_in', 'door', 'data')")
    op.create_check_constraint(op.f('ck_link_member'), 'link', "(member_id is null) = (kind = 'data')")
    op.create_table('limit_refusal',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('name', sa.String(length=32), nullable=False),
    sa.Column('refused', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_limit_refusal'))
    )
    op.create_index(op.f('ix_limit_refusal_name'), 'limit_refusal', ['name'], unique=False)
    op.execute("update compatible set schema = 17, oldest_code = 1")


def downgrade() -> None:
    op.drop_table('limit_refusal')
    op.execute("delete from link where kind = 'data'")
    op.drop_constraint(op.f('ck_link_member'), 'link', type_='check')
    op.drop_constraint(op.f('ck_link_kind'), 'link', type_='check')
    op.create_check_constraint(op.f('ck_link_kind'), 'link', "kind in ('password', 'sign_in', 'door')")
    op.alter_column('link', 'member_id', existing_type=sa.Uuid(), nullable=False)
    op.execute("update compatible set schema = 16, oldest_code = 1")
