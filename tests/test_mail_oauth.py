"""Signing in at a provider: the whole way with one that is not ours, and everything that may go wrong on it."""

import base64
import hashlib
import hmac
import json
import logging
import secrets
import socket
import threading
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import trustme
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import RSAKey

from bot.mail.wire import oauth
from bot.mail.wire.oauth import Away, Client, Endpoints, Refused, Web
from tests.faulty_smtp import client_context, server_context
from tests.https_server import HttpsServer, page
from tests.oidc import CALLBACK, IMAP_SCOPE, SMTP_SCOPE, TENANT

ANA = "ana@agencia.test"
NONCE = "a-nonce-of-mine"
VERIFIER = "v" * 43
HASTY = Web(connect=2, read=0.3, total=2)
SMTP = (*oauth.scopes("microsoft", "smtp"), IMAP_SCOPE)


@pytest.fixture
def client(oidc):
    return client_of(oidc)


def client_of(oidc, provider="microsoft", registered=None, **more):
    registered = registered or oidc.client
    endpoints = oauth.endpoints(provider, oidc.authority)
    return Client(provider, registered.client_id, registered.client_secret, endpoints, **more)


def query(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def asked(client, *, verifier=VERIFIER, **more):
    given = {"redirect_uri": CALLBACK, "scopes": SMTP, "state": "s", "nonce": NONCE, "verifier": verifier}
    return oauth.authorization_url(client, **given | more)


def signed_in(oidc, client, **more):
    """A code that the person's browser brought back."""
    return oauth.check_callback(client, query(oidc.sign_in(asked(client, **more), ANA)))


def exchanged(client, code, **more):
    given = {"code": code, "verifier": VERIFIER, "redirect_uri": CALLBACK, "nonce": NONCE}
    return oauth.exchange(client, **given | more)


def granted(oidc, client):
    return exchanged(client, signed_in(oidc, client))


def held(error):
    """All that an exception and what hangs on it can show."""
    texts = ["".join(traceback.format_exception(error))]
    seen = []
    while error is not None:
        seen.append(error)
        texts += [repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    assert len(seen) == 1, seen
    return " ".join(texts)


# --- the whole way ---------------------------------------------------------------------------------------------------


@pytest.mark.world
@pytest.mark.parametrize("provider", ["microsoft", "google"])
def test_the_whole_way_gives_tokens_and_tells_who_it_was(oidc, provider):
    client = client_of(oidc, provider)
    got = granted(oidc, client)
    assert oidc.introspect(got.access)["email"] == ANA
    assert got.expires_in == 3600
    assert {SMTP_SCOPE, IMAP_SCOPE} <= set(got.scopes)
    assert got.identity.addresses == (ANA,)
    assert (got.identity.issuer, got.identity.tenant) == (oidc.authority, TENANT)
    again = oauth.refresh(client, got.refresh)
    assert oidc.introspect(again.access)["active"]
    assert again.refresh != got.refresh
    assert again.identity is None
    oauth.revoke(client, again.refresh)
    assert oidc.introspect(again.access) == {"active": False}
    oauth.revoke(client, again.refresh)  # once more does no harm


@pytest.mark.world
def test_without_an_address_claim_microsofts_user_name_tells_the_address(oidc):
    oidc.settings(email_claim=False)
    assert granted(oidc, client_of(oidc)).identity.addresses == (ANA,)
    assert granted(oidc, client_of(oidc, "google")).identity.addresses == ()


@pytest.mark.world
def test_a_public_app_needs_no_secret(oidc):
    client = client_of(oidc, registered=oidc.register(CALLBACK, secret=False))
    got = granted(oidc, client)
    assert oidc.introspect(oauth.refresh(client, got.refresh).access)["active"]


@pytest.mark.world
def test_a_refresh_token_that_does_not_change_is_kept(oidc, client):
    oidc.settings(rotate=False)
    got = granted(oidc, client)
    assert oauth.refresh(client, got.refresh).refresh == got.refresh
    answer = {"access_token": "fresh", "token_type": "Bearer", "expires_in": "60"}
    oidc.fail("token", 200, body=json.dumps(answer))  # Google's form: nothing about the refresh token
    again = oauth.refresh(client, got.refresh)
    assert (again.access, again.refresh, again.expires_in, again.scopes) == ("fresh", got.refresh, 60, ())


# --- what is asked for -----------------------------------------------------------------------------------------------


def test_microsoft_is_asked_for_sending_alone_and_never_for_two_services_at_once():
    about = ("offline_access", "openid", "profile", "email")
    assert oauth.scopes("microsoft", "smtp") == ("https://outlook.office.com/SMTP.Send", *about)
    assert oauth.scopes("microsoft", "graph") == ("https://graph.microsoft.com/Mail.Send", *about)
    assert oauth.scopes("google", "smtp") == ("https://mail.google.com/", "openid", "email")


def test_the_address_of_the_sign_in_carries_pkce_and_what_each_provider_wants():
    microsoft = Client("microsoft", "app", "the secret", oauth.endpoints("microsoft"))
    url = asked(microsoft, login_hint="ana+x@agencia.test")
    told = query(url)
    assert url.startswith("https://login.microsoftonline.com/common/oauth2/v2.0/authorize?")
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    assert told.pop("code_challenge") == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert told == {
        "client_id": "app",
        "response_type": "code",
        "response_mode": "query",
        "redirect_uri": CALLBACK,
        "scope": " ".join(SMTP),
        "state": "s",
        "nonce": NONCE,
        "code_challenge_method": "S256",
        "prompt": "select_account",
        "login_hint": "ana+x@agencia.test",
    }
    google = query(asked(Client("google", "app", "the secret", oauth.endpoints("google"))))
    assert (google["access_type"], google["prompt"]) == ("offline", "consent")
    assert "login_hint" not in google
    assert "the secret" not in url + repr(microsoft)


@pytest.mark.parametrize(
    "wrong",
    [{"verifier": "short"}, {"verifier": "v" * 129}, {"state": ""}, {"nonce": ""}, {"redirect_uri": "http://a.example"},
     {"redirect_uri": "javascript:alert(1)"}],
)  # fmt: skip
def test_no_sign_in_begins_without_its_guards(wrong):
    with pytest.raises(ValueError, match=r"not|must"):
        asked(Client("google", "app", "s", oauth.endpoints("google")), **wrong)


def test_each_tenant_has_its_own_endpoints():
    tenant = "11111111-2222-4333-8444-555555555555"
    own = oauth.endpoints("microsoft", tenant=tenant)
    assert own.token == f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
    assert own.issuer == f"https://login.microsoftonline.com/{tenant}/v2.0"
    assert own.admin_consent == f"https://login.microsoftonline.com/{tenant}/adminconsent"
    assert oauth.endpoints("microsoft").admin_consent == "https://login.microsoftonline.com/organizations/adminconsent"
    assert oauth.endpoints("microsoft", tenant="agencia.com.br").issuer.count("{tenantid}") == 1
    assert oauth.endpoints("google").revoke == "https://oauth2.googleapis.com/revoke"
    for wrong in ("", "a/b", "a?b", "../x", "{tenantid}", "-a"):
        with pytest.raises(ValueError, match="tenant"):
            oauth.endpoints("microsoft", tenant=wrong)


def test_the_administrators_page_is_named_where_there_is_one():
    client = Client("microsoft", "app", "s", oauth.endpoints("microsoft", tenant="agencia.com.br"))
    url = oauth.admin_consent_url(client, redirect_uri=CALLBACK, state="x y")
    assert url.startswith("https://login.microsoftonline.com/agencia.com.br/adminconsent?")
    assert query(url) == {"client_id": "app", "redirect_uri": CALLBACK, "state": "x y"}
    google = Client("google", "app", "s", oauth.endpoints("google"))
    assert oauth.admin_consent_url(google, redirect_uri=CALLBACK, state="x") == ""


def test_where_nothing_can_be_revoked_nothing_happens():
    oauth.revoke(Client("microsoft", "app", "s", oauth.endpoints("microsoft")), "a token")


# --- the callback ----------------------------------------------------------------------------------------------------


@pytest.mark.world
@pytest.mark.parametrize("accept", [True, False])
def test_a_callback_from_another_provider_is_refused(oidc, client, accept):
    told = query(oidc.sign_in(asked(client), ANA, accept=accept))
    for wrong in (told | {"iss": "https://evil.example"}, {name: told[name] for name in told if name != "iss"}):
        with pytest.raises(Refused, match="issuer_mismatch") as refused:
            oauth.check_callback(client, wrong)
        assert refused.value.cause == "other"


def test_where_no_issuer_is_told_none_is_missed_and_microsofts_carries_a_tenant():
    client = Client("microsoft", "app", "s", oauth.endpoints("microsoft"))
    assert oauth.check_callback(client, {"code": "M.C5_BAY.2!x*y"}) == "M.C5_BAY.2!x*y"
    right = f"https://login.microsoftonline.com/{TENANT}/v2.0"
    assert oauth.check_callback(client, {"code": "c", "iss": right}) == "c"
    for wrong in ("https://login.microsoftonline.com/a/b/v2.0", "https://login.microsoftonline.com/v2.0", f"{right}/"):
        with pytest.raises(Refused, match="issuer_mismatch"):
            oauth.check_callback(client, {"code": "c", "iss": wrong})


@pytest.mark.world
def test_who_says_no_and_whose_administrator_says_no_are_told_apart(oidc, client):
    with pytest.raises(Refused) as refused:
        oauth.check_callback(client, query(oidc.sign_in(asked(client), ANA, accept=False)))
    assert (refused.value.error, refused.value.cause) == ("access_denied", "denied")
    oidc.settings(refuse={"error": "access_denied", "error_description": "AADSTS90094: The grant requires an admin."})
    with pytest.raises(Refused) as refused:
        signed_in(oidc, client)
    assert (refused.value.cause, refused.value.hint) == ("consent", "AADSTS90094")


@pytest.mark.parametrize("params", [{}, {"code": ""}, {"code": "a b"}, {"code": "a\r\nb"}, {"code": "c" * 8193}])
def test_a_callback_without_a_code_is_refused(params):
    with pytest.raises(Refused, match="no_code"):
        oauth.check_callback(Client("google", "app", "s", oauth.endpoints("google")), params)


def test_a_provider_in_trouble_says_so_in_the_callback():
    with pytest.raises(Away):
        oauth.check_callback(
            Client("google", "a", "s", oauth.endpoints("google")), {"error": "temporarily_unavailable"}
        )


@pytest.mark.parametrize(
    ("error", "suberror", "hint", "cause"),
    [
        ("access_denied", "", "", "denied"),
        ("access_denied", "cancel", "AADSTS65004: User declined to consent", "denied"),
        ("access_denied", "", "AADSTS53003: Blocked by Conditional Access", "consent"),
        ("admin_policy_enforced", "", "", "consent"),
        ("consent_required", "", "AADSTS65001", "consent"),
        ("invalid_grant", "", "AADSTS700082: expired due to inactivity", "revoked"),
        ("invalid_grant", "", "AADSTS50173: password changed", "revoked"),
        ("invalid_grant", "bad_token", "", "revoked"),
        ("invalid_grant", "invalid_rapt", "", "revoked"),
        ("invalid_grant", "consent_required", "AADSTS65001", "revoked"),
        ("interaction_required", "basic_action", "AADSTS50076", "revoked"),
        ("interaction_required", "message_only", "AADSTS53003", "consent"),
        ("interaction_required", "additional_action", "", "consent"),
        ("invalid_client", "", "AADSTS7000215: Invalid client secret provided", "ours"),
        ("redirect_uri_mismatch", "", "", "ours"),
        ("invalid_scope", "", "", "ours"),
        ("never_heard_of", "", "AADSTS650056: Misconfigured application", "ours"),
        ("never_heard_of", "", "AADSTS1: what?", "other"),
    ],
)
def test_each_error_is_somebodys_matter(error, suberror, hint, cause):
    assert Refused(error, suberror, hint).cause == cause


@given(st.text(), st.text(), st.text())
def test_no_word_of_an_answer_but_codes_is_in_a_refusal(error, suberror, hint):
    refused = Refused(error, suberror, f"{hint} password=hunter2 AADSTS50173: x")
    assert "hunter2" not in held(refused)
    assert refused.hint.startswith("AADSTS")
    assert str(refused).isascii()


# --- the code, its verifier, its nonce -------------------------------------------------------------------------------


@pytest.mark.world
def test_a_code_is_exchanged_once(oidc, client):
    code = signed_in(oidc, client)
    got = exchanged(client, code)
    with pytest.raises(Refused, match="invalid_grant") as refused:
        exchanged(client, code)
    assert refused.value.cause == "revoked"
    assert oidc.introspect(got.access) == {"active": False}  # a code used twice was stolen: the provider ends it all


@pytest.mark.world
def test_a_code_with_another_verifier_redirect_or_app_gives_nothing(oidc, client):
    other = client_of(oidc, registered=oidc.register(CALLBACK))
    for make in (
        lambda code: exchanged(client, code, verifier="w" * 43),
        lambda code: exchanged(client, code, redirect_uri="http://127.0.0.1:9/other"),
        lambda code: exchanged(other, code),
    ):
        with pytest.raises(Refused, match="invalid_grant"):
            make(signed_in(oidc, client))


@pytest.mark.world
def test_a_wrong_secret_of_the_app_is_the_operators_matter(oidc, client):
    wrong = replace(client, client_secret="not the secret")
    for call in (lambda: exchanged(wrong, signed_in(oidc, client)), lambda: oauth.refresh(wrong, "r")):
        with pytest.raises(Refused, match="invalid_client") as refused:
            call()
        assert refused.value.cause == "ours"
        assert "not the secret" not in held(refused.value)


@pytest.mark.world
def test_a_sign_in_with_another_nonce_proves_nothing(oidc, client):
    code = signed_in(oidc, client)
    with pytest.raises(Refused, match="invalid_id_token"):
        exchanged(client, code, nonce="another")


@pytest.mark.world
def test_a_grant_that_could_not_be_renewed_is_refused(oidc, client):
    oidc.settings(issue_refresh=False)
    with pytest.raises(Refused, match="no_refresh_token") as refused:
        granted(oidc, client)
    assert refused.value.cause == "ours"


# --- the refresh token -----------------------------------------------------------------------------------------------


@pytest.mark.world
def test_an_old_refresh_token_used_again_ends_the_grant(oidc, client):
    got = granted(oidc, client)
    fresh = oauth.refresh(client, got.refresh)
    with pytest.raises(Refused) as refused:
        oauth.refresh(client, got.refresh)
    assert (refused.value.error, refused.value.cause) == ("invalid_grant", "revoked")
    with pytest.raises(Refused, match="invalid_grant"):
        oauth.refresh(client, fresh.refresh)
    assert oidc.introspect(fresh.access) == {"active": False}


@pytest.mark.world
def test_a_grant_that_was_revoked_or_lay_unused_is_over(oidc, client):
    got = granted(oidc, client)
    oidc.revoke(got.refresh)
    with pytest.raises(Refused) as refused:
        oauth.refresh(client, got.refresh)
    assert refused.value.cause == "revoked"
    old = granted(oidc, client)
    oidc.move_clock(91 * 86_400)
    with pytest.raises(Refused) as refused:
        oauth.refresh(client, old.refresh)
    assert refused.value.cause == "revoked"


@pytest.mark.world
def test_suberror_and_number_of_microsoft_are_read_and_nothing_else(oidc, client):
    oidc.fail(
        "token", 400, error="invalid_grant", suberror="bad_token",
        error_description=f"AADSTS50173: The grant {SECRET} is revoked.\r\nTrace ID: x",
    )  # fmt: skip
    with pytest.raises(Refused) as refused:
        oauth.refresh(client, SECRET)
    assert str(refused.value) == "invalid_grant bad_token AADSTS50173"
    assert SECRET not in held(refused.value)
    oidc.fail("token", 400, error="invalid_grant", error_subtype="invalid_rapt")
    with pytest.raises(Refused) as refused:
        oauth.refresh(client, "r")
    assert refused.value.suberror == "invalid_rapt"


# --- each endpoint failing -------------------------------------------------------------------------------------------

FAILING = [
    (400, "refused"), (401, "refused"), (429, "away"), (500, "away"), (502, "away"), (503, "away"), ("hang", "away"),
    ("drop", "away"), ("garbage", "away"), ("huge", "away"), (302, "away"), (404, "away"), (204, "away"),
]  # fmt: skip
SECRET = "rt-0.very-Secret"


def broken(oidc, endpoint, how):
    error = {"error": "invalid_grant", "error_description": f"no {SECRET}"} if how in {400, 401} else {}
    location = {"Location": f"{oidc.authority}/elsewhere"} if how == 302 else {}
    oidc.fail(endpoint, how, headers={"Retry-After": "7", **location}, **error)


@pytest.mark.world
@pytest.mark.parametrize(("how", "as_"), FAILING)
@pytest.mark.parametrize("action", ["exchange", "refresh"])
def test_a_failing_token_endpoint_is_a_refusal_or_away(oidc, client, caplog, how, as_, action):
    caplog.set_level(logging.DEBUG)
    code = signed_in(oidc, client)
    hasty = replace(client, web=HASTY)
    broken(oidc, "token", how)
    begun = time.monotonic()
    with pytest.raises(Refused if as_ == "refused" else Away) as failed:
        exchanged(hasty, code) if action == "exchange" else oauth.refresh(hasty, SECRET)
    assert time.monotonic() - begun < 3
    for text in (held(failed.value), caplog.text):
        for secret in (SECRET, code, VERIFIER, client.client_secret):
            assert secret not in text
    if how in {429, 500, 502, 503}:
        assert failed.value.seconds == 7
    elif as_ == "away":
        assert failed.value.seconds == 60
    assert oidc.count("/elsewhere") == 0


@pytest.mark.world
@pytest.mark.parametrize("how", [how for how, _ in FAILING])
def test_failing_keys_do_not_spend_the_code(oidc, client, how):
    code = signed_in(oidc, client)
    broken(oidc, "jwks", how)
    with pytest.raises(Away):
        exchanged(replace(client, web=HASTY), code)
    assert oidc.count("token") == 0
    oidc.heal()
    assert exchanged(client, code).identity.addresses == (ANA,)


@pytest.mark.world
@pytest.mark.parametrize("how", [how for how, _ in FAILING])
def test_a_failing_discovery_is_away(oidc, how):
    broken(oidc, "discovery", how)
    with pytest.raises(Away):
        oauth.endpoints("google", oidc.authority, web=HASTY)


@pytest.mark.world
@pytest.mark.parametrize(("how", "as_"), FAILING)
def test_a_failing_revocation_is_told(oidc, client, how, as_):
    broken(oidc, "revoke", how)
    if as_ == "refused" or how == "garbage":  # it is gone already; RFC 7009 2.2: a body means nothing
        oauth.revoke(client, SECRET)
        return
    with pytest.raises(Away) as failed:
        oauth.revoke(replace(client, web=HASTY), SECRET)
    assert SECRET not in held(failed.value)


@pytest.mark.world
def test_a_revocation_that_is_refused_for_another_reason_is_told(oidc, client):
    oidc.fail("revoke", 401, error="invalid_client")
    with pytest.raises(Refused, match="invalid_client"):
        oauth.revoke(client, SECRET)


@pytest.mark.world
@pytest.mark.parametrize(
    "body",
    ["[]", "null", "{}", '{"access_token": 1, "refresh_token": "r", "token_type": "Bearer"}',
     '{"access_token": "a b", "refresh_token": "r", "token_type": "Bearer"}',
     '{"access_token": "a", "refresh_token": "r", "token_type": "mac"}',
     '{"access_token": "a", "refresh_token": ["r"], "token_type": "Bearer"}',
     '{"error": "invalid_grant"}', "[" * 100_000, '{"access_token": "\\ud800"}'],
)  # fmt: skip
def test_an_answer_of_success_that_is_none_is_away(oidc, client, body):
    oidc.fail("token", 200, body=body)
    with pytest.raises(Away) as failed:
        oauth.refresh(client, SECRET)
    held(failed.value)


@pytest.mark.world
@pytest.mark.parametrize(("told", "life"), [(None, 300), (-5, 0), (10**9, 86_400), ("1800", 1800)])
def test_the_life_of_a_token_is_never_believed_without_bounds(oidc, client, told, life):
    answer = {"access_token": "a", "refresh_token": "r", "token_type": "bearer", "expires_in": told}
    oidc.fail("token", 200, body=json.dumps(answer))
    assert oauth.refresh(client, "r").expires_in == life


@pytest.mark.world
@pytest.mark.parametrize(
    ("told", "seconds"),
    [("", 60), ("soon", 60), ("-5", 60), ("999999999999", 3600), ("Thu, 01 Jan 1970 00:00:00 GMT", 0)],
)
def test_a_strange_time_to_wait_does_no_harm(oidc, client, told, seconds):
    oidc.fail("token", 429, headers={"Retry-After": told})
    with pytest.raises(Away) as failed:
        oauth.refresh(client, "r")
    assert failed.value.seconds == seconds


@pytest.mark.world
def test_nothing_of_the_environment_decides_where_a_token_goes(oidc, client, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert granted(oidc, client).identity.addresses == (ANA,)


def test_a_provider_that_is_not_there_is_away():
    with pytest.raises(Away) as failed:
        oauth.endpoints("google", "http://127.0.0.1:1", web=HASTY)
    held(failed.value)


@contextmanager
def serving(head, every=None):
    """A web server that answers with this head, then with a blank every so many seconds, or with the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def serve():
            sock, _ = listener.accept()
            with sock:
                sock.recv(65_536)
                sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}\r\n".encode())
                with suppress(OSError):
                    while every and not over.wait(every):
                        sock.sendall(b" ")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        thread.join(5)


def test_an_answer_that_comes_byte_by_byte_is_waited_for_no_longer_than_allowed():
    begun = time.monotonic()
    with serving("", every=0.05) as url, pytest.raises(Away, match="no end"):
        oauth.endpoints("google", url, web=Web(connect=1, read=1, total=0.5))
    assert time.monotonic() - begun < 10


def test_a_packed_answer_is_not_unpacked():
    """Nobody asked for one, and of a packed one without an end not a byte would be seen."""
    with serving("Content-Encoding: gzip\r\n") as url, pytest.raises(Away, match="not asked for"):
        oauth.endpoints("google", url, web=HASTY)


CUT = ["Content-Length: 100\r\n", "Transfer-Encoding: chunked\r\n"]


@pytest.mark.parametrize("head", CUT)
def test_an_answer_that_is_cut_short_is_away(head):
    with serving(head) as url, pytest.raises(Away) as failed:
        oauth.endpoints("google", url, web=HASTY)
    held(failed.value)


@pytest.mark.parametrize(
    "authority", ["http://provider.example", "ftp://127.0.0.1", "https://a:b@x.example", "nothing"]
)
def test_an_authority_is_https_or_this_machine(authority):
    with pytest.raises(ValueError, match="not"):
        oauth.endpoints("google", authority)


def test_an_authority_in_https_has_to_prove_its_name_to_our_trust():
    authority = trustme.CA()
    with HttpsServer(server_context(authority, "localhost")) as server:
        name = f"localhost:{server.port}"
        told = {
            "issuer": f"https://{name}",
            "authorization_endpoint": f"https://{name}/a",
            "token_endpoint": f"https://{name}/t",
            "jwks_uri": f"https://{name}/k",
        }
        server.pages[f"{name}/.well-known/openid-configuration"] = page(json.dumps(told), "application/json")
        found = oauth.endpoints("google", f"https://{name}", web=Web(context=client_context(authority)))
        assert (found.token, found.revoke, found.tells_issuer) == (f"https://{name}/t", "", False)
        asked_so_far = len(server.asked)
        with pytest.raises(Away):
            oauth.endpoints("google", f"https://{name}")
        assert len(server.asked) == asked_so_far


@pytest.mark.world
def test_an_authority_that_calls_itself_otherwise_or_names_unsafe_endpoints_is_not_used(oidc):
    told = requests.get(f"{oidc.authority}/.well-known/openid-configuration", timeout=10).json()
    oidc.fail("discovery", 200, body=json.dumps(told | {"issuer": "https://evil.example"}))
    with pytest.raises(Refused, match="issuer_mismatch"):
        oauth.endpoints("google", oidc.authority)
    for wrong in ({"token_endpoint": "http://evil.example/token"}, {"jwks_uri": None}, {"authorization_endpoint": 1}):
        oidc.fail("discovery", 200, body=json.dumps(told | wrong))
        with pytest.raises(Away):
            oauth.endpoints("google", oidc.authority)


# --- the id_token ----------------------------------------------------------------------------------------------------

KEY = RSAKey.generate_key(2048, {"kid": "ours", "use": "sig", "alg": "RS256"}, private=True)
OTHER = RSAKey.generate_key(2048, {"kid": "ours", "use": "sig", "alg": "RS256"}, private=True)
NOW = 1_795_000_000
ISSUER = f"https://login.microsoftonline.com/{TENANT}/v2.0"
CLAIMS = {
    "iss": ISSUER, "sub": "subject", "aud": "app", "exp": NOW + 3600, "iat": NOW, "nbf": NOW, "nonce": NONCE,
    "tid": TENANT, "email": "Ana@Agencia.test", "preferred_username": ANA,
}  # fmt: skip


class Answering:
    """A token endpoint and keys of our own, to say what no honest provider would."""

    def __init__(self, oidc, provider="microsoft", issuer=None):
        self.oidc = oidc
        found = oauth.endpoints(provider)
        at = {"token": f"{oidc.authority}/token", "jwks": f"{oidc.authority}/jwks", "issuer": issuer or found.issuer}
        self.client = Client(provider, "app", "s", replace(found, **at))
        self.keys({"keys": [KEY.as_dict(private=False)]})

    def keys(self, keys):
        self.oidc.fail("jwks", 200, body=json.dumps(keys))

    def __call__(self, id_token, now=NOW):
        answer = {"access_token": "a", "refresh_token": "r", "token_type": "Bearer", "id_token": id_token}
        self.oidc.fail("token", 200, body=json.dumps(answer))
        return exchanged(self.client, "code", now=now).identity


def signed(claims, key=KEY, **header):
    return jwt.encode({"alg": "RS256", "kid": "ours", **header}, claims, key)


@pytest.fixture
def answering(oidc):
    return Answering(oidc)


@pytest.mark.world
def test_microsofts_issuer_is_that_of_the_persons_tenant(answering):
    found = answering(signed(CLAIMS))
    assert (found.issuer, found.subject, found.addresses, found.tenant) == (ISSUER, "subject", (ANA,), TENANT)
    personal = "9188040d-6c67-4c5b-b112-36a304b66dad"
    own = CLAIMS | {"iss": f"https://login.microsoftonline.com/{personal}/v2.0", "tid": personal}
    assert answering(signed(own)).tenant == ""


@pytest.mark.world
@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://login.microsoftonline.com/99999999-2222-4333-8444-555555555555/v2.0"},
        {"iss": "https://evil.example"},
        {"tid": "99999999-2222-4333-8444-555555555555"},
        {"tid": "../x"},
        {"tid": None, "iss": "https://login.microsoftonline.com//v2.0"},
        {"aud": "another app"},
        {"aud": ["another app"]},
        {"aud": ["app", "another"], "azp": "another"},
        {"aud": None},
        {"azp": "another"},
        {"exp": NOW - 301},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": NOW + 301},
        {"iat": NOW + 301},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
        {"at_hash": "wrong"},
    ],
    ids=str,
)
def test_an_id_token_with_a_wrong_claim_proves_nothing(answering, wrong):
    claims = {name: value for name, value in (CLAIMS | wrong).items() if value is not None}
    with pytest.raises(Refused, match="invalid_id_token") as refused:
        answering(signed(claims))
    assert refused.value.cause == "other"
    assert "subject" not in held(refused.value)


@pytest.mark.world
def test_clocks_may_differ_by_some_minutes(answering):
    assert answering(signed(CLAIMS), now=NOW + 3600 + 290).subject == "subject"
    assert answering(signed(CLAIMS), now=NOW - 290).subject == "subject"


def unsigned(claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


@pytest.mark.world
def test_an_id_token_that_the_provider_did_not_sign_proves_nothing(answering):
    public = KEY.as_pem(private=False)
    head, body, _ = signed(CLAIMS).split(".")
    other_body = signed(CLAIMS | {"email": "evil@evil.example"}).split(".")[1]
    tail = signed(CLAIMS).split(".")[2]
    for forged in (
        signed(CLAIMS, OTHER),
        unsigned(CLAIMS),
        f"{head}.{other_body}.{tail}",
        f"{head}.{body}.",
        signed(CLAIMS, kid="another"),
        hs256(CLAIMS, public),
        "no token",
        "",
        None,
    ):
        with pytest.raises(Refused, match="id_token"):
            answering(forged)


def hs256(claims, secret):
    """The old trick: the public key as the secret of a symmetric signature."""

    def part(raw):
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    head = json.dumps({"alg": "HS256", "kid": "ours"})
    said = f"{part(head.encode())}.{part(json.dumps(claims).encode())}"
    return f"{said}.{part(hmac.new(secret, said.encode(), hashlib.sha256).digest())}"


@pytest.mark.world
@pytest.mark.parametrize("keys", [{}, {"keys": []}, {"keys": "x"}, {"keys": [{"kty": "RSA"}]}, {"keys": [1]}])
def test_keys_that_are_none_are_away_or_prove_nothing(answering, keys):
    answering.keys(keys)
    with pytest.raises((Away, Refused)) as failed:
        answering(signed(CLAIMS))
    held(failed.value)


@pytest.mark.world
def test_google_may_name_itself_with_and_without_https_and_vouches_for_its_addresses(oidc):
    answering = Answering(oidc, "google")
    claims = {name: CLAIMS[name] for name in ("sub", "aud", "exp", "iat", "nonce", "email")} | {"email_verified": True}
    for issuer in ("https://accounts.google.com", "accounts.google.com"):
        assert answering(signed(claims | {"iss": issuer})).addresses == (ANA,)
    unverified = claims | {"iss": "accounts.google.com", "email_verified": False, "preferred_username": ANA}
    assert answering(signed(unverified)).addresses == ()
    with pytest.raises(Refused):
        answering(signed(claims | {"iss": "https://accounts.google.com.evil.example"}))


@pytest.mark.world
def test_an_agencys_own_tenant_lets_nobody_elses_people_in(oidc):
    answering = Answering(oidc, issuer=oauth.endpoints("microsoft", tenant=TENANT).issuer)
    assert answering(signed(CLAIMS)).tenant == TENANT
    other = "99999999-2222-4333-8444-555555555555"
    with pytest.raises(Refused, match="invalid_id_token"):
        answering(signed(CLAIMS | {"tid": other, "iss": ISSUER.replace(TENANT, other)}))


@pytest.mark.world
def test_what_is_no_address_in_an_id_token_is_left_out(answering):
    odd = CLAIMS | {"email": "ana\r\n@x.test", "preferred_username": "+55 11 99999-0000", "upn": 7}
    assert answering(signed(odd)).addresses == ()


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.world
def test_no_token_is_in_the_text_of_anything(oidc, client, caplog):
    caplog.set_level(logging.DEBUG)
    code = signed_in(oidc, client)
    got = exchanged(client, code)
    fresh = oauth.refresh(client, got.refresh)
    oauth.revoke(client, fresh.refresh)
    for text in (repr(got), repr(fresh), repr(client), caplog.text):
        for secret in (got.access, got.refresh, fresh.access, fresh.refresh, code, VERIFIER, client.client_secret):
            assert secret not in text


def test_a_verifier_of_the_usual_kind_fits():
    asked(
        Client("google", "a", "s", Endpoints("https://a.example", "", "", "", "")), verifier=secrets.token_urlsafe(48)
    )
