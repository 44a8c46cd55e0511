"""`explain`: what an error text means, who can act, and the sentence for the person. It needs no database."""

import json
import sys
from dataclasses import asdict
from typing import Any

import click

from bot import jsonl
from bot.cli.shared import as_json
from bot.mail.knowledge.explain import Explained, explain_text
from bot.mail.knowledge.pasted import plain
from flows.speech import sentence
from flows.words import LANGUAGES, Language

_TEXTS = ("text", ("provider", "host", "stage"))
# Words of the languages beside English that errors are written in; German and French are answered in English, too
_PORTUGUESE = (
    "nao foi possivel servidor conexao senha usuario mensagem erro falha falhou autenticacao envio enviar com uma um "
    "da do dos das pelo pela tempo limite resposta remetente voce seu sua conta caixa cheia ao invalida o os as"
)
_SPANISH = (
    "no se pudo puede servidor conexion contrasena usuario mensaje error fallo autenticacion envio enviar con una un "
    "del el los las por tiempo espera respuesta remitente usted su cuenta buzon lleno al invalida la ha"
)
_WORDS: dict[Language, frozenset[str]] = {
    "pt": frozenset(_PORTUGUESE.split()),
    "es": frozenset(_SPANISH.split()),
}
_LEAST_WORDS = 3


@click.command()
@click.argument("text", required=False)
@click.option("--jsonl", "many", is_flag=True, help='Read {"id", "text"} lines on standard input, answer a line each.')
@click.option("--language", type=click.Choice(LANGUAGES), help="Of the advice; else that of the text.")
@as_json
def explain(text: str | None, many: bool, language: Language | None, wants_json: bool) -> None:
    """Say what the error TEXT means, and who can do something about it."""
    if many == (text is not None):
        raise click.UsageError("Give one TEXT, or --jsonl and lines on standard input.")
    if many:
        for row in jsonl.rows(sys.stdin.buffer, *_TEXTS):
            click.echo(json.dumps(answer_row(row, language)))  # ASCII: an id may hold what no terminal can show
        return
    found = _answer(text or "", explain_text(text or ""), language)
    click.echo(json.dumps(found, ensure_ascii=False) if wants_json else _in_words(found))


def answer_row(row: jsonl.Row, language: Language | None = None) -> dict[str, Any]:
    """The answer to one line; one that cannot be answered gets `error` with a sentence."""
    if row.error:
        return {"id": row.id, "error": row.error}
    given = dict(row.given)
    text = given.pop("text")
    return {"id": row.id, **_answer(text, explain_text(text, **given), language)}


def _answer(text: str, found: Explained, language: Language | None) -> dict[str, Any]:
    spoken = language or language_of(text)
    return {**asdict(found), "advice": sentence(f"cause.{found.cause}", spoken), "language": spoken}


def language_of(text: str) -> Language:
    """The language of an error's words, where it is one that the assistant speaks; else English."""
    words = set(plain(text[:10_000]).replace(",", " ").replace(".", " ").replace(":", " ").split())
    counts = {language: len(words & known) for language, known in _WORDS.items()}
    best = max(counts, key=lambda language: counts[language])
    others = max(count for language, count in counts.items() if language != best)
    return best if counts[best] >= _LEAST_WORDS and counts[best] > others else "en"


def _in_words(found: dict[str, Any]) -> str:
    again = "yes" if found["retry"] else "no"
    return (
        f"{found['advice']}\n\ncause: {found['cause']}\nprovider: {found['provider']}\n"
        f"who can act: {found['who']}\nwaiting helps: {again}"
    )
