"""Writing a mail and handing it over: accepted, refused, later, unknown - never guessed."""

import datetime as dt
import email
from dataclasses import replace
from email.policy import default

import pytest
import trustme

from bot.mail.knowledge.providers import Server
from bot.mail.wire.account import Account, BadCredential
from bot.mail.wire.addresses import BadAddress
from bot.mail.wire.send import Accepted, BadMessage, Later, Refused, Unknown, compose, message_id, send
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

    with FaultySMTP(good, data=lost) as server:
        found = hand_over(server, client, message=big())
    assert isinstance(found, Later)
    assert (found.stage, found.cause) == ("data", "connection_dropped")


def test_a_server_that_stops_reading_the_content_holds_nothing_up(good, client):
    def stuck(peer):
        peer.say("354 go on")
        peer.server.stopping.wait(20)

    with FaultySMTP(good, data=stuck) as server:
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
