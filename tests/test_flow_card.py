"""The Ally card: what is shown to whom, and what becomes of an error in Ally."""

from dataclasses import replace

import pytest

from flows.card import Reporting, Showing, ask, start, step
from flows.facts import Pasted
from flows.speech import Plain, render, texts
from flows.words import (
    LANGUAGES,
    Account,
    Chose,
    Declined,
    Done,
    OpenCase,
    Said,
    Say,
    Server,
    Shared,
    Speak,
)
from tests.flowkit import ADDRESS, ANA, GMAIL, WORKS, Player, asked_for_the_secret, facts

MEMBER = facts(mailbox=WORKS)
CARD = Showing(ANA)
ALONE = Showing(ANA, without=True)

STORY = {
    "it works in Ally": (CARD, Chose("done"), (Done(), [Say("card.well_done")])),
    "an error in Ally is asked for": (CARD, Chose("error"), (Reporting(ANA), [])),
    "a person instead": (CARD, Chose("person"), (CARD, [OpenCase("stuck")])),
    "a person instead of the error": (Reporting(ANA), Chose("person"), (Reporting(ANA), [OpenCase("stuck")])),
    "words under the card are declined": (CARD, Said("ok"), Declined()),
    "an error that nobody knows": (
        Reporting(ANA),
        Said("It does not work"),
        (CARD, [Say("card.unknown_error"), Say("card.works_here")]),
    ),
    "what we never tested is not said to work": (
        Reporting(ANA, without=True),
        Said("It does not work"),
        (ALONE, [Say("card.unknown_error")]),
    ),
    "a command is no error": (Reporting(ANA), Said("menu"), Declined()),
    "a picture is no error": (Reporting(ANA), Shared("image"), Declined()),
}


@pytest.mark.parametrize("told", STORY)
def test_the_card_takes_each_step_as_told(told):
    state, event, expected = STORY[told]
    assert step(state, event, MEMBER) == expected


def test_an_error_of_ally_is_explained_in_the_light_of_what_works_here():
    known = replace(MEMBER, pasted=Pasted("wrong_credentials", "user", retry=False))
    said = [Say("cause.wrong_credentials"), Say("card.works_here")]
    assert step(Reporting(ANA), Said("535 5.7.8 authentication failed"), known) == (CARD, said)


def test_the_card_is_about_the_account_at_hand_or_else_the_saved_one():
    other = Account("bia@agency.test", "bia", Server("mail.agency.test", 587, "starttls"))
    assert start("", replace(MEMBER, about=other)) == (Showing(other), [])
    assert start("", MEMBER) == (CARD, [])
    assert start("", facts()) == (Done(), [Say("mailbox.none_yet")])
    assert ask(Done(), facts()).name == "mailbox.none_yet"


def test_without_a_password_nothing_is_kept_and_that_is_said():
    assert start("without", MEMBER) == (ALONE, [Say("card.nothing_stored")])


def test_another_server_than_the_agencys_is_told_once_more():
    assert start("", replace(MEMBER, differs=True)) == (CARD, [Say("card.differs", {"agency": "Agency"})])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("role", ["member", "admin"])
def test_the_card_carries_allys_own_labels_and_the_persons_data(role, language):
    asked = ask(CARD, facts(role=role, mailbox=WORKS, provider=GMAIL))
    body = render(Speak((Say(asked.name, asked.values),)), language, Plain(), str).body
    words = texts(language)
    for name in ("edit_profile", "own_smtp", "smtp_email", "smtp_password", "test_smtp", "save"):
        assert words[f"ally.{name}"] in body
    assert ADDRESS in body
    assert words["card.app_password"] in body
    assert ("mail.agency.test" in body) == (role == "admin")
    assert (words["ally.integrate"] in body) == (role == "admin")


def test_an_ordinary_password_is_called_by_its_name():
    asked = ask(CARD, MEMBER)
    assert "card.mail_password" in str(asked.values["password"])


def test_after_the_set_up_the_card_is_shown_in_the_same_message():
    player = asked_for_the_secret()
    said = player.fill_page().split("\n---\n")[-1]
    assert said.startswith("*It works!*")
    assert texts("en")["ally.own_smtp"] in said
    assert player.tap("error").startswith("What does Ally show?")
    player.known = replace(player.known, pasted=Pasted("wrong_credentials", "user", retry=False))
    assert texts("en")["card.works_here"] in player.write("535 5.7.8 Error: authentication failed")
    player.known = replace(player.known, pasted=None)
    player.tap("done")
    assert player.envelope.flow == "menu"


def test_without_a_password_the_link_is_closed_and_the_card_comes_at_once():
    player = asked_for_the_secret()
    said = player.tap("without")
    assert said.startswith(texts("en")["card.nothing_stored"])
    assert player.known.mailbox is None
    assert isinstance(player.envelope.state, Showing)


def test_the_card_can_be_seen_again_from_the_menu():
    player = Player(known=MEMBER)
    player.write("hi")
    assert texts("en")["ally.own_smtp"] in player.tap("card")
