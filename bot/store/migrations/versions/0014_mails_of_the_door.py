"""mails of the door"""

import sqlalchemy as sa
from alembic import op

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('door_mail',
    sa.Column('mail_id', sa.Uuid(), nullable=False),
    sa.Column('mailbox_id', sa.Uuid(), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('own_id', sa.Boolean(), nullable=False),
    sa.Column('promise_id', sa.BigInteger(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['mail_id'], ['outgoing_mail.id'], name=op.f('fk_door_mail_mail_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['mailbox_id'], ['mailbox.id'], name=op.f('fk_door_mail_mailbox_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('mail_id', name=op.f('pk_door_mail')),
    sa.UniqueConstraint('mailbox_id', 'digest', name=op.f('uq_door_mail_mailbox_id_digest'))
    )
    op.create_index(op.f('ix_door_mail_at'), 'door_mail', ['at'], unique=False)
    op.create_index(op.f('ix_door_mail_mailbox_id_at'), 'door_mail', ['mailbox_id', 'at'], unique=False)
    op.execute("update compatible set schema = 14, oldest_code = 1")


def downgrade() -> None:
    op.drop_table('door_mail')
    op.execute("update compatible set schema = 13, oldest_code = 1")
