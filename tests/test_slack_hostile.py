"""Nobody in Slack sees or touches another agency: every path, every action, every id, whoever it is."""

import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bot import slack_edge
from bot.store import tables
from tests.botkit import table_of_providers
from tests.slackkit import ANA, ANOTHER_TEAM, BIA, BRUNO, TEAM, SlackKit
from tests.twoagencies import (
    ADMIN,
    GUEST,
    HOSTILE,
    MEMBER,
    REMOVED,
    SECRETS_OF_LUA,
    STRANGER,
    VICTIMS,
    TwoAgencies,
    keep_workspace,
)


@pytest.fixture
def two(database_url, tmp_path):
    with TwoAgencies(database_url, tmp_path, providers=table_of_providers(tmp_path)) as made:
        yield made


@pytest.fixture
def kit(database_url, tmp_path):
    with SlackKit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as made:
        yield made


# --- the property ---------------------------------------------------------------------------------------------------

VALUES = [
    *(f"go:team.{what}.{{member}}" for what in ("show", "exclude", "pause", "resume", "remind", "admin", "member")),
    *(f"go:{what}" for what in ("team", "team.test", "team.remind_all", "team.invite", "invite", "integrate", "roles")),
    *(f"go:{what}" for what in ("roles.link", "privacy", "compose", "card", "welcome", "menu.switched_on", "menu")),
    *(f"go:mailbox{what}" for what in ("", ".test", ".password", ".remove", ".manage", ".kim@sol.test")),
    *("admit:{request}", "refuse:{request}", "noted:", "later:", "read:what_is_it", "fix:host", "page:7", "page:x"),
    *("yes", "no", "exclude", "admin", "member", "remind", "pause", "list", "invite", "menu", "{member}", "leave"),
    *("one", "admin", "en", "access", "moved", "code", "again", "{agency}", "{user}", "{team}", "erase", "send", ""),
]
QUESTIONS = [
    "home", "slack.command", "menu.choosing", "team.list", "team.member-{member}", "team.exclude-{member}",
    "team.whom", "team.language", "invite.whom", "invite.preview", "invite.untested", "roles.roles", "roles.leave",
    "welcome.door", "welcome.code", "welcome.address", "mailbox.address", "mailbox.manage", "privacy.ask", "{asked}",
]  # fmt: skip
PICKED = {"people": {"selected_users": ["{user}"]}, "channels": {"selected_conversations": ["C0LUA"]}}
FIELDS = [
    PICKED,
    {"address": "{member}"},
    {"host": "127.0.0.1", "port": "465"},
    {"address": "kim@sol.test", "agency": "{agency}", "member": "{member}", "team_id": "{team}"},
    {},
    {"people": {"selected_users": [MEMBER, "{user}", STRANGER]}},
]
WORDS = [
    "{member}", "{user}", "<@{user}>", "{request}", "{agency}", "join {code}", "{code}", "123 456", "go:team", "team",
    "remove", "erase", "status", "yes", "1", "2", "3", "4", "menu", "back", "Sol", "invite", "test", "help", "link", "",
    "what does this bot store?",
]  # fmt: skip

actor = st.sampled_from(HOSTILE)
one_action = st.one_of(
    st.tuples(st.just("say"), actor, st.sampled_from(WORDS), st.none()),
    st.tuples(st.just("command"), actor, st.sampled_from(WORDS), st.none()),
    st.tuples(st.just("press"), actor, st.sampled_from(VALUES), st.sampled_from(QUESTIONS)),
    st.tuples(st.just("press_home"), actor, st.sampled_from(VALUES), st.sampled_from(QUESTIONS)),
    st.tuples(st.just("press_modal"), actor, st.sampled_from(VALUES), st.sampled_from(QUESTIONS)),
    st.tuples(st.just("submit"), actor, st.sampled_from(FIELDS), st.sampled_from(QUESTIONS)),
    st.tuples(st.just("close"), actor, st.just(""), st.none()),
    st.tuples(st.just("home"), actor, st.just(""), st.none()),
)


class Attack:
    """Does the actions with the ids of the other agency's people."""

    def __init__(self, two):
        self.two = two
        self.code = two.invite(agency=two.lua.id, role="admin", name="")
        self.number = 0

    def ids(self, user):
        two, self.number = self.two, self.number + 1
        victim = list(VICTIMS)[self.number % len(VICTIMS)]
        held = [one for one in two.rows(tables.contact) if one.address == f"{TEAM}.{user}"]
        talks = {one.contact_id: one for one in two.rows(tables.conversation)}
        asked = (talks[held[0].id].envelope.get("asked") or {}).get("question", "") if held else ""
        return {
            "member": str(two.lua.members[victim]), "user": victim, "agency": str(two.lua.id), "team": ANOTHER_TEAM,
            "request": two.lua.requests[0], "code": self.code, "asked": asked,
        }  # fmt: skip

    def do(self, kind, user, what, question):
        two, ids = self.two, self.ids(user)
        what = json.loads(filled(json.dumps(what), ids))
        question = filled(question or "", ids)
        if kind == "say":
            answer = two.slack.say(TEAM, user, what, escape=not what.startswith("<@"))
        elif kind == "command":
            answer = two.slack.command(TEAM, user, what)
        elif kind == "submit":
            answer = two.filled_in(user, question, what)
        elif kind == "close":
            view = {"id": "V0FORGED", "type": "modal", "callback_id": "x", "team_id": ANOTHER_TEAM}
            answer = two.interact({**two.about(user, "view_closed"), "view": view})
        elif kind == "home":
            answer = two.slack.open_home(TEAM, user)
        else:
            where = {"press": "message", "press_home": "home", "press_modal": "modal"}[kind]
            answer = two.pressed(user, f"{question}:{what}", where)
        two.work()
        two.quiet()
        return answer


def filled(text, ids):
    for name, value in ids.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def test_nobody_changes_or_sees_anything_of_another_agency_by_any_path(two, monkeypatch):
    monkeypatch.setattr(slack_edge, "ARRIVED", 0.0)
    attack = Attack(two)
    before, heard, said = two.all_of(two.lua), two.received(ANOTHER_TEAM), len(two.received(TEAM))

    @settings(
        max_examples=70, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    @given(st.lists(one_action, min_size=1, max_size=3))
    def hostile(actions):
        nonlocal said
        answers = [attack.do(*one) for one in actions]
        assert all(answer.status_code == 200 for answer in answers)
        assert two.all_of(two.lua) == before
        assert two.received(ANOTHER_TEAM) == heard
        shown = two.received(TEAM)
        for text in [*shown[said:], *(answer.text for answer in answers)]:
            assert not any(secret in text for secret in SECRETS_OF_LUA)
        said = len(shown)
        two.clock.move(minutes=61)  # whatever was limited is free again

    hostile()
    assert said > 50
    assert not two.rows(tables.dead_letter)


@pytest.mark.parametrize("user", HOSTILE)
def test_an_action_on_the_other_agencys_member_does_nothing_and_says_nothing_of_them(two, user):
    before = two.all_of(two.lua)
    for member in two.lua.members.values():
        for what in ("exclude", "pause", "admin", "remind", "show"):
            two.pressed(user, f"home:go:team.{what}.{member}", "home")
            two.pressed(user, f"team.member-{member}:{what}")
        two.pressed(user, f"team.exclude-{member}:yes")
        two.work()
    assert two.all_of(two.lua) == before
    assert not [text for text in two.received(TEAM) if any(secret in text for secret in SECRETS_OF_LUA)]


def test_the_same_actions_work_on_ones_own_members_so_that_the_test_above_means_something(two):
    member = two.sol.members[MEMBER]
    two.pressed(ADMIN, f"home:go:team.pause.{member}", "home")
    two.work()
    assert [row.state for row in two.rows(tables.mailbox) if row.member_id == member] == ["off"]
    two.pressed(ADMIN, f"home:go:team.exclude.{member}", "home")
    two.work()
    two.pressed(ADMIN, f"team.exclude-{member}:yes")
    two.work()
    assert next(row for row in two.rows(tables.member) if row.id == member).removed_at is not None
    two.pressed(ADMIN, f"x:admit:{two.sol.requests[0]}")
    two.work()
    assert {row.state for row in two.rows(tables.access_request) if row.agency_id == two.sol.id} == {"granted"}


# --- no admin -------------------------------------------------------------------------------------------------------


FOR_ADMINS = [
    "go:team.exclude.{}", "go:team.pause.{}", "go:team", "go:invite", "go:integrate", "go:team.test",
    "go:team.remind_all", "admit:{request}", "refuse:{request}",
]  # fmt: skip
OWN = ("agency", "member", "membership", "mailbox", "invitation", "secret", "access_request")


@pytest.mark.parametrize("user", [MEMBER, REMOVED, STRANGER, GUEST])
def test_who_is_no_admin_does_nothing_to_ones_own_agency_either(two, user):
    before = two.all_of(two.sol)
    for value in FOR_ADMINS:
        two.pressed(user, f"home:{value.format(two.sol.members[ADMIN], request=two.sol.requests[0])}", "home")
        two.work()
        two.pressed(user, f"team.exclude-{two.sol.members[ADMIN]}:yes")
        two.work()
    after = two.all_of(two.sol)
    assert {table: after[table] for table in OWN} == {table: before[table] for table in OWN}


@pytest.mark.parametrize("user", [REMOVED, STRANGER, GUEST])
def test_who_is_nobodys_member_sees_no_agency_at_home_or_by_command(two, user):
    home = two.home(user)
    assert "which agency you work for" in home
    for words in ("status", "team", "invite", "test", ""):
        answer = two.slack.command(TEAM, user, words)
        two.work()
        two.quiet()
        assert "Sol" not in answer.text
    mine = [text for text in two.received(TEAM) if f'"{user}"' in text]
    assert mine
    assert not [text for text in mine if "bia@sol.test" in text or "mail.sol.test" in text]


def test_a_member_sees_nobody_else_at_home(two):
    shown = two.home(MEMBER)
    assert "ana@sol.test" in shown
    assert "bia@sol.test" not in shown
    assert "Bia" not in shown


def test_a_guest_is_a_stranger_who_can_come_in_with_an_invitation_of_this_workspaces_agency(two):
    two.written(GUEST, "hello")
    assert "welcome" in two.read(GUEST, TEAM).lower() or two.read(GUEST, TEAM)
    two.written(GUEST, two.invite(agency=two.sol.id))
    assert "You are now connected to Agência Sol" in "\n".join(one.shown for one in two.slack.dm(TEAM, GUEST)).replace(
        "*", ""
    )


# --- ways in --------------------------------------------------------------------------------------------------------


def test_a_code_of_the_other_agency_is_not_good_in_this_workspace(two):
    codes = [two.invite(agency=two.lua.id, role=role) for role in ("member", "admin")]
    before = two.all_of(two.lua)
    for user in (MEMBER, ADMIN, STRANGER, REMOVED):
        for code in codes:
            two.slack.command(TEAM, user, f"join {code}")
            two.slack.say(TEAM, user, code)
            two.work()
    assert two.all_of(two.lua) == before
    assert not [text for text in two.received(TEAM) if "Lua Viagens" in text]


def test_a_link_code_of_the_other_agencys_member_is_not_good_in_this_workspace(two):
    two.slack.command(ANOTHER_TEAM, "U0LUIS", "link")
    two.work()
    digits = "".join(sign for sign in two.read("U0LUIS", ANOTHER_TEAM).split("\n")[1] if sign.isdecimal())
    spoken = [one.shown for one in two.slack.dm(ANOTHER_TEAM, "U0LUIS")][-1]
    digits = (
        digits
        if len(digits) == 6
        else next(
            "".join(filter(str.isdecimal, line)) for line in spoken.split("\n") if sum(map(str.isdecimal, line)) == 6
        )
    )
    before = two.all_of(two.lua)
    two.written(STRANGER, digits)
    two.written(MEMBER, digits)
    assert two.all_of(two.lua) == before


def test_a_wish_for_access_goes_to_the_admins_of_this_workspace_whatever_the_domain(two):
    before = two.all_of(two.lua)
    two.written(STRANGER, "hello")
    two.tapped(STRANGER, "Ask for access")
    two.written(STRANGER, "Lua Viagens")
    two.written(STRANGER, "nils@lua.test")
    two.work()
    assert two.all_of(two.lua) == before
    wishes = [row for row in two.rows(tables.access_request) if row.address == "nils@lua.test"]
    assert [row.agency_id for row in wishes] == [two.sol.id]
    assert "Nils" in two.read(ADMIN) or "nils" in two.read(ADMIN)


def test_a_code_is_not_mailed_to_somebody_of_another_agency_from_this_workspace(two):
    before = two.all_of(two.lua)
    two.written(STRANGER, "hello")
    two.tapped(STRANGER, "I have an invitation")
    two.pressed(STRANGER, "welcome.code:moved")
    two.work()
    two.slack.say(TEAM, STRANGER, "luis@lua.test")
    assert not two.promised("mail_code")
    two.work()
    assert two.all_of(two.lua) == before
    two.pressed(STRANGER, "welcome.proof:again")
    two.work()
    two.slack.say(TEAM, STRANGER, "ana@sol.test")
    assert len(two.promised("mail_code")) == 1


def test_an_expired_admins_code_gives_no_workspace_away(kit):
    kit.slack.say(TEAM, BIA, "hello")
    code = kit.invite(role="admin")
    kit.clock.move(days=8)
    assert "That code has expired" in kit.written(BIA, code)
    assert [row.agency_id for row in kit.rows(tables.slack_workspace)] == [None]


def test_a_members_code_claims_no_workspace(kit):
    kit.written(BIA, kit.invite(role="member"))
    assert [row.agency_id for row in kit.rows(tables.slack_workspace)] == [None]
    assert not kit.rows(tables.member)


# --- workspaces -----------------------------------------------------------------------------------------------------


def test_with_one_token_a_second_workspace_is_refused(kit):
    kit.claim()
    kit.slack.workspace(ANOTHER_TEAM, "Lua")
    kit.slack.user(ANOTHER_TEAM, "U0LUIS", "luis")
    talks = len(kit.rows(tables.conversation))
    assert kit.slack.say(ANOTHER_TEAM, "U0LUIS", "hello").status_code == 200
    assert kit.slack.open_home(ANOTHER_TEAM, "U0LUIS").status_code == 200
    assert kit.slack.command(ANOTHER_TEAM, "U0LUIS", "menu").status_code == 200
    kit.work()
    assert len(kit.rows(tables.conversation)) == talks
    assert [row.team_id for row in kit.rows(tables.slack_workspace)] == [TEAM]
    assert not [one for one in kit.slack.requests if one.team_id == ANOTHER_TEAM]


def test_an_uninstalled_workspace_is_not_heard_until_it_is_installed_again(two):
    two.slack.uninstall(ANOTHER_TEAM)
    talks = two.rows(tables.inbound)
    two.slack.say(ANOTHER_TEAM, "U0LUIS", "menu")
    two.slack.command(ANOTHER_TEAM, "U0LUIS", "menu")
    assert two.rows(tables.inbound) == talks
    lua = next(row for row in two.rows(tables.slack_workspace) if row.team_id == ANOTHER_TEAM)
    assert (lua.token_id, lua.agency_id) == (None, two.lua.id)
    sol = next(row for row in two.rows(tables.slack_workspace) if row.team_id == TEAM)
    assert sol.token_id is not None


def test_a_workspace_that_is_somebodys_is_not_claimed_by_another_admins_code(two):
    code = two.invite(agency=two.sol.id, role="admin")
    two.slack.command(ANOTHER_TEAM, "U0LARA", f"join {code}")
    two.work()
    assert {row.team_id: row.agency_id for row in two.rows(tables.slack_workspace)} == {
        TEAM: two.sol.id, ANOTHER_TEAM: two.lua.id,
    }  # fmt: skip


# --- other people than they look ------------------------------------------------------------------------------------


def counted(kit):
    return len(kit.rows(tables.inbound)), len(kit.rows(tables.contact)), len(kit.rows(tables.promise))


def test_a_person_of_another_company_is_not_heard_by_any_interaction(two):
    before = counted(two)
    stranger = {"id": ADMIN, "username": "bia", "name": "bia", "team_id": "T0FAR"}
    assert two.pressed(ADMIN, "home:go:team", "home", user=stranger).status_code == 200
    payload = two.about(ADMIN, "view_submission") | {"user": stranger}
    view = {"id": "V1", "hash": "1", "type": "modal", "callback_id": "invite.whom", "state": {"values": {}}}
    assert two.interact({**payload, "view": view}).status_code == 200
    assert two.interact({**payload, "type": "view_closed", "view": view}).status_code == 200
    assert counted(two) == before


def test_a_window_that_was_opened_in_another_workspace_is_not_taken_as_one_of_ours(two):
    before = counted(two)
    answer = two.filled_in(ADMIN, "invite.whom", {}, app_installed_team_id=ANOTHER_TEAM)
    assert answer.status_code == 200
    assert two.pressed(ADMIN, "home:go:team", user={"id": ADMIN}, team={"id": "T0FAR"}).status_code == 200
    assert two.pressed(ADMIN, "home:go:team", team=None).status_code == 200
    assert counted(two) == before


def test_events_of_a_channel_that_is_shared_with_another_company_are_not_heard(two):
    before = counted(two)
    message = {"type": "message", "channel_type": "im", "channel": "D1", "user": ADMIN, "text": "menu", "ts": "1.1"}
    two.slack.event(TEAM, message, ext_shared=True)
    two.slack.say(TEAM, ADMIN, "menu", user_team="T0FAR")
    two.slack.event(TEAM, {**message, "source_team": ANOTHER_TEAM})
    two.slack.event(
        TEAM, {"type": "app_home_opened", "user": "U0LUIS", "tab": "home", "channel": "D1"}, ext_shared=True
    )
    assert counted(two) == before


def test_a_home_that_was_opened_from_another_workspace_is_not_shown(two):
    before = counted(two)
    with two.slack._world.changed:
        payload = two.slack._payloads.home_opened(TEAM, ADMIN, "D1", "home")
    two.slack._courier.event({**payload, "team_id": ANOTHER_TEAM}, {})
    assert counted(two) == before


def test_bots_edits_and_messages_elsewhere_are_not_heard(two):
    before = counted(two)
    two.slack.say(TEAM, ADMIN, "menu", bot_id="B0OTHER")
    two.slack.say(TEAM, ADMIN, "menu", subtype="bot_message", bot_id="B0OTHER")
    two.slack.say(TEAM, ADMIN, "menu", subtype="thread_broadcast")
    two.slack.say(TEAM, ADMIN, "menu", channel="C0SOL")
    two.slack.say(TEAM, two.workspace.bot_user, "menu")
    assert counted(two) == before


def test_an_organisation_that_installed_the_app_as_a_whole_is_not_served(two):
    before = counted(two)
    two.pressed(ADMIN, "home:go:team", is_enterprise_install=True)
    with two.slack._world.changed:
        place = two.slack._client.place(TEAM, ADMIN, "")
        form = two.slack._payloads.command(TEAM, ADMIN, place, "/ally", "menu")
        event = two.slack._payloads.home_opened(TEAM, ADMIN, "D1", "home")
    answer = two.slack._courier.command({**form, "is_enterprise_install": "true"}, {})[-1]
    assert answer.status_code == 200
    assert "again" in answer.text
    whole = {**event["authorizations"][0], "is_enterprise_install": True}
    two.slack._courier.event({**event, "authorizations": [whole]}, {})
    assert counted(two) == before


def test_a_team_that_stands_outside_of_what_is_signed_counts_for_nothing(two):
    """The address that is asked, and headers, are not signed."""
    two.slack.events_url = f"{two.slack.events_url}?team_id={ANOTHER_TEAM}&user_id=U0LARA"
    before = two.all_of(two.lua)
    two.written(MEMBER, "menu")
    two.slack.command(TEAM, MEMBER, "team")
    two.slack.say(TEAM, MEMBER, "team")
    two.work()
    assert two.all_of(two.lua) == before
    assert any("admin" in one.shown for one in two.slack.dm(TEAM, MEMBER))


def test_a_users_id_that_is_the_same_in_two_workspaces_is_two_people(two):
    two.slack.user(ANOTHER_TEAM, ADMIN, "bia", real_name="Bia of Lua")
    two.slack.open_home(ANOTHER_TEAM, ADMIN)
    two.work()
    assert "which agency you work for" in two.slack.shown(two.slack.home(ANOTHER_TEAM, ADMIN))


def test_ids_that_are_none_are_refused(two):
    before = counted(two)
    for team in ("", "T0.SOL", "t0sol", "T" * 40, "T0SOL\n", "*"):
        keep_workspace(two, team[:32])
        two.pressed(ADMIN, "home:go:team", user={"id": ADMIN}, team={"id": team})
        two.pressed(ADMIN, "home:go:team", user={"id": f"{team}."})
    assert counted(two) == before


def test_a_pick_of_the_other_workspaces_people_and_channels_finds_nobody(two):
    heard = two.received(ANOTHER_TEAM)
    two.slack.command(TEAM, ADMIN, "invite")
    two.quiet()
    two.filled_in(ADMIN, "invite.whom", {"people": {"selected_users": ["U0LUIS", "U0LARA"]}})
    two.work()
    assert "nobody there" in two.read(ADMIN)
    two.filled_in(ADMIN, "invite.whom", {"channels": {"selected_conversations": ["C0LUA"]}})
    two.work()
    assert "can't see who is in one of these channels" in two.read(ADMIN)
    assert two.received(ANOTHER_TEAM) == heard


def test_somebody_who_was_removed_is_nobody_in_the_same_moment(two):
    assert "ana@sol.test" in two.home(MEMBER)
    two.pressed(ADMIN, f"home:go:team.exclude.{two.sol.members[MEMBER]}", "home")
    two.work()
    two.pressed(ADMIN, f"team.exclude-{two.sol.members[MEMBER]}:yes")
    two.work()
    assert "ana@sol.test" not in two.home(MEMBER)
    assert "which agency you work for" in two.home(MEMBER)


@pytest.mark.usefixtures("kit")
def test_names_in_slack_are_no_proof_of_anything(kit):
    kit.claim()
    kit.slack.user(TEAM, BRUNO, "bia", real_name="Bia")
    assert "Agência Sol" not in kit.home(BRUNO)
    assert "Agência Sol" not in kit.slack.command(TEAM, BRUNO, "status").text
    assert kit.home(ANA)
