"""The Sent proof in the chat: the mail to oneself, the copy of each mail in *Sent*, and what became of unknown ones."""

import re
import ssl
from base64 import b64encode
from contextlib import ExitStack
from functools import partial

import pytest
from imapclient import IMAPClient
from structlog.testing import capture_logs

import bot.handiwork
import bot.proofs
from bot.handiwork import Again, Ended
from bot.mail.wire import sent_folder
from bot.mail.wire.smtp import Timeouts, tls_context
from bot.playground.mail import INBOX, SENT, Sandbox
from bot.proofs import HANDING, MAX_COPY_TRIES
from bot.store import mailboxes, promises, tables
from bot.store.promises import FILE_COPY, RETEST
from bot.vault import Secret
from bot.worker import MAX_TRIES
from flows.card import Showing
from flows.speech import texts
from flows.words import LANGUAGES, LoginWorked
from tests.botkit import ADDRESS, ANA, PASSWORD, Kit, run_sql, table_of_providers
from tests.faulty_imap import FaultyIMAP
from tests.faulty_smtp import CLOSE, IMPATIENT, QUICK, RESET, SILENT, FaultySMTP, loopback_network

EN = texts("en")
CARLA = "carla@client.test"
TEXT = "See you on Tuesday."
TAKEN = "250 2.0.0 Ok"
NOT_OWNED = f"553 5.7.1 <{ADDRESS}>: Sender address rejected: not owned by user {ADDRESS}"
DISABLED = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."
WORKS = "235 2.7.0 Accepted"
NO_SENT = ('(\\HasNoChildren) "/" "INBOX"',)


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch):
    """What does not lie there at once does not come later in these tests."""
    monkeypatch.setattr(bot.proofs, "SOON", (0.0,))
    monkeypatch.setattr(sent_folder, "WAITS", (0.0,))
    monkeypatch.setitem(sent_folder.resolve_unknown.__kwdefaults__, "waits", (0.0,))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Where the sandbox keeps its certificate, which it makes once."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
def house(database_url, tmp_path, certificates):
    """Makes a kit whose provider is the sandbox, with what `provider` says of it.

    With `smtp` or `imap` (replies by moment) that server is a scripted one; the other remains the sandbox's.
    """
    with ExitStack() as stack:

        def make(smtp=None, imap=None, *, timeouts: Timeouts = QUICK, **provider):
            sandbox = stack.enter_context(Sandbox(certificates, mailboxes={ADDRESS: PASSWORD, CARLA: "carla's own"}))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / "sandbox" / "server.pem")
            ports = {"smtp": sandbox.ports["smtps"], "imap": sandbox.ports["imaps"]}
            scripted = {}
            if smtp is not None:
                replies = {"end": partial(taken, sandbox), **smtp}
                scripted["smtp"] = stack.enter_context(FaultySMTP(context, **replies))
            if imap is not None:
                scripted["imap"] = stack.enter_context(FaultyIMAP(context, **imap))
            ports.update({name: server.port for name, server in scripted.items()})
            table = table_of_providers(tmp_path, ports["smtp"], ports["imap"], **provider)
            kit = stack.enter_context(Kit(database_url, tmp_path, providers=table))
            kit.network(loopback_network(tls_context(str(sandbox.ca_pem)), *ports.values(), timeouts=timeouts))
            kit.sandbox, kit.smtp, kit.imap = sandbox, scripted.get("smtp"), scripted.get("imap")
            return kit

        yield make


def lay(sandbox, folder, content):
    """A mail comes into a folder of Ana's without us."""
    context = ssl.create_default_context(cafile=str(sandbox.ca_pem))
    with IMAPClient("localhost", port=sandbox.ports["imaps"], ssl_context=context, timeout=10) as client:
        client.login(ADDRESS, PASSWORD)
        client.append(folder, content)


def taken(sandbox, conversation, *folders, reply=TAKEN):
    """The scripted server takes a mail; it lies in these folders of its sender's before it answers."""
    for folder in folders:
        lay(sandbox, folder, conversation.server.messages[-1])
    reply(conversation) if callable(reply) else conversation.say(reply)


def into(*folders, reply=TAKEN):
    """A reply to the final dot, for `during`: the mail lies in these folders, then this is answered."""
    return lambda kit, conversation: taken(kit.sandbox, conversation, *folders, reply=reply)


def during(kit, moment, act):
    """From now on the scripted SMTP server does this at a moment of each session."""
    kit.smtp._replies[moment] = partial(act, kit)


def typed(kit, who=ANA, language="en"):
    """Somebody set up their mailbox up to the password; the test is promised."""
    kit.join(who, language=language)
    kit.say(ADDRESS, who)
    kit.work()
    assert kit.parts.links.submit(kit.token(who), Secret(PASSWORD), "") == "taken"
    return kit


def told(kit):
    """The test is performed, and what follows; the last words."""
    kit.work()
    return kit.bodies()[-1]


def the_test(kit):
    """The promise of the live test, claimed."""
    (promise,) = kit.claim("work")
    assert promise.kind == "TestLogin"
    return promise


def performed(kit, promise):
    """What a hand makes of a promise."""
    return kit.hands[promise.kind](kit.parts.tools, promise)


def again(kit, promise):
    """The same promise, claimed anew after its owner died."""
    kit.clock.move(minutes=11)
    kit.worker._sweep(kit.clock.now())
    return next(one for one in kit.claim(promise.lane) if one.id == promise.id)


def row(kit, promise):
    return next(one for one in kit.rows(tables.promise) if one.id == promise.id)


def lying(kit, folder, address=ADDRESS):
    """What lies in a folder at the sandbox."""
    return kit.sandbox.mailboxes()[address][folder]


def states(kit):
    """The states of all saved mailboxes."""
    return [one.state for one in kit.rows(tables.mailbox)]


def words(name):
    """The longest piece of a sentence without a value in it."""
    return max(re.split(r"\{\w+\}", EN[name]), key=len)


# --- the mail to oneself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_that_a_mail_to_oneself_was_accepted_arrived_and_has_its_copy_is_told(house, language):
    kit, said = house(), texts(language)
    body = told(typed(kit, language=language))
    assert said["proof.arrived"] in body
    assert said["copy.appended"] in body
    assert said["proof.accepted"] not in body
    (inbox,), (copy,) = lying(kit, INBOX), lying(kit, SENT)
    assert (inbox.sender, inbox.to, inbox.subject) == (f"Ana <{ADDRESS}>", ADDRESS, said["proof.subject"])
    assert (copy.message_id, copy.subject, copy.text) == (inbox.message_id, inbox.subject, inbox.text)
    assert states(kit) == ["works"]
    assert isinstance(kit.envelope().state, Showing)


@pytest.mark.parametrize("habit", ["auto", "auto_by_default", "unknown"])
def test_where_the_server_files_copies_by_itself_none_is_laid_beside_them(house, habit):
    kit = house({}, sent_copy=habit)
    during(kit, "end", into(INBOX, SENT))
    body = told(typed(kit))
    assert EN["proof.arrived"] in body
    assert EN["copy.found"] in body
    assert len(lying(kit, SENT)) == 1


def test_where_the_server_files_copies_and_none_shows_up_yet_none_is_made(house):
    kit = house({}, sent_copy="auto")
    during(kit, "end", into(INBOX))
    body = told(typed(kit))
    assert EN["copy.not_seen_yet"] in body
    assert lying(kit, SENT) == []
    assert states(kit) == ["works"]


def test_a_mail_that_was_accepted_and_cannot_be_seen_yet_is_told_as_no_more_than_that(house):
    kit = house({})
    body = told(typed(kit))
    assert EN["proof.accepted"] in body
    assert EN["proof.arrived"] not in body
    assert EN["copy.appended"] in body


def test_without_an_imap_server_what_was_accepted_is_told_and_that_nobody_can_look(house):
    kit = house(imap={"login": "{tag} NO [AUTHENTICATIONFAILED] not here"})
    body = told(typed(kit))
    assert EN["proof.accepted"] in body
    assert EN["copy.no_imap"] in body
    assert states(kit) == ["works"]
    assert len(kit.imap.sign_ins) == 1  # whether it arrived is not asked with a sign-in that was refused


@pytest.mark.parametrize("moment", ["mail_from", "end"])
def test_a_sender_whom_the_server_refuses_is_no_mailbox_that_works(house, moment):
    kit = house({moment: NOT_OWNED})
    assert EN["cause.sender_not_allowed"] in told(typed(kit))
    assert "works" not in states(kit)
    kit.clock.move(days=1)
    kit.work()
    assert len(kit.smtp.messages) == (1 if moment == "end" else 0)


@pytest.mark.parametrize(
    "replies",
    [
        {"rcpt_to": "450 4.2.0 Recipient address rejected: Greylisted"},
        {"data": "451 4.3.0 try again later"},
        {"end": "452 4.3.1 Insufficient system storage"},
        {"data": CLOSE},
    ],
    ids=["at the recipient", "at data", "at the end", "lost before"],
)
def test_a_mail_to_oneself_that_may_be_tried_later_says_nothing_against_the_mailbox(house, replies):
    kit = house(replies)
    body = told(typed(kit))
    assert EN["proof.later"] in body
    assert states(kit) == ["works"]
    handed = len(kit.smtp.messages)
    kit.clock.move(days=1)
    kit.work()
    assert len(kit.smtp.messages) == handed


@pytest.mark.parametrize("reply", [CLOSE, RESET, SILENT], ids=["closed", "reset", "silent"])
def test_a_connection_lost_after_the_final_dot_is_told_as_unknown_where_the_mail_lies_nowhere(house, reply):
    kit = house({"end": reply}, timeouts=IMPATIENT)
    body = told(typed(kit))
    assert EN["proof.unknown"] in body
    assert states(kit) == ["works"]
    assert len(kit.smtp.messages) == 1
    assert lying(kit, SENT) == []


@pytest.mark.parametrize("folder", [INBOX, SENT])
def test_a_connection_lost_after_the_final_dot_is_resolved_by_looking_where_the_mail_lies(house, folder):
    kit = house({})
    during(kit, "end", into(folder, reply=CLOSE))
    body = told(typed(kit))
    assert EN["proof.accepted"] in body
    assert EN["proof.unknown"] not in body
    assert len(kit.smtp.messages) == 1


def test_that_a_mail_to_oneself_may_leave_is_noted_just_before_its_final_dot(house):
    noted = []

    def looks(moment, reply, kit, conversation):
        noted.append((moment, row(kit, promise).outcome))
        conversation.say(reply)

    kit = house({})
    during(kit, "rcpt_to", partial(looks, "recipient", "250 2.1.5 Ok"))
    during(kit, "end", partial(looks, "end", TAKEN))
    promise = the_test(typed(kit))
    performed(kit, promise)
    assert noted[-1] == ("end", HANDING)
    assert set(noted[:-1]) == {("recipient", "")}  # the test itself goes so far, too


def test_a_process_that_died_after_it_handed_over_is_followed_by_no_second_mail(house):
    kit = house()
    promise = the_test(typed(kit))
    performed(kit, promise)  # and then its process dies
    kit.worker._keep(again(kit, promise))
    body = told(kit)
    assert EN["proof.accepted"] in body  # it lies in the inbox
    assert (len(lying(kit, INBOX)), len(lying(kit, SENT))) == (1, 1)
    assert states(kit) == ["works"]


def test_a_process_that_died_just_before_the_final_dot_is_followed_by_no_mail_at_all(house):
    kit = house()
    promise = the_test(typed(kit))
    with kit.engine.begin() as db:
        assert promises.mark(db, promise, HANDING)
    kit.worker._keep(again(kit, promise))
    assert EN["proof.unknown"] in told(kit)
    assert lying(kit, INBOX) == []
    assert states(kit) == ["works"]


def test_a_frozen_process_that_comes_back_hands_nothing_over_while_another_tests(house):
    """Both tested the password; the other one was faster to the final dot."""
    taken_over = []

    def meanwhile(kit, conversation):
        if not taken_over:
            taken_over.append(again(kit, frozen))
        conversation.say("250 2.1.5 Ok")

    kit = house({})
    during(kit, "rcpt_to", meanwhile)
    frozen = the_test(typed(kit))
    outcome = performed(kit, frozen)
    assert isinstance(outcome, Again)
    assert kit.smtp.messages == []
    kit.worker._finish(frozen, outcome)
    kit.worker._keep(taken_over[0])
    assert len(kit.smtp.messages) == 1
    assert states(kit) == ["works"]


@pytest.mark.parametrize("end", [TAKEN, CLOSE], ids=["accepted", "unknown"])
@pytest.mark.parametrize("function", ["prove", "arrived", "resolve_unknown"])
def test_whatever_looking_after_it_raises_a_mail_to_oneself_is_sent_once(house, monkeypatch, function, end):
    def raises(*_arguments, **_more):
        raise RuntimeError("no server should make our libraries raise this")

    monkeypatch.setattr(sent_folder, function, raises)
    kit = house({"end": end})
    promise = the_test(typed(kit))
    kit.worker._keep(promise)
    kit.work()
    kit.clock.move(hours=1)
    kit.work()
    assert len(kit.smtp.messages) == 1
    assert (row(kit, promise).state, row(kit, promise).attempt) == ("done", 1)
    assert states(kit) == ["works"]
    assert kit.rows(tables.dead_letter) == []


@pytest.mark.parametrize(("answer", "mails"), [("yes", 1), ("no", 0)])
def test_certified_mail_is_sent_as_a_test_only_when_the_person_says_so(house, answer, mails):
    kit = house({}, certified=True)
    body = told(typed(kit))
    assert EN["mailbox.may_mail"] in body
    assert kit.smtp.sign_ins == []
    kit.tap(answer)
    body = told(kit)
    assert (EN["proof.none_certified"] in body) is (not mails)
    assert len(kit.smtp.messages) == mails
    assert kit.smtp.sign_ins
    assert states(kit) == ["works"]


def test_a_test_that_nobody_asked_for_sends_no_mail(house):
    kit = house({"auth": DISABLED})
    typed(kit).work()
    assert states(kit) == ["waiting"]
    kit.smtp._replies["auth"] = WORKS
    (retest,) = kit.promised(RETEST)
    kit.clock.time = retest.due_at
    kit.work()
    assert states(kit) == ["works"]
    assert kit.smtp.messages == []
    assert (lying(kit, INBOX), lying(kit, SENT)) == ([], [])


def test_each_test_that_a_person_asks_for_has_a_mail_of_its_own(house):
    kit = house()
    told(typed(kit))
    for choice in ("done", "mailbox", "password"):
        kit.tap(choice)
        kit.work()
    kit.parts.links.submit(kit.token(), Secret(PASSWORD), "")
    kit.work()
    assert len({mail.message_id for mail in lying(kit, INBOX)}) == 2


def test_neither_the_secret_nor_the_words_of_the_mail_are_written_down(house):
    kit = house(
        {"end": lambda conversation: conversation.say(f"250 2.0.0 Ok {PASSWORD}")},
        {"append": f"{{tag}} NO {PASSWORD} is no reason"},
    )
    with capture_logs() as logs:
        body = told(typed(kit))
    assert EN["copy.failed"] in body
    assert PASSWORD in [secret for _, secret in kit.imap.sign_ins]
    assert kit.imap.words.count("APPEND") == 1
    everywhere = [kit.dump(), str(logs), str(kit.bodies()), str(kit.transcript())]
    own_words = EN["proof.text"].splitlines()[0]
    forms = (PASSWORD, b64encode(PASSWORD.encode()).decode()[:-4], own_words, EN["proof.subject"])
    assert [form for form in forms for text in everywhere if form in text] == []


def test_a_person_waits_no_longer_for_an_answer_than_a_chat_allows(house, monkeypatch):
    given = []

    def noted(*_arguments, network, **_more):
        given.append(network.timeouts)
        raise RuntimeError

    monkeypatch.setattr(sent_folder, "prove", noted)
    kit = house(timeouts=Timeouts())
    send = bot.proofs.send.send
    monkeypatch.setattr(
        bot.proofs.send, "send", lambda *a, network, **more: given.append(network.timeouts) or send(
            *a, network=network, **more)
    )  # fmt: skip
    told(typed(kit))
    lease = bot.handiwork.LEASES["work"].total_seconds()
    assert len(given) == 2
    assert all(times.total + times.content + times.final < lease for times in given)


# --- the copy of a mail -----------------------------------------------------------------------------------------------


def written(kit):
    """A mail that its owner let go; its promise, claimed."""
    kit.mailbox(port=kit.smtp.port if kit.smtp else kit.sandbox.ports["smtps"])
    kit.write_mail(to=CARLA, text=TEXT)
    (promise,) = kit.claim("mail")
    return promise


def sent(kit):
    """A mail that was accepted; the promise of its copy, claimed."""
    kit.worker._keep(written(kit))
    assert the_mail(kit).state == "accepted"
    (promise,) = kit.claim("work")
    assert promise.kind == FILE_COPY
    return promise


def the_mail(kit):
    (mail,) = kit.rows(tables.outgoing_mail)
    return mail


def sealed(kit):
    return [one for one in kit.rows(tables.secret) if one.kind == "mail.body"]


def tried_to_the_end(kit, promise):
    """The promise is performed until it ends; what was said meanwhile."""
    said = len(kit.bodies())
    kit.worker._keep(promise)
    for _ in range(MAX_COPY_TRIES):
        kit.work()
        kit.clock.move(hours=2)
    return kit.bodies()[said:]


def missing(bodies):
    """What was told of missing copies."""
    return [body for body in bodies if words("news.copy_missing") in body]


def test_the_copy_of_a_mail_is_laid_into_sent_and_nothing_is_told_of_it(house):
    kit = house()
    promise = sent(kit)
    bodies = tried_to_the_end(kit, promise)
    (copy,), (received,) = lying(kit, SENT), lying(kit, INBOX, CARLA)
    assert (copy.message_id, copy.to, copy.text) == (received.message_id, received.to, received.text)
    assert copy.message_id == the_mail(kit).message_id
    assert (the_mail(kit).copy, the_mail(kit).content_id, sealed(kit)) == ("appended", None, [])
    assert row(kit, promise).state == "done"
    assert sum(words("news.mail_accepted") in body for body in bodies) == 1
    assert missing(bodies) == []


def test_the_words_of_a_mail_lie_sealed_until_its_copy_is_laid(house):
    kit = house()
    promise = sent(kit)
    assert len(sealed(kit)) == 1
    assert the_mail(kit).content_id == sealed(kit)[0].id
    assert promise.payload == {"mail": str(the_mail(kit).id)}
    outside_the_talk = (tables.outgoing_mail, tables.promise, tables.secret)
    assert not any(TEXT in str(kit.rows(table)) for table in outside_the_talk)
    performed(kit, promise)
    assert len(sealed(kit)) == 1  # an outcome counts with the end of its promise


def test_a_process_that_died_after_the_copy_was_laid_is_followed_by_no_second_copy(house):
    kit = house()
    promise = sent(kit)
    performed(kit, promise)  # and then its process dies
    assert len(lying(kit, SENT)) == 1
    kit.worker._keep(again(kit, promise))
    assert len(lying(kit, SENT)) == 1
    assert the_mail(kit).copy == "found"
    assert sealed(kit) == []


@pytest.mark.parametrize("habit", ["auto", "auto_by_default", "unknown"])
def test_a_copy_that_the_server_filed_is_found_and_not_doubled(house, habit):
    kit = house({}, sent_copy=habit)
    during(kit, "end", into(SENT))
    assert missing(tried_to_the_end(kit, sent(kit))) == []
    assert len(lying(kit, SENT)) == 1
    assert the_mail(kit).copy == "found"


def test_where_the_server_files_copies_a_mail_whose_copy_is_not_seen_gets_none_from_us(house):
    kit = house({}, sent_copy="auto")
    (body,) = missing(tried_to_the_end(kit, sent(kit)))
    assert EN["copy.not_seen_yet"] in body
    assert lying(kit, SENT) == []


@pytest.mark.parametrize(
    ("imap", "state"),
    [
        ({"folders": NO_SENT}, "no_folder"),
        ({"login": "{tag} NO [AUTHENTICATIONFAILED] not here"}, "no_imap"),
        ({"list": CLOSE}, "failed"),
        ({"append": CLOSE}, "failed"),
        ({"append": "{tag} NO [OVERQUOTA] full"}, "failed"),
    ],
    ids=["no folder", "sign-in refused", "lost while looking", "lost while laying", "full"],
)
def test_a_copy_that_cannot_be_laid_is_told_once_and_the_mail_stays_sent(house, imap, state):
    kit = house({}, imap)
    bodies = tried_to_the_end(kit, sent(kit))
    (body,) = missing(bodies)
    assert EN["news.copy_missing"].format(to=CARLA, why=EN[f"copy.{state}"]) in body
    assert sum(words("news.mail_accepted") in one for one in bodies) == 1
    assert (the_mail(kit).state, the_mail(kit).copy, sealed(kit)) == ("accepted", state, [])
    assert len(kit.smtp.messages) == 1
    assert kit.rows(tables.dead_letter) == []


def test_a_copy_is_tried_so_often_and_its_words_are_kept_meanwhile(house):
    kit = house({}, {"list": CLOSE})
    promise = sent(kit)
    kit.worker._keep(promise)
    for attempt in range(1, MAX_COPY_TRIES):
        assert (row(kit, promise).state, row(kit, promise).attempt) == ("todo", attempt)
        assert (len(sealed(kit)), the_mail(kit).copy) == (1, "")
        kit.clock.time = row(kit, promise).due_at
        kit.work()
    assert (row(kit, promise).state, row(kit, promise).attempt) == ("done", MAX_COPY_TRIES)
    assert sealed(kit) == []


def test_a_copy_that_could_be_laid_at_last_is_told_to_nobody(house):
    kit = house({}, {"list": CLOSE})
    promise = sent(kit)
    kit.worker._keep(promise)
    del kit.imap._replies["list"]
    assert missing(tried_to_the_end(kit, again(kit, promise))) == []
    assert len(kit.imap.mail["Sent"]) == 1
    assert (the_mail(kit).copy, sealed(kit)) == ("appended", [])


def test_a_copy_that_was_kept_before_the_connection_broke_is_not_laid_again(house):
    kit = house({}, {"appended": (True, CLOSE)})
    promise = sent(kit)
    assert missing(tried_to_the_end(kit, promise)) == []
    assert (len(kit.imap.appends), the_mail(kit).copy) == (1, "found")


def test_a_mailbox_that_was_removed_meanwhile_gets_no_copy_and_nothing_is_told(house):
    kit = house({}, {})
    promise = sent(kit)
    run_sql(kit.url, "delete from mailbox")
    assert performed(kit, promise) == Ended("dropped")
    assert missing(tried_to_the_end(kit, promise)) == []
    assert kit.imap.connections == 0
    kit.clock.move(hours=73)
    kit.worker._sweep(kit.clock.now())
    assert sealed(kit) == []


@pytest.mark.parametrize(
    "change",
    [
        "update mailbox set version = version + 1, address = 'ana@elsewhere.test'",
        "delete from secret where kind = 'mailbox.password'",
        "update mailbox set host = 'evil.test'",
        "delete from secret where kind = 'mail.body'",
    ],
    ids=["another account", "no secret", "another host", "no words"],
)
def test_a_mailbox_that_was_changed_meanwhile_gets_no_copy(house, change):
    """A mail of one account has no place in the folder of another."""
    kit = house({}, {})
    promise = sent(kit)
    run_sql(kit.url, change)
    bodies = tried_to_the_end(kit, promise)
    assert kit.imap.connections == 0
    assert sealed(kit) == []
    assert len(missing(bodies)) == (0 if "mail.body" in change else 1)
    assert the_mail(kit).state == "accepted"


def test_a_hand_that_raises_is_the_operators_and_the_words_are_erased_in_time(house, monkeypatch):
    """Told to the person, "something went wrong" would let them send the mail again."""

    def raises(*_arguments, **_more):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(sent_folder, "prove", raises)
    kit = house()
    promise = sent(kit)
    bodies = tried_to_the_end(kit, promise)
    assert (row(kit, promise).state, row(kit, promise).attempt) == ("failed", MAX_TRIES)
    assert len(kit.rows(tables.dead_letter)) == 1
    assert [body for body in bodies if EN["news.turn_failed"] in body] == []
    assert len(sealed(kit)) == 1
    kit.clock.move(hours=73)
    kit.worker._sweep(kit.clock.now())
    assert sealed(kit) == []


def test_the_words_of_a_mail_that_still_waits_to_be_sent_are_not_swept_away(house):
    kit = house({"end": "451 4.7.1 try again later"})
    kit.worker._keep(written(kit))
    kit.clock.move(hours=73)
    kit.worker._sweep(kit.clock.now())
    assert len(sealed(kit)) == 1


def test_of_two_processes_that_end_the_same_mail_one_promises_its_copy(house):
    kit = house()
    frozen = written(kit)
    outcome = performed(kit, frozen)
    kit.worker._keep(again(kit, frozen))
    kit.worker._finish(frozen, outcome)
    assert len(kit.promised(FILE_COPY)) == 1


# --- mails of which no answer came ------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [INBOX, SENT])
def test_a_mail_without_an_answer_that_lies_in_its_senders_folders_is_told_as_accepted(house, folder):
    kit = house({})
    during(kit, "end", into(folder, reply=CLOSE))
    promise = written(kit)
    bodies = tried_to_the_end(kit, promise)
    assert [body for body in bodies if words("news.mail_unknown") in body] == []
    assert sum(words("news.mail_accepted") in body for body in bodies) == 1
    assert (the_mail(kit).state, row(kit, promise).state, sealed(kit)) == ("accepted", "done", [])
    assert (len(kit.smtp.messages), len(lying(kit, SENT))) == (1, 1)


def test_a_mail_whose_process_died_is_looked_for_and_told_as_accepted_where_it_lies(house):
    kit = house({})
    promise = written(kit)
    during(kit, "end", into(SENT, reply=CLOSE))
    performed(kit, promise)  # and then its process dies, before it could look
    assert the_mail(kit).state == "handing"
    kit.worker._keep(again(kit, promise))
    assert the_mail(kit).state == "accepted"
    assert len(kit.smtp.messages) == 1


@pytest.mark.parametrize(
    "imap", [{}, {"login": "{tag} NO no"}, {"list": CLOSE}], ids=["not there", "sign-in refused", "lost"]
)
def test_a_mail_without_an_answer_that_cannot_be_seen_stays_unknown(house, imap):
    kit = house({"end": CLOSE}, imap)
    bodies = tried_to_the_end(kit, written(kit))
    assert sum(words("news.mail_unknown") in body for body in bodies) == 1
    assert (the_mail(kit).state, sealed(kit), kit.promised(FILE_COPY)) == ("unknown", [], [])
    assert len(kit.smtp.messages) == 1
    assert kit.imap.appends == []


def test_a_mail_of_another_account_is_not_looked_for_in_the_one_that_is_there_now(house):
    kit = house({"end": CLOSE}, {})
    promise = written(kit)
    with kit.engine.begin() as db:
        mailboxes.move_mail(db, the_mail(kit).id, to="handing", of=("todo",), reply="", at=kit.clock.now())
    run_sql(kit.url, "update mailbox set version = version + 1")
    kit.worker._keep(promise)
    assert kit.imap.connections == 0
    assert the_mail(kit).state == "unknown"


def test_the_proof_of_a_test_is_part_of_its_result(house):
    kit = house()
    event = performed(kit, the_test(typed(kit))).event
    assert isinstance(event, LoginWorked)
    assert (event.proof, event.arrived, event.copy) == ("accepted", True, "appended")
