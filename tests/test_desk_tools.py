"""What the team can do for the person of a case: say, look at, fill in, decide - each by a tap or a window."""

from contextlib import ExitStack

import pytest
import trustme

import bot.proofs
from bot.store import tables
from bot.vault import Secret
from tests.botkit import ADDRESS, PASSWORD, table_of_providers
from tests.deskkit import RITA, SAM, DeskKit
from tests.faulty_imap import FaultyIMAP
from tests.faulty_smtp import QUICK, FaultySMTP, client_context, loopback_network, server_context
from tests.slackkit import TEAM

WRONG = "535 5.7.8 Error: authentication failed"
EVA = "+5521999990003"


@pytest.fixture
def kit(database_url, tmp_path):
    with DeskKit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as made:
        yield made


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def at(database_url, tmp_path, authority, monkeypatch):
    """Makes a kit whose mail server is a scripted one: `at(auth=WRONG)`. Its IMAP server does the right thing."""
    monkeypatch.setattr(bot.proofs, "SOON", (0.0,))
    context = server_context(authority, "localhost")
    with ExitStack() as stack:

        def make(**replies):
            imap = stack.enter_context(FaultyIMAP(context))
            server = stack.enter_context(FaultySMTP(context, **replies))
            table = table_of_providers(tmp_path, server.port, imap.port)
            made = stack.enter_context(DeskKit(database_url, tmp_path, providers=table))
            made.network(loopback_network(client_context(authority), server.port, imap.port, timeouts=QUICK))
            made.server = server
            return made

        yield make


def audited(kit):
    return [(row.actor, row.action, row.subject) for row in kit.rows(tables.audit)]


# --- said by a button -------------------------------------------------------------------------------------------------


def test_what_is_sent_by_the_button_stands_in_the_thread_and_reaches_the_person(kit):
    kit.asks_for_a_person()
    assert "They read English" in kit.opens("Send")
    assert "24 hours end: 03.03. 12:00" in kit.slack.shown(kit.slack.modal(TEAM, SAM))
    assert kit.fills({"text": "Hello Ana,\nis 2 < 3?"}) == {}
    kit.settle()
    assert kit.last().body == "Hello Ana,\nis 2 < 3?"
    assert "Said by" in kit.told()
    assert f"<@{SAM}> has it" in kit.root().text
    assert (SAM, "case_send", "101") in audited(kit)


def test_what_is_sent_by_the_button_can_be_taken_back_for_five_seconds_after_it_is_seen(kit):
    kit.asks_for_a_person()
    kit.opens("Send")
    kit.fills({"text": "oops, wrong window"})
    kit.work()
    assert "To be sent by" in kit.told()
    kit.does("Take back")
    assert "oops" not in "".join(kit.bodies())
    assert "Taken back by" in kit.told()
    assert "To be sent by" not in kit.told()


def test_what_has_left_cannot_be_taken_back(kit):
    kit.asks_for_a_person()
    kit.opens("Send")
    kit.fills({"text": "Hello"})
    kit.settle()
    with pytest.raises(LookupError):
        kit.taps("Take back")


def test_nothing_is_sent_where_whatsapp_lets_nobody_write(kit):
    kit.asks_for_a_person()
    kit.opens("Send")
    kit.clock.move(hours=25)
    assert "24 hours on WhatsApp are over" in kit.fills({"text": "Hello"})["text"]


def test_a_password_is_not_sent_by_the_button_either(kit):
    kit.asks_for_a_person()
    kit.opens("Send")
    assert "looks like a password" in kit.fills({"text": "your password: girafa-azul7"})["text"]


def test_a_window_of_a_closed_case_does_nothing(kit):
    kit.asks_for_a_person()
    kit.opens("Send")
    kit.does("Close")
    assert kit.fills({"text": "Hello"}) == {"text": "this case is closed"}
    kit.settle()
    assert "Hello" not in kit.bodies()


def test_a_line_that_slack_could_not_show_reaches_the_person_within_half_a_minute(kit):
    kit.asks_for_a_person()
    kit.opens("Send")
    kit.slack.fail("chat.postMessage", "503", times=40)
    kit.fills({"text": "Hello"})
    kit.settle()
    assert kit.last().body != "Hello"
    kit.clock.move(seconds=30)
    kit.work()
    assert kit.last().body == "Hello"


def test_a_line_whose_posting_nobody_confirmed_stands_in_the_thread_once(kit):
    kit.asks_for_a_person()
    kit.opens("Send")
    kit.slack.fail("chat.postMessage", "drop_after", times=1)
    kit.fills({"text": "Good evening"})
    kit.settle()
    kit.clock.move(minutes=1)  # whoever posted it counts as dead: it is looked for
    kit.settle()
    assert kit.told().count("Good evening") == 1
    assert kit.bodies().count("Good evening") == 1


# --- in two languages -------------------------------------------------------------------------------------------------


def test_a_ready_reply_is_chosen_in_one_language_and_said_in_the_other(kit):
    kit.join(language="pt")
    kit.say("pessoa")
    kit.settle()
    assert "They read Portuguese, you read English." in kit.opens("Ready reply")
    kit.fills(
        {"reply": "Pictures tell me little here. Please copy the error to me in its exact words, or t…"[:74] + "…"}
    )
    kit.settle()
    assert kit.last().body.startswith("Uma imagem me diz pouco aqui.")
    assert "Uma imagem me diz pouco" in kit.told()
    assert "Pictures tell me little" in kit.told()
    assert (SAM, "case_canned", "101") in audited(kit)


def test_an_article_is_chosen_by_its_title_and_said_in_the_person_s_language(kit):
    kit.join(language="es")
    kit.say("persona")
    kit.settle()
    kit.opens("Article of the guide")
    kit.fills({"topic": "two_step_verification"})
    kit.settle()
    assert "Déjala activada" in kit.last().body
    assert "In your language:" in kit.told()


# --- looked at --------------------------------------------------------------------------------------------------------


def test_the_facts_of_the_provider_are_for_the_team_only(kit):
    kit.mailbox()
    kit.say("person")
    kit.settle()
    before = len(kit.bodies())
    kit.does("What their provider wants")
    assert "Testers" in kit.told()
    assert "localhost" in kit.told()
    assert "normal password" in kit.told()
    assert len(kit.bodies()) == before
    assert (SAM, "case_facts", "101") in audited(kit)


def test_facts_of_somebody_without_an_address_say_so(kit):
    kit.asks_for_a_person()
    kit.does("What their provider wants")
    assert "have not told an e-mail address" in kit.told()


def test_without_a_failed_test_there_is_no_error_to_explain(kit):
    kit.asks_for_a_person()
    kit.does("Explain the last error")
    assert "No live test has failed" in kit.told()


# --- a new link, an answer --------------------------------------------------------------------------------------------


def test_a_new_link_leaves_as_a_line_and_its_address_stands_nowhere_else(kit):
    old = kit.awaiting()
    kit.say("person")
    kit.settle()
    kit.does("New one-time link")
    assert "Here is a new link for ana@agency.test" in kit.last().body
    token = kit.token()
    assert token != old
    assert token not in kit.told()
    assert token not in kit.dump()
    assert [row.closed_at is None for row in kit.rows(tables.link)].count(True) == 1
    assert (SAM, "case_link", "101") in audited(kit)


def test_a_new_link_takes_the_secret_and_the_test_begins(kit):
    kit.awaiting()
    kit.say("person")
    kit.settle()
    kit.does("New one-time link")
    assert kit.parts.links.submit(kit.token(), Secret(PASSWORD), "127.0.0.1") == "taken"
    assert kit.promised("TestLogin")


def test_without_an_address_there_is_no_link(kit):
    kit.asks_for_a_person()
    kit.does("New one-time link")
    assert "No link could be made" in kit.told()


def test_an_answer_is_filled_in_as_if_the_person_had_typed_it(kit):
    kit.asks_for_a_person()
    kit.opens("Fill in for them")
    assert kit.fills({"address": ADDRESS}) == {}
    kit.settle()
    assert kit.envelope().state.account.address == ADDRESS
    assert "E-mail address: ana@agency.test" in kit.told()
    assert kit.last().body.startswith("A person is here for you now")
    assert (SAM, "case_answer", "101") in audited(kit)


def test_an_answer_that_does_not_fit_changes_nothing(kit):
    kit.asks_for_a_person()
    before = kit.envelope()
    kit.opens("Fill in for them")
    assert "complete e-mail address" in kit.fills({"address": "ana"})["address"]
    assert kit.envelope() == before
    assert kit.held().owner == "bot"
    assert kit.fills({"address": "minha senha: girafa-azul7"})["address"].startswith("it looks like a password")


def test_the_server_can_be_filled_in_where_nobody_found_it(kit):
    kit.join()
    kit.say("ana@unheard-of.test")
    kit.work()
    kit.say("person")
    kit.settle()
    kit.opens("Fill in for them")
    assert kit.fills({"host": "mail.unheard-of.test", "port": "465"}) == {}
    kit.settle()
    assert kit.envelope().state.account.server.host == "mail.unheard-of.test"


# --- put off, handed back ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "until"),
    [("Put off 2 hours", "02.03. 14:00"), ("Until the next working morning", "03.03. 09:00"),
     ("Put off 3 days", "05.03. 12:00")],
)  # fmt: skip
def test_a_case_is_put_off_for_as_long_as_one_wishes(kit, choice, until):
    kit.asks_for_a_person()
    kit.clock.time = kit.clock.time.replace(hour=15, minute=0, second=0)
    kit.taps(choice)
    kit.work()
    assert f"put off until {until}" in kit.root().text


def test_a_case_is_handed_back_at_an_answer_of_the_talk(kit):
    kit.awaiting()
    kit.say("person")
    kit.settle()
    kit.writes("!Hello")
    kit.does("Hand back at: server")
    assert kit.last().body.startswith("I'm back. Let's look at this once more:")
    assert "mail server" in kit.last().body
    assert kit.envelope().state.asking == "host"
    assert "handed back to the bot" in kit.root().text
    assert [row.end for row in kit.rows(tables.case)] == ["handed_back"]


def test_a_case_is_handed_back_at_the_address_from_anywhere(kit):
    kit.mailbox()
    kit.say("person")
    kit.settle()
    kit.writes("!Hello")
    kit.does("Hand back at: address")
    assert "Which *e-mail address*" in kit.last().body


def test_a_case_is_handed_back_at_the_menu(kit):
    kit.awaiting()
    kit.say("person")
    kit.settle()
    kit.writes("!Hello")
    kit.does("Hand back: the menu")
    assert kit.last().body.startswith("I'm back. You can go on with any of these:")
    assert kit.envelope().flow == "menu"


def test_a_case_is_handed_back_with_the_test_again(at):
    kit = at()
    kit.mailbox(port=kit.server.port)
    kit.say("person")
    kit.settle()
    kit.writes("!Hello")
    before = len(kit.bodies())
    kit.does("Hand back: test again")
    said = kit.bodies()[before:]
    assert said[0] == "I'm back, and I test it once more.\n\nGot it. I'm now signing in as ana@agency.test…"
    assert "works" in said[1]
    assert set(kit.server.sign_ins) == {(ADDRESS, PASSWORD)}


def test_what_was_to_be_tested_again_but_is_gone_is_told_and_the_talk_goes_on(kit):
    kit.mailbox()
    kit.say("person")
    kit.settle()
    kit.writes("!Hello")
    kit.taps("Hand back: test again", wait=False)
    with kit.engine.begin() as db:
        db.execute(tables.mailbox.delete())
    kit.settle()
    assert kit.last().body.startswith("I'm back. Let's go on:")


# --- the live test ----------------------------------------------------------------------------------------------------


def on_the_desk(kit, **box):
    """A member with a mailbox wants a person."""
    kit.mailbox(port=kit.server.port, **box)
    kit.say("person")
    kit.settle()


def test_the_live_test_is_told_to_the_team_stage_by_stage_and_not_to_the_person(at):
    kit = at()
    on_the_desk(kit)
    before, talk = len(kit.bodies()), kit.envelope()
    kit.does("Live test")
    assert "✓ sign in" in kit.told()
    assert "*It works.*" in kit.told()
    assert "was accepted" in kit.told()
    assert len(kit.bodies()) == before
    assert kit.envelope() == talk
    assert (SAM, "case_test", "101") in audited(kit)
    assert PASSWORD not in kit.dump()
    assert PASSWORD not in kit.told()


def test_a_live_test_that_fails_shows_the_server_s_own_words(at):
    kit = at(auth="454 4.7.0 Temporary authentication failure")
    on_the_desk(kit)
    kit.does("Live test")
    assert "✓ protect the connection" in kit.told()
    assert "✗ sign in" in kit.told()
    assert "454 4.7.0 Temporary authentication failure" in kit.told()
    kit.does("Explain the last error")
    assert kit.told().count("454 4.7.0 Temporary authentication failure") == 2
    assert (SAM, "case_error", "101") in audited(kit)


def test_a_password_that_the_server_calls_wrong_is_erased_and_its_person_hears_of_it(at):
    kit = at(auth=WRONG)
    on_the_desk(kit)
    kit.does("Live test")
    assert [row.state for row in kit.rows(tables.mailbox)] == ["broken"]
    assert kit.rows(tables.secret) == [] or all(row.kind != "mailbox.password" for row in kit.rows(tables.secret))
    assert "stopped" in kit.last().body or "password" in kit.last().body


def test_a_mailbox_that_waited_and_is_seen_to_work_does_so_for_its_person_too(at):
    kit = at()
    on_the_desk(kit, state="waiting")
    kit.does("Live test")
    assert [row.state for row in kit.rows(tables.mailbox)] == ["works"]
    assert ADDRESS in kit.last().body


def test_a_password_that_waits_in_the_talk_is_tested_and_the_talk_goes_on(at):
    kit = at(auth="454 4.7.0 Temporary authentication failure")
    token = kit.awaiting()
    kit.parts.links.submit(token, Secret(PASSWORD), "127.0.0.1")
    kit.work()
    kit.say("person")
    kit.settle()
    del kit.server._replies["auth"]
    before = len(kit.bodies())
    kit.does("Live test")
    assert "*It works.*" in kit.told()
    assert "(←) Got it. I'm now signing in" in kit.told()
    assert [row.state for row in kit.rows(tables.mailbox)] == ["works"]
    assert [one.startswith("A person is here") for one in kit.bodies()[before:]] == [True]


def test_without_a_password_there_is_nothing_to_test(kit):
    kit.asks_for_a_person()
    kit.does("Live test")
    assert "nothing to test" in kit.told()


def test_live_tests_for_the_team_are_limited_like_all_others(at):
    kit = at(auth="454 4.7.0 Temporary authentication failure")
    on_the_desk(kit)
    for _ in range(12):
        kit.taps("Live test")
        kit.work()
    kit.settle()
    kit.settle()
    assert "too many live tests" in kit.told()


# --- who wants access -------------------------------------------------------------------------------------------------


def wishes(kit, agency="Agência Lua"):
    """Eva, whom nobody knows, asks for access."""
    kit.say("hello", EVA)
    kit.work()
    kit.tap("access", EVA)
    kit.work()
    for words in (agency, "eva@client.test"):
        kit.say(words, EVA)
        kit.work()
    kit.settle()


def test_an_agency_is_created_with_who_asked_as_its_admin(kit):
    wishes(kit)
    assert "wants to belong to Agência Lua" in kit.opens("Wish for access").replace("*", "").replace("\u200a", "")
    assert kit.fills({"decision": "found"}) == {}
    kit.settle()
    assert "Agência Lua" in kit.last(EVA).body
    assert [(row.role, row.name) for row in kit.rows(tables.member)] == [("admin", "Ana")]
    assert "closed: let in" in kit.root().text
    assert [row.end for row in kit.rows(tables.case)] == ["granted"]
    assert (SAM, "case_access", "101") in audited(kit)


def test_somebody_is_let_into_an_agency_that_there_is(kit):
    assert kit.agency
    wishes(kit, "agência sol")
    kit.opens("Wish for access")
    assert kit.fills({"decision": "member"}) == {}
    kit.settle()
    assert [row.role for row in kit.rows(tables.member)] == ["member"]


def test_an_agency_of_a_known_name_is_not_created_again(kit):
    assert kit.agency
    wishes(kit, "Agência Sol")
    kit.opens("Wish for access")
    assert "already" in kit.fills({"decision": "found"})["decision"]
    assert kit.rows(tables.member) == []


def test_nobody_is_let_into_an_agency_that_was_not_chosen(kit):
    assert kit.agency
    wishes(kit, "Elsewhere")
    kit.opens("Wish for access")
    assert kit.fills({"decision": "admin"}) == {"agency": "please choose the agency"}
    assert kit.rows(tables.member) == []


def test_a_wish_is_declined_once(kit):
    wishes(kit)
    kit.opens("Wish for access")
    kit.opens("Wish for access", RITA)
    assert kit.fills({"decision": "decline"}) == {}
    assert kit.fills({"decision": "found"}, RITA) == {}  # the first one counts
    kit.settle()
    assert "closed: not let in" in kit.root().text
    assert kit.rows(tables.member) == []


# --- who may ----------------------------------------------------------------------------------------------------------


def test_a_tool_works_only_from_the_desk_s_own_channel(kit):
    kit.asks_for_a_person()
    before = audited(kit)
    kit.slack.channel(TEAM, "G0ELSE", "else", [kit.workspace.bot_user, SAM])
    copied = {"text": "the same", "blocks": list(kit.root().blocks)}
    kit.parts.tools.desk.api.call(TEAM, "chat.postMessage", channel="G0ELSE", **copied)
    for label in ("What their provider wants", "Send", "Close"):
        assert kit.slack.tap(TEAM, SAM, label, where="G0ELSE").ok
    kit.settle()
    assert audited(kit) == before
    assert kit.slack.modal(TEAM, SAM) is None


def test_a_guest_in_the_channel_neither_decides_nor_answers_for_anybody(kit):
    kit.slack.user(TEAM, "U0GUEST", "guest", real_name="Guest", is_restricted=True)
    kit.slack.join(TEAM, "G0DESK", "U0GUEST")
    wishes(kit)
    kit.opens("Wish for access", "U0GUEST")
    assert kit.fills({"decision": "found"}, "U0GUEST") == {}
    kit.settle()
    assert kit.rows(tables.member) == []
    assert "you are not one of the team" in kit.told()
    assert not [one for one in audited(kit) if one[1] == "case_access"]


def test_a_tool_of_a_closed_case_does_nothing(kit):
    kit.asks_for_a_person()
    kit.does("Close")
    assert kit.root().buttons == ()
    before = audited(kit)
    tools = kit.web.extensions["slack"]._desk._tools
    with kit.engine.begin() as db:
        assert not tools.use(db, 101, "facts", SAM)
        assert tools.window(db, 101, "send", SAM) is None
    assert audited(kit) == before
