"""`python -m bot ask`: one question, thousands of lines, an article to be posted, and what was asked in vain."""

import json

import pytest
from click.testing import CliRunner

from bot.__main__ import main
from bot.jsonl import MAX_LINE, Row, read
from flows.speech import texts
from flows.words import LANGUAGES
from tests.botkit import ANA, Kit

ASKED = {
    "en": "how do I create an app password at google?",
    "pt": "como crio uma senha de app no google?",
    "es": "¿cómo creo una contraseña de aplicación en google?",
}


def run(*arguments, given=None, **env):
    return CliRunner().invoke(main, ["ask", *arguments], input=given, env={"DATABASE_URL": None, **env})


def begin(topic, language):
    return texts(language)[f"article.{topic}"].partition("{")[0][:50]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_is_answered_in_its_own_language(language):
    answer = run(ASKED[language])
    assert answer.exit_code == 0
    assert begin("app_password_google", language) in answer.output
    assert "topic: app_password_google" in answer.output


def test_the_language_of_the_answer_can_be_asked_for():
    found = json.loads(run(ASKED["en"], "--language", "es", "--json").output)
    assert found["topic"] == "app_password_google"
    assert found["language"] == "es"
    assert found["answer"].startswith(begin("app_password_google", "es"))
    assert found["clear"]
    assert 0 < found["score"] <= 1


def test_what_the_guide_does_not_have_is_said_with_status_one():
    answer = run("what is the weather in lisbon tomorrow")
    assert answer.exit_code == 1
    assert "no answer" in answer.output


def test_a_provider_that_is_named_is_answered_with_its_server():
    assert "smtps.uol.com.br" in run("meu email é uol, qual o smtp?").output


def test_lines_get_a_line_each_in_their_order_and_a_bad_one_breaks_nothing():
    lines = [
        json.dumps({"id": "a", "text": ASKED["pt"]}),
        json.dumps({"id": "b", "text": "good morning"}),
        json.dumps({"id": "c", "text": "I want to talk to a person"}),
        json.dumps({"id": 4, "text": "tell me a joke"}),
        json.dumps({"id": 5, "text": ASKED["en"], "language": "es"}),
        json.dumps({"id": 6, "text": ASKED["en"], "language": "fr"}),
        "no json",
        '{"id": 7}',
        '{"id": 8, "text": 5}',
        "[]",
        "",
        '{"id": "\\ud800", "text": "\\ud800 2fa?"}',
        '{"id": "x", "text": "' + "a" * MAX_LINE + '"}',
    ]
    answer = run("--jsonl", given="\n".join(lines) + "\n")
    rows = [json.loads(line) for line in answer.output.splitlines()]
    assert answer.exit_code == 0
    assert [row["id"] for row in rows] == ["a", "b", "c", 4, 5, 6, None, 7, 8, None, "\ud800", None]
    assert [row["topic"] for row in rows[:6]] == [
        "app_password_google", "greeting", "talk_to_human", None, "app_password_google", "app_password_google",
    ]  # fmt: skip
    assert [row["language"] for row in (rows[0], rows[4], rows[5])] == ["pt", "es", "en"]
    assert [bool(row["answer"]) for row in rows[:6]] == [True, False, False, False, True, True]
    assert all(row["error"] and row["topic"] is None for row in rows[6:10])
    assert rows[10]["topic"] == "two_step_verification"
    assert "bytes" in rows[11]["error"]


def test_a_row_says_what_it_lacks():
    assert read(b'{"id": 1, "text": "x", "language": "pt", "more": 1}', "text", ("language",)) == Row(
        1, {"text": "x", "language": "pt"}
    )
    assert "text" in read(b'{"id": 1}', "text").error


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_article_is_printed_whole_to_be_posted(language):
    shown = run("--topic", "app_password_google", "--language", language).output
    assert begin("app_password_google", language) in shown
    assert texts(language)["article.steps.app_password_google"].partition("{")[0][:40] in shown
    assert "{" not in shown


@pytest.mark.parametrize(
    "arguments",
    [(), ("a question", "--jsonl"), ("--topic", "nothing"), ("a question", "--unanswered"), ("x", "--language", "fr")],
)
def test_what_was_asked_wrongly_is_said(arguments):
    answer = run(*arguments)
    assert answer.exit_code == 2
    assert "Error" in answer.output


# --- what was asked in vain -------------------------------------------------------------------------------------------


@pytest.fixture
def kit(database_url, tmp_path):
    with Kit(database_url, tmp_path) as kit:
        yield kit


def asked_in_vain(kit):
    answer = run(
        "--unanswered", "--json", DATABASE_URL=kit.url, DATA_DIR=str(kit.settings.data_dir), TWILIO_ACCOUNT_SID=None
    )
    assert answer.exit_code == 0, answer.output
    return [(row["times"], row["question"], row["topic"]) for row in json.loads(answer.output)]


def test_what_people_asked_in_vain_is_counted_and_listed_without_what_is_personal(kit):
    kit.join()
    kit.say("menu")
    kit.work()
    for words in (
        "what is the weather in lisbon", "What is the weather in Lisbon", ASKED["en"],
        "my number is 5511999990001 and ana@client.test, what is the weather",
    ):  # fmt: skip
        kit.say(words)
        kit.work()
    assert asked_in_vain(kit) == [
        (2, "what is the weather in lisbon", None),
        (1, "my number is # and a***@client.test, what is the weather", None),
    ]
    kit.say(ASKED["en"])
    kit.work()
    kit.say("(tap)", button=kit.last().button("read:not"))
    kit.work()
    assert (1, ASKED["en"].casefold(), "app_password_google") in asked_in_vain(kit)
    assert ANA not in json.dumps(asked_in_vain(kit))
