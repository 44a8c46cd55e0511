import json
import re
import smtplib
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from browser import served
from flask import Flask, Response, request
from playground_site import performed, sentence

from bot.app import _clock as join_clock
from bot.app import network
from bot.channels.whatsapp import Outgoing, Twilio
from bot.mail.knowledge.providers import Providers
from bot.mail.wire.account import Account
from bot.mail.wire.probe import Worked, test_login
from bot.playground import mail_room, phones
from bot.playground import stage as stage_room
from bot.playground.identity import ADDRESSES, CONSENTS, SMTP_SEND
from bot.playground.mail import FAULTS
from bot.playground.stage import Stage
from bot.settings import load
from bot.store import people
from bot.store.engine import reading
from bot.vault import new_key
from bot.web import playground as room
from flows.reading import invitation_code
from flows.words import LANGUAGES
from tests.botkit import eventually

MODULES = sorted(one.name for one in (Path(room.__file__).parent / "static" / "playground").glob("*.js"))
ANA, BRUNO = "ana@sandbox.test", "bruno@sandbox.test"
SOL = ADDRESSES[0]
NUMBER = "+5511912345678"
PATIENCE = 10


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


class Bot:
    """A bot that notes what it hears, and answers each message with `status` as soon as `may_answer` is set."""

    def __init__(self):
        self.heard = []
        self.status = 200
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.app = Flask("bot")
        self.app.add_url_rule("/whatsapp", view_func=self.take, methods=["POST"])

    def take(self):
        self.heard.append(request.form.to_dict())
        self.may_answer.wait(PATIENCE)
        return Response(status=self.status)

    def has_heard(self, messages):
        """Wait until so many have come."""
        eventually(lambda: len(self.heard) == messages, f"{messages} messages", within=PATIENCE)


@pytest.fixture
def bot():
    bot = Bot()
    with served(bot.app) as address:
        bot.address = address
        yield bot
        bot.may_answer.set()


@pytest.fixture
def stage(home, bot):
    with Stage(home, f"{bot.address}/whatsapp") as stage:
        yield stage
        bot.may_answer.set()


@pytest.fixture
def answer(stage):
    """Speaks to the person with the phone as the bot does it."""
    twilio = Twilio(
        stage.twilio.account_sid, stage.twilio.auth_token, stage.twilio.sender, Book(), api_url=stage.twilio.url
    )
    yield twilio
    twilio.close()


class Book(dict):
    def put(self, name, sid):
        self[name] = sid


def ask(stage, path, wish=None, **more):
    method = "GET" if wish is None else "POST"
    return requests.request(method, f"{stage.url}{path}", json=wish, timeout=PATIENCE, **more)


def say(stage, body="Oi", **more):
    return ask(stage, "/say", {"from": NUMBER, "body": body, **more}).status_code


def phone(stage, after=0):
    return ask(stage, f"/phone/{NUMBER}?after={after}").json()


def reached(stage, status):
    """Wait until the newest message of the person came so far."""
    deadline = time.monotonic() + PATIENCE
    while (now := list(phone(stage)["statuses"].values())[-1:]) != [status]:
        assert time.monotonic() < deadline, f"it is {now} and not {status}"
        threading.Event().wait(0.02)  # between two looks


# --- the stage ------------------------------------------------------------------------------------------------------


def test_the_product_signs_in_to_the_sandbox_with_the_settings_of_the_stage(stage):
    own = {"PUBLIC_URL": "http://127.0.0.1:8000", "SECRET_KEYS": new_key()}
    settings = load(own | stage.environment())
    provider = Providers.load(settings.providers_extra).for_address(ANA, datetime.now(UTC).date())
    assert (provider.name, provider.demand) == ("Sandbox Mail", "password")
    for server in provider.servers:
        account = Account(ANA, provider.user_for(ANA), server)
        tried = test_login(account, stage.sandbox.passwords[ANA], network=network(settings), provider=provider.family)
        assert isinstance(tried, Worked)
        assert not tried.repaired


def test_the_settings_lead_back_to_the_site_that_takes_the_messages(stage, bot):
    environment = stage.environment()
    assert environment["PRIVACY_URL"] == f"{bot.address}/privacy"
    assert environment["PLAYGROUND_URL"] == stage.url


def test_what_a_person_writes_and_taps_reaches_the_bot_in_order(stage, bot):
    bot.may_answer.clear()
    assert say(stage, "one", profile_name="Ana") == 202
    assert say(stage, "two") == 202
    assert ask(stage, "/say", {"from": NUMBER, "button": "menu.choice:write"}).status_code == 202
    bot.may_answer.set()
    bot.has_heard(3)
    first, second, third = bot.heard
    assert (first["Body"], first["ProfileName"], first["From"]) == ("one", "Ana", f"whatsapp:{NUMBER}")
    assert second["Body"] == "two"
    assert third["ButtonPayload"] == "menu.choice:write"


def test_the_ticks_follow_a_message_until_it_is_read(stage, bot, answer):
    bot.may_answer.clear()
    say(stage)
    reached(stage, "sent")
    bot.may_answer.set()
    reached(stage, "delivered")
    answer.send(NUMBER, Outgoing("Hello"), f"{bot.address}/none")
    reached(stage, "read")
    assert [(one["mine"], one["text"]) for one in phone(stage)["messages"]] == [(True, "Oi"), (False, "Hello")]


@pytest.mark.parametrize("status", [400, 500, 503])
def test_a_message_that_the_bot_does_not_take_is_marked(stage, bot, status):
    bot.status = status
    say(stage)
    reached(stage, "failed")


def test_a_bot_that_is_not_there_is_a_mark_too(home):
    with Stage(home, "http://127.0.0.1:1/whatsapp") as stage:
        assert say(stage) == 202
        reached(stage, "failed")


def test_typing_is_shown_until_the_answer_comes(stage, bot, answer):
    say(stage)
    reached(stage, "delivered")
    assert not phone(stage)["typing"]
    assert answer.typing(bot.heard[0]["MessageSid"])
    assert phone(stage)["typing"]
    reached(stage, "read")
    answer.send(NUMBER, Outgoing("Hello"), f"{bot.address}/none")
    assert not phone(stage)["typing"]


def test_typing_ends_by_itself(stage, bot, answer, monkeypatch):
    say(stage)
    reached(stage, "delivered")
    answer.typing(bot.heard[0]["MessageSid"])
    monkeypatch.setattr(phones, "TYPING_TIME", phones.TYPING_TIME * 0)
    assert not phone(stage)["typing"]


def test_a_phone_shows_only_what_is_new_and_only_its_own(stage):
    say(stage, "old")
    say(stage, "new")
    assert ask(stage, "/say", {"from": "+34600000000", "body": "somebody else"}).status_code == 202
    first, second = phone(stage)["messages"]
    assert [one["text"] for one in phone(stage, first["number"])["messages"]] == ["new"]
    assert phone(stage, second["number"])["messages"] == []


def test_a_stage_that_was_started_anew_says_so(home, stage):
    with Stage(home, "http://127.0.0.1:1/whatsapp") as another:
        assert phone(another)["world"] != phone(stage)["world"]
        assert phone(another)["messages"] == []


@pytest.mark.parametrize(
    "wish",
    [
        {"body": "no number"},
        {"from": "12345678", "body": "no plus"},
        {"from": "+55119", "body": "too short"},
        {"from": NUMBER},
        {"from": NUMBER, "body": ""},
        {"from": NUMBER, "body": " \n"},
        {"from": NUMBER, "body": 7},
        {"from": NUMBER, "body": None},
        {"from": NUMBER, "body": "x" * 4097},
        {"from": NUMBER, "body": "half \ud83d"},
        {"from": NUMBER, "button": "x" * 201},
        {"from": NUMBER, "body": "both", "button": "menu.choice:write"},
        {"from": NUMBER, "body": "both", "file": "photo"},
        {"from": NUMBER, "file": "virus"},
        {"from": NUMBER, "file": ""},
        {"from": NUMBER, "body": "unknown", "forge": "yes"},
        {"from": NUMBER, "body": "name", "profile_name": "x" * 101},
        ["not", "an", "object"],
    ],
)
def test_a_wish_that_no_phone_could_have_is_refused(stage, bot, wish):
    assert ask(stage, "/say", wish).status_code == 400
    assert phone(stage)["messages"] == []
    assert bot.heard == []


@pytest.mark.parametrize(
    ("path", "status"), [("/phone/mailboxes", 400), ("/phone/%2B1", 400), ("/nothing", 404), ("/say", 405)]
)
def test_questions_that_make_no_sense_get_a_problem(stage, path, status):
    answered = ask(stage, path)
    assert answered.status_code == status
    assert answered.json()["problem"]


def test_what_is_too_large_is_not_read(stage):
    assert say(stage, "x" * stage_room.MAX_REQUEST) == 413


def test_a_person_who_writes_faster_than_the_bot_answers_has_to_wait(stage, bot, monkeypatch):
    monkeypatch.setattr(phones, "ON_THE_PHONE", 0.01)
    bot.may_answer.clear()
    assert [say(stage) for _ in range(phones.MAX_WAITING)] == [202] * phones.MAX_WAITING
    assert say(stage) == 429


def test_other_sites_do_not_get_through_by_another_name(stage):
    assert ask(stage, "/mailboxes", headers={"Host": "evil.example:80"}).status_code == 403
    assert ask(stage, "/say", {"from": NUMBER, "body": "Oi"}, headers={"Host": "evil.example"}).status_code == 403


def test_the_mailboxes_show_inbox_sent_passwords_and_where_other_mail_would_have_gone(stage):
    for subject in ("first", "second"):
        post(stage, subject, [BRUNO, "client@example.com"])
    shown = ask(stage, "/mailboxes").json()["mailboxes"]
    boxes = {box["address"]: box for box in shown}
    assert boxes[ANA]["password"] == stage.sandbox.passwords[ANA]
    assert [mail["subject"] for mail in boxes[BRUNO]["inbox"]] == ["second", "first"]
    assert boxes[BRUNO]["sent"] == []
    mail = boxes[BRUNO]["inbox"][0]
    assert (mail["from"], mail["text"].strip(), mail["at"]) == (ANA, "Olá", "2026-11-25T13:00:00+00:00")
    assert (shown[-1]["address"], shown[-1]["password"]) == ("", "")
    assert shown[-1]["inbox"][0]["to"] == "client@example.com"


def test_a_mail_with_a_broken_date_and_an_endless_text_is_shown_all_the_same(stage):
    post(stage, "odd", [BRUNO], date="some day", text=f"{'x' * 900}\n" * 100)
    mail = ask(stage, "/mailboxes").json()["mailboxes"][1]["inbox"][0]
    assert (mail["subject"], mail["at"]) == ("odd", "")
    assert len(mail["text"]) <= mail_room.SHOWN_CHARACTERS


def post(stage, subject, to, date="Wed, 25 Nov 2026 13:00:00 +0000", text="Olá"):
    head = ["Content-Type: text/plain; charset=utf-8", f"From: {ANA}", f"To: {BRUNO}"]
    lines = [*head, f"Subject: {subject}", f"Date: {date}", "", *text.split("\n"), ""]
    raw = "\r\n".join(lines).encode()
    trusting = ssl.create_default_context(cafile=stage.sandbox.ca_pem)
    with smtplib.SMTP_SSL("localhost", stage.sandbox.ports["smtps"], context=trusting, timeout=PATIENCE) as client:
        client.login(ANA, stage.sandbox.passwords[ANA])
        client.sendmail(ANA, to, raw)


@pytest.mark.parametrize("kind", FAULTS)
def test_the_mail_server_can_be_broken_and_mended(stage, kind):
    assert ask(stage, "/refuse", {"kind": kind}).json() == {"fault": kind}
    assert ask(stage, "/mailboxes").json()["fault"] == kind
    assert ask(stage, "/refuse", {"kind": None}).status_code == 200
    assert ask(stage, "/mailboxes").json()["fault"] is None
    post(stage, "it works again", [BRUNO])


@pytest.mark.parametrize("kind", ["unknown", 7, [], ""])
def test_an_unknown_fault_changes_nothing(stage, kind):
    assert ask(stage, "/refuse", {"kind": kind}).status_code == 400
    assert ask(stage, "/mailboxes").json()["fault"] is None


def test_who_decides_about_signing_in_can_be_switched(stage):
    for by in CONSENTS:
        assert ask(stage, "/consent", {"by": by}).json() == {"consent": by}
        assert ask(stage, "/mailboxes").json()["consent"] == by
    for by in ("nobody", None, 7, []):
        assert ask(stage, "/consent", {"by": by}).status_code == 400
    assert stage.identity.consent == CONSENTS[-1]


def test_the_sign_in_that_was_allowed_last_is_taken_back_if_there_is_one(stage, client_of):
    assert ask(stage, "/revoke", {}).json() == {"address": ""}
    client_of(SOL)
    assert requests.post(f"{stage.url}/revoke", timeout=10).status_code == 415, "any page could send that"
    assert ask(stage, "/revoke", {}).json() == {"address": SOL}
    assert ask(stage, "/revoke", {}).json() == {"address": ""}


@pytest.fixture
def client_of(stage):
    """Lets somebody sign in, at once."""

    def signs_in(address):
        asked = {"scope": SMTP_SEND, "redirect_uri": "", "nonce": "", "challenge": ""}
        code = stage.identity.take(stage.identity.allow(address, **asked))
        stage.identity.grant(code, "access", "refresh")

    return signs_in


def test_the_mailboxes_that_take_no_password_show_none(stage):
    boxes = {box["address"]: box for box in ask(stage, "/mailboxes").json()["mailboxes"]}
    assert [boxes[address]["password"] for address in ADDRESSES] == [""] * len(ADDRESSES)


def test_the_second_domain_is_one_where_people_sign_in(stage):
    own = {"PUBLIC_URL": "http://127.0.0.1:8000", "SECRET_KEYS": new_key()}
    settings = load(own | stage.environment())
    provider = Providers.load(settings.providers_extra).for_address(SOL, datetime.now(UTC).date())
    assert (provider.sign_in, provider.demand, provider.family) == ("microsoft", "oauth_only", "microsoft")
    assert settings.microsoft_authority.startswith("http://127.0.0.1:")
    assert settings.graph_url.rpartition(":")[2] in settings.smtp_allow_ports


def test_a_stage_that_cannot_start_leaves_nothing_behind(home, monkeypatch):
    before = set(threading.enumerate())
    monkeypatch.setattr(stage_room, "_provider", lambda ports, _today: ports["no such port"])
    with pytest.raises(KeyError), Stage(home, "http://127.0.0.1:1/whatsapp"):
        pass
    assert set(threading.enumerate()) <= before


# --- the page -------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def texts(monkeypatch):
    monkeypatch.setattr(room, "sentence", sentence)


@pytest.fixture
def site(home, database_url):
    with performed(home, database_url, worker=False) as site:
        yield site


@pytest.fixture
def client(site):
    return site.app.test_client()


def page(client, path="/playground", **headers):
    answered = client.get(path, headers=headers)
    return answered, answered.get_data(as_text=True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_the_language_that_was_chosen_or_that_the_browser_asks_for(client, language):
    headline = sentence("playground.lead", language)
    assert headline in page(client, Accept_Language=f"fr, {language};q=0.9")[1]
    assert headline in page(client, f"/playground?language={language}")[1]
    assert headline in page(client, Accept_Language="en, pt;q=0.5")[1]
    without_script = page(client)[1].partition("<noscript>")[2].partition("</noscript>")[0]
    assert sentence("playground.needs_script", language) in without_script


def test_an_unknown_language_is_not_remembered(client):
    answered, words = page(client, "/playground?language=de", Accept_Language="es")
    assert sentence("playground.lead", "es") in words
    assert "Set-Cookie" not in answered.headers


def test_the_page_may_load_and_ask_nothing_but_our_own(client):
    answered, words = page(client)
    policy = answered.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self';")
    assert policy.endswith("connect-src 'self'")
    assert "unsafe" not in policy
    assert " style=" not in words
    assert " onclick=" not in words
    loaded = re.findall(r"/playground/static/[\w.]+", words)
    assert len(loaded) > 5
    for name in {*loaded, *(f"/playground/static/{one}" for one in MODULES)}:
        with client.get(name) as file:
            assert file.status_code == 200


def test_every_word_of_the_page_is_there_in_every_language(client):
    for language in LANGUAGES:
        words = json.loads(
            page(client, f"/playground?language={language}")[1].partition('id="words">')[2].split("<")[0]
        )
        assert set(words) == set(room.WORDS)
        assert {f"fault_{kind}" for kind in FAULTS} < set(words)


EVERY_QUESTION = [
    ("GET", f"/playground/api/phone/{NUMBER}"),
    ("GET", "/playground/api/mailboxes"),
    ("POST", "/playground/api/say"),
    ("POST", "/playground/api/refuse"),
    ("POST", "/playground/api/invitation"),
    ("POST", "/playground/api/clock"),
    ("POST", "/playground/api/consent"),
    ("POST", "/playground/api/revoke"),
    ("POST", "/playground/api/arrive"),
    ("GET", "/playground/api/office/pt"),
    ("POST", "/playground/api/office/pt/admin"),
    ("GET", f"/playground/api/tour/{NUMBER}"),
]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "localhost.evil.example", "[::2]:80"])
def test_a_foreign_name_for_this_machine_is_refused(client, host):
    for method, path in [*EVERY_QUESTION, ("GET", "/playground")]:
        assert client.open(path, method=method, json={}, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
    ],
)
def test_no_other_site_can_ask(client, site, headers):
    for method, path in EVERY_QUESTION:
        assert client.open(path, method=method, json={"language": "pt"}, headers=headers).status_code == 403
    with reading(site.parts.engine) as db:
        assert people.agencies(db) == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_form_of_another_site_can_send_is_refused(client, content_type):
    wish = json.dumps({"from": NUMBER, "body": "Oi"})
    assert client.post("/playground/api/say", data=wish, content_type=content_type).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000"])
def test_our_own_page_can_ask_under_every_name_of_this_machine(client, host):
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    wish = {"from": NUMBER, "body": "Oi"}
    assert client.post("/playground/api/say", json=wish, headers=headers).status_code == 202


def test_our_own_page_can_ask_under_the_name_that_people_know(home, site):
    known = site.parts.settings.model_copy(update={"public_url": "https://demo.example.com:8443"})
    view = room._Playground(StandsFor(site.parts, known))
    with site.app.test_request_context("/playground", headers={"Host": "demo.example.com:8443"}):
        assert view.admit() is None


class StandsFor:
    """The parts with other settings."""

    def __init__(self, parts, settings):
        self.engine, self.clock, self.settings = parts.engine, parts.clock, settings


def test_what_is_said_on_the_page_is_on_the_phone(client):
    assert client.post("/playground/api/say", json={"from": NUMBER, "body": "Olá *você*"}).status_code == 202
    shown = client.get(f"/playground/api/phone/{NUMBER}?after=0").get_json()
    assert [one["text"] for one in shown["messages"]] == ["Olá *você*"]
    number = shown["messages"][0]["number"]
    assert client.get(f"/playground/api/phone/{NUMBER}?after={number}").get_json()["messages"] == []


def test_the_page_sees_the_mailboxes_and_breaks_the_server(client, site):
    boxes = client.get("/playground/api/mailboxes").get_json()["mailboxes"]
    assert [box["address"] for box in boxes][:2] == [ANA, BRUNO]
    assert client.post("/playground/api/refuse", json={"kind": "greylist"}).status_code == 200
    assert client.get("/playground/api/mailboxes").get_json()["fault"] == "greylist"
    assert client.post("/playground/api/refuse", json={"kind": "unknown"}).status_code == 400


@pytest.mark.parametrize(
    "path",
    ["nothing", "phone/..%2Fmailboxes", "phone/%2E%2E", "phone/a?after=x", "phone/", "office/%2E%2E", "office/a%3Fb"],
)
def test_nothing_else_of_the_stage_can_be_reached(client, path):
    answered = client.get(f"/playground/api/{path}")
    assert answered.status_code in {400, 404}
    assert "mailboxes" not in answered.get_data(as_text=True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_invitation_is_a_sentence_with_a_fresh_code_of_one_agency(client, site, language):
    texts = [client.post("/playground/api/invitation", json={"language": language}).get_json()["text"] for _ in "ab"]
    codes = {invitation_code(text) for text in texts}
    assert len(codes) == 2
    assert None not in codes
    assert texts[0].startswith(sentence("invitation.text", language, code="\0").split("\0")[0])
    with reading(site.parts.engine) as db:
        assert [agency.name for agency in people.agencies(db)] == [room.AGENCY]


@pytest.mark.parametrize("wish", [{}, {"language": "de"}, {"language": None}, {"language": ["pt"]}, ["pt"], "pt", 7])
def test_an_invitation_in_no_language_of_ours_is_refused(client, wish):
    assert client.post("/playground/api/invitation", json=wish).status_code == 400


def test_invitations_are_not_made_without_end(client):
    answers = [client.post("/playground/api/invitation", json={"language": "pt"}).status_code for _ in range(31)]
    assert answers == [200] * 30 + [429]


def test_a_stage_that_is_gone_is_a_plain_problem(client, site):
    site.stage.__exit__()
    for path in (f"phone/{NUMBER}", "mailboxes", "office/en"):
        answered = client.get(f"/playground/api/{path}")
        assert answered.status_code == 502
        assert answered.get_json()["problem"]
    assert client.post("/playground/api/say", json={"from": NUMBER, "body": "Oi"}).status_code == 502


def test_what_is_too_large_stops_in_either_direction(client, monkeypatch):
    assert client.post("/playground/api/say", json={"body": "x" * room.MAX_BODY}).status_code == 413
    monkeypatch.setattr(room, "MAX_ANSWER", 10)
    assert client.get("/playground/api/mailboxes").status_code == 502


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"nope"])
def test_what_is_no_json_is_refused(client, raw):
    for path in ("say", "refuse", "invitation", "clock", "arrive", "office/en/admin"):
        sent = client.post(f"/playground/api/{path}", data=raw, content_type="application/json")
        assert sent.status_code == 400


# --- files, the clock, Slack ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "content_type", "shown"),
    [
        ("photo", "image/png", {"kind": "image", "name": ""}),
        ("document", "application/pdf", {"kind": "application", "name": "voucher.pdf"}),
        ("voice", "audio/ogg", {"kind": "audio", "name": ""}),
    ],
)
def test_a_file_goes_to_the_bot_and_is_seen_on_the_phone(stage, bot, file, content_type, shown):
    assert ask(stage, "/say", {"from": NUMBER, "file": file}).status_code == 202
    reached(stage, "delivered")
    assert (bot.heard[0]["MediaContentType0"], bot.heard[0]["NumMedia"]) == (content_type, "1")
    (message,) = phone(stage)["messages"]
    assert (message["text"], message["files"]) == ("", [shown])


def test_time_passes_for_all_processes_and_all_stand_ins_at_once(tmp_path, bot):
    with Stage(tmp_path, f"{bot.address}/whatsapp") as stage:
        own = {"PUBLIC_URL": "http://127.0.0.1:8000", "SECRET_KEYS": new_key()}
        clock = join_clock(load(own | stage.environment()))
        begun = clock.now()
        told = ask(stage, "/clock", {"by": "day"}).json()["now"]
        assert timedelta(days=1) <= clock.now() - begun < timedelta(days=1, minutes=1)
        assert datetime.fromisoformat(told) <= clock.now()
        say(stage)
        assert datetime.fromisoformat(phone(stage)["messages"][0]["at"]) >= begun + timedelta(days=1)
        assert ask(stage, "/mailboxes").json()["now"] >= told
    with Stage(tmp_path, f"{bot.address}/whatsapp") as again:  # what is promised for tomorrow is in the database
        assert again.clock.now() - begun >= timedelta(days=1)


def test_the_next_working_morning_is_nine_in_sao_paulo(stage, monkeypatch):
    friday = datetime(2026, 3, 6, 18, tzinfo=UTC)
    monday = datetime(2026, 3, 9, 12, tzinfo=UTC)
    assert stage_room._morning(friday) == monday
    assert stage_room._morning(friday - timedelta(days=1)) == datetime(2026, 3, 6, 12, tzinfo=UTC)


@pytest.mark.parametrize("wish", [{}, {"by": None}, {"by": "week"}, {"by": -5}, ["day"]])
def test_time_goes_no_other_way(stage, wish):
    assert ask(stage, "/clock", wish).status_code == 400


def test_outside_the_playground_nobody_moves_the_clock(tmp_path):
    ahead = tmp_path / "ahead"
    ahead.write_text("86400")
    settings = load({"PLAYGROUND_CLOCK": str(ahead)})
    assert abs(join_clock(settings).now() - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("path", "wish", "status"),
    [
        ("/office/en/admin", {"do": "fly"}, 400),
        ("/office/en/admin", {"do": "say", "text": " "}, 400),
        ("/office/en/admin", {"do": "say", "text": "half \ud83d"}, 400),
        ("/office/en/admin", {"do": "tap", "value": "nothing", "where": "home"}, 409),
        ("/office/en/admin", {"do": "submit", "values": {}}, 409),
        ("/office/en/admin", {"do": "submit", "values": {"a": [1]}}, 400),
        ("/office/en/desk", {"do": "say", "text": "x", "thread": "1.000001"}, 409),
        ("/office/en/desk", {"do": "delete", "ts": "1.000001"}, 409),
        ("/office/en/boss", {"do": "home"}, 400),
        ("/office/de/admin", {"do": "home"}, 400),
        ("/office/en/admin", ["home"], 400),
    ],
)
def test_what_nobody_in_slack_could_do_is_refused(stage, path, wish, status):
    assert ask(stage, path, wish).status_code == status


def test_a_bot_that_does_not_take_what_is_done_in_slack_is_a_problem(stage):
    assert ask(stage, "/office/en/admin", {"do": "home"}).status_code == 502  # this bot knows no such address


def test_what_the_page_knows_already_is_not_drawn_again(stage):
    first = ask(stage, "/office/en").json()
    assert set(first) == {"seen", "admin", "desk"}
    assert ask(stage, f"/office/en?seen={first['seen']}").json() == {"seen": first["seen"]}
    assert set(ask(stage, f"/office/pt?seen={first['seen']}").json()) == {"seen", "admin", "desk"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_opens_the_page_finds_an_admin_who_reads_its_language(client, site, language):
    for _ in "ab":
        assert client.post("/playground/api/arrive", json={"language": language}).status_code == 202
    with reading(site.parts.engine) as db:
        (agency,) = people.agencies(db)
        assert (agency.name, agency.language, agency.members) == (room.AGENCY, language, 1)
        assert [one.role for one in people.members(db, agency.id)] == ["admin"]


def test_the_tour_begins_with_nothing_done(client):
    found = client.get(f"/playground/api/tour/{NUMBER}").get_json()
    assert set(found["done"]) < set(room.TOUR)
    assert not any(found["done"].values())
    assert found["refusals"] == 0
