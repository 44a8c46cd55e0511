"""The tables. Every time is given by our clock, never by the database; every id but a promise's is made by us.

To add or change one: change it here, then `python -m bot migrate --draft "what changes"` writes the migration to read.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Date,
    DateTime,
    ForeignKey,
    FromClause,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = 17  # what this code writes; see `migrations/env.py` and `store.schema`

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Moment = DateTime(timezone=True)
ADDRESS = 160  # a WhatsApp address may be a business-scoped id of up to 150 signs


def _id() -> Column[object]:
    return Column("id", Uuid, primary_key=True)


def _of(table: str, *, nullable: bool = False, primary: bool = False, unique: bool = False) -> Column[object]:
    return Column(
        f"{table}_id",
        Uuid,
        ForeignKey(f"{table}.id", ondelete="CASCADE"),
        nullable=nullable,
        primary_key=primary,
        unique=unique,
    )


def _while_sealed(table: str) -> Index:
    """Finds whose content a secret is, which every erased secret has to be asked: few have any, and not for long."""
    return Index(f"ix_{table}_content", "content_id", postgresql_where=text("content_id is not null"))


# One row: which schema stands here, and the oldest code that may still work on it.
compatible = Table(
    "compatible",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("schema", Integer, nullable=False),
    Column("oldest_code", Integer, nullable=False),
    CheckConstraint("one", name="one_row"),
)

agency = Table(
    "agency",
    metadata,
    _id(),
    Column("name", String(120), nullable=False),
    Column("language", String(2), nullable=False),
    Column("timezone", String(64), nullable=False),
    # The one server that all members are to use, as Ally demands it, and what happens when one does not (warn, strict).
    Column("host", String(253), nullable=False, server_default=""),
    Column("port", Integer, nullable=False, server_default="0"),
    Column("security", String(8), nullable=False, server_default=""),
    Column("server_rule", String(8), nullable=False, server_default="warn"),
    Column("created_at", Moment, nullable=False),
    Column("closed_at", Moment),
    CheckConstraint("server_rule in ('warn', 'strict')", name="server_rule"),
)

member = Table(
    "member",
    metadata,
    _id(),
    _of("agency"),
    Column("name", String(120), nullable=False),
    Column("role", String(10), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("removed_at", Moment),
    Index(None, "agency_id"),
)

contact = Table(
    "contact",
    metadata,
    _id(),
    Column("channel", String(16), nullable=False),
    Column("address", String(ADDRESS)),
    Column("external_id", String(ADDRESS)),
    Column("name", String(120), nullable=False, server_default=""),
    Column("language", String(2), nullable=False),
    Column("member_id", Uuid, ForeignKey("member.id", ondelete="SET NULL")),
    Column("window_until", Moment),
    Column("last_message_id", String(64)),
    Column("stopped_at", Moment),
    # When the channel said that nobody is there any more (a deactivated Slack user).
    Column("gone_at", Moment),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("channel", "address"),
    UniqueConstraint("channel", "external_id"),
    CheckConstraint("address is not null or external_id is not null", name="somebody"),
    Index(None, "member_id"),
)

# A contact may act for several members; `contact.member_id` is the one at present.
membership = Table(
    "membership", metadata, _of("contact", primary=True), _of("member", primary=True), Index(None, "member_id")
)

invitation = Table(
    "invitation",
    metadata,
    _id(),
    _of("agency"),
    Column("code_hash", String(64), nullable=False, unique=True),
    Column("role", String(10), nullable=False),
    Column("name", String(120), nullable=False, server_default=""),
    Column("language", String(2), nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("uses", Integer, nullable=False, server_default="1"),
    Column("expires_at", Moment, nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
)

conversation = Table(
    "conversation",
    metadata,
    _id(),
    _of("contact", unique=True),
    Column("owner", String(8), nullable=False, server_default="bot"),
    Column("envelope", JSONB, nullable=False),
    Column("ticket", Integer, nullable=False, server_default="0"),
    Column("updated_at", Moment, nullable=False),
)

# The provider's ids of what came in: the insert is the claim, a second one is a duplicate.
inbound = Table(
    "inbound",
    metadata,
    Column("channel", String(16), primary_key=True),
    Column("message_id", String(64), primary_key=True),
    Column("at", Moment, nullable=False, index=True),
)

# The transcript: redacted when it is written, never later. What came in, what went out, what the bot kept to itself
# while a person had the word (`bot`), and what only the support team is told, in its thread (`us`). Each month is a
# partition, see `store.months`: so its key has the time in it, nothing refers to it, and its ids come from a sequence
# (partitions share an identity only from PostgreSQL 17 on).
message = Table(
    "message",
    metadata,
    Column("id", BigInteger, server_default=text("nextval('message_id_seq')"), nullable=False),
    _of("conversation"),
    Column("direction", String(3), nullable=False),
    Column("text", Text, nullable=False),
    Column("promise_id", BigInteger),
    Column("provider_id", String(64), index=True),
    Column("status", String(16), nullable=False, server_default=""),
    Column("rank", Integer, nullable=False, server_default="0"),
    Column("error", String(32), nullable=False, server_default=""),
    # Who said it to the person: empty is the bot, else a staff member's own words (already in the case's thread); of
    # what only the team is told, the case.
    Column("by", String(32), nullable=False, server_default=""),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("at", "id"),
    Index(None, "conversation_id", "id"),
    Index(None, "promise_id"),
    postgresql_partition_by="RANGE (at)",
)

promise = Table(
    "promise",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _of("conversation", nullable=True),
    Column("lane", String(5), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("ticket", Integer, nullable=False, server_default="0"),
    Column("state", String(8), nullable=False, server_default="todo"),
    Column("due_at", Moment, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("leased_until", Moment),
    Column("provider_id", String(64)),
    Column("outcome", Text, nullable=False, server_default=""),
    Column("created_at", Moment, nullable=False),
    CheckConstraint("lane in ('speak', 'work', 'mail')", name="lane"),
    CheckConstraint("state in ('todo', 'doing', 'done', 'failed', 'unknown', 'dropped')", name="state"),
    Index("ix_promise_due", "lane", "due_at", postgresql_where=text("state = 'todo'")),
    Index("ix_promise_lease", "leased_until", postgresql_where=text("state = 'doing'")),
    Index("ix_promise_unfinished", "conversation_id", "id", postgresql_where=text("state in ('todo', 'doing')")),
    # What belongs to no conversation stands there once at most.
    Index(
        "uq_promise_once",
        "kind",
        unique=True,
        postgresql_where=text("conversation_id is null and state in ('todo', 'doing')"),
    ),
    Index("ix_promise_ended", "created_at", postgresql_where=text("state not in ('todo', 'doing')")),
    # A mailbox is watched by one promise at most.
    Index(
        "uq_promise_watch",
        text("(payload ->> 'mailbox')"),
        unique=True,
        postgresql_where=text("kind = 'watch' and state in ('todo', 'doing')"),
    ),
)


def in_state(promises: FromClause, *states: str) -> ColumnElement[bool]:
    """Whether promises are in one of these states, written as constants: with parameters no partial index serves."""
    return promises.c.state.in_([literal_column(f"'{state}'") for state in states])


secret = Table(
    "secret",
    metadata,
    _id(),
    Column("kind", String(32), nullable=False),
    Column("owner_id", Uuid, nullable=False, index=True),
    Column("bound_to", JSONB, nullable=False),
    Column("key_id", String(16), nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("box", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, index=True),
)

# One row that only the right key opens: a wrong one stops the start.
key_check = Table(
    "key_check",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("nonce", LargeBinary, nullable=False),
    Column("box", LargeBinary, nullable=False),
)

link = Table(
    "link",
    metadata,
    _id(),
    _of("conversation"),
    _of("member", nullable=True),
    Column("account", JSONB, nullable=False),
    # What is done behind it: a password is given, its person signs in at the provider, a key for the door is shown, or
    # its person gets all that is stored about them, of whatever they are a member.
    Column("kind", String(8), nullable=False, server_default="password"),
    Column("provider", String(16), nullable=False, server_default=""),
    Column("expires_at", Moment, nullable=False),
    Column("closed_at", Moment),
    Column("created_at", Moment, nullable=False, index=True),
    CheckConstraint("kind in ('password', 'sign_in', 'door', 'data')", name="kind"),
    CheckConstraint("(member_id is null) = (kind = 'data')", name="member"),
    Index(None, "conversation_id"),
)

# A link gets an address each time a message with it leaves; only hashes are stored.
link_token = Table(
    "link_token",
    metadata,
    Column("hash", String(64), primary_key=True),
    _of("link"),
    Index(None, "link_id"),
)

mailbox = Table(
    "mailbox",
    metadata,
    _id(),
    _of("member", unique=True),
    Column("address", String(320), nullable=False),
    Column("user_name", String(320), nullable=False),
    Column("host", String(253), nullable=False),
    Column("port", Integer, nullable=False),
    Column("security", String(8), nullable=False),
    # How mail leaves: `graph` is Microsoft's own way where its SMTP is switched off.
    Column("transport", String(8), nullable=False, server_default="smtp"),
    # A password, or what somebody who signed in at their provider granted: then it has a row in `oauth_grant`.
    Column("secret_id", Uuid, ForeignKey("secret.id", ondelete="SET NULL"), index=True),
    Column("state", String(8), nullable=False),
    Column("cause", String(64), nullable=False, server_default=""),
    Column("who", String(16), nullable=False, server_default=""),
    Column("version", Integer, nullable=False),
    Column("since", Moment, nullable=False),
    # The largest mail in bytes that its server takes; 0: it does not say.
    Column("size", BigInteger, nullable=False, server_default="0"),
    # When it was last seen to work, and when its person was last told unasked that it does not.
    Column("worked_at", Moment),
    Column("warned_at", Moment),
    # What speaks against it since then, of which only a second time makes a verdict: its `secret`, or its `server`.
    Column("doubt", String(8), nullable=False, server_default=""),
    Column("doubted_at", Moment),
    # The last that its person was told of the day on which passwords end: the day, and so many days before it.
    Column("ends_told", String(16), nullable=False, server_default=""),
    CheckConstraint("state in ('waiting', 'works', 'broken', 'off')", name="state"),
    CheckConstraint("transport in ('smtp', 'graph')", name="transport"),
    Index("ix_mailbox_worked", "worked_at", postgresql_where=text("state = 'works'")),
)

# With what Ally signs in at our door to send from a mailbox: only the key's hash, one for each mailbox. When it was
# used last, and what was refused last at this address, is told to whoever asks why Ally shows an error.
door_key = Table(
    "door_key",
    metadata,
    _of("mailbox", primary=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("made_at", Moment, nullable=False),
    Column("used_at", Moment),
    Column("revoked_at", Moment),
    Column("refused_at", Moment),
    Column("refusal", String(64), nullable=False, server_default=""),
)

# A mail that came in at the door, for a day: the same one is not sent twice, whoever hands it in once more. The promise
# looks after it where the process dies that hands it over.
door_mail = Table(
    "door_mail",
    metadata,
    Column("mail_id", Uuid, ForeignKey("outgoing_mail.id", ondelete="CASCADE"), primary_key=True),
    _of("mailbox"),
    Column("digest", String(64), nullable=False),
    Column("own_id", Boolean, nullable=False),
    Column("promise_id", BigInteger, nullable=False),
    Column("at", Moment, nullable=False, index=True),
    UniqueConstraint("mailbox_id", "digest"),
    Index(None, "mailbox_id", "at"),
)

# An agency's own app at a provider: its people sign in through that one, not the installation's. Its secret is sealed.
oauth_app = Table(
    "oauth_app",
    metadata,
    _of("agency", primary=True),
    Column("provider", String(16), primary_key=True),
    Column("client_id", String(200), nullable=False),
    Column("secret_id", Uuid, ForeignKey("secret.id", ondelete="SET NULL")),
    Column("tenant", String(64), nullable=False, server_default=""),
    Column("at", Moment, nullable=False),
    CheckConstraint("provider in ('microsoft', 'google')", name="provider"),
    Index(None, "client_id"),
)

# What somebody granted at their provider. Its key is the secret's, whose clear text is the refresh token: they go
# together. The access token is another secret. One process at a time renews them, until `refreshing_until` at most.
oauth_grant = Table(
    "oauth_grant",
    metadata,
    Column("secret_id", Uuid, ForeignKey("secret.id", ondelete="CASCADE"), primary_key=True),
    Column("provider", String(16), nullable=False),
    Column("client_id", String(200), nullable=False),
    Column("issuer", String(300), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("account", String(320), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("access_id", Uuid, ForeignKey("secret.id", ondelete="SET NULL")),
    Column("access_until", Moment, nullable=False),
    Column("refreshing_until", Moment),
    Column("refreshed_at", Moment, nullable=False),
    Column("generation", Integer, nullable=False, server_default="0"),
    # Its provider takes it back when we ask: then its secret is not erased before that was done, or tried often enough.
    Column("revocable", Boolean, nullable=False, server_default=text("false")),
    Column("leaving", Boolean, nullable=False, server_default=text("false")),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("revoke_at", Moment),
    CheckConstraint("provider in ('microsoft', 'google')", name="provider"),
    Index("ix_oauth_grant_subject", "provider", "client_id", "subject"),
    Index("ix_oauth_grant_refreshed", "refreshed_at", postgresql_where=text("not leaving")),
    Index("ix_oauth_grant_leaving", "revoke_at", postgresql_where=text("leaving")),
    Index(None, "access_id"),
)

# A way to a provider's page and back, good once: found by the hash of its state, for the browser that left, and gone
# when it is used. What proves that the answer is for us (verifier, nonce) is sealed.
sign_in = Table(
    "sign_in",
    metadata,
    Column("hash", String(64), primary_key=True),
    _of("link"),
    Column("provider", String(16), nullable=False),
    Column("client_id", String(200), nullable=False),
    Column("browser_hash", String(64), nullable=False),
    Column("sealed_id", Uuid, ForeignKey("secret.id", ondelete="SET NULL"), index=True),
    Column("expires_at", Moment, nullable=False, index=True),
    Index(None, "link_id"),
)

outgoing_mail = Table(
    "outgoing_mail",
    metadata,
    _id(),
    _of("conversation"),
    _of("mailbox"),
    Column("mailbox_version", Integer, nullable=False),
    Column("message_id", String(255), nullable=False),
    Column("date", Moment, nullable=False),
    Column("recipients", JSONB, nullable=False),
    # The content is sealed until the outcome is known, then erased.
    Column("content_id", Uuid, ForeignKey("secret.id", ondelete="SET NULL")),
    # todo - handing (its bytes may have left) - accepted | refused | unknown
    Column("state", String(8), nullable=False, server_default="todo"),
    Column("reply", String(500), nullable=False, server_default=""),
    # The copy in *Sent*, a state of its own: found, appended, no_folder, failed, not_seen_yet, no_imap
    Column("copy", String(16), nullable=False, server_default=""),
    Column("at", Moment, nullable=False, index=True),
    CheckConstraint("state in ('todo', 'handing', 'accepted', 'refused', 'unknown')", name="state"),
    Index(None, "conversation_id"),
    Index(None, "mailbox_id"),
    _while_sealed("outgoing_mail"),
)

# Files for mails: what they are. Content is sealed like a mail's words and erased with them.
file = Table(
    "file",
    metadata,
    _id(),
    _of("conversation"),
    Column("mail_id", Uuid, ForeignKey("outgoing_mail.id", ondelete="CASCADE")),
    Column("place", Integer, nullable=False, server_default="0"),
    Column("name", String(120), nullable=False),
    Column("content_type", String(100), nullable=False, server_default=""),
    Column("size", Integer, nullable=False, server_default="0"),
    Column("content_id", Uuid, ForeignKey("secret.id", ondelete="SET NULL")),
    Column("url", Text, nullable=False),
    Column("state", String(8), nullable=False),
    Column("at", Moment, nullable=False),
    CheckConstraint("state in ('coming', 'here', 'lost')", name="state"),
    Index(None, "conversation_id"),
    Index(None, "mail_id"),
    Index("ix_file_loose", "at", postgresql_where=text("mail_id is null")),
    _while_sealed("file"),
)

# Cases are told to people by number, so the number is short and ours to count.
case = Table(
    "case",
    metadata,
    Column("number", Integer, Identity(start=101), primary_key=True),
    _of("conversation"),
    Column("reason", String(32), nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("closed_at", Moment),
    # See `desk.rules.Case`.
    Column("state", String(8), nullable=False, server_default="new"),
    Column("owner", String(32), nullable=False, server_default=""),
    Column("waits_since", Moment),
    Column("staff_at", Moment),
    Column("snoozed_until", Moment),
    Column("told_at", Moment),
    Column("end", String(16), nullable=False, server_default=""),
    Column("answered_at", Moment),
    Column("answer_seconds", Integer),  # of working time, until staff first wrote to the person
    # Its thread: the root message, what it shows (a hash), and the last line of the transcript that stands below it.
    Column("thread", String(32), nullable=False, server_default=""),
    Column("root", String(64), nullable=False, server_default=""),
    Column("shown_to", BigInteger, nullable=False, server_default="0"),
    Column("briefed", Boolean, nullable=False, server_default=text("false")),  # what was known at first stands there
    # What is being posted into it, by somebody who counts as alive until then; later nobody knows whether it stands.
    Column("posting", String(64), nullable=False, server_default=""),
    Column("posting_until", Moment),
    CheckConstraint("state in ('new', 'owned', 'parked', 'snoozed', 'closed')", name="state"),
    Index("uq_case_open", "conversation_id", unique=True, postgresql_where=text("closed_at is null")),
    Index("ix_case_answered", "answered_at", postgresql_where=text("answered_at is not null")),
    Index("ix_case_closed", "closed_at", postgresql_where=text("closed_at is not null")),
)

# A Slack workspace: whose it is, and by what token we speak there (none: the one of SLACK_BOT_TOKEN).
slack_workspace = Table(
    "slack_workspace",
    metadata,
    Column("team_id", String(32), primary_key=True),
    _of("agency", nullable=True),
    Column("name", String(120), nullable=False, server_default=""),
    Column("app_id", String(32), nullable=False, server_default=""),
    Column("bot_user", String(32), nullable=False, server_default=""),
    Column("token_id", Uuid, ForeignKey("secret.id", ondelete="SET NULL")),
    Column("refresh_id", Uuid, ForeignKey("secret.id", ondelete="SET NULL")),
    Column("token_until", Moment),
    Column("renewing_until", Moment),
    Column("at", Moment, nullable=False),
    Column("gone_at", Moment),
    Index(None, "agency_id"),
)

# A way to Slack's consent page and back, good once; of the code of an invitation only what the join needs.
slack_state = Table(
    "slack_state",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("invitation_hash", String(64), nullable=False),
    Column("language", String(2), nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
)

# What a person has in Slack: their direct messages with us, the home since when and at which page, and the window that
# follows the talk.
slack_screen = Table(
    "slack_screen",
    metadata,
    _of("conversation", primary=True),
    Column("dm", String(32), nullable=False, server_default=""),
    Column("home_at", Moment),
    Column("home_page", Integer, nullable=False, server_default="0"),
    Column("home_stale", Boolean, nullable=False, server_default=text("false")),
    Column("home_queue", Boolean, nullable=False, server_default=text("false")),  # it shows staff the open cases
    Column("view_id", String(64), nullable=False, server_default=""),
    Column("view_at", Moment),
    Index("ix_slack_screen_stale", "home_at", postgresql_where=text("home_stale")),
)

# What a staff member writes to a person: held for a few seconds, in which it can be changed or taken back.
staff_line = Table(
    "staff_line",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("case_number", Integer, ForeignKey("case.number", ondelete="CASCADE"), nullable=False),
    Column("ts", String(32), nullable=False),
    Column("by", String(32), nullable=False),
    Column("text", Text, nullable=False),
    Column("state", String(10), nullable=False, server_default="held"),
    Column("shown", String(10), nullable=False, server_default=""),
    Column("why", String(200), nullable=False, server_default=""),
    Column("promise_id", BigInteger, index=True),
    Column("at", Moment, nullable=False, index=True),
    # Empty: written in the thread itself; else what was used to write it, and our own message shows it. `gloss`: the
    # same in the team's language.
    Column("tool", String(16), nullable=False, server_default=""),
    Column("gloss", Text, nullable=False, server_default=""),
    CheckConstraint("state in ('held', 'leaving', 'sent', 'delivered', 'read', 'failed', 'recalled')", name="state"),
    UniqueConstraint("case_number", "ts"),
)

# A file on its way between a person and staff; its content is sealed, and erased once it is there. Of the person's
# `message_id` says with which line of the transcript it came, of staff's `line_id` with which of theirs it goes.
case_file = Table(
    "case_file",
    metadata,
    _id(),
    _of("conversation"),
    Column("case_number", Integer, ForeignKey("case.number", ondelete="CASCADE"), nullable=False),
    Column("message_id", BigInteger),
    Column("line_id", BigInteger, ForeignKey("staff_line.id", ondelete="CASCADE")),
    Column("place", Integer, nullable=False, server_default="0"),
    Column("name", String(120), nullable=False),
    Column("content_type", String(100), nullable=False, server_default=""),
    Column("size", Integer, nullable=False, server_default="0"),
    Column("content_id", Uuid, ForeignKey("secret.id", ondelete="SET NULL")),
    Column("url", Text, nullable=False, server_default=""),  # where it lies; forgotten once it was fetched
    Column("slack_id", String(32), nullable=False, server_default=""),  # Slack's name of it
    Column("state", String(8), nullable=False, server_default="coming"),
    Column("why", String(16), nullable=False, server_default=""),  # it was lost
    Column("at", Moment, nullable=False, index=True),
    CheckConstraint("state in ('coming', 'here', 'gone', 'lost')", name="state"),
    Index(None, "conversation_id", "at"),
    Index(None, "case_number"),
    Index(None, "message_id"),
    Index(None, "line_id"),
    _while_sealed("case_file"),
)

# An address of a file of staff's that the person's channel fetches: of its token only the hash.
media_token = Table(
    "media_token",
    metadata,
    Column("hash", String(64), primary_key=True),
    _of("case_file"),
    Column("until", Moment, nullable=False, index=True),
    Index(None, "case_file_id"),
)

# One message of a line with files, which needs several: what it says, which file it carries, how far it has come.
staff_part = Table(
    "staff_part",
    metadata,
    Column("promise_id", BigInteger, primary_key=True),
    Column("line_id", BigInteger, ForeignKey("staff_line.id", ondelete="CASCADE"), nullable=False, index=True),
    _of("case_file", nullable=True),
    Index(None, "case_file_id"),
    Column("words", Text, nullable=False),
    Column("fate", String(10), nullable=False, server_default="leaving"),
)

# When the next message may be posted into a channel of Slack's: one a second, shared by all processes.
slack_pace = Table(
    "slack_pace",
    metadata,
    Column("channel", String(32), primary_key=True),
    Column("next_at", Moment, nullable=False),
)

# Six digits with which a member comes in elsewhere; with a conversation: good in that one only, mailed to the mailbox.
entrance_code = Table(
    "entrance_code",
    metadata,
    _id(),
    _of("member"),
    _of("conversation", nullable=True),
    Column("code_hash", String(64), nullable=False, server_default=""),
    Column("tries_left", Integer, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
)

# Who wants to be a member, and whose admins are asked; without an agency of ours, support is.
access_request = Table(
    "access_request",
    metadata,
    _id(),
    _of("conversation"),
    Column("agency", String(120), nullable=False),
    Column("address", String(320), nullable=False),
    _of("agency", nullable=True),
    Column("state", String(8), nullable=False, server_default="open"),
    Column("at", Moment, nullable=False, index=True),
    CheckConstraint("state in ('open', 'granted', 'declined')", name="state"),
    Index(None, "conversation_id"),
)

# What was asked, redacted, and the topic of the guide that answered it; empty: none did.
question = Table(
    "question",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _of("conversation"),
    Column("words", String(300), nullable=False),
    Column("topic", String(32), nullable=False),
    Column("language", String(2), nullable=False),
    Column("helpful", Boolean, nullable=False, server_default=text("true")),
    Column("at", Moment, nullable=False, index=True),
    Index(None, "conversation_id"),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _of("conversation", nullable=True),
    Column("event", JSONB, nullable=False),
    Column("error", Text, nullable=False),
    Column("at", Moment, nullable=False, index=True),
    Column("replayed_at", Moment),
)

# Opaque ids only: who did what to what, when. Nothing here is ever changed or erased; see `store.audit`.
audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("at", Moment, nullable=False, index=True),
    Column("actor", String(64), nullable=False),
    Column("action", String(48), nullable=False),
    Column("subject", String(64), nullable=False),
)

# A day of it that is over: what stood there, as a digest that goes on from the day before.
audit_day = Table(
    "audit_day",
    metadata,
    Column("day", Date, primary_key=True),
    Column("entries", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("at", Moment, nullable=False),
)

# A message of somebody who is erased here, and its provider still keeps it.
provider_erasure = Table(
    "provider_erasure",
    metadata,
    Column("channel", String(16), primary_key=True),
    Column("message_id", String(64), primary_key=True),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("due_at", Moment, nullable=False, index=True),
)

# How many templates were sent in a month (2026-03), by the whole installation.
template_month = Table(
    "template_month",
    metadata,
    Column("month", String(7), primary_key=True),
    Column("sent", Integer, nullable=False),
)

# Twilio's resources for buttons and lists, by a name made of their text.
content = Table(
    "content",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("sid", String(64), nullable=False),
)

# Which alarm was told to the operator last, and when: at most once a day each.
alarm = Table(
    "alarm",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("told_at", Moment, nullable=False),
)

# When a kind of process last showed that it works.
sign_of_life = Table(
    "sign_of_life",
    metadata,
    Column("who", String(16), primary_key=True),
    Column("at", Moment, nullable=False),
)
