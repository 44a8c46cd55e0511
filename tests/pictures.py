"""Pictures of the playground for the documentation: `python -m tests.pictures docs/pictures [LANGUAGE ...]`.

One story is clicked through in a real browser, on a database of its own; each picture is small enough for a repository.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # what the tests share is imported from there as pytest does it

from browser import QUIET, chromium_path, opened  # noqa: E402
from playground_site import Site, performed  # noqa: E402
from playground_visit import ANA, PATIENCE, Visit  # noqa: E402

from bot.database import migrated  # noqa: E402
from bot.playground.mail import MAILBOXES  # noqa: E402
from bot.store.embedded import Embedded  # noqa: E402

SCREEN = {"width": 1440, "height": 900}
PHONE = {"width": 360, "height": 720}


def story(visit: Visit) -> None:
    """From hello to somebody of the support team who answers."""
    visit.follow("hello")
    visit.send()
    visit.expect_done("hello")
    visit.follow("join")
    expect(visit.field).not_to_have_value("")
    visit.send()
    visit.send(ANA)
    visit.give_password(MAILBOXES[ANA])
    visit.expect_done("inbox")
    visit.tap("card.button.done")
    visit.send(visit.text("playground.tour_person_word"))
    expect(visit.case()).to_contain_text("Ana", timeout=PATIENCE)
    visit.expect_done("person")
    visit.reply(visit.text("playground.tour_answer_word", staff="Sam"))
    visit.expect_done("answer")
    expect(visit.case().locator(".sl-mark").first).to_be_visible(timeout=PATIENCE)


def draw(site: Site, page: Page, language: str, folder: Path) -> list[Path]:
    """Play the story in a language; the pictures that were taken of it."""
    made = [folder / f"playground.{language}.png"]
    visit = Visit(page, site, language)
    story(visit)
    page.mouse.move(0, 0)
    page.screenshot(path=made[0])
    if language != "en":
        return made
    page.set_viewport_size(PHONE)
    for view in ("phone", "desk", "admin", "guide"):
        visit.show(view)
        made.append(folder / f"phone-{view}.png")
        page.screenshot(path=made[-1])
    return made


def main(folder: Path, languages: Sequence[str]) -> None:
    """Write the pictures of these languages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, Embedded(Path(name) / "database") as database:
        migrated(database.url)
        home = Path(name) / "home"
        home.mkdir()
        with performed(home, database.url) as site, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium_path(), args=QUIET)
            for language in languages:
                with opened(browser, viewport=SCREEN) as page:
                    for one in draw(site, page, language, folder):
                        sys.stdout.write(f"{one}\n")
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "docs" / "pictures", sys.argv[2:] or ["en"])
