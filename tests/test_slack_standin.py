import asyncio
import contextlib
import json
import queue
import socket
import threading
import urllib.parse
from collections import Counter
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
import requests
from flask import Flask, Response, jsonify, request
from slack_bolt import App
from slack_bolt.adapter.flask import SlackRequestHandler
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse
from werkzeug.serving import make_server

from bot.playground.slack import SlackStandIn

TEAM, ANA, BEN, STAFF = "T1", "U1ANA", "U1BEN", "C1STAFF"
START = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)


# --- the parts of messages and views -------------------------------------------------------------------------------


def plain(text):
    return {"type": "plain_text", "text": text}


def mrkdwn(text):
    return {"type": "mrkdwn", "text": text}


def section(text, **more):
    return {"type": "section", "text": mrkdwn(text), **more}


def button(label, action_id, **more):
    return {"type": "button", "text": plain(label), "action_id": action_id, **more}


def actions(*elements, **more):
    return {"type": "actions", "elements": list(elements), **more}


def choosing(*options, **more):
    return actions(menu("static_select", "a", *options, **more))


def grouped(*groups):
    return {"type": "static_select", "action_id": "g", "option_groups": list(groups)}


def rich(*parts, kind="rich_text_section"):
    return {"type": kind, "elements": list(parts)}


def option(label, value, **more):
    return {"text": plain(label), "value": value, **more}


def menu(kind, action_id, *options, **more):
    return {"type": kind, "action_id": action_id, "options": list(options), **more}


def field(block_id, element, **more):
    return {"type": "input", "block_id": block_id, "label": plain(f"The {block_id}"), "element": element, **more}


def typed(action_id="typed", kind="plain_text_input", **more):
    return {"type": kind, "action_id": action_id, **more}


def form(*blocks, title="A form", **more):
    return {"type": "modal", "title": plain(title), "submit": plain("Save"), "blocks": list(blocks), **more}


def home(*blocks, **more):
    return {"type": "home", "blocks": list(blocks), **more}


# --- the bot, the stage ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def served(app):
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Bot:
    """A bot that notes what reaches it, and whether it is genuine; `answer` makes its answer of a payload."""

    def __init__(self, secret):
        self.seen = queue.Queue()
        self.answer = lambda _payload: ""
        self.verifier = SignatureVerifier(secret)
        self.app = Flask("bot")
        self.app.add_url_rule("/slack/events", view_func=self.take, methods=["POST"])

    def take(self):
        headers = dict(request.headers)
        if not self.verifier.is_valid_request(request.get_data(), headers):
            return Response(status=401)
        if request.is_json:
            payload = request.get_json()
        else:
            payload = json.loads(request.form["payload"]) if "payload" in request.form else request.form.to_dict()
        self.seen.put((payload, headers))
        return self.answer(payload)

    def next(self):
        return self.seen.get(timeout=10)[0]


@pytest.fixture
def clock():
    return [START]


@pytest.fixture
def slack(clock):
    with SlackStandIn(now=lambda: clock[0]) as slack:
        set_stage(slack)
        yield slack


def set_stage(slack):
    workspace = slack.workspace(TEAM, "Acme Travel")
    slack.user(TEAM, ANA, "ana", email="ana@acme.example", real_name="Ana Lima", locale="pt-BR")
    slack.user(TEAM, BEN, "ben")
    slack.channel(TEAM, STAFF, "support", [workspace.bot_user, ANA], private=True)
    return workspace


@pytest.fixture
def bot(slack):
    bot = Bot(slack.signing_secret)
    with served(bot.app) as url:
        slack.events_url = f"{url}/slack/events"
        yield bot


@pytest.fixture
def client(slack):
    return web(slack)


def web(slack, token=None):
    given = slack._world.workspaces[TEAM].token if token is None else token
    return WebClient(given, base_url=f"{slack.url}/api/", retry_handlers=[])


def refused(call, *args, **arguments):
    """The error with which a call is refused."""
    with pytest.raises(SlackApiError) as caught:
        call(*args, **arguments)
    return caught.value.response["error"]


def complaints(call, *args, **arguments):
    with pytest.raises(SlackApiError) as caught:
        call(*args, **arguments)
    assert caught.value.response["error"] in {"invalid_blocks", "invalid_arguments"}
    return caught.value.response["response_metadata"]["messages"]


def opened(slack, client, bot, view):
    """A modal before Ana, opened with the trigger of a command."""
    slack.command(TEAM, ANA, "open")
    return client.views_open(trigger_id=bot.next()["trigger_id"], view=view)["view"]


# --- people write ----------------------------------------------------------------------------------------------------


def test_what_a_person_writes_reaches_the_bot_signed_in_slacks_envelope(slack, bot):
    assert slack.events_url.endswith("/slack/events")
    assert slack.say(TEAM, ANA, "Olá & <adeus>").status_code == 200
    payload = bot.next()
    event = payload["event"]
    assert (payload["type"], payload["team_id"], payload["api_app_id"]) == ("event_callback", TEAM, slack.app_id)
    assert payload["event_id"].startswith("Ev")
    assert payload["event_time"] == int(START.timestamp())
    assert payload["is_ext_shared_channel"] is False
    assert payload["authorizations"] == [
        {"enterprise_id": None, "team_id": TEAM, "user_id": "U0BOTT1", "is_bot": True, "is_enterprise_install": False}
    ]
    assert (event["type"], event["channel_type"], event["user"], event["text"]) == (
        "message",
        "im",
        ANA,
        "Olá &amp; &lt;adeus&gt;",
    )
    assert event["channel"] == slack.dm_id(TEAM, ANA)
    (bubble,) = slack.dm(TEAM, ANA)
    assert (bubble.mine, bubble.shown, bubble.ts) == (True, "Olá & <adeus>", event["ts"])


def test_in_a_channel_a_message_is_of_its_kind_and_can_answer_in_a_thread(slack, bot):
    slack.channel(TEAM, "C1OPEN", "open", [ANA], ext_shared=True)
    root = slack.say(TEAM, ANA, "root", channel=STAFF).payload["event"]
    answer = slack.say(TEAM, BEN, "answer", channel=STAFF, thread_ts=root["ts"]).payload["event"]
    assert (root["channel_type"], answer["thread_ts"], answer["parent_user_id"]) == ("group", root["ts"], ANA)
    assert [one.text for one in slack.thread(TEAM, STAFF, root["ts"])] == ["root", "answer"]
    payload = slack.say(TEAM, ANA, "hi", channel="C1OPEN").payload
    assert (payload["event"]["channel_type"], payload["is_ext_shared_channel"]) == ("channel", True)


def test_a_message_can_be_of_a_subtype_of_a_bot_of_a_stranger_or_with_files(slack, bot):
    slack.user(TEAM, "U9EVE", "eve", is_stranger=True, home_team="T9")
    slack.say(TEAM, ANA, "x", subtype="thread_broadcast", bot_id="B7", extra={"new": 1})
    event = bot.next()["event"]
    assert (event["subtype"], event["bot_id"], event["new"]) == ("thread_broadcast", "B7", 1)
    slack.say(TEAM, ANA, "x", user_team="T8")
    assert bot.next()["event"]["user_team"] == "T8"
    slack.say(TEAM, "U9EVE", "x", channel=STAFF)
    assert bot.next()["event"]["source_team"] == "T9"
    slack.say(TEAM, ANA, files=[{"name": "a.pdf"}])
    event = bot.next()["event"]
    assert (event["subtype"], event["files"][0]["name"]) == ("file_share", "a.pdf")
    slack.say(TEAM, ANA, "<@U0BOTT1> hi", escape=False)
    assert bot.next()["event"]["text"] == "<@U0BOTT1> hi"


def test_edited_and_deleted_messages_are_told_hidden_with_what_was_there(slack, bot):
    ts = slack.say(TEAM, ANA, "one").payload["event"]["ts"]
    bot.next()
    slack.edit(TEAM, ANA, ts, "two")
    event = bot.next()["event"]
    assert (event["subtype"], event["hidden"]) == ("message_changed", True)
    assert (event["message"]["text"], event["previous_message"]["text"]) == ("two", "one")
    slack.take_back(TEAM, ANA, ts)
    event = bot.next()["event"]
    assert (event["subtype"], event["deleted_ts"]) == ("message_deleted", ts)
    assert slack.dm(TEAM, ANA) == []
    with pytest.raises(LookupError):
        slack.edit(TEAM, ANA, ts, "gone")


def test_any_other_event_can_be_sent(slack, bot):
    slack.event(TEAM, {"type": "member_joined_channel", "user": BEN, "channel": STAFF}, ext_shared=True)
    payload = bot.next()
    assert (payload["event"]["type"], payload["is_ext_shared_channel"]) == ("member_joined_channel", True)


def test_a_forged_an_old_and_a_garbled_request_are_not_genuine(slack, bot):
    assert slack.say(TEAM, ANA, "x", forge=True).status_code == 401
    assert slack.say(TEAM, ANA, "x", timestamp=1).status_code == 401
    assert slack.command(TEAM, ANA, "x", forge=True).status_code == 401
    assert slack.dm(TEAM, ANA)[0].text == "x", "what has an old time was written once"
    assert slack.unanswered == []


def test_a_garbled_time_is_sent_as_it_is(slack):
    seen = queue.Queue()
    app = Flask("bot")
    app.add_url_rule(
        "/", view_func=lambda: (seen.put(request.headers["X-Slack-Request-Timestamp"]), "")[1], methods=["POST"]
    )
    with served(app) as url:
        slack.events_url = url
        slack.say(TEAM, ANA, "x", timestamp="abc")
    assert seen.get(timeout=10) == "abc"


def test_a_doubled_event_has_one_name_and_a_repetition_says_so(slack, bot):
    slack.say(TEAM, ANA, "x", times=2)
    assert bot.next()["event_id"] == bot.next()["event_id"]
    assert len(slack.dm(TEAM, ANA)) == 1
    slack.say(TEAM, ANA, "x", retry=2)
    slack.say(TEAM, ANA, "x", retry=(1, "http_error"))
    headers = [bot.seen.get(timeout=10)[1] for _ in range(2)]
    told = [(one["X-Slack-Retry-Num"], one["X-Slack-Retry-Reason"]) for one in headers]
    assert told == [("2", "http_timeout"), ("1", "http_error")]


def test_an_event_that_is_not_answered_is_repeated_until_it_is(slack, bot):
    bot.answer = lambda _payload: Response(status=500)
    first = slack.say(TEAM, ANA, "x").payload["event_id"]
    slack.command(TEAM, ANA, "x")
    assert [one.payload["event_id"] for one in slack.unanswered] == [first], "commands are never repeated"
    assert [one.status_code for one in slack.redeliver()] == [500]
    bot.answer = lambda _payload: ""
    assert [one.status_code for one in slack.redeliver()] == [200]
    assert slack.redeliver() == []
    events = [bot.seen.get(timeout=10) for _ in range(4)]
    assert [one["X-Slack-Retry-Num"] for payload, one in events if "X-Slack-Retry-Num" in one] == ["1", "2"]
    assert events[-1][1]["X-Slack-Retry-Reason"] == "http_error"


def test_slack_repeats_three_times_at_most_and_not_at_all_when_asked_not_to(slack, bot):
    bot.answer = lambda _payload: Response(status=500)
    slack.say(TEAM, ANA, "x")
    assert [len(slack.redeliver()) for _ in range(4)] == [1, 1, 1, 0]
    bot.answer = lambda _payload: Response(status=500, headers={"X-Slack-No-Retry": "1"})
    slack.say(TEAM, ANA, "x")
    assert slack.unanswered == []


def test_a_bot_that_is_not_there_is_a_reason_to_repeat(slack):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        slack.events_url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        answer = slack.say(TEAM, ANA, "x")
    assert (answer.status_code, answer.ok, answer.reason) == (0, False, "connection_failed")
    assert slack.unanswered[0].reason == "connection_failed"


def test_a_bot_that_takes_too_long_is_a_reason_to_repeat(slack, bot, monkeypatch):
    monkeypatch.setattr("bot.playground.slack_delivery.ANSWER_WITHIN", 0.2)
    release = threading.Event()
    bot.answer = lambda _payload: (release.wait(10), "")[1]
    assert slack.say(TEAM, ANA, "x").reason == "http_timeout"
    release.set()


# --- commands and shortcuts ------------------------------------------------------------------------------------------


def test_a_command_comes_as_a_form_and_its_answer_is_shown_to_who_gave_it(slack, bot):
    bot.answer = lambda _payload: jsonify(text="*Working* on it")
    assert slack.command(TEAM, ANA, "status now", channel=STAFF).ok
    given = bot.next()
    assert (given["command"], given["text"], given["channel_id"]) == ("/ally", "status now", STAFF)
    assert (given["team_domain"], given["user_name"], given["channel_name"]) == ("acmetravel", "ana", "privategroup")
    assert [one.text for one in slack.ephemerals(TEAM, ANA)] == ["*Working* on it"]
    assert slack.channel_messages(TEAM, STAFF) == slack.ephemerals(TEAM, BEN) == []
    bot.answer = lambda _payload: "plain words"
    slack.command(TEAM, ANA)
    assert bot.next()["channel_name"] == "directmessage"
    assert slack.ephemerals(TEAM, ANA)[-1].text == "plain words"


def test_a_shortcut_is_global_or_belongs_to_a_message(slack, bot):
    ts = slack.say(TEAM, ANA, "look", channel=STAFF).payload["event"]["ts"]
    bot.next()
    slack.shortcut(TEAM, ANA, "new_case")
    assert (given := bot.next())["type"] == "shortcut"
    assert "response_url" not in given
    slack.shortcut(TEAM, ANA, "take", ts=ts, channel=STAFF)
    given = bot.next()
    assert (given["type"], given["callback_id"], given["message"]["text"]) == ("message_action", "take", "look")
    assert given["channel"]["id"] == STAFF


def test_a_response_url_takes_five_answers_within_thirty_minutes(slack, bot, clock):
    slack.command(TEAM, ANA)
    url = bot.next()["response_url"]
    assert requests.post(url, json={"text": ""}, timeout=10).json()["error"] == "no_text"
    for _ in range(4):
        assert requests.post(url, json={"text": "hi"}, timeout=10).text == "ok"
    spent = requests.post(url, json={"text": "hi"}, timeout=10)
    assert (spent.status_code, spent.json()["error"]) == (404, "used_url")
    assert [one.text for one in slack.ephemerals(TEAM, ANA)] == ["hi"] * 4
    slack.command(TEAM, ANA)
    url = bot.next()["response_url"]
    clock[0] += timedelta(minutes=30, seconds=1)
    assert requests.post(url, json={"text": "hi"}, timeout=10).json()["error"] == "expired_url"
    assert requests.post(f"{slack.url}/response/none", json={}, timeout=10).json()["error"] == "invalid_url"
    assert requests.post(url, json=[], timeout=10).status_code == 400
    assert ("response_url", TEAM, {"text": "hi"}) in slack.requests


def test_a_response_url_replaces_deletes_or_speaks_to_all(slack, bot, client):
    client.chat_postMessage(channel=STAFF, text="Take it?", blocks=[actions(button("Take", "take"))])
    slack.tap(TEAM, ANA, "Take", where=STAFF)
    url = bot.next()["response_url"]
    requests.post(url, json={"replace_original": True, "text": "Taken"}, timeout=10)
    requests.post(url, json={"response_type": "in_channel", "text": "to all"}, timeout=10)
    assert [(one.text, one.edited) for one in slack.channel_messages(TEAM, STAFF)] == [
        ("Taken", True),
        ("to all", False),
    ]
    requests.post(url, json={"delete_original": True}, timeout=10)
    assert [one.text for one in slack.channel_messages(TEAM, STAFF)] == ["to all"]


# --- buttons and menus -----------------------------------------------------------------------------------------------


def test_a_tap_says_what_was_tapped_where_and_by_whom(slack, bot, client):
    sent = client.chat_postMessage(channel=ANA, text="Sure?", blocks=[actions(button("Yes", "q:yes", value="7"))])
    assert slack.dm(TEAM, ANA)[-1].buttons == (("q:yes", "7", "Yes"),)
    assert slack.tap(TEAM, ANA, "Yes").ok
    given = bot.next()
    (action,) = given["actions"]
    assert (given["type"], given["user"]["id"], given["user"]["team_id"]) == ("block_actions", ANA, TEAM)
    assert given["team"] == {"id": TEAM, "domain": "acmetravel"}
    assert (action["type"], action["action_id"], action["value"]) == ("button", "q:yes", "7")
    assert given["container"] == {
        "type": "message",
        "message_ts": sent["ts"],
        "channel_id": sent["channel"],
        "is_ephemeral": False,
    }
    assert given["message"]["blocks"][0]["block_id"] == action["block_id"]
    assert given["trigger_id"]
    assert given["response_url"].startswith(slack.url)


def test_the_newest_message_with_the_button_is_meant_unless_another_is_named(slack, bot, client):
    sent = [
        client.chat_postMessage(channel=ANA, text="?", blocks=[actions(button("Go", "go", value=str(n)))])["ts"]
        for n in range(2)
    ]
    client.chat_postMessage(channel=ANA, text="nothing to tap")
    for what, ts, value in (("Go", None, "1"), ("go", None, "1"), ("0", None, "0"), ("Go", sent[0], "0")):
        slack.tap(TEAM, ANA, what, ts=ts)
        assert bot.next()["actions"][0]["value"] == value
    with pytest.raises(LookupError, match=r"no 'Stop' in dm, only \['Go', 'Go'\]"):
        slack.tap(TEAM, ANA, "Stop")


def test_what_is_typed_as_rich_text_comes_as_rich_text(slack, bot, client):
    opened(slack, client, bot, form(field("note", {"type": "rich_text_input", "action_id": "n"})))
    slack.type_in(TEAM, ANA, {"note": "words"})
    slack.submit(TEAM, ANA)
    value = bot.next()["view"]["state"]["values"]["note"]["n"]["rich_text_value"]
    assert (value["type"], value["elements"][0]["elements"][0]["text"]) == ("rich_text", "words")


def test_a_tap_in_a_thread_says_which(slack, bot, client):
    root = client.chat_postMessage(channel=STAFF, text="root")["ts"]
    client.chat_postMessage(channel=STAFF, text="?", thread_ts=root, blocks=[actions(button("Take", "take"))])
    slack.tap(TEAM, ANA, "Take", where=STAFF)
    given = bot.next()
    assert given["container"]["thread_ts"] == given["message"]["thread_ts"] == root


def test_a_tap_can_be_forged_and_doubled(slack, bot, client):
    client.chat_postMessage(channel=ANA, text="?", blocks=[actions(button("Go", "go"))])
    assert slack.tap(TEAM, ANA, "Go", forge=True).status_code == 401
    slack.tap(TEAM, ANA, "Go", times=2)
    assert bot.next()["trigger_id"] == bot.next()["trigger_id"]


def test_overflow_menus_and_selects_send_the_option(slack, bot, client):
    blocks = [
        section("Ana", accessory=menu("overflow", "more", option("Pause", "pause"), option("Remove", "remove"))),
        actions(
            menu("static_select", "pick", option("One", "1"), option("Two", "2"), placeholder=plain("Choose"), block=1),
            {"type": "users_select", "action_id": "who", "placeholder": plain("Somebody")},
            menu("checkboxes", "ticks", option("A", "a"), option("B", "b")),
            block_id="row",
        ),
    ]
    client.chat_postMessage(channel=STAFF, text="?", blocks=blocks)
    assert slack.channel_messages(TEAM, STAFF)[0].buttons == (("more", "pause", "Pause"), ("more", "remove", "Remove"))
    slack.tap(TEAM, ANA, "Remove", where=STAFF)
    assert bot.next()["actions"][0]["selected_option"]["value"] == "remove"
    slack.choose(TEAM, ANA, "Choose", "Two", where=STAFF)
    given = bot.next()
    assert given["actions"][0]["selected_option"]["value"] == "2"
    assert given["state"]["values"]["row"]["pick"]["selected_option"]["value"] == "2"
    slack.choose(TEAM, ANA, "who", BEN, where=STAFF)
    assert bot.next()["actions"][0]["selected_user"] == BEN
    slack.tap(TEAM, ANA, "B", where=STAFF)
    assert [one["value"] for one in bot.next()["actions"][0]["selected_options"]] == ["b"]
    with pytest.raises(LookupError, match="no menu"):
        slack.choose(TEAM, ANA, "none", "x", where=STAFF)
    with pytest.raises(LookupError, match=r"only \['One', 'Two'\]"):
        slack.choose(TEAM, ANA, "pick", "Three", where=STAFF)


def test_what_only_one_person_sees_can_be_tapped_by_them_alone(slack, bot, client):
    blocks = [actions(button("Mine", "mine"))]
    client.chat_postEphemeral(channel=STAFF, user=ANA, text="?", blocks=blocks)
    assert [one.buttons for one in slack.ephemerals(TEAM, ANA)] == [(("mine", "", "Mine"),)]
    slack.tap(TEAM, ANA, "Mine", where=STAFF)
    given = bot.next()
    assert given["container"]["is_ephemeral"] is True
    assert "message" not in given
    with pytest.raises(LookupError):
        slack.tap(TEAM, BEN, "Mine", where=STAFF)


# --- Home ------------------------------------------------------------------------------------------------------------


def test_home_is_published_seen_and_tapped(slack, bot, client):
    slack.open_home(TEAM, ANA)
    event = bot.next()["event"]
    assert (event["type"], event["tab"], event["channel"]) == ("app_home_opened", "home", slack.dm_id(TEAM, ANA))
    assert "view" not in event
    assert slack.home(TEAM, ANA) is None
    view = client.views_publish(user_id=ANA, view=home(section("*3* work"), actions(button("Check", "check"))))["view"]
    assert slack.shown(slack.home(TEAM, ANA)) == "*3* work\nCheck"
    assert slack.home(TEAM, ANA)["buttons"] == (("check", "", "Check"),)
    slack.open_home(TEAM, ANA)
    assert bot.next()["event"]["view"]["hash"] == view["hash"]
    slack.tap(TEAM, ANA, "Check", where="home")
    given = bot.next()
    assert given["container"] == {"type": "view", "view_id": view["id"]}
    assert given["view"]["id"] == view["id"]
    assert not {"message", "channel", "response_url"} & set(given)
    slack.open_home(TEAM, ANA, tab="messages")
    assert "view" not in bot.next()["event"]


def test_a_home_view_that_is_known_is_replaced_only_by_who_knows_its_hash(slack, client):
    first = client.views_publish(user_id=ANA, view=home(section("1")))["view"]
    second = client.views_publish(user_id=ANA, view=home(section("2")), hash=first["hash"])["view"]
    assert second["id"] == first["id"]
    assert refused(client.views_publish, user_id=ANA, view=home(section("3")), hash=first["hash"]) == "hash_conflict"
    assert slack.shown(slack.home(TEAM, ANA)) == "2"
    assert refused(client.views_publish, user_id="U404", view=home(section("3"))) == "user_not_found"


# --- modals ----------------------------------------------------------------------------------------------------------


def test_a_trigger_opens_one_modal_within_three_seconds(slack, bot, client, clock):
    slack.command(TEAM, ANA)
    trigger = bot.next()["trigger_id"]
    clock[0] += timedelta(seconds=3)
    client.views_open(trigger_id=trigger, view=form(field("name", typed())))
    assert refused(client.views_open, trigger_id=trigger, view=form(field("name", typed()))) == "exchanged_trigger_id"
    slack.command(TEAM, ANA)
    trigger = bot.next()["trigger_id"]
    clock[0] += timedelta(seconds=3, milliseconds=1)
    assert refused(client.views_open, trigger_id=trigger, view=form(field("name", typed()))) == "expired_trigger_id"
    assert refused(client.views_open, trigger_id="1.2.3", view=form(field("name", typed()))) == "invalid_trigger_id"
    slack.command(TEAM, ANA)
    slack.expire_triggers()
    trigger = bot.next()["trigger_id"]
    assert refused(client.views_open, trigger_id=trigger, view=form(field("name", typed()))) == "expired_trigger_id"


def test_a_filled_in_modal_is_submitted_with_its_state_and_closes(slack, bot, client):
    boxes = menu("checkboxes", "ticks", option("A", "a"), option("B", "b"), initial_options=[option("A", "a")])
    fields = [
        section("Please fill in"),
        field("name", typed("n", max_length=10)),
        field("side", menu("static_select", "s", option("Left", "l"), option("Right", "r"))),
        field("ticks", boxes, optional=True),
        field("who", {"type": "multi_users_select", "action_id": "w"}, optional=True),
        field("note", typed("o"), optional=True),
    ]
    fields.append(actions(button("Help", "help")))
    opened(slack, client, bot, form(*fields, private_metadata="kept", callback_id="form"))
    slack.type_in(TEAM, ANA, {"name": "Ana", "side": "Right", "who": [ANA, BEN]})
    assert slack.submit(TEAM, ANA).ok
    given = bot.next()
    view, values = given["view"], given["view"]["state"]["values"]
    assert (given["type"], view["private_metadata"], view["callback_id"]) == ("view_submission", "kept", "form")
    assert values["name"]["n"] == {"type": "plain_text_input", "value": "Ana"}
    assert values["side"]["s"]["selected_option"]["value"] == "r"
    assert [one["value"] for one in values["ticks"]["ticks"]["selected_options"]] == ["a"]
    assert values["who"]["w"]["selected_users"] == [ANA, BEN]
    assert values["note"]["o"]["value"] is None
    assert slack.modal(TEAM, ANA) is None
    with pytest.raises(LookupError, match="no modal to submit"):
        slack.submit(TEAM, ANA)


def test_what_cannot_be_typed_is_an_error_of_the_test(slack, bot, client):
    opened(slack, client, bot, form(field("name", typed(max_length=3))))
    with pytest.raises(LookupError, match=r"no field 'other', only \['name'\]"):
        slack.type_in(TEAM, ANA, {"other": "x"})
    with pytest.raises(ValueError, match="no more than 3"):
        slack.type_in(TEAM, ANA, {"name": "long"})


def test_slack_itself_holds_back_what_is_empty_or_odd(slack, bot, client):
    kinds = [("mail", "email_text_input", "ana"), ("port", "number_input", "x"), ("page", "url_text_input", "ftp:x")]
    more = {"number_input": {"is_decimal_allowed": False}}
    fields = [field(name, typed(kind=kind, **more.get(kind, {}))) for name, kind, _ in kinds]
    opened(slack, client, bot, form(*fields, field("long", typed(min_length=2)), field("free", typed(), optional=True)))
    answer = slack.submit(TEAM, ANA)
    assert (answer.status_code, answer.reason) == (0, "not_sent")
    assert set(slack.field_errors(TEAM, ANA)) == {"mail", "port", "page", "long"}
    slack.type_in(TEAM, ANA, {name: value for name, _, value in kinds} | {"long": "x"})
    slack.submit(TEAM, ANA)
    assert slack.field_errors(TEAM, ANA)["port"] == "Please enter a number."
    assert set(slack.field_errors(TEAM, ANA)) == {"mail", "port", "page", "long"}
    slack.type_in(TEAM, ANA, {"mail": "a@b.c", "port": "465", "page": "https://x", "long": "xy"})
    assert slack.submit(TEAM, ANA).ok


def test_errors_stay_below_their_fields_until_they_are_filled_in_anew(slack, bot, client):
    opened(slack, client, bot, form(field("name", typed())))
    bot.answer = lambda _payload: jsonify(response_action="errors", errors={"name": "too short"})
    slack.type_in(TEAM, ANA, {"name": "x"})
    slack.submit(TEAM, ANA)
    assert slack.field_errors(TEAM, ANA) == {"name": "too short"}
    assert slack.modal(TEAM, ANA)["state"]["values"]["name"]["typed"]["value"] == "x"
    slack.type_in(TEAM, ANA, {"name": "xyz"})
    assert slack.field_errors(TEAM, ANA) == {}


def test_a_submission_can_update_push_and_clear(slack, bot, client):
    first = opened(slack, client, bot, form(field("name", typed())))
    slack.type_in(TEAM, ANA, {"name": "Ana"})
    again = form(field("name", typed()), field("more", typed()), title="Second")
    bot.answer = lambda _payload: jsonify(response_action="update", view=again)
    slack.submit(TEAM, ANA)
    shown = slack.modal(TEAM, ANA)
    assert (shown["id"], shown["title"]["text"]) == (first["id"], "Second")
    assert shown["hash"] != first["hash"]
    assert shown["state"]["values"]["name"]["typed"]["value"] == "Ana"
    slack.type_in(TEAM, ANA, {"more": "x"})
    bot.answer = lambda _payload: jsonify(response_action="push", view=form(section("top"), title="Third"))
    slack.submit(TEAM, ANA)
    top = slack.modal(TEAM, ANA)
    assert (top["title"]["text"], top["previous_view_id"], top["root_view_id"]) == ("Third", first["id"], first["id"])
    bot.answer = lambda _payload: ""
    slack.submit(TEAM, ANA)
    assert slack.modal(TEAM, ANA)["title"]["text"] == "Second"
    bot.answer = lambda _payload: jsonify(response_action="clear")
    slack.submit(TEAM, ANA)
    assert slack.modal(TEAM, ANA) is None


@pytest.mark.parametrize(
    "answer",
    [
        lambda: Response(status=500),
        lambda: jsonify(response_action="errors", errors={"nothing": "x"}),
        lambda: jsonify(response_action="errors", errors={}),
        lambda: jsonify(response_action="errors"),
        lambda: jsonify(response_action="update", view=form(title="x" * 25)),
        lambda: jsonify(response_action="other"),
        lambda: jsonify([1]),
        lambda: "words",
    ],
)
def test_an_answer_that_slack_cannot_use_leaves_the_modal_with_an_apology(slack, bot, client, answer):
    opened(slack, client, bot, form(field("name", typed())))
    slack.type_in(TEAM, ANA, {"name": "x"})
    bot.answer = lambda _payload: answer()
    slack.submit(TEAM, ANA)
    assert slack.field_errors(TEAM, ANA) == {"": "We had some trouble connecting. Try again?"}


def test_a_doubled_submission_is_answered_by_its_first_answer(slack, bot, client):
    opened(slack, client, bot, form(field("name", typed())))
    slack.type_in(TEAM, ANA, {"name": "x"})
    answers = [jsonify_later(response_action="errors", errors={"name": "no"}), lambda: ""]
    bot.answer = lambda _payload: answers.pop(0)()
    slack.submit(TEAM, ANA, times=2)
    assert slack.field_errors(TEAM, ANA) == {"name": "no"}
    assert slack.submit(TEAM, ANA, forge=True).status_code == 401
    assert slack.modal(TEAM, ANA)


def jsonify_later(**answer):
    return lambda: jsonify(**answer)


def test_views_update_knows_a_view_by_either_name_and_its_hash(slack, bot, client):
    view = opened(slack, client, bot, form(field("name", typed()), external_id="mine"))
    changed = client.views_update(view_id=view["id"], hash=view["hash"], view=form(section("2"), external_id="mine"))[
        "view"
    ]
    assert (
        refused(client.views_update, view_id=view["id"], hash=view["hash"], view=form(section("3"))) == "hash_conflict"
    )
    client.views_update(external_id="mine", hash=changed["hash"], view=form(section("4")))
    assert slack.shown(slack.modal(TEAM, ANA)) == "A form\n4\nSave"
    assert refused(client.views_update, view_id="V404", view=form(section("5"))) == "not_found"
    assert refused(client.views_update, external_id="mine", view=form(section("5"))) == "not_found"
    no_name = requests.post(
        f"{slack.url}/api/views.update",
        json={"view": form(section("5"))},
        headers={"Authorization": f"Bearer {slack._world.workspaces[TEAM].token}"},
        timeout=10,
    )
    assert no_name.json()["error"] == "invalid_arguments"
    slack.close_modal(TEAM, ANA)
    assert refused(client.views_update, view_id=view["id"], view=form(section("5"))) == "not_found"


def test_an_update_keeps_what_was_typed_only_where_both_ids_stay(slack, bot, client):
    view = opened(slack, client, bot, form(field("a", typed("1")), field("b", typed("2")), field("c", typed("3"))))
    slack.type_in(TEAM, ANA, {"a": "x", "b": "y", "c": "z"})
    client.views_update(view_id=view["id"], view=form(field("a", typed("1")), field("b", typed("other"))))
    values = slack.modal(TEAM, ANA)["state"]["values"]
    assert (values["a"]["1"]["value"], values["b"]["other"]["value"]) == ("x", None)


def test_an_external_id_belongs_to_one_view(slack, bot, client):
    opened(slack, client, bot, form(section("1"), external_id="mine"))
    slack.command(TEAM, BEN)
    other = form(section("2"), external_id="mine")
    assert refused(client.views_open, trigger_id=bot.next()["trigger_id"], view=other) == "duplicate_external_id"


def test_three_views_at_most_lie_upon_one_another(slack, bot, client):
    opened(slack, client, bot, form(actions(button("More", "more")), title="1"))
    for n in (2, 3):
        slack.tap(TEAM, ANA, "More", where="modal")
        view = form(actions(button("More", "more")), title=str(n))
        assert client.views_push(trigger_id=bot.next()["trigger_id"], view=view)["view"]["title"]["text"] == str(n)
    slack.tap(TEAM, ANA, "More", where="modal")
    trigger = bot.next()["trigger_id"]
    assert refused(client.views_push, trigger_id=trigger, view=form(section("4"))) == "push_limit_reached"
    slack.command(TEAM, ANA)
    trigger = bot.next()["trigger_id"]
    assert refused(client.views_push, trigger_id=trigger, view=form(section("4"))) == "invalid_trigger_id"


def test_closing_is_told_when_the_view_asks_for_it(slack, bot, client):
    opened(slack, client, bot, form(section("1")))
    assert slack.close_modal(TEAM, ANA) is None
    opened(slack, client, bot, form(section("1"), notify_on_close=True))
    slack.close_modal(TEAM, ANA, everything=True)
    given = bot.next()
    assert (given["type"], given["is_cleared"]) == ("view_closed", True)
    assert slack.modal(TEAM, ANA) is None
    with pytest.raises(LookupError):
        slack.close_modal(TEAM, ANA)


def test_a_view_that_is_gone_meanwhile_takes_no_answer(slack, bot, client):
    opened(slack, client, bot, form(field("name", typed())))
    slack.type_in(TEAM, ANA, {"name": "x"})

    def answer(_payload):
        slack.close_modal(TEAM, ANA)
        return jsonify(response_action="update", view=form(section("late")))

    bot.answer = answer
    slack.submit(TEAM, ANA)
    assert slack.modal(TEAM, ANA) is None


# --- messages --------------------------------------------------------------------------------------------------------


def test_a_message_is_posted_to_a_person_their_messages_or_a_channel(slack, client):
    sent = client.chat_postMessage(
        channel=ANA, text="Hello", metadata={"event_type": "outbox", "event_payload": {"id": 7}}
    )
    assert (sent["ok"], sent["channel"], sent["message"]["bot_id"]) == (True, slack.dm_id(TEAM, ANA), "B0BOTT1")
    client.chat_postMessage(channel=sent["channel"], text="again", thread_ts=sent["ts"])
    client.chat_postMessage(channel=STAFF, text="to staff", unfurl_links=False, unfurl_media=False)
    first, second = slack.dm(TEAM, ANA)
    assert (first.text, first.mine, first.metadata["event_payload"]) == ("Hello", False, {"id": 7})
    assert second.thread_ts == first.ts
    assert [one.text for one in slack.channel_messages(TEAM, STAFF)] == ["to staff"]
    assert slack.requests[-1].arguments["unfurl_links"] is False


def test_an_answer_to_an_answer_goes_to_the_root(slack, client):
    root = client.chat_postMessage(channel=STAFF, text="root")["ts"]
    first = client.chat_postMessage(channel=STAFF, text="1", thread_ts=root)["ts"]
    client.chat_postMessage(channel=STAFF, text="2", thread_ts=first)
    assert [one.text for one in slack.thread(TEAM, STAFF, root)] == ["root", "1", "2"]
    refusal = refused(client.chat_postMessage, channel=STAFF, text="3", thread_ts="1.000001")
    assert refusal == "cannot_reply_to_message"


def test_where_the_bot_may_not_post_it_is_told_why(slack, client):
    slack.channel(TEAM, "C1HIDDEN", "hidden", [ANA], private=True)
    slack.channel(TEAM, "C1OPEN", "open", [ANA])
    slack.channel(TEAM, "C1OLD", "old", ["U0BOTT1"], archived=True)
    slack.user(TEAM, "U1OUT", "out", deleted=True)
    slack.user(TEAM, "U1BOT", "other", is_bot=True)
    expected = {
        "C404": "channel_not_found",
        "C1HIDDEN": "channel_not_found",
        "C1OPEN": "not_in_channel",
        "C1OLD": "is_archived",
        "U1OUT": "user_disabled",
        "U1BOT": "cannot_dm_bot",
        "U0BOTT1": "cannot_dm_bot",
        "U404": "channel_not_found",
    }
    assert {name: refused(client.chat_postMessage, channel=name, text="x") for name in expected} == expected


def test_the_stage_can_change_under_the_bot(slack, client):
    dm = client.chat_postMessage(channel=BEN, text="x")["channel"]
    slack.deactivate(TEAM, BEN)
    assert refused(client.chat_postMessage, channel=dm, text="x") == "user_disabled"
    slack.leave(TEAM, STAFF, "U0BOTT1")
    assert refused(client.chat_postMessage, channel=STAFF, text="x") == "channel_not_found"
    slack.join(TEAM, STAFF, "U0BOTT1")
    slack.join(TEAM, STAFF, "U0BOTT1")
    client.chat_postMessage(channel=STAFF, text="x")
    slack.archive(TEAM, STAFF)
    assert refused(client.chat_postMessage, channel=STAFF, text="x") == "is_archived"
    slack.delete_channel(TEAM, STAFF)
    assert refused(client.chat_postMessage, channel=STAFF, text="x") == "channel_not_found"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"text": " "}, "no_text"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"text": "x", "blocks": '[{"type"'}, "invalid_blocks_format"),
        ({"text": "x", "blocks": {"type": "divider"}}, "invalid_blocks_format"),
        ({"text": "x", "metadata": {"event_type": 1, "event_payload": {}}}, "invalid_metadata_format"),
        ({"text": "x", "metadata": {"event_type": "a"}}, "invalid_metadata_format"),
        ({"text": "x", "markdown_text": "x"}, "markdown_text_conflict"),
        ({"markdown_text": "x" * 12_001}, "msg_too_long"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_words_that_slack_does_not_take(slack, client, arguments, error):
    assert refused(client.api_call, "chat.postMessage", json={"channel": STAFF, **arguments}) == error
    assert slack.channel_messages(TEAM, STAFF) == []


def test_blocks_alone_and_forty_thousand_characters_are_taken(slack, client):
    client.api_call("chat.postMessage", json={"channel": STAFF, "blocks": [section("only blocks")]})
    client.chat_postMessage(channel=STAFF, text="x" * 40_000)
    assert [len(one.text) for one in slack.channel_messages(TEAM, STAFF)] == [0, 40_000]


def test_a_form_is_as_good_as_json_with_the_token_in_it(slack):
    form = {
        "token": slack._world.workspaces[TEAM].token,
        "channel": STAFF,
        "text": "hi",
        "blocks": json.dumps([section("yes")]),
    }
    assert requests.post(f"{slack.url}/api/chat.postMessage", data=form, timeout=10).json()["ok"] is True
    assert slack.channel_messages(TEAM, STAFF)[0].shown == "yes"
    assert "token" not in slack.requests[0].arguments


def test_own_messages_are_changed_and_text_alone_removes_the_blocks(slack, client):
    sent = client.chat_postMessage(channel=ANA, text="1", blocks=[section("1"), actions(button("Go", "go"))])
    changed = client.chat_update(channel=sent["channel"], ts=sent["ts"], text="2")
    assert (changed["text"], changed["ts"]) == ("2", sent["ts"])
    (bubble,) = slack.dm(TEAM, ANA)
    assert (bubble.shown, bubble.blocks, bubble.edited) == ("2", (), True)
    client.chat_update(
        channel=sent["channel"], ts=sent["ts"], text="3", metadata={"event_type": "a", "event_payload": {}}
    )
    assert slack.dm(TEAM, ANA)[0].metadata["event_type"] == "a"
    client.chat_delete(channel=sent["channel"], ts=sent["ts"])
    assert slack.dm(TEAM, ANA) == []
    assert refused(client.chat_update, channel=sent["channel"], ts=sent["ts"], text="4") == "message_not_found"


def test_what_a_person_wrote_is_neither_changed_nor_deleted_by_the_bot(slack, bot, client):
    event = slack.say(TEAM, ANA, "my password").payload["event"]
    where = {"channel": event["channel"], "ts": event["ts"]}
    assert refused(client.chat_update, **where, text="x") == "cant_update_message"
    assert refused(client.chat_delete, **where) == "cant_delete_message"
    assert slack.dm(TEAM, ANA)[0].text == "my password"


def test_an_ephemeral_is_for_one_member_and_can_not_be_changed(slack, client):
    sent = client.chat_postEphemeral(channel=STAFF, user=ANA, text="psst")
    assert [one.text for one in slack.ephemerals(TEAM, ANA)] == ["psst"]
    assert slack.channel_messages(TEAM, STAFF) == slack.ephemerals(TEAM, BEN) == []
    assert refused(client.chat_postEphemeral, channel=STAFF, user=BEN, text="psst") == "user_not_in_channel"
    assert refused(client.chat_update, channel=STAFF, ts=sent["message_ts"], text="x") == "message_not_found"


def test_a_permalink_names_the_message_and_its_thread(slack, client):
    root = client.chat_postMessage(channel=STAFF, text="root")["ts"]
    inside = client.chat_postMessage(channel=STAFF, text="1", thread_ts=root)["ts"]
    assert client.chat_getPermalink(channel=STAFF, message_ts=root)["permalink"] == (
        f"https://acmetravel.slack.com/archives/{STAFF}/p{root.replace('.', '')}"
    )
    assert client.chat_getPermalink(channel=STAFF, message_ts=inside)["permalink"].endswith(
        f"?thread_ts={root}&cid={STAFF}"
    )
    assert refused(client.chat_getPermalink, channel=STAFF, message_ts="1.1") == "message_not_found"


# --- conversations and people ----------------------------------------------------------------------------------------


def test_direct_messages_are_opened_with_one_living_person(slack, client):
    first = client.conversations_open(users=ANA)
    assert first["channel"] == {"id": slack.dm_id(TEAM, ANA)}
    again = client.conversations_open(users=[ANA], return_im=True)
    assert (again["already_open"], again["channel"]["user"]) == (True, ANA)
    assert client.conversations_open(channel=first["channel"]["id"])["channel"] == first["channel"]
    slack.deactivate(TEAM, BEN)
    for users, error in (
        ("U404", "user_not_found"),
        (BEN, "user_disabled"),
        ("U0BOTT1", "cannot_dm_bot"),
        ("", "users_list_not_supplied"),
    ):
        assert refused(client.api_call, "conversations.open", json={"users": users}) == error


def test_lists_come_in_pages(slack, client):
    names = [f"U2{n}" for n in range(5)]
    for name in names:
        slack.user(TEAM, name, name.lower())
    slack.channel(TEAM, "C1BIG", "big", names)
    pages = [page["members"] for page in client.conversations_members(channel="C1BIG", limit=2)]
    assert pages == [names[:2], names[2:4], names[4:]]
    assert [len(page["members"]) for page in client.users_list(limit=4)] == [4, 4]
    assert refused(client.conversations_members, channel="C1BIG", cursor="nonsense") == "invalid_cursor"
    for limit in (0.5, 1001, "many"):
        assert refused(client.conversations_members, channel="C1BIG", limit=limit) == "invalid_limit"


def test_channels_are_told_as_the_bot_may_know_them(slack, client):
    slack.channel(TEAM, "C1OPEN", "open", [ANA], ext_shared=True)
    slack.channel(TEAM, "C1OLD", "old", [ANA], archived=True)
    slack.channel(TEAM, "C1HIDDEN", "hidden", [ANA], private=True)
    info = client.conversations_info(channel="C1OPEN")["channel"]
    assert (info["is_ext_shared"], info["is_private"], info["is_member"]) == (True, False, False)
    assert client.conversations_info(channel=STAFF)["channel"]["is_private"] is True
    assert refused(client.conversations_info, channel="C1HIDDEN") == "channel_not_found"
    both = "public_channel,private_channel"

    def names(answer):
        return {one["name"] for one in answer["channels"]}

    assert names(client.conversations_list(types=both)) == {"open", "old", "support"}
    assert names(client.conversations_list(exclude_archived=True)) == {"open"}
    assert names(client.users_conversations(types=both)) == {"support"}
    assert names(client.users_conversations(user=ANA)) == {"open", "old"}
    assert refused(client.conversations_list, types="rooms") == "invalid_types"


def test_history_is_newest_first_without_answers_and_replies_are_oldest_first(slack, client):
    sent = [client.chat_postMessage(channel=STAFF, text=str(n))["ts"] for n in range(3)]
    marked = {"event_type": "outbox", "event_payload": {"id": 1}}
    client.chat_postMessage(channel=STAFF, text="answer", thread_ts=sent[0], metadata=marked)
    history = client.conversations_history(channel=STAFF)
    assert [one["text"] for one in history["messages"]] == ["2", "1", "0"]
    assert history["messages"][-1]["reply_count"] == 1
    page = client.conversations_history(channel=STAFF, limit=2)
    assert (page["has_more"], len(page["messages"])) == (True, 2)
    older = client.conversations_history(channel=STAFF, latest=sent[1], oldest=sent[0])
    assert older["messages"] == []
    inclusive = client.conversations_history(channel=STAFF, latest=sent[1], oldest=sent[0], inclusive=True)
    assert [one["text"] for one in inclusive["messages"]] == ["1", "0"]
    replies = client.conversations_replies(channel=STAFF, ts=sent[0], include_all_metadata=True)
    assert [one["text"] for one in replies["messages"]] == ["0", "answer"]
    assert replies["messages"][1]["metadata"] == marked
    assert "metadata" not in client.conversations_replies(channel=STAFF, ts=sent[0])["messages"][1]
    late = client.conversations_replies(channel=STAFF, ts=sent[0], oldest=sent[0])
    assert [one["text"] for one in late["messages"]] == ["0", "answer"]
    assert refused(client.conversations_replies, channel=STAFF, ts="1.1") == "thread_not_found"
    assert refused(client.conversations_history, channel=STAFF, latest="late") == "invalid_ts_latest"
    slack.channel(TEAM, "C1OPEN", "open", [ANA])
    assert refused(client.conversations_history, channel="C1OPEN") == "not_in_channel"


def test_people_are_told_with_what_the_scopes_allow(slack, client):
    slack.user(TEAM, "U1GUEST", "guest", is_restricted=True, is_ultra_restricted=True)
    slack.user(TEAM, "U9EVE", "eve", is_stranger=True, home_team="T9")
    ana = client.users_info(user=ANA, include_locale=True)["user"]
    assert (ana["profile"]["email"], ana["real_name"], ana["locale"]) == ("ana@acme.example", "Ana Lima", "pt-BR")
    assert (ana["tz"], ana["is_bot"], "is_stranger" in ana) == ("America/Sao_Paulo", False, False)
    guest = client.users_info(user="U1GUEST")["user"]
    assert (guest["is_restricted"], guest["is_ultra_restricted"]) == (True, True)
    eve = client.users_info(user="U9EVE")["user"]
    assert (eve["is_stranger"], eve["team_id"], "locale" in eve) == (True, "T9", False)
    slack.deactivate(TEAM, ANA)
    gone = client.users_info(user=ANA)["user"]
    assert (gone["deleted"], "is_restricted" in gone) == (True, False)
    assert refused(client.users_info, user="U404") == "user_not_found"


def test_reactions_and_a_status_are_shown(slack, client):
    ts = client.chat_postMessage(channel=STAFF, text="x")["ts"]
    client.reactions_add(channel=STAFF, timestamp=ts, name="eyes")
    assert slack.reactions(TEAM, STAFF, ts) == ["eyes"]
    assert refused(client.reactions_add, channel=STAFF, timestamp=ts, name="eyes") == "already_reacted"
    assert refused(client.reactions_add, channel=STAFF, timestamp=ts, name="no name") == "invalid_name"
    assert refused(client.reactions_add, channel=STAFF, timestamp="1.1", name="eyes") == "message_not_found"
    client.reactions_remove(channel=STAFF, timestamp=ts, name="eyes")
    assert slack.reactions(TEAM, STAFF, ts) == []
    assert refused(client.reactions_remove, channel=STAFF, timestamp=ts, name="eyes") == "no_reaction"
    client.assistant_threads_setStatus(channel_id=STAFF, thread_ts=ts, status="testing...")
    assert slack.status(TEAM, STAFF, ts) == "testing..."


# --- tokens and scopes -----------------------------------------------------------------------------------------------


def test_a_token_says_who_the_bot_is(slack, client):
    who = client.auth_test()
    assert (who["team_id"], who["user_id"], who["bot_id"], who["team"]) == (TEAM, "U0BOTT1", "B0BOTT1", "Acme Travel")
    assert "chat:write" in who.headers["X-OAuth-Scopes"]


def test_without_a_living_token_nothing_is_answered(slack):
    assert refused(web(slack, "").auth_test) == "not_authed"
    assert refused(web(slack, "xoxb-guess").auth_test) == "invalid_auth"
    assert refused(web(slack, slack.app_token).auth_test) == "not_allowed_token_type"
    for error in ("token_revoked", "account_inactive"):
        workspace = slack.workspace("T2", "Other")
        slack.revoke_token("T2", error)
        assert refused(web(slack, workspace.token).auth_test) == error
    not_yet = slack.workspace("T3", "Third", installed=False)
    assert not_yet.token == ""


def test_a_token_is_revoked_and_an_app_removed_by_the_api(slack, client):
    assert client.auth_revoke(test=True)["revoked"] is False
    assert client.auth_revoke()["revoked"] is True
    assert refused(client.auth_test) == "token_revoked"
    other = web(slack, slack.workspace("T2", "Other").token)
    wrong = {"client_id": slack.client_id, "client_secret": "guess"}
    assert refused(other.apps_uninstall, **wrong) == "bad_client_secret"
    other.apps_uninstall(client_id=slack.client_id, client_secret=slack.client_secret)
    assert refused(other.auth_test) == "account_inactive"


def test_one_workspace_sees_nothing_of_another(slack, client):
    other = web(slack, slack.workspace("T2", "Other").token)
    assert refused(other.chat_postMessage, channel=STAFF, text="x") == "channel_not_found"
    assert refused(other.users_info, user=ANA) == "user_not_found"
    slack.channel("T2", STAFF, "the same id", ["U0BOTT2"])
    other.chat_postMessage(channel=STAFF, text="x")
    assert slack.channel_messages(TEAM, STAFF) == []
    assert slack.requests[-1].team_id == "T2"


@pytest.mark.parametrize(
    ("method", "arguments", "needed"),
    [
        ("chat.postMessage", {"channel": STAFF, "text": "x"}, "chat:write"),
        ("conversations.open", {"users": ANA}, "im:write"),
        ("conversations.info", {"channel": STAFF}, "groups:read"),
        ("conversations.members", {"channel": "C1OPEN"}, "channels:read"),
        ("conversations.history", {"channel": STAFF}, "groups:history"),
        ("conversations.list", {}, "channels:read"),
        ("users.info", {"user": ANA}, "users:read"),
        ("reactions.add", {"channel": STAFF, "timestamp": "1.1", "name": "eyes"}, "reactions:write"),
        ("reactions.remove", {"channel": STAFF, "timestamp": "1.1", "name": "eyes"}, "reactions:write"),
        ("assistant.threads.setStatus", {"channel_id": STAFF}, "assistant:write,chat:write"),
    ],
)
def test_a_method_needs_its_scope(slack, method, arguments, needed):
    workspace = slack.workspace(TEAM, "Acme", scopes={"commands"})
    slack.channel(TEAM, STAFF, "support", [workspace.bot_user], private=True)
    slack.channel(TEAM, "C1OPEN", "open", [])
    with pytest.raises(SlackApiError) as caught:
        web(slack, workspace.token).api_call(method, json=arguments)
    answer = caught.value.response
    assert (answer["error"], answer["needed"], answer["provided"]) == ("missing_scope", needed, "commands")


def test_an_address_and_metadata_need_a_scope_of_their_own(slack):
    workspace = slack.workspace(TEAM, "Acme", scopes={"users:read", "chat:write", "groups:history"})
    slack.user(TEAM, ANA, "ana", email="ana@acme.example")
    slack.channel(TEAM, STAFF, "support", [workspace.bot_user], private=True)
    client = web(slack, workspace.token)
    assert "email" not in client.users_info(user=ANA)["user"]["profile"]
    client.chat_postMessage(channel=STAFF, text="x", metadata={"event_type": "a", "event_payload": {}})
    history = client.conversations_history(channel=STAFF, include_all_metadata=True)
    assert "metadata" not in history["messages"][0]


def test_a_method_that_slack_does_not_have_is_unknown(client):
    assert refused(client.api_call, "chat.explode") == "unknown_method"


# --- what Slack checks of blocks -------------------------------------------------------------------------------------

LONG = plain("x" * 31)
CONFIRM = {"title": plain("Sure?"), "text": mrkdwn("Really"), "confirm": plain("Yes"), "deny": plain("No")}
ALL_GOOD = [
    section("x" * 3000, accessory=button("x" * 75, "b1", value="x" * 2000, url="https://" + "x" * 2992)),
    {"type": "section", "fields": [plain("x" * 2000)] * 10},
    {"type": "header", "text": plain("x" * 150), "block_id": "x" * 255},
    {"type": "divider"},
    {"type": "file", "external_id": "x", "source": "remote"},
    {"type": "context", "elements": [mrkdwn("x"), {"type": "image", "image_url": "https://x", "alt_text": "x"}] * 5},
    {"type": "image", "image_url": "https://x", "alt_text": "x", "title": plain("x")},
    {"type": "markdown", "text": "x" * 12_000},
    {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "x"}]}]},
    actions(*(button("x", f"x{n}", style="danger", confirm=CONFIRM) for n in range(25))),
    actions(menu("overflow", "x" * 255, *(option("x", str(n)) for n in range(5)))),
    actions(
        menu("static_select", "s", *(option("x" * 75, f"{n:0150}") for n in range(100)), placeholder=plain("x" * 150))
    ),
    section(
        "x",
        accessory={"type": "static_select", "option_groups": [{"label": plain("g"), "options": [option("x", "y")]}]},
    ),
    actions(menu("radio_buttons", "r", option("x", "y", description=plain("z")), initial_option=None)),
]


def test_everything_within_the_limits_is_taken(slack, client):
    assert client.chat_postMessage(channel=STAFF, text="x", blocks=ALL_GOOD)["ok"] is True
    assert client.chat_postMessage(channel=STAFF, text="x", blocks=[{"type": "divider"}] * 50)["ok"] is True


@pytest.mark.parametrize(
    ("block", "pointer"),
    [
        ({"type": "nonsense"}, "/0/type"),
        ({"type": "section"}, "/0"),
        (section("x" * 3001), "/0/text/text"),
        (section(""), "/0/text/text"),
        (section("x", block_id="x" * 256), "/0/block_id"),
        ({"type": "section", "text": "words"}, "/0/text/type"),
        ({"type": "section", "text": {"type": "plain_text"}}, "/0/text"),
        ({"type": "section", "text": {"type": "plain_text", "text": 5}}, "/0/text"),
        ({"type": "section", "fields": [plain("x")] * 11}, "/0/fields"),
        ({"type": "section", "fields": [plain("x" * 2001)]}, "/0/fields/0/text"),
        ({"type": "section", "fields": "x"}, "/0/fields"),
        (section("x", accessory=typed()), "/0/accessory/type"),
        (section("x", accessory={"type": "image", "image_url": "x"}), "/0/accessory"),
        ({"type": "header", "text": plain("x" * 151)}, "/0/text/text"),
        ({"type": "header", "text": mrkdwn("x")}, "/0/text/type"),
        ({"type": "header"}, "/0"),
        ({"type": "context", "elements": [mrkdwn("x")] * 11}, "/0/elements"),
        ({"type": "context", "elements": [button("x", "x")]}, "/0/elements/0/type"),
        ({"type": "image", "alt_text": "x"}, "/0"),
        ({"type": "markdown", "text": "x" * 12_001}, "/0/text"),
        ({"type": "rich_text", "elements": [{"type": "section"}]}, "/0/elements/0/type"),
        (actions(), "/0/elements"),
        (actions(*(button("x", str(n)) for n in range(26))), "/0/elements"),
        (actions(button("x", "a"), button("y", "a")), "/0/elements/1/action_id"),
        (actions(typed()), "/0/elements/0/type"),
        (actions("words"), "/0/elements/0/type"),
        ({"type": ["section"]}, "/0/type"),
        (section("x", block_id=["a"]), "/0/block_id"),
        (actions({"type": {}}), "/0/elements/0/type"),
        (actions(button("x", "a", style=[])), "/0/elements/0/style"),
        (actions({"type": "checkboxes", "action_id": "a", "initial_options": 5}), "/0/elements/0/options"),
        (actions(button("x" * 76, "a")), "/0/elements/0/text/text"),
        (actions(button("x", "a" * 256)), "/0/elements/0/action_id"),
        (actions(button("x", "a", value="x" * 2001)), "/0/elements/0/value"),
        (actions(button("x", "a", value=5)), "/0/elements/0/value"),
        (actions(button("x", "a", url="x" * 3001)), "/0/elements/0/url"),
        (actions(button("x", "a", style="green")), "/0/elements/0/style"),
        (actions(button("x", "a", accessibility_label="x" * 76)), "/0/elements/0/accessibility_label"),
        (actions({"type": "button", "text": mrkdwn("x")}), "/0/elements/0/text/type"),
        (actions({"type": "button", "action_id": "a"}), "/0/elements/0"),
        (actions(button("x", "a", confirm=CONFIRM | {"title": plain("x" * 101)})), "/0/elements/0/confirm/title/text"),
        (actions(button("x", "a", confirm=CONFIRM | {"text": mrkdwn("x" * 301)})), "/0/elements/0/confirm/text/text"),
        (actions(button("x", "a", confirm=CONFIRM | {"confirm": plain("")})), "/0/elements/0/confirm/confirm/text"),
        (actions(button("x", "a", confirm=CONFIRM | {"confirm": LONG})), "/0/elements/0/confirm/confirm/text"),
        (actions(button("x", "a", confirm=CONFIRM | {"deny": LONG})), "/0/elements/0/confirm/deny/text"),
        (actions(button("x", "a", confirm={"title": plain("x")})), "/0/elements/0/confirm"),
        (actions(button("x", "a", confirm="sure")), "/0/elements/0/confirm"),
        (actions(menu("overflow", "a")), "/0/elements/0/options"),
        (actions(menu("overflow", "a", *(option("x", str(n)) for n in range(6)))), "/0/elements/0/options"),
        (choosing(*(option("x", str(n)) for n in range(101))), "/0/elements/0/options"),
        (choosing(option("x" * 76, "x")), "/0/elements/0/options/0/text/text"),
        (choosing(option("x", "x" * 151)), "/0/elements/0/options/0/value"),
        (choosing({"text": plain("x")}), "/0/elements/0/options/0"),
        (choosing("x"), "/0/elements/0/options/0"),
        (actions({"type": "static_select", "action_id": "a"}), "/0/elements/0/options"),
        (choosing(option("x", "y"), placeholder=plain("x" * 151)), "/0/elements/0/placeholder/text"),
        (choosing(option("x", "y"), initial_option=option("z", "z")), "/0/elements/0/initial_option"),
        (actions(grouped({"options": [option("x", "y")]})), "/0/elements/0/option_groups/0"),
        (actions(grouped("x")), "/0/elements/0/option_groups/0"),
        (actions(menu("radio_buttons", "a", *(option("x", str(n)) for n in range(11)))), "/0/elements/0/options"),
        ({"type": "input", "label": plain("x")}, "/0"),
        (field("a", typed()) | {"label": plain("x" * 2001)}, "/0/label/text"),
        (field("a", typed(), hint=plain("x" * 2001)), "/0/hint/text"),
        (field("a", button("x", "y")), "/0/element/type"),
        (field("a", typed(max_length=3001)), "/0/element/max_length"),
        (field("a", typed(max_length=0)), "/0/element/max_length"),
        (field("a", typed(min_length=3001)), "/0/element/min_length"),
        (field("a", typed(min_length=5, max_length=4)), "/0/element/min_length"),
        (field("a", typed(initial_value="x" * 3001)), "/0/element/initial_value"),
    ],
    ids=lambda one: str(one)[:60],
)  # fmt: skip
def test_blocks_that_slack_does_not_take_are_refused_with_the_place(slack, client, block, pointer):
    found = complaints(client.api_call, "chat.postMessage", json={"channel": STAFF, "text": "x", "blocks": [block]})
    assert any(one.startswith("[ERROR] ") and one.endswith(f"[json-pointer:/blocks{pointer}]") for one in found), found
    assert slack.channel_messages(TEAM, STAFF) == []


def test_a_message_has_fifty_blocks_and_every_name_once(client):
    many = [{"type": "divider"}] * 51
    assert complaints(client.chat_postMessage, channel=STAFF, text="x", blocks=many) == [
        "[ERROR] no more than 50 items allowed [json-pointer:/blocks]"
    ]
    twice = [section("x", block_id="a"), section("y", block_id="a")]
    (found,) = complaints(client.chat_postMessage, channel=STAFF, text="x", blocks=twice)
    assert "a already exists [json-pointer:/blocks/1/block_id]" in found
    much = [{"type": "markdown", "text": "x" * 6001}] * 2
    assert "12001" in complaints(client.chat_postMessage, channel=STAFF, text="x", blocks=much)[0]
    assert complaints(client.api_call, "chat.postMessage", json={"channel": STAFF, "blocks": ["x"]})


@pytest.mark.parametrize(
    ("view", "pointer"),
    [
        (form(section("x"), title="x" * 25), "/view/title/text"),
        (form(section("x")) | {"title": None}, "/view"),
        (form(section("x"), submit=plain("x" * 25)), "/view/submit/text"),
        (form(section("x"), close=plain("x" * 25)), "/view/close/text"),
        (form(section("x"), callback_id="x" * 256), "/view/callback_id"),
        (form(section("x"), external_id="x" * 256), "/view/external_id"),
        (form(section("x"), private_metadata="x" * 3001), "/view/private_metadata"),
        (form(field("a", typed())) | {"submit": None}, "/view"),
        (form(*[{"type": "divider"}] * 101), "/view/blocks"),
        (form({"type": "nonsense"}), "/view/blocks/0/type"),
        (form(section("x" * 3001)), "/view/blocks/0/text/text"),
        (form(section("x"), password=True), "/view"),
        ({"type": "modal", "title": plain("x")}, "/view/blocks"),
        ({"type": "page", "blocks": []}, "/view/type"),
        (home(section("x")), "/view/type"),
        ("words", "/view/type"),
    ],
    ids=lambda one: str(one)[:60],
)
def test_a_modal_that_slack_does_not_take_is_refused_and_its_trigger_is_not_used_up(slack, bot, client, view, pointer):
    slack.command(TEAM, ANA)
    trigger = bot.next()["trigger_id"]
    found = complaints(client.api_call, "views.open", json={"trigger_id": trigger, "view": view})
    assert any(one.endswith(f"[json-pointer:{pointer}]") for one in found), found
    whole = form(
        section("x"), title="x" * 24, close=plain("x" * 24), private_metadata="x" * 3000, callback_id="x" * 255
    )
    assert client.views_open(trigger_id=trigger, view=whole)["ok"] is True


@pytest.mark.parametrize("name", ["title", "submit", "close"])
def test_a_home_view_has_no_title_and_no_buttons_of_its_own(client, name):
    found = complaints(client.views_publish, user_id=ANA, view=home(section("x"), **{name: plain("x")}))
    assert name in found[0]
    assert complaints(client.views_publish, user_id=ANA, view=form(section("x")))


def test_a_view_may_not_be_too_large(client):
    view = home(*(section("x" * 3000) for _ in range(90)))
    assert refused(client.views_publish, user_id=ANA, view=view) == "view_too_large"


# --- whom it pings, what is read -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "pinged"),
    [
        ({"text": "<!channel> hi <!here|here>"}, ["!channel", "!here"]),
        ({"text": "x", "blocks": [section("<!everyone>")]}, ["!everyone"]),
        ({"text": "x", "blocks": [section("<!subteam^S1|@team>")]}, ["!subteam^S1"]),
        ({"text": "x", "blocks": [{"type": "context", "elements": [mrkdwn("<@U1BEN>")]}]}, ["@U1BEN"]),
        ({"text": "x", "blocks": [{"type": "markdown", "text": "<@U1BEN>"}]}, ["@U1BEN"]),
        ({"text": "@here", "link_names": True}, ["@here"]),
        ({"text": "@channel", "parse": "full"}, ["@channel"]),
        ({"text": "@here mail@channel.example"}, []),
        ({"text": "&lt;!channel&gt; <https://a.example|a> <mailto:a@b.c> <!date^1^{date}|x> <#C1>"}, []),
        ({"text": "x", "blocks": [{"type": "section", "text": plain("<!channel>")}]}, []),
        (
            {
                "text": "x",
                "blocks": [
                    {
                        "type": "rich_text",
                        "elements": [
                            {
                                "type": "rich_text_section",
                                "elements": [
                                    {"type": "text", "text": "<!channel>"},
                                    {"type": "user", "user_id": "U1"},
                                    {"type": "usergroup", "usergroup_id": "S1"},
                                    {"type": "broadcast", "range": "here"},
                                ],
                            }
                        ],
                    }
                ],
            },
            ["U1", "S1", "here"],
        ),
    ],
    ids=lambda one: str(one)[:60],
)
def test_whom_a_message_would_ping_is_on_record(slack, client, message, pinged):
    client.chat_postMessage(channel=STAFF, **message)
    assert [one.what for one in slack.mentions] == pinged


def test_pings_are_found_wherever_they_are_sent(slack, bot, client):
    ts = client.chat_postMessage(channel=STAFF, text="x")["ts"]
    client.chat_update(channel=STAFF, ts=ts, text="<!here>")
    client.chat_postEphemeral(channel=STAFF, user=ANA, text="<!here>")
    client.views_publish(user_id=ANA, view=home(section("<!here>")))
    slack.command(TEAM, ANA)
    requests.post(bot.next()["response_url"], json={"text": "<!here>"}, timeout=10)
    assert [one.method for one in slack.mentions] == [
        "chat.update",
        "chat.postEphemeral",
        "views.publish",
        "response_url",
    ]


def test_all_that_a_person_reads_is_shown_as_they_read_it(slack):
    view = form(
        {"type": "header", "text": plain("Head")},
        section("a &lt;b&gt; &amp; <https://x|link> <mailto:a@b.c>", fields=[plain("&lt;")]),
        {"type": "context", "elements": [mrkdwn("small"), {"type": "image", "image_url": "x", "alt_text": "picture"}]},
        {"type": "markdown", "text": "**md**"},
        {"type": "image", "image_url": "x", "alt_text": "alone"},
        {
            "type": "rich_text",
            "elements": [
                rich(rich({"type": "text", "text": "item"}), kind="rich_text_list"),
                rich({"type": "link", "url": "https://y"}, {"type": "emoji", "name": "wave"}),
            ],
        },
        field("one", typed(placeholder=plain("hint"), initial_value="begun"), hint=plain("below")),
        field("two", menu("checkboxes", "c", option("Tick", "t", description=plain("why")))),
        title="Title",
        close=plain("Cancel"),
    )  # fmt: skip
    assert slack.shown(view).split("\n") == [
        "Title", "Head", "a <b> & link a@b.c", "&lt;", "small", "picture", "**md**", "alone", "item", "https://ywave",
        "The one", "hint", "begun", "below", "The two", "Tick", "why", "Save", "Cancel",
    ]  # fmt: skip
    assert slack.shown(None) == ""
    assert slack.buttons([actions(button("Go", "go", value="1"))]) == (("go", "1", "Go"),)


def test_state_begins_with_what_the_view_says(slack, bot, client):
    fields = [
        field("text", typed(initial_value="begun")),
        field("day", {"type": "datepicker", "action_id": "d", "initial_date": "2026-11-26"}),
        field("who", {"type": "users_select", "action_id": "u", "initial_user": ANA}),
        field("one", menu("radio_buttons", "r", option("A", "a"), initial_option=option("A", "a"))),
        field("rich", {"type": "rich_text_input", "action_id": "x"}, optional=True),
        field("many", menu("multi_static_select", "m", option("A", "a"), option("B", "b"))),
        field("groups", grouped({"label": plain("g"), "options": [option("X", "x")]})),
    ]  # fmt: skip
    opened(slack, client, bot, form(*fields))
    slack.type_in(TEAM, ANA, {"groups": "X", "many": ["A", "b"]})
    slack.submit(TEAM, ANA)
    values = bot.next()["view"]["state"]["values"]
    assert [one["value"] for one in values["many"]["m"]["selected_options"]] == ["a", "b"]
    assert values["text"]["typed"]["value"] == "begun"
    assert values["day"]["d"]["selected_date"] == "2026-11-26"
    assert values["who"]["u"]["selected_user"] == ANA
    assert values["one"]["r"]["selected_option"]["value"] == "a"
    assert values["rich"]["x"]["rich_text_value"] is None
    assert values["groups"]["g"]["selected_option"]["value"] == "x"


# --- limits and faults -----------------------------------------------------------------------------------------------


def test_strict_rates_let_one_message_a_second_into_a_channel(clock):
    with SlackStandIn(now=lambda: clock[0], strict_rates=True) as slack:
        client = web(slack, set_stage(slack).token)
        client.chat_postMessage(channel=STAFF, text="1")
        client.chat_postMessage(channel=ANA, text="another channel")
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel=STAFF, text="2")
        answer = caught.value.response
        assert (answer.status_code, answer["error"], answer.headers["Retry-After"]) == (429, "ratelimited", "1")
        clock[0] += timedelta(seconds=1)
        client.chat_postMessage(channel=STAFF, text="3")
        assert [one.text for one in slack.channel_messages(TEAM, STAFF)] == ["1", "3"]


def test_strict_rates_hold_each_method_to_its_tier(clock):
    with SlackStandIn(now=lambda: clock[0], strict_rates=True) as slack:
        client = web(slack, set_stage(slack).token)
        for _ in range(20):
            client.users_list()
        with pytest.raises(SlackApiError) as caught:
            client.users_list()
        assert caught.value.response.headers["Retry-After"] == "60"
        client.users_info(user=ANA)
        clock[0] += timedelta(seconds=60)
        client.users_list()


def test_faults_come_in_turn_for_their_method_only(slack, client):
    slack.fail("chat.postMessage", "ratelimited", retry_after=7)
    slack.fail("chat.postMessage", "503")
    slack.fail("chat.postMessage", "account_inactive", times=2)
    client.auth_test()
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel=STAFF, text="x")
    assert (caught.value.response.status_code, caught.value.response.headers["Retry-After"]) == (429, "7")
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel=STAFF, text="x")
    assert caught.value.response.status_code == 503
    assert refused(client.chat_postMessage, channel=STAFF, text="x") == "account_inactive"
    assert refused(client.chat_postMessage, channel=STAFF, text="x") == "account_inactive"
    client.chat_postMessage(channel=STAFF, text="x")
    slack.fail("*", "500")
    with pytest.raises(SlackApiError):
        client.auth_test()
    assert len(slack.channel_messages(TEAM, STAFF)) == 1
    assert [one.method for one in slack.requests].count("chat.postMessage") == 5


@pytest.mark.parametrize(("kind", "processed"), [("drop_before", 0), ("drop_after", 1)])
def test_a_connection_is_lost_before_or_after_the_message_is_taken(slack, client, kind, processed):
    slack.fail("chat.postMessage", kind)
    with pytest.raises(OSError):
        client.chat_postMessage(channel=STAFF, text="x")
    assert len(slack.channel_messages(TEAM, STAFF)) == processed


def test_a_slow_call_is_processed_and_answered_when_it_is_released(slack, client):
    answers = queue.Queue()
    for _ in range(2):
        slack.fail("chat.postMessage", "slow")
        thread = threading.Thread(target=lambda: answers.put(client.chat_postMessage(channel=STAFF, text="x")["ok"]))
        thread.start()
        slack.wait_for(lambda: slack.held == 1)
        assert answers.empty()
        assert slack.channel_messages(TEAM, STAFF)
        slack.release()
        assert answers.get(timeout=10) is True
        thread.join()
        slack.wait_for(lambda: slack.held == 0)


def test_waiting_gives_what_was_waited_for_or_says_what_there_is(slack, client):
    thread = threading.Thread(target=lambda: client.chat_postMessage(channel=ANA, text="hello"))
    thread.start()
    assert slack.wait_for(lambda: slack.dm(TEAM, ANA))[0].text == "hello"
    thread.join()
    with pytest.raises(TimeoutError, match=r"within 0.05 s: \[\]"):
        slack.wait_for(lambda: slack.dm(TEAM, BEN), 0.05, lambda: slack.dm(TEAM, BEN))


def test_many_at_once_lose_nothing(slack, bot):
    people = [f"U3{n}" for n in range(6)]
    for name in people:
        slack.user(TEAM, name, name)
    client = web(slack)

    def talk(name):
        for n in range(4):
            assert slack.say(TEAM, name, str(n)).ok
            client.chat_postMessage(channel=name, text=str(n))

    threads = [threading.Thread(target=talk, args=(name,)) for name in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = [bot.next() for _ in range(24)]
    assert len({one["event_id"] for one in seen}) == 24
    assert Counter(one["event"]["user"] for one in seen) == dict.fromkeys(people, 4)
    assert [len(slack.dm(TEAM, name)) for name in people] == [8] * 6


def test_it_can_be_stopped_and_started_again_with_what_it_knew(clock):
    slack = SlackStandIn(now=lambda: clock[0]).start()
    token = set_stage(slack).token
    web(slack, token).chat_postMessage(channel=STAFF, text="kept")
    with pytest.raises(RuntimeError):
        slack.start()
    slack.stop()
    slack.stop()
    port = int(slack.url.rsplit(":", 1)[1])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)
    slack.start(port)
    assert web(slack, token).conversations_history(channel=STAFF)["messages"][0]["text"] == "kept"
    slack.stop()


def test_what_is_kept_is_bounded(slack, client, monkeypatch):
    monkeypatch.setattr("bot.playground.slack_world.KEPT_MESSAGES", 2)
    for n in range(3):
        client.chat_postMessage(channel=STAFF, text=str(n))
    assert [one.text for one in slack.channel_messages(TEAM, STAFF)] == ["1", "2"]
    assert slack._world.requests.maxlen == 5000


def test_another_host_name_is_refused(slack):
    elsewhere = {"Host": "evil.example.com"}
    assert requests.post(f"{slack.url}/api/auth.test", headers=elsewhere, timeout=10).status_code == 403


# --- installing ------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(clock):
    with SlackStandIn(now=lambda: clock[0], rotate_tokens=True) as slack:
        slack.workspace("T7", "Seven", installed=False)
        slack.user("T7", "U7", "gil", real_name="Gil")
        yield slack


def link(slack, **change):
    wish = {
        "client_id": slack.client_id,
        "scope": "chat:write,commands",
        "state": "s1",
        "redirect_uri": "https://bot.example/slack/oauth_redirect",
    }
    wish = {name: value for name, value in (wish | change).items() if value is not None}
    return f"{slack.url}/oauth/v2/authorize?{urllib.parse.urlencode(wish)}"


def sent_to(url):
    parts = urllib.parse.urlsplit(url)
    return dict(urllib.parse.parse_qsl(parts.query))


def exchange(slack, **arguments):
    given = {"client_id": slack.client_id, "client_secret": slack.client_secret} | arguments
    return web(slack, "").oauth_v2_access(**given)


def test_a_code_is_exchanged_once_for_a_token_that_works(shop):
    back = shop.authorize(link(shop), "T7", "U7")
    assert back.startswith("https://bot.example/slack/oauth_redirect?")
    assert sent_to(back)["state"] == "s1"
    code = sent_to(back)["code"]
    other = refused(exchange, shop, code=code, redirect_uri="https://other.example/")
    assert other == "bad_redirect_uri"
    granted = exchange(shop, code=code, redirect_uri="https://bot.example/slack/oauth_redirect").data
    token, refresh = granted["access_token"], granted["refresh_token"]
    assert granted == {
        "ok": True,
        "app_id": shop.app_id,
        "authed_user": {"id": "U7"},
        "scope": "chat:write,commands",
        "token_type": "bot",
        "access_token": token,
        "bot_user_id": "U0BOTT7",
        "team": {"id": "T7", "name": "Seven"},
        "enterprise": None,
        "is_enterprise_install": False,
        "refresh_token": refresh,
        "expires_in": 43200,
    }
    assert token.startswith("xoxe.xoxb-")
    assert web(shop, token).auth_test()["team_id"] == "T7"
    assert refused(exchange, shop, code=code) == "code_already_used"
    assert refused(exchange, shop, code="guess") == "invalid_code"
    assert refused(exchange, shop, grant_type="magic") == "invalid_grant_type"
    assert "client_secret" not in shop.requests[-1].arguments


def test_the_app_proves_itself_by_basic_or_by_the_form(shop):
    code = sent_to(shop.authorize(link(shop), "T7", "U7"))["code"]
    assert refused(exchange, shop, code=code, client_id="other") == "invalid_client_id"
    assert refused(exchange, shop, code=code, client_secret="guess") == "bad_client_secret"
    by_form = {"client_id": shop.client_id, "client_secret": shop.client_secret, "code": code}
    assert requests.post(f"{shop.url}/api/oauth.v2.access", data=by_form, timeout=10).json()["ok"] is True


def test_a_code_is_good_for_ten_minutes(shop, clock):
    code = sent_to(shop.authorize(link(shop), "T7", "U7"))["code"]
    clock[0] += timedelta(minutes=10, seconds=1)
    assert refused(exchange, shop, code=code) == "invalid_code"


def test_a_token_runs_out_and_a_refresh_token_is_good_once(shop, clock):
    granted = exchange(shop, code=sent_to(shop.authorize(link(shop), "T7", "U7"))["code"])
    clock[0] += timedelta(hours=12)
    assert refused(web(shop, granted["access_token"]).auth_test) == "token_expired"
    renewed = exchange(shop, grant_type="refresh_token", refresh_token=granted["refresh_token"])
    assert web(shop, renewed["access_token"]).auth_test()["ok"] is True
    assert (renewed["expires_in"], renewed["team"]["id"]) == (43200, "T7")
    again = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
    assert refused(exchange, shop, **again) == "invalid_refresh_token"


def test_without_rotation_a_token_stays_until_the_app_is_removed(slack, bot):
    workspace = slack.workspace("T7", "Seven", installed=False)
    slack.user("T7", "U7", "gil")
    first = exchange(slack, code=sent_to(slack.authorize(link(slack), "T7", "U7"))["code"]).data
    second = exchange(slack, code=sent_to(slack.authorize(link(slack, state=None), "T7", "U7"))["code"]).data
    assert first["access_token"] == second["access_token"] == workspace.token
    assert "refresh_token" not in first
    assert [one.status_code for one in slack.uninstall("T7")] == [200, 200]
    told = [bot.next()["event"] for _ in range(2)]
    assert told == [
        {"type": "tokens_revoked", "tokens": {"oauth": [], "bot": ["U0BOTT7"]}},
        {"type": "app_uninstalled"},
    ]
    assert refused(web(slack, first["access_token"]).auth_test) == "account_inactive"
    third = exchange(slack, code=sent_to(slack.authorize(link(slack), "T7", "U7"))["code"])
    assert third["access_token"] != first["access_token"]


def test_who_does_not_allow_it_comes_back_with_a_refusal(shop):
    assert sent_to(shop.authorize(link(shop), "T7", "U7", allow=False)) == {"error": "access_denied", "state": "s1"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"client_id": "other"}, "client_id"),
        ({"scope": None}, "no scope"),
        ({"scope": "nonsense:scope"}, "nonsense:scope"),
        ({"redirect_uri": None}, "redirect_uri"),
        ({"redirect_uri": "javascript:x"}, "redirect_uri"),
    ],
)
def test_a_wrong_address_shows_an_error_instead_of_asking(shop, change, words):
    with pytest.raises(ValueError, match=words):
        shop.authorize(link(shop, **change), "T7", "U7")
    page = requests.get(link(shop, **change), timeout=10)
    assert (page.status_code, "Allow</button>" in page.text) == (400, False)


def test_only_somebody_of_the_workspace_can_install_and_only_at_the_right_address(shop):
    with pytest.raises(ValueError, match="nobody"):
        shop.authorize(link(shop), "T7", "U404")
    with pytest.raises(ValueError, match="address"):
        shop.authorize(link(shop).replace("/v2/", "/v1/"), "T7", "U7")


def test_the_page_asks_and_sends_the_browser_back(shop):
    page = requests.get(link(shop, state='"><script>'), timeout=10)
    assert page.status_code == 200
    assert all(words in page.text for words in ("Gil, Seven", "chat:write", "Allow</button>", "Cancel</button>"))
    assert "<script>" not in page.text
    kept = sent_to(link(shop))
    for decision, name in (("allow", "code"), ("cancel", "error")):
        answer = requests.post(
            f"{shop.url}/oauth/v2/authorize",
            data=kept | {"who": "T7 U7", "decision": decision},
            timeout=10,
            allow_redirects=False,
        )
        assert answer.status_code == 302
        assert name in sent_to(answer.headers["Location"])
    nobody = requests.post(f"{shop.url}/oauth/v2/authorize", data=kept | {"who": "T7 U404"}, timeout=10)
    assert nobody.status_code == 400


def test_bolt_reads_what_is_sent_and_answers_it(slack):
    """The framework that the bot is built on, as an independent reader over HTTP."""
    client = web(slack)
    bolt = App(
        client=client,
        signing_secret=slack.signing_secret,
        token_verification_enabled=False,
        process_before_response=True,
    )
    seen = {}
    bolt.event("message")(lambda event: seen.update(text=event["text"]))
    bolt.command("/ally")(
        lambda ack, body: (
            client.views_open(trigger_id=body["trigger_id"], view=form(field("name", typed()), callback_id="form")),
            ack("opened"),
        )
    )
    bolt.view("form")(lambda ack: ack(response_action="errors", errors={"name": "no"}))
    flask = Flask("bolt")
    handler = SlackRequestHandler(bolt)
    flask.add_url_rule("/slack/events", view_func=lambda: handler.handle(request), methods=["POST"])
    with served(flask) as url:
        slack.events_url = f"{url}/slack/events"
        slack.say(TEAM, ANA, "hello")
        slack.command(TEAM, ANA)
        slack.type_in(TEAM, ANA, {"name": "x"})
        slack.submit(TEAM, ANA)
    assert seen == {"text": "hello"}
    assert slack.ephemerals(TEAM, ANA)[0].text == "opened"
    assert slack.field_errors(TEAM, ANA) == {"name": "no"}


# --- Socket Mode -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def plugged(slack, answer=lambda _request: None):
    """A client of Slack's own on a socket. What `answer` gives is the payload of its ack; "silence": no ack."""
    seen = queue.Queue()
    client = SocketModeClient(slack.app_token, web_client=web(slack), ping_interval=0.2, concurrency=2)

    def take(socket, envelope):
        seen.put(envelope)
        payload = answer(envelope)
        if payload != "silence":
            socket.send_socket_mode_response(SocketModeResponse(envelope.envelope_id, payload))

    client.socket_mode_request_listeners.append(take)
    client.connect()
    slack.wait_for(lambda: slack.connections == 1)
    client.seen = seen
    yield client
    unplug(slack, client)


def unplug(slack, client):
    """End a client of Slack's. The server hangs up first: for its own end the client waits three seconds."""
    client.auto_reconnect_enabled = False
    slack.drop_sockets()
    client.close()


@pytest.fixture
def socketed(slack):
    slack.socket = True
    return slack


def test_through_a_socket_everything_comes_in_envelopes_and_acks_carry_answers(socketed, client):
    slack = socketed

    def answer(envelope):
        if envelope.type == "slash_commands":
            return {"text": "shown"}
        if envelope.payload.get("type") == "view_submission":
            return {"response_action": "errors", "errors": {"name": "no"}}
        return None

    with plugged(slack, answer) as plug:
        assert slack.say(TEAM, ANA, "hello").ok
        assert slack.command(TEAM, ANA, "x").json() == {"text": "shown"}
        client.chat_postMessage(channel=ANA, text="?", blocks=[actions(button("Go", "go"))])
        assert slack.tap(TEAM, ANA, "Go").ok
        said, command, tapped = (plug.seen.get(timeout=10) for _ in range(3))
        client.views_open(trigger_id=tapped.payload["trigger_id"], view=form(field("name", typed())))
        slack.type_in(TEAM, ANA, {"name": "x"})
        slack.submit(TEAM, ANA)
    assert (said.type, said.accepts_response_payload, said.retry_attempt) == ("events_api", False, 0)
    assert said.payload["event"]["text"] == "hello"
    assert (command.type, command.payload["command"]) == ("slash_commands", "/ally")
    assert (tapped.type, tapped.payload["type"]) == ("interactive", "block_actions")
    assert slack.field_errors(TEAM, ANA) == {"name": "no"}
    assert [one.text for one in slack.ephemerals(TEAM, ANA)] == ["shown"]


def test_what_nobody_took_comes_again_when_a_client_is_there(socketed):
    slack = socketed
    answer = slack.say(TEAM, ANA, "early")
    assert (answer.ok, answer.reason) == (False, "timeout")
    with plugged(slack) as plug:
        again = plug.seen.get(timeout=10)
        assert again.payload["event"]["text"] == "early"
        assert (again.retry_attempt, again.retry_reason) == (1, "timeout")
        slack.wait_for(lambda: not slack.unanswered)


def test_a_dropped_socket_is_taken_up_again_and_what_was_on_its_way_is_repeated(socketed):
    slack = socketed
    silent = ["silence"]

    def answer(_envelope):
        if not silent:
            return None
        slack.drop_sockets(warn=True)
        return silent.pop()

    with plugged(slack, answer) as plug:
        assert slack.say(TEAM, ANA, "once").reason == "timeout"
        first, second = (plug.seen.get(timeout=10) for _ in range(2))
        assert first.payload["event_id"] == second.payload["event_id"]
        assert first.envelope_id != second.envelope_id
        assert second.retry_attempt == 1


def test_an_ack_that_never_comes_is_waited_for_three_seconds_and_no_longer(socketed, monkeypatch):
    monkeypatch.setattr("bot.playground.slack_delivery.ANSWER_WITHIN", 0.2)
    with plugged(socketed, lambda _envelope: "silence"):
        assert socketed.command(TEAM, ANA).reason == "timeout"
        assert socketed.unanswered == [], "commands are never repeated"


def test_bolt_reads_what_comes_through_a_socket(socketed):
    slack = socketed
    bolt = App(client=web(slack), signing_secret="none", token_verification_enabled=False, process_before_response=True)
    seen = queue.Queue()
    bolt.event("message")(lambda event, request: seen.put((event["text"], request.headers.get("x-slack-retry-num"))))
    bolt.command("/ally")(lambda ack: ack("done"))
    handler = SocketModeHandler(bolt, slack.app_token)
    handler.connect()
    slack.wait_for(lambda: slack.connections == 1)
    assert slack.say(TEAM, ANA, "hello").ok
    assert slack.command(TEAM, ANA).json() == {"text": "done"}
    assert seen.get(timeout=10) == ("hello", ["0"])
    unplug(slack, handler.client)


def test_a_socket_is_opened_with_the_apps_own_token_and_each_address_once(slack, client):
    app = web(slack, "")
    assert refused(app.apps_connections_open, app_token="") == "not_authed"
    assert refused(app.apps_connections_open, app_token="xapp-guess") == "invalid_auth"
    assert refused(app.apps_connections_open, app_token=client.token) == "not_allowed_token_type"
    url = app.apps_connections_open(app_token=slack.app_token)["url"]
    assert url.startswith("ws://127.0.0.1:")
    unknown = url.replace("ws://", "http://").replace("ticket=", "ticket=x")
    assert requests.get(unknown, timeout=10).status_code == 403


def test_ten_sockets_are_open_at_most_and_what_is_no_ack_is_not_heard(slack):
    slack.socket = True
    app = web(slack, "")

    async def link():
        async with aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as stack:
            addresses = [app.apps_connections_open(app_token=slack.app_token)["url"] for _ in range(11)]
            sockets = []
            for n in range(10):
                sockets.append(await stack.enter_async_context(session.ws_connect(addresses[n])))
                hello = await sockets[n].receive_json()
                assert (hello["type"], hello["num_connections"]) == ("hello", n + 1)
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(addresses[10])
            said = asyncio.create_task(asyncio.to_thread(slack.say, TEAM, ANA, "x"))
            envelope = await sockets[0].receive_json()
            await sockets[0].send_bytes(b"x")
            for words in ("nonsense", "[]", "{}", envelope["envelope_id"]):
                await sockets[0].send_str(words)
            for _ in range(2):
                await sockets[0].send_json({"envelope_id": envelope["envelope_id"], "payload": {"not": "taken"}})
            return await said

    answer = asyncio.run(link())
    assert (answer.ok, answer.text) == (True, "")


def test_who_connects_without_socket_mode_hears_nothing_until_it_is_on(slack, bot):
    bot.answer = lambda _payload: Response(status=500)
    slack.say(TEAM, ANA, "by HTTP")
    assert slack.socket is False
    with plugged(slack) as plug:
        assert slack.unanswered
        slack.socket = True
        assert [one.ok for one in slack.redeliver()] == [True]
        assert plug.seen.get(timeout=10).retry_reason == "http_error"


def test_a_stand_in_that_has_ended_gives_no_address(slack):
    slack.stop()
    with pytest.raises(ConnectionError):
        slack._sockets.address()


def test_in_socket_mode_nothing_is_signed(socketed):
    for manner in ({"forge": True}, {"timestamp": 1}):
        with pytest.raises(ValueError, match="signed"):
            socketed.say(TEAM, ANA, "x", **manner)


# --- files ------------------------------------------------------------------------------------------------------------


def begun(slack, client, name="a.pdf", length=4):
    """An upload that was begun: Slack's name of the file, and where its bytes go."""
    told = client.files_getUploadURLExternal(filename=name, length=length)
    assert told["upload_url"].startswith("https://files.slack.com/upload/v1/")
    return told["file_id"], told["upload_url"].replace("https://files.slack.com", slack.url)


def test_a_file_is_seen_once_its_bytes_have_come_and_it_was_completed(slack, client):
    slack.say(TEAM, ANA, "hello")
    channel = slack.dm_id(TEAM, ANA)
    name, where = begun(slack, client)
    call, of = client.files_completeUploadExternal, {"files": [{"id": name, "title": "A"}], "channel_id": channel}
    assert refused(call, **of) == "file_not_found"  # its bytes are still to come
    assert requests.post(where, data=b"12345", timeout=5).status_code == 400  # not as many as were announced
    assert requests.post(where, data=b"1234", timeout=5).status_code == 200
    assert requests.post(where, data=b"1234", timeout=5).status_code == 400  # once
    assert slack.dm(TEAM, ANA)[-1].files == ()
    assert refused(call, **{**of, "channel_id": ANA}) == "channel_not_found"  # a person is no place for a file
    name, where = begun(slack, client)
    assert requests.post(where, data=b"1234", timeout=5).status_code == 200
    call(**{**of, "files": [{"id": name, "title": "A"}]}, initial_comment="look")
    assert (slack.dm(TEAM, ANA)[-1].files, slack.dm(TEAM, ANA)[-1].text) == (("A",), "look")
    assert refused(call, **{**of, "files": [{"id": name}]}) == "file_not_found"  # it is shared already
    assert refused(call, **{**of, "files": [{"id": "F0NONE"}]}) == "file_not_found"
    assert refused(client.files_getUploadURLExternal, filename="", length=4) == "invalid_arguments"
    assert refused(client.files_getUploadURLExternal, filename="a", length=0) == "invalid_arguments"


def test_a_file_of_a_message_is_given_to_a_token_that_may_read_files_and_to_nobody_else(slack, client):
    slack.say(TEAM, ANA, "look", files=[{"name": "a b.pdf", "mimetype": "application/pdf", "content": b"%PDF"}])
    [shape] = client.conversations_history(channel=slack.dm_id(TEAM, ANA))["messages"][0]["files"]
    assert (shape["size"], shape["mode"]) == (4, "hosted")
    url = shape["url_private_download"].replace("https://files.slack.com", slack.url)
    good = {"Authorization": f"Bearer {client.token}"}
    assert requests.get(url, headers=good, timeout=5).content == b"%PDF"
    for headers in ({}, {"Authorization": "Bearer xoxb-wrong"}, {"Authorization": client.token}):
        assert requests.get(url, headers=headers, timeout=5, allow_redirects=False).status_code == 302
