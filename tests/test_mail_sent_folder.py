"""The Sent folder: one IMAP session that is safe to open, the right folder, and one copy in it, whatever happens."""

import datetime as dt
import imaplib
import logging
import time
import uuid
from contextlib import contextmanager
from dataclasses import replace

import pytest
import trustme
from imapclient import IMAPClient, imap_utf7

from bot.mail.knowledge.provider import Server
from bot.mail.wire.account import Account, BadCredential
from bot.mail.wire.guard import AddressRefused, Guard, HostNotFound
from bot.mail.wire.imap import MAX_BYTES, MAX_LINE, Lost, Refusal, imap_session
from bot.mail.wire.send import Accepted, compose, send
from bot.mail.wire.sent_folder import NAMES, Copy, arrived, find_sent, prove, resolve_unknown
from bot.mail.wire.smtp import Deadline, Network, Track, tls_context
from bot.playground.mail import Sandbox
from tests.dns_server import DnsServer
from tests.faulty_imap import FaultyIMAP
from tests.faulty_smtp import (
    CLOSE,
    IMPATIENT,
    QUICK,
    RESET,
    SILENT,
    client_context,
    loopback_network,
    self_signed_context,
    server_context,
)
from tests.mailservers import LOOPBACK, SENT_HABITS, started_mail_servers

ADDRESS = "ana@agency.example"
SECRET = "correct horse"
OURS = "<ours-12345678@agency.example>"
MAIL = b"From: ana@agency.example\r\nMessage-ID: <ours-12345678@agency.example>\r\n\r\nHello\r\n.\r\n"
OTHER = b"Message-ID: <other@agency.example>\r\n\r\nHello\r\n"
MODES = pytest.mark.parametrize("security", ["tls", "starttls"])


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def good(authority):
    return server_context(authority, "localhost")


@pytest.fixture(scope="module")
def client(authority):
    return client_context(authority)


@pytest.fixture
def imap(good, client):
    """Starts a server, and what looks into it."""

    @contextmanager
    def started(security="tls", *, context=good, **options):
        with FaultyIMAP(context, security, **options) as server:
            yield Person(server, client, security)

    return started


class Person:
    """Somebody with a mailbox on a server; the waits are noted, never slept."""

    def __init__(self, server, client, security="tls", timeouts=QUICK):
        self.server, self.client, self.security = server, client, security
        self.timeouts = timeouts
        self.slept = []
        self.meanwhile = lambda _: None

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.meanwhile(sum(self.slept))

    @property
    def network(self):
        return loopback_network(self.client, self.server.port, timeouts=self.timeouts)

    def account(self, host="localhost", user=ADDRESS):
        return Account(ADDRESS, user, Server(host, self.server.port, self.security))

    def session(self, secret=SECRET, *, user=ADDRESS, host="localhost", track=None, seconds=10.0, network=None):
        server = self.account(host).server
        return imap_session(server, user, secret, network or self.network, Deadline(seconds), track)

    def prove(self, *, server_files=False, reply="", content=MAIL, secret=SECRET, host="localhost"):
        return prove(
            self.account(host),
            secret,
            content,
            OURS,
            network=self.network,
            server_files=server_files,
            reply=reply,
            sleep=self.sleep,
        )

    def arrived(self, reply=""):
        return arrived(self.account(), SECRET, OURS, network=self.network, reply=reply, sleep=self.sleep)

    def resolve_unknown(self):
        return resolve_unknown(self.account(), SECRET, OURS, network=self.network, sleep=self.sleep)


# --- the session


def test_the_seams_of_the_libraries_are_where_they_were():
    """Without `_create_IMAP4` imapclient would resolve the name and connect by itself, past the guard."""
    assert "_create_IMAP4" in vars(IMAPClient)
    assert {"open", "readline", "read", "send", "shutdown", "starttls", "login"} <= vars(imaplib.IMAP4).keys()
    assert {"_simple_command", "_get_capabilities", "_quote"} <= vars(imaplib.IMAP4).keys()


@MODES
def test_a_session_signs_in_inside_tls_and_says_its_name_before_it_opens_a_folder(imap, security):
    track = Track()
    with imap(security) as ana, ana.session(track=track) as session:
        session.select_folder("INBOX", readonly=True)
    assert ana.server.sign_ins == [(ADDRESS, SECRET)]
    assert ana.server.secure
    words = [word for word in ana.server.words if word != "CAPABILITY"]
    assert words == [*["STARTTLS"][: security == "starttls"], "AUTHENTICATE", "ID", "EXAMINE", "LOGOUT"]
    assert track.stage == "imap_select"


@MODES
def test_the_name_is_resolved_once_and_the_certificate_has_to_name_it(authority, client, security):
    context = server_context(authority, "imap.agency.example")
    names = {"imap.agency.example": [LOOPBACK], "other.agency.example": [LOOPBACK]}
    with DnsServer(names) as dns, FaultyIMAP(context, security) as server:
        network = loopback_network(client, server.port, nameserver=dns.address)
        with Person(server, client, security).session(host="imap.agency.example", network=network):
            pass
        assert sorted(dns.asked) == [("imap.agency.example", "A"), ("imap.agency.example", "AAAA")]
        with (
            pytest.raises(OSError, match="Hostname mismatch"),
            Person(server, client, security).session(host="other.agency.example", network=network),
        ):
            pass
    assert len(server.sign_ins) == 1


@MODES
def test_an_unknown_authority_is_refused_before_a_password_is_sent(imap, tmp_path, security):
    with imap(security, context=self_signed_context("localhost", tmp_path)) as ana:
        found = ana.prove()
    assert (found.state, found.cause) == ("no_imap", "tls_certificate_invalid")
    assert ana.server.auths == []


def test_a_private_address_is_refused_without_a_connection(imap, client):
    with imap() as ana:
        network = Network(Guard(allow_ports=[ana.server.port]), client, "assistant.example", QUICK)
        with pytest.raises(AddressRefused), ana.session(network=network):
            pass
    assert ana.server.connections == 0


def test_starttls_that_is_not_offered_ends_it_in_plain_text(imap):
    with imap("starttls", capability="* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK done") as ana:
        found = ana.prove()
    assert (found.state, found.cause) == ("no_imap", "tls_wrong_mode_for_port")
    assert ana.server.words == ["CAPABILITY"]


def test_a_plain_server_that_calls_us_signed_in_already_gets_nothing(imap):
    """PREAUTH in plain text makes clients skip STARTTLS (nostarttls.secvuln.info)."""
    with imap("starttls", greeting="* PREAUTH welcome") as ana:
        found = ana.prove()
    assert (found.state, found.cause) == ("no_imap", "tls_wrong_mode_for_port")
    assert set(ana.server.words) == {"CAPABILITY"}


def test_a_server_that_calls_us_signed_in_inside_tls_gets_no_mail(imap):
    with imap(greeting="* PREAUTH welcome") as ana:
        found = ana.prove()
    assert found.state == "no_imap"
    assert "signed in as we do not know whom" in found.raw
    assert ana.server.words == ["CAPABILITY", "LOGOUT"]


@pytest.mark.parametrize(
    "lines",
    [
        "{tag} OK go\r\n* CAPABILITY IMAP4rev1 LOGINDISABLED",
        "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n{tag} OK go",
        "{tag} OK go\r\n* BYE see you",
        '* LIST (\\Sent) "/" "Sent"\r\n{tag} OK go',
        '{tag} OK go\r\n* LIST (\\Sent) "/" "Sent"',
    ],
)
def test_what_was_injected_before_tls_is_forgotten(imap, lines):
    def injecting(conversation):
        conversation.say(lines.replace("{tag}", tags[-1]))
        conversation.start_tls(ana.server._context)
        ana.server.secure = True

    tags = []
    with imap("starttls", starttls=injecting, folders=['(\\Sent) "/" "Post"'], mail={"Post": []}) as ana:
        hear = ana.server._command
        ana.server._command = lambda conversation, word, line, tag: (
            tags.append(tag),
            hear(conversation, word, line, tag),
        )
        assert ana.prove() == Copy("appended", "Post")
    assert ana.server.sign_ins == [(ADDRESS, SECRET)]


@pytest.mark.parametrize("capabilities", ["IMAP4rev1 AUTH=PLAIN", "IMAP4rev1"])
def test_a_wrong_password_costs_exactly_one_command(imap, capabilities):
    refusal = "{tag} NO [AUTHENTICATIONFAILED] Authentication failed."
    with imap(login=refusal, capabilities=capabilities) as ana:
        found = ana.prove()
    assert (found.state, found.cause) == ("no_imap", "wrong_credentials")
    assert len(ana.server.auths) == ana.server.connections == 1


@pytest.mark.parametrize("capabilities", ["IMAP4rev1 AUTH=PLAIN", "IMAP4rev1"])
@pytest.mark.parametrize(("user", "secret"), [("joão silva", "sêñha ✓ пароль"), ('a"b\\c', 'q"\\ {5}\r\nx')])
def test_any_letter_may_be_in_a_user_name_and_a_password(imap, capabilities, user, secret):
    with imap(capabilities=capabilities) as ana, ana.session(secret, user=user):
        pass
    assert ana.server.sign_ins == [(user, secret)]


def test_where_no_password_can_be_given_none_is(imap):
    with imap(capabilities="IMAP4rev1 LOGINDISABLED AUTH=XOAUTH2") as ana:
        found = ana.prove()
    assert (found.state, found.cause) == ("no_imap", "oauth_required_basic_auth_disabled")
    assert ana.server.auths == []


@pytest.mark.parametrize("answer", ["{tag} NO no", "{tag} BAD what?", "* ID (((\r\n{tag} OK done"])
def test_a_server_that_refuses_our_name_is_used_all_the_same(imap, answer):
    with imap(id=answer) as ana:
        assert ana.prove().state == "appended"


def test_our_name_is_not_said_where_it_is_not_asked_for(imap):
    with imap(capabilities="IMAP4rev1 AUTH=PLAIN") as ana:
        assert ana.prove().state == "appended"
    assert "ID" not in ana.server.words


def everything(signing_in, secret):
    with signing_in as session:
        assert secret not in repr(session) + repr(vars(session)) + repr(vars(session._imap))
        folder = find_sent(session)
        session.select_folder(folder.wire)
        session.append(folder.wire, MAIL)


ECHOES = ["{tag} NO you said", "{tag} BAD you said", "* BYE you said", "you said"]


def saying_and_leaving(text):
    def reply(conversation):
        conversation.say(text)
        CLOSE(conversation)

    return reply


@pytest.mark.parametrize("capabilities", ["IMAP4rev1 AUTH=PLAIN", "IMAP4rev1"])
@pytest.mark.parametrize("moment", ["login", "list", "examine", "appended"])
@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("secret", ["sêcret-✓-horse", "it's a \\ horse", "correct horse"])
def test_the_secret_is_in_no_log_and_no_exception_even_if_the_server_echoes_it(
    imap, caplog, capabilities, moment, echo, secret
):
    echo = f'{echo} {secret} "did" you'
    reply = echo if echo.startswith("{tag}") else saying_and_leaving(echo)
    reply = (False, reply) if moment == "appended" else reply
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "imapclient.imaplib")
    with imap(capabilities=capabilities, **{moment: reply}) as ana:
        found = ana.prove(secret=secret)
        with pytest.raises(Refusal) as raised:
            everything(ana.session(secret), secret)
    assert ana.server.sign_ins[0] == (ADDRESS, secret)
    if echo.startswith("{tag}"):
        assert "you said" in found.raw
        assert "you said" in str(raised.value)
    shown = found.raw + str(raised.value) + repr(raised.value) + caplog.text
    assert secret not in shown
    assert "horse" not in shown


def test_a_password_that_cannot_be_one_is_refused_before_a_connection(imap):
    with imap() as ana, pytest.raises(BadCredential):
        ana.prove(secret="")
    assert ana.server.connections == 0


# --- bounds


def endless(conversation):
    with_long_lines = b"* OK " + b"x" * 10_000 + b"\r\n"
    conversation.drip(with_long_lines, 0)


def line_without_end(conversation):
    conversation.drip(b"x" * 10_000, 0)


def dripping(conversation):
    conversation.drip(b"* OK still here\r\n", 0.05)


@pytest.mark.parametrize("fault", [endless, line_without_end])
@pytest.mark.parametrize("moment", ["greeting", "capability", "login", "list", "examine", "search", "fetch"])
def test_a_server_that_talks_without_end_is_left(imap, moment, fault):
    mail = {"Sent": [OTHER]}
    with imap(mail=mail, **{moment: fault}) as ana:
        found = ana.prove()
    assert found.state == "failed"
    assert ana.server.appends == []


@pytest.mark.parametrize("fault", [dripping, SILENT])
@pytest.mark.parametrize("moment", ["greeting", "login", "list", "search", "append"])
def test_a_server_that_drips_or_is_silent_is_left_at_the_deadline(imap, moment, fault):
    with imap(mail={"Sent": [OTHER]}, **{moment: fault}) as ana:
        ana.timeouts = replace(IMPATIENT, total=1.5)
        began = time.monotonic()
        found = prove(
            ana.account(), SECRET, MAIL, OURS, network=ana.network, server_files=False, waits=(0,), sleep=ana.sleep
        )
        took = time.monotonic() - began
    assert found.state == "failed"
    assert found.cause in {"greeting_timeout", "connection_timeout_or_blocked_port"}
    assert took < 5


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (f'* LIST () "/" "{"x" * MAX_LINE}"', "a line without end"),
        (f'* LIST () "/" {{{MAX_BYTES}}}', "more bytes announced than are read"),
        ("\r\n".join(["* OK " + "x" * 60_000] * (MAX_BYTES // 60_000 + 1)), "too many bytes"),
    ],
)
def test_what_is_read_has_a_largest_size(imap, answer, why):
    with imap(list=f"{answer}\r\n{{tag}} OK done") as ana:
        found = ana.prove()
    assert (found.state, found.folder) == ("failed", "")
    assert why in found.raw


def test_a_server_that_stops_reading_is_left_at_the_deadline(imap):
    def full(conversation):
        conversation.say("+ go")
        conversation.server.stopping.wait(20)

    with imap(append=full) as ana:
        ana.timeouts = IMPATIENT
        began = time.monotonic()
        found = ana.prove(content=MAIL + b"x" * 20_000_000)
        took = time.monotonic() - began
    assert (found.state, found.folder) == ("failed", "Sent")
    assert took < 5


def test_the_deadline_holds_for_the_whole_session(imap):
    with imap(list=dripping) as ana, pytest.raises(OSError, match="timed out"), ana.session(seconds=0.5) as session:
        find_sent(session)


NONSENSE = [
    f'* LIST () "/" {{{MAX_BYTES * 10}}}',
    f'* LIST () "/" {{{"9" * 5000}}}',
    f"* LIST {'(' * 5000}",
    "* LIST (",
    "* LIST () NIL",
    "220 smtp.example.test ESMTP",
    "\xff\xfe",
    "",
]


@pytest.mark.parametrize("answer", NONSENSE)
def test_what_is_no_imap_ends_it_and_nothing_else(imap, answer):
    with imap(list=f"{answer}\r\n{{tag}} OK done") as ana:
        found = ana.prove()
    assert found.state in {"failed", "not_seen_yet"}
    assert ana.server.appends == []


@pytest.mark.parametrize("fault", [CLOSE, RESET])
@pytest.mark.parametrize("moment", ["greeting", "login", "list", "examine", "search", "fetch", "append"])
def test_a_connection_that_is_lost_is_a_failed_copy(imap, moment, fault):
    with imap(mail={"Sent": [OTHER]}, **{moment: fault}) as ana:
        found = ana.prove()
    assert found.state == "failed"
    assert found.cause in {"connection_dropped", "greeting_timeout"}


def test_a_bad_farewell_changes_nothing(imap):
    for fault in (CLOSE, SILENT, "{tag} BAD no"):
        with imap(logout=fault) as ana:
            ana.timeouts = IMPATIENT
            assert ana.prove().state == "appended"


# --- the folder


def folder_of(imap, *folders, **options):
    with imap(folders=folders, **options) as ana, ana.session() as session:
        found = find_sent(session)
    return found.name if found else None


def on_the_wire(name):
    return imap_utf7.encode(name).decode("ascii")


def test_the_names_are_written_in_modified_utf_7():
    assert on_the_wire("Отправленные") == "&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-"
    assert on_the_wire("已发送") == "&XfJT0ZAB-"


@pytest.mark.parametrize("capability", ["IMAP4rev1 AUTH=PLAIN SPECIAL-USE", "IMAP4rev1 AUTH=PLAIN"])
@pytest.mark.parametrize("flag", ["\\Sent", "\\sent", "\\HasNoChildren \\SENT"])
def test_a_flag_tells_the_folder_whether_or_not_it_is_advertised(imap, flag, capability):
    listed = ['() "/" "INBOX"', '() "/" "Sent"', f'({flag}) "/" "Post office"']
    assert folder_of(imap, *listed, capabilities=capability) == "Post office"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", [str, str.upper, str.lower])
def test_every_usual_name_is_known(imap, name, change):
    listed = f'() "/" "{on_the_wire(change(name))}"'
    assert folder_of(imap, '() "/" "INBOX"', '() "/" "Other"', listed) == change(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("capability", ["IMAP4rev1 AUTH=PLAIN", "IMAP4rev1 AUTH=PLAIN NAMESPACE"])
def test_every_usual_name_is_known_below_the_inbox(imap, name, capability):
    """Courier's hosts, with and without saying so."""
    listed = f'() "." "INBOX.{on_the_wire(name)}"'
    answer = '* NAMESPACE (("INBOX." ".")) NIL NIL\r\n{tag} OK done'
    found = folder_of(imap, '() "." "INBOX"', listed, capabilities=capability, namespace=answer)
    assert found == f"INBOX.{name}"


def test_the_inbox_of_a_prefix_may_be_written_in_any_way(imap):
    assert folder_of(imap, '() "." "Inbox.Sent"') == "Inbox.Sent"


def test_a_name_below_a_prefix_of_the_servers_own_is_known(imap):
    answer = '* NAMESPACE (("mail/" "/")) NIL NIL\r\n{tag} OK done'
    assert folder_of(imap, '() "/" "mail/Sent"', namespace=answer) == "mail/Sent"
    assert folder_of(imap, '() "/" "holidays/Sent"', namespace=answer) is None


NO_NAMESPACES = [
    "{tag} NO no",
    "* NAMESPACE (((\r\n{tag} OK done",
    "* NAMESPACE NIL NIL NIL\r\n{tag} OK done",
    '* NAMESPACE (("" "/" "X-PARAM" ("A"))) NIL NIL\r\n{tag} OK done',
]


@pytest.mark.parametrize("answer", NO_NAMESPACES)
def test_a_server_that_cannot_tell_its_prefixes_is_searched_all_the_same(imap, answer):
    assert folder_of(imap, '() "/" "Sent Items"', namespace=answer) == "Sent Items"


def test_the_sent_folder_of_somebody_else_is_not_ours(imap):
    answer = '* NAMESPACE (("" "/")) (("Others/" "/")) (("#shared/" "/"))\r\n{tag} OK done'
    listed = ['(\\Sent) "/" "Others/bruno/Sent"', '(\\Sent) "/" "#shared/Sent"']
    assert folder_of(imap, *listed, namespace=answer) is None
    assert folder_of(imap, *listed, '() "/" "Enviados"', namespace=answer) == "Enviados"


@pytest.mark.parametrize("flag", ["\\Noselect", "\\NonExistent \\Sent", "\\noselect \\Sent"])
def test_a_folder_that_can_hold_no_mail_is_not_it(imap, flag):
    assert folder_of(imap, f'({flag}) "/" "Sent"', '() "/" "Sent Items"') == "Sent Items"


def test_of_several_folders_the_likeliest_is_taken(imap):
    both = ['(\\Sent) "/" "Sent Messages"', '(\\Sent) "/" "Sent"']
    assert folder_of(imap, *both) == "Sent"
    assert folder_of(imap, '() "/" "Enviados"', '() "/" "Sent Items"') == "Sent Items"


@pytest.mark.parametrize(
    "strange", ['() "/" "&AAA"', '() "/" "&2AA-"', '() "/" 2024', '() NIL "x"', '() "/" "Envi\xe9s"']
)
def test_a_strange_folder_does_not_hide_the_right_one(imap, strange):
    assert folder_of(imap, strange, '() "/" "Sent"') == "Sent"


def test_a_name_that_comes_as_a_literal_is_read(imap):
    assert folder_of(imap, '() "/" {4}\r\nSent') == "Sent"


def test_a_name_that_would_break_out_of_a_command_is_no_folder(imap):
    evil = 'Sent" (\\Seen) {1}\r\nA1 LOGOUT'
    assert folder_of(imap, f'(\\Sent) "/" {{{len(evil)}}}\r\n{evil}') is None


def test_a_folders_name_is_safe_to_show(imap):
    wire = on_the_wire("Post\r\n\u202eevil" + "x" * 500)
    with imap(folders=[f'(\\Sent) "/" "{wire}"'], mail={wire: [MAIL]}) as ana:
        found = ana.prove()
    assert found == Copy("found", ("Postevil" + "x" * 500)[:100])


def test_where_there_is_no_such_folder_nothing_is_made_and_nothing_put_there(imap):
    with imap(folders=['() "/" "INBOX"', '() "/" "Presented"']) as ana:
        assert ana.prove() == Copy("no_folder")
    assert ana.server.appends == []
    assert not {"CREATE", "SUBSCRIBE"} & set(ana.server.words)


# --- the copy


def test_a_copy_that_is_there_is_found_at_once(imap):
    with imap(mail={"Sent": [OTHER, MAIL, OTHER]}) as ana:
        assert ana.prove() == Copy("found", "Sent")
    assert ana.slept == []
    assert ana.server.appends == []


def test_a_copy_is_looked_for_at_least_once(imap):
    with imap(mail={"Sent": [MAIL]}) as ana:
        found = prove(ana.account(), SECRET, MAIL, OURS, network=ana.network, server_files=False, waits=())
    assert found == Copy("found", "Sent")


@MODES
def test_a_copy_that_is_missing_is_put_there_byte_for_byte_and_as_read(imap, security):
    with imap(security, mail={"Sent": [OTHER]}) as ana:
        assert ana.prove() == Copy("appended", "Sent")
    assert ana.server.appends == [("Sent", MAIL)]
    assert "SELECT" not in ana.server.words  # looking marks nothing as seen or recent
    assert ana.slept == [1, 2, 4]
    assert next(command for command in ana.server.commands if command.startswith("APPEND")).startswith(
        'APPEND "Sent" (\\Seen) {'
    )


def test_a_copy_goes_to_a_folder_by_its_name_on_the_wire(imap):
    wire = on_the_wire("Отправленные")
    with imap(folders=[f'() "/" "{wire}"'], mail={wire: []}) as ana:
        assert ana.prove() == Copy("appended", "Отправленные")
    assert ana.server.appends == [(wire, MAIL)]


def test_where_the_server_files_the_copy_none_is_ever_put_there(imap):
    with imap() as ana:
        assert ana.prove(server_files=True) == Copy("not_seen_yet", "Sent")
    assert ana.server.appends == []
    assert ana.slept == [1, 2, 4]


@pytest.mark.parametrize("server_files", [True, False])
def test_a_copy_that_appears_after_two_seconds_is_found(imap, server_files):
    with imap() as ana:
        ana.meanwhile = lambda passed: ana.server.mail["Sent"].append(MAIL) if 2 <= passed < 4 else None
        assert ana.prove(server_files=server_files) == Copy("found", "Sent")
    assert ana.server.appends == []


@pytest.mark.parametrize("header", ["X-Microsoft-Original-Message-ID", "X-Google-Original-Message-ID"])
@pytest.mark.parametrize("search", [{}, {"search": {"X-Microsoft-Original-Message-ID": "{tag} BAD no such key"}}])
def test_a_mail_whose_id_was_replaced_is_found_by_the_one_that_was_kept(imap, header, search):
    replaced = OTHER.replace(b"\r\n\r\n", f"\r\n{header}: {OURS}\r\n\r\n".encode())
    with imap(mail={"Sent": [replaced, *[OTHER] * 30]}, **(search if "Google" in header else {})) as ana:
        assert ana.prove() == Copy("found", "Sent")
    assert ana.server.appends == []


REPLIES = {
    "250 2.0.0 OK <VI1PR0-new@VI1PR0.eurprd01.prod.example> [Hostname=VI1PR0.eurprd01.prod.example]": (
        "<VI1PR0-new@VI1PR0.eurprd01.prod.example>"
    ),
    "250 Ok 0102018f5e6a7b8c-0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9-000000": (
        "<0102018f5e6a7b8c-0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9-000000@eu-west-1.example>"
    ),
}


@pytest.mark.parametrize("reply", REPLIES)
def test_a_mail_is_found_by_the_id_that_the_server_told_at_sending(imap, reply):
    replaced = f"Message-ID: {REPLIES[reply]}\r\n\r\nHello\r\n".encode()
    with imap(mail={"Sent": [replaced, *[OTHER] * 30], "INBOX": [replaced]}) as ana:
        assert ana.prove(reply=reply) == Copy("found", "Sent")
        assert ana.arrived(reply) is True
        assert ana.prove(reply="250 2.0.0 OK queued").state == "appended"


def test_a_search_that_finds_nothing_does_not_make_a_second_copy(imap):
    """Indexes lag behind, and some servers do not search headers: the newest mails are read as well."""
    with imap(search="* SEARCH\r\n{tag} OK done", mail={"Sent": [OTHER, MAIL, OTHER]}) as ana:
        assert ana.prove() == Copy("found", "Sent")
    assert ana.server.appends == []


def test_a_search_that_finds_everything_is_not_believed(imap):
    with imap(search="* SEARCH 1 2\r\n{tag} OK done", mail={"Sent": [OTHER, OTHER]}) as ana:
        assert ana.prove() == Copy("appended", "Sent")


@pytest.mark.parametrize("hits", ["0 1 7 99", "2 2 4294967296"])
def test_a_search_that_finds_what_is_not_there_is_not_believed(imap, hits):
    with imap(search=f"* SEARCH {hits}\r\n{{tag}} OK done", mail={"Sent": [OTHER, MAIL]}) as ana:
        assert ana.prove() == Copy("found", "Sent")


def test_an_old_copy_is_found_by_search(imap):
    with imap(mail={"Sent": [MAIL, *[OTHER] * 200]}) as ana:
        assert ana.prove() == Copy("found", "Sent")


def test_a_server_that_does_not_search_at_all_gets_no_copy(imap):
    """It may be there, older than what is read."""
    with imap(search="{tag} NO not today", mail={"Sent": [OTHER]}) as ana:
        assert ana.prove().state == "failed"
    assert ana.server.appends == []


REFUSED = {
    "{tag} NO [TRYCREATE] Mailbox doesn't exist: Sent": "server_temporary_failure",
    "{tag} NO [OVERQUOTA] Quota exceeded (mailbox for user is full)": "mailbox_full",
}


@pytest.mark.parametrize("before", [True, False], ids=["before the mail", "after it"])
@pytest.mark.parametrize("answer", REFUSED)
def test_a_copy_that_is_refused_is_told_with_its_cause(imap, answer, before):
    replies = {"append": answer} if before else {"appended": (False, answer)}
    with imap(**replies) as ana:
        found = ana.prove()
    assert (found.state, found.folder, found.cause) == ("failed", "Sent", REFUSED[answer])
    assert answer.split("] ")[1] in found.raw
    assert not {"CREATE", "SUBSCRIBE"} & set(ana.server.words)
    assert len([word for word in ana.server.words if word == "APPEND"]) == 1


@pytest.mark.parametrize("fault", [CLOSE, RESET])
def test_a_crash_between_the_copy_and_its_answer_makes_no_second_copy(imap, fault):
    with imap(appended=(True, fault)) as ana:
        first = ana.prove()
        again = ana.prove()
    assert (first.state, first.folder, first.cause) == ("failed", "Sent", "connection_dropped")
    assert again == Copy("found", "Sent")
    assert ana.server.mail["Sent"] == [MAIL]


def test_a_process_that_dies_before_it_writes_down_the_result_makes_no_second_copy(imap):
    with imap() as ana:
        assert [ana.prove().state for _ in range(3)] == ["appended", "found", "found"]
    assert ana.server.mail["Sent"] == [MAIL]


def test_a_copy_that_was_lost_on_the_way_is_put_there_the_next_time(imap):
    with imap(appended=(False, CLOSE)) as ana:
        assert ana.prove().state == "failed"
        ana.server._stored, ana.server._replies["appended"] = True, "{tag} OK done"
        assert ana.prove() == Copy("appended", "Sent")
    assert ana.server.mail["Sent"] == [MAIL]


def test_a_mailbox_that_signs_people_in_and_shows_nothing_is_not_seen_yet(imap):
    with imap(list="{tag} BAD User is authenticated but not connected.") as ana:
        found = ana.prove()
    assert (found.state, found.cause) == ("not_seen_yet", "imap_disabled")
    assert "authenticated but not connected" in found.raw
    assert ana.server.appends == []


@pytest.mark.parametrize(
    ("reply", "state", "cause"),
    [
        ("{tag} NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", "no_imap", "wrong_credentials"),
        ("{tag} NO [ALERT] Your account is not enabled for IMAP use.", "no_imap", "imap_disabled"),
        ("{tag} NO [UNAVAILABLE] Temporary authentication failure.", "failed", "server_temporary_failure"),
        ("{tag} NO [LIMIT] Maximum number of connections from user+IP exceeded", "failed", "rate_limited"),
    ],
)
def test_a_refused_sign_in_means_no_imap_unless_it_passes_by_itself(imap, reply, state, cause):
    with imap(login=reply) as ana:
        found = ana.prove()
    assert (found.state, found.cause) == (state, cause)


def test_without_a_server_there_is_no_imap(imap):
    assert prove(None, "", MAIL, OURS, network=None, server_files=False) == Copy("no_imap")
    with imap() as ana:
        pass
    assert (ana.prove().state, ana.prove().cause) == ("no_imap", "connection_refused")


def test_a_host_that_does_not_exist_is_no_imap(client):
    with DnsServer({}) as dns:
        network = loopback_network(client, 993, nameserver=dns.address)
        account = Account(ADDRESS, ADDRESS, Server("imap.agency.example", 993, "tls"))
        found = prove(account, SECRET, MAIL, OURS, network=network, server_files=False)
        with pytest.raises(HostNotFound), imap_session(account.server, ADDRESS, SECRET, network, Deadline(5)):
            pass
    assert (found.state, found.cause) == ("no_imap", "dns_host_not_found")


@pytest.mark.parametrize("bad", ["", "ours", "<a b@c>", "<a@c>\r\nX: y", "<ü@c>"])
def test_a_message_id_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match="Message-ID"):
        prove(None, "", MAIL, bad, network=None, server_files=False)


def test_a_mail_that_no_server_would_take_is_refused(monkeypatch):
    monkeypatch.setattr("bot.mail.wire.sent_folder.MAX_CONTENT", 10)
    with pytest.raises(ValueError, match="larger"):
        prove(None, "", MAIL, OURS, network=None, server_files=False)


# --- did it arrive, and was it sent


def test_a_mail_to_oneself_is_seen_when_it_arrives(imap):
    with imap(mail={"Sent": [MAIL]}) as ana:
        assert ana.arrived() is False
        ana.slept.clear()
        ana.meanwhile = lambda passed: ana.server.mail["INBOX"].append(MAIL) if passed == 3 else None
        assert ana.arrived() is True
    assert ana.slept == [1, 2]
    assert "LIST" not in ana.server.words


def test_strangers_with_endless_headers_do_not_hide_a_mail(imap):
    """Of each mail only so much is read: twenty of these would be more than a session may bring."""
    huge = b"Message-ID: <" + b"x" * 250_000 + b"@example.org>\r\n\r\nHello\r\n"
    with imap(mail={"INBOX": [*[huge] * 19, MAIL]}) as ana:
        assert ana.arrived() is True


def test_whether_it_arrived_is_not_known_where_nobody_can_look(imap):
    with imap(examine="{tag} NO no") as ana:
        assert ana.arrived() is None
    with imap(login="{tag} NO [AUTHENTICATIONFAILED] no") as ana:
        assert ana.arrived() is None


@pytest.mark.parametrize("folder", ["Sent", "INBOX"])
def test_an_unknown_outcome_is_resolved_by_the_sent_folder_or_the_inbox(imap, folder):
    with imap(mail={folder: [MAIL]}) as ana:
        assert ana.resolve_unknown() is True
    assert ana.server.appends == []


def test_an_unknown_outcome_is_resolved_where_there_is_no_sent_folder(imap):
    with imap(folders=['() "/" "INBOX"'], mail={"INBOX": [MAIL]}) as ana:
        assert ana.resolve_unknown() is True


def test_a_mail_that_is_nowhere_says_nothing_and_nothing_is_put_anywhere(imap):
    with imap(mail={"Sent": [OTHER], "INBOX": [OTHER]}) as ana:
        assert ana.resolve_unknown() is False
    assert ana.slept == [1, 2, 4]
    assert ana.server.appends == []


@pytest.mark.parametrize("moment", ["list", "examine", "search"])
def test_an_unknown_outcome_stays_unknown_where_nobody_can_look(imap, moment):
    with imap(mail={"Sent": [OTHER]}, **{moment: "{tag} NO no"}) as ana:
        assert ana.resolve_unknown() is None


# --- real servers

ANA = "ana@agencia.test"
PASSWORD = "açaí: chá e {pão}"
FOLDERS = {
    "flagged": "Sent",
    "unflagged": "Sent",
    "localized": "Itens enviados",
    "beyond_ascii": "Éléments envoyés",
    "below_inbox": "INBOX.Sent",
    "none": None,
}


@contextmanager
def dovecot(**options):
    with started_mail_servers({ANA: PASSWORD}, **options) as servers, DnsServer({servers.host: [LOOPBACK]}) as dns:
        ports = (servers.imaps_port, servers.imap_port, servers.smtps_port)
        guard = Guard(allow_networks=("127.0.0.0/8",), allow_ports=ports, nameserver=dns.address)
        yield servers, Network(guard, tls_context(str(servers.ca_pem)), "assistant.agencia.test")


def imap_account(servers, security="tls"):
    port = servers.imaps_port if security == "tls" else servers.imap_port
    return Account(ANA, ANA, Server(servers.host, port, security))


def no_waiting(_):
    """The server that does not file a copy needs no time for it."""


@pytest.mark.world
@pytest.mark.parametrize("habit", SENT_HABITS)
def test_dovecot_gets_one_copy_in_the_folder_that_it_has(habit):
    with dovecot(sent=habit) as (servers, network):
        copies = [
            prove(
                imap_account(servers, security),
                PASSWORD,
                MAIL,
                OURS,
                network=network,
                server_files=False,
                sleep=no_waiting,
            )
            for security in ("tls", "starttls")
        ]
        name = FOLDERS[habit]
        if name is None:
            assert copies == [Copy("no_folder")] * 2
            return
        assert copies == [Copy("appended", name), Copy("found", name)]
        assert [mail["Message-ID"] for mail in servers.folder(ANA, name)] == [OURS]


@pytest.mark.world
def test_dovecot_refuses_a_wrong_password_and_an_unknown_folder():
    with dovecot() as (servers, network):
        account = imap_account(servers)
        found = prove(account, "wrong", MAIL, OURS, network=network, server_files=False, sleep=no_waiting)
        assert (found.state, found.cause) == ("no_imap", "wrong_credentials")
        with (
            pytest.raises(Refusal, match="TRYCREATE"),
            imap_session(account.server, ANA, PASSWORD, network, Deadline(10)) as session,
        ):
            session.append("Elsewhere", MAIL)


@pytest.mark.world
def test_a_copy_that_the_server_files_and_the_mail_to_oneself_are_found():
    marker = str(uuid.uuid4())
    message = compose(
        sender=ANA, name="Ana", to=[ANA], subject="filed", text="Olá", date=dt.datetime.now(dt.UTC), marker=marker
    )
    with dovecot(files_copies=True) as (servers, network):
        smtp = Account(ANA, ANA, Server(servers.host, servers.smtps_port, "tls"))
        sent = send(smtp, PASSWORD, message, [ANA], network=network, provider=None, on_accepted=str)
        assert isinstance(sent, Accepted)
        servers.wait_for_mail(ANA, "filed")
        where = {"network": network, "sleep": lambda _: servers.wait_for_mail(ANA, "filed")}
        copy = prove(
            imap_account(servers),
            PASSWORD,
            message.as_bytes(),
            message["Message-ID"],
            server_files=True,
            reply=sent.reply,
            **where,
        )
        assert copy == Copy("found", "Sent")
        assert arrived(imap_account(servers), PASSWORD, message["Message-ID"], **where) is True
        assert resolve_unknown(imap_account(servers), PASSWORD, message["Message-ID"], **where) is True
        assert resolve_unknown(imap_account(servers), PASSWORD, OURS, network=network, sleep=no_waiting) is False
        assert len(servers.folder(ANA, "Sent")) == 1


def test_the_sandbox_gets_one_copy(tmp_path):
    with Sandbox(tmp_path) as sandbox:
        address, password = next(iter(sandbox.passwords.items()))
        network = loopback_network(tls_context(str(sandbox.ca_pem)), sandbox.ports["imaps"])
        account = Account(address, address, Server("localhost", sandbox.ports["imaps"], "tls"))
        kept = {"network": network, "server_files": False, "sleep": no_waiting}
        copies = [prove(account, password, MAIL, OURS, **kept) for _ in range(2)]
        assert arrived(account, password, OURS, network=network, sleep=no_waiting) is False
        mails = sandbox.mailboxes()[address]["Sent"]
    assert copies == [Copy("appended", "Sent"), Copy("found", "Sent")]
    assert [mail.message_id for mail in mails] == [OURS]


def test_a_session_reads_what_a_large_mailbox_lists(imap):
    listed = [f'() "/" "Folder {number}"' for number in range(10_000)]
    assert folder_of(imap, *listed, '(\\Sent) "/" "Post"') == "Post"


def test_a_lost_connection_is_told_apart_from_a_refusal(imap):
    for fault, kind in ((CLOSE, Lost), ("{tag} NO no", Refusal)):
        with imap(list=fault) as ana, pytest.raises(Refusal) as raised, ana.session() as session:
            find_sent(session)
        assert raised.type is kind
