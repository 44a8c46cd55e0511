"""What stands where in Slack: rows of buttons in messages, and the parts of a home in their order."""

from dataclasses import replace

import pytest

from bot.channels.slack.home import home_view
from bot.channels.slack.render import Frame, render, window
from bot.playground.slack_screen import shown
from flows import board
from flows.facts import Mailbox, Teammate
from flows.speech import Button, Entry, Message
from tests.flowkit import ANA, WORKS, facts

BIA = Teammate("m0", "Bia", "admin", "bia@agency.test", "works", me=True)
LOCKED = Teammate("m2", "Caio", "member", "caio@agency.test", "broken", "wrong_credentials", "user")
WAITS = Teammate("m3", "Davi", "member", "davi@agency.test", "waiting", "greylisted", "wait")


def rows(*values, question="menu.choosing"):
    """The rows of buttons below a message, each as its values, with * at a green one and () around a list."""
    buttons = tuple(Button(f"{question}:{value}", value) for value in values)
    found = []
    for block in render(Message("?", buttons, "en", question)).blocks[1:]:
        row = []
        for one in block["elements"]:
            if one["type"] == "overflow":
                row.append(tuple(option["value"].partition(":")[2] for option in one["options"]))
            else:
                row.append(one["value"].partition(":")[2] + ("*" if one.get("style") == "primary" else ""))
        found.append(row)
    return found


def lines(**changes):
    """A home, as a person reads it."""
    known = facts(agency="Sol", **changes)
    return shown(home_view(board.home(known), "en")).replace("*", "").replace("`", "").splitlines()


def test_the_menu_takes_one_row_and_keeps_what_is_seldom_needed_in_a_list():
    menu = ("write", "mailbox", "card", "integrate", "team", "roles", "language", "privacy", "person")
    assert rows(*menu) == [
        ["write", "mailbox", "integrate", "team", "person", ("card", "roles", "language", "privacy")],
    ]


def test_what_news_is_about_stands_above_the_menu():
    assert rows("setup", "roles", "go:team.exclude.m1", "noted:") == [
        ["go:team.exclude.m1", "noted:"],
        ["setup*", ("roles",)],
    ]


def test_what_there_is_to_be_done_is_green_where_it_stands_first():
    assert rows("go:mailbox", "later:", "read:what_is_it") == [["go:mailbox*", "later:", "read:what_is_it"]]
    assert rows("retry", "go:mailbox", question="x.y") == [["retry", "go:mailbox"]]


def test_other_questions_have_their_choices_in_one_row():
    assert rows("yes", "no", "menu", question="invite.preview") == [["yes", "no", "menu"]]
    assert rows() == []


def test_a_long_text_is_never_folded_by_slack():
    assert all(block["expand"] for block in render(Message("x\n\n" * 2000, (), "en")).blocks)


def test_a_window_says_where_to_write_what_it_has_no_field_for():
    frame = Frame("Title", "Next", "Close", "Write there.")
    assert "Write there." in shown(window(Message("To whom?", (), "en", "compose.to"), frame))
    field = (Entry("address", "Address"),)
    assert "Write there." not in shown(window(Message("Which?", (), "en", "mailbox.address", field), frame))
    assert "Write there." not in shown(window(Message("One moment", (), "en", "slack.waiting"), frame))


def test_a_new_admin_is_told_the_one_thing_to_do_and_no_numbers():
    shown = lines(role="admin", team=(replace(BIA, address="", state=""),))
    assert shown[0] == "Sol: e-mail in Ally"
    assert shown[1].startswith("There is no mail server yet.")
    assert shown[2:] == ["Connect our e-mail", "Talk to a person", "My team"]


def test_an_admin_sees_who_cannot_send_and_why_before_anything_else():
    shown = lines(role="admin", team=(BIA, WAITS, LOCKED), mailbox=WORKS, agency_server=ANA.server)
    assert shown[1:4] == ["1 of 3 can send.", "🔴 stuck: 1", "⏳ waiting: 1"]
    people = [line for line in shown if line[0] in "🔴⏳✅" and ": " in line][2:]
    assert people == [
        "🔴 Caio: stuck - wrong address or password",
        "⏳ Davi: waiting - the server wants a second try",
        "✅ Bia: can send",
    ]
    assert "caio@agency.test - they can fix it themselves" in shown
    assert shown[-3:] == ["Your agency's mail server: mail.agency.test, number 465.", "Mail server", "My team"]


def test_all_well_is_said_in_one_line():
    shown = lines(role="admin", team=(BIA,), mailbox=WORKS)
    assert shown[1] == "All is well: 1 of 1 can send."
    assert shown[2] == "Invite people"
    assert "Your agency has no mail server set: everybody may use any." in shown


def test_an_admin_whose_own_e_mail_is_broken_sees_that_first():
    broken = Mailbox(ANA, "broken", "wrong_credentials")
    shown = lines(role="admin", team=(BIA, LOCKED), mailbox=broken, agency_server=ANA.server)
    assert shown[1].startswith("Your own e-mail, ana@agency.test: does not work. The mail server says")
    assert shown[2] == "New password"
    assert "Invite people" not in shown


@pytest.mark.parametrize(
    ("cause", "first"),
    [("", "New password"), ("wrong_credentials", "New password"), ("imap_disabled", "My e-mail settings")],
)
def test_a_member_is_offered_a_new_password_only_where_that_helps(cause, first):
    assert lines(mailbox=Mailbox(ANA, "broken", cause))[2] == first


def test_a_member_whose_e_mail_is_off_or_works_is_told_no_cause():
    for state in ("off", "works"):
        assert "password" not in " ".join(lines(mailbox=Mailbox(ANA, state, "wrong_credentials")))


def test_a_stranger_has_something_to_press():
    known = facts(agency="", role="")
    assert shown(home_view(board.home(known), "en")).splitlines()[-2:] == ["I have an invitation", "Talk to a person"]


def test_removing_somebody_is_the_last_choice_beside_their_name():
    for one in (LOCKED, WAITS, replace(LOCKED, state="off"), replace(LOCKED, state="works", cause="")):
        known = facts(role="admin", team=(BIA, one), mailbox=WORKS)
        (line,) = [
            part
            for part in board.home(known)
            if isinstance(part, board.Line) and part.says[0].values["name"] == one.name
        ]
        assert line.options[-1].label == "team.button.exclude"
