"""Saying one message: once, however often it is tried, by whatever way the channel lets us."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from bot.channels import Accepted, Identity, Later, Refused, Unclear
from bot.handiwork import HOLD, Again, Ended, Outcome, Tools, backoff
from bot.store import conversations, people, promises
from bot.store.conversations import BOT, Held
from bot.store.engine import reading
from bot.store.promises import Hearer, Promise
from flows.speech import Message

MAX_SPEECH_TRIES = 12
_Find = Callable[[datetime], str | None]


class StoodStillError(Exception):
    """The process was frozen and came back: somebody else says it, or has."""


class TakenOverError(Exception):
    """Right before it left, somebody else had the word."""


def say(
    tools: Tools,
    promise: Promise,
    to: Held | Hearer,
    send: Callable[[Callable[[], None]], Accepted],
    shown: Callable[[], Message],
    by: str = BOT,
    find: _Find | None = None,
) -> Outcome:
    """Say it by `send`, which is handed what to call right before it leaves. `shown`: as the provider lists it.

    `find` looks for it at the provider since a time, where its words are not all that it is known by. `by`: who has to
    have the word when it leaves; else it is dropped.
    """
    try:
        if promise.attempt > 1 and (known := _already_said(tools, promise, to, shown, find)):
            return Ended(provider_id=known, words="found at the provider")
        return Ended(provider_id=send(partial(_last_look, tools, promise, by)).provider_id)
    except TakenOverError:
        return Ended("dropped", words="somebody else has the word")
    except StoodStillError:
        return Again(0, "so much time went by that somebody else may be saying it")
    except Refused as refusal:
        if refusal.stop:
            _stop(tools, to)
        return Ended("failed", words=str(refusal))
    except (Later, Unclear) as failure:
        if promise.attempt >= MAX_SPEECH_TRIES:
            return Ended("failed", words=str(failure))
        return Again(backoff(promise.attempt, getattr(failure, "seconds", None)), str(failure))


def identity(to: Held | Hearer) -> Identity:
    """Who it is, on their channel."""
    return Identity(to.channel, to.address, to.external_id)


def _last_look(tools: Tools, promise: Promise, by: str) -> None:
    """Half of a hold must be left when we begin to speak: nobody else begins before all of it is over.

    And the one who speaks must still have the word. The time is looked at last: a process may freeze over the question.
    """
    with reading(tools.engine) as db:
        owner = conversations.owner(db, promise.conversation_id) if promise.conversation_id is not None else None
    if owner != by:
        raise TakenOverError
    if promise.leased_until - tools.clock.now() < HOLD / 2 and _left(tools, promise) < HOLD / 2:
        raise StoodStillError


def _left(tools: Tools, promise: Promise) -> timedelta:
    """How long a promise is still ours: where it takes its time, its worker has renewed that meanwhile."""
    with reading(tools.engine) as db:
        until = promises.leased_until(db, promise)
    return until - tools.clock.now() if until is not None else timedelta()


def _already_said(
    tools: Tools, promise: Promise, to: Held | Hearer, shown: Callable[[], Message], find: _Find | None
) -> str | None:  # fmt: skip
    """Whether an earlier try got through: a status callback proves it, else the provider's list is looked at."""
    with reading(tools.engine) as db:
        proven, since = conversations.proof(db, promise.id)
    if proven:
        return proven
    found = find(since) if find else tools.channels[to.channel].find(identity(to), shown(), since)
    with reading(tools.engine) as db:  # the same words may have been said a moment before, for another promise
        return None if found and conversations.belongs_to_another(db, found, promise.id) else found


def _stop(tools: Tools, to: Held | Hearer) -> None:
    with tools.engine.begin() as db:
        people.touch(db, to.contact_id, stopped_at=tools.clock.now())
