"""Whatever comes in from outside, at all doors: an answer, never a crash. A short, fixed portion of `make fuzz`.

`FUZZ=examples` takes as many examples of every target, by chance (see `tests.fuzz`).
"""

import json
import os
import socket
import subprocess
import sys
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bot.__main__ as command_line
from bot import jsonl
from bot.app import create_app
from bot.channels.slack.style import SlackStyle
from bot.channels.whatsapp import sign
from bot.channels.whatsapp.style import WhatsAppStyle
from bot.mail.knowledge.explain import causes, explain_text
from bot.mail.wire import autoconfig, fetch
from bot.mail.wire.addresses import BadAddress
from bot.mail.wire.send import BadMessage, compose, for_wire
from bot.store import tables
from flows import saved
from flows.conversation import Envelope
from tests.botkit import MONDAY, Kit, table_of_providers
from tests.secret_links import MemoryLinks, make_app, view
from tests.slackkit import ANA, TEAM, SlackKit
from tests.test_pages import AUTH, PUBLIC, SETTINGS, message
from tests.test_secret_page import proof
from tests.test_slack_bad_input import posted, wrapped

ROOT = Path(__file__).parent.parent
MANY = int(os.environ.get("FUZZ", "0"))
SHAPES = sorted((ROOT / "tests" / "saved" / "v1").glob("*.json"))


def portion(examples):
    """So many examples, always the same, or as many as `make fuzz` wants."""
    quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(
        max_examples=MANY or examples, derandomize=not MANY, deadline=None, suppress_health_check=quiet, database=None
    )


NASTY = st.sampled_from(
    [
        "\r\nBcc: eve@evil.test",
        "\n.\r\n",
        "\x00",
        "\u202e",
        "<!channel>",
        "*_~`",
        "<script>",
        "%0d%0a",
        "{}",
        "{{7*7}}",
        "whatsapp:+",
        "é" * 500,
        "\ud83d",
        "\U0001f44d",
        "535 5.7.8",
        "' or 1=1 --",
        "../../etc/passwd",
        "a" * 1000,
    ]
)
WORDS = st.lists(st.text(max_size=40) | NASTY, max_size=6).map("".join)
PRINTED = WORDS.map(lambda words: words.encode("utf-8", "replace").decode())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | PRINTED,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PRINTED, inner, max_size=4),
    max_leaves=12,
)


def twisted(data, told):
    """The same with one part of it replaced by anything."""
    told = json.loads(json.dumps(told))
    place = told
    while isinstance(place, dict) and place:
        name = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[name], dict) or data.draw(st.booleans()):
            place[name] = data.draw(JSON)
            break
        place = place[name]
    return told


# --- knowledge, without a socket --------------------------------------------------------------------------------------


@portion(60)
@given(WORDS, PRINTED, PRINTED, PRINTED)
def test_any_text_is_explained_by_one_of_our_causes(text, provider, host, stage):
    assert explain_text(text, provider=provider, host=host, stage=stage).cause in causes()


TAGS = st.sampled_from(
    [
        "clientConfig",
        "emailProvider",
        'outgoingServer type="smtp"',
        'incomingServer type="imap"',
        "hostname",
        "port",
        "socketType",
        "username",
        "authentication",
        "x",
    ]
)
INSIDE = st.sampled_from(["smtp.x.test", "465", "SSL", "%EMAILADDRESS%", "OAuth2", "&amp;", "&#0;", "&x;", "é", "-1"])
XML = st.recursive(
    INSIDE,
    lambda inner: st.tuples(TAGS, st.lists(inner, max_size=5).map("".join)).map(
        lambda one: f"<{one[0]}>{one[1]}</{one[0].split()[0]}>"
    ),
    max_leaves=20,
)


@portion(60)
@given(
    st.binary(max_size=400)
    | XML.map(str.encode)
    | XML.map(lambda inner: f"<clientConfig><emailProvider>{inner}</emailProvider></clientConfig>".encode())
)
def test_any_file_of_a_stranger_names_encrypted_servers_or_is_refused(xml):
    try:
        found = autoconfig.read(xml, "ana@agency.test")
    except autoconfig.BadConfig:
        return
    assert {offer.server.security for offer in (*found.smtp, *found.imap)} <= {"tls", "starttls"}


HEAD = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 301 Moved\r\n",
            b"HTTP/9.9 -1 \r\n",
            b"Location: http://127.0.0.1/\r\n",
            b"\r\n",
            b"Content-Length: -5\r\n",
            b"Content-Length: 99999999999999999999\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"zz\r\n",
            b"Content-Encoding: gzip\r\n",
            b"HTTP/1.1 100 Continue\r\n",
            b"\x00\xff\r\n",
            b"5\r\nabcde\r\n",
            b": \r\n",
            b"a" * 70_000,
        ]
    )
    | st.binary(max_size=30),
    max_size=12,
).map(b"".join)


@portion(60)
@given(HEAD)
def test_any_answer_of_a_strangers_web_server_is_a_body_a_way_or_a_refusal(answer):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        answer = answer[: theirs.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 4]
        theirs.send(answer) if answer else None
        theirs.shutdown(socket.SHUT_WR)
        try:
            body, way = fetch._exchange(ours, fetch._Place("x.test", "/"), fetch.Deadline(5))
        except (fetch.NotFetched, HTTPException, OSError):  # what `fetch` makes a NotFetched of
            return
    assert len(body) <= fetch.MAX_BODY
    assert way is None or body == b""


@portion(60)
@given(st.binary(max_size=300) | JSON.map(lambda one: json.dumps(one).encode()))
def test_any_line_of_json_lines_is_a_row_or_says_why_not(line):
    row = jsonl.read(line, "text", ("host",))
    assert row.error or isinstance(row.given["text"], str)


# --- what we have said and saved --------------------------------------------------------------------------------------


def restored(raw):
    try:
        return isinstance(saved.load_envelope(raw), Envelope)
    except saved.Unreadable:
        return True


@portion(60)
@given(st.dictionaries(PRINTED | st.sampled_from(["version", "flow", "state", "asked", "trail"]), JSON, max_size=8))
def test_any_saved_state_is_read_or_unreadable(raw):
    assert restored(raw)


@portion(150)
@given(st.sampled_from(SHAPES), st.data())
def test_a_saved_state_with_anything_changed_in_it_is_read_or_unreadable(path, data):
    raw = twisted(data, json.loads(path.read_text(encoding="utf-8")))
    assert restored(raw)


@portion(60)
@given(WORDS)
def test_no_words_of_a_person_become_marks_of_the_channel(words):
    for style in (SlackStyle(), WhatsAppStyle()):
        for shown in (style.plain(words), style.quote(words)):
            assert "`" not in shown
    for shown in (SlackStyle().plain(words), SlackStyle().code(words), SlackStyle().kept(words)):
        assert "<" not in shown
        assert "@channel" not in shown.lower() or SlackStyle().code(words) == shown


@portion(80)
@given(WORDS, WORDS, WORDS, st.lists(WORDS | st.just("bia@client.test"), max_size=3))
def test_any_mail_is_refused_or_has_the_headers_that_it_should_and_no_others(name, subject, text, to):
    try:
        made = compose(
            sender="ana@agency.test",
            name=name,
            to=to,
            subject=subject,
            text=text,
            date=MONDAY,
            marker="marker-0001",
            bcc=["cleo@client.test"],
        )
    except (BadMessage, BadAddress):
        return
    raw = for_wire(made)
    assert raw.isascii()
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    read = message_from_bytes(raw, policy=default)
    assert sorted(set(read.keys())) == sorted(read.keys())  # each once
    assert "bcc" not in {key.lower() for key in read.keys()}  # noqa: SIM118 - a mail, no mapping
    assert {address.addr_spec for address in read["To"].addresses} == set(to)


# --- the doors --------------------------------------------------------------------------------------------------------


@pytest.fixture
def kit(database_url, tmp_path):
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path), **SETTINGS) as made:
        yield made


@pytest.fixture
def client(kit):
    app = create_app(kit.parts)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app.test_client()


FIELDS = st.sampled_from(
    [
        "MessageSid",
        "From",
        "To",
        "Body",
        "WaId",
        "ExternalUserId",
        "ProfileName",
        "ButtonPayload",
        "NumMedia",
        "MediaUrl0",
        "MediaContentType0",
        "Latitude",
        "ReferralBody",
        "ListId",
        "MessageStatus",
        "SmsStatus",
        "ErrorCode",
        "ChannelToAddress",
    ]
)


@portion(25)
@given(
    st.dictionaries(
        FIELDS, PRINTED | st.sampled_from(["whatsapp:+5511999990001", "1", "99999999999", "-1"]), max_size=8
    )
)
def test_any_webhook_that_twilio_signed_is_answered(client, kit, more):
    form = {**message(sid="SM1"), **more}
    for path in ("/whatsapp", "/whatsapp/status"):
        answer = client.post(path, data=form, headers={"X-Twilio-Signature": sign(f"{PUBLIC}{path}", form, AUTH)})
        assert answer.status_code < 500, (path, form)
    kit.clock.time += timedelta(seconds=1)
    assert kit.rows(tables.dead_letter) == []


PATHS = st.sampled_from(
    [
        "/s/",
        "/m/",
        "/oauth/google/start",
        "/oauth/google/callback",
        "/oauth/microsoft/callback",
        "/oauth/",
        "/privacy",
        "/slack/install",
        "/slack/oauth_redirect",
        "/slack/events",
        "/whatsapp",
        "/healthz",
        "/metrics",
        "/static/",
        "/",
    ]
)
QUERY = st.dictionaries(
    st.sampled_from(["code", "state", "iss", "error", "token", "lang"]) | PRINTED, PRINTED, max_size=4
)


@portion(40)
@given(
    PATHS, PRINTED, QUERY, st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"]), st.binary(max_size=200)
)
def test_any_request_for_any_page_is_answered_with_its_manners(client, path, rest, query, method, body):
    where = path + quote(rest) if path.endswith("/") else path
    answer = client.open(where, method=method, query_string=query, data=body)
    assert answer.status_code < 500
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "command", ["explain", "ask", "discover", "check", "audit", "dead-letters", "agency", "rotate-keys"]
)
@portion(6)
@given(
    words=st.lists(
        PRINTED.filter(lambda word: "\x00" not in word) | st.sampled_from(["--json", "--help", "-h", "--x", "--since"]),
        max_size=3,
    )
)
def test_any_words_on_the_command_line_end_with_a_status_of_ours(command, words):
    environment = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "DATA_DIR": "/nonexistent",
        "DISCOVERY": "tables",
    }
    offline = ["--offline"] if command == "discover" else []
    found = CliRunner().invoke(command_line.main, [command, *offline, *words], env=environment)
    expected = (SystemExit, *command_line.OPERATOR_ERRORS, *command_line.DatabaseDown)
    assert found.exception is None or isinstance(found.exception, expected), found.exception
    assert found.exit_code in {0, 1, 2}


@pytest.fixture
def slack(database_url, tmp_path):
    with SlackKit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as made:
        made.claim()
        yield made


TALK = {
    "type": "message",
    "channel": "D1",
    "channel_type": "im",
    "user": ANA,
    "text": "hello",
    "ts": "1.2",
    "team": TEAM,
}
HOME = {"type": "app_home_opened", "user": ANA, "channel": "D1", "tab": "home"}
TAP = {
    "type": "block_actions",
    "team": {"id": TEAM},
    "user": {"id": ANA, "team_id": TEAM},
    "trigger_id": "1.2.x",
    "actions": [{"action_id": "a", "block_id": "menu.choosing", "type": "button", "value": "go:menu"}],
}
WINDOW = {
    "type": "view_submission",
    "team": {"id": TEAM},
    "user": {"id": ANA, "team_id": TEAM},
    "view": {"id": "V1", "callback_id": "x", "private_metadata": "", "state": {"values": {}}},
}


@portion(30)
@given(st.sampled_from([wrapped(TALK), wrapped(HOME), TAP, WINDOW]), st.data())
def test_anything_that_slack_signed_is_answered_and_leaves_no_dead_letter(slack, told, data):
    body = json.dumps(twisted(data, told)).encode()
    kind = "application/json"
    if told in (TAP, WINDOW):
        body, kind = urlencode({"payload": body}).encode(), "application/x-www-form-urlencoded"
    answer = posted(slack, body, kind=kind)
    # What Bolt itself stumbles over ends in our own empty 500, which Slack repeats; nothing escapes.
    assert answer.status_code < 500 or answer.text == "", body
    assert slack.rows(tables.dead_letter) == []


@portion(40)
@given(st.dictionaries(st.sampled_from(["proof", "secret", "unknown"]) | PRINTED, PRINTED, max_size=4), st.booleans())
def test_any_form_that_comes_to_a_one_time_page_is_answered_and_the_link_stays_what_it_is(fields, proven):
    links = MemoryLinks()
    page = make_app(links).test_client()
    token = links.add(view())
    if proven:
        fields["proof"] = proof(page, token)
    answer = page.post(f"/s/{token}", data=fields)
    assert answer.status_code < 500
    assert answer.headers["Cache-Control"] == "no-store"
    assert proven or page.get(f"/s/{token}").status_code == 200  # nobody used it up without our form
    assert not fields.get("secret", "").strip() or len(fields["secret"]) < 8 or fields["secret"] not in answer.text


def test_the_long_run_names_its_seed():
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz"],
        env={**os.environ, "FUZZ_SECONDS": "0", "FUZZ_SEED": "7", "FUZZ_ONLY": "json_lines"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 7" in done.stdout
