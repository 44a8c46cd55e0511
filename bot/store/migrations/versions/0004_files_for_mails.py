"""files for mails"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('mailbox', sa.Column('size', sa.BigInteger(), server_default='0', nullable=False))
    op.create_table('file',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('mail_id', sa.Uuid(), nullable=True),
    sa.Column('place', sa.Integer(), server_default='0', nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('content_type', sa.String(length=100), server_default='', nullable=False),
    sa.Column('size', sa.Integer(), server_default='0', nullable=False),
    sa.Column('content_id', sa.Uuid(), nullable=True),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('state', sa.String(length=8), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("state in ('coming', 'here', 'lost')", name=op.f('ck_file_state')),
    sa.ForeignKeyConstraint(
        ['conversation_id'], ['conversation.id'], name=op.f('fk_file_conversation_id'), ondelete='CASCADE'
    ),
    sa.ForeignKeyConstraint(['mail_id'], ['outgoing_mail.id'], name=op.f('fk_file_mail_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['content_id'], ['secret.id'], name=op.f('fk_file_content_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_file'))
    )
    op.create_index(op.f('ix_file_conversation_id'), 'file', ['conversation_id'], unique=False)
    op.create_index(op.f('ix_file_mail_id'), 'file', ['mail_id'], unique=False)
    op.execute("update compatible set schema = 4, oldest_code = 1")


def downgrade() -> None:
    op.drop_table('file')
    op.drop_column('mailbox', 'size')
    op.execute("update compatible set schema = 3, oldest_code = 1")
