"""The watch over mailboxes that work: whose turn it is, what is believed, and who is told what, by which way."""

import threading
from base64 import b64encode
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import trustme
from structlog.testing import capture_logs

import bot.credentials
import bot.watch
from bot.channels import Identity
from bot.handiwork import Ended
from bot.mail.knowledge.provider import Server as WireServer
from bot.mail.wire.probe import Failed
from bot.safe import use_of
from bot.store import mailboxes, people, promises, tables, watches
from bot.store.engine import reading
from bot.store.promises import ADMIN_WARNING, RETEST, WARN, WATCH
from bot.unasked import WEEK
from bot.vault import Secret
from flows.speech import texts
from flows.words import LANGUAGES, Account, Server
from tests.botkit import (
    ANA,
    BIA,
    CHANNEL,
    PASSWORD,
    Kit,
    Recorder,
    run_sql,
    table_of_providers,
)
from tests.faulty_smtp import IMPATIENT, QUICK, SILENT, FaultySMTP, client_context, loopback_network, server_context

EN = texts("en")
WRONG = "535 5.7.8 Error: authentication failed"
DISABLED = "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."
LOCKED = "534 5.7.14 Please log in via your web browser and then try again."
BUSY = "454 4.7.0 Temporary authentication failure"
WORKS = "235 2.7.0 Accepted"
TENANT = "smtp_auth_disabled_tenant_or_mailbox"
THREE_DAYS = timedelta(days=3)
SLACK = "T0SOL.U0ANA"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def at(database_url, tmp_path, authority):
    """Makes a kit whose mail server is a scripted one: `at(auth=WRONG)`."""
    with ExitStack() as stack:

        def make(**replies):
            server = stack.enter_context(FaultySMTP(server_context(authority, "localhost"), **replies))
            kit = stack.enter_context(Kit(database_url, tmp_path, providers=table_of_providers(tmp_path, server.port)))
            kit.server, kit.authority = server, authority
            patience(kit, QUICK)
            return kit

        yield make


def patience(kit, timeouts):
    """From now on the server is waited for so long."""
    kit.network(loopback_network(client_context(kit.authority), kit.server.port, timeouts=timeouts))


def replies(kit, reply):
    """From now on the server answers a sign-in like this."""
    kit.server._replies["auth"] = reply


def failing(monkeypatch, **failed):
    """From now on the quiet test fails like this, whatever server is there."""
    usual = {
        "stage": "connect", "cause": "connection_timeout_or_blocked_port", "who": "us", "retry": True, "raw": "",
        "code": None, "answered": False, "blames_secret": False, "server": WireServer("localhost", 465, "tls"),
    }  # fmt: skip
    monkeypatch.setattr(bot.credentials, "test_login", lambda *_args, **_more: Failed(**{**usual, **failed}))


def watched(at, who=ANA, **more):
    """A kit whose member's mailbox works since three days ago, when somebody saw it last."""
    kit = at(**more)
    kit.mailbox(who, port=kit.server.port)
    kit.clock.move(days=3)
    return kit


def the_mailbox(kit):
    (mailbox,) = kit.rows(tables.mailbox)
    return mailbox


def swept(kit):
    """The sweep promises tests; they, in the order in which they are due."""
    with kit.engine.begin() as db:
        watches.promise_tests(db, kit.clock.now())
    return sorted(kit.promised(WATCH), key=lambda one: one.due_at)


def the_watch(kit, *states):
    (promise,) = kit.promised(WATCH, *states)
    return promise


def looked_at(kit):
    """The time of the next quiet test comes; what was said because of it."""
    swept(kit)
    said = len(kit.bodies())
    kit.clock.time = the_watch(kit).due_at
    kit.work()
    return kit.bodies()[said:]


def refused_twice(kit):
    """The secret is refused, and again a quarter of an hour later; nothing but the verdict is there yet."""
    assert looked_at(kit) == []
    kit.clock.time = the_watch(kit).due_at
    kit.work()


def performed(kit, promise):
    return kit.hands[promise.kind](kit.parts.tools, promise)


def words(name, language="en"):
    """The longest piece of a sentence without a value in it."""
    import re

    return max(re.split(r"\{\w+\}", texts(language)[name]), key=len)


def another_box(kit, who, number):
    """A mailbox of another member of the same agency, at the same server."""
    kit.mailbox(who, port=kit.server.port)
    account = Account(f"m{number}@agency.test", f"m{number}@agency.test", Server("localhost", kit.server.port, "tls"))
    held, now = kit.held(who), kit.clock.now()
    with kit.engine.begin() as db:
        secret = kit.parts.safe.put(
            db, Secret(PASSWORD), kind="mailbox.password", owner=held.contact_id, use=use_of(account), now=now
        )
        values = {"address": account.address, "user_name": account.user, "host": "localhost",
                  "port": kit.server.port, "security": "tls", "secret_id": secret, "state": "works",
                  "since": now}  # fmt: skip
        gone = mailboxes.save(db, held.member_id, values)
        db.execute(tables.secret.delete().where(tables.secret.c.id == gone))


def many(kit, count, host="localhost"):
    """So many members with a mailbox that works, seen long ago, and somebody who acts for each."""
    now, made = kit.clock.now(), []
    start = len(kit.rows(tables.contact))
    with kit.engine.begin() as db:
        for number in range(start, start + count):
            people.add_contact(
                db, channel=CHANNEL, address=f"+{number:012d}", external_id=None, name="x", language="en", at=now
            )
            contact = people.find_contact(db, f"+{number:012d}")[0]
            member = people.add_member(db, contact.id, kit.agency, f"m{number}", "member", now)
            people.touch(db, contact.id, member_id=member)
            account = Account(f"m{number}@agency.test", f"m{number}@agency.test", Server(host, 465, "tls"))
            secret = kit.parts.safe.put(
                db, Secret(PASSWORD), kind="mailbox.password", owner=contact.id, use=use_of(account), now=now
            )
            values = {"address": account.address, "user_name": account.user, "host": host, "port": 465,
                      "security": "tls", "secret_id": secret, "state": "works", "since": now - THREE_DAYS}  # fmt: skip
            mailboxes.save(db, member, values)
            made.append(member)
    return made


# --- when it was last seen to work ------------------------------------------------------------------------------------


def test_a_mailbox_that_is_saved_after_a_passed_test_was_seen_to_work_then(at):
    kit = at()
    kit.mailbox(port=kit.server.port)
    assert the_mailbox(kit).worked_at == kit.clock.now()


def test_a_mailbox_that_is_saved_and_has_to_wait_was_not_seen_to_work(at):
    kit = at()
    kit.mailbox(port=kit.server.port, state="waiting")
    assert the_mailbox(kit).worked_at is None


def test_a_mailbox_that_works_at_last_was_seen_to(at):
    kit = at()
    kit.mailbox(port=kit.server.port, state="waiting")
    kit.clock.move(hours=3)
    with kit.engine.begin() as db:
        assert mailboxes.settle(db, the_mailbox(kit).id, 1, "works", "", "", kit.clock.now())
    assert the_mailbox(kit).worked_at == kit.clock.now()


def test_a_mail_that_the_server_took_shows_that_a_mailbox_works(at):
    kit = at()
    kit.mailbox(port=kit.server.port)
    kit.clock.move(hours=5)
    kit.write_mail()
    kit.work()
    assert len(kit.server.messages) == 1
    assert the_mailbox(kit).worked_at == kit.clock.now()


def test_a_mail_that_left_before_the_mailbox_was_changed_shows_nothing_of_the_new_one(at):
    kit = at()
    kit.mailbox(port=kit.server.port)
    before = the_mailbox(kit).worked_at
    kit.clock.move(hours=5)
    kit.write_mail()
    run_sql(kit.url, "update mailbox set state = 'off'")
    with kit.engine.begin() as db:
        assert not mailboxes.worked(db, the_mailbox(kit).id, the_mailbox(kit).version, kit.clock.now())
        assert not mailboxes.worked(db, the_mailbox(kit).id, the_mailbox(kit).version + 1, kit.clock.now())
    assert the_mailbox(kit).worked_at == before


def test_a_passed_test_is_quiet_sends_no_mail_and_is_noted(at):
    kit = watched(at)
    transcript, version = kit.transcript(), the_mailbox(kit).version
    assert looked_at(kit) == []
    assert (len(kit.server.auths), kit.server.messages) == (1, [])
    assert the_mailbox(kit).worked_at == kit.clock.now()
    assert (the_mailbox(kit).version, kit.transcript()) == (version, transcript)
    assert kit.promised(WATCH) == []


def test_what_a_home_in_slack_shows_is_not_stale_because_a_mailbox_was_seen_to_work(at):
    kit = watched(at)
    run_sql(kit.url, "insert into slack_screen (conversation_id, home_at) select id, updated_at from conversation")
    looked_at(kit)
    assert [one.home_stale for one in kit.rows(tables.slack_screen)] == [False]
    run_sql(kit.url, "update mailbox set state = 'off'")
    assert [one.home_stale for one in kit.rows(tables.slack_screen)] == [True]


# --- whose turn it is -------------------------------------------------------------------------------------------------


def test_a_mailbox_without_a_success_for_three_days_is_tested_and_not_before(at):
    kit = at()
    kit.mailbox(port=kit.server.port)
    kit.clock.move(days=3, seconds=-1)
    assert swept(kit) == []
    kit.clock.move(seconds=1)
    assert [one.payload["mailbox"] for one in swept(kit)] == [str(the_mailbox(kit).id)]


def test_the_worker_sweeps_by_itself(at):
    kit = watched(at)
    kit.worker._sweep(kit.clock.now())
    assert len(kit.promised(WATCH)) == 1


def test_a_mailbox_that_never_was_seen_to_work_is_tested_too(at):
    kit = at()
    kit.mailbox(port=kit.server.port)
    run_sql(kit.url, "update mailbox set worked_at = null")
    assert len(swept(kit)) == 1


@pytest.mark.parametrize(
    "change",
    [
        "update mailbox set state = 'off'",
        "update mailbox set state = 'waiting'",
        "update mailbox set state = 'broken'",
        "update member set removed_at = created_at",
        "update agency set closed_at = created_at",
        "delete from membership",
        "update contact set gone_at = created_at",
    ],
)
def test_what_does_not_work_or_belongs_to_nobody_is_not_tested(at, change):
    kit = watched(at)
    run_sql(kit.url, change)
    assert swept(kit) == []


def test_a_sweep_that_comes_again_promises_nothing_twice(at):
    kit = watched(at)
    first = swept(kit)
    assert swept(kit) == first
    (running,) = claimed(kit)
    assert swept(kit) == []
    assert running.id == first[0].id


def claimed(kit, lane="work"):
    kit.clock.time = max([kit.clock.now(), *(one.due_at for one in kit.promised(WATCH))])
    return [one for one in kit.claim(lane) if one.kind == WATCH]


def test_sweeps_of_several_processes_at_once_promise_each_mailbox_once(kit):
    many(kit, 40)
    threads = [threading.Thread(target=kit.new_worker()._sweep, args=(kit.clock.now(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    promised = [one.payload["mailbox"] for one in kit.promised(WATCH)]
    assert len(promised) == len(set(promised)) == 40


def test_tests_are_spread_over_time_so_that_nobody_sees_a_flood(kit):
    many(kit, 300)
    start, seen = kit.clock.now(), []
    for _ in range(20):  # minutes
        swept(kit)
        due = [one for one in kit.promised(WATCH) if one.due_at <= kit.clock.now() + timedelta(minutes=1)]
        seen += [one.due_at for one in due]
        assert len(kit.promised(WATCH)) <= 200
        run_sql(kit.url, "update mailbox set worked_at = now() + interval '100 years' where id::text = any(%(ids)s)",
                {"ids": [one.payload["mailbox"] for one in due]})  # fmt: skip
        run_sql(kit.url, "update promise set state = 'done' where id = any(%(ids)s)", {"ids": [one.id for one in due]})
        kit.clock.move(minutes=1)
    assert len(seen) == 300
    assert min(seen) > start
    for one in seen:
        assert sum(one <= other < one + timedelta(minutes=1) for other in seen) <= 21


def test_an_admin_with_many_members_does_not_keep_the_sweep_from_others(kit):
    many(kit, 10)
    first, *_ = swept(kit)
    with kit.engine.begin() as db:
        conversation = first.conversation_id
        promises.watch(db, conversation, uuid4(), kit.clock.now() + timedelta(hours=5), kit.clock.now())
    run_sql(kit.url, "update promise set state = 'done' where payload ->> 'swept' = 'true'")
    assert len(swept(kit)) == 11


def test_mailboxes_of_one_server_do_not_stand_one_behind_the_other(kit):
    many(kit, 12, "a.test")
    many(kit, 12, "b.test")
    hosts = {str(one.id): one.host for one in kit.rows(tables.mailbox)}
    order = [hosts[one.payload["mailbox"]] for one in swept(kit)]
    assert order not in (sorted(order), sorted(order, reverse=True))


def test_who_acts_for_the_member_is_asked_first_then_slack_then_an_open_window(at):
    kit = watched(at)
    member = kit.held().member_id
    now = kit.clock.now()

    def best():
        with reading(kit.engine) as db:
            return watches.best_conversation(db, member, now)

    def join(channel, address, *, acting=True):
        with kit.engine.begin() as db:
            people.add_contact(db, channel=channel, address=address, external_id=None, name="", language="en", at=now)
            contact = people.find_contact(db, address)[0]
            people.let_in(db, contact.id, member)
            if not acting:
                people.touch(db, contact.id, member_id=None)
            return people.conversation_of(db, contact.id)

    mine = kit.held().id
    assert best() == mine
    join("slack", "T0SOL.U0OLD", acting=False)
    assert best() == mine
    open_ = join("whatsapp", "+351912345678")
    run_sql(kit.url, "update contact set window_until = %(at)s where channel = 'whatsapp'",
            {"at": now + timedelta(hours=3)})  # fmt: skip
    assert best() == open_
    slack = join("slack", SLACK)
    assert best() == slack
    run_sql(kit.url, f"update contact set stopped_at = created_at where address = '{SLACK}'")
    assert best() == open_
    run_sql(kit.url, f"update contact set stopped_at = null, gone_at = created_at where address = '{SLACK}'")
    assert best() == open_


def test_an_admin_who_tests_all_moves_what_is_promised_and_promises_nothing_twice(at):
    kit = at()
    kit.mailbox(port=kit.server.port)
    kit.join(BIA, role="admin")
    kit.clock.move(days=3)
    (promise,) = swept(kit)
    kit.say("menu", BIA)
    kit.work()
    kit.tap("team", BIA)
    kit.work()
    run_sql(kit.url, f"update promise set due_at = due_at + interval '1 day' where id = {promise.id}")
    with kit.engine.begin() as db:
        promises.watch(db, kit.held().id, the_mailbox(kit).id, kit.clock.now(), kit.clock.now())
    assert [(one.id, one.due_at) for one in kit.promised(WATCH)] == [(promise.id, kit.clock.now())]
    with kit.engine.begin() as db:
        promises.watch(db, kit.held().id, the_mailbox(kit).id, kit.clock.now() + THREE_DAYS, kit.clock.now())
    assert the_watch(kit).due_at == kit.clock.now()


@pytest.mark.parametrize("subject", ["contact", "agency", "host"])
def test_it_is_tested_within_the_limits_and_else_later(at, subject):
    kit = watched(at)
    (promise,) = swept(kit)
    kit.clock.time = promise.due_at
    mine = {"contact": str(kit.held().contact_id), "agency": str(kit.agency), "host": "localhost"}
    for number in range(130):
        keys = {"contact": f"contact {number}", "agency": f"agency {number}", "host": f"host {number}"}
        kit.parts.limits.allow("live_test", *{**keys, subject: mine[subject]}.values())
    kit.work()
    assert kit.server.auths == []
    assert kit.clock.now() < the_watch(kit).due_at <= kit.clock.now() + timedelta(hours=1.5)
    assert looked_at(kit) == []
    assert len(kit.server.auths) == 1


def test_quiet_tests_leave_half_of_a_hosts_live_tests_to_people(at):
    kit = watched(at)
    (promise,) = swept(kit)
    kit.clock.time = promise.due_at
    for _ in range(2):
        kit.parts.limits.allow("watch", "localhost")
    hits = len(kit.rows(tables.metadata.tables["limit_hit"]))
    kit.work()
    assert kit.server.auths == []
    assert len(kit.rows(tables.metadata.tables["limit_hit"])) == hits  # it counted as nothing
    assert looked_at(kit) == []
    assert len(kit.server.auths) == 1


# --- what passes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [BUSY, "421 4.3.2 Service shutting down", SILENT], ids=["busy", "closing", "silent"])
def test_trouble_of_the_server_is_never_a_verdict_and_never_told(at, reply):
    kit = watched(at, auth=reply)
    before, transcript = the_mailbox(kit), kit.transcript()
    patience(kit, IMPATIENT)
    for hours in (1, 6, 24, 24, 24):
        assert looked_at(kit) == []
        wait = the_watch(kit).due_at - kit.clock.now()
        assert timedelta(hours=hours) <= wait <= timedelta(hours=hours) * 1.25
    assert (the_mailbox(kit), kit.transcript()) == (before, transcript)
    replies(kit, WORKS)
    patience(kit, QUICK)
    assert looked_at(kit) == []
    assert the_mailbox(kit).worked_at == kit.clock.now()


@pytest.mark.parametrize(
    "failed",
    [
        {"ours": True, "who": "user", "retry": False},
        {"who": "wait", "retry": False, "cause": "greylisted", "answered": True},
        {"who": "us", "retry": False, "cause": "ip_blocklisted", "answered": True},
        {"blames_secret": True, "retry": True, "cause": "wrong_credentials", "who": "user", "answered": True},
        {"stage": "dns", "cause": "server_temporary_failure", "who": "us"},
    ],
    ids=["our network", "greylisted", "our address", "refused for now", "our name server"],
)
def test_whatever_waiting_or_we_can_mend_is_never_told(at, monkeypatch, failed):
    kit = watched(at)
    before = the_mailbox(kit)
    failing(monkeypatch, **failed)
    for _ in range(4):
        assert looked_at(kit) == []
    assert the_mailbox(kit) == before
    assert kit.promised(WARN) == []


def test_a_password_that_our_keys_do_not_open_is_our_fault_and_never_told(at, monkeypatch):
    kit = watched(at)
    run_sql(kit.url, "update secret set box = '\\x00' where kind = 'mailbox.password'")
    before = the_mailbox(kit)
    with capture_logs() as logs:
        assert looked_at(kit) == []
    assert [one["event"] for one in logs if one["log_level"] == "error"] == ["a stored password cannot be opened"]
    assert the_mailbox(kit) == before
    assert the_watch(kit).due_at == kit.clock.now() + timedelta(days=1)


# --- two strikes ------------------------------------------------------------------------------------------------------


def test_a_secret_that_is_refused_once_may_be_a_hiccup(at):
    kit = watched(at, auth=WRONG)
    assert looked_at(kit) == []
    assert (the_mailbox(kit).state, len(kit.rows(tables.secret))) == ("works", 1)
    assert timedelta(minutes=15) <= the_watch(kit).due_at - kit.clock.now() <= timedelta(minutes=19)
    replies(kit, WORKS)
    assert looked_at(kit) == []
    assert (the_mailbox(kit).doubt, the_mailbox(kit).doubted_at) == ("", None)
    assert the_mailbox(kit).worked_at == kit.clock.now()


def test_a_secret_that_is_refused_twice_is_erased_and_its_person_is_told(at):
    kit = watched(at, auth=WRONG)
    kit.say("menu")
    kit.work()
    said = len(kit.bodies())
    refused_twice(kit)
    (told,) = kit.bodies()[said:]
    assert words("news.watch_broke") in told
    assert EN["cause.wrong_credentials"] in told
    assert EN["news.watch_erased"] in told
    assert kit.last().button("go:mailbox.password")
    row = the_mailbox(kit)
    assert (row.state, row.cause, row.who, row.secret_id) == ("broken", "wrong_credentials", "user", None)
    assert (kit.rows(tables.secret), len(kit.server.auths), kit.promised(WATCH)) == ([], 2, [])
    assert row.warned_at == kit.clock.now()


def test_the_button_below_it_leads_to_a_new_password(at):
    kit = watched(at, auth=WRONG)
    kit.say("menu")
    kit.work()
    refused_twice(kit)
    kit.tap("go:mailbox.password")
    kit.work()
    assert kit.token()


def test_an_admin_who_tests_all_in_between_confirms_nothing_too_early(at):
    kit = watched(at, auth=WRONG)
    assert looked_at(kit) == []
    kit.clock.move(minutes=2)
    with kit.engine.begin() as db:
        promises.watch(db, kit.held().id, the_mailbox(kit).id, kit.clock.now(), kit.clock.now())
    kit.work()
    assert (the_mailbox(kit).state, len(kit.server.auths)) == ("works", 2)
    assert the_watch(kit).due_at >= the_mailbox(kit).doubted_at + timedelta(minutes=15)


def test_two_refusals_with_a_success_between_them_are_two_first_ones(at):
    kit = watched(at, auth=WRONG)
    assert looked_at(kit) == []
    with kit.engine.begin() as db:
        assert mailboxes.worked(db, the_mailbox(kit).id, the_mailbox(kit).version, kit.clock.now())
    assert looked_at(kit) == []
    assert (the_mailbox(kit).state, len(kit.rows(tables.secret))) == ("works", 1)


def test_trouble_between_two_refusals_does_not_hide_the_second(at):
    kit = watched(at, auth=WRONG)
    assert looked_at(kit) == []
    replies(kit, BUSY)
    assert looked_at(kit) == []
    replies(kit, WRONG)
    assert looked_at(kit) == []  # the window is closed
    assert the_mailbox(kit).state == "broken"


def test_another_fault_between_two_refusals_makes_the_second_a_first_one(at):
    kit = watched(at, auth=LOCKED)
    assert looked_at(kit) == []
    replies(kit, WRONG)
    assert looked_at(kit) == []
    assert (the_mailbox(kit).state, the_mailbox(kit).doubt) == ("works", "secret")


def test_what_only_the_person_can_mend_at_the_server_is_believed_after_a_day_and_the_secret_stays(at):
    kit = watched(at, auth=LOCKED)
    start = None
    while the_mailbox(kit).state == "works":
        looked_at(kit)
        start = start or kit.clock.now()
    assert timedelta(days=1) <= kit.clock.now() - start <= timedelta(days=1, hours=8)
    row = the_mailbox(kit)
    assert (row.state, row.cause) == ("waiting", "account_locked_or_web_login_required")
    (secret,) = kit.rows(tables.secret)
    assert secret.expires_at == kit.clock.now() + timedelta(hours=72)
    (retest,) = kit.promised(RETEST)
    assert retest.payload == {"member": str(row.member_id), "version": row.version, "watched": True, "told": True}
    assert not told(kit)
    kit.say("menu")
    kit.work()
    (news,) = told(kit)
    assert EN["news.watch_waits"] in news
    replies(kit, WORKS)
    kit.clock.move(hours=6)
    kit.work()
    kit.clock.time = datetime(2026, 3, 9, 15, tzinfo=UTC)  # Monday: good news come by day, too
    kit.work()
    kit.say("menu")
    kit.work()
    assert any(words("news.mailbox_works") in body for body in kit.bodies()[-2:])


def test_a_mailbox_whose_secret_is_gone_is_told_without_asking_the_server(at):
    kit = watched(at)
    run_sql(kit.url, "delete from secret")
    kit.say("menu")
    kit.work()
    (told,) = looked_at(kit)
    assert EN["mailbox.secret_gone"] in told
    assert (the_mailbox(kit).state, kit.server.auths) == ("broken", [])


# --- races, restarts, secrets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [WORKS, BUSY, DISABLED, WRONG], ids=["works", "busy", "admin", "wrong"])
@pytest.mark.parametrize(
    "change",
    [
        "update mailbox set version = version + 1",
        "update mailbox set state = 'off', version = version + 1",
        "delete from mailbox",
    ],
    ids=["saved anew", "switched off", "removed"],
)
def test_a_result_for_a_mailbox_that_was_changed_meanwhile_is_thrown_away(at, change, reply):
    kit = watched(at)
    run_sql(kit.url, "update mailbox set doubt = 'secret', doubted_at = worked_at")
    after = []

    def meanwhile(conversation):
        run_sql(kit.url, change)
        after.extend(kit.rows(tables.mailbox))
        conversation.say(reply)

    replies(kit, meanwhile)
    secrets = kit.rows(tables.secret)
    assert looked_at(kit) == []
    assert (kit.rows(tables.mailbox), kit.rows(tables.secret)) == (after, secrets)
    assert kit.promised(WARN) == kit.promised(RETEST) == kit.promised(ADMIN_WARNING) == []


def test_of_two_processes_that_watch_the_same_mailbox_one_tells_what_came_of_it(at):
    kit = watched(at, auth=WRONG)
    assert looked_at(kit) == []
    kit.clock.time = the_watch(kit).due_at
    (frozen,) = claimed(kit)
    outcome = performed(kit, frozen)
    kit.clock.move(minutes=11)
    kit.worker._sweep(kit.clock.now())
    kit.work()
    assert the_mailbox(kit).state == "broken"
    after = kit.dump()
    kit.worker._finish(frozen, outcome)
    assert kit.dump() == after
    assert len(kit.promised(WARN, "todo", "doing", "done")) == 1


def test_a_process_that_dies_in_the_middle_leaves_the_test_to_another(at):
    kit = watched(at)
    swept(kit)
    (dead,) = claimed(kit)
    kit.clock.move(minutes=11)
    kit.worker._sweep(kit.clock.now())
    assert len(kit.promised(WATCH)) == 1
    kit.work()
    assert the_mailbox(kit).worked_at == kit.clock.now()
    assert the_watch(kit, "done").attempt == dead.attempt + 1


def test_what_was_refused_before_a_restart_is_remembered_after_it(at):
    kit = watched(at, auth=WRONG)
    assert looked_at(kit) == []
    kit.clock.time = the_watch(kit).due_at
    kit.worker = kit.new_worker()
    kit.work()
    assert the_mailbox(kit).state == "broken"


def test_who_was_erased_is_not_tested_any_more(at):
    kit = watched(at)
    swept(kit)
    (promise,) = claimed(kit)
    run_sql(kit.url, "delete from contact")
    assert performed(kit, promise) == Ended("dropped")
    assert kit.server.auths == []


def test_a_hand_that_raises_again_and_again_apologises_to_nobody(at, monkeypatch):
    kit = watched(at)
    monkeypatch.setattr(bot.credentials, "test_login", lambda *_args, **_more: 1 / 0)
    said = len(kit.bodies())
    for _ in range(5):
        looked_at(kit)
    assert the_watch(kit, "failed").attempt == 5
    assert len(kit.bodies()) == said
    (letter,) = kit.rows(tables.dead_letter)
    with pytest.raises(LookupError):  # the next sweep promised another
        kit.parts.turns.replay(letter.id)
    assert len(swept(kit)) == 1


@pytest.mark.parametrize("reply", [BUSY, DISABLED, WORKS, WRONG], ids=["busy", "admin", "works", "wrong"])
def test_the_secret_stands_nowhere_in_clear(at, reply):
    with capture_logs() as logs:
        kit = watched(at, auth=lambda conversation: conversation.say(f"{reply} ({PASSWORD})"))
        kit.say("menu")
        for _ in range(2):
            looked_at(kit)
            if not kit.promised(WATCH):
                break
    assert PASSWORD in [secret for _, secret in kit.server.sign_ins]
    for form in (PASSWORD, b64encode(PASSWORD.encode()).decode()[:-4]):
        assert form not in kit.dump()
        assert form not in str(kit.bodies())
        assert form not in str(logs)


# --- what only an admin can mend --------------------------------------------------------------------------------------


def affected(at, members=3, reply=DISABLED):
    """A kit with an admin, Bia, and so many members at one server; it will answer like this."""
    kit = at(auth=reply)
    kit.join(BIA, role="admin", name="Bia")
    for number in range(members):
        another_box(kit, f"+55119999100{number:02d}", number)
    kit.clock.move(days=3)
    kit.say("menu", BIA)
    kit.work()
    return kit


def whole(kit, hours=2.0):
    """Time goes by, step by step, and all that is due is done."""
    until = kit.clock.now() + timedelta(hours=hours)
    while kit.clock.now() < until:
        kit.clock.move(seconds=20)
        kit.work()


def test_the_admin_is_told_once_for_many_and_the_members_are_not_told(at):
    kit = affected(at)
    swept(kit)
    said, members = len(kit.bodies(BIA)), len(kit.channel.sent)
    whole(kit)
    assert {row.state for row in kit.rows(tables.mailbox)} == {"waiting"}
    told, asked = kit.bodies(BIA)[said:]  # the lines to copy are too long for one message with buttons
    assert words("news.watch_admin") in told
    assert words("news.watch_admin") not in asked
    assert all(f"m{number}@agency.test" in told for number in range(3))
    assert words("forward." + TENANT)[:40] in told
    assert kit.last(BIA).button("go:menu.switched_on")
    assert len(kit.channel.sent) == members + 2
    assert {row.cause for row in kit.rows(tables.mailbox)} == {TENANT}
    assert all(secret.expires_at is not None for secret in kit.rows(tables.secret))
    assert len(kit.promised(RETEST)) == 3


def test_the_first_mailbox_has_the_others_at_its_server_tested_soon(at):
    kit = affected(at)
    first = swept(kit)[0]
    run_sql(kit.url, f"delete from promise where kind = 'watch' and id <> {first.id}")
    run_sql(kit.url, "update mailbox set worked_at = %(at)s where id::text <> %(id)s",
            {"at": kit.clock.now(), "id": first.payload["mailbox"]})  # fmt: skip
    kit.clock.time = first.due_at
    kit.work()
    due = sorted(one.due_at - kit.clock.now() for one in kit.promised(WATCH))
    assert due == [timedelta(seconds=30), timedelta(seconds=60)]
    whole(kit)
    assert {row.state for row in kit.rows(tables.mailbox)} == {"waiting"}


def test_a_later_mailbox_with_the_same_cause_adds_no_second_message(at):
    kit = affected(at)
    swept(kit)
    whole(kit)
    another_box(kit, "+5511999910077", 77)
    run_sql(kit.url, "update mailbox set worked_at = worked_at - interval '4 days'")
    said = len(kit.bodies(BIA))
    swept(kit)
    whole(kit, 3)
    assert len([row for row in kit.rows(tables.mailbox) if row.state == "waiting"]) == 4
    assert kit.bodies(BIA)[said:] == []
    assert len(kit.promised(ADMIN_WARNING, "todo", "done")) == 1


def test_two_workers_that_find_the_same_cause_at_once_tell_it_once(at):
    kit = affected(at, 2)
    swept(kit)
    found = claimed(kit)
    assert len(found) == 2
    workers = [kit.new_worker(), kit.new_worker()]
    threads = [
        threading.Thread(target=worker._keep, args=(promise,)) for worker, promise in zip(workers, found, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row.state for row in kit.rows(tables.mailbox)} == {"waiting"}
    assert len(kit.promised(ADMIN_WARNING)) == 1
    assert len(kit.promised(RETEST)) == 2


def test_what_was_mended_before_the_admin_could_be_told_is_not_told(at):
    kit = affected(at)
    swept(kit)
    said = len(kit.bodies(BIA))
    whole(kit, 0.2)
    replies(kit, WORKS)
    whole(kit, 3)
    assert {row.state for row in kit.rows(tables.mailbox)} == {"works"}
    assert kit.bodies(BIA)[said:] == []


def test_members_who_heard_of_nothing_hear_nothing_when_it_works_again(at):
    kit = affected(at)
    swept(kit)
    whole(kit, 0.2)
    replies(kit, WORKS)
    said = len(kit.channel.sent)
    whole(kit, 3)
    assert {row.state for row in kit.rows(tables.mailbox)} == {"works"}
    assert len(kit.channel.sent) == said


def test_a_member_hears_the_cause_and_who_can_act_when_they_try_to_send(at):
    kit = affected(at, 1)
    who = "+5511999910000"
    kit.say("menu", who)
    kit.work()
    swept(kit)
    whole(kit, 0.2)
    kit.tap("write", who)
    kit.work()
    assert EN["compose.not_working"] in kit.bodies(who)[-1]
    assert EN[f"cause.{TENANT}"] in kit.bodies(who)[-1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_menu_says_why_nothing_can_be_sent_in_every_language(at, language):
    kit = affected(at, 1)
    who = "+5511999910000"
    run_sql(kit.url, f"update contact set language = '{language}'")
    swept(kit)
    whole(kit, 0.2)
    kit.say("menu", who)
    kit.work()
    kit.tap("mailbox", who)
    kit.work()
    assert texts(language)[f"cause.{TENANT}"] in kit.bodies(who)[-1]


def test_a_secret_that_is_wrong_after_the_admin_acted_is_told_to_its_person(at):
    kit = affected(at, 1)
    who = "+5511999910000"
    swept(kit)
    whole(kit, 0.2)
    kit.say("menu", who)
    kit.work()
    replies(kit, WRONG)
    said = len(kit.bodies(who))
    whole(kit, 1)
    (told,) = kit.bodies(who)[said:]
    assert words("news.watch_broke") in told


def test_three_days_without_an_admin_end_like_any_waiting(at):
    kit = affected(at, 1)
    who = "+5511999910000"
    swept(kit)
    for _ in range(90):  # after three days the last test comes, up to seven and a half hours later
        kit.clock.move(hours=1)
        kit.say("menu", who)
        kit.worker._sweep(kit.clock.now())
        kit.work()
    assert the_mailbox(kit).state == "broken"
    assert kit.rows(tables.secret) == []
    told = [body for body in kit.bodies(who) if words("news.watch_broke") in body]
    assert len(told) <= 1


def test_more_addresses_than_one_line_holds_are_all_named(at):
    from flows.remedies import in_pieces

    many = ", ".join(f"somebody.with.a.long.name.{n}@agency.test" for n in range(20))
    pieces = in_pieces(many)
    assert ", ".join(pieces) == many
    assert all(len(one) <= 200 for one in pieces)
    assert in_pieces("x" * 300) == ["x" * 300]


# --- by which way -----------------------------------------------------------------------------------------------------


def broken(kit):
    """The mailbox broke, and its person is to be told."""
    row = the_mailbox(kit)
    with kit.engine.begin() as db:
        now = kit.clock.now()
        assert mailboxes.settle(db, row.id, row.version, "broken", "wrong_credentials", "user", now, of="works")
        event = bot.watch.MailboxBroke(row.address, "wrong_credentials", worked=True)
        bot.watch._warn_of(db, row, event, row.version + 1, now)
    (promise,) = kit.promised(WARN)
    return promise


def told(kit, who=ANA):
    return [body for body in kit.bodies(who) if words("news.watch_broke") in body]


def test_news_that_nobody_asked_for_come_by_day(at):
    kit = watched(at)
    kit.clock.time = datetime(2026, 3, 6, 23, tzinfo=UTC)  # Friday, 20 h in São Paulo
    assert broken(kit).due_at == datetime(2026, 3, 9, 12, tzinfo=UTC)


def test_a_window_that_is_open_by_day_is_used(at):
    kit = watched(at)
    kit.say("menu")
    kit.work()
    kit.clock.move(hours=2)
    broken(kit)
    kit.work()
    assert len(told(kit)) == 1


def test_a_window_that_closed_is_waited_for_until_they_write(at):
    kit = watched(at)
    broken(kit)
    for _ in range(5):
        kit.clock.move(minutes=31)
        kit.work()
    assert told(kit) == []
    kit.clock.move(hours=11)  # late in the evening
    kit.say("menu")
    kit.work()
    assert len(told(kit)) == 1
    assert kit.promised(WARN) == []


def test_news_that_could_not_be_told_for_days_are_dropped(at):
    kit = watched(at)
    broken(kit)
    for _ in range(200):
        left = kit.promised(WARN)
        if not left:
            break
        kit.clock.time = left[0].due_at
        kit.work()
    assert [one.state for one in kit.promised(WARN, "dropped", "done")] == ["dropped"]
    kit.say("menu")
    kit.work()
    assert told(kit) == []


def test_news_that_are_over_before_they_could_be_told_are_not_told(at):
    kit = watched(at)
    broken(kit)
    kit.work()
    run_sql(kit.url, "update mailbox set state = 'works', version = version + 1")
    kit.say("menu")
    kit.work()
    assert told(kit) == []
    assert [one.state for one in kit.promised(WARN, "dropped")] == ["dropped"]


def with_slack(kit):
    """Ana is in Slack, too."""
    slack = Recorder()
    kit.parts = replace(kit.parts, tools=replace(kit.parts.tools, channels={CHANNEL: kit.channel, "slack": slack}))
    kit.worker = kit.new_worker()
    with kit.engine.begin() as db:
        now = kit.clock.now()
        people.add_contact(db, channel="slack", address=SLACK, external_id=None, name="", language="en", at=now)
        people.let_in(db, people.find_contact(db, SLACK)[0].id, kit.held().member_id)
    return slack


def test_who_is_in_slack_is_told_there_and_only_there(at):
    kit = watched(at)
    slack = with_slack(kit)
    kit.say("menu")
    kit.work()
    broken(kit)
    kit.work()
    assert [words("news.watch_broke") in one.body for one in slack.sent] == [True]
    assert told(kit) == []


def test_who_comes_to_slack_meanwhile_is_told_there(at):
    kit = watched(at)
    broken(kit)
    kit.work()
    slack = with_slack(kit)
    kit.clock.move(minutes=31)
    kit.work()
    assert [words("news.watch_broke") in one.body for one in slack.sent] == [True]


def test_at_most_one_message_a_week_is_sent_unasked_about_a_mailbox(at):
    kit = watched(at)
    slack = with_slack(kit)
    broken(kit)
    kit.work()
    assert len(slack.sent) == 1
    kit.clock.move(days=2)
    run_sql(kit.url, "update mailbox set state = 'works', version = version + 1")
    broken(kit)
    for _ in range(4):
        kit.clock.move(hours=1)
        kit.work()
    assert len(slack.sent) == 1
    kit.say("menu", SLACK, identity=Identity("slack", SLACK))
    kit.work()
    assert [words("news.watch_broke") in one.body for one in slack.sent].count(True) == 2


def test_a_week_later_it_may_be_told_again(at):
    kit = watched(at)
    slack = with_slack(kit)
    run_sql(kit.url, "update mailbox set warned_at = %(at)s", {"at": kit.clock.now() - WEEK})
    broken(kit)
    kit.work()
    assert len(slack.sent) == 1


def test_of_two_processes_that_tell_the_same_one_does(at):
    kit = watched(at)
    with_slack(kit)
    row = the_mailbox(kit)
    gate, taken = threading.Barrier(2), []

    def claim():
        with kit.engine.begin() as db:
            gate.wait()
            taken.append(mailboxes.warned(db, row.id, kit.clock.now(), kit.clock.now() - WEEK))

    threads = [threading.Thread(target=claim) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False, True]


def test_who_acts_for_another_agency_at_present_is_led_to_their_agencies(at):
    kit = watched(at)
    with kit.engine.begin() as db:
        other = people.add_agency(db, "Luna", "en", "America/Sao_Paulo", kit.clock.now())
        contact = kit.held().contact_id
        people.touch(db, contact, member_id=people.add_member(db, contact, other, "Ana", "member", kit.clock.now()))
    kit.say("menu")
    kit.work()
    broken(kit)
    kit.work()
    assert len(told(kit)) == 1
    assert kit.last().button("roles")
    with pytest.raises(StopIteration):
        kit.last().button("go:mailbox.password")


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_told_in_the_persons_language(at, language):
    kit = watched(at)
    run_sql(kit.url, f"update contact set language = '{language}'")
    kit.say("menu")
    kit.work()
    broken(kit)
    kit.work()
    assert texts(language)["cause.wrong_credentials"] in kit.bodies()[-1]
    assert texts(language)["news.watch_erased"] in kit.bodies()[-1]
    assert words("news.watch_broke", language) in kit.bodies()[-1]


def test_who_writes_at_the_weekend_is_told_then_and_not_on_monday(at):
    kit = watched(at)
    kit.clock.time = datetime(2026, 3, 7, 15, tzinfo=UTC)  # a Saturday
    broken(kit)
    kit.work()
    assert told(kit) == []
    kit.say("menu")
    kit.work()
    assert len(told(kit)) == 1
