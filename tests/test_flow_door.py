"""The key for Ally: how it is come by, tried and taken back, and what an error in Ally means in its light."""

from dataclasses import replace
from datetime import date

import pytest

from flows import card, mailbox, team
from flows.conversation import behind_a_link
from flows.door import REFUSALS, AwaitingKey, ConfirmingReturn, Opening, Reporting, Trying, ask, start, step
from flows.facts import Knock, Pasted, Teammate
from flows.integrate import Confirming
from flows.integrate import step as integrate_step
from flows.questions import shown_article
from flows.reading import holds_door_key, looks_like_a_leak
from flows.remedies import SECRET_CAUSES, SERVER_CAUSES
from flows.speech import Plain, render, texts
from flows.words import (
    LANGUAGES,
    Chose,
    CloseDoor,
    Code,
    Declined,
    Done,
    DoorKeyShown,
    LinkOpened,
    LinkRefused,
    OpenCase,
    OpenDoor,
    RemoveMailbox,
    Said,
    Say,
    Server,
    SetAgencyServer,
    Shared,
    Speak,
    Start,
    SwitchMailbox,
    TakeKey,
    TeamChanged,
    Text,
)
from tests.flowkit import (
    ADDRESS,
    ANA,
    DOOR,
    ELSEWHERE,
    MICROSOFT,
    OUTLOOK,
    WITH_KEY,
    WORKS,
    Player,
    asked_for_the_secret,
    facts,
    member,
    names,
)

HAS = facts(house=DOOR, mailbox=WITH_KEY)
NONE = facts(house=DOOR, mailbox=WORKS)
PAGE, NOW = AwaitingKey("l1"), Trying("now")
VOIDS = Say("door.new_voids")
EN = texts("en")
KEY = "ab23-cd45-ef67-gh89-jk23-mn45-pq67"

STORY = {
    "the link is there": (Opening(), LinkOpened("l1"), (PAGE, [])),
    "too many links": (Opening(), LinkRefused(), (Done(), [Say("mailbox.too_many_links")])),
    "shown and typed": (PAGE, DoorKeyShown(), (NOW, [])),
    "typed, said in the chat": (PAGE, Chose("typed"), (NOW, [])),
    "typed, in words": (PAGE, Said("done"), (NOW, [])),
    "other words": (PAGE, Said("what a nice day"), Declined()),
    "another page": (PAGE, Chose("new"), (Opening(), [VOIDS, OpenDoor()])),
    "another link": (PAGE, Chose("new_link"), (Opening(), [VOIDS, OpenDoor()])),
    "a person at the page": (PAGE, Chose("person"), (PAGE, [OpenCase("stuck")])),
    "it works in Ally": (NOW, Chose("done"), (Done(), [Say("card.well_done")])),
    "an error in Ally": (NOW, Chose("error"), (Reporting(), [])),
    "a new key after an error": (Trying("again"), Chose("new"), (Opening(), [VOIDS, OpenDoor()])),
    "the key is taken back": (Trying(), Chose("back"), (ConfirmingReturn(), [])),
    "a person instead": (NOW, Chose("person"), (NOW, [OpenCase("stuck")])),
    "a person instead of the error": (Reporting(), Chose("person"), (Reporting(), [OpenCase("stuck")])),
    "a second word from the page is not heard": (NOW, DoorKeyShown(), Declined()),
    "yes, take it back": (ConfirmingReturn(), Chose("yes"), (Done(), [CloseDoor(), Say("door.taken_back")])),
    "no, keep it": (ConfirmingReturn(), Chose("no"), (Done(), [Say("door.kept")])),
    "a command is no error": (Reporting(), Said("menu"), Declined()),
    "a picture is no error": (Reporting(), Shared("image"), Declined()),
}


@pytest.mark.parametrize("told", STORY)
def test_each_step_is_as_told(told):
    state, event, expected = STORY[told]
    assert step(state, event, HAS) == expected


STARTS = {
    "a first key": ("", NONE, (Opening(), [OpenDoor()])),
    "a first key, called a new one": ("new", NONE, (Opening(), [OpenDoor()])),
    "there is one": ("", HAS, (Trying(), [])),
    "another one": ("new", HAS, (Opening(), [VOIDS, OpenDoor()])),
    "take it back": ("back", HAS, (ConfirmingReturn(), [])),
    "there is none to take back": ("back", NONE, (Done(), [Say("door.none_to_return")])),
    "it has just been seen to work": (
        "has",
        replace(HAS, mailbox=replace(WITH_KEY, state="broken")),
        (Trying(), []),
    ),
    "the operator opened no door": ("", facts(mailbox=WORKS), (Done(), [Say("door.none")])),
    "the operator closed it again": ("new", facts(mailbox=WITH_KEY), (Done(), [Say("door.none")])),
    "taken back although it is closed": ("back", facts(mailbox=WITH_KEY), (ConfirmingReturn(), [])),
    "no mailbox yet": ("", facts(house=DOOR), (Done(), [Start("mailbox")])),
    "a mailbox that does not work": (
        "new",
        replace(HAS, mailbox=replace(WITH_KEY, state="off")),
        (Done(), [Say("door.only_working"), Start("mailbox", "manage")]),
    ),
}


@pytest.mark.parametrize("told", STARTS)
def test_it_begins_as_told(told):
    entry, known, expected = STARTS[told]
    assert start(entry, known) == expected


def test_typed_before_anything_was_shown_is_told():
    assert step(PAGE, Chose("typed"), NONE) == (PAGE, [Say("door.not_yet")])


def test_a_key_that_somebody_took_meanwhile_is_not_taken_back_twice():
    assert step(Trying(), Chose("back"), NONE) == (Done(), [Say("door.none_to_return")])


# --- an error in Ally -------------------------------------------------------------------------------------------------


def explained(known=HAS, pasted=None, **of_the_mailbox):
    known = replace(known, mailbox=replace(known.mailbox, **of_the_mailbox))
    if pasted is not None:
        known = replace(known, pasted=Pasted(pasted, "user", retry=False))
    state, said = step(Reporting(), Said("It does not work in there"), known)
    assert state == Trying("again")
    return said


@pytest.mark.parametrize("role", ["member", "admin"])
@pytest.mark.parametrize(
    ("cause", "name"),
    [
        (None, "door.nobody_came"),
        ("greylisted", "door.nobody_came"),
        *((cause, "door.elsewhere") for cause in sorted(SECRET_CAUSES)),
        *((cause, "door.not_reached") for cause in sorted(SERVER_CAUSES)),
    ],
)
def test_where_ally_never_came_the_fault_is_in_what_was_typed_there(cause, name, role):
    first, whose = explained(replace(HAS, role=role), cause)
    assert first.name == name
    assert whose.name == ("door.yours" if role == "admin" else "door.your_admins")
    assert first.values["server"] == Code("door.example.test")
    assert first.values["number"] == Code("465")
    assert first.values["address"] == Code(ADDRESS)


@pytest.mark.parametrize("refusal", [*sorted(REFUSALS), "other", "something the texts have never heard of"])
def test_what_the_door_refused_ally_for_is_told_with_its_time(refusal):
    (said,) = explained(knock=Knock(date(2026, 11, 26), "10:12", refusal))
    assert said.name == f"door.refused.{refusal if refusal in REFUSALS else 'other'}"
    assert (said.values["day"], said.values["hour"]) == (date(2026, 11, 26), "10:12")


def test_where_the_door_let_ally_in_the_fault_lies_behind_it():
    came = Knock(date(2026, 11, 26), "10:12")
    said = explained(pasted="daily_quota_exceeded", knock=came)
    assert [one.name for one in said] == ["door.came_in", "cause.daily_quota_exceeded"]
    assert [one.name for one in explained(knock=came)] == ["door.came_in", "card.unknown_error"]


@pytest.mark.parametrize(
    ("state", "cause", "why"),
    [
        ("off", "", "mailbox.state.off"),
        ("broken", "wrong_credentials", "cause.wrong_credentials"),
        ("waiting", "never heard of", "mailbox.state.waiting"),
    ],
)
def test_a_mailbox_that_does_not_work_lets_nothing_through_and_says_so(state, cause, why):
    assert explained(state=state, cause=cause) == [Say("door.rests", {"address": Code(ADDRESS), "why": Text(why)})]


def test_a_key_that_was_taken_back_meanwhile_is_the_cause():
    assert explained(door=False) == [Say("door.void_already")]
    assert step(Reporting(), Said("It does not work"), facts())[1] == [Say("door.void_already")]


def test_after_the_explanation_there_is_a_new_key_and_a_person():
    player = with_key()
    player.tap("error")
    assert EN["door.nobody_came"].partition(",")[0] in player.write("Authentication went wrong")
    assert [one.id.partition(":")[2] for one in player.last.buttons] == ["done", "error", "new", "person"]
    assert EN["door.new_voids"] in player.tap("new")


# --- the card, with a door --------------------------------------------------------------------------------------------


def with_key():
    """A member who has typed the key into Ally and is asked how it went."""
    player = member(house=DOOR, mailbox=WORKS)
    player.tap("card")
    player.tap("door")
    player.show_key()
    player.type_key()
    return player


def test_after_the_set_up_the_door_is_offered_and_leads_to_the_page_and_to_ally():
    player = asked_for_the_secret(house=DOOR)
    said = player.fill_page().split("\n---\n")[-1]
    assert said.startswith("*It works!*")
    assert "*through us*" in said
    assert [one.id.partition(":")[2] for one in player.last.buttons] == ["door", "own", "person"]
    page = player.tap("door")
    assert "https://bot.example.test/s/link-3" in page
    assert "bot.example.test" in page
    player.show_key()
    assert EN["ally.test_smtp"] in player.type_key()
    assert EN["card.well_done"] in player.tap("done")
    assert player.envelope.flow == "menu"


def test_who_wants_ally_to_sign_in_by_itself_gets_the_card_as_before():
    player = asked_for_the_secret(house=DOOR)
    player.fill_page()
    assert EN["card.mail_password"] in player.tap("own")
    assert [one.id.partition(":")[2] for one in player.last.buttons] == ["done", "error", "door", "person"]
    assert "door.example.test" not in player.last.body
    assert "/s/link-3" in player.tap("door")


def test_without_a_password_the_card_comes_as_before():
    player = asked_for_the_secret(house=DOOR)
    assert EN["card.nothing_stored"] in player.tap("without")
    assert [one.id.partition(":")[2] for one in player.last.buttons] == ["done", "error", "person"]


def test_who_signed_in_sends_through_us_instead_of_typing_a_password():
    signed_in = replace(WORKS, signed_in="microsoft")
    player = member(house=DOOR, mailbox=signed_in, provider=OUTLOOK)
    player.providers = {"agency.test": OUTLOOK}
    player.tap("card")
    assert [one.id.partition(":")[2] for one in player.last.buttons] == ["door", "menu", "person"]
    assert card.step(card.Offering(ANA), Chose("own"), player.facts) == Declined()
    assert card.ask(card.Showing(ANA), player.facts).name == "card.offer"
    assert "/s/link-1" in player.tap("door")


def test_where_a_password_still_does_both_ways_are_offered_to_who_signed_in():
    known = facts(house=DOOR, mailbox=replace(WORKS, signed_in="microsoft"), provider=MICROSOFT)
    assert [one.value for one in card.ask(card.Offering(ANA), known).options] == ["door", "own", "person"]
    state, said = card.step(card.Offering(ANA), Chose("own"), known)
    assert (state, names(said)) == (card.Showing(ANA), ["card.until"])


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Chose("door"), (Done(), [Start("door")])),
        (Chose("menu"), (Done(), [])),
        (Chose("person"), (card.Offering(ANA), [OpenCase("stuck")])),
        (Said("ok"), Declined()),
    ],
)
def test_the_offer_takes_each_step_as_told(event, expected):
    assert card.step(card.Offering(ANA), event, NONE) == expected


def test_a_mailbox_that_works_again_keeps_its_key():
    broken = replace(HAS, mailbox=replace(WITH_KEY, state="broken"), about=ANA)
    assert card.start("", broken) == (Done(), [Start("door", "has")])
    assert card.start("", HAS) == (Done(), [Start("door", "has")])


def test_another_address_has_another_key_and_the_old_one_is_void():
    other = replace(ANA, address="bia@agency.test")
    assert card.start("", replace(HAS, about=other)) == (card.Offering(other), [Say("door.void_with_address")])
    assert card.start("", replace(HAS, about=replace(ANA, address=ADDRESS.upper())))[0] == Done()


def test_a_mailbox_that_does_not_work_is_shown_the_card_as_before():
    assert card.start("", replace(NONE, mailbox=replace(WORKS, state="broken"))) == (card.Showing(ANA), [])


def test_that_servers_differ_matters_only_where_ally_signs_in_by_itself():
    differs = replace(NONE, differs=True)
    assert card.start("", differs) == (card.Offering(ANA), [])
    assert names(card.step(card.Offering(ANA), Chose("own"), differs)[1]) == ["card.differs"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("role", ["member", "admin"])
def test_all_that_is_typed_can_be_seen_again_but_for_the_key(role, language):
    asked = ask(Trying(), replace(HAS, role=role))
    body = render(Speak((Say(asked.name, asked.values),)), language, Plain(), str).body
    words = texts(language)
    for name in ("edit_profile", "own_smtp", "smtp_email", "smtp_password", "test_smtp", "save"):
        assert words[f"ally.{name}"] in body
    assert ADDRESS in body
    assert ("door.example.test" in body) == (role == "admin")
    assert [one.value for one in asked.options] == ["done", "error", "new", "back", "person"]


def test_states_without_their_mailbox_still_have_a_question():
    gone = facts(house=DOOR)
    assert [ask(one, gone).name for one in (Opening(), ConfirmingReturn(), Trying())] == [
        "mailbox.busy", "door.sure", "door.card_member",
    ]  # fmt: skip


# --- the card, without a door: which field it was -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "name"),
    [
        *((cause, "card.works_here_server") for cause in sorted(SERVER_CAUSES)),
        *((cause, "card.works_here") for cause in sorted(SECRET_CAUSES)),
        ("sender_not_allowed", "card.works_here_address"),
    ],
)
def test_the_field_to_look_at_is_named_by_the_cause(cause, name):
    known = facts(mailbox=WORKS, pasted=Pasted(cause, "user", retry=False))
    state, (why, where) = card.step(card.Reporting(ANA), Said("535 refused"), known)
    assert (state, why.name, where.name) == (card.Showing(ANA), f"cause.{cause}", name)
    if name == "card.works_here_server":
        assert where.values["server"] == Code("mail.agency.test")


def test_what_does_not_work_here_either_is_no_fault_of_ally_s_form():
    known = facts(mailbox=replace(WORKS, state="broken"))
    _, said = card.step(card.Reporting(ANA), Said("535 refused"), known)
    assert said == [Say("card.unknown_error"), Say("card.rests_here", {"state": Text("mailbox.state.broken")})]
    _, said = card.step(card.Reporting(ELSEWHERE), Said("535 refused"), facts())
    assert names(said) == ["card.unknown_error", "card.works_here"]


# --- around the flow --------------------------------------------------------------------------------------------------


def test_the_link_can_be_renewed_by_its_word():
    player = member(house=DOOR, mailbox=WORKS)
    player.tap("card")
    player.tap("door")
    assert behind_a_link(player.envelope)
    assert "/s/link-2" in player.write("link")
    assert EN["door.not_yet"] in player.write("done")


def test_a_key_that_is_written_into_the_chat_is_not_kept_and_a_new_one_is_offered():
    player = with_key()
    assert EN["door.typed"] in player.write(f"here it is: {KEY.upper()}")
    assert KEY.upper() not in player.saved + str(player.effects)
    assert any(one.id.endswith("go:door.new") for one in player.last.buttons)


def test_a_key_elsewhere_in_the_chat_is_taken_for_a_password():
    player = member(mailbox=WITH_KEY)
    assert EN["talk.leaked"] in player.write(KEY)


@pytest.mark.parametrize("text", [KEY, KEY.replace("-", " "), KEY.replace("-", ""), f"“{KEY}”", f"535 {KEY} refused"])
def test_a_key_is_recognised_however_it_is_written(text):
    assert holds_door_key(text)
    assert looks_like_a_leak(text)


@pytest.mark.parametrize(
    "text", ["they want that back very next week", KEY[:-5], f"{KEY}-xy", "ab23-cd45", "ACDE-7FGH-JKMN", ""]
)
def test_what_is_shorter_or_only_words_is_no_key(text):
    assert not holds_door_key(text)


def test_an_error_that_holds_the_key_is_not_kept_either():
    player = with_key()
    player.tap("error")
    player.known = replace(player.known, pasted=Pasted("wrong_credentials", "user", retry=False))
    assert EN["door.typed"] in player.write(f"535 5.7.8 {KEY} authentication failed")


# --- the mailbox, the team, the agency ----------------------------------------------------------------------------


def managed(known):
    return [one.value for one in mailbox.ask(mailbox.Managing(), known).options]


def test_the_mailbox_offers_a_first_key_all_about_it_or_none_any_more():
    assert not any(one.startswith("door") for one in managed(facts(mailbox=WORKS)))
    assert "door" in managed(NONE)
    assert [one for one in managed(HAS) if one.startswith("door")] == ["door"]
    assert [one for one in managed(facts(mailbox=WITH_KEY)) if one.startswith("door")] == ["door_back"]
    rests = replace(HAS, mailbox=replace(WITH_KEY, state="off"))
    assert [one for one in managed(rests) if one.startswith("door")] == ["door_back"]
    assert "door" not in managed(replace(NONE, mailbox=replace(WORKS, state="off")))


@pytest.mark.parametrize(("wish", "entry"), [("door", ""), ("door_back", "back")])
def test_the_way_from_the_mailbox_to_the_key(wish, entry):
    assert mailbox.step(mailbox.Managing(), Chose(wish), HAS) == (Done(), [Start("door", entry)])


def test_all_about_the_key_is_the_card_with_another_one_and_taking_it_back():
    assert start("", HAS) == (Trying(), [])
    assert [one.value for one in ask(Trying(), HAS).options] == ["done", "error", "new", "back", "person"]


def test_what_is_switched_off_or_removed_stops_ally_too():
    off = (Done(), [SwitchMailbox(on=False), Say("mailbox.switched_off"), Say("door.rests_too")])
    assert mailbox.step(mailbox.Managing(), Chose("off"), HAS) == off
    on = replace(HAS, mailbox=replace(WITH_KEY, state="off"))
    assert names(mailbox.step(mailbox.Managing(), Chose("on"), on)[1]) == ["mailbox.switched_on"]
    _, said = mailbox.step(mailbox.ConfirmingRemoval(), Chose("yes"), HAS)
    assert said[0] == RemoveMailbox()
    assert names(said) == ["mailbox.removed", "door.void_with_mailbox"]
    signed_in = replace(HAS, mailbox=replace(WITH_KEY, signed_in="google"))
    assert names(mailbox.step(mailbox.ConfirmingRemoval(), Chose("yes"), signed_in)[1])[-1] == "door.void_with_mailbox"


EVA = Teammate("m4", "Eva", "member", "eva@agency.test", "works", door=True)
CAIO = Teammate("m5", "Caio", "member", "caio@agency.test", "works")
ADMIN = facts(role="admin", house=DOOR, team=(EVA, CAIO))


def test_an_admin_takes_a_member_s_key_back():
    assert "take_key" in [one.value for one in team.ask(team.Showing("m4"), ADMIN).options]
    assert "take_key" not in [one.value for one in team.ask(team.Showing("m5"), ADMIN).options]
    changing = team.Changing("m4", "take_key")
    assert team.step(team.Showing("m4"), Chose("take_key"), ADMIN) == (changing, [TakeKey("m4")])
    assert team.step(changing, TeamChanged(), ADMIN) == (
        team.Listing(), [Say("team.changed.take_key", {"name": "Eva"})],
    )  # fmt: skip


def test_who_is_removed_from_the_team_loses_the_key_and_that_is_said():
    assert team.ask(team.ConfirmingExclusion("m4"), ADMIN).name == "team.exclude_with_key"
    assert team.ask(team.ConfirmingExclusion("m5"), ADMIN).name == "team.exclude"


@pytest.mark.parametrize(("house", "name"), [(DOOR, "integrate.set_door"), (facts().house, "integrate.set")])
def test_the_agency_s_server_need_not_stand_in_ally_where_people_send_through_us(house, name):
    server = Server("mail.agency.test", 465, "tls")
    _, (record, said) = integrate_step(Confirming(server), Chose("yes"), facts(role="admin", house=house))
    assert (record, said.name) == (SetAgencyServer(server), name)


# --- the guide --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", sorted(name.rpartition(".")[2] for name in EN if name.startswith("guide.door.")))
def test_the_guide_says_what_is_otherwise_through_the_door(topic):
    with_it = shown_article(topic, HAS, "menu")
    assert names(with_it.effects) == [f"article.{topic}", f"guide.door.{topic}"]
    assert names(shown_article(topic, facts(mailbox=WORKS), "menu").effects) == [f"article.{topic}"]
    for language in LANGUAGES:
        speak = Speak(with_it.effects)
        assert len(render(speak, language, Plain(), str).body) < 960


def test_articles_for_which_the_door_changes_nothing_are_as_before():
    assert names(shown_article("cost", HAS, "menu").effects) == ["article.cost"]


def test_the_player_needs_no_door_to_go_on_as_before():
    player = Player(known=facts(mailbox=WORKS))
    player.write("hi")
    assert EN["card.mail_password"] in player.tap("card")
