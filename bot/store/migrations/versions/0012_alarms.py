"""alarms"""

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('alarm',
    sa.Column('name', sa.String(length=40), nullable=False),
    sa.Column('told_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_alarm'))
    )
    op.create_table('sign_of_life',
    sa.Column('who', sa.String(length=16), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('who', name=op.f('pk_sign_of_life'))
    )
    op.execute("update compatible set schema = 12, oldest_code = 1")


def downgrade() -> None:
    op.drop_table('sign_of_life')
    op.drop_table('alarm')
    op.execute("update compatible set schema = 11, oldest_code = 1")
