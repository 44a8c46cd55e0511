"""Finding a server over the network: real DNS, real https, real SMTP on loopback, and everything that lies."""

import shutil
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import date

import pytest
import trustme

from bot.mail.knowledge.provider import Period, Provider, Server
from bot.mail.knowledge.providers import Providers
from bot.mail.wire.discover import (
    Found,
    Limits,
    NoDomain,
    NoMail,
    NoSmtp,
    NothingFound,
    Unreachable,
    discover,
)
from bot.mail.wire.guard import BadHost, Guard, NoSuchName, ResolverFailed, Service
from bot.mail.wire.smtp import Network
from tests.dns_server import SERVFAIL, SILENT, DnsServer
from tests.faulty_smtp import QUICK, FaultySMTP, client_context, server_context
from tests.faulty_smtp import SILENT as SAYS_NOTHING
from tests.https_server import HttpsServer, moved, page

TODAY = date(2026, 11, 26)
ADDRESS = "ana@agency.example"
LOOPBACK = ["127.0.0.1"]
AGENCY = {"agency.example": LOOPBACK}
MX = ("agency.example", "MX")
OWN_FILE = "autoconfig.agency.example/mail/config-v1.1.xml"
WELL_KNOWN = "agency.example/.well-known/autoconfig/mail/config-v1.1.xml"
SUBMISSIONS = ("_submissions._tcp.agency.example", "SRV")
SUBMISSION = ("_submission._tcp.agency.example", "SRV")
IMAPS = ("_imaps._tcp.agency.example", "SRV")
BIG = Server("smtp.big.example", 465, "tls")


def row(name, *servers, demand="password", **more):
    return Provider(
        **{"domains": (), "family": "other", "name": name.title(), "checked": TODAY, **more},
        id=name,
        servers=servers,
        policy=(Period(demand),),
    )


NO_ROWS = Providers(())
BIG_ROWS = Providers((row("big", BIG, mx_suffixes=("mx.big.example",)),))
CERTIFIED = (
    "agency.example", "*.agency.example", "elsewhere.example", "*.elsewhere.example", "smtp.big.example",
)  # fmt: skip


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def good(authority):
    return server_context(authority, *CERTIFIED)


@pytest.fixture(scope="module")
def wrong(authority):
    return server_context(authority, "somebody.else.example")


@pytest.fixture
def dns():
    with DnsServer(AGENCY, {MX: []}) as server:
        yield server


@pytest.fixture
def site(good):
    with HttpsServer(good) as server:
        yield server


@pytest.fixture
def look(authority, dns, site):
    """Searches by the test's name server and web server; `ports` are those of mail.

    At the test's end every thread of every search has to end by itself.
    """

    def searching(
        *ports, address=ADDRESS, providers=NO_ROWS, lifetime=2.0, ways=(), stagger=0.0, timeouts=QUICK, **limits
    ):
        guard = Guard(allow_networks=("127.0.0.0/8",), allow_ports=ports, nameserver=dns.address, lifetime=lifetime)
        network = Network(guard, client_context(authority), "assistant.example", timeouts)
        where = Limits(web_port=site.port, ways=tuple(ways), stagger=stagger, **limits)
        return discover(address, providers=providers, network=network, today=TODAY, limits=where)

    yield searching
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("discover")]
    for thread in ours:
        thread.join(10)
    assert not any(thread.is_alive() for thread in ours)


@pytest.fixture
def gate():
    """Holds back whoever waits for it; opened at the test's end at the latest."""
    event = threading.Event()
    yield event
    event.set()


def xml(host, port=465, socket_type="SSL", user="%EMAILADDRESS%", way="password-cleartext", imap=""):
    smtp = f'<outgoingServer type="smtp"><hostname>{host}</hostname><port>{port}</port>'
    smtp += f"<socketType>{socket_type}</socketType><username>{user}</username>"
    smtp += f"<authentication>{way}</authentication></outgoingServer>"
    if imap:
        imap = f'<incomingServer type="imap"><hostname>{imap}</hostname><port>993</port>'
        imap += "<socketType>SSL</socketType></incomingServer>"
    return page(f"<clientConfig><emailProvider>{imap}{smtp}</emailProvider></clientConfig>")


def srv(host, port=465, priority=0, weight=0):
    return f"{priority} {weight} {port} {host}."


# --- the table


def test_a_domain_in_the_table_asks_no_network(look, dns, site):
    found = look(providers=Providers((row("big", BIG, domains=("agency.example",), username="local_part"),)))
    assert found == Found(BIG, "ana", "big", "table", confirm=False)
    assert (dns.asked, site.connections) == ([], 0)


def test_what_only_the_ispdb_tells_is_called_so(look):
    other = row("big", BIG, domains=("agency.example",), source="ispdb")
    assert look(providers=Providers((other,))).source == "ispdb"


def test_a_host_in_the_table_may_have_a_place_for_the_domain(look, dns):
    template = row("own", Server("mail.{domain}", 465, "tls"), domains=("agency.example",))
    found = look(providers=Providers((template,)))
    assert found.server == Server("mail.agency.example", 465, "tls")
    assert dns.asked == []


def test_a_host_with_a_place_for_the_account_is_not_guessed(look):
    named = row("named", Server("{account}.big.example", 465, "tls"), domains=("agency.example",))
    assert look(providers=Providers((named,))) == NothingFound("agency.example", "named")


@pytest.mark.parametrize("table", [{"domains": ("agency.example",)}, {"mx_suffixes": ("mx.shut.example",)}])
def test_a_provider_without_a_server_says_so_at_once(look, dns, table):
    dns.records[MX] = ["10 mx.shut.example."]
    assert look(providers=Providers((row("shut", demand="cannot_work", **table),))) == NoSmtp("shut")


def test_a_provider_that_takes_no_password_is_told_apart(look, dns):
    dns.records[MX] = ["10 a.mx.big.example."]
    big = row("big", BIG, mx_suffixes=("mx.big.example",), demand="oauth_only")
    found = look(providers=Providers((big,)))
    assert (found.server, found.oauth_only) == (BIG, True)


def test_an_address_whose_domain_is_no_name_is_the_callers_fault(look, dns):
    for address in ("ana@", "ana@no domain", "ana@a..b"):
        with pytest.raises(BadHost):
            look(address=address)
    assert dns.asked == []


def test_a_domain_beyond_ascii_is_asked_for_in_idna(look, dns):
    dns.records["xn--agncia-jva.example", "MX"] = ["10 a.mx.big.example."]
    assert look(address="ana@agência.example", providers=BIG_ROWS).server == BIG


# --- MX


def test_the_mail_host_leads_to_the_tables_server_without_a_question(look, dns):
    dns.records[MX] = ["10 a.mx.big.example.", "20 b.mx.big.example."]
    assert look(providers=BIG_ROWS) == Found(BIG, ADDRESS, "big", "mx", confirm=False)


def test_only_the_mail_hosts_of_best_preference_count(look, dns):
    dns.records[MX] = ["20 a.mx.big.example.", "10 mx.agency.example."]
    assert look(providers=BIG_ROWS) == NothingFound("agency.example")


def test_the_longest_suffix_of_a_mail_host_wins_and_a_mere_ending_is_none(look, dns):
    special = Server("smtp.special.example", 465, "tls")
    big, gm = row("big", BIG, mx_suffixes=("big.example",)), row("special", special, mx_suffixes=("gm.big.example",))
    rows = Providers((big, gm))
    dns.records[MX] = ["10 mx.gm.big.example."]
    assert look(providers=rows).provider_id == "special"
    dns.records[MX] = ["10 mx.notbig.example."]
    assert look(providers=rows) == NothingFound("agency.example")


def test_a_mail_host_leads_to_the_row_of_a_domain_above_it(look, dns):
    dns.records[MX] = ["10 mx1.in.big.example."]
    assert look(providers=Providers((row("big", BIG, domains=("big.example",)),))) == Found(
        BIG, ADDRESS, "big", "ispdb", confirm=False
    )


def test_a_row_of_a_whole_top_level_is_never_asked_for(look, dns):
    dns.records[MX] = ["10 mx.big.example."]
    assert look(providers=Providers((row("all", BIG, domains=("example",)),))) == NothingFound("agency.example")


def test_a_mail_host_inside_is_a_hint_to_nowhere(look, dns, site):
    dns.names["mx.agency.example"] = ["10.0.0.5"]
    dns.records[MX] = ["10 mx.agency.example.", "10 10.0.0.5."]
    assert look(providers=BIG_ROWS) == NothingFound("agency.example")


def test_a_null_mx_means_that_the_domain_takes_no_mail(look, dns, site):
    dns.records |= {MX: ["0 ."], SUBMISSIONS: [srv("mail.agency.example")]}
    dns.names["mail.agency.example"] = LOOPBACK
    assert look() == NoMail("agency.example")


def test_a_domain_that_does_not_exist_is_told(look, dns):
    assert look(address="ana@nowhere.example", ways=((465, "tls"),)) == NoDomain("nowhere.example")


@pytest.mark.parametrize("failing", [SERVFAIL, SILENT])
def test_a_mail_host_that_could_not_be_looked_up_leaves_it_open(look, dns, failing):
    dns.records[MX] = failing
    assert look(lifetime=0.3) == Unreachable("agency.example")


@pytest.mark.parametrize("failing", [SERVFAIL, SILENT])
def test_a_name_server_that_fails_us_says_nothing_about_the_domain(look, dns, failing):
    dns.names = {"agency.example": failing}
    dns.records = {MX: failing}
    assert look(lifetime=0.3, ways=((465, "tls"),)) == Unreachable("agency.example")


def test_a_name_server_that_is_not_there_says_nothing_about_the_domain(authority):
    with DnsServer({}) as gone:
        pass
    guard = Guard(nameserver=gone.address, lifetime=0.3)
    network = Network(guard, client_context(authority), "assistant.example", QUICK)
    assert discover(ADDRESS, providers=NO_ROWS, network=network, today=TODAY) == Unreachable("agency.example")


def test_a_guess_that_could_not_be_looked_up_leaves_it_open(look, dns):
    dns.names["smtp.agency.example"] = SERVFAIL
    assert look(ways=((465, "tls"),)) == Unreachable("agency.example")


def test_a_file_that_is_found_counts_although_the_mail_host_is_not_known(look, dns, site):
    dns.records[MX] = SERVFAIL
    dns.names |= {"autoconfig.agency.example": LOOPBACK, "mail.agency.example": LOOPBACK}
    site.pages[OWN_FILE] = xml("mail.agency.example")
    assert look().source == "autoconfig"


# --- rows that bear the address's own domain


@contextmanager
def own_name(dns, context, **replies):
    dns.records[MX] = ["10 mx.host.example."]
    dns.names["mail.agency.example"] = LOOPBACK
    with FaultySMTP(context, **replies) as server:
        own = row("host", Server("mail.{domain}", server.port, "tls"), mx_suffixes=("host.example",))
        yield server, Providers((own,))


def test_a_hosters_row_with_the_domains_own_name_is_taken_once_that_name_answers(look, dns, good):
    with own_name(dns, good) as (server, rows):
        found = look(server.port, providers=rows)
    expected = Server("mail.agency.example", server.port, "tls")
    assert found == Found(expected, ADDRESS, "host", "mx", confirm=False)
    assert server.auths == []


@pytest.mark.parametrize("addresses", [None, ["10.0.0.5"]])
def test_a_hosters_row_whose_name_leads_nowhere_is_kept_as_a_hint(look, dns, addresses):
    dns.records[MX] = ["10 mx.host.example."]
    if addresses:
        dns.names["mail.agency.example"] = addresses
    own = row("host", Server("mail.{domain}", 465, "tls"), mx_suffixes=("host.example",))
    assert look(providers=Providers((own,))) == NothingFound("agency.example", "host")


def test_a_hosters_row_whose_server_hangs_is_kept_as_a_hint(look, dns, good):
    with own_name(dns, good, greeting=SAYS_NOTHING) as (server, rows):
        assert look(server.port, providers=rows, source=0.5) == NothingFound("agency.example", "host")


def test_a_hosters_row_whose_name_is_not_proven_gives_way_to_the_file(look, dns, site, wrong):
    dns.names |= {"autoconfig.agency.example": LOOPBACK, "box7.elsewhere.example": LOOPBACK}
    with own_name(dns, wrong) as (server, rows):
        assert look(server.port, providers=rows) == NothingFound("agency.example", "host")
        site.pages[OWN_FILE] = xml("box7.elsewhere.example")
        found = look(server.port, providers=rows)
    assert (found.server.host, found.source, found.confirm) == ("box7.elsewhere.example", "autoconfig", True)


def test_a_hosters_fixed_server_comes_before_one_with_the_domains_own_name(look, dns):
    dns.records[MX] = ["10 mx.host.example."]
    both = row("host", BIG, Server("mail.{domain}", 465, "tls"), mx_suffixes=("host.example",))
    assert look(providers=Providers((both,))).server == BIG


def test_a_mail_host_that_is_called_after_the_account_names_the_server(look, dns):
    dns.records[MX] = ["10 w0123.host.example."]
    named = row("host", Server("{account}.host.example", 587, "starttls"), mx_suffixes=("host.example",))
    found = look(providers=Providers((named,)))
    assert (found.server.host, found.provider_id, found.confirm) == ("w0123.host.example", "host", False)


def test_the_rows_mailbox_server_comes_along_and_the_user_name_of_peoples_own_domains(look, dns):
    dns.records[MX] = ["10 mx.host.example."]
    imap = Server("imap.big.example", 993, "tls")
    own = {"imap": (imap,), "mx_suffixes": ("host.example",), "username_own_domain": "local_part"}
    found = look(providers=Providers((row("host", BIG, **own),)))
    assert (found.user, found.imap) == ("ana", imap)


SHIPPED = [
    ("aspmx.l.google.com", "google_workspace", "smtp.gmail.com"),
    ("agency-example.mail.protection.outlook.com", "microsoft365", "smtp.office365.com"),
    ("mx1.hostinger.com", "hostinger", "smtp.hostinger.com"),
    ("mx1.titan.email", "titan", "smtp.titan.email"),
]


@pytest.mark.parametrize(("mx", "provider", "host"), SHIPPED)
def test_the_shipped_table_knows_the_mail_hosts_of_large_providers(look, dns, mx, provider, host):
    dns.records[MX] = [f"10 {mx}."]
    found = look(providers=Providers.load())
    assert (found.provider_id, found.server.host, found.source, found.confirm) == (provider, host, "mx", False)


# --- the domain's own files


@pytest.mark.parametrize("place", [OWN_FILE, WELL_KNOWN])
def test_a_file_of_the_domain_names_the_server(look, dns, site, place):
    dns.names |= {place.partition("/")[0]: LOOPBACK, "mail.agency.example": LOOPBACK}
    site.pages[place] = xml("mail.agency.example", 587, "STARTTLS", "%EMAILLOCALPART%", imap="imap.agency.example")
    assert look() == Found(
        Server("mail.agency.example", 587, "starttls"),
        "ana",
        None,
        "autoconfig",
        confirm=False,
        imap=Server("imap.agency.example", 993, "tls"),
    )


def test_the_domains_own_host_for_the_file_is_told_the_address(look, dns, site):
    dns.names["autoconfig.agency.example"] = LOOPBACK
    look()
    assert f"{OWN_FILE}?emailaddress=ana%40agency.example" in site.asked
    assert WELL_KNOWN in site.asked


def test_the_own_host_comes_before_the_well_known_place(look, dns, site):
    names = ("autoconfig", "first", "second")
    dns.names |= {f"{name}.agency.example": LOOPBACK for name in names}
    site.pages |= {OWN_FILE: xml("first.agency.example"), WELL_KNOWN: xml("second.agency.example")}
    assert look().server.host == "first.agency.example"


@pytest.mark.parametrize(
    ("host", "confirm", "provider"),
    [
        ("agency.example", False, None),
        ("a.b.agency.example", False, None),
        ("smtp.big.example", False, "big"),
        ("mail.elsewhere.example", True, None),
        ("notagency.example", True, None),
        ("agency.example.elsewhere.example", True, None),
    ],
)
@pytest.mark.parametrize("by", ["autoconfig", "srv"])
def test_a_foreign_host_that_is_not_in_the_table_is_to_be_confirmed(look, dns, site, by, host, confirm, provider):
    dns.names |= {"autoconfig.agency.example": LOOPBACK, host: LOOPBACK}
    if by == "srv":
        dns.records[SUBMISSIONS] = [srv(host)]
    else:
        site.pages[OWN_FILE] = xml(host)
    found = look(providers=BIG_ROWS)
    assert (found.server.host, found.source, found.confirm, found.provider_id) == (host, by, confirm, provider)


def test_a_server_that_takes_only_oauth_is_said_to(look, dns, site):
    dns.names |= {"autoconfig.agency.example": LOOPBACK, "mail.agency.example": LOOPBACK}
    site.pages[OWN_FILE] = xml("mail.agency.example", way="OAuth2")
    assert look().oauth_only


@pytest.mark.parametrize(
    ("imap", "kept"),
    [("imap.agency.example", True), ("mail.elsewhere.example", True), ("imap.elsewhere.example", False)],
)
def test_no_second_host_gets_the_secret_unasked(look, dns, site, imap, kept):
    dns.names |= {"autoconfig.agency.example": LOOPBACK, "mail.elsewhere.example": LOOPBACK}
    site.pages[OWN_FILE] = xml("mail.elsewhere.example", imap=imap)
    found = look()
    assert found.confirm
    assert found.imap == (Server(imap, 993, "tls") if kept else None)


def test_the_table_knows_better_about_a_server_that_it_holds(look, dns, site):
    dns.names |= {"autoconfig.agency.example": LOOPBACK, BIG.host: LOOPBACK}
    imap = Server("imap.big.example", 993, "tls")
    rows = Providers((row("big", BIG, imap=(imap,), demand="oauth_only"),))
    for named in ("imap.big.example", "imap.stranger.example", ""):
        site.pages[OWN_FILE] = xml(BIG.host, imap=named)
        found = look(providers=rows)
        assert (found.source, found.oauth_only, found.imap, found.confirm) == ("autoconfig", True, imap, False)


def test_the_table_knows_the_user_name_where_only_the_host_is_told(look, dns):
    dns.names[BIG.host] = LOOPBACK
    dns.records[SUBMISSIONS] = [srv(BIG.host)]
    found = look(providers=Providers((row("big", BIG, username="local_part"),)))
    assert (found.source, found.user) == ("srv", "ana")


def test_a_mailbox_server_on_a_port_that_is_none_of_mail_is_left_out(look, dns):
    dns.names["mail.agency.example"] = LOOPBACK
    dns.records |= {SUBMISSIONS: [srv("mail.agency.example")], IMAPS: [srv("mail.agency.example", 6379)]}
    assert look().imap is None


HOSTILE = {
    "plain only": xml("mail.agency.example", 587, "plain"),
    "server inside": xml("inside.example"),
    "server inside by number": xml("10.0.0.5"),
    "server half inside": xml("both.example"),
    "server that does not exist": xml("nowhere.example"),
    "port that is none of mail": xml("mail.agency.example", 22),
    "no host": xml(""),
    "wrong content": page("<html><body>This domain is for sale</body></html>", "text/html"),
    "json": page("{}", "application/json"),
    "nothing": page(b""),
    "huge": page(b"<clientConfig>" + b" " * 70_000 + b"</clientConfig>"),
    "laughs": page('<!DOCTYPE c [<!ENTITY a "lol"><!ENTITY b "&a;&a;">]><clientConfig>&b;</clientConfig>'),
    "external entity": page('<!DOCTYPE c [<!ENTITY a SYSTEM "file:///etc/passwd">]><clientConfig>&a;</clientConfig>'),
    "redirect to http": moved("http://agency.example/x"),
    "redirect inside": moved("https://inside.example/x"),
    "redirect to itself": moved(f"https://{OWN_FILE}"),
    "redirect to another port": moved("https://agency.example:22/x"),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_file_that_is_no_good_finds_nothing_and_the_next_source_does(look, dns, site, hostile):
    dns.names |= {
        "autoconfig.agency.example": LOOPBACK,
        "mail.agency.example": LOOPBACK,
        "inside.example": ["10.0.0.5"],
        "both.example": ["8.8.4.4", "10.0.0.5"],
    }
    site.pages[OWN_FILE] = HOSTILE[hostile]
    assert look() == NothingFound("agency.example")
    assert any(place.startswith(OWN_FILE) for place in site.asked)
    dns.records[SUBMISSIONS] = [srv("mail.agency.example")]
    assert look().source == "srv"


def test_a_hijacked_web_server_is_not_believed(dns, authority, wrong):
    """A name server that sends every name to a stranger: his certificate is not for the name."""
    dns.names["autoconfig.agency.example"] = LOOPBACK
    with HttpsServer(
        wrong, {OWN_FILE: xml("mail.elsewhere.example"), WELL_KNOWN: xml("mail.elsewhere.example")}
    ) as evil:
        guard = Guard(allow_networks=("127.0.0.0/8",), nameserver=dns.address)
        network = Network(guard, client_context(authority), "assistant.example", QUICK)
        limits = Limits(web_port=evil.port, ways=())
        found = discover(ADDRESS, providers=NO_ROWS, network=network, today=TODAY, limits=limits)
    assert found == NothingFound("agency.example")
    assert evil.connections == 2
    assert evil.asked == []


def test_a_late_file_finds_nothing(look, dns, site, gate):
    dns.names |= {"autoconfig.agency.example": LOOPBACK, "mail.agency.example": LOOPBACK}

    def late(handler):
        gate.wait(20)
        xml("mail.agency.example")(handler)

    site.pages[OWN_FILE] = late
    begun = time.monotonic()
    assert look(source=0.5) == NothingFound("agency.example")
    assert time.monotonic() - begun < 5


# --- SRV


def test_implicit_tls_comes_before_starttls(look, dns):
    dns.names |= {"a.agency.example": LOOPBACK, "b.agency.example": LOOPBACK}
    dns.records |= {SUBMISSION: [srv("a.agency.example", 587)], SUBMISSIONS: [srv("b.agency.example", 465)]}
    assert look() == Found(Server("b.agency.example", 465, "tls"), ADDRESS, None, "srv", confirm=False)
    dns.records[SUBMISSIONS] = ["0 0 0 ."]
    assert look().server == Server("a.agency.example", 587, "starttls")


def test_465_means_tls_from_the_first_byte_whatever_it_is_called(look, dns):
    dns.names["a.agency.example"] = LOOPBACK
    dns.records[SUBMISSION] = [srv("a.agency.example", 465)]
    assert look().server.security == "tls"


def test_a_service_that_is_not_offered_is_not_found(look, dns):
    dns.records |= {SUBMISSIONS: ["0 0 0 ."], SUBMISSION: ["0 0 0 ."]}
    assert look() == NothingFound("agency.example")


def test_the_lowest_priority_and_then_the_heaviest_comes_first(look, dns):
    dns.names |= {f"{name}.agency.example": LOOPBACK for name in "abcd"}
    dns.records[SUBMISSIONS] = [
        srv("a.agency.example", priority=20, weight=90),
        srv("b.agency.example", priority=10, weight=5),
        srv("c.agency.example", priority=10, weight=50),
        srv("d.agency.example", priority=10, weight=0),
    ]
    assert {look().server.host for _ in range(5)} == {"c.agency.example"}


@pytest.mark.parametrize("bad", ["inside.agency.example", "both.agency.example", "nowhere.agency.example", "1.2.3.4.5"])
def test_a_target_that_is_refused_hands_over_to_the_next(look, dns, bad):
    dns.names |= {
        "inside.agency.example": ["10.0.0.5"],
        "both.agency.example": ["8.8.4.4", "10.0.0.5"],
        "good.agency.example": LOOPBACK,
    }
    dns.records[SUBMISSIONS] = [srv(bad), srv("good.agency.example", priority=1)]
    assert look().server.host == "good.agency.example"


def test_a_target_on_a_port_that_is_none_of_mail_is_refused(look, dns):
    dns.names["mail.agency.example"] = LOOPBACK
    dns.records[SUBMISSIONS] = [srv("mail.agency.example", 25), srv("mail.agency.example", 6379)]
    assert look() == NothingFound("agency.example")


def test_no_more_than_four_targets_are_tried(look, dns):
    dns.names["good.agency.example"] = LOOPBACK
    dns.records[SUBMISSIONS] = [srv(f"n{number}.agency.example", priority=number) for number in range(4)]
    dns.records[SUBMISSIONS] += [srv("good.agency.example", priority=9)]
    assert look() == NothingFound("agency.example")


@pytest.mark.parametrize(
    ("target", "kept"), [("imap.agency.example", True), ("imap.elsewhere.example", False), ("", False)]
)
def test_the_mailbox_server_comes_along_where_it_needs_no_question(look, dns, target, kept):
    dns.names["mail.agency.example"] = LOOPBACK
    dns.records |= {SUBMISSIONS: [srv("mail.agency.example")], IMAPS: [srv(target, 993)]}
    assert look().imap == (Server(target, 993, "tls") if kept else None)


# --- order


def test_a_slow_lower_source_does_not_delay_a_higher_success(look, dns, site, gate):
    dns.records |= {MX: ["10 a.mx.big.example."], SUBMISSIONS: SILENT, SUBMISSION: SILENT}
    dns.names["autoconfig.agency.example"] = LOOPBACK
    site.pages |= {OWN_FILE: lambda _: gate.wait(20), WELL_KNOWN: lambda _: gate.wait(20)}
    begun = time.monotonic()
    assert look(providers=BIG_ROWS, lifetime=5.0).source == "mx"
    assert time.monotonic() - begun < 4


def test_a_higher_source_wins_although_a_lower_one_was_there_first(look, dns, site):
    """The file is held back until the lower source, SRV, has asked for everything that it needs."""
    dns.names |= {"autoconfig.agency.example": LOOPBACK, "a.agency.example": LOOPBACK, "b.agency.example": LOOPBACK}
    dns.records[SUBMISSIONS] = [srv("b.agency.example")]
    asked = threading.Event()
    answer = dns._answer

    def watching(query):
        reply = answer(query)
        if dns.asked[-1] == IMAPS:
            asked.set()
        return reply

    dns._answer = watching

    def after_srv(handler):
        assert asked.wait(20)
        xml("a.agency.example")(handler)

    site.pages[OWN_FILE] = after_srv
    found = look(source=15.0)
    assert (found.server.host, found.source) == ("a.agency.example", "autoconfig")


def test_a_higher_source_that_is_late_gives_way(look, dns, site, gate):
    dns.names |= {"autoconfig.agency.example": LOOPBACK, "b.agency.example": LOOPBACK}
    dns.records[SUBMISSIONS] = [srv("b.agency.example")]
    site.pages[OWN_FILE] = lambda _: gate.wait(20)
    assert look(source=0.5).source == "srv"


def test_nothing_is_guessed_where_something_is_known(look, dns, good):
    dns.names |= {"b.agency.example": LOOPBACK, "smtp.agency.example": LOOPBACK}
    dns.records[SUBMISSIONS] = [srv("b.agency.example")]
    with FaultySMTP(good) as server:
        assert look(server.port, ways=((server.port, "tls"),)).source == "srv"
    assert server.connections == 0


# --- guesses


class At(FaultySMTP):
    """The same server on a port of the test's choice, so that several hosts may have one port."""

    def __init__(self, port, *given, address="127.0.0.1", **more):
        super().__init__(*given, address=address, **more)
        self._listener.close()
        self._listener = socket.create_server((address, port))
        self.port = port


GUESSES = ("smtp.agency.example", "mail.agency.example", "agency.example")


@pytest.mark.parametrize("host", GUESSES)
@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_guess_is_taken_once_the_server_has_proven_its_name(look, dns, good, host, security):
    dns.names = {"agency.example": [], host: LOOPBACK}
    with FaultySMTP(good, security) as server:
        found = look(server.port, ways=((server.port, security),))
    assert found == Found(Server(host, server.port, security), ADDRESS, None, "guess", confirm=False)
    assert server.auths == []
    assert [command.partition(" ")[0].upper() for command in server.commands][-1] == "QUIT"


def test_the_first_guess_wins_although_a_later_one_is_faster(look, dns, good):
    dns.names |= {"smtp.agency.example": LOOPBACK, "mail.agency.example": ["127.0.0.2"]}
    later_is_done = threading.Event()

    def greet_last(conversation):
        assert later_is_done.wait(20)
        conversation.say("220 slow")

    def done(conversation):
        conversation.say("221 bye")
        later_is_done.set()

    with FaultySMTP(good, greeting=greet_last) as slow:
        with At(slow.port, good, address="127.0.0.2", quit=done) as fast:
            found = look(slow.port, ways=((slow.port, "tls"),))
        assert fast.connections == 1
    assert found.server.host == "smtp.agency.example"


@pytest.mark.parametrize(
    ("offer", "oauth_only"),
    [("AUTH PLAIN", False), ("AUTH LOGIN XOAUTH2", False), ("AUTH XOAUTH2", True), ("AUTH OAUTHBEARER", True)],
)
def test_a_guess_tells_whether_a_password_is_taken(look, dns, good, offer, oauth_only):
    dns.names["smtp.agency.example"] = LOOPBACK
    with FaultySMTP(good, ehlo_tls=f"250-mail\r\n250 {offer}") as server:
        assert look(server.port, ways=((server.port, "tls"),)).oauth_only is oauth_only


REFUSALS = {
    "no AUTH": {"ehlo_tls": "250-mail\r\n250 SIZE 1000"},
    "AUTH that nobody speaks": {"ehlo_tls": "250-mail\r\n250 AUTH GSSAPI"},
    "554 at once": {"greeting": "554 5.7.1 no"},
    "another protocol": {"greeting": "* OK IMAP4rev1 ready"},
    "EHLO refused": {"ehlo_tls": "550 no"},
    "endless": {"ehlo_tls": "\r\n".join(["250-x"] * 200)},
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_server_that_offers_no_way_to_sign_in_is_discarded(look, dns, good, refusal):
    dns.names["smtp.agency.example"] = LOOPBACK
    with FaultySMTP(good, **REFUSALS[refusal]) as server:
        found = look(server.port, ways=((server.port, "tls"),))
    assert found == NothingFound("agency.example")
    assert server.connections == 2  # smtp. and the bare domain


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_certificate_for_another_name_discards_a_guess(look, dns, wrong, security):
    dns.names["smtp.agency.example"] = LOOPBACK
    with FaultySMTP(wrong, security) as server:
        found = look(server.port, ways=((server.port, security),))
    assert found == NothingFound("agency.example")
    assert server.connections == 2


def test_a_server_that_offers_no_starttls_is_discarded(look, dns, good):
    dns.names["smtp.agency.example"] = LOOPBACK
    with FaultySMTP(good, "plain") as server:
        assert look(server.port, ways=((server.port, "starttls"),)) == NothingFound("agency.example")


def test_a_wrong_guess_gives_way_to_the_next(look, dns, good, wrong):
    dns.names |= {"smtp.agency.example": LOOPBACK, "mail.agency.example": ["127.0.0.2"]}
    with FaultySMTP(wrong) as parked, At(parked.port, good, address="127.0.0.2") as real:
        found = look(parked.port, ways=((parked.port, "tls"),))
    assert found.server.host == "mail.agency.example"
    assert real.connections == 1


def test_at_most_six_guesses_are_made_and_each_name_is_resolved_once(look, dns, wrong):
    dns.names |= dict.fromkeys(GUESSES, LOOPBACK)
    with FaultySMTP(wrong) as one, FaultySMTP(wrong, "starttls") as two:
        assert look(one.port, two.port, ways=((one.port, "tls"), (two.port, "starttls"))) == NothingFound(
            "agency.example"
        )
    assert one.connections + two.connections == 6
    for name in GUESSES[:2]:
        assert sorted(kind for asked, kind in dns.asked if asked == name) == ["A", "AAAA"]


def test_the_usual_guesses_are_465_before_587():
    assert Limits().ways == ((465, "tls"), (587, "starttls"))
    assert Limits().total <= 20


def test_a_guess_inside_is_never_connected_to(look, dns, good):
    dns.names |= {"agency.example": ["10.0.0.5"], "smtp.agency.example": ["127.0.0.1", "10.0.0.5"]}
    with FaultySMTP(good) as server:
        assert look(server.port, ways=((server.port, "tls"),)) == NothingFound("agency.example")
    assert server.connections == 0


def test_a_guess_goes_to_the_address_that_was_judged(look, dns, good):
    """The name server changes its mind while the conversation runs; nobody asks it again."""
    dns.names = {"agency.example": [], "smtp.agency.example": LOOPBACK}

    def rebind(conversation):
        dns.names["smtp.agency.example"] = ["169.254.169.254"]
        conversation.say("220 mail")

    with FaultySMTP(good, "starttls", greeting=rebind) as server:
        assert look(server.port, ways=((server.port, "starttls"),)).source == "guess"
    assert [name for name, _ in dns.asked].count("smtp.agency.example") == 2  # A and AAAA


def test_later_guesses_are_not_started_once_the_first_is_right(look, dns, good):
    dns.names |= {"smtp.agency.example": LOOPBACK, "mail.agency.example": LOOPBACK}
    with FaultySMTP(good) as server:
        begun = time.monotonic()
        assert look(server.port, ways=((server.port, "tls"),), stagger=20.0).source == "guess"
        assert time.monotonic() - begun < 5
    assert server.connections == 1


def test_silent_servers_end_with_the_time_given(look, dns, good):
    dns.names |= dict.fromkeys(GUESSES, LOOPBACK)
    with FaultySMTP(good, greeting=SAYS_NOTHING) as server:
        begun = time.monotonic()
        assert look(server.port, ways=((server.port, "tls"),), probe=0.5) == NothingFound("agency.example")
        assert time.monotonic() - begun < 4


def test_the_whole_ends_with_its_own_time(look, dns, site, good, gate):
    dns.names |= {**dict.fromkeys(GUESSES, LOOPBACK), "autoconfig.agency.example": LOOPBACK}
    site.pages[OWN_FILE] = lambda _: gate.wait(20)
    with FaultySMTP(good, greeting=SAYS_NOTHING) as server:
        begun = time.monotonic()
        found = look(server.port, ways=((server.port, "tls"),), source=30, probe=30, total=0.8)
        assert time.monotonic() - begun < 4
    assert found == NothingFound("agency.example")


def test_every_thread_ends_by_its_deadline_although_the_other_side_never_does(look, dns, site, gate):
    dns.records |= {MX: ["10 a.mx.big.example."]}
    dns.names["autoconfig.agency.example"] = LOOPBACK
    site.pages |= {OWN_FILE: lambda _: gate.wait(20), WELL_KNOWN: lambda _: gate.wait(20)}
    look(providers=BIG_ROWS, source=0.5)
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("discover")]
    for thread in ours:
        thread.join(5)
    assert not gate.is_set()
    assert not any(thread.is_alive() for thread in ours)


# --- the guard's questions


def test_mail_hosts_and_services_are_read_from_dns(dns):
    guard = Guard(nameserver=dns.address, lifetime=0.5)
    dns.records |= {
        MX: ["10 B.mx.example.", "10 a.mx.example.", "20 c.mx.example."],
        ("null.example", "MX"): ["0 ."],
        ("odd.example", "MX"): ["0 .", "10 mx.odd.example."],
        ("many.example", "MX"): [f"10 mx{number:02}.many.example." for number in range(20)],
        ("broken.example", "MX"): SERVFAIL,
        ("silent.example", "MX"): SILENT,
        SUBMISSIONS: [srv("Mail.agency.example", 465, 1, 2), "0 0 0 ."],
    }
    assert guard.exchanges("Agency.Example.") == ("a.mx.example", "b.mx.example")
    assert guard.exchanges("null.example") == (".",)
    assert guard.exchanges("odd.example") == ("mx.odd.example",)
    assert len(guard.exchanges("many.example")) == 8
    assert guard.services(SUBMISSIONS[0]) == (Service(1, 2, 465, "mail.agency.example"),)
    assert guard.services("agency.example") == ()
    for failing in ("broken.example", "silent.example"):
        with pytest.raises(ResolverFailed):
            guard.exchanges(failing)
    with pytest.raises(NoSuchName):
        guard.exchanges("nowhere.example")
    with pytest.raises(BadHost):
        guard.exchanges("no domain")


# --- another implementation of DNS


@contextmanager
def dnsmasq(*options):
    """Debian's dnsmasq on a free port of loopback, with nothing but the records of `options`."""
    with ExitStack() as stack:
        port = next(port for port in iter(_free_port, None) if _started(stack, port, options))
        yield ("127.0.0.1", port)


def _free_port():
    with DnsServer({}) as free:
        return free.address[1]


def _started(stack, port, options):
    """Whether it answers on this port; somebody else may have taken it meanwhile."""
    program = shutil.which("dnsmasq") or "/usr/sbin/dnsmasq"
    command = [
        program, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
        "--listen-address=127.0.0.1", f"--port={port}", "--pid-file=", "--user=root", "--log-facility=-",
        "--local=/example/", *options,
    ]  # fmt: skip
    process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    line = next((line for line in process.stderr if "started" in line or "failed" in line), "")
    assert "started" in line or "in use" in line, line
    return "started" in line


@pytest.mark.world
@pytest.mark.skipif(
    not shutil.which("dnsmasq", path="/usr/sbin:/usr/bin"), reason="dnsmasq is not installed: make world"
)
def test_what_dnsmasq_says_is_understood_too(authority):
    options = (
        "--mx-host=agency.example,a.mx.big.example,10",
        "--mx-host=agency.example,b.mx.other.example,20",
        "--dns-rr=null.example,15,000000",
        "--host-record=mail.own.example,127.0.0.1",
        "--srv-host=_submission._tcp.own.example,mail.own.example,587,0,5",
        "--srv-host=_submissions._tcp.own.example",
        "--txt-record=bare.example,here",
    )
    with dnsmasq(*options) as address:
        guard = Guard(allow_networks=("127.0.0.0/8",), nameserver=address, lifetime=2)
        network = Network(guard, client_context(authority), "assistant.example", QUICK)

        def find(domain):
            return discover(
                f"ana@{domain}", providers=BIG_ROWS, network=network, today=TODAY, limits=Limits(ways=(), web_port=9)
            )

        assert find("agency.example") == Found(BIG, "ana@agency.example", "big", "mx", confirm=False)
        assert find("null.example") == NoMail("null.example")
        assert find("own.example").server == Server("mail.own.example", 587, "starttls")
        assert find("bare.example") == NothingFound("bare.example")
        assert find("nowhere.example") == NoDomain("nowhere.example")
