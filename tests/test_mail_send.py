"""Writing a mail and handing it over: accepted, refused, later, unknown - never guessed."""

import datetime as dt
import email
import uuid
from dataclasses import replace
from email.policy import default

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.mail.knowledge.provider import Server
from bot.mail.wire.account import Account, BadCredential
from bot.mail.wire.addresses import BadAddress
from bot.mail.wire.guard import Guard
from bot.mail.wire.send import (
    MAX_FILE_BYTES,
    MAX_TOTAL_BYTES,
    Accepted,
    Attachment,
    BadMessage,
    Later,
    Refused,
    Unknown,
    compose,
    encoded_size,
    for_sent_copy,
    for_wire,
    message_id,
    send,
)
from bot.mail.wire.smtp import Network, tls_context
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
    server_context,
)
from tests.mailservers import LOOPBACK, started_mail_servers

ADDRESS = "ana@agency.example"
SECRET = "correct horse"
BIA, CLEO = "bia@client.example", "cleo@client.example"
DATE = dt.datetime(2026, 11, 25, 10, 30, tzinfo=dt.timezone(dt.timedelta(hours=-3)))
MARKER = "0f9d4c1e-7b1a-4a55-9a0d-2d3c5b6a7e8f"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def good(authority):
    return server_context(authority, "localhost")


@pytest.fixture(scope="module")
def client(authority):
    return client_context(authority)


def mail(**changed):
    parts = {
        "sender": ADDRESS,
        "name": "Ana",
        "to": [BIA],
        "subject": "Hello",
        "text": "It works.",
        "date": DATE,
        "marker": MARKER,
    }
    return compose(**{**parts, **changed})


def hand_over(server, client, *, message=None, to=(BIA,), timeouts=QUICK, told=None, port=None):
    account = Account(ADDRESS, ADDRESS, Server("localhost", port or server.port, server._security))
    network = loopback_network(client, server.port, timeouts=timeouts)
    note = (told if told is not None else []).append
    return send(account, SECRET, message or mail(), to, network=network, provider=None, on_accepted=note)


def received(server):
    assert len(server.messages) == 1
    return email.message_from_bytes(server.messages[0], policy=default)


# --- composing


def test_a_mail_carries_what_it_was_given(good, client):
    with FaultySMTP(good) as server:
        hand_over(
            server, client, message=mail(name="João Silva", to=[BIA, CLEO], subject="Olá ✓", text="Está *pronto*.\n")
        )
    message = received(server)
    assert str(message["From"]) == f"João Silva <{ADDRESS}>"
    assert str(message["To"]) == f"{BIA}, {CLEO}"
    assert str(message["Subject"]) == "Olá ✓"
    assert message["Date"].datetime == DATE
    assert str(message["Message-ID"]) == f"<{MARKER}@agency.example>" == message_id(MARKER, ADDRESS)
    assert message.get_content_type() == "text/plain"
    assert message.get_content_charset() == "utf-8"
    assert message.get_content().strip() == "Está *pronto*."


def test_the_wire_is_seven_bit(good, client):
    with FaultySMTP(good) as server:
        hand_over(server, client, message=mail(name="João", subject="Ação ✓" * 30, text="ação ✓ " * 500))
    assert server.messages[0].isascii()
    assert max(len(line) for line in server.messages[0].split(b"\r\n")) <= 998


@pytest.mark.parametrize("part", ["name", "subject"])
@pytest.mark.parametrize(
    "value",
    ["x\r\nBcc: evil@x.example", "x\ny", "x\ry", "x\0y", "x\x85y", "x\u2028y", "x\u2029y", "x\ud800y", "x" * 300],
)
def test_nothing_with_a_line_break_gets_near_a_header(part, value):
    with pytest.raises(BadMessage) as caught:
        mail(**{part: value})
    assert str(caught.value) == part


@pytest.mark.parametrize("value", ["", '"; <evil@x.example>', "👩‍👩‍👧 família", "a" * 90])
def test_strange_names_and_subjects_stay_what_they_are(good, client, value):
    with FaultySMTP(good) as server:
        hand_over(server, client, message=mail(name=value, subject=value))
    message = received(server)
    assert set(message.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"
    }  # fmt: skip
    assert [address.addr_spec for address in message["From"].addresses] == [ADDRESS]


@pytest.mark.parametrize("text", ["", " \n ", "a\0b", "a\ud800b", "x" * 100_001])
def test_a_text_that_cannot_be_sent_is_refused(text):
    with pytest.raises(BadMessage, match="text"):
        mail(text=text)


@pytest.mark.parametrize("marker", ["", "short", "a b c d e f g", "x" * 65, "abcdefgh\r\n", "abcdefgh@evil.example"])
def test_a_marker_is_letters_digits_and_hyphens(marker):
    with pytest.raises(BadMessage, match="marker"):
        mail(marker=marker)


def test_a_date_without_zone_is_refused():
    with pytest.raises(BadMessage, match="date"):
        mail(date=dt.datetime(2026, 11, 25, 10, 30))  # noqa: DTZ001 - the point


@pytest.mark.parametrize("to", [[], [f"p{number}@client.example" for number in range(6)]])
def test_a_mail_goes_to_one_to_five_people(to):
    with pytest.raises(BadMessage, match="recipients"):
        mail(to=to)


def test_a_bad_address_is_refused_before_a_byte_is_sent(good, client):
    with pytest.raises(BadAddress):
        mail(to=["a@x>\r\nRCPT TO:<evil@x.example"])
    with FaultySMTP(good) as server:
        for recipient in ("a@x.example>\r\nDATA", "nobody", ""):
            with pytest.raises(BadAddress):
                hand_over(server, client, to=[recipient])
        with pytest.raises(BadMessage):
            hand_over(server, client, to=[])
        with pytest.raises(BadCredential):
            send(
                Account(ADDRESS, "a\r\nb", Server("localhost", server.port, "tls")), SECRET, mail(), [BIA],
                network=loopback_network(client, server.port), provider=None, on_accepted=print,
            )  # fmt: skip
    assert server.connections == 0


# --- on the wire


def test_bare_line_feeds_are_normalised_and_dots_are_stuffed(good, client):
    text = "one\n.\nMAIL FROM:<evil@x.example>\r\n.two\rthree\n..\n"
    with FaultySMTP(good) as server:
        assert isinstance(hand_over(server, client, message=mail(text=text)), Accepted)
    wire = server.messages[0]
    assert wire.replace(b"\r\n", b"").count(b"\n") == 0
    assert wire.replace(b"\r\n", b"").count(b"\r") == 0
    assert b"\r\none\r\n..\r\nMAIL FROM:<evil@x.example>\r\n..two\r\nthree\r\n...\r\n" in wire
    assert [command for command in server.commands if command.upper().startswith("MAIL")] == [
        f"mail FROM:<{ADDRESS}> SIZE={len(wire) - 3}"
    ]


def test_the_envelope_names_each_recipient_once(good, client):
    with FaultySMTP(good, "starttls") as server:
        found = hand_over(server, client, to=[BIA, CLEO, f" {BIA} "])
    assert found == Accepted("250 2.0.0 Ok: queued as 4XyZ", ())
    assert [command for command in server.commands if command.startswith("rcpt")] == [
        f"rcpt TO:<{BIA}>", f"rcpt TO:<{CLEO}>"
    ]  # fmt: skip
    assert len(server.auths) == 1


# --- outcomes


def test_acceptance_is_told_before_quit(good, client):
    seen = []
    with FaultySMTP(good) as server:
        account = Account(ADDRESS, ADDRESS, Server("localhost", server.port, "tls"))
        network = loopback_network(client, server.port)
        found = send(
            account, SECRET, mail(), [BIA], network=network, provider=None,
            on_accepted=lambda reply: seen.append((reply, list(server.commands))),
        )  # fmt: skip
    reply, commands = seen[0]
    assert isinstance(found, Accepted)
    assert found.reply == reply
    assert "QUIT" not in commands
    assert server.commands[-1] == "QUIT"


@pytest.mark.parametrize("reply", ["421 4.4.2 timeout", CLOSE, RESET, SILENT])
def test_a_mail_is_accepted_whatever_quit_is_answered(good, client, reply):
    told = []
    with FaultySMTP(good, quit=reply) as server:
        found = hand_over(server, client, told=told, timeouts=replace(QUICK, leave=0.3))
    assert isinstance(found, Accepted)
    assert told == [found.reply]


def test_the_new_message_id_in_the_last_reply_is_kept(good, client):
    with FaultySMTP(good, end="250 2.0.0 OK <AB1@PROD.OUTLOOK.COM> [Hostname=X]") as server:
        assert hand_over(server, client).reply == "250 2.0.0 OK <AB1@PROD.OUTLOOK.COM> [Hostname=X]"


def test_what_storing_the_acceptance_raises_passes_through(good, client):
    def lost(_):
        raise LookupError("database")

    with FaultySMTP(good) as server:
        account = Account(ADDRESS, ADDRESS, Server("localhost", server.port, "tls"))
        with pytest.raises(LookupError):
            send(
                account, SECRET, mail(), [BIA], network=loopback_network(client, server.port), provider=None,
                on_accepted=lost,
            )  # fmt: skip
    assert server.commands[-1] == "QUIT"


@pytest.mark.parametrize("end", [CLOSE, RESET, "not a reply", "354 what?"])
def test_a_connection_lost_after_the_final_dot_is_unknown(good, client, end):
    told = []
    with FaultySMTP(good, end=end) as server:
        found = hand_over(server, client, told=told)
    assert isinstance(found, Unknown)
    assert told == []
    assert len(server.messages) == 1
    assert server.connections == 1


def test_silence_after_the_final_dot_is_unknown(good, client):
    with FaultySMTP(good, end=SILENT) as server:
        found = hand_over(server, client, timeouts=IMPATIENT)
    assert isinstance(found, Unknown)


@pytest.mark.parametrize("moment", ["greeting", "ehlo_tls", "auth", "mail_from", "rcpt_to", "data"])
@pytest.mark.parametrize("how", [CLOSE, RESET])
def test_a_connection_lost_before_the_final_dot_may_be_tried_again(good, client, moment, how):
    with FaultySMTP(good, **{moment: how}) as server:
        found = hand_over(server, client)
    assert isinstance(found, Later)
    assert found.cause == "connection_dropped"
    assert server.messages == []


def test_a_connection_lost_inside_the_content_may_be_tried_again(good, client):
    def lost(peer):
        peer.say("354 go on")
        peer.sock.recv(1000)
        RESET(peer)

    with FaultySMTP(good, data=lost, ehlo_tls=offering("SIZE 0")) as server:
        found = hand_over(server, client, message=big())
    assert isinstance(found, Later)
    assert (found.stage, found.cause) == ("data", "connection_dropped")


def test_a_server_that_stops_reading_the_content_holds_nothing_up(good, client):
    def stuck(peer):
        peer.say("354 go on")
        peer.server.stopping.wait(20)

    with FaultySMTP(good, data=stuck, ehlo_tls=offering("SIZE 0")) as server:
        found = hand_over(server, client, message=big(), timeouts=IMPATIENT)
    assert isinstance(found, Later)
    assert found.stage == "data"


def big():
    """More than the buffers of a connection on loopback hold."""
    message = mail()
    message.add_attachment(b"x" * 12_000_000, maintype="application", subtype="octet-stream", filename="x.bin")
    return message


@pytest.mark.parametrize(
    ("replies", "kind", "stage", "cause"),
    [
        ({"auth": "535 5.7.8 no"}, Refused, "auth", "wrong_credentials"),
        ({"auth": "454 4.7.0 Temporary authentication failure"}, Later, "auth", "server_temporary_failure"),
        ({"mail_from": "550 5.7.60 no"}, Refused, "mail_from", "sender_not_allowed"),
        ({"mail_from": "550 5.4.5 Daily user sending limit exceeded"}, Later, "mail_from", "daily_quota_exceeded"),
        ({"mail_from": "552 5.3.4 Message size exceeds fixed limit"}, Refused, "mail_from", "message_too_large"),
        ({"rcpt_to": "550 5.1.1 User unknown"}, Refused, "rcpt_to", "recipient_rejected"),
        ({"rcpt_to": "450 4.2.0 Greylisted"}, Later, "rcpt_to", "greylisted"),
        ({"data": "554 5.5.1 no valid recipients"}, Refused, "data", "content_rejected_spam_policy"),
        ({"data": "451 4.3.0 later"}, Later, "data", "server_temporary_failure"),
        ({"end": "553 Relaying disallowed as ana@agency.example"}, Refused, "post_data", "sender_not_allowed"),
        ({"end": "554 5.7.1 spam"}, Refused, "post_data", "content_rejected_spam_policy"),
        ({"end": "421 4.3.0 closing"}, Later, "post_data", "server_temporary_failure"),
        ({"greeting": "554 5.7.1 blocked using zen.example"}, Refused, "greeting", "ip_blocklisted"),
        ({"ehlo_tls": "250-mail\r\n250 AUTH XOAUTH2"}, Refused, "auth", "oauth_required_basic_auth_disabled"),
    ],
)
def test_a_refusal_has_its_stage_and_cause(good, client, replies, kind, stage, cause):
    told = []
    with FaultySMTP(good, **replies) as server:
        found = hand_over(server, client, told=told)
    assert isinstance(found, kind)
    assert (found.stage, found.cause) == (stage, cause)
    assert told == []
    assert SECRET not in repr(found)
    assert ADDRESS not in found.raw


def test_only_a_wrong_secret_is_blamed(good, client):
    for replies, blamed in (({"auth": "535 5.7.8 no"}, True), ({"end": "554 spam"}, False)):
        with FaultySMTP(good, **replies) as server:
            assert hand_over(server, client).blames_secret is blamed


def test_each_declined_recipient_is_told(good, client):
    replies = {BIA: "550 5.1.1 User unknown", CLEO: "250 ok"}
    with FaultySMTP(good, rcpt_to=replies) as server:
        found = hand_over(server, client, to=[BIA, CLEO])
    assert isinstance(found, Accepted)
    assert [(each.address, each.cause, each.retry) for each in found.declined] == [(BIA, "recipient_rejected", False)]
    assert len(server.messages) == 1


def test_one_recipient_who_may_be_taken_later_makes_it_later(good, client):
    replies = {BIA: "550 5.1.1 User unknown", CLEO: "450 4.2.0 Greylisted"}
    with FaultySMTP(good, rcpt_to=replies) as server:
        found = hand_over(server, client, to=[BIA, CLEO])
    assert isinstance(found, Later)
    assert found.cause == "greylisted"
    assert [each.address for each in found.declined] == [BIA, CLEO]
    assert server.messages == []


def test_a_wrong_certificate_sends_nothing(authority, client):
    with FaultySMTP(server_context(authority, "mail.other.example")) as server:
        found = hand_over(server, client)
    assert isinstance(found, Refused)
    assert (found.stage, found.cause) == ("tls", "tls_hostname_mismatch")
    assert server.auths == []


def test_a_port_or_host_that_is_not_allowed_sends_nothing(good, client):
    with FaultySMTP(good) as server:
        found = hand_over(server, client, port=25)
    assert isinstance(found, Refused)
    assert found.stage == "input"
    assert server.connections == 0


def test_until_the_final_dot_nothing_was_sent(good, client):
    """Who is told that only the dot is left may still break off: no server takes a message without it."""

    class StopError(Exception):
        pass

    def stop():
        raise StopError

    with FaultySMTP(good) as server:
        account = Account(ADDRESS, ADDRESS, Server("localhost", server.port, "tls"))
        network = loopback_network(client, server.port, timeouts=replace(QUICK, leave=0.1))
        with pytest.raises(StopError):
            send(
                account, SECRET, mail(), [BIA], network=network, provider=None,
                on_accepted=pytest.fail, on_handing=stop,
            )  # fmt: skip
    assert server.messages == []


# --- files

PDF = b"%PDF-1.7\n.\r\n..\nMAIL FROM:<evil@x.example>\r\n.\r\n" + bytes(range(256)) * 20
CSV = "nome;preço\r\nAna;10\r\n".encode()


def attached(name="conta.pdf", content_type="application/pdf", content=PDF):
    return Attachment(name, content_type, content)


def files(raw):
    """Name, type and bytes of each file in a mail as it came off the wire."""
    message = email.message_from_bytes(raw, policy=default)
    return [
        Attachment(part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in message.iter_attachments()
    ]


def test_files_arrive_as_they_were_given(good, client):
    given = (
        attached("Orçamento \u2013 João.pdf"),
        attached("preços.csv", "text/csv", CSV),
        attached("x.bin", "image/png", b""),
    )
    with FaultySMTP(good) as server:
        found = hand_over(server, client, message=mail(text="Segue em anexo.\n.\nfim", attachments=given))
    assert isinstance(found, Accepted)
    assert server.messages[0].isascii()
    message = received(server)
    assert tuple(files(server.messages[0])) == given
    assert message.get_content_type() == "multipart/mixed"
    assert [part.get_content_disposition() for part in message.iter_attachments()] == ["attachment"] * 3
    body = message.get_body(("plain",))
    assert body.get_content() == "Segue em anexo.\r\n..\r\nfim\r\n"  # the server kept the doubled dot
    assert list(message.iter_attachments())[1].get_content() == CSV.decode()


@pytest.mark.parametrize(
    "name",
    [
        "x\r\nBcc: evil@x.example.pdf", "x\ny.pdf", "x\ry.pdf", "x\0y.pdf", "x\x85y.pdf", "x\u2028y.pdf",
        "x\ud800y.pdf",
        "a\u202efdp.exe", "\u2066a.pdf", "../a.pdf", "/etc/passwd", "C:\\a.pdf", "C:a.pdf", "..", ".", "", "  ",
        "=?utf-8?q?x=0d=0aBcc:_evil?=.pdf", "a" * 97 + ".pdf",
    ],
)  # fmt: skip
def test_a_file_name_is_one_line_without_a_path(name):
    with pytest.raises(BadMessage) as caught:
        mail(attachments=[attached(name)])
    assert str(caught.value) == "file_name"


@pytest.mark.parametrize(
    "name",
    [
        'a "quoted" name.pdf', "it's.pdf", "a;b=c, d.pdf", "a%20b.pdf", "100%.pdf", "(x) <y> [z].pdf", "👩‍👩‍👧.pdf",
        "a" * 96 + ".pdf", "ç" * 96 + ".pdf", "名前.pdf", "utf-8''x.pdf", "no extension", "a*0*=b.pdf", "&#x0d;.pdf",
    ],
)  # fmt: skip
def test_a_strange_file_name_stays_what_it_is(name):
    assert files(for_wire(mail(attachments=[attached(name)]))) == [attached(name)]


def test_blanks_around_a_file_name_are_not_part_of_it():
    assert b'; filename="a b.pdf"\r\n' in for_wire(mail(attachments=[attached("  a b.pdf ")]))


@pytest.mark.parametrize(
    "content_type",
    [
        "", "x", "application", "application/", "multipart/mixed", "message/rfc822", "application/pdf; name=x",
        "application/pdf\r\nBcc: evil@x.example", "Application/PDF", "a/b c", "application/é", "text/" + "x" * 200,
    ],
)  # fmt: skip
def test_a_file_type_is_one_plain_type_that_holds_no_other_mail(content_type):
    with pytest.raises(BadMessage) as caught:
        mail(attachments=[attached(content_type=content_type)])
    assert str(caught.value) == "file_type"


def test_five_files_go_with_a_mail_and_no_more():
    assert len(files(for_wire(mail(attachments=[attached()] * 5)))) == 5
    with pytest.raises(BadMessage, match="files"):
        mail(attachments=[attached()] * 6)


@pytest.mark.parametrize("sizes", [[MAX_FILE_BYTES + 1], [MAX_TOTAL_BYTES // 2, MAX_TOTAL_BYTES // 2 + 1]])
def test_files_are_bounded_each_and_together(sizes):
    with pytest.raises(BadMessage, match="file_size"):
        mail(attachments=[attached(content=bytes(size)) for size in sizes])


def test_the_largest_files_together_are_a_mail_that_large_providers_take():
    rest = MAX_TOTAL_BYTES - MAX_FILE_BYTES
    message = mail(attachments=[attached(content=bytes(MAX_FILE_BYTES)), attached(content=bytes(rest))])
    assert MAX_TOTAL_BYTES * 4 // 3 < encoded_size(message) < 25 * 1024 * 1024


def test_no_text_can_end_before_its_files():
    text = f"a\n--=_{MARKER}\nContent-Type: text/html\n\n<b>\n--=_{MARKER}--\n"
    for words in (text, text + "é", text + "é" * 900):
        raw = for_wire(mail(text=words, attachments=[attached()]))
        assert files(raw) == [attached()]
        body = email.message_from_bytes(raw, policy=default).get_body(("plain",))
        assert body.get_content().replace("\r\n", "\n").rstrip("\n") == words.rstrip("\n")


def test_the_same_mail_is_the_same_bytes():
    one, other = (mail(attachments=[attached(), attached("b.pdf")], bcc=[CLEO]) for _ in range(2))
    assert for_wire(one) == for_wire(one) == for_wire(other)
    assert for_sent_copy(one) == for_sent_copy(other)


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=110), st.text(max_size=300), st.binary(max_size=500),
    st.sampled_from(["text/plain", "text/csv", "application/pdf", "image/jpeg"]),
)  # fmt: skip
def test_whatever_goes_with_a_mail_its_lines_are_whole_and_its_parts_come_back(name, text, content, content_type):
    try:
        raw = for_wire(mail(text=text, attachments=[attached(name, content_type, content)]))
    except BadMessage:
        return
    left = raw.replace(b"\r\n", b"")
    assert raw.isascii()
    assert b"\r" not in left
    assert b"\n" not in left
    assert b"\0" not in left
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert files(raw) == [attached(name.strip(), content_type, content)]
    headers = email.message_from_bytes(raw, policy=default)
    assert set(headers.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Content-Type", "MIME-Version"
    }  # fmt: skip


def test_content_that_looks_like_commands_stays_content(good, client):
    smuggled = b"\n.\nMAIL FROM:<evil@x.example>\nRCPT TO:<b@x.example>\nDATA\n\nevil\n.\r\n\r.\r"
    given = attached("a.txt", "text/plain", smuggled)
    with FaultySMTP(good) as server:
        hand_over(server, client, message=mail(text=smuggled.decode(), attachments=[given]))
    words = [command.split(" ")[0].upper() for command in server.commands]
    assert words == ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"]
    assert len(server.messages) == 1
    assert files(server.messages[0]) == [given]


# --- Bcc


def test_who_gets_a_mail_unseen_is_on_no_wire_and_in_the_owners_copy(good, client):
    message = mail(to=[BIA], bcc=[CLEO], attachments=[attached()])
    with FaultySMTP(good) as server:
        found = hand_over(server, client, message=message, to=[BIA, CLEO])
    assert isinstance(found, Accepted)
    assert "bcc" not in server.messages[0].lower().decode()
    assert CLEO.encode() not in server.messages[0]
    assert [command for command in server.commands if command.startswith("rcpt")] == [
        f"rcpt TO:<{BIA}>", f"rcpt TO:<{CLEO}>"
    ]  # fmt: skip
    copied = email.message_from_bytes(for_sent_copy(message), policy=default)
    assert str(copied["Bcc"]) == CLEO
    assert for_sent_copy(message).replace(f"Bcc: {CLEO}\r\n".encode(), b"") == for_wire(message)


def test_who_is_named_openly_is_not_named_unseen_as_well():
    assert mail(to=[BIA], bcc=[BIA])["Bcc"] is None
    assert str(mail(to=[BIA], bcc=[BIA, CLEO, f" {CLEO} "])["Bcc"]) == CLEO


def test_recipients_seen_and_unseen_are_counted_together():
    people = [f"p{number}@client.example" for number in range(5)]
    assert str(mail(to=people[:3], bcc=people[3:])["Bcc"]) == ", ".join(people[3:])
    with pytest.raises(BadMessage, match="recipients"):
        mail(to=people, bcc=[CLEO])
    with pytest.raises(BadAddress):
        mail(bcc=["a@x>\r\nRCPT TO:<evil@x.example"])


# --- size


def offering(size):
    return f"250-mail.example.test\r\n250-{size}\r\n250 AUTH PLAIN"


def test_the_size_that_is_told_counts_no_doubled_dots(good, client):
    message = mail(text=".\n" * 100)
    with FaultySMTP(good) as server:
        hand_over(server, client, message=message)
    assert f"mail FROM:<{ADDRESS}> SIZE={encoded_size(message)}" in server.commands
    assert len(server.messages[0]) == encoded_size(message) + 100


def test_a_mail_larger_than_the_server_says_is_not_handed_over(good, client):
    message = mail(attachments=[attached(content=bytes(8_000_000))])
    told = []
    with FaultySMTP(good) as server:  # it says SIZE 10000000
        found = hand_over(server, client, message=message, told=told)
    assert isinstance(found, Refused)
    assert (found.stage, found.cause, found.who, found.blames_secret) == (
        "mail_from",
        "message_too_large",
        "user",
        False,
    )
    assert found.raw == f"SIZE 10000000 is stated, the mail has {encoded_size(message)} bytes"
    assert not [command for command in server.commands if command.upper().startswith(("MAIL", "DATA"))]
    assert server.commands[-1] == "QUIT"
    assert (server.messages, told) == ([], [])


def test_a_mail_of_just_the_size_that_the_server_says_is_handed_over(good, client):
    message = mail()
    for room, kind in ((0, Accepted), (-1, Refused)):
        with FaultySMTP(good, ehlo_tls=offering(f"SIZE {encoded_size(message) + room}")) as server:
            assert isinstance(hand_over(server, client, message=message), kind)


@pytest.mark.parametrize("size", ["SIZE", "SIZE 0", "SIZE x", "SIZE -1", "SIZE ٣", "SIZE " + "9" * 5000, "SIZE=1"])
def test_a_server_without_a_limit_that_makes_sense_has_none(good, client, size):
    with FaultySMTP(good, ehlo_tls=offering(size)) as server:
        assert isinstance(hand_over(server, client), Accepted)


@pytest.mark.parametrize(
    "reply", ["552 5.3.4 Message too big for system", "552 Requested mail action aborted: exceeded"]
)
def test_a_server_that_finds_a_mail_too_large_in_the_end_has_not_taken_it(good, client, reply):
    told = []
    with FaultySMTP(good, ehlo_tls=offering("8BITMIME"), end=reply) as server:
        found = hand_over(server, client, message=mail(attachments=[attached()]), told=told)
    assert isinstance(found, Refused)
    assert (found.stage, found.cause) == ("post_data", "message_too_large")
    assert told == []
    assert server.commands[1:].count(f"mail FROM:<{ADDRESS}>") == 1  # no size where it is not asked for


# --- at a real server

ANA, BRUNO, CARLA = "ana@agencia.test", "bruno@agencia.test", "carla@agencia.test"


@pytest.fixture(scope="module")
def postfix():
    with started_mail_servers(dict.fromkeys((ANA, BRUNO, CARLA), SECRET)) as servers:
        yield servers


def post(servers, subject, *, to=(BRUNO,), bcc=(), **parts):
    message = mail(sender=ANA, to=to, bcc=bcc, subject=subject, marker=str(uuid.uuid4()), **parts)
    with DnsServer({servers.host: [LOOPBACK]}) as dns:
        guard = Guard(allow_networks=("127.0.0.0/8",), allow_ports=(servers.smtps_port,), nameserver=dns.address)
        network = Network(guard, tls_context(str(servers.ca_pem)), "assistant.agencia.test")
        account = Account(ANA, ANA, Server(servers.host, servers.smtps_port, "tls"))
        return send(account, SECRET, message, [*to, *bcc], network=network, provider=None, on_accepted=str)


@pytest.mark.world
def test_files_come_through_a_real_server_unchanged(postfix):
    given = [attached('Orçamento \u2013 João "final".pdf'), attached("preços.csv", "text/csv", CSV)]
    found = post(postfix, "com anexos", text="Olá!\n.\nfim", attachments=given)
    assert isinstance(found, Accepted)
    arrived = postfix.wait_for_mail(BRUNO, "com anexos")
    assert files(arrived.as_bytes()) == given
    assert arrived.get_body(("plain",)).get_content().replace("\r\n", "\n") == "Olá!\n.\nfim\n"


@pytest.mark.world
def test_nobody_reads_in_the_mail_who_got_it_unseen(postfix):
    assert isinstance(post(postfix, "às escondidas", bcc=[CARLA]), Accepted)
    for person in (BRUNO, CARLA):
        arrived = postfix.wait_for_mail(person, "às escondidas")
        assert arrived["Bcc"] is None
        assert CARLA not in str(arrived["To"])


def filled(size):
    """The content of a file with which a mail has about so many bytes on the wire, and never more."""
    rest = size - encoded_size(mail(sender=ANA, to=[BRUNO], attachments=[attached(content=b"")])) - 100
    return bytes(rest // 78 * 57)  # a line of base64 holds 57 bytes (RFC 2045 6.8)


POSTFIX_LIMIT = 10_240_000  # postconf(5), message_size_limit


@pytest.mark.world
def test_a_mail_below_a_real_servers_limit_arrives(postfix):
    content = filled(POSTFIX_LIMIT - 10_000)
    assert isinstance(post(postfix, "quase grande", attachments=[attached(content=content)]), Accepted)
    assert files(postfix.wait_for_mail(BRUNO, "quase grande").as_bytes()) == [attached(content=content)]


@pytest.mark.world
def test_a_real_server_that_finds_a_mail_too_large_in_the_end_has_not_taken_it(postfix):
    """It adds a header of its own, and then counts."""
    found = post(postfix, "grande no fim", attachments=[attached(content=filled(POSTFIX_LIMIT))])
    assert isinstance(found, Refused)
    assert (found.stage, found.cause) == ("post_data", "message_too_large")
    assert found.raw.startswith("552 5.3.4")


@pytest.mark.world
def test_a_mail_above_a_real_servers_limit_is_not_handed_over(postfix):
    found = post(postfix, "grande demais", attachments=[attached(content=filled(POSTFIX_LIMIT + 1000))])
    assert isinstance(found, Refused)
    assert (found.stage, found.cause) == ("mail_from", "message_too_large")
    assert found.raw.startswith(f"SIZE {POSTFIX_LIMIT} is stated")
