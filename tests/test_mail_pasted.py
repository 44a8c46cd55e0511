"""Pasted texts: unwrapped, recognised, explained, whatever somebody's program made of them."""

# ruff: noqa: E501 - tables of texts, one a line

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.mail.knowledge import explain as module
from bot.mail.knowledge.clues import Stage, families, provider_word, stage_named
from bot.mail.knowledge.explain import Explained, causes, explain_text
from bot.mail.knowledge.looks import looks_like_an_error
from bot.mail.knowledge.pasted import MOST, Codes, codes, unwrapped
from tests.score import SCORES, rows

OWN = Path(__file__).with_name("data") / "errors.jsonl"


# --- unwrapping -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pasted", "read"),
    [
        (
            "535-5.7.139 Authentication unsuccessful, SmtpClientAuthentication\r\n535 5.7.139 is disabled",
            "535 5.7.139 authentication unsuccessful, smtpclientauthentication is disabled",
        ),
        ('{"message": "550 5.1.1 User\\r\\n550 5.1.1 unknown"}', '{"message": "550 5.1.1 user unknown"}'),
        ("550-5.7.26 Gmail requires\n550-5.7.26 all senders", "550 5.7.26 gmail requires all senders"),
        ("550-Please turn on\n550 SMTP Authentication", "550-please turn on smtp authentication"),
        ("<<< 550 5.7.1 No\n<<< 550 5.7.1 way", "550 5.7.1 no way"),
        ("<p>Login&nbsp;failed<br/>for &quot;you&quot;</p>", 'login failed for "you"'),
        ("<a@b.example>: User unknown", "<a@b.example>: user unknown"),
        ("Não foi possível", "nao foi possivel"),
        ("NÃ£o foi possÃ­vel", "nao foi possivel"),
        ("It\u2019s \u201crefused\u201d \u2013 now", 'it\'s "refused" - now'),
        (r"conex\u00e3o recusada", "conexao recusada"),
        (
            "Code { severity: PermanentNegativeCompletion,\n category: Unspecified3,\n detail: Five }",
            "code { severity: permanentnegativecompletion, category: unspecified3, detail: five 535 }",
        ),
        (
            "severity: TransientNegativeCompletion, category: New, detail: Five",
            "severity: transientnegativecompletion, category: new, detail: five",
        ),
        ("Error sending password reset email: EOF", "error sending mail: eof"),
        ("534 Password reset required", "534 password reset required"),
        ("", ""),
    ],
)
def test_a_text_is_read_without_its_wrapping(pasted, read):
    assert unwrapped(pasted) == read


def test_the_challenge_of_a_refused_token_is_read():
    challenge = "334 eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ=="
    assert '"schemes":"bearer"' in unwrapped(challenge)


def test_of_a_long_text_the_beginning_and_the_end_are_read():
    text = "ECONNREFUSED " + "x" * MOST + "in the middle" + "y" * MOST + " 535 5.7.8 bad"
    read = unwrapped(text)
    assert "in the middle" not in read
    assert read.startswith("econnrefused")
    assert read.endswith("535 5.7.8 bad")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("535 5.7.8 bad", (535, "5.7.8")),
        ("(535, b'5.7.8 bad')", (535, "5.7.8")),
        ("550 #5.1.0 address rejected.", (550, "5.1.0")),
        ("smtp; 452 4.3.2 too many", (452, "4.3.2")),
        ("response was: 5.7.57 client", (None, "5.7.57")),
        ('got code "550", with message', (550, "")),
        ("at connection (index.js:554:19) port 587", (None, "")),
        ("connect to 10.5.1.1:465", (None, "")),
        ("openssl 5.1.1 in line 550", (None, "")),
        ("200 ok", (None, "")),
    ],
)
def test_codes_are_found_where_they_are_codes(text, found):
    assert codes(text) == Codes(*found)


# --- explaining -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("535-5.7.8 https://support.google.com/mail/?p=BadCredentials - gsmtp", "gmail"),
        ("535 5.7.139 Authentication unsuccessful [X.PROD.OUTLOOK.COM]", "microsoft"),
        ("421 4.7.0 [TSS04] deferred; see https://postmaster.yahooinc.com/error-codes", "yahoo"),
        ("552 5.2.2 <a@icloud.com>: user is over quota", "icloud"),
        ("553 Relaying disallowed as a@example.org", "zoho"),
        ("535 5.7.8 Error: authentication failed: smtp.yandex.ru", "other"),
        ("connect ECONNREFUSED 127.0.0.1:2525", "unknown"),
    ],
)
def test_the_provider_is_read_from_the_text(text, provider):
    assert explain_text(text).provider == provider


def test_what_the_caller_knows_counts_more_than_the_text():
    reply = "535 5.7.8 Error: authentication failed"
    assert explain_text(reply).cause == "wrong_credentials"
    assert explain_text(reply, provider="icloud").cause == "app_password_required"
    assert explain_text(reply, provider="apple").provider == "icloud"
    assert explain_text(reply, host="smtp.mail.me.com").family == "apple"
    assert explain_text(reply, provider="somebody_new").provider == "other"
    assert explain_text("TimeoutError: timed out", stage="greeting").cause == "greeting_timeout"
    assert explain_text("TimeoutError: timed out", stage="no stage").stage is None


def test_what_was_read_is_told_with_the_diagnosis():
    found = explain_text("Error: Invalid login: 535-5.7.8 Username and Password not accepted - gsmtp")
    assert found == Explained(
        cause="app_password_required", who="user", retry=False, blames_secret=True, provider="gmail", family="google",
        stage="auth", code=535,
    )  # fmt: skip


def test_a_text_that_says_nothing_known_is_a_trouble_for_us():
    found = explain_text("lorem ipsum")
    assert (found.cause, found.who) == ("server_temporary_failure", "us")


def test_every_family_has_a_word_of_the_closed_list():
    words = {provider_word(family) for family in families()}
    assert words == {"gmail", "microsoft", "yahoo", "icloud", "zoho", "other"}


def test_stages_are_named_as_they_are_written():
    assert all(stage_named(name) == name for name in Stage.__args__)
    assert stage_named("AUTH") is None


def test_the_own_selection_of_real_texts_is_explained_rightly():
    by_cause, by_provider = SCORES["explain"](OWN)
    print(by_cause.table(), by_provider.table(), sep="\n")  # noqa: T201 - the table is what a reader of -s wants
    assert by_cause.total >= 300
    assert by_cause.share >= 0.97, by_cause.table()
    assert by_provider.share >= 0.97, by_provider.table()
    languages = by_cause.parts["lang"]
    assert set(languages) >= {"en", "pt", "es", "de", "fr"}


def test_the_own_selection_is_well_formed_and_has_texts_of_nearly_every_cause():
    data = rows(OWN)
    assert len({row["id"] for row in data}) == len({row["text"] for row in data}) == len(data)
    assert all(row["cause"] == row["accept"][0] and set(row["accept"]) <= set(causes()) for row in data)
    assert len({row["cause"] for row in data}) >= len(causes()) - 2


def test_a_text_is_explained_alike_in_any_wrapping():
    reply = "535 5.7.139 Authentication unsuccessful, basic authentication is disabled."
    wrapped = [
        reply,
        json.dumps({"error": {"response": reply}}),
        f"(535, b'{reply[4:]}')",
        f"<html><body><p>{reply}</p></body></html>",
        f"Traceback (most recent call last):\n  File \"a.py\", line 554, in b\nsmtplib.SMTPAuthenticationError: (535, b'{reply[4:]}')",
        f"Error: Invalid login: {reply}\n    at SMTPConnection._formatError (index.js:787:19)",
        f"javax.mail.AuthenticationFailedException: {reply}\n\tat javax.mail.Service.connect(Service.java:388)",
        f"SERVER -> CLIENT: 334 UGFzc3dvcmQ6\nSERVER -> CLIENT: {reply}\nSMTP Error: Could not authenticate.",
        f'Expected response code 235 but got code "535", with message "{reply}"',
        reply.replace(", ", ",\r\n535 5.7.139 "),
    ]  # fmt: skip
    assert {explain_text(text).cause for text in wrapped} == {"oauth_required_basic_auth_disabled"}


@pytest.mark.parametrize(
    "around",
    [
        "May  2 10:11:12 web1 app[2231]: [ERROR] mailer: could not send the e-mail to user 4410: %s",
        "Error sending password reset email to john@example.net: %s",
        '{"level":"error","queue":"mailers","job":"UserMailer#password_reset","attempt":3,"err":%s}',
        "Hello, I tried with my mailbox and got this:\n\n> %s\n\nCan you help?",
        "I am sure my password is right and the server settings too, but it says: %s",
        "Oi, coloquei a senha certa e apareceu isto: %s",
        "Hola, puse la contraseña de mi correo y me sale: %s",
    ],
)
def test_what_stands_around_a_text_does_not_change_its_cause(around):
    data = rows(OWN)
    shown = [json.dumps(row["text"]) if around.startswith("{") else row["text"] for row in data]
    answers = [explain_text(around.replace("%s", text)).cause for text in shown]
    wrong = [row["id"] for row, answer in zip(data, answers, strict=True) if answer not in row["accept"]]
    assert len(wrong) <= 0.02 * len(data), wrong


@settings(deadline=None)  # the first text waits for the rules to be read
@given(st.text(max_size=400), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_any_text_gets_an_answer_of_the_closed_lists(text, provider, host, stage):
    found = explain_text(text, provider=provider, host=host, stage=stage)
    assert found.cause in causes()
    assert found.provider in {"gmail", "microsoft", "yahoo", "icloud", "zoho", "other", "unknown"}
    assert looks_like_an_error(text) in {True, False}


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_read_as_text_get_an_answer(raw):
    assert explain_text(raw.decode("utf-8", "surrogateescape")).cause in causes()


@pytest.mark.parametrize("sign", ["\\", "<", "5", "\n", "535-", "eyJ", "Ã", "@a.", "\\u00", "(535, "])
def test_a_long_text_of_one_sign_is_read_in_bounded_steps(sign):
    """Patterns that go back and forth would take minutes here, and the run's time limit would tell."""
    assert explain_text(sign * 200_000).cause in causes()
    assert looks_like_an_error(sign * 200_000) in {True, False}


def test_the_rules_are_read_once():
    assert module._rules() is module._rules()


# --- is it an error? --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "535 5.7.8 Username and Password not accepted",
        "535 Authentication failed",
        "550 User unknown",
        'Traceback (most recent call last):\n  File "x.py", line 1',
        "SSL: WRONG_VERSION_NUMBER",
        "Connection timed out",
        "The operation has timed out.",
        "ECONNREFUSED",
        "connect ETIMEDOUT 203.0.113.1:465",
        "smtplib.SMTPServerDisconnected: Connection unexpectedly closed",
        "(535, b'5.7.8 Error: authentication failed')",
        "javax.mail.MessagingException: Could not connect to SMTP host;\n  nested exception is: x",
        "SMTP Error: Could not authenticate.",
        "x509: certificate signed by unknown authority",
        "dial tcp: lookup smtp.example.org: no such host",
        "NO [AUTHENTICATIONFAILED] Authentication failed.",
        "AADSTS50126: Error validating credentials",
        "Outlook error 0x800CCC0E",
        "curl: (67) Login denied",
        "I get this since yesterday: 535 5.7.139 Authentication unsuccessful",
        "Erro de SMTP: Não foi possível autenticar.",
        "Tempo limite da conexão esgotado",
        "conexão recusada",
        "recebi isto: 550 5.1.1 usuário desconhecido",
        "Falha na autenticação",
        "Error de autenticación",
        "Se agotó el tiempo de espera de la conexión",
        "Conexión rechazada por el servidor",
        "me sale smtplib.SMTPAuthenticationError",
    ],
)  # fmt: skip
def test_a_pasted_error_is_recognised(text):
    assert looks_like_an_error(text)


@pytest.mark.parametrize(
    "text",
    [
        "why do I get an error?",
        "What does authentication failed mean?",
        "My connection was refused by the hotel",
        "hello",
        "1",
        "yes",
        "ana@example.com",
        "smtp.gmail.com",
        "+55 11 5350-5780",
        "Call me at 550 571 8123 tomorrow",
        "The room costs 535 euros a night",
        "app password",
        "I don't know my password",
        "Talk to a person",
        "Dear Mr Silva,\nthank you for your booking of 5.7.2026. Your connection timed out, so please confirm again.\nBest regards",
        "There is an error in my invoice",
        "porque dá erro?",
        "por que aparece senha incorreta?",
        "Não sei a minha senha",
        "senha de aplicativo",
        "não existe",
        "Olá Maria, a reserva 535 está confirmada para 12.5.2026",
        "meu e-mail não conecta, o que faço",
        "¿por qué me da error?",
        "No sé mi contraseña",
        "contraseña de aplicación",
        "no existe",
        "Hola, el vuelo 421 sale a las 4.50",
        "quiero hablar con alguien",
        "2026-11-26 14:30",
        "The error of terror",
        "",
    ],
)
def test_what_a_person_says_is_no_error(text):
    assert not looks_like_an_error(text)
