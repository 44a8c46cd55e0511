"""Slack as its people meet it: the same talk as on WhatsApp, with buttons, windows and a home."""

import pytest

from bot.cli import workspaces
from bot.cli.shared import CannotBe
from bot.playground.plays import Play
from bot.store import access, tables
from bot.store import people as people_store
from bot.team import elsewhere
from tests.botkit import ADDRESS, table_of_providers
from tests.slackkit import ANA, BIA, TEAM, SlackKit


@pytest.fixture
def kit(database_url, tmp_path):
    with SlackKit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as made:
        yield made


def test_the_admin_claims_the_workspace_with_the_invitation(kit):
    kit.claim()
    assert "You are now connected to Agência Sol" in kit.read(BIA)
    (workspace,) = kit.rows(tables.slack_workspace)
    assert (workspace.team_id, workspace.agency_id) == (TEAM, kit.agency)


def test_a_direct_message_is_answered_with_buttons_that_work(kit):
    kit.claim()
    assert "Which e-mail address" in kit.read(BIA)
    assert "What would you like to do?" in kit.written(BIA, "menu")
    assert "What I know about you" in kit.tapped(BIA, "My data")
    assert "Shall I erase all of it?" in kit.tapped(BIA, "Erase everything")
    assert "Nothing was erased" in kit.tapped(BIA, "Keep it")


def test_connecting_begins_in_a_window_with_the_address_as_a_field(kit):
    kit.claim()
    kit.written(BIA, "menu")
    kit.tapped(BIA, "Connect my e-mail")
    assert "E-mail address" in kit.window(BIA, "Which e-mail address")
    kit.slack.type_in(TEAM, BIA, {"address": "no address"})
    kit.slack.submit(TEAM, BIA)
    assert "no complete e-mail address" in kit.slack.field_errors(TEAM, BIA)["address"]
    kit.slack.type_in(TEAM, BIA, {"address": ADDRESS})
    kit.slack.submit(TEAM, BIA)
    assert "One moment" in kit.window(BIA)
    kit.work()
    assert "/s/" in kit.window(BIA)
    assert "/s/" in kit.read(BIA)


def test_a_home_shows_the_agency_at_a_glance(kit):
    kit.claim()
    shown = kit.home(BIA)
    assert "Agência Sol" in shown
    assert "There is no mail server yet" in shown
    assert kit.home(ANA)


def test_people_are_invited_where_they_are(kit):
    kit.claim()
    kit.slack.command(TEAM, BIA, "invite")
    kit.window(BIA, "shall we connect yours first?")
    kit.tapped(BIA, "Invite anyway", "modal")
    kit.window(BIA, "Pick people")
    kit.slack.type_in(TEAM, BIA, {"people": [ANA]})
    kit.slack.submit(TEAM, BIA)
    kit.work()
    assert "People picked: 1" in kit.read(BIA)
    kit.tapped(BIA, "Yes, write to them")
    assert "Bia" in kit.read(ANA)
    assert "Which e-mail address" in kit.tapped(ANA, "Connect")


# --- the live test, step by step --------------------------------------------------------------------------------------

CONNECTING = """people: Bia in Slack
Bia has an admin's invitation in en
Bia: {invitation}
Bia: /ally connect
Bia fills in: address = ana@sandbox.test
Bia's page: right password
"""


def test_the_window_shows_each_step_of_the_test_and_then_the_result(database_url, tmp_path):
    play = Play(tmp_path, database_url)
    with play.theatre:
        play.play(CONNECTING)
        standin = play.theatre.slack.standin
        shown = [standin.shown(seen.arguments["view"]) for seen in standin.requests if seen.method == "views.update"]
    testing = [one for one in shown if "Testing ana@sandbox.test" in one]
    assert "… *find the mail server*" in testing[0]
    assert "· sign in" in testing[0]
    assert "It works!" in shown[-1]


def test_a_window_that_was_closed_is_left_alone(database_url, tmp_path):
    play = Play(tmp_path, database_url)
    with play.theatre:
        play.play(CONNECTING.replace("Bia's page", "Bia closes the window\nBia's page"))
        shown = [str(seen.arguments) for seen in play.theatre.slack.standin.requests if seen.method == "views.update"]
    assert not [one for one in shown if "Testing ana@sandbox.test" in one or "It works!" in one]


# --- the operator -----------------------------------------------------------------------------------------------------


def test_an_operator_lists_the_workspaces_and_takes_one_from_its_agency(kit):
    kit.claim()
    (listed,) = workspaces.workspaces(kit.parts)
    assert (listed["workspace"], listed["agency"], listed["left"]) == (TEAM, "Agência Sol", False)
    workspaces.release_workspace(kit.parts, TEAM)
    assert workspaces.workspaces(kit.parts)[0]["agency"] == ""
    assert "I need to know your agency" in kit.written(BIA, "menu")
    with pytest.raises(CannotBe, match="There is no workspace T0NONE"):
        workspaces.release_workspace(kit.parts, "T0NONE")


def test_who_writes_from_another_agency_s_workspace_is_let_into_no_other_by_the_operator_either(kit):
    kit.claim()
    kit.written(ANA, "hi")
    kit.tapped(ANA, "Ask for access")
    for words in ("Agência Lua", "ana@lua.test"):
        kit.written(ANA, words)
    with kit.engine.begin() as db:
        people_store.add_agency(db, "Agência Lua", "en", "UTC", kit.clock.now())
        wish = access.get(db, kit.rows(tables.access_request)[0].id)
        assert elsewhere(db, wish, people_store.agency_by_name(db, "Agência Lua").id)
        assert not elsewhere(db, wish, kit.agency)
