"""The desk where things go wrong: the channel, the people in it, clicks, races, words, Slack, and machines that die."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

import bot.hands
import bot.mailbox_hands
import bot.staff
from bot.channels import Later, Refused, Unclear
from bot.channels.slack.style import SlackStyle
from bot.channels.whatsapp.style import WhatsAppStyle
from bot.desk import wording
from bot.store import cases, promises, tables
from bot.store.engine import reading
from flows.speech import Plain
from tests.botkit import ANA, BIA, run_sql
from tests.deskkit import DESK, GREETING, RITA, SAM, DeskKit
from tests.slackkit import ANOTHER_TEAM, TEAM

MEMBER = "find me in the thread"


@pytest.fixture
def kit(database_url, tmp_path):
    with DeskKit(database_url, tmp_path) as made:
        yield made


# --- the channel, and who is in it ------------------------------------------------------------------------------------


def make_public(kit):
    kit.slack._world.workspaces[TEAM].channels[DESK].private = False


def make_shared(kit):
    kit.slack._world.workspaces[TEAM].channels[DESK].ext_shared = True


def archive(kit):
    kit.slack.archive(TEAM, DESK)


def without_the_bot(kit):
    kit.slack.leave(TEAM, DESK, kit.workspace.bot_user)


def mend(kit):
    channel = kit.slack._world.workspaces[TEAM].channels[DESK]
    channel.private, channel.ext_shared, channel.archived = True, False, False
    kit.slack.join(TEAM, DESK, kit.workspace.bot_user)


@pytest.fixture
def alarms(monkeypatch):
    """What the look at the channel logs."""
    log = structlog.testing.CapturingLogger()
    monkeypatch.setattr(bot.staff, "_log", log)
    return log


@pytest.mark.parametrize("spoil", [make_public, make_shared, archive, without_the_bot])
def test_nothing_is_posted_into_a_channel_that_strangers_may_read_and_nothing_is_lost(kit, spoil, alarms):
    spoil(kit)
    kit.calls()
    kit.say(MEMBER)
    kit.soon()
    assert kit.posts() == []
    assert "SUPPORT_CHANNEL" in alarms.calls[0].args[0]
    kit.soon(minutes=31)
    assert kit.posts() == []
    assert "need longer than I said" in kit.last().body  # by the clock, which needs no Slack
    mend(kit)
    kit.soon(minutes=10)
    assert kit.told().count(MEMBER) == 1
    assert len(kit.roots()) == 1


def test_a_channel_that_was_deleted_is_no_channel_either(kit, alarms):
    kit.slack.delete_channel(TEAM, DESK)
    kit.calls()
    assert kit.posts() == []
    assert "SUPPORT_CHANNEL" in alarms.calls[0].args[0]
    kit.soon(minutes=31)
    assert "need longer than I said" in kit.last().body


def test_the_team_is_looked_up_at_most_once_in_five_minutes(kit):
    kit.calls()
    for number in range(5):
        kit.say(f"line {number}")
        kit.soon()
    assert sum(one.method == "conversations.info" for one in kit.slack.requests) == 1
    kit.clock.move(minutes=5)
    kit.say("later")
    kit.soon()
    assert sum(one.method == "conversations.info" for one in kit.slack.requests) == 2


@pytest.mark.parametrize(
    "how",
    [
        {"user_team": ANOTHER_TEAM},
        {"bot_id": "B0OTHER"},
        {"subtype": "bot_message"},
        {"subtype": "channel_topic"},
        {"extra": {"channel_type": "channel"}},
    ],
)
def test_what_is_no_word_of_the_team_is_not_taken(kit, how):
    kit.calls()
    before = kit.heard()
    kit.writes("!psst", **how)
    assert kit.heard() == before
    assert kit.lines() == []
    assert kit.case().owner == ""


def test_nothing_is_taken_from_a_shared_channel(kit):
    kit.calls()
    make_shared(kit)
    kit.writes("!psst")
    assert kit.lines() == []


@pytest.mark.parametrize("guest", ["is_restricted", "is_ultra_restricted", "is_bot", "is_stranger"])
def test_a_guest_in_the_channel_says_nothing_to_anybody_and_has_no_case(kit, guest):
    kit.slack.user(TEAM, "U0GUEST", "guest", **{guest: True})
    kit.slack.join(TEAM, DESK, "U0GUEST")
    kit.calls()
    before = kit.bodies()
    kit.writes("!psst", who="U0GUEST")
    assert kit.bodies() == before
    assert kit.case().owner == ""
    assert "not one of the team" in kit.told()
    kit.taps("Take over", who="U0GUEST")
    assert (kit.case().owner, kit.held().owner) == ("", "bot")
    assert kit.bodies() == before


def test_a_colleague_who_came_a_moment_ago_is_one_of_the_team(kit):
    kit.calls()
    kit.slack.user(TEAM, "U0NEW", "noor", real_name="Noor")
    kit.slack.join(TEAM, DESK, "U0NEW")
    kit.soon(seconds=20)
    kit.writes("!Hello, Noor here", who="U0NEW")
    assert kit.heard()[-1] == "Hello, Noor here"


def test_who_has_left_the_channel_loses_the_case_at_the_next_look(kit):
    kit.calls()
    kit.writes("!Hello")
    kit.say("and now?")
    kit.soon()
    kit.slack.leave(TEAM, DESK, SAM)
    kit.soon(minutes=6)
    kit.say("hello?")
    kit.soon()
    assert (kit.case().owner, kit.held().owner) == ("", "bot")
    assert "not in this channel any more" in kit.told()
    assert kit.case().waits_since is not None


def test_a_line_of_somebody_who_was_removed_meanwhile_is_not_said(kit):
    kit.calls()
    kit.writes("!Hello")
    kit.slack.leave(TEAM, DESK, SAM)
    kit.clock.move(minutes=6)
    kit.slack.join(TEAM, DESK, RITA)
    kit.writes("!still me", who=SAM)
    assert "still me" not in kit.heard()


# --- events and clicks that come twice, late, or to the wrong thread --------------------------------------------------


def test_what_slack_brings_twice_happens_once(kit):
    kit.calls()
    kit.writes("!Hello", times=3)
    assert kit.heard().count("Hello") == 1
    kit.taps("Hand back to the bot", times=3)
    assert "".join(kit.bodies()).count("I'm back") == 1


def test_what_was_not_answered_is_brought_again_and_taken(kit, monkeypatch):
    kit.calls()
    monkeypatch.setattr(kit.parts.casework, "happened", None)
    assert not kit.slack.say(TEAM, SAM, "!Hello", channel=DESK, thread_ts=kit.root().ts).ok
    monkeypatch.undo()
    assert all(answer.ok for answer in kit.slack.redeliver())
    kit.soon()
    assert kit.heard().count("Hello") == 1


def test_two_quick_clicks_on_the_same_button_are_one(kit):
    kit.calls()
    kit.writes("!Hello")
    for _ in range(2):
        kit.taps("Close", ts=kit.root().ts, wait=False)
    kit.soon()
    assert "".join(kit.bodies()).count("is done") == 1


def test_a_button_of_a_case_that_is_over_does_nothing_to_the_next_one(kit):
    kit.calls()
    old = kit.root()
    value = next(one[1] for one in old.buttons if "take" in one[1])
    kit.say("bot")
    kit.soon()
    kit.say("person")
    kit.soon()
    assert len(kit.roots()) == 2
    channel = kit.slack._world.workspaces[TEAM].channels[DESK]
    message = channel.messages[old.ts]
    message.blocks = [{"type": "actions", "elements": [button(value)]}]  # a screen that was not brought up to date
    kit.taps("Stale", ts=old.ts)
    assert kit.case().owner == ""


def button(value):
    return {"type": "button", "action_id": value, "value": value, "text": {"type": "plain_text", "text": "Stale"}}


def test_what_is_written_beside_all_threads_is_said_to_nobody(kit):
    kit.slack.fail("chat.postMessage", "503", 1)  # there is a case, and no thread of it yet
    kit.join()
    kit.say("person")
    kit.work()
    before = kit.heard()
    kit.writes("!Hello everybody", thread_ts="")
    assert kit.heard() == before


def test_a_line_in_a_thread_that_is_over_is_refused_with_a_reason(kit):
    kit.calls()
    kit.say("bot")
    kit.soon()
    before = kit.heard()
    ts = kit.writes("!one more thing")
    assert kit.heard() == before
    assert "did *not* reach them: this case is closed" in kit.told()
    assert kit.marks(ts) == ["x"]


def test_what_is_said_after_a_case_never_reaches_its_thread(kit):
    kit.calls()
    kit.writes("!Hello")
    kit.say("bot")
    kit.soon()
    kit.say("this is between the bot and me")
    kit.soon()
    kit.status(kit.lines()[0], "read", 5)
    kit.soon()
    assert "between the bot and me" not in kit.told()
    assert "they went back to the bot" in kit.root().text


def test_a_case_that_is_over_is_shown_so_also_where_the_next_one_begins_at_once(kit):
    kit.calls()
    kit.say("bot")
    kit.work()
    kit.say("person")
    kit.soon()
    first, second = kit.roots()
    assert "they went back to the bot" in first.text
    assert "Case 102" in second.text


# --- who has the word -------------------------------------------------------------------------------------------------


def test_of_two_who_take_it_at_once_the_first_one_has_it(kit):
    kit.calls()
    ts = kit.root().ts
    kit.taps("Take over", who=SAM, ts=ts, wait=False)
    kit.taps("Take over", who=RITA, ts=ts, wait=False)
    kit.soon()
    assert kit.case().owner == SAM
    assert kit.bodies().count(next(one for one in kit.bodies() if one.startswith(GREETING))) == 1
    kit.taps("Take over", who=RITA)  # now she has seen that he has it
    assert kit.case().owner == RITA
    assert sum(one.startswith(GREETING) for one in kit.bodies()) == 1


def test_two_who_take_it_at_the_very_same_moment(kit):
    kit.calls()
    ts = kit.root().ts
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda who: kit.taps("Take over", who=who, ts=ts, wait=False), (SAM, RITA)))
    kit.soon()
    assert kit.case().owner in {SAM, RITA}
    assert sum(one.startswith(GREETING) for one in kit.bodies()) == 1


def test_the_bot_that_is_about_to_speak_looks_once_more_right_before_it_leaves(kit):
    kit.calls()
    kit.say("menu")
    real = kit.channel.send

    def slow(to, message, promise_id, ready):
        kit.channel.send = real
        kit.taps("Take over", wait=False)  # while it makes its buttons
        return real(to, message, promise_id, ready)

    kit.channel.send = slow
    before = len(kit.bodies())
    kit.soon()
    assert [one[: len(GREETING)] for one in kit.bodies()[before:]] == [GREETING]
    assert "(←) " in kit.told()


def test_a_line_that_is_about_to_leave_stays_when_the_person_went_back_to_the_bot(kit):
    kit.calls()
    kit.writes("!Hello")
    real = kit.channel.send

    def slow(to, message, promise_id, ready):
        kit.channel.send = real
        kit.say("bot")
        return real(to, message, promise_id, ready)

    kit.channel.send = slow
    kit.writes("!too late")
    assert "too late" not in kit.heard()
    assert "“too late” did *not* reach them" in kit.told()


def test_what_the_bot_could_not_say_yet_does_not_hold_up_the_team(kit):
    kit.calls()
    kit.channel.failures.extend([Later("63018", "too many", 3000.0)])
    kit.say("menu")
    kit.work()
    kit.writes("!Hello")
    assert kit.heard()[-1] == "Hello"
    kit.soon(hours=1)
    assert kit.heard()[-1] == "Hello"


def test_an_answer_that_comes_while_a_person_has_the_word_is_the_teams_to_know(kit):
    kit.calls()
    kit.say("ana@agency.test")  # the server of it is being looked for
    claimed = kit.claim("work")
    kit.taps("Take over", wait=False)
    for promise in claimed:
        kit.worker._keep(promise)
    before = len(kit.heard())
    kit.soon()
    assert len(kit.heard()) == before
    assert kit.told().count("(←) ") >= 1


def test_no_sign_of_typing_while_there_is_a_case(kit):
    kit.join()
    held = kit.held()
    bot.mailbox_hands._typing(kit.parts.tools, held)
    kit.calls(BIA)
    typed = len(kit.channel.typed)
    bot.mailbox_hands._typing(kit.parts.tools, kit.held(BIA))
    assert len(kit.channel.typed) == typed


# --- what staff write -------------------------------------------------------------------------------------------------


def test_lines_keep_their_order_also_when_one_of_them_has_to_wait(kit):
    kit.calls()
    kit.writes("!Hello")
    kit.channel.failures.append(Later("63018", "too many", 60.0))
    for number in range(3):
        kit.writes(f"!line {number}", wait=False)
    kit.soon(minutes=5)
    assert kit.heard()[-3:] == ["line 0", "line 1", "line 2"]


def test_a_line_that_is_changed_in_time_is_said_as_it_stands_then(kit):
    kit.calls()
    ts = kit.writes("!teh address", wait=False)
    kit.slack.edit(TEAM, SAM, ts, "!the address")
    kit.soon()
    assert kit.heard()[-1] == "the address"


def test_a_line_that_loses_its_mark_in_time_is_internal_again(kit):
    kit.calls()
    before = kit.heard()
    ts = kit.writes("!she cannot type", wait=False)
    kit.slack.edit(TEAM, SAM, ts, "she cannot type")
    kit.soon()
    assert kit.heard() == before
    assert kit.lines()[0].state == "recalled"
    assert kit.marks(ts) == ["leftwards_arrow_with_hook"]


def test_after_five_seconds_the_thread_says_that_it_was_too_late(kit):
    kit.calls()
    ts = kit.writes("!teh address")
    kit.slack.edit(TEAM, SAM, ts, "!the address")
    kit.soon()
    assert kit.told().count("Too late") == 1
    kit.slack.take_back(TEAM, SAM, ts)
    kit.soon()
    assert kit.told().count("Too late") == 2
    assert kit.heard()[-1] == "teh address"


def test_what_is_changed_while_it_leaves_is_not_changed_any_more(kit):
    kit.calls()
    kit.writes("!Hello")
    ts = kit.writes("!teh address", wait=False)
    kit.channel.failures.append(Later("63018", "too many", 30.0))
    kit.soon(seconds=6)
    kit.slack.edit(TEAM, SAM, ts, "!the address")
    kit.soon(minutes=1)
    assert kit.heard()[-1] == "teh address"
    assert kit.told().count("Too late") == 1


def test_a_forgotten_mark_can_be_put_before_the_line_and_a_link_that_slack_looked_up_changes_nothing(kit):
    kit.calls()
    ts = kit.writes("what is your address?")
    kit.slack.edit(TEAM, SAM, ts, "!what is your address?")
    kit.soon()
    assert kit.heard()[-1] == "what is your address?"
    kit.slack.edit(TEAM, SAM, ts, "!what is your address?")  # nobody did that
    kit.soon()
    assert "Too late" not in kit.told()


def test_a_change_or_a_deletion_that_overtakes_the_line_itself(kit):
    kit.calls()
    before = kit.heard()
    for text, changed in (("!one", "!two"), ("!three", None)):
        answer = kit.slack.say(TEAM, SAM, text, channel=DESK, thread_ts=kit.root().ts, forge=True)
        message = {name: answer.payload["event"][name] for name in ("user", "ts", "thread_ts", "team", "text")}
        event = {"type": "message", "channel": DESK, "channel_type": "group", "previous_message": message}
        if changed:
            event |= {"subtype": "message_changed", "message": {**message, "text": changed}}
        else:
            event |= {"subtype": "message_deleted"}
        assert kit.slack.event(TEAM, event).ok
        assert kit.slack.event(TEAM, answer.payload["event"]).ok
    kit.soon()
    assert kit.heard()[len(before) :] == ["two"]


def test_a_line_that_is_taken_back_is_no_answer_and_the_person_goes_on_waiting(kit):
    kit.calls()
    since = kit.case().waits_since
    ts = kit.writes("!Hello", wait=False)
    kit.slack.take_back(TEAM, SAM, ts)
    kit.soon()
    assert kit.case().waits_since == since
    kit.soon(minutes=31)
    assert "need longer than I said" in kit.last().body


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("!", "nothing behind the !"),
        ("!!!", "nothing behind the !"),
        (f"!{'x ' * 800}", "more than 1,500 characters"),
        ("!your password is Girafa#22", "looks like a password"),
        ("!abcd efgh ijkl mnop", "looks like a password"),
    ],
)
def test_what_cannot_be_said_is_refused_with_a_reason(kit, text, why):
    kit.calls()
    before = kit.bodies()
    ts = kit.writes(text)
    assert kit.bodies() == before
    assert why in kit.told()
    assert kit.marks(ts) == ["x"]
    assert "Girafa" not in kit.dump()


def test_a_file_that_does_not_lie_at_slack_is_refused_with_a_reason(kit):
    kit.calls()
    kit.writes("!see the picture", files=[{"name": "a.png", "mimetype": "image/png", "mode": "external"}])
    assert "see the picture" not in kit.heard()
    assert "the file could not be fetched from Slack" in kit.told()


def test_a_password_of_the_member_is_hidden_from_the_team_and_their_sentences_are_not(kit):
    kit.awaiting()
    kit.say("person")
    kit.soon()
    kit.writes("!Hello")
    kit.say("Girafa#22")
    kit.say("I do not know where to find that password")
    kit.soon()
    assert "→ (hidden)" in kit.told()
    assert "Girafa" not in kit.dump() + kit.told()
    assert "→ I do not know where to find that password" in kit.told()


def test_outside_their_24_hours_a_line_is_refused_before_it_is_sent(kit):
    kit.calls()
    kit.writes("!Hello")
    kit.soon(hours=25)
    before = kit.bodies()
    kit.writes("!Good morning")
    assert kit.bodies() == before
    assert "their 24 hours on WhatsApp are over" in kit.told()
    assert kit.case().state != "closed"


def test_the_end_of_their_24_hours_is_told_once_some_time_before(kit):
    kit.calls()
    kit.writes("!Hello")
    kit.soon(hours=21)
    assert "24 hours on WhatsApp end at" not in kit.told()
    kit.soon(hours=2)
    kit.writes("!Are you there?")
    kit.soon(hours=3)
    assert kit.told().count("Their 24 hours on WhatsApp end at") == 1


@pytest.mark.parametrize(
    ("language", "code", "words"),
    [
        ("en", "63016", "their 24 hours on WhatsApp are over"),
        ("pt", "63016", "as 24 horas do WhatsApp acabaram"),
        ("es", "63014", "nos bloqueó"),
        ("es", "63024", "no hay nadie en WhatsApp"),
        ("pt", "12345", "o canal recusou (12345)"),
    ],
)
def test_what_failed_is_told_in_the_teams_words_and_language(kit, language, code, words):
    kit.claim()
    run_sql(kit.url, f"update agency set language = '{language}'")
    kit.calls()
    kit.writes("!Hello")
    kit.status(kit.lines()[0], "undelivered", 9, code)
    kit.soon()
    assert words in kit.told()
    kit.channel.failures.append(Refused(code, "no"))
    kit.writes("!Again")
    assert kit.told().count(words) == 2


def test_a_status_never_goes_backwards_and_may_come_before_our_own_word(kit):
    kit.calls()
    ts = kit.writes("!Hello", wait=False)
    real = kit.channel.send

    def quick(to, message, promise_id, ready):
        accepted = real(to, message, promise_id, ready)
        if message.body == "Hello":
            kit.status(kit.lines()[0], "delivered", 4)
        return accepted

    kit.channel.send = quick
    kit.soon()
    for status, rank in (("sent", 3), ("read", 5), ("delivered", 4), ("queued", 1)):
        kit.status(kit.lines()[0], status, rank)
        kit.soon()
    assert kit.lines()[0].state == "read"
    assert kit.marks(ts) == ["eyes"]
    assert kit.case().waits_since is None


def test_what_failed_after_all_is_no_answer_and_the_person_waits_again(kit):
    kit.calls()
    kit.writes("!Hello")
    assert kit.case().waits_since is None
    kit.status(kit.lines()[0], "failed", 9, "30008")
    kit.soon()
    assert kit.case().waits_since is not None
    kit.soon(minutes=31)
    assert "need longer than I said" in kit.last().body


def test_the_same_words_twice_are_said_twice_also_when_the_second_try_is_looked_for(kit):
    kit.calls()
    kit.writes("!ok")
    kit.channel.failures.append(Unclear("broken", "nobody knows"))
    kit.writes("!ok")
    kit.soon(minutes=5)
    assert kit.heard().count("ok") == 2


NAMES = {"U0SAM": "Sam"}


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("*bold* _it_ ~no~", "*bold* _it_ ~no~"),
        ("a &lt; b &amp;&amp; c &gt; d", "a < b && c > d"),
        ("see <https://a.test/x?y=1&amp;z=2>", "see https://a.test/x?y=1&z=2"),
        ("see <https://a.test|a.test>", "see https://a.test"),
        ("see <https://a.test|our page>", "see our page (https://a.test)"),
        ("<mailto:ana@a.test|ana@a.test>", "ana@a.test"),
        ("ask <@U0SAM> tomorrow", "ask Sam tomorrow"),
        ("ask <@U0OTHER> tomorrow", "ask tomorrow"),
        ("<!channel> look", "look"),
        ("<!here|here> look", "look"),
        ("<!subteam^S1|@team> look", "team look"),
        ("<#C0SECRET|plans> and <#C0SECRET>", "#plans and"),
        ("<!date^1392734382^{date}|today>", "today"),
        ("type `smtp_relay_1` &amp; go", "type ```smtp_relay_1``` & go"),
        ("```\na_b\n```", "```a_b```"),
        ("&lt;!channel&gt;", "<!channel>"),
        ("a\x00b\x07c", "abc"),
    ],
)
def test_slacks_text_as_it_is_read_on_whatsapp(typed, read):
    assert wording.for_person(typed, NAMES, WhatsAppStyle()) == read


def test_what_is_typed_for_a_member_in_slack_pings_nobody_and_disguises_no_link():
    said = wording.for_person("*hi* &lt;!channel&gt; @here &lt;https://evil.test|bank&gt; `a_b`", {}, SlackStyle())
    assert said == "*hi* &lt;!channel&gt; @\u200ahere &lt;https://evil.test|bank&gt; `a_b`"


def test_the_names_of_emoji_become_signs():
    elements = [
        {"type": "emoji", "name": "wave", "unicode": "1f44b-1f3fb", "skin_tone": 2},
        {"type": "emoji", "name": "smile", "unicode": "1f604"},
        {"type": "emoji", "name": "ours"},
        {"type": "emoji", "name": "x", "unicode": "../../etc"},
    ]
    blocks = [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}]
    assert (
        wording.with_emoji(":wave::skin-tone-2: :smile: :ours: :x:", blocks)
        == "\U0001f44b\U0001f3fb \U0001f604 :ours: :x:"
    )


anything = st.recursive(
    st.none() | st.text(max_size=8) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "elements", "name"]), inner),
    max_leaves=12,
)


@given(st.text(st.sampled_from("<>|@#!&;`*_U0SAMlt \n"), max_size=60), anything)
def test_no_text_of_slacks_breaks_it_or_lets_an_id_through(text, blocks):
    read = wording.for_person(wording.with_emoji(text, blocks), {}, Plain())
    assert not re.search(r"<@U0SAM>", text) or text.count("U0SAM") > read.count("U0SAM")


def test_emoji_and_mentions_reach_the_person_as_words(kit):
    kit.calls()
    blocks = [{"type": "rich_text", "elements": [{"type": "emoji", "name": "smile", "unicode": "1f604"}]}]
    kit.writes("!<@U0RITA> is here :smile:", escape=False, extra={"blocks": blocks})
    assert kit.heard()[-1] == "Rita is here \U0001f604"


def test_a_members_words_ping_nobody_but_the_owner(kit):
    kit.calls()
    kit.writes("!Hello")
    kit.say("<!channel> <@U0RITA> @here @everyone <https://evil.test|bank> *now*", name="<!channel>")
    kit.soon()
    assert {one.what for one in kit.slack.mentions} <= {f"@{SAM}", SAM, f"<@{SAM}>"}
    assert "evil.test" in kit.told()


# --- Slack and machines that break ------------------------------------------------------------------------------------


class Killed(Exception):
    """Whoever did it is dead from here on."""


def dies_after(kit, method, times=1):
    """The next calls of a method are taken by Slack, and nobody is there any more to write that down."""
    left = [times]

    def call(real, team, called, **arguments):
        answer = real(team, called, **arguments)
        if called == method and left[0]:
            left[0] -= 1
            raise Killed
        return answer

    kit.api(call)


RIGHTS = [(), ("metadata.message:read",)]


@pytest.mark.parametrize("lacking", RIGHTS)
def test_a_root_is_found_again_and_never_doubled(kit, lacking):
    kit.without(*lacking)
    dies_after(kit, "chat.postMessage")
    kit.calls()
    assert len(kit.roots()) == 1
    kit.die_later()
    kit.soon(minutes=3)
    assert len(kit.roots()) == 1
    assert kit.thread()[0].count("→ person") == 1
    assert kit.case().thread == kit.root().ts


@pytest.mark.parametrize("lacking", RIGHTS)
def test_lines_are_found_again_and_never_doubled_also_when_more_came_meanwhile(kit, lacking):
    kit.without(*lacking)
    kit.calls()
    for number in range(120):  # more than one page of a thread
        kit.writes(f"a word of ours {number}", wait=False)
    dies_after(kit, "chat.postMessage")
    kit.say("line 1")
    kit.soon()
    kit.say("line 2")  # another promise, which knows nothing of the one that died
    kit.soon()
    kit.die_later()
    kit.soon(minutes=3)
    assert [kit.told().count(f"→ line {number}") for number in (1, 2)] == [1, 1]


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "500"])
def test_a_post_of_which_nobody_knows_is_looked_for(kit, kind):
    kit.calls()
    kit.slack.fail("chat.postMessage", kind)
    kit.say(MEMBER)
    kit.soon(minutes=5)
    assert kit.told().count(MEMBER) == 1


def test_a_mark_that_was_set_before_we_died_is_set_once(kit):
    kit.calls()
    dies_after(kit, "reactions.add")
    ts = kit.writes("!Hello")
    kit.die_later()
    kit.soon(minutes=3)
    assert kit.marks(ts) == ["outbox_tray"]


def test_without_the_right_to_set_marks_all_else_goes_on(kit):
    kit.without("reactions:write")
    kit.calls()
    kit.writes("!Hello")
    kit.say(MEMBER)
    kit.soon(minutes=1)
    assert kit.told().count(MEMBER) == 1
    assert kit.heard()[-1] == "Hello"


def test_a_line_whose_sender_died_is_said_once(kit):
    kit.calls()
    kit.writes("!Hello")
    real, left = bot.hands.HANDS[promises.SAY_LINE], [1]

    def killed(tools, promise):
        outcome = real(tools, promise)
        if left[0]:
            left[0] = 0
            raise Killed
        return outcome

    kit.hands[promises.SAY_LINE] = killed
    kit.say("and?")
    kit.writes("!one")
    kit.writes("!two")
    kit.die_later()
    kit.soon(minutes=2)
    assert kit.heard()[-2:] == ["one", "two"]
    assert kit.case().waits_since is None


def test_an_hour_without_slack_costs_no_word_and_no_order(kit):
    kit.calls()
    kit.slack.stop()
    for number in range(20):
        kit.say(f"line {number}.")
        kit.soon(minutes=3)
    assert "need longer than I said" in "".join(kit.bodies())
    port = int(kit.slack.url.rpartition(":")[2])
    kit.slack.start(port)
    kit.soon(minutes=10)
    told = [kit.told().find(f"→ line {number}.") for number in range(20)]
    assert told == sorted(told)
    assert -1 not in told
    assert all(kit.told().count(f"→ line {number}.") == 1 for number in range(20))


def test_two_hundred_messages_are_a_few_posts_in_order_and_few_promises(kit):
    kit.calls()
    kit.writes("!Hello")
    before = len(kit.posts())
    for number in range(200):
        kit.say(f"line {number}.")
        if number % 20 == 0:
            kit.work()
        assert kit.held().unfinished < 10
    kit.soon(minutes=1)
    told = kit.told()
    assert [told.count(f"→ line {number}.") for number in range(200)] == [1] * 200
    assert [told.find(f"→ line {number}.") for number in range(200)] == sorted(
        told.find(f"→ line {number}.") for number in range(200)
    )
    assert len(kit.posts()) - before < 30


def test_what_a_member_writes_reaches_the_thread_also_when_too_much_is_still_to_be_done(kit):
    kit.calls()
    with kit.engine.begin() as db:
        later = kit.clock.now() + timedelta(days=1)
        many = [promises.Wanted("work", promises.TELL, later, {})] * 100
        promises.add(db, kit.held().id, many, kit.clock.now())
    kit.say(MEMBER)
    kit.soon()
    assert kit.told().count(MEMBER) == 1


def test_a_hand_of_the_desk_that_raises_is_never_given_up(kit):
    kit.calls()

    def broken(tools, promise):
        raise Killed

    kit.hands[promises.CASE_TIME] = broken
    said = len(kit.bodies())
    kit.soon(hours=2)
    kit.hands[promises.CASE_TIME] = bot.hands.HANDS[promises.CASE_TIME]
    assert len(kit.bodies()) == said  # nobody is told that something went wrong on our side
    kit.soon(hours=2)
    assert "need longer than I said" in "".join(kit.bodies()[said:])


def test_an_open_case_without_a_time_gets_one(kit):
    kit.calls()
    run_sql(kit.url, "delete from promise where kind = 'case_time'")
    kit.worker._sweep(kit.clock.now())
    assert len(kit.promised(promises.CASE_TIME)) == 1


def test_a_deleted_root_gets_a_new_one_and_the_rest_follows_it(kit):
    kit.calls()
    old = kit.root()
    del kit.slack._world.workspaces[TEAM].channels[DESK].messages[old.ts]  # Slack does not even tell
    kit.say("one")
    kit.soon()
    new = kit.root()
    assert new.ts != old.ts
    assert "→ one" in "".join(kit.thread(new))
    assert "→ person" not in "".join(kit.thread(new))


def test_a_root_that_slack_says_was_deleted_gets_a_new_one_at_once(kit):
    kit.calls()
    old = kit.root()
    before = {"type": "message", "ts": old.ts, "thread_ts": old.ts, "bot_id": "B1", "team": TEAM, "text": "x"}
    del kit.slack._world.workspaces[TEAM].channels[DESK].messages[old.ts]
    event = {"type": "message", "subtype": "message_deleted", "channel": DESK, "channel_type": "group"}
    kit.slack.event(TEAM, {**event, "deleted_ts": old.ts, "previous_message": before})
    kit.soon()
    assert kit.root().ts != old.ts
    kit.writes("!Hello")
    assert kit.heard()[-1] == "Hello"


def test_two_machines_and_two_cases_post_one_message_a_second_and_lose_nothing(kit):
    parts, second = kit.another()
    kit.slack._world.strict_rates = True
    try:
        kit.join(ANA)
        kit.join(BIA)
        kit.clock.move(seconds=2)
        for number in range(30):
            for who, turns in ((ANA, kit.parts.turns), (BIA, parts.turns)):
                turns.receive(kit.inbound("person" if number == 0 else f"{who} {number}.", who))
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(worked, [kit.worker, second] * 2))
            kit.clock.move(seconds=0.5)
        kit.soon(minutes=3)
    finally:
        parts.close()
    told = kit.told()
    assert [told.count(f"→ {who} {n}.") for who in (ANA, BIA) for n in range(1, 30)] == [1] * 58
    assert len(kit.roots()) == 2
    when = sorted(float(one.ts) for one in kit.slack.channel_messages(TEAM, DESK))
    assert len({int(one) for one in when}) == len(when)


def worked(worker):
    """What is due now, by one of several workers."""
    for lane in ("speak", "work", "mail"):
        for promise in worker._claim(lane, 4):
            worker._keep(promise)


def test_two_who_show_the_same_thread_post_nothing_twice(kit):
    kit.calls()
    parts, second = kit.another()
    kit.slack.fail("chat.postMessage", "slow")
    kit.say("one")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(worked, kit.worker)
        kit.slack.wait_for(lambda: kit.slack.held)
        kit.clock.move(seconds=2)
        parts.turns.receive(kit.inbound("two"))
        worked(second)
        kit.slack.release()
        first.result()
    kit.soon(minutes=2)
    parts.close()
    assert [kit.told().count(f"→ {one}") for one in ("one", "two")] == [1, 1]


def test_what_the_team_reads_is_not_the_persons_to_read(kit):
    kit.calls()
    kit.writes("!")
    with reading(kit.engine) as db:
        assert cases.get(db, 101) is not None
    assert any(row.direction == "us" for row in kit.rows(tables.message))
    assert not [one for one in kit.bodies() if "did *not*" in one]
