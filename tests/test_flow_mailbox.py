"""The set-up of a mailbox, step by step: when this, and that happens, then so."""

from dataclasses import replace

import pytest

from flows.facts import Mailbox
from flows.mailbox import (
    PERSON,
    PORTS,
    AwaitingLink,
    AwaitingSecret,
    Collecting,
    Confirming,
    ConfirmingRemoval,
    ConfirmingSecret,
    Finding,
    Managing,
    Stuck,
    ask,
    host,
    port,
    reopen,
    start,
    step,
    subject,
)
from flows.mailbox import Testing as Running  # pytest takes a class called Test... for a test
from flows.words import (
    AddressRefused,
    Ask,
    Chose,
    Code,
    Declined,
    Discover,
    Done,
    EraseAtProvider,
    EraseSecret,
    Link,
    LinkOpened,
    LinkRefused,
    LoginFailed,
    LoginWorked,
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
    SwitchMailbox,
    TestLogin,
    TestsExhausted,
    Text,
)
from tests.flowkit import ADDRESS, ANA, ELSEWHERE, GMAIL, HOUSE, WORKS, facts

MEMBER = facts()
OWNER = facts(mailbox=WORKS)
TESTING = [Say("mailbox.testing", {"address": Code(ADDRESS)}), TestLogin(ANA, "s1")]
TYPED = Say("mailbox.typed_here")
AT_ADDRESS = Collecting({}, "address")
AT_HOST = Collecting({"address": ADDRESS}, "host")
AT_PORT = Collecting({"address": ADDRESS, "host": "mail.agency.test"}, "port")
SECRET = AwaitingSecret(ANA, "l1", 1)
SUSPECTED = ConfirmingSecret(ANA, "l1", "s1", 1)
STUCK = Stuck(ANA, "s1", "dns_host_not_found")
ON_587 = replace(ANA, server=Server("mail.agency.test", 587, "starttls"))

STORY = {
    "an address is looked up": (AT_ADDRESS, Said(f" {ADDRESS} "), (Finding(ADDRESS), [Discover(ADDRESS)])),
    "no address is explained": (AT_ADDRESS, Said("ana"), Declined("mailbox.no_address")),
    "a picture is no address": (AT_ADDRESS, Shared("image"), Declined()),
    "a found server leads to the link": (Finding(ADDRESS), ServerFound(ANA), (AwaitingLink(ANA), [OpenLink(ANA)])),
    "a strange server has to be confirmed": (
        Finding(ADDRESS),
        ServerFound(ELSEWHERE, confirm=True),
        (Confirming(ELSEWHERE), []),
    ),
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
    "who does not know the server gets words to forward": (
        AT_HOST,
        Chose("unknown"),
        (AT_HOST, [Say("mailbox.ask_around", {"address": Code(ADDRESS)})]),
    ),
    "a person at the server question": (AT_HOST, Chose("person"), (AT_HOST, [OpenCase("stuck")])),
    "a host leads to its port": (AT_HOST, Said("mail.agency.test"), (AT_PORT, [])),
    "an address instead of a host is explained": (
        AT_HOST,
        Said(ADDRESS),
        Declined("mailbox.address_instead_of_server"),
    ),
    "a port under the address's domain leads to the link": (
        AT_PORT,
        Chose("465"),
        (AwaitingLink(ANA), [OpenLink(ANA)]),
    ),
    "587 begins in plain and demands STARTTLS": (
        AT_PORT,
        Said("587"),
        (AwaitingLink(ON_587), [OpenLink(ON_587)]),
    ),
    "a port elsewhere has to be confirmed": (
        Collecting({"address": ADDRESS, "host": "smtp.hoster.test"}, "port"),
        Chose("unknown"),
        (Confirming(ELSEWHERE), []),
    ),
    "a lookalike of the domain has to be confirmed": (
        Collecting({"address": ADDRESS, "host": "notagency.test"}, "port"),
        Chose("465"),
        (Confirming(replace(ANA, server=Server("notagency.test", 465, "tls"))), []),
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
    "the password is forgotten": (SECRET, Chose("forgotten"), (SECRET, [Say("mailbox.forgotten")])),
    "a person instead of the secret": (SECRET, Chose("person"), (SECRET, [OpenCase("asked")])),
    "it works": (
        Running(ANA, "s1"),
        LoginWorked(ANA),
        (Done(), [SaveMailbox(ANA, "s1"), Say("mailbox.works", {"address": Code(ADDRESS)})]),
    ),
    "it works in another way than we thought": (
        Running(ANA, "s1"),
        LoginWorked(ON_587, repaired=True),
        (
            Done(),
            [SaveMailbox(ON_587, "s1"), Say("mailbox.repaired"), Say("mailbox.works", {"address": Code(ADDRESS)})],
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
            [SaveMailbox(ANA, "s1", "greylisted", "wait"), Say("cause.greylisted")],
        ),
    ),
    "a fault that the administrator mends is saved as waiting": (
        Running(ANA, "s1"),
        LoginFailed("smtp_auth_disabled_tenant_or_mailbox", "agency_admin", retry=False),
        (
            Stuck(ANA, "s1", "smtp_auth_disabled_tenant_or_mailbox"),
            [
                SaveMailbox(ANA, "s1", "smtp_auth_disabled_tenant_or_mailbox", "agency_admin"),
                Say("cause.smtp_auth_disabled_tenant_or_mailbox"),
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
    state, effects = step(Finding(ADDRESS), ServerFound(ANA), facts(provider=never))
    values = {"provider": "Gmail", "address": Code(ADDRESS), "checked": never.checked}
    assert (state, effects) == (AT_ADDRESS, [Say(f"mailbox.demand.{demand}", values)])


def test_a_provider_that_takes_app_passwords_leads_to_the_link():
    assert step(Finding(ADDRESS), ServerFound(ANA), facts(provider=GMAIL)) == (AwaitingLink(ANA), [OpenLink(ANA)])


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
        (Confirming(ELSEWHERE), "server", "mailbox.confirm_server", ["yes", "no"]),
        (SECRET, "secret", "mailbox.secret", ["new_link", "forgotten", "person"]),
        (SUSPECTED, "suspected", "mailbox.was_that_it", ["yes", "no"]),
        (STUCK, "stuck", "mailbox.stuck", ["retry", "server", "person"]),
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
    options = (Option("new_link", "mailbox.button.new_link"), Option("forgotten", "button.dont_know"), PERSON)
    assert ask(SECRET, MEMBER) == Ask("secret", "mailbox.secret", values, options)
    app = ask(SECRET, facts(provider=GMAIL))
    assert app == Ask("secret", "mailbox.secret_app", {**values, "provider": "Gmail"}, options)
    assert ask(SECRET, facts(provider=replace(GMAIL, demand="password"))).name == "mailbox.secret"


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
        (Confirming(ANA), ADDRESS),
        (AwaitingLink(ANA), ADDRESS),
        (SECRET, ADDRESS),
        (SUSPECTED, ADDRESS),
        (Running(ANA, "s1"), ADDRESS),
        (STUCK, ADDRESS),
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
