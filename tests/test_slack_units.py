"""The small parts of Slack's channel, with whatever may come: reading, writing, limits, errors, progress."""

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.error import URLError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.errors import SlackClientError

from bot import progress as progress_module
from bot.channels import MAX_TEXT, Later, Refused, SendError, Unclear
from bot.channels.slack import read
from bot.channels.slack.client import DEAD_TOKEN, GONE, LONGEST_WAIT, NoWorkspaceError, SlackApi, _broken, _failure
from bot.channels.slack.home import home_view
from bot.channels.slack.read import BadPayload, words
from bot.channels.slack.render import PICKERS, Frame, render, window
from bot.channels.slack.style import SlackStyle
from bot.playground.slack import SlackStandIn
from bot.playground.slack_checks import message_problems, view_problems
from bot.playground.slack_screen import mentions
from bot.progress import STEPS, Progress
from flows import board
from flows.speech import Button, Entry, Message, texts
from flows.words import LANGUAGES, Option, Say

# Text in which Slack's own signs are more frequent than by chance.
SIGNS = st.sampled_from([
    "<", ">", "&", "|", "@", "!", "#", "<!channel>", "<@U0BIA>", "<!here|here>", "<https://a.test|a>",
    "<mailto:a@b.c|a@b.c>",
    "&lt;", "&gt;", "&amp;", "&amp;lt;", "&#60;", "@channel", "@here", "@everyone", "*", "_", "~", "`", "\n",
    "\n\n", "\x00",
    "\ud800", " ", "a", "word ", "👍", "\u202e", "<!subteam^S1|@x>", "<#C1|x>", "<<", ">>", "://", "\r\n", "\t",
])  # fmt: skip
SHARP = st.lists(st.one_of(SIGNS, st.text(max_size=5)), max_size=40).map("".join)
FRAME = Frame("E-mail in Ally", "Next", "Close")
SLACKS = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


# --- reading ----------------------------------------------------------------------------------------------------------


@given(SHARP)
def test_whatever_slack_sends_is_read_as_words_without_control_signs(raw):
    text = words(raw)
    assert len(text) <= MAX_TEXT
    assert not any(ord(sign) < 32 and sign != "\n" for sign in text)
    json.dumps(text).encode().decode()
    text.encode()


@given(SHARP.filter(lambda text: "&" not in text))
def test_nothing_of_slacks_own_brackets_survives(raw):
    """A person's own ones come as entities, of which there are none here."""
    assert "<" not in words(raw)
    assert ">" not in words(raw)


@given(SHARP)
def test_what_a_person_typed_comes_out_as_it_was_typed(typed):
    sent = "".join(SLACKS.get(sign, sign) for sign in typed)
    kept = "".join(
        sign for sign in typed.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
        if sign == "\n" or not (ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 or 0xD800 <= ord(sign) < 0xE000)
    )  # fmt: skip
    assert words(sent) == kept[:MAX_TEXT]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) |
    st.sampled_from(["T0SOL", "U0ANA", "im", "message"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([
        "event", "team", "user", "team_id", "user_id", "id", "view", "state", "values", "value", "actions",
        "text", "files",
        "authorizations", "channel_type", "type", "event_id", "trigger_id", "selected_users", "selected_option",
        "hash", "x",
    ]), inner, max_size=6),
    max_leaves=25,
)  # fmt: skip


TOPS = st.sampled_from(
    [
        "event",
        "team",
        "user",
        "view",
        "actions",
        "team_id",
        "user_id",
        "trigger_id",
        "authorizations",
        "event_id",
        "text",
    ]
)


PARTS = ("event", "team", "user", "view", "actions", "team_id", "user_id", "trigger_id", "event_id", "text")


@pytest.mark.parametrize(
    "reader",
    [read.read_message, read.read_home, read.read_command, read.read_action, read.read_submission, read.actor],
)
def test_a_payload_of_any_shape_is_read_or_bad(reader):
    @settings(max_examples=50)
    @given(st.dictionaries(TOPS, ANYTHING))
    def any_shape(payload):
        with suppress(BadPayload):
            reader(payload)

    any_shape()


# --- writing ----------------------------------------------------------------------------------------------------------


@given(SHARP)
def test_no_style_of_any_text_pings_anybody(text):
    style = SlackStyle()
    for shown in (style.plain(text), style.code(text), style.quote(text)):
        assert not mentions(shown)
        assert "<" not in shown
    assert not mentions(style.plain(text), loose=True)


@given(SHARP)
def test_what_is_shown_is_what_was_said_but_for_hair_spaces(text):
    shown = SlackStyle().plain(text).replace("\u200a", "").replace("\u02cb", "`")
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        shown = shown.replace(entity, sign)
    assert shown == text.replace("\u200a", "").replace("\u02cb", "`")


LABEL = st.text(min_size=1, max_size=120)
BUTTONS = st.lists(
    st.builds(Button, st.text(min_size=1, max_size=200), LABEL), max_size=10, unique_by=lambda one: one.id
).map(tuple)
BODY = st.one_of(
    SHARP, st.text(min_size=1, max_size=50).flatmap(lambda part: st.just(part * 400)), st.just("x" * 39_000)
)
ENTRIES = st.lists(
    st.builds(Entry, st.from_regex(r"[a-z]{1,20}", fullmatch=True), LABEL, st.text(max_size=500),
              st.sampled_from(["text", *PICKERS])),
    max_size=5, unique_by=lambda one: one.name,
).map(tuple)  # fmt: skip


@given(BODY.map(SlackStyle().plain).filter(str.strip), BUTTONS)
def test_any_message_is_one_that_slack_takes_and_nothing_of_it_is_lost(body, buttons):
    out = render(Message(body, buttons, "en"))
    assert message_problems(out.blocks) == []
    assert 0 < len(out.text) <= 4_000
    shown = "".join(block["text"]["text"] for block in out.blocks if block["type"] == "section")
    assert shown.replace("\n", "") == body.strip().replace("\n", "")
    assert [one["value"] for block in out.blocks if block["type"] == "actions" for one in block["elements"]] == [
        one.id for one in buttons
    ]


@given(BODY.map(SlackStyle().plain).filter(str.strip), BUTTONS, ENTRIES, st.sampled_from(LANGUAGES))
def test_any_window_is_one_that_slack_takes(body, buttons, entries, language):
    view = window(Message(body, buttons, language, "mailbox.address", entries), FRAME)
    assert view_problems(view) == []
    assert ("submit" in view) == bool(entries)


@given(st.lists(st.text(min_size=1, max_size=300).filter(str.strip), max_size=40), st.sampled_from(LANGUAGES))
def test_any_home_is_one_that_slack_takes(names, language):
    lines = [
        board.Line((Say("home.member", {"name": name, "mark": "x", "state": "x"}),), (Option("x", words=name),))
        for name in names
    ]
    parts = (board.Title(Say("home.agency", {"agency": "".join(names) or "x"})), *lines)
    assert view_problems(home_view(parts, language)) == []


# --- errors -----------------------------------------------------------------------------------------------------------


class Answered(dict):
    """An answer of Slack's, as its library hands it over."""

    def __init__(self, error="", status=200, **headers):
        super().__init__(error=error)
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


TABLE = [
    *((code, 200, NoWorkspaceError) for code in sorted(DEAD_TOKEN)),
    *((code, 200, Refused) for code in sorted(GONE)),
    *((code, 200, Later) for code in ("ratelimited", "rate_limited", "service_unavailable", "missing_scope")),
    *((code, 200, Unclear) for code in ("fatal_error", "internal_error", "request_timeout")),
    ("ratelimited", 429, Later), ("", 429, Later), ("", 500, Unclear), ("", 502, Unclear), ("x", 503, Unclear),
    ("invalid_blocks", 200, Refused), ("msg_too_long", 200, Refused), ("never heard of", 200, Refused),
    ("", 400, Refused),
]  # fmt: skip


@pytest.mark.parametrize(("code", "status", "kind"), TABLE)
def test_each_answer_of_slacks_means_one_thing(code, status, kind):
    failure = _failure("T0SOL", "chat.postMessage", Answered(code, status))
    assert type(failure) is kind
    if kind is NoWorkspaceError:
        assert failure.team == "T0SOL"


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("30", 30.0),
        ("0", 1.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("99999", LONGEST_WAIT),
        ("²", None),
        ("1.5", None),
    ],
)
def test_the_patience_that_slack_asks_for_is_within_reason(told, seconds):
    assert _failure("T", "m", Answered("ratelimited", 429, Retry_After=told)).seconds == seconds
    assert _failure("T", "m", Answered("ratelimited", 429, retry_after=[told])).seconds == seconds


def test_only_a_connection_that_never_stood_is_surely_not_taken():
    assert isinstance(_broken(URLError(ConnectionRefusedError())), Later)
    for error in (URLError(TimeoutError()), ConnectionResetError(), TimeoutError(), URLError(OSError("x"))):
        assert isinstance(_broken(error), Unclear)


@given(st.text(max_size=100), st.integers(200, 599))
def test_no_answer_is_anything_but_one_of_these_kinds(code, status):
    failure = _failure("T", "m", Answered(code, status))
    assert isinstance(failure, SendError)
    assert len(failure.code) <= 64


def test_a_refusal_says_nothing_of_what_was_sent():
    with SlackStandIn() as slack:
        workspace = slack.workspace("T0SOL", "Sol")
        api = SlackApi(lambda _team: workspace.token, f"{slack.url}/api")
        for fault in ("invalid_blocks", "500", "ratelimited", "drop_after", "token_revoked"):
            slack.fail("chat.postMessage", fault)
            with pytest.raises(SendError) as raised:
                api.call("T0SOL", "chat.postMessage", channel="C1", text="giraffe")
            assert "giraffe" not in str(raised.value)
            assert workspace.token not in str(raised.value)
            assert raised.value.__cause__ is None


def test_an_answer_that_is_no_json_is_unclear(monkeypatch):
    api = SlackApi(lambda _team: "xoxb-1")

    def odd(*_args, **_more):
        raise SlackClientError("no JSON")

    monkeypatch.setattr("bot.channels.slack.client.Client", lambda **_more: SimpleNamespace(auth_test=odd))
    with pytest.raises(Unclear):
        api.call("T", "auth.test")


class _Elsewhere(BaseHTTPRequestHandler):
    """Answers with a way to another page, and says what it was asked."""

    asked = ()

    def do_POST(self):
        type(self).asked += (self.path,)
        self.send_response(302)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self):
        type(self).asked += (self.path,)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"ok": true}')

    def log_message(self, *_args):
        pass


def test_no_redirect_takes_our_token_anywhere_else():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        threading.Thread(target=server.serve_forever).start()
        api = SlackApi(lambda _team: "xoxb-1", f"http://127.0.0.1:{server.server_port}/api")
        try:
            with pytest.raises(SendError):
                api.call("T", "auth.test")
        finally:
            server.shutdown()
    assert _Elsewhere.asked == ("/api/auth.test",)


# --- progress ---------------------------------------------------------------------------------------------------------


def told(message):
    steps, _, _ = message.body.partition("\n\n")  # behind them: that the window may be closed
    return steps.split("\n")[1:]


def _steps(progress):
    lines = progress._lines()
    return lines[1 : lines.index("")]


STAGES = ["dns", "connect", "tls", "starttls", "auth", "mail", "unheard_of"]


@given(st.lists(st.sampled_from(STAGES), max_size=8), st.booleans(), st.sampled_from(LANGUAGES))
def test_the_steps_stand_in_one_order_and_one_of_them_is_under_way(stages, mail, language):
    progress = Progress(None, "ana@agency.test", language, mail=mail)
    steps = [step for step in STEPS if mail or step != "mail"]
    for stage in stages:
        progress.passed(stage, 0.1, ok=True)
        lines = _steps(progress)
        names = [texts(language)[f"slack.stage.{step}"] for step in steps]
        assert len(lines) == len(names)
        assert all(name in line for line, name in zip(lines, names, strict=True))
        assert sum(line.startswith("…") for line in lines) <= 1
        marks = [line[0] for line in lines]
        assert marks == sorted(marks, key="✓…·".index)


def test_a_stage_that_failed_is_not_passed():
    progress = Progress(None, "a", "en", mail=False)
    progress.passed("dns", 0.1, ok=False)
    assert _steps(progress)[0].startswith("…")


def test_a_slow_channel_never_holds_the_test_up_and_shows_the_newest_only():
    shown, first, go_on = [], threading.Event(), threading.Event()

    def slow(message):
        shown.append(told(message))
        first.set()
        go_on.wait(10)

    with Progress(slow, "a", "en", mail=True) as progress:
        assert first.wait(10)
        for stage in ("dns", "connect", "tls", "auth"):  # none of these waits
            progress.passed(stage, 0.1, ok=True)
        go_on.set()
    assert [line[0] for line in shown[0]] == ["…", "·", "·", "·", "·"]
    assert len(shown) <= 2
    assert all(len(one) == 5 for one in shown)


def test_a_channel_that_hangs_holds_the_answer_back_for_a_moment_only(monkeypatch):
    monkeypatch.setattr(progress_module, "PATIENCE", 0.01)
    hanging, go_on = threading.Event(), threading.Event()

    def hang(_message):
        hanging.set()
        go_on.wait(30)

    with Progress(hang, "a", "en", mail=True) as progress:
        assert hanging.wait(10)
    assert progress._thread.is_alive()
    go_on.set()
    progress._thread.join(10)


def test_nothing_is_shown_after_the_test_is_over():
    shown = []
    with Progress(lambda message: shown.append(told(message)), "a", "en", mail=True) as progress:
        pass
    before = len(shown)
    progress.passed("dns", 0.1, ok=True)
    assert len(shown) == before
    assert not progress._thread.is_alive()


def test_a_channel_that_raises_does_not_break_the_test():
    def broken(_message):
        raise ValueError("a channel that raises")

    with Progress(broken, "a", "en", mail=True) as progress:
        progress.passed("dns", 0.1, ok=True)
    assert not progress._thread.is_alive()


def test_a_test_without_a_window_makes_no_thread():
    with Progress(None, "a", "en", mail=True) as progress:
        progress.passed("dns", 0.1, ok=True)
        assert not progress._thread.is_alive()
