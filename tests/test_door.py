"""The door: mail that comes in from Ally leaves through the person's own mailbox, once, and its outcome is told."""

import base64
import smtplib
import ssl
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from bot.door.server import Bounds, Times
from bot.door_desk import LEASE
from bot.store import door_mails, doors, mailboxes, tables
from bot.store.door_mails import DAY
from bot.store.engine import reading
from flows.speech import sentence
from tests.botkit import ADDRESS, PASSWORD, eventually, statements
from tests.doorway import (
    BODY,
    HOST,
    MESSAGE,
    TO,
    Guest,
    certificate,
    guest,
    handed_in,
    letter,
    mails,
    raw,
    states,
    told,
)
from tests.faulty_smtp import CLOSE, IMPATIENT, QUICK, RESET, SILENT

WRONG = "535 5.7.8 Error: authentication failed"

pytestmark = pytest.mark.usefixtures("no_waits")


# --- what leaves ------------------------------------------------------------------------------------------------------


def test_a_mail_leaves_at_once_through_the_person_s_own_mailbox(door_inside):
    kit, one = door_inside()
    code, text = handed_in(one)
    assert (code, text.split()[0]) == (250, "2.0.0")
    assert kit.server.messages == [MESSAGE]
    assert kit.server.sign_ins == [(ADDRESS, PASSWORD)]
    assert f"mail FROM:<{ADDRESS}> SIZE={len(MESSAGE)}" in kit.server.commands
    assert states(kit) == ["accepted"]


def test_a_mail_comes_as_programs_send_it(door_inside):
    kit, one = door_inside()
    message = letter(Cc="caio@client.test")
    assert one.send_message(message) == {}
    assert b"Subject: The offer\r\n" in kit.server.messages[0]
    assert kit.server.messages[0].endswith(BODY.encode())


def test_what_is_missing_is_added_and_nothing_else_is_changed(door_inside):
    kit, one = door_inside()
    content = raw(f"from:{ADDRESS}", "X-Odd:   two  blanks ", "Subject: a", "  folded")
    handed_in(one, content)
    (sent,) = kit.server.messages
    added = sent.removesuffix(content)
    assert [line.split(b":")[0] for line in added.splitlines()] == [b"Date", b"Message-ID"]
    assert mails(kit)[0].message_id.encode() in added


def test_bcc_stays_off_the_wire_and_stands_in_the_copy(door_inside):
    kit, one = door_inside()
    hidden = raw(
        f"From: {ADDRESS}", "Message-ID: <1@x>", "Date: today", "Bcc: secret@client.test,", " more@client.test"
    )
    handed_in(one, hidden)
    assert b"client.test" not in kit.server.messages[0]
    kit.work()
    assert kit.imap.mail["Sent"] == [hidden]


def test_the_copy_is_filed_and_nothing_of_the_mail_is_kept(door_inside):
    kit, one = door_inside()
    handed_in(one)
    assert {row.kind for row in kit.rows(tables.secret)} == {"mailbox.password", "door.mail"}
    kit.work()
    assert kit.imap.mail["Sent"] == [MESSAGE]
    assert [row.kind for row in kit.rows(tables.secret)] == ["mailbox.password"]
    assert mails(kit)[0].copy == "appended"
    assert BODY.strip() not in kit.dump()


def test_a_mail_with_8_bits_goes_to_a_server_that_takes_them(door_inside):
    kit, one = door_inside()
    eight = MESSAGE + "olá\r\n".encode()
    assert handed_in(one, eight)[0] == 250
    assert kit.server.messages == [eight]
    assert any("body=8bitmime" in line.lower() for line in kit.server.commands)


def test_a_mail_with_8_bits_is_not_changed_for_a_server_that_takes_7(door_inside):
    kit, one = door_inside(ehlo_tls="250-mail\r\n250 AUTH PLAIN")
    assert handed_in(one, MESSAGE + "olá\r\n".encode())[0:1] == (554,)
    assert (kit.server.messages, states(kit)) == ([], [])


def test_dots_at_the_beginning_of_lines_stay_as_they_were(door_inside):
    kit, one = door_inside()
    dotted = raw(f"From: {ADDRESS}", "Date: x", "Message-ID: <1@x>", body=".\r\n..\r\n...a\r\n.b\r\n")
    handed_in(one, dotted)
    assert kit.server.messages == [dotted.replace(b"\r\n.", b"\r\n..")]  # as they are on the wire


# --- connections are kept ---------------------------------------------------------------------------------------------


def test_the_connection_to_the_mail_server_is_kept_for_the_next_mail(door_inside):
    kit, one = door_inside()
    for number in range(5):
        assert handed_in(one, MESSAGE.replace(b"<1@", f"<{number + 2}@".encode()))[0] == 250
    assert (kit.server.connections, len(kit.server.auths), len(kit.server.messages)) == (1, 1, 5)


def test_a_kept_connection_that_the_server_closed_costs_nobody_anything(door_inside):
    closing = iter([True])

    def end(conversation):
        conversation.say("250 2.0.0 Ok")
        if next(closing, False):
            CLOSE(conversation)

    kit, one = door_inside(end=end)
    handed_in(one)
    assert handed_in(one, MESSAGE.replace(b"<1@", b"<2@"))[0] == 250
    assert (kit.server.connections, len(kit.server.messages)) == (2, 2)


def test_a_kept_connection_that_is_told_to_go_is_made_anew(door_inside):
    replies = iter(["250 2.1.0 Ok", "421 4.4.2 Idle too long", "250 2.1.0 Ok"])
    kit, one = door_inside(mail_from=lambda conversation: conversation.say(next(replies)))
    assert [handed_in(one, MESSAGE.replace(b"<1@", f"<{n}@".encode()))[0] for n in (5, 6)] == [250, 250]
    assert (kit.server.connections, len(kit.server.messages)) == (2, 2)


# --- the server's verdict ---------------------------------------------------------------------------------------------

VERDICTS = [
    ({"mail_from": "553 5.7.1 Sender address rejected: not owned by user"}, 553, "5.7.1"),
    ({"rcpt_to": "550 5.1.1 User unknown"}, 550, "5.1.1"),
    ({"rcpt_to": "450 4.2.0 Greylisted, try again"}, 450, "4.2.0"),
    ({"data": "452 4.3.1 Insufficient system storage"}, 452, "4.3.1"),
    ({"end": "554 5.7.1 Spam message rejected"}, 554, "5.7.1"),
    ({"end": "451 4.7.0 Try again later"}, 451, "4.7.0"),
    ({"end": "550 no such thing"}, 550, "5.0.0"),
    ({"greeting": "421 4.3.2 Too busy"}, 451, "4.4.1"),
    ({"greeting": CLOSE}, 451, "4.4.1"),
    ({"ehlo_tls": RESET}, 451, "4.4.1"),
    ({"auth": "454 4.7.0 Temporary authentication failure"}, 451, "4.7.0"),
    ({"auth": WRONG}, 554, "5.7.0"),
    ({"data": CLOSE}, 451, "4.4.1"),
]


PIPELINING = pytest.mark.parametrize("pipelining", [False, True], ids=["one by one", "in one go"])


@PIPELINING
@pytest.mark.parametrize(("replies", "code", "enhanced"), VERDICTS)
def test_the_server_s_verdict_is_the_reply(door_inside, replies, code, enhanced, pipelining):
    kit, one = door_inside(pipelining=pipelining, **replies)
    found, text = handed_in(one)
    assert (found, text.split()[0]) == (code, enhanced)
    assert text.isascii()
    assert states(kit) == ["refused"]
    assert len(kit.rows(tables.door_mail)) == 0


SAID = {
    "greeting": b"220 mail.example.test ESMTP", "ehlo_tls": b"250 mail.example.test", "auth": b"235 2.7.0 Accepted",
    "mail_from": b"250 2.1.0 Ok", "rcpt_to": b"250 2.1.5 Ok", "data": b"354 go on", "end": b"250 2.0.0 Ok: queued",
}  # fmt: skip


def dying(moment, after):
    """The server dies in the middle of its answer, after so many bytes of it."""

    def reply(conversation):
        conversation.sock.sendall(SAID[moment][:after])
        CLOSE(conversation)

    return {moment: reply}


@PIPELINING
@pytest.mark.parametrize("after", [0, 1, 3, 4, 9])
@pytest.mark.parametrize("moment", SAID)
def test_a_server_that_dies_at_any_byte_gets_no_mail_twice(door_inside, moment, after, pipelining):
    kit, one = door_inside(pipelining=pipelining, **dying(moment, after))
    code = handed_in(one)[0]
    if moment == "end":  # its answer is no answer until its line ends: nobody knows
        assert (code, states(kit), len(kit.server.messages)) == (250, ["unknown"], 1)
        assert handed_in(one)[0] == 250
        assert len(kit.server.messages) == 1
    else:
        assert (code, states(kit), kit.server.messages) == (451, ["refused"], [])


@pytest.mark.parametrize("language", ["en", "pt", "es"])
def test_a_verdict_is_said_in_the_person_s_language_without_accents(door_at, language):
    kit = door_at(rcpt_to="550 5.1.1 User unknown")
    with kit.engine.begin() as db:
        db.exec_driver_sql(f"update contact set language = '{language}'")
    words = handed_in(guest(kit))[1].partition(" ")[2]
    assert words == kit.door.desk.says("cause.recipient_rejected", language)
    assert words[:10] in sentence("cause.recipient_rejected", language)


def test_where_the_server_lets_us_the_envelope_is_said_in_one_go(door_inside):
    """One thing is heard for all of it: what came in by then is MAIL, RCPT and DATA."""
    heard = []

    def answer(conversation):
        heard.append(conversation._unread)
        conversation.say("250 2.1.0 Ok")

    kit, one = door_inside(pipelining=True, mail_from=answer)
    assert handed_in(one)[0] == 250
    assert heard[0].startswith(b"RCPT TO:<bia@client.test>\r\nDATA\r\n")
    assert kit.server.messages == [MESSAGE]


@pytest.mark.parametrize("replies", [{"mail_from": "550 5.7.1 No"}, {"rcpt_to": "550 5.1.1 Unknown"}])
def test_a_server_that_asks_for_a_message_to_nobody_gets_none(door_inside, replies):
    kit, one = door_inside(pipelining=True, **replies)  # it says 354 to DATA whatever came before
    assert handed_in(one)[0] == 550
    assert (kit.server.commands[-1], kit.server.messages) == ("DATA", [])


def test_a_mail_that_was_refused_may_be_handed_in_again(door_inside):
    replies = iter(["451 4.7.0 Later", "250 2.0.0 Ok"])
    kit, one = door_inside(end=lambda conversation: conversation.say(next(replies)))
    assert [handed_in(one)[0], handed_in(one)[0]] == [451, 250]
    assert sorted(states(kit)) == ["accepted", "refused"]
    with reading(kit.engine) as db:
        assert door_mails.counted(db) == [("accepted", 1)], "what was refused is forgotten"


def test_who_is_declined_is_named_and_the_others_get_it(door_inside):
    kit, one = door_inside(rcpt_to={"caio@client.test": "550 5.1.1 Unknown"})
    one.mail(ADDRESS)
    one.rcpt(TO)
    one.rcpt("caio@client.test")
    code, text = one.data(MESSAGE)
    assert (code, b"caio@client.test" in text, TO.encode() in text) == (250, True, False)
    assert len(kit.server.messages) == 1


def test_a_refused_password_is_not_tried_again_by_the_next_mail(door_inside):
    kit, one = door_inside(auth=WRONG)
    assert handed_in(one)[0] == 554
    assert handed_in(one, MESSAGE.replace(b"<1@", b"<2@"))[0] == 451
    assert len(kit.server.auths) == 1
    assert [row.due_at for row in kit.promised("watch")] == [kit.clock.now()]


# --- once -------------------------------------------------------------------------------------------------------------


def test_the_same_mail_handed_in_again_is_not_sent_again(door_inside):
    kit, one = door_inside()
    first, second = handed_in(one), handed_in(one)
    third = handed_in(guest(kit))
    assert [first[0], second[0], third[0]] == [250, 250, 250]
    assert "second time" in second[1]
    assert len(kit.server.messages) == 1


def test_the_same_message_for_somebody_else_is_another_mail(door_inside):
    kit, one = door_inside()
    assert [handed_in(one)[0], handed_in(one, to="caio@client.test")[0]] == [250, 250]
    assert len(kit.server.messages) == 2


def test_a_mail_is_known_again_for_a_day(door_inside):
    kit, one = door_inside()
    handed_in(one)
    kit.clock.time += DAY - (DAY / 24)
    handed_in(one)
    assert len(kit.server.messages) == 1
    kit.clock.time += DAY / 12
    handed_in(one)
    assert len(kit.server.messages) == 2


def test_without_a_message_id_the_same_bytes_may_come_again_later(door_inside):
    kit, one = door_inside()
    bare = raw(f"From: {ADDRESS}")
    handed_in(one, bare)
    handed_in(one, bare)
    assert len(kit.server.messages) == 1
    kit.clock.move(minutes=11)
    handed_in(one, bare)
    assert len(kit.server.messages) == 2


def test_of_two_who_bring_a_mail_anew_at_once_when_its_time_is_over_one_sends_it(door_inside):
    """Both have seen that it is known no more; whoever comes second must not forget what the first has noted."""
    bare, meanwhile, heard = raw(f"From: {ADDRESS}"), [], []

    def data(conversation):
        if meanwhile:
            meanwhile.pop()()
        conversation.say("354 go on")
        conversation.server.messages.append(conversation.until(b"\r\n.\r\n")[:-3])
        conversation.say("250 2.0.0 Ok")

    kit, one = door_inside(data=data)
    handed_in(one, bare)
    kit.clock.move(minutes=11)
    meanwhile.append(lambda: heard.append(handed_in(guest(kit), bare)[0]))
    heard.append(handed_in(one, bare)[0])
    assert heard == [250, 451]
    assert len(kit.server.messages) == 2


def test_a_mail_that_did_not_leave_because_our_database_was_away_is_not_unknown(door_inside, monkeypatch):
    """PostgreSQL has noted it, and we never heard of that."""
    kit, one = door_inside()
    begin = door_mails.begin

    def unheard(*arguments):
        begin(*arguments)
        raise OperationalError("insert", {}, Exception("the connection broke"))

    with monkeypatch.context() as broken:
        broken.setattr(door_mails, "begin", unheard)
        assert handed_in(one)[0] == 451
    assert (states(kit), kit.server.messages) == ([], [])
    assert handed_in(one)[0] == 250
    kit.clock.time += LEASE
    kit.work()
    assert states(kit) == ["accepted"]
    assert not [body for body in kit.bodies() if "may or may not" in body]


UNKNOWNS = [CLOSE, RESET, SILENT, lambda conversation: conversation.say("999 what")]


@pytest.mark.parametrize("end", UNKNOWNS, ids=["closed", "reset", "silent", "nonsense"])
def test_an_unknown_outcome_is_answered_250_and_never_sent_again(door_inside, end):
    kit, one = door_inside(timeouts=IMPATIENT, end=end)
    code, text = handed_in(one)
    assert (code, "no answer" in text) == (250, True)
    assert states(kit) == ["unknown"]
    assert handed_in(one)[0] == 250
    assert len(kit.server.messages) == 1


def test_an_unknown_outcome_is_looked_for_and_told_to_the_person_once(door_inside):
    kit, one = door_inside(end=CLOSE)
    handed_in(one)
    said = len(kit.bodies())
    kit.work()
    assert TO in told(kit)
    assert "may or may not" in told(kit)
    handed_in(one)
    kit.work()
    assert len([body for body in kit.bodies()[said:] if "may or may not" in body]) == 1
    assert states(kit) == ["unknown"]


@pytest.mark.parametrize("moment", ["mail_from", "rcpt_to"])
def test_a_mail_that_has_left_is_said_to_have_left_whatever_its_server_says_now(door_inside, moment):
    kit, one = door_inside()
    assert handed_in(one)[0] == 250
    kit.server._replies[moment] = "550 5.7.1 you are blocked"
    code, text = handed_in(one)
    assert (code, "second time" in text) == (250, True)
    assert states(kit) == ["accepted"]


def test_an_unknown_mail_that_lies_in_sent_was_sent(door_inside):
    kit, one = door_inside(end=CLOSE)
    handed_in(one)
    kit.imap.mail["Sent"].append(MESSAGE)
    said = len(kit.bodies())
    kit.work()
    assert states(kit) == ["accepted"]
    assert kit.bodies()[said:] == []
    assert "second time" in handed_in(one)[1]


def handing(door_inside):
    """A kit, and a guest whose mail is just being handed over to a server that says nothing."""
    kit, one = door_inside(timeouts=replace(QUICK, final=20), end=SILENT)
    one.mail(ADDRESS)
    one.rcpt(TO)
    one.docmd("DATA")
    one.send(MESSAGE + b".\r\n")
    eventually(lambda: states(kit) == ["handing"])
    return kit, one


def test_who_asks_while_the_mail_is_being_handed_over_is_told_to_wait(door_inside):
    kit, _one = handing(door_inside)
    assert handed_in(guest(kit))[0] == 451
    assert len(kit.server.messages) == 1


def test_a_mail_that_takes_long_is_nobody_else_s_while_its_process_lives(door_inside):
    kit, _one = handing(door_inside)
    for _ in range(3):
        kit.clock.time += LEASE - timedelta(seconds=1)
        kit.door.desk.tidy()
    kit.clock.time += LEASE - timedelta(seconds=1)
    kit.work()
    assert states(kit) == ["handing"]
    assert handed_in(guest(kit))[0] == 451


def test_of_a_mail_that_has_its_answer_nothing_more_is_said(door_inside):
    kit, one = door_inside()
    assert handed_in(one)[0] == 250
    with statements(kit.engine) as seen:
        kit.door.desk.tidy()
    assert seen == []


def left_lying(kit, monkeypatch):
    """A process that dies after the last byte and before it could note anything."""
    monkeypatch.setattr(kit.door.desk, "_note_accepted", lambda *_: (_ for _ in ()).throw(SystemError("killed")))
    with pytest.raises(smtplib.SMTPDataError):
        guest(kit).sendmail(ADDRESS, [TO], MESSAGE)
    monkeypatch.undo()
    assert states(kit) == ["handing"]


def test_a_mail_whose_process_died_is_not_sent_again_and_the_truth_is_told(door_at, monkeypatch):
    kit = door_at()
    left_lying(kit, monkeypatch)
    kit.clock.time += LEASE
    assert handed_in(guest(kit))[0] == 250
    kit.work()
    assert states(kit) == ["unknown"]
    assert "may or may not" in told(kit)
    assert len(kit.server.messages) == 1


def test_a_mail_whose_process_died_is_looked_after_though_nobody_asks_again(door_at, monkeypatch):
    kit = door_at()
    left_lying(kit, monkeypatch)
    kit.work()
    assert states(kit) == ["handing"]  # it may still be alive
    kit.clock.time += LEASE
    kit.imap.mail["Sent"].append(MESSAGE)
    kit.work()
    assert states(kit) == ["accepted"]


def test_a_guest_who_hangs_up_meanwhile_changes_nothing(door_inside):
    slow = replace(QUICK, final=20)
    kit, one = door_inside(timeouts=slow, end=lambda c: (c.server.stopping.wait(0.5), c.say("250 ok")))
    one.mail(ADDRESS)
    one.rcpt(TO)
    one.docmd("DATA")
    one.send(MESSAGE + b".\r\n")
    eventually(lambda: kit.server.messages)
    one.close()
    eventually(lambda: states(kit) == ["accepted"])
    assert handed_in(guest(kit))[0] == 250
    assert len(kit.server.messages) == 1


# --- who ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_signing_in_works_by_both_mechanisms_with_and_without_a_first_response(door_at, mechanism):
    kit = door_at()
    for first in (True, False):
        one = Guest(kit.door)
        one.ehlo()
        one.user, one.password = ADDRESS, kit.key.replace("-", " ").upper()
        method = getattr(one, f"auth_{mechanism.lower()}")
        assert one.auth(mechanism, method, initial_response_ok=first)[0] == 235


@pytest.mark.parametrize(
    ("user", "key"), [(ADDRESS, "wrong"), ("eve@agency.test", None), (ADDRESS, "\udcff"), ("", "")]
)
def test_a_wrong_key_or_address_is_refused_with_the_same_words(door_at, user, key):
    kit = door_at()
    one = Guest(kit.door)
    one.ehlo()
    given = kit.key if key is None else key
    blob = b"\0" + user.encode() + b"\0" + given.encode("utf-8", "surrogateescape")
    code, text = one.docmd("AUTH", "PLAIN " + base64.b64encode(blob).decode())
    assert (code, text.decode()) == (535, f"5.7.8 {kit.door.desk.says('door_reply.wrong', 'en')}")


def test_the_third_wrong_key_ends_the_connection(door_at):
    kit = door_at()
    one = Guest(kit.door)
    one.ehlo()
    codes = [one.docmd("AUTH", "PLAIN AGEAYg==")[0] for _ in range(3)]
    assert codes == [535] * 3
    with pytest.raises(smtplib.SMTPServerDisconnected):
        one.noop()


def test_wrong_keys_are_counted_for_all_processes_and_a_right_one_is_always_taken(door_at):
    kit = door_at()
    for _ in range(7):
        one = Guest(kit.door)
        one.ehlo()
        last = [one.docmd("AUTH", "PLAIN AGFuYUBhZ2VuY3kudGVzdAB4")[1] for _ in range(3)]
    assert b"Too many" in last[-1]
    assert handed_in(guest(kit))[0] == 250


def test_what_was_refused_is_kept_for_the_person_who_asks_why(door_at):
    kit = door_at()
    with capture_logs() as lines, pytest.raises(smtplib.SMTPAuthenticationError):
        guest(kit, "wrong")
    assert kit.rows(tables.door_key)[0].refusal == "wrong_key"
    assert [line["why"] for line in lines if line["event"] == "a guest was turned away"] == [
        "wrong_key"
    ] * 2  # PLAIN, then LOGIN
    assert ADDRESS not in str(lines)


def test_a_key_that_is_taken_back_ends_the_session_at_the_next_mail(door_inside):
    kit, one = door_inside(times=Times(believed=0))
    handed_in(one)
    with kit.engine.begin() as db:
        doors.revoke(db, kit.rows(tables.mailbox)[0].id, kit.clock.now())
    assert one.mail(ADDRESS)[0] == 530
    with pytest.raises(smtplib.SMTPServerDisconnected):
        one.noop()


def test_a_key_that_is_taken_back_a_moment_ago_lets_nothing_through(door_inside):
    kit, one = door_inside()
    handed_in(one)
    kit.server.messages.clear()
    one.mail(ADDRESS)
    one.rcpt(TO)
    with kit.engine.begin() as db:
        doors.revoke(db, kit.rows(tables.mailbox)[0].id, kit.clock.now())
    assert one.data(MESSAGE.replace(b"<1@", b"<2@"))[0] == 530
    assert kit.server.messages == []


@pytest.mark.parametrize("state", ["off", "broken", "waiting"])
def test_only_a_mailbox_that_works_lets_mail_through(door_at, state):
    kit = door_at()
    one = guest(kit)
    with kit.engine.begin() as db:
        mailboxes.set_state(db, kit.rows(tables.mailbox)[0].id, state, "rate_limited", "wait", kit.clock.now())
    assert one.mail(ADDRESS)[0] == 550
    with pytest.raises(smtplib.SMTPAuthenticationError):
        guest(kit)


def test_a_database_that_is_away_is_told_as_later(door_inside, monkeypatch):
    kit, one = door_inside(times=Times(believed=0))

    def away(*_):
        raise OperationalError("select", {}, Exception("away"))

    monkeypatch.setattr(door_mails, "standing", away)
    assert one.mail(ADDRESS)[0] == 451
    with pytest.raises(smtplib.SMTPAuthenticationError, match="454"):
        guest(kit)


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_mailbox_has_its_limit_and_hears_when_it_may_again(door_inside):
    kit, one = door_inside()
    codes = [handed_in(one, MESSAGE.replace(b"<1@", f"<{number}@".encode()))[0] for number in range(61)]
    assert codes == [250] * 60 + [450]
    assert len(kit.server.messages) == 60
    kit.clock.move(minutes=2)
    assert handed_in(one, MESSAGE.replace(b"<1@", b"<61@"))[0] == 250
    assert len(kit.rows(tables.door_mail)) == 61


def test_a_server_s_own_limits_are_kept(door_at):
    kit = door_at(limits={"connections": 3, "messages_a_minute": 30})
    found = kit.door.desk.sign_in(ADDRESS, kit.key, "127.0.0.1")
    assert (found.parallel, found.a_minute) == (3, 30)


# --- TLS ------------------------------------------------------------------------------------------------------------


def test_a_renewed_certificate_is_taken_by_the_next_connection(door_at, door_authority, tmp_path):
    kit = door_at()
    before = kit.door.connected()
    certificate(door_authority, tmp_path)
    kit.door.tell(kit.door.door.reload)
    after = kit.door.connected()
    assert before.getpeercert()["serialNumber"] != after.getpeercert()["serialNumber"]
    assert before.recv(4) == b"220 "


def test_a_bad_certificate_changes_nothing(door_at):
    kit = door_at()
    before = kit.door.connected().getpeercert()
    kit.door.files[0].write_text("girafa")
    kit.door.tell(kit.door.door.reload)
    assert kit.door.connected().getpeercert() == before


def test_an_old_tls_is_refused(door_at):
    kit = door_at()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError), kit.door.plain() as sock:
        old.wrap_socket(sock, server_hostname=HOST)


def test_who_speaks_without_tls_hears_nothing_of_mail(door_at):
    kit = door_at()
    with kit.door.plain() as sock:
        sock.sendall(b"EHLO ally.example\r\n")
        assert b"220" not in sock.recv(100)


def test_who_says_nothing_is_not_waited_for(door_at):
    kit = door_at(times=Times(handshake=0.3, before=0.3))
    with kit.door.plain() as sock:
        assert sock.recv(100) == b""
    with kit.door.connected() as sock:
        assert sock.recv(4) == b"220 "
        while sock.recv(100):
            pass


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_mail_under_way_gets_its_answer_before_the_door_closes(door_inside):
    kit, one = door_inside(end=lambda c: (c.server.stopping.wait(0.6), c.say("250 2.0.0 Ok")))
    idle = guest(kit)
    one.mail(ADDRESS)
    one.rcpt(TO)
    one.docmd("DATA")
    one.send(MESSAGE + b".\r\n")
    eventually(lambda: kit.server.messages)
    kit.door.stop()
    assert one.heard()[0] == 250
    assert one.heard()[0] == 421
    assert idle.heard()[0] == 421
    assert states(kit) == ["accepted"]


@pytest.mark.parametrize("bounds", [Bounds(connections=40, of_one_source=20), Bounds(connections=20, of_one_source=40)])
def test_too_many_connections_are_turned_away_and_the_others_stay(door_at, bounds):
    kit = door_at(bounds=bounds)
    with ExitStack() as stack:
        held = [stack.enter_context(kit.door.connected()) for _ in range(20)]
        assert all(one.recv(4) == b"220 " for one in held)
        with pytest.raises(OSError):
            kit.door.connected()
        held[0].close()
        eventually(lambda: kit.door.door.numbers()["connections"] == 19)
        assert kit.door.connected().recv(4) == b"220 "


def test_too_much_at_once_is_put_off_and_forgotten(door_at):
    kit = door_at(bounds=Bounds(held=100_000))
    one = guest(kit)
    assert handed_in(one, MESSAGE + b"x" * 70 + (b"\r\n" + b"y" * 70) * 3_000 + b"\r\n")[0] == 452
    assert kit.door.door.numbers()["held"] == 0
    assert handed_in(one)[0] == 250
