"""Our Slack side against somebody else's reading of Slack: an emulator that knows nothing of our stand-in.

Its scopes are strict: what our manifest does not ask for is refused. It has no slash commands, no interactions and no
`auth.revoke`; and its message events do not say that a channel is somebody's direct messages, so that a talk is not
held through it.
"""

from __future__ import annotations

import html
import re
import threading
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
import requests
from werkzeug.serving import WSGIRequestHandler, make_server

from bot.app import create_app
from bot.channels import Identity, Refused
from bot.channels.slack import people
from bot.channels.slack.home import home_view
from bot.channels.slack.scopes import SCOPES
from bot.store import tables
from bot.vault import new_key
from flows import board
from flows.speech import Button, Message
from tests.botkit import Kit, eventually
from tests.emulator import emulator
from tests.installkit import PUBLIC, Browser, query_of, words

pytestmark = pytest.mark.world

CLIENT_ID, CLIENT_SECRET, SIGNING = "1000000000001.2000000000002", "girafa-client-secret", "girafa-signing-secret"
APP, PERSON = "A0EMULATED1", "xoxp-a-person"
SEED = {
    "slack": {
        "team": {"name": "Sol", "domain": "sol"},
        "users": [{"name": "bia", "real_name": "Bia"}, {"name": "ana", "real_name": "Ana"}],
        "signing_secret": SIGNING,
        "strict_scopes": True,
        "oauth_apps": [
            {
                "app_id": APP,
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "name": "Ally",
                "redirect_uris": [f"{PUBLIC}/slack/oauth_redirect"],
                "scopes": list(SCOPES),
            }
        ],
        "tokens": [{"token": PERSON, "type": "user", "user": "bia", "scopes": ["chat:write", "im:write"]}],
    }
}


class _Silent(WSGIRequestHandler):
    def log(self, type, message, *args):  # noqa: A002 - werkzeug's name
        pass


class EmulatedKit(Kit):
    """The kit as an app that is installed by OAuth in the emulator's one workspace."""

    def __init__(self, database_url, home, api_url):
        settings = {
            "SLACK_CLIENT_ID": CLIENT_ID,
            "SLACK_CLIENT_SECRET": CLIENT_SECRET,
            "SLACK_SIGNING_SECRET": SIGNING,
            "SLACK_API_URL": f"{api_url}/api",
            "PUBLIC_URL": PUBLIC,
            "SECRET_KEYS": new_key(),
            "SUPPORT_CONTACT": "help@agency.test",
            "PRIVACY_URL": "https://agency.test/privacy",
        }
        super().__init__(database_url, home, **settings)
        self.api_url = api_url
        self.web = create_app(self.parts)
        self.browser = Browser(self)

    @property
    def api(self):
        """The client under test."""
        return self.parts.slack.workspaces.api

    @property
    def team(self):
        """The emulator's workspace."""
        [row] = self.rows(tables.slack_workspace)
        return row.team_id

    def allowed(self, code, person="bia"):
        """The invitation, our button, and the person's own on the emulator's page; where it sends the browser."""
        left = self.browser.left(code)
        page = requests.get(left.location, timeout=10)
        assert page.status_code == 200, page.text
        for form in re.findall(r"<form.*?</form>", page.text, re.DOTALL):
            found = re.findall(r'name="([^"]+)"\s+value="([^"]*)"', form)
            fields = {name: html.unescape(value) for name, value in found}
            if f">{person}<" in form or person in form:
                action = re.search(r'action="([^"]+)"', form)[1]
                answer = requests.post(f"{self.api_url}{action}", data=fields, timeout=10, allow_redirects=False)
                assert answer.status_code == 302
                return answer.headers["Location"]
        raise AssertionError(f"{person} is not on the page")

    def installed(self):
        """Bia installs us."""
        page = self.browser.back(self.allowed(self.invite(role="admin")))
        assert page.status_code == 200, words(page)
        self.work()
        return page

    def person(self, name="Ana"):
        """Somebody of the workspace."""
        return next(one.id for one in people.everybody(self.api, self.team) if one.name == name)


class _App:
    """A port of its own on which the kit's web application is reached once there is one; what it answered."""

    def __init__(self):
        self.inner = None
        self.answers = []
        self.server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Silent)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/slack/events"

    def __call__(self, environ, start):
        def begin(status, *more):
            self.answers.append(int(status.split()[0]))
            return start(status, *more)

        return self.inner(environ, begin)

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def app():
    made = _App()
    yield made
    made.close()


@pytest.fixture
def kit(database_url, tmp_path, app):
    with emulator(SEED, app.url) as slack, EmulatedKit(database_url, tmp_path, slack.url) as made:
        app.inner = made.web
        yield made


def test_the_whole_installation_goes_through_and_its_admin_is_written_to(kit):
    page = kit.installed()
    assert f"team={kit.team}&amp;id={APP}" in page.text
    [row] = kit.rows(tables.slack_workspace)
    assert (row.name, row.app_id, row.agency_id) == ("Sol", APP, kit.agency)
    [bia] = kit.rows(tables.member)
    assert (bia.name, bia.role) == ("Bia", "admin")
    assert [one.state for one in kit.promised("Speak", "done", "failed", "todo")] == ["done"]


def test_a_replayed_way_back_is_refused_by_us_and_a_replayed_code_by_slack(kit):
    url = kit.allowed(kit.invite(role="admin"))
    cookie = kit.browser._client.get_cookie("__Host-slack_install", urlsplit(PUBLIC).hostname, "/")
    assert kit.browser.back(url).status_code == 200
    kit.browser._client.set_cookie("__Host-slack_install", cookie.value, domain=urlsplit(PUBLIC).hostname, path="/")
    assert kit.browser.back(url).status_code == 410
    with pytest.raises(Refused, match="invalid_code"):
        kit.parts.slack.workspaces.exchange(query_of(url)["code"], f"{PUBLIC}/slack/oauth_redirect")


def test_a_wrong_client_secret_and_another_redirect_address_are_refused(kit):
    url = kit.allowed(kit.invite(role="admin"))
    with pytest.raises(Refused, match="bad_redirect_uri"):
        kit.parts.slack.workspaces.exchange(query_of(url)["code"], "https://elsewhere.example.com/")
    kit.parts.slack.workspaces._client = (CLIENT_ID, "wrong")
    with pytest.raises(Refused, match="invalid_client_id"):
        kit.parts.slack.workspaces.exchange("x", f"{PUBLIC}/slack/oauth_redirect")


def test_a_message_with_buttons_is_taken_and_found_again(kit):
    kit.installed()
    channel, to = kit.parts.slack.channel, Identity("slack", f"{kit.team}.{kit.person()}")
    kit.parts.turns.known(to)  # somebody whose direct messages can be noted
    message = Message("Which *one*, <you> & me?", (Button("a:1", "This one"), Button("a:2", "That one")), "en", "a")
    since = datetime.now(UTC)
    accepted = channel.send(to, message, 7, lambda: None)
    assert re.fullmatch(r"D[A-Z0-9]+:\d+\.\d+", accepted.provider_id)
    assert channel.find(to, message, since) == accepted.provider_id
    assert channel.find(to, Message("Something else", (), "en"), since) is None


def test_a_home_is_shown(kit):
    kit.installed()
    to = Identity("slack", f"{kit.team}.{kit.person()}")
    held = kit.parts.turns.known(to)
    with kit.engine.begin() as db:
        known = kit.parts.facts.at_a_glance(db, held, kit.clock.now())
    kit.parts.slack.channel.publish(to, home_view(board.home(known, 0), "en"))


def test_a_window_is_opened_once_by_its_trigger_and_then_changed(kit):
    kit.installed()
    person = kit.person()
    token = kit.parts.slack.workspaces.token_of(kit.team)
    answer = requests.post(
        f"{kit.api_url}/api/views.generateTriggerId", json={"user_id": person}, timeout=10,
        headers={"Authorization": f"Bearer {token}"},
    ).json()  # fmt: skip
    channel = kit.parts.slack.channel
    question = Message("Which?", (Button("a:1", "This"), Button("a:2", "That")), "en", "a")
    view_id = channel.open(kit.team, answer["trigger_id"], question)
    assert view_id.startswith("V")
    channel.update(kit.team, view_id, Message("One moment…", (), "en", "a"))
    with pytest.raises(Refused):
        channel.open(kit.team, answer["trigger_id"], question)


def test_who_is_in_the_workspace_is_read_page_by_page(kit):
    kit.installed()
    found = people.everybody(kit.api, kit.team)
    assert {"Ana", "Bia"} <= {one.name for one in found}
    assert all(one.name != "ally" for one in found)  # ourselves
    assert people.full_members(kit.api, kit.team, [kit.person("Ana")], [])[0].name == "Ana"


def test_what_our_scopes_do_not_allow_is_refused(kit):
    kit.installed()
    with pytest.raises(Exception, match="missing_scope"):
        kit.api.call(kit.team, "pins.add", channel="C000000001", timestamp="1.1")


def test_events_that_are_signed_by_somebody_elses_code_are_taken_and_others_are_not(kit, app):
    kit.installed()
    eventually(lambda: len(app.answers) >= 1, "an event of our own message")
    before = len(app.answers)
    [row] = kit.rows(tables.slack_workspace)
    said = requests.post(
        f"{kit.api_url}/api/chat.postMessage", json={"channel": row.bot_user, "text": "olá, ünï & <b>"}, timeout=10,
        headers={"Authorization": f"Bearer {PERSON}"},
    ).json()  # fmt: skip
    assert said["ok"], said
    eventually(lambda: len(app.answers) > before, "the person's message")
    assert set(app.answers) == {200}
    object.__setattr__(kit.settings, "slack_signing_secret", "another secret")
    app.inner = create_app(kit.parts)
    before = len(app.answers)
    requests.post(
        f"{kit.api_url}/api/chat.postMessage", json={"channel": row.bot_user, "text": "hello"}, timeout=10,
        headers={"Authorization": f"Bearer {PERSON}"},
    )  # fmt: skip
    eventually(lambda: len(app.answers) > before, "the next message")
    assert set(app.answers[before:]) == {401}
