"""Our requests, and the answers of our stand-in, against the description that Twilio publishes of its API."""

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import requests
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

from bot.channels.whatsapp import Outgoing, Twilio, render
from bot.playground.twilio import TwilioStandIn
from flows.speech import Button, Message

SPECS = Path(__file__).parent / "twilio_openapi"
HOSTS = {
    "/content": ("twilio_content_v1", "https://content.twilio.com"),
    "/messaging": ("twilio_messaging_v2", "https://messaging.twilio.com"),
    "": ("twilio_api_v2010", "https://api.twilio.com"),
}
NUMBER = "+351912345678"
CALLBACK = "https://bot.example.com/whatsapp/status?promise=7"
BUTTONS = render(Message("Sure?\nReally?", (Button("m.c:yes", "Yes"), Button("m.c:no", "No")), "pt"))
LIST = render(Message("Which?", tuple(Button(f"m.p:{n}", f"Choice {n}") for n in range(4)), "en"))


class Book(dict):
    def put(self, name, sid):
        self[name] = sid


@cache
def spec(name):
    return OpenAPI.from_dict(json.loads((SPECS / f"{name}.json").read_text()))


def told(seen):
    """A request as it would reach Twilio: the description it falls under, and the request on the real host."""
    prefix = next(prefix for prefix in HOSTS if seen.path.startswith(prefix))
    name, host = HOSTS[prefix]
    return spec(name), MockRequest(
        host,
        seen.method.lower(),
        seen.path.removeprefix(prefix),
        args=dict(parse_qsl(seen.query)),
        headers={"Authorization": "Basic x"},
        data=seen.body,
        content_type=seen.content_type,
    )


def names(seen):
    """The parameters which the description knows for this request's form; a wrong one would pass unseen else."""
    document, path = next(
        (json.loads((SPECS / f"{name}.json").read_text()), seen.path.removeprefix(prefix))
        for prefix, (name, _) in HOSTS.items()
        if seen.path.startswith(prefix)
    )
    template = next(one for one in document["paths"] if one.count("/") == path.count("/"))
    schema = document["paths"][template]["post"]["requestBody"]["content"][seen.content_type]["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return set(schema["properties"])


@pytest.fixture(scope="module")
def seen():
    """Every request that our client makes, as the stand-in saw it."""
    with TwilioStandIn() as stand_in:
        stand_in.statuses = ()
        stand_in.webhook_url = stand_in.url + "/nobody"
        stand_in.say(NUMBER, "my password")
        (inbound,) = stand_in.records
        for sender in (stand_in.service_sid, stand_in.sender):
            twilio = Twilio(stand_in.account_sid, stand_in.auth_token, sender, Book(), api_url=stand_in.url)
            for outgoing in (Outgoing("Hello"), BUTTONS, LIST):
                twilio.send(NUMBER, outgoing, CALLBACK)
            assert twilio.typing(inbound)
            assert twilio.sent_since(NUMBER, datetime.now(UTC))
            twilio.close()
        twilio.erase(inbound)
        return [one for one in stand_in.requests if one.path != "/nobody"]


def test_every_request_of_our_client_keeps_to_twilios_description(seen):
    made = {(one.method, one.path.rsplit("/", 1)[1].split(".")[0][:2]) for one in seen}
    assert made == {("POST", "Me"), ("GET", "Me"), ("POST", "SM"), ("DELETE", "SM"), ("POST", "Co"), ("POST", "Ty")}
    for one in seen:
        description, request = told(one)
        description.validate_request(request)
        if one.method == "POST":
            assert set(one.fields) <= names(one)


@pytest.mark.parametrize(
    "change",
    [{"body": b"Body=hello"}, {"path": "/2010-04-01/Accounts/AC1/Messages.json"}, {"content_type": "text/plain"}],
    ids=["no-recipient", "bad-account", "wrong-type"],
)
def test_the_description_refuses_a_request_that_is_wrong(seen, change):
    first = next(one for one in seen if one.path.endswith("Messages.json"))
    wrong = type(first)(**({name: getattr(first, name) for name in first.__slots__} | change))
    description, request = told(wrong)
    with pytest.raises(OpenAPIError):
        description.validate_request(request)


def test_the_answers_of_the_stand_in_keep_to_twilios_description():
    with TwilioStandIn() as stand_in:
        stand_in.statuses = ()
        auth = (stand_in.account_sid, stand_in.auth_token)
        messages = f"{stand_in.url}/2010-04-01/Accounts/{stand_in.account_sid}/Messages"
        form = {"To": "whatsapp:" + NUMBER, "From": stand_in.sender, "Body": "Hello"}
        sid = requests.post(f"{messages}.json", data=form, auth=auth, timeout=10).json()["sid"]
        content = {"friendly_name": "x", "language": "pt", "variables": {"1": "x"}, "types": dict(LIST.content.types)}
        calls = [
            ("POST", f"{messages}.json", {"data": form}),
            ("GET", f"{messages}.json", {"params": {"To": form["To"]}}),
            ("GET", f"{messages}/{sid}.json", {}),
            ("POST", f"{messages}/{sid}.json", {"data": {"Body": ""}}),
            ("POST", f"{stand_in.url}/content/v1/Content", {"json": content}),
            (
                "POST",
                f"{stand_in.url}/messaging/v2/Indicators/Typing.json",
                {"data": {"channel": "whatsapp", "messageId": sid}},
            ),
        ]
        for method, url, what in calls:
            answer = requests.request(method, url, auth=auth, timeout=10, **what)
            description, request = told(stand_in.requests[-1])
            response = MockResponse(answer.content, status_code=answer.status_code, content_type="application/json")
            description.validate_response(request, response)
