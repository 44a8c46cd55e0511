"""sign in"""

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None

LINK = (
    sa.Column('kind', sa.String(length=8), server_default='password', nullable=False),
    sa.Column('provider', sa.String(length=16), server_default='', nullable=False),
)
MAILBOX = (
    sa.Column('transport', sa.String(length=8), server_default='smtp', nullable=False),
    sa.Column('ends_told', sa.String(length=16), server_default='', nullable=False),
)


def upgrade() -> None:
    for table, columns in (('link', LINK), ('mailbox', MAILBOX)):
        for column in columns:
            op.add_column(table, column._copy())
    op.create_check_constraint(op.f('ck_link_kind'), 'link', "kind in ('password', 'sign_in')")
    op.create_check_constraint(op.f('ck_mailbox_transport'), 'mailbox', "transport in ('smtp', 'graph')")
    op.create_index(op.f('ix_mailbox_secret_id'), 'mailbox', ['secret_id'], unique=False)
    op.create_table('oauth_app',
    sa.Column('agency_id', sa.Uuid(), nullable=False),
    sa.Column('provider', sa.String(length=16), nullable=False),
    sa.Column('client_id', sa.String(length=200), nullable=False),
    sa.Column('secret_id', sa.Uuid(), nullable=True),
    sa.Column('tenant', sa.String(length=64), server_default='', nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("provider in ('microsoft', 'google')", name=op.f('ck_oauth_app_provider')),
    sa.ForeignKeyConstraint(['agency_id'], ['agency.id'], name=op.f('fk_oauth_app_agency_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['secret_id'], ['secret.id'], name=op.f('fk_oauth_app_secret_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('agency_id', 'provider', name=op.f('pk_oauth_app'))
    )
    op.create_index(op.f('ix_oauth_app_client_id'), 'oauth_app', ['client_id'], unique=False)
    op.create_table('oauth_grant',
    sa.Column('secret_id', sa.Uuid(), nullable=False),
    sa.Column('provider', sa.String(length=16), nullable=False),
    sa.Column('client_id', sa.String(length=200), nullable=False),
    sa.Column('issuer', sa.String(length=300), nullable=False),
    sa.Column('subject', sa.String(length=300), nullable=False),
    sa.Column('account', sa.String(length=320), nullable=False),
    sa.Column('scopes', sa.Text(), nullable=False),
    sa.Column('access_id', sa.Uuid(), nullable=True),
    sa.Column('access_until', sa.DateTime(timezone=True), nullable=False),
    sa.Column('refreshing_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('refreshed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('generation', sa.Integer(), server_default='0', nullable=False),
    sa.Column('revocable', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('leaving', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('tries', sa.Integer(), server_default='0', nullable=False),
    sa.Column('revoke_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("provider in ('microsoft', 'google')", name=op.f('ck_oauth_grant_provider')),
    sa.ForeignKeyConstraint(['access_id'], ['secret.id'], name=op.f('fk_oauth_grant_access_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['secret_id'], ['secret.id'], name=op.f('fk_oauth_grant_secret_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('secret_id', name=op.f('pk_oauth_grant'))
    )
    op.create_index('ix_oauth_grant_subject', 'oauth_grant', ['provider', 'client_id', 'subject'], unique=False)
    op.create_index('ix_oauth_grant_refreshed', 'oauth_grant', ['refreshed_at'], unique=False, postgresql_where=sa.text('not leaving'))
    op.create_index('ix_oauth_grant_leaving', 'oauth_grant', ['revoke_at'], unique=False, postgresql_where=sa.text('leaving'))
    op.create_table('sign_in',
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('link_id', sa.Uuid(), nullable=False),
    sa.Column('provider', sa.String(length=16), nullable=False),
    sa.Column('client_id', sa.String(length=200), nullable=False),
    sa.Column('browser_hash', sa.String(length=64), nullable=False),
    sa.Column('sealed_id', sa.Uuid(), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['link_id'], ['link.id'], name=op.f('fk_sign_in_link_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['sealed_id'], ['secret.id'], name=op.f('fk_sign_in_sealed_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('hash', name=op.f('pk_sign_in'))
    )
    op.create_index(op.f('ix_sign_in_expires_at'), 'sign_in', ['expires_at'], unique=False)
    op.create_index(op.f('ix_sign_in_link_id'), 'sign_in', ['link_id'], unique=False)
    op.execute("update compatible set schema = 11, oldest_code = 1")


def downgrade() -> None:
    op.drop_table('sign_in')
    op.drop_table('oauth_grant')
    op.drop_table('oauth_app')
    op.drop_index(op.f('ix_mailbox_secret_id'), table_name='mailbox')
    for table, columns in (('mailbox', MAILBOX), ('link', LINK)):
        for column in reversed(columns):
            op.drop_column(table, column.name)
    op.execute("update compatible set schema = 10, oldest_code = 1")
