"""`texts`: every sentence that people read, with example values, where it is said, and its length on WhatsApp."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from string import Formatter

import click

from bot.cli.shared import as_json
from flows.speech import texts
from flows.words import LANGUAGES, Language

ROOT = Path(__file__).parents[2]
ROOMS = ("flows", "bot")
# What may stand in a sentence's places.
EXAMPLES = {
    "about": "ana@agenciasol.com",
    "accepted": "12",
    "address": "ana@agenciasol.com",
    "addresses": "ana@agenciasol.com, bia@agenciasol.com",
    "admin": "Bia",
    "agency": "Agência Sol",
    "all": "4",
    "answer": "12 min",
    "answers": "address: ana@agenciasol.com",
    "by": "Bia",
    "cases": "1",
    "checked": "26/11/2026",
    "code": "ACDE-7FGH-JKMN",
    "contact": "+1 555 0100",
    "count": "3",
    "day": "26/11/2026",
    "days": "90",
    "declined": "bia@client.com",
    "domain": "ally.example.com",
    "door": "door.example.com",
    "door_port": "465",
    "example": "ACDE-7FGH-JKMN",
    "file": "photo.jpg",
    "files": "photo.jpg",
    "first": "15",
    "forward": "ACDE-7FGH-JKMN",
    "host": "smtp.gmail.com",
    "hour": "09:00",
    "invited": "3",
    "last": "60",
    "line": "Set-CASMailbox -Identity 'ana@agenciasol.com' -SmtpClientAuthenticationDisabled $false",
    "lines": "• @bia: “Hola, olá, hello.”",
    "link": "https://ally.example.com/s/AbC",
    "mailbox": "ana@agenciasol.com, smtp.gmail.com:465",
    "mails": "2",
    "mark": "✓",
    "messages": "84",
    "mine": "1",
    "minutes": "30",
    "missing": "1",
    "more": "7",
    "most": "18",
    "name": "Ana",
    "new": "2",
    "number": "465",
    "operator": "Ally",
    "other": "bia@client.com",
    "ours": "1",
    "owner": "@sam",
    "page": "https://myaccount.google.com/apppasswords",
    "paused": "0",
    "people": "Ana · Agência Sol · …0001; Ana · Agência Lua · …0002",
    "per_day": "100",
    "per_hour": "20",
    "person": "Ana",
    "piece": "ana@agencia",
    "port": "465",
    "ports": "465, 587",
    "privacy_url": "https://ally.example.com/privacy",
    "provider": "Gmail",
    "refused": "1",
    "raw": "535 5.7.8 Username and Password not accepted",
    "resolution": "3 h 5 min",
    "server": "smtp.gmail.com",
    "since": "26.11. 10:05",
    "sign_ins": "1",
    "site": "login.microsoftonline.com",
    "snoozed": "0",
    "staff": "Sam",
    "stuck": "1",
    "subject": "Visita",
    "suggestion": "ana@gmail.com",
    "summary": "> 101, Ana, Agência Sol",
    "text": "Hola, olá, hello.",
    "theirs": "1",
    "titles": "Gmail, Hotmail and Outlook.com",
    "to": "bia@client.com",
    "touched": "2",
    "until": "31/12/2026",
    "url": "https://ally.example.com/privacy",
    "user": "ana@agenciasol.com",
    "unclear": "0",
    "uses": "20",
    "waiting": "1",
    "what": "2",
    "who": "Ana",
    "word": "menu",
    "working": "1",
    "works": "2",
    "workspace": "Sol",
}
# Places in which another sentence stands.
SENTENCES = {
    "back": "desk.menu.back",
    "bot": "desk.tool.back",
    "cause": "home.cause.wrong_credentials",
    "end": "desk.end.closed",
    "has": "desk.root.free",
    "locked": "privacy.locked",
    "mark": "home.mark.works",
    "over": "desk.offer.can",
    "password": "card.mail_password",
    "reason": "desk.reason.asked",
    "renew": "mailbox.button.password",
    "role": "team.role.member",
    "state": "mailbox.state.works",
    "when": "desk.facts.tls",
    "where": "handoff.where.sign_in",
    "why": "cause.wrong_credentials",
    "words": "cause.wrong_credentials",
}
_WORD = re.compile(r"""["'](?=([\w.-]*)(["']|\{)(?:(?<!\{)( ~))?)""")  # looked ahead at: an end may begin the next
LABELLED = ("article.", "card.", "door.", "door_page.", "guide.")  # here `host` is Ally's own word, elsewhere a server


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence: its name, its words with example values, the files that say it, and its length in UTF-16 units."""

    name: str
    words: str
    said_in: tuple[str, ...]
    length: int


@click.command("texts")
@click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True)
@as_json
def show_texts(language: Language, wants_json: bool) -> None:
    """Print every sentence with example values, its length, and where it is said."""
    if wants_json:
        click.echo(json.dumps(as_rows(language), ensure_ascii=False))
        return
    for line in lines(language):
        click.echo(f"{line.name}  ({line.length}; {', '.join(line.said_in)})\n{line.words}\n")


def lines(language: Language) -> list[Line]:
    """All sentences of a language, in the order of their files."""
    said = ((name, _filled(name, language)) for name in texts(language))
    return [Line(name, words, said_in(name), len(words.encode("utf-16-le")) // 2) for name, words in said]


def as_rows(language: Language) -> list[dict[str, object]]:
    """The lines for other programs."""
    return [asdict(line) for line in lines(language)]


def _filled(name: str, language: Language) -> str:
    """A sentence with example values; a place without an example shows its own name."""
    pattern = texts(language)[name]
    known = _examples(language, labelled=name.startswith(LABELLED))
    holes = {hole for _, hole, _, _ in Formatter().parse(pattern) if hole}
    return pattern.format(**{hole: known.get(hole, f"<{hole}>") for hole in holes})


@cache
def _examples(language: Language, *, labelled: bool) -> Mapping[str, str]:
    """What stands in each place. `labelled`: a name that Ally's labels have too means the label."""
    labels = {one.removeprefix("ally."): words for one, words in texts(language).items() if one.startswith("ally.")}
    sentences = {place: texts(language)[other] for place, other in SENTENCES.items() if other in texts(language)}
    first, second = (labels, EXAMPLES) if labelled else (EXAMPLES, labels)
    return {**second, **first, **sentences}


@cache
def said_in(name: str) -> tuple[str, ...]:
    """The files in which a sentence's name stands, whole or as the beginning of one that is put together."""
    first, _, rest = name.partition(".")
    if first == "article":
        return (f"flows/guide/<language>/{name.rpartition('.')[2]}.md",)
    begun = [f"{start}{end}" for start in _beginnings(name) for end in ("{", '" ~')]
    on_pages = [f'{rest}"', f'{rest.rpartition("_")[0]}_" ~']
    for spelt in ([f'{name}"'], begun, on_pages if first in {"page", "web"} else []):
        if found := sorted({file for one in spelt for file in _spelt().get(one, ())}):
            return tuple(found)
    own = f"flows/{first}.py"  # a form's question has its field's name
    return (own,) if own in _code() else ("bot/web/secret_page.py",)


def _beginnings(name: str) -> Iterator[str]:
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        yield ".".join(parts[:length]) + "."


@cache
def _spelt() -> Mapping[str, list[str]]:
    """The files of each word that begins behind a quotation mark, with its end: `word"`, `word{` or `word" ~`."""
    files: dict[str, list[str]] = {}
    for file, code in _code().items():
        for word, end, put_together in set(_WORD.findall(code)):
            for one in (f"{word}{end}", *([f'{word}" ~'] if put_together else [])):
                files.setdefault(one.replace("'", '"'), []).append(file)
    return files


@cache
def _code() -> Mapping[str, str]:
    """The code and the pages, by file."""
    files = (path for room in ROOMS for kind in ("*.py", "*.html") for path in (ROOT / room).rglob(kind))
    others = sorted(path for path in files if path != Path(__file__))
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in others}
