"""The live test and sending against a real Postfix that signs people in through a real Dovecot."""

import datetime as dt
import uuid

import pytest

from bot.mail.knowledge.provider import Server
from bot.mail.wire.account import Account
from bot.mail.wire.guard import Guard
from bot.mail.wire.probe import Worked, test_login
from bot.mail.wire.send import Accepted, Refused, compose, send
from bot.mail.wire.smtp import Network, tls_context
from tests.dns_server import DnsServer
from tests.mailservers import LOOPBACK, started_mail_servers

pytestmark = pytest.mark.world
ANA, BRUNO = "ana@agencia.test", "bruno@agencia.test"
PASSWORD = "açaí: chá e {pão}"


@pytest.fixture(scope="module")
def servers():
    with started_mail_servers({ANA: PASSWORD, BRUNO: "bruno's own"}) as servers:
        yield servers


@pytest.fixture
def network(servers):
    with DnsServer({servers.host: [LOOPBACK]}) as dns:
        ports = (servers.smtps_port, servers.submission_port)
        guard = Guard(allow_networks=("127.0.0.0/8",), allow_ports=ports, nameserver=dns.address)
        yield Network(guard, tls_context(str(servers.ca_pem)), "assistant.agencia.test")


def account(servers, security="tls", address=ANA):
    port = servers.smtps_port if security == "tls" else servers.submission_port
    return Account(address, ANA, Server(servers.host, port, security))


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_real_server_passes_every_stage(servers, network, security):
    found = test_login(account(servers, security), PASSWORD, network=network, provider=None)
    assert isinstance(found, Worked)
    assert found.stages[-1] == "rcpt_to"


def test_a_real_server_refuses_a_wrong_password(servers, network):
    found = test_login(account(servers), "wrong", network=network, provider=None)
    assert (found.stage, found.cause, found.blames_secret) == ("auth", "wrong_credentials", True)


def test_a_real_starttls_port_repairs_the_mode(servers, network):
    wrong = Account(ANA, ANA, Server(servers.host, servers.submission_port, "tls"))
    found = test_login(wrong, PASSWORD, network=network, provider=None)
    assert isinstance(found, Worked)
    assert (found.repaired, found.server.security) == (True, "starttls")


def written(subject, text="Olá!\n.\nfim"):
    now = dt.datetime.now(dt.UTC)
    marker = str(uuid.uuid4())
    return compose(sender=ANA, name="Ana Souza", to=[BRUNO], subject=subject, text=text, date=now, marker=marker)


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_mail_arrives_as_it_was_written(servers, network, security):
    message = written(f"Olá por {security} ✓")
    found = send(
        account(servers, security), PASSWORD, message, [BRUNO], network=network, provider=None, on_accepted=str
    )
    assert isinstance(found, Accepted)
    arrived = servers.wait_for_mail(BRUNO, f"Olá por {security} ✓")
    assert arrived["Message-ID"] == message["Message-ID"]
    assert arrived.get_content().replace("\r\n", "\n") == "Olá!\n.\nfim\n"


def test_an_unknown_recipient_is_declined(servers, network):
    message = written("nobody")
    found = send(
        account(servers), PASSWORD, message, ["nobody@agencia.test"], network=network, provider=None, on_accepted=str
    )
    assert isinstance(found, Refused)
    assert (found.stage, found.cause) == ("rcpt_to", "recipient_rejected")
