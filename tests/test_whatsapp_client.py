import logging
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest
from twilio.base.exceptions import TwilioServiceException

from bot.channels import Later, Refused, Unclear
from bot.channels.whatsapp import Outgoing, Twilio, fate, render
from bot.channels.whatsapp.hosts import rewritten
from bot.playground.twilio import TwilioStandIn
from flows.speech import Button, Message

NUMBER = "+351912345678"
CALLBACK = "https://bot.example.com/whatsapp/status?promise=7"
PLAIN = Outgoing("Hello")
QUESTION = render(Message("It's\nright?", (Button("a.b:yes", "Yes"), Button("a.b:no", "No")), "en"))


class Book(dict):
    """The sids by name, as a table would hold them."""

    def put(self, name, sid):
        self[name] = sid


@pytest.fixture
def stand_in():
    with TwilioStandIn() as stand_in:
        stand_in.statuses = ()
        stand_in.set_window(None)
        yield stand_in


@pytest.fixture
def book():
    return Book()


@pytest.fixture
def twilio(stand_in, book):
    twilio = account(stand_in, book)
    yield twilio
    twilio.close()


def account(stand_in, book, **wishes):
    arguments = {"sender": stand_in.sender, "api_url": stand_in.url, "timeout": 5} | wishes
    return Twilio(stand_in.account_sid, stand_in.auth_token, contents=book, **arguments)


def bodies(stand_in):
    return [one.body for one in stand_in.phone(NUMBER)]


# --- sending ---------------------------------------------------------------------------------------------------------


def test_a_plain_message_is_accepted_under_twilios_sid(stand_in, twilio):
    accepted = twilio.send(NUMBER, PLAIN, CALLBACK)
    assert stand_in.records[accepted.provider_id]["body"] == "Hello"
    assert stand_in.requests[-1].fields == {
        "To": "whatsapp:" + NUMBER,
        "From": stand_in.sender,
        "Body": "Hello",
        "StatusCallback": CALLBACK,
    }


def test_somebody_with_a_hidden_number_is_reached_by_the_id(stand_in, twilio):
    twilio.send("US.9Zy8Xw7Vu6", PLAIN, CALLBACK)
    assert [one.body for one in stand_in.phone("US.9Zy8Xw7Vu6")] == ["Hello"]


def test_a_messaging_service_sends_in_the_place_of_a_number(stand_in, book):
    twilio = account(stand_in, book, sender=stand_in.service_sid)
    twilio.send(NUMBER, PLAIN, CALLBACK)
    twilio.close()
    assert stand_in.requests[-1].fields["MessagingServiceSid"] == stand_in.service_sid
    assert "From" not in stand_in.requests[-1].fields


def test_buttons_reach_the_phone_with_the_words_set_in(stand_in, twilio):
    twilio.send(NUMBER, QUESTION, CALLBACK)
    (bubble,) = stand_in.phone(NUMBER)
    assert bubble.body == "It's\nright?\n\n1 Yes\n2 No"
    assert bubble.buttons == (("a.b:yes", "Yes"), ("a.b:no", "No"))


def test_a_content_resource_is_made_once_for_all_messages_and_processes(stand_in, twilio, book):
    twilio.send(NUMBER, QUESTION, CALLBACK)
    other = account(stand_in, book)
    other.send(NUMBER, QUESTION, CALLBACK)
    other.close()
    assert book == {QUESTION.content.name: next(iter(stand_in.contents))}
    assert len(stand_in.contents) == 1


def test_the_book_of_content_resources_is_asked_once(stand_in, book, monkeypatch):
    book[QUESTION.content.name] = "HX" + 32 * "0"
    asked = []
    monkeypatch.setattr(Book, "get", lambda self, name: asked.append(name) or dict.get(self, name))
    twilio = account(stand_in, book)
    twilio._known(QUESTION.content.name, "")
    twilio._known(QUESTION.content.name, "")
    twilio.close()
    assert asked == [QUESTION.content.name]


def test_a_content_resource_that_another_process_made_anew_is_found_in_the_book(stand_in, twilio, book):
    twilio.send(NUMBER, QUESTION, CALLBACK)
    stand_in.forget_contents()
    other = account(stand_in, book)
    other.send(NUMBER, QUESTION, CALLBACK)  # it finds the old one lost, and makes another
    other.close()
    twilio.send(NUMBER, QUESTION, CALLBACK)
    assert len(stand_in.contents) == 1
    assert all(one.buttons for one in stand_in.phone(NUMBER))


def test_two_threads_make_one_content_resource(stand_in, twilio):
    start = threading.Barrier(4)

    def send():
        start.wait()
        twilio.send(NUMBER, QUESTION, CALLBACK)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stand_in.contents) == 1
    assert len(stand_in.phone(NUMBER)) == 4


def test_a_content_resource_that_was_deleted_is_made_anew_once(stand_in, twilio, book):
    twilio.send(NUMBER, QUESTION, CALLBACK)
    lost = book[QUESTION.content.name]
    stand_in.forget_contents()
    twilio.send(NUMBER, QUESTION, CALLBACK)
    assert book[QUESTION.content.name] != lost
    assert list(stand_in.contents) == [book[QUESTION.content.name]]
    assert [bool(one.buttons) for one in stand_in.phone(NUMBER)] == [True, True]


def test_content_that_twilio_never_takes_goes_out_as_numbered_text(stand_in, twilio):
    stand_in.fail_next(400, 21655, times=2, path="Messages")
    twilio.send(NUMBER, QUESTION, CALLBACK)
    (bubble,) = stand_in.phone(NUMBER)
    assert (bubble.body, bubble.buttons) == (QUESTION.body, ())
    assert len(stand_in.contents) == 2


def test_variables_that_twilio_does_not_take_go_out_as_numbered_text(stand_in, twilio):
    stand_in.fail_next(400, 21656, path="Messages")
    twilio.send(NUMBER, QUESTION, CALLBACK)
    assert bodies(stand_in) == [QUESTION.body]
    assert len(stand_in.contents) == 1


@pytest.mark.parametrize("status", [400, 429, 500])
def test_without_a_content_resource_numbered_text_goes_out_and_none_is_tried_for_a_minute(stand_in, book, status):
    clock = [0.0]
    twilio = account(stand_in, book, now=lambda: clock[0])
    stand_in.fail_next(status, 20001, path="Content")
    for clock[0] in (0.0, 59.0, 60.0):
        twilio.send(NUMBER, QUESTION, CALLBACK)
    twilio.close()
    assert bodies(stand_in) == [QUESTION.body] * 3
    assert [bool(one.buttons) for one in stand_in.phone(NUMBER)] == [False, False, True]


def test_a_refusal_that_is_not_about_the_content_is_not_tried_as_text(stand_in, twilio):
    stand_in.fail_next(400, 63024, path="Messages")
    with pytest.raises(Refused):
        twilio.send(NUMBER, QUESTION, CALLBACK)
    assert bodies(stand_in) == []


# --- how sending fails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "error", "seconds", "stop"),
    [
        (400, 63016, Refused, None, False),
        (400, 63024, Refused, None, False),
        (400, 63003, Refused, None, False),
        (400, 63013, Refused, None, False),
        (400, 63015, Refused, None, False),
        (400, 21617, Refused, None, False),
        (400, 99999, Refused, None, False),
        (400, 63014, Refused, None, True),
        (400, 21610, Refused, None, True),
        (400, 63018, Later, None, None),
        (400, 63119, Later, None, None),
        (429, 20429, Later, None, None),
        (429, 99999, Later, None, None),
        (429, 21611, Later, None, None),
        (503, 20503, Later, None, None),
        (401, 20003, Later, 300, None),
        (400, 63007, Later, 300, None),
        (500, 20500, Unclear, None, None),
        (502, 99999, Unclear, None, None),
        (504, 99999, Unclear, None, None),
        (302, 99999, Unclear, None, None),
    ],
)
def test_each_refusal_of_twilio_has_its_meaning(stand_in, twilio, status, code, error, seconds, stop):
    stand_in.fail_next(status, code)
    with pytest.raises(error) as failure:
        twilio.send(NUMBER, PLAIN, CALLBACK)
    assert failure.value.code == str(code)
    assert getattr(failure.value, "seconds", None) == seconds
    assert getattr(failure.value, "stop", None) == stop
    assert len(stand_in.requests) == 1


@pytest.mark.parametrize(("asked", "seconds"), [(7, 7), (999_999, 3600), (0, 0)])
def test_a_wait_that_twilio_asks_for_is_passed_on_within_bounds(stand_in, twilio, asked, seconds):
    stand_in.fail_next(429, 20429, retry_after=asked)
    with pytest.raises(Later) as failure:
        twilio.send(NUMBER, PLAIN, CALLBACK)
    assert failure.value.seconds == seconds


def test_a_wait_belongs_to_its_own_answer_only(stand_in, twilio):
    stand_in.fail_next(429, 20429, retry_after=7)
    stand_in.fail_next(400, 63018)
    with pytest.raises(Later):
        twilio.send(NUMBER, PLAIN, CALLBACK)
    with pytest.raises(Later) as failure:
        twilio.send(NUMBER, PLAIN, CALLBACK)
    assert failure.value.seconds is None


def test_an_answer_in_the_newer_form_of_problems_has_its_meaning_too(twilio, monkeypatch):
    def problem(**_what):
        raise TwilioServiceException("https://x", "Rate exceeded", 400, 63018)

    monkeypatch.setattr(type(twilio._client.messages), "create", lambda _self, **what: problem(**what))
    with pytest.raises(Later, match="63018: Rate exceeded"):
        twilio.send(NUMBER, PLAIN, CALLBACK)


def test_a_message_that_was_taken_without_an_answer_is_unclear_and_sent_once(stand_in, twilio):
    stand_in.drop_after_reading()
    with pytest.raises(Unclear):
        twilio.send(NUMBER, PLAIN, CALLBACK)
    assert bodies(stand_in) == ["Hello"]
    assert len(stand_in.requests) == 1


def test_an_answer_that_takes_too_long_is_unclear(stand_in, book):
    twilio = account(stand_in, book, timeout=0.2)
    stand_in.slow(30)
    with pytest.raises(Unclear):
        twilio.send(NUMBER, PLAIN, CALLBACK)
    twilio.close()
    assert bodies(stand_in) == ["Hello"]


def test_where_nobody_listens_nothing_was_taken(book):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        twilio = Twilio("AC1", "token", NUMBER, book, api_url=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(Later, match="cannot be reached"):
            twilio.send(NUMBER, PLAIN, CALLBACK)
        twilio.close()


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"sid": null}'])
def test_an_answer_that_makes_no_sense_is_unclear(book, answer):
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_once, args=(server, answer))
        thread.start()
        twilio = Twilio("AC1", "token", NUMBER, book, api_url=f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(Unclear):
            twilio.send(NUMBER, PLAIN, CALLBACK)
        twilio.close()
        thread.join()


def answer_once(server, answer):
    connection, _ = server.accept()
    with connection:
        connection.recv(65_536)
        head = f"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: {len(answer)}\r\n\r\n"
        connection.sendall(head.encode() + answer)


def test_a_failure_carries_nothing_of_what_was_said_nor_to_whom(stand_in, twilio):
    with pytest.raises(Refused) as failure:
        twilio.send("+1", Outgoing("https://bot.example.com/s/token"), CALLBACK)
    assert failure.value.code == "21211"
    assert "whatsapp:" not in str(failure.value)
    stand_in.drop_after_reading()
    with pytest.raises(Unclear) as failure:
        twilio.send(NUMBER, Outgoing("https://bot.example.com/s/token"), CALLBACK)
    assert failure.value.__context__ is None
    assert failure.value.__cause__ is None


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_an_account_without_sid_token_or_sender_is_refused_at_once(book, missing):
    given = ["AC1", "token", NUMBER]
    given[missing] = ""
    with pytest.raises(ValueError, match="Twilio needs"):
        Twilio(*given, book)


def test_without_another_base_twilio_itself_is_asked(book):
    twilio = Twilio("AC1", "token", NUMBER, book)
    url = "https://content.twilio.com/v1/Content?PageSize=1"
    assert rewritten(url, twilio._wire._api_url) == url
    twilio.close()


@pytest.mark.parametrize(
    ("code", "what"),
    [("63018", "later"), ("63014", "stop"), ("63016", "permanent"), ("63007", "operator"), ("21617", "ours")],
)
def test_a_code_of_a_status_callback_says_what_to_do(code, what):
    assert fate(code) == what


def test_an_unknown_code_is_permanent_and_for_a_person_to_look_at():
    assert fate("") == fate("12345") == "permanent"


# --- typing, erasing, listing ----------------------------------------------------------------------------------------


@pytest.fixture
def inbound(stand_in):
    stand_in.webhook_url = stand_in.url + "/nobody"
    stand_in.say(NUMBER, "my password is hunter2", media=[("image/png", b"png")])
    return next(iter(stand_in.records))


def test_typing_is_shown_below_the_message(stand_in, twilio, inbound):
    assert twilio.typing(inbound)
    assert stand_in.typing == [inbound]


def test_typing_that_cannot_be_shown_harms_nobody(stand_in, twilio):
    assert not twilio.typing("SMunknown")
    stand_in.drop_after_reading()
    assert not twilio.typing("SMunknown")


def test_an_erased_message_is_emptied_and_then_gone(stand_in, twilio, inbound):
    twilio.erase(inbound)
    assert inbound not in stand_in.records
    assert [(one.method, one.fields) for one in stand_in.requests if inbound in one.path] == [
        ("POST", {"Body": ""}),
        ("DELETE", {}),
    ]


def test_erasing_twice_is_harmless(stand_in, twilio, inbound):
    twilio.erase(inbound)
    twilio.erase(inbound)
    assert inbound not in stand_in.records


@pytest.mark.parametrize("times", [1, 2])
def test_a_message_that_twilio_does_not_let_go_of_is_erased_later(stand_in, twilio, inbound, times):
    for _ in range(times):
        stand_in.refuse_erasure()
        with pytest.raises(Later) as failure:
            twilio.erase(inbound)
        assert (failure.value.code, failure.value.seconds) == ("20009", 60)
    twilio.erase(inbound)
    assert inbound not in stand_in.records


def test_an_erasure_whose_answer_is_lost_is_done_again_later(stand_in, twilio, inbound):
    stand_in.drop_after_reading()
    with pytest.raises(Later):
        twilio.erase(inbound)
    twilio.erase(inbound)
    assert inbound not in stand_in.records


def test_an_erasure_that_twilio_refuses_is_refused(stand_in, twilio, inbound):
    stand_in.fail_next(400, 30400)
    with pytest.raises(Refused):
        twilio.erase(inbound)


def test_all_that_twilio_keeps_of_a_person_is_named_and_nothing_of_anybody_else(stand_in, twilio, inbound):
    sent = twilio.send(NUMBER, PLAIN, CALLBACK).provider_id
    twilio.send("+5511900000077", PLAIN, CALLBACK)
    assert sorted(twilio.kept_of(NUMBER)) == sorted([sent, inbound])
    for sid in twilio.kept_of(NUMBER):
        twilio.erase(sid)
    assert twilio.kept_of(NUMBER) == []


@pytest.mark.parametrize("by_service", [False, True])
def test_what_a_person_exchanged_with_another_sender_of_the_account_is_none_of_ours(
    stand_in, book, inbound, by_service
):
    twilio = account(stand_in, book, sender=stand_in.service_sid if by_service else stand_in.sender)
    other = stand_in.say_elsewhere(NUMBER, "to the shop next door", "+15550100999")
    sent = twilio.send(NUMBER, PLAIN, CALLBACK).provider_id
    assert sorted(twilio.kept_of(NUMBER)) == sorted([sent, inbound])
    heard = twilio.received_since(datetime.now(UTC) - timedelta(hours=1))
    assert [one.message_id for one in heard] == [inbound]
    assert other in stand_in.records
    twilio.close()


def test_what_went_out_by_a_sender_that_has_left_the_service_is_still_ours(stand_in, book):
    twilio = account(stand_in, book, sender=stand_in.service_sid)
    sent = twilio.send(NUMBER, PLAIN, CALLBACK).provider_id
    stand_in.setup.sender["sender_id"] = "whatsapp:+15550100999"
    assert twilio.kept_of(NUMBER) == [sent]
    twilio.close()


def test_what_was_taken_without_an_answer_is_found_in_the_list(stand_in, twilio):
    now = datetime.now(UTC)
    twilio.send("+351911111111", Outgoing("to somebody else"), CALLBACK)
    stand_in.drop_after_reading(path="Messages")
    with pytest.raises(Unclear):
        twilio.send(NUMBER, QUESTION, CALLBACK)
    (sent,) = twilio.sent_since(NUMBER, now)
    assert (sent.body, sent.status) == (QUESTION.body, "queued")
    assert abs(sent.at - now) < timedelta(seconds=30)


def test_messages_from_before_are_not_listed(twilio):
    twilio.send(NUMBER, PLAIN, CALLBACK)
    assert twilio.sent_since(NUMBER, datetime.now(UTC) + timedelta(seconds=2)) == []


def test_the_list_is_read_newest_first_over_several_pages_and_bounded(stand_in, twilio, monkeypatch):
    for n in range(5):
        twilio.send(NUMBER, Outgoing(str(n)), CALLBACK)
    monkeypatch.setattr("bot.playground.twilio_api.MAX_PAGE", 2)
    monkeypatch.setattr("bot.channels.whatsapp.client.LISTED", 4)
    assert [one.body for one in twilio.sent_since(NUMBER, datetime.now(UTC) - timedelta(hours=1))] == list("4321")


@pytest.mark.parametrize(
    ("status", "code", "failure"),
    [(429, 20429, Later), (503, 20503, Later), (500, 20500, Unclear), (404, 20404, Refused)],
)
def test_a_list_that_is_not_given_fails_as_a_message_does(stand_in, twilio, status, code, failure):
    stand_in.fail_next(status, code, retry_after=7, times=2)
    with pytest.raises(failure) as failed:
        twilio.sent_since(NUMBER, datetime.now(UTC))
    assert failed.value.code == str(code)
    assert getattr(failed.value, "seconds", 7) == 7
    with pytest.raises(failure):
        twilio.received_since(datetime.now(UTC))


def test_what_was_written_to_us_and_never_told_is_found_in_the_list(stand_in, twilio, inbound):
    before = datetime.now(UTC) - timedelta(minutes=1)
    twilio.send(NUMBER, PLAIN, CALLBACK)
    stand_in.say(NUMBER, "and this")
    newest, oldest = twilio.received_since(before)
    assert (newest.text, newest.kind, newest.identity.address) == ("and this", "text", NUMBER)
    assert (oldest.message_id, oldest.kind) == (inbound, "other")
    assert twilio.received_since(datetime.now(UTC) + timedelta(seconds=2)) == []


def test_lost_webhooks_are_looked_for_as_far_back_as_the_time_says(stand_in, twilio, inbound, monkeypatch):
    for n in range(5):
        stand_in.say(NUMBER, str(n))
    monkeypatch.setattr("bot.playground.twilio_api.MAX_PAGE", 2)
    monkeypatch.setattr("bot.channels.whatsapp.client.LISTED", 1)
    hour = timedelta(hours=1)
    assert [one.text for one in twilio.received_since(datetime.now(UTC) - hour)][:5] == list("43210")
    pages = len(stand_in.requests)
    assert twilio.received_since(datetime.now(UTC) + hour) == []
    assert len(stand_in.requests) == pages + 1  # the first page showed that there is nothing so new
    monkeypatch.setattr("bot.channels.whatsapp.client.HEARD", 3)
    assert [one.text for one in twilio.received_since(datetime.now(UTC) - hour)] == list("432")


# --- what is never written -------------------------------------------------------------------------------------------


def test_no_log_at_any_level_holds_what_was_said_or_who_it_was(stand_in, twilio, inbound, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("twilio", "twilio.http_client", "requests"):
        caplog.set_level(logging.DEBUG, name)
    twilio.send(NUMBER, QUESTION, CALLBACK)
    stand_in.fail_next(400, 21656, path="Messages")
    twilio.send(NUMBER, QUESTION, CALLBACK)
    twilio.sent_since(NUMBER, datetime.now(UTC))
    twilio.erase(inbound)
    twilio.typing(inbound)
    assert "content resource" in caplog.text
    for secret in ("right?", NUMBER.removeprefix("+"), stand_in.auth_token):
        assert secret not in caplog.text


def test_the_sdk_keeps_no_request_in_memory(stand_in, twilio):
    twilio.send(NUMBER, PLAIN, CALLBACK)
    stand_in.drop_after_reading()
    with pytest.raises(Unclear):
        twilio.send(NUMBER, PLAIN, CALLBACK)
    assert twilio._wire._test_only_last_request is None
    assert twilio._wire._test_only_last_response is None


def test_one_thread_never_reads_the_answer_to_another_one(twilio):
    twilio._wire._test_only_last_response = "mine"
    other = threading.Thread(target=setattr, args=(twilio._wire, "_test_only_last_response", "another"))
    other.start()
    other.join()
    assert twilio._wire._test_only_last_response == "mine"


def test_many_threads_each_get_the_sid_of_their_own_message(stand_in, twilio):
    sids = {}

    def send(n):
        sids[str(n)] = twilio.send(NUMBER, Outgoing(str(n)), CALLBACK).provider_id

    threads = [threading.Thread(target=send, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {body: stand_in.records[sid]["body"] for body, sid in sids.items()} == {body: body for body in sids}
    assert len(sids) == 16
