"""One function for each kind of promise: what it does at the provider and at the mail server, and how it fails."""

import email
import re
from contextlib import ExitStack
from datetime import timedelta
from email.policy import default

import pytest
import sqlalchemy.exc
import trustme

import bot.hands
from bot.channels import Later, Refused, Status, Unclear
from bot.hands import MAX_ERASE_TRIES, MAX_MAIL_TRIES, MAX_SPEECH_TRIES, Again, Ended
from bot.mail.wire.smtp import Timeouts
from bot.store import conversations, mailboxes, tables
from bot.vault import Secret, token_hash
from flows.mailbox import AwaitingSecret, Collecting, Stuck
from flows.menu import Choosing
from flows.speech import sentence, texts
from flows.words import LANGUAGES
from tests.botkit import ADDRESS, ANA, BIA, PASSWORD, Kit, eventually, run_sql, table_of_providers
from tests.faulty_smtp import (
    CLOSE,
    IMPATIENT,
    QUICK,
    SILENT,
    FaultySMTP,
    client_context,
    loopback_network,
    server_context,
)

EN = texts("en")
CARLA, DAVI = "carla@client.test", "davi@client.test"
WRONG = "535 5.7.8 Error: authentication failed"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def good(authority):
    return server_context(authority, "localhost")


@pytest.fixture
def at(database_url, tmp_path, authority, good):
    """Makes a kit whose mail server is a scripted one: `at(auth=WRONG)`."""
    with ExitStack() as stack:

        def make(timeouts: Timeouts = QUICK, **replies):
            server = stack.enter_context(FaultySMTP(good, **replies))
            made = stack.enter_context(Kit(database_url, tmp_path, providers=table_of_providers(tmp_path, server.port)))
            made.network(loopback_network(client_context(authority), server.port, timeouts=timeouts))
            made.server = server
            return made

        yield make


def one_to_say(kit, text="menu"):
    """One message that is promised to a member, claimed."""
    kit.join()
    kit.say(text)
    (promise,) = kit.claim("speak")
    return promise


def again(kit, promise):
    """The same promise, claimed anew after its owner died."""
    kit.clock.move(minutes=11)
    kit.worker._sweep(kit.clock.now())
    return next(one for one in kit.claim(promise.lane) if one.id == promise.id)


def performed(kit, promise):
    """What a hand makes of a promise."""
    return kit.hands[promise.kind](kit.parts.tools, promise)


def row(kit, promise):
    return next(one for one in kit.rows(tables.promise) if one.id == promise.id)


# --- speaking ---------------------------------------------------------------------------------------------------------


def test_a_message_is_said_once_under_the_providers_id(kit):
    promise = one_to_say(kit)
    kit.worker._keep(promise)
    (line,) = [one for one in kit.rows(tables.message) if one.promise_id == promise.id]
    assert line.provider_id == row(kit, promise).provider_id == kit.channel.id_of(len(kit.channel.sent))


def test_the_bot_says_nothing_once_a_person_has_taken_over(kit):
    promise = one_to_say(kit)
    said = len(kit.bodies())
    run_sql(kit.url, "update conversation set owner = 'person'")
    assert performed(kit, promise) == Ended("dropped")
    assert len(kit.bodies()) == said


def test_nothing_is_said_to_somebody_who_was_erased(kit):
    promise = one_to_say(kit)
    run_sql(kit.url, "delete from contact")
    assert performed(kit, promise) == Ended("dropped")


def test_what_leaves_is_in_the_language_of_the_moment_it_leaves(kit):
    promise = one_to_say(kit)
    run_sql(kit.url, "update contact set language = 'es'")
    performed(kit, promise)
    assert kit.last().message.language == "es"


def test_a_frozen_process_that_comes_back_says_nothing_that_another_may_be_saying(kit):
    frozen = one_to_say(kit)
    said = len(kit.bodies())
    kit.clock.move(seconds=61)  # of two minutes
    kit.worker._keep(frozen)
    assert len(kit.bodies()) == said
    assert (row(kit, frozen).state, row(kit, frozen).attempt) == ("todo", 1)
    kit.work()
    assert len(kit.bodies()) == said + 1


def test_what_the_provider_does_not_take_now_is_said_later_as_it_wishes(kit):
    promise = one_to_say(kit)
    kit.channel.failures.append(Later("20429", "busy", 17))
    outcome = performed(kit, promise)
    assert isinstance(outcome, Again)
    assert 17 <= outcome.seconds <= 17 * 1.25
    assert "20429" in outcome.words


def test_a_message_that_was_refused_is_not_said_again(kit):
    promise = one_to_say(kit)
    kit.channel.failures.append(Refused("63016", "outside the window"))
    kit.worker._keep(promise)
    assert row(kit, promise).state == "failed"
    assert "63016" in row(kit, promise).outcome
    assert kit.rows(tables.contact)[0].stopped_at is None
    assert kit.rows(tables.dead_letter) == []


def test_who_blocked_us_is_noted(kit):
    promise = one_to_say(kit)
    kit.channel.failures.append(Refused("63014", "blocked", stop=True))
    kit.worker._keep(promise)
    assert kit.rows(tables.contact)[0].stopped_at == kit.clock.now()


def test_a_provider_that_never_takes_it_is_given_up_after_a_while(kit):
    promise = one_to_say(kit)
    for _ in range(MAX_SPEECH_TRIES):
        kit.channel.failures.append(Later("20429", "busy"))
    kit.worker._keep(promise)
    for _ in range(MAX_SPEECH_TRIES):
        kit.clock.move(hours=2)
        kit.work()
    assert (row(kit, promise).state, row(kit, promise).attempt) == ("failed", MAX_SPEECH_TRIES)


def test_a_message_whose_answer_was_lost_is_looked_for_and_not_said_twice(kit):
    promise = one_to_say(kit)
    kit.channel.failures.append(Unclear("timeout", "no answer"))
    kit.channel.swallows = True
    kit.worker._keep(promise)
    said = len(kit.bodies())
    kit.clock.move(seconds=5)
    kit.work()
    assert len(kit.bodies()) == said
    assert len(kit.channel.looked_for) == 1
    assert (row(kit, promise).state, row(kit, promise).outcome) == ("done", "found at the provider")
    assert row(kit, promise).provider_id == kit.channel.id_of(said)


def test_a_message_that_the_provider_does_not_know_is_said_again(kit):
    promise = one_to_say(kit)
    kit.channel.failures.append(Unclear("timeout", "no answer"))
    kit.worker._keep(promise)
    said = len(kit.bodies())
    kit.clock.move(seconds=5)
    kit.work()
    assert len(kit.bodies()) == said + 1
    assert row(kit, promise).state == "done"


def test_a_status_callback_proves_that_a_message_was_taken_without_asking_the_provider(kit):
    promise = one_to_say(kit)
    said = len(kit.bodies())
    with kit.engine.begin() as db:
        conversations.delivered(db, Status("SM-from-the-callback", promise.id, "sent", 3))
    assert performed(kit, again(kit, promise)) == Ended(
        provider_id="SM-from-the-callback", words="found at the provider"
    )
    assert len(kit.bodies()) == said
    assert kit.channel.looked_for == []


def test_the_same_words_said_a_moment_before_are_no_proof(kit):
    """The person asks twice and reads the same twice: the second answer was not taken, only the first was."""
    kit.join()
    kit.say("?")
    kit.work()
    said = len(kit.bodies())
    kit.say("?")
    kit.channel.failures.append(Later("20429", "busy", 2))
    kit.work()
    assert len(kit.bodies()) == said
    kit.clock.move(seconds=5)
    kit.work()
    assert len(kit.bodies()) == said + 1


def test_a_message_is_looked_for_after_a_crash_even_with_a_link_in_it(kit):
    kit.join()
    kit.say(ADDRESS)
    kit.worker._keep(kit.claim("work")[0])
    (promise,) = kit.claim("speak")
    performed(kit, promise)  # and then its process dies
    said = len(kit.bodies())
    kit.worker._keep(again(kit, promise))
    assert len(kit.bodies()) == said
    assert row(kit, promise).state == "done"


def test_a_link_gets_its_address_when_the_message_leaves_and_only_its_hash_is_stored(kit):
    kit.join()
    kit.say(ADDRESS)
    kit.worker._keep(kit.claim("work")[0])
    assert len(kit.rows(tables.link)) == 1
    assert kit.rows(tables.link_token) == []
    kit.work()
    (stored,) = kit.rows(tables.link_token)
    assert stored.hash == token_hash(kit.token())
    assert kit.token() not in kit.dump()
    assert kit.last().body.count(f"{kit.settings.url}/s/") == 1


# --- finding the server -----------------------------------------------------------------------------------------------


def test_the_server_of_a_known_domain_is_found_in_the_table(kit):
    kit.join()
    kit.say(ADDRESS)
    kit.work()
    state = kit.envelope().state
    assert isinstance(state, AwaitingSecret)
    assert (state.account.server.host, state.account.user) == ("localhost", ADDRESS)


def test_the_server_of_an_unknown_domain_is_asked_for(kit):
    kit.join()
    kit.say("ana@somewhere.test")
    kit.work()
    assert kit.envelope().state == Collecting({"address": "ana@somewhere.test"}, "host")


@pytest.mark.parametrize(
    "bad", ["ana@agency", "a@b@agency.test", '"a b"@agency.test', "ána@agency.test", "ana@-x.test"]
)
def test_what_cannot_be_an_address_is_asked_for_again(kit, bad):
    kit.join()
    kit.say(bad)
    kit.work()
    assert isinstance(kit.envelope().state, Collecting)
    assert kit.rows(tables.dead_letter) == []
    assert kit.bodies()[-1].startswith(EN["mailbox.no_address"])


def test_an_international_domain_is_found_in_its_ascii_form(kit):
    kit.join()
    kit.say("ana@agência.test")
    kit.work()
    assert kit.envelope().state == Collecting({"address": "ana@xn--agncia-jva.test"}, "host")


# --- the live test ----------------------------------------------------------------------------------------------------


def typed(kit, password=PASSWORD, who=ANA):
    """The secret comes in through the page; nothing is tested yet."""
    assert kit.parts.links.submit(kit.token(who), Secret(password), "") == "taken"


def test_a_right_password_is_tested_once_and_saved(at):
    kit = at()
    kit.awaiting()
    typed(kit)
    kit.work()
    assert kit.server.sign_ins == [(ADDRESS, PASSWORD)]
    assert kit.server.messages == []
    (saved,) = kit.rows(tables.mailbox)
    assert (saved.address, saved.state, saved.version) == (ADDRESS, "works", 1)
    (secret,) = kit.rows(tables.secret)
    assert (secret.id, secret.expires_at) == (saved.secret_id, None)
    assert EN["mailbox.works"].split("{")[0] in kit.bodies()[-1]
    assert PASSWORD not in kit.dump()


def test_a_wrong_password_costs_one_sign_in_and_is_erased_at_once(at):
    kit = at(auth=WRONG)
    kit.awaiting()
    typed(kit, "not-the-one")
    kit.work()
    assert len(kit.server.auths) == 1
    assert kit.rows(tables.secret) == []
    assert EN["cause.wrong_credentials"] in kit.bodies()[-1]
    assert isinstance(kit.envelope().state, AwaitingSecret)
    assert "not-the-one" not in kit.dump()


def test_the_person_sees_that_an_answer_is_on_its_way(at):
    kit = at()
    kit.awaiting()
    typed(kit)
    kit.work()
    assert kit.channel.typed == [kit.held().last_message_id]


def test_an_account_that_may_not_send_waits_with_its_secret(at):
    kit = at(auth="535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.")
    kit.awaiting()
    typed(kit)
    kit.work()
    (saved,) = kit.rows(tables.mailbox)
    assert (saved.state, saved.cause) == ("waiting", "smtp_auth_disabled_tenant_or_mailbox")
    (secret,) = kit.rows(tables.secret)
    assert secret.expires_at == kit.clock.now() + timedelta(hours=72)


@pytest.mark.parametrize("greeting", [CLOSE, SILENT], ids=["closes", "says nothing"])
def test_before_a_mail_server_greeted_us_a_person_learns_only_that_none_answered(at, greeting):
    kit = at(timeouts=IMPATIENT, greeting=greeting)
    kit.awaiting()
    typed(kit)
    kit.work()
    assert kit.bodies()[-1].startswith(EN["cause.connection_refused"])
    assert kit.server.auths == []


def test_a_closed_port_is_told_in_the_same_words(at):
    kit = at()
    kit.awaiting()
    kit.server.__exit__()
    typed(kit)
    kit.work()
    assert kit.bodies()[-1].startswith(EN["cause.connection_refused"])


def slow_said(kit):
    waiting = [one for one in kit.rows(tables.message) if one.text == EN["news.test_slow"]]
    return len(waiting)


def test_a_slow_test_says_once_that_it_goes_on(at, monkeypatch):
    monkeypatch.setattr(bot.hands, "SLOW", 0.05)

    def slowly(conversation):
        eventually(lambda: slow_said(kit) == 1, "the person is told", within=4)
        conversation.say("235 2.7.0 Accepted")

    kit = at(auth=slowly)
    kit.awaiting()
    typed(kit)
    kit.work()
    assert kit.bodies().count(EN["news.test_slow"]) == 1
    assert EN["mailbox.works"].split("{")[0] in kit.bodies()[-1]


def test_a_quick_test_says_nothing_in_between(at, monkeypatch):
    monkeypatch.setattr(bot.hands, "SLOW", 30.0)
    kit = at()
    kit.awaiting()
    typed(kit)
    kit.work()
    assert slow_said(kit) == 0


def test_ten_tests_an_hour_for_one_person(at):
    kit = at()
    kit.awaiting()
    for number in range(9):
        kit.parts.limits.allow("live_test", str(kit.held().contact_id), f"host {number}")
    typed(kit)
    kit.work()
    assert len(kit.server.auths) == 1
    for choice in ("mailbox", "password"):
        kit.tap(choice)
        kit.work()
    typed(kit)
    kit.work()
    assert len(kit.server.auths) == 1
    assert EN["mailbox.too_many_tests"].split("{")[0] in kit.bodies()[-1]
    assert isinstance(kit.envelope().state, Stuck)


def test_the_tests_at_one_host_are_limited_for_everybody_together(at):
    kit = at()
    kit.awaiting()
    for number in range(60):
        kit.parts.limits.allow("live_test", f"somebody {number}", "localhost")
    typed(kit)
    kit.work()
    assert kit.server.connections == 0
    assert isinstance(kit.envelope().state, Stuck)


def test_a_test_that_is_done_again_after_a_crash_counts_once(at, monkeypatch):
    kit = at()
    kit.awaiting()
    typed(kit)
    counted = []
    allow = kit.parts.limits.allow
    monkeypatch.setattr(type(kit.parts.limits), "allow", lambda _self, *a, **k: counted.append(a) or allow(*a, **k))
    (promise,) = kit.claim("work")
    performed(kit, promise)
    kit.worker._keep(again(kit, promise))
    assert [name for name, *_ in counted] == ["live_test"]
    assert len(kit.server.auths) == 2


def test_a_secret_that_was_erased_meanwhile_is_asked_for_again(at):
    kit = at()
    kit.awaiting()
    typed(kit)
    run_sql(kit.url, "delete from secret")
    kit.work()
    assert kit.server.connections == 0
    assert kit.bodies()[-1].startswith(EN["mailbox.secret_gone"])
    assert isinstance(kit.envelope().state, AwaitingSecret)


def test_a_secret_opens_only_for_the_server_it_was_given_for(at):
    """Somebody who can write the database points the account at a server of their own."""
    kit = at()
    kit.awaiting()
    typed(kit)
    run_sql(
        kit.url,
        "update promise set payload = jsonb_set(payload, '{effect,account,server,host}', '\"evil.test\"')"
        " where kind = 'TestLogin'",
    )
    kit.work()
    assert kit.server.connections == 0
    assert kit.bodies()[-1].startswith(EN["mailbox.secret_gone"])


def test_the_result_of_a_test_that_was_cancelled_saves_nothing(at):
    kit = at()
    kit.awaiting()
    typed(kit)
    kit.say("cancel")
    kit.work()
    assert kit.rows(tables.mailbox) == []
    assert isinstance(kit.envelope().state, Choosing)


# --- mail -------------------------------------------------------------------------------------------------------------


def written(kit, to=CARLA, text="See you on Tuesday."):
    """A mail that its owner let go; its promise, claimed."""
    kit.mailbox(port=kit.server.port)
    kit.write_mail(to=to, text=text)
    (promise,) = kit.claim("mail")
    return promise


def the_mail(kit):
    (mail,) = kit.rows(tables.outgoing_mail)
    return mail


def sealed(kit):
    return [one for one in kit.rows(tables.secret) if one.kind == "mail.body"]


def after(kit, promise):
    """The promise is performed, and what follows is said; the last words."""
    kit.worker._keep(promise)
    kit.work()
    return kit.bodies()[-1]


def test_a_mail_is_handed_over_and_told_as_accepted(at):
    kit = at()
    promise = written(kit)
    assert len(sealed(kit)) == 1
    assert EN["news.mail_accepted"].split("{")[0] in after(kit, promise)
    (content,) = kit.server.messages
    message = email.message_from_bytes(content, policy=default)
    assert (message["To"], message["Subject"]) == (CARLA, "The offer")
    assert message["From"] == f"Ana <{ADDRESS}>"
    assert message["Message-ID"] == the_mail(kit).message_id
    assert "See you on Tuesday." in message.get_content()
    assert (the_mail(kit).state, the_mail(kit).content_id) == ("accepted", None)
    assert sealed(kit) == []
    assert row(kit, promise).state == "done"


def test_the_words_of_a_mail_lie_sealed_until_then(at):
    kit = at()
    written(kit, text="Only for Carla")
    outside_the_talk = [str(kit.rows(table)) for table in (tables.outgoing_mail, tables.promise, tables.message)]
    assert "Only for Carla" not in "".join(outside_the_talk)
    assert "Only for Carla" not in str(kit.held().envelope)


def test_accepted_is_stored_at_the_final_word_before_quit(at):
    states = []

    def at_quit(conversation):
        states.append(the_mail(kit).state)
        conversation.say("221 bye")

    kit = at(quit=at_quit)
    after(kit, written(kit))
    assert states == ["accepted"]


def test_a_mail_counts_as_handed_over_only_just_before_its_final_dot(at):
    states = []

    def at_recipient(conversation):
        states.append(the_mail(kit).state)
        conversation.say("250 2.1.5 Ok")

    def at_end(conversation):
        states.append(the_mail(kit).state)
        conversation.say("250 2.0.0 Ok")

    kit = at(rcpt_to=at_recipient, end=at_end)
    after(kit, written(kit))
    assert states == ["todo", "handing"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_recipients_whom_the_server_declined_are_told(at, language):
    kit = at(rcpt_to={DAVI: "550 5.1.1 no such user"})
    promise = written(kit, to=f"{CARLA} {DAVI}")
    run_sql(kit.url, f"update contact set language = '{language}'")
    told = after(kit, promise)
    accepted, declined = (texts(language)[f"news.{name}"] for name in ("mail_accepted", "mail_partly"))
    assert accepted.format(to=CARLA) in told
    assert declined.format(declined=DAVI) in told


def test_a_mail_that_every_recipients_server_declines_was_not_sent(at):
    kit = at(rcpt_to="550 5.1.1 no such user")
    told = after(kit, written(kit, to=f"{CARLA} {DAVI}"))
    assert EN["cause.recipient_rejected"] in told
    assert the_mail(kit).state == "refused"
    assert kit.server.messages == []
    assert sealed(kit) == []


def test_a_refused_mail_is_told_with_its_reason_and_never_tried_again(at):
    kit = at(end="554 5.7.1 spam")
    promise = written(kit)
    told = after(kit, promise)
    assert EN["cause.content_rejected_spam_policy"] in told
    assert row(kit, promise).state == "failed"
    assert the_mail(kit).state == "refused"
    assert sealed(kit) == []
    kit.clock.move(days=1)
    kit.work()
    assert len(kit.server.messages) == 1


def test_a_mail_that_may_be_tried_later_is_tried_later_with_the_same_message_id(at):
    replies = ["451 4.7.1 greylisted, try again later", "250 2.0.0 Ok"]
    kit = at(end=lambda conversation: conversation.say(replies.pop(0)))
    promise = written(kit)
    said = len(kit.bodies())
    kit.worker._keep(promise)
    assert (the_mail(kit).state, row(kit, promise).state) == ("todo", "todo")
    assert len(sealed(kit)) == 1
    kit.work()
    assert [body for body in kit.bodies()[said:] if "not sent" in body] == []
    kit.clock.move(minutes=1)
    kit.work()
    assert the_mail(kit).state == "accepted"
    ids = {re.search(rb"Message-ID: (\S+)", content)[1] for content in kit.server.messages}
    assert len(ids) == 1


def test_a_mail_that_is_never_taken_is_given_up_and_told(at):
    kit = at(end="451 4.7.1 try again later")
    promise = written(kit)
    kit.worker._keep(promise)
    for _ in range(MAX_MAIL_TRIES):
        kit.clock.move(hours=2)
        kit.work()
    assert row(kit, promise).attempt == MAX_MAIL_TRIES
    assert the_mail(kit).state == "refused"
    assert EN["news.mail_refused"].split("{")[0] in kit.bodies()[-1]


@pytest.mark.parametrize("end", [CLOSE, SILENT], ids=["closes", "says nothing"])
def test_a_connection_that_breaks_after_the_final_dot_is_told_as_unknown_and_never_sent_again(at, end):
    kit = at(timeouts=IMPATIENT, end=end)
    promise = written(kit)
    assert after(kit, promise).startswith(EN["news.mail_unknown"])
    assert (row(kit, promise).state, the_mail(kit).state) == ("unknown", "unknown")
    assert sealed(kit) == []
    kit.clock.move(days=1)
    kit.work()
    assert len(kit.server.messages) == 1


def test_a_process_that_died_while_handing_over_never_causes_a_second_mail(at):
    kit = at()
    promise = written(kit)
    with kit.engine.begin() as db:
        mailboxes.move_mail(db, the_mail(kit).id, to="handing", of=("todo",), reply="", at=kit.clock.now())
    told = after(kit, again(kit, promise))
    assert told.startswith(EN["news.mail_unknown"])
    assert kit.server.connections == 0
    assert the_mail(kit).state == "unknown"


def test_a_process_that_died_after_the_final_word_tells_what_the_server_said(at):
    kit = at()
    promise = written(kit)
    performed(kit, promise)  # and then its process dies
    told = after(kit, again(kit, promise))
    assert EN["news.mail_accepted"].format(to=CARLA) in told
    assert len(kit.server.messages) == 1


def test_a_frozen_process_that_comes_back_while_another_hands_over_breaks_off(at):
    """Both looked when nothing was handed over yet; the other one was faster to the final dot."""

    def meanwhile(conversation):
        with kit.engine.begin() as db:
            mailboxes.move_mail(db, the_mail(kit).id, to="handing", of=("todo",), reply="", at=kit.clock.now())
        conversation.say("250 2.1.5 Ok")

    kit = at(rcpt_to=meanwhile)
    outcome = performed(kit, written(kit))
    assert isinstance(outcome, Again)
    assert kit.server.messages == []
    assert the_mail(kit).state == "handing"


def test_a_frozen_process_that_comes_back_with_a_refusal_changes_nothing_of_what_another_does(at):
    kit = at(end="451 4.7.1 try again later")
    frozen = written(kit)
    outcome = performed(kit, frozen)
    again(kit, frozen)
    with kit.engine.begin() as db:
        mailboxes.move_mail(db, the_mail(kit).id, to="handing", of=("todo", "handing"), reply="", at=kit.clock.now())
    kit.worker._finish(frozen, outcome)
    assert (the_mail(kit).state, row(kit, frozen).state) == ("handing", "doing")


@pytest.mark.parametrize(
    ("end", "state", "name"),
    [("550 5.7.1 no", "refused", "news.mail_refused"), (CLOSE, "unknown", "news.mail_unknown")],
)
def test_what_became_of_a_mail_is_noted_with_the_end_of_its_promise_or_not_at_all(at, end, state, name):
    """A process that dies in between would tell an unknown mail as refused."""
    kit = at(end=end)
    promise = written(kit)
    outcome = performed(kit, promise)
    assert the_mail(kit).state == "handing"
    assert len(sealed(kit)) == 1
    kit.worker._finish(promise, outcome)
    assert (the_mail(kit).state, sealed(kit)) == (state, [])
    kit.work()
    assert kit.bodies()[-1].startswith(EN[name].split("{")[0])


def test_what_a_mail_server_said_waits_for_our_database(at, monkeypatch):
    monkeypatch.setattr(bot.hands, "INSIST", 5.0)
    move, failures = bot.hands._move, [1, 2]

    def fail(*arguments, to, **more):
        if to == "accepted" and failures:
            failures.pop()
            raise sqlalchemy.exc.OperationalError("update", {}, Exception("gone"))
        return move(*arguments, to=to, **more)

    monkeypatch.setattr(bot.hands, "_move", fail)
    kit = at()
    after(kit, written(kit))
    assert the_mail(kit).state == "accepted"


@pytest.mark.parametrize(
    "change",
    [
        "update mailbox set version = version + 1",
        "update mailbox set state = 'off'",
        "delete from secret where kind = 'mailbox.password'",
        "update mailbox set host = 'evil.test'",
        "delete from secret where kind = 'mail.body'",
        "delete from mailbox",
    ],
    ids=["new version", "off", "no secret", "another host", "no words", "removed"],
)
def test_a_mail_from_a_mailbox_that_was_changed_meanwhile_is_not_sent_and_the_person_is_told(at, change):
    kit = at()
    promise = written(kit)
    run_sql(kit.url, change)
    told = after(kit, promise)
    assert EN["news.mailbox_changed"] in told
    assert kit.server.connections == 0
    assert row(kit, promise).state in {"failed", "dropped"}
    assert sealed(kit) == [] or change == "delete from mailbox"  # then they go with their time


def test_a_mail_that_was_erased_with_its_conversation_is_nobodys(at):
    kit = at()
    promise = written(kit)
    run_sql(kit.url, "delete from contact")
    kit.worker._keep(promise)
    assert kit.server.connections == 0


def test_thirty_mails_an_hour_and_the_next_one_waits_in_the_preview(at):
    kit = at()
    kit.mailbox(port=kit.server.port)
    box = str(kit.rows(tables.mailbox)[0].id)
    for _ in range(30):
        kit.parts.limits.allow("mail", box)
    kit.write_mail()
    kit.work()
    assert kit.server.connections == 0
    assert kit.rows(tables.outgoing_mail) == []
    assert EN["compose.too_many_mails"].split("{")[0] in kit.bodies()[-1]
    assert "On its way" not in kit.bodies()[-1]
    assert kit.last().button("send")


# --- erasing at the provider ------------------------------------------------------------------------------------------


def to_erase(kit):
    kit.awaiting()
    kit.say(PASSWORD, message_id="in-with-a-secret")
    kit.work()
    kit.clock.move(seconds=61)


def test_what_the_provider_does_not_let_go_of_yet_is_tried_again_after_a_minute_then_rarer(kit):
    to_erase(kit)
    for wait in (60, 300, 3600, 86_400, 86_400):
        kit.channel.erase_failures.append(Later("20009", "too early"))
        kit.work()
        assert not kit.channel.erase_failures
        (waiting,) = [one for one in kit.rows(tables.promise) if one.kind == "EraseAtProvider"]
        assert waiting.due_at == kit.clock.now() + timedelta(seconds=wait)
        kit.clock.move(seconds=wait)
    kit.work()
    assert kit.channel.erased == ["in-with-a-secret"]


def test_after_two_weeks_an_operator_has_to_look_and_the_person_is_left_in_peace(kit):
    to_erase(kit)
    said = len(kit.bodies())
    for _ in range(MAX_ERASE_TRIES):
        kit.channel.erase_failures.append(Later("20009", "too early"))
        kit.work()
        kit.clock.move(days=1)
    assert [one.state for one in kit.rows(tables.promise) if one.kind == "EraseAtProvider"] == ["failed"]
    assert len(kit.rows(tables.dead_letter)) == 1
    assert kit.bodies()[said:] == []


def test_what_the_provider_refuses_to_erase_is_for_the_operator(kit):
    to_erase(kit)
    said = len(kit.bodies())
    kit.channel.erase_failures.append(Refused("20003", "not yours"))
    kit.work()
    (letter,) = kit.rows(tables.dead_letter)
    assert letter.error == "20003: not yours"
    assert kit.bodies()[said:] == []


def test_only_the_message_with_the_secret_is_erased_not_a_later_one(kit):
    to_erase(kit)
    kit.say("no", message_id="in-and-harmless")
    kit.work()
    assert kit.channel.erased == ["in-with-a-secret"]


def test_two_people_do_not_get_in_each_others_way(at):
    kit = at()
    kit.awaiting(ANA)
    kit.awaiting(BIA)
    typed(kit, who=BIA)
    kit.work()
    assert isinstance(kit.envelope(ANA).state, AwaitingSecret)
    assert isinstance(kit.envelope(BIA).state, Choosing)


# --- webhooks that were lost ------------------------------------------------------------------------------------------


def test_what_no_webhook_told_us_is_found_and_answered_once(kit):
    kit.join()
    kit.channel.listed = [kit.inbound(text) for text in ("ana@", "help")]  # newest first
    kit.worker._sweep(kit.clock.now())
    kit.worker._sweep(kit.clock.now() + timedelta(minutes=2))
    before = len(kit.bodies())
    kit.clock.move(minutes=6)
    kit.work()
    found = kit.bodies()[before:]
    assert len(found) == 2
    assert sentence("mailbox.no_address", "en") in found[1]
    kit.clock.move(minutes=2)
    kit.worker._sweep(kit.clock.now())
    kit.clock.move(minutes=6)
    kit.work()
    assert len(kit.bodies()) == before + 2


def test_a_provider_that_lists_nothing_now_is_asked_again_later(kit):
    kit.join()
    kit.worker._sweep(kit.clock.now())
    kit.channel.failures.append(Later("429", "too many"))
    kit.clock.move(minutes=6)
    kit.work()
    kit.channel.listed = [kit.inbound("help")]
    before = len(kit.bodies())
    kit.worker._sweep(kit.clock.now())
    kit.clock.move(minutes=6)
    kit.work()
    assert len(kit.bodies()) == before + 1
