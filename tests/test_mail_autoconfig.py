"""Autoconfig files and how they are fetched: from strangers, over the real network stack, with everything bounded."""

import threading
import time

import pytest
import trustme

from bot.mail.knowledge.provider import Server
from bot.mail.wire.autoconfig import BadConfig, Config, Offer, read, urls
from bot.mail.wire.fetch import MAX_BODY, NotFetched, Web
from bot.mail.wire.guard import AddressRefused, BadHost, Guard, GuardError, HostNotFound
from bot.mail.wire.smtp import Deadline, Network
from tests.dns_server import DnsServer
from tests.faulty_smtp import QUICK, client_context, server_context
from tests.https_server import HttpsServer, moved, page

ADDRESS = "ana.lima@agency.example"


def entry(
    host="smtp.agency.example",
    port="465",
    socket_type="SSL",
    user="<username>%EMAILADDRESS%</username>",
    ways=("password-cleartext",),
    kind="smtp",
):
    tag = "outgoingServer" if kind == "smtp" else "incomingServer"
    listed = "".join(f"<authentication>{way}</authentication>" for way in ways)
    place = f"<hostname>{host}</hostname><port>{port}</port><socketType>{socket_type}</socketType>"
    return f'<{tag} type="{kind}">{place}{user}{listed}</{tag}>'


def file_of(*entries):
    return f'<clientConfig version="1.1"><emailProvider id="x">{"".join(entries)}</emailProvider></clientConfig>'


def smtp_of(*entries):
    return read(file_of(*entries).encode(), ADDRESS).smtp


# --- reading


def test_a_file_names_servers_users_and_modes_best_first():
    text = file_of(
        "<domain>agency.example</domain><displayName>Agência</displayName>",
        entry("imap.agency.example", "993", kind="imap"),
        entry("pop.agency.example", "995", kind="pop3"),
        entry("a.agency.example", "465", "SSL"),
        entry("b.agency.example", "587", "STARTTLS", "<username>%EMAILLOCALPART%</username>"),
    )
    assert read(text.encode(), ADDRESS) == Config(
        smtp=(
            Offer(Server("a.agency.example", 465, "tls"), ADDRESS, oauth_only=False),
            Offer(Server("b.agency.example", 587, "starttls"), "ana.lima", oauth_only=False),
        ),
        imap=(Offer(Server("imap.agency.example", 993, "tls"), ADDRESS, oauth_only=False),),
    )


@pytest.mark.parametrize(
    ("template", "user"),
    [
        ("%EMAILADDRESS%", ADDRESS),
        ("%EMAILLOCALPART%", "ana.lima"),
        ("%EMAILLOCALPART%%%EMAILDOMAIN%", "ana.lima%agency.example"),
        ("cliente-%EMAILDOMAIN%", "cliente-agency.example"),
        (" fixed ", "fixed"),
        ("", ADDRESS),
        ("%REALNAME%", ADDRESS),
        ("two words", ADDRESS),
        ("x&#10;QUIT", ADDRESS),
        ("x" * 321, ADDRESS),
    ],
)
def test_the_user_name_is_filled_in_or_else_the_address(template, user):
    assert smtp_of(entry(user=f"<username>{template}</username>"))[0].user == user


def test_a_user_name_that_is_missing_is_the_address():
    assert smtp_of(entry(user=""))[0].user == ADDRESS


def test_placeholders_are_filled_in_once():
    offers = read(file_of(entry()).encode(), "%EMAILDOMAIN%@agency.example").smtp
    assert offers[0].user == "%EMAILDOMAIN%@agency.example"


def test_the_host_may_hold_the_domain():
    assert smtp_of(entry("mail.%EMAILDOMAIN%"))[0].server.host == "mail.agency.example"


@pytest.mark.parametrize(
    "bad",
    [
        entry(socket_type="plain"),
        entry(socket_type=""),
        entry(port=""),
        entry(port="465465"),
        entry(port="４６５"),  # noqa: RUF001 - digits that are none in a port
        entry(port="-465"),
        entry(host=""),
        entry(host="no host"),
        entry(host="user@mail.agency.example"),
        entry(host="%UNKNOWN%.agency.example"),
        entry(ways=("client-IP-address",)),
        entry(ways=("none",)),
        entry(ways=("GSSAPI", "NTLM")),
        '<outgoingServer type="smtp"/>',
    ],
)
def test_a_server_that_cannot_be_used_is_left_out(bad):
    assert smtp_of(bad) == ()
    assert [offer.server.host for offer in smtp_of(bad, entry("good.agency.example"))] == ["good.agency.example"]


@pytest.mark.parametrize(
    ("ways", "oauth_only"),
    [
        ((), False),
        (("password-cleartext",), False),
        (("plain",), False),
        (("password-encrypted",), False),
        (("OAuth2", "password-cleartext"), False),
        (("OAuth2",), True),
    ],
)
def test_a_server_that_takes_only_oauth_is_told_apart(ways, oauth_only):
    assert [offer.oauth_only for offer in smtp_of(entry(ways=ways))] == [oauth_only]


def test_a_server_that_takes_a_password_comes_before_one_that_does_not():
    offers = smtp_of(entry("first.example", ways=("OAuth2",)), entry("second.example"), entry("third.example"))
    assert [offer.server.host for offer in offers] == ["second.example", "third.example", "first.example"]


def test_only_some_servers_are_read():
    assert len(smtp_of(*(entry(f"s{number}.example") for number in range(50)))) == 4


LAUGHS = '<!DOCTYPE c [<!ENTITY a "lol">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS + "]>" + file_of(entry("&i;")),
        '<!DOCTYPE c [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + file_of(entry("&x;")),
        '<!DOCTYPE c SYSTEM "https://evil.example/x.dtd">' + file_of(entry()),
        '<!DOCTYPE c [<!ENTITY % x SYSTEM "https://evil.example/x"> %x;]>' + file_of(entry()),
        "<!DOCTYPE clientConfig>" + file_of(entry()),
    ],
    ids=["billion laughs", "external entity", "external DTD", "parameter entity", "harmless document type"],
)
def test_a_document_type_is_refused_before_anything_in_it_is_looked_at(text):
    begun = time.monotonic()
    with pytest.raises(BadConfig, match="document type"):
        read(text.encode(), ADDRESS)
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"not xml",
        b"<html><head><title>Parked</title></head><body><p>Buy this domain<br></body></html>",
        b"<html/>",
        b"<clientConfig/>",
        b"<other><emailProvider/></other>",
        b"<clientConfig><emailProvider>",
        b'<?xml version="1.0" encoding="x-unheard-of"?><clientConfig><emailProvider/></clientConfig>',
        b"<clientConfig><emailProvider>\xff\xfe</emailProvider></clientConfig>",
        b"<clientConfig><emailProvider>&undefined;</emailProvider></clientConfig>",
        b'{"smtp": "mail.agency.example"}',
        b"<d>" * 20_000,
        b"<clientConfig><emailProvider>" + b"<d>" * 100 + b"</d>" * 100 + b"</emailProvider></clientConfig>",
        b"<clientConfig><emailProvider>" + b"<d/>" * 2_000 + b"</emailProvider></clientConfig>",
        b"<clientConfig><emailProvider>" + b" " * MAX_BODY + b"</emailProvider></clientConfig>",
    ],
)
def test_what_is_no_such_file_or_too_much_of_one_is_refused(data):
    with pytest.raises(BadConfig):
        read(data, ADDRESS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_a_file_may_be_written_in_the_usual_encodings(encoding):
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + file_of("<displayName>Agência</displayName>", entry())
    assert len(read(text.encode(encoding), ADDRESS).smtp) == 1


def test_a_byte_order_mark_does_no_harm():
    assert len(read(b"\xef\xbb\xbf" + file_of(entry()).encode(), ADDRESS).smtp) == 1


def test_the_places_of_a_file_hold_the_address_with_its_dots_as_they_are():
    assert urls("ana.lima+x&y@agency.example") == (
        "https://autoconfig.agency.example/mail/config-v1.1.xml?emailaddress=ana.lima%2Bx%26y%40agency.example",
        "https://agency.example/.well-known/autoconfig/mail/config-v1.1.xml",
    )


# --- fetching

NAMES = {
    "agency.example": ["127.0.0.1"],
    "autoconfig.agency.example": ["127.0.0.1"],
    "hoster.example": ["127.0.0.1"],
    "stranger.example": ["127.0.0.1"],
    "inside.example": ["10.0.0.5"],
    "both.example": ["127.0.0.1", "169.254.169.254"],
}


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority):
    return server_context(authority, *(name for name in NAMES if name != "stranger.example"))


@pytest.fixture
def dns():
    with DnsServer(NAMES) as server:
        yield server


@pytest.fixture
def site(certificate):
    with HttpsServer(certificate) as server:
        yield server


@pytest.fixture
def web(authority, dns, site):
    guard = Guard(allow_networks=("127.0.0.0/8",), nameserver=dns.address, lifetime=2)
    return Web.of(Network(guard, client_context(authority), "assistant.example", QUICK), site.port)


def get(web, url, seconds=10):
    return web.get(url, Deadline(seconds))


def test_a_file_is_fetched_over_https_from_the_one_address(web, site, dns):
    site.pages["agency.example/a"] = page("hello")
    assert get(web, "https://agency.example/a?x=1#part") == b"hello"
    assert site.asked == ["agency.example/a?x=1"]
    assert site.headers["Accept-Encoding"] == "identity"
    assert sorted(dns.asked) == [("agency.example", "A"), ("agency.example", "AAAA")]


def test_a_body_in_chunks_is_put_together(web, site):
    def chunks(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    site.pages["agency.example/a"] = chunks
    assert get(web, "https://agency.example/a") == b"abcde"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["https://hoster.example/b", "//hoster.example/b", "HTTPS://Hoster.example./b"])
def test_a_redirect_to_another_host_is_followed(web, site, status, location):
    site.pages |= {"agency.example/a": moved(location, status), "hoster.example/b": page("there")}
    assert get(web, "https://agency.example/a") == b"there"


def test_a_redirect_on_the_same_host_is_followed(web, site):
    site.pages |= {"agency.example/a/b": moved("../c?d"), "agency.example/c": page("there")}
    assert get(web, "https://agency.example/a/b") == b"there"


def test_five_redirects_are_followed_and_a_sixth_is_not(web, site):
    site.pages |= {f"agency.example/{number}": moved(f"/{number + 1}") for number in range(6)}
    site.pages["agency.example/6"] = page("there")
    assert get(web, "https://agency.example/1") == b"there"
    with pytest.raises(NotFetched, match="too many redirects"):
        get(web, "https://agency.example/0")


def test_a_circle_of_redirects_ends(web, site):
    site.pages |= {
        "agency.example/a": moved("https://hoster.example/b"),
        "hoster.example/b": moved("https://agency.example/a"),
    }
    with pytest.raises(NotFetched, match="too many redirects"):
        get(web, "https://agency.example/a")
    assert len(site.asked) == 6


@pytest.mark.parametrize(
    "location",
    [
        "http://agency.example/b",
        "ftp://agency.example/b",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://ana@hoster.example/b",
        "https://:secret@hoster.example/b",
        "https://agency.example:22/b",
        "https://agency.example:443/b",
        "https://agency.example:x/b",
        "https://agency.example/\tb",
        "",
        "https://agency.example\\@hoster.example/b",
        "https://[::1/b",
        "https://agency.example/" + "x" * 2_048,
        "https://agency.example/\xe9",
        "https://agency.example/a b",
        "https://no_such host/",
    ],
)
def test_a_redirect_to_what_is_not_plain_https_is_not_followed(web, site, location):
    site.pages |= {"agency.example/a": moved(location), "agency.example/b": page("no"), "hoster.example/b": page("no")}
    with pytest.raises((NotFetched, BadHost)):
        get(web, "https://agency.example/a")
    assert site.connections == 1


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("inside.example", AddressRefused),
        ("both.example", AddressRefused),
        ("10.0.0.5", AddressRefused),
        ("169.254.169.254", AddressRefused),
        ("[fd00::1]", AddressRefused),
        ("localhost", AddressRefused),
        ("nowhere.example", HostNotFound),
    ],
)
@pytest.mark.parametrize("by_redirect", [False, True])
def test_an_address_inside_is_refused_at_once_and_by_redirect(web, site, host, why, by_redirect):
    site.pages["agency.example/a"] = moved(f"https://{host}/b")
    with pytest.raises(why):
        get(web, "https://agency.example/a" if by_redirect else f"https://{host}/b")
    assert site.connections == int(by_redirect)


def test_a_second_answer_of_the_name_server_is_never_asked_for(web, site, dns):
    """A name that resolves inside after it was judged: the connection goes to the address that was judged."""

    def rebind(handler):
        dns.names["agency.example"] = ["169.254.169.254"]
        page("hello")(handler)

    site.pages["agency.example/a"] = rebind
    assert get(web, "https://agency.example/a") == b"hello"
    assert len(dns.asked) == 2
    with pytest.raises(AddressRefused):
        get(web, "https://agency.example/a")


def test_a_redirect_to_a_name_that_now_lies_inside_is_refused(web, site, dns):
    def rebind(handler):
        dns.names["agency.example"] = ["169.254.169.254"]
        moved("https://agency.example/b")(handler)

    site.pages["agency.example/a"] = rebind
    with pytest.raises(AddressRefused):
        get(web, "https://agency.example/a")
    assert site.connections == 1


@pytest.mark.parametrize("by_redirect", [False, True])
def test_a_certificate_for_another_name_ends_it_before_a_word_is_said(web, site, by_redirect):
    site.pages |= {"agency.example/a": moved("https://stranger.example/a"), "stranger.example/a": page("hijacked")}
    with pytest.raises(OSError, match="Hostname mismatch"):
        get(web, f"https://{'agency' if by_redirect else 'stranger'}.example/a")
    assert "stranger.example/a" not in site.asked


def test_a_certificate_of_an_authority_that_we_do_not_trust_is_refused(web, site, certificate):
    other = Web(web.guard, client_context(trustme.CA()), web.port)
    with pytest.raises(OSError, match="certificate verify failed"):
        get(other, "https://agency.example/a")
    assert site.asked == []


@pytest.mark.parametrize("status", [204, 206, 301, 304, 401, 404, 500, 503])
def test_another_status_is_no_file(web, site, status):
    site.pages["agency.example/a"] = lambda handler: (handler.send_response(status), handler.end_headers())
    with pytest.raises(NotFetched, match=f"status {status}"):
        get(web, "https://agency.example/a")


def test_a_compressed_body_is_not_taken(web, site):
    site.pages["agency.example/a"] = page(b"\x1f\x8b", Content_Encoding="gzip")
    with pytest.raises(NotFetched, match="compressed"):
        get(web, "https://agency.example/a")


def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not(web, site):
    site.pages |= {"agency.example/a": page(b"x" * MAX_BODY), "agency.example/b": page(b"x" * (MAX_BODY + 1))}
    assert len(get(web, "https://agency.example/a")) == MAX_BODY
    with pytest.raises(NotFetched, match="too large"):
        get(web, "https://agency.example/b")


def endless(start, more):
    """A page that never ends, until the client is gone."""

    def answer(handler):
        handler.wfile.write(start)
        try:
            while True:
                handler.wfile.write(more)
        except OSError:
            handler.close_connection = True

    return answer


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", b"x" * 4096),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: x\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 4096),
        (b"", b"x" * 4096),
    ],
    ids=["body", "chunks", "length", "continue", "headers", "one header", "no status"],
)
def test_an_answer_without_an_end_is_given_up(web, site, start, more):
    site.pages["agency.example/a"] = endless(start, more)
    with pytest.raises(NotFetched):
        get(web, "https://agency.example/a")


@pytest.mark.parametrize(
    "answer",
    [b"", b"\r\n", b"220 mail.example ESMTP\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
)  # fmt: skip
def test_what_is_no_answer_of_the_web_is_none(web, site, answer):
    def broken(handler):
        handler.wfile.write(answer)
        handler.close_connection = True

    site.pages["agency.example/a"] = broken
    with pytest.raises(NotFetched):
        get(web, "https://agency.example/a")


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"])
def test_a_server_that_falls_silent_is_left_at_the_deadline(web, site, start):
    left = threading.Event()

    def silent(handler):
        handler.wfile.write(start)
        handler.close_connection = True
        left.wait(20)

    site.pages["agency.example/a"] = silent
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        get(web, "https://agency.example/a", seconds=0.4)
    assert time.monotonic() - begun < 10
    left.set()


def test_a_server_that_drips_is_left_at_the_deadline_although_it_never_falls_silent(web, site):
    gone = threading.Event()

    def drip(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not gone.wait(0.05):
            handler.wfile.write(b"x")
        handler.close_connection = True

    site.pages["agency.example/a"] = drip
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        get(web, "https://agency.example/a", seconds=0.5)
    assert time.monotonic() - begun < 10
    gone.set()


def test_the_web_is_reached_on_its_port_only_and_mail_not_on_it(web, site):
    assert Web.of(Network(Guard(), web.context, "assistant.example")).port == 443
    for port in (25, 80, 465, 587, 8443):
        with pytest.raises(GuardError):
            web.guard.check_port(port)
    with pytest.raises(GuardError):
        Guard().check_port(443)
