"""The agency's server: from an address to a server that answered, was confirmed, and holds for all."""

from dataclasses import replace

import pytest

from flows.facts import Teammate
from flows.integrate import (
    Checking,
    Collecting,
    Confirming,
    Finding,
    Managing,
    Preparing,
    Silent,
    ask,
    reopen,
    start,
    step,
    subject,
)
from flows.powershell import switching_on
from flows.remedies import SWITCHED_OFF, in_powershell
from flows.sign_in import AwaitingSignIn
from flows.words import (
    Account,
    AddressDoubted,
    AddressRefused,
    CheckServer,
    Chose,
    Code,
    Declined,
    Discover,
    Done,
    OpenCase,
    Said,
    Say,
    SeeTeam,
    Server,
    ServerAnswered,
    ServerFound,
    ServerSilent,
    ServerUnknown,
    ServerWeighed,
    SetAgencyServer,
    Start,
    TeamSeen,
    TestsExhausted,
    Text,
    WeighServer,
)
from tests.flowkit import ADDRESS, ANA, MICROSOFT, OUTLOOK, WORKS, Player, asked_for_the_secret, facts, member

SERVER = ANA.server
OTHER = Server("smtp.agency.test", 587, "starttls")
ADMIN = facts(role="admin", agency_server=SERVER)
AT_ADDRESS = Collecting({}, "address")
AT_HOST = Collecting({"address": ADDRESS}, "host")
AT_PORT = Collecting({"address": ADDRESS, "host": "mail.agency.test"}, "port")
CHECKING = Checking(ADDRESS, SERVER)
SHOWN = {"host": Code("mail.agency.test"), "port": Code("465")}
CHECKED = (CHECKING, [CheckServer(SERVER)])

STORY = {
    "another server begins with an address": (Managing(), Chose("change"), (AT_ADDRESS, [])),
    "no server for all": (Managing(), Chose("none"), (Done(), [SetAgencyServer(None), Say("integrate.removed")])),
    "back to the menu": (Managing(), Chose("menu"), (Done(), [])),
    "words are declined": (Managing(), Said("hm"), Declined()),
    "an address is looked up": (AT_ADDRESS, Said(ADDRESS), (Finding(ADDRESS), [Discover(ADDRESS, sure=True)])),
    "no address is explained": (AT_ADDRESS, Said("ana"), Declined("mailbox.no_address")),
    "a person instead of a server's name": (AT_HOST, Chose("person"), (AT_HOST, [OpenCase("stuck")])),
    "who does not know the server gets words to forward": (
        AT_HOST,
        Chose("unknown"),
        (AT_HOST, [Say("mailbox.ask_around", {"address": Code(ADDRESS)})]),
    ),
    "a server's name leads to its number": (AT_HOST, Said("mail.agency.test"), (AT_PORT, [])),
    "its number leads to the check": (AT_PORT, Said("465"), CHECKED),
    "a found server is checked": (Finding(ADDRESS), ServerFound(ANA), CHECKED),
    "a provider without a server is told": (
        Finding(ADDRESS),
        ServerFound(Account(ADDRESS, ADDRESS, Server("", 0, "tls"))),
        (AT_ADDRESS, [Say("integrate.no_server", {"address": Code(ADDRESS)})]),
    ),
    "nothing was found": (Finding(ADDRESS), ServerUnknown(ADDRESS), (AT_HOST, [])),
    "it could not be looked up": (
        Finding(ADDRESS),
        ServerUnknown("", later=True),
        (AT_HOST, [Say("mailbox.lookup_failed")]),
    ),
    "a doubt is settled by ourselves": (
        Finding(ADDRESS),
        AddressDoubted(ADDRESS, "ana@agency.example"),
        (Finding(ADDRESS), [Discover(ADDRESS, sure=True)]),
    ),
    "an address that is none": (Finding(ADDRESS), AddressRefused(), (AT_ADDRESS, [Say("mailbox.no_address")])),
    "a domain that does not exist": (
        Finding(ADDRESS),
        AddressRefused("no_domain"),
        (AT_ADDRESS, [Say("mailbox.refused.no_domain", {"address": Code(ADDRESS)})]),
    ),
    "words while we look": (Finding(ADDRESS), Said("and?"), Declined()),
    "a server that answered is weighed": (CHECKING, ServerAnswered(OTHER), (CHECKING, [WeighServer(OTHER)])),
    "then it is confirmed": (CHECKING, ServerWeighed(OTHER, 3), (Confirming(OTHER, 3), [])),
    "a server that did not answer": (
        CHECKING,
        ServerSilent("connection_refused"),
        (Silent(ADDRESS, SERVER), [Say("cause.connection_refused")]),
    ),
    "a better one is offered": (
        CHECKING,
        ServerSilent("tls_certificate_invalid", "expired", OTHER),
        (
            Silent(ADDRESS, SERVER, OTHER),
            [
                Say("detail.expired"),
                Say("integrate.better", {"host": Code("smtp.agency.test"), "port": Code("587")}),
            ],
        ),
    ),
    "too many checks": (
        CHECKING,
        TestsExhausted(9),
        (Silent(ADDRESS, SERVER), [Say("mailbox.too_many_tests", {"minutes": 9})]),
    ),
    "words while we check": (CHECKING, Said("and?"), Declined()),
    "once more": (Silent(ADDRESS, SERVER), Chose("retry"), CHECKED),
    "the better one": (Silent(ADDRESS, OTHER, SERVER), Chose("better"), CHECKED),
    "there is no better one": (Silent(ADDRESS, OTHER), Chose("better"), Declined()),
    "another server's name": (Silent(ADDRESS, SERVER), Chose("server"), (AT_HOST, [])),
    "yes, for all": (
        Confirming(SERVER, 3),
        Chose("yes"),
        (Done(), [SetAgencyServer(SERVER), Say("integrate.set", SHOWN)]),
    ),
    "no, not for all": (Confirming(SERVER), Chose("no"), (Done(), [Say("integrate.kept")])),
    "a person instead of a yes": (Confirming(SERVER), Chose("person"), (Confirming(SERVER), [OpenCase("stuck")])),
}


@pytest.mark.parametrize("told", STORY)
def test_the_agencys_server_takes_each_step_as_told(told):
    state, event, expected = STORY[told]
    assert step(state, event, ADMIN) == expected


def test_only_an_admin_begins():
    assert start("", facts()) == (Done(), [Say("integrate.only_admins")])
    assert start("", ADMIN) == (Managing(), [])


def test_an_admin_of_an_agency_without_a_server_goes_straight_to_their_own_mailbox():
    assert start("", facts(role="admin")) == (Done(), [Say("integrate.by_your_own"), Start("mailbox")])
    assert start("", facts(role="admin", mailbox=WORKS)) == CHECKED


@pytest.mark.parametrize(
    ("state", "question", "name", "values"),
    [
        (Managing(), "manage", "integrate.manage", ["change", "none", "menu"]),
        (AT_ADDRESS, "address", "integrate.address", []),
        (AT_HOST, "host", "integrate.host", ["unknown", "person"]),
        (AT_PORT, "port", "integrate.port", ["465", "587", "unknown"]),
        (Silent(ADDRESS, SERVER), "silent", "integrate.silent", ["server", "retry", "person"]),
        (Silent(ADDRESS, SERVER, OTHER), "silent", "integrate.silent", ["better", "server", "person"]),
        (Confirming(SERVER), "confirm", "integrate.confirm", ["yes", "no", "person"]),
        (Confirming(SERVER, 2), "confirm", "integrate.confirm_touching", ["yes", "no", "person"]),
        (Finding(ADDRESS), "busy", "mailbox.busy", []),
        (CHECKING, "busy", "mailbox.busy", []),
    ],
)
def test_every_state_owns_one_question(state, question, name, values):
    asked = ask(state, ADMIN)
    assert (asked.question, asked.name, [one.value for one in asked.options]) == (question, name, values)


def test_a_server_that_was_removed_meanwhile_can_be_set_again():
    asked = ask(Managing(), facts(role="admin"))
    assert (asked.name, [one.value for one in asked.options]) == ("integrate.none", ["change", "menu"])


@pytest.mark.parametrize(
    ("state", "field", "expected"),
    [
        (AT_PORT, "host", AT_HOST),
        (AT_PORT, "port", AT_PORT),
        (AT_PORT, "address", AT_ADDRESS),
        (Silent(ADDRESS, SERVER), "host", AT_HOST),
        (Confirming(SERVER), "address", AT_ADDRESS),
        (AT_HOST, "host", None),
        (Managing(), "address", None),
        (Confirming(SERVER), "host", None),
    ],
)
def test_an_answer_can_be_given_again(state, field, expected):
    assert reopen(state, field) == expected


@pytest.mark.parametrize(
    ("state", "about"),
    [(AT_HOST, ADDRESS), (Finding(ADDRESS), ADDRESS), (CHECKING, ADDRESS), (Managing(), ""), (AT_ADDRESS, "")],
)
def test_a_state_knows_the_address_it_is_about(state, about):
    assert subject(state) == about


def test_the_first_admins_mailbox_that_works_makes_the_agencys_server():
    player = asked_for_the_secret(role="admin")
    player.fill_page()
    assert SetAgencyServer(SERVER) in player.effects
    second = asked_for_the_secret(role="admin", agency_server=OTHER)
    second.fill_page()
    assert not any(isinstance(effect, SetAgencyServer) for effect in second.effects)


def test_an_admin_finds_it_in_the_menu_and_a_member_does_not():
    assert "integrate" in [button.id.partition(":")[2] for button in member(role="admin").last.buttons]
    assert "integrate" not in [button.id.partition(":")[2] for button in member().last.buttons]


def test_the_whole_way_of_a_change():
    player = member(role="admin", agency_server=OTHER)
    player.tap("integrate")
    player.tap("change")
    assert "465" in player.write(ADDRESS).split("\n---\n")[-1]
    assert "mail.agency.test" in player.tap("yes")
    assert player.known.agency_server == SERVER


# --- what has to be done at Microsoft 365 first -----------------------------------------------------------------------

BY_MICROSOFT = facts(role="admin", provider=MICROSOFT)
PREPARING = Preparing(ANA)


def lines_for(*addresses):
    return [Say("admin.switch_on", {"line": Code(switching_on(addresses)[0])}), *in_powershell(addresses)[1:]]


def test_the_first_admin_at_microsoft_reads_the_three_steps_before_anything_is_tested():
    player = Player(known=facts(role="admin"), providers={"agency.test": MICROSOFT})
    player.write("hi")
    player.tap("setup")
    said = player.write(ADDRESS)
    assert player.envelope.state == PREPARING
    assert MICROSOFT.consent_url in said
    assert said.index("1.") < said.index("2.") < said.index("3.")
    assert f"Set-CASMailbox -Identity '{ADDRESS}'" in player.tap("lines")
    player.tap("mine")
    assert isinstance(player.envelope.state, AwaitingSignIn)
    player.sign_in()
    assert player.known.mailbox.state == "works"
    assert player.known.agency_server == SERVER


@pytest.mark.parametrize(
    ("state", "event", "expected"),
    [
        (PREPARING, Chose("mine"), (Done(), [Start("mailbox", "sign_in.microsoft", ANA)])),
        (PREPARING, Chose("lines"), (PREPARING, lines_for(ADDRESS))),
        (PREPARING, Chose("person"), (PREPARING, [OpenCase("stuck")])),
        (PREPARING, TeamSeen(), (PREPARING, [])),
        (PREPARING, Said("hm"), Declined()),
        (Managing(), Chose("steps"), Declined()),
    ],
)
def test_the_steps_are_taken_as_told(state, event, expected):
    assert step(state, event, BY_MICROSOFT) == expected


def test_the_lines_are_for_exactly_those_who_send():
    team = (
        Teammate("m1", "Bia", "member", "bia@agency.test", "works"),
        Teammate("m2", "Caio", "member"),
        Teammate("m3", "Davi", "member", "davi@gmail.com", "works"),
        Teammate("m4", "Eva", "member", "eva@other.test", "waiting", SWITCHED_OFF),
    )
    said = step(PREPARING, Chose("lines"), replace(BY_MICROSOFT, team=team))[1]
    assert said == in_powershell([ADDRESS, "bia@agency.test", "eva@other.test"])


def test_the_steps_are_found_again_where_the_server_is_managed():
    known = replace(BY_MICROSOFT, agency_server=SERVER, mailbox=WORKS)
    assert "steps" in [one.value for one in ask(Managing(), known).options]
    assert step(Managing(), Chose("steps"), known) == (PREPARING, [SeeTeam()])
    for other in (replace(known, mailbox=None), replace(known, provider=OUTLOOK), replace(known, provider=None)):
        assert "steps" not in [one.value for one in ask(Managing(), other).options]


def test_the_steps_are_begun_with_an_account():
    assert start("steps", replace(BY_MICROSOFT, about=ANA)) == (PREPARING, [SeeTeam()])
    assert start("steps", BY_MICROSOFT) == (Done(), [Say("integrate.by_your_own"), Start("mailbox")])
    assert start("steps", facts(about=ANA)) == (Done(), [Say("integrate.only_admins")])


def test_without_a_page_to_approve_it_the_steps_say_where_that_is_done():
    assert ask(PREPARING, BY_MICROSOFT).values["url"] == MICROSOFT.consent_url
    assert ask(PREPARING, facts(role="admin")).values["url"] == Text("admin.in_entra")
    assert subject(PREPARING) == ANA
    assert reopen(PREPARING, "address") == AT_ADDRESS


def test_a_member_and_a_second_admin_sign_in_at_once():
    for known in (facts(), facts(role="admin", agency_server=SERVER)):
        player = Player(known=known, providers={"agency.test": MICROSOFT})
        player.write("hi")
        player.tap("setup")
        player.write(ADDRESS)
        assert isinstance(player.envelope.state, AwaitingSignIn)
