"""Our own blocked port is told from a silent server, with one look at a known host, however many tests hang."""

import errno
import os
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bot.mail.knowledge.provider import Server
from bot.mail.wire.account import Account
from bot.mail.wire.egress import KNOWN_HOSTS, Egress
from bot.mail.wire.guard import MAIL_PORTS, Guard
from bot.mail.wire.probe import check_server, test_login
from bot.mail.wire.smtp import Timeouts
from tests.dns_server import SERVFAIL, DnsServer
from tests.faulty_smtp import FaultySMTP, client_context, hanging, loopback_network

ADDRESS = "ana@agency.example"
KNOWN = "known.example"
BRIEF = Timeouts(connect=0.4, tls=2, greeting=2, command=2, leave=0.3, total=20)


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def client():
    return client_context()


@pytest.fixture
def refusing():
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def looking(port, known=("127.0.0.1",), *, allow=("127.0.0.0/8",), ports=None, **options):
    """An Egress whose known host has the given addresses, the name server that says so, and a clock."""
    with DnsServer({KNOWN: list(known) if isinstance(known, tuple) else known}) as dns:
        guard = Guard(
            allow_networks=allow, allow_ports=[port] if ports is None else ports, nameserver=dns.address, lifetime=1
        )
        clock = Clock()
        yield Egress(guard, {port: (KNOWN,)}, seconds=0.4, clock=clock, **options), dns, clock


def test_a_port_is_open_where_a_known_host_answers():
    with FaultySMTP(None, "plain") as server, looking(server.port) as (egress, dns, _):
        assert egress.blocked(server.port) is False
        assert {name for name, _ in dns.asked} == {KNOWN}
    assert server.commands == []


def test_a_port_is_blocked_where_the_known_host_is_silent():
    with hanging("127.0.0.1") as port, looking(port) as (egress, _, _):
        assert egress.blocked(port)


def test_a_firewall_that_refuses_blocks_too(refusing):
    with looking(refusing) as (egress, _, _):
        assert egress.blocked(refusing)


def test_one_known_host_that_answers_is_enough():
    with FaultySMTP(None, "plain") as server, hanging("127.0.0.3", server.port), DnsServer({}) as dns:
        dns.names = {"silent.example": ["127.0.0.3"], "lost.example": SERVFAIL, KNOWN: ["127.0.0.1"]}
        guard = Guard(allow_networks=("127.0.0.0/8",), allow_ports=[server.port], nameserver=dns.address, lifetime=1)
        hosts = ("missing.example", "lost.example", "silent.example", KNOWN)
        assert Egress(guard, {server.port: hosts}, seconds=2).blocked(server.port) is False


@pytest.mark.parametrize(
    ("known", "allow", "blocked"),
    [
        (SERVFAIL, ("127.0.0.0/8",), True),  # not even our name servers are reached
        ((), ("127.0.0.0/8",), None),  # a network with names of its own: nothing can be told
        (("127.0.0.1",), (), None),  # the guard refuses the address, as everybody's
    ],
)
def test_a_known_host_without_a_usable_address(refusing, known, allow, blocked):
    with looking(refusing, known, allow=allow) as (egress, _, _):
        assert egress.blocked(refusing) is blocked


def test_a_port_outside_the_list_is_never_tried():
    with FaultySMTP(None, "plain") as server, looking(server.port, ports=()) as (egress, dns, _):
        assert egress.blocked(server.port) is None
        assert dns.asked == []
    assert server.connections == 0


def test_a_port_without_a_known_host_is_not_judged():
    with FaultySMTP(None, "plain") as server, looking(server.port) as (egress, dns, _):
        assert egress.blocked(2525) is None
        assert dns.asked == []
    assert server.connections == 0


def test_what_was_found_holds_for_sixty_seconds_a_port():
    with hanging("127.0.0.1") as port, looking(port) as (egress, dns, clock):
        asked = []
        for later in (0, 30, 29, 2):
            clock.now += later
            assert egress.blocked(port)
            asked.append(len(dns.asked))
    assert asked == [2, 2, 2, 4]  # A and AAAA, once, and again after 61 seconds


def test_a_port_that_was_opened_again_is_open_after_the_minute():
    with (
        FaultySMTP(None, "plain") as server,
        hanging("127.0.0.3", server.port),
        looking(server.port, ("127.0.0.3",)) as (egress, dns, clock),
    ):
        assert egress.blocked(server.port)
        dns.names[KNOWN] = ["127.0.0.1"]
        clock.now += 59
        assert egress.blocked(server.port)
        clock.now += 1
        assert egress.blocked(server.port) is False


def test_three_hundred_tests_that_hang_make_one_probe():
    with hanging("127.0.0.1") as port, looking(port) as (egress, dns, _):
        found = []
        threads = [threading.Thread(target=lambda: found.append(egress.blocked(port))) for _ in range(300)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert found == [True] * 300
    assert len(dns.asked) == 2


def test_every_known_host_is_asked_at_a_mail_port_only():
    assert set(KNOWN_HOSTS) <= MAIL_PORTS
    assert all(len(set(hosts)) > 1 for hosts in KNOWN_HOSTS.values())


# --- in the live test


def live(port, client, egress):
    network = replace(loopback_network(client, port, timeouts=BRIEF), egress=egress)
    account = Account(ADDRESS, ADDRESS, Server("127.0.0.3", port, "tls"))
    return test_login(account, "correct horse", network=network, provider=None)


def test_a_silent_server_is_theirs_where_a_known_host_answers(client):
    with FaultySMTP(None, "plain") as server, hanging("127.0.0.3", server.port), looking(server.port) as (egress, _, _):
        found = live(server.port, client, egress)
    assert (found.stage, found.cause, found.ours, found.who) == (
        "connect",
        "connection_timeout_or_blocked_port",
        False,
        "user",
    )
    assert server.commands == []


def test_a_silent_server_is_ours_where_no_known_host_answers_either(client):
    with hanging("127.0.0.3") as port, looking(port, ("127.0.0.3",)) as (egress, _, _):
        found = live(port, client, egress)
        untold = live(port, client, None)
    assert (found.cause, found.ours, found.who, found.retry, found.blames_secret) == (
        "connection_timeout_or_blocked_port",
        True,
        "us",
        True,
        False,
    )
    assert (untold.cause, untold.ours) == ("connection_timeout_or_blocked_port", False)


@pytest.mark.parametrize("code", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM])
def test_a_network_that_lets_nothing_through_is_ours(client, refusing, code, monkeypatch):
    """No route, or a firewall of our own: the kernel's answers, which loopback cannot give."""

    def unreachable(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Guard, "connect", unreachable)
    with looking(refusing) as (egress, _, _):
        found = live(refusing, client, egress)
    assert (found.stage, found.cause, found.ours) == ("connect", "connection_timeout_or_blocked_port", True)


def test_a_refusal_is_theirs_and_asks_no_known_host(client, refusing):
    with looking(refusing) as (egress, dns, _):
        found = live(refusing, client, egress)
        assert dns.asked == []
    assert (found.cause, found.ours) == ("connection_refused", False)


def test_the_test_without_credentials_tells_the_same(client):
    with hanging("127.0.0.3") as port, looking(port, ("127.0.0.3",)) as (egress, _, _):
        network = replace(loopback_network(client, port, timeouts=BRIEF), egress=egress)
        found = check_server(Server("127.0.0.3", port, "starttls"), network=network)
    assert (found.ours, found.server.security) == (True, "starttls")
