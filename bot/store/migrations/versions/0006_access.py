"""access"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('invitation', sa.Column('uses', sa.Integer(), server_default='1', nullable=False))
    op.create_table('access_request',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('agency', sa.String(length=120), nullable=False),
    sa.Column('address', sa.String(length=320), nullable=False),
    sa.Column('agency_id', sa.Uuid(), nullable=True),
    sa.Column('state', sa.String(length=8), server_default='open', nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("state in ('open', 'granted', 'declined')", name=op.f('ck_access_request_state')),
    sa.ForeignKeyConstraint(
        ['agency_id'], ['agency.id'], name=op.f('fk_access_request_agency_id'), ondelete='CASCADE'
    ),
    sa.ForeignKeyConstraint(
        ['conversation_id'], ['conversation.id'], name=op.f('fk_access_request_conversation_id'), ondelete='CASCADE'
    ),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_access_request'))
    )
    op.create_index(op.f('ix_access_request_conversation_id'), 'access_request', ['conversation_id'], unique=False)
    op.execute("update compatible set schema = 6, oldest_code = 1")


def downgrade() -> None:
    op.drop_table('access_request')
    op.drop_column('invitation', 'uses')
    op.execute("update compatible set schema = 5, oldest_code = 1")
