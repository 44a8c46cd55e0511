"""What was known of somebody stands in their thread before what was said: nobody asks them again."""

import pytest
from sqlalchemy import insert

from bot.store import tables
from flows.speech import texts
from tests.botkit import ANA, PASSWORD, table_of_providers
from tests.deskkit import DeskKit
from tests.slackkit import TEAM
from tests.test_desk_bad_input import RIGHTS, dies_after
from tests.test_desk_media import sends

EN = texts("en")
ADDRESS = "ana@nowhere.test"


@pytest.fixture
def kit(database_url, tmp_path):
    with DeskKit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as made:
        yield made


def wants_a_person_in_the_middle(kit):
    """Ana asked two questions, gave her address and the server that nobody knows, and is at its number."""
    kit.join()
    kit.say("what is an app password?")
    kit.settle()
    kit.say("which port?")
    kit.settle()
    kit.say("menu")
    kit.settle()
    kit.say("1")
    kit.settle()
    kit.say(ADDRESS)
    kit.settle()
    kit.say("mail.nowhere.test")
    kit.settle()
    kit.say("person")
    kit.settle()


def failed_once(kit, words):
    """A live test of Ana's has failed with these words of the mail server."""
    with kit.engine.begin() as db:
        db.execute(
            insert(tables.promise).values(
                conversation_id=kit.held(ANA).id, lane="work", kind="TestLogin", payload={}, state="done",
                due_at=kit.clock.now(), created_at=kit.clock.now(), ticket=0, outcome=words,
            )
        )  # fmt: skip


def test_what_was_given_and_shown_stands_before_what_was_said(kit):
    wants_a_person_in_the_middle(kit)
    packet, transcript = kit.thread()[:2]
    assert f"address `{ADDRESS}`" in packet
    assert "server `mail.nowhere.test`" in packet
    assert "Articles they were shown: " in packet
    assert "→ person" in transcript
    assert "→" not in packet


def test_the_root_says_where_the_talk_is_while_the_case_is_open(kit):
    """Afterwards the talk goes on, and the root of a closed case is not drawn anew with it."""
    wants_a_person_in_the_middle(kit)
    where = EN["desk.root.where"].partition("{")[0]
    assert where in kit.root().text
    kit.does("Close")
    assert EN["desk.end.closed"] in kit.root().text
    assert where not in kit.root().text


def test_the_last_live_test_stands_there_by_stage_with_the_server_s_own_words(kit):
    kit.join()
    failed_once(kit, "auth: wrong_credentials: 535 5.7.8 Error: authentication failed")
    kit.say("person")
    kit.settle()
    packet = kit.thread()[0]
    assert "Last live test:" in packet
    assert "✓ protect the connection" in packet
    assert "✗ sign in" in packet
    assert "535 5.7.8 Error: authentication failed" in packet


def test_of_somebody_of_whom_nothing_is_known_there_is_no_packet(kit):
    kit.calls()
    assert "→ person" in kit.thread()[0]
    assert kit.case().briefed


def test_a_second_case_tells_only_of_what_was_shown_since_the_first(kit):
    wants_a_person_in_the_middle(kit)
    kit.does("Close")
    kit.clock.move(minutes=1)
    kit.say("menu")
    kit.settle()
    kit.say("person")
    kit.settle()
    assert len(kit.roots()) == 2
    assert "Articles they were shown" not in "\n".join(kit.thread())


@pytest.mark.parametrize("lacking", RIGHTS)
def test_a_packet_is_found_again_and_never_doubled(kit, lacking):
    kit.without(*lacking)
    kit.join()
    failed_once(kit, "auth: wrong_credentials: 535 5.7.8 Error: authentication failed")
    dies_after(kit, "chat.postMessage", times=2)
    kit.say("person")
    for _ in range(3):
        kit.soon()
        kit.die_later()
    kit.soon(minutes=3)
    assert len(kit.roots()) == 1
    assert "\n".join(kit.thread()).count("Last live test:") == 1
    assert "\n".join(kit.thread()).count("→ person") == 1


def test_a_thread_that_was_begun_anew_is_told_again(kit):
    wants_a_person_in_the_middle(kit)
    kit.slack.take_back(TEAM, kit.workspace.bot_user, kit.root().ts)
    kit.say("are you there?")
    kit.settle()
    assert f"address `{ADDRESS}`" in kit.thread()[0]


def test_no_secret_is_in_a_packet(kit):
    kit.awaiting()
    kit.say(PASSWORD)
    kit.settle()
    kit.say("person")
    kit.settle()
    assert kit.thread()
    assert PASSWORD not in kit.told()


def test_a_thread_that_turns_out_to_be_gone_when_a_file_comes_is_told_anew_too(kit):
    wants_a_person_in_the_middle(kit)
    kit.slack.fail("files.completeUploadExternal", "thread_not_found")
    sends(kit)
    kit.soon(minutes=2)
    assert len(kit.roots()) == 2
    assert f"address `{ADDRESS}`" in kit.thread()[0]
