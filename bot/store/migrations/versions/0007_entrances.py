"""entrances"""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('entrance_code',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('member_id', sa.Uuid(), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=True),
    sa.Column('code_hash', sa.String(length=64), server_default='', nullable=False),
    sa.Column('tries_left', sa.Integer(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(
        ['conversation_id'], ['conversation.id'], name=op.f('fk_entrance_code_conversation_id'), ondelete='CASCADE'
    ),
    sa.ForeignKeyConstraint(
        ['member_id'], ['member.id'], name=op.f('fk_entrance_code_member_id'), ondelete='CASCADE'
    ),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_entrance_code'))
    )
    op.create_index(op.f('ix_entrance_code_expires_at'), 'entrance_code', ['expires_at'], unique=False)
    op.execute("update compatible set schema = 7, oldest_code = 1")


def downgrade() -> None:
    op.drop_table('entrance_code')
    op.execute("update compatible set schema = 6, oldest_code = 1")
