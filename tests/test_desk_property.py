"""The desk under random interleavings: member, staff, results of the bot's, duplicates, crashes and time.

Nothing internal ever reaches the member; the bot never speaks while a person owns the conversation; every member
message reaches the thread in order and once; no case is ever without a running timer; nobody waits in silence past the
limit. `DESK_EXAMPLES=500 python -m pytest tests/test_desk_property.py` tries more of them, other ones each time;
with `DESK_SHRINK=1` it looks for the shortest one that breaks.
"""

import os
import re
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bot.channels import Later, Unclear
from bot.hands import HANDS
from bot.store import promises, tables
from flows.words import MailboxWorks, TestSlow
from tests.botkit import run_sql
from tests.deskkit import DESK, GREETING, RITA, SAM, DeskKit
from tests.slackkit import TEAM

EXAMPLES = int(os.environ.get("DESK_EXAMPLES", "0"))
PHASES = (
    [Phase.generate, Phase.shrink] if os.environ.get("DESK_SHRINK") else [Phase.generate]
)  # shrinking takes minutes
LIMIT = timedelta(minutes=30)
SLACK = timedelta(minutes=12)  # for a crash: a lease, a few tries
LONGER = "need longer than I said"
BOTS = {promises.SPEAK, promises.TEMPLATE}
DEADLY = (
    "chat.postMessage",
    "chat.postMessage",
    "chat.update",
    "reactions.add",
    "say_line",
    "Speak",
    *promises.LASTING,
)
BUTTONS = ("Take over", "Back to the queue", "Hand back to the bot", "Close")
staff = st.sampled_from([SAM, RITA])
twice = st.integers(1, 2)


class Killed(Exception):
    """Whoever did it is dead from here on."""


class World(DeskKit):
    """A desk in which hands die on demand, and which notes who had the word when something was said."""

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        self.dying = Counter()
        self.said_by = []  # (promise kind, who had the word, the words)
        self.tap_before_it_leaves = None
        self.api(self._call)
        self.hands.update({kind: self._mortal(kind) for kind in HANDS})
        self._send, self.channel.send = self.channel.send, self._noted

    def _call(self, real, team, method, **arguments):
        answer = real(team, method, **arguments)
        self._die(method)
        return answer

    def _mortal(self, kind):
        def hand(tools, promise):
            outcome = HANDS[kind](tools, promise)
            self._die(kind)
            return outcome

        return hand

    def _die(self, what):
        if self.dying[what]:
            self.dying[what] -= 1
            raise Killed

    def _noted(self, to, message, promise_id, ready):
        if self.tap_before_it_leaves is not None:
            who, self.tap_before_it_leaves = self.tap_before_it_leaves, None
            self.clicks("Take over", who)

        def really():
            ready()
            kind = next(row.kind for row in self.rows(tables.promise) if row.id == promise_id)
            self.said_by.append((kind, self.held(to.address).owner, message.body))

        return self._send(to, message, promise_id, really)

    def clicks(self, what, who, times=1):
        """Somebody taps below the newest root, if that is there."""
        try:
            assert self.slack.tap(TEAM, who, what, where=DESK, times=times).ok
        except LookupError:
            return

    def begin(self):
        """As on the first day."""
        run_sql(self.url, "truncate contact, inbound, slack_pace cascade")
        run_sql(self.url, "delete from promise")
        channel = self.slack._world.workspaces[TEAM].channels[DESK]
        channel.messages.clear()
        self.mend()
        self.channel.sent.clear()
        self.said_by.clear()

    def mend(self):
        """Nothing goes wrong any more."""
        self.slack._world.faults.clear()
        self.channel.failures.clear()
        self.channel.swallows = False
        self.dying.clear()
        self.tap_before_it_leaves = None


class Machine(RuleBasedStateMachine):
    world: World

    def __init__(self):
        super().__init__()
        self.count = 0
        self.who = ""
        self.internal = set()
        self.lines = []  # of staff's: [the tokens that it had, its name at Slack, when it was written]
        self.written = {}  # what the member wrote with a case open: token to case, in order
        self.waits = None  # since when the member waits for a word
        self.told = False  # that it takes longer: they go on with the bot, until somebody says to be there
        self.unheard = 0  # messages that were sent before it was looked last

    def token(self, kind):
        self.count += 1
        return f"{kind}{self.count}z"

    @property
    def now(self):
        return self.world.clock.now()

    @property
    def case(self):
        rows = self.world.rows(tables.case)
        return rows[-1] if rows and rows[-1].closed_at is None else None

    @initialize()
    def a_member_calls_for_a_person(self):
        self.world.begin()
        self.who = "+5511988887777"
        self.world.calls(self.who)
        self.waits = self.case.waits_since

    # --- the member ---

    def said(self, words, **more):
        self.world.clock.move(seconds=1)
        before, inbound = self.case, self.world.inbound(words, self.who, **more)
        for _ in range(2):  # Twilio's webhooks come twice
            self.world.parts.turns.receive(inbound)
        after = self.case
        self.look()
        if after is not None and self.waits is None and not self.told:
            self.waits = self.now
        return before if before is not None and after is not None and before.number == after.number else None

    @rule()
    def the_member_writes(self):
        token = self.token("m")
        case = self.said(token)
        if case is not None:
            self.written[token] = case.number

    @rule(words=st.sampled_from(["bot", "person", "menu", "what is an app password?"]))
    def the_member_says(self, words):
        self.said(words)

    # --- staff ---

    @precondition(lambda self: self.world.roots())
    @rule(who=staff, times=twice, then=st.sampled_from(["", "", "change", "internal", "delete", "late"]))
    def staff_write_to_the_member(self, who, times, then):
        token = self.token("s")
        ts = self.world.writes(f"!{token}", who=who, wait=False, times=times)
        self.lines.append(([token], ts, who))
        if then == "late":
            self.passes(seconds=8)
        if then in {"change", "late"}:
            self.lines[-1][0].append(self.token("e"))
            self.world.slack.edit(TEAM, who, ts, f"!{self.lines[-1][0][-1]}")
        elif then == "internal":
            self.internal.add(token)
            self.world.slack.edit(TEAM, who, ts, token)
        elif then == "delete":
            self.internal.add(token)
            self.world.slack.take_back(TEAM, who, ts)

    @precondition(lambda self: self.world.roots())
    @rule(who=staff)
    def staff_write_among_themselves(self, who):
        token = self.token("i")
        self.internal.add(token)
        self.world.writes(f"{token} <@{RITA}>", who=who, wait=False)

    @rule(what=st.sampled_from(BUTTONS), who=staff, times=twice)
    def staff_tap(self, what, who, times):
        self.world.clicks(what, who, times)

    @rule(who=staff)
    def somebody_takes_it_right_before_an_answer_leaves(self, who):
        self.world.tap_before_it_leaves = who
        self.said("menu")
        self.passes(seconds=3)

    @rule(who=staff)
    def somebody_puts_it_off(self, who):
        self.world.clicks("Put off 2 hours", who)
        self.time_passes(50)

    # --- the world ---

    @rule(event=st.sampled_from([MailboxWorks("ana@agency.test"), TestSlow()]))
    def a_result_comes(self, event):
        with self.world.engine.begin() as db:
            self.world.parts.turns.result(db, self.world.held(self.who).id, event, 0)

    @rule(what=st.sampled_from(DEADLY), minutes=st.sampled_from([0, 5]))
    def somebody_dies(self, what, minutes):
        self.world.dying[what] = 1
        self.the_member_writes()
        self.passes(seconds=8)
        self.passes(minutes=minutes)

    @rule(kind=st.sampled_from(["drop_before", "drop_after", "500", "ratelimited"]))
    def slack_will_break(self, kind):
        self.world.slack.fail("chat.postMessage", kind)

    @rule(failure=st.sampled_from([Later("x", "x", 20.0), Unclear("x", "x")]), swallows=st.booleans())
    def the_provider_will_break(self, failure, swallows):
        self.world.channel.swallows = swallows and isinstance(failure, Unclear)
        self.world.channel.failures.append(failure)

    @rule(lane=st.sampled_from(["work", "speak"]))
    def a_machine_dies_with_what_it_had_claimed(self, lane):
        self.world.claim(lane)

    @rule(status=st.sampled_from([("sent", 3), ("delivered", 4), ("read", 5)]))
    def the_provider_tells_how_far_it_came(self, status):
        for line in self.world.lines()[-2:]:
            if line.state in {"leaving", "sent", "delivered", "read"} and self.was_heard(line.text):
                self.world.status(line, *status)

    @rule(seconds=st.sampled_from([1, 7, 40]))
    def a_moment_passes(self, seconds):
        self.passes(seconds=seconds)

    @rule(minutes=st.sampled_from([5, 35]))
    def time_passes(self, minutes):
        for _ in range(minutes // 5):
            self.passes(minutes=5)

    def passes(self, **time):
        self.world.soon(**time)
        self.world.worker._sweep(self.now)
        self.look()

    # --- what must hold ---

    def was_heard(self, token):
        return any(token == body for body in self.world.bodies(self.who))

    def look(self):
        """The member's own side: since when they wait."""
        sent = self.world.bodies(self.who)
        fresh, self.unheard = sent[self.unheard :], len(sent)
        for body in fresh:
            if LONGER in body:
                self.waits, self.told = None, True
            elif body.startswith(GREETING) and self.told:
                self.waits, self.told = self.now, False
            elif re.fullmatch(r"[se]\d+z", body):
                self.waits, self.told = None, False
        if self.case is None:
            self.waits, self.told = None, False

    @invariant()
    def nothing_internal_reaches_the_member(self):
        read = " ".join(self.world.bodies(self.who)) if self.who else ""
        assert not [token for token in self.internal if token in read]
        assert "U0" not in read

    @invariant()
    def only_who_has_the_word_speaks(self):
        for kind, owner, body in self.world.said_by:
            assert owner == ("bot" if kind in BOTS else "person"), (kind, owner, body)

    @invariant()
    def what_staff_say_is_read_at_most_once_and_in_order(self):
        read = [body for body in self.world.bodies(self.who) if re.fullmatch(r"[se]\d+z", body)] if self.who else []
        which = [next(n for n, line in enumerate(self.lines) if body in line[0]) for body in read]
        assert which == sorted(set(which)), read

    @invariant()
    def what_the_member_wrote_is_in_the_thread_at_most_once_and_in_order(self):
        for number in set(self.written.values()):
            shown = self.shown(number)
            assert len(shown) == len(set(shown))
            assert shown == [token for token, case in self.written.items() if case == number and token in shown]
            assert shown == [token for token, case in self.written.items() if case == number][: len(shown)]

    @invariant()
    def every_open_case_has_a_running_timer(self):
        if self.case is not None:
            assert self.world.promised(promises.CASE_TIME, "todo", "doing")

    @invariant()
    def nobody_waits_in_silence_past_the_limit(self):
        self.look()
        if self.waits is not None and self.case is not None:
            assert self.now <= self.waits + LIMIT + SLACK, self.case

    def shown(self, number):
        """The member's words in the thread of a case, as they stand there."""
        below = [
            one for root in self.world.roots() if f"Case {number}*" in root.text for one in self.world.thread(root)
        ]
        mine = {token for token, case in self.written.items() if case == number}
        return [one for one in re.findall(r"→ (m\d+z)", "\n".join(below)) if one in mine]

    def teardown(self):
        if not self.who:
            return
        self.world.mend()
        for _ in range(3):
            self.world.die_later()
            self.passes(minutes=6)
        self.nothing_internal_reaches_the_member()
        self.only_who_has_the_word_speaks()
        for row in self.world.rows(tables.case):
            mine = [token for token, number in self.written.items() if number == row.number]
            assert not row.thread or self.shown(row.number) == mine
        assert not [one for one in self.world.lines() if one.state in {"held", "leaving"}]
        kept = [one for one in self.world.rows(tables.promise) if one.state == "failed"]
        assert not [one for one in kept if one.lane != "speak"], kept


@pytest.mark.parametrize("lacking", [(), ("metadata.message:read",)])
def test_the_desk_keeps_its_promises_whatever_happens(database_url, tmp_path, lacking):
    with World(database_url, tmp_path, SUPPORT_HOURS="") as world:
        world.without(*lacking)
        Machine.world = world
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=EXAMPLES or (5 if lacking else 10),
                stateful_step_count=25,
                phases=PHASES,
                deadline=None,
                derandomize=not EXAMPLES,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
