"""Erasing a person: here at once, and what their channel's provider keeps of the talk as soon as it lets go of it."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from bot.channels import Identity, Refused, SendError
from bot.handiwork import Ended, Outcome, Tools, look
from bot.saying import identity
from bot.store import erasures, housekeeping, people, secrets
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise

MANY = 50  # in one go
# Twilio lets go of a message a minute after it took it, in rare cases after 14 days: twilio.com/docs/api/errors/20009
SOON = timedelta(minutes=2)
AGAIN = (timedelta(minutes=5), timedelta(hours=1), timedelta(days=1))
MAX_TRIES = 16
Kept = tuple[str, Collection[str]]  # a channel, and the ids of messages that its provider keeps
NOTHING: Kept = ("", ())
_log = structlog.get_logger(__name__)


def erase_everything(tools: Tools, promise: Promise) -> Outcome:
    """Erase a contact; it stands behind the good-bye in the speaking order."""
    held = look(tools, promise)
    if held is not None:
        kept = kept_by_provider(tools, identity(held))
        with tools.engine.begin() as db:
            forget(db, held.contact_id, kept, by=str(held.contact_id), now=tools.clock.now())
    return Ended()


def kept_by_provider(tools: Tools, who: Identity) -> Kept:
    """The channel of somebody, and the ids of the messages that its provider lists.

    A provider that does not answer keeps nobody from being erased here.
    """
    channel = tools.channels.get(who.channel)
    try:
        return who.channel, channel.keeps(who) if channel is not None else []
    except SendError as failure:
        _log.error("what the provider keeps of an erased person could not be listed", code=failure.code)
        return who.channel, []


def forget(db: Connection, contact_id: UUID, kept: Kept = NOTHING, *, by: str, now: datetime) -> None:
    """Erase all that is stored about a contact; that it was done stays, under an id that says nothing any more.

    `kept`: see `kept_by_provider`.
    """
    secrets.erase_of(db, people.erase(db, contact_id))
    erasures.add(db, *kept, now + SOON)
    housekeeping.audit_entry(db, now, actor=by, action="erased", subject=str(contact_id))


def erase_left(tools: Tools, promise: Promise) -> Outcome:
    """Erase at the providers what is left of people who are erased here; the housekeeping calls again for more."""
    del promise  # it says no more than that it is time
    with reading(tools.engine) as db:
        due = erasures.due(db, tools.clock.now(), MANY)
    done = sum(_erased(tools, one) for one in due)
    return Ended(words=f"{done} of {len(due)}")


def _erased(tools: Tools, one: Row) -> bool:
    """Whether a message is gone; one that the provider never lets go of is given up, and told to the operator."""
    channel, done, over = tools.channels.get(one.channel), True, one.tries + 1 >= MAX_TRIES
    try:
        if channel is not None:
            channel.erase(one.message_id)
    except SendError as failure:
        done, over = False, over or isinstance(failure, Refused)
        if over:
            _log.error("a message of an erased person stays at the provider", message=one.message_id, code=failure.code)
    with tools.engine.begin() as db:
        if done or over:
            erasures.drop(db, one)
        else:
            erasures.later(db, one, tools.clock.now() + AGAIN[min(one.tries, len(AGAIN) - 1)])
    return done
