"""One function for each kind of promise: what it does at the provider and at the mail server, and how it fails."""

import email
import re
from base64 import b64encode
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.policy import default
from functools import partial

import pytest
import sqlalchemy.exc
import trustme
from structlog.testing import capture_logs

import bot.credentials
import bot.mail_hands
import bot.mailbox_hands
import bot.proofs
import bot.saying
from bot.channels import Later, Refused, Status, Unclear
from bot.handiwork import HOLD, Again, Ended
from bot.hands import MAX_ERASE_TRIES
from bot.insist import insist
from bot.live_tests import VAGUE
from bot.mail.knowledge.provider import Server as WireServer
from bot.mail.wire.probe import Failed
from bot.mail.wire.sent_folder import resolve_unknown
from bot.mail.wire.smtp import Timeouts
from bot.mail_hands import MAX_MAIL_TRIES
from bot.mailbox_hands import MAX_TYPING, TYPING
from bot.saying import MAX_SPEECH_TRIES
from bot.store import conversations, mailboxes, promises, tables
from bot.store.promises import RETEST, TELL
from bot.vault import Secret, token_hash
from flows import saved
from flows.card import Showing
from flows.mailbox import AwaitingSecret, Collecting, Confirming, Stuck, Suggesting
from flows.menu import Choosing
from flows.speech import sentence, texts
from flows.words import LANGUAGES, Account, CheckServer, Server, ServerAnswered, ServerSilent
from flows.words import TestsExhausted as Exhausted
from tests.botkit import ADDRESS, ANA, BIA, PASSWORD, Kit, eventually, run_sql, table_of_providers
from tests.dns_server import SERVFAIL, DnsServer
from tests.faulty_imap import FaultyIMAP
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


def delivering(imap, conversation):
    """A mail to oneself arrives, as it does at a provider."""
    content = conversation.server.messages[-1]
    if f"To: {ADDRESS}".encode() in content:
        imap.mail["INBOX"].append(content)
    conversation.say("250 2.0.0 Ok: queued as 4XyZ")


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch):
    """Nothing that happens in these tests comes later by itself."""
    monkeypatch.setattr(bot.proofs, "SOON", (0.0,))
    monkeypatch.setitem(resolve_unknown.__kwdefaults__, "waits", (0.0,))


@pytest.fixture
def at(database_url, tmp_path, authority, good):
    """Makes a kit whose mail server is a scripted one: `at(auth=WRONG)`. Its IMAP server does the right thing."""
    with ExitStack() as stack:

        def make(timeouts: Timeouts = QUICK, context=good, **replies):
            imap = stack.enter_context(FaultyIMAP(good))
            server = stack.enter_context(FaultySMTP(context, **{"end": partial(delivering, imap), **replies}))
            table = table_of_providers(tmp_path, server.port, imap.port)
            made = stack.enter_context(Kit(database_url, tmp_path, providers=table))
            made.network(loopback_network(client_context(authority), server.port, imap.port, timeouts=timeouts))
            made.server, made.imap = server, imap
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
    assert performed(kit, promise).state == "dropped"
    assert len(kit.bodies()) == said


def test_nothing_is_said_to_somebody_who_was_erased(kit):
    promise = one_to_say(kit)
    run_sql(kit.url, "delete from contact")
    assert performed(kit, promise).state == "dropped"


def test_what_leaves_is_in_the_language_of_the_moment_it_leaves(kit):
    kit.join()
    kit.say("menu")
    run_sql(kit.url, "update contact set language = 'es'")
    kit.work()
    assert kit.last().message.language == "es"


def test_a_frozen_process_that_comes_back_says_nothing_that_another_may_be_saying(kit):
    frozen = one_to_say(kit)
    said = len(kit.bodies())
    kit.clock.time += HOLD / 2 + timedelta(seconds=1)
    kit.worker._keep(frozen)
    assert len(kit.bodies()) == said
    assert (row(kit, frozen).state, row(kit, frozen).attempt) == ("todo", 1)
    kit.work()
    assert len(kit.bodies()) == said + 1


def test_what_took_long_is_said_where_its_worker_has_renewed_it_meanwhile(kit):
    promise = one_to_say(kit)
    said = len(kit.bodies())
    kit.clock.time += HOLD - timedelta(seconds=1)
    with kit.engine.begin() as db:
        promises.renew(db, [(promise, kit.clock.now() + HOLD)])
    kit.worker._keep(promise)
    assert len(kit.bodies()) == said + 1


def test_a_process_that_freezes_while_it_asks_who_has_the_word_says_nothing_either(kit, monkeypatch):
    frozen = one_to_say(kit)
    said, owner = len(kit.bodies()), bot.saying.conversations.owner

    def slowly(*asked):
        found = owner(*asked)
        kit.clock.move(seconds=61)
        return found

    monkeypatch.setattr(bot.saying.conversations, "owner", slowly)
    assert isinstance(performed(kit, frozen), Again)
    assert len(kit.bodies()) == said


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


@pytest.fixture
def online(database_url, tmp_path):
    """Makes a kit that looks domains up at a name server of the test's own: `online({"somewhere.test": []})`."""
    with ExitStack() as stack:

        def make(names, records=None, lifetime=2.0, **settings):
            dns = stack.enter_context(DnsServer(names, records))
            table = table_of_providers(tmp_path)
            made = stack.enter_context(
                Kit(database_url, tmp_path, providers=table, **{"DISCOVERY": "online", **settings})
            )
            made.network(loopback_network(client_context(), nameserver=dns.address, lifetime=lifetime))
            made.dns = dns
            return made

        yield make


SOMEWHERE = "somewhere.test"
SRV = (f"_submissions._tcp.{SOMEWHERE}", "SRV")


def asked_for(kit, address=f"ana@{SOMEWHERE}"):
    """A member who wrote their address; what became of it was said."""
    kit.join()
    kit.say(address)
    kit.work()
    return kit.envelope().state


def test_a_server_that_the_domain_itself_names_is_used_without_a_question(online):
    kit = online({SOMEWHERE: [], f"mail.{SOMEWHERE}": ["127.0.0.1"]}, {SRV: [f"0 0 465 mail.{SOMEWHERE}."]})
    state = asked_for(kit)
    assert isinstance(state, AwaitingSecret)
    assert state.account == Account(f"ana@{SOMEWHERE}", f"ana@{SOMEWHERE}", Server(f"mail.{SOMEWHERE}", 465, "tls"))
    (promise,) = kit.promised("Discover", "done")
    assert promise.outcome == "srv"


def test_a_server_under_a_strangers_name_is_shown_to_the_person_first(online):
    kit = online({SOMEWHERE: [], "mail.stranger.test": ["127.0.0.1"]}, {SRV: ["0 0 465 mail.stranger.test."]})
    state = asked_for(kit)
    assert isinstance(state, Confirming)
    assert (state.doubts, state.account.server.host) == (("server",), "mail.stranger.test")


def test_a_domain_in_the_table_asks_no_name_server(online):
    kit = online({})
    assert isinstance(asked_for(kit, ADDRESS), AwaitingSecret)
    assert kit.dns.asked == []


def test_where_only_the_tables_are_to_be_asked_no_name_server_is(online):
    kit = online({SOMEWHERE: [], f"mail.{SOMEWHERE}": ["127.0.0.1"]}, {SRV: [f"0 0 465 mail.{SOMEWHERE}."]},
                 DISCOVERY="tables")  # fmt: skip
    assert asked_for(kit) == Collecting({"address": f"ana@{SOMEWHERE}"}, "host")
    assert kit.dns.asked == []


def test_a_slip_of_the_pen_is_asked_about_before_anything_is_looked_up(online):
    kit = online({})
    assert asked_for(kit, "ana@gmial.com") == Suggesting("ana@gmial.com", "ana@gmail.com")
    assert kit.dns.asked == []


def test_who_is_sure_of_the_address_is_believed_and_it_is_looked_up(online):
    kit = online({"gmial.com": []})
    asked_for(kit, "ana@gmial.com")
    kit.tap("no")
    kit.work()
    assert kit.envelope().state == Collecting({"address": "ana@gmial.com"}, "host")
    assert ("gmial.com", "MX") in kit.dns.asked


def test_who_meant_another_address_goes_on_with_that(online):
    kit = online({})
    asked_for(kit, "ana@gmial.com")
    kit.tap("yes")
    kit.work()
    assert kit.envelope().state.account.address == "ana@gmail.com"
    assert kit.dns.asked == []


@pytest.mark.parametrize(
    ("names", "records", "why"),
    [({}, {}, "no_domain"), ({SOMEWHERE: []}, {(SOMEWHERE, "MX"): ["0 ."]}, "no_mail")],
    ids=["no domain", "no mail"],
)
def test_an_address_from_which_no_mail_can_leave_is_asked_for_again_with_the_reason(online, names, records, why):
    kit = online(names, records)
    assert asked_for(kit) == Collecting({}, "address")
    assert kit.bodies()[-1].startswith(EN[f"mailbox.refused.{why}"].format(address=f"ana@{SOMEWHERE}"))


def test_name_servers_that_give_no_answer_are_no_fault_of_the_address(online):
    kit = online({SOMEWHERE: SERVFAIL}, {(SOMEWHERE, "MX"): SERVFAIL, SRV: SERVFAIL}, lifetime=0.5)
    assert asked_for(kit) == Collecting({"address": f"ana@{SOMEWHERE}"}, "host")
    assert kit.bodies()[-1].startswith(EN["mailbox.lookup_failed"])


def test_a_domain_that_leads_nowhere_is_not_told_as_a_failure_of_ours(online):
    kit = online({SOMEWHERE: []})
    assert asked_for(kit) == Collecting({"address": f"ana@{SOMEWHERE}"}, "host")
    assert EN["mailbox.lookup_failed"] not in kit.bodies()[-1]


def test_a_provider_that_lets_no_program_send_is_told_as_that(online):
    kit = online({})
    assert asked_for(kit, "ana@tuta.com") == Collecting({}, "address")
    assert kit.bodies()[-1].startswith(EN["hint.cannot_work"].split("{provider}")[0] + "Tuta")


def test_a_domain_whose_mail_lies_at_such_a_provider_is_asked_for_its_server(online):
    kit = online({SOMEWHERE: []}, {(SOMEWHERE, "MX"): ["10 mail.tutanota.de."]})
    assert asked_for(kit) == Collecting({"address": f"ana@{SOMEWHERE}"}, "host")


@pytest.mark.parametrize("subject", ["contact", "agency"])
def test_who_has_looked_up_too_much_is_asked_for_the_server_and_no_name_server_is(online, subject):
    kit = online({SOMEWHERE: []})
    held = kit.join()
    for number in range(20 if subject == "contact" else 200):
        mine = str(held.contact_id) if subject == "contact" else f"contact {number}"
        kit.parts.limits.allow("discovery", mine, str(kit.agency))
    kit.say(f"ana@{SOMEWHERE}")
    kit.work()
    assert kit.envelope().state == Collecting({"address": f"ana@{SOMEWHERE}"}, "host")
    assert kit.dns.asked == []


def counted(kit, monkeypatch):
    """The names of the acts that are counted from now on."""
    names = []
    allow_all = kit.parts.limits.allow_all

    def noted(_self, acts, **more):
        names.extend(act.name for act in acts)
        return allow_all(acts, **more)

    monkeypatch.setattr(type(kit.parts.limits), "allow_all", noted)
    return names


def test_a_look_up_that_is_done_again_after_a_crash_counts_once(online, monkeypatch):
    kit = online({SOMEWHERE: []})
    kit.join()
    kit.say(f"ana@{SOMEWHERE}")
    names = counted(kit, monkeypatch)
    (promise,) = kit.claim("work")
    performed(kit, promise)
    kit.worker._keep(again(kit, promise))
    assert names == ["discovery"]
    assert isinstance(kit.envelope().state, Collecting)


def test_somebody_whose_agency_was_closed_in_the_middle_breaks_nothing(online):
    kit = online({SOMEWHERE: []})
    kit.join()
    kit.say(f"ana@{SOMEWHERE}")
    run_sql(kit.url, "update agency set closed_at = now()")
    kit.work()
    assert [row.state for row in kit.promised("Discover", "todo", "doing", "done", "failed")] == ["done"]
    assert kit.rows(tables.dead_letter) == []


# --- the live test ----------------------------------------------------------------------------------------------------


def typed(kit, password=PASSWORD, who=ANA):
    """The secret comes in through the page; nothing is tested yet."""
    assert kit.parts.links.submit(kit.token(who), Secret(password), "") == "taken"


def test_a_right_password_is_tested_and_saved(at):
    kit = at()
    kit.awaiting()
    typed(kit)
    kit.work()
    assert kit.server.sign_ins == [(ADDRESS, PASSWORD)] * 2  # the test itself, and the mail to oneself
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
    monkeypatch.setattr(bot.mailbox_hands, "SLOW", 0.05)

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
    monkeypatch.setattr(bot.mailbox_hands, "SLOW", 30.0)
    kit = at()
    kit.awaiting()
    typed(kit)
    kit.work()
    assert slow_said(kit) == 0


def test_ten_tests_an_hour_for_one_person(at):
    kit = at()
    kit.awaiting()
    for number in range(9):
        kit.parts.limits.allow("live_test", str(kit.held().contact_id), "agency", f"host {number}")
    typed(kit)
    kit.work()
    tested = len(kit.server.auths)
    for choice in ("done", "mailbox", "password"):
        kit.tap(choice)
        kit.work()
    typed(kit)
    kit.work()
    assert len(kit.server.auths) == tested
    assert EN["mailbox.too_many_tests"].split("{")[0] in kit.bodies()[-1]
    assert isinstance(kit.envelope().state, Stuck)


def test_the_tests_at_one_host_are_limited_for_everybody_together(at):
    kit = at()
    kit.awaiting()
    for number in range(60):
        kit.parts.limits.allow("live_test", f"somebody {number}", f"agency {number}", "localhost")
    typed(kit)
    kit.work()
    assert kit.server.connections == 0
    assert isinstance(kit.envelope().state, Stuck)


def test_a_test_that_is_done_again_after_a_crash_counts_once(at, monkeypatch):
    kit = at()
    kit.awaiting()
    typed(kit)
    names = counted(kit, monkeypatch)
    (promise,) = kit.claim("work")
    performed(kit, promise)
    kit.worker._keep(again(kit, promise))
    assert names == ["live_test", "sign_in"]
    assert len(kit.server.auths) == 3  # the second test sends no second mail


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


def failing(monkeypatch, function="test_login", /, **failed):
    """From now on the live test (or a look at a server) fails like this, whatever server is there."""
    usual = {
        "stage": "connect", "cause": "connection_timeout_or_blocked_port", "who": "wait", "retry": True, "raw": "",
        "code": None, "answered": False, "blames_secret": False, "server": WireServer("localhost", 465, "tls"),
    }  # fmt: skip
    room = bot.mailbox_hands if function == "check_server" else bot.credentials
    monkeypatch.setattr(room, function, lambda *_args, **_more: Failed(**{**usual, **failed}))


def told(kit):
    """The event of a live test that is performed now."""
    (promise,) = kit.claim("work")
    return performed(kit, promise).event


def under_test(kit):
    """Somebody typed their password; the test is promised."""
    kit.awaiting()
    typed(kit)
    return kit


def test_a_network_of_ours_that_lets_no_mail_out_is_told_as_our_fault_and_waited_for(kit, monkeypatch):
    failing(monkeypatch, ours=True, who="us")
    event = told(under_test(kit))
    assert (event.detail, event.retry) == ("ours", True)


@pytest.mark.parametrize("cause", sorted(VAGUE))
def test_a_port_that_was_silent_is_treated_like_one_that_is_closed(kit, monkeypatch, cause):
    """Whether we keep the secret and try again would tell the two apart."""
    failing(monkeypatch, cause=cause)
    event = told(under_test(kit))
    assert (event.cause, event.retry) == ("connection_refused", False)


def test_what_a_mail_server_said_for_itself_may_be_waited_for(kit, monkeypatch):
    failing(monkeypatch, stage="auth", cause="server_temporary_failure", answered=True)
    event = told(under_test(kit))
    assert (event.cause, event.retry) == ("server_temporary_failure", True)


def test_what_is_wrong_about_a_certificate_is_told_precisely(at, authority):
    past = datetime.now(UTC) - timedelta(days=1)
    kit = at(context=server_context(authority, "localhost", not_before=past - timedelta(days=9), not_after=past))
    under_test(kit).work()
    assert kit.bodies()[-1].startswith(EN["detail.expired"])
    assert kit.server.auths == []


@pytest.mark.parametrize(
    ("found", "better"),
    [
        ({"better_host": "mail.real.test"}, Server("mail.real.test", 465, "tls")),
        ({"better_server": WireServer("localhost", 587, "starttls")}, Server("localhost", 587, "starttls")),
    ],
    ids=["another name", "another port"],
)
def test_a_server_that_would_do_instead_is_offered_and_gets_no_password_by_itself(kit, monkeypatch, found, better):
    failing(monkeypatch, stage="tls", cause="tls_hostname_mismatch", who="user", retry=False, **found)
    under_test(kit).work()
    state = kit.envelope().state
    assert isinstance(state, Stuck)
    assert state.better == better
    kit.tap("better")
    kit.work()
    assert isinstance(kit.envelope().state, AwaitingSecret)  # for that server the secret is given anew
    assert kit.envelope().state.account.server == better
    assert kit.rows(tables.secret) == []


class Timers:
    """Timers that the test lets run down."""

    def __init__(self):
        self.waiting = []

    def later(self, seconds, act):
        """As `Tools.later`."""
        timer = (seconds, act)
        self.waiting.append(timer)
        return lambda: self.waiting.remove(timer) if timer in self.waiting else None

    def run_down(self, seconds):
        """The first timer of so many seconds runs down; whether there was one."""
        timer = next((one for one in self.waiting if one[0] == seconds), None)
        if timer is None:
            return False
        self.waiting.remove(timer)
        timer[1]()
        return True


def timed(kit):
    """From now on the kit's timers are the test's."""
    timers = Timers()
    kit.parts = replace(kit.parts, tools=replace(kit.parts.tools, later=timers.later))
    kit.worker = kit.new_worker()
    return timers


def test_the_sign_that_an_answer_is_on_its_way_is_shown_again_before_it_goes_out(at):
    shown = []

    def meanwhile(conversation):
        if not shown:
            assert timers.run_down(TYPING)
            assert timers.run_down(TYPING)
            eventually(lambda: len(kit.channel.typed) == 3, "the sign is shown three times", within=10)
            shown.extend(kit.channel.typed)
        conversation.say("235 2.7.0 Accepted")

    kit = at(auth=meanwhile)
    timers = timed(kit)
    under_test(kit).work()
    assert TYPING < 25
    assert shown == [kit.held().last_message_id] * 3


def test_the_sign_stops_with_the_answer(at):
    kit = at()
    timers = timed(kit)
    under_test(kit).work()
    assert timers.run_down(TYPING)  # its time was running when the answer came
    assert timers.waiting == []


def test_the_sign_is_not_shown_for_ever(at):
    left = []

    def meanwhile(conversation):
        left.extend(iter(lambda: timers.run_down(TYPING), False))
        conversation.say("235 2.7.0 Accepted")

    kit = at(auth=meanwhile)
    timers = timed(kit)
    under_test(kit).work()
    assert len(left) == MAX_TYPING


def test_a_test_that_raises_stops_the_sign_too(kit, monkeypatch):
    monkeypatch.setattr(bot.credentials, "test_login", lambda *_args, **_more: 1 / 0)
    timers = timed(kit)
    (promise,) = under_test(kit).claim("work")
    with pytest.raises(ZeroDivisionError):
        performed(kit, promise)
    assert timers.run_down(TYPING)
    assert timers.waiting == []


# --- reaching a server without a password -----------------------------------------------------------------------------


def to_check(kit, server=None):
    """A server is to be reached for a member; the promise, claimed."""
    wanted = CheckServer(server or Server("localhost", kit.server.port, "tls"))
    held, now = kit.join(), kit.clock.now()
    with kit.engine.begin() as db:
        promises.add(db, held.id, [promises.Wanted("work", "CheckServer", now, {"effect": saved.dump(wanted)})], now)
    (promise,) = kit.claim("work")
    return promise


def test_a_server_that_proves_its_name_answered_and_no_password_was_asked_for(at):
    kit = at()
    outcome = performed(kit, to_check(kit))
    assert outcome == Ended(event=ServerAnswered(Server("localhost", kit.server.port, "tls")))
    assert kit.server.connections == 1
    assert (kit.server.sign_ins, kit.server.auths) == ([], [])


def test_a_server_that_wants_to_be_reached_in_the_other_way_answers_with_that(at):
    kit = at(security="starttls")
    outcome = performed(kit, to_check(kit))
    assert outcome.event == ServerAnswered(Server("localhost", kit.server.port, "starttls"))
    assert kit.server.auths == []


@pytest.mark.parametrize("greeting", [CLOSE, SILENT], ids=["closes", "says nothing"])
def test_a_port_without_a_mail_server_is_silent_and_no_more_is_told(at, greeting):
    kit = at(timeouts=IMPATIENT, greeting=greeting)
    assert performed(kit, to_check(kit)).event == ServerSilent("connection_refused")


def test_a_server_that_cannot_prove_its_name_is_told_precisely(at, authority):
    past = datetime.now(UTC) - timedelta(days=1)
    kit = at(context=server_context(authority, "localhost", not_before=past - timedelta(days=9), not_after=past))
    event = performed(kit, to_check(kit)).event
    assert (event.cause, event.detail) == ("tls_certificate_invalid", "expired")


@pytest.mark.parametrize(
    ("found", "event"),
    [
        ({"ours": True, "who": "us"}, ServerSilent("connection_refused", "ours")),
        (
            {"stage": "tls", "cause": "tls_hostname_mismatch", "better_host": "mail.real.test"},
            ServerSilent("tls_hostname_mismatch", "", Server("mail.real.test", 465, "tls")),
        ),
    ],
    ids=["our network", "another name"],
)
def test_why_a_server_was_silent_and_what_would_do_instead_is_told(kit, monkeypatch, found, event):
    failing(monkeypatch, "check_server", **found)
    assert performed(kit, to_check(kit, Server("localhost", 465, "tls"))).event == event


@pytest.mark.parametrize("subject", ["contact", "agency", "host"])
def test_servers_are_reached_within_the_limits_of_live_tests(at, subject):
    kit = at()
    promise = to_check(kit)
    mine = {"contact": str(kit.held().contact_id), "agency": str(kit.agency), "host": "localhost"}
    for number in range(130):
        keys = {"contact": f"contact {number}", "agency": f"agency {number}", "host": f"host {number}"}
        kit.parts.limits.allow("live_test", *{**keys, subject: mine[subject]}.values())
    assert isinstance(performed(kit, promise).event, Exhausted)
    assert kit.server.connections == 0


def test_a_server_that_is_reached_again_after_a_crash_counts_once(at, monkeypatch):
    kit = at()
    promise = to_check(kit)
    names = counted(kit, monkeypatch)
    performed(kit, promise)
    performed(kit, again(kit, promise))
    assert names == ["live_test"]


def test_for_somebody_who_was_erased_no_server_is_reached(at):
    kit = at()
    promise = to_check(kit)
    run_sql(kit.url, "delete from contact")
    assert performed(kit, promise) == Ended("dropped")
    assert kit.server.connections == 0


def test_the_first_server_of_an_admin_that_works_becomes_the_agencys(at):
    kit = at()
    kit.join(role="admin")
    kit.say(ADDRESS)
    kit.work()
    typed(kit)
    kit.work()
    (agency,) = kit.rows(tables.agency)
    assert (agency.host, agency.port, agency.security) == ("localhost", kit.server.port, "tls")
    assert EN["integrate.became"].split("{")[0] in kit.bodies()[-1]
    assert "agency_server" in [one.action for one in kit.rows(tables.audit)]


# --- a mailbox that has to wait ---------------------------------------------------------------------------------------

DISABLED = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."
BUSY = "454 4.7.0 Temporary authentication failure"
WORKS = "235 2.7.0 Accepted"


def replies(kit, reply):
    """From now on the server answers a sign-in like this."""
    kit.server._replies["auth"] = reply


def waiting(at, reply=DISABLED, **more):
    """A kit whose member's mailbox has to wait; all about it is said."""
    kit = at(auth=reply, **more)
    under_test(kit).work()
    assert the_mailbox(kit).state == "waiting"
    return kit


def the_mailbox(kit):
    (mailbox,) = kit.rows(tables.mailbox)
    return mailbox


def the_retest(kit, *states):
    (promise,) = kit.promised(RETEST, *states)
    return promise


def retested(kit):
    """The time of the next test comes; what was said because of it."""
    said = len(kit.bodies())
    kit.clock.time = the_retest(kit).due_at
    kit.work()
    return kit.bodies()[said:]


def words(name):
    """The longest piece of a sentence without a value in it."""
    return max(re.split(r"\{\w+\}", EN[name]), key=len)


def test_a_mailbox_that_waits_is_tested_after_a_quarter_of_an_hour_an_hour_and_then_every_six_hours(at):
    kit = waiting(at)
    for count, hours in enumerate((0.25, 1, 6, 6, 6), start=1):
        wait = the_retest(kit).due_at - kit.clock.now()
        assert timedelta(hours=hours) <= wait <= timedelta(hours=hours) * 1.25  # spread by chance
        kit.clock.time = the_retest(kit).due_at - timedelta(seconds=1)
        kit.work()
        assert len(kit.server.auths) == count
        kit.clock.move(seconds=1)
        kit.work()
        assert len(kit.server.auths) == count + 1


def test_a_mailbox_that_waits_is_tested_at_the_times_that_its_admin_was_promised(at):
    kit = waiting(at)
    now = kit.clock.now()
    with kit.engine.begin() as db:
        again = [now + timedelta(minutes=15), now + timedelta(minutes=60)]
        promises.hurry(db, kit.agency, promises.RETEST, now, again)
    kit.work()
    for minutes in (15, 60):
        due = the_retest(kit).due_at - now
        assert timedelta(minutes=minutes) <= due <= timedelta(minutes=minutes) * 1.25
        kit.clock.time = the_retest(kit).due_at
        kit.work()
    assert the_retest(kit).due_at - kit.clock.now() >= timedelta(hours=6)


def test_the_first_test_of_a_mailbox_that_waits_is_not_put_off_by_chance(at):
    kit = waiting(at)
    assert the_retest(kit).due_at == kit.clock.now() + timedelta(minutes=15)


def test_the_same_cause_again_is_told_to_nobody_and_changes_nothing(at):
    kit = waiting(at)
    before, transcript = the_mailbox(kit), kit.transcript()
    assert [retested(kit) for _ in range(3)] == [[], [], []]
    assert the_mailbox(kit) == before
    assert kit.transcript() == transcript


def test_a_mailbox_that_works_at_last_is_told_once_and_keeps_its_secret_for_good(at):
    kit = waiting(at)
    version = the_mailbox(kit).version
    replies(kit, WORKS)
    (told,) = retested(kit)
    assert words("news.mailbox_works") in told
    assert (the_mailbox(kit).state, the_mailbox(kit).cause, the_mailbox(kit).who) == ("works", "", "")
    assert (the_mailbox(kit).version, the_mailbox(kit).since) == (version + 1, kit.clock.now())
    (secret,) = kit.rows(tables.secret)
    assert (secret.id, secret.expires_at) == (the_mailbox(kit).secret_id, None)
    assert kit.promised(RETEST) == []
    tested, said = len(kit.server.auths), len(kit.bodies())
    kit.clock.move(days=4)
    kit.worker._sweep(kit.clock.now())
    kit.work()
    assert (len(kit.server.auths), len(kit.bodies()), len(kit.rows(tables.secret))) == (tested, said, 1)


def test_a_mailbox_that_works_at_last_can_send(at):
    kit = waiting(at)
    replies(kit, WORKS)
    retested(kit)
    kit.say("menu")
    kit.work()
    kit.write_mail(to=CARLA)
    kit.work()
    assert len(kit.server.messages) == 1


def test_another_cause_is_told_once_and_the_mailbox_goes_on_waiting(at):
    kit = waiting(at)
    version = the_mailbox(kit).version
    replies(kit, BUSY)
    (told,) = retested(kit)
    assert words("news.mailbox_waits") in told
    assert EN["cause.server_temporary_failure"] in told
    assert (the_mailbox(kit).state, the_mailbox(kit).cause) == ("waiting", "server_temporary_failure")
    assert the_mailbox(kit).version == version
    assert kit.rows(tables.secret)[0].expires_at is not None
    assert the_retest(kit).due_at == kit.clock.now() + timedelta(hours=1)
    assert retested(kit) == []
    replies(kit, WORKS)
    (told,) = retested(kit)
    assert words("news.mailbox_works") in told


def test_a_secret_that_the_server_calls_wrong_is_erased_and_told(at):
    kit = waiting(at)
    replies(kit, WRONG)
    (told,) = retested(kit)
    assert words("news.mailbox_broke") in told
    assert EN["cause.wrong_credentials"] in told
    assert (the_mailbox(kit).state, the_mailbox(kit).cause) == ("broken", "wrong_credentials")
    assert kit.rows(tables.secret) == []
    assert kit.promised(RETEST) == []
    assert kit.last().button("go:mailbox.password")


@pytest.mark.parametrize("reply", [WORKS, BUSY, WRONG], ids=["works", "another cause", "wrong"])
@pytest.mark.parametrize(
    "change",
    [
        "update mailbox set version = version + 1",
        "update mailbox set state = 'off', version = version + 1",
        "delete from mailbox",
    ],
    ids=["saved anew", "switched off", "removed"],
)
def test_a_mailbox_that_was_changed_while_it_was_tested_is_left_alone_and_nothing_is_told(at, change, reply):
    kit = waiting(at)
    after = []

    def meanwhile(conversation):
        run_sql(kit.url, change)
        after.extend(kit.rows(tables.mailbox))
        conversation.say(reply)

    replies(kit, meanwhile)
    secrets = kit.rows(tables.secret)
    assert retested(kit) == []
    assert kit.rows(tables.mailbox) == after
    assert kit.rows(tables.secret) == secrets
    assert kit.promised(RETEST) == []


def test_a_test_that_was_promised_for_an_older_version_asks_no_server(at):
    kit = waiting(at)
    tested = len(kit.server.auths)
    run_sql(kit.url, "update mailbox set version = version + 1")
    assert retested(kit) == []
    assert len(kit.server.auths) == tested
    assert the_retest(kit, "dropped")


def test_a_test_that_is_under_way_while_the_mailbox_is_saved_anew_does_not_go_on_besides_the_new_one(at):
    kit = waiting(at)
    kit.clock.time = the_retest(kit).due_at
    (running,) = kit.claim("work")
    outcome = performed(kit, running)
    kit.tap("retry")
    kit.work()
    kit.worker._finish(running, outcome)
    assert {promise.payload["version"] for promise in kit.promised(RETEST)} == {1, 2}
    kit.clock.move(days=1)
    kit.work()
    assert [promise.payload["version"] for promise in kit.promised(RETEST)] == [2]


def test_a_mailbox_whose_secret_was_given_up_early_waits_no_more_and_nobody_is_told(at):
    """Its person did that themselves, for another secret or another address; three days have not gone by."""
    kit = waiting(at)
    tested = len(kit.server.auths)
    run_sql(kit.url, "delete from secret")
    assert retested(kit) == []
    assert len(kit.server.auths) == tested
    assert (the_mailbox(kit).state, the_mailbox(kit).cause) == ("broken", "smtp_auth_disabled_tenant_or_mailbox")
    assert kit.promised(RETEST) == []


def test_after_three_days_the_secret_is_gone_and_the_person_is_told_once(at):
    kit = waiting(at)
    since, said = kit.clock.now(), []
    while kit.promised(RETEST):
        kit.clock.time = the_retest(kit).due_at
        kit.worker._sweep(kit.clock.now())  # as it is once a minute
        before = len(kit.bodies())
        kit.work()
        said += kit.bodies()[before:]
    (told,) = said
    assert words("news.waited_too_long") in told
    assert timedelta(hours=72) <= kit.clock.now() - since <= timedelta(hours=80)
    assert 10 <= len(kit.server.auths) <= 15
    assert kit.rows(tables.secret) == []
    assert the_mailbox(kit).state == "broken"


@pytest.mark.parametrize("subject", ["contact", "agency", "host"])
def test_a_mailbox_that_waits_is_tested_within_the_limits_and_else_later(at, subject):
    kit = waiting(at)
    tested, mine = len(kit.server.auths), {"contact": str(kit.held().contact_id), "agency": str(kit.agency)}
    kit.clock.time = the_retest(kit).due_at
    for number in range(130):
        keys = {"contact": f"contact {number}", "agency": f"agency {number}", "host": f"host {number}"}
        known = {**mine, "host": "localhost"}[subject]
        kit.parts.limits.allow("live_test", *{**keys, subject: known}.values())
    said = len(kit.bodies())
    kit.work()
    assert len(kit.server.auths) == tested
    assert (the_retest(kit).state, the_mailbox(kit).state) == ("todo", "waiting")
    assert kit.clock.now() < the_retest(kit).due_at <= kit.clock.now() + timedelta(hours=1)
    assert len(kit.bodies()) == said
    replies(kit, WORKS)
    (told,) = retested(kit)
    assert words("news.mailbox_works") in told


def test_each_test_of_a_mailbox_that_waits_counts(at, monkeypatch):
    kit = waiting(at)
    names = counted(kit, monkeypatch)
    retested(kit)
    retested(kit)
    assert names == ["live_test", "sign_in"] * 2


def test_of_two_processes_that_test_the_same_mailbox_one_tells_what_came_of_it(at):
    kit = waiting(at)
    replies(kit, WORKS)
    kit.clock.time = the_retest(kit).due_at
    (frozen,) = kit.claim("work")
    outcome = performed(kit, frozen)
    said = len(kit.bodies())
    kit.worker._keep(again(kit, frozen))
    kit.work()
    after = kit.dump()
    kit.worker._finish(frozen, outcome)
    assert kit.dump() == after
    assert len(kit.bodies()) == said + 1


def test_a_late_word_that_a_secret_is_wrong_erases_nothing_of_what_works_meanwhile(at):
    kit = waiting(at)
    replies(kit, WRONG)
    kit.clock.time = the_retest(kit).due_at
    (frozen,) = kit.claim("work")
    outcome = performed(kit, frozen)
    replies(kit, WORKS)
    kit.worker._keep(again(kit, frozen))
    kit.worker._finish(frozen, outcome)
    assert (the_mailbox(kit).state, len(kit.rows(tables.secret))) == ("works", 1)


def test_who_was_erased_is_not_tested_any_more(at):
    kit = waiting(at)
    tested = len(kit.server.auths)
    kit.clock.time = the_retest(kit).due_at
    (promise,) = kit.claim("work")
    run_sql(kit.url, "delete from contact")
    assert performed(kit, promise) == Ended("dropped")
    assert len(kit.server.auths) == tested


def test_an_admin_who_switched_something_on_has_it_tested_at_once(at):
    kit = at(auth=DISABLED)
    kit.join(BIA, role="admin")
    under_test(kit).work()
    assert words("news.admin_needed") in kit.bodies(BIA)[-1]
    assert ADDRESS in kit.bodies(BIA)[-1]
    replies(kit, WORKS)
    said = len(kit.bodies())
    kit.tap("go:menu.switched_on", BIA)
    kit.work()
    assert EN["menu.retrying"].format(first=15, last=60) in kit.bodies(BIA)[-1]
    (told,) = kit.bodies()[said:]
    assert words("news.mailbox_works") in told


@pytest.mark.parametrize("reply", [DISABLED, BUSY, WORKS, WRONG], ids=["the same", "another", "works", "wrong"])
def test_the_secret_of_a_mailbox_that_waits_stands_nowhere_in_clear(at, reply):
    def echoing(conversation):
        conversation.say(f"{reply} ({PASSWORD})")

    with capture_logs() as logs:
        kit = waiting(at, reply=lambda conversation: conversation.say(f"{DISABLED} ({PASSWORD})"))
        replies(kit, echoing)
        retested(kit)
    assert PASSWORD in [secret for _, secret in kit.server.sign_ins]
    for form in (PASSWORD, b64encode(PASSWORD.encode()).decode()[:-4]):
        assert form not in kit.dump()
        assert form not in str(kit.bodies())
        assert form not in str(logs)


# --- news for somebody who did not write ------------------------------------------------------------------------------


def affected(at):
    """A kit in which Ana's mailbox waits for her admin Bia, to whom nothing was said yet."""
    kit = at(auth=DISABLED)
    kit.join(BIA, role="admin")
    kit.awaiting()
    kit.clock.move(hours=25)
    kit.say("again")
    kit.work()
    typed(kit)
    kit.work()
    return kit


def test_news_for_an_admin_who_did_not_write_for_a_day_wait_until_they_do(at):
    kit = affected(at)
    said = len(kit.bodies(BIA))
    (promise,) = kit.promised(TELL)
    assert promise.attempt == 1
    for _ in range(3):
        kit.clock.move(minutes=40)
        kit.work()
    assert len(kit.bodies(BIA)) == said
    kit.say("menu", BIA)
    kit.work()
    kit.clock.move(minutes=40)
    kit.work()
    news = [body for body in kit.bodies(BIA)[said:] if words("news.admin_needed") in body]
    assert len(news) == 1
    assert kit.promised(TELL) == []


def test_news_that_an_admin_could_not_be_told_for_three_days_are_dropped(at):
    kit = affected(at)
    said, since = len(kit.bodies(BIA)), kit.clock.now()
    while kit.promised(TELL):
        kit.clock.time = kit.promised(TELL)[0].due_at
        (promise,) = [one for one in kit.claim("work") if one.kind == TELL]
        kit.worker._keep(promise)
    assert timedelta(hours=72) <= kit.clock.now() - since <= timedelta(hours=90)
    assert [one.state for one in kit.promised(TELL, "dropped", "done", "failed")] == ["dropped"]
    kit.say("menu", BIA)
    kit.work()
    assert not any(words("news.admin_needed") in body for body in kit.bodies(BIA)[said:])
    assert kit.rows(tables.dead_letter) == []


def test_an_admin_who_wants_no_messages_gets_none(at):
    kit = at(auth=DISABLED)
    kit.join(BIA, role="admin")
    kit.say("stop", BIA)
    kit.work()
    said = len(kit.bodies(BIA))
    under_test(kit).work()
    assert len(kit.bodies(BIA)) == said


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
    monkeypatch.setattr(bot.mail_hands, "insist", partial(insist, seconds=5.0))
    move, failures = bot.mail_hands._move, [1, 2]

    def fail(*arguments, to, **more):
        if to == "accepted" and failures:
            failures.pop()
            raise sqlalchemy.exc.OperationalError("update", {}, Exception("gone"))
        return move(*arguments, to=to, **more)

    monkeypatch.setattr(bot.mail_hands, "_move", fail)
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


LOSE_THE_KEY = "update secret set key_id = 'deadbeef' where kind = 'mailbox.password'"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_lost_key_leads_to_the_password_once_more_when_a_mail_is_sent(at, language):
    kit = at()
    promise = written(kit)
    run_sql(kit.url, LOSE_THE_KEY)
    run_sql(kit.url, f"update contact set language = '{language}'")
    told = after(kit, promise)
    assert sentence("mailbox.secret_gone", language) in told
    assert (row(kit, promise).state, the_mail(kit).state, sealed(kit)) == ("failed", "refused", [])
    assert kit.rows(tables.mailbox)[0].state == "broken"
    assert (kit.server.connections, kit.rows(tables.dead_letter)) == (0, [])
    kit.tap("go:mailbox.password")
    kit.work()
    assert "/s/" in kit.bodies()[-1]


def test_words_that_a_lost_key_sealed_are_to_be_written_again(at):
    kit = at()
    promise = written(kit)
    run_sql(kit.url, "update secret set key_id = 'deadbeef' where kind = 'mail.body'")
    assert EN["news.mailbox_changed"] in after(kit, promise)
    assert (row(kit, promise).state, kit.rows(tables.mailbox)[0].state) == ("failed", "works")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_lost_key_leads_to_the_password_once_more_in_the_middle_of_a_test(at, language):
    kit = at()
    kit.awaiting()
    typed(kit)
    run_sql(kit.url, LOSE_THE_KEY)
    run_sql(kit.url, f"update contact set language = '{language}'")
    kit.work()
    assert kit.bodies()[-1].startswith(sentence("mailbox.secret_gone", language))
    assert isinstance(kit.envelope().state, AwaitingSecret)


def test_a_lost_key_of_a_mailbox_that_waits_is_told_at_once_with_the_way_to_the_password(at):
    kit = waiting(at)
    run_sql(kit.url, LOSE_THE_KEY)
    (told,) = retested(kit)
    assert EN["mailbox.secret_gone"] in told
    assert (the_mailbox(kit).state, kit.rows(tables.secret), kit.promised(RETEST)) == ("broken", [], [])
    assert kit.last().button("go:mailbox.password")


def test_a_mail_that_was_erased_with_its_conversation_is_nobodys(at):
    kit = at()
    promise = written(kit)
    run_sql(kit.url, "delete from contact")
    kit.worker._keep(promise)
    assert kit.server.connections == 0


def test_a_mail_beyond_those_of_an_hour_waits_in_the_preview(at):
    kit = at()
    kit.mailbox(port=kit.server.port)
    box = str(kit.rows(tables.mailbox)[0].id)
    for _ in range(kit.settings.mails_per_hour):
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
    assert isinstance(kit.envelope(BIA).state, Showing)


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
