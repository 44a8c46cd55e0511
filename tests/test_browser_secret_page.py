from dataclasses import dataclass

import pytest
from browser import axe_violations, chromium, chromium_path, opened, served  # noqa: F401 - the fixture `browser`
from playwright.sync_api import expect
from secret_links import CHAT, MemoryLinks, google, make_app, sentence, view

from bot.vault import Secret
from flows.words import LANGUAGES

pytestmark = pytest.mark.world

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
SECRET = "Correct-Horse 9"
GOOGLE_SECRET = "abcd efgh ijkl mnop"


@dataclass
class Site:
    """The served pages, and the links behind them."""

    address: str
    links: MemoryLinks

    def link(self, shown):
        return f"{self.address}/s/{self.links.add(shown)}"


@pytest.fixture
def site():
    links = MemoryLinks()
    with served(make_app(links)) as address:
        yield Site(address, links)


@pytest.fixture(params=[True, False], ids=["script", "no script"])
def either(browser, request):
    with opened(browser, java_script_enabled=request.param, **PHONE) as page:
        yield page


@pytest.fixture
def page(browser):
    with opened(browser, **PHONE) as opened_page:
        problems = []
        opened_page.on("pageerror", lambda error: problems.append(str(error)))
        opened_page.on("console", lambda said: problems.append(said.text) if "Content Security" in said.text else None)
        yield opened_page
        assert problems == []


def text(name, **values):
    return sentence(name, "en", **values)


def send(page):
    page.get_by_role("button", name=text("page.form.send")).click()


def heading(page):
    return page.get_by_role("heading", level=1)


def test_a_person_types_the_password_and_is_led_back_to_the_chat(either, site):
    either.goto(site.link(view()))
    either.get_by_label(text("page.form.label_password")).fill(SECRET)
    send(either)
    expect(heading(either)).to_have_text(text("page.done.title"))
    expect(either.get_by_role("link", name=text("page.back_to_chat"))).to_have_attribute("href", CHAT)
    assert [secret for _, secret, _ in site.links.taken] == [SECRET]


def test_enter_sends_like_the_button(either, site):
    either.goto(site.link(google()))
    either.get_by_label(text("page.form.label_app_password")).fill(GOOGLE_SECRET)
    either.keyboard.press("Enter")
    expect(heading(either)).to_have_text(text("page.done.title"))
    assert site.links.taken[0][1] == "abcdefghijklmnop"


def test_the_password_can_be_shown_and_hidden_and_is_hidden_when_it_leaves(page, site):
    page.goto(site.link(view()))
    field = page.get_by_label(text("page.form.label_password"))
    field.fill(SECRET)
    expect(field).to_have_attribute("type", "password")
    page.get_by_role("button", name=text("page.form.show")).click()
    expect(field).to_have_attribute("type", "text")
    page.get_by_role("button", name=text("page.form.hide")).click()
    expect(field).to_have_attribute("type", "password")
    page.get_by_role("button", name=text("page.form.show")).click()
    page.route("**/s/*", lambda route: route.abort("aborted"))
    send(page)
    expect(field).to_have_attribute("type", "password")


def test_without_script_there_is_no_button_that_does_nothing(browser, site):
    with opened(browser, java_script_enabled=False) as page:
        page.goto(site.link(google()))
        shown = [button.inner_text() for button in page.get_by_role("button").all()]
    assert shown == [text("page.form.send")]


def test_a_doubtful_shape_is_said_before_anything_is_sent(page, site):
    page.goto(site.link(google()))
    field = page.get_by_label(text("page.form.label_app_password"))
    field.fill("MyUsualPassword1")
    send(page)
    expect(page.get_by_role("alert")).to_have_text(text("page.problem.shape_google16", provider="Gmail"))
    expect(field).to_have_value("MyUsualPassword1")
    expect(field).to_be_focused()
    assert site.links.submissions == 0
    page.get_by_role("button", name=text("page.form.anyway")).click()
    expect(heading(page)).to_have_text(text("page.done.title"))
    assert site.links.taken[0][1] == "MyUsualPassword1"


def test_without_script_the_server_doubts_and_the_field_comes_back_empty(browser, site):
    with opened(browser, java_script_enabled=False, **PHONE) as page:
        page.goto(site.link(google()))
        field = page.get_by_label(text("page.form.label_app_password"))
        field.fill("MyUsualPassword1")
        send(page)
        expect(page.get_by_role("alert")).to_have_text(text("page.problem.shape_google16", provider="Gmail"))
        expect(field).to_have_value("")
        expect(field).to_be_focused()
        field.fill("MyUsualPassword1")
        page.get_by_role("button", name=text("page.form.anyway")).click()
        expect(heading(page)).to_have_text(text("page.done.title"))
    assert site.links.taken[0][1] == "MyUsualPassword1"


def test_a_double_tap_sends_once(page, site):
    page.goto(site.link(view()))
    page.get_by_label(text("page.form.label_password")).fill(SECRET)
    page.get_by_role("button", name=text("page.form.send")).dblclick()
    expect(heading(page)).to_have_text(text("page.done.title"))
    assert site.links.submissions == 1


def test_without_script_a_double_tap_ends_on_a_page_that_reads_well(browser, site):
    with opened(browser, java_script_enabled=False) as page:
        page.goto(site.link(view()))
        page.get_by_label(text("page.form.label_password")).fill(SECRET)
        page.get_by_role("button", name=text("page.form.send")).dblclick()
        expect(page.get_by_role("link", name=text("page.back_to_chat"))).to_be_visible()
        good_news = page.get_by_text(text("page.closed.just_sent")).or_(page.get_by_text(text("page.done.text")))
        expect(good_news).to_be_visible()
    assert len(site.links.taken) == 1


def test_a_submission_that_got_nowhere_can_be_repeated(page, site):
    page.clock.install()
    page.goto(site.link(view()))
    page.get_by_label(text("page.form.label_password")).fill(SECRET)
    page.route("**/s/*", lambda route: route.abort("aborted"))
    send(page)
    waiting = page.get_by_role("button", name=text("page.form.sending"))
    expect(waiting).to_have_attribute("aria-disabled", "true")
    page.unroute("**/s/*")
    page.clock.fast_forward(10_000)
    send(page)
    expect(heading(page)).to_have_text(text("page.done.title"))
    assert site.links.submissions == 1


def test_back_after_success_shows_the_closed_page_and_no_password(either, site):
    either.goto(site.link(view()))
    either.get_by_label(text("page.form.label_password")).fill(SECRET)
    send(either)
    expect(heading(either)).to_have_text(text("page.done.title"))
    either.go_back()
    expect(heading(either)).to_have_text(text("page.closed.title"))
    expect(either.get_by_text(text("page.closed.just_sent"))).to_be_visible()
    assert SECRET not in either.content()


def test_a_page_that_comes_back_from_memory_is_empty_and_asks_the_server_again(page, site):
    address = site.link(view())
    page.goto(address)
    field = page.get_by_label(text("page.form.label_password"))
    field.fill(SECRET)
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    expect(field).to_have_value("")
    site.links.expire(address.rpartition("/")[2])
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    expect(heading(page)).to_have_text(text("page.closed.title"))


def test_reload_after_success_says_again_that_all_is_well(either, site):
    either.goto(site.link(view()))
    either.get_by_label(text("page.form.label_password")).fill(SECRET)
    send(either)
    expect(heading(either)).to_have_text(text("page.done.title"))
    either.reload()
    expect(heading(either)).to_have_text(text("page.done.title"))
    assert site.links.submissions == 1


@pytest.mark.parametrize("state", ["unknown", "used", "expired"])
def test_a_link_that_does_not_work_leads_back_to_the_chat(either, site, state):
    token = site.links.add(view())
    if state == "used":
        site.links.submit(token, Secret(SECRET), "")
    if state != "used":
        site.links.expire(token)
    either.goto(f"{site.address}/s/{token if state != 'unknown' else 'x' * 32}")
    expect(heading(either)).to_have_text(text("page.closed.title"))
    expect(either.get_by_role("link", name=text("page.back_to_chat"))).to_have_attribute("href", CHAT)


def test_a_link_that_closes_while_the_person_types_says_so(either, site):
    address = site.link(view())
    either.goto(address)
    either.get_by_label(text("page.form.label_password")).fill(SECRET)
    site.links.expire(address.rpartition("/")[2])
    send(either)
    expect(heading(either)).to_have_text(text("page.closed.title"))
    assert site.links.taken == []


def test_the_providers_page_opens_beside_this_one_and_learns_nothing_of_it(browser, site):
    with opened(browser) as page:
        asked = []
        page.context.route(
            "https://myaccount.google.com/**", lambda route: asked.append(route) or route.fulfill(body="")
        )
        page.goto(site.link(google()))
        with page.expect_popup() as popup:
            page.get_by_role("link", name=text("page.form.open_app_password", provider="Gmail")).click()
        popup.value.wait_for_load_state()
        assert popup.value.evaluate("window.opener") is None
        assert "referer" not in asked[0].request.headers
        expect(page.get_by_label(text("page.form.label_app_password"))).to_be_visible()


def test_nothing_but_our_own_files_is_loaded(browser, site):
    with opened(browser) as page:
        loaded = []
        page.on("request", lambda request: loaded.append(request.url))
        page.goto(site.link(google()), wait_until="networkidle")
    assert len(loaded) >= 4
    assert all(url.startswith(site.address) for url in loaded)


def test_a_preview_robot_with_a_whole_browser_leaves_the_link_open(browser, site):
    address = site.link(view())
    for agent in ("WhatsApp/2.23.20.0", "facebookexternalhit/1.1"):
        with opened(browser, user_agent=agent) as robot:
            robot.goto(address)
            assert "agencia" not in robot.locator("head").inner_html()
    with opened(browser) as page:
        page.goto(address)
        page.get_by_label(text("page.form.label_password")).fill(SECRET)
        send(page)
        expect(heading(page)).to_have_text(text("page.done.title"))


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_chromium_skips_with_the_remedy_and_fails_in_ci(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(outcome, match="make world"):
        chromium_path()


# --- how it looks ---------------------------------------------------------------------------------------------------

WAYS = {
    "password": lambda language: view(language=language, user="ana"),
    "app password": lambda language: google(language=language, address="a.very.long.name.indeed.without.end@gmail.com"),
}


def pages(page, site, language):
    """Every page that a person can come to, one after the other, with its stylesheet."""
    for _ in walk(page, site, language):
        page.wait_for_load_state()
        yield


def walk(page, site, language):
    for shown in WAYS.values():
        page.goto(site.link(shown(language)))
        page.locator("summary").click()
        yield
    page.locator("#secret").fill("not this one")
    page.locator("form [type=submit]").first.click()
    expect(page.get_by_role("alert")).not_to_be_empty()
    yield
    page.locator("#secret").fill(GOOGLE_SECRET)
    page.locator("form [type=submit]").first.click()
    expect(heading(page)).to_have_text(sentence("page.done.title", language))
    yield
    page.goto(f"{site.address}/s/unknown")
    expect(heading(page)).to_have_text(sentence("page.closed.title", language))
    yield


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_accessibility_rules_find_nothing(browser, site, language, scheme):
    with opened(browser, locale=language, color_scheme=scheme, **PHONE) as page:
        for _ in pages(page, site, language):
            assert axe_violations(page) == []
            assert page.locator("html").get_attribute("lang") == language


SMALL = """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), summary')]
    .filter(one => one.checkVisibility())
    .map(one => [one.textContent.trim() || one.id, one.getBoundingClientRect()])
    .filter(([, box]) => box.height < 44 || box.width < 44)
    .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)"""
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("width", [320, 360])
@pytest.mark.parametrize("language", LANGUAGES)
def test_on_a_phone_nothing_is_cut_and_every_target_fits_a_thumb(browser, site, language, width):
    phone = PHONE | {"viewport": {"width": width, "height": 740}}
    with opened(browser, locale=language, **phone) as page:
        for _ in pages(page, site, language):
            assert page.evaluate(WIDER) == 0
            assert page.evaluate(SMALL) == []


def test_the_field_can_be_reached_and_sent_by_keyboard_alone(page, site):
    page.goto(site.link(view()))
    for _ in range(5):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "secret":
            break
    page.keyboard.type(SECRET)
    page.keyboard.press("Enter")
    expect(heading(page)).to_have_text(text("page.done.title"))
    assert site.links.taken[0][1] == SECRET
