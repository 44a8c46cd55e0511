"""One function for each kind of promise. A hand performs with no transaction open; its result is an outcome.

What a hand may rely on stands in `Tools`. A hand that raises is tried again a few times; see `bot.worker`.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog

from bot.calendar import UTC, is_by_day, may_write
from bot.case_hands import case_time, case_window, say_line
from bot.case_thread import show_case
from bot.channels import Accepted, Refused, SendError
from bot.desk_media import fetch_case_file
from bot.desk_test import desk_test, desk_use
from bot.door_hands import door_mail
from bot.entrance_mail import mail_code
from bot.erasure import erase_everything, erase_left
from bot.facts import language
from bot.files import fetch_file
from bot.grants import keep_grants, revoke
from bot.handiwork import (
    Again,
    Ended,
    Hand,
    Outcome,
    Tools,
    armed,
    backoff,
    look,
)
from bot.home import show_home
from bot.invite_hands import follow_up, look_up
from bot.look_around import look_around
from bot.mail_hands import send_mail
from bot.mailbox_hands import check, discover, retest, try_login
from bot.password_ends import look_for_ends, password_ends
from bot.proofs import file_copy
from bot.saying import identity, say
from bot.store import conversations, mailboxes, promises
from bot.store.engine import Connection, reading
from bot.store.promises import Hearer, Promise
from bot.store.slack import to_be_renewed
from bot.unasked import TELL_AGAIN, say_template, warning
from bot.watch import admin_warning, watch
from flows import saved
from flows.speech import Message, render
from flows.words import (
    Lay,
    Speak,
)

MAX_ERASE_TRIES = 14
MAX_TELL_TRIES = 144  # three days
LOOK_BACK = timedelta(hours=6)  # as long as we may have been away
_log = structlog.get_logger(__name__)


# --- speaking ---------------------------------------------------------------------------------------------------------


def speak(tools: Tools, promise: Promise) -> Outcome:
    """Say one message, unless a person has taken over meanwhile."""
    to = promise.to
    if to is None or to.owner != conversations.BOT:
        return _kept_to_itself(promise)
    channel = tools.channels[to.channel]

    def send(ready: Callable[[], None]) -> Accepted:
        return channel.send(identity(to), _message(tools, promise, to), promise.id, ready)

    outcome = say(tools, promise, to, send, partial(_as_listed, tools, promise, to))
    dropped = isinstance(outcome, Ended) and outcome.state == "dropped"
    return _kept_to_itself(promise) if dropped else outcome


def _kept_to_itself(promise: Promise) -> Ended:
    """A person has the word: the transcript says that it was not said (where nobody can know, it says nothing)."""

    def note(db: Connection) -> bool:
        conversations.unsaid(db, [promise.id] if promise.attempt == 1 else [])
        return True

    return Ended("dropped", along=note)


def _message(tools: Tools, promise: Promise, to: Hearer) -> Message:
    said: Speak = saved.load(promise.payload["effect"])
    style = tools.channels[to.channel].style
    return render(said, language(to.language), style, partial(armed, tools))


def _as_listed(tools: Tools, promise: Promise, to: Hearer) -> Message:
    """The message with one-time links that have no address."""
    shown: Speak = saved.load(promise.payload["effect"])
    return render(shown, language(to.language), tools.channels[to.channel].style, lambda _: f"{tools.public_url}/s/")


def tell(tools: Tools, promise: Promise) -> Outcome:
    """News for somebody who did not write: it waits until they have, where the channel lets us speak only then."""
    held, now = look(tools, promise), tools.clock.now()
    if held is None or promise.attempt > MAX_TELL_TRIES:
        return Ended("dropped")
    if not may_write(held.window_until, now):
        return Again(TELL_AGAIN, "nothing may be said unasked")
    return Ended(event=saved.load(promise.payload["event"]))


def remind(tools: Tools, promise: Promise) -> Outcome:
    """A set-up was left lying. Dropped where this comes so late that it would be at night, or outside the window."""
    held, now = look(tools, promise), tools.clock.now()
    if held is None or not may_write(held.window_until, now):
        return Ended("dropped")
    with reading(tools.engine) as db:
        member = mailboxes.standing(db, held.member_id, held.contact_id) if held.member_id else None
    return Ended(event=Lay()) if is_by_day(now, member.timezone if member else UTC) else Ended("dropped")


def reconcile(tools: Tools, promise: Promise) -> Outcome:
    """Find what people wrote and no webhook told us, and answer it as if it had just come in."""
    del promise  # it says no more than that it is time
    found = 0
    for name, channel in tools.channels.items():
        try:
            listed = channel.missed(tools.clock.now() - LOOK_BACK)
        except SendError as failure:
            return Ended(words=str(failure))  # the next look is minutes away
        with reading(tools.engine) as db:
            lost = conversations.unheard(db, name, [one.message_id for one in listed])
        for inbound in reversed(listed):
            if inbound.message_id in lost:
                _log.warning("a webhook was lost", channel=name, message=inbound.message_id)
                found += tools.receive(inbound) is not None
    return Ended(words=f"{found} found")


def renew_tokens(tools: Tools, promise: Promise) -> Outcome:
    """Renew the tokens of workspaces in which nobody says anything: a chain that lapses can only be made anew."""
    with reading(tools.engine) as db:
        due = to_be_renewed(db, tools.clock.now()) if tools.slack is not None else []
    failed = 0
    for team in due:
        try:
            if tools.slack is not None:
                tools.slack.workspaces.token_of(team)
        except SendError as failure:
            failed += not isinstance(failure, Refused)
    if failed:
        return Again(backoff(promise.attempt, longest=600.0), f"{failed} of {len(due)} were not renewed")
    return Ended(words=f"{len(due)} looked at")


# --- erasing ----------------------------------------------------------------------------------------------------------


def erase_at_provider(tools: Tools, promise: Promise) -> Outcome:
    """Erase a message that may hold a secret; up to 14 days of trying, then an operator has to look."""
    held = look(tools, promise)
    if held is None or not promise.payload.get("message"):
        return Ended("dropped")
    try:
        tools.channels[held.channel].erase(promise.payload["message"])
    except Refused as refusal:
        return Ended("failed", words=str(refusal))
    except SendError as failure:
        if promise.attempt >= MAX_ERASE_TRIES:
            _log.error("a message that may hold a secret could not be erased", code=failure.code)
            return Ended("failed", words=str(failure))
        waits = (60.0, 300.0, 3600.0, 86400.0)
        return Again(waits[min(promise.attempt, len(waits)) - 1], str(failure))
    return Ended()


HANDS: dict[str, Hand] = {
    "Speak": speak,
    "Discover": discover,
    "TestLogin": try_login,
    "CheckServer": check,
    "EraseAtProvider": erase_at_provider,
    "EraseEverything": erase_everything,
    "SendMail": send_mail,
    promises.NUDGE: remind,
    promises.RETEST: retest,
    promises.TELL: tell,
    promises.FILE_COPY: file_copy,
    promises.FETCH_FILE: fetch_file,
    promises.FETCH_CASE_FILE: fetch_case_file,
    promises.MAIL_CODE: mail_code,
    promises.DOOR_MAIL: door_mail,
    promises.RECONCILE: reconcile,
    promises.SHOW_CASE: show_case,
    promises.CASE_TIME: case_time,
    promises.CASE_WINDOW: case_window,
    promises.SAY_LINE: say_line,
    promises.DESK_TEST: desk_test,
    promises.DESK_USE: desk_use,
    promises.RENEW_TOKENS: renew_tokens,
    promises.FOLLOW_UP: follow_up,
    promises.LOOK_AROUND: look_around,
    promises.SHOW_HOME: show_home,
    promises.WATCH: watch,
    promises.WARN: warning,
    promises.ADMIN_WARNING: admin_warning,
    promises.TEMPLATE: say_template,
    promises.REVOKE: revoke,
    promises.ERASE_LEFT: erase_left,
    promises.KEEP_GRANTS: keep_grants,
    promises.LOOK_FOR_ENDS: look_for_ends,
    promises.PASSWORD_ENDS: password_ends,
    "LookUpPeople": look_up,
}
