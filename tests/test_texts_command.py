"""`python -m bot texts`: all that people read, in one list."""

import json
import re
from pathlib import Path
from string import Formatter

import pytest
from click.testing import CliRunner

from bot.__main__ import main
from bot.cli.texts import EXAMPLES, SENTENCES, lines, said_in
from flows.speech import texts
from flows.words import LANGUAGES

ROOT = Path(__file__).parent.parent


def run(*arguments):
    return CliRunner().invoke(main, ["texts", *arguments], env={"DATABASE_URL": "nowhere"})


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_printed_with_values_its_length_and_where_it_is_said(language):
    printed = run("--language", language)
    rows = json.loads(run("--language", language, "--json").output)
    assert printed.exit_code == 0
    assert [row["name"] for row in rows] == list(texts(language))
    for row in rows:
        assert row["words"] in printed.output
        assert row["length"] >= len(row["words"])
        assert row["said_in"], row["name"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_place_in_a_sentence_is_left_without_an_example(language):
    assert [(line.name, line.words) for line in lines(language) if re.search(r"<\w+>|\{\w+\}", line.words)] == []


def test_every_example_stands_in_some_sentence():
    places = {hole for words in texts("en").values() for _, hole, _, _ in Formatter().parse(words) if hole}
    assert EXAMPLES.keys() | SENTENCES.keys() <= places


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mailbox.no_address", "flows/fields.py"),
        ("mailbox.state.works", "flows/menu.py"),
        ("talk.closed", "flows/conversation.py"),
        ("article.cost", "flows/guide/<language>/cost.md"),
        ("article.steps.cost", "flows/guide/<language>/cost.md"),
        ("compose.subject", "flows/compose.py"),
        ("web.down", "bot/web/pages.py"),
    ],
)
def test_where_a_sentence_is_said_is_found_in_the_code(name, file):
    assert file in said_in(name)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_files_that_say_something_exist(language):
    for line in lines(language):
        for file in line.said_in:
            assert (ROOT / file.replace("<language>", language)).exists(), line
