import re
import smtplib
import ssl
import time

import pytest
from browser import axe_violations, chromium, opened  # noqa: F401 - the fixture `browser`
from playground_site import performed, sentence
from playground_visit import ANA, BRUNO, PATIENCE, PHONE, WIDE, Visit
from playwright.sync_api import expect

from bot.channels.whatsapp import Outgoing, Twilio
from bot.playground.mail import MAILBOXES
from bot.web import playground as room
from flows.words import LANGUAGES

pytestmark = pytest.mark.world


@pytest.fixture(scope="module")
def site(tmp_path_factory, test_database):
    url = test_database.fresh()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "sentence", sentence)
        with performed(tmp_path_factory.mktemp("home"), url) as site:
            yield site
    test_database.drop(url)


@pytest.fixture
def visit(browser, site):
    with opened(browser, **WIDE) as page:
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if "Content Security" in said.text else None)
        yield Visit(page, site)
        assert problems == []


@pytest.fixture
def bot(site):
    """Says anything at all to a phone."""
    given = site.parts.settings
    twilio = Twilio(
        given.twilio_account_sid, given.twilio_auth_token, given.twilio_sender, Book(), api_url=given.twilio_api_url
    )
    yield lambda visit, words: twilio.send(visit.number.replace(" ", ""), Outgoing(words), f"{site.address}/none")
    twilio.close()


class Book(dict):
    def put(self, name, sid):
        self[name] = sid


@pytest.mark.parametrize(("language", "screen"), [("pt", PHONE)])
def test_the_whole_story_from_an_invitation_to_a_mail_that_arrived(browser, site, language, screen):
    with opened(browser, **screen) as page:
        visit = Visit(page, site, language)
        subject = f"Olá {time.monotonic_ns()}"
        visit.page.get_by_role("button", name=visit.text("playground.use_invitation")).locator(
            "visible=true"
        ).first.click()
        expect(visit.field).not_to_have_value("")
        visit.send()
        expect(visit.answers.last).to_contain_text(room.AGENCY)
        visit.send(ANA)
        visit.give_password("a wrong one")
        expect(visit.page.locator(".bubble a[href*='/s/']")).to_have_count(2, timeout=PATIENCE)
        visit.give_password(MAILBOXES[ANA])
        visit.tap("card.button.done")
        visit.tap("menu.button.write")
        visit.send(BRUNO)
        visit.send(subject)
        visit.send("From my own address.\n\nUntil tomorrow *Ana*")
        visit.tap("compose.button.send")
        visit.show("mail")
        page.get_by_role("tab", name="bruno").click()
        mail = page.locator("#inbox .message", has_text=subject)
        expect(mail.locator(".subject")).to_have_text(subject, timeout=PATIENCE)
        expect(mail.locator(".from")).to_have_text(f"{room.PERSONAS[language][0].name} <{ANA}>")
        expect(mail.locator(".text")).to_have_text("From my own address.\n\nUntil tomorrow *Ana*")
        expect(page.locator("#news")).to_contain_text(visit.text("playground.new_mail", address=BRUNO))
        page.get_by_role("tab", name="ana").click()
        expect(page.locator("#sent .message", has_text=subject)).to_have_count(1, timeout=PATIENCE)
        assert axe_violations(page) == []


def test_the_bot_answers_in_the_language_of_the_number(browser, site):
    for language in LANGUAGES:
        with opened(browser, **WIDE) as page:
            visit = Visit(page, site, language)
            visit.send("👋")
            expect(visit.answers.last).to_contain_text(visit.text("welcome.door"))


def test_each_language_has_its_own_number_and_keeps_it(visit, site):
    numbers = {}
    for language, country in (("en", "+1 2"), ("pt", "+55 11 9"), ("es", "+34 6")):
        visit.page.get_by_role("link", name=room.NAMES[language]).click()
        expect(visit.page.locator("html")).to_have_attribute("lang", language)
        expect(visit.page.locator("#number")).to_have_text(re.compile(rf"^{re.escape(country)}"))
        numbers[language] = visit.number
    visit.page.goto(f"{site.address}/playground")
    expect(visit.page.locator("#number")).to_have_text(numbers["es"])
    visit.page.get_by_role("link", name="English").click()
    expect(visit.page.locator("#number")).to_have_text(numbers["en"])


def test_a_new_number_is_a_new_person_with_an_empty_phone(visit):
    visit.send("hello")
    before = visit.number
    visit.page.get_by_role("button", name=visit.text("playground.new_number")).click()
    expect(visit.page.locator("#number")).not_to_have_text(before)
    expect(visit.page.locator("#messages .bubble")).to_have_count(0)
    fresh = visit.number
    visit.page.reload()
    expect(visit.page.locator("#number")).to_have_text(fresh)


def test_a_number_that_somebody_had_is_not_given_to_a_new_person(browser, site, visit):
    visit.send("hello")
    digits = [int(sign) for sign in re.sub(r"\D", "", visit.number.removeprefix("+1 2").replace("555 01", ""))]
    again = f"""const given = {digits}, random = crypto.getRandomValues.bind(crypto);
        crypto.getRandomValues = (box) => given.length ? (box[0] = given.shift(), box) : random(box);"""
    with opened(browser, **WIDE) as page:
        page.add_init_script(again)
        another = Visit(page, site)
        expect(page.locator("#number")).not_to_have_text(visit.number)
        another.send("hello")
        expect(another.answers).to_have_count(1)


def test_after_a_reload_the_phone_shows_the_same_conversation(visit):
    visit.send("hello")
    shown = visit.page.locator("#messages .said").all_inner_texts()
    visit.page.reload()
    expect(visit.page.locator("#messages .said")).to_have_count(len(shown))
    assert visit.page.locator("#messages .said").all_inner_texts() == shown


def test_an_answered_message_has_the_ticks_of_a_read_one(visit):
    visit.send("hello")
    ticks = visit.page.locator(".mine").last.get_by_role("img")
    expect(ticks).to_have_accessible_name(visit.text("playground.status_read"))


def test_whatsapps_marks_are_shown_as_whatsapp_shows_them(visit, bot):
    visit.send("hello")
    bot(visit, "*bold* _it_ ~no~ ```a_b_c``` 2*3*4 snake_case_name\n> quoted *too*")
    said = visit.answers.last.locator(".said")
    expect(said.locator("code")).to_have_text("a_b_c")
    assert said.locator("strong").all_inner_texts() == ["bold", "too"]
    assert said.locator("em").all_inner_texts() == ["it"]
    assert said.locator("s").all_inner_texts() == ["no"]
    expect(said.locator("p").first).to_have_text("bold it no a_b_c 2*3*4 snake_case_name")
    expect(said.locator("blockquote")).to_have_text("quoted too")


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("Open https://example.com/s/ab_c-d_ now", "https://example.com/s/ab_c-d_"),
        ("(https://example.com/privacy).", "https://example.com/privacy"),
        ("*https://example.com/bold*", "https://example.com/bold"),
        ("http://127.0.0.1:8000/s/-x_y_z", "http://127.0.0.1:8000/s/-x_y_z"),
    ],
)
def test_a_link_holds_the_whole_address_and_opens_beside_the_page(visit, bot, words, address):
    visit.send("hello")
    bot(visit, words)
    link = visit.answers.last.get_by_role("link")
    expect(link).to_have_attribute("href", address)
    expect(link).to_have_attribute("target", "_blank")
    expect(link).to_have_attribute("rel", "noopener noreferrer")


@pytest.mark.parametrize("words", ["<img src=x onerror=alert(1)>", "javascript:alert(1) [x](javascript:alert(1))"])
def test_what_people_write_is_never_html(visit, bot, words):
    visit.send("hello")
    bot(visit, words)
    expect(visit.answers.last.locator(".said")).to_have_text(words)
    assert visit.answers.last.locator("img, a, script").count() == 0


def test_enter_sends_and_shift_enter_begins_a_new_line(visit):
    visit.field.click()
    visit.page.keyboard.type("one")
    visit.page.keyboard.press("Shift+Enter")
    visit.page.keyboard.type("two")
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator(".mine .said")).to_have_text("one\ntwo", use_inner_text=True)
    expect(visit.field).to_have_value("")


def test_the_suggestions_are_written_into_the_field_for_the_person_to_send(visit):
    word = visit.text("playground.tour_hello_word")
    visit.page.get_by_role("button", name=visit.text("playground.type_it", what=word)).click()
    expect(visit.field).to_have_value(word)
    expect(visit.field).to_be_focused()
    expect(visit.page.locator("#messages .bubble")).to_have_count(0)


def test_the_password_is_shown_and_copied_for_whichever_mailbox_is_open(visit):
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for address, password in MAILBOXES.items():
        visit.page.get_by_role("tab", name=address.partition("@")[0]).click()
        expect(visit.page.locator("#address")).to_have_text(address)
        visit.page.locator("#password").get_by_role("button").click()
        expect(visit.page.locator("#password").get_by_role("button")).to_have_text(visit.text("playground.copied"))
        assert visit.page.evaluate("navigator.clipboard.readText()") == password
        expect(visit.page.locator("#password").get_by_role("button")).to_have_text(visit.text("playground.copy"))


def test_the_mailboxes_can_be_walked_through_with_the_arrow_keys(visit):
    first, last = visit.page.locator("#tabs [role=tab]").first, visit.page.locator("#tabs [role=tab]").last
    first.focus()
    visit.page.keyboard.press("ArrowLeft")
    expect(last).to_be_focused()
    expect(last).to_have_attribute("aria-selected", "true")
    expect(visit.page.locator("#address")).to_have_text(visit.text("playground.outside_about"))
    visit.page.keyboard.press("ArrowRight")
    expect(first).to_be_focused()
    expect(visit.page.locator("#address")).to_have_text(ANA)


def test_the_mail_server_can_be_broken_from_the_page(visit, site):
    server = visit.page.get_by_label(visit.text("playground.server"))
    with visit.page.expect_response("**/api/refuse"):
        server.select_option("auth_down")
    visit.page.reload()
    expect(server).to_have_value("auth_down")
    with visit.page.expect_response("**/api/refuse"):
        server.select_option("")
    visit.page.reload()
    expect(visit.page.locator("#tabs [role=tab]").first).to_be_visible()
    expect(server).to_have_value("")


def test_a_bot_that_is_gone_is_said_and_the_words_are_not_lost(visit):
    visit.page.route("**/api/**", lambda route: route.abort("connectionrefused"))
    visit.field.fill("important")
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_role("alert")).to_have_text(visit.text("playground.offline"))
    expect(visit.field).to_have_value("important")
    visit.page.unroute("**/api/**")
    expect(visit.page.get_by_role("alert")).to_be_empty(timeout=PATIENCE)


def test_nothing_is_loaded_from_anywhere_else(browser, site):
    with opened(browser, **WIDE) as page:
        loaded = []
        page.on("request", lambda request: loaded.append(request.url))
        Visit(page, site)
    assert len(loaded) >= 5
    assert all(url.startswith(site.address) for url in loaded)


# --- how it looks ---------------------------------------------------------------------------------------------------

SMALL = """() => [...document.querySelectorAll('a, button, input, select, textarea, summary')]
    .filter(one => one.checkVisibility())
    .map(one => [one.textContent.trim() || one.id, one.getBoundingClientRect()])
    .filter(([, box]) => box.height < 44 || box.width < 44)
    .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)"""
CUT = """() => ['Width', 'Height'].map(way => document.documentElement[`scroll${way}`] - innerWidth * (way === 'Width')
    - innerHeight * (way === 'Height')).filter(over => over > 0)"""


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("pt", "dark"), ("es", "light")])
def test_the_accessibility_rules_find_nothing_in_any_view(browser, site, language, scheme):
    with opened(browser, color_scheme=scheme, **PHONE) as page:
        visit = Visit(page, site, language)
        visit.send("👋")
        for view in ("phone", "mail", "guide", "admin", "desk"):
            visit.show(view)
            assert axe_violations(page) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_on_a_phone_each_view_fills_the_screen_and_every_target_fits_a_thumb(browser, site, language):
    with opened(browser, **(PHONE | {"viewport": {"width": 320, "height": 640}})) as page:
        visit = Visit(page, site, language)
        for view in ("mail", "guide", "admin", "desk", "phone"):
            visit.show(view)
            expect(page.locator(f"main > .{view}")).to_be_visible()
            assert page.locator("main > section").locator("visible=true").count() == 1
            assert page.evaluate(CUT) == []
            assert page.evaluate(SMALL) == []
        expect(visit.field).to_be_in_viewport(ratio=1)


def test_on_a_desk_everything_stands_side_by_side_without_scrolling(visit):
    for part in (".guide", ".phone", ".mail", ".admin", ".desk"):
        expect(visit.page.locator(f"main > {part}")).to_be_visible()
    assert visit.page.evaluate(CUT) == []
    expect(visit.page.locator(".views")).to_be_hidden()


def test_a_mail_that_arrives_out_of_sight_is_marked_until_it_is_seen(browser, site):
    with opened(browser, **PHONE) as page:
        visit = Visit(page, site)
        dot = page.locator("#mail-dot")
        expect(dot).to_be_hidden()
        deliver(site, "carla@sandbox.test")
        expect(dot).to_be_visible()
        visit.show("mail")
        page.get_by_role("tab", name="carla").click()
        expect(dot).to_be_hidden()


def deliver(site, address):
    trusting = ssl.create_default_context(cafile=site.stage.sandbox.ca_pem)
    with smtplib.SMTP_SSL("localhost", site.stage.sandbox.ports["smtps"], context=trusting, timeout=10) as client:
        client.login(BRUNO, MAILBOXES[BRUNO])
        client.sendmail(BRUNO, [address], b"Subject: hello\r\n\r\nhello\r\n")
