"""What is wrong about a certificate, and the right name of the server: proposed only when it is proved."""

import datetime as dt
import re
import ssl
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from bot.mail.knowledge.provider import Server
from bot.mail.wire.account import Account
from bot.mail.wire.certificate import better_host, names_in
from bot.mail.wire.probe import Answered, Worked, check_server, test_login
from bot.mail.wire.smtp import Deadline, tls_context
from tests.dns_server import DnsServer
from tests.faulty_smtp import (
    CLOSE,
    IMPATIENT,
    QUICK,
    RESET,
    SILENT,
    FaultySMTP,
    client_context,
    loopback_network,
    self_signed_context,
    server_context,
)

ADDRESS = "ana@agency.example"
SECRET = "correct horse"
TYPED = "mail.agency.example"
RIGHT = "smtp.hoster.example"
HERE, ELSEWHERE = ["127.0.0.1"], ["127.0.0.2"]
MODES = pytest.mark.parametrize("security", ["tls", "starttls"])


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def client(authority):
    return client_context(authority)


@contextmanager
def named(names, context, client, security="tls", *, timeouts=QUICK, **replies):
    """A server with a certificate, the name server, and what tests a typed host on it."""
    with DnsServer({TYPED: HERE, **names}) as dns, FaultySMTP(context, security, **replies) as server:

        def live(host=TYPED):
            network = loopback_network(client, server.port, nameserver=dns.address, timeouts=timeouts)
            account = Account(ADDRESS, ADDRESS, Server(host, server.port, security))
            return test_login(account, SECRET, network=network, provider=None)

        yield live, server, dns


# --- what is wrong about it


def sent_along(authority, folder):
    """A server that sends its own authority along: verify code 19 rather than 20."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = authority.issue_cert(TYPED)
    file = folder / "chain.pem"
    pems = [leaf.private_key_pem, *leaf.cert_chain_pems, authority.cert_pem]
    file.write_bytes(b"".join(pem.bytes() for pem in pems))
    context.load_cert_chain(file)
    return context


def faulty(fault, authority, folder):
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    match fault:
        case "self_signed":
            return self_signed_context(TYPED, folder)
        case "untrusted":
            return server_context(trustme.CA(), TYPED)
        case "untrusted, with its authority":
            return sent_along(trustme.CA(), folder)
        case "expired":
            return server_context(authority, TYPED, not_before=now - 9 * day, not_after=now - day)
        case _:
            return server_context(authority, TYPED, not_before=now + day, not_after=now + 9 * day)


@MODES
@pytest.mark.parametrize(
    "fault", ["self_signed", "untrusted", "untrusted, with its authority", "expired", "not_yet_valid"]
)
def test_what_is_wrong_about_a_certificate_is_told(authority, client, tmp_path, security, fault):
    """Codes 18, 20, 19, 10 and 9 of OpenSSL; no second look is taken, and no secret given."""
    with named({}, faulty(fault, authority, tmp_path), client, security) as (live, server, _):
        found = live()
    assert (found.stage, found.cause) == (security, "tls_certificate_invalid")
    assert found.detail == fault.partition(",")[0]
    assert (found.better_host, server.connections, server.auths) == (None, 1, [])


def test_what_is_no_fault_of_a_certificate_has_no_detail(authority, client):
    with named({}, server_context(authority, TYPED), client, auth="535 5.7.8 no") as (live, _, _):
        assert live().detail == ""


# --- the right name


@MODES
def test_the_name_that_the_server_can_prove_is_proposed(authority, client, security):
    """Two more connections: one that reads the names and says nothing, one that proves the name; no AUTH."""
    context = server_context(authority, RIGHT)
    with named({RIGHT: HERE}, context, client, security) as (live, server, _):
        found = live()
        commands, auths, connections = list(server.commands), list(server.auths), server.connections
        assert isinstance(live(found.better_host), Worked)
    assert (found.stage, found.cause, found.better_host, found.detail) == (
        security,
        "tls_hostname_mismatch",
        RIGHT,
        "",
    )
    ehlo = "ehlo assistant.example"
    refused_and_looking = [] if security == "tls" else [ehlo, "STARTTLS"] * 2
    proof = [ehlo, "QUIT"] if security == "tls" else [ehlo, "STARTTLS", ehlo, "QUIT"]
    assert commands == refused_and_looking + proof
    assert (auths, connections) == ([], 3)


def test_the_name_is_also_found_where_an_address_was_typed(authority, client):
    with named({RIGHT: HERE}, server_context(authority, RIGHT), client) as (live, _, _):
        found = live("127.0.0.1")
    assert (found.cause, found.better_host) == ("tls_hostname_mismatch", RIGHT)


def test_the_name_is_also_found_in_the_repaired_mode(authority, client):
    context = server_context(authority, RIGHT)
    with named({RIGHT: HERE}, context, client, "starttls") as (_, server, dns):
        network = loopback_network(client, server.port, nameserver=dns.address)
        found = check_server(Server(TYPED, server.port, "tls"), network=network)
    assert (found.repaired, found.stage, found.better_host) == (True, "starttls", RIGHT)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ({RIGHT: ELSEWHERE}, [RIGHT]),  # another machine
        ({RIGHT: ["10.0.0.5"]}, [RIGHT]),  # an address that is not connected to
        ({RIGHT: [*HERE, "10.0.0.5"]}, [RIGHT]),
        ({}, [RIGHT]),  # no such name
        ({RIGHT: HERE}, ["*.hoster.example"]),  # what a wildcard stands for is not known
        ({"hoster": HERE}, ["hoster"]),  # a single label
        ({}, ["127.0.0.9"]),  # an address: never a name
    ],
)
def test_no_name_is_proposed_that_is_not_the_same_server(authority, client, names, shown):
    with named(names, server_context(authority, *shown), client) as (live, server, _):
        found = live()
    assert (found.cause, found.better_host) == ("tls_hostname_mismatch", None)
    assert server.connections == 2
    assert server.commands == []


def test_no_name_is_proposed_that_does_not_verify(client, authority):
    """The name is the server's own, but its authority is nobody's, or its time is over: no proposal."""
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    expired = server_context(authority, RIGHT, not_before=past - dt.timedelta(days=9), not_after=past)
    for context in (server_context(trustme.CA(), RIGHT), expired):
        with named({RIGHT: HERE}, context, client) as (live, server, _):
            assert live().better_host is None
        assert server.auths == []


@pytest.mark.parametrize("second", [CLOSE, RESET, SILENT, "421 not again", "554 go away"])
def test_a_server_that_does_not_show_its_names_again_changes_nothing(authority, client, second):
    def greeting(peer):
        if peer.server.connections == 1:
            peer.say("220 mail.example.test")
        elif callable(second):
            second(peer)
        else:
            peer.say(second)

    context = server_context(authority, RIGHT)
    with named({RIGHT: HERE}, context, client, "starttls", timeouts=IMPATIENT, greeting=greeting) as (live, server, _):
        found = live()
    assert (found.stage, found.cause, found.better_host) == ("starttls", "tls_hostname_mismatch", None)
    assert server.connections == 2


def test_a_server_that_refuses_starttls_the_second_time_changes_nothing(authority, client):
    def starttls(peer):
        peer.say("220 go on" if peer.server.connections == 1 else "454 4.7.0 not now")

    context = server_context(authority, RIGHT)
    with named({RIGHT: HERE}, context, client, "starttls", starttls=starttls) as (live, server, _):
        found = live()
    assert (found.cause, found.better_host) == ("tls_hostname_mismatch", None)
    assert server.auths == []


def test_what_is_looked_for_ends_with_the_whole_test(authority, client):
    """The time is up when the certificate has been refused: nothing more is begun."""
    with FaultySMTP(server_context(authority, RIGHT)) as server:
        network = loopback_network(client, server.port)
        over = Deadline(-1)
        assert better_host(Server("localhost", server.port, "tls"), "127.0.0.1", network, over) is None
    assert server.connections == 0


@pytest.mark.parametrize(
    ("shown", "proposed"),
    [
        (["www.hoster.example", "smtp.hoster.example"], "smtp.hoster.example"),  # what sounds like mail comes first
        (["mail.hoster.example", "x.agency.example"], "x.agency.example"),  # and before it what is beside the typed
        (["*.hoster.example", "host7.hoster.example"], "host7.hoster.example"),
        (["lost.example", "srv1.hoster.example"], "srv1.hoster.example"),
        (["SRV1.Hoster.Example"], "srv1.hoster.example"),
    ],
)
def test_the_likeliest_name_is_tried_first(authority, client, shown, proposed):
    names = {name.lower(): HERE for name in shown if not name.startswith(("*", "lost"))}
    with named(names, server_context(authority, *shown), client) as (live, _, _):
        assert live().better_host == proposed


def test_at_most_three_names_are_looked_up(authority, client):
    shown = [f"srv{number}.hoster.example" for number in range(40)]
    with named({}, server_context(authority, *shown), client) as (live, _, dns):
        assert live().better_host is None
        assert {name for name, _ in dns.asked} == {TYPED, *shown[:3]}


def test_names_are_read_from_a_certificate_and_are_bounded(authority):
    leaf = trustme.CA().issue_cert(*(f"s{number}.example" for number in range(300)))
    der = ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())
    assert len(names_in(der)) == 100
    assert names_in(der)[0] == "s0.example"


def test_a_certificate_without_names_has_none(authority):
    root = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    der = ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())
    assert [extension.oid for extension in root.extensions].count(x509.SubjectAlternativeName.oid) == 0
    for unreadable in (der, b"", b"\x30\x82", der[:200], der[:-1], b"x" * 70_000):
        assert names_in(unreadable) == ()


def test_a_spoilt_certificate_has_no_effect(authority):
    """Every byte in turn: what is read comes from strangers."""
    der = ssl.PEM_cert_to_DER_cert(authority.issue_cert(RIGHT).cert_chain_pems[0].bytes().decode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place in range(len(der)):
            for value in (0, 0x7F, 0xFF, der[place] ^ 1):
                assert len(names_in(der[:place] + bytes([value]) + der[place + 1 :])) <= 100


@pytest.mark.world
@MODES
def test_the_name_of_a_real_server_is_found(mail_servers, security):
    port = mail_servers.smtps_port if security == "tls" else mail_servers.submission_port
    with DnsServer({TYPED: HERE, mail_servers.host: HERE}) as dns:
        network = loopback_network(tls_context(str(mail_servers.ca_pem)), port, nameserver=dns.address)
        found = check_server(Server(TYPED, port, security), network=network)
        assert (found.stage, found.cause) == (security, "tls_hostname_mismatch")
        assert found.better_host == mail_servers.host
        assert isinstance(check_server(Server(found.better_host, port, security), network=network), Answered)


def test_a_certificate_is_left_unverified_in_one_place_only():
    rooms = Path(__file__).parent.parent / "bot"
    careless = re.compile(r"CERT_NONE|_create_unverified|check_hostname = False")
    found = {path.name for path in rooms.rglob("*.py") if careless.search(path.read_text(encoding="utf-8"))}
    assert found == {"certificate.py"}
