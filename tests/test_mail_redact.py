"""What leaves for logs, transcripts and staff carries no secret."""

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.mail.knowledge.redact import MAX_LENGTH, redact

SECRET = "pä ss+w0rd/1"


def b64(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        b64(SECRET),
        b64(f"\0ana@agency.example\0{SECRET}"),
        b64(f"\0anna@agency.example\0{SECRET}").rstrip("="),
        base64.urlsafe_b64encode(f"user={SECRET}".encode()).decode(),
    ],
)
def test_a_known_secret_is_gone_in_every_form(form):
    shown = redact(f"535 no: {form} was wrong", (SECRET,))
    assert form not in shown
    assert shown.startswith("535 no: [hidden]")


def test_everything_after_auth_is_gone():
    assert redact("C: AUTH PLAIN AGFuYQBwYXNz and more") == "C: AUTH [hidden]"
    assert redact("send: 'auth login YW5h\\r\\n'") == "send: 'AUTH [hidden]"


def test_what_answers_a_challenge_is_gone():
    session = """C: AUTH LOGIN
S: 334 VXNlcm5hbWU6
C: YW5hQGFnZW5jeQ==
S: 334 UGFzc3dvcmQ6
C: c2VjcmV0c2VjcmV0
S: 535 5.7.8 Error: authentication failed"""
    shown = redact(session)
    assert "YW5h" not in shown
    assert "c2Vjc" not in shown
    assert shown.endswith("S: 535 5.7.8 Error: authentication failed")


def test_pythons_own_debug_log_loses_its_credentials():
    log = r"""send: 'AUTH LOGIN\r\n'
reply: b'334 VXNlcm5hbWU6\r\n'
reply: retcode (334); Msg: b'VXNlcm5hbWU6'
send: 'YW5hQGFnZW5jeQ==\r\n'
reply: b'535 5.7.8 no\r\n'"""
    shown = redact(log)
    assert "YW5h" not in shown
    assert "535 5.7.8 no" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Basic YW5hOnBhc3M=", "Authorization: [hidden]"),
        ("proxy-authorization=Bearer abc", "proxy-authorization: [hidden]"),
        ("got Bearer ya29.abcdef there", "got Bearer [hidden] there"),
        ('{"user": "ana", "password": "geheim 1"}', '{"user": "ana", "password": [hidden]}'),
        ("pass='x y', host=mail", "pass=[hidden], host=mail"),
        ("senha: abc123, porta: 465", "senha: [hidden], porta: 465"),
    ],
)
def test_headers_and_named_values_are_gone(text, shown):
    assert redact(text) == shown


def test_addresses_keep_their_first_letter_and_domain():
    assert redact("<maria.silva@agencia.com.br>: not owned by user joão@b.example") == (
        "<m***@agencia.com.br>: not owned by user j***@b.example"
    )


def test_a_message_id_is_kept_where_it_is_asked_for():
    reply = "250 2.0.0 OK <AB1@PROD.OUTLOOK.COM> [Hostname=X]"
    assert redact(reply, (SECRET,), keep_addresses=True) == reply


def test_ordinary_replies_stay_readable():
    reply = "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6"
    assert redact(reply, (SECRET,)) == reply
    assert redact("SMTP AUTH extension not supported by server.") == "SMTP AUTH extension not supported by server."


def test_it_is_one_line_of_bounded_length_without_control_characters():
    shown = redact("a\r\nb\x00\x1b[31m\u2028" + "x" * 100_000)
    assert shown.startswith("a b [31m x")
    assert len(shown) == MAX_LENGTH


@given(st.text(max_size=300), st.text(alphabet="abcdefgh0123!?", min_size=8, max_size=20), st.text(max_size=300))
def test_a_secret_survives_no_text(before, secret, after):
    shown = redact(before + secret + after, (secret,))
    assert secret not in shown
    assert len(shown) <= MAX_LENGTH
    assert all(letter.isprintable() or not letter.isascii() for letter in shown)
