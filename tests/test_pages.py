"""The routes: only Twilio's own words are heard, whatever else comes in; and every answer keeps its manners."""

import gzip
import random
from html import unescape
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest
import structlog
from structlog.testing import capture_logs

from bot.app import create_app
from bot.channels.whatsapp import sign
from bot.limits import Exhausted
from bot.log import Seldom
from bot.store import conversations, tables
from bot.vault import new_key
from bot.web import pages
from bot.web.headers import HEADERS, HSTS
from bot.web.pages import EMPTY_TWIML, MAX_BODY
from bot.web.proxies import visitor
from flows.speech import texts
from tests.botkit import Kit, run_sql, table_of_providers

PUBLIC = "https://bot.example.com"
ACCOUNT, AUTH = f"AC{'0' * 32}", "girafa-token"
SETTINGS = {
    "TWILIO_ACCOUNT_SID": ACCOUNT,
    "TWILIO_AUTH_TOKEN": AUTH,
    "TWILIO_WHATSAPP_FROM": "whatsapp:+15550100000",
    "TWILIO_API_URL": "http://127.0.0.1:9",
    "PUBLIC_URL": PUBLIC,
    "SECRET_KEYS": new_key(),
    "SUPPORT_CONTACT": "+1 555 0100",
    "PRIVACY_URL": "https://example.com/privacy",
    "METRICS_TOKEN": "girafa-metrics",
    "OPERATOR_NAME": "Example & Sons",
}
NUMBER = "+5511999990001"
EN = texts("en")


@pytest.fixture
def kit(database_url, tmp_path):
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path), **SETTINGS) as made:
        yield made


@pytest.fixture
def client(kit):
    app = create_app(kit.parts)
    app.testing = False  # an exception is answered, as in production
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app.test_client()


def message(sid="SM1", body="hi", **more):
    return {"MessageSid": sid, "AccountSid": ACCOUNT, "From": f"whatsapp:{NUMBER}", "Body": body, **more}


def post(client, form, path="/whatsapp", *, signature=None, public=PUBLIC, **more):
    """A webhook as Twilio sends it: signed for the address that it was told."""
    header = sign(f"{public}{path}", form, AUTH) if signature is None else signature
    headers = {"X-Twilio-Signature": header, **more.pop("headers", {})} if header else more.pop("headers", {})
    return client.post(path, data=form, headers=headers, **more)


def heard(kit):
    return [row.message_id for row in kit.rows(tables.inbound)]


# --- who is heard -----------------------------------------------------------------------------------------------------


def test_a_signed_message_is_heard_and_answered_with_nothing(kit, client):
    answer = post(client, message())
    assert (answer.status_code, answer.text, answer.mimetype) == (200, EMPTY_TWIML, "text/xml")
    assert heard(kit) == ["SM1"]
    assert [row.kind for row in kit.rows(tables.promise)] == ["Speak"]


@pytest.mark.parametrize(
    "signature", ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "ç", sign(f"{PUBLIC}/whatsapp", message(), "another token")]
)
def test_an_unsigned_or_forged_message_is_not_heard(kit, client, signature):
    header = signature.encode("utf-8").decode("latin-1")
    answer = post(client, message(), signature=header)
    assert answer.status_code == 403
    assert heard(kit) == []


@pytest.mark.parametrize(("path", "what"), [("/whatsapp", "Twilio"), ("/whatsapp/status", "Twilio")])
def test_a_webhook_that_is_refused_is_said_in_the_log_without_anything_of_it(kit, client, monkeypatch, path, what):
    monkeypatch.setattr(pages, "_seldom", Seldom(structlog.get_logger("of this test")))
    with capture_logs() as logs:
        post(client, message(body="girafa"), path, signature="AAAA")
        client.get("/metrics", headers={"Authorization": "Bearer girafa"})
    assert [(one["what"], one["times"]) for one in logs] == [(what, 1), ("metrics", 1)]
    assert "girafa" not in str(logs)


def test_a_signature_for_other_words_is_not_heard(kit, client):
    signature = sign(f"{PUBLIC}/whatsapp", message(body="hi"), AUTH)
    assert post(client, message(body="erase"), signature=signature).status_code == 403
    more = {**message(), "MediaUrl0": "x"}
    assert post(client, more, signature=signature).status_code == 403
    assert heard(kit) == []


def test_a_message_for_another_account_is_not_heard(kit, client):
    other = message(AccountSid=f"AC{'1' * 32}")
    assert post(client, other).status_code == 403
    without = {name: value for name, value in message().items() if name != "AccountSid"}
    assert post(client, without).status_code == 403
    assert heard(kit) == []


def test_a_replayed_message_is_heard_once(kit, client):
    for _ in range(3):
        assert post(client, message()).status_code == 200
    assert heard(kit) == ["SM1"]
    assert len(kit.rows(tables.promise)) == 1


def test_a_signature_holds_for_one_route_only(kit, client):
    form = message(MessageStatus="failed")
    signature = sign(f"{PUBLIC}/whatsapp", form, AUTH)
    assert post(client, form, "/whatsapp/status", signature=signature).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "evil.example.com", "X-Forwarded-Proto": "http"},
        {"X-Forwarded-Host": "bot.example.com:8443", "X-Forwarded-Port": "8443"},
        {"Forwarded": "host=evil.example.com;proto=http", "X-Forwarded-Prefix": "/evil"},
        {"Host": "evil.example.com"},
        {"X-Original-URL": "/privacy", "X-HTTP-Method-Override": "GET"},
    ],
)
def test_the_signature_is_for_our_public_address_whatever_a_proxy_or_a_caller_says(kit, client, headers):
    assert post(client, message(), headers=headers).status_code == 200
    signed_for_evil = post(client, message("SM2"), public="https://evil.example.com", headers=headers)
    assert signed_for_evil.status_code == 403
    assert heard(kit) == ["SM1"]


def test_the_raw_address_with_its_query_is_what_was_signed(kit, client):
    path = "/whatsapp?a=%7Bx%7D&b=%20"
    assert post(client, message(), path).status_code == 200
    assert (
        post(client, message("SM2"), path, signature=sign(f"{PUBLIC}/whatsapp", message("SM2"), AUTH)).status_code
        == 403
    )


def test_without_a_twilio_account_nobody_is_heard(database_url, tmp_path):
    with Kit(database_url, tmp_path) as playground:
        client = create_app(playground.parts).test_client()
        form = {**message(), "AccountSid": ""}
        header = sign("http://127.0.0.1:8000/whatsapp", form, "x")
        assert client.post("/whatsapp", data=form, headers={"X-Twilio-Signature": header}).status_code == 403


# --- what comes in ----------------------------------------------------------------------------------------------------


def test_a_body_that_is_too_large_is_refused_before_it_is_read(kit, client):
    answer = post(client, message(body="x" * MAX_BODY))
    assert answer.status_code == 413
    assert heard(kit) == []


def test_ten_thousand_characters_are_heard(kit, client):
    assert post(client, message(body="x" * 10_000)).status_code == 200
    assert heard(kit) == ["SM1"]
    assert kit.rows(tables.dead_letter) == []


@pytest.mark.parametrize(
    "body",
    ["👍", "🦒🦒🦒", "👩‍👩‍👧‍👦", "\u200b", "\u202e", "ação\r\n\tção", "مرحبا", "'; drop table contact; --", "{0}{x}%s"],
)
def test_any_words_have_an_answer(kit, client, body):
    assert post(client, message(body=body)).status_code == 200
    kit.work()
    assert kit.rows(tables.dead_letter) == []
    assert len([row for row in kit.rows(tables.message) if row.direction == "out"]) == 1


@pytest.mark.parametrize("seed", range(5))
def test_binary_bodies_are_refused(kit, client, seed):
    noise = random.Random(seed).randbytes(2000)
    for kind in (
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json",
        "text/xml",
        "x",
    ):
        answer = client.post("/whatsapp", data=noise, headers={"X-Twilio-Signature": "x"}, content_type=kind)
        assert answer.status_code in {400, 403}
    assert heard(kit) == []


def test_a_body_that_is_not_utf_8_is_refused(kit, client):
    form = urlencode(message(body="x")).encode() + b"&More=%ff%fe"
    signature = sign(f"{PUBLIC}/whatsapp", {**message(body="x"), "More": "\ufffd\ufffd"}, AUTH)
    kind = "application/x-www-form-urlencoded"
    for header in (signature, "x"):
        answer = client.post("/whatsapp", data=form, headers={"X-Twilio-Signature": header}, content_type=kind)
        assert answer.status_code in {200, 403}
    raw = b"MessageSid=SM9&Body=\xff\xfe\x00"
    assert client.post("/whatsapp", data=raw, headers={"X-Twilio-Signature": "x"}, content_type=kind).status_code == 403
    assert kit.rows(tables.dead_letter) == []


def test_a_compressed_body_is_no_form(client, kit):
    packed = gzip.compress(urlencode(message()).encode())
    headers = {"X-Twilio-Signature": sign(f"{PUBLIC}/whatsapp", message(), AUTH), "Content-Encoding": "gzip"}
    answer = client.post("/whatsapp", data=packed, headers=headers, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 403
    assert heard(kit) == []


def test_a_form_of_too_many_parts_is_refused(kit, client):
    parts = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="a%d"\r\n\r\nb\r\n' % number for number in range(500)
    )
    answer = client.post("/whatsapp", data=parts + b"--x--", content_type="multipart/form-data; boundary=x")
    assert answer.status_code in {403, 413}


@pytest.mark.parametrize(
    "form",
    [
        {"AccountSid": ACCOUNT},
        message(sid=""),
        message(sid="SM 1; drop"),
        message(sid="x" * 65),
        message(From="+15550100001"),
        message(From="whatsapp:"),
        message(From="whatsapp:+" + "9" * 400),
    ],
)
def test_a_genuine_webhook_that_cannot_be_read_is_answered_and_not_heard(kit, client, form):
    """An error would make Twilio send it again, and it would not be any better."""
    assert post(client, form).status_code == 200
    assert heard(kit) == []


def test_a_turn_that_raises_is_answered_well_and_kept_as_a_dead_letter(kit, client, monkeypatch):
    monkeypatch.setattr("bot.turns.converse", lambda *_: 1 / 0)
    assert post(client, message()).status_code == 200
    assert len(kit.rows(tables.dead_letter)) == 1


# --- what became of our messages --------------------------------------------------------------------------------------


def status(client, state, promise="", sid="SMours", **more):
    form = {"MessageSid": sid, "AccountSid": ACCOUNT, "MessageStatus": state, **more}
    return post(client, form, f"/whatsapp/status?promise={promise}" if promise else "/whatsapp/status")


def the_line(kit):
    (line,) = [row for row in kit.rows(tables.message) if row.direction == "out"]
    return line


def test_a_status_moves_forward_and_never_back(kit, client):
    post(client, message())
    promise = the_line(kit).promise_id
    seen = []
    for state in ("sent", "queued", "delivered", "sent", "read", "delivered"):
        assert status(client, state, promise).status_code == 200
        seen.append(the_line(kit).status)
    assert seen == ["sent", "sent", "delivered", "delivered", "read", "read"]
    assert the_line(kit).provider_id == "SMours"


def test_a_failure_is_noted_with_its_code_and_is_final(kit, client):
    post(client, message())
    status(client, "undelivered", the_line(kit).promise_id, ErrorCode="63016")
    status(client, "delivered", the_line(kit).promise_id)
    assert (the_line(kit).status, the_line(kit).error) == ("undelivered", "63016")


def test_a_status_without_our_number_is_found_by_twilios(kit, client):
    post(client, message())
    status(client, "sent", the_line(kit).promise_id)
    status(client, "delivered")
    assert the_line(kit).status == "delivered"


@pytest.mark.parametrize("promise", ["0", "99999", "999999999999999999", "-1", "1; drop", "x" * 500, "%00"])
def test_a_status_about_a_message_that_is_not_ours_changes_nothing(kit, client, promise):
    post(client, message())
    before = the_line(kit)
    assert status(client, "read", promise).status_code == 200
    assert the_line(kit) == before


@pytest.mark.parametrize("state", ["", "exploded", "DELIVERED"])
def test_an_unknown_status_changes_nothing(kit, client, state):
    post(client, message())
    before = the_line(kit)
    assert status(client, state, before.promise_id).status_code == 200
    assert the_line(kit) == before


def test_an_unsigned_status_changes_nothing(kit, client):
    post(client, message())
    before = the_line(kit)
    form = {"MessageSid": "SMours", "AccountSid": ACCOUNT, "MessageStatus": "read"}
    assert client.post(f"/whatsapp/status?promise={before.promise_id}", data=form).status_code == 403
    assert the_line(kit) == before


# --- pages for people and machines ------------------------------------------------------------------------------------


def test_the_process_lives_and_is_ready(client):
    assert (client.get("/healthz").text, client.get("/readyz").text) == ("ok\n", "ready\n")


@pytest.mark.parametrize("language", ["en", "pt", "es"])
@pytest.mark.parametrize(("path", "name"), [("/", "running"), ("/privacy", "privacy")])
def test_the_plain_pages_speak_the_browsers_language_and_escape_the_operators_name(client, language, path, name):
    page = client.get(path, headers={"Accept-Language": f"{language};q=0.9, de"})
    assert page.status_code == 200
    assert f'<html lang="{language}"' in page.text
    assert "Example &amp; Sons" in page.text
    assert texts(language)[f"web.{name}"].split("{")[0] in page.text


@pytest.mark.parametrize("language", ["en", "pt", "es"])
def test_the_privacy_page_says_what_why_who_how_long_and_which_rights(client, kit, language):
    page = unescape(client.get("/privacy", headers={"Accept-Language": language}).text)
    days, operator = str(kit.settings.retention_days), kit.settings.operator_name
    for name in ("privacy", "privacy_why", "privacy_who", "privacy_kept", "privacy_rights"):
        assert texts(language)[f"web.{name}"].format(operator=operator, days=days) in page
    assert "privacy_why" not in client.get("/").text


def test_numbers_are_for_whoever_has_the_token(kit, client):
    post(client, message())
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic girafa"}, {"Authorization": "ç"}):
        assert client.get("/metrics", headers=headers).status_code == 403
    answer = client.get("/metrics", headers={"Authorization": "Bearer girafa-metrics"})
    assert answer.status_code == 200
    assert 'ally_promises_due{lane="speak",state="todo"} 1.0' in answer.text
    assert "ally_conversations 1.0" in answer.text
    assert "ally_heard_seconds " in answer.text


def test_how_often_a_limit_said_no_stands_in_the_numbers(client):
    for number in range(63):
        client.get(f"/s/guess{number}")
    numbers = client.get("/metrics", headers={"Authorization": "Bearer girafa-metrics"}).text
    assert 'ally_limited_total{limit="page"} 3.0' in numbers
    assert 'ally_limited_total{limit="code"} 0.0' in numbers


def test_without_a_token_the_numbers_are_for_nobody(database_url, tmp_path):
    with Kit(database_url, tmp_path) as playground:
        client = create_app(playground.parts).test_client()
        assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 403


def test_a_one_time_page_is_looked_up_so_often_and_no_more(kit, client):
    answers = [client.get(f"/s/guess{number}").status_code for number in range(61)]
    assert answers == [410] * 60 + [429]
    assert client.get("/healthz").status_code == 200
    assert isinstance(kit.parts.limits.allow("page", "127.0.0.1"), Exhausted)
    kit.clock.move(minutes=1, seconds=1)
    assert client.get("/s/guess").status_code == 410


# --- behind a proxy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "told", "meant"),
    [
        ("10.0.0.2", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.2", "198.51.100.1, 203.0.113.7", "203.0.113.7"),  # the first one may be anybody's invention
        ("10.0.0.2", "203.0.113.7, 10.0.0.3", "203.0.113.7"),  # two of ours in a row
        ("10.0.0.2", "10.0.0.9", "10.0.0.9"),
        ("::ffff:10.0.0.2", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.2", "", "10.0.0.2"),
        ("10.0.0.2", "203.0.113.7, unknown", "10.0.0.2"),
        ("10.0.0.2", "203.0.113.7:443", "10.0.0.2"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # no proxy of ours
        ("", "198.51.100.1", ""),
    ],
)
def test_where_a_request_came_from_is_what_the_last_proxy_of_ours_says(peer, told, meant):
    assert visitor(peer, told, [ip_network("10.0.0.0/8")]) == meant


def looks(client, times, **more):
    return [client.get("/s/guess", **more).status_code for _ in range(times)]


def test_behind_our_proxy_nobody_uses_up_the_looks_of_others(database_url, tmp_path):
    with Kit(database_url, tmp_path, **SETTINGS, TRUSTED_PROXIES="127.0.0.1") as made:
        client = create_app(made.parts).test_client()
        one, other = ({"X-Forwarded-For": address} for address in ("203.0.113.7", "203.0.113.8"))
        assert looks(client, 61, headers=one) == [410] * 60 + [429]
        assert looks(client, 1, headers=other) == [410]
        forged = {"X-Forwarded-For": f"198.51.100.1, {one['X-Forwarded-For']}"}
        assert looks(client, 1, headers=forged) == [429]


def test_without_a_proxy_of_ours_no_word_about_where_a_request_came_from_is_believed(client):
    said = [client.get("/s/guess", headers={"X-Forwarded-For": f"203.0.113.{n}"}).status_code for n in range(61)]
    assert said == [410] * 60 + [429]


# --- manners ----------------------------------------------------------------------------------------------------------


def every_route(client):
    """Each route with a method that it takes, one that it does not take, and a few that are not there."""
    for rule in client.application.url_map.iter_rules():
        path = "/".join("x" if part.startswith("<") else part for part in rule.rule.split("/"))
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            yield method, path
    for path in ("/nowhere", "/../etc/passwd", "/%00", "/s/", "//evil.example.com", "/slack/events", "/playground"):
        yield "GET", path


def test_every_answer_of_every_route_carries_the_security_headers(client):
    seen = set()
    for method, path in every_route(client):
        answer = client.open(path, method=method)
        seen.add(answer.status_code)
        missing = [name for name in HEADERS if name not in answer.headers]
        assert missing == [], (method, path, answer.status_code)
        assert answer.headers["Strict-Transport-Security"] == HSTS
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert {200, 403, 404, 405} <= seen
    assert 500 not in seen


def test_without_https_nobody_is_told_to_insist_on_it(database_url, tmp_path):
    with Kit(database_url, tmp_path) as playground:
        answer = create_app(playground.parts).test_client().get("/")
        assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "code"), [("GET", "/nowhere", 404), ("GET", "/whatsapp", 405), ("PUT", "/", 405)]
)
def test_an_error_says_no_more_than_its_name(client, method, path, code):
    answer = client.open(path, method=method)
    assert answer.status_code == code
    assert "Traceback" not in answer.text
    assert "bot/" not in answer.text
    assert "Werkzeug" not in str(answer.headers)


def test_a_fault_of_ours_shows_no_stack_and_keeps_the_headers(client, monkeypatch):
    def fail(*_):
        raise RuntimeError("girafa-azul")

    monkeypatch.setattr(conversations, "delivered", fail)
    answer = status(client, "read", 1)
    assert answer.status_code == 500
    assert "girafa" not in answer.text
    assert "Traceback" not in answer.text
    assert [name for name in HEADERS if name not in answer.headers] == []


@pytest.mark.parametrize("host", ["evil.example.com", "bot.example.com@evil.example.com", "", "a" * 300, "[::1]:99999"])
def test_a_host_header_leads_nobody_anywhere(kit, client, host):
    for path in ("/", "/privacy", "/s/unknown", "/healthz"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code < 500
        assert "evil" not in answer.text
        assert "evil" not in answer.headers.get("Location", "")


def test_a_request_line_with_a_whole_address_is_not_taken_for_ours(kit, client):
    """HTTP allows `POST https://evil.example.com/whatsapp`: what was signed is never put together from it."""
    form = message()
    signature = sign("https://evil.example.com/whatsapp", form, AUTH)
    environ = {"RAW_URI": "https://evil.example.com/whatsapp"}
    answer = client.post("/whatsapp", data=form, headers={"X-Twilio-Signature": signature}, environ_overrides=environ)
    assert answer.status_code == 403
    assert heard(kit) == []


# --- without PostgreSQL -----------------------------------------------------------------------------------------------


@pytest.fixture
def without_database(kit, database_url, test_database):
    """PostgreSQL lets nobody in any more."""
    name = database_url.partition("@/")[2].partition("?")[0]
    kit.engine.dispose()
    test_database._run("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false", name)


@pytest.mark.own_database
def test_without_a_database_twilio_is_told_to_try_again(client, without_database):
    answer = post(client, message())
    assert answer.status_code == 503
    assert answer.text == EN["web.down"] + "\n"
    assert [name for name in HEADERS if name not in answer.headers] == []
    assert status(client, "read", 1).status_code == 503


@pytest.mark.own_database
def test_without_a_database_we_live_but_are_not_ready(client, without_database):
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503
    assert client.get("/").status_code == 200


@pytest.mark.own_database
@pytest.mark.parametrize("language", ["en", "pt", "es"])
def test_without_a_database_a_person_reads_a_sentence_in_their_language(client, without_database, language):
    answer = client.get("/s/token", headers={"Accept-Language": language})
    assert answer.status_code >= 500
    assert any(texts(language)[name] in answer.text for name in ("web.down", "page.trouble.text"))


@pytest.mark.own_database
def test_a_database_that_comes_back_is_used_at_once(kit, client, database_url, test_database, without_database):
    assert post(client, message()).status_code == 503
    test_database._run(
        "ALTER DATABASE {} WITH ALLOW_CONNECTIONS true", database_url.partition("@/")[2].partition("?")[0]
    )
    assert post(client, message()).status_code == 200
    assert heard(kit) == ["SM1"]


def test_a_database_whose_connections_all_died_is_used_at_once(kit, client):
    post(client, message())
    run_sql(kit.url, "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()")  # fmt: skip
    assert post(client, message("SM2")).status_code == 200
    assert heard(kit) == ["SM1", "SM2"]


# --- captured payloads ------------------------------------------------------------------------------------------------


def test_every_captured_payload_has_an_answer(kit, client):
    for number, path in enumerate(sorted(Path(__file__).parent.glob("payloads/whatsapp/[!s]*.txt"))):
        form = dict(parse_qsl(path.read_text(encoding="utf-8").strip(), keep_blank_values=True))
        form |= {"AccountSid": ACCOUNT, "MessageSid": f"SM{number}"}
        assert post(client, form).status_code == 200, path.name
    assert kit.rows(tables.dead_letter) == []
    assert len(heard(kit)) > 10
