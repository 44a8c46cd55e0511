"""The watch: a mailbox that nobody saw work for three days is quietly tested. No mail is sent by it.

What passes is never told. A secret that is refused has to be refused twice, a server that does not do has to do so for
a day; then the person is told. What only an admin can mend is told to the admins, once for all mailboxes.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from bot.calendar import next_day_hour
from bot.credentials import try_account
from bot.grants import NotNowError, OverError
from bot.handiwork import MAX_WORDS, Again, Ended, Outcome, Tools, backoff, look
from bot.limits import Act, Allowed, Exhausted
from bot.live_tests import stored, told
from bot.mail.wire.probe import Failed
from bot.mailbox_records import MAX_TOLD, RETEST_AFTER
from bot.safe import WAITING
from bot.store import conversations, mailboxes, people, promises, secrets, watches
from bot.store.conversations import Held
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise, Wanted
from bot.tell import tell
from bot.unasked import About, warn
from bot.vault import Unopenable
from flows.words import AdminNeeded, MailboxBroke, MailboxWaits, MailboxWorks, News

SECRET, SERVER = "secret", "server"  # what speaks against a mailbox
CONFIRMED_AFTER = {SECRET: timedelta(minutes=15), SERVER: timedelta(days=1)}
# A fault that passes is looked at again after so long, the last time over and over.
PAUSES = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1))
GATHER = timedelta(hours=1)  # until the admins are told: so many more are found to wait for the same
APART = timedelta(seconds=30)  # between the tests of others at the same server
_log = structlog.get_logger(__name__)


def watch(tools: Tools, promise: Promise) -> Outcome:
    """Test a mailbox that works, within the limits of live tests; a result for what was changed meanwhile is none."""
    held = look(tools, promise)
    with reading(tools.engine) as db:
        row = mailboxes.by_id(db, UUID(promise.payload["mailbox"]))
        agency_id = people.agency_id_of(db, row.member_id) if row is not None else None
    if held is None or row is None or agency_id is None or row.state != "works":
        return Ended("dropped")
    if row.secret_id is None:
        return _broke(tools, row, "", "user", "its secret was erased")
    account = stored(row)
    counted = _count(tools, held, agency_id, row.host)
    if isinstance(counted, Exhausted):
        return Again(backoff(0, counted.minutes * 60.0, 6 * 3600.0), "the limit of live tests")
    try:
        result = try_account(tools, account, row.secret_id)
    except OverError as over:
        return Ended(words=str(over))  # it has its verdict, and its person is told
    except NotNowError as away:
        return Again(backoff(0, max(away.seconds, PAUSES[0].total_seconds())), str(away))
    except Unopenable as closed:
        _log.error("a stored password cannot be opened", mailbox=str(row.id))
        return Again(PAUSES[-1].total_seconds(), str(closed))
    if isinstance(result, Failed):
        return _failed(tools, promise, row, agency_id, result)
    return Ended(along=lambda db: mailboxes.worked(db, row.id, row.version, tools.clock.now()))


def _count(tools: Tools, held: Held, agency_id: UUID, host: str) -> Allowed | Exhausted:
    """Count a quiet test as what it is and as a live test, or as neither."""
    quiet, test = Act("watch", (host,)), Act("live_test", (str(held.contact_id), str(agency_id), host))
    return tools.limits.allow_all([quiet, test])


def _failed(tools: Tools, promise: Promise, row: Row, agency_id: UUID, failed: Failed) -> Outcome:
    cause, words = told(failed), f"{failed.stage}: {failed.cause}: {failed.raw}"[:MAX_WORDS]
    _log.info("a mailbox that worked fails", mailbox=str(row.id), stage=failed.stage, cause=failed.cause)
    if failed.ours or failed.retry or failed.who in {"wait", "us"}:
        pause = PAUSES[min(promise.attempt, len(PAUSES)) - 1].total_seconds()
        return Again(backoff(0, pause, pause), words)
    if failed.who == "agency_admin" and not failed.blames_secret:
        return _waits(tools, promise, row, agency_id, cause, failed.who, words)
    against = SECRET if failed.blames_secret else SERVER
    rest = _until_confirmed(tools, row, against)
    if rest > timedelta():
        pause = min(rest, PAUSES[1]).total_seconds()
        return Again(backoff(0, pause, pause), words, partial(_doubted, tools, row, against))
    if against == SECRET:
        return _broke(tools, row, cause, failed.who, words)
    return _waits(tools, promise, row, agency_id, cause, failed.who, words)


def _until_confirmed(tools: Tools, row: Row, against: str) -> timedelta:
    """How long a fault has to go on before it is believed; nothing where it went on so long."""
    if row.doubt != against:
        return CONFIRMED_AFTER[against]
    confirmed: datetime = row.doubted_at + CONFIRMED_AFTER[against]
    return confirmed - tools.clock.now()


def _doubted(tools: Tools, row: Row, against: str, db: Connection) -> bool:
    """Note the first time; later ones change nothing."""
    return row.doubt == against or mailboxes.doubt(db, row.id, row.version, against, tools.clock.now())


# --- verdicts ---------------------------------------------------------------------------------------------------------


def _broke(tools: Tools, row: Row, cause: str, who: str, words: str) -> Ended:
    """Its secret is of no use any more: it is erased, and the person is told by day."""

    def note(db: Connection) -> bool:
        now = tools.clock.now()
        theirs = watches.best_conversation(db, row.member_id, now)
        if theirs is not None:
            conversations.hold(db, theirs)  # before the mailbox, as a turn does it: else they may wait for one another
        if not mailboxes.settle(db, row.id, row.version, "broken", cause, who, now, of="works"):
            return False
        secrets.erase(db, [row.secret_id] if row.secret_id else [])
        _warn_of(db, row, MailboxBroke(row.address, cause, worked=True), row.version + 1, now)
        return True

    return Ended(words=words, along=note)


def _waits(tools: Tools, promise: Promise, row: Row, agency_id: UUID, cause: str, who: str, words: str) -> Ended:
    """Others have to mend it: its secret is kept for a while, and it is tested again by itself."""

    def note(db: Connection) -> bool:
        now, conversation_id = tools.clock.now(), promise.conversation_id
        if conversation_id is None or conversations.hold(db, conversation_id) is None:
            return False
        if not mailboxes.settle(db, row.id, row.version, "waiting", cause, who, now, of="works"):
            return False
        secrets.keep_until(db, row.secret_id, now + WAITING)
        told_of = _told_of(
            tools, db, conversation_id, agency_id, row, MailboxWaits(row.address, cause, who, worked=True)
        )
        of = {"member": str(row.member_id), "version": row.version + 1, "watched": True, "told": told_of}
        promises.add(db, conversation_id, [Wanted("work", promises.RETEST, now + RETEST_AFTER[0], of)], now)
        return True

    return Ended(words=words, along=note)


def _told_of(
    tools: Tools, db: Connection, conversation_id: UUID, agency_id: UUID, row: Row, event: MailboxWaits
) -> bool:
    """Tell whoever can act; whether that is the member. Who only can wait hears nothing."""
    now = tools.clock.now()
    if event.who == "agency_admin":
        _for_the_admins(tools, db, conversation_id, agency_id, row, event.cause)
        return False
    if event.who in {"wait", "us"}:
        return False
    version = row.version if row.state == "waiting" else row.version + 1
    _warn_of(db, row, event, version, now)
    return True


def _warn_of(db: Connection, row: Row, event: MailboxBroke | MailboxWaits, version: int, now: datetime) -> None:
    template = "mailbox_broken" if isinstance(event, MailboxBroke) else "mailbox_waits"
    warn(db, row.member_id, event, About(template, row.address, mailbox=row.id, version=version), now)


# --- the admins -------------------------------------------------------------------------------------------------------


def _for_the_admins(tools: Tools, db: Connection, conversation_id: UUID, agency_id: UUID, row: Row, cause: str) -> None:
    """Of many mailboxes with the same cause the first promises the one message, and has the others tested soon."""
    now = tools.clock.now()
    if isinstance(tools.limits.allow("admin_warning", f"{agency_id} {cause}", connection=db), Exhausted):
        return
    of = {"agency": str(agency_id), "cause": cause}
    promises.add(db, conversation_id, [Wanted("work", promises.ADMIN_WARNING, now + GATHER, of)], now)
    others = watches.at_the_same_host(db, agency_id, row.host)[: GATHER // APART]  # of more the sweep finds the rest
    for nth, (mailbox_id, member_id) in enumerate(others, start=1):
        theirs = watches.best_conversation(db, member_id, now)
        if theirs is not None:
            promises.watch(db, theirs, mailbox_id, now + nth * APART, now)


def admin_warning(tools: Tools, promise: Promise) -> Outcome:
    """Tell each admin of an agency which mailboxes wait for something that only they can change."""
    agency_id, cause = UUID(promise.payload["agency"]), promise.payload["cause"]
    with reading(tools.engine) as db:
        addresses = mailboxes.waiting_addresses(db, agency_id, cause)
    if not addresses:
        return Ended("dropped")  # it was mended meanwhile
    more = [f"+{len(addresses) - MAX_TOLD}"] if len(addresses) > MAX_TOLD else []
    news = AdminNeeded("", ", ".join([*addresses[:MAX_TOLD], *more]), cause)
    first = addresses[0] if len(addresses) == 1 else f"{addresses[0]} (+{len(addresses) - 1})"

    def note(db: Connection) -> bool:
        for member_id in watches.admins(db, agency_id):
            warn(db, member_id, news, About("admin_needed", first, agency=agency_id, cause=cause), tools.clock.now())
        return True

    return Ended(along=note)


# --- what becomes of it -----------------------------------------------------------------------------------------------


def is_watched(promise: Promise) -> bool:
    """Whether the mailbox that waits here worked before: then nobody sits there and waits for news."""
    return bool(promise.payload.get("watched"))


def told_later(tools: Tools, db: Connection, promise: Promise, row: Row, event: News) -> dict[str, Any]:
    """Tell what became of such a mailbox to whom it concerns, by day; what its next test is about."""
    of, now = dict(promise.payload), tools.clock.now()
    if promise.conversation_id is None:
        return of
    agency_id = people.agency_id_of(db, row.member_id)
    match event:
        case MailboxWorks() if of.get("told"):
            tell(db, promise.conversation_id, event, now, next_day_hour(now, people.timezone_of(db, agency_id)))
        case MailboxBroke():
            _warn_of(db, row, MailboxBroke(event.address, event.cause, worked=True), row.version + 1, now)
        case MailboxWaits(address, cause, who):
            waits = MailboxWaits(address, cause, who, worked=True)
            of["told"] = _told_of(tools, db, promise.conversation_id, agency_id, row, waits) or bool(of.get("told"))
    return of
