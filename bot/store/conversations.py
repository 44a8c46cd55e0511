"""Conversations, their transcripts, what came in, and what went wrong."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, cast, delete, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.channels import Status
from bot.store import promises
from bot.store.engine import Connection, Row, straight
from bot.store.promises import held_back
from bot.store.tables import (
    case,
    contact,
    conversation,
    dead_letter,
    in_state,
    inbound,
    message,
    promise,
)

BOT, PERSON = "bot", "person"  # who may have the word: `conversation.owner`
# Of a transcript: `in` (the person's), `out` (ours) or `bot` (unsaid, only staff reads it); the words, redacted; the
# promise that says them, if any.
Line = tuple[str, str, int | None]
_REMEMBER = upsert(inbound).on_conflict_do_nothing().returning(inbound.c.at)
_SAVE = update(conversation).where(conversation.c.id == bindparam("conversation"))
_NOTE = insert(message).inline()  # nobody reads its id


def claim_inbound(db: Connection, channel: str, message_id: str, at: datetime) -> bool:
    """Whether this provider's message is new. A second one waits for the first one's commit, then is a duplicate."""
    row = {"channel": channel, "message_id": message_id, "at": at}
    return db.execute(_REMEMBER, row).one_or_none() is not None


def unheard(db: Connection, channel: str, message_ids: Sequence[str]) -> set[str]:
    """Those of the provider's messages that never came in."""
    query = select(inbound.c.message_id).where(inbound.c.channel == channel, inbound.c.message_id.in_(message_ids))
    return set(message_ids) - set(db.execute(query).scalars())


def last_heard(db: Connection) -> datetime | None:
    """When a person's message came in last."""
    last: datetime | None = db.execute(select(func.max(inbound.c.at))).scalar_one()
    return last


@dataclass(frozen=True, slots=True)
class Held:
    """A conversation with its contact, locked until the transaction ends; and how many promises are unfinished.

    `held_back`: news wait until the person writes.
    """

    id: UUID
    contact_id: UUID
    owner: str
    envelope: Mapping[str, Any]
    ticket: int
    channel: str
    address: str | None
    external_id: str | None
    name: str
    language: str
    member_id: UUID | None
    last_message_id: str | None
    window_until: datetime | None
    unfinished: int
    held_back: bool
    case: int | None = None


_unfinished = (
    select(func.count())
    .select_from(promise)
    .where(promise.c.conversation_id == conversation.c.id, in_state(promise, "todo", "doing"))
    .correlate(conversation)
    .scalar_subquery()
)
_held_back = (
    select(promise.c.id)
    .where(promise.c.conversation_id == conversation.c.id, in_state(promise, "todo"))
    .where(held_back(promise))
    .correlate(conversation)
    .exists()
)
_open_case = (
    select(case.c.number)
    .where(case.c.conversation_id == conversation.c.id, case.c.closed_at.is_(None))
    .correlate(conversation)
    .scalar_subquery()
)
_HELD = (  # in the order of `Held`
    conversation.c.id,
    conversation.c.contact_id,
    conversation.c.owner,
    conversation.c.envelope,
    conversation.c.ticket,
    contact.c.channel,
    contact.c.address,
    contact.c.external_id,
    contact.c.name,
    contact.c.language,
    contact.c.member_id,
    contact.c.last_message_id,
    contact.c.window_until,
    _unfinished.label("unfinished"),
    _held_back.label("held_back"),
    _open_case.label("case"),
)
# Both rows: PostgreSQL reads only a locked row anew after it waited for the lock, and the turn before may have changed
# the contact, too (it joined, it has another language).
_BOTH = (conversation, contact)
_WITH_CONTACT = select(*_HELD).join(contact, contact.c.id == conversation.c.contact_id)
_LOOK = _WITH_CONTACT.where(conversation.c.id == bindparam("conversation"))
_HOLD = _LOOK.with_for_update(of=_BOTH)
_HOLD_KNOWN = (
    _WITH_CONTACT.where(
        contact.c.channel == bindparam("channel"),
        or_(contact.c.address == bindparam("address"), contact.c.external_id == bindparam("external_id")),
    )
    .order_by(conversation.c.id)
    .with_for_update(of=_BOTH)
)


def hold(db: Connection, conversation_id: UUID) -> Held | None:
    """Lock a conversation; None when it was erased meanwhile."""
    return _held(db.execute(_HOLD, {"conversation": conversation_id}).one_or_none())


def look(db: Connection, conversation_id: UUID) -> Held | None:
    """A conversation as it is now, not locked; None when it was erased."""
    return _held(db.execute(_LOOK, {"conversation": conversation_id}).one_or_none())


def owner(db: Connection, conversation_id: UUID) -> str | None:
    """Who has the word in a conversation as it is now; None when it was erased. As fast as can be: somebody waits."""
    rows = straight(db, "select owner from conversation where id = %(talk)s", {"talk": conversation_id})
    return str(rows[0].owner) if rows else None


def id_by_address(db: Connection, channel: str, address: str) -> UUID | None:
    """The conversation of whoever has this address."""
    query = select(conversation.c.id).join(contact, contact.c.id == conversation.c.contact_id)
    return db.execute(query.where(contact.c.channel == channel, contact.c.address == address)).scalar_one_or_none()


def hold_by_identity(db: Connection, channel: str, address: str | None, external_id: str | None) -> list[Held]:
    """Lock the conversations of everybody known by this address or second id: mostly one, at most two."""
    known = {"channel": channel, "address": address, "external_id": external_id}  # null equals nothing
    return [held for row in db.execute(_HOLD_KNOWN, known) if (held := _held(row))]


def hold_all(db: Connection, channel: str, addresses: Collection[str]) -> list[Row]:
    """Lock the conversations of many, known by their addresses: id, contact_id, address."""
    theirs = select(conversation.c.id, conversation.c.contact_id, contact.c.address)
    theirs = theirs.join(contact, contact.c.id == conversation.c.contact_id)
    theirs = theirs.where(contact.c.channel == channel, contact.c.address.in_(addresses))
    return list(db.execute(theirs.order_by(conversation.c.id).with_for_update(of=_BOTH)).all())


def _held(row: Row | None) -> Held | None:
    return Held(*row) if row is not None else None


def save(db: Connection, conversation_id: UUID, envelope: Mapping[str, Any], ticket: int, at: datetime) -> None:
    """Keep the state of a conversation."""
    values = {"envelope": envelope, "ticket": ticket, "updated_at": at}
    db.execute(_SAVE, {"conversation": conversation_id, **values})


def note(db: Connection, conversation_id: UUID, lines: Sequence[Line], at: datetime) -> None:
    """Add lines to the transcript."""
    rows = [
        {"conversation_id": conversation_id, "direction": way, "text": words, "promise_id": promise_id, "at": at}
        for way, words, promise_id in lines
    ]
    if rows:
        db.execute(_NOTE, rows)


def note_heard(db: Connection, conversation_id: UUID, words: str, at: datetime) -> int:
    """A line of the person's that has files, for the transcript; its id."""
    values = {"conversation_id": conversation_id, "direction": "in", "text": words, "at": at}
    return int(db.execute(insert(message).values(values).returning(message.c.id)).scalar_one())


def unsaid(db: Connection, promise_ids: Sequence[int]) -> None:
    """What these promises were to say stands in the transcript as what the bot kept to itself."""
    mine = (message.c.promise_id.in_(promise_ids), message.c.direction == "out", message.c.by == "")
    db.execute(update(message).where(*mine).values(direction="bot"))


def transcript(db: Connection, conversation_id: UUID, last: int = 50) -> list[Row]:
    """The last lines of a conversation, oldest first."""
    query = select(message).where(message.c.conversation_id == conversation_id).order_by(message.c.id.desc())
    return list(reversed(db.execute(query.limit(last)).all()))


def delivered(db: Connection, status: Status) -> None:
    """Move a message's status forward; an earlier one that comes late changes nothing."""
    by_promise = message.c.promise_id == status.promise_id
    mine = by_promise if status.promise_id is not None else message.c.provider_id == status.provider_id
    values = {"status": status.status, "rank": status.rank, "error": status.error, "provider_id": status.provider_id}
    db.execute(update(message).where(mine, message.c.rank < status.rank).values(values))


def proof(db: Connection, promise_id: int) -> tuple[str | None, datetime]:
    """The provider's id of a message that one of its callbacks spoke of, and when we first wanted to say it."""
    row = db.execute(
        select(message.c.provider_id, promise.c.created_at)
        .join(message, message.c.promise_id == promise.c.id, isouter=True)
        .select_from(promise)
        .where(promise.c.id == promise_id)
        .order_by(message.c.provider_id.nulls_last())  # two lines of the transcript may have been said as one message
        .limit(1)
    ).one()
    return row.provider_id, row.created_at


def belongs_to_another(db: Connection, provider_id: str, promise_id: int) -> bool:
    """Whether the provider's message is known to be what another promise said."""
    other = (message.c.provider_id == provider_id, message.c.promise_id != promise_id)
    return db.execute(select(message.c.id).where(*other).limit(1)).one_or_none() is not None


def lay_dead(db: Connection, conversation_id: UUID | None, event: Any, error: str, at: datetime) -> int:
    """Keep a turn that raised: its redacted event and where it broke."""
    values = {"conversation_id": conversation_id, "event": event, "error": error, "at": at}
    return int(db.execute(insert(dead_letter).values(values).returning(dead_letter.c.id)).scalar_one())


def dead_letters(db: Connection, last: int = 100) -> list[Row]:
    """Turns that raised, newest first."""
    return list(db.execute(select(dead_letter).order_by(dead_letter.c.id.desc()).limit(last)).all())


def dead_letter_by_id(db: Connection, letter: int) -> Row | None:
    """One turn that raised and was not replayed yet."""
    query = select(dead_letter).where(dead_letter.c.id == letter, dead_letter.c.replayed_at.is_(None))
    return db.execute(query.with_for_update()).one_or_none()


def dead_letter_in_full(db: Connection, letter: int) -> Row | None:
    """One turn that raised, replayed or not; of a promise that could not be kept, what became of that."""
    of_promise = promise.c.id == cast(dead_letter.c.event["promise"].astext, BigInteger)
    query = select(dead_letter, promise.c.kind, promise.c.state, promise.c.outcome).outerjoin(promise, of_promise)
    return db.execute(query.where(dead_letter.c.id == letter)).one_or_none()


def drop_dead_letter(db: Connection, letter: int) -> bool:
    """Erase a turn that raised; whether there was one."""
    return db.execute(delete(dead_letter).where(dead_letter.c.id == letter)).rowcount == 1


def dead_letters_waiting(db: Connection) -> int:
    """How many turns raised and were not replayed."""
    waits = select(func.count()).where(dead_letter.c.replayed_at.is_(None))
    return int(db.execute(waits).scalar_one())


def mark_replayed(db: Connection, letter: int, at: datetime) -> None:
    """A dead letter went through."""
    db.execute(update(dead_letter).where(dead_letter.c.id == letter).values(replayed_at=at))


def open_case(db: Connection, conversation_id: UUID, reason: str, at: datetime) -> int:
    """The number of this conversation's open case, new or the one there is."""
    row = upsert(case).values(conversation_id=conversation_id, reason=reason, opened_at=at)
    fresh = row.on_conflict_do_nothing(
        index_elements=[case.c.conversation_id], index_where=case.c.closed_at.is_(None)
    ).returning(case.c.number)
    number = db.execute(fresh).scalar_one_or_none()
    if number is None:
        mine = (case.c.conversation_id == conversation_id, case.c.closed_at.is_(None))
        number = db.execute(select(case.c.number).where(*mine)).scalar_one()
    return int(number)


def close_case(db: Connection, conversation_id: UUID, at: datetime, end: str = "closed") -> None:
    """Nobody has to take care of this conversation any more, for this reason; the bot speaks in it.

    Its thread will say so.
    """
    mine = (case.c.conversation_id == conversation_id, case.c.closed_at.is_(None))
    over = {"closed_at": at, "state": "closed", "owner": "", "waits_since": None, "end": end}
    if db.execute(update(case).where(*mine).values(over).returning(case.c.thread)).scalar_one_or_none():
        promises.one_at(db, conversation_id, promises.SHOW_CASE, at, at)
        promises.one_at(db, conversation_id, promises.CASE_TIME, None, at)
    db.execute(update(conversation).where(conversation.c.id == conversation_id).values(owner=BOT))


def count(db: Connection) -> int:
    """How many conversations there are."""
    return int(db.execute(select(func.count()).select_from(conversation)).scalar_one())
