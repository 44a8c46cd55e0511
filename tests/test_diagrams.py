"""The drawn flows are true: they are what the code draws today, and what conversations really do."""

import re

import pytest

from flows.conversation import FLOWS
from flows.words import Done, Start
from tests import (
    test_flow_card,
    test_flow_compose,
    test_flow_door,
    test_flow_integrate,
    test_flow_mailbox,
    test_flow_welcome_menu_privacy,
)
from tests.draw_flows import DRAWN, NAMES, draw

ARROW = re.compile(r"    (\S+) --> (\S+)(?: : (.+))?")


def arrows(name):
    return {match.group(1, 2) for match in map(ARROW.fullmatch, draw(name).splitlines()) if match}


def test_every_flow_has_its_diagram_and_no_diagram_is_left_over():
    assert set(NAMES) == set(FLOWS)
    assert {path.stem for path in DRAWN.glob("*.mmd")} == set(FLOWS)


@pytest.mark.parametrize("name", NAMES)
def test_the_diagram_is_what_the_code_draws_today(name):
    drawn = (DRAWN / f"{name}.mmd").read_text(encoding="utf-8")
    assert drawn == draw(name), "python -m tests.draw_flows draws it anew"


@pytest.mark.parametrize("name", NAMES)
def test_every_state_can_be_entered_and_left(name):
    states = {state.__name__ for state in FLOWS[name].states}
    entered = {end for begin, end in arrows(name) if begin != end}
    left = {begin for begin, end in arrows(name) if begin != end}
    assert states <= entered
    assert states <= left


TOLD = {
    "mailbox": [*test_flow_mailbox.STORY.values(), *test_flow_mailbox.MANAGED.values()],
    "card": [*test_flow_card.STORY.values()],
    "door": [*test_flow_door.STORY.values()],
    "integrate": [*test_flow_integrate.STORY.values()],
    "compose": [*test_flow_compose.STORY.values()],
    "menu": [*test_flow_welcome_menu_privacy.IN_THE_MENU.values()],
}


@pytest.mark.parametrize("name", TOLD)
def test_every_step_that_the_tests_tell_is_an_arrow_of_the_diagram(name):
    told = set()
    for state, _, expected in TOLD[name]:
        if isinstance(expected, tuple):
            after, effects = expected
            started = [f"flow_{effect.flow}" for effect in effects if isinstance(effect, Start)]
            end = started or ["[*]" if isinstance(after, Done) else type(after).__name__]
            told.add((type(state).__name__, *end))
    assert told <= arrows(name)
    assert len(told) > 3
