"""Sending through Microsoft Graph: the way for those whose SMTP is switched off. The same outcomes as `send.py`.

`POST /v1.0/me/sendMail` with the mail as MIME, in base64, as `text/plain`; 202 means taken, and Graph files the copy in
Sent Items itself (learn.microsoft.com/graph/api/user-sendmail, …/graph/outlook-send-mime-message). The permission
`Mail.Send` allows nothing else, not even to ask who one is: whether it works, a mail proves. As at the final dot of
SMTP, the last bytes are held back until all else is said: before them nothing can have been sent.
"""

import base64
import http.client
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import ObsoleteHeaderDefect, UndecodableBytesDefect
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast
from urllib.parse import urlsplit

from bot.mail.knowledge.explain import Failure, Stage, causes, explain
from bot.mail.knowledge.redact import redact
from bot.mail.wire.account import Account, BadCredential, Token, check_account
from bot.mail.wire.addresses import BadAddress
from bot.mail.wire.fetch import Incoming, NotFetched, secure_url
from bot.mail.wire.guard import GuardError
from bot.mail.wire.probe import Failed, Worked
from bot.mail.wire.relay import MAX_RECIPIENTS as MOST_RELAYED
from bot.mail.wire.send import (
    Accepted,
    BadMessage,
    Later,
    Outcome,
    Refused,
    Unknown,
    check_recipients,
    for_sent_copy,
)
from bot.mail.wire.smtp import Deadline, Network, Track, Watch, unwatched, wrapped

GRAPH = "https://graph.microsoft.com"
MAX_REQUEST = 4 * 1024 * 1024  # learn.microsoft.com/graph/api/user-sendmail: 4 MB for one request
MAX_MAIL = MAX_REQUEST // 4 * 3  # the mail itself: base64 makes 4 bytes of 3
MAX_TO = 32 * 1024  # letters of all that names recipients: the library takes ever longer for more
_TO = ("To", "Cc", "Bcc")
# What the library raises at fields that nobody means: nested a thousand times, groups in groups.
_UNREADABLE = (RecursionError, AttributeError, IndexError, ValueError)
_HARMLESS = (ObsoleteHeaderDefect, UndecodableBytesDefect)  # a dot in a name, a name in 8 bits
_PATH = "/v1.0/me/sendMail"
_FAMILY = "microsoft"
_HELD_BACK = 64  # bytes
_CHUNK = 65_536
_MAX_BODY = 65_536
_LONGEST_WAIT = 3_600.0
_TOO_LARGE = "message_too_large"
_NO_MAIL = "content_rejected_spam_policy"  # what Graph's words about a mail that is none come to
_ACCEPTED = 202
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_TOO_MANY = 429
_UNAVAILABLE = 503
_CLIENT, _SERVER = 400, 500
# What stands for a status where the body names no code of its own; replies.yaml knows these words
_NAMED = {
    _UNAUTHORIZED: "InvalidAuthenticationToken",
    _FORBIDDEN: "ErrorAccessDenied",
    413: "RequestEntityTooLarge",
    _TOO_MANY: "TooManyRequests",
    _UNAVAILABLE: "ServiceUnavailable",
}
_OTHERWISE = "GraphBadRequest"


@dataclass(frozen=True)
class _Answer:
    """What Graph said: the status, its words for staff, and how long it wants to be left alone."""

    status: int
    text: str
    wait: float


def send(
    account: Account,
    token: Token,
    message: EmailMessage,
    recipients: Sequence[str],
    *,
    network: Network,
    on_accepted: Callable[[str], None],
    on_handing: Callable[[], None] = lambda: None,
    url: str = GRAPH,
) -> Outcome:
    """Hand `message` over for `recipients`, who have to be those of its headers: Graph reads them there, Bcc too.

    `on_accepted` and `on_handing` as in `send.send`. Where no answer came, or one of a server that may have done it
    before it failed (500, 502, 504), the outcome is Unknown. Raises BadAddress, BadMessage, BadCredential or ValueError
    (for `url`) before a byte is sent, and nothing that a server or a network could cause.
    """
    check_account(account, token)
    _check_same(message, check_recipients(recipients))
    return _sent(token, for_sent_copy(message), network, url, on_accepted, on_handing)


def relay(
    account: Account,
    token: Token,
    content: bytes,
    recipients: Sequence[str],
    *,
    network: Network,
    on_accepted: Callable[[str], None],
    on_handing: Callable[[], None] = lambda: None,
    url: str = GRAPH,
) -> Outcome:
    """Hand on a message that somebody else wrote; see `send`. Who stands in no header of it gets it as Bcc.

    Graph mails everybody whom the headers name: BadMessage("recipients") where that is somebody beside `recipients`.
    """
    check_account(account, token)
    named = _check_none_beside(content, recipients)
    unnamed = [one for one in check_recipients(recipients, MOST_RELAYED) if one.lower() not in named]
    hidden = ("Bcc: " + ",\r\n ".join(unnamed) + "\r\n").encode() if unnamed else b""
    return _sent(token, hidden + content, network, url, on_accepted, on_handing)


def _check_none_beside(content: bytes, recipients: Sequence[str]) -> frozenset[str]:
    """Whom the headers name, in small letters. Raises BadMessage where that is somebody beside `recipients`."""
    named = frozenset(one.lower() for one in _addressed(content.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"))
    if named - {one.lower() for one in recipients}:
        raise BadMessage("recipients")
    return named


def _addressed(head: bytes) -> set[str]:
    """Whom a header names. Raises BadMessage where that takes long to read, or others may read it in another way."""
    unread = message_from_bytes(head)
    if unread.defects or sum(len(str(value)) for name in _TO for value in unread.get_all(name, ())) > MAX_TO:
        raise BadMessage("recipients")
    mail = message_from_bytes(head, policy=default)
    try:
        faults = [fault for name in _TO for value in mail.get_all(name, ()) for fault in value.defects]
        if not all(isinstance(one, _HARMLESS) for one in faults):
            raise BadMessage("recipients")
        return _named(mail)
    except _UNREADABLE:
        raise BadMessage("recipients") from None


def _sent(
    token: Token,
    content: bytes,
    network: Network,
    url: str,
    on_accepted: Callable[[str], None],
    on_handing: Callable[[], None],
) -> Outcome:
    body = base64.b64encode(content)
    sending = _Call(token, network, url, Track())
    if len(body) > MAX_REQUEST:
        cause = causes()[_TOO_LARGE]
        raw = f"Graph takes {MAX_REQUEST} bytes, the mail makes {len(body)}"
        return Refused("data", _TOO_LARGE, cause.who, raw, cause.blames_secret, ())
    return sending.outcome(body, on_accepted, on_handing)


def test_login(
    account: Account,
    token: Token,
    *,
    network: Network,
    watch: Watch = unwatched,  # noqa: PT028 - no test of pytest's
    url: str = GRAPH,  # noqa: PT028 - the same
) -> Worked | Failed:
    """Whether Graph is reached and takes the token: stages dns, connect, tls, auth. It sends no mail.

    An empty mail is handed in, which Graph refuses as such once it has looked at the token. (Should it ever look at
    the mail first, this passes, and the mail to oneself, which is the proof anyway, tells.) Raises nothing that a
    server, a network or a typed value could cause. Worked.size is the largest mail that Graph takes.
    """
    track = Track(watch)
    try:
        check_account(account, token)
        call = _Call(token, network, url, track)
        answer = call.asked(b"", lambda: None)
    except (BadAddress, BadCredential, GuardError, OSError, http.client.HTTPException, NotFetched) as error:
        failure = Failure.of(error, track.stage, _FAMILY)
    else:
        failure = Failure("auth", answer.text, None, _FAMILY, by_token=True)
        if answer.status == _ACCEPTED or explain(failure).cause == _NO_MAIL:
            track.arrive()
            return Worked(account.server, False, track.passed, MAX_MAIL)  # noqa: FBT003
    track.fail()
    found = explain(failure)
    return Failed(
        stage=track.stage,
        cause=found.cause,
        who=found.who,
        retry=found.retry,
        raw=redact(failure.text, (token.value,)),
        code=None,
        answered=track.stage == "auth",
        blames_secret=False,
        server=account.server,
        token_refused=found.blames_secret and failure.by_token,
    )


# pytest collects what is called test_*; this is the product's own test
test_login.__test__ = False  # type: ignore[attr-defined]


class _Call:
    """One request to Graph."""

    def __init__(self, token: Token, network: Network, url: str, track: Track) -> None:
        """Raise ValueError for an address that a token must not go to."""
        parts = urlsplit(secure_url(url))
        self._secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._path = parts.path.rstrip("/") + _PATH
        self._token = token
        self._network = network
        self._track = track
        self._handed_over = False

    def outcome(self, body: bytes, on_accepted: Callable[[str], None], on_handing: Callable[[], None]) -> Outcome:
        stage: Stage
        try:
            answer = self.asked(body, on_handing)
        except (GuardError, OSError, http.client.HTTPException, NotFetched) as error:
            if self._handed_over:
                return Unknown(self._redacted(f"{type(error).__name__}: {error}"))
            stage = "data" if self._track.stage == "auth" else self._track.stage
            return self._not_sent(stage, Failure.of(error, stage, _FAMILY), 0.0)
        text = self._redacted(answer.text)
        if answer.status == _ACCEPTED:
            on_accepted(text)
            return Accepted(text, ())
        if answer.status >= _CLIENT and (answer.status < _SERVER or answer.status == _UNAVAILABLE):
            stage = "auth" if answer.status in {_UNAUTHORIZED, _FORBIDDEN} else "post_data"
            return self._not_sent(stage, Failure(stage, answer.text, None, _FAMILY, by_token=True), answer.wait)
        return Unknown(text)

    def asked(self, body: bytes, on_handing: Callable[[], None]) -> _Answer:
        """What Graph answers. Raises GuardError, OSError, HTTPException, NotFetched; `on_handing` passes through."""
        with self._connected() as sock:
            self._track.enter("auth")
            connection = http.client.HTTPConnection(self._host, self._port)
            connection.sock = sock
            times = self._network.timeouts
            if not self._early(connection, sock, body[:-_HELD_BACK], len(body)):
                on_handing()
                self._handed_over = True
                sock.settimeout(times.content)
                connection.send(body[-_HELD_BACK:])
            return self._answer(sock, Deadline(times.final))

    def _early(self, connection: http.client.HTTPConnection, sock: socket.socket, most: bytes, size: int) -> bool:
        """Hand over the head and most of the body; whether Graph would not hear it to the end, and has answered."""
        deadline = Deadline(self._network.timeouts.content)
        sock.settimeout(deadline.remaining())
        connection.putrequest("POST", self._path, skip_accept_encoding=True)
        for name, value in {
            "Authorization": f"Bearer {self._token.value}",
            "Content-Type": "text/plain",
            "Content-Length": str(size),
            "Accept": "application/json",
            "User-Agent": "ally-mail-assistant",
            "Connection": "close",
        }.items():
            connection.putheader(name, value)
        try:
            connection.endheaders()
            for start in range(0, len(most), _CHUNK):
                sock.settimeout(deadline.remaining())
                connection.send(most[start : start + _CHUNK])
        except (BrokenPipeError, ConnectionResetError):
            return True
        return False

    def _answer(self, sock: socket.socket, deadline: Deadline) -> _Answer:
        with http.client.HTTPResponse(cast("socket.socket", Incoming(sock, deadline)), method="POST") as response:
            response.begin()
            body = b""
            with suppress(OSError, http.client.HTTPException, NotFetched):  # the status says enough
                body = response.read(_MAX_BODY)
            return _Answer(response.status, _words(response.status, body), _wait(response.getheader("Retry-After")))

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        times, track = self._network.timeouts, self._track
        guard = self._network.guard.only_ports(self._port)
        deadline = Deadline(times.total)
        track.enter("dns")
        endpoints = guard.resolve(self._host)
        track.enter("connect")
        sock = guard.connect(endpoints, self._port, deadline.within(times.connect).remaining())
        if self._secure:
            track.enter("tls")
            sock = wrapped(sock, endpoints[0].host, self._network.context, deadline.within(times.tls).remaining())
        with sock:
            yield sock

    def _not_sent(self, stage: Stage, failure: Failure, wait: float) -> Refused | Later:
        found = explain(failure)
        raw = self._redacted(failure.text)
        if found.retry:
            return Later(stage, found.cause, found.who, raw, (), wait)
        refused = found.blames_secret
        return Refused(stage, found.cause, found.who, raw, blames_secret=False, declined=(), token_refused=refused)

    def _redacted(self, text: str) -> str:
        return redact(text, (self._token.value,))


def _check_same(message: EmailMessage, recipients: tuple[str, ...]) -> None:
    """Graph sends to whom the headers name. Raises BadMessage where that is somebody else."""
    if _named(message) != set(recipients):
        raise BadMessage("recipients")


def _named(message: EmailMessage) -> set[str]:
    named: set[str] = set()
    for header in _TO:
        for value in message.get_all(header, []):
            named.update(address.addr_spec for address in cast("Any", value).addresses)
    return named


def _words(status: int, body: bytes) -> str:
    """`CODE: message` of an error (learn.microsoft.com/graph/errors), and what the status means where it has none."""
    if status == _ACCEPTED:
        return f"{status} accepted"
    if status < _CLIENT:
        return f"an answer with status {status} [{_NAMED[_UNAVAILABLE]}]"
    try:
        error = json.loads(body)["error"]
        told = f"{error['code']}: {error['message']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        told = ""
    otherwise = _NAMED[_UNAVAILABLE] if status >= _SERVER else _OTHERWISE
    return f"{told} [{_NAMED.get(status, otherwise)}]".strip()


def _wait(told: str | None) -> float:
    """Retry-After in seconds; Graph tells no dates (learn.microsoft.com/graph/throttling)."""
    told = (told or "").strip()
    return min(float(told[:9]), _LONGEST_WAIT) if told.isascii() and told.isdigit() else 0.0
