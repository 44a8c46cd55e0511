"""questions"""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('question',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('words', sa.String(length=300), nullable=False),
    sa.Column('topic', sa.String(length=32), nullable=False),
    sa.Column('language', sa.String(length=2), nullable=False),
    sa.Column('helpful', sa.Boolean(), server_default='true', nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(
        ['conversation_id'], ['conversation.id'], name=op.f('fk_question_conversation_id'), ondelete='CASCADE'
    ),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_question'))
    )
    op.create_index(op.f('ix_question_conversation_id'), 'question', ['conversation_id'], unique=False)
    op.execute("update compatible set schema = 5, oldest_code = 1")


def downgrade() -> None:
    op.drop_table('question')
    op.execute("update compatible set schema = 4, oldest_code = 1")
