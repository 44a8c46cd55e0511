"""The page that gives what is stored about somebody, in real Chromium: one tap is one file, and no second one."""

import json
from pathlib import Path

import pytest
from browser import axe_violations, chromium, opened, served  # noqa: F401 - the fixture `browser`
from playwright.sync_api import expect

from bot.app import create_app
from bot.web.data_page import FILE
from flows.speech import texts
from tests.botkit import ADDRESS
from tests.test_data_page import at_the_link, exported

pytestmark = pytest.mark.world

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
EN = texts("en")


@pytest.fixture
def site(kit):
    with served(create_app(kit.parts)) as address:
        yield address


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_one_tap_brings_the_file_and_a_second_one_a_closed_page(browser, kit, site, script):
    kit.mailbox()
    with opened(browser, java_script_enabled=script, **PHONE) as page:
        page.goto(f"{site}/s/{at_the_link(kit)}")
        button = page.get_by_role("button", name=EN["data_page.get"], exact=True)
        with page.expect_download() as brought:
            button.click()
        assert brought.value.suggested_filename == FILE
        given = json.loads(Path(brought.value.path()).read_text(encoding="utf-8"))
        assert given["mailboxes"][0]["address"] == ADDRESS
        button.click()
        expect(page.get_by_role("heading", level=1)).to_have_text(EN["page.closed.title"])
    assert len(exported(kit)) == 1


def test_the_page_can_be_read_by_everybody_and_asks_nobody_else(browser, kit, site):
    problems = []
    with opened(browser, **PHONE) as page:
        page.on("console", lambda said: problems.append(said.text))
        page.goto(f"{site}/s/{at_the_link(kit)}")
        assert axe_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]
    assert problems == []
