"""The staged live test: whether an account works on its server, and if not, at which stage it fails, and why.

The stages: input, dns, connect, tls, greeting, ehlo, starttls, auth, mail_from, rcpt_to. Nobody is asked "SSL yes or
no?": where the mode does not fit the port, the other one is tried once, before any secret was sent. After a failure it
is looked, without credentials, whether it is our own network, whether the server has another name that it can prove,
and whether it answers at the other submission port: all that a person would else have to be asked.
"""

import smtplib
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from bot.mail.knowledge.explain import Failure, Stage, Who, explain
from bot.mail.knowledge.provider import Server
from bot.mail.knowledge.redact import redact
from bot.mail.wire import certificate
from bot.mail.wire.account import Account, BadCredential, Secret, Token, check_account, plain
from bot.mail.wire.addresses import BadAddress
from bot.mail.wire.guard import Endpoint, GuardError
from bot.mail.wire.smtp import (
    PASSED,
    Deadline,
    Network,
    Session,
    Track,
    Watch,
    methods,
    open_session,
    sign_in,
    stated_size,
    unwatched,
)

_FORWARDED = 251
_WRONG_MODE = "tls_wrong_mode_for_port"
_NO_WAY = "connection_timeout_or_blocked_port"
_NO_SERVER_THERE = frozenset({_WRONG_MODE, "greeting_timeout", "connection_dropped", "connection_refused", _NO_WAY})
SUBMISSION: dict[int, Literal["tls", "starttls"]] = {465: "tls", 587: "starttls"}  # RFC 8314 7.3, RFC 6409
_FOR_READING = frozenset({143, 993})  # IMAP: no mail is handed in there
_LOOK_AROUND = 10.0  # seconds for the other ports together


@dataclass(frozen=True)
class Worked:
    """Signed in, and the server takes mail from the address.

    `server` is what worked; `repaired` = that is not what was given, the other mode was. `size` = the largest mail in
    bytes that it takes, as it says itself (RFC 1870); 0: it does not say.
    """

    server: Server
    repaired: bool
    stages: tuple[Stage, ...]
    size: int = 0


@dataclass(frozen=True)
class Answered:
    """A mail server that proved its name answers there; nobody signed in. `methods`: the ways to, as offered."""

    server: Server
    repaired: bool
    stages: tuple[Stage, ...]
    methods: tuple[str, ...]
    size: int = 0


@dataclass(frozen=True)
class Failed:
    """Where and why it failed, who can act, whether the same try may succeed later.

    `raw` is the server's or the system's own text, redacted, for staff. `answered` = a mail server greeted us; before
    that a person is told no more than "no mail server answered there", or the test becomes a port scanner.
    `blames_secret` = the password is useless and has to be erased. `token_refused` = the access token was: a fresh one
    may do, else the person signs in at the provider again. `server` is what was tried last.

    `ours` = not even a host that always answers is reached at that port: our own network blocks it. `detail` = what
    is wrong about the certificate. `better_host` = another name of the same server, proved by a verified handshake;
    `better_server` = the same host at its other submission port, where a mail server proved its name. Both are only to
    be offered: a person says yes before a secret goes there.
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
    ours: bool = False
    detail: certificate.Detail = ""
    better_host: str | None = None
    better_server: Server | None = None
    token_refused: bool = False


def test_login(
    account: Account,
    secret: Secret,
    *,
    network: Network,
    provider: str | None,
    watch: Watch = unwatched,  # noqa: PT028 - no test of pytest's
) -> Worked | Failed:
    """Test an account with the password its person gave, or a token; `provider` is the provider's family, where known.

    Takes at most `network.timeouts.total` seconds (and `leave` for the answer to QUIT, and what `network.egress`
    takes); sends one AUTH command and no message. Raises nothing that a server, a network or a typed value could cause.
    """
    found = _Test(account.server, network, provider, watch, account, secret).run()
    return found if isinstance(found, Failed) else Worked(found.server, found.repaired, found.stages, found.size)


def check_server(server: Server, *, network: Network, watch: Watch = unwatched) -> Answered | Failed:
    """The same test without credentials: it ends after EHLO inside verified TLS. Bounds and errors as test_login."""
    return _Test(server, network, None, watch).run()


# pytest collects what is called test_*; this is the product's own test
test_login.__test__ = False  # type: ignore[attr-defined]


class _Test:
    def __init__(
        self,
        server: Server,
        network: Network,
        provider: str | None,
        watch: Watch,
        account: Account | None = None,
        secret: Secret = "",
    ) -> None:
        self._server = server
        self._account = account
        self._secret = secret
        self._network = network
        self._provider = provider
        self._watch = watch
        self._deadline = Deadline(network.timeouts.total)

    def run(self) -> Answered | Failed:
        track = Track(self._watch)
        server = self._server
        try:
            address = check_account(self._account, self._secret) if self._account else ""
            self._network.guard.check_port(server.port)
            track.enter("dns")
            endpoints = self._network.guard.resolve(server.host)
        except (BadAddress, BadCredential, GuardError) as error:
            return self._failed(error, track, server)
        found = self._attempt(server, address, endpoints, track)
        if isinstance(found, Failed) and _mode_may_be_wrong(found):
            found = self._repair(found, address, endpoints, track.again())
        return self._looked_around(found, endpoints) if isinstance(found, Failed) else found

    def _repair(self, first: Failed, address: str, endpoints: tuple[Endpoint, ...], again: Track) -> Answered | Failed:
        """The other mode on the same port; the first failure, where that finds no mail server either."""
        other = replace(first.server, security="tls" if first.server.security == "starttls" else "starttls")
        second = self._attempt(other, address, endpoints, again)
        if isinstance(second, Failed) and not second.answered and second.cause in _NO_SERVER_THERE:
            return first
        return replace(second, repaired=True)

    def _attempt(
        self, server: Server, address: str, endpoints: tuple[Endpoint, ...], track: Track
    ) -> Answered | Failed:
        try:
            session = open_session(server, endpoints, self._network, self._deadline, track)
        except (OSError, GuardError) as error:
            return self._named(error, self._failed(error, track, server), track.address)
        try:
            if self._account:
                self._prove(session, self._account.user, address, track)
            track.arrive()
            return Answered(server, False, track.passed, methods(session), stated_size(session))  # noqa: FBT003
        except OSError as error:
            return self._failed(error, track, server)
        finally:
            session.leave(self._network.timeouts.leave)

    def _prove(self, session: Session, user: str, address: str, track: Track) -> None:
        """Sign in, then begin a mail from the address to itself and drop it."""
        track.enter("auth")
        sign_in(session, user, self._secret)
        track.enter("mail_from")
        _expect(session.mail(address), PASSED)
        track.enter("rcpt_to")
        code, reply = session.rcpt(address)
        if not _is_temporary(code):  # greylisting says nothing about the account
            _expect((code, reply), PASSED, _FORWARDED)
        with suppress(OSError):
            session.rset()

    def _failed(self, error: Exception, track: Track, server: Server) -> Failed:
        """What an exception at the track's stage means."""
        track.fail()
        by_token = isinstance(self._secret, Token)
        failure = replace(Failure.of(error, track.stage, self._provider), by_token=by_token)
        found = explain(failure)
        return Failed(
            stage=track.stage,
            cause=found.cause,
            who=found.who,
            retry=found.retry,
            raw=redact(failure.text, (plain(self._secret),)),
            code=failure.code,
            answered="greeting" in track.passed,
            blames_secret=found.blames_secret and not by_token,
            token_refused=found.blames_secret and by_token,
            server=server,
            detail=certificate.detail(error),
        )

    def _named(self, error: Exception, failed: Failed, address: str) -> Failed:
        """The failure, with the name that the server can prove where it could not prove the typed one."""
        if not certificate.names_another(error):
            return failed
        return replace(
            failed, better_host=certificate.better_host(failed.server, address, self._network, self._deadline)
        )

    def _looked_around(self, failed: Failed, endpoints: tuple[Endpoint, ...]) -> Failed:
        """The failure, with what can be told where no mail server answered at the port."""
        if failed.stage == "connect" and failed.cause == _NO_WAY:
            failed = self._whose(failed)
        if failed.stage == "connect" or (failed.server.port in _FOR_READING and not failed.answered):
            failed = replace(failed, better_server=self._at_other_port(failed.server, endpoints))
        return failed

    def _whose(self, failed: Failed) -> Failed:
        """A silence, told apart: our own network blocks the port, or theirs is silent; as it was, if we cannot tell."""
        blocked = self._network.egress.blocked(failed.server.port) if self._network.egress else None
        if blocked is None:
            return failed
        return replace(failed, ours=True, who="us", retry=True) if blocked else replace(failed, who="user")

    def _at_other_port(self, server: Server, endpoints: tuple[Endpoint, ...]) -> Server | None:
        """The same host at another submission port, if a mail server proves its name there."""
        with suppress(TimeoutError):
            deadline = self._deadline.within(_LOOK_AROUND)
            for port, security in SUBMISSION.items():
                other = Server(server.host, port, security)
                if port != server.port and self._answers(other, endpoints, deadline):
                    return other
        return None

    def _answers(self, server: Server, endpoints: tuple[Endpoint, ...], deadline: Deadline) -> bool:
        deadline.remaining()
        try:
            session = open_session(server, endpoints, self._network, deadline, Track())
        except (OSError, GuardError):
            return False
        session.leave(self._network.timeouts.leave)
        return True


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
