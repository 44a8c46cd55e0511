"""Every screen that people in Slack can see, in three languages: for checks, and as pictures.

`python -m tests.slack_screens [FOLDER [WORDS]]` writes pages, a picture of each screen, wide and as narrow as a phone,
and sheets with many; with words: only of screens with one of them in their names.
"""

import queue
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from bot.channels.slack.home import home_view, said
from bot.channels.slack.render import Frame, render, window
from bot.channels.slack.style import SlackStyle
from bot.mail.knowledge.explain import causes
from bot.playground import blocks_page
from bot.playground.slack_checks import MAX_VIEW_BYTES, message_problems, view_problems
from bot.playground.slack_screen import mentions
from bot.progress import Progress
from flows import board, guide, speech, words
from flows.conversation import FLOWS, Envelope, close, converse
from flows.facts import Facts, Mailbox, Provider, Teammate
from flows.mailbox import Collecting, Testing
from flows.menu import Choosing
from flows.questions import READ, STEPS
from flows.speech import Message, Plain, sentence
from flows.words import LANGUAGES, FieldErrors, Filled, Language, Say, Speak
from tests.browser import QUIET, chromium_path
from tests.flowkit import ADDRESS, ANA, GMAIL, NOW, WORKS, Player, facts
from tests.situations import situations

LINK = "https://mail.agencia-sol.example/s/Zx4kq0m3bVtYw8uJ2nR7sD1fLh5cPa9eGi6oTKMQvXE"
AGENCY = "Agência Sol"
WIDE, PHONE = 760, 375
PEOPLE = {
    "multi_users_select": (("U0ANA", "Ana"), ("U0BRUNO", "Bruno")),
    "multi_conversations_select": (("C0GERAL", "#geral"),),
}
NAMES = (
    "Ana Souza", "Bruno Carvalho", "Carla Núñez", "Davi Fernando de Albuquerque e Souza", "Eva Lima", "Fábio Prado",
    "Gabriela Ortiz", "Hugo Martínez", "Inês Duarte", "João Pedro", "Karina Melo", "Luís Ángel Peña",
)  # fmt: skip
STATES = ("works", "works", "works", "broken", "", "waiting", "off")


@dataclass(frozen=True)
class Screen:
    """One screen: a message, a note for one person, a window (modal) or a home."""

    group: str
    name: str
    language: Language
    kind: str
    content: dict[str, Any]
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return re.sub(r"[^\w.-]+", "-", f"{self.name}.{self.kind}")

    def problems(self) -> list[str]:
        """What Slack would refuse, and whom it would ping."""
        if self.kind in {"message", "private"}:
            blocks = self.content.get("blocks")
            found = message_problems(blocks) if blocks is not None else []
            found += [] if 0 < len(self.content["text"]) <= 4000 else ["the text has no or too many characters"]
            return found + mentions(self.content["text"], blocks)
        found = view_problems(self.content) + mentions("", self.content)
        return found + (["too large"] if len(repr(self.content)) > MAX_VIEW_BYTES else [])

    def html(self) -> str:
        if self.kind == "home":
            return blocks_page.home(self.content, self.language)
        if self.kind == "modal":
            return blocks_page.modal(self.content, self.language, errors=self.errors, choices=PEOPLE)
        return blocks_page.message(self.content, self.language, private=self.kind == "private")


def screens() -> Iterator[Screen]:
    """All of them, each with a name of its own. The same screen under two names is there once."""
    seen, named = set(), Counter()
    for language in LANGUAGES:
        for make in (_questions, _results, _news, _guide, _notes, _windows, _homes):
            for screen in make(language):
                key = (screen.kind, repr(screen.content), repr(screen.errors))
                if key not in seen:
                    seen.add(key)
                    name = (language, screen.group, screen.id)
                    named[name] += 1
                    yield replace(screen, name=f"{screen.name}-{named[name]}") if named[name] > 1 else screen


def frame(language: Language) -> Frame:
    return Frame(*(sentence(f"slack.{name}", language) for name in ("title", "submit", "close", "written")))


def _spoken(group: str, name: str, language: Language, speak: Speak) -> Iterator[Screen]:
    """As it stands in the direct messages, and in a window that is open."""
    yield from _shown(group, name, language, speech.render(speak, language, SlackStyle(), lambda _: LINK))


def _shown(group: str, name: str, language: Language, message: Message) -> Iterator[Screen]:
    sent = render(message)
    yield Screen(group, name, language, "message", {"text": sent.text, "blocks": sent.blocks})
    yield Screen(group, name, language, "modal", window(message, frame(language)))


def _questions(language: Language) -> Iterator[Screen]:
    for name, flow, state, known in situations():
        here = replace(known, language=language, agency=known.agency and AGENCY)
        asked = FLOWS[flow].ask(state, here)
        speak = Speak(
            (Say(asked.name, asked.values),), f"{flow}.{asked.question}", asked.options, FLOWS[flow].inputs(state)
        )
        yield from _spoken("questions", f"{name[:40]}.{asked.name}", language, speak)


def _results(language: Language) -> Iterator[Screen]:
    """What is said on the way from the invitation to the card, for members and for admins, and after a failure."""
    failed = [words.LoginFailed(name, one.who, one.retry) for name, one in causes().items()]
    for name, role, logins in (
        ("member", "member", []),
        ("admin", "admin", []),
        *((f"failed-{one.cause}", "member", [one]) for one in failed),
    ):
        player = Player(known=facts(language=language, role=role, agency=AGENCY, name="Bia"), logins=list(logins))
        player.write("oi")
        player.tap("setup")
        player.write("ana@agencia-sol.example")
        player.fill_page()
        speaks = [one for one in player.effects if isinstance(one, Speak)]
        for number, speak in enumerate(speaks if role == "admin" else speaks[-1:]):
            yield from _spoken("results", f"{name}-{number}", language, speak)


def all_news() -> tuple[words.News, ...]:
    """One of each kind of news, and those that are said in several ways."""
    return (
        words.Invited(AGENCY, "Bia Fernandes"),
        words.Reminded(AGENCY),
        words.MailAccepted("m", "cliente@example.test", "outro@example.test"),
        *(
            words.MailRefused("m", cause, "user", retry=retry)
            for cause in ("", "greylisted")
            for retry in (True, False)
        ),
        *(words.MailWaits("m", cause) for cause in causes()),
        words.MailUnknown("m"),
        words.GrantEnded("ana@agency.test", "microsoft"),
        words.PasswordEnds("ana@agency.test", "microsoft", date(2026, 12, 31), 35),
        *(words.FileLost("foto.jpg", reason) for reason in ("type", "size", "gone")),
        *(
            words.CopyMissing("m", "cliente@example.test", state)
            for state in ("no_folder", "failed", "no_imap", "not_seen_yet")
        ),
        words.MailboxWorks(ADDRESS),
        *(words.MailboxWaits(ADDRESS, cause, one.who) for cause, one in causes().items()),
        *(words.MailboxBroke(ADDRESS, cause) for cause in ("", *causes())),
        *(words.AdminNeeded("Ana", "ana@agency.test, bruno@agency.test", cause) for cause in causes()),
        *(words.MemberDiffers("Ana", ADDRESS, "smtp.hoster.test", asks=asks) for asks in (True, False)),
        words.CaseLapsed(101),
        *(words.CaseEnded(101, reason) for reason in ("handed_back", "closed", "silent")),
        words.AccessWanted("r1", "Ana <b>*Souza*</b>", "+5511999990001", ADDRESS),
        words.AccessGranted(AGENCY),
        words.AccessDeclined(),
        words.MemberJoined("m1", "Ana", "+5511999990001"),
        words.MemberLeft("Ana"),
        words.MemberDeactivated("m1", "Ana"),
        words.SlackAdded(AGENCY),
        words.SlackLeft("Sol"),
        words.NumberReissued("Ana"),
        words.MovedAway(),
        *(words.Excluded(AGENCY, url) for url in ("", "https://provider.test/apps")),
        words.TestSlow(),
        words.Lay(),
        words.TurnFailed(),
    )


def _news(language: Language) -> Iterator[Screen]:
    collecting = Envelope("mailbox", Collecting({}, "address"), greeted=True)
    testing = Envelope("mailbox", Testing(ANA, "s1"), greeted=True)
    for number, event in enumerate(all_news()):
        known = facts(language=language, agency=AGENCY, mailbox=None if number < 2 else WORKS)
        at = Envelope("menu", Choosing(), greeted=True)
        at = Envelope() if isinstance(event, words.Invited) else at
        at = collecting if isinstance(event, words.Lay) else testing if isinstance(event, words.TestSlow) else at
        for effect in close(converse(at, event, known), known).effects:
            if isinstance(effect, Speak):
                cause = getattr(event, "cause", "")
                yield from _spoken("news", f"{number:02}-{type(event).__name__}-{cause}", language, effect)


def _guide(language: Language) -> Iterator[Screen]:
    known = facts(language=language, mailbox=WORKS)
    for topic in guide.articles(language):
        for which in (topic, f"{STEPS}{topic}"):
            turn = converse(Envelope("menu", Choosing(), greeted=True), words.Chose(f"{READ}{which}"), known)
            for effect in close(turn, known).effects:
                if isinstance(effect, Speak):
                    yield from _spoken("guide", which, language, effect)


def _notes(language: Language) -> Iterator[Screen]:
    """What is answered where a command was written, for its writer's eyes only."""
    told = {name: sentence(f"slack.{name}", language) for name in ("help", "no_agency", "down")}
    told["status-admin"] = said(board.summary(_admin(language, few())), language)
    for state in ("", "waiting", "works", "broken", "off"):
        told[f"status-{state or 'none'}"] = said(board.own(_member(language, state)), language)
    for name, text in told.items():
        yield Screen("notes", name, language, "private", {"text": text})


def _windows(language: Language) -> Iterator[Screen]:
    """Windows that wait, that show how far a test is, and in which something does not fit."""
    waiting = Message(sentence("slack.working", language), (), language, "slack.waiting")
    yield from _only_windows("waiting", language, waiting)
    seen: queue.Queue[Message] = queue.Queue()
    with Progress(seen.put, "ana@agencia-sol.example", language, mail=True) as progress:
        for number, stage in enumerate(("", "dns", "connect", "tls", "auth", "mail")):
            if stage:
                progress.passed(stage, 0.1, ok=True)
            yield from _only_windows(f"testing-{number}", language, seen.get(timeout=10))
    known = facts(language=language, role="admin", workspace=True, mailbox=WORKS)
    for name, flow, state, values in (
        ("address", "mailbox", Collecting({}, "address"), {"address": "ana@agencia"}),
        ("server", "mailbox", Collecting({"address": ADDRESS}, "host"), {"host": "agencia sol", "port": "25"}),
        ("user", "mailbox", Collecting({"address": ADDRESS, "host": "smtp.a.test"}, "user"), {"user": "a\nb"}),
        ("people", "invite", FLOWS["invite"].start("", known)[0], {}),
    ):
        asked, step = FLOWS[flow].ask(state, known), FLOWS[flow].step(state, Filled(values), known)
        fields = tuple(replace(one, value=values.get(one.name, "")) for one in FLOWS[flow].inputs(state))
        speak = Speak((Say(asked.name, asked.values),), f"{flow}.{asked.question}", asked.options, fields)
        wrong = next(one for one in step[1] if isinstance(one, FieldErrors))
        errors = {name: said(why, language, Plain()) for name, why in wrong.problems}
        content = window(speech.render(speak, language, SlackStyle(), lambda _: LINK), frame(language))
        yield Screen("windows", f"wrong-{name}", language, "modal", content, errors)


def _only_windows(name: str, language: Language, message: Message) -> Iterator[Screen]:
    yield Screen("windows", name, language, "modal", window(message, frame(language)))


# --- homes -----------------------------------------------------------------------------------------------------------


def _homes(language: Language) -> Iterator[Screen]:
    until = replace(GMAIL, name="Microsoft 365", demand="password", until=date(2026, 5, 1))
    for name, known, page in (
        ("stranger", facts(language=language, agency="", role=""), 0),
        *((f"member-{state or 'none'}", _member(language, state), 0) for state in ("", "works", "waiting", "off")),
        *(
            (f"member-broken-{cause}", _member(language, "broken", cause), 0)
            for cause in ("wrong_credentials", "smtp_auth_disabled_tenant_or_mailbox")
        ),
        ("admin-new", _admin(language, (Teammate("m0", "Bia", "admin", me=True),), mailbox=None, server=False), 0),
        ("admin-alone", _admin(language, few()[:1]), 0),
        ("admin-few", _admin(language, few()), 0),
        ("admin-nobody-sends", _admin(language, _nobody(), mailbox=None, server=False), 0),
        ("admin-all-send", _admin(language, _all_send()), 0),
        ("admin-countdown", _admin(language, few(), provider=until), 0),
        ("admin-causes", _admin(language, many(40)), 0),
        *((f"admin-60-page-{page}", _admin(language, many(60)), page) for page in (0, 1)),
        *((f"admin-95-page-{page}", _admin(language, many(95)), page) for page in (0, 1, 3)),
    ):
        yield Screen("homes", name, language, "home", home_view(board.home(known, page), language))


def _member(language: Language, state: str, cause: str = "") -> Facts:
    mailbox = Mailbox(replace(ANA, address="ana@agencia-sol.example"), state, cause) if state else None
    return facts(language=language, agency=AGENCY, mailbox=mailbox, workspace=True)


def _admin(
    language: Language,
    team: tuple[Teammate, ...],
    *,
    mailbox: Mailbox | None = WORKS,
    server: bool = True,
    provider: Provider | None = None,
) -> Facts:
    return facts(
        now=NOW, language=language, agency=AGENCY, role="admin", name="Bia", team=team, mailbox=mailbox,
        agency_server=ANA.server if server else None, provider=provider, workspace=True,
    )  # fmt: skip


def few() -> tuple[Teammate, ...]:
    """A small agency in which one thing of each kind is the matter."""
    return (
        Teammate("m0", "Bia Fernandes", "admin", "bia@agencia-sol.example", "works", me=True),
        Teammate("m1", "Ana Souza", "member", "ana@agencia-sol.example", "works"),
        _failing("m2", "Bruno Carvalho", "bruno@agencia-sol.example", "broken", "wrong_credentials"),
        _failing("m3", "Carla Núñez", "carla@agencia-sol.example", "waiting", "smtp_auth_disabled_tenant_or_mailbox"),
        Teammate("m4", "Davi Fernando de Albuquerque e Souza", "member", "davi@agencia-sol.example", "off"),
        Teammate("m5", "Eva Lima", "member"),
    )


def _failing(member_id: str, name: str, address: str, state: str, cause: str) -> Teammate:
    return Teammate(member_id, name, "member", address, state, cause, causes()[cause].who)


def _nobody() -> tuple[Teammate, ...]:
    return (Teammate("m0", "Bia", "admin", me=True), *(Teammate(f"m{n}", NAMES[n], "member") for n in range(3)))


def _all_send() -> tuple[Teammate, ...]:
    return tuple(
        Teammate(f"m{n}", name, "member", f"{name.split()[0].lower()}@agencia-sol.example", "works", me=n == 0)
        for n, name in enumerate(NAMES[:6])
    )


def many(count: int) -> tuple[Teammate, ...]:
    """Members in all states; those who cannot send for every cause there is, one after the other."""
    known, team, failing = list(causes()), [], 0
    for number in range(count):
        state = STATES[number % len(STATES)] if count != 40 else "broken" if number % 2 else "waiting"
        name = NAMES[number % len(NAMES)] + (f" {number}" if number >= len(NAMES) else "")
        address = f"{name.split()[0].lower()}{number}@agencia-sol.example" if state else ""
        if state in {"broken", "waiting"}:
            team.append(_failing(f"m{number}", name, address, state, known[failing % len(known)]))
            failing += 1
        else:
            team.append(Teammate(f"m{number}", name, "member", address, state, me=number == 0))
    return tuple(team)


# --- pictures --------------------------------------------------------------------------------------------------------

COLUMN, ON_A_SHEET = {"wide": 560, "phone": PHONE}, 24
_SHEET = """
body { margin: 0; padding: 16px; background: #e9edf0; font: 12px sans-serif; }
.sheet { columns: COLUMNS; column-gap: 16px; }
.sheet figure { margin: 0 0 16px; break-inside: avoid; }
.sheet figcaption { color: #556; overflow-wrap: anywhere; }
"""


def sheet(some: list[Screen], *, columns: int = 1) -> str:
    """A page with these screens below one another, or in columns."""
    shown = "".join(f'<figure id="{one.id}">{one.html()}<figcaption>{one.name}</figcaption></figure>' for one in some)
    style = _SHEET.replace("COLUMNS", str(columns))
    return blocks_page.page(f'<div class="sheet">{shown}</div>', title="Slack", style=style)


def draw(folder: Path, only: list[str], browser: Any) -> int:
    """Write a page and sheets of each group, and pictures of single ones if only some are wanted; how many screens."""
    chosen = [one for one in screens() if not only or any(word in one.id or word == one.group for word in only)]
    for language in LANGUAGES:
        for group in sorted({one.group for one in chosen}):
            some = [one for one in chosen if (one.language, one.group) == (language, group)]
            folder.joinpath(language).mkdir(parents=True, exist_ok=True)
            _draw_sheets(browser, folder / language, group, some)
            if only:
                _draw_each(browser, folder / language, some)
    return len(chosen)


def _draw_sheets(browser: Any, folder: Path, group: str, some: list[Screen]) -> None:
    (folder / f"{group}.html").write_text(sheet(some), encoding="utf-8")
    for kind, width in COLUMN.items():
        columns = 1680 // width
        page = browser.new_page(viewport={"width": columns * (width + 16) + 16, "height": 400})
        for number in range(0, len(some), ON_A_SHEET):
            page.set_content(sheet(some[number : number + ON_A_SHEET], columns=columns))
            page.screenshot(path=folder / f"{group}-{kind}-{number // ON_A_SHEET}.png", full_page=True)
        page.close()


def _draw_each(browser: Any, folder: Path, some: list[Screen]) -> None:
    for kind, width in (("wide", WIDE), ("phone", PHONE)):
        page = browser.new_page(viewport={"width": width + 32, "height": 900})
        page.set_content(sheet(some))
        for one in some:
            page.locator(f'[id="{one.id}"] > .slack').screenshot(path=folder / f"{one.id}.{kind}.png")
        page.close()


def main(folder: Path, only: list[str]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=QUIET)
        sys.stdout.write(f"{draw(folder, only, browser)} screens in {folder}\n")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("var/slack-screens"), sys.argv[2:])
