"""slack"""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None

# Whatever changes a mailbox, a member or an agency, by whichever hand: what people of that agency have open in Slack
# does not show the truth any more. So it is for whoever belongs to another agency from now on, or to none. A worker is
# told when that is committed. Once in each transaction the row is written, stale or not: who shows the home then waits for
# that transaction's end, instead of showing what was true before it.
STALE = """
create function slack_home_is_stale() returns trigger language plpgsql as $$
declare changed uuid;
begin
    if tg_table_name = 'contact' then
        update slack_screen set home_stale = true
        where home_at is not null and xmin <> pg_current_xact_id()::xid and conversation_id in (
            select id from conversation where contact_id = new.id
        );
        if found then notify ally_promises, 'work'; end if;
        return null;
    end if;
    if tg_table_name = 'mailbox' then
        select agency_id into changed from member where id = coalesce(new.member_id, old.member_id);
    elsif tg_table_name = 'agency' then
        changed := coalesce(new.id, old.id);
    else
        changed := coalesce(new.agency_id, old.agency_id);
    end if;
    update slack_screen set home_stale = true
    where home_at is not null and xmin <> pg_current_xact_id()::xid and conversation_id in (
        select conversation.id from conversation
        join contact on contact.id = conversation.contact_id
        join member on member.id = contact.member_id
        where member.agency_id = changed
    );
    if found then notify ally_promises, 'work'; end if;
    return null;
end $$
"""
WATCHED = {
    # Not when it was seen to work: that changes with every mail, and no home shows it.
    'mailbox': 'insert or delete or update of address, user_name, host, port, security, state, cause, who, version',
    'member': 'insert or update or delete',
    'agency': 'insert or update or delete',
    'invitation': 'insert or update or delete',
}


def upgrade() -> None:
    op.create_table('slack_workspace',
    sa.Column('team_id', sa.String(length=32), nullable=False),
    sa.Column('agency_id', sa.Uuid(), nullable=True),
    sa.Column('name', sa.String(length=120), server_default='', nullable=False),
    sa.Column('app_id', sa.String(length=32), server_default='', nullable=False),
    sa.Column('bot_user', sa.String(length=32), server_default='', nullable=False),
    sa.Column('token_id', sa.Uuid(), nullable=True),
    sa.Column('refresh_id', sa.Uuid(), nullable=True),
    sa.Column('token_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('renewing_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('gone_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['agency_id'], ['agency.id'], name=op.f('fk_slack_workspace_agency_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['refresh_id'], ['secret.id'], name=op.f('fk_slack_workspace_refresh_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['token_id'], ['secret.id'], name=op.f('fk_slack_workspace_token_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('team_id', name=op.f('pk_slack_workspace'))
    )
    op.create_index(op.f('ix_slack_workspace_agency_id'), 'slack_workspace', ['agency_id'], unique=False)
    op.create_table('slack_state',
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('invitation_hash', sa.String(length=64), nullable=False),
    sa.Column('language', sa.String(length=2), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('hash', name=op.f('pk_slack_state'))
    )
    op.create_index(op.f('ix_slack_state_expires_at'), 'slack_state', ['expires_at'], unique=False)
    op.create_table('slack_screen',
    sa.Column('conversation_id', sa.Uuid(), nullable=False),
    sa.Column('dm', sa.String(length=32), server_default='', nullable=False),
    sa.Column('home_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('home_page', sa.Integer(), server_default='0', nullable=False),
    sa.Column('home_stale', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('view_id', sa.String(length=64), server_default='', nullable=False),
    sa.Column('view_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['conversation_id'], ['conversation.id'], name=op.f('fk_slack_screen_conversation_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('conversation_id', name=op.f('pk_slack_screen'))
    )
    op.create_index('ix_slack_screen_stale', 'slack_screen', ['home_at'], unique=False, postgresql_where=sa.text('home_stale'))
    op.add_column('contact', sa.Column('gone_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('mailbox', sa.Column('worked_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('mailbox', sa.Column('warned_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('mailbox', sa.Column('doubt', sa.String(length=8), server_default='', nullable=False))
    op.add_column('mailbox', sa.Column('doubted_at', sa.DateTime(timezone=True), nullable=True))
    op.execute("update mailbox set worked_at = since where state = 'works'")
    op.create_index('ix_mailbox_worked', 'mailbox', ['worked_at'], unique=False, postgresql_where=sa.text("state = 'works'"))
    op.create_index('uq_promise_watch', 'promise', [sa.text("(payload ->> 'mailbox')")], unique=True, postgresql_where=sa.text("kind = 'watch' and state in ('todo', 'doing')"))
    op.create_table('template_month',
    sa.Column('month', sa.String(length=7), nullable=False),
    sa.Column('sent', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('month', name=op.f('pk_template_month'))
    )
    op.execute(STALE)
    for table, when in WATCHED.items():
        op.execute(
            f"create trigger slack_home_is_stale after {when} on {table} "
            "for each row execute function slack_home_is_stale()"
        )
    op.execute(
        "create trigger slack_home_is_stale after update of member_id, language on contact for each row "
        "when (old.member_id is distinct from new.member_id or old.language <> new.language) "
        "execute function slack_home_is_stale()"
    )
    op.execute("update compatible set schema = 8, oldest_code = 1")


def downgrade() -> None:
    for table in (*WATCHED, 'contact'):
        op.execute(f"drop trigger slack_home_is_stale on {table}")
    op.execute("drop function slack_home_is_stale()")
    op.drop_table('template_month')
    op.drop_index('uq_promise_watch', table_name='promise')
    op.drop_index('ix_mailbox_worked', table_name='mailbox')
    op.drop_column('mailbox', 'doubted_at')
    op.drop_column('mailbox', 'doubt')
    op.drop_column('mailbox', 'warned_at')
    op.drop_column('mailbox', 'worked_at')
    op.drop_column('contact', 'gone_at')
    op.drop_table('slack_screen')
    op.drop_table('slack_state')
    op.drop_table('slack_workspace')
    op.execute("update compatible set schema = 7, oldest_code = 1")
