"""For which agency somebody acts, and how they leave one."""

from dataclasses import replace

import pytest

from flows.facts import Role
from flows.roles import Choosing, ConfirmingLeave, ask, start, step
from flows.speech import label
from flows.words import (
    LANGUAGES,
    ActFor,
    Chose,
    Declined,
    Done,
    EntranceCode,
    LeaveAgency,
    MakeLinkCode,
    Quote,
    Said,
    Say,
    SeeRoles,
    Shared,
    TeamChanged,
    TeamRefused,
    TeamSeen,
)
from tests.flowkit import GMAIL, WORKS, facts

SOL, LUA = Role("m1", "Agência Sol", "Ana", acting=True), Role("m2", "Agência Lua", "Ana Lima")
TWO = facts(agency="Agência Sol", several=True, roles=(SOL, LUA))
HERE, LEAVING = Choosing(), ConfirmingLeave()
ACTING = Say("roles.acting", {"name": "Ana", "agency": "Agência Sol"})

STEPS = {
    "they were looked up": (HERE, TeamSeen(), (HERE, [])),
    "another one by a tap": (HERE, Chose("m2"), (HERE, [ActFor("m2")])),
    "another one by its name": (HERE, Said("agencia lua"), (HERE, [ActFor("m2")])),
    "another one by the member's name": (HERE, Said("ana lima"), (HERE, [ActFor("m2")])),
    "one that there is not": (HERE, Chose("m9"), Declined()),
    "words": (HERE, Said("hello"), Declined()),
    "back to the menu": (HERE, Chose("menu"), (Done(), [])),
    "it is done": (HERE, TeamChanged(), (Done(), [ACTING])),
    "it is gone": (HERE, TeamRefused("gone"), (Done(), [Say("roles.refused.gone")])),
    "another phone": (HERE, Chose("link"), (HERE, [MakeLinkCode()])),
    "its code": (
        HERE, EntranceCode("123456", 10),
        (Done(), [Say("roles.link_code", {"code": Quote("123456"), "minutes": 10})]),
    ),
    "leaving": (HERE, Chose("leave"), (LEAVING, [])),
    "really": (LEAVING, Chose("yes"), (LEAVING, [LeaveAgency()])),
    "not after all": (LEAVING, Chose("no"), (Done(), [])),
    "left": (LEAVING, TeamChanged(), (Done(), [Say("roles.left")])),
    "the last admin stays": (LEAVING, TeamRefused("last_admin"), (Done(), [Say("roles.refused.last_admin")])),
    "a picture": (LEAVING, Shared("image"), Declined()),
}  # fmt: skip


@pytest.mark.parametrize("told", STEPS)
def test_each_step_is_taken_as_told(told):
    state, event, expected = STEPS[told]
    assert step(state, event, TWO) == expected


def test_two_agencies_of_one_name_are_told_apart_by_a_tap_only():
    twins = replace(TWO, roles=(SOL, LUA, Role("m3", "Agência Lua", "Bia")))
    assert step(HERE, Said("Agência Lua"), twins) == Declined()


def test_two_members_on_a_reception_s_phone_are_told_apart_by_name():
    shared = replace(TWO, roles=(SOL, Role("m2", "Agência Sol", "Bia")))
    assert label(ask(HERE, shared).options[0], "en") == "Bia"
    assert step(HERE, Said("bia"), shared) == (HERE, [ActFor("m2")])
    assert step(HERE, Said("agência sol"), shared) == Declined()


def test_it_begins_with_a_look():
    assert start("", TWO) == (HERE, [SeeRoles()])


def test_the_other_agencies_are_offered_and_the_way_out():
    asked = ask(HERE, TWO)
    assert (asked.name, [option.value for option in asked.options]) == (
        "roles.several",
        ["m2", "link", "leave", "menu"],
    )
    alone = ask(HERE, replace(TWO, roles=(SOL,)))
    assert (alone.name, [option.value for option in alone.options]) == ("roles.one", ["link", "leave", "menu"])


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "roles.leave"),
        ({"mailbox": WORKS}, "roles.leave_mailbox"),
        ({"mailbox": WORKS, "provider": GMAIL}, "roles.leave_mailbox"),
        (
            {"mailbox": WORKS, "provider": replace(GMAIL, app_password_url="https://p.test/apps")},
            "roles.leave_app_password",
        ),
        (
            {
                "mailbox": replace(WORKS, signed_in="google"),
                "provider": replace(GMAIL, app_password_url="https://p.test"),
            },
            "roles.leave_mailbox",
        ),
        ({"mailbox": replace(WORKS, signed_in="microsoft"), "provider": GMAIL}, "roles.leave_signed_in"),
    ],
)
def test_leaving_says_what_ends_and_what_only_they_can_do(changes, name):
    asked = ask(LEAVING, replace(TWO, **changes))
    assert (asked.name, [option.value for option in asked.options]) == (name, ["yes", "no"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_long_name_and_many_agencies_fit_into_a_list(language):
    many = replace(TWO, roles=(SOL, *(Role(f"m{n}", f"{n} " + "Agência " * 5) for n in range(20))))
    labels = [label(option, language) for option in ask(HERE, many).options]
    assert len(labels) == 10
    assert all(len(one) <= 24 for one in labels)
