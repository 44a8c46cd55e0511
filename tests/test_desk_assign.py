"""A case is given to a colleague: by a menu of people below its root, by and to full members of the channel only."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bot.channels.slack.read import BadPayload, read_action
from bot.store import tables
from flows.speech import texts
from flows.words import LANGUAGES
from tests.deskkit import DESK, GREETING, RITA, SAM, DeskKit
from tests.slackkit import BIA, CARLA, TEAM
from tests.test_desk_bad_input import make_shared


@pytest.fixture
def kit(database_url, tmp_path):
    with DeskKit(database_url, tmp_path) as made:
        yield made


def gives(kit, to, who=SAM, *, wait=True, **how):
    """Somebody chooses a colleague below the root."""
    assert kit.slack.choose(TEAM, who, "Give to…", to, where=DESK, **how).ok
    if wait:
        kit.settle()


def audited(kit):
    return [(row.actor, row.action, row.subject) for row in kit.rows(tables.audit) if row.action == "case_assign"]


def test_a_case_that_nobody_has_is_given_to_a_colleague_who_is_mentioned_and_the_person_is_greeted(kit):
    kit.calls()
    gives(kit, RITA)
    assert (kit.case().owner, kit.held().owner) == (RITA, "person")
    assert f"<@{SAM}> gave the case to <@{RITA}>." in kit.told()
    assert f"@{RITA}" in [one.what for one in kit.slack.mentions]
    assert f"<@{RITA}> has it" in kit.root().text
    assert kit.last().body.startswith(GREETING)
    assert audited(kit) == [(SAM, "case_assign", f"101 {RITA}")]


def test_an_owner_gives_a_case_away_and_the_person_hears_nothing_of_it(kit):
    kit.calls()
    kit.writes("!Hello")
    before = kit.bodies()
    gives(kit, RITA)
    assert kit.case().owner == RITA
    assert kit.bodies() == before
    kit.say("and now?")
    kit.soon()
    assert kit.thread()[-1].startswith(f"<@{RITA}>")


def test_anybody_of_the_team_gives_a_case_away_not_only_its_owner(kit):
    kit.calls()
    kit.does("Take over", who=RITA)
    gives(kit, SAM, who=SAM)
    assert kit.case().owner == SAM


def test_who_has_it_already_gets_it_from_nobody(kit):
    kit.calls()
    kit.does("Take over", who=RITA)
    gives(kit, RITA)
    assert f"<@{RITA}> has the case already" in kit.told()
    assert audited(kit) == []


def test_a_menu_that_was_shown_while_it_was_anothers_gives_nothing_away(kit):
    kit.calls()
    old = kit.root()
    action = next(one["action_id"] for block in old.blocks for one in block.get("elements", ())
                  if one["type"] == "users_select")  # fmt: skip
    kit.does("Take over", who=RITA)
    message = kit.slack._world.workspaces[TEAM].channels[DESK].messages[old.ts]
    message.blocks = list(old.blocks)  # a screen that was not brought up to date
    assert kit.slack.choose(TEAM, SAM, action, SAM, where=DESK).ok
    kit.settle()
    assert kit.case().owner == RITA
    assert f"<@{SAM}>, nothing has changed: meanwhile it is another one who has the case (<@{RITA}>)" in kit.told()


def test_of_two_who_give_it_away_at_once_the_first_one_counts(kit):
    kit.calls()
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda pair: gives(kit, pair[1], who=pair[0], wait=False), ((SAM, RITA), (RITA, SAM))))
    kit.settle()
    assert kit.case().owner in {SAM, RITA}
    assert len(audited(kit)) == 1
    assert kit.told().count("gave the case to") == 1
    assert kit.told().count("nothing has changed") == 1


def test_a_case_that_is_taken_between_the_choice_and_the_hand_stays_with_who_took_it(kit):
    kit.calls()
    gives(kit, SAM, wait=False)
    kit.taps("Take over", who=RITA, wait=False)
    kit.settle()
    assert kit.case().owner == RITA
    assert audited(kit) == []


def test_what_slack_brings_twice_gives_it_away_once(kit):
    kit.calls()
    gives(kit, RITA, times=3)
    assert kit.told().count("gave the case to") == 1
    assert len(audited(kit)) == 1


@pytest.mark.parametrize("outsider", [BIA, CARLA])
def test_who_is_not_of_the_team_gets_no_case_and_the_thread_says_so(kit, outsider):
    kit.calls()
    gives(kit, outsider)
    assert (kit.case().owner, kit.held().owner) == ("", "bot")
    assert f"<@{outsider}> is not one of the team" in kit.told()
    assert audited(kit) == []


@pytest.mark.parametrize("guest", ["is_restricted", "is_ultra_restricted", "is_bot", "is_stranger"])
def test_a_guest_in_the_channel_neither_gets_a_case_nor_gives_one_away(kit, guest):
    kit.slack.user(TEAM, "U0GUEST", "guest", **{guest: True})
    kit.slack.join(TEAM, DESK, "U0GUEST")
    kit.calls()
    gives(kit, "U0GUEST")
    assert "is not one of the team" in kit.told()
    gives(kit, RITA, who="U0GUEST")
    assert "you are not one of the team" in kit.told()
    assert kit.case().owner == ""


def test_who_left_the_channel_gets_no_case_any_more(kit):
    kit.calls()
    kit.slack.leave(TEAM, DESK, RITA)
    kit.clock.move(minutes=6)
    gives(kit, RITA)
    assert kit.case().owner == ""
    assert f"<@{RITA}> is not one of the team" in kit.told()


def test_in_a_channel_that_is_shared_nobody_is_of_the_team(kit):
    kit.calls()
    make_shared(kit)
    kit.clock.move(minutes=6)
    gives(kit, RITA)
    assert kit.case().owner == ""


def test_while_slack_does_not_say_who_is_of_the_team_it_waits_and_is_done_then(kit):
    kit.calls()
    kit.clock.move(minutes=6)
    kit.slack.fail("conversations.info", "503", times=3)
    gives(kit, RITA, wait=False)
    kit.work()
    assert kit.case().owner == ""
    kit.soon(minutes=2)
    assert kit.case().owner == RITA


def test_a_closed_case_is_given_to_nobody(kit):
    kit.calls()
    old = kit.root()
    kit.does("Close")
    kit.slack._world.workspaces[TEAM].channels[DESK].messages[old.ts].blocks = list(old.blocks)
    gives(kit, RITA)
    assert kit.case().owner == ""
    assert audited(kit) == []


def test_a_case_that_was_put_off_is_there_for_whom_it_is_given_to(kit):
    kit.calls()
    kit.does("Put off 2 hours")
    gives(kit, RITA)
    assert (kit.case().state, kit.case().owner) == ("owned", RITA)


@pytest.mark.parametrize("user", ["", None, "nobody", "<@U0RITA>", "U0RITA:U0SAM", 7])
def test_a_menu_of_people_in_which_nobody_is_chosen_means_nothing(user):
    action = {"type": "users_select", "action_id": "desk:assign:101:", "action_ts": "1.2", "selected_user": user}
    body = {"actions": [action], "trigger_id": "t", "team": {"id": TEAM}, "user": {"id": SAM}}
    with pytest.raises(BadPayload):
        read_action(body)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_menu_and_what_is_told_speak_the_team_s_language(kit, language):
    kit.claim(language=language)
    with kit.engine.begin() as db:
        db.exec_driver_sql("update agency set language = %s", (language,))
    kit.calls()
    assert kit.slack.choose(TEAM, SAM, texts(language)["desk.menu.assign"], RITA, where=DESK).ok
    kit.settle()
    done = texts(language)["desk.assign.done"].format(by=f"<@{SAM}>", owner=f"<@{RITA}>")
    assert done in kit.told()
