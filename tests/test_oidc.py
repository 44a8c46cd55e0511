"""The OpenID provider of the tests behaves as the large ones do: what other tests rely on is held here."""

import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from tests.oidc import CALLBACK, SMTP_SCOPE

pytestmark = pytest.mark.world
ANA = "ana@agencia.test"


def posted(oidc, endpoint="/token", **form):
    named = {"client_id": oidc.client.client_id, "client_secret": oidc.client.client_secret}
    return requests.post(f"{oidc.authority}{endpoint}", data=named | form, timeout=10)


def exchanged(oidc, code, verifier, **more):
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier, "redirect_uri": CALLBACK}
    return posted(oidc, **form | more)


def refreshed(oidc, refresh):
    return posted(oidc, grant_type="refresh_token", refresh_token=refresh)


def asking(oidc, **more):
    wanted = {
        "client_id": oidc.client.client_id,
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "scope": f"openid {SMTP_SCOPE}",
        "state": "of mine",
    }
    return f"{oidc.authority}/auth?{urlencode(wanted | more)}"


PKCE = {"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"}


def test_a_token_tells_whose_mailbox_it_opens_until_it_expires(oidc):
    access, _ = oidc.grant(ANA, [SMTP_SCOPE])
    told = oidc.introspect(access)
    assert (told["active"], told["email"], told["scope"]) == (True, ANA, f"openid {SMTP_SCOPE}")
    oidc.move_clock(3601)
    assert oidc.introspect(access) == {"active": False}


def test_the_life_of_an_access_token_can_be_set(oidc):
    oidc.settings(access_seconds=5)
    code, verifier = oidc.code(ANA, [SMTP_SCOPE])
    assert exchanged(oidc, code, verifier).json()["expires_in"] == 5


def test_without_pkce_nobody_is_let_in(oidc):
    callback = oidc.sign_in(asking(oidc), ANA)
    assert parse_qs(urlsplit(callback).query)["error"] == ["invalid_request"]


def test_who_says_no_is_sent_back_with_access_denied(oidc):
    callback = oidc.sign_in(asking(oidc, **PKCE), ANA, accept=False)
    answer = parse_qs(urlsplit(callback).query)
    assert callback.startswith(CALLBACK)
    assert (answer["error"], answer["state"], answer["iss"]) == (["access_denied"], ["of mine"], [oidc.authority])


def test_what_an_administrator_forbids_is_told_in_the_callback(oidc):
    oidc.settings(refuse={"error": "access_denied", "error_description": "AADSTS90094: an admin has to grant it"})
    callback = oidc.sign_in(asking(oidc, **PKCE), ANA)
    assert parse_qs(urlsplit(callback).query)["error_description"] == ["AADSTS90094: an admin has to grant it"]


def test_the_proposed_address_signs_in_and_prompts_of_both_providers_are_known(oidc):
    for prompt in ("select_account", "consent"):
        callback = oidc.sign_in(asking(oidc, **PKCE, prompt=prompt, login_hint=ANA, access_type="offline"))
        assert parse_qs(urlsplit(callback).query)["code"]


def test_a_code_is_good_for_one_time_and_with_its_verifier_only(oidc):
    code, verifier = oidc.code(ANA, [SMTP_SCOPE])
    assert exchanged(oidc, code, "w" * 43).json()["error"] == "invalid_grant"
    code, verifier = oidc.code(ANA, [SMTP_SCOPE])
    granted = exchanged(oidc, code, verifier)
    assert granted.status_code == 200
    assert exchanged(oidc, code, verifier).json()["error"] == "invalid_grant"
    assert oidc.introspect(granted.json()["access_token"]) == {"active": False}


def test_a_refresh_token_changes_with_every_use_and_used_twice_ends_all(oidc):
    _, first = oidc.grant(ANA, [SMTP_SCOPE])
    second = refreshed(oidc, first).json()
    assert second["refresh_token"] != first
    assert oidc.introspect(second["access_token"])["active"]
    assert refreshed(oidc, first).json()["error"] == "invalid_grant"
    assert refreshed(oidc, second["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_provider_may_keep_the_refresh_token_as_it_is_or_give_none(oidc):
    oidc.settings(rotate=False)
    _, first = oidc.grant(ANA, [SMTP_SCOPE])
    assert refreshed(oidc, first).json()["refresh_token"] == first
    oidc.settings(issue_refresh=False)
    assert oidc.grant(ANA, [SMTP_SCOPE])[1] == ""


def test_a_grant_that_is_revoked_is_over(oidc):
    access, refresh = oidc.grant(ANA, [SMTP_SCOPE])
    oidc.revoke(refresh)
    assert oidc.introspect(access) == {"active": False}
    assert refreshed(oidc, refresh).json()["error"] == "invalid_grant"


def test_each_app_has_its_own_callback_and_secret(oidc):
    other = oidc.register("http://127.0.0.1:8000/oauth/microsoft/callback")
    access, _ = oidc.grant(ANA, [SMTP_SCOPE], client=other)
    assert oidc.introspect(access)["client_id"] == other.client_id
    code, verifier = oidc.code(ANA, client=other)
    assert exchanged(oidc, code, verifier).json()["error"] == "invalid_grant"
    assert exchanged(oidc, code, verifier, client_secret="wrong").json()["error"] == "invalid_client"


def test_an_endpoint_fails_as_long_as_it_is_told_to(oidc):
    oidc.fail("token", 429, times=1, headers={"Retry-After": "7"}, error="slow_down", suberror="much")
    answer = refreshed(oidc, "none")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json() == {"error": "slow_down", "suberror": "much"}
    assert refreshed(oidc, "none").json()["error"] == "invalid_grant"
    oidc.fail("jwks", 503)
    assert requests.get(f"{oidc.authority}/jwks", timeout=10).status_code == 503
    oidc.heal()
    assert requests.get(f"{oidc.authority}/jwks", timeout=10).json()["keys"]
    assert (oidc.count("token"), oidc.count("jwks")) == (2, 2)


def test_an_endpoint_hangs_hangs_up_talks_nonsense_or_without_end(oidc):
    oidc.fail("jwks", "garbage")
    with pytest.raises(json.JSONDecodeError):
        json.loads(requests.get(f"{oidc.authority}/jwks", timeout=10).text)
    oidc.fail("jwks", "drop")
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{oidc.authority}/jwks", timeout=10)
    oidc.fail("jwks", "hang")
    with pytest.raises(requests.Timeout):
        requests.get(f"{oidc.authority}/jwks", timeout=0.1)
    oidc.fail("jwks", "huge")
    with requests.get(f"{oidc.authority}/jwks", timeout=10, stream=True) as answer:
        assert len(answer.raw.read(1_000_000)) == 1_000_000


def test_what_was_done_stays_done_although_the_answer_is_lost(oidc):
    _, refresh = oidc.grant(ANA, [SMTP_SCOPE])
    oidc.fail("token", "lose", times=1)
    with pytest.raises(requests.ConnectionError):
        refreshed(oidc, refresh)
    assert refreshed(oidc, refresh).json()["error"] == "invalid_grant"


def test_a_person_signs_in_with_a_real_browser(oidc, browser):
    page = browser.new_page()
    page.goto(asking(oidc, **PKCE, prompt="select_account", login_hint=ANA))
    assert page.get_by_label("E-mail").input_value() == ANA
    page.get_by_role("button", name="Continue").click()
    assert SMTP_SCOPE in page.content()
    with page.expect_request(f"{CALLBACK}**") as sent:
        page.get_by_role("button", name="Accept").click(no_wait_after=True)
    assert "code=" in sent.value.url
    page.close()
