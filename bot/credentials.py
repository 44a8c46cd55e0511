"""What a mailbox signs in with, a password or a token, and the way on which its mail leaves: the same for all."""

from collections.abc import Callable, Sequence
from email.message import EmailMessage
from uuid import UUID

from bot import grants
from bot.facts import on_the_wire
from bot.handiwork import Tools, family_of, imap_of, provider_of
from bot.mail.wire import graph, send
from bot.mail.wire import relay as relaying
from bot.mail.wire.account import Token
from bot.mail.wire.probe import Failed, Worked, test_login
from bot.mail.wire.smtp import Network, Watch, unwatched
from bot.oauth_apps import lets_us_look
from bot.safe import use_of
from bot.store import grants as grant_store
from bot.store import secrets
from bot.store.engine import reading
from bot.vault import Secret, Unopenable
from flows.words import Account

Credential = Secret | Token


def credential_of(tools: Tools, account: Account, secret_id: UUID) -> Credential:
    """The password of an account, without the blanks with which its provider shows it; or its token, kept fresh.

    Raises Unopenable (it was erased, or is for something else; OverError: the sign-in has ended) and NotNowError (the
    provider does not answer).
    """
    with reading(tools.engine) as db:
        record = secrets.get(db, secret_id)
        if record is None:
            raise Unopenable("This secret was erased.")
        if record.kind == "mailbox.password" and account.transport == "smtp":
            secret = tools.safe.take(db, secret_id, kind="mailbox.password", use=use_of(account))
            provider = provider_of(tools, account)
            return Secret(provider.secret_shape.clean(secret.reveal())) if provider else secret
    return grants.fresh(tools, secret_id, account)


def opened(credential: Credential) -> str | Token:
    """As the wire takes it."""
    return credential.reveal() if isinstance(credential, Secret) else credential


def may_look_in(tools: Tools, account: Account, secret_id: UUID) -> bool:
    """Whether the mailbox may be looked into: with a password always, by a token where that was granted.

    A token goes to an IMAP server of its provider only, whatever address the database or an operator's table says.
    """
    with reading(tools.engine) as db:
        row = grant_store.get(db, secret_id)
    if row is None:
        return True
    theirs = imap_of(tools, account).server.host in tools.providers.token_hosts(row.provider)
    return theirs and lets_us_look(account.transport, row.provider, row.scopes)


def try_account(tools: Tools, account: Account, secret_id: UUID, *, watch: Watch = unwatched) -> Worked | Failed:
    """The live test, by whichever way the account's mail leaves. Raises what `credential_of` does."""
    credential = credential_of(tools, account, secret_id)
    result = _tried(tools, account, credential, watch)
    if isinstance(result, Failed) and result.token_refused and isinstance(credential, Token):
        other = _anew(tools, account, secret_id, credential)
        return result if other is None else _tried(tools, account, other, watch)
    return result


def _tried(tools: Tools, account: Account, credential: Credential, watch: Watch) -> Worked | Failed:
    wire = on_the_wire(account)
    if isinstance(credential, Token) and account.transport == "graph":
        return graph.test_login(wire, credential, network=tools.network, watch=watch, url=tools.apps.graph_url)
    family = family_of(tools, account)
    return test_login(wire, opened(credential), network=tools.network, provider=family, watch=watch)


def _anew(tools: Tools, account: Account, secret_id: UUID, refused: Token) -> Token | None:
    """Another token where a server refused one that should be good: asked for once. None: there is none now."""
    try:
        return grants.fresh(tools, secret_id, account, refused)
    except grants.NotNowError:
        return None


def hand_over(
    tools: Tools,
    account: Account,
    secret_id: UUID,
    message: EmailMessage,
    recipients: Sequence[str],
    *,
    on_handing: Callable[[], None],
    on_accepted: Callable[[str], None],
    network: Network | None = None,
) -> send.Outcome:
    """Hand a mail over, by whichever way it leaves.

    Raises what `credential_of` does, BadAddress, BadCredential, BadMessage.
    """
    wire, through = on_the_wire(account), network or tools.network

    def handed(credential: Credential) -> send.Outcome:
        if isinstance(credential, Token) and account.transport == "graph":
            return graph.send(
                wire, credential, message, recipients, network=through, on_handing=on_handing, on_accepted=on_accepted,
                url=tools.apps.graph_url,
            )  # fmt: skip
        return send.send(
            wire, opened(credential), message, recipients, network=through, provider=family_of(tools, account),
            on_handing=on_handing, on_accepted=on_accepted,
        )  # fmt: skip

    credential = credential_of(tools, account, secret_id)
    outcome = handed(credential)
    if isinstance(outcome, send.Refused) and outcome.token_refused and isinstance(credential, Token):
        other = _anew(tools, account, secret_id, credential)  # it was refused before a byte of the mail left
        return outcome if other is None else handed(other)
    return outcome


class _Asked:
    """A credential that is asked for when a connection is made: on one that was kept nobody asks."""

    def __init__(self, tools: Tools, account: Account, secret_id: UUID) -> None:
        self._of = (tools, account, secret_id)
        self.given: Credential | None = None

    def __call__(self) -> str | Token:
        if self.given is None:
            self.given = credential_of(*self._of)
        return opened(self.given)


def relay(
    tools: Tools,
    lines: relaying.Lines,
    account: Account,
    secret_id: UUID,
    content: bytes,
    recipients: Sequence[str],
    *,
    on_handing: Callable[[], None],
    on_accepted: Callable[[str], None],
) -> send.Outcome:
    """Hand on a message that somebody else wrote, by whichever way the account's mail leaves.

    Raises what `hand_over` does, and NeedsEightBit.
    """
    asked, wire = _Asked(tools, account, secret_id), on_the_wire(account)

    def handed() -> send.Outcome:
        if account.transport == "graph" and isinstance(token := asked(), Token):
            return graph.relay(
                wire, token, content, recipients, network=tools.network, on_handing=on_handing, on_accepted=on_accepted,
                url=tools.apps.graph_url,
            )  # fmt: skip
        family, key = family_of(tools, account), (secret_id, wire)
        way = relaying.Way(wire, asked, tools.network, family, lines, key)
        return relaying.relay(way, content, recipients, on_handing=on_handing, on_accepted=on_accepted)

    outcome = handed()
    if isinstance(outcome, send.Refused) and outcome.token_refused and isinstance(asked.given, Token):
        asked.given = _anew(tools, account, secret_id, asked.given)  # it was refused before a byte of the mail left
        return outcome if asked.given is None else handed()
    return outcome
