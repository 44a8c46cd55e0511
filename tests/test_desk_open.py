"""A case that staff open: from the queue on their home, or by the operator's command; of whom, and what they hear."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from click.testing import CliRunner

import bot.__main__
from bot.cli.cases import close_case, open_case
from bot.cli.shared import CannotBe
from bot.desk_open import NAMED
from bot.store import people, tables, whom
from bot.store.engine import reading
from flows.speech import texts
from flows.words import LANGUAGES
from tests.botkit import ADDRESS, ANA, BIA, run_sql
from tests.deskkit import DESK, GREETING, RITA, SAM, DeskKit
from tests.slackkit import CARLA, TEAM
from tests.test_desk_bad_input import make_shared

EVA = "+5521999990003"
EN = texts("en")


@pytest.fixture
def kit(database_url, tmp_path):
    with DeskKit(database_url, tmp_path) as made:
        yield made


def window(kit, who=SAM, *, proven=True, language="en"):
    """Somebody opens the window of the queue; what stands in it."""
    kit.home(who)
    assert kit.slack.tap(TEAM, who, texts(language)["desk.button.open"], where="home").ok
    shown = kit.slack.shown(kit.slack.wait_for(lambda: kit.slack.modal(TEAM, who)))
    if proven:
        kit.work()  # the hand that shows the home asks Slack anew
    return shown


def opens(kit, wanted, who=SAM, *, mine=True, wait=True):
    """Somebody opens a case; what is wrong, by field."""
    window(kit, who)
    errors = kit.fills({"who": wanted, **({} if mine else {"mine": []})}, who)
    if wait:
        kit.settle()
    return errors


def audited(kit):
    return [(row.actor, row.action, row.subject) for row in kit.rows(tables.audit) if row.action == "case_open"]


# --- opening ----------------------------------------------------------------------------------------------------------


def test_a_case_that_staff_open_is_theirs_its_thread_stands_and_the_person_is_greeted(kit):
    kit.join()
    kit.say("menu")
    kit.work()
    assert "They are told only once somebody has the case" in window(kit)
    assert kit.fills({"who": ANA}) == {}
    kit.settle()
    row = kit.case()
    assert (row.reason, row.state, row.owner) == ("staff", "owned", SAM)
    assert "Case 101* (opened by staff): Ana · Agência Sol" in kit.root().text
    assert f"<@{SAM}> has it" in kit.root().text
    assert "→ menu" in "\n".join(kit.thread())
    assert f"Opened by <@{SAM}>" in kit.told()
    assert f"@{SAM}" in [one.what for one in kit.slack.mentions]
    assert kit.last().body.startswith(GREETING)
    assert audited(kit) == [(SAM, "case_open", "101")]


def test_a_case_that_nobody_takes_waits_in_the_queue_and_its_person_hears_nothing(kit):
    kit.join()
    before = kit.bodies()
    assert opens(kit, ANA, mine=False) == {}
    assert (kit.case().state, kit.case().owner, kit.case().waits_since) == ("new", "", None)
    assert "they do not know of it yet; nobody has it yet" in kit.root().text
    assert "opened by staff 02.03. 12:00" in kit.home(SAM)
    assert kit.bodies() == before
    kit.soon(hours=2)
    assert kit.bodies() == before


def test_its_person_goes_on_with_the_bot_and_is_never_told_that_it_takes_longer(kit):
    kit.join()
    opens(kit, ANA, mine=False)
    kit.say("menu")
    kit.soon(hours=3)
    assert "→ menu" in "\n".join(kit.thread())
    assert kit.last().message.buttons  # the menu
    assert kit.case().waits_since is None
    assert not any("longer than I said" in one for one in kit.bodies())


def test_three_days_later_it_is_closed_without_a_word_to_who_knew_nothing_of_it(kit):
    kit.join()
    kit.say("menu")
    opens(kit, ANA, mine=False)
    before = kit.bodies()
    kit.soon(days=3, hours=1)
    assert kit.case().end == "silent"
    assert kit.bodies() == before


@pytest.mark.parametrize("how", ["Close", "Hand back to the bot"])
def test_who_knew_nothing_of_a_case_is_not_told_that_it_is_over(kit, how):
    kit.join()
    opens(kit, ANA, mine=False)
    before = kit.bodies()
    kit.does(how)
    assert kit.case().closed_at is not None
    assert kit.bodies() == before


def test_who_was_greeted_is_told_that_it_is_over(kit):
    kit.join()
    opens(kit, ANA)
    kit.does("Close")
    assert "Your case 101 is done" in kit.last().body


def test_who_wishes_for_a_person_meanwhile_waits_from_then_on(kit):
    kit.join()
    opens(kit, ANA, mine=False)
    kit.clock.move(minutes=20)
    kit.say("person")
    kit.settle()
    row = kit.case()
    assert (row.number, row.reason, row.state) == (101, "asked", "new")
    assert row.waits_since is not None
    assert "waiting since" in kit.root().text
    assert kit.told().count("→ person") == 1
    assert kit.told().count("→ (hidden)") + kit.told().count("My invitation code") <= 1  # nothing is shown twice
    kit.soon(minutes=31)
    assert "need longer than I said" in kit.last().body


def test_whose_24_hours_are_over_is_not_greeted(kit):
    kit.join()
    kit.clock.move(hours=25)
    before = kit.bodies()
    opens(kit, ANA)
    assert (kit.case().owner, kit.held().owner) == (SAM, "person")
    assert kit.bodies() == before


def test_who_wants_no_messages_is_not_greeted(kit):
    kit.join()
    run_sql(kit.url, "update contact set stopped_at = created_at where channel = 'terminal'")
    before = kit.bodies()
    opens(kit, ANA)
    assert kit.case().owner == SAM
    assert kit.bodies() == before


def test_what_staff_write_into_it_reaches_the_person(kit):
    kit.join()
    opens(kit, ANA, mine=False)
    kit.writes("!Hello Ana, your mails go out again.")
    assert kit.heard()[-1] == "Hello Ana, your mails go out again."
    assert kit.case().owner == SAM


# --- one that is open already -----------------------------------------------------------------------------------------


def test_one_that_is_open_already_is_the_one_and_nobody_loses_it(kit):
    kit.calls()
    kit.does("Take over", who=RITA)
    assert opens(kit, ANA) == {}
    assert len(kit.rows(tables.case)) == len(kit.roots()) == 1
    assert (kit.case().owner, kit.case().reason) == (RITA, "asked")
    assert f"<@{SAM}> wanted to open a case for them: here it is" in kit.told()


def test_one_that_nobody_has_becomes_theirs(kit):
    kit.calls()
    opens(kit, ANA)
    assert kit.case().owner == SAM
    assert len(kit.roots()) == 1


def test_of_two_who_open_it_at_once_one_has_it_and_there_is_one_thread(kit):
    kit.join()
    for who in (SAM, RITA):
        window(kit, who)
        kit.slack.type_in(TEAM, who, {"who": ANA})
    with ThreadPoolExecutor(2) as both:
        assert all(answer.ok for answer in both.map(lambda who: kit.slack.submit(TEAM, who), (SAM, RITA)))
    kit.settle()
    assert len(kit.rows(tables.case)) == len(kit.roots()) == 1
    assert kit.case().owner in {SAM, RITA}
    assert kit.told().count("it was open already") == 1


def test_what_slack_brings_twice_opens_it_once(kit):
    kit.join()
    window(kit)
    kit.slack.type_in(TEAM, SAM, {"who": ANA})
    kit.slack.submit(TEAM, SAM, times=3)
    kit.settle()
    assert "open already" not in kit.told()
    assert audited(kit) == [(SAM, "case_open", "101")]


def test_an_earlier_case_that_is_closed_stays_closed(kit):
    kit.calls()
    kit.does("Close")
    opens(kit, ANA)
    assert [row.number for row in kit.rows(tables.case)] == [101, 102]
    assert len(kit.roots()) == 2


# --- who may ----------------------------------------------------------------------------------------------------------


def test_nobody_else_has_the_button(kit):
    kit.join()
    kit.home(CARLA)
    with pytest.raises(LookupError):
        kit.slack.tap(TEAM, CARLA, EN["desk.button.open"], where="home")


def test_until_slack_has_said_who_they_are_nothing_is_found_for_them(kit):
    kit.join()
    window(kit, proven=False)
    assert "Slack is being asked" in kit.fills({"who": "nobody at all"})["who"]
    kit.work()
    assert "nobody is known" in kit.fills({"who": "nobody at all"})["who"]
    assert kit.fills({"who": ANA}) == {}


def test_a_home_that_is_still_open_at_somebody_s_who_left_finds_nobody_for_them(kit):
    kit.join()
    kit.home(SAM)
    kit.slack.leave(TEAM, DESK, SAM)
    kit.clock.move(minutes=6)
    assert kit.slack.tap(TEAM, SAM, EN["desk.button.open"], where="home").ok
    kit.slack.wait_for(lambda: kit.slack.modal(TEAM, SAM))
    kit.work()
    for wanted in (ANA, "nobody at all"):
        assert "Slack is being asked" in kit.fills({"who": wanted})["who"]
        kit.settle()
    assert kit.rows(tables.case) == []
    assert EN["desk.button.open"] not in kit.slack.shown(kit.slack.home(TEAM, SAM))


def test_who_leaves_between_the_window_and_the_hand_opens_nothing(kit, capsys):
    kit.join()
    window(kit)
    kit.slack.type_in(TEAM, SAM, {"who": ANA})
    kit.slack.submit(TEAM, SAM)
    kit.slack.leave(TEAM, DESK, SAM)
    kit.clock.move(minutes=6)
    kit.settle()
    assert kit.rows(tables.case) == []
    assert "not of the team" in capsys.readouterr().out


def test_a_window_that_lay_open_for_long_asks_slack_anew(kit):
    kit.join()
    window(kit)
    kit.clock.move(minutes=16)
    assert "Slack is being asked" in kit.fills({"who": ANA})["who"]
    kit.work()
    assert kit.fills({"who": ANA}) == {}


def test_in_a_channel_that_is_shared_nobody_opens_anything(kit):
    kit.join()
    kit.home(SAM)
    make_shared(kit)
    kit.clock.move(minutes=6)
    kit.slack.tap(TEAM, SAM, EN["desk.button.open"], where="home")
    kit.slack.wait_for(lambda: kit.slack.modal(TEAM, SAM))
    kit.work()
    assert "Slack is being asked" in kit.fills({"who": ANA})["who"]
    assert kit.rows(tables.case) == []


def test_the_button_means_nothing_below_a_message(kit):
    kit.calls()
    channel = kit.slack._world.workspaces[TEAM].channels[DESK]
    button = {"type": "button", "action_id": "desk:open:0", "value": "desk:open:0",
              "text": {"type": "plain_text", "text": "Odd"}}  # fmt: skip
    channel.messages[kit.root().ts].blocks = [{"type": "actions", "elements": [button]}]
    kit.taps("Odd")
    assert kit.slack.modal(TEAM, SAM) is None


# --- whom -------------------------------------------------------------------------------------------------------------


def three(kit):
    """Ana and Ana Paula of Agência Sol, and José who belongs to none."""
    kit.mailbox()
    kit.say(f"My invitation code is {kit.invite()}", BIA, name="Ana Paula")
    kit.say("hi", EVA, name="José da Conceição")
    kit.work()


@pytest.mark.parametrize(
    ("wanted", "address"),
    [
        (ANA, ANA), ("+55 (11) 99999-0001", ANA), ("5511999990001", ANA), ("99990001", ANA), (f" {ANA} ", ANA),
        (ADDRESS, ANA), (ADDRESS.upper(), ANA), ("ana", ANA), ("Ana Paula", BIA), ("paula", BIA),
        ("jose da conceicao", EVA), ("CONCEIÇÃO", EVA), ("josé", EVA), ("0003", EVA),
    ],
)  # fmt: skip
def test_one_is_found_by_number_its_end_mail_address_or_name(kit, wanted, address):
    three(kit)
    with reading(kit.engine) as db:
        assert [row.address for row in whom.look_for(db, wanted, 5)] == [address]


@pytest.mark.parametrize(
    "wanted", ["", " ", "x", "999", "%", "_", "\\", "ana@", "nobody@agency.test", "00000000", "'", "٣٣٣٣", "9" * 300]
)
def test_what_says_nothing_finds_nobody(kit, wanted):
    three(kit)
    with reading(kit.engine) as db:
        assert whom.look_for(db, wanted, 5) == []


def test_by_our_own_id_and_by_a_user_of_slack_s_too(kit):
    kit.join()
    kit.home(CARLA)
    with reading(kit.engine) as db:
        (known,) = people.find_contact(db, ANA)
        assert [row.id for row in whom.look_for(db, str(known.id), 5)] == [known.id]
        assert [row.address for row in whom.look_for(db, CARLA, 5)] == [f"{TEAM}.{CARLA}"]


def test_who_is_gone_is_not_found(kit):
    kit.join()
    run_sql(kit.url, "update contact set gone_at = created_at where channel = 'terminal'")
    assert "nobody is known" in opens(kit, ANA)["who"]


def test_nobody_found_and_nothing_written_are_told_at_the_field(kit):
    three(kit)
    window(kit)
    assert kit.fills({"who": "Zacarias"}) == {"who": EN["desk.why.nobody"]}
    assert kit.fills({"who": "   "}) == {"who": EN["desk.why.empty_field"]}
    assert kit.rows(tables.case) == []


def test_several_are_named_with_agency_and_last_digits_so_that_one_can_write_the_number(kit):
    three(kit)
    run_sql(kit.url, "update contact set name = 'Ana' where channel = 'terminal'")
    window(kit)
    told = kit.fills({"who": "Ana"})["who"]
    assert "Ana · Agência Sol · …0002; Ana · Agência Sol · …0001; Ana · …0003" in told
    assert kit.rows(tables.case) == []
    assert kit.fills({"who": "0002"}) == {}
    kit.settle()
    assert kit.case().conversation_id == kit.held(BIA).id


def test_of_very_many_the_first_ones_are_named(kit):
    for number in range(NAMED + 2):
        kit.say("hi", f"+5511988880{number:03}", name="Maria")
    kit.work()
    told = opens(kit, "maria")["who"]
    assert told.count("Maria") == NAMED
    assert "…; " in f"{told}; " or "; …" in told


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_wrong_is_told_in_the_team_s_language(kit, language):
    kit.claim(language=language)
    run_sql(kit.url, f"update agency set language = '{language}'")
    run_sql(kit.url, f"update contact set language = '{language}'")
    kit.home(SAM)
    run_sql(kit.url, f"update contact set language = '{language}'")
    assert texts(language)["desk.window.who"] in window(kit, language=language)
    assert kit.fills({"who": "Zacarias"}) == {"who": texts(language)["desk.why.nobody"]}


# --- the operator's command -------------------------------------------------------------------------------------------


def test_the_operator_opens_one_by_the_command_and_it_is_the_one_that_is_open(kit):
    kit.join()
    told = open_case(kit.parts, ANA)
    assert told == {"number": 101, "new": True, "state": "new", "owner": "", "reason": "staff", "name": "Ana",
                    "agency": "Agência Sol"}  # fmt: skip
    kit.settle()
    assert "Opened by the operator" in kit.told()
    assert open_case(kit.parts, "Ana")["new"] is False
    assert [row[0] for row in audited(kit)] == ["operator", "operator"]
    assert len(kit.rows(tables.case)) == 1


def test_the_operator_is_told_in_one_plain_sentence_who_is_meant_or_that_nobody_is(kit):
    three(kit)
    run_sql(kit.url, "update contact set name = 'Ana'")
    with pytest.raises(CannotBe, match="Several people are known as Ana: Ana · Agência Sol · …0002; "):
        open_case(kit.parts, "Ana")
    with pytest.raises(CannotBe, match="no contact known as Zacarias"):
        open_case(kit.parts, "Zacarias")


def test_the_operator_closes_it_without_a_word_to_who_knew_nothing_of_it(kit):
    kit.join()
    before = kit.bodies()
    open_case(kit.parts, ANA)
    close_case(kit.parts, 101)
    kit.settle()
    assert kit.bodies() == before


def test_the_command_line_answers_in_json(kit, monkeypatch, tmp_path):
    kit.join()
    for name, value in (("DATABASE_URL", kit.url), ("DATA_DIR", str(tmp_path)), ("SUPPORT_TEAM", TEAM)):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("bot.cli.shared.joined", lambda: Joined(kit))
    answer = CliRunner().invoke(bot.__main__.main, ["case", "open", ANA, "--json"])
    assert answer.exit_code == 0
    assert json.loads(answer.stdout.splitlines()[-1])["number"] == 101


class Joined:
    """The kit's parts, as the command line has them."""

    def __init__(self, kit):
        self.kit = kit

    def __enter__(self):
        return self.kit.parts

    def __exit__(self, *_):
        """They are the kit's."""
