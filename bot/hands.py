"""One function for each kind of promise. A hand performs with no transaction open; its result is an outcome.

What a hand may rely on stands in `Tools`. A hand that raises is tried again a few times; see `bot.worker`.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from bot.calendar import UTC, is_by_day, may_write
from bot.case_hands import case_time, case_window, say_line
from bot.case_thread import show_case
from bot.channels import Accepted, Refused, SendError
from bot.credentials import hand_over, try_account
from bot.desk_media import fetch_case_file
from bot.desk_test import desk_test, desk_use, told_the_team
from bot.door_hands import door_mail
from bot.entrance_mail import mail_code
from bot.erasure import erase_everything, erase_left
from bot.facts import language, wire_server
from bot.files import fetch_file
from bot.grants import ELSEWHERE, ElsewhereError, NotNowError, OverError, keep_grants, revoke
from bot.handiwork import (
    LEASES,
    Again,
    Ended,
    Hand,
    Outcome,
    Tools,
    armed,
    backoff,
    look,
    written,
)
from bot.home import show_home
from bot.insist import insist
from bot.invite_hands import follow_up, look_up
from bot.limits import Allowed, Exhausted
from bot.live_tests import agency_key, count_test, stored, told, unanswered
from bot.look_around import look_around
from bot.mail.wire import discover as finding
from bot.mail.wire import send
from bot.mail.wire.account import BadCredential
from bot.mail.wire.addresses import BadAddress, normalise
from bot.mail.wire.guard import GuardError
from bot.mail.wire.probe import Failed, check_server
from bot.password_ends import look_for_ends, password_ends
from bot.progress import Progress
from bot.proofs import Proving, TakenError, file_copy, prove, was_sent
from bot.records import RETEST_AFTER
from bot.safe import WAITING
from bot.saying import BOT, identity, say
from bot.store import conversations, mailboxes, promises, secrets
from bot.store.conversations import Held
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise
from bot.store.slack import to_be_renewed
from bot.unasked import TELL_AGAIN, say_template, warning
from bot.vault import LostKey, Unopenable
from bot.watch import admin_warning, is_watched, told_later, watch
from flows import saved
from flows.speech import Message, render
from flows.words import (
    Account,
    AddressDoubted,
    AddressRefused,
    CheckServer,
    Discover,
    Event,
    Lay,
    LoginFailed,
    LoginWorked,
    MailAccepted,
    MailboxBroke,
    MailboxWaits,
    MailboxWorks,
    MailRefused,
    MailUnknown,
    MailWaits,
    News,
    SecretGone,
    Server,
    ServerAnswered,
    ServerFound,
    ServerSilent,
    ServerUnknown,
    Speak,
    TestLogin,
    TestsExhausted,
    TestSlow,
)

MAX_MAIL_TRIES = 8
QUICK_TRIES = 3  # while another process renews a sign-in
MAX_TEST_TRIES = 5  # while a provider does not answer, or another process asks it
LONGEST_TEST = 20.0
MAX_ERASE_TRIES = 14
MAX_TELL_TRIES = 144  # three days
SLOW = 5.0  # seconds after which a live test says that it goes on
TYPING = 20.0  # seconds; WhatsApp's sign goes out after 25: twilio.com/docs/whatsapp/api/typing-indicators-resource
MAX_TYPING = 5
LOOK_BACK = timedelta(hours=6)  # as long as we may have been away
MAX_WORDS = 200
CHANGED = ""  # the cause of a refusal that no mail server spoke: the mailbox is not as it was
_log = structlog.get_logger(__name__)


# --- speaking ---------------------------------------------------------------------------------------------------------


def speak(tools: Tools, promise: Promise) -> Outcome:
    """Say one message, unless a person has taken over meanwhile."""
    held = look(tools, promise)
    if held is None or held.owner != BOT:
        return _kept_to_itself(promise)
    channel = tools.channels[held.channel]

    def send(ready: Callable[[], None]) -> Accepted:
        return channel.send(identity(held), _message(tools, promise, held), promise.id, ready)

    outcome = say(tools, promise, held, send, partial(_as_listed, tools, promise, held))
    dropped = isinstance(outcome, Ended) and outcome.state == "dropped"
    return _kept_to_itself(promise) if dropped else outcome


def _kept_to_itself(promise: Promise) -> Ended:
    """A person has the word: the transcript says that it was not said (where nobody can know, it says nothing)."""

    def note(db: Connection) -> bool:
        conversations.unsaid(db, [promise.id] if promise.attempt == 1 else [])
        return True

    return Ended("dropped", along=note)


def _message(tools: Tools, promise: Promise, held: Held) -> Message:
    said: Speak = saved.load(promise.payload["effect"])
    style = tools.channels[held.channel].style
    return render(said, language(held.language), style, partial(armed, tools))


def _as_listed(tools: Tools, promise: Promise, held: Held) -> Message:
    """The message with one-time links that have no address."""
    shown: Speak = saved.load(promise.payload["effect"])
    return render(
        shown, language(held.language), tools.channels[held.channel].style, lambda _: f"{tools.public_url}/s/"
    )


# --- finding and testing ----------------------------------------------------------------------------------------------


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
        return _told_with(promise, over, Ended(event=SecretGone(), words=str(over)))
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
            _log.error("a message that may hold a secret could not be erased", promise=promise.id, code=failure.code)
            return Ended("failed", words=str(failure))
        waits = (60.0, 300.0, 3600.0, 86400.0)
        return Again(waits[min(promise.attempt, len(waits)) - 1], str(failure))
    return Ended()


# --- mail -------------------------------------------------------------------------------------------------------------


def send_mail(tools: Tools, promise: Promise) -> Outcome:
    """Send one mail, never twice: once its bytes may have left, only the truth is told."""
    mail_id = UUID(promise.payload["mail"])
    with reading(tools.engine) as db:
        mail = mailboxes.mail(db, mail_id)
    if mail is None:  # the mailbox was removed, and its mails with it
        return Ended("dropped", MailRefused(str(mail_id), CHANGED, "user", retry=False))
    if mail.state == "accepted":
        return _mail_accepted(tools, mail, MailAccepted(str(mail_id), ", ".join(mail.recipients)))
    if mail.state == "handing":  # an earlier try died in the middle
        return _unknown(tools, mail, "the process ended while the mail was handed over")
    if mail.version != mail.mailbox_version or mail.mailbox_state != "works" or mail.secret_id is None:
        return _refused(tools, mail_id, CHANGED, "user", "the mailbox was changed meanwhile")
    return _handed_over(tools, promise, mail)


def _handed_over(tools: Tools, promise: Promise, mail: Row) -> Outcome:
    mail_id = mail.id
    try:
        return _hand_over(tools, promise, mail)
    except _TakenError:
        return Again(LEASES["mail"].total_seconds(), "another process is handing it over")
    except OverError as over:
        event = MailRefused(
            str(mail_id), CHANGED, "user", retry=False, signed_in=over.provider, address=stored(mail).address
        )
        refused = _mail_ended(tools, mail_id, event, to="refused", state="failed", words=str(over))
        return _told_with(promise, over, refused)
    except LostKey as lost:
        return _key_lost(tools, mail, lost)
    except Unopenable as gone:
        return _refused(tools, mail_id, CHANGED, "user", str(gone))
    except NotNowError as away:
        return _not_now(tools, promise, mail_id, away)
    except BadAddress as bad:
        return _refused(tools, mail_id, "recipient_rejected", "user", str(bad))
    except send.BadMessage as bad:
        cause = "message_too_large" if bad.part == "file_size" else "content_rejected_spam_policy"
        return _refused(tools, mail_id, cause, "user", str(bad))
    except BadCredential as bad:
        return _refused(tools, mail_id, "content_rejected_spam_policy", "user", str(bad))


def _key_lost(tools: Tools, mail: Row, lost: LostKey) -> Outcome:
    """Nobody can open what the person signs in with: they are asked for it once more, there and then."""
    address, mail_id = stored(mail).address, str(mail.id)
    if lost.kind == "mailbox.password":
        event = MailRefused(mail_id, CHANGED, "user", retry=False, address=address, gone=True)
    elif lost.kind == "mailbox.oauth.microsoft":
        event = MailRefused(mail_id, CHANGED, "user", retry=False, signed_in="microsoft", address=address)
    elif lost.kind == "mailbox.oauth.google":
        event = MailRefused(mail_id, CHANGED, "user", retry=False, signed_in="google", address=address)
    else:  # the words of the mail themselves
        return _refused(tools, mail.id, CHANGED, "user", str(lost))
    refused = _mail_ended(tools, mail.id, event, to="refused", state="failed", words=str(lost))

    def along(db: Connection) -> bool:
        now = tools.clock.now()
        mailboxes.settle(db, mail.mailbox_id, mail.mailbox_version, "broken", "", "user", now, of="works")
        return refused.along(db)

    return replace(refused, along=along)


def _not_now(tools: Tools, promise: Promise, mail_id: UUID, away: NotNowError) -> Outcome:
    """What another process renews is there in a moment: nobody has to hear of that."""
    elsewhere = isinstance(away, ElsewhereError)
    if elsewhere and promise.attempt <= QUICK_TRIES:
        return Again(backoff(promise.attempt), ELSEWHERE)
    words = f"{away}, for long" if elsewhere else str(away)
    return _later(tools, promise, mail_id, "server_temporary_failure", "wait", words)


def _told_with(promise: Promise, over: OverError, outcome: Ended) -> Ended:
    """That a sign-in has ended is told by day; whoever waits for an answer at this moment hears it with that, once."""

    def along(db: Connection) -> bool:
        if promise.conversation_id is not None and over.mailbox_id is not None:
            promises.drop_warnings(db, promise.conversation_id, over.mailbox_id)
        return outcome.along(db)

    return replace(outcome, along=along)


def _hand_over(tools: Tools, promise: Promise, mail: Row) -> Outcome:
    outcome = hand_over(
        tools,
        stored(mail),
        mail.secret_id,
        written(tools, mail),
        mail.recipients,
        on_accepted=partial(_note_accepted, tools, mail.id),
        on_handing=partial(_note_handing, tools, mail.id),
    )
    match outcome:
        case send.Accepted():
            return _mail_accepted(tools, mail, _accepted(mail, outcome))
        case send.Unknown(raw):
            return _unknown(tools, mail, raw)
        case send.Refused(cause=cause, who=who, raw=raw):
            return _refused(tools, mail.id, cause, who, raw)
        case send.Later(cause=cause, who=who, raw=raw, wait=wait):
            return _later(tools, promise, mail.id, cause, who, raw, wait)


class _TakenError(Exception):
    """Somebody else is handing this mail over, or has: a process that was frozen and came back finds it so."""


def _note_handing(tools: Tools, mail_id: UUID) -> None:
    """Stored before the final dot: from here on nobody hands this mail over again without knowing what became of it."""
    if not _move(tools, mail_id, to="handing", of=("todo",)):
        raise _TakenError


def _note_accepted(tools: Tools, mail_id: UUID, reply: str) -> None:
    """Stored at the final 250, before QUIT: whatever happens afterwards, this mail is never handed over again.

    A database that is away for a moment is waited for: nobody else knows what the server said.
    """
    insist(lambda: _move(tools, mail_id, to="accepted", of=("handing",), reply=reply))


def _accepted(mail: Row, outcome: send.Accepted) -> MailAccepted:
    declined = [one.address for one in outcome.declined]
    taken = [one for one in mail.recipients if one not in declined]
    return MailAccepted(str(mail.id), ", ".join(taken), ", ".join(declined))


def _move(tools: Tools, mail_id: UUID, *, to: str, of: tuple[str, ...], reply: str = "") -> bool:
    with tools.engine.begin() as db:
        return mailboxes.move_mail(db, mail_id, to=to, of=of, reply=reply, at=tools.clock.now())


def _later(tools: Tools, promise: Promise, mail_id: UUID, cause: str, who: str, raw: str, wait: float = 0.0) -> Outcome:
    """Once more after a while, not before `wait` seconds that the server asked for; not for ever."""
    if promise.attempt >= MAX_MAIL_TRIES:
        return _refused(tools, mail_id, cause, who, raw)
    if promise.attempt == 1 or promise.outcome == ELSEWHERE:
        tools.announce(promise, MailWaits(str(mail_id), cause))

    def hold_again(db: Connection) -> bool:
        return mailboxes.move_mail(db, mail_id, to="todo", of=("handing",), reply=raw, at=tools.clock.now())

    return Again(max(backoff(promise.attempt + 4), wait), raw, hold_again)


def _refused(tools: Tools, mail_id: UUID, cause: str, who: str, raw: str) -> Ended:
    event = MailRefused(str(mail_id), cause, who, retry=False)
    return _mail_ended(tools, mail_id, event, to="refused", state="failed", words=raw)


def _unknown(tools: Tools, mail: Row, raw: str) -> Outcome:
    """No answer came: where the mail lies in the sender's own folders it was sent, else the truth is told."""
    if was_sent(tools, mail):
        return _mail_accepted(tools, mail, MailAccepted(str(mail.id), ", ".join(mail.recipients)))
    return _mail_ended(tools, mail.id, MailUnknown(str(mail.id)), to="unknown", state="unknown", words=raw)


def _mail_accepted(tools: Tools, mail: Row, event: Event) -> Ended:
    """The server has it. Its words are kept sealed until its copy is in *Sent*, which is a promise of its own."""

    def note(db: Connection) -> bool:
        now = tools.clock.now()
        mailboxes.move_mail(db, mail.id, to="accepted", of=("todo", "handing"), reply=mail.reply, at=now)
        mailboxes.worked(db, mail.mailbox_id, mail.mailbox_version, now)
        wanted = promises.Wanted("work", promises.FILE_COPY, now, {"mail": str(mail.id)})
        promises.add(db, mail.conversation_id, [wanted], now)
        promises.wake(db, {"work"})
        return True

    return Ended("done", event, along=note)


def _mail_ended(tools: Tools, mail_id: UUID, event: Event, *, to: str, state: str, words: str = "") -> Ended:
    """The outcome is known: it is noted, if the server's word was not yet, and the sealed content is erased."""

    def note(db: Connection) -> bool:
        mailboxes.move_mail(db, mail_id, to=to, of=("todo", "handing"), reply=words, at=tools.clock.now())
        secrets.erase(db, mailboxes.drop_content(db, mail_id))
        return True

    return Ended(state, event, words=words[:MAX_WORDS], along=note)


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
