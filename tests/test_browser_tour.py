"""The whole playground in a real browser: the tour to its end, Slack, the desk, breakages, the clock, the keyboard."""

import re
import secrets
from types import SimpleNamespace

import pytest
import requests
from botkit import eventually
from browser import axe_violations, chromium, opened  # noqa: F401 - the fixture `browser`
from playground_site import performed, sentence
from playground_visit import ANA, PATIENCE, PHONE, TABLET, WIDE, Visit
from playwright.sync_api import expect

from bot import people
from bot.playground import cast
from bot.playground.mail import FAULTS, MAILBOXES
from bot.web import playground as room
from flows import speech

pytestmark = pytest.mark.world

CARLA = "carla@sandbox.test"
# What the person reads, by what the mail server does wrong.
TOLD = {
    "bad_credentials": "cause.app_password_required",  # Google says no more of a normal password
    "app_password": "cause.app_password_required",
    "auth_off": "cause.smtp_auth_disabled_tenant_or_mailbox",
    "greylist": "proof.later",
    "too_many_logins": "cause.rate_limited",
    "hang": "news.test_slow",
    "refused": "cause.connection_refused",
    "certificate": "cause.tls_hostname_mismatch",
    "mailbox_full": "cause.mailbox_full",
    "from_refused": "cause.sender_not_allowed",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory, test_database):
    url = test_database.fresh()
    with performed(tmp_path_factory.mktemp("home"), url) as site:
        yield site
    test_database.drop(url)


@pytest.fixture
def visit(browser, site):
    with opened(browser, **WIDE) as page:
        yield Visit(page, site)


@pytest.fixture
def works(site):
    """Whatever a test has broken is whole again."""
    yield
    site.stage.sandbox.refuse(None)


def words_of(name, language):
    """A sentence as a browser shows it, up to its first value."""
    return re.sub(r"[*_`]", "", speech.texts(language)[name].partition("{")[0]).strip()


@pytest.mark.parametrize(("language", "screen"), [("en", WIDE), ("pt", PHONE), ("es", TABLET)])
@pytest.mark.usefixtures("works")
def test_the_tour_is_finished_by_doing_what_it_says(browser, site, language, screen):
    with opened(browser, **screen) as page:
        visit = Visit(page, site, language)
        visit.follow("hello")
        visit.send()
        visit.expect_done("hello")
        visit.follow("join")
        expect(visit.field).not_to_have_value("")
        visit.send()
        expect(visit.answers.last).to_contain_text(room.AGENCY)
        visit.expect_done("join")
        visit.follow("address")
        visit.send()
        visit.expect_done("address")
        visit.give_password(MAILBOXES[ANA])
        visit.expect_done("password")
        if screen is not WIDE:  # there the mailboxes are on the page already, and the step is done as soon as mail is
            visit.follow("inbox")
        visit.expect_done("inbox")
        visit.follow("break", "[data-fault]")
        visit.follow("break", ".chip")
        visit.send()
        visit.tap("menu.button.mailbox")
        visit.tap("mailbox.button.password")
        visit.give_password(MAILBOXES[ANA])
        expect(visit.answers.last).to_contain_text(words_of("cause.app_password_required", language), timeout=PATIENCE)
        visit.expect_done("break")
        visit.follow("person")
        with visit.a_new_case():
            visit.send()
        visit.expect_done("person")
        visit.show("desk")
        expect(visit.case()).to_contain_text(room.PERSONAS[language][0].name, timeout=PATIENCE)
        visit.follow("answer")
        expect(visit.case().get_by_role("textbox")).to_have_value(re.compile(r"^!\w"))
        page.keyboard.press("Enter")
        visit.expect_done("answer")
        expect(visit.case().locator(".sl-mark").first).to_be_visible()
        visit.follow("hand_back")
        visit.choose_below("desk.menu.back", "desk.tool.back")
        visit.expect_done("hand_back")
        visit.follow("home")
        expect(visit.office("admin").locator(".sl-home")).to_contain_text(room.PERSONAS[language][0].name)
        visit.show("guide")
        expect(page.locator("#tour-end")).to_be_visible()
        expect(page.locator("#tour-count")).to_have_text("10/10")
        assert axe_violations(page) == []
        page.reload()
        expect(page.locator("#tour-count")).to_have_text("10/10")


@pytest.mark.parametrize("kind", TOLD)
@pytest.mark.usefixtures("works")
def test_each_breakage_is_explained_on_the_phone(browser, site, kind):
    language = ("en", "pt", "es")[list(TOLD).index(kind) % 3]
    with opened(browser, **WIDE) as page:
        visit = waiting_for_a_password(page, site, language)
        with page.expect_response("**/api/refuse"):
            page.get_by_label(visit.text("playground.server")).select_option(kind)
        visit.give_password(MAILBOXES[ANA])
        told = visit.answers.filter(has_text=words_of(TOLD[kind], language))
        expect(told).to_have_count(1, timeout=PATIENCE)
        page.get_by_role("button", name=visit.text("playground.mend")).click()
        expect(page.get_by_label(visit.text("playground.server"))).to_have_value("")


def test_the_page_offers_every_breakage_by_a_name():
    assert set(TOLD) < set(FAULTS)
    for language in ("en", "pt", "es"):
        assert len({sentence(f"playground.fault_{kind}", language) for kind in FAULTS}) == len(FAULTS)


def waiting_for_a_password(page, site, language):
    """Somebody new who has been asked for a password already."""
    number = f"+1212555{secrets.randbelow(10_000):04}"
    now = site.parts.clock.now()
    with site.parts.engine.begin() as db:
        agency = room._agency(db, now)
        made = people.invite(db, agency, role="member", name="", language=language, uses=1, now=now)
    phone = site.stage.twilio
    phone.say(number, sentence("invitation.text", language, code=made.code))
    phone.wait_for(number, count=1)
    phone.say(number, ANA)
    phone.wait_for(number, count=2)
    page.add_init_script(f"localStorage.setItem('playground.number.{language}', '{number}')")
    visit = Visit(page, site, language)
    expect(page.locator(".bubble a[href*='/s/']")).to_be_visible()
    return visit


# --- phones -----------------------------------------------------------------------------------------------------------


def test_two_people_have_two_phones_and_a_dot_says_who_was_written_to(visit):
    visit.send("hello")
    first = visit.number
    other = visit.page.locator("[data-person='1']")
    other.click()
    expect(visit.page.locator("#number")).not_to_have_text(first)
    expect(visit.page.locator("#messages .bubble")).to_have_count(0)
    expect(other.locator(".dot")).to_be_hidden()
    visit.site.stage.twilio.say(first.replace(" ", ""), "are you there?")
    expect(visit.page.locator("[data-person='0'] .dot")).to_be_visible(timeout=PATIENCE)
    visit.page.locator("[data-person='0']").click()
    expect(visit.page.locator(".mine .said").last).to_have_text("are you there?")
    expect(visit.page.locator("[data-person='0'] .dot")).to_be_hidden()


@pytest.mark.parametrize(("file", "shown"), [("photo", "image"), ("document", "application"), ("voice", "audio")])
def test_a_file_is_sent_from_the_phone_and_answered(visit, file, shown):
    before = visit.answers.count()
    visit.page.get_by_label(visit.text("playground.attach")).click()
    visit.page.get_by_role("button", name=visit.text(f"playground.attach_{file}")).click()
    expect(visit.page.locator(".mine .file").last).to_contain_text(visit.text(f"playground.file_{shown}"))
    expect(visit.answers.nth(before)).to_be_visible(timeout=PATIENCE)


# --- the clock --------------------------------------------------------------------------------------------------------


def test_time_passes_at_the_press_of_a_button_for_the_bot_as_well(visit, site):
    before, shown = site.parts.clock.now(), visit.page.locator("#now").inner_text()
    with visit.page.expect_response("**/api/clock"):
        visit.page.get_by_role("button", name=visit.text("playground.jump_hour")).click()
    expect(visit.page.locator("#now")).not_to_have_text(shown)
    assert 3600 <= (site.parts.clock.now() - before).total_seconds() < 3660
    visit.send("hello")
    expect(visit.page.locator(".mine time").last).to_have_text(visit.text("playground.now"))


# --- Slack ------------------------------------------------------------------------------------------------------------


def test_an_admin_connects_the_agency_in_a_window_and_invites_a_colleague(visit):
    admin, window = visit.office("admin"), visit.office("admin").locator(".window")
    admin.get_by_role("button", name=sentence("home.button.connect", "en")).click(timeout=PATIENCE)
    field = window.get_by_role("textbox").first
    expect(field).to_be_focused(timeout=PATIENCE)
    field.fill("carla@sandbox")
    window.locator("[type=submit]").click()
    expect(window.locator(".sl-error")).to_be_visible(timeout=PATIENCE)
    expect(window.get_by_role("textbox").first).to_have_value("carla@sandbox")
    window.get_by_role("textbox").first.fill(CARLA)
    window.locator("[type=submit]").click()
    link = window.locator("a[href*='/s/']")
    expect(link).to_be_visible(timeout=PATIENCE)
    fill_page(visit, link, MAILBOXES[CARLA])
    expect(window).to_contain_text(words_of("mailbox.works", "en"), timeout=PATIENCE)
    assert axe_violations(visit.page) == []
    visit.page.keyboard.press("Escape")
    expect(window).to_be_hidden()
    expect(admin.locator(".sl-home")).to_contain_text(CARLA, timeout=PATIENCE)
    admin.get_by_role("tab", name=visit.text("playground.tab_talk")).click()
    admin.get_by_label(visit.text("playground.write_talk")).fill("/ally invite")
    visit.page.keyboard.press("Enter")
    window.locator(".sl-picker summary").first.click(timeout=PATIENCE)
    window.get_by_label("Dora").check()
    window.locator("[type=submit]").click()
    expect(admin.locator(".items")).to_contain_text("People picked: 1", timeout=PATIENCE)


def fill_page(visit, link, password):
    with visit.page.context.expect_page() as opening:
        link.click()
    opening.value.locator("#secret").fill(password)
    opening.value.locator("form [type=submit]").first.click()
    expect(opening.value.get_by_role("heading", level=1)).to_have_text(sentence("page.done.title", visit.language))
    opening.value.close()
    visit.page.bring_to_front()


def test_at_the_desk_a_line_is_taken_back_another_one_sent_from_a_window_and_the_queue_leads_to_the_case(visit):
    with visit.a_new_case():
        visit.send("person")
    name, desk = visit.page.locator("[data-person='0']").inner_text(), visit.office("desk")
    expect(visit.case().locator("summary").first).to_contain_text(name, timeout=PATIENCE)
    thread = visit.case().get_attribute("data-thread")
    visit.reply("among us")
    visit.reply("!never mind")
    visit.case().locator("[data-ts]", has_text="never mind").locator("[data-delete]").click()
    expect(visit.case()).not_to_contain_text("never mind")
    visit.case().get_by_role("button", name=sentence("desk.button.send", "en"), exact=True).first.click()
    window = desk.locator(".window")
    expect(window.get_by_role("textbox")).to_be_focused(timeout=PATIENCE)
    window.get_by_role("textbox").fill("Hello from *Sam*")
    window.locator("[type=submit]").click()
    expect(window).to_be_hidden(timeout=PATIENCE)
    expect(visit.answers.last.locator("strong")).to_have_text("Sam", timeout=PATIENCE)
    assert visit.page.locator("#messages", has_text="never mind").count() == 0
    assert visit.page.locator("#messages", has_text="among us").count() == 0
    desk.get_by_role("tab", name=visit.text("playground.tab_queue")).click()
    desk.locator(f".sl-home a[href*='/p{thread.replace('.', '')}']").first.click(timeout=PATIENCE)
    expect(visit.case().locator("summary").first).to_be_focused()
    visit.give_to(cast.STAFF["pt"].name)
    expect(visit.case()).to_contain_text(f"@{cast.STAFF['pt'].name} has it", timeout=PATIENCE)
    visit.choose_below("desk.menu.back", "desk.tool.back")
    expect(visit.answers.last).to_contain_text(words_of("handoff.over.handed_back", "en"), timeout=PATIENCE)


@pytest.fixture
def case(visit):
    """A new case with its menu, and `answered`: a colleague answers it elsewhere, so that its card is another one."""
    with visit.a_new_case():
        visit.send("person")
    menu = visit.case().locator(".sl-more", has=visit.page.locator("summary", has_text=visit.text("desk.menu.back")))
    card = menu.locator("xpath=ancestor::*[@data-key]")
    key, thread = card.get_attribute("data-key"), visit.case().get_attribute("data-thread")
    api = f"{visit.site.address}/playground/api/office/en"

    def drawn():
        desk = requests.get(api, timeout=10).json()["desk"]
        return next(html for one in desk["threads"] for name, html in one["items"] if name == key)

    def answered():
        before = drawn()
        assert requests.post(f"{api}/desk", json={"do": "say", "text": "!Hello", "thread": thread}, timeout=10).ok
        eventually(lambda: drawn() != before)

    return SimpleNamespace(menu=menu, answered=answered, card=card.element_handle())


def test_a_message_that_is_drawn_anew_keeps_the_menu_that_is_open_and_the_focus(visit, case):
    case.menu.locator("summary").click()
    case.menu.get_by_role("button").first.focus()
    case.answered()
    visit.page.wait_for_function("card => !card.isConnected", arg=case.card)
    expect(case.menu).to_have_attribute("open", "")
    expect(case.menu.get_by_role("button").first).to_be_focused()


def test_what_is_being_pressed_is_not_drawn_anew_until_it_is_let_go(visit, case):
    page = visit.page
    case.menu.locator("summary").hover()
    page.mouse.down()
    case.answered()
    for _ in range(2):  # when the second look is answered, the page has done with the first
        page.wait_for_event("response", lambda response: "/api/office/" in response.url)
    assert case.card.evaluate("card => card.isConnected")
    page.mouse.up()
    page.wait_for_function("card => !card.isConnected", arg=case.card)
    expect(case.menu).to_have_attribute("open", "")


# --- without a mouse, and on a small screen --------------------------------------------------------------------------


def reach(page, wanted):
    """Press Tab until something has the focus."""
    for _ in range(150):
        if wanted.evaluate("one => one === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail("the keyboard does not reach it")


def test_everything_is_done_with_the_keyboard_alone(visit):
    page, keys = visit.page, visit.page.keyboard
    reach(page, visit.step("hello").get_by_role("button"))
    keys.press("Enter")
    expect(visit.field).to_be_focused()
    keys.press("Enter")
    visit.expect_done("hello")
    with visit.a_new_case():
        keys.type("person")
        keys.press("Enter")
    visit.expect_done("person")
    expect(visit.case()).to_contain_text("Ana", timeout=PATIENCE)
    send = visit.case().get_by_role("button", name=sentence("desk.button.send", "en"), exact=True).first
    reach(page, send)
    keys.press("Enter")
    words = visit.office("desk").locator(".window").get_by_role("textbox")
    expect(words).to_be_focused(timeout=PATIENCE)
    keys.press("Escape")
    expect(visit.office("desk").locator(".window")).to_be_hidden(timeout=PATIENCE)
    reply = visit.case().get_by_label(visit.text("playground.thread_reply"))
    reach(page, reply)
    keys.type("!Hello")
    keys.press("Enter")
    visit.expect_done("answer")
    menu = visit.case().locator(".sl-more summary", has_text=sentence("desk.menu.back", "en"))
    reach(page, menu)
    keys.press("Enter")
    reach(page, visit.case().get_by_role("button", name=sentence("desk.tool.back", "en"), exact=True))
    keys.press("Enter")
    visit.expect_done("hand_back")
    reach(page, visit.office("desk").locator("[role=tab]").first)
    keys.press("ArrowRight")
    expect(visit.office("desk").locator("[role=tab]").last).to_be_focused()
    expect(visit.office("desk").locator(".sl-home")).to_be_visible(timeout=PATIENCE)


def test_on_a_phone_the_switches_open_and_what_is_new_elsewhere_has_a_dot(browser, site):
    with opened(browser, **PHONE) as page:
        visit = Visit(page, site)
        switches = page.get_by_role("button", name=visit.text("playground.switches"))
        expect(page.locator("#fault")).to_be_hidden()
        switches.click()
        expect(page.locator("#fault")).to_be_visible()
        expect(switches).to_have_attribute("aria-expanded", "true")
        switches.click()
        visit.send("person")
        expect(page.locator("#desk-dot")).to_be_visible(timeout=PATIENCE)
        visit.show("desk")
        expect(page.locator("#desk-dot")).to_be_hidden()
        visit.reply("!Hello there")
        expect(page.locator("#phone-dot")).to_be_visible(timeout=PATIENCE)
        visit.show("phone")
        expect(visit.answers.last).to_contain_text("Hello there", timeout=PATIENCE)
