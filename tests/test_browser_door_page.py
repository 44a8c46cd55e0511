"""The page that shows the key for Ally, in real Chromium: with and without script, and what Back and Reload bring."""

import pytest
from browser import axe_violations, chromium, opened, served  # noqa: F401 - the fixture `browser`
from playwright.sync_api import Error, expect

from bot.app import create_app
from bot.door_keys import hash_of
from flows.door import Trying
from flows.speech import texts
from tests import doorkit
from tests.doorkit import HOST, KEY, at_the_link, keys

pytestmark = pytest.mark.world

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
EN = texts("en")


@pytest.fixture
def kit(database_url, tmp_path):
    with doorkit.opened(database_url, tmp_path) as made:
        yield made


@pytest.fixture
def site(kit):
    with served(create_app(kit.parts)) as address:
        yield address


@pytest.fixture(params=[True, False], ids=["script", "no script"])
def either(browser, request):
    with opened(browser, java_script_enabled=request.param, **PHONE) as page:
        yield page


def press(page, name):
    page.get_by_role("button", name=EN[name], exact=True).click()


def heading(page):
    return page.get_by_role("heading", level=1)


def test_the_key_is_shown_typed_in_and_gone(either, kit, site):
    either.goto(f"{site}/s/{at_the_link(kit)}")
    assert not KEY.search(either.content())
    press(either, "door_page.show")
    key = either.locator("#key .typed").inner_text()
    assert keys(kit)[0].hash == hash_of(key)
    assert key not in either.url
    expect(either.get_by_text(HOST, exact=True)).to_be_visible()
    press(either, "door_page.typed")
    expect(heading(either)).to_have_text(EN["door_page.done.title"])
    assert kit.envelope().state == Trying("now")
    with pytest.raises(Error, match="ERR_CACHE_MISS"):  # the browser kept nothing, and asks whether to send again
        either.go_back()
    expect(either.locator("body")).not_to_contain_text(key)


def test_the_key_is_copied_and_the_button_says_so(browser, kit, site):
    with opened(browser, permissions=["clipboard-read", "clipboard-write"], **PHONE) as page:
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if "Content Security" in said.text else None)
        page.goto(f"{site}/s/{at_the_link(kit)}")
        press(page, "door_page.show")
        button = page.locator("#key .copy")
        button.click()
        expect(button).to_contain_text(EN["door_page.copied"])
        assert page.evaluate("navigator.clipboard.readText()") == page.locator("#key .typed").inner_text()
        assert axe_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]
        assert problems == []
