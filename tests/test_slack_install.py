"""Adding the app to many workspaces: who may, what comes back from Slack, and what becomes of the tokens."""

import logging
import re
import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest

from bot.app import create_app
from bot.channels import Identity, Later
from bot.channels.slack.client import NoWorkspaceError
from bot.channels.slack.scopes import SCOPES
from bot.cli.agencies import add_agency, invite
from bot.install import STATE_TIME
from bot.store import housekeeping, tables
from bot.store import slack as slack_store
from bot.vault import token_hash
from bot.workspaces import RENEWAL
from flows.speech import texts
from flows.words import LANGUAGES
from tests.botkit import ANA as PHONE
from tests.botkit import Kit
from tests.installkit import ANA, BIA, CAIO, LUA, PUBLIC, SOL, Browser, InstallKit, query_of, words
from tests.slackkit import TEAM, SlackKit

EN = texts("en")
IN = {"headers": {"Accept-Language": "en"}}


@pytest.fixture
def kit(database_url, tmp_path):
    with InstallKit(database_url, tmp_path) as made:
        yield made


@contextmanager
def opened(database_url, tmp_path, **settings):
    with InstallKit(database_url, tmp_path, **settings) as made:
        yield made


def title(why):
    return EN["install.title"] if why == "enter" else EN[f"install.{why}.title"]


# --- the invitation ---------------------------------------------------------------------------------------------------


def test_an_admin_adds_us_and_is_written_to_in_slack(kit):
    page = kit.installed()
    assert page.status_code == 200
    assert EN["install.done.title"] in words(page)
    assert f'href="slack://app?team={SOL}&amp;id={kit.slack.app_id}&amp;tab=messages"' in page.text
    row = kit.row()
    assert (row.agency_id, row.name, row.app_id, row.gone_at) == (kit.agency, "Sol", kit.slack.app_id, None)
    assert row.token_until == kit.clock.now() + timedelta(hours=12)
    [said] = kit.dm()
    assert "I'm in your Slack now" in said
    assert "Agência Sol" in said
    [bia] = [one for one in kit.rows(tables.member) if one.role == "admin"]
    assert bia.name == "Bia"
    assert [(one.actor, one.action, one.subject) for one in kit.rows(tables.audit)] == [
        (str(bia.id), "slack_installed", SOL)
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_speaks_the_browsers_language(kit, language):
    wanted = {"headers": {"Accept-Language": f"de, {language};q=0.5"}}
    code = kit.admin_code()
    for page, name in (
        (kit.browser.offered(code, **wanted), "install.go"),
        (kit.browser.offered("", **wanted), "install.open"),
        (kit.browser.offered("AAAA-3333-CCCC", **wanted), "install.invitation.title"),
        (kit.browser.install(code, allow=False, **wanted), "install.denied.title"),
        (kit.browser.install(code, **wanted), "install.done.title"),
    ):
        assert texts(language)[name] in words(page)
        assert f'<html lang="{language}">' in page.text


def test_looking_uses_nothing_up_and_the_link_works_afterwards(kit):
    code = kit.admin_code()
    for agent in ("WhatsApp/2.23.20.0", "Slackbot-LinkExpanding 1.0", "Googlebot/2.1"):
        page = kit.browser.offered(code, headers={"User-Agent": agent})
        assert page.status_code == 200
        assert "Set-Cookie" not in page.headers
    assert kit.rows(tables.slack_state) == []
    assert kit.browser.install(code).status_code == 200


def test_the_page_says_for_which_agency_and_what_the_app_may_do(kit):
    page = kit.browser.offered(kit.admin_code())
    for name in ("install.may_talk", "install.may_see", "install.may_not"):
        assert EN[name] in words(page)
    assert "Agência Sol" in words(page)
    assert f"form-action 'self' {kit.slack.url};" in page.headers["Content-Security-Policy"]


def test_the_browser_may_go_on_to_a_workspace_of_slack_s_own(database_url, tmp_path):
    with opened(database_url, tmp_path) as kit:
        kit.parts.slack.workspaces._api_url = ""  # the real one
        client = create_app(kit.parts).test_client()
        policy = client.get(f"/slack/install?code={kit.admin_code()}").headers["Content-Security-Policy"]
    assert "form-action 'self' https://slack.com https://*.slack.com;" in policy


def test_only_an_admins_invitation_that_is_fresh_and_unused_leads_to_slack(kit):
    member, spent, old = kit.invite(), kit.admin_code(), kit.admin_code()
    kit.say(f"My invitation code is {spent}")
    kit.clock.move(hours=24 * 7 + 1)
    for code in (member, spent, old, "AAAA-3333-CCCC", "hello"):
        page = kit.browser.offered(code)
        assert page.status_code == 410
        assert title("invitation") in words(page)
    assert kit.rows(tables.slack_state) == []


def test_without_a_code_it_is_asked_for(kit):
    page = kit.browser.offered("")
    assert page.status_code == 200
    assert EN["install.enter.text"] in words(page)
    assert 'method="get" action="/slack/install"' in page.text


def test_a_form_that_is_not_ours_leads_nowhere(kit):
    code = kit.admin_code()
    offered = kit.browser.offered(code)
    proof = re.search(r'name="proof" value="([^"]+)"', offered.text)[1]
    other = kit.admin_code()
    for data, headers in (
        ({"code": code}, {}),
        ({"code": code, "proof": "x"}, {}),
        ({"code": other, "proof": proof}, {}),
        ({"code": code, "proof": proof}, {"Sec-Fetch-Site": "cross-site"}),
    ):
        assert kit.browser.post("/slack/install", data=data, headers=headers).status_code == 410
    assert kit.rows(tables.slack_state) == []
    assert kit.browser.post("/slack/install", data={"code": code, "proof": proof}).status_code == 303


def test_codes_cannot_be_guessed_from_one_place(kit):
    for _ in range(30):
        assert kit.browser.offered("AAAA-3333-CCCC").status_code == 410
    refused = kit.browser.offered(kit.admin_code())
    assert refused.status_code == 429
    assert title("too_often") in words(refused)
    assert int(refused.headers["Retry-After"]) > 0
    elsewhere = kit.browser.get(f"/slack/install?code={kit.admin_code()}", environ_overrides={"REMOTE_ADDR": "9.9.9.9"})
    assert elsewhere.status_code == 200


# --- the way to Slack -------------------------------------------------------------------------------------------------


def test_the_way_to_slack_carries_our_scopes_and_a_state_that_nobody_else_knows(kit):
    code = kit.admin_code()
    left = kit.browser.left(code)
    wish = query_of(left.location)
    assert left.location.startswith(f"{kit.slack.url}/oauth/v2/authorize?")
    assert wish["client_id"] == kit.slack.client_id
    assert tuple(wish["scope"].split(",")) == SCOPES
    assert wish["redirect_uri"] == f"{PUBLIC}/slack/oauth_redirect"
    assert len(wish["state"]) * 6 >= 128
    [kept] = kit.rows(tables.slack_state)
    assert kept.hash == token_hash(wish["state"])
    assert kept.expires_at == kit.clock.now() + timedelta(minutes=10)
    assert wish["state"] not in kit.dump()
    assert code.replace("-", "") not in left.location.replace("-", "")
    assert wish["state"] not in left.headers["Set-Cookie"]


def test_the_cookie_of_the_way_to_slack_is_of_this_host_alone(kit):
    """`__Host-`: a browser takes it only with Secure, for the whole host and no other (RFC 6265bis, 4.1.3.2)."""
    cookie = kit.browser.left(kit.admin_code()).headers["Set-Cookie"]
    name, _, marks = cookie.partition("=")
    assert name == "__Host-slack_install"
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"} <= set(marks.split("; "))
    assert "Domain" not in cookie


def test_two_ways_have_two_states(kit):
    code = kit.admin_code()
    states = {query_of(kit.browser.left(code).location)["state"] for _ in range(3)}
    assert len(states) == 3


# --- the way back -----------------------------------------------------------------------------------------------------


def test_of_two_that_come_back_with_the_same_state_one_gets_in(kit):
    url = kit.browser.allowed(kit.admin_code())
    together, pages = threading.Barrier(2), []
    cookie = kit.browser._client.get_cookie("__Host-slack_install", "bot.example.com", "/")

    def back():
        browser = Browser(kit)
        browser._client.set_cookie("__Host-slack_install", cookie.value, domain="bot.example.com", path="/")
        together.wait()
        pages.append(browser.get(url.removeprefix(PUBLIC)).status_code)

    both = [threading.Thread(target=back) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(pages) == [303, 410]
    assert len(kit.called("oauth.v2.access")) == 1


def test_a_replayed_way_back_is_refused_and_the_first_stays(kit):
    url = kit.browser.allowed(kit.admin_code())
    cookie = kit.browser._client.get_cookie("__Host-slack_install", "bot.example.com", "/")
    assert kit.browser.back(url).status_code == 200
    token = kit.token()
    kit.browser._client.set_cookie("__Host-slack_install", cookie.value, domain="bot.example.com", path="/")
    again = kit.browser.back(url)
    assert again.status_code == 410
    assert title("state") in words(again)
    assert kit.token() == token
    assert kit.browser._client.get_cookie("__Host-slack_install", "bot.example.com", "/") is None


def test_the_last_page_can_be_loaded_again_and_leads_nowhere_else(kit):
    url = kit.browser.allowed(kit.admin_code())
    answer = kit.browser.get(url.removeprefix(PUBLIC))
    for _ in range(2):
        assert title("done") in words(kit.browser.get(answer.location))
    assert kit.browser.get(f"{answer.location}x").status_code == 410
    assert kit.browser.get("/slack/installed/evil").status_code == 410


def test_another_browser_cannot_finish_what_this_one_began(kit):
    url = kit.browser.allowed(kit.admin_code())
    stranger = Browser(kit)
    assert stranger.back(url).status_code == 410
    stranger.left(kit.admin_code())  # with a cookie of its own way
    assert stranger.back(url).status_code == 410
    assert kit.called("oauth.v2.access") == []
    assert kit.browser.back(url).status_code == 200  # and has used nothing up


@pytest.mark.parametrize("query", ["", "?code=x", "?state=", "?state=abc&code=x", f"?state={'x' * 500}&code=x"])
def test_a_way_back_without_our_state_asks_slack_for_nothing(kit, query):
    page = kit.browser.get(f"/slack/oauth_redirect{query}", **IN)
    assert page.status_code == 410
    assert EN["install.code"] in words(page)
    assert kit.called("oauth.v2.access") == []


def test_after_ten_minutes_the_way_is_closed(kit):
    url = kit.browser.allowed(kit.admin_code())
    kit.clock.move(seconds=STATE_TIME.total_seconds() + 1)
    assert title("state") in words(kit.browser.back(url))
    assert kit.row() is None


def test_ways_that_nobody_finished_are_erased(kit):
    kit.browser.left(kit.admin_code())
    kit.clock.move(minutes=11)
    with kit.engine.begin() as db:
        housekeeping.sweep(db, kit.clock.now(), timedelta(days=90))
    assert kit.rows(tables.slack_state) == []


def test_who_says_no_in_slack_can_begin_again_with_the_same_invitation(kit):
    code = kit.admin_code()
    page = kit.browser.install(code, allow=False)
    assert page.status_code == 200
    assert title("denied") in words(page)
    assert 'name="code"' in page.text
    assert kit.browser.install(code).status_code == 200
    assert kit.row().agency_id == kit.agency


@pytest.mark.parametrize(
    ("kind", "why", "status"),
    [
        ("500", "down", 503),
        ("ratelimited", "down", 503),
        ("drop_before", "down", 503),
        ("drop_after", "down", 503),
        ("invalid_code", "refused", 502),
        ("bad_client_secret", "refused", 502),
    ],
)
def test_when_slack_gives_no_token_a_page_says_so_and_the_invitation_is_not_used_up(kit, kind, why, status):
    code = kit.admin_code()
    url = kit.browser.allowed(code)
    kit.slack.fail("oauth.v2.access", kind)
    page = kit.browser.back(url)
    assert page.status_code == status
    assert title(why) in words(page)
    assert kit.row() is None
    assert kit.browser.install(code).status_code == 200


def test_any_other_error_of_slack_s_is_a_page_too(kit):
    state = query_of(kit.browser.left(kit.admin_code()).location)["state"]
    page = kit.browser.get(f"/slack/oauth_redirect?error=server_error&state={state}")
    assert page.status_code == 502
    assert title("refused") in words(page)


def answers(kit, monkeypatch, **changed):
    """Let Slack's answer to a code say something else."""
    real = kit.parts.slack.workspaces.exchange
    monkeypatch.setattr(kit.parts.slack.workspaces, "exchange", lambda *given: {**real(*given), **changed})


def test_a_whole_organisation_is_refused_and_its_token_revoked(kit, monkeypatch):
    answers(kit, monkeypatch, is_enterprise_install=True, team=None)
    page = kit.browser.install(kit.admin_code())
    assert page.status_code == 422
    assert title("org") in words(page)
    assert kit.row() is None
    assert len(kit.called("auth.revoke")) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"team": {"id": "x y"}},
        {"authed_user": {}},
        {"authed_user": {"id": "U0BIA'; drop table"}},
        {"token_type": "user"},
        {"access_token": ""},
    ],
)
def test_an_answer_that_is_no_bots_token_for_a_workspace_is_not_kept(kit, monkeypatch, changed):
    answers(kit, monkeypatch, **changed)
    assert kit.browser.install(kit.admin_code()).status_code == 502
    assert kit.rows(tables.slack_workspace) == []
    assert kit.secrets_kept() == 0


def test_an_invitation_that_somebody_else_used_meanwhile_adds_nothing(kit):
    code = kit.admin_code()
    url = kit.browser.allowed(code)
    kit.say(f"My invitation code is {code}")
    page = kit.browser.back(url)
    assert page.status_code == 410
    assert title("invitation") in words(page)
    assert kit.row() is None
    assert kit.secrets_kept() == 0
    assert len(kit.called("auth.revoke")) == 1


def test_two_workspaces_may_belong_to_one_agency(kit):
    kit.installed()
    kit.installed(LUA, CAIO)
    assert {one.agency_id for one in kit.rows(tables.slack_workspace)} == {kit.agency}
    assert kit.dm(CAIO, LUA)


def test_each_agency_has_its_own_workspace(kit):
    kit.installed()
    kit.installed(LUA, CAIO, agency=kit.another_agency())
    assert kit.row(SOL).agency_id != kit.row(LUA).agency_id


@pytest.mark.parametrize("rotate", [True, False])
def test_a_workspace_of_another_agency_is_refused_and_goes_on_working_there(database_url, tmp_path, rotate):
    with opened(database_url, tmp_path, rotate=rotate) as kit:
        kit.installed()
        before = kit.token()
        page = kit.browser.install(kit.admin_code(agency=kit.another_agency()), SOL, ANA)
        assert page.status_code == 409
        assert title("taken") in words(page)
        assert kit.row().agency_id == kit.agency
        assert kit.token() == before
        assert kit.called("auth.revoke") == []  # it would switch our user off in the whole workspace
        kit.parts.slack.workspaces.api.call(SOL, "users.list")
        assert [one.role for one in kit.rows(tables.member)] == ["admin"]


def test_where_the_other_agency_has_removed_us_the_token_is_revoked(kit):
    kit.installed()
    kit.parts.slack.workspaces.leave(SOL)
    page = kit.browser.install(kit.admin_code(agency=kit.another_agency()), SOL, ANA)
    assert title("taken") in words(page)
    assert len(kit.called("auth.revoke")) == 1
    assert kit.row().gone_at is not None
    assert kit.secrets_kept() == 0


def test_after_an_agency_was_closed_its_workspace_may_be_anothers(kit):
    from bot.cli.agencies import close_agency

    kit.installed()
    close_agency(kit.parts, "Agência Sol", really=True)
    another = kit.another_agency()
    assert kit.installed(SOL, ANA, agency=another).status_code == 200
    assert kit.row().agency_id == another


def test_installing_again_replaces_the_tokens_and_makes_nobody_twice(kit):
    kit.installed()
    before, first = kit.token(), kit.row()
    kit.clock.move(hours=1)
    code = kit.admin_code()
    assert kit.browser.install(code).status_code == 200
    kit.work()
    assert kit.token() != before
    assert kit.row().token_id != first.token_id
    assert kit.secrets_kept() == 2
    assert len(kit.rows(tables.member)) == 1
    assert kit.browser.offered(code).status_code == 200  # the same admin needed no use of it


def test_a_member_with_an_admins_invitation_becomes_an_admin(kit):
    kit.installed()
    kit.say(f"My invitation code is {kit.invite()}", identity=Identity("slack", f"{SOL}.{ANA}"))
    kit.work()
    assert sorted(one.role for one in kit.rows(tables.member)) == ["admin", "member"]
    kit.installed(SOL, ANA)
    assert [one.role for one in kit.rows(tables.member)] == ["admin", "admin"]


# --- where nobody installs anything -----------------------------------------------------------------------------------


def test_without_a_client_id_there_is_a_plain_page_that_says_so(database_url, tmp_path):
    with Kit(database_url, tmp_path) as kit:
        client = create_app(kit.parts).test_client()
        for path in (
            "/slack/install?code=AAAA-3333-CCCC",
            "/slack/oauth_redirect?code=x&state=y",
            "/slack/installed/x",
        ):
            page = client.get(path)
            assert page.status_code == 404
            assert title("off") in words(page)
        assert client.post("/slack/install", data={"code": "x"}).status_code == 404


def test_the_operators_invitation_of_an_admin_prints_the_link(kit):
    made = add_agency(kit.parts, "Agência Mar", "pt", "America/Sao_Paulo", "Bia")
    assert made["slack"] == f"{PUBLIC}/slack/install?code={made['code']}"
    assert kit.browser.offered(made["code"]).status_code == 200
    again = invite(kit.parts, "Agência Mar", "admin", "Bia", 1)
    assert again["slack"] == f"{PUBLIC}/slack/install?code={again['code']}"
    assert "slack" not in invite(kit.parts, "Agência Mar", "member", "", 5)


def test_without_oauth_no_link_is_printed(database_url, tmp_path):
    with Kit(database_url, tmp_path) as kit:
        assert "slack" not in add_agency(kit.parts, "Agência Mar", "pt", "America/Sao_Paulo", "Bia")


# --- renewing ---------------------------------------------------------------------------------------------------------


def refreshed(kit):
    return [one for one in kit.called("oauth.v2.access") if one.arguments.get("grant_type") == "refresh_token"]


def claimed(kit, db):
    """Another process begins to renew."""
    now = kit.clock.now()
    return slack_store.claim_renewal(db, SOL, kit.row().refresh_id, now, now + RENEWAL)


def sweep(kit):
    """What the worker does once a minute, and what follows."""
    with kit.engine.begin() as db:
        housekeeping.sweep(db, kit.clock.now(), timedelta(days=90))
    kit.work()


def test_a_token_is_renewed_two_hours_before_its_end_and_not_sooner(kit):
    kit.installed()
    first = kit.token()
    kit.clock.move(hours=9, minutes=59)
    assert kit.token() == first
    kit.clock.move(minutes=2)
    second = kit.token()
    assert second != first
    assert kit.token() == second
    assert len(refreshed(kit)) == 1
    assert kit.secrets_kept() == 2
    assert kit.row().token_until == kit.clock.now() + timedelta(hours=12)


def test_a_token_that_does_not_end_is_never_renewed(database_url, tmp_path):
    with opened(database_url, tmp_path, rotate=False) as kit:
        kit.installed()
        first = kit.token()
        kit.clock.move(hours=24 * 365)
        sweep(kit)
        assert kit.token() == first
        assert refreshed(kit) == []


def test_two_that_need_a_token_at_once_renew_it_once(kit):
    kit.installed()
    kit.clock.move(hours=11)
    together, got = threading.Barrier(8), []

    def need():
        together.wait()
        got.append(kit.token())

    all_of_them = [threading.Thread(target=need) for _ in range(8)]
    for one in all_of_them:
        one.start()
    for one in all_of_them:
        one.join()
    assert len(got) == 8
    assert len(refreshed(kit)) == 1
    kit.parts.slack.workspaces.api.call(SOL, "users.list")


def test_who_looked_before_another_process_had_renewed_it_does_not_renew_it_again(kit, monkeypatch):
    kit.installed()
    kit.clock.move(hours=11)
    look, waiting = slack_store.workspace, [True]

    def workspace(db, team):
        row = look(db, team)
        if waiting and waiting.pop():
            kit.token()  # the other one, between our look and our claim
        return row

    monkeypatch.setattr(slack_store, "workspace", workspace)
    first = kit.token()
    assert len(refreshed(kit)) == 1
    assert kit.token() == first


def test_nobody_else_asks_slack_while_one_process_renews(kit):
    kit.installed()
    first = kit.token()
    kit.clock.move(hours=11)
    with kit.engine.begin() as db:
        assert claimed(kit, db)
    assert kit.token() == first
    kit.clock.move(hours=1, minutes=1)
    with kit.engine.begin() as db:
        assert claimed(kit, db)
    with pytest.raises(Later):
        kit.token()  # ended, and about to be renewed by somebody else
    kit.clock.move(minutes=2)  # who died
    assert kit.token() != first


def test_a_workspace_in_which_nobody_says_anything_keeps_its_chain_of_tokens(kit):
    kit.installed()
    for _ in range(50):
        kit.clock.move(hours=1)
        sweep(kit)
    assert kit.row().gone_at is None
    kit.parts.slack.workspaces.api.call(SOL, "users.list")
    assert len(refreshed(kit)) == 4  # after eleven hours each


def test_while_slack_is_away_the_old_token_serves_and_renewing_is_tried_again(kit):
    kit.installed()
    first = kit.token()
    kit.clock.move(hours=11)
    kit.slack.fail("oauth.v2.access", "503", 2)
    assert kit.token() == first
    sweep(kit)
    kit.clock.move(minutes=2)
    sweep(kit)
    kit.clock.move(minutes=2)
    sweep(kit)
    assert kit.token() != first


def test_a_process_that_dies_with_slack_s_answer_costs_the_workspace_at_the_old_tokens_end(kit, capsys):
    admin(kit)  # on WhatsApp, who hears of it
    kit.installed()
    first = kit.token()
    kit.clock.move(hours=11)
    kit.slack.fail("oauth.v2.access", "drop_after")  # Slack has given out a new one, and we never see it
    assert kit.token() == first
    kit.clock.move(minutes=2)
    assert kit.token() == first  # refused: the refresh token was used up
    assert "cannot be renewed any more" in capsys.readouterr().out
    assert kit.row().refresh_id is None
    asked = len(refreshed(kit))
    kit.clock.move(minutes=10)
    assert kit.token() == first
    assert len(refreshed(kit)) == asked  # and is not asked for in vain
    kit.clock.move(hours=1)
    sweep(kit)
    assert kit.row().gone_at is not None
    assert kit.secrets_kept() == 0
    kit.clock.move(hours=9)  # in the morning
    kit.work()
    assert "workspace *Sol*" in kit.last(PHONE).body
    assert kit.installed().status_code == 200
    assert kit.token() != first


def test_a_token_that_was_replaced_by_an_install_meanwhile_is_not_overwritten(kit):
    kit.installed()
    kit.clock.move(hours=11)
    row = kit.row()
    kit.installed()
    newest = kit.token()
    answer = {"access_token": "xoxb-late", "refresh_token": "xoxe-late", "expires_in": 43200}
    assert kit.parts.slack.workspaces._keep_renewed(row, answer) is False
    assert kit.token() == newest


def test_a_renewal_does_not_bring_back_a_workspace_that_was_left_meanwhile(kit):
    kit.installed()
    row = kit.row()
    kit.parts.slack.workspaces.leave(SOL)
    answer = {"access_token": "xoxb-late", "refresh_token": "xoxe-late", "expires_in": 43200}
    assert kit.parts.slack.workspaces._keep_renewed(row, answer) is False
    assert kit.row().gone_at is not None
    assert kit.secrets_kept() == 0


def test_slack_s_answer_waits_for_a_database_that_is_away(kit, monkeypatch):
    from sqlalchemy.exc import OperationalError

    from bot import insist

    kit.installed()
    kit.clock.move(hours=11)
    monkeypatch.setattr(insist.time, "sleep", lambda _seconds: None)
    real, down = kit.parts.slack.workspaces._keep_renewed, [True, True]

    def away(*given):
        if down:
            down.pop()
            raise OperationalError("", {}, Exception())
        return real(*given)

    monkeypatch.setattr(kit.parts.slack.workspaces, "_keep_renewed", away)
    assert kit.token() == kit.token()
    assert len(refreshed(kit)) == 1


def test_a_wrong_client_secret_is_an_alarm_and_costs_no_workspace(kit, capsys):
    kit.installed()
    first = kit.token()
    kit.clock.move(hours=11)
    kit.slack.fail("oauth.v2.access", "bad_client_secret")
    assert kit.token() == first
    assert "SLACK_CLIENT_SECRET" in capsys.readouterr().out
    assert kit.row().refresh_id is not None
    kit.clock.move(minutes=2)
    assert kit.token() != first


# --- leaving ----------------------------------------------------------------------------------------------------------


def admin(kit):
    """An admin of the kit's agency, on WhatsApp."""
    kit.say(f"My invitation code is {kit.admin_code()}", PHONE)
    kit.work()


def serve(kit):
    """Let Slack's stand-in reach the web application."""
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, kit.web, threaded=True)
    server.log = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    kit.slack.events_url = f"http://127.0.0.1:{server.server_port}/slack/events"
    return server, thread


@pytest.fixture
def served(kit):
    kit.parts.search.warm()
    server, thread = serve(kit)
    yield kit
    server.shutdown()
    thread.join()
    server.server_close()


def test_when_the_app_is_removed_the_tokens_are_erased_and_admins_elsewhere_hear_of_it_once(served):
    kit = served
    admin(kit)
    kit.installed()
    before = len(kit.bodies(PHONE))
    answers = kit.slack.uninstall(SOL)  # two events tell of it
    assert [one.status_code for one in answers] == [200, 200]
    kit.slack.uninstall(SOL)
    kit.work()
    assert kit.secrets_kept() == 0
    row = kit.row()
    assert (row.token_id, row.refresh_id, row.gone_at) == (None, None, kit.clock.now())
    assert row.agency_id == kit.agency
    told = kit.bodies(PHONE)[before:]
    assert len(told) == 1
    assert "workspace Sol" in told[0].replace("*", "")


def test_an_event_of_a_removal_that_comes_after_the_app_was_installed_again_removes_nothing(served):
    kit = served
    kit.installed()
    kit.clock.move(minutes=5)
    events_url, kit.slack.events_url = kit.slack.events_url, "http://127.0.0.1:1/"  # we are away for a moment
    kit.slack.uninstall(SOL)
    kit.clock.move(minutes=5)
    kit.slack.events_url = events_url
    kit.installed()
    assert [one.status_code for one in kit.slack.redeliver()] == [200, 200]
    assert kit.row().gone_at is None
    assert kit.secrets_kept() == 2


def test_at_night_admins_hear_of_it_in_the_morning(served):
    kit = served
    admin(kit)
    kit.installed()
    kit.clock.move(hours=11)
    before = len(kit.bodies(PHONE))
    kit.slack.uninstall(SOL)
    kit.work()
    assert len(kit.bodies(PHONE)) == before
    kit.clock.move(hours=10)
    kit.work()
    assert len(kit.bodies(PHONE)) == before + 1


def test_a_persons_own_token_is_none_of_ours(served):
    kit = served
    kit.installed()
    kit.slack.event(SOL, {"type": "tokens_revoked", "tokens": {"oauth": [BIA], "bot": []}})
    assert kit.row().gone_at is None


def test_what_was_still_to_be_said_there_fails_and_is_not_tried_for_ever(served):
    kit = served
    kit.installed()
    kit.slack.say(SOL, BIA, "menu")
    kit.slack.uninstall(SOL)
    kit.work()
    spoken = kit.promised("Speak", "todo", "doing", "failed")
    assert [one.state for one in spoken] == ["failed"]
    assert kit.row().gone_at is not None


@pytest.mark.parametrize("error", ["account_inactive", "token_revoked", "invalid_auth"])
def test_a_token_that_slack_takes_no_more_is_found_out_by_speaking(served, error):
    kit = served
    admin(kit)
    kit.installed()
    before = len(kit.bodies(PHONE))
    kit.slack.say(SOL, BIA, "menu")
    kit.slack.revoke_token(SOL, error)
    kit.work()
    assert kit.row().gone_at is not None
    assert kit.secrets_kept() == 0
    assert [one.state for one in kit.promised("Speak", "todo", "doing", "failed")] == ["failed"]
    assert len(kit.bodies(PHONE)) == before + 1


def test_a_refusal_of_a_token_that_was_replaced_meanwhile_is_tried_again_with_the_new_one(kit):
    kit.installed()
    old = kit.token()
    kit.installed()
    assert kit.parts.slack.workspaces._refused(SOL, old, "token_revoked") is False
    assert kit.row().gone_at is None


def test_a_token_that_ended_is_no_reason_to_leave(kit):
    kit.installed()
    kit.slack.fail("users.list", "token_expired")
    with pytest.raises(Later):
        kit.parts.slack.workspaces.api.call(SOL, "users.list")
    assert kit.row().gone_at is None


def test_installing_again_brings_everything_back(served):
    kit = served
    kit.installed()
    kit.slack.uninstall(SOL)
    kit.work()
    assert kit.slack.say(SOL, BIA, "menu").status_code == 200
    assert kit.promised("Speak") == []
    assert kit.installed().status_code == 200
    before = len(kit.dm())
    kit.slack.say(SOL, BIA, "menu")
    kit.work()
    assert len(kit.dm()) == before + 1
    assert len(kit.rows(tables.member)) == 1


def test_nobody_speaks_in_a_workspace_that_was_left(kit):
    kit.installed()
    kit.parts.slack.workspaces.leave(SOL)
    with pytest.raises(NoWorkspaceError):
        kit.token()


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_tokens_stand_in_clear_nowhere(kit, caplog, capfd, monkeypatch):
    """Not in the database, in a log, in a job, on a page or in a request; only in the header that is for them."""
    caplog.set_level(logging.INFO)
    seen = []
    api = kit.parts.slack.workspaces.api
    real = api.bare

    def bare(method, **arguments):
        answer = real(method, **arguments)
        seen.extend(answer[name] for name in ("access_token", "refresh_token"))
        return answer

    monkeypatch.setattr(api, "bare", bare)
    pages = [kit.installed().text]
    kit.clock.move(hours=11)
    sweep(kit)
    pages.append(kit.browser.install(kit.admin_code(agency=kit.another_agency()), SOL, ANA).text)
    kit.installed()
    during = kit.dump()
    kit.slack.revoke_token(SOL)
    with pytest.raises(NoWorkspaceError) as refused:
        api.call(SOL, "users.list")
    elsewhere = [one for one in kit.slack.requests if one.method != "oauth.v2.access"]
    said = kit.dm()
    logs = [caplog.text, *capfd.readouterr(), *(str(one.__dict__) for one in caplog.records)]
    everywhere = "\n".join([*pages, during, kit.dump(), str(refused.value), *map(str, elsewhere), *said, *logs])
    assert len(seen) == 8
    for secret in [*seen, kit.slack.client_secret]:
        assert secret
        assert secret not in everywhere


# --- one workspace, by the token of the settings ----------------------------------------------------------------------


@pytest.mark.parametrize("error", ["account_inactive", "token_revoked", "invalid_auth"])
def test_with_one_token_a_dead_one_is_an_alarm_that_names_its_setting(database_url, tmp_path, capsys, error):
    with SlackKit(database_url, tmp_path) as kit:
        kit.claim()
        kit.slack.say(TEAM, BIA, "menu")
        kit.slack.revoke_token(TEAM, error)
        kit.work()
        said = capsys.readouterr().out
        assert "SLACK_BOT_TOKEN: Slack does not take it any more" in said
        assert kit.workspace.token not in said
        assert [one.state for one in kit.promised("Speak", "todo", "doing", "failed")] == ["failed"]
        assert [one.gone_at for one in kit.rows(tables.slack_workspace)] == [None]  # a new token is all that it needs


def test_with_one_token_the_app_s_removal_is_an_alarm_too(database_url, tmp_path, capsys):
    with SlackKit(database_url, tmp_path) as kit:
        kit.claim()
        assert [one.status_code for one in kit.slack.uninstall(TEAM)] == [200, 200]
        assert "SLACK_BOT_TOKEN" in capsys.readouterr().out
