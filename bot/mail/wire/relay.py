"""Handing on a message that somebody else wrote, byte for byte, on connections that are kept for the next one.

The same outcomes as `send.py`. A server may end a connection that was kept whenever it likes (RFC 5321 4.2.1, 421), so
what fails on one before the message's final dot is said once more on a fresh one: nothing can have been sent by then.
"""

import re
import smtplib
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from bot.mail.wire.account import Account, Secret, check_account
from bot.mail.wire.addresses import BadAddress
from bot.mail.wire.send import Accepted, AllDeclinedError, BadMessage, Later, Outcome, Refused, Sending
from bot.mail.wire.smtp import PASSED, SEND_DATA, Deadline, Network, Session

MAX_RECIPIENTS = 100  # RFC 5321 4.5.3.1.8: at least so many have to be taken
MAX_IDLE = 45.0  # seconds that a connection is kept for the next message
MAX_AGE = 600.0
MAX_MESSAGES = 100  # on one connection
MAX_KEPT = 200  # connections, of all mailboxes together
_EIGHT_BIT, _PIPELINING = "8bitmime", "pipelining"
_WRITABLE = re.compile(r"[!-;=?-~]{1,254}")  # an address that ends no command and nothing in one


class NeedsEightBit(Exception):
    """The message has lines with 8 bits and the server takes only 7 (RFC 6152): we change nothing, so it stays here."""


@dataclass
class _Kept:
    """A connection that has signed in, as whom and with what; `sender` is the address in normal form."""

    session: Session
    sender: str
    secret: Secret = field(repr=False)
    since: float
    used: float
    messages: int


class Lines:
    """Connections that are kept for the next message of the same mailbox. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[Hashable, list[_Kept]] = {}
        self._closed = False

    @property
    def count(self) -> int:
        """How many are kept now."""
        with self._lock:
            return sum(map(len, self._kept.values()))

    def take(self, key: Hashable) -> _Kept | None:
        """One that is still young enough, for its taker alone."""
        now = self._clock()
        with self._lock:
            mine = self._kept.get(key, [])
            taken = next((one for one in reversed(mine) if not _is_old(one, now)), None)
            if taken is not None:
                mine.remove(taken)
            if not mine:
                self._kept.pop(key, None)
        return taken

    def put(self, key: Hashable, kept: _Kept) -> bool:
        """Keep it for the next one; False: it is to be closed."""
        now = self._clock()
        with self._lock:
            full = sum(map(len, self._kept.values())) >= MAX_KEPT
            if self._closed or full or kept.messages >= MAX_MESSAGES or now - kept.since > MAX_AGE:
                return False
            self._kept.setdefault(key, []).append(replace(kept, used=now))
        return True

    def sweep(self, seconds: float) -> int:
        """Close those that are too old, saying good-bye for at most `seconds` to each; how many."""
        now = self._clock()
        with self._lock:
            old = [one for mine in self._kept.values() for one in mine if _is_old(one, now)]
            left = {key: [one for one in mine if one not in old] for key, mine in self._kept.items()}
            self._kept = {key: mine for key, mine in left.items() if mine}
        for one in old:
            one.session.leave(seconds)
        return len(old)

    def close(self) -> None:
        """Close all, and keep none any more."""
        with self._lock:
            self._closed = True
            every = [one for mine in self._kept.values() for one in mine]
            self._kept = {}
        for one in every:
            one.session.close()


def _is_old(one: _Kept, now: float) -> bool:
    return now - one.used > MAX_IDLE or now - one.since > MAX_AGE


@dataclass(frozen=True)
class Way:
    """Through which server, as whom, on which kept connections (those of the same `key`).

    `secret` is asked for only when a connection is made.
    """

    account: Account
    secret: Callable[[], Secret] = field(repr=False)
    network: Network
    provider: str | None
    lines: Lines
    key: Hashable


def relay(
    way: Way,
    content: bytes,
    recipients: Sequence[str],
    *,
    on_accepted: Callable[[str], None],
    on_handing: Callable[[], None],
) -> Outcome:
    """Hand `content` on for `recipients`; every line of it ends with CRLF, and no CR or LF stands alone.

    They are in normal form, and each stands there once (`send.check_recipients`).
    `on_accepted`, `on_handing` and what is raised: see `send.send`; also NeedsEightBit, and what `way.secret` raises.
    """
    to = tuple(recipients)
    if not 0 < len(to) <= MAX_RECIPIENTS:
        raise BadMessage("recipients")
    if not all(map(_WRITABLE.fullmatch, to)):
        raise BadAddress("malformed")
    if b"\n" in content.replace(b"\r\n", b"") or b"\r" in content.replace(b"\r\n", b""):
        raise BadMessage("text")
    kept = way.lines.take(way.key)
    if kept is not None:
        sending = _Relaying(way, kept)
        outcome = sending.relayed(content, to, on_accepted, on_handing)
        if not sending.was_stale(outcome):
            return outcome
    return _Relaying(way, None).relayed(content, to, on_accepted, on_handing)


class _Relaying(Sending):
    """One message on a connection that was kept, or on a fresh one that is kept afterwards."""

    def __init__(self, way: Way, kept: _Kept | None) -> None:
        secret = kept.secret if kept is not None else way.secret()
        super().__init__(way.account, secret, way.network, way.provider)
        self._way = way
        self._taken = kept
        self._sender = kept.sender if kept is not None else check_account(way.account, secret)
        self._handed = False

    def relayed(
        self,
        content: bytes,
        recipients: tuple[str, ...],
        on_accepted: Callable[[str], None],
        on_handing: Callable[[], None],
    ) -> Outcome:
        """See `relay`."""

        def handing() -> None:
            on_handing()
            self._handed = True

        return self.run(self._sender, recipients, content, on_accepted, handing)

    def was_stale(self, outcome: Outcome) -> bool:
        """Whether the server had given the kept connection up: then nothing was sent, and a fresh one may do."""
        if self._taken is None or self._handed or not isinstance(outcome, (Later, Refused)):
            return False
        return outcome.stage == "mail_from" or self._taken.session.sock is None

    def _open(self) -> Session:
        if self._taken is None:
            return super()._open()
        session, times = self._taken.session, self._network.timeouts
        session.deadline, session.patience = Deadline(times.total), times.command
        return session

    def _sign_in(self, session: Session) -> None:
        if self._taken is None:
            super()._sign_in(session)

    def _address(self, session: Session, sender: str, recipients: tuple[str, ...], content: bytes) -> None:
        """All of it in one go where the server lets us: one way there and back instead of three and more."""
        if not session.has_extn(_PIPELINING):
            super()._address(session, sender, recipients, content)
            return
        self._track.enter("mail_from")
        options = " ".join(("", *self._options(session, content)))
        session.say(f"MAIL FROM:<{sender}>{options}", *(f"RCPT TO:<{one}>" for one in recipients), "DATA")
        code, reply = session.getreply()
        if code != PASSED:
            _hear_out(session, len(recipients) + 1)
            raise smtplib.SMTPResponseException(code, reply)
        self._track.enter("rcpt_to")
        self._offered(recipients, (session.getreply() for _ in recipients))
        if len(self._declined) == len(recipients):
            _hear_out(session, 1)
            raise AllDeclinedError
        self._track.enter("data")
        code, reply = session.getreply()
        if code != SEND_DATA:
            raise smtplib.SMTPDataError(code, reply)

    def _options(self, session: Session, content: bytes) -> list[str]:
        options = super()._options(session, content)
        if content.isascii():
            return options
        if not session.has_extn(_EIGHT_BIT):
            raise NeedsEightBit
        return [*options, "BODY=8BITMIME"]

    def _part(self, session: Session, outcome: Outcome | None) -> None:
        if isinstance(outcome, Accepted) and session.sock is not None:
            now = time.monotonic()
            since, before = (self._taken.since, self._taken.messages) if self._taken is not None else (now, 0)
            if self._way.lines.put(self._way.key, _Kept(session, self._sender, self._secret, since, now, before + 1)):
                return
        super()._part(session, outcome)


def _hear_out(session: Session, replies: int) -> None:
    """The replies to what was said before we knew that it comes to nothing; what is in them changes nothing.

    A server that now waits for a message is left: without the final dot it takes none.
    """
    with suppress(OSError):
        codes = [session.getreply()[0] for _ in range(replies)]
        if codes[-1] == SEND_DATA:
            session.close()
