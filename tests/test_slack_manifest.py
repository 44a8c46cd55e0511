"""The manifest asks Slack for what our code needs, all of it and nothing else, in the form that Slack takes."""

import ast
import copy
import json
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from jsonschema import Draft202012Validator
from slack_sdk.signature import SignatureVerifier

from bot.channels.slack.scopes import SCOPES, missing
from bot.slack_edge import HELP, JOIN, STATUS, SUBCOMMANDS
from bot.vault import KINDS
from tests.installkit import InstallKit

ROOT = Path(__file__).parent.parent
HERE = ROOT / "tests" / "slack_manifest"
MANIFEST = yaml.safe_load((ROOT / "deploy" / "slack-manifest.yaml").read_text(encoding="utf-8"))
SCHEMA = Draft202012Validator(json.loads((HERE / "manifest.schema.json").read_text(encoding="utf-8")))
NAMES = {name: frozenset(known) for name, known in json.loads((HERE / "names.json").read_text()).items()}
# What each method of Slack's needs that our code calls: docs.slack.dev/reference/methods. Without a channel of its own
# the direct messages and the desk's private channel are meant. What we find again there after a crash is known by the
# id of a block, for which no right is needed; metadata would need another scope.
NEEDS = {
    "auth.revoke": (),
    "chat.getPermalink": (),
    "chat.postMessage": ("chat:write",),
    "chat.update": ("chat:write",),
    "conversations.info": ("channels:read", "groups:read"),
    "conversations.history": ("im:history", "groups:history"),
    "conversations.members": ("channels:read", "groups:read"),
    "conversations.replies": ("groups:history",),
    "files.completeUploadExternal": ("files:write",),
    "files.getUploadURLExternal": ("files:write",),
    "oauth.v2.access": (),
    "reactions.add": ("reactions:write",),
    "reactions.remove": ("reactions:write",),
    "users.info": ("users:read",),
    "users.list": ("users:read",),
    "views.open": (),
    "views.publish": (),
    "views.update": (),
}
EVENT_NEEDS = {
    "message.im": "im:history",
    "message.groups": "groups:history",
}  # docs.slack.dev/reference/events; the others need none


def wrong(manifest):
    """What is wrong with a manifest, as sentences."""
    found = [f"{error.json_path}: {error.message}" for error in SCHEMA.iter_errors(manifest)]
    scopes = manifest.get("oauth_config", {}).get("scopes", {})
    events = manifest.get("settings", {}).get("event_subscriptions", {})
    found += [f"no scope: {one}" for one in scopes.get("bot", []) if one not in NAMES["bot_scopes"]]
    found += [f"no scope: {one}" for one in scopes.get("user", []) if one not in NAMES["user_scopes"]]
    named = [*events.get("bot_events", []), *events.get("user_events", [])]
    return found + [f"no event: {one}" for one in named if one not in NAMES["events"]]


def changed(path, value):
    """The manifest with one thing changed; None: without it."""
    made = copy.deepcopy(MANIFEST)
    *way, last = path
    inside = made
    for one in way:
        inside = inside[one]
    if value is None:
        del inside[last]
    else:
        inside[last] = value
    return made


def test_the_manifest_is_one_that_slack_takes():
    assert wrong(MANIFEST) == []


BOT_SCOPES = ("oauth_config", "scopes", "bot")
EVENTS = ("settings", "event_subscriptions", "bot_events")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (BOT_SCOPES, [*SCOPES, "nonsense:scope"]),
        (BOT_SCOPES, ["chat:write", "chat:write"]),
        (EVENTS, ["message.nonsense"]),
        (("settings", "nonsense"), True),
        (("features", "nonsense"), {}),
        (("display_information", "name"), "x" * 36),
        (("display_information", "name"), None),
        (("display_information", "description"), "x" * 141),
        (("features", "bot_user", "display_name"), "x" * 81),
        (("features", "bot_user", "display_name"), "Ally!"),
        (("features", "slash_commands", 0, "command"), "ally"),
        (("features", "slash_commands", 0, "command"), f"/{'x' * 32}"),
        (("features", "slash_commands", 0, "url"), "http://bot.example.com/slack/events"),
        (("features", "slash_commands", 0, "url"), None),
        (("settings", "interactivity", "request_url"), None),
        (("settings", "event_subscriptions", "request_url"), None),
        (("settings", "socket_mode_enabled"), "yes"),
    ],
)
def test_what_slack_would_refuse_is_found(path, value):
    assert wrong(changed(path, value))


def test_for_socket_mode_it_needs_no_address():
    """What the manifest's own comment says has to be changed."""
    made = changed(("settings", "socket_mode_enabled"), True)
    del made["features"]["slash_commands"][0]["url"]
    for name in ("event_subscriptions", "interactivity"):
        del made["settings"][name]["request_url"]
    del made["oauth_config"]["redirect_urls"]
    made["settings"]["token_rotation_enabled"] = False
    assert wrong(made) == []
    assert "YOUR-DOMAIN" not in json.dumps(made)


# --- what our code needs ----------------------------------------------------------------------------------------------


def called():
    """Every method of Slack's that our code names."""
    method = re.compile(
        r"(?:api|auth|chat|conversations|files|oauth|reactions|team|users|views)\.[a-zA-Z0-9.]*[a-zA-Z0-9]"
    )
    paths = [path for path in (ROOT / "bot").rglob("*.py") if "playground" not in path.parts]
    texts = {
        node.value
        for path in paths
        if "slack" in path.read_text(encoding="utf-8").lower()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in texts if method.fullmatch(text)} - KINDS  # what the safe keeps is no method of Slack's


def test_every_method_that_we_call_is_known_with_what_it_needs():
    assert called() == set(NEEDS)


def test_the_scopes_are_exactly_those_that_our_code_needs():
    needed = {scope for scopes in NEEDS.values() for scope in scopes}
    needed |= {
        EVENT_NEEDS[event]
        for event in MANIFEST["settings"]["event_subscriptions"]["bot_events"]
        if event in EVENT_NEEDS
    }
    needed |= {"commands", "files:read"}  # a slash command; the bytes of a file, for which there is no method
    assert set(SCOPES) == needed
    assert MANIFEST["oauth_config"]["scopes"] == {"bot": list(SCOPES)}


def test_what_an_installed_app_lacks_is_told():
    assert missing(",".join(SCOPES)) == []
    assert missing("chat:write, commands") == sorted(set(SCOPES) - {"chat:write", "commands"})


def routed():
    """The events that the edge does something with."""
    tree = ast.parse((ROOT / "bot" / "slack_edge.py").read_text(encoding="utf-8"))
    event = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "event")
    patterns = [case.pattern for match in ast.walk(event) if isinstance(match, ast.Match) for case in match.cases]
    values = [node.value for pattern in patterns for node in ast.walk(pattern) if isinstance(node, ast.MatchValue)]
    return {value.value for value in values}


def test_every_event_that_we_subscribe_to_is_routed_and_no_other_is():
    subscribed = MANIFEST["settings"]["event_subscriptions"]["bot_events"]
    assert {one.partition(".")[0] for one in subscribed} == routed()
    # A talk is held in private, and the desk stands in a private channel: no public one is ever listened to.
    assert [one for one in subscribed if one.startswith("message")] == ["message.groups", "message.im"]


def test_the_hint_of_the_command_names_words_that_it_knows():
    hint = MANIFEST["features"]["slash_commands"][0]["usage_hint"]
    words = {word.removesuffix(" CODE") for word in hint.strip("[]").split(" | ")}
    joins = {one.strip() for one in JOIN}
    assert words <= {*SUBCOMMANDS, *HELP, *STATUS, *joins}


def addresses(inside):
    if isinstance(inside, dict):
        return [one for below in inside.values() for one in addresses(below)]
    if isinstance(inside, list):
        return [one for below in inside for one in addresses(below)]
    return [inside] if isinstance(inside, str) and "://" in inside else []


def test_all_addresses_are_below_one_domain_and_are_routes_of_ours(database_url, tmp_path):
    found = [urlsplit(one) for one in addresses(MANIFEST)]
    assert {(one.scheme, one.netloc) for one in found} == {("https", "YOUR-DOMAIN")}
    with InstallKit(database_url, tmp_path) as kit:
        routes = {str(rule) for rule in kit.web.url_map.iter_rules()}
    assert {one.path for one in found} <= routes
    assert len(found) == 4


def test_people_can_write_to_the_app_and_look_at_its_home():
    assert MANIFEST["features"]["app_home"] == {
        "home_tab_enabled": True,
        "messages_tab_enabled": True,
        "messages_tab_read_only_enabled": False,
    }
    assert MANIFEST["settings"]["interactivity"]["is_enabled"] is True
    assert MANIFEST["settings"]["org_deploy_enabled"] is False
    assert MANIFEST["settings"]["token_rotation_enabled"] is True


def test_the_request_url_proves_itself_to_slack(database_url, tmp_path):
    """https://docs.slack.dev/reference/events/url_verification."""
    body = json.dumps({"token": "x", "challenge": "3eZbrw1aB", "type": "url_verification"})
    with InstallKit(database_url, tmp_path) as kit:
        secret = kit.settings.slack_signing_secret
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": SignatureVerifier(secret).generate_signature(timestamp=stamp, body=body),
        }
        answer = kit.web.test_client().post("/slack/events", data=body, headers=headers)
    assert answer.status_code == 200
    assert "3eZbrw1aB" in answer.text
