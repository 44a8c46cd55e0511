"""Messages that nobody asked for: in Slack, in WhatsApp's open window, else by a template, else when the person writes.

By day only, and about one mailbox at most once a week. A template rings the bell and no more: what there is to say is
said when they answer, whatever they answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from bot.calendar import is_by_day, may_write, next_day_hour
from bot.channels import Accepted
from bot.facts import language
from bot.handiwork import Again, Ended, Outcome, Tools, look
from bot.saying import identity, say
from bot.store import conversations, mailboxes, people, promises, watches
from bot.store.conversations import Held
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise, Wanted
from bot.templates import Templates
from flows import saved
from flows.speech import Message
from flows.words import News

TELL_AGAIN = 1800.0
TOO_LATE = timedelta(days=3)
WEEK = timedelta(days=7)
MAX_ABOUT = 300  # characters of a template's variable
WAITS = "nothing may be said unasked"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class About:
    """What a message is about: it is dropped when that is over before it could be said.

    `mailbox` in a certain version; or (`agency`, `cause`) all of an agency that wait for something. `words`: what a
    template calls it.
    """

    template: str
    words: str
    mailbox: UUID | None = None
    version: int = 0
    agency: UUID | None = None
    cause: str = ""


def warn(
    db: Connection, member_id: UUID, news: News, about: About, now: datetime, *, earliest: datetime | None = None
) -> None:
    """Promise a message to a member, by day, and not before `earliest`; to nobody where nobody acts for them."""
    conversation_id = watches.best_conversation(db, member_id, now)
    if conversation_id is None:
        return
    due = next_day_hour(earliest or now, _timezone(db, member_id))
    payload = {
        "until": (due + TOO_LATE).isoformat(),
        "event": saved.dump(news),
        "member": str(member_id),
        "template": about.template,
        "words": about.words[:MAX_ABOUT],
        "mailbox": str(about.mailbox) if about.mailbox else "",
        "version": about.version,
        "agency": str(about.agency) if about.agency else "",
        "cause": about.cause,
    }
    promises.add(db, conversation_id, [Wanted("work", promises.WARN, due, payload)], now)
    promises.wake(db, {"work"})


@dataclass(frozen=True, slots=True)
class _Warning:
    """A message that is to be said, as things stand now."""

    tools: Tools
    promise: Promise
    held: Held
    mailbox: Row | None
    timezone: str
    now: datetime

    @property
    def wrote(self) -> bool:
        """They have just written: it is an answer now, at whatever hour."""
        return bool(self.promise.payload.get("wrote"))

    def claim(self, db: Connection) -> bool:
        """Note that they are told; False: another one did that within the week."""
        if self.mailbox is None:
            return True
        since = self.now if self.wrote else self.now - WEEK
        return mailboxes.warned(db, self.mailbox.id, self.now, since)

    @property
    def lately(self) -> bool:
        """They were told something about this mailbox within the week."""
        last = self.mailbox.warned_at if self.mailbox is not None else None
        return last is not None and last > self.now - WEEK


def warning(tools: Tools, promise: Promise) -> Outcome:
    """Say it now, ring by a template, or wait for a better time."""
    held, now, of = look(tools, promise), tools.clock.now(), promise.payload
    if held is None or promise.conversation_id is None or now > datetime.fromisoformat(of["until"]):
        return Ended("dropped")
    member_id = UUID(of["member"])
    with reading(tools.engine) as db:
        mailbox = mailboxes.by_id(db, UUID(of["mailbox"])) if of["mailbox"] else None
        better = watches.best_conversation(db, member_id, now)
        if better is None or _is_over(db, of, mailbox):
            return Ended("dropped")
        zone = _timezone(db, member_id)
    if better != promise.conversation_id:
        return Ended(words="it goes by another way", along=lambda db: _moved(db, better, promise, now))
    return _said(_Warning(tools, promise, held, mailbox, zone, now))


def _is_over(db: Connection, of: Mapping[str, Any], mailbox: Row | None) -> bool:
    if of["mailbox"]:
        return mailbox is None or mailbox.version != of["version"]
    return not (of["agency"] and mailboxes.waiting_addresses(db, UUID(of["agency"]), of["cause"]))


def _moved(db: Connection, conversation_id: UUID, promise: Promise, now: datetime) -> bool:
    promises.add(db, conversation_id, [Wanted("work", promises.WARN, now, dict(promise.payload))], now)
    promises.wake(db, {"work"})
    return True


def _said(one: _Warning) -> Outcome:
    open_, by_day = may_write(one.held.window_until, one.now), is_by_day(one.now, one.timezone)
    if open_ and (one.wrote or (by_day and not one.lately)):
        return Ended(event=saved.load(one.promise.payload["event"]), along=one.claim)
    if not by_day:
        night = next_day_hour(one.now, one.timezone) - one.now
        return Again(min(night.total_seconds(), 24 * TELL_AGAIN), WAITS)
    templates = one.tools.templates
    rings = not open_ and not one.lately and not one.promise.payload.get("rung")
    there = templates is not None and one.held.channel == templates.channel
    if templates is not None and rings and there and templates.ready(_template(one), language(one.held.language)):
        return Again(TELL_AGAIN, WAITS, lambda db: _ring(db, one, templates))
    return Again(TELL_AGAIN, WAITS)


def _template(one: _Warning) -> str:
    return str(one.promise.payload["template"])


def _ring(db: Connection, one: _Warning, templates: Templates) -> bool:
    """Promise a template, if there may be one more: the count, the note and the promise stand together, or none."""
    of, spoken = one.promise.payload, language(one.held.language)
    if not watches.wants_messages(db, one.held.contact_id):
        return False
    with db.begin_nested() as together:
        if not (one.claim(db) and watches.count_template(db, one.now, templates.limit)):
            together.rollback()
            return False
    payload = {"template": of["template"], "words": of["words"], "at": one.now.isoformat()}
    wanted = Wanted("speak", promises.TEMPLATE, one.now, payload)
    (number,) = promises.add(db, one.held.id, [wanted], one.now)
    words = templates.words(of["template"], spoken, of["words"])
    conversations.note(db, one.held.id, [("out", words, number)], one.now)
    promises.note(db, one.promise.id, rung=True)
    promises.wake(db, {"speak"})
    return True


def say_template(tools: Tools, promise: Promise) -> Outcome:
    """Ring by a template. One that is not taken (not approved, paused) counts for nothing: the news waits anyway."""
    held, templates, of = look(tools, promise), tools.templates, promise.payload
    if held is None or held.owner != conversations.BOT or templates is None:
        return _unsaid(promise, Ended("dropped"))
    spoken = language(held.language)
    to = identity(held)

    def send(ready: Callable[[], None]) -> Accepted:
        return templates.send(to, of["template"], spoken, of["words"], promise.id, ready)

    def shown() -> Message:
        return Message(templates.words(of["template"], spoken, of["words"]), (), spoken)

    outcome = say(tools, promise, held, send, shown)
    if isinstance(outcome, Ended) and outcome.state == "failed":
        _log.warning("a template was not taken", template=of["template"], language=spoken, why=outcome.words)
        return _unsaid(promise, outcome)
    return outcome


def _unsaid(promise: Promise, outcome: Ended) -> Ended:
    def uncount(db: Connection) -> bool:
        watches.uncount_template(db, datetime.fromisoformat(promise.payload["at"]))
        return True

    return Ended(outcome.state, words=outcome.words, along=uncount)


def _timezone(db: Connection, member_id: UUID) -> str:
    return people.timezone_of(db, people.agency_id_of(db, member_id))
