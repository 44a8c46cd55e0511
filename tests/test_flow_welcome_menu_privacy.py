"""The door, the menu and the erasure, step by step; and the form that questions share."""

from dataclasses import replace
from datetime import date

import pytest

from flows import menu, privacy, welcome
from flows.forms import Field, Form, Problem, without
from flows.reading import half_a_code, misread_code
from flows.welcome import Asking, AtTheDoor, AwaitingCode, AwaitingProof, Moving, Waiting
from flows.words import (
    AccessAsked,
    AccessRefused,
    Ask,
    AskAccess,
    Chose,
    Code,
    DataSeen,
    DataTaken,
    Declined,
    Done,
    EraseEverything,
    Join,
    Joined,
    JoinRefused,
    Link,
    LinkOpened,
    LinkRefused,
    OpenCase,
    OpenData,
    Option,
    ProofAsked,
    ProveAddress,
    Said,
    Say,
    SeeData,
    SetLanguage,
    Shared,
    Start,
    Text,
    UseEntranceCode,
)
from tests.flowkit import CODE, HOUSE, WORKS, facts

STRANGER = facts(agency="", role="")
MEMBER = facts()
JOIN = Join(CODE.replace("-", ""))
WELCOME = Say("welcome.joined", {"agency": "Agency"})

DOOR, CODE_, WAITS, MOVES, PROOF = AtTheDoor(), AwaitingCode(), Waiting(), Moving(), AwaitingProof()
ASKED = Asking({"agency": "Sol"}, "address")
AT_THE_DOOR = {
    "a code is tried": (DOOR, Said(f"My code is {CODE}."), (DOOR, [JOIN])),
    "a code is tried where it is asked for": (CODE_, Said(f"My code is {CODE}."), (CODE_, [JOIN])),
    "a code is tried while one waits": (WAITS, Said(CODE), (WAITS, [JOIN])),
    "a code is tried in the middle of asking": (ASKED, Said(CODE), (ASKED, [JOIN])),
    "no code is explained": (CODE_, Said("hello"), Declined("welcome.no_code")),
    "small talk at the door": (DOOR, Said("hello"), Declined()),
    "welcome, now the mailbox": (CODE_, Joined("Agency"), (CODE_, [WELCOME, Start("mailbox")])),
    "a bad code is explained": (CODE_, JoinRefused("expired"), Declined("welcome.refused.expired")),
    "a person": (DOOR, Chose("person"), (DOOR, [OpenCase("asked")])),
    "an invitation": (DOOR, Chose("invitation"), (CODE_, [])),
    "an invitation after all": (WAITS, Chose("invitation"), (CODE_, [])),
    "a wish for access": (DOOR, Chose("access"), (Asking(), [])),
    "no code, so a wish": (CODE_, Chose("access"), (Asking(), [])),
    "the agency": (Asking(), Said("  Agência   Sol "), (Asking({"agency": "Agência Sol"}, "address"), [])),
    "no agency": (Asking(), Said("x"), Declined("welcome.no_agency_name")),
    "a greeting is no agency": (Asking(), Said("Oi, bom dia!"), Declined("welcome.no_agency_name")),
    "too long for a name": (Asking(), Said("x" * 121), Declined("welcome.no_agency_name")),
    "a command is asked about": (Asking(), Said("menu"), Declined("talk.doubt")),
    "the address": (
        ASKED, Said("ana@sol.test"),
        (Asking({"agency": "Sol", "address": "ana@sol.test"}, "address"), [AskAccess("Sol", "ana@sol.test")]),
    ),
    "no address": (ASKED, Said("ana"), Declined("mailbox.no_address")),
    "it was passed on": (ASKED, AccessAsked(), (WAITS, [Say("welcome.passed_on")])),
    "it was said too often": (ASKED, AccessRefused(), (WAITS, [Say("welcome.too_many_wishes")])),
    "six digits": (CODE_, Said("123 456"), (CODE_, [UseEntranceCode("123456")])),
    "a number in a sentence at the door": (DOOR, Said("my ticket is 482913"), Declined()),
    "six digits at the door": (DOOR, Said("123456"), (DOOR, [UseEntranceCode("123456")])),
    "a new phone": (CODE_, Chose("moved"), (MOVES, [])),
    "its mailbox": (MOVES, Said("ana@sol.test"), (MOVES, [ProveAddress("ana@sol.test")])),
    "no mailbox": (MOVES, Said("ana"), Declined("mailbox.no_address")),
    "a mail is on its way": (MOVES, ProofAsked(), (PROOF, [])),
    "too many mails": (MOVES, ProofAsked(too_many=True), (WAITS, [Say("welcome.too_many_proofs")])),
    "another mail": (PROOF, Chose("again"), (MOVES, [])),
    "the digits": (PROOF, Said("it is 123-456"), (PROOF, [UseEntranceCode("123456")])),
    "two times digits": (PROOF, Said("123456 or 654321"), Declined()),
    "wrong digits": (PROOF, JoinRefused("unknown"), Declined("welcome.wrong_digits")),
    "too many digits": (PROOF, JoinRefused("too_many"), Declined("welcome.refused.too_many")),
    "the right digits": (PROOF, Joined("Agency"), (PROOF, [WELCOME, Start("mailbox")])),
    "a picture": (ASKED, Shared("image"), Declined()),
}  # fmt: skip


@pytest.mark.parametrize("told", AT_THE_DOOR)
def test_the_door_takes_each_step_as_told(told):
    state, event, expected = AT_THE_DOOR[told]
    assert welcome.step(state, event, STRANGER) == expected


def test_somebody_who_joins_with_a_mailbox_goes_to_the_menu():
    again = facts(mailbox=WORKS)
    assert welcome.step(AwaitingCode(), Joined("Agency"), again) == (AwaitingCode(), [WELCOME, Start("menu")])


def test_the_door_offers_an_invitation_access_and_a_person():
    assert welcome.start("", STRANGER) == (AtTheDoor(), [])
    assert [option.value for option in welcome.ask(DOOR, STRANGER).options] == ["invitation", "access", "person"]
    asked = welcome.ask(AwaitingCode(), STRANGER)
    assert (asked.name, asked.values) == ("welcome.code", {"example": Code(CODE)})
    assert [option.value for option in asked.options] == ["access", "moved", "person"]
    assert [option.value for option in welcome.ask(WAITS, STRANGER).options] == ["invitation", "person"]
    assert welcome.ask(MOVES, STRANGER).name == "welcome.moving"
    assert [option.value for option in welcome.ask(PROOF, STRANGER).options] == ["again", "person"]
    assert welcome.ask(ASKED, STRANGER) == Ask("address", "welcome.address")


@pytest.mark.parametrize("state", [DOOR, CODE_, WAITS])
@pytest.mark.parametrize("text", ["ACDE-7FGH-JKMO", "my code: acde-7fgh-jkmo", "ACDE-7FGH-JKMO."])
def test_a_code_with_a_slip_of_the_pen_is_tried_like_any_other_wherever_a_code_may_come(state, text):
    assert welcome.step(state, Said(text), STRANGER) == (state, [Join("ACDE7FGHJKMO")])


@pytest.mark.parametrize(
    ("text", "code"), [("My code is ACDE-7FGH-JK", "ACDE7FGHJK"), ("acdee-7fgh-jkmn", "ACDEE7FGHJKMN")]
)
def test_a_code_that_was_cut_or_has_a_sign_too_many_is_told_to_be_wrong(text, code):
    assert welcome.step(DOOR, Said(text), STRANGER) == (DOOR, [Join(code)])


@pytest.mark.parametrize("state", [DOOR, CODE_, WAITS])
@pytest.mark.parametrize("text", ["ACDE-7FGH", "meu código: acde-7fgh", "ACDE-7FGH-", "My code is AC7E-DFGH."])
def test_who_sends_a_part_of_a_code_is_asked_for_all_of_it(state, text):
    said = [Say("welcome.part_of_code", {"example": Code(CODE)})]
    assert welcome.step(state, Said(text), STRANGER) == (state, said)


@pytest.mark.parametrize("text", ["1234-5678", "port-4650", "auto-made", "ACDE-7FGH-JKMN", "555-1234", "ACDE-7FGH-JK"])
def test_what_has_two_groups_of_signs_is_not_always_a_part_of_a_code(text):
    assert not half_a_code(text)


@pytest.mark.parametrize(
    "text",
    ["what is an app-code", "dar-lhe-ei", "555-123-4567", "1234-5678", "pre-paid-plan", "abcd-efgh-ijkl-mnop"],
)
def test_other_words_with_dashes_are_no_code(text):
    assert misread_code(text) is None


@pytest.mark.parametrize("name", ["New Link Imóveis", "Luego Viajes", "Sem Código"])
def test_a_name_with_a_word_of_ours_in_it_is_a_name(name):
    assert welcome.agency_name(name, STRANGER) == name


def test_where_nobody_may_ask_for_access_it_is_not_offered_and_not_done():
    closed = replace(STRANGER, house=replace(HOUSE, signup="closed"))
    assert [option.value for option in welcome.ask(DOOR, closed).options] == ["invitation", "person"]
    assert [option.value for option in welcome.ask(CODE_, closed).options] == ["moved", "person"]
    assert welcome.step(DOOR, Chose("access"), closed) == Declined()


def test_an_answer_of_a_wish_can_be_given_again():
    both = Asking({"agency": "Sol", "address": "ana@sol.test"}, "address")
    assert welcome.reopen(both, "agency") == Asking({"address": "ana@sol.test"}, "agency")
    assert welcome.reopen(Asking(), "agency") is None
    assert welcome.reopen(DOOR, "agency") is None


def test_a_question_is_no_agency_s_name():
    for words in ("how much is it?", "¿Y el tiempo", "qual a previsão do tempo?"):
        assert welcome.step(Asking(), Said(words), STRANGER) == Declined("welcome.no_agency_name")


# --- the menu ---------------------------------------------------------------------------------------------------------

HERE, LANGUAGE = menu.Choosing(), menu.ChoosingLanguage()
IN_THE_MENU = {
    "set-up": (HERE, Chose("setup"), (HERE, [Start("mailbox")])),
    "the mailbox": (HERE, Chose("mailbox"), (HERE, [Start("mailbox", "manage")])),
    "a number in a sentence": (HERE, Said("ticket 482913 has no answer"), Declined()),
    "digits of another member": (HERE, Said("123 456"), (HERE, [UseEntranceCode("123456")])),
    "my agencies": (HERE, Chose("roles"), (HERE, [Start("roles")])),
    "the team": (HERE, Chose("team"), (HERE, [Start("team")])),
    "an address": (HERE, Said("ana@agency.test"), (HERE, [Start("mailbox", "ana@agency.test")])),
    "what to type into Ally": (HERE, Chose("card"), (HERE, [Start("card")])),
    "a mail": (HERE, Chose("write"), (HERE, [Start("compose")])),
    "the language": (HERE, Chose("language"), (LANGUAGE, [])),
    "my data": (HERE, Chose("privacy"), (HERE, [Start("privacy")])),
    "a person": (HERE, Chose("person"), (HERE, [OpenCase("asked")])),
    "another agency's code": (HERE, Said(CODE.lower()), (HERE, [JOIN])),
    "another agency": (HERE, Joined("Agency"), (HERE, [WELCOME])),
    "a bad code": (HERE, JoinRefused("used"), Declined("welcome.refused.used")),
    "small talk": (HERE, Said("nice weather"), Declined()),
    "a language by button": (LANGUAGE, Chose("es"), (Done(), [SetLanguage("es"), Say("menu.language_set")])),
    "a language by name": (LANGUAGE, Said("inglês"), (Done(), [SetLanguage("en"), Say("menu.language_set")])),
    "no language": (LANGUAGE, Said("klingon"), Declined()),
    "a command that is no language": (LANGUAGE, Said("help"), Declined()),
    "a choice that is no language": (LANGUAGE, Chose("setup"), Declined()),
    "a picture is no language": (LANGUAGE, Shared("image"), Declined()),
}


@pytest.mark.parametrize("told", IN_THE_MENU)
def test_the_menu_takes_each_step_as_told(told):
    state, event, expected = IN_THE_MENU[told]
    assert menu.step(state, event, MEMBER) == expected


@pytest.mark.parametrize(
    ("mailbox", "name", "values"),
    [
        (None, "menu.without_mailbox", ["setup", "roles", "language", "privacy", "person"]),
        (WORKS, "menu.with_mailbox", ["write", "mailbox", "card", "roles", "language", "privacy", "person"]),
        (
            replace(WORKS, state="off"),
            "menu.with_mailbox",
            ["mailbox", "card", "roles", "language", "privacy", "person"],
        ),
    ],
)
def test_the_menu_offers_what_makes_sense_today(mailbox, name, values):
    asked = menu.ask(HERE, facts(mailbox=mailbox))
    assert (asked.name, [option.value for option in asked.options]) == (name, values)


def test_the_menu_can_begin_with_its_question_for_the_language():
    assert menu.start("", MEMBER) == (HERE, [])
    assert menu.start("language", MEMBER) == (LANGUAGE, [])
    assert [option.value for option in menu.ask(LANGUAGE, MEMBER).options] == ["en", "pt", "es"]


# --- erasure ----------------------------------------------------------------------------------------------------------

ERASED = (Done(ask=False), [Say("privacy.erased"), EraseEverything()])
ERASURE = {
    "yes": (Chose("erase"), ERASED),
    "the word that led here, said again": (Said("Apagar!"), ERASED),
    "no": (Chose("keep"), (Done(), [Say("privacy.kept")])),
    "something else": (Said("hm"), Declined()),
}


@pytest.mark.parametrize("told", ERASURE)
def test_only_a_clear_yes_erases(told):
    event, expected = ERASURE[told]
    assert privacy.step(privacy.ConfirmingErasure(), event, MEMBER) == expected


def test_what_is_stored_is_said_with_the_question():
    state, effects = privacy.start("erase", MEMBER)
    asked = privacy.ask(state, MEMBER)
    assert effects == []
    assert asked.values == {"days": HOUSE.retention_days, "url": HOUSE.privacy_url}
    assert [option.value for option in asked.options] == ["erase", "keep"]


# --- what is known ----------------------------------------------------------------------------------------------------

KNOWN, VISIT = privacy.Choosing(), privacy.AwaitingVisit("l1")
SEEN = DataSeen(date(2026, 3, 1), "Ana", "Agência Sol", "ana@agency.test", password=True, accepted=3, cases=1)
TOLD = {
    "since": date(2026, 3, 1), "name": "Ana", "agency": "Agência Sol", "address": Code("ana@agency.test"),
    "locked": Text("privacy.locked"), "sign_ins": 0, "accepted": 3, "refused": 0, "unclear": 0, "waiting": 0,
    "cases": 1, "messages": 0,
}  # fmt: skip
MY_DATA = {
    "what is known, in short": (KNOWN, SEEN, (KNOWN, [Say("privacy.known", TOLD)])),
    "the file": (KNOWN, Chose("file"), (privacy.Opening(), [OpenData()])),
    "its erasure": (KNOWN, Chose("erase"), (privacy.ConfirmingErasure(), [])),
    "back to the menu": (KNOWN, Chose("menu"), (Done(), [])),
    "the page": (privacy.Opening(), LinkOpened("l1"), (VISIT, [])),
    "too many pages": (privacy.Opening(), LinkRefused(), (Done(), [Say("privacy.too_many_links")])),
    "another link": (VISIT, Chose("new_link"), (privacy.Opening(), [OpenData()])),
    "no file after all": (VISIT, Chose("menu"), (Done(), [])),
    "the file was fetched": (VISIT, DataTaken(), (Done(), [Say("privacy.taken")])),
    "nobody waits for a file": (KNOWN, DataTaken(), Declined()),
    "something else": (VISIT, Said("hm"), Declined()),
}


@pytest.mark.parametrize("told", MY_DATA)
def test_what_is_known_is_told_and_given_as_told(told):
    state, event, expected = MY_DATA[told]
    assert privacy.step(state, event, MEMBER) == expected


def test_of_what_there_is_nothing_a_dash_is_said():
    _, (said,) = privacy.step(KNOWN, DataSeen(date(2026, 3, 1), "", "", ""), STRANGER)
    assert [said.values[name] for name in ("name", "agency", "address", "locked")] == ["-"] * 4


def test_my_data_begins_with_what_is_known_and_offers_the_file_its_erasure_and_the_way_back():
    assert privacy.start("data", MEMBER) == privacy.start("", MEMBER) == (KNOWN, [SeeData()])
    assert [option.value for option in privacy.ask(KNOWN, MEMBER).options] == ["file", "erase", "menu"]
    asked = privacy.ask(VISIT, MEMBER)
    assert asked.values == {"link": Link("l1"), "domain": Code(HOUSE.domain)}
    assert [option.value for option in asked.options] == ["new_link", "menu"]
    assert privacy.ask(privacy.Opening(), MEMBER).options == ()


# --- forms ------------------------------------------------------------------------------------------------------------


def _short(text, _facts):
    return text if len(text) < 9 else Problem("too_long", {"most": 8})


FORM = Form("shop", (Field("colour", _short, (Option("red"),)), Field("note", _short, free=True)))


@pytest.mark.parametrize(
    ("asking", "event", "taken"),
    [
        ("colour", Said("blue"), {"colour": "blue"}),
        ("colour", Chose("red"), {"colour": "red"}),
        ("colour", Said("aquamarine"), Declined("too_long", {"most": 8})),
        ("colour", Said("menu"), {"colour": "menu"}),
        ("note", Said("menu"), Declined("talk.doubt")),
        ("note", Said("menu", literal=True), {"note": "menu"}),
        ("note", Shared("voice"), Declined()),
    ],
)
def test_a_form_takes_an_answer_or_says_why_not(asking, event, taken):
    assert FORM.take({}, asking, event, MEMBER) == taken


def test_a_form_asks_for_the_first_field_without_an_answer():
    assert FORM.next({}) == "colour"
    assert FORM.next({"colour": "red"}) == "note"
    assert FORM.next({"colour": "red", "note": "-"}) is None
    assert FORM.ask("colour", {"n": 1}) == Ask("colour", "shop.colour", {"n": 1}, (Option("red"),))
    assert without({"colour": "red", "note": "-"}, "note") == {"colour": "red"}
