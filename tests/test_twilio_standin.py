import queue
import socket
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest
import requests
from flask import Flask, Response, request
from werkzeug.serving import make_server

from bot.channels import Identity, Refused
from bot.channels.whatsapp import Outgoing, Twilio, genuine, read, read_status, render
from bot.playground.twilio import TwilioStandIn
from flows.speech import Button, Message

NUMBER = "+351912345678"
LIST = render(Message("Which?", tuple(Button(f"m.p:{n}", f"Choice {n}") for n in range(4)), "en"))
BUTTONS = render(Message("Sure?", (Button("m.c:yes", "Yes"), Button("m.c:no", "No")), "en"))


class Book(dict):
    def put(self, name, sid):
        self[name] = sid


class Bot:
    """A bot that only notes what reaches it, and whether it is genuine."""

    def __init__(self, token):
        self.seen = queue.Queue()
        self.status = 200
        self.token = token
        app = Flask("bot")
        app.add_url_rule("/<path:_path>", view_func=self.take, methods=["POST"])
        self.server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def take(self, _path):
        raw = request.get_data()
        url = f"{self.url}{request.environ['RAW_URI']}"
        signed = genuine(url, request.form, request.headers.get("X-Twilio-Signature"), self.token)
        self.seen.put((request.form, request.args, signed, raw))
        return Response(status=self.status if signed else 403)

    def next(self):
        return self.seen.get(timeout=10)

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def stand_in():
    with TwilioStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def bot(stand_in):
    bot = Bot(stand_in.auth_token)
    stand_in.webhook_url = bot.url + "/whatsapp?a=%7Bx%7D"
    yield bot
    bot.stop()


@pytest.fixture
def twilio(stand_in):
    twilio = Twilio(stand_in.account_sid, stand_in.auth_token, stand_in.sender, Book(), api_url=stand_in.url)
    yield twilio
    twilio.close()


@pytest.fixture
def nowhere():
    """An address where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}/"


def post(stand_in, path="Messages", **form):
    url = f"{stand_in.url}/2010-04-01/Accounts/{stand_in.account_sid}/{path}.json"
    form = {"To": "whatsapp:" + NUMBER, "From": stand_in.sender, "Body": "hi"} | form
    given = {key: value for key, value in form.items() if value is not None}
    return requests.post(url, data=given, auth=(stand_in.account_sid, stand_in.auth_token), timeout=10)


# --- the person writes -----------------------------------------------------------------------------------------------


def test_what_the_person_writes_reaches_the_bot_signed(stand_in, bot):
    assert stand_in.say(NUMBER, "Olá & adeus ✉️ +1", profile_name="Ana", external_id="PT.abc") == 200
    form, _, signed, _ = bot.next()
    inbound = read(form)
    assert signed
    assert (inbound.text, inbound.name) == ("Olá & adeus ✉️ +1", "Ana")
    assert inbound.identity == Identity("whatsapp", NUMBER, "PT.abc")
    assert inbound.message_id in stand_in.records


def test_a_hidden_number_is_told_nowhere(stand_in, bot):
    stand_in.say(NUMBER, "hi", external_id="PT.abc", hidden=True)
    form, *_ = bot.next()
    assert read(form).identity == Identity("whatsapp", None, "PT.abc")
    assert not any(NUMBER.removeprefix("+") in value for value in form.values())


def test_an_answer_to_the_id_reaches_the_same_phone(stand_in, bot, twilio):
    stand_in.say(NUMBER, "hi", external_id="PT.abc", hidden=True)
    twilio.send("PT.abc", Outgoing("hello"), bot.url + "/status")
    assert [one.body for one in stand_in.phone(NUMBER)] == ["hello"]


def test_a_forged_webhook_is_not_genuine(stand_in, bot):
    assert stand_in.say(NUMBER, "hi", forge=True) == 403


def test_a_doubled_and_a_replayed_webhook_have_the_same_sid(stand_in, bot):
    stand_in.say(NUMBER, "hi", times=2)
    sid = read(bot.next()[0]).message_id
    stand_in.say(NUMBER, "hi", sid=sid)
    assert {read(bot.next()[0]).message_id for _ in range(2)} == {sid}
    assert len(stand_in.records) == 1


def test_further_parameters_and_raw_bodies_are_sent_as_they_are(stand_in, bot):
    stand_in.say(NUMBER, "hi", extra={"SomethingNew": "2027"})
    assert bot.next()[0]["SomethingNew"] == "2027"
    stand_in.say(NUMBER, raw=b"\xff\xfe\x00Body=")
    assert bot.next()[3] == b"\xff\xfe\x00Body="


def test_a_location_and_media_come_with_their_kind(stand_in, bot):
    stand_in.say(NUMBER, location=(38.7, -9.1))
    assert read(bot.next()[0]).kind == "location"
    stand_in.say(NUMBER, media=[("audio/ogg", b"sound")])
    form, *_ = bot.next()
    assert read(form).kind == "voice"
    assert form["MessageSid"].startswith("MM")


def here(stand_in, url):
    """The place in the stand-in of an address at one of Twilio's hosts."""
    return url.replace("https://api.twilio.com", stand_in.url).replace(
        "https://mms.twiliocdn.com", f"{stand_in.url}/mms"
    )


def media(stand_in, bot, **more):
    """The address of a file that a person sends, and the signed one to which the account is sent on."""
    stand_in.say(NUMBER, media=[("audio/ogg", b"sound")], **more)
    url = here(stand_in, bot.next()[0]["MediaUrl0"])
    auth = (stand_in.account_sid, stand_in.auth_token)
    answer = requests.get(url, auth=auth, timeout=10, allow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["Location"].startswith("https://mms.twiliocdn.com/")
    return url, here(stand_in, answer.headers["Location"])


def test_media_is_for_the_account_only_and_gone_with_its_message(stand_in, bot, twilio):
    url, signed = media(stand_in, bot)
    auth = (stand_in.account_sid, stand_in.auth_token)
    assert requests.get(url, timeout=10).status_code == 401
    assert requests.get(url[:-4] + "0000", auth=auth, timeout=10).status_code == 404
    answer = requests.get(signed, timeout=10)
    assert (answer.status_code, answer.content, answer.headers["Content-Type"]) == (200, b"sound", "audio/ogg")
    (sid,) = stand_in.records
    twilio.erase(sid)
    assert requests.get(url, auth=auth, timeout=10).status_code == 404
    assert requests.get(signed, timeout=10).status_code == 404


def test_the_host_of_the_files_takes_a_signature_and_nothing_else(stand_in, bot):
    _, signed = media(stand_in, bot)
    auth = (stand_in.account_sid, stand_in.auth_token)
    assert requests.get(signed, auth=auth, timeout=10).status_code == 400
    assert requests.get(signed.partition("?")[0], timeout=10).status_code == 403
    assert requests.get(signed.replace("Expires=", "Expires=9"), timeout=10).status_code == 403
    assert requests.get(signed[:-1], timeout=10).status_code == 403


def test_a_signed_address_runs_out_after_four_hours():
    at = [datetime(2026, 11, 26, 9, 0, tzinfo=UTC)]
    with TwilioStandIn(now=lambda: at[0]) as stand_in:
        bot = Bot(stand_in.auth_token)
        stand_in.webhook_url = bot.url + "/whatsapp"
        try:
            _, signed = media(stand_in, bot)
        finally:
            bot.stop()
        at[0] += timedelta(hours=4)
        assert requests.get(signed, timeout=10).status_code == 200
        at[0] += timedelta(seconds=1)
        assert requests.get(signed, timeout=10).status_code == 403


def test_the_name_of_a_file_is_told_as_the_body_without_a_caption_and_always_with_the_bytes(stand_in, bot):
    for more, body in (({}, "Olá.ogg"), ({"body": "listen"}, "listen")):
        _, signed = media(stand_in, bot, file_name="Olá.ogg", **more)
        assert stand_in.phone(NUMBER, mine=True)[-1].body == body
        assert "filename*=UTF-8''Ol%C3%A1.ogg" in requests.get(signed, timeout=10).headers["Content-Disposition"]


def test_files_are_listed_and_deleted_one_by_one(stand_in, bot):
    stand_in.say(NUMBER, "two", media=[("audio/ogg", b"sound"), ("image/png", b"png")])
    sid = bot.next()[0]["MessageSid"]
    base = f"{stand_in.url}/2010-04-01/Accounts/{stand_in.account_sid}/Messages/{sid}/Media"
    auth = (stand_in.account_sid, stand_in.auth_token)
    listed = requests.get(f"{base}.json", auth=auth, timeout=10).json()["media_list"]
    assert [(one["content_type"], one["parent_sid"]) for one in listed] == [("audio/ogg", sid), ("image/png", sid)]
    first = f"{base}/{listed[0]['sid']}.json"
    assert requests.delete(first, auth=auth, timeout=10).status_code == 204
    assert requests.delete(first, auth=auth, timeout=10).status_code == 404
    assert requests.get(f"{base}.json", auth=auth, timeout=10).json()["media_list"] == listed[1:]
    assert stand_in.records[sid]["num_media"] == "1"


@pytest.mark.parametrize(("shown", "button", "label"), [(BUTTONS, "m.c:no", "No"), (LIST, "m.p:2", "Choice 2")])
def test_a_tap_sends_the_label_and_the_id(stand_in, bot, twilio, shown, button, label):
    stand_in.set_window(None)
    stand_in.statuses = ()
    twilio.send(NUMBER, shown, bot.url + "/status")
    stand_in.say(NUMBER, button=button)
    inbound = read(bot.next()[0])
    assert (inbound.text, inbound.button) == (label, button)


def test_a_tap_on_a_button_that_was_never_shown_sends_what_is_given(stand_in, bot):
    stand_in.say(NUMBER, "Yes", button="old.question:yes")
    inbound = read(bot.next()[0])
    assert (inbound.text, inbound.button) == ("Yes", "old.question:yes")


# --- the bot sends ---------------------------------------------------------------------------------------------------


def test_statuses_are_told_signed_and_in_order(stand_in, bot, twilio):
    stand_in.say(NUMBER, "hi")
    bot.next()
    twilio.send(NUMBER, Outgoing("hello"), bot.url + "/status?promise=5")
    told = [bot.next() for _ in range(3)]
    assert [read_status(form, args).status for form, args, *_ in told] == ["sent", "delivered", "read"]
    assert {(read_status(form, args).promise_id, signed) for form, args, signed, _ in told} == {(5, True)}
    assert stand_in.wait_for(NUMBER, lambda shown: shown[-1].status == "read")[0].body == "hello"


def test_statuses_can_be_doubled_and_overtake_each_other(stand_in, bot, twilio):
    stand_in.set_window(None)
    stand_in.statuses = ("read", "sent", "read")
    twilio.send(NUMBER, Outgoing("hello"), bot.url + "/status")
    assert [bot.next()[0]["MessageStatus"] for _ in range(3)] == ["read", "sent", "read"]


def test_an_unreachable_status_callback_holds_nothing_up(stand_in, twilio, nowhere):
    stand_in.set_window(None)
    twilio.send(NUMBER, Outgoing("one"), nowhere)
    twilio.send(NUMBER, Outgoing("two"), nowhere)
    stand_in.wait_for(NUMBER, lambda shown: [one.status for one in shown] == ["read", "read"])


def test_outside_the_window_a_message_is_taken_and_fails(bot):
    clock = [datetime(2026, 11, 25, tzinfo=UTC)]
    with TwilioStandIn(webhook_url=bot.url + "/whatsapp", now=lambda: clock[0]) as stand_in:
        bot.token = stand_in.auth_token
        twilio = Twilio(stand_in.account_sid, stand_in.auth_token, stand_in.sender, Book(), api_url=stand_in.url)
        twilio.send(NUMBER, Outgoing("unasked"), bot.url + "/status")
        assert read_status(*bot.next()[:2]).error == "63016"
        stand_in.say(NUMBER, "hi")
        bot.next()
        clock[0] += timedelta(hours=24)
        twilio.send(NUMBER, Outgoing("in time"), bot.url + "/status")
        clock[0] += timedelta(seconds=1)
        sid = twilio.send(NUMBER, Outgoing("too late"), bot.url + "/status").provider_id
        stand_in.wait_until(lambda: stand_in.records[sid]["status"] == "failed")
        twilio.close()
    assert [one.body for one in stand_in.phone(NUMBER)] == ["in time"]
    assert stand_in.records[sid]["error_code"] == 63016


def test_with_buttons_more_than_1024_characters_fail_at_whatsapp(stand_in, bot, twilio):
    stand_in.say(NUMBER, "hi")
    long = Outgoing("x" * 1030, BUTTONS.content, {"1": "x" * 1030})
    sid = twilio.send(NUMBER, long, bot.url + "/status").provider_id
    stand_in.wait_until(lambda: stand_in.records[sid]["error_code"] == 63021)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"To": None}, 400, 21604),
        ({"To": NUMBER}, 400, 21211),
        ({"From": None}, 400, 21603),
        ({"From": "whatsapp:+15550199999"}, 400, 63007),
        ({"MessagingServiceSid": "MGother"}, 404, 20404),
        ({"Body": None}, 400, 21619),
        ({"Body": " "}, 400, 21619),
        ({"Body": "x" * 1601}, 400, 21617),
        ({"StatusCallback": "https://my_host.example.com/"}, 400, 21609),
        ({"StatusCallback": "nowhere"}, 400, 21609),
        ({"ContentVariables": "{}"}, 400, 21654),
        ({"ContentSid": "HX" + "0" * 32}, 400, 21655),
        ({"path": "Nothing"}, 404, 20404),
    ],
    ids=repr,
)
def test_what_twilio_refuses_is_refused(stand_in, change, status, code):
    answer = post(stand_in, **change)
    assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (status, code, status)


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ("Sure?", 21656),
        ("[]", 21656),
        ('{"1": ""}', 21656),
        ('{"1": null}', 21656),
        ('{"1": "a\\nb"}', 21656),
        ('{"1": "a     b"}', 21656),
        (f'{{"1": "{"x" * 1601}"}}', 21658),
    ],
)
def test_variables_are_a_json_object_of_single_lines(stand_in, bot, twilio, variables, code):
    stand_in.set_window(None)
    twilio.send(NUMBER, BUTTONS, bot.url + "/status")
    answer = post(stand_in, Body=None, ContentSid=next(iter(stand_in.contents)), ContentVariables=variables)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_stranger_and_another_account_get_nothing(stand_in):
    url = f"{stand_in.url}/2010-04-01/Accounts/{stand_in.account_sid}/Messages.json"
    assert requests.get(url, auth=(stand_in.account_sid, "guess"), timeout=10).json()["code"] == 20003
    auth = (stand_in.account_sid, stand_in.auth_token)
    other = url.replace(stand_in.account_sid, "AC" + "0" * 32)
    assert requests.get(other, auth=auth, timeout=10).json()["code"] == 20404


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"language": "en", "types": {}, "kind": "unknown"},
        {"twilio/quick-reply": {"body": "?", "actions": [{"id": "a", "title": "x" * 21}]}},
        {"twilio/quick-reply": {"body": "?", "actions": [{"id": "a", "title": "x"}] * 4}},
        {"twilio/quick-reply": {"body": "?", "actions": []}},
        {"twilio/quick-reply": {"body": "x" * 1025, "actions": [{"id": "a", "title": "x"}]}},
        {"twilio/quick-reply": {"body": "", "actions": [{"id": "a", "title": "x"}]}},
        {"twilio/quick-reply": {"body": "?", "actions": [{"id": "x" * 201, "title": "x"}]}},
        {"twilio/list-picker": {"body": "?", "button": "Go", "items": [{"id": "a", "item": "x" * 25}]}},
        {"twilio/list-picker": {"body": "?", "button": "x" * 21, "items": [{"id": "a", "item": "x"}]}},
        {"twilio/list-picker": {"body": "?", "button": "Go", "items": [{"id": "a", "item": "x"}] * 11}},
        {"twilio/carousel": {"body": "?"}},
    ],
)
def test_content_beyond_the_limits_is_refused(stand_in, wish):
    body = {"language": "en", "types": wish} if any(key.startswith("twilio/") for key in wish) else {"types": 1}
    auth = (stand_in.account_sid, stand_in.auth_token)
    answer = requests.post(f"{stand_in.url}/content/v1/Content", json=body, auth=auth, timeout=10)
    assert answer.status_code == 400
    assert stand_in.contents == {}


def test_a_record_can_only_be_emptied(stand_in, bot):
    stand_in.say(NUMBER, "hi")
    sid = read(bot.next()[0]).message_id
    assert post(stand_in, f"Messages/{sid}", Body="other").json()["code"] == 30400
    assert post(stand_in, f"Messages/{sid}", Body="").json()["body"] == ""
    assert [one.body for one in stand_in.phone(NUMBER, mine=True)] == ["hi"]


def test_the_list_refuses_a_filter_it_does_not_know(stand_in):
    url = f"{stand_in.url}/2010-04-01/Accounts/{stand_in.account_sid}/Messages.json?DateSent=2026-11-25"
    answer = requests.get(url, auth=(stand_in.account_sid, stand_in.auth_token), timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (400, 20001)


def test_every_request_is_on_record_until_there_are_too_many(stand_in):
    post(stand_in, Body="to be found")
    seen = stand_in.requests[-1]
    assert (seen.method, seen.fields["Body"]) == ("POST", "to be found")
    assert parse_qs(seen.body.decode())["Body"] == ["to be found"]
    assert stand_in._account.requests.maxlen == 5000


def test_what_is_kept_is_bounded(stand_in, monkeypatch):
    monkeypatch.setattr("bot.playground.twilio_api.KEPT_MESSAGES", 3)
    stand_in.statuses = ()
    sids = [post(stand_in).json()["sid"] for _ in range(5)]
    assert list(stand_in.records) == sids[2:]


def test_a_full_queue_takes_no_more(stand_in, monkeypatch):
    def full(_message):
        raise queue.Full

    with monkeypatch.context() as patch:
        patch.setattr(stand_in._account.outbox, "put_nowait", full)
        assert post(stand_in).json()["code"] == 21611
    assert stand_in.records == {}


# --- faults and waiting ----------------------------------------------------------------------------------------------


def test_faults_are_played_in_turn_for_their_path_only(stand_in):
    stand_in.fail_next(429, 20429, retry_after=3, times=2, path="Messages")
    stand_in.fail_next(500, 20500, path="Nowhere")
    answers = [post(stand_in) for _ in range(3)]
    assert [one.status_code for one in answers] == [429, 429, 201]
    assert answers[0].headers["Retry-After"] == "3"


def test_waiting_for_what_never_comes_ends_and_says_what_is_shown(stand_in):
    with pytest.raises(TimeoutError, match=r"the phone shows \[\]"):
        stand_in.wait_for(NUMBER, timeout=0.05)


def test_many_people_at_once_lose_nothing(stand_in, bot):
    people = [f"+35191{n:07d}" for n in range(8)]

    def talk(number):
        for n in range(5):
            assert stand_in.say(number, str(n)) == 200

    threads = [threading.Thread(target=talk, args=(number,)) for number in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = [read(bot.next()[0]) for _ in range(40)]
    assert len({one.message_id for one in seen}) == 40
    assert Counter(one.identity.address for one in seen) == dict.fromkeys(people, 5)


def test_it_can_be_stopped_and_started_again_with_what_it_knew(bot):
    stand_in = TwilioStandIn(webhook_url=bot.url + "/whatsapp").start()
    bot.token = stand_in.auth_token
    stand_in.say(NUMBER, "hi")
    with pytest.raises(RuntimeError):
        stand_in.start()
    stand_in.stop()
    stand_in.stop()
    port = int(stand_in.url.rsplit(":", 1)[1])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)
    stand_in.start(port)
    assert len(stand_in.records) == 1
    assert post(stand_in).status_code == 201
    stand_in.stop()


# --- the page of the playground --------------------------------------------------------------------------------------


def test_the_page_says_and_shows(stand_in, bot, twilio):
    stand_in.statuses = ()
    said = {"from": NUMBER, "body": "hi", "profile_name": "Ana"}
    assert requests.post(stand_in.url + "/standin/say", json=said, timeout=10).json() == {"status": 200}
    assert read(bot.next()[0]).name == "Ana"
    twilio.send(NUMBER, BUTTONS, bot.url + "/status")
    shown = requests.get(f"{stand_in.url}/standin/phone/{NUMBER}", timeout=10).json()
    assert [(one["mine"], one["body"]) for one in shown] == [(True, "hi"), (False, "Sure?\n\n1 Yes\n2 No")]
    assert shown[1]["buttons"] == [["m.c:yes", "Yes"], ["m.c:no", "No"]]
    later = requests.get(f"{stand_in.url}/standin/phone/{NUMBER}?after={shown[0]['number']}", timeout=10).json()
    assert later == shown[1:]
    assert all("/standin/" not in one.path for one in stand_in.requests)


def test_the_page_is_told_when_the_bot_does_not_answer(stand_in, nowhere):
    stand_in.webhook_url = nowhere
    answer = requests.post(stand_in.url + "/standin/say", json={"from": NUMBER}, timeout=10)
    assert (answer.status_code, answer.json()["status"]) == (502, None)


@pytest.mark.parametrize("said", [[], {"from": "whatsapp:x"}, {}, {"from": NUMBER, "body": 1}])
def test_what_the_page_cannot_mean_is_refused(stand_in, bot, said):
    assert requests.post(stand_in.url + "/standin/say", json=said, timeout=10).status_code == 400


def test_a_form_of_another_page_and_another_host_name_are_refused(stand_in, bot):
    url = stand_in.url + "/standin/say"
    assert requests.post(url, data={"from": NUMBER}, timeout=10).status_code == 415
    elsewhere = {"Host": "evil.example.com"}
    assert requests.post(url, json={"from": NUMBER}, headers=elsewhere, timeout=10).status_code == 403
    phone = f"{stand_in.url}/standin/phone/"
    assert requests.get(phone + NUMBER, headers=elsewhere, timeout=10).status_code == 403
    assert requests.get(phone + "nobody", timeout=10).status_code == 400


# --- files that go out ------------------------------------------------------------------------------------------------


@pytest.fixture
def shelf():
    """A place for files: what is answered to HEAD and to GET; and what was asked."""
    app, asked = Flask("shelf"), []
    app.told = {"HEAD": "image/png", "GET": "image/png"}
    app.content, app.status = b"png", 200

    def file():
        asked.append(request.method)
        return Response(app.content, app.status, content_type=app.told[request.method])

    app.add_url_rule("/m/x", view_func=file, methods=["GET"])
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    app.url, app.asked = f"http://127.0.0.1:{server.server_port}/m/x", asked
    yield app
    server.shutdown()
    thread.join()
    server.server_close()


def gone_out(stand_in, url, **more):
    """The record of a message with a file, once it has come to its end."""
    twilio = Twilio(stand_in.account_sid, stand_in.auth_token, stand_in.sender, Book(), api_url=stand_in.url)
    stand_in.set_window(None)
    sid = twilio.send_file(NUMBER, more.get("body", ""), url, "http://127.0.0.1:1/status").provider_id
    twilio.close()
    stand_in.wait_until(lambda: stand_in.records[sid]["status"] in {"read", "failed"})
    return stand_in.records[sid]


def test_a_file_is_asked_for_by_head_and_get_and_comes_with_its_words(stand_in, shelf):
    assert gone_out(stand_in, shelf.url, body="look")["status"] == "read"
    assert shelf.asked == ["HEAD", "GET"]
    assert [(one.body, one.files) for one in stand_in.phone(NUMBER)] == [("look", (("image/png", ""),))]


def test_a_file_without_words_is_a_message(stand_in, shelf):
    assert gone_out(stand_in, shelf.url)["num_media"] == "1"


@pytest.mark.parametrize(
    ("head", "get", "content", "status", "error"),
    [
        ("image/png", "image/png", b"png", 404, 63019),
        ("image/png", "image/png", b"", 200, 63019),
        ("image/png", "image/png", bytes(5 * 1024 * 1024 + 1), 200, 63019),
        ("image/png", "image/jpeg", b"png", 200, 12300),
        ("text/html", "text/html", b"<p>", 200, 12300),
    ],
)
def test_a_file_that_is_none_fails_its_message(stand_in, shelf, head, get, content, status, error):
    shelf.told, shelf.content, shelf.status = {"HEAD": head, "GET": get}, content, status
    record = gone_out(stand_in, shelf.url)
    assert (record["status"], record["error_code"]) == ("failed", error)


def test_an_address_that_is_none_is_refused_at_once(stand_in):
    with pytest.raises(Refused) as refused:
        gone_out(stand_in, "ftp://127.0.0.1/x")
    assert refused.value.code == "21620"
