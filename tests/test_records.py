"""What a turn writes into our own tables, record by record."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import get_args
from uuid import UUID, uuid4

import pytest

from bot.limits import LIMITS, Allowed, Exhausted
from bot.live_tests import count_test
from bot.mailbox_records import MAX_TOLD, RETEST_AFTER
from bot.safe import WAITING, use_of
from bot.scene import Scene
from bot.store import people as people_store
from bot.store import tables
from bot.store.promises import RETEST, TELL
from bot.vault import Secret
from flows import saved
from flows.words import (
    Account,
    AdminNeeded,
    CaseOpened,
    EraseSecret,
    FindHoster,
    HosterUnknown,
    Join,
    Joined,
    Judge,
    Judged,
    LinkOpened,
    LinkRefused,
    MailQueued,
    MailsExhausted,
    MemberDiffers,
    OpenCase,
    OpenLink,
    Record,
    RemoveMailbox,
    RetryWaiting,
    SaveMailbox,
    SendMail,
    Server,
    ServerFound,
    ServerWeighed,
    SetAgencyServer,
    SetLanguage,
    SetMessages,
    SwitchMailbox,
    TellAdmins,
    WeighServer,
)
from tests.botkit import ADDRESS, ANA, BIA, Kit, run_sql, table_of_providers

ACCOUNT = Account(ADDRESS, ADDRESS, Server("localhost", 465, "tls"))
MAIL = SendMail(("carla@client.test",), "The offer", "See you on Tuesday.")


def performed(kit, record, who=ANA):
    """One record written in a transaction of its own; its answer."""
    with kit.engine.begin() as db:
        held = kit.held(who)
        standing = kit.parts.turns._facts.read(db, held, kit.envelope(who), kit.clock.now())
        return kit.parts.turns._records.perform(Scene(db, held, standing, kit.clock.now()), record)


def secret(kit, who=ANA, account=ACCOUNT):
    """A sealed password of somebody; its id as records carry it."""
    with kit.engine.begin() as db:
        sealed = kit.parts.safe.put(
            db, Secret("x"), kind="mailbox.password", owner=kit.held(who).contact_id, use=use_of(account),
            now=kit.clock.now(),
        )  # fmt: skip
    return str(sealed)


def the(kit, table):
    (row,) = kit.rows(table)
    return row


def test_every_record_of_the_flows_can_be_performed(kit):
    assert kit.parts.turns._records.kinds == set(get_args(Record))


def test_a_code_is_accepted(kit):
    kit.say("hi")
    assert performed(kit, Join(kit.invite().replace("-", ""))) == Joined("Agência Sol")


def test_the_language_is_kept(kit):
    kit.say("hi")
    assert performed(kit, SetLanguage("es")) is None
    assert the(kit, tables.contact).language == "es"


def test_the_wish_for_no_messages_is_kept_with_its_time_and_taken_back(kit):
    kit.say("hi")
    performed(kit, SetMessages(wanted=False))
    assert the(kit, tables.contact).stopped_at == kit.clock.now()
    performed(kit, SetMessages(wanted=True))
    assert the(kit, tables.contact).stopped_at is None


def test_a_secret_is_erased_at_once_and_only_this_one(kit):
    kit.join()
    mine, other = secret(kit), secret(kit)
    performed(kit, EraseSecret(mine))
    assert str(the(kit, tables.secret).id) == other


# --- links ------------------------------------------------------------------------------------------------------------


def test_a_link_opens_without_an_address_and_closes_the_older_ones(kit):
    kit.join()
    first = performed(kit, OpenLink(ACCOUNT))
    second = performed(kit, OpenLink(ACCOUNT))
    assert isinstance(first, LinkOpened)
    states = {str(row.id): row.closed_at for row in kit.rows(tables.link)}
    assert states == {first.link_id: kit.clock.now(), second.link_id: None}
    assert kit.rows(tables.link_token) == []


def test_a_link_of_one_person_closes_nobody_elses(kit):
    kit.join(ANA)
    kit.join(BIA)
    performed(kit, OpenLink(ACCOUNT), ANA)
    performed(kit, OpenLink(ACCOUNT), BIA)
    assert [row.closed_at for row in kit.rows(tables.link)] == [None, None]


def test_somebody_without_an_agency_gets_no_link(kit):
    kit.say("hi")
    assert performed(kit, OpenLink(ACCOUNT)) == LinkRefused()
    assert kit.rows(tables.link) == []


def test_more_than_ten_links_an_hour_are_refused_without_closing_the_last_one(kit):
    kit.join()
    for _ in range(10):
        assert isinstance(performed(kit, OpenLink(ACCOUNT)), LinkOpened)
    assert performed(kit, OpenLink(ACCOUNT)) == LinkRefused()
    assert sum(row.closed_at is None for row in kit.rows(tables.link)) == 1


# --- mailboxes --------------------------------------------------------------------------------------------------------


def test_a_mailbox_that_works_keeps_its_secret_for_good(kit):
    kit.join()
    mine = secret(kit)
    performed(kit, SaveMailbox(ACCOUNT, mine))
    box = the(kit, tables.mailbox)
    assert (box.address, box.user_name, box.host, box.port, box.security) == (
        ADDRESS, ADDRESS, "localhost", 465, "tls",
    )  # fmt: skip
    assert (box.state, box.cause, box.who, box.version, box.since) == ("works", "", "", 1, kit.clock.now())
    assert the(kit, tables.secret).expires_at is None


def test_a_mailbox_that_waits_keeps_its_secret_for_three_days(kit):
    kit.join()
    performed(kit, SaveMailbox(ACCOUNT, secret(kit), "greylisted", "wait"))
    box = the(kit, tables.mailbox)
    assert (box.state, box.cause, box.who) == ("waiting", "greylisted", "wait")
    assert the(kit, tables.secret).expires_at == kit.clock.now() + WAITING == kit.clock.now() + timedelta(hours=72)


def test_a_new_secret_replaces_the_old_one_and_raises_the_version(kit):
    kit.join()
    performed(kit, SaveMailbox(ACCOUNT, secret(kit)))
    new = secret(kit)
    performed(kit, SaveMailbox(ACCOUNT, new))
    assert (the(kit, tables.mailbox).version, str(the(kit, tables.secret).id)) == (2, new)


def test_the_same_secret_saved_again_is_not_erased(kit):
    """It waited for its server, and then it worked."""
    kit.join()
    mine = secret(kit)
    performed(kit, SaveMailbox(ACCOUNT, mine, "greylisted", "wait"))
    performed(kit, SaveMailbox(ACCOUNT, mine))
    assert (the(kit, tables.mailbox).state, str(the(kit, tables.secret).id)) == ("works", mine)
    assert the(kit, tables.secret).expires_at is None


def test_each_member_has_a_mailbox_of_their_own(kit):
    kit.join(ANA)
    kit.join(BIA)
    performed(kit, SaveMailbox(ACCOUNT, secret(kit, ANA)), ANA)
    performed(kit, SaveMailbox(ACCOUNT, secret(kit, BIA)), BIA)
    assert len(kit.rows(tables.mailbox)) == len(kit.rows(tables.secret)) == 2


def test_switching_changes_the_verdict_and_the_version(kit):
    kit.mailbox()
    performed(kit, SwitchMailbox(on=False))
    assert (the(kit, tables.mailbox).state, the(kit, tables.mailbox).version) == ("off", 2)
    performed(kit, SwitchMailbox(on=True))
    assert (the(kit, tables.mailbox).state, the(kit, tables.mailbox).version) == ("works", 3)


def test_removing_erases_the_mailbox_with_its_secret_and_the_mails_that_wait(kit):
    kit.mailbox()
    performed(kit, MAIL)
    performed(kit, RemoveMailbox())
    assert kit.rows(tables.mailbox) == kit.rows(tables.outgoing_mail) == []
    assert [row.kind for row in kit.rows(tables.secret)] == ["mail.body"]  # until its promise or its time ends


@pytest.mark.parametrize("record", [SwitchMailbox(on=True), RemoveMailbox()])
def test_without_a_mailbox_there_is_nothing_to_switch_or_remove(kit, record):
    kit.join()
    assert performed(kit, record) is None


@pytest.mark.parametrize("record", [MAIL, SaveMailbox(ACCOUNT, str(uuid4()))])
def test_what_no_flow_asks_for_is_a_fault_and_not_a_guess(kit, record):
    kit.say("hi")
    with pytest.raises(LookupError):
        performed(kit, record)


def retests(kit):
    return kit.promised(RETEST)


def test_a_mailbox_that_waits_is_promised_to_be_tested_again_and_the_promise_holds_no_secret(kit):
    held = kit.join()
    mine = secret(kit)
    performed(kit, SaveMailbox(ACCOUNT, mine, "greylisted", "wait"))
    (promise,) = retests(kit)
    assert (promise.lane, promise.due_at) == ("work", kit.clock.now() + RETEST_AFTER[0])
    assert promise.payload == {"member": str(held.member_id), "version": 1}


def test_a_mailbox_that_works_is_not_promised_to_be_tested(kit):
    kit.join()
    performed(kit, SaveMailbox(ACCOUNT, secret(kit)))
    assert retests(kit) == []


def test_saving_again_makes_no_second_test_and_begins_to_count_anew(kit):
    kit.join()
    performed(kit, SaveMailbox(ACCOUNT, secret(kit), "greylisted", "wait"))
    kit.clock.move(minutes=10)
    performed(kit, SaveMailbox(ACCOUNT, secret(kit), "rate_limited", "wait"))
    (promise,) = retests(kit)
    assert promise.due_at == kit.clock.now() + RETEST_AFTER[0]
    assert promise.payload["version"] == the(kit, tables.mailbox).version == 2


def test_a_mailbox_that_works_now_is_not_tested_again(kit):
    kit.join()
    mine = secret(kit)
    performed(kit, SaveMailbox(ACCOUNT, mine, "greylisted", "wait"))
    performed(kit, SaveMailbox(ACCOUNT, mine))
    assert retests(kit) == []


# --- the agency's server ----------------------------------------------------------------------------------------------


def at_host(host):
    return Account(ADDRESS, ADDRESS, Server(host, 465, "tls"))


def demands(kit, host, rule="warn"):
    """The agency of the kit has this one server."""
    with kit.engine.begin() as db:
        people_store.set_server(db, kit.agency, host, 465, "tls")
        people_store.set_rule(db, kit.agency, rule)


@pytest.mark.parametrize("host", ["smtp.gmail.com", "smtp.googlemail.com", "SMTP.Gmail.com"])
def test_an_account_at_the_agencys_provider_is_the_same_whatever_its_host_is_called(kit, host):
    kit.join()
    demands(kit, "smtp.gmail.com", "strict")
    assert performed(kit, Judge(at_host(host))) == Judged(at_host(host))


@pytest.mark.parametrize("rule", ["warn", "strict"])
@pytest.mark.parametrize("host", ["smtp.office365.com", "mail.elsewhere.test", "smtp.gmail.com.elsewhere.test"])
def test_an_account_elsewhere_is_judged_by_the_agencys_rule(kit, host, rule):
    kit.join()
    demands(kit, "smtp.gmail.com", rule)
    assert performed(kit, Judge(at_host(host), confirm=True)) == Judged(at_host(host), confirm=True, differs=rule)


def test_a_server_that_no_table_knows_is_the_same_only_under_its_own_name(kit):
    kit.join()
    demands(kit, "mail.agency.test")
    assert performed(kit, Judge(at_host("mail.agency.test"))).differs == ""
    assert performed(kit, Judge(at_host("mail2.agency.test"))).differs == "warn"


@pytest.mark.parametrize("joined", [True, False], ids=["no server demanded", "no agency"])
def test_without_an_agencys_server_every_server_will_do(kit, joined):
    kit.join() if joined else kit.say("hi")
    run_sql(kit.url, "update agency set server_rule = 'strict'")
    assert performed(kit, Judge(at_host("mail.elsewhere.test"), confirm=True)) == Judged(
        at_host("mail.elsewhere.test"), confirm=True
    )


def test_another_agencys_demand_is_not_ours(kit):
    kit.join()
    run_sql(kit.url, "insert into agency (id, name, language, timezone, created_at, host, server_rule)"
            " values (gen_random_uuid(), 'Luna', 'es', 'UTC', now(), 'smtp.gmail.com', 'strict')")  # fmt: skip
    assert performed(kit, Judge(at_host("mail.elsewhere.test"))).differs == ""


def the_agency(kit, name="Agência Sol"):
    return next(one for one in kit.rows(tables.agency) if one.name == name)


def test_an_admin_sets_the_agencys_server_and_takes_it_back(kit):
    kit.join(BIA, role="admin")
    other = elsewhere(kit)
    assert performed(kit, SetAgencyServer(Server("smtp.gmail.com", 587, "starttls")), BIA) is None
    mine = the_agency(kit)
    assert (mine.host, mine.port, mine.security) == ("smtp.gmail.com", 587, "starttls")
    assert the_agency(kit, "Luna").id == other
    assert the_agency(kit, "Luna").host == ""
    performed(kit, SetAgencyServer(None), BIA)
    mine = the_agency(kit)
    assert (mine.host, mine.port, mine.security) == ("", 0, "")


def test_who_changed_the_agencys_server_is_noted_by_ids_only(kit):
    kit.join(BIA, role="admin")
    performed(kit, SetAgencyServer(Server("smtp.gmail.com", 465, "tls")), BIA)
    *_, note = kit.rows(tables.audit)
    (member,) = kit.rows(tables.member)
    assert (note.actor, note.action, note.subject) == (str(member.id), "agency_server", str(kit.agency))
    assert note.at == kit.clock.now()


@pytest.mark.parametrize("server", [Server("evil.test", 465, "tls"), None], ids=["another", "none"])
@pytest.mark.parametrize("who", ["a member", "nobody's member", "an admin no more"])
def test_nobody_but_an_admin_changes_the_agencys_server(kit, who, server):
    kit.say("hi") if who == "nobody's member" else kit.join(role="admin" if "admin" in who else "member")
    demands(kit, "smtp.gmail.com")
    if who == "an admin no more":
        run_sql(kit.url, "update member set removed_at = now()")
    assert performed(kit, SetAgencyServer(server)) is None
    assert the_agency(kit).host == "smtp.gmail.com"
    assert "agency_server" not in [row.action for row in kit.rows(tables.audit)]


def test_how_many_mailboxes_use_another_provider_than_a_server_of_the_agencys_is_counted(kit):
    for who, host in ((ANA, "smtp.googlemail.com"), (BIA, "smtp.gmail.com"), (CARLA, "smtp.office365.com"),
                      (DAVI, "mail.elsewhere.test")):  # fmt: skip
        kit.join(who, role="admin" if who == BIA else "member")
        account = at_host(host)
        performed(kit, SaveMailbox(account, secret(kit, who, account)), who)
    asked = Server("smtp.gmail.com", 587, "starttls")
    assert performed(kit, WeighServer(asked), BIA) == ServerWeighed(asked, 2)
    assert performed(kit, WeighServer(Server("mail.elsewhere.test", 465, "tls")), BIA).touched == 3


def test_mailboxes_of_another_agency_and_of_who_was_removed_do_not_count(kit):
    for who, agency in ((ANA, None), (BIA, None), (CARLA, elsewhere(kit))):
        kit.join(who, role="admin" if who == BIA else "member", agency=agency)
        account = at_host("mail.elsewhere.test")
        performed(kit, SaveMailbox(account, secret(kit, who, account)), who)
    run_sql(kit.url, "update member set removed_at = now() where role = 'member'")
    assert performed(kit, WeighServer(Server("smtp.gmail.com", 465, "tls")), BIA).touched == 1


# --- the company that is paid for the e-mail --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("called", "host"),
    [("Locaweb", "email-ssl.com.br"), ("google", "smtp.gmail.com"), ("  GMAIL ", "smtp.gmail.com")],
)
def test_a_company_that_we_know_is_found_by_what_people_call_it(kit, called, host):
    kit.join()
    answer = performed(kit, FindHoster("ana@somewhere.test", called))
    assert isinstance(answer, ServerFound)
    assert (answer.account.address, answer.account.user) == ("ana@somewhere.test",) * 2
    assert (answer.account.server.host, answer.confirm) == (host, False)


@pytest.mark.parametrize("called", ["Fritz und Söhne", "", "?", "mail", "x" * 5_000])
def test_a_company_that_nobody_knows_is_said_to_be_unknown(kit, called):
    kit.join()
    assert performed(kit, FindHoster("ana@somewhere.test", called)) == HosterUnknown()


# --- admins -----------------------------------------------------------------------------------------------------------

NEEDED = AdminNeeded("Ana", ADDRESS, "smtp_auth_disabled_tenant_or_mailbox")
CARLA, DAVI = "+5511999990003", "+5511999990004"


def news(kit):
    """What is promised to be told, by conversation."""
    return {row.conversation_id: saved.load(row.payload["event"]) for row in kit.promised(TELL)}


def elsewhere(kit):
    """Another agency."""
    with kit.engine.begin() as db:
        return people_store.add_agency(db, "Luna", "es", "UTC", kit.clock.now())


def waits(kit, who, address, cause=NEEDED.cause):
    account = replace(ACCOUNT, address=address)
    performed(kit, SaveMailbox(account, secret(kit, who, account), cause, "agency_admin"), who)


def test_every_admin_of_the_agency_is_told_in_their_own_conversation_and_nobody_else(kit):
    kit.join(ANA)
    bia, carla = kit.join(BIA, role="admin"), kit.join(CARLA, role="admin")
    kit.join(DAVI, role="admin", agency=elsewhere(kit))
    kit.join("+5511999990005")  # a member like Ana
    performed(kit, TellAdmins(NEEDED), ANA)
    assert news(kit) == {bia.id: NEEDED, carla.id: NEEDED}
    assert {row.lane for row in kit.promised(TELL)} == {"work"}


def test_an_admin_with_a_problem_of_their_own_is_not_told_of_it_twice(kit):
    kit.join(ANA, role="admin")
    bia = kit.join(BIA, role="admin")
    performed(kit, TellAdmins(NEEDED), ANA)
    assert set(news(kit)) == {bia.id}


def test_an_admin_who_was_removed_is_not_told(kit):
    kit.join(ANA)
    kit.join(BIA, role="admin")
    run_sql(kit.url, "update member set removed_at = now() where role = 'admin'")
    performed(kit, TellAdmins(NEEDED), ANA)
    assert news(kit) == {}


def test_without_an_agency_there_is_nobody_to_tell(kit):
    kit.say("hi")
    performed(kit, TellAdmins(NEEDED))
    assert news(kit) == {}


def test_an_admin_reads_of_all_addresses_that_wait_for_the_same_thing(kit):
    kit.join(ANA)
    kit.join(CARLA)
    kit.join(DAVI)
    kit.join("+5511999990005", agency=elsewhere(kit))
    bia = kit.join(BIA, role="admin")
    waits(kit, ANA, "ana@agency.test")
    waits(kit, CARLA, "carla@agency.test")
    waits(kit, DAVI, "davi@agency.test", "greylisted")
    waits(kit, "+5511999990005", "eva@luna.test")
    performed(kit, TellAdmins(NEEDED), ANA)
    assert news(kit)[bia.id].addresses == "ana@agency.test, carla@agency.test"


def test_a_message_to_an_admin_holds_so_many_addresses_and_not_more(kit):
    kit.join(ANA)
    bia = kit.join(BIA, role="admin")
    with kit.engine.begin() as db:
        for number in range(MAX_TOLD + 5):
            member = uuid4()
            db.execute(tables.member.insert().values(id=member, agency_id=kit.agency, name="x", role="member",
                                                     created_at=kit.clock.now()))  # fmt: skip
            db.execute(tables.mailbox.insert().values(
                id=uuid4(), member_id=member, address=f"m{number}@agency.test", user_name="x", host="localhost",
                port=465, security="tls", state="waiting", cause=NEEDED.cause, version=1, since=kit.clock.now(),
            ))  # fmt: skip
    performed(kit, TellAdmins(NEEDED), ANA)
    assert news(kit)[bia.id].addresses.count("@") == MAX_TOLD


def test_a_member_who_goes_elsewhere_is_told_with_the_server(kit):
    kit.join(ANA)
    bia = kit.join(BIA, role="admin")
    differs = MemberDiffers("Ana", ADDRESS, "mail.elsewhere.test", asks=True)
    performed(kit, TellAdmins(differs), ANA)
    assert news(kit) == {bia.id: differs}


def due(kit):
    return {row.conversation_id: row.due_at for row in retests(kit)}


def test_an_admin_has_all_that_wait_in_their_agency_tested_at_once(kit):
    ana, carla = kit.join(ANA), kit.join(CARLA)
    kit.join(BIA, role="admin")
    stranger = kit.join(DAVI, agency=elsewhere(kit))
    for who in (ANA, CARLA, DAVI):
        waits(kit, who, ADDRESS)
    later = kit.clock.now() + RETEST_AFTER[0]
    performed(kit, RetryWaiting(), BIA)
    assert due(kit) == {ana.id: kit.clock.now(), carla.id: kit.clock.now(), stranger.id: later}


def test_what_still_waits_then_is_tested_once_more_at_the_times_that_were_promised(kit):
    kit.join(ANA)
    kit.join(BIA, role="admin")
    waits(kit, ANA, ADDRESS)
    performed(kit, RetryWaiting((15, 60)), BIA)
    at = [datetime.fromisoformat(one) - kit.clock.now() for one in retests(kit)[0].payload["again"]]
    assert at == [timedelta(minutes=15), timedelta(minutes=60)]


def test_a_member_who_is_no_admin_hurries_nobody(kit):
    ana = kit.join(ANA)
    kit.join(BIA)
    waits(kit, ANA, ADDRESS)
    performed(kit, RetryWaiting(), BIA)
    performed(kit, RetryWaiting(), ANA)
    assert due(kit) == {ana.id: kit.clock.now() + RETEST_AFTER[0]}


def test_who_was_admin_of_it_hurries_nobody(kit):
    ana = kit.join(ANA)
    kit.join(BIA, role="admin")
    waits(kit, ANA, ADDRESS)
    run_sql(kit.url, "update member set removed_at = now() where role = 'admin'")
    performed(kit, RetryWaiting(), BIA)
    assert due(kit) == {ana.id: kit.clock.now() + RETEST_AFTER[0]}


# --- mail -------------------------------------------------------------------------------------------------------------


def test_a_mail_is_kept_sealed_with_its_own_message_id_and_version(kit):
    kit.mailbox()
    answer = performed(kit, MAIL)
    mail = the(kit, tables.outgoing_mail)
    assert answer == MailQueued(str(mail.id))
    assert (mail.recipients, mail.state, mail.mailbox_version) == (["carla@client.test"], "todo", 1)
    assert mail.message_id == f"<{mail.id.hex}@agency.test>"
    assert mail.date == kit.clock.now()
    assert "Tuesday" not in kit.dump()
    with kit.engine.begin() as db:
        words = kit.parts.safe.take(db, mail.content_id, kind="mail.body", use={"mail": str(mail.id)})
    assert words.reveal() == "The offer\nSee you on Tuesday."


def test_the_promise_of_a_mail_carries_its_id_and_nothing_else(kit):
    kit.mailbox()
    answer = performed(kit, MAIL)
    (promise,) = [row for row in kit.rows(tables.promise) if row.kind == "SendMail"]
    assert (promise.lane, promise.payload) == ("mail", {"mail": answer.mail_id})


@pytest.mark.parametrize("settings", [{}, {"MAILS_PER_HOUR": "3"}], ids=["as shipped", "as an operator set it"])
def test_a_mail_beyond_those_of_an_hour_is_not_kept(database_url, tmp_path, settings):
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path), **settings) as kit:
        kit.mailbox()
        most = kit.settings.mails_per_hour
        assert [type(performed(kit, MAIL)) for _ in range(most)] == [MailQueued] * most
        assert performed(kit, MAIL) == MailsExhausted(60)
        assert len(kit.rows(tables.outgoing_mail)) == most == int(settings.get("MAILS_PER_HOUR", "20"))


def mail_to(*who):
    return replace(MAIL, recipients=tuple(f"{one}@client.test" for one in who))


def test_a_mailbox_writes_to_so_many_people_a_day_and_what_was_refused_does_not_count(
    database_url, tmp_path, monkeypatch
):
    monkeypatch.setitem(LIMITS, "recipient", {"mailbox": "3 per day"})
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as kit:
        kit.mailbox()
        assert isinstance(performed(kit, mail_to("bia", "carla")), MailQueued)
        assert performed(kit, mail_to("davi", "eva")) == MailsExhausted(24 * 60)
        assert isinstance(performed(kit, mail_to("davi")), MailQueued)
        assert len(kit.rows(tables.outgoing_mail)) == 2


def test_an_agency_sends_so_many_mails_an_hour_whoever_writes_them(database_url, tmp_path, monkeypatch):
    monkeypatch.setitem(LIMITS, "agency_mail", {"agency": "2 per hour"})
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as kit:
        kit.mailbox()
        kit.mailbox(BIA)
        assert [type(performed(kit, MAIL, who)) for who in (ANA, BIA)] == [MailQueued] * 2
        assert [performed(kit, MAIL, who) for who in (ANA, BIA)] == [MailsExhausted(60)] * 2


def test_at_one_address_so_many_sign_ins_an_hour_are_tried_whoever_asks_and_at_whatever_server(kit):
    most = int(LIMITS["sign_in"]["address"].split()[0])
    held = kit.join()

    def tried(number):
        address = ADDRESS.upper() if number % 2 else ADDRESS
        account = Account(address, address, Server(f"mail{number}.agency.test", 465, "tls"))
        return count_test(kit.parts.tools, replace(held, contact_id=uuid4(), member_id=None), account)

    assert [tried(number) for number in range(most + 1)] == [Allowed()] * most + [Exhausted(60)]


# --- cases ------------------------------------------------------------------------------------------------------------


def test_a_case_has_a_short_number_and_is_opened_once(kit):
    kit.say("hi")
    first = performed(kit, OpenCase("asked"))
    assert first == CaseOpened(101)
    assert performed(kit, OpenCase("stuck")) == first
    assert the(kit, tables.case).reason == "asked"


def test_a_new_case_is_opened_after_the_old_one_was_closed(kit):
    kit.say("hi")
    first = performed(kit, OpenCase("asked"))
    run_sql(kit.url, 'update "case" set closed_at = now()')
    assert performed(kit, OpenCase("asked")).number > first.number


def test_two_people_have_two_cases(kit):
    kit.say("hi", ANA)
    kit.say("hi", BIA)
    numbers = {performed(kit, OpenCase("asked"), who).number for who in (ANA, BIA)}
    assert len(numbers) == 2
    assert {row.conversation_id for row in kit.rows(tables.case)} == {kit.held(ANA).id, kit.held(BIA).id}


def test_ids_in_records_are_ids_of_ours(kit):
    kit.join()
    assert UUID(secret(kit)) in {row.id for row in kit.rows(tables.secret)}
