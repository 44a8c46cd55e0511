"""Apps for signing in: agencies' own, looked over by `doctor` at a real provider, and never shown."""

import io
import json

import pytest

from bot.cli import agencies
from bot.cli.shared import CannotBe
from bot.doctor_apps import sign_in_apps as examine
from bot.store import grants, tables
from bot.store.engine import reading
from bot.vault import Secret, Unopenable
from tests.botkit import run_sql
from tests.signkit import PUBLIC, SignKit
from tests.test_commands import cli

__all__ = ["cli"]
HUSH = "girafa~secret"


@pytest.fixture
def kit(database_url, tmp_path, oidc):
    with SignKit(database_url, tmp_path, oidc) as made:
        yield made


def said(kit):
    return [(one.state == "ok", one.words) for one in examine(kit.parts)]


def test_an_app_that_the_provider_knows_is_well(kit):
    redirect = f"Redirect address {PUBLIC}/oauth/microsoft/callback"
    assert said(kit) == [(True, redirect), (True, "The app's id and secret are taken.")]
    assert kit.rows(tables.oauth_grant) == []


def test_an_app_with_another_secret_is_named_with_what_to_do(database_url, tmp_path, oidc):
    with SignKit(database_url, tmp_path, oidc, MICROSOFT_CLIENT_SECRET=HUSH) as kit:
        _, tried = examine(kit.parts)
    assert tried.state == "failed"
    assert "invalid_client" in tried.words
    assert "MICROSOFT_CLIENT_SECRET" in tried.todo
    assert HUSH not in repr(tried)


def test_a_provider_that_is_away_is_told(database_url, tmp_path, oidc):
    with SignKit(database_url, tmp_path, oidc, MICROSOFT_AUTHORITY="http://127.0.0.1:9") as kit:
        _, tried = examine(kit.parts)
    assert (tried.state == "ok", "where to sign in" in tried.words) == (False, True)


def test_a_provider_that_gives_no_answer_to_a_code_is_told(kit):
    kit.oidc.fail("token", 503)
    assert [well for well, _ in said(kit)] == [True, False]


# --- an agency's own --------------------------------------------------------------------------------------------------


def own_app(kit, secret="", tenant=""):
    made = kit.oidc.register(f"{PUBLIC}/oauth/microsoft/callback")
    return made, agencies.set_oauth_app(
        kit.parts, "Agência Sol", "microsoft", made.client_id, Secret(secret or made.client_secret), tenant
    )


def test_an_agency_s_people_sign_in_through_its_own_app_and_the_secret_lies_sealed(kit):
    kit.join()
    made, answer = own_app(kit)
    assert answer["redirect"] == f"{PUBLIC}/oauth/microsoft/callback"
    assert made.client_secret not in json.dumps(answer) + kit.dump()
    kit.signed_in()
    assert kit.grant().client_id == made.client_id
    kit.work()
    assert len(said(kit)) == 4


def test_what_was_granted_to_an_agency_s_app_is_renewed_through_it(kit):
    kit.join()
    made, _ = own_app(kit)
    kit.connected()
    kit.oidc.move_clock(3600)
    kit.clock.move(hours=1)
    from bot.grants import fresh
    from bot.live_tests import stored

    row = kit.box()
    assert kit.oidc.introspect(fresh(kit.parts.tools, row.secret_id, stored(row)).value)["client_id"] == made.client_id


def test_an_app_in_place_of_another_leaves_no_secret_behind_and_can_be_removed(kit):
    kit.join()
    own_app(kit, HUSH)
    own_app(kit, HUSH)
    assert [row.kind for row in kit.rows(tables.secret)] == ["oauth.client"]
    agencies.remove_oauth_app(kit.parts, "Agência Sol", "microsoft")
    assert kit.rows(tables.secret) == kit.rows(tables.oauth_app) == []
    with pytest.raises(CannotBe, match="no app of its own"):
        agencies.remove_oauth_app(kit.parts, "Agência Sol", "microsoft")


def test_an_app_s_secret_opens_for_no_other_client_and_no_other_tenant(kit):
    kit.join()
    own_app(kit)
    for change in ("client_id = 'evil'", "tenant = 'evil.test'"):
        run_sql(kit.url, f"update oauth_app set {change}")
        with reading(kit.engine) as db:
            [row] = kit.rows(tables.oauth_app)
            assert kit.parts.apps.of_agency(db, row.agency_id, "microsoft", personal=False) in kit.parts.apps.own
            with pytest.raises(Unopenable):
                kit.parts.safe.take(db, row.secret_id, kind="oauth.client", use={"provider": "microsoft"})


def test_an_app_of_one_id_stands_for_one_tenant_only(kit):
    """Whatever comes back is known by the app's id alone."""
    kit.join()
    with pytest.raises(CannotBe, match="another tenant"):
        agencies.set_oauth_app(kit.parts, "Agência Sol", "microsoft", kit.app.client_id, Secret("x"), "a.example")
    agencies.add_agency(kit.parts, "Agência Lua", "pt", "UTC", "")
    agencies.set_oauth_app(kit.parts, "Agência Sol", "microsoft", "shared", Secret("x"), "a.example")
    with pytest.raises(CannotBe, match="another tenant"):
        agencies.set_oauth_app(kit.parts, "Agência Lua", "microsoft", "shared", Secret("x"), "b.example")
    agencies.set_oauth_app(kit.parts, "Agência Lua", "microsoft", "shared", Secret("x"), "a.example")
    agencies.set_oauth_app(kit.parts, "Agência Sol", "microsoft", "own", Secret("x"), "b.example")


def test_a_closed_agency_keeps_no_app(kit):
    kit.join()
    own_app(kit)
    agencies.close_agency(kit.parts, "Agência Sol", really=True)
    assert kit.rows(tables.oauth_app) == []
    with reading(kit.engine) as db:
        assert not grants.any_app(db)


@pytest.mark.parametrize(
    ("provider", "client_id", "secret", "tenant"),
    [
        ("microsoft", "two words", HUSH, ""),
        ("microsoft", "id", "", ""),
        ("microsoft", "id", "two words", ""),
        ("microsoft", "x" * 201, HUSH, ""),
        ("microsoft", "id", HUSH, "../common"),
        ("google", "id", HUSH, "own.test"),
    ],
)
def test_what_is_no_app_is_refused(kit, provider, client_id, secret, tenant):
    assert kit.agency
    with pytest.raises(CannotBe) as refused:
        agencies.set_oauth_app(kit.parts, "Agência Sol", provider, client_id, Secret(secret), tenant)
    assert HUSH not in str(refused.value)
    assert kit.rows(tables.oauth_app) == []


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_command_reads_the_secret_from_standard_input_and_prints_none(cli, monkeypatch):
    cli("agency", "add", "Sol")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{HUSH}\n"))
    answer = cli("agency", "oauth", "Sol", "--provider", "microsoft", "--client-id", "app-1", "--client-secret-stdin",
                 "--tenant", "own.test", "--json")  # fmt: skip
    assert answer.status == 0
    assert answer.json["client_id"] == "app-1"
    assert HUSH not in answer.out + answer.err
    assert cli("agency", "oauth", "Sol", "--provider", "microsoft", "--remove").status == 0
    assert cli("agency", "oauth", "Sol", "--provider", "microsoft", "--remove").status == 1


@pytest.mark.parametrize(
    "arguments", [(), ("--client-id", "x"), ("--client-secret-stdin",), ("--remove", "--client-id", "x"),
                  ("--remove", "--client-secret-stdin")],
)  # fmt: skip
def test_the_command_wants_an_app_or_none(cli, arguments):
    assert cli("agency", "oauth", "Sol", "--provider", "google", *arguments).status == 2


def test_check_config_says_what_is_to_be_registered(cli):
    answer = cli("check-config", PUBLIC_URL=PUBLIC, GOOGLE_CLIENT_ID="1-a.apps.googleusercontent.com",
                 GOOGLE_CLIENT_SECRET=HUSH)  # fmt: skip
    assert answer.status == 0
    assert f"{PUBLIC}/oauth/google/callback" in answer.out
    assert HUSH not in answer.out + answer.err


def of_the_app(cli, **settings):
    found = cli("doctor", "--json", **settings)
    return [one for one in found.json if one["name"].startswith("Sign in")], found.out + found.err


def test_doctor_says_whether_the_provider_knows_the_app(cli, oidc):
    app = oidc.register(f"{PUBLIC}/oauth/google/callback")
    given = {"PUBLIC_URL": PUBLIC, "GOOGLE_AUTHORITY": oidc.authority, "GOOGLE_CLIENT_ID": app.client_id}
    well, _ = of_the_app(cli, GOOGLE_CLIENT_SECRET=app.client_secret, **given)
    assert [one["state"] for one in well] == ["ok", "ok"]
    ill, said = of_the_app(cli, GOOGLE_CLIENT_SECRET=HUSH, **given)
    assert [one["state"] for one in ill] == ["ok", "failed"]
    assert "GOOGLE_CLIENT_SECRET" in ill[1]["todo"]
    assert HUSH not in said
