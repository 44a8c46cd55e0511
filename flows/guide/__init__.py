"""The guide: what is documented, one article per topic and language, in Markdown files beside this one.

An article is front matter in TOML between two lines `+++`, the short answer, and behind a line `---` its steps. The
ways in which people ask for it (`asks`) are what the search learns from: adding one, or an article, needs no code. What
is never answered from the guide stands in `unanswered.toml`, by kind.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources

from flows.words import LANGUAGES, Language

FRONT, STEPS = "+++\n", "\n---\n"
# The kinds of messages that are no question for the guide, as `unanswered.toml` names them.
GREETING, THANKS, PERSON = "greeting", "thanks", "person"
OTHER_ALLY, ELSEWHERE, INSTRUCTIONS, OTHERS_DATA, ABUSE = (
    "other_ally", "elsewhere", "instructions", "others_data", "abuse",
)  # fmt: skip
OUT_OF_SCOPE = frozenset({OTHER_ALLY, ELSEWHERE, INSTRUCTIONS, OTHERS_DATA, ABUSE})
# "And for Outlook?" asks the same of another provider: topics that differ only in whose server or secret it is, by the
# provider's family; "" is everybody else.
FAMILIES: tuple[Mapping[str, str], ...] = (
    {"google": "gmail_settings", "microsoft": "outlook_settings", "": "other_provider_settings"},
    {"google": "app_password_google", "": "app_password_other"},
)


@dataclass(frozen=True, slots=True)
class Article:
    """One article. `label`: its name on a button. `checked`: the day on which its facts were looked up in `sources`.

    `related`: topics that people mean instead. `action`: what its button leads to (`setup`, `manage`, `integrate`,
    `card`, `person`, or nothing). `asks`: how people ask for it. `answer`: one message; `steps`: another, or empty.
    """

    topic: str
    language: Language
    title: str
    label: str
    checked: date
    sources: tuple[str, ...]
    related: tuple[str, ...]
    action: str
    asks: tuple[str, ...]
    answer: str
    steps: str


@cache
def articles(language: Language) -> Mapping[str, Article]:
    """All articles of a language, by topic."""
    folder = resources.files("flows.guide").joinpath(language)
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".md")), key=lambda file: file.name)
    found = (_parsed(file.name.removesuffix(".md"), language, file.read_text(encoding="utf-8")) for file in files)
    return {one.topic: one for one in found}


def _parsed(topic: str, language: Language, text: str) -> Article:
    _, front, body = text.split(FRONT, 2)
    head = tomllib.loads(front)
    answer, _, steps = body.partition(STEPS)
    return Article(
        topic=topic,
        language=language,
        title=head["title"],
        label=head["label"],
        checked=head["checked"],
        sources=tuple(head["sources"]),
        related=tuple(head["related"]),
        action=head["action"],
        asks=tuple(head["asks"]),
        answer=answer.strip(),
        steps=steps.strip(),
    )


def article(topic: str) -> Article:
    """What is the same of a topic's article in all languages (related topics, action, whether it has steps)."""
    return articles(LANGUAGES[0])[topic]


@cache
def unanswered(language: Language) -> Mapping[str, tuple[str, ...]]:
    """Messages that are not answered from the guide, by kind."""
    file = resources.files("flows.guide").joinpath(language).joinpath("unanswered.toml")
    return {kind: tuple(rows) for kind, rows in tomllib.loads(file.read_text(encoding="utf-8")).items()}


def texts(language: Language) -> dict[str, str]:
    """The articles as sentences of the texts: `article.<topic>`, `article.steps.<topic>`, `article.button.<topic>`."""
    named: dict[str, str] = {}
    for one in articles(language).values():
        named[f"article.{one.topic}"] = one.answer
        named[f"article.button.{one.topic}"] = one.label
        if one.steps:
            named[f"article.steps.{one.topic}"] = one.steps
    return named


def same_of(topic: str, provider: str) -> str:
    """The topic that says of another provider (by family) what this one says; if there is none, that of its server."""
    family = next((one for one in FAMILIES if topic in one.values()), FAMILIES[0])
    return family.get(provider, family[""])
