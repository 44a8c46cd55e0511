"""Logs carry ids, never contents: no token of a link, no bound value, no body that a library would write."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from bot.log import PAUSE, Seldom, describe_exception, mask_links
from bot.vault import token
from tests.botkit import ADDRESS, ANA

ROOT = Path(__file__).parent.parent
TOKEN = "Zt0kenZt0kenZt0kenZt0kenZt0ken12"

# What a process of ours writes, from our own loggers and from the libraries'.
PROGRAM = """
import logging, sys, warnings
import structlog
from bot.log import setup

setup(sys.argv[1])
log, foreign = structlog.get_logger("bot.test"), logging.getLogger("some.library")
exec(sys.stdin.read())
"""


def written(lines, form="text"):
    """What a process with our logs writes to standard error; standard output stays empty."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, form], input=lines, capture_output=True, text=True, timeout=60, cwd=ROOT,
        check=True,
    )  # fmt: skip
    assert run.stdout == ""
    return run.stderr


def test_our_words_carry_time_level_and_ids():
    (line,) = written("log.info('promise', id=7, kind='Speak')", "json").splitlines()
    found = json.loads(line)
    assert (found["event"], found["id"], found["kind"], found["level"]) == ("promise", 7, "Speak", "info")
    assert found["timestamp"].endswith("Z")


def test_a_librarys_words_take_the_same_form():
    (line,) = written("foreign.warning('careful: %s', 3)", "json").splitlines()
    assert json.loads(line)["event"] == "careful: 3"
    assert json.loads(line)["logger"] == "some.library"


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_token_of_a_link_stands_in_any_line_whoever_writes_it(form):
    lines = f"""
path = "/s/{TOKEN}"
log.info("GET " + path, path=path, url="https://bot.example.com" + path)
foreign.error("Error handling request %s", path)
logging.getLogger("gunicorn.error").error("Error handling request %s", path)
logging.getLogger("gunicorn.access").error("GET %s", path)
try:
    raise ValueError("bad address " + path)
except ValueError:
    log.exception("failed")
    foreign.exception("failed, too")
"""
    text = written(lines, form)
    assert TOKEN not in text
    assert text.count("/s/***") >= 7


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_that_somebody_else_wrote_makes_a_line_of_its_own(form):
    lines = r"""
forged = "x\n2026-01-01 [error] forged\r\x1b[2K\u2028forged"
log.warning(forged, why=forged)
foreign.warning("careful: %s", forged)
try:
    raise ValueError(forged)
except ValueError:
    log.exception("failed")
"""
    text = written(lines, form)
    assert "forged" in text
    assert [line for line in text.splitlines() if line.startswith(("2026-01-01", "forged"))] == []
    assert not {"\r", "\x1b", "\u2028"} & set(text)


@pytest.mark.parametrize(
    "path",
    [f"/m/{TOKEN}", f"/slack/install?code={TOKEN}", f"/slack/oauth_redirect?code=1.2.{TOKEN}&state={TOKEN}",
     f"/oauth/google/callback?state={TOKEN}&code={TOKEN}"],
)  # fmt: skip
def test_no_other_address_that_opens_something_stands_in_a_line(path):
    said = mask_links(None, "info", {"event": f"GET {path} HTTP/1.1"})["event"]
    assert TOKEN not in said
    assert said.startswith(f"GET {path.partition('?')[0].removesuffix(TOKEN)}")
    assert said.endswith("*** HTTP/1.1")


def test_what_strangers_bring_about_is_said_at_once_and_then_once_a_minute_with_how_often():
    now = [0.0]
    with capture_logs() as logs:
        seldom = Seldom(structlog.get_logger("of this test"), lambda: now[0])
        for second in range(PAUSE + 1):
            now[0] = float(second)
            seldom.warning("refused", "Twilio")
        seldom.warning("refused", "Slack")
    assert [(one["what"], one["times"]) for one in logs] == [("Twilio", 1), ("Twilio", PAUSE), ("Slack", 1)]


def test_what_gunicorn_set_up_for_itself_does_not_write_past_us():
    lines = f"""
import logging
logger = logging.getLogger("gunicorn.error")
logger.propagate = False
logger.addHandler(logging.StreamHandler())
setup("json")
logger.error("Error handling request %s", "/s/{TOKEN}")
"""
    (line,) = written(lines, "json").splitlines()
    assert json.loads(line)["event"] == "Error handling request /s/***"


@pytest.mark.parametrize("path", ["/s/done/eyJhbGciOi", "/s/static/secret_page.css", "/privacy", "/s/"])
def test_what_is_no_token_stays_readable(path):
    assert mask_links(None, "info", {"event": path})["event"] == path


def test_every_token_that_we_make_is_masked():
    for _ in range(200):
        clear, _hash = token()
        assert clear not in mask_links(None, "info", {"event": f"GET /s/{clear} HTTP/1.1"})["event"]


SQL = """
import os
os.environ["PGCONNECT_TIMEOUT"] = "2"
from sqlalchemy import text
from bot.store.engine import connect
engine = connect(%r)
def ask(statement):
    with engine.begin() as db:
        db.execute(text(statement), {"who": "girafa-azul"})
for statement in ("select * from nowhere where name = :who", "select cast(:who as integer)",
                  "insert into agency (name) values (:who)"):
    try:
        ask(statement)
    except Exception as error:
        log.exception("failed", exc_info=True)
        foreign.error("failed, too", exc_info=error)
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_value_of_a_statement_stands_in_the_log_not_even_in_what_postgresql_answers(database_url, form):
    """`invalid input syntax for type integer: "..."` and `DETAIL: Failing row contains (...)` carry values."""
    text = written(SQL % database_url, form)
    assert "girafa" not in text
    assert "InvalidTextRepresentation" in text
    assert "NotNullViolation" in text
    assert "UndefinedTable" in text


def test_an_exception_tells_where_it_came_from_and_what_led_to_it():
    lines = """
def deep():
    secret = "girafa-azul"
    try:
        {}["key"]
    except KeyError as error:
        raise RuntimeError("what we say") from error
try:
    deep()
except RuntimeError:
    log.exception("failed")
"""
    found = json.loads(written(lines, "json"))
    assert found["exception"].splitlines()[-1] == "RuntimeError: what we say"
    assert "KeyError: 'key'" in found["exception"]
    assert "in deep" in found["exception"]
    assert "girafa" not in found["exception"]


def test_a_chain_of_exceptions_has_an_end():
    error = ValueError("0")
    for number in range(1, 50):
        after = ValueError(str(number))
        after.__cause__, error = error, after
    told = describe_exception(None, "error", {"event": "x", "exc_info": error})["exception"]
    assert told.count("ValueError") == 6


def test_no_exception_is_no_exception():
    assert describe_exception(None, "error", {"event": "x"}) == {"event": "x"}
    assert describe_exception(None, "error", {"event": "x", "exc_info": None}) == {"event": "x"}
    assert describe_exception(None, "error", {"event": "x", "exc_info": True}) == {"event": "x"}


@pytest.mark.parametrize(
    "logger", ["twilio", "twilio.http_client", "urllib3.connectionpool", "sqlalchemy.engine.Engine", "alembic.runtime"]
)
def test_the_libraries_that_would_write_bodies_or_values_are_quiet(logger):
    lines = f"""
library = logging.getLogger({logger!r})
library.debug("girafa")
library.info("girafa")
library.warning("something is wrong")
"""
    text = written(lines)
    assert "girafa" not in text
    assert "something is wrong" in text


def test_twilios_sdk_writes_nothing_of_a_request():
    lines = """
from bot.channels import SendError
from bot.channels.whatsapp import Outgoing, Twilio
class Nothing:
    def get(self, name): return None
    def put(self, name, sid): pass
twilio = Twilio("AC" + "0" * 32, "girafa-token", "+15550100000", Nothing(), api_url="http://127.0.0.1:9", timeout=2)
try:
    twilio.send("+5511999990001", Outgoing("girafa-azul"), "https://bot.example.com/whatsapp/status")
except SendError as error:
    log.warning("not sent", why=str(error))
twilio.close()
"""
    text = written(lines)
    assert "not sent" in text
    assert "girafa" not in text
    assert "5511999990001" not in text


def test_the_ids_of_the_job_at_hand_stand_in_every_line_a_librarys_too():
    lines = """
with structlog.contextvars.bound_contextvars(promise=7, conversation="c1"):
    log.info("ours")
    foreign.warning("theirs")
log.info("after")
"""
    ours, theirs, after = map(json.loads, written(lines, "json").splitlines())
    assert [(one["promise"], one["conversation"]) for one in (ours, theirs)] == [(7, "c1")] * 2
    assert not {"promise", "conversation"} & set(after)


def test_what_a_worker_writes_names_the_job_and_the_talk_and_nothing_that_was_said(kit):
    kit.mailbox()
    kit.say("my giraffe is blue")
    told = kit.hands["Speak"]
    kit.hands["Speak"] = lambda tools, promise: structlog.get_logger().info("in the hand") or told(tools, promise)
    with capture_logs([merge_contextvars]) as logs:
        kit.work()
    assert {one["event"] for one in logs} == {"in the hand", "promise"}
    (spoken,) = kit.promised("Speak", "done")[-1:]
    assert {(one["promise"], one["conversation"]) for one in logs} == {(spoken.id, str(kit.held().id))}
    for said in ("giraffe", ADDRESS, ANA, *kit.last().body.splitlines()):
        assert not said or said not in str(logs)
