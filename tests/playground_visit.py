"""Somebody in front of the playground's page: what the browser tests of it and its pictures share."""

import re
from contextlib import contextmanager

import requests
from playground_site import sentence
from playwright.sync_api import expect

from bot.playground.identity import ADDRESSES
from bot.playground.mail import MAILBOXES

WIDE = {"viewport": {"width": 1440, "height": 860}}
TABLET = {"viewport": {"width": 800, "height": 1000}}
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
ANA, BRUNO = "ana@sandbox.test", "bruno@sandbox.test"
PATIENCE = 20_000  # milliseconds for an answer of the bot


class Visit:
    """Somebody in front of the page."""

    def __init__(self, page, site, language="en"):
        self.page, self.site, self.language = page, site, language
        page.goto(f"{site.address}/playground?language={language}")
        expect(page.locator("#tabs button")).to_have_count(len(MAILBOXES) + len(ADDRESSES) + 1)

    def text(self, name, **values):
        return sentence(name, self.language, **values)

    @property
    def field(self):
        return self.page.get_by_label(self.text("playground.message"), exact=True)

    @property
    def number(self):
        return self.page.locator("#number").inner_text()

    @property
    def answers(self):
        return self.page.locator("#messages .bubble:not(.mine)")

    def send(self, words=None):
        """Send what is in the field, or these words, and wait for one more answer of the bot."""
        before = self.answers.count()
        if words is not None:
            self.field.fill(words)
        self.page.locator("#composer").get_by_role("button", name=self.text("playground.send"), exact=True).click()
        expect(self.answers.nth(before)).to_be_visible(timeout=PATIENCE)

    def tap(self, name):
        for closed in self.page.locator("#messages .list:not([open]) > summary").all():
            closed.click()
        offered = self.page.locator("#messages .choices button", has_text=re.compile(f"^{re.escape(self.text(name))}$"))
        expect(offered.last).to_be_visible(timeout=PATIENCE)
        before = self.answers.count()
        offered.last.click()
        expect(self.answers.nth(before)).to_be_visible(timeout=PATIENCE)

    def show(self, view):
        button = self.page.locator(f".views [data-view={view}]")
        if button.is_visible():
            button.click()

    def give_password(self, password):
        with self.page.context.expect_page() as opening:
            self.page.locator(".bubble a[href*='/s/']").last.click()
        secret_page = opening.value
        secret_page.locator("#secret").fill(password)
        secret_page.locator("form [type=submit]").first.click()
        expect(secret_page.get_by_role("heading", level=1)).to_have_text(sentence("page.done.title", self.language))
        secret_page.close()
        self.page.bring_to_front()

    # --- the tour ---

    def step(self, name):
        return self.page.locator(f"#tour > [data-step={name}]")

    def expect_done(self, name):
        expect(self.step(name)).to_have_class(re.compile("is-done"), timeout=PATIENCE)

    def follow(self, name, part="button"):
        """Press what a step of the tour offers."""
        self.show("guide")
        self.step(name).locator(part).first.click()

    # --- Slack ---

    def office(self, place):
        return self.page.locator(f"main > .{place}")

    def case(self):
        """The newest thread of the desk."""
        return self.office("desk").locator(".thread").first

    @contextmanager
    def a_new_case(self):
        """What is done within opens a case; afterwards its thread is the newest one on the page."""
        asked = requests.get(f"{self.site.address}/playground/api/office/{self.language}", timeout=10).json()
        before = [one["key"] for one in asked["desk"]["threads"]][:1]
        yield
        newer = f".thread:first-child:not([data-thread='{''.join(before)}'])"
        expect(self.office("desk").locator(newer)).to_be_attached(timeout=PATIENCE)

    def reply(self, words):
        self.show("desk")
        field = self.case().get_by_label(self.text("playground.thread_reply"))
        field.fill(words)
        field.press("Enter")

    def give_to(self, name):
        """Give the newest case to somebody of the team."""
        self.show("desk")
        self.case().locator(".sl-more summary", has_text=self.text("desk.menu.assign")).click()
        self.case().get_by_role("button", name=name, exact=True).click()

    def choose_below(self, menu, choice):
        """Choose in a menu of the newest case."""
        self.show("desk")
        self.case().locator(".sl-more summary", has_text=self.text(menu)).click()
        self.case().get_by_role("button", name=self.text(choice), exact=True).click()
