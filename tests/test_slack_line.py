"""Socket Mode: requests come through a real WebSocket of the stand-in's; a line that breaks comes again by itself."""

import logging
import os
import socket
import threading

import pytest

from bot import wsgi
from bot.channels.slack import line as lines
from bot.playground.slack import SlackStandIn
from bot.vault import new_key
from bot.web.slack import slack_line
from tests.botkit import Kit, eventually

TEAM, BIA = "T0SOL", "U0BIA"


class SocketKit(Kit):
    """A kit in a workspace that cannot reach it."""

    def __init__(self, database_url, home, **settings):
        self.slack = SlackStandIn(socket=True).start()
        self.workspace = self.slack.workspace(TEAM, "Sol")
        self.slack.user(TEAM, BIA, "bia", real_name="Bia")
        self.environment = {
            "SLACK_BOT_TOKEN": self.workspace.token,
            "SLACK_APP_TOKEN": self.slack.app_token,
            "SLACK_API_URL": f"{self.slack.url}/api",
            "PUBLIC_URL": "http://127.0.0.1:1",
            "SECRET_KEYS": new_key(),
            "SUPPORT_CONTACT": "help@agency.test",
            "PRIVACY_URL": "https://agency.test/privacy",
            **settings,
        }
        super().__init__(database_url, home, **self.environment)
        self.parts.search.warm()
        self.line = slack_line(self.parts)
        self.line._pause = 0.01

    def __exit__(self, *error):
        self.line.close()
        self.slack.stop()
        super().__exit__(*error)

    def opened(self):
        self.line.open()
        assert self.line.wait(20)
        self.slack.wait_for(lambda: self.slack.connections == 1)
        return self


@pytest.fixture
def kit(database_url, tmp_path):
    with SocketKit(database_url, tmp_path) as made:
        yield made


def test_what_people_do_in_slack_comes_through_the_socket_and_is_answered(kit):
    kit.opened()
    code = kit.invite(role="admin", name="Bia")
    assert kit.slack.command(TEAM, BIA, f"join {code}").ok
    kit.work()
    assert kit.slack.say(TEAM, BIA, "menu").ok
    kit.work()
    said = [one.shown for one in kit.slack.dm(TEAM, BIA) if not one.mine]
    assert "Agência Sol" in said[0]
    assert len(said) == 2
    assert kit.slack.open_home(TEAM, BIA).ok
    kit.work()
    assert kit.slack.home(TEAM, BIA) is not None


def test_an_event_that_comes_twice_is_one_turn(kit):
    kit.opened()
    kit.slack.say(TEAM, BIA, "hello", times=3)
    kit.work()
    assert len([one for one in kit.slack.dm(TEAM, BIA) if not one.mine]) == 1


@pytest.mark.parametrize("kind", ["500", "drop_before", "drop_after", "invalid_auth"])
def test_a_slack_that_is_away_at_the_start_is_tried_again(kit, kind, caplog):
    kit.slack.fail("apps.connections.open", kind, 3)
    kit.opened()
    failed = [one for one in caplog.records if "no connection to Slack" in one.getMessage()]
    assert len(failed) == 3
    assert ("SLACK_APP_TOKEN" in failed[0].getMessage()) == (kind in {"500", "invalid_auth"})
    assert kit.slack.app_token not in caplog.text


@pytest.mark.parametrize("warned", [False, True])
def test_a_line_that_slack_closes_comes_again(kit, warned):
    kit.opened()
    kit.slack.drop_sockets(warn=warned)
    kit.slack.wait_for(lambda: kit.slack.connections == 1, 60)
    eventually(lambda: kit.slack.say(TEAM, BIA, "hello").ok, within=60)


def test_a_closed_line_stays_closed_and_leaves_no_thread(kit):
    before = {one.name for one in threading.enumerate()}
    kit.opened()
    kit.line.close()
    kit.slack.wait_for(lambda: kit.slack.connections == 0)
    assert not kit.line._thread.is_alive()
    assert "slack-line" not in before


def test_a_line_is_closed_while_it_still_tries(kit):
    kit.line._pause = 300.0
    kit.slack.fail("apps.connections.open", "500", 100)
    kit.line.open()
    kit.slack.wait_for(lambda: any(one.method == "apps.connections.open" for one in kit.slack.requests))
    kit.line.close()
    assert not kit.line._thread.is_alive()


def test_the_pauses_between_two_tries_grow_and_have_an_end():
    waited = []

    class Closed(threading.Event):
        def wait(self, timeout=None):
            waited.append(timeout)
            if len(waited) == 14:
                self.set()
            return self.is_set()

    class Client:
        def connect_to_new_endpoint(self):
            raise OSError

    class Handler:
        client = Client()

        def close(self):
            waited.append("closed")

    line = lines.Line(Handler, pause=1.0)
    line._closed = Closed()
    line._open()
    assert waited[-1] == "closed"
    pauses = [one for one in waited if isinstance(one, float)]
    assert pauses[0] < 1.3
    assert all(one <= lines.LONGEST_PAUSE * 1.25 for one in pauses)
    assert pauses[-1] >= lines.LONGEST_PAUSE


def test_without_an_app_level_token_there_is_no_line(database_url, tmp_path):
    with Kit(database_url, tmp_path) as kit:
        assert slack_line(kit.parts) is None


def nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def process(kit, database_url, monkeypatch):
    """What gunicorn loads, in an environment of the test's."""
    for name in list(os.environ):
        if name.startswith(("SLACK_", "TWILIO_", "SECRET_", "PUBLIC_", "PRIVACY_", "SUPPORT_")):
            monkeypatch.delenv(name)
    for name, value in {
        **kit.environment,
        "DATABASE_URL": database_url,
        "DATA_DIR": str(kit.settings.data_dir),
    }.items():
        monkeypatch.setenv(name, value)
    made = []
    real = wsgi.join
    monkeypatch.setattr(wsgi, "join", lambda *given: made.append(real(*given)) or made[-1])
    monkeypatch.setattr(wsgi, "setup", lambda _form: None)
    yield monkeypatch
    wsgi.close()
    for one in made:
        one.close()


def test_the_process_that_serves_opens_the_line_and_closes_it_at_its_end(kit, process):
    web = wsgi.app()
    assert web.test_client().get("/healthz").status_code == 200
    kit.slack.wait_for(lambda: kit.slack.connections == 1)
    assert kit.slack.say(TEAM, BIA, "hello").ok
    wsgi.close()
    kit.slack.wait_for(lambda: kit.slack.connections == 0)
    wsgi.close()  # gunicorn may say so twice


def test_the_process_serves_although_slack_cannot_be_reached(kit, process):
    process.setenv("SLACK_API_URL", f"http://127.0.0.1:{nobody_listens()}/api")
    web = wsgi.app()
    assert web.test_client().get("/readyz").status_code == 200
    assert kit.slack.connections == 0


def test_no_token_of_the_line_is_written_into_a_log(kit, caplog):
    caplog.set_level(logging.DEBUG)
    kit.opened()
    kit.slack.say(TEAM, BIA, "a word that belongs in no log")
    ours = "\n".join(one.getMessage() for one in caplog.records if not one.name.startswith(("aiohttp", "asyncio")))
    assert "a word that belongs in no log" not in ours
