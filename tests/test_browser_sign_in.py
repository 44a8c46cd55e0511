"""Signing in without a password in the playground, in a real browser: from an address to mails that arrive."""

import re

import pytest
from browser import axe_violations, chromium, opened  # noqa: F401 - the fixture `browser`
from playground_site import performed, sentence
from playground_visit import ANA, PATIENCE, PHONE, TABLET, WIDE, Visit
from playwright.sync_api import expect

from bot.playground.identity import ADDRESSES
from bot.web import playground as room
from flows import speech

pytestmark = pytest.mark.world

SOL, LUA = ADDRESSES


@pytest.fixture(scope="module")
def site(tmp_path_factory, test_database):
    url = test_database.fresh()
    with performed(tmp_path_factory.mktemp("home"), url) as site:
        yield site
    test_database.drop(url)


@pytest.fixture(autouse=True)
def as_usual(site):
    """Whatever a test has switched is as it was."""
    yield
    site.stage.sandbox.refuse(None)
    site.stage.identity.consent = "person"


class Guest(Visit):
    """Somebody in front of the page who signs in."""

    def hears(self, name, count=1):
        """Wait for so many messages with this sentence."""
        expect(self.answers.filter(has_text=words_of(name, self.language))).to_have_count(count, timeout=PATIENCE)

    def comes_in(self):
        """By an invitation, up to the question for the address."""
        self.page.get_by_role("button", name=self.text("playground.use_invitation")).locator(
            "visible=true"
        ).first.click()
        expect(self.field).not_to_have_value("")
        self.send()
        self.hears("mailbox.address")

    def leaves(self):
        """From the newest link to the stand-in's page, in a tab of its own."""
        with self.page.context.expect_page() as opening:
            self.page.locator(".bubble a[href*='/s/']").last.click()
        tab = opening.value
        go = sentence("sign_in_page.go", self.language, provider="Microsoft")
        tab.get_by_role("button", name=go).click()
        expect(tab.get_by_role("heading", level=1)).to_have_text(self.text("playground.identity.heading"))
        return tab

    def ends(self, tab, name):
        """The last page is this one; back to the playground."""
        title = sentence(f"sign_in_page.{name}.title", self.language, provider="Microsoft")
        expect(tab.get_by_role("heading", level=1)).to_have_text(title)
        tab.close()
        self.page.bring_to_front()

    def signs_in(self, do="allow", ends="done"):
        """All of it, as the page proposes."""
        tab = self.leaves()
        tab.get_by_role("button", name=self.text(f"playground.identity.{do}"), exact=True).click()
        self.ends(tab, ends)

    def switch(self, by):
        """Who decides from now on."""
        opener = self.page.get_by_role("button", name=self.text("playground.switches"))
        if opener.is_visible() and opener.get_attribute("aria-expanded") == "false":
            opener.click()
        with self.page.expect_response("**/api/consent"):
            self.page.get_by_label(self.text("playground.consent")).select_option(by)

    def looks_at(self, address):
        """A mailbox."""
        self.show("mail")
        self.page.get_by_role("tab", name=address.partition("@")[0]).click()

    def writes(self, subject):
        """A mail to Ana, from the menu."""
        self.show("phone")
        self.tap("menu.button.write")
        for words in (ANA, subject, "Até sexta."):
            self.send(words)
        self.tap("compose.button.send")


@pytest.mark.parametrize(("language", "screen"), [("en", WIDE), ("pt", PHONE), ("es", TABLET)])
def test_an_address_a_sign_in_and_the_chat_goes_on_by_itself_to_a_mail_that_arrives(browser, site, language, screen):
    with opened(browser, **screen) as page:
        guest = Guest(page, site, language)
        guest.comes_in()
        guest.show("guide")
        page.get_by_role("button", name=guest.text("playground.type_it", what=SOL)).click()
        guest.show("phone")
        guest.send()
        guest.hears("sign_in.ask.microsoft")
        tab = guest.leaves()
        field = tab.get_by_label(guest.text("playground.identity.email"))
        expect(field).to_have_value(SOL)
        expect(tab.locator("html")).to_have_attribute("lang", language)
        expect(tab.get_by_text(guest.text("playground.identity.about"))).to_be_visible()
        assert axe_violations(tab) == []
        tab.get_by_role("button", name=guest.text("playground.identity.allow")).click()
        guest.ends(tab, "done")
        guest.hears("sign_in.look_yourself")
        guest.tap("button.menu")
        subject = f"Olá {language}"
        guest.writes(subject)
        guest.looks_at(ANA)
        mail = page.locator("#inbox .message", has_text=subject)
        expect(mail.locator(".from")).to_have_text(f"{room.PERSONAS[language][0].name} <{SOL}>", timeout=PATIENCE)
        guest.looks_at(SOL)
        expect(page.locator("#sent .message", has_text=subject)).to_have_count(1, timeout=PATIENCE)
        expect(page.get_by_text(guest.text("playground.signs_in"))).to_be_visible()
        expect(page.locator("#password")).to_be_hidden()
        assert axe_violations(page) == []


def test_who_denies_gets_a_new_link_and_may_think_better_of_it(browser, site):
    with opened(browser, **WIDE) as page:
        guest = asked(page, site, "en")
        guest.signs_in("deny", "denied")
        guest.hears("sign_in.denied")
        guest.hears("sign_in.ask.microsoft", 2)
        guest.signs_in()
        guest.hears("mailbox.works")


def test_where_an_administrator_has_to_approve_it_is_told_until_they_have(browser, site):
    with opened(browser, **PHONE) as page:
        guest = asked(page, site, "pt")
        guest.switch("admin")
        guest.show("phone")
        tab = guest.leaves()
        expect(tab.get_by_text(guest.text("playground.identity.approval"))).to_be_visible()
        expect(tab.get_by_role("button", name=guest.text("playground.identity.allow"))).to_have_count(0)
        assert axe_violations(tab) == []
        tab.get_by_role("button", name=guest.text("playground.identity.go_back")).click()
        guest.ends(tab, "consent")
        guest.hears("sign_in.consent")
        guest.switch("person")
        guest.show("phone")
        guest.tap("mailbox.button.retry")
        guest.hears("sign_in.ask.microsoft", 2)
        guest.signs_in()
        guest.hears("mailbox.works")


def test_another_account_is_told_and_one_that_is_not_there_is_said_on_the_page(browser, site):
    with opened(browser, **WIDE) as page:
        guest = asked(page, site, "es")
        tab = guest.leaves()
        field = tab.get_by_label(guest.text("playground.identity.email"))
        field.fill("nobody@office.test")
        tab.keyboard.press("Enter")
        expect(tab.get_by_role("alert")).to_have_text(guest.text("playground.identity.unknown"))
        expect(field).to_be_focused()
        expect(field).to_have_accessible_description(re.compile(re.escape(guest.text("playground.identity.unknown"))))
        assert axe_violations(tab) == []
        field.fill(LUA)
        tab.keyboard.press("Enter")
        guest.ends(tab, "other_account")
        guest.hears("sign_in.other_account")


def test_an_ended_sign_in_is_noticed_with_the_next_mail_and_mended_by_another_one(browser, site):
    with opened(browser, **WIDE) as page:
        guest = asked(page, site, "en")
        guest.signs_in()
        guest.tap("button.menu")
        with page.expect_response("**/api/revoke"):
            page.get_by_role("button", name=guest.text("playground.revoke")).click()
        expect(page.locator("#news")).to_contain_text(guest.text("playground.revoked", address=SOL))
        guest.writes("In vain")
        guest.hears("news.mail_refused")
        guest.tap("sign_in.button.microsoft")
        guest.hears("sign_in.ask.microsoft", 2)
        guest.signs_in()
        guest.hears("mailbox.works", 2)


def test_there_may_be_nothing_to_end(browser, site):
    site.stage.identity._grants.clear()
    with opened(browser, **WIDE) as page:
        guest = Guest(page, site)
        page.get_by_role("button", name=guest.text("playground.revoke")).click()
        expect(page.locator("#switches-problem")).to_have_text(guest.text("playground.none_to_revoke"))


def test_where_programs_may_not_sign_in_the_mail_goes_another_way(browser, site):
    with opened(browser, **WIDE) as page:
        guest = asked(page, site, "en")
        with page.expect_response("**/api/refuse"):
            page.get_by_label(guest.text("playground.server")).select_option("auth_off")
        guest.signs_in()
        guest.hears("sign_in.cause.smtp_auth_disabled_tenant_or_mailbox")
        guest.tap("sign_in.button.graph")
        guest.hears("sign_in.one_more")
        tab = guest.leaves()
        expect(tab.get_by_text(guest.text("playground.identity.send_graph"))).to_be_visible()
        tab.get_by_role("button", name=guest.text("playground.identity.allow")).click()
        guest.ends(tab, "done")
        guest.tap("button.menu")
        guest.writes("Past the server")
        guest.looks_at(ANA)
        expect(page.locator("#inbox .message", has_text="Past the server")).to_have_count(1, timeout=PATIENCE)
        guest.looks_at(SOL)
        expect(page.locator("#sent .message", has_text="Past the server")).to_have_count(1, timeout=PATIENCE)


def test_where_reading_is_allowed_the_assistant_looks_for_the_proof_itself(browser, site):
    with opened(browser, **WIDE) as page:
        guest = asked(page, site, "en")
        guest.switch("reading")
        guest.signs_in()
        guest.hears("proof.arrived")
        expect(guest.answers.filter(has_text=words_of("sign_in.look_yourself", "en"))).to_have_count(0)


def asked(page, site, language):
    """Somebody who came in and has the link."""
    guest = Guest(page, site, language)
    guest.comes_in()
    guest.send(SOL)
    guest.hears("sign_in.ask.microsoft")
    return guest


def words_of(name, language):
    """The longest part of a sentence that has no value in it, as a browser shows it."""
    parts = re.split(r"\{\w+\}|\n", re.sub(r"[*_`]", "", speech.texts(language)[name]))
    return max(parts, key=len).strip()
