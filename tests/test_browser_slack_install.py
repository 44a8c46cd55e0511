"""Adding the app to Slack in a real browser: its own rules about forms and cookies hold, and it is readable for all."""

import pytest
from browser import axe_violations, chromium, opened, served  # noqa: F401 - the fixture `browser`
from playwright.sync_api import expect

from flows.speech import texts
from tests.installkit import BIA, SOL, InstallKit

pytestmark = pytest.mark.world

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "locale": "en-US"}
EN = texts("en")


class Late:
    """A web application that is there only once its address is known."""

    def __init__(self):
        self.inner = None

    def __call__(self, environ, start):
        return self.inner(environ, start)


@pytest.fixture
def site(database_url, tmp_path):
    app = Late()
    with served(app) as address, InstallKit(database_url, tmp_path, PUBLIC_URL=address) as kit:
        app.inner = kit.web
        yield address, kit


@pytest.fixture
def page(browser):
    with opened(browser, **PHONE) as opened_page:
        problems = []
        opened_page.on("console", lambda said: problems.append(said.text) if "Content Security" in said.text else None)
        yield opened_page
        assert problems == []


def heading(page):
    return page.get_by_role("heading", level=1)


def test_an_admin_taps_through_to_slack_and_back(site, page):
    address, kit = site
    page.goto(f"{address}/slack/install?code={kit.admin_code()}")
    expect(heading(page)).to_have_text(EN["install.title"])
    page.get_by_role("button", name=EN["install.go"]).click()
    page.get_by_label("You are").select_option(f"{SOL} {BIA}")
    page.get_by_role("button", name="Allow").click()
    expect(heading(page)).to_have_text(EN["install.done.title"])
    expect(page.get_by_role("link", name=EN["install.done.back"])).to_have_attribute(
        "href", f"slack://app?team={SOL}&id={kit.slack.app_id}&tab=messages"
    )
    assert "code=" not in page.url
    page.reload()
    expect(heading(page)).to_have_text(EN["install.done.title"])
    assert kit.row().agency_id == kit.agency


def test_who_says_no_types_the_code_again(site, page):
    address, kit = site
    code = kit.admin_code()
    page.goto(f"{address}/slack/install?code={code}")
    page.get_by_role("button", name=EN["install.go"]).click()
    page.get_by_role("button", name="Cancel").click()
    expect(heading(page)).to_have_text(EN["install.denied.title"])
    page.get_by_label(EN["install.code"]).fill(code.lower())
    page.get_by_role("button", name=EN["install.open"]).click()
    expect(page.get_by_role("button", name=EN["install.go"])).to_be_visible()


def test_nothing_hinders_anybody_on_these_pages(site, page):
    address, kit = site
    for path in (f"?code={kit.admin_code()}", "", "?code=AAAA-3333-CCCC"):
        page.goto(f"{address}/slack/install{path}")
        assert axe_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
