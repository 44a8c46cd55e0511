"""The audit finds each kind of broken promise; and a short run, in which all of them are kept."""

import importlib
import itertools
import json
import pkgutil
import subprocess
import sys
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

import bot
from flows.speech import sentence
from tests.chaos.audit import Evidence, Found, Kept, Mailed, audit
from tests.chaos.guests import SILENCE, HandedIn
from tests.chaos.installation import Shown, address, client, recipient
from tests.chaos.people import Crowd
from tests.chaos.points import POINTS
from tests.chaos.post import Letter
from tests.rabbit import SERVER

ROOT = Path(__file__).parent.parent
ANA, BRUNO = "+15550100001", "+15550100002"
BOX, MINE, CLIENT = recipient("ana1"), address("ana1"), client("ana1")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)


def kept(number, **other):
    usual = {"number": ANA, "kind": "Speak", "state": "done", "attempt": 1, "outcome": "", "provider_id": f"SM{number}"}
    return Kept(**{"id": number, "waits": False, **usual, **other})


def shown(promise, body="Hello."):
    return Shown(ANA, f"SM{promise}", promise, body)


def told(name, promise):
    words = {"to": BOX, "why": "The server said no."}
    body = sentence(name, "en", **words)
    return shown(promise, f"{body}\n\nWhat would you like to do?")


CLEAN = Evidence(
    letters=[Letter("in-1", ANA, "hello", taken=True)],
    heard={"in-1": NOON},
    lines={ANA: [NOON]},
    promises=[
        kept(1),
        kept(2),
        kept(3, kind="SendMail", provider_id=None),
        kept(4, kind="TestLogin", provider_id=None),
    ],
    shown=[shown(1), told("news.mail_accepted", 2)],
    mails=[Mailed("abc", ANA, "accepted", (BOX,), MINE, "appended")],
    found=[Found(BOX, "abc", "Viewing ana1-1"), Found(MINE, "proof-00000004", "It works")],
    copies=[Found(MINE, "abc", "Viewing ana1-1"), Found(MINE, "proof-00000004", "It works")],
)
MAIL, PROOF = CLEAN.found
COPY = CLEAN.copies[0]


def with_mail(state, *found, name="news.mail_accepted", promise=2):
    mails = [Mailed("abc", ANA, state, (BOX,), MINE, "appended" if state == "accepted" else "")]
    copies = [COPY] if state == "accepted" else []
    return replace(CLEAN, mails=mails, found=list(found), copies=copies, shown=[shown(1), told(name, promise)])


def with_copy(state, *copies, told_missing=False):
    mails = [Mailed("abc", ANA, "accepted", (BOX,), MINE, state)]
    words = [told("news.copy_missing", 5)] if told_missing else []
    promises = [*CLEAN.promises, *[kept(5)][:told_missing]]
    return replace(CLEAN, mails=mails, copies=list(copies), shown=[*CLEAN.shown, *words], promises=promises)


SURE, AGAIN, UNSURE, PUT_OFF = (
    f"{code} {sentence(f'door_reply.{name}', 'en')}"
    for code, name in ((250, "accepted"), (250, "before"), (250, "unknown"), (451, "under_way"))
)
NO = "550 5.1.1 Nobody of that name."
OFFER = Found(CLIENT, "offer-ana1-0", "Offer ana1-0")


def at_door(*states, arrived=1, replies=(SURE,), told_unknown=0, copies=None, left=()):
    """Beside all else: a mail that came in at the door, as we know each try of it, and what its program heard."""
    rows = [
        Mailed(OFFER.marker, ANA, state, (CLIENT,), MINE, "appended" if state == "accepted" else "", at_door=True)
        for state in states
    ]
    filed = states.count("accepted") if copies is None else copies
    news = range(10, 10 + told_unknown)
    return replace(
        CLEAN,
        handed=[HandedIn(ANA, OFFER.subject, replies=list(replies))],
        mails=[*CLEAN.mails, *rows],
        found=[*CLEAN.found, *[OFFER] * arrived],
        copies=[*CLEAN.copies, *[replace(OFFER, box=MINE)] * filed],
        promises=[*CLEAN.promises, *(kept(number) for number in news)],
        shown=[*CLEAN.shown, *(told("news.door_unknown", number) for number in news)],
        left=left,
    )


def test_an_installation_that_kept_everything_has_no_findings():
    report = audit(CLEAN)
    assert report.clean
    assert report.counts() == {
        "messages": 1, "turns": 1, "replies": 2, "mails": 1, "lost": 0, "doubled": 0, "out_of_order": 0, "late": 0,
        "longest_take_over": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "lost", "doubled", "out_of_order"),
    [
        pytest.param(replace(CLEAN, heard={}, lines={}), 1, 0, 0, id="taken without a turn"),
        pytest.param(replace(CLEAN, lines={}), 1, 0, 0, id="claimed without a turn"),
        pytest.param(replace(CLEAN, letters=[*CLEAN.letters, Letter("in-2", ANA, "menu")]), 1, 0, 0, id="never heard"),
        pytest.param(replace(CLEAN, lines={ANA: [NOON, LATER]}), 0, 1, 0, id="two turns of one message"),
        pytest.param(replace(CLEAN, promises=[*CLEAN.promises, kept(5)]), 1, 0, 0, id="a reply that nobody saw"),
        pytest.param(replace(CLEAN, shown=[*CLEAN.shown, shown(1)]), 0, 1, 0, id="a reply seen twice"),
        pytest.param(replace(CLEAN, shown=[*CLEAN.shown, shown(9)]), 0, 1, 0, id="a reply of no promise"),
        pytest.param(replace(CLEAN, shown=CLEAN.shown[::-1]), 0, 0, 1, id="replies out of order"),
        pytest.param(replace(CLEAN, promises=[*CLEAN.promises, kept(5, state="todo")]), 1, 0, 0, id="unfinished"),
        pytest.param(replace(CLEAN, dead=["ValueError"]), 1, 0, 0, id="a turn that raised"),
        pytest.param(replace(CLEAN, complaints=["worker-1 ended"]), 1, 0, 0, id="a process that ended by itself"),
        pytest.param(with_mail("accepted"), 1, 0, 0, id="accepted and nowhere"),
        pytest.param(with_mail("accepted", MAIL, MAIL), 0, 2, 0, id="the same mail twice"),
        pytest.param(with_copy("appended"), 1, 0, 0, id="a copy that is not there"),
        pytest.param(with_copy("appended", COPY, COPY), 0, 1, 0, id="two copies"),
        pytest.param(with_copy("found", replace(COPY, box=BOX)), 1, 1, 0, id="a copy at somebody else"),
        pytest.param(with_copy(""), 1, 0, 0, id="a copy that nobody saw to"),
        pytest.param(with_copy("failed"), 1, 0, 0, id="a missing copy, not told"),
        pytest.param(with_copy("failed", COPY, told_missing=True), 0, 1, 0, id="told as missing, and there"),
        pytest.param(with_copy("appended", COPY, told_missing=True), 0, 1, 0, id="there, and told as missing"),
        pytest.param(replace(CLEAN, found=[MAIL, PROOF, PROOF]), 0, 1, 0, id="a second mail to oneself"),
        pytest.param(replace(CLEAN, copies=[COPY, PROOF, PROOF]), 0, 1, 0, id="a second copy of that"),
        pytest.param(
            replace(CLEAN, found=[MAIL, replace(PROOF, marker="proof-00000003")]), 0, 1, 0, id="a proof of no test"
        ),
        pytest.param(
            with_mail("accepted", *CLEAN.found, Found(BOX, "x", "Viewing ana1-1")), 0, 2, 0, id="its text in two mails"
        ),
        pytest.param(with_mail("todo", *CLEAN.found), 1, 2, 0, id="arrived, told, and still to be sent"),
        pytest.param(with_mail("refused", *CLEAN.found, name="news.mail_refused"), 0, 1, 0, id="refused and arrived"),
        pytest.param(with_mail("unknown"), 1, 1, 0, id="unknown and told as accepted"),
        pytest.param(replace(CLEAN, shown=[shown(1), shown(2)]), 1, 0, 0, id="nothing was told"),
    ],
)
def test_every_broken_promise_is_found(evidence, lost, doubled, out_of_order):
    report = audit(evidence)
    counts = [len(found) for found in (report.lost, report.doubled, report.out_of_order)]
    assert counts == [lost, doubled, out_of_order], report


@pytest.mark.parametrize("found", [[], CLEAN.found], ids=["not there", "there"])
def test_an_unknown_mail_may_have_arrived_or_not(found):
    assert audit(with_mail("unknown", *found, name="news.mail_unknown")).clean


@pytest.mark.parametrize(
    ("evidence", "lost", "doubled"),
    [
        pytest.param(at_door("accepted", arrived=2), 0, 2, id="sent twice"),
        pytest.param(at_door("unknown", arrived=2, replies=[SILENCE], told_unknown=1), 0, 2, id="unknown, sent twice"),
        pytest.param(at_door("accepted", "accepted", arrived=2, copies=2), 0, 2, id="noted twice and sent twice"),
        pytest.param(at_door("accepted", arrived=0), 2, 0, id="a sure yes, and nowhere"),
        pytest.param(at_door(arrived=0), 1, 0, id="a sure yes, nowhere, and not known to us"),
        pytest.param(at_door("unknown", arrived=0, told_unknown=1), 1, 0, id="a sure yes, nowhere, and unknown"),
        pytest.param(at_door(arrived=0, replies=[UNSURE]), 1, 0, id="a yes, nowhere, and not known to us"),
        pytest.param(at_door("unknown", arrived=1, replies=[UNSURE]), 1, 0, id="unknown and not told"),
        pytest.param(at_door("unknown", replies=[UNSURE], told_unknown=2), 0, 1, id="unknown and told twice"),
        pytest.param(at_door("accepted", told_unknown=1), 0, 1, id="accepted and told as unknown"),
        pytest.param(at_door("handing", arrived=0, replies=[SILENCE]), 1, 0, id="still on its way"),
        pytest.param(at_door("handing", replies=[SILENCE]), 1, 1, id="still on its way, and there"),
        pytest.param(at_door("refused", replies=[NO]), 0, 2, id="refused and there"),
        pytest.param(at_door("accepted", replies=[PUT_OFF]), 0, 1, id="put off and there"),
        pytest.param(at_door(replies=[SILENCE]), 0, 1, id="there and not known to us"),
        pytest.param(at_door("accepted", copies=0), 1, 0, id="without its copy"),
        pytest.param(at_door("accepted", copies=2), 0, 1, id="with two copies"),
        pytest.param(at_door("accepted", left=["1 sealed mails"]), 1, 0, id="its words lie still there"),
    ],
)
def test_every_broken_promise_of_the_door_is_found(evidence, lost, doubled):
    report = audit(evidence)
    assert [len(report.lost), len(report.doubled), len(report.out_of_order)] == [lost, doubled, 0], report


@pytest.mark.parametrize(
    "evidence",
    [
        pytest.param(at_door("accepted"), id="accepted"),
        pytest.param(at_door("accepted", replies=[SILENCE, AGAIN]), id="accepted, and heard at the second try"),
        pytest.param(at_door("accepted", replies=[SILENCE]), id="accepted, and never heard"),
        pytest.param(at_door("refused", "refused", "accepted"), id="refused twice before it was accepted"),
        pytest.param(at_door("refused", arrived=0, replies=[NO]), id="refused"),
        pytest.param(at_door(arrived=0, replies=[SILENCE]), id="died before it was noted, and never came again"),
        pytest.param(at_door("unknown", replies=[SILENCE, PUT_OFF, UNSURE], told_unknown=1), id="unknown and there"),
        pytest.param(at_door("unknown", arrived=0, replies=[UNSURE], told_unknown=1), id="unknown and not there"),
    ],
)
def test_a_mail_at_the_door_may_end_in_each_of_these_ways(evidence):
    assert audit(evidence).clean, audit(evidence)


@pytest.mark.parametrize(
    ("state", "copies", "lost", "doubled"),
    [("accepted", 1, 0, 0), ("accepted", 0, 1, 0), ("unknown", 1, 0, 0), ("unknown", 0, 0, 0), ("unknown", 2, 0, 1)],
)
def test_a_server_that_files_by_itself_may_have_done_so_before_we_knew(state, copies, lost, doubled):
    known = at_door(state, replies=[SILENCE], told_unknown=int(state == "unknown"), copies=copies)
    mails = [replace(one, filed=True, copy="") if one.at_door else one for one in known.mails]
    report = audit(replace(known, mails=mails))
    assert (len(report.lost), len(report.doubled)) == (lost, doubled), report


def test_of_a_missing_copy_at_the_door_people_need_not_hear():
    copied = at_door("accepted", copies=0)
    mails = [replace(one, copy="failed") if one.at_door else one for one in copied.mails]
    assert audit(replace(copied, mails=mails)).clean


def test_a_missing_copy_that_was_told_is_no_finding():
    assert audit(with_copy("failed", told_missing=True)).clean


def test_a_promise_that_waits_for_its_time_is_no_finding():
    nudge = kept(5, kind="remind", state="todo", provider_id=None, waits=True)
    assert audit(replace(CLEAN, promises=[*CLEAN.promises, nudge])).clean


def test_two_replies_that_were_said_in_one_message_are_both_shown():
    assert audit(replace(CLEAN, promises=[*CLEAN.promises, kept(5, provider_id="SM2")])).clean


def test_a_reply_that_was_under_way_when_its_process_was_frozen_is_told_apart():
    report = audit(replace(CLEAN, shown=[*CLEAN.shown, shown(1)], excused=frozenset({1})))
    assert report.clean
    assert len(report.excused) == 1


class FullPhones:
    """Twilio, its phones, and the post, in one: a phone keeps three messages, and `deaf` ones get no more."""

    def __init__(self, deaf=()):
        self._shown = {}
        self._deaf = deaf
        self._numbers = itertools.count(1)
        self.twilio = self

    def phone(self, number):
        return list(self._shown.get(number, ()))

    def bring(self, number, _words):
        if number not in self._deaf:
            self._shown.setdefault(number, deque(maxlen=3)).append(SimpleNamespace(number=next(self._numbers)))

    def settle(self):
        """All has come."""

    def wait_until(self, done, _seconds):
        if not done():
            raise TimeoutError


def crowd_at(world):
    crowd = Crowd(world, world, 1, [], [])
    crowd.numbers += [ANA, BRUNO]
    for number in (ANA, BRUNO) * 5:
        world.bring(number, "hello")
    return crowd


def test_who_is_answered_at_the_end_is_seen_on_a_full_phone_too():
    assert crowd_at(FullPhones()).mute() == []


def test_who_is_not_answered_at_the_end_is_named():
    assert crowd_at(FullPhones(deaf={BRUNO})).mute() == [f"{BRUNO} is not answered any more"]


def test_every_named_point_is_a_function_of_the_product():
    known = set()
    for module in pkgutil.iter_modules(bot.__path__, "bot."):
        known |= _functions(module.name)
    known |= _functions("bot.web.pages") | _functions("bot.mail.wire.smtp")
    assert {function for table in POINTS.values() for function in table} <= known


def _functions(module):
    stem = module.rpartition(".")[2]
    names = vars(importlib.import_module(module)) if not stem.startswith("__") else {}
    classes = [one for one in names.values() if isinstance(one, type)]
    return {f"{stem}.{name}" for name in [*names, *(name for one in classes for name in vars(one))]}


def stormed(*options):
    """A run of its own: its result, status and words. All stand in this file: two at once are refused."""
    command = [sys.executable, "-m", "tests.chaos", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=280)
    assert done.stdout, done.stderr.decode()
    return json.loads(done.stdout.decode().splitlines()[-1]), done.returncode, done.stderr.decode()


@pytest.mark.processes
@pytest.mark.timeout(300)
def test_whatever_dies_nothing_is_lost_doubled_or_out_of_order():
    result, status, told = stormed("--seed", "11", "--seconds", "12", "--people", "6")
    assert list(result) == ["seed", *audit(CLEAN).counts()]
    assert (result["lost"], result["doubled"], result["out_of_order"], status) == (0, 0, 0, 0), told
    assert min(result["messages"], result["turns"], result["replies"]) > 10, told


@pytest.mark.processes
@pytest.mark.timeout(300)
def test_whichever_machine_goes_nothing_is_lost_doubled_out_of_order_or_late():
    """Its first disasters are always that a machine vanishes, and that the broker dies where one is installed."""
    more = ["--broker"] if SERVER.exists() else []
    few = ("--seed", "12", "--seconds", "8", "--people", "4")
    result, status, told = stormed(*few, "--machines", "3", "--desk", *more)
    assert [result[name] for name in ("lost", "doubled", "out_of_order", "late")] == [0, 0, 0, 0], told
    assert status == 0, told
    assert "machine_vanishes" in told
    assert ("broker_dies" in told) == bool(more)
