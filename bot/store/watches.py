"""What the watch over mailboxes that work needs of the database: whose turn it is, whom to tell, what was counted."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Text, and_, case, cast, func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store import promises
from bot.store.engine import Connection
from bot.store.tables import (
    agency,
    contact,
    conversation,
    in_state,
    mailbox,
    member,
    membership,
    promise,
    template_month,
)

QUIET = timedelta(days=3)  # without a sign that it works a mailbox is tested
APART = timedelta(seconds=3)  # between two tests, over all mailboxes: at most 20 a minute
AHEAD = timedelta(minutes=10)  # nothing is promised for later than that: the next sweep goes on
_LOCK = 7_221_002  # of the one sweep that promises tests at a time
_WATCH: ColumnElement[str] = literal_column(
    f"'{promises.WATCH}'"
)  # a constant, as the states: with a parameter no partial index serves
_MAILBOX: ColumnElement[str] = literal_column("promise.payload ->> 'mailbox'")
UNLIMITED = "slack"  # the channel on which one may write at any time


def promise_tests(db: Connection, now: datetime) -> int:
    """Promise a test of each mailbox that nobody saw work for three days, one every few seconds; how many.

    They stand one behind the other whoever promises them, so that no mail server ever sees a flood.
    """
    if not db.execute(select(func.pg_try_advisory_xact_lock(_LOCK))).scalar_one():
        return 0  # another process is at it
    last = select(func.max(promise.c.due_at)).where(
        promise.c.kind == _WATCH,
        in_state(promise, "todo"),
        promise.c.attempt == 0,
        promise.c.payload.contains({"swept": True}),
    )
    behind = max(db.execute(last).scalar_one() or now, now) + APART
    room = max(0, (now + AHEAD - behind) // APART)
    due = _due(db, now, room)
    for nth, (mailbox_id, member_id) in enumerate(due):
        conversation_id = best_conversation(db, member_id, now)
        if conversation_id is not None:
            promises.watch(db, conversation_id, mailbox_id, behind + nth * APART + _chance(mailbox_id), now, swept=True)
    return len(due)


def _due(db: Connection, now: datetime, most: int) -> list[tuple[UUID, UUID]]:
    """Mailboxes that are to be tested and somebody acts for, in an order that mixes hosts; with their members."""
    watched = (
        select(promise.c.id)
        .where(
            cast(mailbox.c.id, Text) == _MAILBOX,
            promise.c.kind == _WATCH,
            in_state(promise, "todo", "doing"),
        )
        .correlate(mailbox)
        .exists()
    )
    acting = select(membership.c.contact_id).where(membership.c.member_id == member.c.id).correlate(member).exists()
    quiet = or_(mailbox.c.worked_at.is_(None), mailbox.c.worked_at <= now - QUIET)
    works = mailbox.c.state == literal_column("'works'")
    query = (
        select(mailbox.c.id, mailbox.c.member_id)
        .join(member, member.c.id == mailbox.c.member_id)
        .join(agency, agency.c.id == member.c.agency_id)
        .where(works, quiet, member.c.removed_at.is_(None), agency.c.closed_at.is_(None), acting, ~watched)
        .order_by(func.md5(cast(mailbox.c.id, Text)))
        .limit(most)
    )
    return [(row.id, row.member_id) for row in db.execute(query)]


def _chance(mailbox_id: UUID) -> timedelta:
    """A part of the time between two tests, always the same for a mailbox."""
    return mailbox_id.int % 1000 / 1000 * APART / 2


def best_conversation(db: Connection, member_id: UUID, now: datetime) -> UUID | None:
    """Where a member is best told something: who acts for them at present before who may; then where one may write.

    Nobody who is gone; who wants no messages comes last.
    """
    query = (
        select(conversation.c.id)
        .join(contact, contact.c.id == conversation.c.contact_id)
        .join(membership, membership.c.contact_id == contact.c.id)
        .where(membership.c.member_id == member_id, contact.c.gone_at.is_(None))
        .order_by(
            _first(contact.c.stopped_at.is_(None)),
            _first(and_(contact.c.member_id.is_not(None), contact.c.member_id == member_id)),
            _first(contact.c.channel == UNLIMITED),
            _first(and_(contact.c.window_until.is_not(None), contact.c.window_until > now)),
            contact.c.window_until.desc().nulls_last(),
            conversation.c.id,
        )
    )
    return db.execute(query.limit(1)).scalar_one_or_none()


def _first(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 0), else_=1)


def admins(db: Connection, agency_id: UUID) -> list[UUID]:
    """The admins of an agency, as members."""
    mine = (member.c.agency_id == agency_id, member.c.role == "admin", member.c.removed_at.is_(None))
    return list(db.execute(select(member.c.id).where(*mine).order_by(member.c.id)).scalars())


def at_the_same_host(db: Connection, agency_id: UUID, host: str) -> list[tuple[UUID, UUID]]:
    """The mailboxes of an agency that work through this server, and their members."""
    query = (
        select(mailbox.c.id, mailbox.c.member_id)
        .join(member, member.c.id == mailbox.c.member_id)
        .where(member.c.agency_id == agency_id, member.c.removed_at.is_(None), mailbox.c.host == host)
        .where(mailbox.c.state == "works")
        .order_by(mailbox.c.id)
    )
    return [(row.id, row.member_id) for row in db.execute(query)]


def wants_messages(db: Connection, contact_id: UUID) -> bool:
    """Whether somebody may be written to unasked at all: they neither stopped us nor are gone."""
    mine = (contact.c.id == contact_id, contact.c.stopped_at.is_(None), contact.c.gone_at.is_(None))
    return db.execute(select(contact.c.id).where(*mine)).one_or_none() is not None


# --- templates of a month ---------------------------------------------------------------------------------------------


def count_template(db: Connection, at: datetime, most: int) -> bool:
    """Count one more template in its month, unless there were so many; of two at once only one gets the last."""
    if most < 1:
        return False
    row = upsert(template_month).values(month=_month(at), sent=1)
    counted = row.on_conflict_do_update(
        index_elements=[template_month.c.month],
        set_={"sent": template_month.c.sent + 1},
        where=template_month.c.sent < most,
    )
    return db.execute(counted.returning(template_month.c.sent)).one_or_none() is not None


def templates_left(db: Connection, at: datetime, most: int) -> int:
    """How many more may be sent in this month."""
    sent = select(template_month.c.sent).where(template_month.c.month == _month(at))
    return most - (db.execute(sent).scalar_one_or_none() or 0)


def uncount_template(db: Connection, at: datetime) -> None:
    """One that was counted was not taken."""
    mine = (template_month.c.month == _month(at), template_month.c.sent > 0)
    db.execute(update(template_month).where(*mine).values(sent=template_month.c.sent - 1))


def _month(at: datetime) -> str:
    return f"{at:%Y-%m}"
