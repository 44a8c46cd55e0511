"""Signing in at the provider instead of giving a password: when this, and that happens, then so."""

from dataclasses import replace
from datetime import date

import pytest

from flows import board, card, powershell
from flows.conversation import awaits_secret
from flows.facts import Mailbox, Teammate
from flows.mailbox import Testing as Running  # pytest takes a class called Test... for a test
from flows.mailbox import ask, reopen, start, step, subject
from flows.mailbox_states import (
    AskingForMail,
    AwaitingLink,
    AwaitingSecret,
    Collecting,
    Confirming,
    ConfirmingRemoval,
    Finding,
    Managing,
    Stuck,
)
from flows.reading import says_done
from flows.remedies import CONSENT, SWITCHED_OFF, next_steps_of, to_forward
from flows.sign_in import AwaitingSignIn, AwaitingSignInLink, SignInStuck, administered, why
from flows.speech import texts
from flows.team import Showing as ShowingMember
from flows.team import ask as ask_team
from flows.words import (
    LANGUAGES,
    AdminNeeded,
    Chose,
    Code,
    Declined,
    Discover,
    Done,
    EraseAtProvider,
    EraseSecret,
    GrantEnded,
    Judged,
    Link,
    LinkOpened,
    LinkRefused,
    LoginFailed,
    LoginWorked,
    MailboxBroke,
    MailboxWaits,
    MailRefused,
    OpenCase,
    OpenLink,
    OpenSignIn,
    PasswordEnds,
    RemoveMailbox,
    Said,
    SaveMailbox,
    Say,
    SecretGone,
    SecretTyped,
    Server,
    ServerFound,
    SignedIn,
    SignInFailed,
    Start,
    TellAdmins,
    TestLogin,
    TestsExhausted,
    Text,
)
from tests.flowkit import (
    ADDRESS,
    ANA,
    GMAIL,
    HOUSE,
    MICROSOFT,
    OUTLOOK,
    WORKS,
    WORKSPACE,
    erased,
    facts,
    member,
    names,
)

MEMBER = facts(provider=MICROSOFT)
PERSONAL = facts(provider=OUTLOOK)
GRAPH = replace(ANA, transport="graph")
BRAND = {"provider": "Microsoft"}
OPENING = AwaitingSignInLink(ANA, "microsoft", 1)
SIGNING = AwaitingSignIn(ANA, "microsoft", "l1", 1)
NEEDS_CONSENT = SignInStuck(ANA, "microsoft", "consent", 1)
AWAY = SignInStuck(ANA, "microsoft", "away", 1)
GRANTED = Running(ANA, "g1", 1, "microsoft")
OPEN = OpenSignIn(ANA, "microsoft")
OPEN_GRAPH = OpenSignIn(GRAPH, "microsoft")
TESTING = [Say("mailbox.testing", {"address": Code(ADDRESS)}), TestLogin(ANA, "g1", mail=True)]
OFF = LoginFailed(SWITCHED_OFF, "agency_admin", retry=False)
REFUSED = LoginFailed("wrong_credentials", "user", retry=False)
SWITCHED = Stuck(ANA, "g1", SWITCHED_OFF, None, "microsoft")
SIGNED_IN = Mailbox(ANA, "works", secret_id="g1", signed_in="microsoft")
OTHER_WAY = Say("sign_in.other_way", BRAND)
ONE_MORE = Say("sign_in.one_more", BRAND)


def failed(reason, other=""):
    return SignInFailed(reason, "l1", other)


STORY = {
    "signing in comes before any password": (
        Finding(ADDRESS),
        Judged(ANA),
        (AwaitingSignInLink(ANA, "microsoft"), [OPEN]),
    ),
    "a yes to the server leads there, too": (
        Confirming(ANA),
        Chose("yes"),
        (AwaitingSignInLink(ANA, "microsoft"), [OPEN]),
    ),
    "the link is there": (OPENING, LinkOpened("l1"), (SIGNING, [])),
    "too many links": (OPENING, LinkRefused(), (Done(), [Say("mailbox.too_many_links")])),
    "no link could be made": (
        OPENING,
        SignInFailed("ours", ""),
        (SignInStuck(ANA, "microsoft", "ours", 2), [Say("sign_in.ours", BRAND)]),
    ),
    "words while the link is made": (OPENING, Said("hm"), Declined()),
    "signed in: the live test begins by itself": (SIGNING, SignedIn("g1", "l1"), (GRANTED, TESTING)),
    "what an older link granted is erased": (
        SIGNING,
        SignedIn("g0", "l0"),
        (SIGNING, [EraseSecret("g0"), Say("sign_in.older_link")]),
    ),
    "an older link that came to nothing is nothing": (SIGNING, SignInFailed("denied", "l0"), Declined()),
    "they said no": (
        SIGNING,
        failed("denied"),
        (AwaitingSignInLink(ANA, "microsoft", 2), [Say("sign_in.denied", BRAND), OPEN]),
    ),
    "the third time a person is offered": (
        replace(SIGNING, tries=2),
        failed("denied"),
        (AwaitingSignInLink(ANA, "microsoft", 3), [Say("sign_in.denied", BRAND), Say("talk.offer_person"), OPEN]),
    ),
    "somebody else signed in": (
        SIGNING,
        failed("other_account", "bia@agency.test"),
        (
            AwaitingSignInLink(ANA, "microsoft", 2),
            [
                Say(
                    "sign_in.other_account",
                    {**BRAND, "address": Code(ADDRESS), "agency": "Agency", "other": Code("bia@agency.test")},
                ),
                OPEN,
            ],
        ),
    ),
    "an administrator has to approve it first": (
        SIGNING,
        failed("consent"),
        (
            replace(NEEDS_CONSENT, tries=2),
            [
                TellAdmins(AdminNeeded("Ana", ADDRESS, CONSENT, MICROSOFT.consent_url)),
                Say("sign_in.consent", {**BRAND, "address": Code(ADDRESS), "agency": "Agency"}),
            ],
        ),
    ),
    "the provider does not answer": (SIGNING, failed("away"), (replace(AWAY, tries=2), [Say("sign_in.away", BRAND)])),
    "an unknown reason is one that passes": (
        SIGNING,
        failed("eclipse"),
        (replace(AWAY, tries=2), [Say("sign_in.away", BRAND)]),
    ),
    "a new link": (SIGNING, Chose("new_link"), (OPENING, [OPEN])),
    "once more after all": (AWAY, Chose("again"), (OPENING, [OPEN])),
    "it does not work, at a company": (
        SIGNING,
        Chose("trouble"),
        (
            SIGNING,
            [
                Say("sign_in.trouble", {"address": Code(ADDRESS)}),
                Say(f"forward.{CONSENT}", {"url": MICROSOFT.consent_url}),
            ],
        ),
    ),
    "the text to forward": (
        NEEDS_CONSENT,
        Chose("forward"),
        (NEEDS_CONSENT, [Say(f"forward.{CONSENT}", {"url": MICROSOFT.consent_url})]),
    ),
    "there is nothing to forward": (AWAY, Chose("forward"), Declined()),
    "with a password instead": (
        SIGNING,
        Chose("password"),
        (
            AwaitingLink(ANA),
            [
                Say(
                    "hint.password_until",
                    {
                        "provider": "Microsoft 365",
                        "address": Code(ADDRESS),
                        "checked": MICROSOFT.checked,
                        "until": date(2026, 12, 31),
                        "url": Text("hint.in_its_settings"),
                    },
                ),
                OpenLink(ANA),
            ],
        ),
    ),
    "no password is offered for a way that has none": (replace(SIGNING, account=GRAPH), Chose("password"), Declined()),
    "a person instead": (SIGNING, Chose("person"), (SIGNING, [OpenCase("asked")])),
    "a person who is stuck": (AWAY, Chose("person"), (AWAY, [OpenCase("stuck")])),
    "another address instead": (
        SIGNING,
        Said("bia@agency.test"),
        (Finding("bia@agency.test"), [Discover("bia@agency.test")]),
    ),
    "words are no news of the provider": (SIGNING, Said("hm"), Declined("sign_in.by_itself", BRAND)),
    "words while one is stuck": (AWAY, Said("hm"), Declined()),
    "from the password to signing in": (
        AwaitingSecret(ANA, "l1"),
        Chose("sign_in"),
        (AwaitingSignInLink(ANA, "microsoft"), [OPEN]),
    ),
    "it works": (
        GRANTED,
        LoginWorked(ANA),
        (
            Done(),
            [SaveMailbox(ANA, "g1"), Say("mailbox.works", {"address": Code(ADDRESS)}), Start("card", account=ANA)],
        ),
    ),
    "what was granted is not taken": (
        GRANTED,
        REFUSED,
        (
            AwaitingSignInLink(ANA, "microsoft", 2),
            [EraseSecret("g1"), Say("sign_in.cause.wrong_credentials"), OPEN],
        ),
    ),
    "what was granted is gone": (
        GRANTED,
        SecretGone(),
        (AwaitingSignInLink(ANA, "microsoft", 1), [Say("sign_in.gone"), OPEN]),
    ),
    "too many tests": (
        GRANTED,
        TestsExhausted(9),
        (
            Stuck(ANA, "g1", "rate_limited", None, "microsoft"),
            [Say("mailbox.too_many_tests", {"minutes": 9})],
        ),
    ),
    "sending is switched off: the administrator is told, and there is another way": (
        GRANTED,
        OFF,
        (
            SWITCHED,
            [
                SaveMailbox(ANA, "g1", SWITCHED_OFF, "agency_admin"),
                TellAdmins(AdminNeeded("Ana", ADDRESS, SWITCHED_OFF)),
                Say(f"sign_in.cause.{SWITCHED_OFF}"),
                Say("sign_in.i_keep_trying"),
                OTHER_WAY,
            ],
        ),
    ),
    "the other way asks once more": (
        SWITCHED,
        Chose("graph"),
        (AwaitingSignInLink(GRAPH, "microsoft"), [ONE_MORE, OPEN_GRAPH]),
    ),
    "there is no third way": (replace(SWITCHED, account=GRAPH), Chose("graph"), Declined()),
    "another server is no way": (Stuck(ANA, "g1", "rate_limited", None, "microsoft"), Chose("server"), Declined()),
    "tested once more": (
        Stuck(ANA, "g1", "greylisted", None, "microsoft"),
        Chose("retry"),
        (replace(GRANTED, tries=0), TESTING),
    ),
    "support wants it tested": (SWITCHED, Chose("again"), (replace(GRANTED, tries=0), TESTING)),
    "support sends a new link": (
        SWITCHED,
        Chose("new_link"),
        (AwaitingSignInLink(ANA, "microsoft"), [EraseSecret("g1"), OPEN]),
    ),
    "a password that is not taken any more": (
        Running(ANA, "s1"),
        LoginFailed("oauth_required_basic_auth_disabled", "user", retry=False),
        (
            AwaitingSignInLink(ANA, "microsoft"),
            [EraseSecret("s1"), Say("sign_in.passwords_over", BRAND), OPEN],
        ),
    ),
    "the other way is open to a password, too": (
        Stuck(ANA, "s1", SWITCHED_OFF),
        Chose("graph"),
        (AwaitingSignInLink(GRAPH, "microsoft"), [ONE_MORE, OPEN_GRAPH]),
    ),
}


@pytest.mark.parametrize("told", STORY)
def test_signing_in_takes_each_step_as_told(told):
    state, event, expected = STORY[told]
    assert step(state, event, MEMBER) == expected


# --- when it is offered -----------------------------------------------------------------------------------------------


def test_where_only_signing_in_is_taken_it_is_the_way_and_without_an_app_the_hint_stays_honest():
    assert step(Finding(ADDRESS), ServerFound(ANA), PERSONAL)[0] == Finding(ADDRESS)
    assert step(Finding(ADDRESS), Judged(ANA), PERSONAL) == (AwaitingSignInLink(ANA, "microsoft"), [OPEN])
    nobody = facts(provider=replace(OUTLOOK, sign_in=""))
    state, effects = step(Finding(ADDRESS), ServerFound(ANA), nobody)
    assert (state, names(effects)) == (Collecting({}, "address"), ["hint.oauth_only"])


def test_signing_in_needs_no_word_that_passwords_were_allowed():
    later = facts(provider=replace(MICROSOFT, demand="sign_in_only", until=None, hint="oauth_only"))
    assert step(Finding(ADDRESS), Judged(ANA), later) == (AwaitingSignInLink(ANA, "microsoft"), [OPEN])


def test_personal_gmail_stays_with_app_passwords_and_a_workspace_with_an_app_of_its_own_signs_in():
    assert step(Finding(ADDRESS), Judged(ANA), facts(provider=GMAIL))[1][-1] == OpenLink(ANA)
    assert step(Finding(ADDRESS), Judged(ANA), facts(provider=WORKSPACE))[1] == [OpenSignIn(ANA, "google")]


@pytest.mark.parametrize(
    ("known", "values"),
    [
        (MEMBER, ["trouble", "password", "person"]),
        (PERSONAL, ["trouble", "person"]),
        (facts(provider=WORKSPACE), ["trouble", "password", "person"]),
        (facts(), ["trouble", "person"]),
    ],
)
def test_a_password_is_offered_only_where_the_provider_takes_one(known, values):
    assert [one.value for one in ask(SIGNING, known).options] == values


def test_one_message_says_which_page_to_expect():
    asked = ask(SIGNING, MEMBER)
    assert (asked.question, asked.name) == ("sign_in", "sign_in.ask.microsoft")
    assert asked.values == {
        **BRAND,
        "address": Code(ADDRESS),
        "domain": Code(HOUSE.domain),
        "site": Code("login.microsoftonline.com"),
        "link": Link("l1"),
    }
    assert ask(AwaitingSignIn(ANA, "google", "l1"), MEMBER).values["site"] == Code("accounts.google.com")
    elsewhere = replace(MEMBER, house=replace(MEMBER.house, sign_in_pages={"google": "127.0.0.1:8001"}))
    assert ask(AwaitingSignIn(ANA, "google", "l1"), elsewhere).values["site"] == Code("127.0.0.1:8001")


@pytest.mark.parametrize(
    ("state", "question", "values"),
    [
        (NEEDS_CONSENT, "sign_in_stuck", ["forward", "again", "person"]),
        (AWAY, "sign_in_stuck", ["again", "password", "person"]),
        (replace(AWAY, account=GRAPH), "sign_in_stuck", ["again", "person"]),
        (OPENING, "busy", []),
        (SWITCHED, "stuck", ["graph", "forward", "person"]),
        (replace(SWITCHED, account=GRAPH), "stuck", ["forward", "retry", "person"]),
        (Stuck(ANA, "g1", "connection_refused", None, "microsoft"), "stuck", ["retry", "person"]),
    ],
)
def test_every_state_owns_one_question(state, question, values):
    asked = ask(state, MEMBER)
    assert (asked.question, [one.value for one in asked.options]) == (question, values)


@pytest.mark.parametrize("state", [OPENING, SIGNING, AWAY])
def test_a_state_of_signing_in_is_about_its_account(state):
    assert subject(state) == ANA


@pytest.mark.parametrize("state", [SIGNING, AWAY])
def test_the_address_that_is_called_wrong_is_asked_again(state):
    assert reopen(state, "address") == Collecting({}, "address")


# --- what came to nothing ---------------------------------------------------------------------------------------------


def test_who_may_be_the_very_administrator_reads_where_it_is_approved():
    admin = facts(provider=MICROSOFT, role="admin")
    effects = step(SIGNING, failed("consent"), admin)[1]
    assert names(effects) == ["sign_in.consent_admin"]
    assert effects[-1].values["url"] == MICROSOFT.consent_url
    without = facts(provider=WORKSPACE, role="admin")
    assert names(step(SIGNING, failed("consent"), without)[1]) == ["sign_in.consent"]


def test_without_a_page_to_approve_it_the_text_says_where_it_is_done():
    assert names(step(NEEDS_CONSENT, Chose("forward"), facts())[1]) == ["forward.sign_in_allowed"]
    at_google = AwaitingSignIn(ANA, "google", "l1")
    told = names(step(at_google, Chose("trouble"), facts(provider=WORKSPACE))[1])
    assert told == ["sign_in.trouble", "forward.sign_in_allowed"]
    assert names(step(SIGNING, Chose("trouble"), PERSONAL)[1]) == ["sign_in.trouble"]


def test_whose_account_it_was_may_be_unknown():
    said = step(SIGNING, failed("other_account"), MEMBER)[1][0]
    assert said.values["other"] == Code("?")


def test_the_third_time_a_person_is_offered_whatever_the_reason():
    for reason in ("consent", "away", "ours", "other_account"):
        assert "talk.offer_person" in names(step(replace(SIGNING, tries=2), failed(reason), MEMBER)[1])
    assert "talk.offer_person" in names(step(replace(GRANTED, tries=2), REFUSED, MEMBER)[1])


def test_an_administrator_decides_at_a_company_only():
    assert administered(MICROSOFT)
    assert administered(replace(MICROSOFT, demand="sign_in_only"))
    assert not administered(OUTLOOK)
    assert not administered(replace(OUTLOOK, consent_url="https://login.example.test"))
    assert not administered(None)


# --- the live test ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("worked", "said"),
    [
        ({}, []),
        ({"proof": "accepted"}, ["proof.accepted", "sign_in.look_yourself"]),
        ({"proof": "accepted", "copy": "no_imap"}, ["proof.accepted", "sign_in.look_yourself"]),
        ({"proof": "accepted", "arrived": True, "copy": "found"}, ["proof.arrived", "copy.found"]),
        ({"proof": "accepted", "arrived": True}, ["proof.arrived"]),
    ],
)
def test_what_nobody_can_look_up_is_said(worked, said):
    assert names(step(GRANTED, LoginWorked(ANA, **worked), MEMBER)[1]) == ["mailbox.works", *said]


def test_certified_mail_is_asked_about_and_stays_a_sign_in():
    certified = facts(provider=replace(MICROSOFT, certified=True))
    asking, _ = step(SIGNING, SignedIn("g1", "l1"), certified)
    assert asking == AskingForMail(ANA, "g1", 1, "microsoft")
    assert step(asking, Chose("no"), certified)[0] == GRANTED


def test_a_better_server_and_a_wrong_one_are_no_matter_of_a_sign_in():
    better = LoginFailed("tls_hostname_mismatch", "user", retry=False, better=Server("srv7.hoster.test", 465, "tls"))
    state, effects = step(GRANTED, better, MEMBER)
    assert state == Stuck(ANA, "g1", "tls_hostname_mismatch", None, "microsoft")
    assert names(effects) == ["cause.tls_hostname_mismatch"]


def test_a_password_that_works_is_not_touched_until_the_new_sign_in_has_passed_its_test():
    old = facts(provider=MICROSOFT, mailbox=replace(WORKS, secret_id="s1"))
    state, effects = step(GRANTED, OFF, old)
    assert state == SWITCHED
    assert not any(isinstance(one, SaveMailbox) for one in effects)
    assert SaveMailbox(ANA, "g1") in step(GRANTED, LoginWorked(ANA), old)[1]
    same = facts(provider=MICROSOFT, mailbox=SIGNED_IN)
    assert SaveMailbox(ANA, "g1", SWITCHED_OFF, "agency_admin") in step(GRANTED, OFF, same)[1]


def test_the_other_way_is_microsoft_s():
    assert next_steps_of(SWITCHED_OFF, None, ANA, "", "") == ("forward", "retry", "person")
    assert next_steps_of(SWITCHED_OFF, None, ANA, "google", "google") == ("forward", "retry", "person")
    assert next_steps_of("sender_not_allowed", None, ANA, "microsoft", "") == ("forward", "address", "person")


def test_a_cause_is_told_otherwise_to_who_gave_no_password():
    assert why(SWITCHED_OFF, "microsoft") == f"sign_in.cause.{SWITCHED_OFF}"
    assert why(SWITCHED_OFF, "") == f"cause.{SWITCHED_OFF}"
    assert why("greylisted", "microsoft") == "cause.greylisted"


# --- with the saved one -----------------------------------------------------------------------------------------------


def managed(saved, provider=MICROSOFT):
    return [one.value for one in ask(Managing(), facts(mailbox=saved, provider=provider)).options]


def test_what_can_be_done_with_a_mailbox_that_signed_in():
    assert managed(SIGNED_IN) == ["sign_in", "password", "change", "off", "remove", "menu"]
    assert managed(SIGNED_IN, OUTLOOK) == ["sign_in", "change", "off", "remove", "menu"]
    waiting = replace(SIGNED_IN, state="waiting", cause=SWITCHED_OFF)
    assert managed(waiting) == ["retry", "graph", "sign_in", "change", "remove", "menu"]
    assert managed(replace(waiting, account=GRAPH))[:2] == ["retry", "sign_in"]
    assert managed(WORKS) == ["sign_in", "password", "change", "off", "remove", "menu"]
    assert managed(WORKS, None) == ["password", "change", "off", "remove", "menu"]


def test_the_saved_one_changes_its_way():
    waiting = facts(mailbox=replace(SIGNED_IN, account=ANA, state="waiting", cause=SWITCHED_OFF), provider=MICROSOFT)
    assert step(Managing(), Chose("graph"), waiting) == (AwaitingSignInLink(GRAPH, "microsoft"), [ONE_MORE, OPEN_GRAPH])
    assert step(Managing(), Chose("graph"), facts(mailbox=WORKS)) == Declined()
    assert step(Managing(), Chose("sign_in"), waiting) == (AwaitingSignInLink(ANA, "microsoft"), [OPEN])
    assert step(Managing(), Chose("retry"), waiting)[0] == replace(GRANTED, tries=0)
    on_graph = facts(mailbox=replace(SIGNED_IN, account=GRAPH), provider=MICROSOFT)
    assert step(Managing(), Chose("password"), on_graph) == (AwaitingLink(ANA), [OpenLink(ANA)])
    assert step(Managing(), Chose("sign_in"), facts()) == (Collecting({}, "address"), [Say("mailbox.none_yet")])


@pytest.mark.parametrize(
    ("saved", "provider", "said"),
    [
        (SIGNED_IN, MICROSOFT, Say("sign_in.removed.microsoft", {"url": "https://myapps.microsoft.com"})),
        (SIGNED_IN, OUTLOOK, Say("sign_in.removed.microsoft", {"url": "https://account.live.com/consent/Manage"})),
        (replace(SIGNED_IN, signed_in="google"), WORKSPACE, Say("sign_in.removed.google")),
        (WORKS, MICROSOFT, Say("mailbox.removed")),
    ],
)
def test_removal_says_what_becomes_of_the_access_at_the_provider(saved, provider, said):
    known = facts(mailbox=saved, provider=provider)
    assert step(ConfirmingRemoval(), Chose("yes"), known) == (Done(), [RemoveMailbox(), said])
    asked = ask(ConfirmingRemoval(), known)
    assert asked.name == ("sign_in.sure_to_remove" if saved.signed_in else "mailbox.sure_to_remove")


@pytest.mark.parametrize(
    ("entry", "known", "begun"),
    [
        ("sign_in.microsoft", facts(mailbox=WORKS), (AwaitingSignInLink(ANA, "microsoft"), [OPEN])),
        ("sign_in", facts(mailbox=SIGNED_IN), (AwaitingSignInLink(ANA, "microsoft"), [OPEN])),
        ("sign_in", facts(mailbox=WORKS, provider=MICROSOFT), (AwaitingSignInLink(ANA, "microsoft"), [OPEN])),
        ("sign_in", facts(mailbox=WORKS), (AwaitingLink(ANA), [OpenLink(ANA)])),
        ("sign_in.microsoft", facts(about=ANA), (AwaitingSignInLink(ANA, "microsoft"), [OPEN])),
        ("sign_in.microsoft", facts(), (Collecting({}, "address"), [Say("mailbox.none_yet")])),
        ("password", facts(mailbox=SIGNED_IN), (AwaitingSignInLink(ANA, "microsoft"), [OPEN])),
        ("test", facts(mailbox=SIGNED_IN), (replace(GRANTED, tries=0), TESTING)),
    ],
)
def test_each_entry_begins_where_it_says(entry, known, begun):
    assert start(entry, known) == begun


# --- in the conversation ----------------------------------------------------------------------------------------------


def at_microsoft(provider=MICROSOFT, **changes):
    """A member who has given the address and is asked to sign in."""
    player = member(**changes)
    player.providers = {"agency.test": provider}
    player.tap("setup")
    player.write(ADDRESS)
    return player


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("provider", [MICROSOFT, OUTLOOK, WORKSPACE], ids=lambda one: one.id)
def test_signing_in_costs_five_messages_and_one_thing_typed(language, provider):
    player = at_microsoft(provider, language=language)
    player.sign_in()
    assert player.known.mailbox.state == "works"
    assert player.known.mailbox.signed_in == provider.sign_in
    assert (len(player.messages), player.typed - 1) == (5, 1)  # "hi" is no part of it
    assert not any("<" in message.body for message in player.messages)


@pytest.mark.parametrize(
    "typed", ["Girafa#22", "hunter22hunter", "S3nh@", "wxyz qwrt pfgh jklm", "minha senha: Girafa#22"]
)
def test_a_password_typed_there_is_not_kept_and_told_to_be_changed(typed):
    player = at_microsoft(WORKSPACE)
    assert awaits_secret(player.envelope)
    said = player.write(typed)
    assert said.startswith(texts("en")["sign_in.typed"])
    assert EraseAtProvider() in player.effects
    assert typed not in player.saved
    assert isinstance(player.envelope.state, AwaitingSignIn)


@pytest.mark.parametrize("typed", ["done", "Pronto!", "listo", "ok", "sim"])
def test_who_says_that_it_is_done_hears_that_nothing_came_yet(typed):
    player = at_microsoft()
    assert player.write(typed).startswith(texts("en")["sign_in.by_itself"].format(provider="Microsoft"))
    assert says_done(typed)


def test_a_question_is_answered_there_and_the_link_asked_for_again():
    player = at_microsoft()
    assert texts("en")["talk.leaked"] not in player.write("is this really from Microsoft?")
    assert isinstance(player.envelope.state, AwaitingSignIn)


def test_the_words_for_a_new_link_make_the_first_one_void():
    player = at_microsoft()
    first = player.envelope.state.link_id
    player.write("link")
    assert player.envelope.state.link_id != first
    said = player.happens(SignedIn("g0", first))
    assert said.startswith(texts("en")["sign_in.older_link"])
    assert erased(player) == ["g0"]


def test_back_and_again_lose_nothing():
    player = at_microsoft()
    assert "login.microsoftonline.com" in player.write("again")
    player.write("back")
    assert player.envelope.state == Collecting({}, "address")


def test_a_secret_that_came_in_by_chance_is_erased():
    player = at_microsoft()
    player.happens(SecretTyped("s9"))
    assert erased(player) == ["s9"]


def test_an_administrator_who_is_needed_reads_where_it_is_approved():
    player = member(role="admin")
    said = player.happens(AdminNeeded("Bia", "bia@agency.test", CONSENT, MICROSOFT.consent_url))
    assert MICROSOFT.consent_url in said
    assert "Bia" in said


NEWS = [
    (GrantEnded(ADDRESS, "microsoft"), "news.grant_ended"),
    (
        MailRefused("m", "", "user", retry=False, signed_in="microsoft", address=ADDRESS),
        "sign_in.cause.wrong_credentials",
    ),
    (PasswordEnds(ADDRESS, "microsoft", date(2026, 12, 31), 35), "news.password_ends"),
]


@pytest.mark.parametrize(("event", "name"), NEWS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_news_of_signing_in_is_one_message_with_the_button_that_begins_it(event, name, language):
    player = member(mailbox=WORKS, language=language)
    before = len(player.messages)
    said = player.happens(event)
    assert texts(language)[name].partition("{")[0] in said
    assert len(player.messages) == before + 1
    player.tap("go:mailbox.sign_in.microsoft")
    assert player.envelope.state == AwaitingSignIn(ANA, "microsoft", "link-1")
    assert player.known.mailbox == WORKS
    player.sign_in()
    assert player.known.mailbox.state == "works"


@pytest.mark.parametrize(("event", "name"), NEWS)
def test_news_of_another_agency_s_mailbox_leads_to_the_agencies(event, name):
    player = member(mailbox=replace(WORKS, account=replace(ANA, address="bia@other.test")), several=True)
    player.happens(event)
    offered = [button.id.partition(":")[2] for button in player.last.buttons]
    assert "roles" in offered  # the menu leads there already
    assert "go:mailbox.sign_in.microsoft" not in offered


def test_news_of_a_mailbox_that_signed_in_speaks_of_no_password():
    player = member(mailbox=SIGNED_IN)
    assert texts("en")["sign_in.i_keep_trying"] in player.happens(MailboxWaits(ADDRESS, SWITCHED_OFF, worked=True))
    assert texts("en")[f"sign_in.cause.{SWITCHED_OFF}"] in player.happens(MailboxWaits(ADDRESS, SWITCHED_OFF))
    player.happens(MailboxBroke(ADDRESS, worked=True))
    assert "go:mailbox.sign_in.microsoft" in [button.id.partition(":")[2] for button in player.last.buttons]


# --- the card ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "saved", "provider", "name"),
    [
        (ANA, SIGNED_IN, OUTLOOK, "card.not_in_ally"),
        (GRAPH, replace(SIGNED_IN, account=GRAPH), MICROSOFT, "card.not_in_ally"),
        (GRAPH, None, None, "card.not_in_ally"),
        (ANA, SIGNED_IN, MICROSOFT, "card.member"),
        (ANA, SIGNED_IN, None, "card.member"),
        (ANA, WORKS, MICROSOFT, "card.member"),
    ],
)
def test_the_card_tells_the_truth_about_ally_s_own_form(account, saved, provider, name):
    known = facts(mailbox=saved, provider=provider)
    asked = card.ask(card.Showing(account), known)
    assert asked.name == name
    if name == "card.not_in_ally":
        assert [one.value for one in asked.options] == ["go:compose", "menu", "person"]
    assert card.step(card.Showing(account), Chose("menu"), known) == (Done(), [])


def test_the_card_says_whose_password_and_until_when():
    signed_in = facts(mailbox=SIGNED_IN, provider=MICROSOFT)
    assert card.ask(card.Showing(ANA), signed_in).values["password"] == Text("card.mail_password_of_its_own")
    until = Say("card.until", {"provider": "Microsoft 365", "until": date(2026, 12, 31)})
    assert card.start("", signed_in) == (card.Showing(ANA), [until])
    assert card.start("", facts(mailbox=WORKS, provider=MICROSOFT))[1] == []
    assert card.start("", facts(mailbox=replace(SIGNED_IN, account=GRAPH), provider=MICROSOFT))[1] == []
    at_google = facts(mailbox=replace(SIGNED_IN, signed_in="google"), provider=WORKSPACE)
    assert card.ask(card.Showing(ANA), at_google).values["password"] == Text("card.app_password_of_its_own")
    assert card.start("", at_google)[1] == []


# --- for the admin ----------------------------------------------------------------------------------------------------


def test_the_team_and_the_home_name_the_days_that_are_left():
    ana = Teammate("m1", "Ana", "member", ADDRESS, "works", days_left=35)
    admin = facts(role="admin", team=(ana,), mailbox=WORKS)
    assert ask_team(ShowingMember("m1"), admin).values["days"] == 35
    shown = [part for part in board.home(admin) if isinstance(part, board.Line)]
    assert names(shown[0].says) == ["home.member", "home.member_days"]
    far = replace(admin, team=(replace(ana, days_left=300),))
    assert names(next(part for part in board.home(far) if isinstance(part, board.Line)).says) == ["home.member"]


def own_choices(**changes):
    known = facts(now=replace_day(date(2026, 11, 26)), **changes)
    return [option.value for part in board.home(known) for option in getattr(part, "options", ())]


def replace_day(day):
    return facts().now.replace(year=day.year, month=day.month, day=day.day)


def test_the_home_offers_to_sign_in_while_the_days_are_counted_and_when_it_is_needed_again():
    assert "go:mailbox.sign_in.microsoft" in own_choices(mailbox=WORKS, provider=MICROSOFT)
    assert "go:mailbox.sign_in.microsoft" not in own_choices(mailbox=SIGNED_IN, provider=MICROSOFT)
    assert "go:mailbox.sign_in.microsoft" not in own_choices(mailbox=WORKS, provider=replace(MICROSOFT, sign_in=""))
    assert "go:mailbox.sign_in.microsoft" not in own_choices(mailbox=WORKS, provider=replace(MICROSOFT, until=None))
    broken = replace(SIGNED_IN, state="broken", cause="wrong_credentials")
    assert "go:mailbox.sign_in.microsoft" in own_choices(mailbox=broken)
    assert board.own(facts(mailbox=broken)).values["why"] == Text("sign_in.cause.wrong_credentials")


def test_the_lines_for_one_mailbox_are_two():
    assert powershell.switching_on([ADDRESS, ADDRESS]) == (
        "Set-CASMailbox -Identity 'ana@agency.test' -SmtpClientAuthenticationDisabled $false",
    )
    assert powershell.reading_back([ADDRESS]) == (
        "Get-CASMailbox -Identity 'ana@agency.test' | Format-List SmtpClientAuthenticationDisabled"
    )


def test_the_lines_for_many_mailboxes_are_never_cut():
    people = [f"somebody.with.a.long.name.{number}@agency.test" for number in range(20)]
    *listed, switched = powershell.switching_on(people)
    assert [line.split("=")[0] for line in listed] == ["$people ", *["$people +"] * (len(listed) - 1)]
    assert max(map(len, listed)) <= 200
    assert "".join(listed).count("@agency.test'") == 20
    assert (
        switched == "$people | ForEach-Object { Set-CASMailbox -Identity $_ -SmtpClientAuthenticationDisabled $false }"
    )
    assert powershell.reading_back(people).startswith("$people | ForEach-Object { Get-CASMailbox -Identity $_ |")


@pytest.mark.parametrize("sign", ["'", "\u2018", "\u2019", "\u201a", "\u201b"])
def test_no_address_ends_its_quotes(sign):
    line = powershell.switching_on([f"o{sign}brien@agency.test"])[0]
    assert f"'o{sign}{sign}brien@agency.test'" in line


@pytest.mark.parametrize("strange", ["", "+3", "ana@agency.test; Remove-Mailbox x", "ana@agency.test\nbia@agency.test"])
def test_what_is_no_address_stands_in_no_line(strange):
    assert powershell.switching_on([strange]) == ()
    assert len(to_forward(SWITCHED_OFF, strange)) == 1


def test_a_line_that_is_too_long_to_be_set_apart_is_not_cut():
    long = f"{'l' * 60}@{'h' * 60}.{'d' * 60}.test"
    said = to_forward(SWITCHED_OFF, long)
    assert said[1].values["line"] == powershell.switching_on([long])[0]


def test_a_secret_of_the_ordinary_way_still_offers_to_sign_in():
    asked = ask(AwaitingSecret(ANA, "l1"), MEMBER)
    assert [one.value for one in asked.options] == ["forgotten", "sign_in", "person"]
    assert step(AwaitingSecret(ANA, "l1"), Chose("sign_in"), facts()) == Declined()
