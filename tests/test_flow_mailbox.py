"""The set-up of a mailbox, step by step: when this, and that happens, then so."""

from dataclasses import replace
from datetime import date
from typing import get_args

import pytest

from bot.mail.knowledge.explain import causes
from bot.mail.knowledge.provider import Hint
from flows.facts import Mailbox
from flows.mailbox import (
    HOSTERS,
    PERSON,
    PORTS,
    AskingForMail,
    AwaitingLink,
    AwaitingSecret,
    Collecting,
    Confirming,
    ConfirmingRemoval,
    ConfirmingSecret,
    Finding,
    Hosting,
    Managing,
    Stuck,
    Suggesting,
    ask,
    host,
    port,
    reopen,
    start,
    step,
    subject,
)
from flows.mailbox import Testing as Running  # pytest takes a class called Test... for a test
from flows.remedies import SECRET_KINDS, in_powershell, next_steps
from flows.speech import has
from flows.words import (
    AddressDoubted,
    AddressRefused,
    AdminNeeded,
    Ask,
    Chose,
    Code,
    Declined,
    Discover,
    Done,
    EraseAtProvider,
    EraseSecret,
    FindHoster,
    HosterUnknown,
    Judge,
    Judged,
    Link,
    LinkOpened,
    LinkRefused,
    LoginFailed,
    LoginWorked,
    MemberDiffers,
    OpenCase,
    OpenLink,
    Option,
    RemoveMailbox,
    Said,
    SaveMailbox,
    Say,
    SecretGone,
    SecretStored,
    SecretSuspected,
    SecretTyped,
    Server,
    ServerFound,
    ServerUnknown,
    Shared,
    Start,
    SwitchMailbox,
    TellAdmins,
    TestLogin,
    TestsExhausted,
    Text,
)
from tests.flowkit import ADDRESS, ANA, ELSEWHERE, GMAIL, HOUSE, WORKS, facts, names

MEMBER = facts()
OWNER = facts(mailbox=WORKS)
TESTING = [Say("mailbox.testing", {"address": Code(ADDRESS)}), TestLogin(ANA, "s1", mail=True)]
TYPED = Say("mailbox.typed_here")
AT_ADDRESS = Collecting({}, "address")
AT_HOST = Collecting({"address": ADDRESS}, "host")
AT_PORT = Collecting({"address": ADDRESS, "host": "mail.agency.test"}, "port")
SECRET = AwaitingSecret(ANA, "l1", 1)
SUSPECTED = ConfirmingSecret(ANA, "l1", "s1", 1)
STUCK = Stuck(ANA, "s1", "dns_host_not_found")
WAITING = Stuck(ANA, "s1", "smtp_auth_disabled_tenant_or_mailbox")
PROVED = Server("srv7.hoster.test", 465, "tls")
BETTER = Stuck(ANA, "s1", "tls_hostname_mismatch", PROVED)
SLIP = Suggesting("ana@gmial.com", "ana@gmail.com")
AT_USER = Collecting({"address": ADDRESS, "host": "mail.agency.test", "port": "465"}, "user")
DIFFERS = MemberDiffers("Ana", ADDRESS, ELSEWHERE.server.host)
ASK_AROUND = Say("mailbox.ask_around", {"address": Code(ADDRESS)})
WORKED = Say("mailbox.works", {"address": Code(ADDRESS)})
TRYING = Say("mailbox.i_keep_trying")
ON_587 = replace(ANA, server=Server("mail.agency.test", 587, "starttls"))

STORY = {
    "an address is looked up": (AT_ADDRESS, Said(f" {ADDRESS} "), (Finding(ADDRESS), [Discover(ADDRESS)])),
    "no address is explained": (AT_ADDRESS, Said("ana"), Declined("mailbox.no_address")),
    "a picture is no address": (AT_ADDRESS, Shared("image"), Declined()),
    "a found server is measured by the agency's rule": (
        Finding(ADDRESS),
        ServerFound(ANA, confirm=True),
        (Finding(ADDRESS), [Judge(ANA, confirm=True)]),
    ),
    "a server that nobody objects to leads to the link": (
        Finding(ADDRESS),
        Judged(ANA),
        (AwaitingLink(ANA), [OpenLink(ANA)]),
    ),
    "a strange server has to be confirmed": (
        Finding(ADDRESS),
        Judged(ELSEWHERE, confirm=True),
        (Confirming(ELSEWHERE), []),
    ),
    "another server than the agency's is asked about": (
        Finding(ADDRESS),
        Judged(ELSEWHERE, differs="warn"),
        (Confirming(ELSEWHERE, ("warn",)), []),
    ),
    "two doubts are asked about one after the other": (
        Finding(ADDRESS),
        Judged(ELSEWHERE, confirm=True, differs="strict"),
        (Confirming(ELSEWHERE, ("server", "strict")), []),
    ),
    "yes to the first doubt leads to the second": (
        Confirming(ELSEWHERE, ("server", "warn")),
        Chose("yes"),
        (Confirming(ELSEWHERE, ("warn",)), []),
    ),
    "going on with another server than the agency's tells the admin": (
        Confirming(ELSEWHERE, ("warn",)),
        Chose("yes"),
        (AwaitingLink(ELSEWHERE), [TellAdmins(DIFFERS), OpenLink(ELSEWHERE)]),
    ),
    "where the rule is strict nobody goes on": (Confirming(ELSEWHERE, ("strict",)), Chose("yes"), Declined()),
    "the admin is asked": (
        Confirming(ELSEWHERE, ("strict",)),
        Chose("ask_admin"),
        (Done(), [TellAdmins(replace(DIFFERS, asks=True)), Say("mailbox.admin_asked", {"agency": "Agency"})]),
    ),
    "nobody is asked about a server's name": (Confirming(ELSEWHERE), Chose("ask_admin"), Declined()),
    "an address of the agency instead": (Confirming(ELSEWHERE, ("warn",)), Chose("address"), (AT_ADDRESS, [])),
    "a person instead of an answer to a doubt": (
        Confirming(ELSEWHERE, ("strict",)),
        Chose("person"),
        (Confirming(ELSEWHERE, ("strict",)), [OpenCase("stuck")]),
    ),
    "no belongs to the server only": (Confirming(ELSEWHERE, ("warn",)), Chose("no"), Declined()),
    "a slip of the pen is asked about": (
        Finding("ana@gmial.com"),
        AddressDoubted("ana@gmial.com", "ana@gmail.com"),
        (SLIP, []),
    ),
    "the other address was meant": (
        SLIP,
        Chose("yes"),
        (Finding("ana@gmail.com"), [Discover("ana@gmail.com", sure=True)]),
    ),
    "it was no slip": (SLIP, Chose("no"), (Finding("ana@gmial.com"), [Discover("ana@gmial.com", sure=True)])),
    "an address is the answer to a slip, too": (
        SLIP,
        Said("ana@agency.test"),
        (Finding(ADDRESS), [Discover(ADDRESS)]),
    ),
    "an address is the answer to a doubt, too": (
        Confirming(ELSEWHERE, ("strict",)),
        Said("bia@agency.test"),
        (Finding("bia@agency.test"), [Discover("bia@agency.test")]),
    ),
    "neither yes nor no to the slip": (SLIP, Said("hm"), Declined()),
    "a name that only its person knows is asked for": (
        Finding(ADDRESS),
        ServerFound(replace(ANA, user="")),
        (AT_USER, []),
    ),
    "who does not know the user name hears where it stands": (
        AT_USER,
        Chose("unknown"),
        (AT_USER, [Say("mailbox.user_whereabouts", {"host": Code("mail.agency.test")})]),
    ),
    "the user name is kept": (
        AT_USER,
        Said(" apikey "),
        (Finding(ADDRESS), [Judge(replace(ANA, user="apikey"))]),
    ),
    "no user name is explained": (AT_USER, Said("two\nlines"), Declined("mailbox.no_user")),
    "it could not be looked up just now": (
        Finding(ADDRESS),
        ServerUnknown(ADDRESS, later=True),
        (AT_HOST, [Say("mailbox.lookup_failed")]),
    ),
    "the domain does not exist": (
        Finding(ADDRESS),
        AddressRefused("no_domain"),
        (AT_ADDRESS, [Say("mailbox.refused.no_domain", {"address": Code(ADDRESS)})]),
    ),
    "the company that is paid is looked for": (
        Hosting(ADDRESS),
        Said("Hostinger"),
        (Finding(ADDRESS), [FindHoster(ADDRESS, "Hostinger")]),
    ),
    "a company that was tapped": (Hosting(ADDRESS), Chose("uol"), (Finding(ADDRESS), [FindHoster(ADDRESS, "uol")])),
    "a company that nobody here knows": (
        Finding(ADDRESS),
        HosterUnknown(),
        (AT_HOST, [Say("mailbox.hoster_unknown"), ASK_AROUND]),
    ),
    "who does not know whom they pay gets words to forward": (
        Hosting(ADDRESS),
        Chose("unknown"),
        (AT_HOST, [ASK_AROUND]),
    ),
    "a command is no company": (Hosting(ADDRESS), Said("menu"), Declined()),
    "a picture is no company": (Hosting(ADDRESS), Shared("image"), Declined()),
    "an unknown server is asked for": (
        Finding("Ana@AGENCY.test"),
        ServerUnknown(ADDRESS),
        (AT_HOST, []),
    ),
    "an unknown server of an address that came back empty": (
        Finding(ADDRESS),
        ServerUnknown(""),
        (AT_HOST, []),
    ),
    "an address that is none in the hands' eyes is asked again": (
        Finding(ADDRESS),
        AddressRefused(),
        (AT_ADDRESS, [Say("mailbox.no_address")]),
    ),
    "words while we look are declined": (Finding(ADDRESS), Said("hello"), Declined()),
    "yes to the server": (Confirming(ELSEWHERE), Chose("yes"), (AwaitingLink(ELSEWHERE), [OpenLink(ELSEWHERE)])),
    "no to the server": (Confirming(ELSEWHERE), Chose("no"), (AT_HOST, [])),
    "something else to the server": (Confirming(ELSEWHERE), Said("hm"), Declined()),
    "who does not know the server is asked whom they pay": (AT_HOST, Chose("unknown"), (Hosting(ADDRESS), [])),
    "a person at the server question": (AT_HOST, Chose("person"), (AT_HOST, [OpenCase("stuck")])),
    "a host leads to its port": (AT_HOST, Said("mail.agency.test"), (AT_PORT, [])),
    "an address instead of a host is explained": (
        AT_HOST,
        Said(ADDRESS),
        Declined("mailbox.address_instead_of_server"),
    ),
    "another address instead of a host puts the first one right": (
        AT_HOST,
        Said("ana@agencia.test"),
        (Finding("ana@agencia.test"), [Discover("ana@agencia.test")]),
    ),
    "another address instead of a company, too": (
        Hosting(ADDRESS),
        Said("ana@agencia.test"),
        (Finding("ana@agencia.test"), [Discover("ana@agencia.test")]),
    ),
    "a server's name with an @ in it is no other address": (
        AT_HOST,
        Said("smtp@mail.agency.test"),
        Declined("mailbox.address_instead_of_server"),
    ),
    "the same address instead of a host, in whatever letters": (
        AT_HOST,
        Said(ADDRESS.upper()),
        Declined("mailbox.address_instead_of_server"),
    ),
    "a server under the address's domain needs no yes": (AT_PORT, Chose("465"), (Finding(ADDRESS), [Judge(ANA)])),
    "587 begins in plain and demands STARTTLS": (AT_PORT, Said("587"), (Finding(ADDRESS), [Judge(ON_587)])),
    "a server elsewhere has to be confirmed": (
        Collecting({"address": ADDRESS, "host": "smtp.hoster.test"}, "port"),
        Chose("unknown"),
        (Finding(ADDRESS), [Judge(ELSEWHERE, confirm=True)]),
    ),
    "a lookalike of the domain has to be confirmed": (
        Collecting({"address": ADDRESS, "host": "notagency.test"}, "port"),
        Chose("465"),
        (Finding(ADDRESS), [Judge(replace(ANA, server=Server("notagency.test", 465, "tls")), confirm=True)]),
    ),
    "the link is there": (AwaitingLink(ANA, 1), LinkOpened("l1"), (SECRET, [])),
    "too many links": (AwaitingLink(ANA), LinkRefused(), (Done(), [Say("mailbox.too_many_links")])),
    "words while the link is made are declined": (AwaitingLink(ANA), Said("hello"), Declined()),
    "the page has the secret": (SECRET, SecretStored("s1", "l1"), (Running(ANA, "s1", 1), TESTING)),
    "another page's secret is not taken": (SECRET, SecretStored("s1", "old"), Declined()),
    "the page is quicker than the yes": (
        SUSPECTED,
        SecretStored("s1", "l1"),
        (Running(ANA, "s1", 1), [EraseSecret("s1"), *TESTING]),
    ),
    "another page's secret is not taken while we wait for the yes": (SUSPECTED, SecretStored("s2", "old"), Declined()),
    "a secret of the right shape typed here": (
        SECRET,
        SecretTyped("s1"),
        (Running(ANA, "s1", 1), [TYPED, EraseAtProvider(), *TESTING]),
    ),
    "perhaps a secret": (SECRET, SecretSuspected("s1"), (SUSPECTED, [EraseAtProvider()])),
    "perhaps another secret": (
        SUSPECTED,
        SecretSuspected("s2"),
        (replace(SUSPECTED, secret_id="s2"), [EraseSecret("s1"), EraseAtProvider()]),
    ),
    "certainly another secret": (
        replace(SUSPECTED, secret_id="s0"),
        SecretTyped("s1"),
        (Running(ANA, "s1", 1), [EraseSecret("s0"), TYPED, EraseAtProvider(), *TESTING]),
    ),
    "yes, that was it": (SUSPECTED, Chose("yes"), (Running(ANA, "s1", 1), [TYPED, *TESTING])),
    "no, that was not it": (SUSPECTED, Chose("no"), (SECRET, [EraseSecret("s1")])),
    "a new link": (SECRET, Chose("new_link"), (AwaitingLink(ANA, 1), [OpenLink(ANA)])),
    "a new link instead of the yes": (
        SUSPECTED,
        Chose("new_link"),
        (AwaitingLink(ANA, 1), [EraseSecret("s1"), OpenLink(ANA)]),
    ),
    "another address instead of the secret": (
        SECRET,
        Said("bia@agency.test"),
        (Finding("bia@agency.test"), [Discover("bia@agency.test")]),
    ),
    "another address instead of the yes": (
        SUSPECTED,
        Said("bia@agency.test"),
        (Finding("bia@agency.test"), [EraseSecret("s1"), Discover("bia@agency.test")]),
    ),
    "without a password there is the card alone": (
        SECRET,
        Chose("without"),
        (Done(), [Start("card", "without", ANA)]),
    ),
    "the password is forgotten": (SECRET, Chose("forgotten"), (SECRET, [Say("mailbox.forgotten")])),
    "a person instead of the secret": (SECRET, Chose("person"), (SECRET, [OpenCase("asked")])),
    "it works": (
        Running(ANA, "s1"),
        LoginWorked(ANA),
        (Done(), [SaveMailbox(ANA, "s1"), WORKED, Start("card", account=ANA)]),
    ),
    "it works in another way than we thought": (
        Running(ANA, "s1"),
        LoginWorked(ON_587, repaired=True),
        (
            Done(),
            [SaveMailbox(ON_587, "s1"), WORKED, Say("mailbox.repaired"), Start("card", account=ON_587)],
        ),
    ),
    "a wrong password is erased and asked again": (
        Running(ANA, "s1", 0),
        LoginFailed("wrong_credentials", "user", retry=False),
        (AwaitingLink(ANA, 1), [EraseSecret("s1"), Say("cause.wrong_credentials"), OpenLink(ANA)]),
    ),
    "the third wrong password offers a person": (
        Running(ANA, "s1", 2),
        LoginFailed("wrong_credentials", "user", retry=False),
        (
            AwaitingLink(ANA, 3),
            [EraseSecret("s1"), Say("cause.wrong_credentials"), Say("talk.offer_person"), OpenLink(ANA)],
        ),
    ),
    "a provider that takes no passwords ends it": (
        Running(ANA, "s1"),
        LoginFailed("oauth_required_basic_auth_disabled", "user", retry=False),
        (
            Done(),
            [EraseSecret("s1"), Say("cause.oauth_required_basic_auth_disabled"), Say("talk.offer_person")],
        ),
    ),
    "a fault that passes is saved as waiting": (
        Running(ANA, "s1"),
        LoginFailed("greylisted", "wait", retry=True),
        (
            Stuck(ANA, "s1", "greylisted"),
            [SaveMailbox(ANA, "s1", "greylisted", "wait"), Say("cause.greylisted"), TRYING],
        ),
    ),
    "a fault that the administrator mends is saved as waiting": (
        Running(ANA, "s1"),
        LoginFailed("smtp_auth_disabled_tenant_or_mailbox", "agency_admin", retry=False),
        (
            Stuck(ANA, "s1", "smtp_auth_disabled_tenant_or_mailbox"),
            [
                SaveMailbox(ANA, "s1", "smtp_auth_disabled_tenant_or_mailbox", "agency_admin"),
                TellAdmins(AdminNeeded("Ana", ADDRESS, "smtp_auth_disabled_tenant_or_mailbox")),
                Say("cause.smtp_auth_disabled_tenant_or_mailbox"),
                TRYING,
            ],
        ),
    ),
    "a fault of the server's name is not saved": (
        Running(ANA, "s1"),
        LoginFailed("dns_host_not_found", "user", retry=False),
        (STUCK, [Say("cause.dns_host_not_found")]),
    ),
    "a secret that was erased meanwhile is asked again": (
        Running(ANA, "s1", 1),
        SecretGone(),
        (AwaitingLink(ANA, 1), [Say("mailbox.secret_gone"), OpenLink(ANA)]),
    ),
    "too many tests": (
        Running(ANA, "s1"),
        TestsExhausted(12),
        (Stuck(ANA, "s1", "rate_limited"), [Say("mailbox.too_many_tests", {"minutes": 12})]),
    ),
    "words while the test runs are declined": (Running(ANA, "s1"), Said("and?"), Declined()),
    "what is wrong about the certificate is said": (
        Running(ANA, "s1"),
        LoginFailed("tls_certificate_invalid", "provider", retry=False, detail="expired"),
        (Stuck(ANA, "s1", "tls_certificate_invalid"), [Say("detail.expired")]),
    ),
    "a detail without words of its own adds nothing": (
        Running(ANA, "s1"),
        LoginFailed("dns_host_not_found", "user", retry=False, detail="strange"),
        (STUCK, [Say("cause.dns_host_not_found")]),
    ),
    "a better server is offered": (
        Running(ANA, "s1"),
        LoginFailed("tls_hostname_mismatch", "user", retry=False, better=PROVED),
        (
            BETTER,
            [
                Say("cause.tls_hostname_mismatch"),
                Say("mailbox.better", {"host": Code("srv7.hoster.test"), "port": "465"}),
            ],
        ),
    ),
    "the better server needs the secret anew": (
        BETTER,
        Chose("better"),
        (AwaitingLink(replace(ANA, server=PROVED)), [EraseSecret("s1"), OpenLink(replace(ANA, server=PROVED))]),
    ),
    "there is no better server to use": (STUCK, Chose("better"), Declined()),
    "words for the administrator": (
        WAITING,
        Chose("forward"),
        (
            WAITING,
            [
                Say(
                    "forward.smtp_auth_disabled_tenant_or_mailbox",
                    {"address": Code(ADDRESS), "host": Code("mail.agency.test")},
                ),
                *in_powershell([ADDRESS]),
            ],
        ),
    ),
    "another address after all": (
        Stuck(ANA, "s1", "sender_not_allowed"),
        Chose("address"),
        (AT_ADDRESS, [EraseSecret("s1")]),
    ),
    "once more with the same secret": (STUCK, Chose("retry"), (Running(ANA, "s1", 0), TESTING)),
    "another server needs the secret anew": (STUCK, Chose("server"), (AT_HOST, [EraseSecret("s1")])),
    "a person who is stuck": (STUCK, Chose("person"), (STUCK, [OpenCase("stuck")])),
    "the end of all declines": (Done(), Said("hello"), Declined()),
}


@pytest.mark.parametrize("told", STORY)
def test_the_set_up_takes_each_step_as_told(told):
    state, event, expected = STORY[told]
    assert step(state, event, MEMBER) == expected


MANAGED = {
    "a new password": (Managing(), Chose("password"), (AwaitingLink(ANA), [OpenLink(ANA)])),
    "another address": (Managing(), Chose("change"), (AT_ADDRESS, [])),
    "an old button cannot switch on what is on": (Managing(), Chose("on"), (Managing(), [Say("talk.closed")])),
    "switched off": (Managing(), Chose("off"), (Done(), [SwitchMailbox(on=False), Say("mailbox.switched_off")])),
    "removal is asked about": (Managing(), Chose("remove"), (ConfirmingRemoval(), [])),
    "back to the menu": (Managing(), Chose("menu"), (Done(), [])),
    "something else": (Managing(), Said("hm"), Declined()),
    "removed": (ConfirmingRemoval(), Chose("yes"), (Done(), [RemoveMailbox(), Say("mailbox.removed")])),
    "kept": (ConfirmingRemoval(), Chose("no"), (Done(), [Say("mailbox.kept")])),
    "neither": (ConfirmingRemoval(), Said("hm"), Declined()),
}


@pytest.mark.parametrize("told", MANAGED)
def test_a_saved_mailbox_takes_each_step_as_told(told):
    state, event, expected = MANAGED[told]
    assert step(state, event, OWNER) == expected


def test_only_what_is_off_is_switched_on_and_only_what_works_is_switched_off():
    off, broken = (facts(mailbox=Mailbox(ANA, state)) for state in ("off", "broken"))
    switched = (Done(), [SwitchMailbox(on=True), Say("mailbox.switched_on")])
    assert step(Managing(), Chose("on"), off) == switched
    assert step(Managing(), Chose("on"), broken) == (Managing(), [Say("talk.closed")])
    assert step(Managing(), Chose("off"), broken) == (Managing(), [Say("talk.closed")])


@pytest.mark.parametrize("wish", ["password", "on", "off", "remove"])
def test_nothing_is_done_with_a_mailbox_that_was_removed_meanwhile(wish):
    begins = (AT_ADDRESS, [Say("mailbox.none_yet")])
    assert step(Managing(), Chose(wish), MEMBER) == begins
    assert step(ConfirmingRemoval(), Chose("yes"), MEMBER) == begins


@pytest.mark.parametrize("demand", ["sign_in_only", "impossible"])
def test_what_the_provider_never_allows_is_said_before_any_password(demand):
    never = replace(GMAIL, demand=demand)
    state, effects = step(Finding(ADDRESS), ServerFound(ANA), facts(provider=replace(never, hint="cannot_work")))
    assert state == AT_ADDRESS
    assert names(effects) == ["hint.cannot_work"]
    assert effects[0].values["checked"] == never.checked


def test_what_an_administrator_may_allow_is_asked_about_last():
    barred = replace(GMAIL, demand="sign_in_only", hint="oauth_only", admin_may_allow=True)
    known = facts(provider=barred)
    assert step(Finding(ADDRESS), ServerFound(ANA), known) == (Finding(ADDRESS), [Judge(ANA)])
    asked = Confirming(ANA, ("barred",))
    assert step(Finding(ADDRESS), Judged(ANA), known) == (asked, [])
    assert step(asked, Chose("yes"), known) == (AwaitingLink(ANA), [OpenLink(ANA)])


@pytest.mark.parametrize("hint", [one for one in get_args(Hint) if one not in {"password", "oauth_only"}])
def test_what_a_provider_wants_is_said_before_the_secret_is_made(hint):
    known = facts(provider=replace(GMAIL, hint=hint, until=date(2026, 12, 31)))
    state, effects = step(Finding(ADDRESS), Judged(ANA), known)
    assert state == AwaitingLink(ANA)
    assert names(effects) == [f"hint.{hint}"]
    assert effects[-1] == OpenLink(ANA)


def test_an_ordinary_password_needs_no_words_about_it():
    known = facts(provider=replace(GMAIL, demand="password", hint="password"))
    assert step(Finding(ADDRESS), Judged(ANA), known) == (AwaitingLink(ANA), [OpenLink(ANA)])


def test_facts_that_were_looked_up_long_ago_say_so():
    known = facts(provider=replace(GMAIL, hint="app_password", old=True))
    assert names(step(Finding(ADDRESS), Judged(ANA), known)[1]) == ["hint.app_password", "hint.old"]


def test_where_the_access_is_switched_on_is_told_with_its_page_or_in_words():
    with_page = replace(GMAIL, hint="switch_access_on", access_url="https://hoster.test/access")
    told = step(Finding(ADDRESS), Judged(ANA), facts(provider=with_page))[1][0]
    assert told.values["url"] == "https://hoster.test/access"
    without = step(Finding(ADDRESS), Judged(ANA), facts(provider=replace(with_page, access_url="")))[1][0]
    assert without.values["url"] == Text("hint.in_its_settings")


@pytest.mark.parametrize(
    ("worked", "said"),
    [
        ({}, []),
        ({"proof": "accepted"}, ["proof.accepted"]),
        ({"proof": "accepted", "copy": "no_imap"}, ["proof.accepted", "copy.no_imap"]),
        ({"proof": "accepted", "arrived": True, "copy": "appended"}, ["proof.arrived", "copy.appended"]),
        ({"proof": "later"}, ["proof.later"]),
        ({"proof": "unknown"}, ["proof.unknown"]),
    ],
)
def test_accepted_arrived_and_copied_are_three_facts_told_apart(worked, said):
    effects = step(Running(ANA, "s1"), LoginWorked(ANA, **worked), MEMBER)[1]
    assert names(effects) == ["mailbox.works", *said]


@pytest.mark.parametrize(("answer", "mail"), [("yes", True), ("no", False)])
def test_whether_certified_mail_is_sent_as_a_test_is_asked(answer, mail):
    certified = facts(provider=replace(GMAIL, certified=True))
    asking, effects = step(SECRET, SecretStored("s1", "l1"), certified)
    assert (asking, effects) == (AskingForMail(ANA, "s1", SECRET.tries), [])
    assert [one.value for one in ask(asking, certified).options] == ["yes", "no"]
    running, effects = step(asking, Chose(answer), certified)
    assert running == Running(ANA, "s1", SECRET.tries)
    assert effects[-1] == TestLogin(ANA, "s1", mail=mail)


def test_who_wanted_no_certified_mail_is_told_so():
    certified = facts(provider=replace(GMAIL, certified=True))
    assert "proof.none_certified" in names(step(Running(ANA, "s1"), LoginWorked(ANA), certified)[1])


def test_a_wrong_password_at_a_provider_of_app_passwords_is_the_wrong_kind_of_password():
    failed = LoginFailed("wrong_credentials", "user", retry=False)
    assert "detail.wrong_app_password" in names(step(Running(ANA, "s1"), failed, facts(provider=GMAIL))[1])


def test_a_waiting_mailbox_can_be_tested_again_at_any_time_with_the_secret_that_is_kept():
    waiting = Mailbox(ANA, "waiting", "greylisted", "s1")
    assert step(Managing(), Chose("retry"), facts(mailbox=waiting)) == (Running(ANA, "s1", 0), TESTING)
    assert _values(ask(Managing(), facts(mailbox=waiting)))[0] == "retry"
    gone = facts(mailbox=replace(waiting, secret_id=""))
    assert step(Managing(), Chose("retry"), gone) == Declined()
    assert "retry" not in _values(ask(Managing(), gone))


def test_what_can_be_done_about_a_cause_fits_under_a_message_as_buttons():
    for cause in causes():
        for better in (None, PROVED):
            steps = next_steps(cause, better)
            assert 2 <= len(steps) <= 3
            assert steps[-1] == "person"
            assert "forward" not in steps or has(f"forward.{cause}")


def test_a_mailbox_that_works_is_not_given_up_for_one_that_has_to_wait():
    failed = LoginFailed("greylisted", "wait", retry=True)
    other = replace(ANA, address="bia@agency.test")
    assert step(Running(other, "s1"), failed, OWNER) == (Stuck(other, "s1", "greylisted"), [Say("cause.greylisted")])
    saved = SaveMailbox(ANA, "s1", "greylisted", "wait")
    assert saved in step(Running(ANA, "s1"), failed, OWNER)[1]
    broken = facts(mailbox=Mailbox(ANA, "broken", "wrong_credentials"))
    assert SaveMailbox(other, "s1", "greylisted", "wait") in step(Running(other, "s1"), failed, broken)[1]


@pytest.mark.parametrize(
    ("entry", "with_one", "without"),
    [
        ("", (AT_ADDRESS, []), (AT_ADDRESS, [])),
        ("manage", (Managing(), []), (AT_ADDRESS, [Say("mailbox.none_yet")])),
        ("remove", (ConfirmingRemoval(), []), (AT_ADDRESS, [Say("mailbox.none_yet")])),
        ("password", (AwaitingLink(ANA), [OpenLink(ANA)]), (AT_ADDRESS, [Say("mailbox.none_yet")])),
    ],
)
def test_each_entry_begins_where_it_says(entry, with_one, without):
    assert start(entry, OWNER) == with_one
    assert start(entry, MEMBER) == without


# --- questions --------------------------------------------------------------------------------------------------------


def _values(answers_of):
    return [option.value for option in answers_of.options]


@pytest.mark.parametrize(
    ("state", "question", "name", "values"),
    [
        (AT_ADDRESS, "address", "mailbox.address", []),
        (AT_HOST, "host", "mailbox.host", ["unknown", "person"]),
        (AT_PORT, "port", "mailbox.port", [one.value for one in PORTS]),
        (AT_USER, "user", "mailbox.user", ["unknown", "person"]),
        (SLIP, "suggestion", "mailbox.suggestion", ["yes", "no"]),
        (Hosting(ADDRESS), "hoster", "mailbox.who_is_paid", [*(one.lower() for one in HOSTERS), "unknown", "person"]),
        (Confirming(ELSEWHERE), "server", "mailbox.confirm.server", ["yes", "no"]),
        (Confirming(ANA, ("barred",)), "barred", "mailbox.confirm.barred", ["yes", "address", "person"]),
        (Confirming(ANA, ("warn",)), "warn", "mailbox.confirm.warn", ["address", "ask_admin", "yes"]),
        (Confirming(ANA, ("strict",)), "strict", "mailbox.confirm.strict", ["address", "ask_admin", "person"]),
        (SECRET, "secret", "mailbox.secret", ["forgotten", "without", "person"]),
        (SUSPECTED, "suspected", "mailbox.was_that_it", ["yes", "no"]),
        (STUCK, "stuck", "mailbox.stuck", ["server", "retry", "person"]),
        (BETTER, "stuck", "mailbox.stuck", ["better", "server", "person"]),
        (WAITING, "stuck", "mailbox.stuck", ["forward", "retry", "person"]),
        (Managing(), "manage", "mailbox.manage", ["password", "change", "off", "remove", "menu"]),
        (ConfirmingRemoval(), "removal", "mailbox.sure_to_remove", ["yes", "no"]),
        (Finding(ADDRESS), "busy", "mailbox.busy", []),
        (AwaitingLink(ANA), "busy", "mailbox.busy", []),
        (Running(ANA, "s1"), "busy", "mailbox.busy", []),
    ],
)
def test_every_state_owns_one_question(state, question, name, values):
    asked = ask(state, OWNER)
    assert (asked.question, asked.name, _values(asked)) == (question, name, values)


def test_the_question_for_a_secret_names_its_address_its_page_and_the_domain_to_expect():
    values = {"address": Code(ADDRESS), "link": Link("l1"), "domain": Code(HOUSE.domain)}
    options = (Option("forgotten", "button.dont_know"), Option("without", "mailbox.button.without"), PERSON)
    assert ask(SECRET, MEMBER) == Ask("secret", "mailbox.secret", values, options)
    app = ask(SECRET, facts(provider=GMAIL))
    assert app == Ask("secret", "mailbox.secret_app", {**values, "provider": "Gmail"}, options)
    for hint in get_args(Hint):
        asked = ask(SECRET, facts(provider=replace(GMAIL, hint=hint)))
        assert asked.name == f"mailbox.{SECRET_KINDS.get(hint, 'secret')}"


@pytest.mark.parametrize(("state", "toggle"), [("works", ["off"]), ("off", ["on"]), ("broken", []), ("waiting", [])])
def test_only_what_works_can_be_switched_off_and_only_what_is_off_can_be_switched_on(state, toggle):
    asked = ask(Managing(), facts(mailbox=Mailbox(ANA, state)))
    assert _values(asked) == ["password", "change", *toggle, "remove", "menu"]
    assert asked.values["state"] == Text(f"mailbox.state.{state}")


def test_a_mailbox_that_was_removed_meanwhile_can_be_set_up_again():
    assert _values(ask(Managing(), MEMBER)) == ["change", "menu"]


# --- corrections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "field", "again"),
    [
        (AT_HOST, "address", AT_ADDRESS),
        (AT_PORT, "address", AT_ADDRESS),
        (AT_PORT, "host", AT_HOST),
        (AT_PORT, "port", AT_PORT),
        (AT_HOST, "host", None),
        (AT_ADDRESS, "port", None),
        (Confirming(ANA), "address", AT_ADDRESS),
        (Confirming(ANA), "host", AT_HOST),
        (Confirming(ANA), "port", AT_PORT),
        (SECRET, "address", AT_ADDRESS),
        (SECRET, "host", AT_HOST),
        (STUCK, "port", AT_PORT),
        (Running(ANA, "s1"), "address", None),
        (Managing(), "host", None),
    ],
)
def test_an_answer_that_is_called_wrong_is_asked_again_and_the_others_stay(state, field, again):
    assert reopen(state, field) == again


@pytest.mark.parametrize(
    ("state", "about"),
    [
        (AT_ADDRESS, ""),
        (AT_HOST, ADDRESS),
        (Finding(ADDRESS), ADDRESS),
        (SLIP, "ana@gmial.com"),
        (Hosting(ADDRESS), ADDRESS),
        (Confirming(ANA), ANA),
        (AwaitingLink(ANA), ANA),
        (SECRET, ANA),
        (SUSPECTED, ANA),
        (Running(ANA, "s1"), ANA),
        (STUCK, ANA),
        (Managing(), ""),
        (ConfirmingRemoval(), ""),
    ],
)
def test_a_state_knows_the_address_it_is_about(state, about):
    assert subject(state) == about


# --- parts of a server ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["465", " 587 ", "unknown"])
def test_the_usual_ports_are_taken(typed):
    assert port(typed, MEMBER) in {"465", "587"}


@pytest.mark.parametrize("typed", ["0", "25", "99999", "0000004651", "4650", "1" * 10_000])
def test_an_unusual_port_is_explained(typed):
    assert port(typed, MEMBER).name == "mailbox.port_unusual"


@pytest.mark.parametrize("typed", ["abc", "", "-465", "4.65", "٤٦٥", "465\r\n587", "👍", "x" * 10_000])
def test_what_is_no_number_is_explained(typed):
    problem = port(typed, MEMBER)
    assert (problem.name, problem.values) == ("mailbox.port_no_number", {"ports": "465 / 587"})


def test_the_ports_are_those_of_the_installation():
    sandbox = facts(house=replace(HOUSE, ports=(2465,)))
    assert port("unknown", sandbox) == port("2465", sandbox) == "2465"
    assert port("465", sandbox).values == {"ports": "2465"}


def test_a_port_typed_behind_the_host_is_left_out():
    assert host("mail.agency.test:465", MEMBER) == "mail.agency.test"


@pytest.mark.parametrize("typed", ["mail", "mail agency test", "", "👍", "-.test", "x" * 10_000])
def test_what_cannot_be_a_server_is_explained(typed):
    assert host(typed, MEMBER).name == "mailbox.no_server"
