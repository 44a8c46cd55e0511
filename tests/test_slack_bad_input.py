"""What Slack, or whoever pretends to be it, sends wrongly, twice, late or in another order; and a Slack that is ill."""

import hashlib
import hmac
import json
import logging
import time

import pytest
import requests
import structlog
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from bot import slack_edge, turns
from bot.log import Seldom
from bot.store import tables
from tests.botkit import ADDRESS, eventually, table_of_providers
from tests.slackkit import ANA, BIA, SIGNING, TEAM, SlackKit

SECRET = "Girafa#22-azul"
HELLO = {"type": "message", "channel_type": "im", "channel": "D0X", "user": ANA, "text": "menu", "ts": "1.1"}


@pytest.fixture
def kit(database_url, tmp_path, monkeypatch):
    monkeypatch.setattr(slack_edge, "ARRIVED", 0.0)
    with SlackKit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as made:
        yield made


@pytest.fixture
def admin(kit):
    """Bia has claimed the workspace and rests in the menu."""
    kit.claim()
    quiet(kit)
    kit.slack.close_modal(TEAM, BIA)
    kit.written(BIA, "menu")
    return kit


def posted(kit, body, *, stamp=None, signature=None, secret=SIGNING, kind="application/json", **headers):
    """Anything at all, signed or not."""
    stamp = str(int(time.time())) if stamp is None else stamp
    good = hmac.digest(secret.encode(), b"v0:%s:%s" % (stamp.encode("utf-8", "replace"), body), hashlib.sha256).hex()
    told = {"X-Slack-Request-Timestamp": stamp.encode(), "Content-Type": kind, **headers}
    told["X-Slack-Signature"] = signature if signature is not None else f"v0={good}"
    return requests.post(kit.slack.events_url, data=body, headers=told, timeout=10)


def wrapped(event, number="1", **more):
    """An event in Slack's envelope."""
    us = {"team_id": TEAM, "user_id": "U0BOTT0SOL", "is_bot": True, "is_enterprise_install": False}
    return {
        "type": "event_callback", "team_id": TEAM, "event_id": f"Ev{number}", "event": event, **more,
        "authorizations": [us],
    }  # fmt: skip


def heard(kit):
    return [row.text for row in kit.rows(tables.message) if row.direction == "in"]


def said(kit, user=ANA):
    return [one.shown for one in kit.slack.dm(TEAM, user) if not one.mine]


def quiet(kit):
    edge = kit.web.extensions["slack"]
    eventually(lambda: edge.showing == 0, "the end of all showing")


# --- who is not Slack ------------------------------------------------------------------------------------------------


def test_what_is_not_signed_by_slack_is_refused_and_leaves_no_trace(kit):
    body = json.dumps(wrapped(HELLO)).encode()
    far = str(int(time.time()) + 400)
    assert posted(kit, body, secret="another").status_code == 401
    assert posted(kit, body, signature="").status_code == 401
    assert posted(kit, body, signature="v0=" + "é" * 64).status_code == 401
    assert posted(kit, body, signature="v1=" + "0" * 64).status_code == 401
    for stamp in ("", "abc", "-5", "1e9", "0", "1", "٣٣٣", far, "9" * 5000, "1.5"):
        assert posted(kit, body, stamp=stamp).status_code in {401, 431}, stamp
    assert posted(kit, b"\xff\xfe{", secret="another").status_code == 401
    assert kit.slack.say(TEAM, ANA, "menu", forge=True).status_code == 401
    assert kit.slack.say(TEAM, ANA, "menu", timestamp=int(time.time()) - 301).status_code == 401
    assert kit.slack.command(TEAM, ANA, "menu", forge=True).status_code == 401
    assert not kit.rows(tables.inbound)
    assert not kit.rows(tables.contact)


def test_what_is_not_signed_by_slack_is_said_in_the_log_without_anything_of_it(kit, monkeypatch):
    monkeypatch.setattr("bot.web.slack._seldom", Seldom(structlog.get_logger("of this test")))
    with capture_logs() as logs:
        for _ in range(3):
            posted(kit, json.dumps(wrapped(HELLO)).encode(), secret="another")
    assert [(one["what"], one["times"]) for one in logs] == [("Slack", 1)]  # and the others within a minute
    assert HELLO["text"] not in str(logs)


def test_a_request_that_is_299_seconds_old_is_taken(kit):
    assert kit.slack.say(TEAM, ANA, "menu", timestamp=int(time.time()) - 295).status_code == 200
    assert heard(kit) == ["menu"]


NO_JSON = [b"{", b"{'a': 1}", b"payload={", b"payload=", b"payload=[]", b"payload=null"]
OF_NO_SENSE = [
    b"", b"[]", b"null", b"1", b'"x"', b"a=b", b"{}", b"%", b"\x00", b'{"type": 5}', b'{"event": 5}', b"\xff\xfe",
    b'{"event": {"type": "message"}}', b'{"type": "event_callback", "team_id": "T0SOL", "event": "x"}',
    b'{"type": "event_callback", "team_id": "T0SOL", "event": {"type": "message", "channel_type": "im"}}',
    b'payload={"type": "block_actions", "team": {"id": "T0SOL"}, "user": {"id": "U0ANA"}, "actions": "x"}',
    b'payload={"type": "block_actions", "team": {"id": "T0SOL"}, "user": "U0ANA", "actions": []}',
    b'payload={"type": "view_submission", "team": {"id": "T0SOL"}, "user": {"id": "U0ANA"}, "view": "x"}',
    b'payload={"type": "view_closed", "team": {"id": "T0SOL"}, "user": {"id": "U0ANA"}, "view": {"callback_id": 1}}',
]  # fmt: skip


def test_a_signed_body_that_is_no_json_is_refused(site):
    for body in NO_JSON:
        answers = [posted(site, body, kind=kind) for kind in ("application/json", "application/x-www-form-urlencoded")]
        assert 400 in {answer.status_code for answer in answers}, body
        assert {answer.status_code for answer in answers} <= {200, 400, 404}, body


def test_a_signed_body_of_no_sense_does_nothing_at_all(site):
    before = len(site.rows(tables.inbound)), len(site.rows(tables.contact))
    for body in OF_NO_SENSE:
        for kind in ("application/json", "application/x-www-form-urlencoded"):
            assert posted(site, body, kind=kind).status_code in {200, 400, 401, 404, 500}, body
    assert (len(site.rows(tables.inbound)), len(site.rows(tables.contact))) == before


@pytest.fixture(scope="module")
def site(test_database, tmp_path_factory):
    """One bot for all the bodies of no sense, which leave nothing behind."""
    url, home = test_database.fresh(), tmp_path_factory.mktemp("site")
    with SlackKit(url, home, providers=table_of_providers(home)) as made:
        yield made
    test_database.drop(url)


def test_a_body_too_large_is_refused_before_it_is_looked_at(site):
    body = json.dumps(wrapped({**HELLO, "text": "x" * 1_100_000})).encode()
    assert posted(site, body).status_code == 413
    assert posted(site, b"x" * 1_100_000, signature="v0=0").status_code == 413
    assert (
        posted(site, json.dumps(wrapped({**HELLO, "text": "x" * 900_000}), ensure_ascii=False).encode()).status_code
        == 200
    )


def test_only_posts_are_taken(site):
    assert requests.get(site.slack.events_url, timeout=10).status_code == 405


def test_slack_is_shown_that_the_address_is_ours(site):
    answer = posted(site, json.dumps({"type": "url_verification", "challenge": "c-123"}).encode())
    assert (answer.status_code, answer.json() if answer.text.startswith("{") else answer.text) in [
        (200, {"challenge": "c-123"}), (200, "c-123"),
    ]  # fmt: skip


def test_the_libraries_write_nothing_of_a_request_into_the_log(kit, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    body = json.dumps(wrapped({**HELLO, "text": SECRET})).encode()
    with structlog.testing.capture_logs() as lines:
        posted(kit, body, secret="another")
        posted(kit, body)
        posted(kit, json.dumps(wrapped({**HELLO, "text": SECRET, "type": "unheard_of"}, "2")).encode())
        posted(kit, ("payload=" + json.dumps({"type": "shortcut", "callback_id": SECRET})).encode(), kind="text/plain")
        kit.slack.say(TEAM, ANA, SECRET)
        kit.work()
    assert caplog.records or lines
    ours = [one.getMessage() for one in caplog.records if not one.name.startswith(("urllib3", "werkzeug"))]
    assert SECRET not in "\n".join(ours)
    assert SECRET not in str(lines)
    assert SECRET not in "".join(capfd.readouterr())


# --- twice, and in another order ------------------------------------------------------------------------------------


def test_the_same_event_three_times_is_one_turn(kit):
    assert kit.slack.say(TEAM, ANA, "menu", times=3).status_code == 200
    kit.work()
    assert heard(kit) == ["menu"]
    assert len(said(kit)) == 1


def test_the_same_interaction_twice_is_one_turn(admin):
    admin.slack.tap(TEAM, BIA, "Language", times=3)
    admin.slack.command(TEAM, BIA, "team", times=3)
    assert [line for line in heard(admin) if line in {"Language", "team"}] == ["Language", "team"]


def test_events_that_come_in_another_order_are_each_heard_once(kit):
    first, second = wrapped({**HELLO, "ts": "1.1", "text": "one"}, "a"), wrapped({**HELLO, "ts": "2.2"}, "b")
    for one in (second, first, second, first):
        assert posted(kit, json.dumps(one).encode()).status_code == 200
    kit.work()
    assert heard(kit) == ["menu", "one"]


def test_a_redelivery_is_told_by_its_id_not_by_its_header(kit):
    event = json.dumps(wrapped(HELLO)).encode()
    retry = {"X-Slack-Retry-Num": "2", "X-Slack-Retry-Reason": "http_timeout"}
    assert posted(kit, event, **retry).status_code == 200
    assert posted(kit, event, **retry).status_code == 200
    assert heard(kit) == ["menu"]


def test_unknown_kinds_of_events_and_interactions_are_no_turn(admin):
    before = len(admin.rows(tables.inbound)), len(admin.rows(tables.promise))
    for kind in ("reaction_added", "team_join", "user_change", "app_mention", "link_shared", "message_metadata_posted"):
        assert admin.slack.event(TEAM, {"type": kind, "user": BIA, "text": "menu"}).status_code == 200
    admin.slack.event(TEAM, {"type": "app_home_opened", "user": BIA, "tab": "messages", "channel": "D1"})
    assert admin.slack.shortcut(TEAM, BIA, "anything").status_code == 404
    with admin.slack._world.changed:
        asks = admin.slack._payloads.about(TEAM, BIA, "block_suggestion", "")
    assert admin.slack._courier.interaction({**asks, "action_id": "a", "value": "x"}, {})[-1].status_code == 404
    asks = {**asks, "type": "unheard_of"}
    assert admin.slack._courier.interaction(asks, {})[-1].status_code == 404
    assert (len(admin.rows(tables.inbound)), len(admin.rows(tables.promise))) == before


def test_edits_and_deletions_are_ignored(kit):
    ts = kit.slack.say(TEAM, ANA, "menu").payload["event"]["ts"]
    kit.work()
    before = said(kit)
    assert kit.slack.edit(TEAM, ANA, ts, "erase").status_code == 200
    assert kit.slack.take_back(TEAM, ANA, ts).status_code == 200
    kit.work()
    assert (heard(kit), said(kit)) == (["menu"], before)


def test_a_message_in_a_thread_of_the_direct_messages_is_answered(admin):
    root = admin.slack.dm(TEAM, BIA)[-1].ts
    before = len(said(admin, BIA))
    admin.slack.say(TEAM, BIA, "help", thread_ts=root)
    admin.work()
    assert len(said(admin, BIA)) == before + 1


# --- what people send -----------------------------------------------------------------------------------------------

SHARP = [
    "<!channel>", "<!here|here>", "<@U0BIA>", "@channel", "@here everybody", "<https://evil.test|bank>",
    "&lt;!channel&gt;",
    "a & b < c > d", "&amp;lt;!everyone&amp;gt;", "*bold* _it_ ~no~ `code`", "<!subteam^S1|@all>", "<#C1|general>",
]  # fmt: skip


def test_what_somebody_types_pings_nobody_and_is_kept_as_it_was_typed(admin):
    """Somebody unknown, whose name is put before the admins."""
    for number, text in enumerate(SHARP):
        user, words = f"U0EVIL{number}", f"The agency {text} of ours"
        admin.slack.user(TEAM, user, f"evil {text}", real_name=text)
        admin.written(user, "hello")
        admin.tapped(user, "Ask for access")
        admin.written(user, words)
        admin.written(user, f"evil{number}@agency.test")
        admin.work()
        assert [row.agency for row in admin.rows(tables.access_request) if row.address[4:-12] == str(number)] == [words]
        assert words in heard(admin)
        assert f"evil{number}@agency.test" in admin.read(BIA)
    assert not admin.slack.mentions


def test_a_name_of_sharp_signs_pings_nobody_in_the_home_of_the_admin(admin):
    for number, text in enumerate(SHARP):
        admin.slack.user(TEAM, f"U0EVIL{number}", text, real_name=text)
        admin.written(f"U0EVIL{number}", admin.invite(uses=5, name=text))
    shown = admin.home(BIA).replace("\u200a", "")
    assert not admin.slack.mentions
    sent = json.dumps([one.arguments for one in admin.slack.requests], ensure_ascii=False)
    assert "<!" not in sent
    assert "<@" not in sent
    assert "@channel" not in sent.replace("&lt;!channel", "")
    for text in SHARP:
        assert text.replace("*", "").replace("`", "\u02cb") in shown


def test_a_real_mention_in_what_somebody_sends_is_words_and_no_mention(kit):
    kit.slack.say(TEAM, ANA, "<!channel> <@U0BIA|bia> <#C1|general> <https://a.test|a.test>", escape=False)
    kit.work()
    assert heard(kit) == ["!channel @bia #general a.test"] or heard(kit) == ["!channel @bia #general https://a.test"]
    assert not kit.slack.mentions


def test_a_very_long_message_is_answered_and_kept_within_bounds(kit):
    for number, length in enumerate((2_999, 3_001, 9_999, 12_000, 39_000), start=1):
        kit.slack.say(TEAM, ANA, "word " * (length // 5))
        kit.work()
        assert len(said(kit)) == number
    assert max(map(len, heard(kit))) <= 2_000
    assert not kit.rows(tables.dead_letter)


def test_little_or_strange_text_is_answered(kit):
    strange = ("👍", "🎉🎉🎉", ":smile:", "\u200b", "   ", "\n\n", "…", "?", "\x00", "ﷺ" * 500)
    for number, text in enumerate(strange, start=1):
        assert kit.slack.say(TEAM, ANA, text).status_code == 200
        kit.work()
        assert len(said(kit)) == number, text


def test_a_file_or_a_voice_message_is_answered_and_never_fetched(admin):
    before = len(said(admin, BIA))
    kinds = ("image/png", "audio/mp4", "video/mp4", "application/pdf", "", "x")
    for number, mimetype in enumerate(kinds, start=1):
        file = {"name": "x", "mimetype": mimetype, "url_private": "https://files.slack.test/x"}
        admin.slack.say(TEAM, BIA, "", files=[file])
        admin.work()
        assert len(said(admin, BIA)) == before + number
    admin.slack.say(TEAM, BIA, "see this", files=[file])
    admin.work()
    assert not admin.rows(tables.file)


def test_a_message_with_a_file_that_tells_nothing_is_answered(admin):
    for files in ([{}], [None], "x", {"a": 1}, [{"mimetype": 5}]):
        event = {**HELLO, "user": BIA, "text": "", "subtype": "file_share", "files": files}
        assert posted(admin, json.dumps(wrapped(event, f"f{files}")).encode()).status_code == 200
    admin.work()
    assert not admin.rows(tables.dead_letter)


# --- secrets ----------------------------------------------------------------------------------------------------------


def everywhere(kit, logs):
    """All places in which a secret may not stand: what was typed into Slack by its person is Slack's."""
    sent = [json.dumps(one.arguments) for one in kit.slack.requests]
    return [kit.dump(), str(logs), *sent, *said(kit, BIA), kit.slack.shown(kit.slack.modal(TEAM, BIA) or {})]


@pytest.mark.parametrize("secret", [SECRET, "girafa-azul", "correct horse battery", "abcd efgh ijkl mnop"])
def test_a_secret_typed_into_the_field_of_an_address_stands_nowhere(admin, secret):
    with structlog.testing.capture_logs() as logs:
        admin.tapped(BIA, "Connect my e-mail")
        admin.window(BIA, "Which e-mail address")
        admin.slack.type_in(TEAM, BIA, {"address": secret})
        answer = admin.slack.submit(TEAM, BIA)
        admin.work()
        quiet(admin)
    assert admin.slack.field_errors(TEAM, BIA)
    assert secret not in answer.text
    assert not [where for where in everywhere(admin, logs)[:-1] if secret in where]


def test_a_secret_in_a_window_whose_turn_raises_stands_nowhere(admin, monkeypatch):
    admin.tapped(BIA, "Connect my e-mail")
    admin.window(BIA, "Which e-mail address")
    admin.slack.type_in(TEAM, BIA, {"address": "girafa-azul"})
    monkeypatch.setattr(turns, "converse", _raising)
    with structlog.testing.capture_logs() as logs:
        assert admin.slack.submit(TEAM, BIA).status_code == 200
    monkeypatch.undo()
    admin.work()
    assert len(admin.rows(tables.dead_letter)) == 1
    assert not [where for where in everywhere(admin, logs)[:-1] if "girafa-azul" in where]
    with pytest.raises(LookupError):
        admin.parts.turns.replay(admin.rows(tables.dead_letter)[0].id)


def test_a_password_in_the_direct_messages_stands_nowhere_and_is_warned_of(admin):
    with structlog.testing.capture_logs() as logs:
        answer = admin.written(BIA, f"my password is {SECRET}")
        admin.home(BIA)
    assert "please delete your message yourself" in answer
    assert not [where for where in everywhere(admin, logs) if SECRET in where]


def test_a_password_typed_while_it_is_awaited_is_sealed_and_stands_nowhere_else(admin):
    admin.tapped(BIA, "Connect my e-mail")
    admin.written(BIA, ADDRESS)
    with structlog.testing.capture_logs() as logs:
        admin.written(BIA, "girafa-azul")
    assert not [where for where in everywhere(admin, logs) if "girafa-azul" in where]


# --- when something of ours fails -----------------------------------------------------------------------------------


def _raising(*_args, **_more):
    raise ValueError("a step raised")


def test_a_failing_database_is_answered_500_and_the_redelivery_is_heard_once(kit, monkeypatch):
    down = OperationalError("select 1", None, Exception("away"))
    with monkeypatch.context() as away:
        away.setattr(kit.engine, "begin", lambda: (_ for _ in ()).throw(down))
        away.setattr(kit.engine, "connect", lambda: (_ for _ in ()).throw(down))
        assert kit.slack.say(TEAM, ANA, "menu").status_code == 500
        assert kit.slack.command(TEAM, ANA, "menu").status_code == 500
        assert kit.slack.open_home(TEAM, ANA).status_code == 500
    assert len(kit.slack.unanswered) == 2
    assert [answer.status_code for answer in kit.slack.redeliver()] == [200, 200]
    assert not kit.slack.redeliver()
    kit.work()
    assert heard(kit) == ["menu"]
    assert len(said(kit)) == 1


def test_a_database_that_fails_within_the_turn_is_asked_once_more_and_then_slack_is(kit, monkeypatch):
    kit.written(ANA, "menu")
    calls = []

    def down(*_args):
        calls.append(1)
        raise OperationalError("select 1", None, Exception("away"))

    with monkeypatch.context() as away:
        away.setattr(turns, "converse", down)
        assert kit.slack.say(TEAM, ANA, "help").status_code == 500
    assert len(calls) == 2
    kit.slack.redeliver()
    kit.work()
    assert heard(kit) == ["menu", "help"]


def test_a_turn_that_raises_is_kept_and_apologised_for(admin, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(turns, "converse", _raising)
        assert admin.slack.say(TEAM, BIA, "help").status_code == 200
        assert admin.slack.tap(TEAM, BIA, "Language").status_code == 200
        assert admin.slack.command(TEAM, BIA, "team").status_code == 200
    admin.work()
    quiet(admin)
    assert len(admin.rows(tables.dead_letter)) == 3
    assert "wrong on our side" in admin.read(BIA)
    assert "What would you like to do" in admin.written(BIA, "menu")


# --- windows ----------------------------------------------------------------------------------------------------------


def test_a_window_whose_trigger_is_too_old_leaves_its_question_in_the_direct_messages(admin):
    admin.slack.fail("views.open", "expired_trigger_id")
    answer = admin.tapped(BIA, "Connect my e-mail")
    quiet(admin)
    assert admin.slack.modal(TEAM, BIA) is None
    assert "Which e-mail address" in answer
    assert "/s/" in admin.written(BIA, ADDRESS)


def test_a_window_that_slack_does_not_open_is_no_loss(admin):
    for fault in ("ratelimited", "500", "drop_before", "drop_after", "invalid_arguments", "not_found"):
        admin.slack.fail("views.open", fault)
        admin.written(BIA, "menu")
        assert "Which e-mail address" in admin.tapped(BIA, "Connect my e-mail")
        quiet(admin)
    assert "/s/" in admin.written(BIA, ADDRESS)


def test_a_window_that_cannot_be_brought_up_to_date_keeps_no_message_back(admin):
    for fault in ("not_found", "hash_conflict", "ratelimited", "500", "drop_before", "drop_after"):
        admin.written(BIA, "menu")
        admin.tapped(BIA, "Connect my e-mail")
        admin.window(BIA, "Which e-mail address")
        before = len(said(admin, BIA))
        admin.slack.fail("views.update", fault, times=2)
        admin.slack.type_in(TEAM, BIA, {"address": ADDRESS})
        admin.slack.submit(TEAM, BIA)
        admin.work()
        quiet(admin)
        admin.slack._world.faults.clear()
        assert ["/s/" in one for one in said(admin, BIA)[before:]] == [True]
        admin.clock.move(hours=2)


def test_a_window_that_was_closed_meanwhile_is_not_followed_any_more(admin):
    admin.tapped(BIA, "Connect my e-mail")
    admin.window(BIA, "Which e-mail address")
    admin.slack.close_modal(TEAM, BIA)
    assert {row.view_id for row in admin.rows(tables.slack_screen)} == {""}
    asked = len([one for one in admin.slack.requests if one.method == "views.update"])
    assert "/s/" in admin.written(BIA, ADDRESS)
    assert len([one for one in admin.slack.requests if one.method == "views.update"]) == asked


def test_a_window_that_closes_before_it_is_known_to_be_is_forgotten_at_the_first_update(admin):
    admin.tapped(BIA, "Connect my e-mail")
    admin.window(BIA, "Which e-mail address")
    with admin.slack._world.changed:
        admin.slack._world.workspaces[TEAM].modals.clear()
    assert "/s/" in admin.written(BIA, ADDRESS)
    assert {row.view_id for row in admin.rows(tables.slack_screen)} == {""}


def test_the_same_window_submitted_twice_quickly_is_done_once(admin):
    admin.tapped(BIA, "Connect my e-mail")
    admin.window(BIA, "Which e-mail address")
    admin.slack.type_in(TEAM, BIA, {"address": ADDRESS})
    with admin.slack._world.changed:
        view = admin.slack._views.told(admin.slack._client.top(TEAM, BIA))
        payloads = [
            {**admin.slack._payloads.about(TEAM, BIA, "view_submission", view["id"]), "view": view} for _ in range(2)
        ]
    for one in [payloads[0], *payloads]:  # the same, the same again, and one more press
        assert admin.slack._courier.interaction(one, {})[-1].status_code == 200
    assert len(admin.promised("Discover")) == 1
    admin.work()
    quiet(admin)
    assert len([one for one in said(admin, BIA) if "/s/" in one]) == 1


def test_a_window_whose_question_is_closed_says_so_and_does_nothing(admin):
    admin.tapped(BIA, "Connect my e-mail")
    admin.window(BIA, "Which e-mail address")
    admin.written(BIA, "menu")
    before = len(admin.rows(tables.promise))
    with admin.slack._world.changed:
        view = {"id": "V0OLD", "hash": "1.1", "type": "modal", "callback_id": "mailbox.address"}
        view["state"] = {"values": {"address": {"value": {"type": "plain_text_input", "value": ADDRESS}}}}
        old = {**admin.slack._payloads.about(TEAM, BIA, "view_submission", "V0OLD"), "view": view}
    answer = admin.slack._courier.interaction(old, {})[-1]
    assert answer.json()["response_action"] == "update"
    admin.work()
    assert not admin.promised("Discover", "todo", "done")
    assert len(admin.rows(tables.promise)) == before + 1
    assert "What would you like to do" in admin.read(BIA)


def test_a_window_without_its_fields_is_asked_again(admin):
    admin.tapped(BIA, "Connect my e-mail")
    admin.window(BIA, "Which e-mail address")
    odd = ({}, {"address": {}}, {"address": {"value": {}}}, {"address": {"value": {"value": None}}}, {"x": None}, "x",
           {"x": {"value": {"value": "y"}}}, {"address": "x"}, {"address": {"value": {"value": ["x"]}}})  # fmt: skip
    for number, values in enumerate(odd):
        with admin.slack._world.changed:
            view = {"id": "V0ODD", "type": "modal", "callback_id": "mailbox.address", "state": {"values": values}}
            view["hash"] = str(number)
            told = {**admin.slack._payloads.about(TEAM, BIA, "view_submission", "V0ODD"), "view": view}
        assert admin.slack._courier.interaction(told, {})[-1].status_code == 200, values
        admin.work()
    assert not admin.rows(tables.dead_letter)
    assert not admin.promised("Discover", "todo", "done")
    assert "/s/" in admin.written(BIA, ADDRESS)


def test_a_page_of_the_home_that_cannot_be_is_the_last_one(admin):
    admin.home(BIA)
    for page in ("9" * 200, "-1", "x", "", "²", "1e5"):
        with admin.slack._world.changed:
            tap = admin.slack._payloads.about(TEAM, BIA, "block_actions", "")
        action = {"type": "button", "action_id": "a", "block_id": "b", "value": f"home:page:{page}", "action_ts": "1.1"}
        tap |= {"actions": [action], "view": {"id": "V1", "type": "home", "team_id": TEAM}}
        assert admin.slack._courier.interaction(tap, {})[-1].status_code == 200
        admin.work()
    assert "Connect our e-mail" in admin.home(BIA)


# --- a Slack that is ill ----------------------------------------------------------------------------------------------


def posts(kit):
    return [one for one in kit.slack.requests if one.method == "chat.postMessage"]


def test_a_storm_of_429_is_waited_out_as_slack_wishes_and_the_order_is_kept(kit):
    kit.written(ANA, "menu")
    before = len(said(kit))
    kit.slack.fail("chat.postMessage", "ratelimited", times=3, retry_after=30)
    for words in ("help", "english", "menu"):
        kit.slack.say(TEAM, ANA, words)
    kit.work()
    tried = len(posts(kit))
    kit.clock.move(seconds=29.9)
    kit.work()
    assert len(posts(kit)) == tried
    for _ in range(4):
        kit.clock.move(seconds=38)
        kit.work()
    after = said(kit)[before:]
    assert "I have an invitation" in after[-1]
    assert not kit.promised("Speak", "todo", "doing", "failed")
    spoken = [int(one.arguments["metadata"]["event_payload"]["promise"]) for one in posts(kit)][-len(after) :]
    assert spoken == sorted(spoken)
    assert spoken == [row.id for row in kit.promised("Speak", "done")][-len(after) :]


def test_a_message_of_which_nobody_knows_is_said_exactly_once_where_the_channel_is_known(kit):
    kit.written(ANA, "menu")
    for fault in ("500", "503", "drop_before", "drop_after", "fatal_error", "internal_error"):
        before = len(said(kit))
        kit.slack.fail("chat.postMessage", fault)
        kit.slack.say(TEAM, ANA, f"help {fault}")
        for _ in range(3):
            kit.work()
            kit.clock.move(minutes=1)
        assert len(said(kit)) == before + 1, fault
        assert not kit.promised("Speak")


def test_the_first_message_ever_of_which_nobody_knows_is_said_at_least_once(kit):
    kit.slack.fail("chat.postMessage", "drop_after")
    kit.slack.event(TEAM, {**HELLO, "channel": kit.slack.dm_id(TEAM, ANA)})
    for _ in range(4):
        kit.work()
        kit.clock.move(minutes=1)
    assert len(said(kit)) >= 1
    assert not kit.promised("Speak")


def test_a_history_that_cannot_be_read_holds_the_message_back_until_it_can(kit):
    kit.written(ANA, "menu")
    before = len(said(kit))
    kit.slack.fail("chat.postMessage", "drop_after")
    kit.slack.fail("conversations.history", "ratelimited", times=2, retry_after=60)
    kit.slack.say(TEAM, ANA, "help")
    for _ in range(6):
        kit.work()
        kit.clock.move(minutes=2)
    assert len(said(kit)) == before + 1


def test_with_a_dead_token_nothing_is_tried_over_and_over(kit):
    kit.written(ANA, "menu")
    for code in ("token_revoked", "account_inactive", "invalid_auth", "not_authed"):
        kit.slack.fail("chat.postMessage", code)
        kit.slack.say(TEAM, ANA, f"help {code}")
        tried = len(posts(kit))
        for _ in range(3):
            kit.work()
            kit.clock.move(minutes=10)
        assert len(posts(kit)) == tried + 1
        assert not kit.promised("Speak")


def test_a_missing_scope_is_told_to_the_operator_and_the_message_waits(kit, caplog):
    kit.written(ANA, "menu")
    before = len(said(kit))
    with kit.slack._world.changed:
        kit.workspace.scopes = kit.workspace.scopes - {"chat:write"}
    kit.slack.say(TEAM, ANA, "help")
    with caplog.at_level(logging.ERROR):
        kit.work()
    assert "chat:write" in caplog.text
    assert "manifest" in caplog.text
    assert len(kit.promised("Speak")) == 1
    with kit.slack._world.changed:
        kit.workspace.scopes = kit.workspace.scopes | {"chat:write"}
    kit.clock.move(seconds=299)
    kit.work()
    assert len(said(kit)) == before
    kit.clock.move(seconds=80)
    kit.work()
    assert len(said(kit)) == before + 1


def test_who_is_gone_is_not_written_to_again_and_again(kit):
    kit.written(ANA, "menu")
    kit.slack.say(TEAM, ANA, "help")
    kit.slack.deactivate(TEAM, ANA)
    tried = len(posts(kit))
    for _ in range(4):
        kit.work()
        kit.clock.move(minutes=5)
    assert len(posts(kit)) == tried + 1
    assert not kit.promised("Speak")


def test_a_flood_of_one_person_ends_and_is_not_queued_for_ever(kit):
    kit.slack.fail("chat.postMessage", "503", times=10_000)
    for number in range(130):
        assert posted(kit, json.dumps(wrapped(HELLO, f"x{number}")).encode()).status_code == 200
    assert len(kit.promised("Speak")) <= 101
