"""`setup-twilio` against the stand-in: what it sets, that it sets nothing twice, and that it leaves alone the rest."""

import pytest

from bot.playground.twilio import TwilioStandIn
from bot.templates import TEMPLATES
from bot.vault import new_key
from flows.words import LANGUAGES
from tests.test_commands import cli, one_sentence  # noqa: F401 - a fixture

URL = "http://127.0.0.1:8000"
HOOKS = {
    "callback_url": f"{URL}/whatsapp#rc=3&rp=all",
    "callback_method": "POST",
    "fallback_url": f"{URL}/whatsapp",
    "fallback_method": "POST",
    "status_callback_url": f"{URL}/whatsapp/status",
    "status_callback_method": "POST",
}
KEY = new_key()


@pytest.fixture
def twilio():
    with TwilioStandIn() as stand_in:
        stand_in.statuses = ()
        yield stand_in


def account(twilio, **more):
    return {
        "TWILIO_ACCOUNT_SID": twilio.account_sid,
        "TWILIO_AUTH_TOKEN": twilio.auth_token,
        "TWILIO_WHATSAPP_FROM": twilio.sender,
        "TWILIO_API_URL": twilio.url,
        "PUBLIC_URL": URL,
        "SECRET_KEYS": KEY,
        "SUPPORT_CONTACT": "x",
        "PRIVACY_URL": "https://example.com/privacy",
        **more,
    }


def changes(answer):
    assert answer.status == 0, answer.err
    return {one["what"]: one["done"] for one in answer.json}


def writes(twilio):
    return [one for one in twilio.requests if one.method == "POST"]


def test_the_sender_is_told_where_we_are_and_the_templates_are_submitted(cli, twilio):  # noqa: F811
    done = changes(cli("setup-twilio", "--json", **account(twilio)))
    assert twilio.setup.sender["webhook"] == HOOKS
    assert {one: done[one] for one in ("webhook", "fallback", "status callback")} == dict.fromkeys(
        ("webhook", "fallback", "status callback"), "changed"
    )
    assert len(done) == 3 + len(TEMPLATES) * len(LANGUAGES)
    assert set(done.values()) == {"changed"}
    assert {one["status"] for one in twilio.approvals.values()} == {"received"}


def test_done_again_it_changes_nothing(cli, twilio):  # noqa: F811
    cli("setup-twilio", **account(twilio))
    before = len(writes(twilio))
    assert set(changes(cli("setup-twilio", "--json", **account(twilio))).values()) == {"was right"}
    assert len(writes(twilio)) == before
    twilio.review("rejected", reason="too long")
    told = cli("setup-twilio", **account(twilio)).out
    assert "rejected" in told
    assert "too long" in told


def test_a_dry_run_says_what_would_be_and_changes_nothing(cli, twilio):  # noqa: F811
    done = changes(cli("setup-twilio", "--dry-run", "--json", **account(twilio)))
    assert set(done.values()) == {"would be changed"}
    assert writes(twilio) == []
    assert twilio.setup.sender["webhook"]["callback_url"] is None


def test_profile_and_own_fallback_of_the_sender_stay_as_they_are(cli, twilio):  # noqa: F811
    twilio.setup.sender["webhook"] |= {"fallback_url": "https://fallback.example.com/x"}
    profile = dict(twilio.setup.sender["profile"])
    done = changes(cli("setup-twilio", "--json", **account(twilio)))
    assert done["fallback"] == "was right"
    assert twilio.setup.sender["webhook"]["fallback_url"] == "https://fallback.example.com/x"
    assert twilio.setup.sender["profile"] == profile
    assert twilio.setup.sender["configuration"]


def test_a_messaging_service_takes_what_comes_in_for_all_its_numbers(cli, twilio):  # noqa: F811
    service = account(twilio, TWILIO_MESSAGING_SERVICE_SID=twilio.service_sid)
    assert set(changes(cli("setup-twilio", "--json", **service)).values()) == {"changed"}
    found = twilio.setup.service
    assert (found["inbound_request_url"], found["inbound_method"]) == (HOOKS["callback_url"], "POST")
    assert found["status_callback"] == HOOKS["status_callback_url"]
    assert found["use_inbound_webhook_on_number"] is False
    assert twilio.setup.sender["webhook"]["callback_url"] is None
    assert set(changes(cli("setup-twilio", "--json", **service)).values()) == {"was right"}


def test_a_sender_that_calls_by_another_method_is_set_right(cli, twilio):  # noqa: F811
    cli("setup-twilio", **account(twilio))
    twilio.setup.sender["webhook"]["callback_method"] = "PUT"
    assert changes(cli("setup-twilio", "--json", **account(twilio)))["webhook"] == "changed"
    assert twilio.setup.sender["webhook"]["callback_method"] == "POST"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"TWILIO_WHATSAPP_FROM": "+15550109999"}, "whatsapp:+15550109999"),
        ({"TWILIO_MESSAGING_SERVICE_SID": f"MG{'0' * 32}"}, f"MG{'0' * 32}"),
        ({"TWILIO_AUTH_TOKEN": "wrong"}, "20003"),
        ({"TWILIO_ACCOUNT_SID": ""}, "TWILIO_ACCOUNT_SID"),
    ],
)
def test_what_is_wrong_is_one_sentence(cli, twilio, wrong, words):  # noqa: F811
    assert words in one_sentence(cli("setup-twilio", **account(twilio, **wrong)))
    assert writes(twilio) == []


def test_the_sandbox_is_set_up_by_hand_and_said_so(cli, twilio):  # noqa: F811
    answer = cli("setup-twilio", "--json", **account(twilio, TWILIO_WHATSAPP_FROM="+14155238886")).json
    assert answer[0]["done"] == "to be done by hand"
    assert HOOKS["callback_url"] in answer[0]["words"]
