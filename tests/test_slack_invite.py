"""Inviting people where they are, reminding them, and looking after who has left the workspace."""

from itertools import pairwise

import pytest

from bot.invite import MOST
from bot.store import people as people_store
from bot.store import slack, tables
from bot.team import end_membership
from flows.speech import texts
from tests.botkit import eventually, statements, table_of_providers
from tests.slackkit import ANA, ANOTHER_TEAM, BIA, BRUNO, CARLA, TEAM, SlackKit
from tests.test_slack_home import box

WORK = "C0WORK"


@pytest.fixture
def kit(database_url, tmp_path):
    """Bia's own e-mail works; the window for picking is before her whenever she asks for it."""
    with SlackKit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as made:
        made.claim()
        made.slack.wait_for(lambda: made.slack.modal(TEAM, BIA) is not None)
        made.slack.close_modal(TEAM, BIA)
        works(made, BIA)
        yield made


def works(kit, user):
    with kit.engine.begin() as db:
        box(db, kit.held(f"{TEAM}.{user}").member_id, user, "works", kit.clock.now())


def picked(kit, user=BIA, **picked):
    """Pick people or channels; what the bot says then."""
    kit.slack.command(TEAM, user, "invite")
    kit.window(user, "Pick people")
    kit.slack.type_in(TEAM, user, picked)
    kit.slack.submit(TEAM, user)
    kit.work()
    return kit.read(user)


def invited(kit, user=BIA, **whom):
    """Pick them and say yes."""
    picked(kit, user, **whom)
    kit.tapped(user, "Yes, write to them")


def crowd(kit, number, channel=WORK):
    users = [f"U1{one:04d}" for one in range(number)]
    for one in users:
        kit.slack.user(TEAM, one, f"p{one[2:]}", real_name=f"Person {one[2:]}")
    kit.slack.channel(TEAM, channel, "work", [*users, BIA, kit.workspace.bot_user])
    return users


def told(kit, user, words="invites you"):
    return [one.shown for one in kit.slack.dm(TEAM, user) if not one.mine and words in one.shown]


def members(kit):
    return {row.name for row in kit.rows(tables.member) if row.removed_at is None}


# --- who is found -----------------------------------------------------------------------------------------------------


def test_bots_guests_strangers_and_who_is_deactivated_are_left_out(kit):
    kit.slack.user(TEAM, "U0BOT2", "robot", is_bot=True)
    kit.slack.user(TEAM, "U0GUEST", "guest", is_restricted=True)
    kit.slack.user(TEAM, "U0GUEST1", "guest1", is_ultra_restricted=True)
    kit.slack.user(TEAM, "U0GONE", "gone", deleted=True)
    kit.slack.user(TEAM, "U0FAR", "far", is_stranger=True, home_team=ANOTHER_TEAM)
    kit.slack.user(TEAM, "U0FAR2", "far2", home_team=ANOTHER_TEAM)
    kit.slack.user(TEAM, "USLACKBOT", "slackbot")
    everybody = ["U0BOT2", "U0GUEST", "U0GUEST1", "U0GONE", "U0FAR", "U0FAR2", "USLACKBOT", "U0NOBODY", BIA, ANA]
    kit.slack.channel(TEAM, WORK, "work", [*everybody, kit.workspace.bot_user])
    assert "People picked: 1. Can send already: 0. Shall I write to the rest (1)?" in picked(kit, channels=[WORK])
    kit.tapped(BIA, "Yes, write to them")
    assert members(kit) == {"Bia", "Ana"}
    assert "nobody there" in picked(kit, people=everybody[:-2])


def test_nobody_and_oneself_alone_are_told(kit):
    kit.slack.command(TEAM, BIA, "invite")
    kit.window(BIA, "Pick people")
    kit.slack.type_in(TEAM, BIA, {"people": [], "channels": []})
    kit.slack.submit(TEAM, BIA)
    assert "pick somebody first" in kit.slack.field_errors(TEAM, BIA)["people"]
    kit.slack.type_in(TEAM, BIA, {"people": [BIA]})
    kit.slack.submit(TEAM, BIA)
    kit.work()
    assert "nobody there" in kit.read(BIA)


def test_the_numbers_are_right_and_who_can_send_already_is_not_written_to(kit):
    users = crowd(kit, 10)
    invited(kit, people=users[:3])
    kit.clock.move(minutes=1)
    kit.work()
    works(kit, users[0])
    works(kit, users[1])
    before = {user: len(told(kit, user)) for user in users}
    words = picked(kit, people=[users[0], ANA], channels=[WORK])
    assert "People picked: 11. Can send already: 2. Shall I write to the rest (9)?" in words
    kit.tapped(BIA, "Yes, write to them")
    kit.clock.move(minutes=1)
    kit.work()
    assert [len(told(kit, user)) - before[user] for user in users] == [0, 0, *[1] * 8]
    assert len(told(kit, ANA)) == 1


def test_of_a_large_channel_two_hundred_are_written_to_and_the_rest_is_told(kit):
    users = crowd(kit, 250)
    words = picked(kit, channels=[WORK])
    assert "People picked: 250. Can send already: 0. I write to at most 200 at once" in words
    assert len([one for one in kit.slack.requests if one.method == "conversations.members"]) == 2
    kit.tapped(BIA, "Yes, write to them")
    assert len(members(kit)) == MOST + 1
    dues = sorted(row.due_at for row in kit.promised("tell"))
    assert {(later - earlier).total_seconds() for earlier, later in pairwise(dues)} == {1.0}
    for seconds in (10, 50, 150):
        kit.clock.move(seconds=seconds)
        kit.work(rounds=500)
    assert sum(len(told(kit, user)) for user in users) == MOST
    assert not [one for one in users if len(told(kit, one)) > 1]
    assert "People picked: 250" in picked(kit, channels=[WORK])


def test_to_invite_two_hundred_asks_the_database_no_more_often_than_to_invite_two(kit):
    users = crowd(kit, 202)

    edge = kit.web.extensions["slack"]

    def asked(whom):
        picked(kit, people=whom)
        eventually(lambda: edge.showing == 0, "the end of what is shown before")
        with statements(kit.engine) as seen:
            assert kit.slack.tap(TEAM, BIA, "Yes, write to them").status_code == 200
            eventually(lambda: edge.showing == 0, "the end of all showing")
        kit.work()
        return len(seen)

    few, many = asked(users[:2]), asked(users[2:])
    assert len(members(kit)) == 202 + 1
    assert many == few


def test_who_is_a_member_already_is_not_made_one_twice(kit):
    kit.written(ANA, kit.invite(name="Ana Maria"))
    invited(kit, people=[ANA, BRUNO])
    invited(kit, people=[ANA, BRUNO])
    kit.clock.move(minutes=1)
    kit.work()
    assert sorted(row.name for row in kit.rows(tables.member)) == ["Ana Maria", "Bia", "Bruno"]
    assert len(kit.rows(tables.membership)) == 3


def test_who_said_stop_gets_nothing_and_no_reminder_either(kit):
    kit.written(ANA, "stop")
    before = len(kit.slack.dm(TEAM, ANA))
    invited(kit, people=[ANA])
    for _ in range(20):
        kit.clock.move(days=1)
        kit.work()
    assert len(kit.slack.dm(TEAM, ANA)) == before


# --- by whom ----------------------------------------------------------------------------------------------------------


def test_an_admin_who_lost_the_role_before_the_yes_invites_nobody(kit):
    picked(kit, people=[ANA])
    with kit.engine.begin() as db:
        people_store.set_role(db, kit.held(f"{TEAM}.{BIA}").member_id, "member")
    assert "admin" in kit.tapped(BIA, "Yes, write to them")
    assert members(kit) == {"Bia"}
    assert not kit.promised("tell")


def test_an_admin_who_was_removed_before_the_yes_invites_nobody(kit):
    picked(kit, people=[ANA])
    with kit.engine.begin() as db:
        end_membership(db, kit.held(f"{TEAM}.{BIA}").member_id, kit.clock.now(), "x")
    kit.slack.tap(TEAM, BIA, "Yes, write to them")
    kit.work()
    assert members(kit) == set()
    assert not told(kit, ANA)


def test_a_workspace_that_went_to_another_agency_before_the_yes_is_not_written_to(kit):
    picked(kit, people=[ANA])
    with kit.engine.begin() as db:
        other = people_store.add_agency(db, "Lua", "en", "UTC", kit.clock.now())
        slack.keep_workspace(db, TEAM, kit.clock.now(), agency_id=other)
    kit.tapped(BIA, "Yes, write to them")
    assert members(kit) == {"Bia"}
    assert not told(kit, ANA)


def test_an_old_yes_after_the_invitation_invites_nobody_again(kit):
    picked(kit, people=[ANA])
    message = kit.slack.dm(TEAM, BIA)[-1].ts
    kit.tapped(BIA, "Yes, write to them")
    kit.slack.tap(TEAM, BIA, "Yes, write to them", ts=message)
    kit.clock.move(minutes=1)
    kit.work()
    assert len(told(kit, ANA)) == 1


def test_two_admins_who_invite_one_another_at_once_do_not_wait_for_ever(kit):
    kit.written(ANA, kit.invite(name="Ana", role="admin"))
    works(kit, ANA)
    picked(kit, people=[ANA, BRUNO])
    picked(kit, ANA, people=[BIA, CARLA])
    kit.tapped(BIA, "Pick others")
    assert "People picked: 2. Can send already: 1" in picked(kit, people=[ANA, BRUNO])
    kit.tapped(BIA, "Yes, write to them")
    kit.tapped(ANA, "Yes, write to them")
    kit.clock.move(minutes=1)
    kit.work()
    assert members(kit) == {"Ana", "Bia", "Bruno", "Carla"}


# --- what they read ---------------------------------------------------------------------------------------------------


def test_later_why_and_connect_do_what_they_say(kit):
    invited(kit, people=[ANA, BRUNO, CARLA])
    kit.clock.move(seconds=5)
    kit.work()
    words = told(kit, ANA)[-1]
    assert "Bia" in words
    assert "Agência Sol" in words
    assert kit.tapped(ANA, "Later")
    assert "Which e-mail address" not in kit.read(ANA)
    assert len(kit.tapped(BRUNO, texts("en")["news.button.why"])) > 50
    assert "Which e-mail address" in kit.tapped(BRUNO, "Connect")
    assert "Which e-mail address" in kit.tapped(CARLA, "Connect")
    assert not kit.rows(tables.dead_letter)


def test_at_night_nobody_is_written_to_before_nine(kit):
    kit.clock.move(hours=11)
    invited(kit, people=[ANA])
    assert not told(kit, ANA)
    kit.clock.move(hours=9)
    kit.work()
    assert not told(kit, ANA)
    kit.clock.move(hours=2)
    kit.work()
    assert len(told(kit, ANA)) == 1


# --- reminders --------------------------------------------------------------------------------------------------------


def passing(kit, days):
    """Days pass, hour by hour; on which of them somebody was reminded."""
    reminded = []
    for day in range(1, days + 1):
        for _ in range(8):
            before = len(told(kit, ANA, "Agência Sol"))
            kit.clock.move(hours=3)
            kit.work()
            reminded += [day] * (len(told(kit, ANA, "Agência Sol")) - before)
    return reminded


def test_who_does_not_connect_is_reminded_after_three_and_ten_working_days_and_never_again(kit):
    invited(kit, people=[ANA])
    kit.work()
    assert len(told(kit, ANA)) == 1
    assert passing(kit, 40) == [3, 14]  # it was a Monday
    assert not kit.promised("follow_up")


def test_who_has_connected_is_not_reminded(kit):
    invited(kit, people=[ANA])
    assert passing(kit, 4) == [3]
    works(kit, ANA)
    assert passing(kit, 30) == []


def test_who_was_removed_is_not_reminded(kit):
    invited(kit, people=[ANA])
    with kit.engine.begin() as db:
        end_membership(db, kit.held(f"{TEAM}.{ANA}").member_id, kit.clock.now(), "x")
    kit.work()
    before = len(kit.slack.dm(TEAM, ANA))
    for _ in range(30):
        kit.clock.move(days=1)
        kit.work()
    assert len(kit.slack.dm(TEAM, ANA)) == before


def test_who_is_invited_twice_is_reminded_twice_not_four_times(kit):
    invited(kit, people=[ANA])
    kit.work()
    invited(kit, people=[ANA])
    kit.clock.move(seconds=5)
    kit.work()
    assert len(told(kit, ANA)) == 2
    assert passing(kit, 40) == [3, 14]


# --- a Slack that is slow, and channels that we cannot see -----------------------------------------------------------


def test_a_channel_that_we_are_not_in_or_that_is_gone_is_told(kit):
    kit.slack.channel(TEAM, "C0PRIV", "secret", [ANA], private=True)
    kit.slack.channel(TEAM, "C0DEAD", "dead", [ANA, kit.workspace.bot_user])
    kit.slack.delete_channel(TEAM, "C0DEAD")
    for channel in ("C0PRIV", "C0DEAD", "C0NONE"):
        assert "can't see who is in one of these channels" in picked(kit, channels=[channel])
    kit.slack.channel(TEAM, "C0OLD", "old", [ANA, kit.workspace.bot_user])
    kit.slack.archive(TEAM, "C0OLD")
    assert "People picked: 1" in picked(kit, channels=["C0OLD"])


@pytest.mark.parametrize("method", ["users.list", "conversations.members"])
def test_a_slack_that_is_slow_is_waited_for_and_at_last_told(kit, method):
    kit.slack.channel(TEAM, WORK, "work", [ANA, kit.workspace.bot_user])
    kit.slack.fail(method, "ratelimited", times=2, retry_after=20)
    kit.slack.command(TEAM, BIA, "invite")
    kit.window(BIA, "Pick people")
    kit.slack.type_in(TEAM, BIA, {"channels": [WORK]})
    kit.slack.submit(TEAM, BIA)
    kit.work()
    asked = len([one for one in kit.slack.requests if one.method == method])
    kit.clock.move(seconds=19)
    kit.work()
    assert len([one for one in kit.slack.requests if one.method == method]) == asked
    for _ in range(2):
        kit.clock.move(seconds=30)
        kit.work()
    assert "People picked: 1" in kit.read(BIA)
    kit.tapped(BIA, "Pick others")
    kit.slack.fail(method, "500", times=99)
    picked(kit, channels=[WORK])
    for _ in range(8):
        kit.clock.move(minutes=5)
        kit.work()
    assert "Slack is slow today" in kit.read(BIA)
    assert not kit.promised("LookUpPeople")


def test_somebody_who_leaves_the_menu_while_slack_is_slow_hears_nothing_late(kit):
    kit.slack.fail("users.list", "ratelimited", retry_after=20)
    picked(kit, people=[ANA])
    kit.written(BIA, "menu")
    before = len(kit.slack.dm(TEAM, BIA))
    kit.clock.move(minutes=1)
    kit.work()
    assert len(kit.slack.dm(TEAM, BIA)) == before


# --- who has left the workspace ---------------------------------------------------------------------------------------


def around(kit):
    """A day passes; what the admin hears."""
    before = len(kit.slack.dm(TEAM, BIA))
    kit.clock.move(days=1)
    kit.worker._sweep(kit.clock.now())
    kit.clock.move(days=1)
    kit.worker._sweep(kit.clock.now())
    kit.work()
    kit.clock.move(days=3)  # nobody is told on a weekend
    kit.work()
    return [one.shown for one in kit.slack.dm(TEAM, BIA)[before:] if "switched off" in one.shown or "Ana" in one.shown]


def test_who_was_deactivated_is_put_before_the_admin_once_and_only_then_removed(kit):
    kit.written(ANA, kit.invite(name="Ana"))
    kit.slack.deactivate(TEAM, ANA)
    assert len(around(kit)) == 1
    assert "Ana" in members(kit)
    assert around(kit) == []
    remove = next(value for _, value, label in _buttons(kit) if ":go:team.exclude." in value)
    kit.slack.tap(TEAM, BIA, remove)
    kit.work()
    assert "Ana" in members(kit)
    kit.tapped(BIA, _label(kit, ":yes"))
    assert "Ana" not in members(kit)


def _buttons(kit):
    return [one for message in reversed(kit.slack.dm(TEAM, BIA)) for one in message.buttons]


def _label(kit, end):
    return next(label for _, value, label in _buttons(kit) if value.endswith(end))


def test_who_comes_back_and_leaves_again_is_put_before_the_admin_again(kit):
    kit.written(ANA, kit.invite(name="Ana"))
    kit.slack.deactivate(TEAM, ANA)
    assert len(around(kit)) == 1
    kit.slack.user(TEAM, ANA, "ana", real_name="Ana")
    assert around(kit) == []
    assert [row.gone_at for row in kit.rows(tables.contact) if row.address == f"{TEAM}.{ANA}"] == [None]
    kit.slack.deactivate(TEAM, ANA)
    assert len(around(kit)) == 1


def test_who_belongs_to_no_agency_is_nobodys_news_when_they_leave(kit):
    kit.written(BRUNO, "hello")
    kit.slack.deactivate(TEAM, BRUNO)
    assert around(kit) == []


@pytest.mark.parametrize("fault", ["500", "ratelimited", "token_revoked"])
def test_a_slack_that_is_down_is_looked_through_tomorrow(kit, fault):
    kit.written(ANA, kit.invite(name="Ana"))
    kit.slack.deactivate(TEAM, ANA)
    kit.slack.fail("users.list", fault, times=1)
    assert around(kit) == []
    assert len(around(kit)) == 1
    assert not kit.rows(tables.dead_letter)
