"""`python -m bot explain`: one text, or thousands of lines, without a database or settings."""

import io
import json

import pytest
from click.testing import CliRunner

from bot.__main__ import main
from bot.cli.explain import answer_row, language_of
from bot.jsonl import MAX_LINE, read, rows
from bot.mail.knowledge.explain import causes
from flows.speech import sentence


def run(*arguments, given=None):
    return CliRunner().invoke(main, ["explain", *arguments], input=given, env={"DATABASE_URL": "nowhere"})


def test_a_text_is_explained_to_people():
    answer = run("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.")
    assert answer.exit_code == 0
    assert sentence("cause.smtp_auth_disabled_tenant_or_mailbox", "en") in answer.output
    assert "who can act: agency_admin" in answer.output
    assert "waiting helps: no" in answer.output


def test_a_text_is_explained_in_json_and_in_the_language_asked_for():
    found = json.loads(run("ECONNREFUSED", "--json", "--language", "pt").output)
    assert found["cause"] == "connection_refused"
    assert found["language"] == "pt"
    assert found["advice"] == sentence("cause.connection_refused", "pt")
    assert {"provider", "who", "retry"} <= set(found)


def test_lines_get_a_line_each_in_their_order_and_a_bad_one_breaks_nothing():
    lines = [
        '{"id": "a", "text": "535 5.7.8 Error: authentication failed", "provider": "icloud"}',
        "no json",
        '{"id": 2, "text": "451 4.7.1 Greylisted", "host": null, "stage": "rcpt_to"}',
        '{"id": 3}',
        '{"id": 4, "text": 5}',
        "[]",
        "",
        '{"id": "\\ud800", "text": "timed out \\ud800"}',
    ]
    answer = run("--jsonl", given="\n".join(lines))
    rows = [json.loads(line) for line in answer.output.splitlines()]
    assert answer.exit_code == 0
    assert [row.get("cause", "error") for row in rows] == [
        "app_password_required", "error", "greylisted", "error", "error", "error", "connection_timeout_or_blocked_port",
    ]  # fmt: skip
    assert [row["id"] for row in rows] == ["a", None, 2, 3, 4, None, "\ud800"]
    assert all(row["error"] for row in rows if "cause" not in row)
    assert rows[2]["retry"] is True


def test_a_line_that_is_too_long_is_refused_and_the_next_is_read():
    stream = io.BytesIO(b'{"id": 1, "text": "' + b"x" * (3 * MAX_LINE) + b'"}\n{"id": 2, "text": "ECONNREFUSED"}\n')
    first, second = [answer_row(row) for row in rows(stream, "text")]
    assert first == {"id": None, "error": f"the line has more than {MAX_LINE} bytes"}
    assert second["cause"] == "connection_refused"


def test_a_line_of_a_thousand_brackets_is_refused():
    assert answer_row(read(b"[" * 100_000, "text"))["error"]


@pytest.mark.parametrize("arguments", [(), ("text", "--jsonl"), ("text", "--language", "fr")])
def test_what_was_asked_wrongly_is_said(arguments):
    assert run(*arguments).exit_code == 2


def test_every_cause_has_its_advice_in_every_language():
    for name in causes():
        assert all(sentence(f"cause.{name}", language) for language in ("en", "pt", "es"))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Não foi possível conectar ao servidor de e-mail", "pt"),
        ("Erro de SMTP: Não foi possível autenticar.", "pt"),
        ("Error SMTP: no se pudo conectar con el servidor", "es"),
        ("El servidor no ha aceptado la contraseña del usuario", "es"),
        ("Connection refused", "en"),
        ("Die Verbindung wurde vom Server geschlossen", "en"),
        ("550 5.7.1", "en"),
    ],
)
def test_advice_is_given_in_the_language_of_the_text(text, language):
    assert language_of(text) == language
