"""The address guard: what is never connected to, one resolution only, and the race of addresses."""

import errno
import socket
import time

import dns.resolver as dns_module
import pytest
from dns.nameserver import Do53Nameserver

from bot.mail.wire.guard import (
    AddressRefused,
    BadHost,
    Endpoint,
    Guard,
    HostNotFound,
    PortRefused,
    ResolverFailed,
    _telling,
    ascii_host,
)
from tests.dns_server import SERVFAIL, SILENT, DnsServer

LOOPBACK = ("127.0.0.0/8", "::1/128")


@pytest.fixture
def dns():
    names = {
        "good.example": ["8.8.4.4", "2001:4860:4860::8844"],
        "mixed.example": ["8.8.4.4", "10.0.0.5"],
        "mixed6.example": ["8.8.4.4", "fd00::1"],
        "metadata.example": ["169.254.169.254"],
        "empty.example": [],
        "broken.example": SERVFAIL,
        "silent.example": SILENT,
        "many.example": [f"8.8.4.{number}" for number in range(1, 31)],
        "xn--agncia-jva.example": ["8.8.4.4"],
        "two.example": ["127.0.0.1", "127.0.0.2"],
    }
    with DnsServer(names) as server:
        yield server


@pytest.fixture
def guard(dns):
    return Guard(nameserver=dns.address, lifetime=0.5)


REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.5",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.169.254",
    "168.63.129.16",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::808:808",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.5",
    "::ffff:169.254.169.254",
    "::ffff:0:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", REFUSED)
def test_no_address_that_is_not_public_is_connected_to(guard, dns, address):
    with pytest.raises(AddressRefused):
        guard.resolve(address)
    dns.names["host.example"] = [address]
    with pytest.raises(AddressRefused):
        guard.resolve("host.example")


@pytest.mark.parametrize("address", ["8.8.4.4", "1.1.1.1", "2001:4860:4860::8844", "2620:fe::fe", "[2620:fe::fe]"])
def test_a_public_address_is_taken_as_it_is(guard, dns, address):
    assert [endpoint.address for endpoint in guard.resolve(address)] == [address.strip("[]")]
    assert dns.asked == []


def test_a_mapped_public_address_is_connected_to_as_what_it_is(guard):
    assert guard.resolve("::ffff:8.8.4.4")[0].address == "8.8.4.4"


@pytest.mark.parametrize("name", ["mixed.example", "mixed6.example", "metadata.example"])
def test_one_bad_address_spoils_the_name(guard, name):
    with pytest.raises(AddressRefused):
        guard.resolve(name)


def test_both_families_are_asked_for_once(guard, dns):
    endpoints = guard.resolve("Good.Example.")
    assert {endpoint.address for endpoint in endpoints} == {"8.8.4.4", "2001:4860:4860::8844"}
    assert {endpoint.host for endpoint in endpoints} == {"good.example"}
    assert sorted(dns.asked) == [("good.example", "A"), ("good.example", "AAAA")]


def test_localhost_is_loopback_without_asking_anybody(guard, dns):
    for name in ("localhost", "LOCALHOST.", "mail.localhost"):
        with pytest.raises(AddressRefused):
            guard.resolve(name)
    opened = Guard(allow_networks=LOOPBACK, nameserver=dns.address)
    assert {endpoint.address for endpoint in opened.resolve("localhost")} == {"127.0.0.1", "::1"}
    assert dns.asked == []


def test_an_operator_opens_a_network_and_nothing_beside_it(dns):
    guard = Guard(allow_networks=("10.0.0.0/24",), nameserver=dns.address)
    assert len(guard.resolve("mixed.example")) == 2
    assert guard.resolve("::ffff:10.0.0.7")[0].address == "10.0.0.7"
    with pytest.raises(AddressRefused):
        guard.resolve("10.0.1.1")


def test_a_network_that_is_none_stops_the_start():
    with pytest.raises(ValueError):
        Guard(allow_networks=("10.0.0.0/99",))


@pytest.mark.parametrize("name", ["missing.example", "empty.example"])
def test_a_name_without_addresses_is_not_found(guard, name):
    with pytest.raises(HostNotFound):
        guard.resolve(name)


@pytest.mark.parametrize("name", ["broken.example", "silent.example"])
def test_a_name_server_without_an_answer_says_nothing_about_the_host(guard, name):
    with pytest.raises(ResolverFailed):
        guard.resolve(name)


def test_a_name_with_many_addresses_is_cut(guard):
    assert len(guard.resolve("many.example")) == 8


@pytest.mark.parametrize(
    "host",
    ["", " ", ".", "a..b", "-a.example", "a-.example", "a b.example", "x" * 64 + ".example", "a." * 130 + "example",
     "x" * 5000, "mail.example\r\nQUIT", "mail.example\0", "user@mail.example", "https://mail.example",
     "mail.example:25", "127.1", "1.2.3.4.5", "0x7f.1", "127.0.0.256", "fe80::1%eth0", "::g", "[]", "ê..b",
     "\u2028.example"],
)  # fmt: skip
def test_what_is_no_host_is_refused_before_anything_is_asked(guard, dns, host):
    with pytest.raises(BadHost):
        guard.resolve(host)
    assert dns.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1.", "１２７.0.0.1", "127。0。0。1"])  # noqa: RUF001 - the point
def test_an_address_in_disguise_is_judged_as_what_it_is(guard, host):
    with pytest.raises(AddressRefused):
        guard.resolve(host)


def test_a_name_beyond_ascii_is_asked_for_in_idna(guard, dns):
    assert ascii_host("AGÊNCIA.example") == "xn--agncia-jva.example"
    guard.resolve("agência.example")
    assert {name for name, _ in dns.asked} == {"xn--agncia-jva.example"}


def test_only_the_ports_of_mail_are_connected_to(guard):
    for port in (465, 587, 993, 143):
        guard.check_port(port)
    for port in (0, -1, 22, 25, 80, 2525, 5432, 99999):
        with pytest.raises(PortRefused):
            guard.check_port(port)
    Guard(allow_ports=(2525,)).check_port(2525)


def test_connecting_judges_port_and_address_once_more(guard):
    with pytest.raises(PortRefused):
        guard.connect((Endpoint("x", "8.8.4.4"),), 22, 1)
    with pytest.raises(AddressRefused):
        guard.connect((Endpoint("x", "127.0.0.1"),), 465, 1)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def loopback_guard(*ports, dns=None, stagger=0.3):
    return Guard(allow_networks=LOOPBACK, allow_ports=ports, nameserver=dns.address if dns else None, stagger=stagger)


def endpoints(*addresses):
    return tuple(Endpoint("mail.example", address) for address in addresses)


def test_a_second_answer_of_the_name_server_is_never_asked_for(dns, listener):
    port = listener.getsockname()[1]
    dns.names["mail.example"] = ["127.0.0.1"]
    guard = loopback_guard(port, dns=dns)
    found = guard.resolve("mail.example")
    dns.names["mail.example"] = ["169.254.169.254"]
    with guard.connect(found, port, 2) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)
    assert sorted(dns.asked) == [("mail.example", "A"), ("mail.example", "AAAA")]


def test_a_refused_address_hands_over_to_the_next_at_once(listener):
    port = listener.getsockname()[1]
    guard = loopback_guard(port, stagger=30)
    begun = time.monotonic()
    with guard.connect(endpoints("127.0.0.2", "::1", "127.0.0.1"), port, 20) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)
    assert time.monotonic() - begun < 5


@pytest.fixture
def silent_address(listener):
    """An address on the listener's port whose queue is full: connections to it hang."""
    port = listener.getsockname()[1]
    full = socket.socket()
    full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    full.bind(("127.0.0.3", port))
    full.listen(0)
    waiting = []
    while True:
        sock = socket.socket()
        sock.settimeout(0.2)
        waiting.append(sock)
        try:
            sock.connect(("127.0.0.3", port))
        except TimeoutError:
            break
    yield "127.0.0.3"
    for sock in (*waiting, full):
        sock.close()


def test_a_silent_address_does_not_hold_up_the_next(listener, silent_address):
    port = listener.getsockname()[1]
    guard = loopback_guard(port, stagger=0.05)
    with guard.connect(endpoints(silent_address, "127.0.0.1"), port, 10) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)


def test_silence_ends_with_the_time_given(listener, silent_address):
    port = listener.getsockname()[1]
    with pytest.raises(TimeoutError):
        loopback_guard(port).connect(endpoints(silent_address), port, 0.3)


def test_a_refusal_is_told_rather_than_a_silence(listener, silent_address):
    port = listener.getsockname()[1]
    guard = loopback_guard(port, stagger=0.01)
    with pytest.raises(ConnectionRefusedError):
        guard.connect(endpoints(silent_address, "127.0.0.2"), port, 0.3)


def test_a_server_that_hung_up_is_told_rather_than_a_refusal_of_the_other_family():
    """Such as of a host with two families of which one is served; a reset this quick cannot be staged without luck."""
    reset = ConnectionResetError(errno.ECONNRESET, "reset")
    others = (OSError(errno.ENETUNREACH, "no route"), TimeoutError(), ConnectionRefusedError(), reset)
    assert min(others, key=_telling) is reset


def test_an_address_without_a_route_hands_over_to_the_next(listener):
    port = listener.getsockname()[1]
    guard = Guard(allow_networks=("127.0.0.0/8", "224.0.0.0/4"), allow_ports=(port,), stagger=30)
    with guard.connect(endpoints("224.0.0.1", "127.0.0.1"), port, 20) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)


def test_a_machine_without_ipv6_connects_by_ipv4(listener, monkeypatch):
    port = listener.getsockname()[1]
    real = socket.socket

    def only_ipv4(family=socket.AF_INET, *args, **kwargs):
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *args, **kwargs)

    monkeypatch.setattr(socket, "socket", only_ipv4)
    with loopback_guard(port, stagger=30).connect(endpoints("::1", "127.0.0.1"), port, 20) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)


def test_without_a_name_server_of_its_own_the_guard_asks_the_systems(dns, monkeypatch):
    def system_resolver(*, configure):
        assert configure
        resolver = dns_resolver(configure=False)
        resolver.nameservers = [Do53Nameserver(*dns.address)]
        return resolver

    dns_resolver = dns_module.Resolver
    monkeypatch.setattr(dns_module, "Resolver", system_resolver)
    assert len(Guard().resolve("good.example")) == 2
