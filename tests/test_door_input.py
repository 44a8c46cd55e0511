"""Bad input at the door: relaying, smuggling, injection, floods, and what is too large or too slow."""

import base64
import contextlib
import smtplib
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.door import letter as letters
from bot.door.letter import Unfit
from bot.door.protocol import MAX_NONSENSE
from bot.door.server import Times
from tests.botkit import ADDRESS, MONDAY
from tests.doorway import MAX_SIZE, MESSAGE, TO, Guest, guest, handed_in, raw, states

pytestmark = pytest.mark.usefixtures("no_waits")

# --- who may send what ------------------------------------------------------------------------------------------------

BEFORE_SIGNING_IN = [f"MAIL FROM:<{ADDRESS}>", f"RCPT TO:<{TO}>", "DATA", "VRFY ana", f"MAIL FROM:<{ADDRESS}> SIZE=1"]


@pytest.mark.parametrize("command", BEFORE_SIGNING_IN)
def test_nobody_sends_without_signing_in(door_at, command):
    kit = door_at()
    one = Guest(kit.door)
    one.ehlo()
    assert one.say(command)[0] == 530
    assert kit.server.connections == 0


@pytest.mark.parametrize("sender", ["eve@agency.test", "ana@agency.test.evil.test", "@evil.test:ana@agency.test.evil"])
def test_nobody_sends_as_somebody_else(door_inside, sender):
    kit, one = door_inside()
    assert one.say(f"MAIL FROM:<{sender}>")[0] in {501, 550, 553}
    assert one.say(f"RCPT TO:<{TO}>")[0] == 503
    assert kit.server.connections == 0


def test_no_mail_leaves_without_a_sender(door_inside):
    _, one = door_inside()
    assert one.say("MAIL FROM:<>")[0] in {501, 550}


FORGED = [
    "From: eve@agency.test",
    f"From: {ADDRESS}, eve@agency.test",
    f"From: <{ADDRESS}> <eve@agency.test>",
    f'From: "{ADDRESS}" <eve@agency.test>',
    f"From: {ADDRESS}: eve@agency.test;",
    f"From: Ana <{ADDRESS}.evil.test>",
    f"From: =?utf-8?q?{ADDRESS}?= <eve@agency.test>",
    "From:",
    f"X-From: {ADDRESS}",
    f"From: {ADDRESS}\r\nFrom: eve@agency.test",
    f"From: {ADDRESS}\r\nSender: eve@agency.test",
    f"FROM : eve@agency.test\r\nFrom: {ADDRESS}",
]


@pytest.mark.parametrize("line", FORGED)
def test_from_is_the_mailbox_s_address_and_nobody_else(door_inside, line):
    kit, one = door_inside()
    assert handed_in(one, raw(line, f"To: {TO}"))[0] in {550, 554}
    assert (kit.server.messages, states(kit)) == ([], [])


@pytest.mark.parametrize(
    "line", ["From: Ana <ANA@Agency.Test>", f'From: "Souza, Ana" <{ADDRESS}>', f"From:\r\n {ADDRESS}"]
)
def test_from_may_be_written_in_many_ways(door_inside, line):
    kit, one = door_inside()
    assert handed_in(one, raw(line))[0] == 250
    assert line.encode() in kit.server.messages[0]


# --- smuggling --------------------------------------------------------------------------------------------------------

SECOND = f"MAIL FROM:<{ADDRESS}>\r\nRCPT TO:<evil@x.test>\r\nDATA\r\nFrom: {ADDRESS}\r\n\r\nsmuggled\r\n.\r\n"
ENDS = [
    "\n.\n",
    "\n.\r\n",
    "\r.\r",
    "\r.\r\n",
    "\r\n.\n",
    "\r\n.\r",
    "\r\n\0.\r\n",
    "\n\n.\r\n",
    "\r\r\n.\r\r\n",
    "\r\n.\r\r\n",
]


@pytest.mark.parametrize("end", ENDS)
def test_no_other_end_of_a_message_smuggles_a_second_one_in(door_inside, end):
    kit, one = door_inside()
    one.mail(ADDRESS)
    one.rcpt(TO)
    one.docmd("DATA")
    one.send(MESSAGE + b"text" + (end + SECOND).encode())
    code, text = one.heard()
    assert (code, kit.server.messages) == (554, []), text
    assert not any("evil" in command for command in kit.server.commands)


def test_what_stands_behind_the_true_end_is_a_command_and_nothing_else(door_inside):
    kit, one = door_inside()
    one.mail(ADDRESS)
    one.rcpt(TO)
    one.docmd("DATA")
    one.send(MESSAGE + b".\r\nNOOP\r\nMAIL FROM:<eve@x.test>\r\n")
    assert [one.heard()[0] for _ in range(3)] == [250, 250, 550]
    assert len(kit.server.messages) == 1


@pytest.mark.parametrize(
    "line", [b"NOOP\nMAIL FROM:<eve@x.test>", b"NOOP x\rRSET", b"RCPT TO:<a@b.test>\nDATA", b"EHLO a\0b"]
)
def test_a_command_ends_with_crlf_only(door_inside, line):
    kit, one = door_inside()
    assert one.say(line)[0] == 500
    assert kit.server.connections == 0


def test_a_command_in_two_lines_is_two_commands(door_inside):
    _, one = door_inside()
    one.send(b"NOOP\r\nNOO")
    assert one.heard()[0] == 250
    one.send(b"P\r\n")
    assert one.heard()[0] == 250


# --- what is written badly --------------------------------------------------------------------------------------------

BAD_MESSAGES = [
    b"no header at all\r\n\r\nwords\r\n",
    b"\r\nwords\r\n",
    b" folded: at once\r\n\r\nwords\r\n",
    b"From ana@agency.test Mon Mar  2\r\nFrom: ana@agency.test\r\n\r\n",
    f"From: {ADDRESS}\r\nMessage-ID: none\r\n\r\n".encode(),
    f"From: {ADDRESS}\r\nMessage-ID: <1@x>\r\nMessage-ID: <2@x>\r\n\r\n".encode(),
    f"From: {ADDRESS}\r\nBad\0Header: x\r\n\r\n".encode(),
    MESSAGE + b"x" * 1_001 + b"\r\n",
    MESSAGE + b"x" * 200_000 + b"\r\n",
]


@pytest.mark.parametrize("message", BAD_MESSAGES)
def test_what_is_no_mail_is_refused_and_the_session_goes_on(door_inside, message):
    kit, one = door_inside()
    code, text = handed_in(one, message)
    assert (code, text[:4]) == (554, "5.6.")
    assert (kit.server.messages, states(kit)) == ([], [])
    assert handed_in(one)[0] == 250


def test_a_mail_that_is_too_large_is_refused_as_soon_as_that_is_known(door_inside):
    kit, one = door_inside()
    assert one.say(f"MAIL FROM:<{ADDRESS}> SIZE={MAX_SIZE + 1}")[0] == 552
    assert handed_in(one, MESSAGE + (b"x" * 70 + b"\r\n") * (MAX_SIZE // 70))[0] == 552
    assert kit.server.messages == []
    assert handed_in(one)[0] == 250


def test_a_mail_goes_to_a_hundred_people_and_no_more(door_inside):
    kit, one = door_inside()
    one.mail(ADDRESS)
    codes = [one.rcpt(f"p{number}@client.test")[0] for number in range(101)]
    assert (codes[:100], codes[100]) == ([250] * 100, 452)
    assert one.data(MESSAGE)[0] == 250
    assert len([line for line in kit.server.commands if line.startswith("rcpt")]) == 100


BAD_RECIPIENTS = [
    "RCPT TO:<bia>", "RCPT TO:<@x.test>", "RCPT TO:<a@b@c.test>", "RCPT TO:<a b@c.test>", "RCPT TO:<>", "RCPT TO:bia",
    "RCPT TO:<a@-x.test>", "RCPT TO:<a@x.test> NOTIFY=NEVER", "RCPT TO:<a@x.test> ORCPT=rfc822;b@x.test", "RCPT",
    "RCPT TO:<a@x.test>\\r\\nDATA", "RCPT TO:<" + "a" * 400 + "@x.test>", "RCPT TO:" + "(" * 900,
    "RCPT FROM:<a@x.test>",
]  # fmt: skip


@pytest.mark.parametrize("command", BAD_RECIPIENTS)
def test_what_is_no_recipient_is_refused_before_anything_leaves(door_inside, command):
    kit, one = door_inside()
    one.mail(ADDRESS)
    assert 500 <= one.say(command)[0] <= 555
    assert one.say("DATA")[0] == 503
    assert kit.server.connections == 0


@pytest.mark.parametrize(
    "option", ["SMTPUTF8", "RET=FULL", "ENVID=x", "BODY=BINARYMIME", "SIZE=x", "FOO", "SIZE=1 SIZE"]
)
def test_what_is_not_offered_is_not_taken(door_inside, option):
    _, one = door_inside()
    assert 500 <= one.say(f"MAIL FROM:<{ADDRESS}> {option}")[0] <= 555
    assert one.mail(ADDRESS)[0] == 250


def test_what_is_offered_is_kept(door_inside):
    _, one = door_inside()
    offered = one.ehlo("ally.example")[1].decode().splitlines()[1:]
    assert offered == [f"SIZE {MAX_SIZE}", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES", "AUTH PLAIN LOGIN"]
    assert one.say(f"MAIL FROM:<{ADDRESS}> BODY=8BITMIME SIZE=100 AUTH=<>")[0] == 250


def test_every_reply_has_an_enhanced_code(door_inside):
    _, one = door_inside()
    for line in (
        "NOOP",
        "RSET",
        "FOO",
        "MAIL",
        "DATA",
        "HELP",
        "VRFY x",
        "AUTH PLAIN",
        "STARTTLS",
        f"RCPT TO:<{TO}>",
        "QUIT",
    ):
        code, text = one.say(line)
        assert text.split()[0].split(".")[0] == str(code // 100), (line, text)


def test_a_whole_mail_may_come_in_one_go(door_inside):
    kit, one = door_inside()
    one.send(f"MAIL FROM:<{ADDRESS}>\r\nRCPT TO:<{TO}>\r\nRCPT TO:<x>\r\nDATA\r\n".encode())
    assert [one.heard()[0] for _ in range(4)] == [250, 250, 553, 354]
    one.send(MESSAGE + b".\r\nQUIT\r\n")
    assert [one.heard()[0] for _ in range(2)] == [250, 221]
    assert len(kit.server.messages) == 1


def test_starttls_inside_tls_starts_nothing(door_inside):
    _, one = door_inside()
    assert one.say("STARTTLS")[0] == 503
    assert one.noop()[0] == 250


BAD_AUTHS = [
    "AUTH", "AUTH CRAM-MD5", "AUTH PLAIN !!", "AUTH PLAIN AAAA", "AUTH PLAIN =", "AUTH XOAUTH2 AAAA",
    "AUTH PLAIN a b c",    "AUTH PLAIN Zm9vAGFuYUBhZ2VuY3kudGVzdAB4", "AUTH LOGIN !!",
]  # fmt: skip


@pytest.mark.parametrize("command", BAD_AUTHS)
def test_signing_in_badly_is_refused_and_the_session_goes_on(door_at, command):
    kit = door_at()
    one = Guest(kit.door)
    one.ehlo()
    assert 500 <= one.say(command)[0] <= 535
    assert one.noop()[0] == 250


def test_signing_in_can_be_broken_off(door_at):
    kit = door_at()
    one = Guest(kit.door)
    one.ehlo()
    assert one.say("AUTH LOGIN")[0] == 334
    assert one.say("*")[0] == 501
    assert one.noop()[0] == 250


def test_no_key_and_no_address_stands_in_the_log(door_at, capfd):
    kit = door_at()
    with pytest.raises(smtplib.SMTPAuthenticationError):
        guest(kit, "a-wrong-key-42")
    handed_in(guest(kit))
    logged = "".join(capfd.readouterr())
    assert kit.key not in logged
    assert "a-wrong-key" not in logged
    assert TO not in logged


# --- what is slow, and what is many -----------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["command", "data"])
def test_who_drips_does_not_hold_the_door(door_at, moment):
    kit = door_at(times=Times(command=0.5, before=0.5, data=0.5))
    one = guest(kit)
    if moment == "data":
        one.mail(ADDRESS)
        one.rcpt(TO)
        one.docmd("DATA")
    began = time.monotonic()
    with contextlib.suppress(OSError):  # what a guest says who was hung up on
        while time.monotonic() < began + 15:
            one.send(b"x" if moment == "command" else b"x\r\n")
            time.sleep(0.05)
    assert time.monotonic() < began + 10


def test_a_stranger_gets_few_commands(door_at):
    kit = door_at()
    one = Guest(kit.door)
    codes = [one.say("NOOP")[0] for _ in range(21)]
    assert (codes[:20], codes[20]) == ([250] * 20, 421)


@pytest.mark.parametrize("line", [b"", b"\xff\xfe", b"NONSENSE", b"x" * 600])
def test_who_says_what_is_no_command_is_soon_sent_away(door_at, line):
    kit = door_at()
    one = Guest(kit.door)
    heard = []
    with contextlib.suppress(OSError):  # it may be sent away before it has said all
        one.sock.sendall((line + b"\r\n") * 2_000)
    with contextlib.suppress(OSError, smtplib.SMTPServerDisconnected):
        while True:
            heard.append(one.getreply()[0])
    assert set(heard) <= {500, 502}
    assert len(heard) <= MAX_NONSENSE


@pytest.mark.parametrize(
    "how", [b"From: " + b"(" * 900 + b"\r\n " + b"(" * 900, b"From: " + b"\r\n ".join([b"a:;" * 300] * 2)]
)
def test_a_from_that_no_library_reads_is_refused_for_good(door_inside, how):
    kit, one = door_inside()
    assert handed_in(one, how + b"\r\n\r\nHello\r\n")[0] == 550
    assert kit.server.connections == 0


def test_who_has_a_zero_in_their_name_is_slowed_down_like_anybody(door_at):
    kit = door_at()
    one = Guest(kit.door)
    one.ehlo()
    assert one.say("AUTH LOGIN")[0] == 334
    assert one.say(base64.b64encode(b"ana\0@agency.test"))[0] == 334
    assert one.say(base64.b64encode(b"no-key"))[0] == 535


def test_a_line_without_end_is_not_kept(door_at):
    kit = door_at()
    one = guest(kit)
    one.send(b"x" * 5_000_000)
    assert one.say("")[0] == 500
    assert guest(kit).noop()[0] == 250


def test_garbage_ends_nothing_but_its_own_connection(door_at):
    kit = door_at()
    for garbage in (b"\x16\x03\x01" + b"\xff" * 500, b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100):
        with kit.door.plain() as sock:
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(100):
                pass
    with kit.door.connected() as sock:
        sock.sendall(bytes(range(256)) * 10 + b"\r\n")
        assert sock.recv(100).startswith(b"220")
    assert handed_in(guest(kit))[0] == 250


# --- letters by chance ------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [b"From: ana@agency.test", b"From: eve@x.test", b"\r\n", b"\n", b"\r", b".", b" ", b"\0", b":", b"Bcc: x@y.test",
     b"Message-ID: <1@x>", b"Date: x", b"text", b"\xff", b"<", b",", b"Sender: eve@x.test", b"\t"]
)  # fmt: skip


def read(content):
    return letters.read(content, address=ADDRESS, now=MONDAY, made_id=lambda: "<made@agency.test>")


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=30))
def test_whatever_comes_in_leaves_clean_or_not_at_all(pieces):
    content = b"".join(pieces)
    try:
        found = read(content)
    except Unfit:
        return
    bare = found.wire.replace(b"\r\n", b"")
    assert b"\r" not in bare
    assert b"\n" not in bare
    assert b"\0" not in bare
    head = found.wire.partition(b"\r\n\r\n")[0].lower()
    assert head.count(b"\r\nfrom:") + head.startswith(b"from:") == 1
    assert b"\r\nbcc" not in head
    assert b"sender: eve" not in head.replace(b"\r\n ", b"").replace(b"\r\n\t", b"")
    assert found.copy.endswith(content.removesuffix(b"\r\n") + b"\r\n")


def test_nothing_that_is_there_is_written_anew():
    content = raw(f"From: {ADDRESS}", "Message-ID: <1@x>", "Date: whenever", "X:\ty  ")
    found = read(content)
    assert (found.wire, found.copy, found.message_id) == (content, content, "<1@x>")


def test_a_message_without_a_body_is_one():
    assert read(f"From: {ADDRESS}\r\nDate: x\r\nMessage-ID: <1@x>\r\n".encode()).wire.endswith(b"<1@x>\r\n")
