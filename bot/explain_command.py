"""`explain`: what an error text means, who can act, and the sentence for the person. It needs no database."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, BinaryIO

import click

from bot.mail.knowledge.explain import Explained, explain_text
from bot.mail.knowledge.pasted import plain
from flows.speech import sentence
from flows.words import LANGUAGES, Language

MAX_LINE = 1_048_576  # bytes; of a longer line nothing is explained
_TEXTS = ("text", "provider", "host", "stage")
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
@click.option("--jsonl", is_flag=True, help='Read {"id", "text"} lines on standard input, answer a line each.')
@click.option("--language", type=click.Choice(LANGUAGES), help="Of the advice; else that of the text.")
@click.option("--json", "wants_json", is_flag=True, help="Answer in JSON.")
def explain(text: str | None, jsonl: bool, language: Language | None, wants_json: bool) -> None:  # noqa: FBT001 - flags
    """Say what the error TEXT means, and who can do something about it."""
    if jsonl == (text is not None):
        raise click.UsageError("Give one TEXT, or --jsonl and lines on standard input.")
    if jsonl:
        for line in _lines(sys.stdin.buffer):
            click.echo(json.dumps(answer_line(line, language)))  # ASCII: an id may hold what no terminal can show
        return
    found = _answer(text or "", explain_text(text or ""), language)
    click.echo(json.dumps(found, ensure_ascii=False) if wants_json else _in_words(found))


def answer_line(line: bytes, language: Language | None = None) -> dict[str, Any]:
    """The answer to one line of JSON; a line that is none, or of another form, gets `error` with a sentence."""
    row: Any = None
    try:
        if len(line) > MAX_LINE:
            return {"id": None, "error": f"the line has more than {MAX_LINE} bytes"}
        row = json.loads(line)
        given = {name: row[name] for name in _TEXTS if row.get(name) is not None}
    except (ValueError, RecursionError):
        return {"id": None, "error": "it is not JSON"}
    except (AttributeError, TypeError):
        return {"id": None, "error": "it is not an object"}
    if "text" not in given or not all(isinstance(value, str) for value in given.values()):
        return {"id": row.get("id"), "error": 'it needs a "text", and only texts beside it'}
    text = given.pop("text")
    return {"id": row.get("id"), **_answer(text, explain_text(text, **given), language)}


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


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """The lines of a stream; one that is too long is handed over cut, and its rest is skipped."""
    while line := stream.readline(MAX_LINE + 2):
        rest = line
        while rest and not rest.endswith(b"\n") and len(rest) > MAX_LINE:
            rest = stream.readline(MAX_LINE + 2)
        if line.strip():
            yield line
