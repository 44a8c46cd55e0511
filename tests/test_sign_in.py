"""Signing in at a provider: one link, one browser, one way there and back - against a real OpenID provider."""

import base64
import logging
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.cli.contacts import export
from bot.credentials import may_look_in
from bot.live_tests import stored
from bot.mail.wire import oauth as wire
from bot.settings import load
from bot.sign_in import STATE_TIME
from bot.store import housekeeping, tables
from bot.vault import token_hash
from flows.sign_in import AwaitingSignIn, AwaitingSignInLink, SignInStuck
from flows.speech import texts
from flows.words import LANGUAGES, SignedIn, SignInFailed
from tests.botkit import ADDRESS, ANA, BIA, run_sql
from tests.oidc import IMAP_SCOPE, SMTP_SCOPE
from tests.signkit import ACCOUNT, PUBLIC, SCOPES, Browser, SignKit, query_of, words

EN = texts("en")


@pytest.fixture(params=["microsoft"])
def kit(database_url, tmp_path, oidc, request):
    with SignKit(database_url, tmp_path, oidc, request.param) as made:
        yield made


@pytest.fixture
def google(database_url, tmp_path, oidc):
    with SignKit(database_url, tmp_path, oidc, "google") as made:
        yield made


def title(why):
    return EN[f"sign_in_page.{why}.title"].replace("{provider}", "Microsoft")


def unchanged(kit, before):
    assert kit.dump() == before
    assert kit.events == []


# --- the page ---------------------------------------------------------------------------------------------------------


def test_looking_uses_nothing_up(kit):
    token = kit.offered()
    before = kit.dump()
    pages = [kit.browser.get(f"/s/{token}", headers={"User-Agent": agent}) for agent in ("WhatsApp/2.23", "Slackbot")]
    assert [page.status_code for page in pages] == [200, 200]
    assert all("Set-Cookie" not in page.headers for page in pages)
    unchanged(kit, before)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_the_persons_language_and_says_who_is_asked_for_what(kit, language):
    token = kit.offered()
    run_sql(kit.url, f"update contact set language = '{language}'")
    page = kit.browser.get(f"/s/{token}")
    said, own = words(page), texts(language)
    for name in ("sign_in_page.may_not_look", "sign_in_page.step_3"):
        assert own[name] in said
    assert ADDRESS in said
    assert own["sign_in_page.for_whom"].format(person="Ana", agency="Agência Sol", address=ADDRESS) in said
    assert kit.oidc.authority.removeprefix("http://") in said
    assert f'<html lang="{language}">' in page.text


def test_google_s_page_says_that_its_one_permission_is_larger(google):
    said = words(google.browser.get(f"/s/{google.offered()}"))
    assert EN["sign_in_page.may_look"].replace("{provider}", "Google") in said


def test_no_password_is_taken_on_the_page_of_a_sign_in(kit):
    token = kit.offered()
    before = kit.dump()
    assert kit.browser.post(f"/s/{token}", data={"secret": "girafa", "proof": "x"}).status_code == 410
    unchanged(kit, before)


def test_a_page_may_lead_to_the_provider_and_carries_every_header(kit):
    page = kit.browser.get(f"/s/{kit.offered()}")
    assert f"form-action 'self' https: {kit.oidc.authority};" in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"


# --- leaving ----------------------------------------------------------------------------------------------------------


def test_the_way_to_the_provider_carries_what_it_must_and_nothing_of_ours_in_clear_stays(kit):
    token = kit.offered()
    left = kit.browser.left(token)
    wish = query_of(left.location)
    assert left.status_code == 303
    assert left.location.startswith(f"{kit.oidc.authority}/auth?")
    assert wish["redirect_uri"] == f"{PUBLIC}/oauth/microsoft/callback"
    assert wish["code_challenge_method"] == "S256"
    assert wish["scope"].split()[0] == SMTP_SCOPE
    assert (wish["login_hint"], wish["prompt"]) == (ADDRESS, "select_account")
    assert len(wish["state"]) * 6 >= 128
    [way] = kit.rows(tables.sign_in)
    assert (way.hash, way.provider, way.client_id) == (token_hash(wish["state"]), "microsoft", kit.app.client_id)
    assert way.browser_hash == token_hash(kit.browser.cookie())
    assert way.expires_at == kit.clock.now() + timedelta(minutes=10)
    for secret in (wish["state"], wish["nonce"], kit.browser.cookie(), token):
        assert secret not in kit.dump()
    cookie = left.headers["Set-Cookie"]
    for mark in ("__Host-", "Secure", "HttpOnly", "SameSite=Lax", "Path=/;", "Max-Age=600"):
        assert mark in cookie
    assert "Domain" not in cookie
    [link] = kit.rows(tables.link)
    assert (link.kind, link.provider, link.closed_at) == ("sign_in", "microsoft", None)


def test_a_form_that_is_not_ours_leads_nowhere(kit):
    token = kit.offered()
    form, before = kit.browser.form(token), kit.dump()
    for data, headers in (
        ({}, {}),
        ({"token": token}, {}),
        ({"token": token, "proof": "x"}, {}),
        ({"token": "other", "proof": form["proof"]}, {}),
        (form, {"Sec-Fetch-Site": "cross-site"}),
        ({**form, "more": "x" * 5000}, {}),
    ):
        assert kit.browser.post("/oauth/microsoft/start", data=data, headers=headers).status_code == 410
    for other in ("google", "evil", "yahoo"):
        assert kit.browser.post(f"/oauth/{other}/start", data=form).status_code == 410
    assert kit.browser.get("/oauth/microsoft/start").status_code == 405
    unchanged(kit, before)
    assert kit.browser.post("/oauth/microsoft/start", data=form).status_code == 303


def test_a_newer_link_voids_the_older_one(kit):
    old = kit.offered()
    form = kit.browser.form(old)
    new = kit.link()
    assert kit.browser.post("/oauth/microsoft/start", data=form).status_code == 410
    assert kit.browser.sign_in(new).status_code == 200
    assert len(kit.events) == 1


def test_whoever_presses_twice_comes_back_by_the_second_way(kit):
    token = kit.offered()
    first, second = kit.browser.left(token), kit.browser.left(token)
    assert len(kit.rows(tables.sign_in)) == 1
    before = kit.dump()
    assert kit.browser.back(kit.oidc.sign_in(first.location, ADDRESS)).status_code == 410
    unchanged(kit, before)
    kit.browser.left(token)
    assert kit.browser.back(kit.oidc.sign_in(kit.browser.left(token).location, ADDRESS)).status_code == 200
    assert second.status_code == 303


def test_a_link_ends_with_its_time_but_whoever_left_in_time_may_come_back(kit):
    token = kit.offered()
    kit.clock.move(minutes=29)
    url = kit.browser.allowed(token)
    kit.clock.move(minutes=5)
    assert title("done") in words(kit.browser.back(url))
    late = kit.link()
    form = kit.browser.form(late)
    kit.clock.move(minutes=31)
    assert kit.browser.post("/oauth/microsoft/start", data=form).status_code == 410


# --- coming back ------------------------------------------------------------------------------------------------------


def test_where_more_was_allowed_than_we_ask_for_we_may_look_into_the_mailbox(kit, monkeypatch):
    """As Microsoft answers where an administrator allowed the app to read."""
    asked = wire.scopes("microsoft", "smtp")
    monkeypatch.setattr(wire, "scopes", lambda *_: (asked[0], IMAP_SCOPE, *asked[1:]))
    kit.connected()
    assert IMAP_SCOPE in kit.grant().scopes.split()
    assert may_look_in(kit.parts.tools, stored(kit.box()), kit.box().secret_id)
    # Nor does the token go to another provider's IMAP server, whatever the database says.
    elsewhere = replace(stored(kit.box()), address="ana@yahoo.com")
    assert not may_look_in(kit.parts.tools, elsewhere, kit.box().secret_id)


@pytest.mark.parametrize("provider", ["microsoft", "google"])
def test_who_signs_in_is_asked_no_more_and_what_they_granted_lies_sealed(database_url, tmp_path, oidc, provider):
    with SignKit(database_url, tmp_path, oidc, provider) as kit:
        page = kit.signed_in()
        assert EN["sign_in_page.done.title"] in words(page)
        [event] = kit.events
        [link] = kit.rows(tables.link)
        grant = kit.grant()
        assert event == SignedIn(str(grant.secret_id), str(link.id))
        assert link.closed_at is not None
        assert (grant.provider, grant.client_id, grant.issuer) == (provider, kit.app.client_id, oidc.authority)
        assert grant.account == ADDRESS
        assert SCOPES[provider] in grant.scopes.split()
        kinds = {row.id: row.kind for row in kit.rows(tables.secret)}
        assert kinds == {grant.secret_id: f"mailbox.oauth.{provider}", grant.access_id: "mailbox.access"}
        assert kit.rows(tables.sign_in) == []
        assert oidc.introspect(kit.clear(grant.access_id))["active"]
        assert [row.kind for row in kit.promised("TestLogin")] == ["TestLogin"]
        assert kit.browser.cookie() == ""


def test_the_last_page_can_be_loaded_again_holds_no_code_and_leads_nowhere_else(kit):
    url = kit.browser.allowed(kit.offered())
    answer = kit.browser.get(url)
    assert answer.status_code == 303
    assert query_of(url)["code"] not in answer.location
    assert "state" not in answer.location
    for _ in range(2):
        assert title("done") in words(kit.browser.get(answer.location))
    assert kit.browser.get(f"{answer.location}x").status_code == 410
    assert kit.browser.get("/oauth/done/evil").status_code == 410


def test_of_two_that_come_back_with_the_same_state_one_gets_in(kit):
    url, pages, together = kit.browser.allowed(kit.offered()), [], threading.Barrier(2)
    cookie = kit.browser.cookie()

    def back():
        browser = Browser(kit)
        browser.take_cookie(cookie)
        together.wait()
        pages.append(browser.get(url).status_code)

    both = [threading.Thread(target=back) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(pages) == [303, 410]
    assert len(kit.events) == 1
    assert kit.oidc.count("token") == 1


def test_a_replayed_way_back_changes_nothing(kit):
    url = kit.browser.allowed(kit.offered())
    cookie = kit.browser.cookie()
    kit.browser.back(url)
    kit.browser.take_cookie(cookie)
    before, heard = kit.dump(), list(kit.events)
    assert title("closed") in words(kit.browser.back(url))
    assert kit.dump() == before
    assert kit.events == heard


def test_another_browser_cannot_finish_what_this_one_began(kit):
    url = kit.browser.allowed(kit.offered())
    before = kit.dump()
    stranger = Browser(kit)
    assert stranger.back(url).status_code == 410
    stranger.take_cookie("guess")
    assert stranger.back(url).status_code == 410
    unchanged(kit, before)
    assert kit.oidc.count("token") == 0
    assert kit.browser.back(url).status_code == 200  # and has used nothing up


def test_a_code_from_somebody_elses_way_is_worth_nothing_here(kit):
    kit.join(BIA)
    theirs = Browser(kit)
    stolen = query_of(theirs.allowed(kit.link(BIA)))["code"]
    mine = kit.browser.left(kit.offered())
    state = query_of(mine.location)["state"]
    page = kit.browser.back(f"/oauth/microsoft/callback?code={stolen}&state={state}&iss={kit.oidc.authority}")
    assert title("other") in words(page)
    assert kit.rows(tables.oauth_grant) == []
    assert [event.reason for event in kit.events] == ["other"]


@pytest.mark.parametrize(
    "query",
    ["", "code=x", "state=", "state=abc&code=x", "state=" + "x" * 5000, "state=%00&code=%ff", "code=a&code=b&state=c"],
)
def test_a_way_back_without_our_state_asks_nobody_for_anything(kit, query):
    kit.browser.left(kit.offered())
    before = kit.dump()
    page = kit.browser.get(f"/oauth/microsoft/callback?{query}")
    assert page.status_code == 410
    assert title("closed") in words(page)
    unchanged(kit, before)


def test_the_state_of_one_provider_is_unknown_to_the_other(kit):
    url = kit.browser.allowed(kit.offered())
    before = kit.dump()
    assert kit.browser.get(url.replace("/microsoft/", "/google/")).status_code == 410
    assert kit.browser.get(url.replace("/microsoft/", "/evil/")).status_code == 410
    unchanged(kit, before)
    assert kit.browser.back(url).status_code == 200


def test_a_code_that_another_provider_made_is_not_exchanged(kit):
    url = kit.browser.allowed(kit.offered())
    mixed = url.replace("iss=", "iss=https%3A%2F%2Fevil.test&was=")
    assert mixed != url
    assert kit.browser.back(mixed).status_code == 410
    assert kit.oidc.count("token") == 0
    assert kit.rows(tables.oauth_grant) == []


def test_after_ten_minutes_the_way_is_closed(kit):
    url = kit.browser.allowed(kit.offered())
    kit.clock.move(seconds=STATE_TIME.total_seconds() + 1)
    assert title("closed") in words(kit.browser.back(url))
    assert kit.rows(tables.oauth_grant) == []


def test_ways_that_nobody_finished_are_erased_with_what_was_sealed_of_them(kit):
    kit.browser.left(kit.offered())
    kit.clock.move(minutes=11)
    with kit.engine.begin() as db:
        housekeeping.sweep(db, kit.clock.now(), timedelta(days=90))
    assert kit.rows(tables.sign_in) == []
    assert kit.rows(tables.secret) == []


@pytest.mark.parametrize("extra", ["next=https://evil.test", "redirect_uri=https://evil.test", "url=//evil.test"])
def test_no_parameter_leads_anywhere_else(kit, extra):
    url = kit.browser.allowed(kit.offered())
    answer = kit.browser.get(f"{url}&{extra}")
    assert answer.location.startswith("/oauth/done/")
    assert "evil" not in kit.browser.get(answer.location).text
    left = kit.browser.post(f"/oauth/microsoft/start?{extra}", data=kit.browser.form(kit.link()))
    assert left.location.startswith(kit.oidc.authority)
    assert "evil" not in left.location


# --- what comes to nothing --------------------------------------------------------------------------------------------


def failed(kit, reason, page, *, other=""):
    """Chat and page say the same; the link is used up, and the chat has a new one or says more; nothing was kept."""
    [link] = [row for row in kit.rows(tables.link) if row.closed_at is not None]
    assert kit.events == [SignInFailed(reason, str(link.id), other)]
    assert isinstance(kit.envelope().state, AwaitingSignInLink | AwaitingSignIn | SignInStuck)
    assert kit.rows(tables.oauth_grant) == []
    assert kit.rows(tables.secret) == []
    assert title(reason) in words(page)


def test_who_says_no_is_told_so_on_the_page_and_in_the_chat(kit):
    failed(kit, "denied", kit.browser.sign_in(kit.offered(), accept=False))


def test_who_signs_in_as_somebody_else_keeps_what_they_granted(kit):
    page = kit.signed_in(address="bia@agency.test")
    way = page.request.path.rpartition("/")[2]
    assert b"bia" not in base64.urlsafe_b64decode(way + "==")  # it stays in the browser's history
    failed(kit, "other_account", page, other="bia@agency.test")
    assert "bia@agency.test" in words(page)
    assert kit.oidc.count("revoke") == 1


def test_the_address_is_the_same_in_capitals(kit):
    assert title("done") in words(kit.signed_in(address=ADDRESS.upper()))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("error=access_denied&error_description=AADSTS65004", "denied"),
        ("error=access_denied&error_description=AADSTS90094%3A+admin+consent", "consent"),
        ("error=consent_required", "consent"),
        ("error=admin_policy_enforced", "consent"),
        ("error=server_error", "away"),
        ("error=temporarily_unavailable", "away"),
        ("error=invalid_scope", "ours"),
        ("error=unauthorized_client", "ours"),
        ("error=something_new", "other"),
        ("error=%3Cscript%3E", "other"),
    ],
)
def test_what_the_provider_says_is_told_in_our_words(kit, error, reason):
    state = query_of(kit.browser.left(kit.offered()).location)["state"]
    page = kit.browser.back(f"/oauth/microsoft/callback?{error}&state={state}&iss={kit.oidc.authority}")
    failed(kit, reason, page)
    assert "AADSTS" not in page.text
    assert "<script>" not in page.text


@pytest.mark.parametrize(
    ("how", "more", "reason"),
    [
        (503, {}, "away"),
        ("drop", {}, "away"),
        ("garbage", {}, "away"),
        (401, {"error": "invalid_client"}, "ours"),
        (400, {"error": "invalid_grant"}, "other"),
    ],
)
def test_when_the_provider_gives_no_token_nothing_is_kept(kit, how, more, reason):
    url = kit.browser.allowed(kit.offered())
    kit.oidc.fail("token", how, **more)
    failed(kit, reason, kit.browser.back(url))


def test_a_provider_that_is_away_is_no_dead_end(database_url, tmp_path, oidc):
    with SignKit(database_url, tmp_path, oidc, MICROSOFT_AUTHORITY="http://127.0.0.1:9") as kit:
        answer = kit.browser.left(kit.offered())
        failed(kit, "away", kit.browser.get(answer.location))


def test_a_talk_that_went_elsewhere_keeps_nothing_and_what_was_granted_is_given_back(kit):
    url = kit.browser.allowed(kit.offered())
    kit.say("menu")
    kit.work()
    assert title("closed") in words(kit.browser.back(url))
    assert kit.rows(tables.oauth_grant) == []
    assert kit.oidc.count("revoke") == 1


def test_the_sign_in_of_one_person_moves_nobody_elses_talk(kit):
    kit.join(BIA)
    kit.link(BIA)
    before = kit.envelope(BIA)
    kit.signed_in(ANA)
    assert kit.envelope(BIA) == before


def test_an_administrator_who_has_let_us_in_for_all_reads_that(kit):
    before = kit.dump()
    page = kit.browser.back("/oauth/microsoft/callback?admin_consent=True&tenant=x&state=consent")
    assert title("allowed") in words(page)
    page = kit.browser.back("/oauth/microsoft/callback?error=access_denied&state=consent")
    assert title("not_allowed") in words(page)
    unchanged(kit, before)


def test_pages_are_looked_up_sixty_times_a_minute_at_most(kit):
    for _ in range(60):
        kit.browser.get("/oauth/microsoft/callback?state=x")
    assert kit.browser.get("/oauth/microsoft/callback?state=x").status_code == 429


# --- whose app --------------------------------------------------------------------------------------------------------


def test_without_an_app_nobody_is_sent_anywhere(database_url, tmp_path, oidc):
    with SignKit(database_url, tmp_path, oidc, MICROSOFT_CLIENT_ID="", MICROSOFT_CLIENT_SECRET="") as kit:
        answer = kit.browser.left(kit.offered())
        failed(kit, "ours", kit.browser.get(answer.location))


def test_who_came_from_slack_is_led_back_there(kit):
    token = kit.offered()
    run_sql(kit.url, "update contact set channel = 'slack', address = 'T0SOL.U0ANA'")
    page = kit.browser.sign_in(token)
    assert 'href="slack://open?team=T0SOL"' in page.text
    run_sql(kit.url, "insert into slack_workspace (team_id, app_id, at) values ('T0SOL', 'A0ALLY', now())")
    view = kit.parts.links.look(token)
    assert view.chat_url == "slack://app?team=T0SOL&id=A0ALLY&tab=messages"


def test_what_is_stored_about_a_sign_in_is_exported_without_a_token(kit):
    kit.signed_in()
    told = export(kit.parts, ANA)
    assert [(one["provider"], one["account"]) for one in told["sign_ins"]] == [("microsoft", ADDRESS)]
    grant = kit.grant()
    for secret_id in (grant.secret_id, grant.access_id):
        assert kit.clear(secret_id) not in str(told)


# --- nothing stands anywhere ------------------------------------------------------------------------------------------


def test_tokens_codes_and_verifiers_stand_in_clear_nowhere(google, caplog, capfd, monkeypatch):
    """Not in the database, a log, a job, a transcript, on a page or in a request; only in those that are for them."""
    kit = google
    caplog.set_level(logging.DEBUG, logger="bot")
    caplog.set_level(logging.INFO)
    token = kit.offered()
    left = kit.browser.left(token)
    during = kit.dump()
    url = kit.oidc.sign_in(left.location, ADDRESS)
    pages = [kit.browser.get(f"/s/{token}").text, kit.browser.back(url).text]
    kit.work()
    asked = [one.form for one in kit.oidc.asked if one.endpoint == "token"]
    grant = kit.grant()
    tokens = [kit.clear(grant.secret_id), kit.clear(grant.access_id)]
    secrets = [*tokens, query_of(url)["code"], asked[0]["code_verifier"], kit.app.client_secret, kit.browser.cookie()]
    elsewhere = [str(one) for one in kit.oidc.asked if one.endpoint not in {"token", "revoke"}]
    jobs = [str(row.payload) for row in kit.rows(tables.promise)]
    said = [*kit.bodies(), *kit.transcript()]
    logs = [caplog.text, *capfd.readouterr(), *(str(one.__dict__) for one in caplog.records)]
    everywhere = "\n".join([*pages, during, kit.dump(), *elsewhere, *jobs, *said, *logs, left.location])
    for secret in filter(None, secrets):
        assert secret not in everywhere
    assert len(asked) == 1
    assert load({}).google_client_secret == ""


def test_what_comes_back_is_masked_in_whatever_log(capsys):
    from bot.log import mask_links

    line = 'GET "https://bot.example.com/oauth/google/callback?state=abc&code=4/0Ab_x" 303'
    masked = mask_links(None, "info", {"event": line})["event"]
    assert masked == 'GET "https://bot.example.com/oauth/google/callback?***" 303'
    assert ACCOUNT.address not in masked
