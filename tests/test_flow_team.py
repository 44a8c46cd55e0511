"""The team: who can send and who is stuck; invitations, reminders, pauses, exclusions, and who is an admin."""

from dataclasses import replace

import pytest

from flows.conversation import MAX_OPTIONS
from flows.facts import Teammate
from flows.speech import MAX_QUOTE, label, texts
from flows.team import (
    FLOW,
    GROUP,
    Changing,
    ChoosingLanguage,
    ConfirmingExclusion,
    Inviting,
    Listing,
    Showing,
    ask,
    start,
    step,
)
from flows.words import (
    LANGUAGES,
    Chose,
    Code,
    Declined,
    Done,
    ExcludeMember,
    InvitationMade,
    Invite,
    PauseMember,
    Quote,
    RemindMember,
    Said,
    Say,
    SeeTeam,
    SetRole,
    Speak,
    TeamChanged,
    TeamRefused,
    TeamSeen,
    Text,
)
from tests.flowkit import facts, shown

ANA = Teammate("a1", "Ana", "admin", "ana@agency.test", "works", me=True)
BIA = Teammate("b2", "Bia Souza", "member", "bia@agency.test", "works")
CAIO = Teammate("c3", "Caio", "admin", "caio@agency.test", "broken", "wrong_credentials")
DORA = Teammate("d4", "Dora", "member")
EVA = Teammate("e5", "Eva", "member", "eva@agency.test", "off")
FABIO = Teammate("f6", "Fábio", "member", "fabio@agency.test", "waiting", "greylisted")
TEAM = (ANA, BIA, CAIO, DORA, EVA, FABIO)
ADMIN = facts(role="admin", team=TEAM)
MANY = tuple(Teammate(f"m{number}", f"Member {number}", "member") for number in range(16))

GONE = (Listing(), [Say("team.refused.gone")])
SETTINGS = Text("ally.settings")


def at(team, **changes):
    return replace(ADMIN, team=team, **changes)


def options(asked, language="en"):
    return {one.value: label(one, language) for one in asked.options}


# --- how it begins ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "begun"),
    [
        ("", (Listing(), [SeeTeam()])),
        ("exclude.b2", (ConfirmingExclusion("b2"), [SeeTeam()])),
    ],
)
def test_it_begins_with_the_list_or_with_what_a_button_below_news_is_about(entry, begun):
    assert start(entry, facts(role="admin")) == begun


@pytest.mark.parametrize("entry", ["", "exclude.b2"])
def test_only_an_admin_begins(entry):
    assert start(entry, facts()) == (Done(), [Say("team.only_admins")])


def test_who_is_no_admin_any_more_is_told_so_at_the_next_word():
    assert step(Listing(), Chose("b2"), facts()) == (Done(), [Say("team.only_admins")])
    assert step(Changing("b2", "pause"), Said("and?"), facts()) == (Done(), [Say("team.only_admins")])


# --- each step --------------------------------------------------------------------------------------------------------

BIA_SHOWN, BIA_OUT = Showing("b2"), ConfirmingExclusion("b2")

STORY = {
    "the list is ready": (Listing(), TeamSeen(), (Listing(), [])),
    "a tap on a name shows that member": (Listing(), Chose("b2"), (Showing("b2"), [])),
    "a tap on somebody who has gone": (Listing(), Chose("z9"), GONE),
    "a name shows that member": (Listing(), Said("Bia Souza"), (Showing("b2"), [])),
    "the beginning of a name, without case and accents": (Listing(), Said(" fab "), (Showing("f6"), [])),
    "a name that nobody has": (Listing(), Said("Zoe"), Declined()),
    "no name at all": (Listing(), Said("..."), Declined()),
    "an invitation": (Listing(), Chose("invite"), (Inviting(), [])),
    "back to the menu": (Listing(), Chose("menu"), (Done(), [])),
    "a reminder": (Showing("d4"), Chose("remind"), (Changing("d4", "remind"), [RemindMember("d4")])),
    "a pause": (BIA_SHOWN, Chose("pause"), (Changing("b2", "pause"), [PauseMember("b2", off=True)])),
    "its end": (Showing("e5"), Chose("resume"), (Changing("e5", "resume"), [PauseMember("e5", off=False)])),
    "one admin more": (BIA_SHOWN, Chose("admin"), (Changing("b2", "admin"), [SetRole("b2", "admin")])),
    "one admin less": (Showing("c3"), Chose("member"), (Changing("c3", "member"), [SetRole("c3", "member")])),
    "an exclusion is asked about": (BIA_SHOWN, Chose("exclude"), (BIA_OUT, [])),
    "the word for it means the member": (BIA_SHOWN, Said("remove"), (BIA_OUT, [])),
    "but not oneself": (Showing("a1"), Said("remove"), Declined()),
    "back to the list": (BIA_SHOWN, Chose("list"), (Listing(), [])),
    "from one's doubts to the list": (BIA_OUT, Chose("list"), (Listing(), [])),
    "words about a member": (BIA_SHOWN, Said("hm"), Declined()),
    "the member whom a button was about is known": (BIA_OUT, TeamSeen(), (BIA_OUT, [])),
    "the button was about oneself": (ConfirmingExclusion("a1"), TeamSeen(), (Showing("a1"), [])),
    "the button was about somebody who has gone": (ConfirmingExclusion("z9"), TeamSeen(), GONE),
    "yes, exclude": (BIA_OUT, Chose("yes"), (Changing("b2", "exclude"), [ExcludeMember("b2")])),
    "the word for it, said again": (BIA_OUT, Said("remove"), (Changing("b2", "exclude"), [ExcludeMember("b2")])),
    "no, do not": (BIA_OUT, Chose("no"), (BIA_SHOWN, [])),
    "words are no yes": (BIA_OUT, Said("hm"), Declined()),
    "an invitation for one": (Inviting(), Chose("one"), (ChoosingLanguage("one"), [])),
    "for a group": (Inviting(), Chose("group"), (ChoosingLanguage("group"), [])),
    "for an admin": (Inviting(), Chose("admin"), (ChoosingLanguage("admin"), [])),
    "for nobody we know": (Inviting(), Chose("all"), Declined()),
    "words about an invitation": (Inviting(), Said("hm"), Declined()),
    "in English": (ChoosingLanguage("one"), Chose("en"), (ChoosingLanguage("one"), [Invite("member", 1, "en")])),
    "its name will do": (
        ChoosingLanguage("group"),
        Said("português"),
        (ChoosingLanguage("group"), [Invite("member", GROUP, "pt")]),
    ),
    "in Spanish, to an admin": (
        ChoosingLanguage("admin"),
        Chose("es"),
        (ChoosingLanguage("admin"), [Invite("admin", 1, "es")]),
    ),
    "in no language of ours": (ChoosingLanguage("one"), Chose("fr"), Declined()),
    "in no words of ours": (ChoosingLanguage("one"), Said("Klingon"), Declined()),
    "an invitation for one is handed out": (
        ChoosingLanguage("one"),
        InvitationMade("Hello!", 1, 7),
        (Listing(), [Say("team.invited", {"uses": 1, "days": 7, "forward": Quote("Hello!")})]),
    ),
    "an invitation for many is handed out": (
        ChoosingLanguage("group"),
        InvitationMade("Hello!", 20, 7),
        (Listing(), [Say("team.invited_many", {"uses": 20, "days": 7, "forward": Quote("Hello!")})]),
    ),
    "words while somebody is changed": (Changing("b2", "pause"), Said("and?"), Declined()),
    "a flow that has ended takes nothing": (Done(), Said("and?"), Declined()),
}


@pytest.mark.parametrize("told", STORY)
def test_the_team_takes_each_step_as_told(told):
    state, event, expected = STORY[told]
    assert step(state, event, ADMIN) == expected


@pytest.mark.parametrize("change", ["remind", "pause", "resume", "admin", "member"])
def test_a_change_is_said_by_name_and_the_list_follows(change):
    said = Say(f"team.changed.{change}", {"name": "Bia Souza"})
    assert step(Changing("b2", change), TeamChanged(), ADMIN) == (Listing(), [said])


def test_after_an_exclusion_what_is_left_to_be_done_in_ally_is_said():
    said = Say("team.changed.exclude", {"settings": SETTINGS})
    assert step(Changing("b2", "exclude"), TeamChanged(), at((ANA,))) == (Listing(), [said])


@pytest.mark.parametrize("reason", ["last_admin", "unreachable"])
def test_a_refusal_is_said_where_it_was_asked_for(reason):
    refused = step(Changing("a1", "member"), TeamRefused(reason), ADMIN)
    assert refused == (Showing("a1"), [Say(f"team.refused.{reason}")])


def test_of_a_member_who_is_still_there_nobody_says_that_they_have_gone():
    refused = step(Changing("b2", "pause"), TeamRefused("gone"), ADMIN)
    assert refused == (Showing("b2"), [Say("team.refused.changed")])


@pytest.mark.parametrize("answer", [TeamChanged(), TeamRefused("gone")])
def test_a_member_who_went_in_the_same_moment_is_no_longer_shown(answer):
    assert step(Changing("z9", "pause"), answer, ADMIN) == GONE


def test_who_steps_down_is_told_so_and_leaves_the_list():
    stepped = step(Changing("a1", "member"), TeamChanged(), facts())
    assert stepped == (Done(), [Say("team.changed.step_down")])


@pytest.mark.parametrize("state", [Showing("z9"), ConfirmingExclusion("z9")])
def test_a_member_who_has_gone_leads_back_to_the_list(state):
    asked = ask(state, ADMIN)
    assert (asked.question, asked.name, list(options(asked))) == ("gone", "team.refused.gone", ["list", "menu"])
    assert step(state, Chose("list"), ADMIN) == (Listing(), [])
    assert step(state, Chose("menu"), ADMIN) == (Done(), [])
    assert step(state, Chose("yes"), ADMIN) == GONE
    assert step(state, Said("remove"), ADMIN) == Declined()


# --- names ------------------------------------------------------------------------------------------------------------


def test_the_beginning_of_two_names_is_neither_but_a_whole_name_counts():
    two = at((ANA, Teammate("a2", "Ana Lima", "member")))
    assert step(Listing(), Said("an"), two) == Declined()
    assert step(Listing(), Said("ANÁ"), two) == (Showing("a1"), [])


def test_the_same_name_twice_is_neither():
    assert step(Listing(), Said("Ana"), at((ANA, replace(ANA, id="a2")))) == Declined()


@pytest.mark.parametrize("word", ["menu", "back", "help", "person"])
def test_a_command_is_never_a_name(word):
    assert step(Listing(), Said(word), at((Teammate("x", word.title(), "member"),))) == Declined()


# --- the list ---------------------------------------------------------------------------------------------------------


def test_the_list_counts_who_can_send_and_shows_each_state_in_a_word():
    asked = ask(Listing(), ADMIN)
    counted = {
        "agency": "Agency",
        "all": 6,
        "works": 2,
        "waiting": 1,
        "stuck": 1,
        "paused": 1,
        "missing": 1,
        "invited": 0,
    }
    assert (asked.question, asked.name, asked.values) == ("list", "team.list", counted)
    assert options(asked) == {
        "a1": "Ana: can send",
        "b2": "Bia Souza: can send",
        "c3": "Caio: stuck",
        "d4": "Dora: no e-mail",
        "e5": "Eva: paused",
        "f6": "Fábio: waiting",
        "invite": "Invite somebody",
        "menu": "Back to the menu",
    }


def test_a_list_of_nobody_still_offers_an_invitation():
    assert list(options(ask(Listing(), at(())))) == ["invite", "menu"]


def test_many_members_are_shown_by_pages_of_seven():
    known = at(MANY)
    members = [one.id for one in MANY]
    assert list(options(ask(Listing(), known))) == [*members[:7], "invite", "more", "menu"]
    assert list(options(ask(Listing(1), known))) == [*members[7:14], "invite", "more", "menu"]
    assert list(options(ask(Listing(2), known))) == [*members[14:], "invite", "first", "menu"]
    assert len(ask(Listing(), known).options) == MAX_OPTIONS
    assert step(Listing(1), Chose("more"), known) == (Listing(2), [])
    assert step(Listing(2), Chose("first"), known) == (Listing(), [])


def test_seven_members_need_no_second_page():
    assert list(options(ask(Listing(), at(MANY[:7]))))[7:] == ["invite", "menu"]


def test_a_page_that_is_there_no_more_is_the_last_one():
    assert ask(Listing(2), at(MANY[:9])) == ask(Listing(1), at(MANY[:9]))
    assert step(Listing(1), Chose("more"), at(MANY[:9])) == (Listing(1), [])


def test_members_of_the_same_name_get_a_number():
    team = tuple(Teammate(str(number), "Ana", "member", "ana@agency.test", "works") for number in range(3))
    assert [*options(ask(Listing(), at(team))).values()][:3] == ["Ana: can send", "Ana: can send 2", "Ana: can send 3"]


def test_long_names_are_cut_so_that_the_state_stays():
    team = (
        Teammate("1", "Maximiliana Fernandes da Silva", "member"),
        Teammate("2", "Maximiliana\nFernandes  Souza", "member"),
        Teammate("3", "🌸🌸🌸🌸🌸🌸🌸🌸🌸🌸", "member"),
    )
    labels = [*options(ask(Listing(), at(team))).values()][:3]
    assert labels == ["Maximiliana…: no e-mail", "Maximilian…: no e-mail 2", "🌸🌸🌸🌸🌸🌸…: no e-mail"]


def test_the_states_in_the_list_are_so_short_that_names_have_room():
    for language in LANGUAGES:
        states = [text for name, text in texts(language).items() if name.startswith("team.state.")]
        assert len(set(states)) == 5
        assert max(map(len, states)) <= 10


# --- one member -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "name", "offered"),
    [
        (ANA, "team.member", ["pause", "member", "list"]),
        (BIA, "team.member", ["pause", "admin", "exclude", "list"]),
        (CAIO, "team.member_why", ["remind", "member", "exclude", "list"]),
        (DORA, "team.member_missing", ["remind", "admin", "exclude", "list"]),
        (EVA, "team.member", ["resume", "admin", "exclude", "list"]),
        (FABIO, "team.member_why", ["remind", "admin", "exclude", "list"]),
        (replace(CAIO, me=True), "team.member_why", ["member", "list"]),
    ],
)
def test_a_member_is_shown_with_what_makes_sense(member, name, offered):
    asked = ask(Showing(member.id), at((member,)))
    assert (asked.name, list(options(asked))) == (name, offered)


def test_why_somebody_is_stuck_is_said_in_words():
    asked = ask(Showing("c3"), ADMIN)
    assert asked.values == {
        "name": "Caio",
        "role": Text("team.role.admin"),
        "address": Code("caio@agency.test"),
        "state": Text("team.state.broken"),
        "why": Text("cause.wrong_credentials"),
    }


def test_to_be_a_member_again_is_called_otherwise_where_it_is_about_oneself():
    assert options(ask(Showing("c3"), ADMIN))["member"] == "Make a member"
    assert options(ask(Showing("a1"), ADMIN))["member"] == "Stop being an admin"


@pytest.mark.parametrize("state", [Showing, ConfirmingExclusion])
def test_an_old_button_of_one_member_never_touches_another(state):
    assert ask(state("b2"), ADMIN).question != ask(state("c3"), ADMIN).question


@pytest.mark.parametrize(("member", "name"), [(BIA, "team.exclude"), (DORA, "team.exclude_missing")])
def test_an_exclusion_says_what_will_happen_before_the_yes(member, name):
    asked = ask(ConfirmingExclusion(member.id), ADMIN)
    address = {"address": Code(member.address), "mails": member.mails} if member.address else {}
    assert (asked.name, list(options(asked))) == (name, ["yes", "no"])
    assert asked.values == {"name": member.name, "agency": "Agency", "settings": SETTINGS, **address}


@pytest.mark.parametrize(
    ("state", "question", "name", "values"),
    [
        (Inviting(), "whom", "team.whom", ["one", "group", "admin"]),
        (ChoosingLanguage("one"), "language", "team.which_language", ["en", "pt", "es"]),
        (Changing("b2", "pause"), "busy", "mailbox.busy", []),
    ],
)
def test_every_other_state_owns_one_question(state, question, name, values):
    asked = ask(state, ADMIN)
    assert (asked.question, asked.name, list(options(asked))) == (question, name, values)


# --- as it is read ----------------------------------------------------------------------------------------------------


def questions():
    """Every question of every state, with the facts that change it."""
    yield from (ask(Listing(page), at(team)) for team in (TEAM, MANY, ()) for page in range(3))
    for one in (*TEAM, replace(CAIO, me=True), replace(DORA, me=True)):
        yield ask(Showing(one.id), at((one,)))
        yield ask(ConfirmingExclusion(one.id), at((one,)))
    for state in (Showing("z9"), Inviting(), ChoosingLanguage("one")):
        yield ask(state, ADMIN)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_question_fits_into_whatsapp_s_buttons_or_list(language):
    for asked in questions():
        message = shown(Speak((Say(asked.name, asked.values),), asked.question, asked.options), language)
        most = 20 if len(message.buttons) <= 3 else 24
        labels = [button.label for button in message.buttons]
        assert len(message.body) <= 960 - sum(len(one) + 4 for one in labels)
        assert len(set(labels)) == len(labels) <= MAX_OPTIONS
        assert all(0 < len(one.encode("utf-16-le")) // 2 <= most for one in labels), labels


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("uses", [1, GROUP])
def test_an_invitation_is_shown_whole(language, uses):
    forward = "x" * MAX_QUOTE
    _, said = step(ChoosingLanguage("one"), InvitationMade(forward, uses, 7), ADMIN)
    assert forward in shown(Speak(tuple(said)), language).body


def test_the_way_back_leads_to_what_was_looked_at():
    assert (FLOW.name, FLOW.world, FLOW.back, FLOW.nudge) == ("team", (), (Listing, Showing, Inviting), False)
