"""How somebody unknown becomes a member, and what an admin does with members; of another agency's nobody."""

import json
from dataclasses import fields
from datetime import timedelta
from uuid import uuid4

import pytest

from bot import people, team
from bot.calendar import next_day_hour
from bot.scene import Scene
from bot.store import bounds, mailboxes, tables
from bot.store import people as people_store
from bot.vault import Secret
from flows.menu import ChoosingLanguage
from flows.speech import texts
from flows.words import (
    AccessAsked,
    AccessDecided,
    AccessRefused,
    ActFor,
    AskAccess,
    DecideAccess,
    EraseSecret,
    ExcludeMember,
    InvitationMade,
    Invite,
    LeaveAgency,
    PauseMember,
    RemindMember,
    SaveMailbox,
    SetRole,
    TakeKey,
    TeamChanged,
    TeamRefused,
)
from tests.botkit import ADDRESS, ANA, MONDAY, PASSWORD, Kit, run_sql, table_of_providers

EN, PT = texts("en"), texts("pt")
BIA, CAIO, EVA = "+5511999990002", "+5511999990003", "+5511999990005"


@pytest.fixture
def kit(database_url, tmp_path):
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as kit:
        yield kit


def admin(kit, who=BIA, agency=None):
    kit.join(who, role="admin", agency=agency)
    kit.say("menu", who)
    kit.work()
    return kit.held(who)


def perform(kit, who, record):
    """One record in somebody's name."""
    held = kit.held(who)
    with kit.engine.begin() as db:
        standing = kit.parts.turns._facts.read(db, held, kit.envelope(who), kit.clock.now())
        return kit.parts.turns._records.perform(Scene(db, held, standing, kit.clock.now()), record)


def wish(kit, who=EVA, agency="Agência Sol", address="eva@client.test"):
    """Somebody unknown asks for access in the chat."""
    kit.say("hello", who)
    kit.work()
    kit.tap("access", who)
    kit.work()
    for words in (agency, address):
        kit.say(words, who)
        kit.work()


def at_sol(kit):
    """Ana's mailbox lies under a domain of the agency's own, which is in no table of providers."""
    kit.mailbox(ANA)
    run_sql(kit.url, "update mailbox set address = 'ana@sol.test'")


def last(kit, who):
    return kit.last(who).body


def other_agency(kit):
    with kit.engine.begin() as db:
        return people_store.add_agency(db, "Other", "en", "America/Sao_Paulo", kit.clock.now())


# --- asking for access ------------------------------------------------------------------------------------------------


def test_a_wish_under_an_agency_s_own_domain_is_put_to_its_admin_who_lets_the_person_in(kit):
    admin(kit)
    at_sol(kit)
    wish(kit, address="eva@sol.test")
    assert PT["welcome.passed_on"] in last(kit, EVA)
    assert "eva@sol.test" in last(kit, BIA)
    assert EVA in last(kit, BIA)
    kit.tap(kit.last(BIA).message.buttons[-2].id.partition(":")[2], BIA)
    kit.work()
    assert EN["access.granted"].partition("*")[2][-20:] in last(kit, BIA)
    assert PT["news.access_granted"].partition("*")[0] in last(kit, EVA)
    assert kit.held(EVA).member_id is not None
    assert kit.rows(tables.case) == []
    assert any(row.action == "access_granted" for row in kit.rows(tables.audit))


def test_the_one_who_is_not_known_is_told_and_stays_outside(kit):
    admin(kit)
    at_sol(kit)
    wish(kit, address="eva@sol.test")
    kit.tap(kit.last(BIA).message.buttons[-1].id.partition(":")[2], BIA)
    kit.work()
    assert PT["news.access_declined"] in last(kit, EVA)
    assert kit.held(EVA).member_id is None


def test_the_first_word_counts_and_a_second_one_changes_nothing(kit):
    admin(kit)
    admin(kit, CAIO)
    at_sol(kit)
    wish(kit, address="eva@sol.test")
    yes, no = (one.id for one in kit.last(BIA).message.buttons[-2:])
    kit.say("(tap)", BIA, button=yes)
    kit.work()
    kit.say("(tap)", CAIO, button=no)
    kit.work()
    assert EN["access.already"] in last(kit, CAIO)
    assert kit.held(EVA).member_id is not None


@pytest.mark.parametrize(
    ("address", "why"),
    [("eva@gmail.com", "a provider's domain"), ("eva@nobody.test", "nobody's domain")],
)
def test_any_other_wish_goes_to_support_and_the_asker_reads_the_same(kit, address, why):
    admin(kit)
    at_sol(kit)
    wish(kit, address=address)
    assert PT["welcome.passed_on"] in last(kit, EVA), why
    (case,) = kit.rows(tables.case)
    assert case.reason == "access"
    assert address not in kit.last(BIA).body


def test_a_domain_that_two_agencies_share_is_for_support(kit):
    admin(kit)
    at_sol(kit)
    agency = other_agency(kit)
    admin(kit, CAIO, agency)
    with kit.engine.begin() as db:
        values = {"address": "x@sol.test", "user_name": "x", "host": "h", "port": 465, "security": "tls",
                  "secret_id": None, "state": "works", "since": kit.clock.now()}  # fmt: skip
        mailboxes.save(db, kit.held(CAIO).member_id, values)
    wish(kit, address="eva@sol.test")
    assert [row.reason for row in kit.rows(tables.case)] == ["access"]


def test_a_domain_whose_agency_has_no_admin_is_for_support(kit):
    at_sol(kit)
    wish(kit, address="eva@sol.test")
    assert [row.reason for row in kit.rows(tables.case)] == ["access"]


def test_more_than_three_wishes_a_day_are_not_passed_on(kit):
    wish(kit)
    asked = [perform(kit, EVA, AskAccess("Sol", "eva@client.test")) for _ in range(3)]
    assert asked == [AccessAsked(), AccessAsked(), AccessRefused()]
    assert len([row for row in kit.rows(tables.access_request) if row.state == "open"]) == 1


def test_where_sign_up_is_closed_it_is_not_offered(database_url, tmp_path):
    with Kit(database_url, tmp_path, SIGNUP="closed") as kit:
        kit.say("hello", EVA)
        kit.work()
        assert [one.id.rpartition(":")[2] for one in kit.last(EVA).message.buttons] == ["invitation", "person"]


def test_an_admin_of_another_agency_decides_nothing(kit):
    admin(kit)
    at_sol(kit)
    wish(kit, address="eva@sol.test")
    (request,) = kit.rows(tables.access_request)
    admin(kit, CAIO, other_agency(kit))
    assert perform(kit, CAIO, DecideAccess(str(request.id), granted=True)) == AccessDecided(
        "?", granted=False, already=True
    )
    assert perform(kit, ANA, DecideAccess(str(request.id), granted=True)).already  # a member, no admin
    assert perform(kit, BIA, DecideAccess("no id at all", granted=True)).already
    assert kit.held(EVA).member_id is None


def test_old_wishes_are_forgotten(kit):
    wish(kit)
    with kit.engine.begin() as db:
        bounds.erase(db, tables.access_request, kit.clock.now() + timedelta(seconds=1), timedelta())
    assert kit.rows(tables.access_request) == []


# --- invitations for many ---------------------------------------------------------------------------------------------


def test_a_mistyped_code_is_said_to_be_one_even_in_the_first_message(kit):
    kit.say("WRNG-CODE-XXXX", EVA)
    kit.work()
    assert PT["welcome.refused.unknown"] in last(kit, EVA)
    assert PT["welcome.door"] in last(kit, EVA)


def test_who_joins_in_the_evening_is_told_to_the_admin_in_the_morning(kit):
    admin(kit)
    code = kit.invite(uses=3)
    told = EN["news.member_joined"].split("{number}")[1].partition(".")[0].strip(") ")
    kit.clock.move(hours=8)  # 20 h in São Paulo
    kit.say(f"My invitation code is {code}", EVA)
    kit.work()
    assert told not in last(kit, BIA)
    assert "Agência Sol" in last(kit, EVA)  # and she lost no time
    kit.clock.move(hours=13)
    kit.work()
    assert told in last(kit, BIA)


def test_who_joins_by_a_group_s_invitation_is_told_to_the_admin_who_may_not_know_them(kit):
    admin(kit)
    code = kit.invite(uses=3)
    kit.say(f"My invitation code is {code}", EVA)
    kit.work()
    assert EN["news.member_joined"].split("{number}")[1].partition(".")[0].strip(") ") in last(kit, BIA)
    unknown = kit.last(BIA).message.buttons[-1].id
    kit.say("(tap)", BIA, button=unknown)
    kit.work()
    kit.tap("yes", BIA)
    kit.work()
    assert kit.held(EVA).member_id is None
    assert EN["news.excluded"].partition("*")[0] in last(kit, EVA)


def test_an_invitation_for_one_tells_nobody(kit):
    admin(kit)
    before = len(kit.bodies(BIA))
    kit.join(EVA)
    assert len(kit.bodies(BIA)) == before


def test_all_is_well_is_noted_without_leaving_what_is_being_done(kit):
    admin(kit)
    kit.say(f"My invitation code is {kit.invite(uses=3)}", EVA)
    kit.work()
    known = kit.last(BIA).message.buttons[-2].id
    kit.tap("language", BIA)
    kit.work()
    state = kit.envelope(BIA).state
    kit.say("(tap)", BIA, button=known)
    kit.work()
    assert EN["news.noted"] in last(kit, BIA)
    assert kit.envelope(BIA).state == state == ChoosingLanguage()


def test_an_admin_s_invitation_is_good_and_its_code_stands_nowhere(kit):
    admin(kit)
    made = perform(kit, BIA, Invite("member", 1, "en"))
    assert isinstance(made, InvitationMade)
    assert (made.uses, made.days) == (1, 7)
    kit.say(made.forward, EVA)
    kit.work()
    assert kit.held(EVA).member_id is not None
    code = made.forward.rpartition(" ")[2].rstrip(".")
    assert code not in str(kit.rows(tables.invitation))


def test_the_words_to_forward_carry_a_link_to_our_number():
    link, words = team.forward_text("whatsapp:+1 555 0100", "ACDE-7FGH-JKMN", "pt")
    assert link.startswith("https://wa.me/15550100?text=")
    assert link in words
    assert team.forward_text("", "ACDE-7FGH-JKMN", "pt")[0] == ""


# --- the members ------------------------------------------------------------------------------------------------------


def member_id(kit, who):
    return str(kit.held(who).member_id)


def test_a_member_is_paused_and_resumed_and_the_secret_stays(kit):
    admin(kit)
    secret = kit.mailbox(ANA)
    assert perform(kit, BIA, PauseMember(member_id(kit, ANA), off=True)) == TeamChanged()
    (box,) = kit.rows(tables.mailbox)
    assert (box.state, box.secret_id) == ("off", secret)
    assert perform(kit, BIA, PauseMember(member_id(kit, ANA), off=True)) == TeamRefused("gone")
    assert perform(kit, BIA, PauseMember(member_id(kit, ANA), off=False)) == TeamChanged()
    assert kit.rows(tables.mailbox)[0].state == "works"
    assert [row.action for row in kit.rows(tables.audit)][-2:] == ["paused", "resumed"]


def test_who_is_excluded_loses_everything_at_once_in_the_middle_of_anything(kit):
    admin(kit)
    kit.mailbox(ANA)
    kit.write_mail(ANA)  # queued, not sent
    mine = member_id(kit, ANA)
    assert perform(kit, BIA, ExcludeMember(mine)) == TeamChanged()
    assert kit.rows(tables.mailbox) == kit.rows(tables.outgoing_mail) == []
    assert PASSWORD not in kit.dump()
    assert not [row for row in kit.rows(tables.secret) if row.kind == "mailbox.password"]
    kit.work()
    assert any(EN["news.excluded"].partition("*")[0] in body for body in kit.bodies(ANA))
    assert kit.envelope(ANA).flow == "welcome"
    assert perform(kit, BIA, ExcludeMember(mine)) == TeamRefused("gone")
    kit.say("menu", ANA)
    kit.work()
    assert EN["welcome.door"] in last(kit, ANA)


def test_who_is_excluded_reads_where_an_app_password_is_deleted_and_the_admin_how_many_mails_waited(kit):
    admin(kit)
    kit.mailbox(ANA)
    kit.write_mail(ANA)
    run_sql(kit.url, "update mailbox set address = 'ana@gmail.com', host = 'smtp.gmail.com'")
    theirs = member_id(kit, ANA)
    with kit.engine.begin() as db:
        assert [row.mails for row in people_store.members(db, kit.agency) if str(row.id) == theirs] == [1]
    assert perform(kit, BIA, ExcludeMember(theirs)) == TeamChanged()
    kit.work()
    assert any("https://myaccount.google.com/apppasswords" in body for body in kit.bodies(ANA))


def test_a_frozen_member_comes_back_by_the_admin_s_yes(kit):
    admin(kit)
    at_sol(kit)
    member = kit.held(ANA).member_id
    former = kit.held(ANA).contact_id
    run_sql(kit.url, f"update contact set member_id = null, address = null, external_id = 'x' where id = '{former}'")
    wish(kit, address="ana@sol.test")
    kit.say("(tap)", BIA, button=kit.last(BIA).message.buttons[-2].id)
    kit.work()
    assert kit.held(EVA).member_id == member
    assert len(kit.rows(tables.member)) == 2


def test_who_says_that_somebody_else_s_address_is_theirs_does_not_become_them(kit):
    admin(kit)
    at_sol(kit)
    wish(kit, address="ana@sol.test")
    kit.say("(tap)", BIA, button=kit.last(BIA).message.buttons[-2].id)
    kit.work()
    assert kit.held(EVA).member_id not in {None, kit.held(ANA).member_id}
    assert kit.held(ANA).member_id is not None


def test_nobody_becomes_a_member_who_acts_for_another_agency_at_present(kit):
    admin(kit)
    at_sol(kit)
    member = kit.held(ANA).member_id
    kit.say(f"My invitation code is {kit.invite(agency=other_agency(kit))}", ANA)
    kit.work()
    assert kit.held(ANA).member_id != member
    wish(kit, address="ana@sol.test")
    kit.say("(tap)", BIA, button=kit.last(BIA).message.buttons[-2].id)
    kit.work()
    assert kit.held(EVA).member_id not in {None, member}
    assert (kit.held(ANA).contact_id, member) in {
        (row.contact_id, row.member_id) for row in kit.rows(tables.membership)
    }


def test_who_is_excluded_from_one_agency_acts_for_the_other_from_now_on(kit):
    admin(kit)
    kit.mailbox(ANA)
    first = kit.held(ANA).member_id
    kit.say(f"My invitation code is {kit.invite(agency=other_agency(kit))}", ANA)
    kit.work()
    second = kit.held(ANA).member_id
    run_sql(kit.url, f"update contact set member_id = '{first}' where id = '{kit.held(ANA).contact_id}'")
    assert perform(kit, BIA, ExcludeMember(str(first))) == TeamChanged()
    kit.work()
    assert kit.held(ANA).member_id == second


def test_a_link_of_somebody_excluded_is_void(kit):
    admin(kit)
    token = kit.awaiting(ANA)
    perform(kit, BIA, ExcludeMember(member_id(kit, ANA)))
    assert kit.parts.links.submit(token, Secret(PASSWORD), "") != "taken"
    kit.work()
    assert kit.rows(tables.mailbox) == []


def test_the_last_admin_neither_goes_nor_steps_down_before_another_is_named(kit):
    admin(kit)
    kit.join(ANA)
    mine, hers = member_id(kit, BIA), member_id(kit, ANA)
    assert perform(kit, BIA, ExcludeMember(mine)) == TeamRefused("last_admin")
    assert perform(kit, BIA, SetRole(mine, "member")) == TeamRefused("last_admin")
    assert perform(kit, BIA, SetRole(hers, "admin")) == TeamChanged()
    assert perform(kit, BIA, SetRole(mine, "member")) == TeamChanged()
    assert perform(kit, BIA, SetRole(hers, "member")) == TeamRefused("gone")  # no admin any more


def test_a_reminder_comes_by_day_and_only_to_those_who_can_be_reached(kit):
    admin(kit)
    kit.join(ANA)
    assert perform(kit, BIA, RemindMember(member_id(kit, ANA))) == TeamChanged()
    kit.work()
    assert EN["news.reminded"].partition("*")[0] in last(kit, ANA)
    kit.clock.move(hours=9)  # 21 h in São Paulo: not before tomorrow at nine, and the window is still open then
    assert perform(kit, BIA, RemindMember(member_id(kit, ANA))) == TeamChanged()
    before = len(kit.bodies(ANA))
    kit.work()
    assert len(kit.bodies(ANA)) == before
    kit.clock.move(hours=20)
    assert perform(kit, BIA, RemindMember(member_id(kit, ANA))) == TeamRefused("unreachable")


@pytest.mark.parametrize(
    ("hours", "expected"), [(0, 0), (9, 12), (-9, 3), (24 * 4 + 9, 24 * 3 - 12), (24 * 5, 24 * 2 - 3 - 3)]
)
def test_the_next_day_hour_is_now_or_nine_o_clock_of_a_working_day(hours, expected):
    now = MONDAY + timedelta(hours=hours)  # 15 h UTC on a Monday is noon in São Paulo
    found = next_day_hour(now, "America/Sao_Paulo")
    assert found >= now
    assert team.next_day_hour is next_day_hour
    local = (found - timedelta(hours=3)).time()
    assert found == now if expected == 0 else local.hour == 9
    assert (found - timedelta(hours=3)).weekday() < 5


def everything(kit, theirs):
    """All that could be asked for a member or a wish, by id."""
    return [
        ExcludeMember(theirs), PauseMember(theirs, off=True), PauseMember(theirs, off=False), RemindMember(theirs),
        TakeKey(theirs), SetRole(theirs, "admin"), SetRole(theirs, "member"), DecideAccess(theirs, granted=True),
    ]  # fmt: skip


def test_of_another_agency_s_members_nobody_changes_anything(kit):
    admin(kit)
    kit.mailbox(ANA)
    admin(kit, CAIO, other_agency(kit))
    before = json.dumps([str(row) for table in (tables.member, tables.mailbox) for row in kit.rows(table)])
    for theirs in (member_id(kit, ANA), member_id(kit, BIA), str(uuid4()), "", "../x", "0"):
        for record in everything(kit, theirs):
            answer = perform(kit, CAIO, record)
            assert answer == TeamRefused("gone") or getattr(answer, "already", False), record
    assert json.dumps([str(row) for table in (tables.member, tables.mailbox) for row in kit.rows(table)]) == before


def test_every_record_that_names_somebody_by_id_is_tried_above(kit):
    """Who adds a record with an id adds it to the list above, or says here why nobody can choose the id."""
    named = {
        kind for kind in kit.parts.turns._records.kinds if any(field.name.endswith("_id") for field in fields(kind))
    }
    tried = {type(record) for record in everything(kit, "x")} | {ActFor}
    made_by_us = {EraseSecret, SaveMailbox}  # the id of a secret that came in within the same conversation
    assert named == tried | made_by_us


@pytest.mark.parametrize(
    "button",
    [
        "menu.choosing:admit:{}", "menu.choosing:refuse:{}", "menu.choosing:go:team.exclude.{}", "team.list:{}",
        "team.member-{}:pause", "team.member-{}:admin", "team.exclude-{}:yes", "roles.roles:{}", "menu.choosing:{}",
        "menu.choosing:go:team.{}", "menu.choosing:read:{}",
    ],
)  # fmt: skip
def test_no_button_however_made_up_reaches_into_another_agency(kit, button):
    admin(kit)
    at_sol(kit)
    wish(kit, address="eva@sol.test")
    (request,) = kit.rows(tables.access_request)
    admin(kit, CAIO, other_agency(kit))
    watched = (tables.member, tables.mailbox, tables.access_request, tables.membership)
    before = [str(row) for table in watched for row in kit.rows(table)]
    for theirs in (str(request.id), member_id(kit, ANA), member_id(kit, BIA)):
        for place in ("menu", "team"):
            kit.say("menu", CAIO)
            kit.work()
            if place == "team":
                kit.tap("team", CAIO)
                kit.work()
            kit.say("(tap)", CAIO, button=button.format(theirs))
            kit.work()
            kit.say("yes", CAIO)
            kit.work()
    assert [str(row) for table in watched for row in kit.rows(table)] == before
    assert kit.rows(tables.dead_letter) == []


def test_a_member_who_is_no_admin_changes_nobody(kit):
    admin(kit)
    kit.mailbox(ANA)
    for record in (*everything(kit, member_id(kit, BIA)), Invite("admin", 1, "en")):
        answer = perform(kit, ANA, record)
        assert answer == TeamRefused("gone") or getattr(answer, "already", False), record


def test_the_team_is_read_for_an_admin_in_its_flow_only(kit):
    admin(kit)
    kit.mailbox(ANA)
    kit.tap("team", BIA)
    kit.work()
    held = kit.held(BIA)
    with kit.engine.begin() as db:
        seen = kit.parts.turns._facts.read(db, held, kit.envelope(BIA), kit.clock.now()).facts.team
        hidden = kit.parts.turns._facts.read(db, kit.held(ANA), kit.envelope(BIA), kit.clock.now()).facts.team
    assert [(one.role, one.address, one.state, one.me) for one in seen] == [
        ("admin", "", "", True), ("member", ADDRESS, "works", False),
    ] or {one.address for one in seen} == {"", ADDRESS}  # fmt: skip
    assert hidden == ()


def test_open_invitations_are_counted_by_the_people_whom_they_still_let_in(kit):
    admin(kit)
    for uses in (3, 1):
        kit.invite(uses=uses)
    kit.say(f"My invitation code is {kit.invite(uses=2)}", EVA)
    with kit.engine.begin() as db:
        assert people_store.invited(db, kit.agency, kit.clock.now()) == 5
        assert people_store.invited(db, kit.agency, kit.clock.now() + timedelta(days=8)) == 0


# --- several agencies, and leaving one --------------------------------------------------------------------------------


def test_who_belongs_to_two_agencies_acts_for_one_and_is_told_as_whom(kit):
    kit.mailbox(ANA)
    other = other_agency(kit)
    kit.say(f"My invitation code is {kit.invite(agency=other)}", ANA)
    kit.work()
    assert kit.rows(tables.mailbox)
    kit.say("menu", ANA)
    kit.work()
    assert "Other" in last(kit, ANA)
    kit.tap("roles", ANA)
    kit.work()
    kit.say("agencia sol", ANA)
    kit.work()
    assert "*Agência Sol*" in last(kit, ANA)
    assert ADDRESS in last(kit, ANA)


def test_nobody_acts_for_a_membership_of_somebody_else(kit):
    kit.join(ANA)
    admin(kit)
    for theirs in (member_id(kit, BIA), str(uuid4()), "", "../x"):
        assert perform(kit, ANA, ActFor(theirs)) == TeamRefused("gone")
    assert perform(kit, ANA, ActFor(member_id(kit, ANA))) == TeamChanged()


def test_who_leaves_in_the_middle_of_a_set_up_takes_nothing_along_and_leaves_nothing_behind(kit):
    admin(kit)
    token = kit.awaiting(ANA)
    kit.say("menu", ANA)
    kit.work()
    kit.tap("roles", ANA)
    kit.work()
    kit.tap("leave", ANA)
    kit.work()
    kit.tap("yes", ANA)
    kit.work()
    assert EN["roles.left"] in last(kit, ANA)
    assert EN["welcome.door"] in last(kit, ANA)
    assert kit.held(ANA).member_id is None
    assert kit.parts.links.submit(token, Secret(PASSWORD), "") != "taken"
    assert EN["news.member_left"].partition("{name}")[2][:20].strip("* ") in last(kit, BIA)
    assert [row.action for row in kit.rows(tables.audit)][-1] == "left"


def test_who_leaves_one_of_two_agencies_goes_on_in_the_other(kit):
    admin(kit)
    admin(kit, ANA, other_agency(kit))
    kit.join(ANA)  # Agência Sol, from now on
    assert perform(kit, ANA, LeaveAgency()) == TeamChanged()
    kit.say("menu", ANA)
    kit.work()
    assert "Other" in last(kit, ANA)


def test_the_last_admin_does_not_leave_nor_does_a_stranger(kit):
    admin(kit)
    assert perform(kit, BIA, LeaveAgency()) == TeamRefused("last_admin")
    kit.say("hello", EVA)
    assert perform(kit, EVA, LeaveAgency()) == TeamRefused("gone")


def test_a_person_who_is_let_in_twice_is_one_member(kit):
    kit.join(ANA)
    with kit.engine.begin() as db:
        agency = kit.agency
        assert (
            people.admit(
                db,
                kit.held(ANA).contact_id,
                agency,
                name="Ana",
                address="a@b.test",
                role="member",
                now=kit.clock.now(),
            )
            == "Agência Sol"
        )
    assert len(kit.rows(tables.member)) == 1
