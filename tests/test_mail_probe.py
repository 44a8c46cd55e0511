"""The staged live test against a server that misbehaves in every way we know of."""

import base64
import datetime as dt
import socket
import ssl
import time
import warnings
from dataclasses import replace

import pytest
import trustme

from bot.mail.knowledge.provider import Server
from bot.mail.wire import probe, smtp
from bot.mail.wire.account import Account
from bot.mail.wire.guard import Endpoint, Guard
from bot.mail.wire.probe import Worked, test_login
from bot.mail.wire.smtp import Deadline, Network, Session, Timeouts, tls_context
from tests.dns_server import SILENT as UNANSWERED
from tests.dns_server import DnsServer
from tests.faulty_smtp import (
    CLOSE,
    IMPATIENT,
    QUICK,
    RESET,
    SILENT,
    STATED,
    FaultySMTP,
    client_context,
    hanging,
    loopback_network,
    self_signed_context,
    server_context,
)

ADDRESS = "ana@agency.example"
SECRET = "correct horse"
STARTTLS_STAGES = ("input", "dns", "connect", "greeting", "ehlo", "starttls", "auth", "mail_from", "rcpt_to")
TLS_STAGES = ("input", "dns", "connect", "tls", "greeting", "ehlo", "auth", "mail_from", "rcpt_to")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def good(authority):
    return server_context(authority, "localhost")


@pytest.fixture(scope="module")
def client(authority):
    return client_context(authority)


def try_login(
    server, client, security="tls", *, host="localhost", secret=SECRET, provider=None, timeouts=QUICK, **account
):
    account = Account(**{"address": ADDRESS, "user": ADDRESS, "server": Server(host, server.port, security), **account})
    network = loopback_network(client, server.port, timeouts=timeouts)
    return test_login(account, secret, network=network, provider=provider)


@pytest.mark.parametrize(("security", "stages"), [("tls", TLS_STAGES), ("starttls", STARTTLS_STAGES)])
def test_a_good_account_works_in_both_modes(good, client, security, stages):
    with FaultySMTP(good, security) as server:
        found = try_login(server, client, security)
    assert found == Worked(Server("localhost", server.port, security), repaired=False, stages=stages, size=STATED)
    assert server.sign_ins == [(ADDRESS, SECRET)]
    assert server.commands[-5:-4] == server.auths
    assert server.commands[-4:] == [f"mail FROM:<{ADDRESS}>", f"rcpt TO:<{ADDRESS}>", "rset", "QUIT"]
    assert "ehlo assistant.example" in server.commands


def test_no_message_is_sent(good, client):
    with FaultySMTP(good) as server:
        try_login(server, client)
    assert server.messages == []
    assert "data" not in [command.lower() for command in server.commands]


def test_a_wrong_password_costs_exactly_one_auth_command(good, client):
    """Observed: wrong password; exactly one AUTH command on the wire."""
    with FaultySMTP(good, auth="535 5.7.8 Error: authentication failed") as server:
        found = try_login(server, client)
    assert (found.stage, found.cause, found.who, found.retry) == ("auth", "wrong_credentials", "user", False)
    assert (found.code, found.answered, found.blames_secret) == (535, True, True)
    assert len(server.auths) == 1
    assert server.connections == 1


def test_login_is_used_where_plain_is_not_offered(good, client):
    offer = "250-mail.example.test\r\n250 AUTH LOGIN CRAM-MD5"
    with FaultySMTP(good, ehlo_tls=offer, auth={"LOGIN": "235 ok"}) as server:
        found = try_login(server, client)
    assert isinstance(found, Worked)
    assert server.auths == ["AUTH LOGIN"]
    assert server.sign_ins == [(ADDRESS, SECRET)]


def test_a_second_mechanism_is_tried_only_when_the_first_is_unknown(good, client):
    with FaultySMTP(good, auth={"PLAIN": "504 5.5.4 Unrecognized authentication type"}) as server:
        found = try_login(server, client)
    assert isinstance(found, Worked)
    assert [auth.split(" ")[1] for auth in server.auths] == ["PLAIN", "LOGIN"]


def test_googles_534_is_no_unknown_mechanism(good, client):
    with FaultySMTP(good, auth="534-5.7.9 Application-specific password required. Learn\r\n534 5.7.9 more") as server:
        found = try_login(server, client, provider="google")
    assert found.cause == "app_password_required"
    assert len(server.auths) == 1


@pytest.mark.parametrize("offer", ["250-AUTH PLAIN", "250-AUTH LOGIN"])
def test_a_password_beyond_ascii_goes_out_as_utf_8(good, client, offer):
    """Observed: non-ASCII password; UTF-8 PLAIN, no exception (smtplib's login() raises UnicodeEncodeError)."""
    with FaultySMTP(good, ehlo_tls=f"250-mail\r\n{offer}\r\n250 HELP") as server:
        found = try_login(server, client, secret="sêñha ✓ пароль", user="joão")
    assert isinstance(found, Worked)
    assert server.sign_ins == [("joão", "sêñha ✓ пароль")]


def test_a_long_secret_is_given_on_its_own_line(good, client):
    secret = "k" * 600
    with FaultySMTP(good) as server:
        found = try_login(server, client, secret=secret)
    assert isinstance(found, Worked)
    assert server.auths == ["AUTH PLAIN"]
    assert server.sign_ins == [(ADDRESS, secret)]


@pytest.mark.parametrize(
    ("reply", "cause", "retry", "blamed"),
    [
        ("454 4.7.0 Temporary authentication failure", "server_temporary_failure", True, False),
        ("535 SmtpClientAuthentication is disabled for it", "smtp_auth_disabled_tenant_or_mailbox", False, False),
        ("535 5.7.139 basic authentication is disabled.", "oauth_required_basic_auth_disabled", False, True),
        (CLOSE, "connection_dropped", True, False),
        (RESET, "connection_dropped", True, False),
        ("no code at all", "connection_dropped", True, False),
    ],
)  # fmt: skip
def test_the_secret_is_blamed_only_when_the_server_calls_it_wrong(good, client, reply, cause, retry, blamed):
    with FaultySMTP(good, auth=reply) as server:
        found = try_login(server, client)
    assert (found.stage, found.cause, found.retry, found.blames_secret) == ("auth", cause, retry, blamed)
    assert len(server.auths) == 1


def test_a_silent_auth_ends_with_the_command_limit(good, client):
    with FaultySMTP(good, auth=SILENT) as server:
        found = try_login(server, client, timeouts=IMPATIENT)
    assert (found.stage, found.cause) == ("auth", "connection_dropped")


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        ("250-AUTH XOAUTH2 OAUTHBEARER", "oauth_required_basic_auth_disabled"),
        ("250-SIZE 1", "relay_denied_auth_required"),
    ],
)
def test_nothing_is_given_where_no_password_can_be_given(good, client, lines, cause):
    """Observed: only XOAUTH2 offered, or no AUTH at all; no secret leaves, and the first means OAuth."""
    with FaultySMTP(good, ehlo_tls=f"250-mail\r\n{lines}\r\n250 HELP") as server:
        found = try_login(server, client)
    assert (found.stage, found.cause) == ("auth", cause)
    assert server.auths == []


def test_starttls_not_offered_ends_it_before_any_secret(client):
    """Observed: STARTTLS not offered; nothing more is sent."""
    offer = "250-mail\r\n250 AUTH PLAIN LOGIN"
    with FaultySMTP(None, "plain", ehlo=offer) as server:
        found = try_login(server, client, "starttls")
    assert (found.stage, found.cause, found.repaired) == ("starttls", "tls_wrong_mode_for_port", False)
    assert server.commands == ["ehlo assistant.example"]
    assert server.connections == 1


def test_starttls_refused_ends_it_before_any_secret(good, client):
    with FaultySMTP(good, "starttls", starttls="454 4.7.0 TLS not available due to local problem") as server:
        found = try_login(server, client, "starttls")
    assert (found.stage, found.cause, found.retry) == ("starttls", "server_temporary_failure", True)
    assert server.auths == []


def test_what_is_injected_before_the_handshake_is_forgotten(good, client):
    """Observed: bytes injected after `220 go`; ignored, capabilities come from the EHLO inside TLS."""
    injected = "220 go on\r\n250-evil\r\n250 AUTH LOGIN"
    with FaultySMTP(good, "starttls", starttls=injected, ehlo_tls="250-mail\r\n250 AUTH PLAIN") as server:
        found = try_login(server, client, "starttls")
    assert isinstance(found, Worked)
    assert [auth.split(" ")[1] for auth in server.auths] == ["PLAIN"]
    assert server.commands.count("ehlo assistant.example") == 2


def test_capabilities_from_before_the_handshake_are_forgotten(good, client):
    """Observed: the same for what was offered in plain text."""
    before = "250-mail\r\n250-STARTTLS\r\n250 AUTH PLAIN"
    with FaultySMTP(good, "starttls", ehlo=before, ehlo_tls="250 mail") as server:
        found = try_login(server, client, "starttls")
    assert (found.stage, found.cause) == ("auth", "relay_denied_auth_required")
    assert server.auths == []


# --- certificates


def faulty_contexts(authority, folder):
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    old = trustme.CA()
    return {
        "self-signed": self_signed_context("localhost", folder),
        "private CA": server_context(old, "localhost"),
        "expired": server_context(authority, "localhost", not_before=past - dt.timedelta(days=9), not_after=past),
        "other name": server_context(authority, "mail.other.example"),
    }


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("self-signed", "tls_certificate_invalid"),
        ("private CA", "tls_certificate_invalid"),
        ("expired", "tls_certificate_invalid"),
        ("other name", "tls_hostname_mismatch"),
    ],
)
def test_a_wrong_certificate_ends_it_before_any_secret(authority, client, tmp_path, security, fault, cause):
    with FaultySMTP(faulty_contexts(authority, tmp_path)[fault], security) as server:
        found = try_login(server, client, security)
    assert (found.stage, found.cause, found.answered) == (security, cause, security == "starttls")
    assert server.auths == []
    assert server.connections == (2 if fault == "other name" else 1)  # once more to read its names


def test_an_address_typed_instead_of_the_name_is_a_mismatch(good, client):
    """Observed: IP typed; verify code 64."""
    with FaultySMTP(good) as server:
        found = try_login(server, client, host="127.0.0.1")
    assert (found.stage, found.cause) == ("tls", "tls_hostname_mismatch")


def test_a_server_with_tls_1_0_only_is_too_old(authority, client):
    """Observed: server with TLS 1.0 only; handshake error."""
    context = server_context(authority, "localhost")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with FaultySMTP(context) as server:
        found = try_login(server, client)
    assert (found.stage, found.cause) == ("tls", "tls_protocol_too_old")


def test_a_context_that_does_not_verify_is_never_used():
    """Observed: without `context=` smtplib accepts a self-signed certificate.

    Here none gets through without a context that verifies.
    """
    careless = ssl.create_default_context()
    careless.check_hostname = False
    for context in (careless, ssl._create_unverified_context()):
        with pytest.raises(ValueError):
            Network(Guard(), context, "assistant.example")
    assert tls_context().minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("name", ["", "localhost", "my_host.example", "a b.example", "x.example\r\nQUIT", "127.0.0.1"])
def test_an_ehlo_name_that_servers_refuse_stops_the_start(name):
    with pytest.raises(ValueError):
        Network(Guard(), tls_context(), name)
    assert Network(Guard(), tls_context(), "[127.0.0.1]").local_hostname == "[127.0.0.1]"


# --- the mode repairs itself


def test_tls_on_a_starttls_port_is_repaired(good, client):
    """Observed: implicit TLS on a plain port; WRONG_VERSION_NUMBER, and we switch the mode by ourselves."""
    with FaultySMTP(good, "starttls") as server:
        found = try_login(server, client, "tls")
    assert found == Worked(
        Server("localhost", server.port, "starttls"), repaired=True, stages=STARTTLS_STAGES, size=STATED
    )
    assert server.connections == 2
    assert len(server.auths) == 1


def test_starttls_on_a_tls_port_is_repaired(good, client):
    """Observed: plain client on an implicit port; it only waits, and we switch the mode by ourselves."""
    with FaultySMTP(good, "tls") as server:
        found = try_login(server, client, "starttls", timeouts=IMPATIENT)
    assert found == Worked(Server("localhost", server.port, "tls"), repaired=True, stages=TLS_STAGES, size=STATED)
    assert server.connections == 2


def test_a_wrong_password_in_the_repaired_mode_costs_one_auth_command_and_tells_the_mode(good, client):
    with FaultySMTP(good, "starttls", auth="535 5.7.8 no") as server:
        found = try_login(server, client, "tls")
    assert (found.stage, found.cause, found.repaired, found.server.security) == (
        "auth",
        "wrong_credentials",
        True,
        "starttls",
    )
    assert len(server.auths) == 1


def test_a_wrong_certificate_in_the_repaired_mode_is_what_is_told(authority, client, tmp_path):
    with FaultySMTP(faulty_contexts(authority, tmp_path)["other name"], "tls") as server:
        found = try_login(server, client, "starttls", timeouts=IMPATIENT)
    assert (found.stage, found.cause, found.repaired) == ("tls", "tls_hostname_mismatch", True)


def test_plain_text_is_no_repair(client):
    with FaultySMTP(None, "plain") as server:
        found = try_login(server, client, "tls")
    assert (found.stage, found.cause) == ("starttls", "tls_wrong_mode_for_port")
    assert server.auths == []


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_silent_port_ends_with_its_limit(client, security):
    """Observed: silent port; the greeting's timeout, in both modes."""
    with FaultySMTP(None, "plain", greeting=SILENT) as server:
        found = try_login(server, client, security, timeouts=IMPATIENT)
    assert (found.cause, found.retry, found.answered, found.repaired) == ("greeting_timeout", True, False, False)
    assert found.server.security == security


# --- greetings, limits, deadlines


@pytest.mark.parametrize(
    ("greeting", "cause"),
    [
        ("554 5.7.1 You are not welcome", "ip_blocklisted"),
        ("421 4.7.0 Too many connections from your address", "rate_limited"),
        ("554-a\r\n554 blocked using zen.spamhaus.org", "ip_blocklisted"),
    ],
)
def test_a_banner_that_refuses_is_about_us_not_about_the_password(good, client, greeting, cause):
    """Observed: 554 or 421 banner; our IP, not the password."""
    with FaultySMTP(good, greeting=greeting) as server:
        found = try_login(server, client)
    assert (found.stage, found.cause, found.answered, found.blames_secret) == ("greeting", cause, False, False)
    assert server.connections == 1


def test_a_dripping_banner_ends_with_the_greeting_limit(client):
    """Observed: dripping banner; ended by the deadline."""
    with FaultySMTP(None, "plain", greeting=lambda peer: peer.drip(b"2", every=0.05)) as server:
        begun = time.monotonic()
        found = try_login(server, client, "starttls", timeouts=IMPATIENT)
    assert (found.stage, found.cause) == ("greeting", "greeting_timeout")
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("line", [b"220-still here\r\n", b"220-" + b"x" * 4000 + b"\r\n", b"x" * 4000])
def test_endless_lines_end_with_the_size_limit(client, line):
    """Observed: endless continuation lines; ended by the line limit."""
    with FaultySMTP(None, "plain", greeting=lambda peer: peer.drip(line, every=0.0005)) as server:
        found = try_login(server, client, "starttls", timeouts=QUICK)
    assert (found.stage, found.cause) == ("greeting", "greeting_timeout")
    assert found.raw.startswith("ReplyTooLong")


def test_the_whole_test_ends_with_its_deadline_however_slowly_a_server_talks(good, client):
    def slowly(peer):
        for number in range(90):
            if peer.server.stopping.wait(0.1):
                return
            peer.sock.sendall(f"250-line {number}\r\n".encode())

    timeouts = Timeouts(connect=9, tls=9, greeting=9, command=9, leave=0.2, total=0.7)
    with FaultySMTP(good, ehlo_tls=slowly) as server:
        begun = time.monotonic()
        found = try_login(server, client, timeouts=timeouts)
    assert (found.stage, found.cause) == ("ehlo", "connection_dropped")
    assert time.monotonic() - begun < 7


def test_a_reply_of_a_hundred_lines_is_read_and_one_more_is_not(good, client):
    for lines, works in ((99, True), (100, False)):
        offer = "\r\n".join(["250-mail", "250-AUTH PLAIN"] + ["250-X"] * (lines - 2) + ["250 HELP"])
        with FaultySMTP(good, ehlo_tls=offer) as server:
            assert isinstance(try_login(server, client), Worked) is works


def test_a_bad_quit_is_no_failure(good, client):
    """Observed: QUIT answered 421, or closed; what was found before it holds."""
    for reply in ("421 go away", CLOSE, RESET, SILENT):
        with FaultySMTP(good, quit=reply) as server:
            assert isinstance(try_login(server, client, timeouts=replace(QUICK, leave=0.3)), Worked)


def test_the_ehlo_that_is_refused_is_our_fault(good, client):
    with FaultySMTP(good, ehlo_tls="501 5.5.4 Invalid domain name") as server:
        found = try_login(server, client)
    assert (found.stage, found.who) == ("ehlo", "us")


# --- broken off at every stage


def hanging_up(reply, *, from_connection=1):
    """A server that breaks off in the handshake: it answers the client's first bytes with an end."""

    def greeting(peer):
        if peer.server.connections >= from_connection:
            peer.sock.recv(1)
        reply(peer)

    return greeting


@pytest.mark.parametrize("reply", [CLOSE, RESET])
@pytest.mark.parametrize(
    ("security", "moment", "stage", "cause"),
    [
        ("starttls", "greeting", "greeting", "connection_dropped"),
        ("starttls", "ehlo", "ehlo", "connection_dropped"),
        ("starttls", "starttls", "starttls", "connection_dropped"),
        ("starttls", "ehlo_tls", "starttls", "connection_dropped"),
        ("tls", "greeting", "greeting", "connection_dropped"),
        ("tls", "ehlo_tls", "ehlo", "connection_dropped"),
        ("tls", "auth", "auth", "connection_dropped"),
        ("tls", "mail_from", "mail_from", "connection_dropped"),
        ("tls", "rcpt_to", "rcpt_to", "connection_dropped"),
    ],
)
def test_a_server_that_breaks_off_is_told_with_its_stage(good, client, reply, security, moment, stage, cause):
    """Observed: "peer closes or resets" is SMTPServerDisconnected or ConnectionResetError, each with its stage."""
    if (security, moment) == ("starttls", "greeting"):
        reply = hanging_up(reply, from_connection=2)  # the other mode is tried, and fails in its handshake
    with FaultySMTP(good, security, **{moment: reply}) as server:
        found = try_login(server, client, security)
    assert (found.stage, found.cause, found.blames_secret) == (stage, cause, False)
    assert len(server.auths) <= 1
    assert (server.connections == 1) is (stage != "greeting" or security == "tls")


@pytest.mark.parametrize(("security", "stage"), [("starttls", "greeting"), ("tls", "tls")])
def test_a_server_that_hangs_up_before_we_could_look_took_the_call(good, client, monkeypatch, security, stage):
    """A reset that is quicker than our look at the new connection is no refusal: that would be another error."""

    def quicker(*_):
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(Guard, "connect", quicker)
    with FaultySMTP(good, security) as server:
        found = try_login(server, client, security)
    assert (found.stage, found.cause) == (stage, "connection_dropped")


@pytest.mark.parametrize("reply", [CLOSE, RESET])
def test_a_server_that_breaks_off_in_the_handshake_is_told(client, reply):
    """Observed: SSLEOFError or ConnectionResetError at the stage tls, and nothing is tried in another mode."""
    with FaultySMTP(None, "plain", greeting=hanging_up(reply)) as server:
        found = try_login(server, client, "tls")
    assert (found.stage, found.cause, found.answered) == ("tls", "connection_dropped", False)
    assert (server.connections, server.commands) == (1, [])


def test_a_connection_that_is_gone_before_the_handshake_is_no_connection(client):
    """The library would make a socket without TLS of it."""
    gone = socket.socket()  # what a reset leaves: not connected to anybody
    with pytest.raises(OSError, match="not connected"):
        smtp.wrapped(gone, "localhost", client, 2)
    assert gone.fileno() == -1


@pytest.mark.parametrize("reply", [CLOSE, RESET])
def test_a_server_that_breaks_off_after_go_on_is_told(client, reply):
    def starttls(peer):
        peer.say("220 go on")
        hanging_up(reply)(peer)

    with FaultySMTP(None, "starttls", starttls=starttls) as server:
        found = try_login(server, client, "starttls")
    assert (found.stage, found.cause, found.answered) == ("starttls", "connection_dropped", True)
    assert server.auths == []


@pytest.mark.parametrize("moment", ["ehlo_tls", "auth", "mail_from", "rcpt_to"])
@pytest.mark.parametrize("line", [b"250-still here\r\n", b"2"])
def test_endless_lines_end_at_every_stage(good, client, moment, line):
    """Observed: smtplib reads continuation lines without an end; here the number of lines or the limit ends them."""
    every = 0.0005 if len(line) > 1 else 0.05
    stage = "ehlo" if moment == "ehlo_tls" else moment
    with FaultySMTP(good, **{moment: lambda peer: peer.drip(line, every)}) as server:
        begun = time.monotonic()
        found = try_login(server, client, timeouts=IMPATIENT)
    assert (found.stage, found.cause, found.blames_secret) == (stage, "connection_dropped", False)
    assert time.monotonic() - begun < 4


# --- no account is locked


@pytest.mark.parametrize(
    "reply",
    [
        "535 5.7.8 no",
        "530 5.7.0 Must issue a STARTTLS command first",
        "534 5.7.9 Please log in via your web browser",
        "421 4.7.0 Too many login attempts",
        "454 4.7.0 Cannot authenticate due to temporary system problem",
        "503 5.5.1 what?",
        "334 VXNlcm5hbWU6",
        CLOSE,
        RESET,
    ],
)
@pytest.mark.parametrize("given", ["tls", "starttls"])
@pytest.mark.parametrize("real", ["tls", "starttls"])
def test_no_reply_to_auth_makes_a_second_one(good, client, reply, given, real):
    """Observed: smtplib's login() makes three failed logins of one call, and locks follow. Also after a repair."""
    with FaultySMTP(good, real, auth=reply) as server:
        found = try_login(server, client, given, timeouts=IMPATIENT)
    assert (found.stage, found.repaired) == ("auth", given != real)
    assert len(server.auths) == 1
    assert server.connections == (1 if given == real else 2)


def test_a_server_that_knows_no_mechanism_gets_each_once(good, client):
    with FaultySMTP(good, auth="504 5.5.4 Unrecognized authentication type") as server:
        found = try_login(server, client)
    assert found.stage == "auth"
    assert [auth.split(" ")[1] for auth in server.auths] == ["PLAIN", "LOGIN"]


# --- the other submission port


@pytest.fixture
def submission(monkeypatch):
    """Says which ports of this machine are the submission ports: the real ones may not be listened on."""

    def are(**ports):
        monkeypatch.setattr(probe, "SUBMISSION", {port: security for security, port in ports.items()})

    return are


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def at_port(port, client, *others, security="tls", host="localhost", timeouts=QUICK):
    account = Account(ADDRESS, ADDRESS, Server(host, port, security))
    network = loopback_network(client, port, *others, timeouts=timeouts)
    return test_login(account, SECRET, network=network, provider=None)


@pytest.mark.parametrize(("given", "other"), [("tls", "starttls"), ("starttls", "tls")])
def test_a_refused_port_names_the_one_that_answers(good, client, submission, given, other):
    port = free_port()
    with FaultySMTP(good, other) as server:
        submission(**{given: port, other: server.port})
        found = at_port(port, client, server.port, security=given)
    assert (found.stage, found.cause, found.answered) == ("connect", "connection_refused", False)
    assert found.server == Server("localhost", port, given)
    assert found.better_server == Server("localhost", server.port, other)
    assert server.auths == []
    assert server.commands[-1] == "QUIT"
    assert server.sign_ins == []


def test_a_silent_port_names_the_one_that_answers(authority, client, submission):
    context = server_context(authority, "127.0.0.1")
    with hanging("127.0.0.1") as port, FaultySMTP(context, "starttls") as server:
        submission(tls=port, starttls=server.port)
        found = at_port(port, client, server.port, host="127.0.0.1", timeouts=replace(QUICK, connect=0.4))
    assert (found.stage, found.cause) == ("connect", "connection_timeout_or_blocked_port")
    assert found.better_server == Server("127.0.0.1", server.port, "starttls")


def test_a_port_for_reading_mail_names_the_one_that_answers(good, client, submission, monkeypatch):
    """Typed 993: it answers as IMAP does, not as a server that takes mail."""
    with FaultySMTP(good, greeting="* OK IMAP4rev1 ready") as imap, FaultySMTP(good, "starttls") as server:
        monkeypatch.setattr(probe, "_FOR_READING", {imap.port})
        submission(starttls=server.port)
        found = at_port(imap.port, client, server.port)
    assert (found.stage, found.cause, found.answered) == ("greeting", "greeting_timeout", False)
    assert found.better_server == Server("localhost", server.port, "starttls")
    assert imap.auths == server.auths == []


def test_no_port_is_named_where_none_proves_itself(good, client, submission, authority):
    port, closed = free_port(), free_port()
    with FaultySMTP(server_context(authority, "mail.other.example"), "starttls") as other:
        with FaultySMTP(None, "plain") as plain, FaultySMTP(good, greeting="554 go away") as refusing:
            for security, at in (("starttls", other.port), ("starttls", plain.port), ("tls", refusing.port)):
                submission(**{security: at})
                found = at_port(port, client, at)
                assert (found.stage, found.better_server) == ("connect", None)
        submission(tls=closed)
        assert at_port(port, client, closed).better_server is None
        assert other.auths == plain.auths == refusing.auths == []


def test_the_other_port_is_left_alone_where_a_server_answered(good, client, submission):
    with FaultySMTP(good, auth="535 5.7.8 no") as server, FaultySMTP(good, "starttls") as other:
        submission(tls=server.port, starttls=other.port)
        found = at_port(server.port, client, other.port)
    assert (found.stage, found.better_server) == ("auth", None)
    assert other.connections == 0


def test_a_port_that_the_guard_forbids_is_not_looked_at(good, client, submission):
    port = free_port()
    with FaultySMTP(good) as other:
        submission(tls=other.port)
        assert at_port(port, client).better_server is None
    assert other.connections == 0


def test_a_silent_other_port_ends_with_the_deadline(client, submission, monkeypatch):
    port = free_port()
    monkeypatch.setattr(probe, "_LOOK_AROUND", 0.3)
    with FaultySMTP(None, "plain", greeting=SILENT) as other:
        submission(starttls=other.port)
        begun = time.monotonic()
        assert at_port(port, client, other.port).better_server is None
    assert time.monotonic() - begun < 8


def test_the_submission_ports_are_the_registered_ones():
    assert probe.SUBMISSION == {465: "tls", 587: "starttls"}


# --- without credentials


@pytest.mark.parametrize(("security", "stages"), [("tls", TLS_STAGES[:6]), ("starttls", STARTTLS_STAGES[:6])])
def test_a_server_is_tested_without_credentials(good, client, security, stages):
    offer = "250-mail\r\n250-AUTH PLAIN login XOAUTH2 $(reboot) PLAIN\r\n250-AUTH=LOGIN\r\n250 HELP"
    with FaultySMTP(good, security, ehlo_tls=offer) as server:
        network = loopback_network(client, server.port)
        found = probe.check_server(Server("localhost", server.port, security), network=network)
    assert (found.server.security, found.repaired, found.stages) == (security, False, stages)
    assert found.methods == ("PLAIN", "LOGIN", "XOAUTH2")
    assert (server.auths, server.commands[-1]) == ([], "QUIT")


def test_a_server_without_sign_in_is_told(good, client):
    with FaultySMTP(good, ehlo_tls="250 mail") as server:
        network = loopback_network(client, server.port)
        assert probe.check_server(Server("localhost", server.port, "tls"), network=network).methods == ()


def test_whoever_watches_is_told_of_every_stage_with_its_time(good, client):
    seen = []

    def watch(stage, seconds, *, ok):
        assert 0 <= seconds < 5
        seen.append((stage, ok))

    with FaultySMTP(good, "starttls", auth="535 5.7.8 no") as server:
        account = Account(ADDRESS, ADDRESS, Server("localhost", server.port, "tls"))
        test_login(account, SECRET, network=loopback_network(client, server.port), provider=None, watch=watch)
    first = [("input", True), ("dns", True), ("connect", True), ("tls", False)]
    second = [("connect", True), ("greeting", True), ("ehlo", True), ("starttls", True), ("auth", False)]
    assert seen == first + second


# --- sender and recipient


@pytest.mark.parametrize("moment", ["mail_from", "rcpt_to"])
@pytest.mark.parametrize(
    "reply",
    [
        f"553 5.7.1 <{ADDRESS}>: Sender address rejected: not owned by user x",
        "553 5.7.1 Sender address rejected: not owned by auth user.",
        "550 5.7.0 From address is not one of your addresses",
        "550-Requested action not taken: mailbox unavailable\r\n550 Sender address is not allowed.",
        "553 Relaying disallowed as ana@other.example",
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
    ],
)
def test_a_from_that_is_not_the_login_is_found(good, client, moment, reply):
    with FaultySMTP(good, **{moment: reply}) as server:
        found = try_login(server, client)
    assert (found.stage, found.cause, found.blames_secret) == (moment, "sender_not_allowed", False)
    assert ADDRESS not in found.raw


@pytest.mark.parametrize("reply", ["450 4.2.0 Greylisted", "451 4.7.1 later", "421 4.3.0 closing", "251 forwarded"])
def test_greylisting_is_no_failure(good, client, reply):
    with FaultySMTP(good, rcpt_to=reply) as server:
        assert isinstance(try_login(server, client), Worked)


# --- input, names, ports


@pytest.mark.parametrize(
    ("account", "cause"),
    [
        ({"address": "a@x>\r\nRCPT TO:<evil@x.com"}, "sender_not_allowed"),
        ({"address": "ana"}, "sender_not_allowed"),
        ({"user": "ana\r\nQUIT"}, "wrong_credentials"),
        ({"user": "ana\0"}, "wrong_credentials"),
        ({"user": ""}, "wrong_credentials"),
        ({"user": "a" * 400}, "wrong_credentials"),
    ],
)
def test_bad_input_is_refused_before_a_byte_is_sent(good, client, account, cause):
    with FaultySMTP(good) as server:
        found = try_login(server, client, **account)
    assert (found.stage, found.cause, found.who) == ("input", cause, "user")
    assert server.connections == 0


@pytest.mark.parametrize("secret", ["", "a\0b", "a" * 1025])
def test_a_secret_that_cannot_be_is_refused_before_a_byte_is_sent(good, client, secret):
    with FaultySMTP(good) as server:
        found = try_login(server, client, secret=secret)
    assert (found.stage, found.cause) == ("input", "wrong_credentials")
    assert server.connections == 0


def test_a_port_that_is_none_of_mail_is_refused(client):
    network = loopback_network(client)
    for port in (0, 25, 22, 99999):
        found = test_login(
            Account(ADDRESS, ADDRESS, Server("localhost", port, "tls")), SECRET, network=network, provider=None
        )
        assert (found.stage, found.cause) == ("input", "connection_refused")


def test_nobody_listening_is_told_as_refused(client):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    account = Account(ADDRESS, ADDRESS, Server("localhost", port, "tls"))
    found = test_login(account, SECRET, network=loopback_network(client, port), provider=None)
    assert (found.stage, found.cause, found.answered) == ("connect", "connection_refused", False)


@pytest.mark.parametrize(
    ("host", "who", "retry"),
    [
        ("missing.example", "user", False),
        ("silent.example", "us", True),
        ("inside.example", "user", False),
        ("both.example", "user", False),
        ("not a host", "user", False),
    ],
)
def test_a_host_that_is_not_found_or_not_allowed_reads_the_same(client, host, who, retry):
    names = {"silent.example": UNANSWERED, "inside.example": ["10.0.0.5"], "both.example": ["8.8.4.4", "127.0.0.1"]}
    with DnsServer(names) as dns:
        guard = Guard(nameserver=dns.address, lifetime=0.3)
        network = Network(guard, client, "assistant.example", QUICK)
        account = Account(ADDRESS, ADDRESS, Server(host, 465, "tls"))
        found = test_login(account, SECRET, network=network, provider=None)
    assert (found.stage, found.cause, found.who, found.retry) == ("dns", "dns_host_not_found", who, retry)
    assert not found.answered


def test_the_name_is_resolved_once_also_when_the_mode_is_repaired(authority, client):
    """Observed: pinned address; a second DNS answer is never asked for."""
    context = server_context(authority, "mail.agency.example")
    with DnsServer({"mail.agency.example": ["127.0.0.1"]}) as dns, FaultySMTP(context, "starttls") as server:
        network = loopback_network(client, server.port, nameserver=dns.address)
        account = Account(ADDRESS, ADDRESS, Server("Mail.Agency.example.", server.port, "tls"))
        found = test_login(account, SECRET, network=network, provider=None)
    assert isinstance(found, Worked)
    assert found.repaired
    assert sorted(dns.asked) == [("mail.agency.example", "A"), ("mail.agency.example", "AAAA")]


# --- what leaves


def test_a_server_that_echoes_the_secret_does_not_spread_it(good, client):
    blob = base64.b64encode(f"\0{ADDRESS}\0{SECRET}".encode()).decode()
    with FaultySMTP(good, auth=f"535-{SECRET} is wrong\r\n535 {blob} {ADDRESS}") as server:
        found = try_login(server, client)
    for hidden in (SECRET, blob, ADDRESS):
        assert hidden not in repr(found)
    assert found.raw == "535 [hidden] is wrong [hidden] a***@agency.example"


def test_the_session_answers_smtplib_with_the_given_socket_and_the_checked_name(good, client):
    """Pins the private names of smtplib that Session leans on: _get_socket, and _host for STARTTLS."""
    seen = []

    class Watched(Session):
        def _get_socket(self, host, port, timeout):
            seen.append((host, port))
            return super()._get_socket(host, port, timeout)

    with FaultySMTP(good, "starttls") as server:
        network = loopback_network(client, server.port)
        sock = network.guard.connect((Endpoint("localhost", "127.0.0.1"),), server.port, 2)
        session = Watched(sock, "localhost", server.port, network, Deadline(5))
        assert seen == [("localhost", server.port)]
        assert session.sock is sock
        session.ehlo()
        session.secure(client)
        assert session.sock.server_hostname == "localhost"
        session.leave(1)
