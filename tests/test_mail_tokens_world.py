"""Access tokens of an OpenID provider that is not ours, at a real Postfix and Dovecot: taken, refused, expired."""

import datetime as dt
import uuid

import pytest

from bot.mail.knowledge.provider import Server
from bot.mail.wire.account import Account, Token
from bot.mail.wire.guard import Guard
from bot.mail.wire.probe import Worked, test_login
from bot.mail.wire.send import Accepted, Refused, compose, for_wire, send
from bot.mail.wire.sent_folder import arrived, prove
from bot.mail.wire.smtp import Network, tls_context
from tests.dns_server import DnsServer
from tests.mailservers import LOOPBACK, started_mail_servers
from tests.oidc import IMAP_SCOPE, SMTP_SCOPE

pytestmark = pytest.mark.world
ANA, BRUNO = "ana@agencia.test", "bruno@agencia.test"
PASSWORD = "açaí: chá e {pão}"
SCOPES = [SMTP_SCOPE, IMAP_SCOPE]


@pytest.fixture(scope="module")
def servers(session_oidc):
    """They ask the provider about each token, and file a copy of what is sent, as the large providers do."""
    url = session_oidc.introspection_url
    with started_mail_servers(
        {ANA: PASSWORD, BRUNO: "bruno-signs-in"}, files_copies=True, introspection_url=url
    ) as servers:
        yield servers


@pytest.fixture
def network(servers):
    with DnsServer({servers.host: [LOOPBACK]}) as dns:
        ports = (servers.smtps_port, servers.submission_port, servers.imaps_port)
        guard = Guard(allow_networks=("127.0.0.0/8",), allow_ports=ports, nameserver=dns.address)
        yield Network(guard, tls_context(str(servers.ca_pem)), "assistant.agencia.test")


def account(servers, security="tls", address=ANA):
    port = servers.smtps_port if security == "tls" else servers.submission_port
    return Account(address, address, Server(servers.host, port, security))


def imap_account(servers, address=ANA):
    return Account(address, address, Server(servers.host, servers.imaps_port, "tls"))


def login(servers, network, token, **more):
    return test_login(account(servers, **more), token, network=network, provider=None)


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_token_passes_every_stage(servers, network, oidc, security):
    access, _ = oidc.grant(ANA, SCOPES)
    found = login(servers, network, Token(access), security=security)
    assert isinstance(found, Worked), found
    assert found.stages[-1] == "rcpt_to"
    assert oidc.count("introspect") == 1


def test_a_password_still_signs_in_beside_it(servers, network, oidc):
    assert isinstance(login(servers, network, PASSWORD), Worked)
    found = login(servers, network, "wrong")
    assert (found.cause, found.blames_secret, found.token_refused) == ("wrong_credentials", True, False)


def test_a_mail_to_oneself_goes_out_arrives_and_is_found_in_sent(servers, network, oidc):
    token = Token(oidc.grant(ANA, SCOPES)[0])
    marker = str(uuid.uuid4())
    mail = compose(
        sender=ANA, name="Ana", to=[ANA], subject="Prova", text="Olá", date=dt.datetime.now(dt.UTC), marker=marker
    )
    told = []
    outcome = send(account(servers), token, mail, [ANA], network=network, provider=None, on_accepted=told.append)
    assert isinstance(outcome, Accepted)
    assert told == [outcome.reply]
    assert servers.wait_for_mail(ANA, "Prova")["Message-ID"] == mail["Message-ID"]
    of_mail = {"network": network, "waits": (0.0, 0.2, 0.5, 1.0, 2.0)}
    assert arrived(imap_account(servers), token, mail["Message-ID"], **of_mail)
    copy = prove(imap_account(servers), token, for_wire(mail), mail["Message-ID"], server_files=True, **of_mail)
    assert (copy.state, copy.folder) == ("found", "Sent")


def refused_everywhere(servers, network, token, address=ANA):
    found = login(servers, network, token, address=address)
    assert (found.stage, found.cause, found.who) == ("auth", "wrong_credentials", "user")
    assert (found.token_refused, found.blames_secret, found.code) == (True, False, 535)
    mail = compose(
        sender=address, name="", to=[BRUNO], subject="x", text="x", date=dt.datetime.now(dt.UTC), marker="m" * 8
    )
    outcome = send(
        account(servers, address=address),
        token,
        mail,
        [BRUNO],
        network=network,
        provider=None,
        on_accepted=lambda _: None,
    )
    assert isinstance(outcome, Refused)
    assert outcome.token_refused
    copy = prove(
        imap_account(servers, address),
        token,
        for_wire(mail),
        mail["Message-ID"],
        network=network,
        server_files=True,
        waits=(0.0,),
    )
    assert (copy.state, copy.cause, copy.token_refused) == ("no_imap", "wrong_credentials", True)
    for text in (repr(found), repr(outcome), repr(copy), servers.smtp_log()):
        assert token.value not in text
    return found, copy


def test_a_token_that_is_none_is_refused(servers, network, oidc):
    found, copy = refused_everywhere(servers, network, Token("made.up-token"))
    assert "token refused: status" in found.raw
    assert "token refused: status" in copy.raw


def test_an_expired_token_is_refused(servers, network, oidc):
    token = Token(oidc.grant(ANA, SCOPES)[0])
    assert isinstance(login(servers, network, token), Worked)
    oidc.move_clock(3601)
    refused_everywhere(servers, network, token)


def test_a_revoked_token_is_refused(servers, network, oidc):
    access, refresh = oidc.grant(ANA, SCOPES)
    oidc.revoke(refresh)
    refused_everywhere(servers, network, Token(access))


def test_a_token_opens_no_other_mailbox_than_its_own(servers, network, oidc):
    refused_everywhere(servers, network, Token(oidc.grant(ANA, SCOPES)[0]), BRUNO)


def test_the_password_of_a_mailbox_is_no_token(servers, network, oidc):
    refused_everywhere(servers, network, Token("bruno-signs-in"), BRUNO)


def test_a_server_that_takes_no_tokens_never_hears_one(network, oidc):
    with started_mail_servers({ANA: PASSWORD}) as plain, DnsServer({plain.host: [LOOPBACK]}) as dns:
        guard = Guard(allow_networks=("127.0.0.0/8",), allow_ports=(plain.smtps_port,), nameserver=dns.address)
        own = Network(guard, tls_context(str(plain.ca_pem)), "assistant.agencia.test")
        found = login(plain, own, Token("a-token"))
        assert (found.stage, found.cause, found.who) == ("auth", "relay_denied_auth_required", "us")
        assert "SASL" not in plain.smtp_log()
