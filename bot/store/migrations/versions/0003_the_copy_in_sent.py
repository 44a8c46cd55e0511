"""the copy in Sent"""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('outgoing_mail', sa.Column('copy', sa.String(length=16), server_default='', nullable=False))
    op.execute("update compatible set schema = 3, oldest_code = 1")


def downgrade() -> None:
    op.drop_column('outgoing_mail', 'copy')
    op.execute("update compatible set schema = 2, oldest_code = 1")
