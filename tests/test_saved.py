"""Plain data through JSON and back, and every shape of a conversation that ever shipped.

Who changes the shape of a state or of the envelope raises `saved.VERSION`, adds an upgrade, leaves the files of the
older versions as they are, and adds a folder for the new one.
"""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from flows import compose, mailbox, saved
from flows.compose import MAX_TEXT
from flows.conversation import FLOWS, MAX_TRAIL, Asked, Envelope, close, converse, records, restarted
from flows.saved import VERSION, Unreadable, dump, dump_envelope, load, load_envelope, was_silent
from flows.words import (
    Account,
    Ask,
    Code,
    Done,
    Effect,
    Event,
    Filled,
    Link,
    Option,
    Quote,
    Said,
    Say,
    SendMail,
    Server,
    ServerFound,
    Speak,
    Tapped,
    Text,
)
from tests.flowkit import ANA, WORKS, facts

SHIPPED = sorted(Path(__file__).parent.glob("saved/v*/*.json"))
IN_THE_MIDDLE = Envelope(
    "mailbox",
    mailbox.AwaitingSecret(ANA, "l1", 2),
    (("mailbox", mailbox.Collecting({"address": "ana@agency.test"}, "host")),),
    Asked("mailbox.secret", (("new_link", "New link"),)),
    ticket=7,
    misses=1,
    doubt="menu",
    greeted=True,
    silent=True,
)


def raw(**changes):
    return {**dump_envelope(IN_THE_MIDDLE), **changes}


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        Speak(
            (
                Say(
                    "a",
                    {"n": 3, "d": date(2026, 3, 2), "c": Code("x"), "t": Text("y"), "q": Quote("z"), "l": Link("1")},
                ),
            )
        ),
        Speak((), "menu.choosing", (Option("a", "b"), Option("c", words="d"))),
        SendMail(("a@agency.test", "b@agency.test"), "Olá", "👍\n"),
        ServerFound(Account("a", "b", Server("c", 465, "tls")), confirm=True),
        Filled({"is": "Said", "map": "x", "day": "2026-03-02"}),
        Said("text", literal=True),
        Tapped("menu.choosing:setup"),
        Done(ask=False),
    ],
)
def test_what_goes_through_json_comes_back_the_same(value):
    assert load(json.loads(json.dumps(dump(value)))) == value


def test_every_event_and_effect_can_come_back():
    assert {*get_args(Event), *get_args(Effect)} <= set(saved._WORDS.values())
    assert len(saved._WORDS) == len({*get_args(Event), *get_args(Effect), *saved._VALUES})


@pytest.mark.parametrize(
    "broken",
    [
        {"is": "Ask"},
        {"is": "os.system", "command": "x"},
        {"is": "Said"},
        {"is": "Said", "text": "x", "more": 1},
        {"is": "Said", "text": {"is": "Nothing"}},
        {"is": 3},
        {"map": 3},
        {"day": "the 2nd of March"},
        {"day": 3},
        {},
        [{"neither": "nor"}],
    ],
)
def test_what_cannot_have_been_written_by_us_is_unreadable(broken):
    assert Ask.__name__ not in saved._WORDS
    with pytest.raises(Unreadable):
        load(broken)


def test_only_plain_data_comes_out():
    assert json.loads(json.dumps(dump((1, None, True, "x", {"a": Code("b")})))) == [
        1,
        None,
        True,
        "x",
        {"map": {"a": {"is": "Code", "text": "b"}}},
    ]


# --- the envelope -----------------------------------------------------------------------------------------------------


def test_a_conversation_comes_back_the_same():
    assert load_envelope(json.loads(json.dumps(raw()))) == IN_THE_MIDDLE
    assert load_envelope(dump_envelope(Envelope())) == Envelope()


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"version": VERSION + 1},
        {"version": "new"},
        {"flow": "gone"},
        {"state": {"is": "Gone"}},
        {"state": {"is": "Collecting", "asking": "address"}},
        {"state": {"is": "Choosing"}},  # a state of another flow
        {"state": {"is": "SendMail", "recipients": [], "subject": "", "text": ""}},
        {"trail": [["gone", {"is": "Done", "ask": True}]]},
        {"trail": 3},
        {"trail": [[1, 2, 3]]},
        {"asked": {"is": "Ask"}},
        {"ticket": "many"},
        {"ticket": None},
    ],
)
def test_a_conversation_that_does_not_fit_is_unreadable_and_never_anything_else(changes):
    with pytest.raises(Unreadable):
        load_envelope(raw(**changes))


@pytest.mark.parametrize("missing", ["version", "flow", "state", "trail", "asked", "ticket", "silent"])
def test_a_conversation_with_a_part_missing_is_unreadable(missing):
    broken = raw()
    del broken[missing]
    with pytest.raises(Unreadable):
        load_envelope(broken)


def test_a_conversation_that_waits_for_no_choice_has_nothing_asked():
    assert load_envelope(raw(asked=None)).asked is None


def test_an_unreadable_conversation_keeps_its_wish_for_silence_and_starts_again():
    assert was_silent(raw(state={"is": "Gone"}))
    assert not was_silent(raw(silent=False))
    assert not was_silent({"silent": "yes"})
    again = restarted(Envelope(silent=was_silent(raw())))
    assert (again.silent, again.greeted, again.lost, again.flow) == (True, True, True, "")


def test_an_older_shape_is_lifted_one_version_at_a_time(monkeypatch):
    def from_minus_one(old):
        return {**old, "ticket": 1}

    def from_zero(old):
        return {**old, "ticket": old["ticket"] + 1}

    monkeypatch.setattr(saved, "UPGRADES", {VERSION - 2: from_minus_one, VERSION - 1: from_zero})
    assert load_envelope(raw(version=VERSION - 2, ticket="gone")).ticket == 2
    assert load_envelope(raw(version=VERSION - 1, ticket=5)).ticket == 6


def test_a_long_conversation_forgets_its_oldest_ways_back_to_stay_within_32_kb():
    mail = {"to": "bia@agency.test", "subject": "s", "text": "👍" * MAX_TEXT}
    trail = tuple(("compose", compose.Previewing({**mail, "subject": str(number)})) for number in range(MAX_TRAIL))
    long = Envelope("compose", compose.Collecting({"to": mail["to"]}, "subject"), trail, greeted=True)
    written = dump_envelope(long)
    assert len(json.dumps(written, ensure_ascii=False).encode()) <= 32 * 1024
    kept = load_envelope(written).trail
    assert kept == trail[-len(kept) :]
    assert 0 < len(kept) < MAX_TRAIL


def test_what_is_too_long_even_so_is_not_saved():
    with pytest.raises(ValueError, match="32 KB"):
        dump_envelope(replace(IN_THE_MIDDLE, doubt="x" * 40_000))


# --- shapes that shipped ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shape_that_ever_shipped_still_loads_and_goes_on(path):
    shipped = json.loads(path.read_text(encoding="utf-8"))
    envelope = load_envelope(shipped)
    if shipped["version"] == VERSION:
        assert dump_envelope(envelope) == shipped
    for event in (Said("hello"), Said("back"), Said("menu")):
        turn = converse(envelope, event, facts(mailbox=WORKS))
        spoken = any(isinstance(effect, Speak) for effect in close(turn, facts(mailbox=WORKS)).effects)
        assert spoken or records(turn)  # whose answer is spoken


def test_every_state_of_today_has_a_file():
    today = {f"{flow.name}.{state.__name__}" for flow in FLOWS.values() for state in flow.states}
    assert today <= {path.stem for path in SHIPPED if path.parent.name == f"v{VERSION}"}


def test_what_is_no_plain_data_is_never_written_down():
    with pytest.raises(TypeError, match="float is no plain data"):
        dump(Say("mailbox.works", {"seconds": 1.5}))
