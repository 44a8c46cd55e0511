"""the agency's server"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('agency', sa.Column('host', sa.String(length=253), server_default='', nullable=False))
    op.add_column('agency', sa.Column('port', sa.Integer(), server_default='0', nullable=False))
    op.add_column('agency', sa.Column('security', sa.String(length=8), server_default='', nullable=False))
    op.add_column('agency', sa.Column('server_rule', sa.String(length=8), server_default='warn', nullable=False))
    op.create_check_constraint(op.f('ck_agency_server_rule'), 'agency', "server_rule in ('warn', 'strict')")
    op.execute("update compatible set schema = 2, oldest_code = 1")


def downgrade() -> None:
    op.drop_constraint(op.f('ck_agency_server_rule'), 'agency')
    op.drop_column('agency', 'server_rule')
    op.drop_column('agency', 'security')
    op.drop_column('agency', 'port')
    op.drop_column('agency', 'host')
    op.execute("update compatible set schema = 1, oldest_code = 1")
