"""months: the transcript in partitions, an index for everything that ages, storage settings with reasons

The transcript that is there becomes one partition as it stands, without a row being moved: `message_until_YYYY_MM`,
which ends with the month of its last line. See `bot/store/months.py`, `bounds.py` and `storage.py`.
"""

import sqlalchemy as sa
from alembic import op

revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None

COLUMNS = """
    conversation_id uuid not null constraint fk_message_conversation_id references conversation on delete cascade,
    direction varchar(3) not null,
    text text not null,
    promise_id bigint,
    provider_id varchar(64),
    status varchar(16) not null default '',
    rank integer not null default 0,
    error varchar(32) not null default '',
    by varchar(32) not null default '',
    at timestamptz not null
"""
INDEXES = (('conversation_id_id', 'conversation_id, id'), ('promise_id', 'promise_id'), ('provider_id', 'provider_id'))
INDEXED = {
    'access_request': 'at', 'audit': 'at', 'case_file': 'at', 'dead_letter': 'at', 'invitation': 'expires_at',
    'link': 'created_at', 'oauth_grant': 'access_id', 'outgoing_mail': 'at', 'question': 'at',
    'sign_in': 'sealed_id', 'staff_line': 'at', 'staff_part': 'case_file_id',
}
SEALED = ('outgoing_mail', 'file', 'case_file')
STORAGE = {
    'conversation': ('fillfactor = 80', 'toast.autovacuum_vacuum_scale_factor = 0.02'),
    'contact': ('fillfactor = 80',),
    'promise': ('autovacuum_vacuum_scale_factor = 0.02', 'autovacuum_analyze_scale_factor = 0.02'),
    'limit_hit': ('autovacuum_vacuum_scale_factor = 0.02',),
    'secret': ('toast.autovacuum_vacuum_scale_factor = 0.02',),
}


def upgrade() -> None:
    op.drop_constraint('fk_case_file_message_id', 'case_file', type_='foreignkey')
    old = _set_aside()
    op.execute("create sequence message_id_seq as bigint")
    op.execute(f"select setval('message_id_seq', coalesce((select max(id) from {old}), 0) + 1, false)")
    op.execute(
        f"create table message (id bigint not null default nextval('message_id_seq'), {COLUMNS},"
        " constraint pk_message primary key (at, id)) partition by range (at)"
    )
    op.execute("alter sequence message_id_seq owned by message.id")
    for name, columns in INDEXES:
        op.execute(f"create index ix_message_{name} on message ({columns})")
    _join(old)
    op.execute("create table message_rest partition of message default with (fillfactor = 85)")
    for table, column in INDEXED.items():
        op.create_index(f'ix_{table}_{column}', table, [column])
    op.create_index('ix_file_loose', 'file', ['at'], postgresql_where=sa.text('mail_id is null'))
    for table in SEALED:
        op.create_index(f'ix_{table}_content', table, ['content_id'], postgresql_where=sa.text('content_id is not null'))
    for table, settings in STORAGE.items():
        op.execute(f"alter table {table} set ({', '.join(settings)})")
    op.execute("update compatible set schema = 15, oldest_code = 1")


def _set_aside() -> str:
    """The table that is there under another name, as are its indexes."""
    old = 'message_before'
    op.execute(f"alter table message rename to {old}")
    op.execute(f"alter table {old} drop constraint pk_message, alter column id drop identity")
    op.execute("drop index ix_message_at")
    for name, _ in INDEXES:
        op.execute(f"alter index ix_message_{name} rename to ix_{old}_{name}")
    return old


def _join(old: str) -> None:
    """What was set aside becomes the first partition, by a name that says where it ends; nothing in it: it goes."""
    ends = "date_trunc('month', max(at) at time zone 'UTC') + interval '1 month'"
    end = op.get_bind().execute(sa.text(f"select {ends} from {old}")).scalar_one()
    if end is None:
        op.drop_table(old)
        return
    op.execute(f"alter table {old} add constraint pk_{old} primary key (at, id)")
    op.execute(f"alter table {old} alter column id set default nextval('message_id_seq')")
    op.execute(f"alter table {old} rename to message_until_{end:%Y_%m}")
    op.execute(
        f"alter table message attach partition message_until_{end:%Y_%m}"
        f" for values from (minvalue) to ('{end:%Y-%m-%d} 00:00:00+00')"
    )


def downgrade() -> None:
    for table, settings in STORAGE.items():
        names = [setting.partition(' = ')[0] for setting in settings]
        op.execute(f"alter table {table} reset ({', '.join(names)})")
    for table in SEALED:
        op.drop_index(f'ix_{table}_content', table_name=table)
    op.drop_index('ix_file_loose', table_name='file')
    for table, column in INDEXED.items():
        op.drop_index(f'ix_{table}_{column}', table_name=table)
    op.execute("alter table message rename to message_in_months")
    op.execute("alter table message_in_months drop constraint pk_message, drop constraint fk_message_conversation_id")
    for name, _ in INDEXES:
        op.execute(f"drop index ix_message_{name}")
    op.execute("alter sequence message_id_seq rename to message_in_months_id_seq")
    op.execute(
        f"create table message (id bigint generated by default as identity, {COLUMNS},"
        " constraint pk_message primary key (id))"
    )
    op.execute("insert into message select * from message_in_months")
    op.execute("select setval(pg_get_serial_sequence('message', 'id'), coalesce(max(id), 0) + 1, false) from message")
    op.execute("drop table message_in_months")
    for name, columns in (*INDEXES, ('at', 'at')):
        op.execute(f"create index ix_message_{name} on message ({columns})")
    op.execute("delete from case_file where message_id not in (select id from message)")
    op.create_foreign_key('fk_case_file_message_id', 'case_file', 'message', ['message_id'], ['id'], ondelete='CASCADE')
    op.execute(f"update compatible set schema = {int(down_revision)}, oldest_code = 1")
