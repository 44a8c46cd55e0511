"""the first schema"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('agency',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('language', sa.String(length=2), nullable=False),
    sa.Column('timezone', sa.String(length=64), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_agency'))
    )
    op.create_table('audit',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('actor', sa.String(length=64), nullable=False),
    sa.Column('action', sa.String(length=48), nullable=False),
    sa.Column('subject', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit'))
    )
    op.create_table('compatible',
    sa.Column('one', sa.Boolean(), server_default=sa.text('true'), nullable=False),
    sa.Column('schema', sa.Integer(), nullable=False),
    sa.Column('oldest_code', sa.Integer(), nullable=False),
    sa.CheckConstraint('one', name=op.f('ck_compatible_one_row')),
    sa.PrimaryKeyConstraint('one', name=op.f('pk_compatible'))
    )
    op.create_table('content',
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('sid', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_content'))
    )
    op.create_table('inbound',
    sa.Column('channel', sa.String(length=16), nullable=False),
    sa.Column('message_id', sa.String(length=64), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('channel', 'message_id', name=op.f('pk_inbound'))
    )
    op.create_index(op.f('ix_inbound_at'), 'inbound', ['at'], unique=False)
    op.create_table('key_check',
    sa.Column('key_id', sa.String(length=16), nullable=False),
    sa.Column('nonce', sa.LargeBinary(), nullable=False),
    sa.Column('box', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('key_id', name=op.f('pk_key_check'))
    )
    op.create_table('limit_hit',
    sa.Column('key', sa.LargeBinary(), nullable=False),
    sa.Column('hits', postgresql.ARRAY(sa.DateTime(timezone=True)), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('key', name=op.f('pk_limit_hit'))
    )
    op.create_index(op.f('ix_limit_hit_expires_at'), 'limit_hit', ['expires_at'], unique=False)
    op.create_table('secret',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.String(length=32), nullable=False),
    sa.Column('owner_id', sa.Uuid(), nullable=False),
    sa.Column('bound_to', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('key_id', sa.String(length=16), nullable=False),
    sa.Column('nonce', sa.LargeBinary(), nullable=False),
    sa.Column('box', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_secret'))
    )
    op.create_index(op.f('ix_secret_expires_at'), 'secret', ['expires_at'], unique=False)
    op.create_index(op.f('ix_secret_owner_id'), 'secret', ['owner_id'], unique=False)
    op.create_table('invitation',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('agency_id', sa.Uuid(), nullable=False),
    sa.Column('code_hash', sa.String(length=64), nullable=False),
    sa.Column('role', sa.String(length=10), nullable=False),
    sa.Column('name', sa.String(length=120), server_default='', nullable=False),
    sa.Column('language', sa.String(length=2), nullable=False),
    sa.Column('uses_left', sa.Integer(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['agency_id'], ['agency.id'], name=op.f('fk_invitation_agency_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_invitation')),
    sa.UniqueConstraint('code_hash', name=op.f('uq_invitation_code_hash'))
    )
    op.create_table('member',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('agency_id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('role', sa.String(length=10), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('removed_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['agency_id'], ['agency.id'], name=op.f('fk_member_agency_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_member'))
    )
    op.create_index(op.f('ix_member_agency_id'), 'member', ['agency_id'], unique=False)
    op.create_table('contact',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('channel', sa.String(length=16), nullable=False),
    sa.Column('address', sa.String(length=160), nullable=True),
    sa.Column('external_id', sa.String(length=160), nullable=True),
    sa.Column('name', sa.String(length=120), server_default='', nullable=False),
    sa.Column('language', sa.String(length=2), nullable=False),
    sa.Column('member_id', sa.Uuid(), nullable=True),
    sa.Column('window_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_message_id', sa.String(length=64), nullable=True),
    sa.Column('stopped_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint('address is not null or external_id is not null', name=op.f('ck_contact_somebody')),
    sa.ForeignKeyConstraint(['member_id'], ['member.id'], name=op.f('fk_contact_member_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_contact')),
    sa.UniqueConstraint('channel', 'address', name=op.f('uq_contact_channel_address')),
    sa.UniqueConstraint('channel', 'external_id', name=op.f('uq_contact_channel_external_id'))
    )
    op.create_index(op.f('ix_contact_member_id'), 'contact', ['member_id'], unique=False)
    op.create_table('mailbox',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('member_id', sa.Uuid(), nullable=False),
    sa.Column('address', sa.String(length=320), nullable=False),
    sa.Column('user_name', sa.String(length=320), nullable=False),
    sa.Column('host', sa.String(length=253), nullable=False),
    sa.Column('port', sa.Integer(), nullable=False),
    sa.Column('security', sa.String(length=8), nullable=False),
    sa.Column('secret_id', sa.Uuid(), nullable=True),
    sa.Column('state', sa.String(length=8), nullable=False),
    sa.Column('cause', sa.String(length=64), server_default='', nullable=False),
    sa.Column('who', sa.String(length=16), server_default='', nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("state in ('waiting', 'works', 'broken', 'off')", name=op.f('ck_mailbox_state')),
    sa.ForeignKeyConstraint(['member_id'], ['member.id'], name=op.f('fk_mailbox_member_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['secret_id'], ['secret.id'], name=op.f('fk_mailbox_secret_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_mailbox')),
    sa.UniqueConstraint('member_id', name=op.f('uq_mailbox_member_id'))
    )
    op.create_table('conversation',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('contact_id', sa.Uuid(), nullable=False),
    sa.Column('owner', sa.String(length=8), server_default='bot', nullable=False),
    sa.Column('envelope', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('ticket', sa.Integer(), server_default='0', nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['contact_id'], ['contact.id'], name=op.f('fk_conversation_contact_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_conversation')),
    sa.UniqueConstraint('contact_id', name=op.f('uq_conversation_contact_id'))
    )
    op.create_table('membership',
    sa.Column('contact_id', sa.Uuid(), nullable=False),
    sa.Column('member_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['contact_id'], ['contact.id'], name=op.f('fk_membership_contact_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['member_id'], ['member.id'], name=op.f('fk_membership_member_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('contact_id', 'member_id', name=op.f('pk_membership'))
    )
    op.create_table('case',
    sa.Column('number', sa.Integer(), sa.Identity(always=False, start=101), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('reason', sa.String(length=32), nullable=False),
    sa.Column('opened_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversation.id'], name=op.f('fk_case_conversation_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('number', name=op.f('pk_case'))
    )
    op.create_index('uq_case_open', 'case', ['conversation_id'], unique=True, postgresql_where=sa.text('closed_at is null'))
    op.create_table('dead_letter',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=True),
    sa.Column('event', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('error', sa.Text(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('replayed_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversation.id'], name=op.f('fk_dead_letter_conversation_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_dead_letter'))
    )
    op.create_table('link',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('member_id', sa.Uuid(), nullable=False),
    sa.Column('account', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversation.id'], name=op.f('fk_link_conversation_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['member_id'], ['member.id'], name=op.f('fk_link_member_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_link'))
    )
    op.create_index(op.f('ix_link_conversation_id'), 'link', ['conversation_id'], unique=False)
    op.create_table('message',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('direction', sa.String(length=3), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('promise_id', sa.BigInteger(), nullable=True),
    sa.Column('provider_id', sa.String(length=64), nullable=True),
    sa.Column('status', sa.String(length=16), server_default='', nullable=False),
    sa.Column('rank', sa.Integer(), server_default='0', nullable=False),
    sa.Column('error', sa.String(length=32), server_default='', nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversation.id'], name=op.f('fk_message_conversation_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_message'))
    )
    op.create_index(op.f('ix_message_at'), 'message', ['at'], unique=False)
    op.create_index(op.f('ix_message_conversation_id_id'), 'message', ['conversation_id', 'id'], unique=False)
    op.create_index(op.f('ix_message_promise_id'), 'message', ['promise_id'], unique=False)
    op.create_index(op.f('ix_message_provider_id'), 'message', ['provider_id'], unique=False)
    op.create_table('outgoing_mail',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('mailbox_id', sa.Uuid(), nullable=False),
    sa.Column('mailbox_version', sa.Integer(), nullable=False),
    sa.Column('message_id', sa.String(length=255), nullable=False),
    sa.Column('date', sa.DateTime(timezone=True), nullable=False),
    sa.Column('recipients', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('content_id', sa.Uuid(), nullable=True),
    sa.Column('state', sa.String(length=8), server_default='todo', nullable=False),
    sa.Column('reply', sa.String(length=500), server_default='', nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("state in ('todo', 'handing', 'accepted', 'refused', 'unknown')", name=op.f('ck_outgoing_mail_state')),
    sa.ForeignKeyConstraint(['content_id'], ['secret.id'], name=op.f('fk_outgoing_mail_content_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversation.id'], name=op.f('fk_outgoing_mail_conversation_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['mailbox_id'], ['mailbox.id'], name=op.f('fk_outgoing_mail_mailbox_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_outgoing_mail'))
    )
    op.create_index(op.f('ix_outgoing_mail_conversation_id'), 'outgoing_mail', ['conversation_id'], unique=False)
    op.create_index(op.f('ix_outgoing_mail_mailbox_id'), 'outgoing_mail', ['mailbox_id'], unique=False)
    op.create_table('promise',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('conversation_id', sa.Uuid(), nullable=True),
    sa.Column('lane', sa.String(length=5), nullable=False),
    sa.Column('kind', sa.String(length=32), nullable=False),
    sa.Column('payload', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('ticket', sa.Integer(), server_default='0', nullable=False),
    sa.Column('state', sa.String(length=8), server_default='todo', nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('attempt', sa.Integer(), server_default='0', nullable=False),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('provider_id', sa.String(length=64), nullable=True),
    sa.Column('outcome', sa.Text(), server_default='', nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("lane in ('speak', 'work', 'mail')", name=op.f('ck_promise_lane')),
    sa.CheckConstraint("state in ('todo', 'doing', 'done', 'failed', 'unknown', 'dropped')", name=op.f('ck_promise_state')),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversation.id'], name=op.f('fk_promise_conversation_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_promise'))
    )
    op.create_index('ix_promise_due', 'promise', ['lane', 'due_at'], unique=False, postgresql_where=sa.text("state = 'todo'"))
    op.create_index('ix_promise_ended', 'promise', ['created_at'], unique=False, postgresql_where=sa.text("state not in ('todo', 'doing')"))
    op.create_index('uq_promise_once', 'promise', ['kind'], unique=True, postgresql_where=sa.text("conversation_id is null and state in ('todo', 'doing')"))
    op.create_index('ix_promise_lease', 'promise', ['leased_until'], unique=False, postgresql_where=sa.text("state = 'doing'"))
    op.create_index('ix_promise_unfinished', 'promise', ['conversation_id', 'id'], unique=False, postgresql_where=sa.text("state in ('todo', 'doing')"))
    op.create_table('link_token',
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('link_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['link_id'], ['link.id'], name=op.f('fk_link_token_link_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('hash', name=op.f('pk_link_token'))
    )
    op.create_index(op.f('ix_link_token_link_id'), 'link_token', ['link_id'], unique=False)
    # Say which schema stands here now, and the oldest code that may still work on it:
    # op.execute("update compatible set schema = N, oldest_code = M")
    op.execute("insert into compatible (schema, oldest_code) values (1, 1)")


def downgrade() -> None:
    op.drop_index(op.f('ix_link_token_link_id'), table_name='link_token')
    op.drop_table('link_token')
    op.drop_index('ix_promise_unfinished', table_name='promise', postgresql_where=sa.text("state in ('todo', 'doing')"))
    op.drop_index('ix_promise_lease', table_name='promise', postgresql_where=sa.text("state = 'doing'"))
    op.drop_index('uq_promise_once', table_name='promise', postgresql_where=sa.text("conversation_id is null and state in ('todo', 'doing')"))
    op.drop_index('ix_promise_ended', table_name='promise', postgresql_where=sa.text("state not in ('todo', 'doing')"))
    op.drop_index('ix_promise_due', table_name='promise', postgresql_where=sa.text("state = 'todo'"))
    op.drop_table('promise')
    op.drop_index(op.f('ix_outgoing_mail_mailbox_id'), table_name='outgoing_mail')
    op.drop_index(op.f('ix_outgoing_mail_conversation_id'), table_name='outgoing_mail')
    op.drop_table('outgoing_mail')
    op.drop_index(op.f('ix_message_provider_id'), table_name='message')
    op.drop_index(op.f('ix_message_promise_id'), table_name='message')
    op.drop_index(op.f('ix_message_conversation_id_id'), table_name='message')
    op.drop_index(op.f('ix_message_at'), table_name='message')
    op.drop_table('message')
    op.drop_index(op.f('ix_link_conversation_id'), table_name='link')
    op.drop_table('link')
    op.drop_table('dead_letter')
    op.drop_index('uq_case_open', table_name='case', postgresql_where=sa.text('closed_at is null'))
    op.drop_table('case')
    op.drop_table('membership')
    op.drop_table('conversation')
    op.drop_table('mailbox')
    op.drop_index(op.f('ix_contact_member_id'), table_name='contact')
    op.drop_table('contact')
    op.drop_index(op.f('ix_member_agency_id'), table_name='member')
    op.drop_table('member')
    op.drop_table('invitation')
    op.drop_index(op.f('ix_secret_owner_id'), table_name='secret')
    op.drop_index(op.f('ix_secret_expires_at'), table_name='secret')
    op.drop_table('secret')
    op.drop_index(op.f('ix_limit_hit_expires_at'), table_name='limit_hit')
    op.drop_table('limit_hit')
    op.drop_table('key_check')
    op.drop_index(op.f('ix_inbound_at'), table_name='inbound')
    op.drop_table('inbound')
    op.drop_table('content')
    op.drop_table('compatible')
    op.drop_table('audit')
    op.drop_table('agency')
