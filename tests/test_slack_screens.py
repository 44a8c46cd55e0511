"""Every screen of Slack's people: what Slack would refuse, what is left out, and (in a browser) what does not fit."""

from collections import Counter
from functools import cache
from typing import get_args

import pytest
from browser import axe_violations, chromium, opened  # noqa: F401 - the fixture `browser`

from bot.playground.slack_screen import shown
from flows.words import LANGUAGES, News
from tests.slack_screens import PHONE, WIDE, all_news, draw, screens, sheet

# Frames that something sticks out of, and parts whose words are cut off.
MISFITS = """() => [...document.querySelectorAll('.slack')].flatMap((frame) => {
  const edge = frame.getBoundingClientRect();
  return [frame, ...frame.querySelectorAll('*')].filter((part) => {
    if (part.closest('details:not([open])') && !part.closest('summary')) return false;
    const box = part.getBoundingClientRect();
    const beside = box.left < edge.left - 1 || box.right > edge.right + 1;
    const out = box.width > 0 && (beside || box.bottom > edge.bottom + 1);
    const style = getComputedStyle(part);
    const cut = part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0 && style.display !== 'inline';
    const low = part.tagName === 'BUTTON' && part.scrollHeight > part.clientHeight + 1;
    return out || cut || low;
  }).map((part) => `${frame.parentElement.id}: ${part.outerHTML.slice(0, 120)}`);
})"""


@cache
def every():
    return tuple(screens())


@pytest.mark.parametrize("language", LANGUAGES)
def test_slack_would_refuse_none_of_our_screens_and_ping_nobody(language):
    here = [one for one in every() if one.language == language]
    assert {one.id: one.problems() for one in here if one.problems()} == {}


def test_each_screen_is_there_in_every_language():
    counted = {
        language: Counter((one.group, one.kind) for one in every() if one.language == language)
        for language in LANGUAGES
    }
    assert counted["en"].keys() == counted["pt"].keys() == counted["es"].keys()
    assert all(sum(one.values()) > 600 for one in counted.values())
    assert {one.kind for one in every()} == {"message", "private", "modal", "home"}


def test_all_news_there_is_is_among_them():
    assert {type(one) for one in all_news()} == set(get_args(News))


def test_every_screen_can_be_drawn_and_no_sentence_of_it_is_missing():
    """What a screen reader reads of the picture is what the stand-in says is shown."""
    for one in every():
        drawn = one.html()
        for label in ("Talk to a person", "Falar com alguém", "Hablar con alguien"):
            assert (label in drawn) == (label in shown(one.content.get("blocks") and one.content)), one.id


@pytest.mark.parametrize("language", LANGUAGES)
def test_nobody_is_left_without_a_way_on(language):
    """Every window can be closed, and every home but a list of people offers something to do."""
    for one in every():
        if one.language == language and one.kind == "modal":
            assert one.content["close"]["text"], one.id
        if one.language == language and one.kind == "home":
            assert any(block["type"] == "actions" for block in one.content["blocks"]), one.id


def test_no_row_of_buttons_is_longer_than_a_person_can_take_in():
    rows = {
        one.id: [len(block["elements"]) for block in one.content.get("blocks", ()) if block["type"] == "actions"]
        for one in every()
        if "team.list" not in one.id and "who_is_paid" not in one.id  # names of people, of companies
    }
    assert {name: found for name, found in rows.items() if max(found, default=0) > 7} == {}


@pytest.mark.world
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_nothing_sticks_out_of_its_frame_and_no_words_are_cut(browser, language, width):
    with opened(browser, viewport={"width": width + 32, "height": 900}) as page:
        page.set_content(sheet([one for one in every() if one.language == language]))
        assert page.evaluate(MISFITS) == []


@pytest.mark.world
def test_what_sticks_out_would_be_found(browser):
    with opened(browser, viewport={"width": PHONE, "height": 900}) as page:
        page.set_content(sheet([one for one in every() if one.name == "stranger"][:1]))
        page.evaluate(
            "document.querySelector('.sl-button').style.cssText = 'max-width: none; flex: none; width: 900px'"
        )
        assert page.evaluate(MISFITS)


@pytest.mark.world
def test_what_is_drawn_can_be_used_without_eyes(browser):
    with opened(browser, viewport={"width": WIDE, "height": 900}) as page:
        wanted = ("admin-few", "wrong-people", "wrong-server", "00-Invited-", "help")
        page.set_content(sheet([one for one in every() if one.language == "pt" and one.name in wanted]))
        ours = [one for one in axe_violations(page) if not one.startswith(("landmark", "region", "page-has-heading"))]
        assert ours == []


@pytest.mark.world
def test_pictures_are_written(browser, tmp_path):
    assert draw(tmp_path, ["stranger"], browser) == 3
    assert (tmp_path / "es" / "stranger.home.phone.png").stat().st_size > 1000
    assert (tmp_path / "es" / "homes.html").exists()
