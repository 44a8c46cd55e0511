"""Hands that find a mailbox's server, test its sign-in live, and test again what has to wait."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from bot.credentials import try_account
from bot.desk_test import told_the_team
from bot.facts import language, wire_server
from bot.grants import NotNowError, OverError, told_with
from bot.handiwork import (
    LEASES,
    MAX_WORDS,
    Again,
    Ended,
    Outcome,
    Tools,
    backoff,
    look,
)
from bot.limits import Allowed, Exhausted
from bot.live_tests import agency_key, count_test, stored, told, unanswered
from bot.mail.wire import discover as finding
from bot.mail.wire.addresses import BadAddress, normalise
from bot.mail.wire.guard import GuardError
from bot.mail.wire.probe import Failed, check_server
from bot.mailbox_records import RETEST_AFTER
from bot.progress import Progress
from bot.proofs import Proving, TakenError, prove
from bot.safe import WAITING
from bot.saying import identity
from bot.store import conversations, mailboxes, promises, secrets
from bot.store.conversations import Held
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise
from bot.vault import LostKey, Unopenable
from bot.watch import is_watched, told_later
from flows import saved
from flows.words import (
    Account,
    AddressDoubted,
    AddressRefused,
    CheckServer,
    Discover,
    Event,
    LoginFailed,
    LoginWorked,
    MailboxBroke,
    MailboxWaits,
    MailboxWorks,
    News,
    SecretGone,
    Server,
    ServerAnswered,
    ServerFound,
    ServerSilent,
    ServerUnknown,
    TestLogin,
    TestsExhausted,
    TestSlow,
)

MAX_TEST_TRIES = 5  # while a provider does not answer, or another process asks it
LONGEST_TEST = 20.0
SLOW = 5.0  # seconds after which a live test says that it goes on
TYPING = 20.0  # seconds; WhatsApp's sign goes out after 25: twilio.com/docs/whatsapp/api/typing-indicators-resource
MAX_TYPING = 5
_log = structlog.get_logger(__name__)


def discover(tools: Tools, promise: Promise) -> Outcome:
    """Find the server of an address: in our tables, else by what the world says of its domain."""
    wanted: Discover = saved.load(promise.payload["effect"])
    held = look(tools, promise)
    try:
        address = normalise(wanted.address)
    except BadAddress:
        return Ended(event=AddressRefused())
    known = tools.providers.for_address(address, tools.clock.now().date())
    meant = None if known or wanted.sure else tools.providers.near(address)
    if meant:
        return Ended(event=AddressDoubted(address, f"{address.rpartition('@')[0]}@{meant}"))
    if known is None and not (tools.discovery and held and _may_look_up(tools, promise, held)):
        return Ended(event=ServerUnknown(address))
    return _discovered(tools, address)


def _may_look_up(tools: Tools, promise: Promise, held: Held) -> bool:
    if promise.attempt > 1:
        return True
    return isinstance(tools.limits.allow("discovery", str(held.contact_id), agency_key(tools, held)), Allowed)


def _discovered(tools: Tools, address: str) -> Outcome:
    today = tools.clock.now().date()
    try:
        found = finding.discover(address, providers=tools.providers, network=tools.network, today=today)
    except GuardError:
        return Ended(event=AddressRefused())
    match found:
        case finding.Found(server=server, user=user, confirm=confirm, source=source):
            account = Account(address, user, Server(server.host, server.port, server.security))
            return Ended(event=ServerFound(account, confirm), words=source)
        case finding.NoSmtp(provider_id):
            return Ended(event=_without_smtp(tools, address, provider_id))
        case finding.NoMail():
            return Ended(event=AddressRefused("no_mail"))
        case finding.NoDomain():
            return Ended(event=AddressRefused("no_domain"))
        case finding.Unreachable():
            return Ended(event=ServerUnknown(address, later=True), words="our name servers gave no answer")
    return Ended(event=ServerUnknown(address))


def _without_smtp(tools: Tools, address: str, provider_id: str) -> Event:
    """A provider that lets no program send: the flow says so, if the address tells who it is."""
    named = tools.providers.for_address(address, tools.clock.now().date())
    if named is not None and named.id == provider_id:
        return ServerFound(Account(address, address, Server("", 0, "tls")))
    return ServerUnknown(address)


def try_login(tools: Tools, promise: Promise) -> Outcome:
    """The live test: one AUTH command, within the limits."""
    wanted: TestLogin = saved.load(promise.payload["effect"])
    held = look(tools, promise)
    if held is None:
        return Ended("dropped")
    if promise.attempt == 1:
        counted = count_test(tools, held, wanted.account)
        if isinstance(counted, Exhausted):
            return Ended(event=TestsExhausted(counted.minutes))
    try:
        outcome = _tested(tools, promise, wanted, held)
    except OverError as over:
        return told_with(promise, over, Ended(event=SecretGone(), words=str(over)))
    except Unopenable as gone:
        return Ended(event=SecretGone(), words=str(gone))
    except NotNowError as away:
        if promise.attempt < MAX_TEST_TRIES:
            return Again(backoff(0, away.seconds, LONGEST_TEST), str(away))
        outcome = Ended(event=LoginFailed("server_temporary_failure", "wait", retry=True), words=str(away))
    return told_the_team(tools, held, wanted.account.address, outcome)


def _tested(tools: Tools, promise: Promise, wanted: TestLogin, held: Held) -> Outcome:
    cancel = tools.later(SLOW, lambda: tools.announce(promise, TestSlow()))
    still = _typing(tools, held)
    account = wanted.account
    try:
        with _progress(tools, held, wanted) as progress:
            result = try_account(tools, account, UUID(wanted.secret_id), watch=progress.passed)
            if isinstance(result, Failed):
                return _login_failed(result, account)
            worked = replace(account, server=Server(result.server.host, result.server.port, result.server.security))
            if not wanted.mail:
                return Ended(event=LoginWorked(worked, result.repaired, size=result.size))
            return prove(Proving(tools, promise, held, worked, UUID(wanted.secret_id), result.repaired, result.size))
    except TakenError:
        return Again(LEASES[promise.lane].total_seconds(), "another process tests it")
    finally:
        cancel()
        still()


def _progress(tools: Tools, held: Held, wanted: TestLogin) -> Progress:
    show = tools.channels[held.channel].window(identity(held))
    return Progress(show, wanted.account.address, language(held.language), mail=wanted.mail)


def _login_failed(failed: Failed, account: Account) -> Ended:
    words = f"{failed.stage}: {failed.cause}: {failed.raw}"
    _log.info("live test failed", stage=failed.stage, cause=failed.cause, code=failed.code, ours=failed.ours)
    detail = "ours" if failed.ours else failed.detail
    retry = failed.retry and (failed.ours or not unanswered(failed))
    event = LoginFailed(told(failed), failed.who, retry, detail, _better(failed, account.server))
    return Ended(event=event, words=words)


def _better(failed: Failed, given: Server) -> Server | None:
    """A server that proved its name where the one that was given did not: offered, never taken by ourselves."""
    if failed.better_host is not None:
        return replace(given, host=failed.better_host)
    other = failed.better_server
    return Server(other.host, other.port, other.security) if other is not None else None


def _typing(tools: Tools, held: Held) -> Callable[[], None]:
    """Show that an answer is on its way, again and again: the sign goes out by itself. The answer stops it.

    So does a case, whose person would take it for the sign of another one who types.
    """
    message, channel = held.last_message_id, tools.channels[held.channel]
    stopped = threading.Event()

    def has_a_case() -> bool:
        with reading(tools.engine) as db:
            now = conversations.look(db, held.id)
        return now is None or now.case is not None

    def show(times: int) -> None:
        if message and times and not stopped.is_set() and not has_a_case():
            threading.Thread(target=channel.typing, args=(message,), daemon=True, name="typing").start()
            tools.later(TYPING, partial(show, times - 1))

    show(MAX_TYPING)
    return stopped.set


def check(tools: Tools, promise: Promise) -> Outcome:
    """Reach a server without signing in: it has to prove its name and to offer a sign-in."""
    wanted: CheckServer = saved.load(promise.payload["effect"])
    held = look(tools, promise)
    if held is None:
        return Ended("dropped")
    if promise.attempt == 1:
        counted = tools.limits.allow("live_test", str(held.contact_id), agency_key(tools, held), wanted.server.host)
        if isinstance(counted, Exhausted):
            return Ended(event=TestsExhausted(counted.minutes))
    server = wire_server(wanted.server)
    result = check_server(server, network=tools.network)
    if isinstance(result, Failed):
        words = f"{result.stage}: {result.cause}: {result.raw}"
        detail = "ours" if result.ours else result.detail
        return Ended(event=ServerSilent(told(result), detail, _better(result, wanted.server)), words=words)
    found = result.server
    return Ended(event=ServerAnswered(Server(found.host, found.port, found.security)))


# --- a mailbox that has to wait ---------------------------------------------------------------------------------------


def retest(tools: Tools, promise: Promise) -> Outcome:
    """Test a mailbox that waits for something which is not in its person's hands; they hear of changes only."""
    held = look(tools, promise)
    with reading(tools.engine) as db:
        row = mailboxes.of_member(db, UUID(promise.payload["member"]))
    if held is None or row is None or row.state != "waiting" or row.version != promise.payload["version"]:
        return Ended("dropped")  # another one was promised when it was saved anew
    account = stored(row)
    if row.secret_id is None:
        return _waited_in_vain(tools, promise, row)
    counted = count_test(tools, held, account)
    if isinstance(counted, Exhausted):
        return Again(counted.minutes * 60.0, "the limit of live tests")
    try:
        result = try_account(tools, account, row.secret_id)
    except OverError as over:
        return Ended(words=str(over))  # it has its verdict, and its person is told
    except LostKey as lost:
        return _verdict(tools, promise, row, MailboxBroke(row.address, worked=True), "broken", "", "user", str(lost))
    except Unopenable:
        return _waited_in_vain(tools, promise, row)
    except NotNowError as away:
        return Again(backoff(0, away.seconds), str(away))
    if isinstance(result, Failed):
        return _waits_on(tools, promise, row, result)
    return _verdict(tools, promise, row, MailboxWorks(row.address), "works")


def _waits_on(tools: Tools, promise: Promise, row: Row, failed: Failed) -> Outcome:
    cause = told(failed)
    words = f"{failed.stage}: {failed.cause}: {failed.raw}"
    if failed.blames_secret and not failed.retry:
        broke = MailboxBroke(row.address, cause)
        return _verdict(tools, promise, row, broke, "broken", cause, failed.who, words)
    waits = _until_again(promise, tools.clock.now())
    if cause == row.cause:
        return Again(backoff(0, waits, waits), words)

    event = MailboxWaits(row.address, cause, failed.who)

    def note(db: Connection) -> bool:
        now = tools.clock.now()
        mine = mailboxes.settle(db, row.id, row.version, "waiting", cause, failed.who, now)
        if mine and promise.conversation_id is not None:
            later = now + timedelta(seconds=waits)
            payload = promise.payload if not is_watched(promise) else told_later(tools, db, promise, row, event)
            promises.one_at(db, promise.conversation_id, promises.RETEST, later, now, payload)
        return mine

    return Ended(event=None if is_watched(promise) else event, words=words, along=note)


def _until_again(promise: Promise, now: datetime) -> float:
    """Seconds until a mailbox is tested again: ever later, and at the times that were wished for."""
    usual = now + RETEST_AFTER[min(promise.attempt, len(RETEST_AFTER) - 1)]
    wished = [datetime.fromisoformat(one) for one in promise.payload.get("again", ())]
    return (min([usual, *(one for one in wished if one > now)]) - now).total_seconds()


def _waited_in_vain(tools: Tools, promise: Promise, row: Row) -> Outcome:
    """Its secret is gone: after three days that is told; before, its person gave it up for another one themselves."""
    given_up = tools.clock.now() - row.since < WAITING - timedelta(hours=1)
    event = None if given_up else MailboxBroke(row.address)
    return _verdict(tools, promise, row, event, "broken", row.cause, row.who)


def _verdict(
    tools: Tools,
    promise: Promise,
    row: Row,
    event: News | None,
    state: str,
    cause: str = "",
    who: str = "",
    words: str = "",
) -> Ended:
    """What became of a mailbox that waited. A secret that is of no use is erased, one that works is kept."""

    def note(db: Connection) -> bool:
        if not mailboxes.settle(db, row.id, row.version, state, cause, who, tools.clock.now()):
            return False  # it was changed while it was tested
        if state == "works":
            secrets.keep_until(db, row.secret_id, None)
        elif row.secret_id is not None:
            secrets.erase(db, [row.secret_id])
        if event is not None and is_watched(promise):
            told_later(tools, db, promise, row, event)
        return True

    return Ended(event=None if is_watched(promise) else event, words=words[:MAX_WORDS], along=note)
