"""The table of cases in which webhooks were refused or let in wrongly elsewhere, each held here."""

import pytest
from werkzeug.datastructures import MultiDict
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from bot.channels.whatsapp import genuine, sign

TOKEN = "0123456789abcdef0123456789abcdef"
URL = "https://bot.example.com/whatsapp"
FORM = {"MessageSid": "SM1", "Body": " olá & tchau + ✉️ ", "From": "whatsapp:+351912345678", "Empty": ""}


def test_what_twilio_signed_is_genuine():
    assert genuine(URL, FORM, sign(URL, FORM, TOKEN), TOKEN)


def test_the_example_of_twilios_own_documentation_is_genuine():
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert genuine(url, form, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", "12345")


@pytest.mark.parametrize(
    ("signed", "called"),
    [
        (URL, "https://bot.example.com:443/whatsapp"),
        ("https://bot.example.com:443/whatsapp", URL),
        ("https://bot.example.com:8443/whatsapp", "https://bot.example.com:8443/whatsapp"),
        ("https://bot.example.com/whatsapp?a=%7Bx%7D&b=%20", "https://bot.example.com/whatsapp?a=%7Bx%7D&b=%20"),
    ],
    ids=["port-added", "port-taken-off", "other-port", "query-with-escapes"],
)
def test_the_address_as_twilio_called_it_is_genuine(signed, called):
    assert genuine(called, FORM, sign(signed, FORM, TOKEN), TOKEN)


@pytest.mark.parametrize(
    ("signed", "called"),
    [
        (URL, "http://internal:8000/whatsapp"),
        (URL, "https://other.example.com/whatsapp"),
        (URL, "https://bot.example.com/whatsapp/status"),
        (URL, URL + "?promise=1"),
        (URL + "?promise=1", URL + "?promise=2"),
        ("https://bot.example.com/whatsapp?a=%7Bx%7D", "https://bot.example.com/whatsapp?a={x}"),
    ],
    ids=["behind-a-proxy", "other-host", "other-path", "query-added", "query-changed", "un-escaped"],
)
def test_any_other_address_is_not_genuine(signed, called):
    assert not genuine(called, FORM, sign(signed, FORM, TOKEN), TOKEN)


@pytest.mark.parametrize("header", [None, "", "x", "é" * 28, "A" * 10_000])
def test_a_missing_or_senseless_signature_is_not_genuine_and_raises_nothing(header):
    assert not genuine(URL, FORM, header, TOKEN)


@pytest.mark.parametrize("url", ["", "https://bot.example.com:port/whatsapp", "https://[/whatsapp", "\ud800"])
def test_an_address_that_cannot_be_parsed_is_not_genuine_and_raises_nothing(url):
    assert not genuine(url, FORM, "A" * 28, TOKEN)


def test_a_changed_added_or_missing_parameter_is_not_genuine():
    header = sign(URL, FORM, TOKEN)
    assert not genuine(URL, FORM | {"Body": "other"}, header, TOKEN)
    assert not genuine(URL, FORM | {"NumMedia": "0"}, header, TOKEN)
    assert not genuine(URL, {"MessageSid": "SM1"}, header, TOKEN)


def test_another_token_is_not_genuine():
    assert not genuine(URL, FORM, sign(URL, FORM, "another"), TOKEN)


def test_with_an_empty_token_nothing_is_genuine_and_nothing_is_signed():
    with pytest.raises(ValueError, match="empty auth token"):
        sign(URL, FORM, "")
    assert not genuine(URL, {}, "j8Q0z5RkWLHcdlFnAzUpyL6O0MM=", "")


def test_a_parameter_that_comes_twice_is_signed_with_each_value_once_in_order():
    form = MultiDict([("A", "2"), ("A", "1"), ("A", "2"), ("Body", "hi")])
    assert genuine(URL, form, sign(URL, {"A": "1A2", "Body": "hi"}, TOKEN), TOKEN)
    assert not genuine(URL, form, sign(URL, {"A": "2", "Body": "hi"}, TOKEN), TOKEN)


def test_the_form_that_flask_parses_is_genuine():
    request = Request(EnvironBuilder(method="POST", data=FORM).get_environ())
    assert genuine(URL, request.form, sign(URL, FORM, TOKEN), TOKEN)
