"""`ask`: what the guide answers to a question, in the words that people read. Only `--unanswered` needs a database."""

import json
import sys
from datetime import datetime
from typing import Any

import click

from bot import jsonl
from bot.app import Parts, house, known_providers
from bot.cli.shared import answer, as_json, our_settings
from bot.clock import SystemClock
from bot.export import moment
from bot.facts import named, named_family
from bot.mail.knowledge.providers import Providers
from bot.search import Search
from bot.settings import Settings
from bot.store import questions as asked
from bot.store.engine import reading
from flows import guide, questions
from flows.facts import Facts, Question
from flows.speech import Plain, render
from flows.words import LANGUAGES, Language, Say, Speak

# Not answered from an article, but by the talk: https://www.twilio.com/docs/whatsapp demands a way to a person.
ROUTED = {guide.GREETING: "greeting", guide.THANKS: "greeting", guide.PERSON: "talk_to_human"}


class Desk:
    """The guide as a desk that answers questions outside a conversation."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError."""
        self._now: datetime = SystemClock().now()
        self._house = house(settings)
        self._providers: Providers = known_providers(settings.providers_extra)
        self._search = Search(self._family)

    def _family(self, text: str) -> str | None:
        return named_family(self._providers, text, self._now.date())

    def ask(self, text: str, language: Language | None = None, previous: str = "") -> dict[str, Any]:
        """The topic and its answer; null where the guide has none. `language`: of the answer, else the question's."""
        found = self._search.find(text, previous)
        spoken = language or found.language or self._search.language_of(text)
        topic = found.topics[0] if found.topics else ROUTED.get(found.kind)
        return {
            "topic": topic,
            "score": round(found.score, 3),
            "language": spoken,
            "answer": self._answer(text, found, spoken) if found.topics else None,
            "clear": found.clear,
            "others": [*found.topics[1:], *found.also],
        }

    def article(self, topic: str, language: Language) -> str:
        """An article with its steps, to be read or posted."""
        facts = Facts(self._now, language, self._house)
        says = questions.shown_article(topic, facts, "").effects
        if guide.article(topic).steps and (steps := questions.read(f"{questions.STEPS}{topic}", topic, facts, "")):
            says = (*says, *steps.effects)
        return self._words(says, language)

    def _answer(self, text: str, found: Question, language: Language) -> str:
        question = named(self._providers, found, text, self._now.date())
        facts = Facts(self._now, language, self._house, question=question)
        return self._words(questions.answered(question, "", facts, "").effects, language)

    def _words(self, effects: tuple[Any, ...], language: Language) -> str:
        says = tuple(effect for effect in effects if isinstance(effect, Say))
        return render(Speak(says), language, Plain(), lambda _link: "").body


@click.command()
@click.argument("question", required=False)
@click.option("--language", type=click.Choice(LANGUAGES), help="Of the answer; else that of the question.")
@click.option("--jsonl", "many", is_flag=True, help='Read {"id", "text"} lines on standard input, answer a line each.')
@click.option("--topic", type=click.Choice(sorted(guide.articles("en"))), help="Print this article, to be posted.")
@click.option("--unanswered", "in_vain", is_flag=True, help="List what people asked in vain.")
@as_json
def ask(
    question: str | None,
    language: Language | None,
    many: bool,
    topic: str | None,
    in_vain: bool,
    wants_json: bool,
) -> None:
    """Say what the guide answers to QUESTION."""
    if sum((question is not None, many, topic is not None, in_vain)) != 1:
        raise click.UsageError("Give one of QUESTION, --jsonl, --topic and --unanswered.")
    if in_vain:
        answer(unanswered, wants_json)
        return
    desk = Desk(our_settings())
    if topic is not None:
        click.echo(desk.article(topic, language or "en"))
    elif many:
        _answer_lines(desk, language)
    else:
        _answer_one(desk, question or "", language, wants_json=wants_json)


def _answer_one(desk: Desk, text: str, language: Language | None, *, wants_json: bool) -> None:
    """Print the answer to one question; exit status 1 when the guide has none."""
    found = desk.ask(text, language)
    if wants_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        others = f"\nalso likely: {', '.join(found['others'])}" if found["others"] else ""
        said = found["answer"] or "The guide has no answer to that."
        click.echo(f"{said}\n\ntopic: {found['topic']}\nscore: {found['score']}{others}")
    sys.exit(0 if found["answer"] else 1)


def _answer_lines(desk: Desk, language: Language | None) -> None:
    """Answer lines of standard input."""
    for row in jsonl.rows(sys.stdin.buffer, "text", ("language",)):
        click.echo(json.dumps(_answered(desk, row, language)))  # ASCII: an id may hold what no terminal can show


def _answered(desk: Desk, row: jsonl.Row, language: Language | None) -> dict[str, Any]:
    if row.error:
        return {"id": row.id, "error": row.error, "topic": None, "answer": None}
    spoken = next((one for one in LANGUAGES if one == row.given.get("language")), language)
    return {"id": row.id, **desk.ask(row.given["text"], spoken)}


def unanswered(parts: Parts, most: int = 100) -> list[dict[str, Any]]:
    """What people asked in vain, the most frequent first; without a topic the guide had no answer."""
    with reading(parts.engine) as db:
        rows = asked.unanswered(db, most)
    return [
        {"times": row.times, "question": row.words, "language": row.language, "topic": row.topic or None,
         "last": moment(row.last)}
        for row in rows
    ]  # fmt: skip
