"""The staged live test: whether an account works on its server, and if not, at which stage it fails, and why.

The stages: input, dns, connect, tls, greeting, ehlo, starttls, auth, mail_from, rcpt_to. Nobody is asked "SSL yes or
no?": where the mode does not fit the port, the other one is tried once, before any secret was sent.
"""

import smtplib
from contextlib import suppress
from dataclasses import dataclass, replace

from bot.mail.knowledge.explain import Failure, Stage, Who, explain
from bot.mail.knowledge.providers import Server
from bot.mail.knowledge.redact import redact
from bot.mail.wire.account import Account, BadCredential, check_account
from bot.mail.wire.addresses import BadAddress
from bot.mail.wire.guard import Endpoint, GuardError
from bot.mail.wire.smtp import PASSED, Deadline, Network, Session, Track, open_session, sign_in

_FORWARDED = 251
_WRONG_MODE = "tls_wrong_mode_for_port"
_NO_SERVER_THERE = frozenset(
    {_WRONG_MODE, "greeting_timeout", "connection_dropped", "connection_refused", "connection_timeout_or_blocked_port"}
)


@dataclass(frozen=True)
class Worked:
    """Signed in, and the server takes mail from the address.

    `server` is what worked; `repaired` = that is not what was given, the other mode was.
    """

    server: Server
    repaired: bool
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Failed:
    """Where and why it failed, who can act, whether the same try may succeed later.

    `raw` is the server's or the system's own text, redacted, for staff. `answered` = a mail server greeted us; before
    that a person is told no more than "no mail server answered there", or the test becomes a port scanner.
    `blames_secret` = the secret is useless and has to be erased. `server` is what was tried last.
    """

    stage: Stage
    cause: str
    who: Who
    retry: bool
    raw: str
    code: int | None
    answered: bool
    blames_secret: bool
    server: Server
    repaired: bool = False


def test_login(account: Account, secret: str, *, network: Network, provider: str | None) -> Worked | Failed:
    """Test an account with the secret its person gave; `provider` is the provider's family, where known.

    Takes at most `network.timeouts.total` seconds (and `leave` for the answer to QUIT); sends one AUTH command and
    no message. Raises nothing that a server, a network or a typed value could cause.
    """
    return _Test(account, secret, network, provider).run()


# pytest collects what is called test_*; this is the product's own test
test_login.__test__ = False  # type: ignore[attr-defined]


class _Test:
    def __init__(self, account: Account, secret: str, network: Network, provider: str | None) -> None:
        self._account = account
        self._secret = secret
        self._network = network
        self._provider = provider
        self._deadline = Deadline(network.timeouts.total)

    def run(self) -> Worked | Failed:
        track = Track()
        server = self._account.server
        try:
            address = check_account(self._account, self._secret)
            self._network.guard.check_port(server.port)
            track.enter("dns")
            endpoints = self._network.guard.resolve(server.host)
        except (BadAddress, BadCredential, GuardError) as error:
            return self._failed(error, track, server)
        first = self._attempt(server, address, endpoints, track)
        if isinstance(first, Worked) or not _mode_may_be_wrong(first):
            return first
        return self._repair(first, address, endpoints)

    def _repair(self, first: Failed, address: str, endpoints: tuple[Endpoint, ...]) -> Worked | Failed:
        """The other mode on the same port; the first failure, where that finds no mail server either."""
        other = replace(first.server, security="tls" if first.server.security == "starttls" else "starttls")
        again = Track()
        again.passed, again.stage = ("input",), "dns"
        second = self._attempt(other, address, endpoints, again)
        if isinstance(second, Failed) and not second.answered and second.cause in _NO_SERVER_THERE:
            return first
        return replace(second, repaired=True)

    def _attempt(self, server: Server, address: str, endpoints: tuple[Endpoint, ...], track: Track) -> Worked | Failed:
        try:
            session = open_session(server, endpoints, self._network, self._deadline, track)
        except (OSError, GuardError) as error:
            return self._failed(error, track, server)
        try:
            self._prove(session, address, track)
            return Worked(server, repaired=False, stages=track.passed)
        except OSError as error:
            return self._failed(error, track, server)
        finally:
            session.leave(self._network.timeouts.leave)

    def _prove(self, session: Session, address: str, track: Track) -> None:
        """Sign in, then begin a mail from the address to itself and drop it."""
        track.enter("auth")
        sign_in(session, self._account.user, self._secret)
        track.enter("mail_from")
        _expect(session.mail(address), PASSED)
        track.enter("rcpt_to")
        code, reply = session.rcpt(address)
        if not _is_temporary(code):  # greylisting says nothing about the account
            _expect((code, reply), PASSED, _FORWARDED)
        track.arrive()
        with suppress(OSError):
            session.rset()

    def _failed(self, error: Exception, track: Track, server: Server) -> Failed:
        """What an exception at the track's stage means."""
        failure = Failure.of(error, track.stage, self._provider)
        found = explain(failure)
        return Failed(
            stage=track.stage,
            cause=found.cause,
            who=found.who,
            retry=found.retry,
            raw=redact(failure.text, (self._secret,)),
            code=failure.code,
            answered="greeting" in track.passed,
            blames_secret=found.blames_secret,
            server=server,
        )


def _mode_may_be_wrong(failed: Failed) -> bool:
    """Whether the failure looks like the wrong mode: no TLS where it was tried, or silence where it was not."""
    if failed.server.security == "tls":
        return failed.stage == "tls" and failed.cause == _WRONG_MODE
    return failed.stage == "greeting" and failed.code is None


def _expect(answer: tuple[int, bytes], *codes: int) -> None:
    if answer[0] not in codes:
        raise smtplib.SMTPResponseException(*answer)


def _is_temporary(code: int) -> bool:
    return code // 100 == 4  # noqa: PLR2004 - RFC 5321 4.2.1
