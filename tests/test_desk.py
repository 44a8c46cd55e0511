"""The desk: a member on WhatsApp (the recorder), staff in a private channel of Slack, and the bot between them."""

import pytest

from tests.botkit import table_of_providers
from tests.deskkit import DESK, SAM, DeskKit
from tests.slackkit import TEAM


@pytest.fixture
def kit(database_url, tmp_path):
    with DeskKit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as made:
        yield made


def settled(kit):
    """All is done that is due within the next seconds."""
    kit.settle()


def root(kit):
    return kit.slack.channel_messages(TEAM, DESK)[0]


def thread(kit):
    return [one.text for one in kit.slack.thread(TEAM, DESK, root(kit).ts)[1:] if not one.mine]


def writes(kit, text, who=SAM):
    answer = kit.slack.say(TEAM, who, text, channel=DESK, thread_ts=root(kit).ts)
    assert answer.ok
    settled(kit)
    return answer.payload["event"]["ts"]


def asks_for_a_person(kit):
    kit.join()
    kit.say("person")
    settled(kit)


def test_a_wish_for_a_person_opens_a_thread_with_all_that_was_said(kit):
    asks_for_a_person(kit)
    assert "Case 101" in root(kit).text
    assert "nobody has it yet" in root(kit).text
    assert "→ person" in thread(kit)[0]
    assert "within 30 minutes" in kit.last().body


def test_what_the_person_writes_stands_in_the_thread_in_order_and_once(kit):
    asks_for_a_person(kit)
    for number in range(5):
        kit.say(f"line {number}")
    settled(kit)
    told = "\n".join(thread(kit))
    assert [told.count(f"→ line {number}") for number in range(5)] == [1] * 5
    assert told.index("line 0") < told.index("line 4")


def test_only_a_line_that_begins_with_a_mark_reaches_the_person(kit):
    asks_for_a_person(kit)
    before = len(kit.channel.sent)
    writes(kit, "she has typed the wrong address, poor thing")
    assert len(kit.channel.sent) == before
    writes(kit, "!Hello Ana, which address is it?")
    assert [one.body for one in kit.channel.sent[before:]] == [
        "A person is here for you now. I keep quiet until you two are done; write *bot* if you want me back.",
        "Hello Ana, which address is it?",
    ]
    assert f"<@{SAM}> has it" in root(kit).text


def test_while_a_person_owns_the_conversation_the_bot_says_nothing(kit):
    asks_for_a_person(kit)
    writes(kit, "!Hello")
    before = len(kit.channel.sent)
    kit.say("menu")
    kit.say("what is an app password?")
    settled(kit)
    assert len(kit.channel.sent) == before
    assert "→ what is an app password?" in "\n".join(thread(kit))


def test_where_a_password_is_awaited_staff_read_sentences_and_nothing_that_may_be_one(kit):
    kit.join()
    kit.say("ana@agency.test")
    kit.work()
    kit.say("person")
    settled(kit)
    writes(kit, "!Hello")
    shown = ("it says that my password is wrong", "what shall I do?", "yes")
    hidden = ("girafa", "Girafa#22", "abcd efgh ijkl mnop", "my password is Girafa#22", "blue giraffe")
    for words in (*shown, *hidden):
        kit.say(words)
    settled(kit)
    told = "\n".join(thread(kit))
    assert all(f"→ {words}" in told for words in shown)
    assert not any(words in told for words in hidden)
    assert told.count("→ (hidden)") == len(hidden) + 1  # and "person", which the bot was told alone


def test_the_person_can_have_the_bot_back(kit):
    asks_for_a_person(kit)
    writes(kit, "!Hello")
    kit.say("bot")
    settled(kit)
    assert "I'm here." in kit.last().body
    assert "they went back to the bot" in root(kit).text


def test_a_line_that_is_deleted_within_five_seconds_is_never_said(kit):
    asks_for_a_person(kit)
    before = len(kit.channel.sent)
    ts = kit.slack.say(TEAM, SAM, "!oops, wrong window", channel=DESK, thread_ts=root(kit).ts).payload["event"]["ts"]
    assert kit.slack.take_back(TEAM, SAM, ts).ok
    settled(kit)
    assert "oops" not in "".join(one.body for one in kit.channel.sent[before:])


def test_staff_hand_back_and_the_talk_goes_on_where_it_was(kit):
    asks_for_a_person(kit)
    writes(kit, "!Hello")
    kit.slack.tap(TEAM, SAM, "Hand back to the bot", where=DESK)
    settled(kit)
    assert "I'm back" in kit.last().body
    assert "Which *e-mail address*" in kit.last().body
    assert "handed back to the bot" in root(kit).text
    assert not root(kit).buttons


def test_who_does_not_answer_in_time_loses_the_case_and_the_person_learns_the_truth(kit):
    asks_for_a_person(kit)
    kit.slack.tap(TEAM, SAM, "Take over", where=DESK)
    settled(kit)
    kit.clock.move(minutes=31)
    settled(kit)
    assert "need longer than I said" in kit.last().body
    assert "nobody has it yet" in root(kit).text


def test_nobody_outside_the_channel_does_anything_with_a_case(kit):
    asks_for_a_person(kit)
    answer = kit.slack.say(TEAM, SAM, "!hello", thread_ts=root(kit).ts)
    assert answer.ok
    settled(kit)
    assert not [one for one in kit.channel.sent if one.body == "hello"]
