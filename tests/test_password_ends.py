"""The day on which passwords end: what admins see of it, and whom we tell, when, and how often."""

from datetime import UTC, date, datetime, timedelta

import pytest

from bot.live_tests import stored
from bot.password_ends import STAGES, End, _promise, end_of
from bot.store import grants, housekeeping, tables
from bot.store.engine import reading
from flows.conversation import Envelope
from flows.words import PasswordEnds
from tests.botkit import ADDRESS, Kit, run_sql, table_of_providers

LAST = date(2026, 12, 31)  # as the table of the kit says it: a Thursday
POLICY = [{"until": LAST, "demand": "password"}, {"since": date(2027, 1, 1), "demand": "oauth_only"}]
APP = {"MICROSOFT_CLIENT_ID": "app", "MICROSOFT_CLIENT_SECRET": "hush", "MICROSOFT_AUTHORITY": "http://127.0.0.1:9"}


def made(database_url, tmp_path, **settings):
    table = table_of_providers(tmp_path, sign_in="microsoft", policy=POLICY)
    return Kit(database_url, tmp_path, providers=table, **settings)


@pytest.fixture
def kit(database_url, tmp_path):
    with made(database_url, tmp_path, **APP) as kit:
        kit.clock.time = datetime(2026, 11, 30, 15, tzinfo=UTC)  # a Monday, 31 days before; noon there
        yield kit


def on(kit, day, hour=15):
    """A worker sweeps and works on that day of December, at that hour of UTC."""
    kit.clock.time = datetime(2026, 12, day, hour, tzinfo=UTC)
    run_sql(kit.url, f"update contact set window_until = '{kit.clock.time + timedelta(hours=20)}'")
    for _ in range(2):  # what is promised for later is looked at when its time has come
        with kit.engine.begin() as db:
            housekeeping.sweep(db, kit.clock.now(), timedelta(days=90))
        run_sql(kit.url, f"update promise set due_at = '{kit.clock.now()}' where kind = 'look_for_ends'"
                " and state = 'todo'")  # fmt: skip
        kit.work()


@pytest.fixture(autouse=True)
def listening(monkeypatch):
    """Every news of this kind that a talk hears."""
    from bot import turns

    heard.all = []
    real = turns.converse

    def converse(envelope, event, facts):
        if isinstance(event, PasswordEnds):
            heard.all.append(event)
        return real(envelope, event, facts)

    monkeypatch.setattr(turns, "converse", converse)


def heard(_kit):
    return heard.all


def days_told(kit, *days, **more):
    for day in days:
        on(kit, day, **more)
    return [event.days for event in heard(kit)]


def test_it_is_told_thirty_fourteen_seven_three_and_one_days_before_once_each(kit):
    kit.mailbox()
    assert days_told(kit, *range(1, 32)) == [30, 14, 7, 3, 1]
    assert heard(kit)[0] == PasswordEnds(ADDRESS, "microsoft", LAST, 30)


def test_on_a_day_that_is_none_of_ours_it_waits_for_the_next_and_says_how_many_days_are_left_then(kit):
    kit.mailbox()
    assert days_told(kit, 19, 20, 21, 22) == [10]  # the 19th and 20th are a weekend


def test_at_night_nobody_is_written_to(kit):
    kit.mailbox()
    assert days_told(kit, 1, hour=3) == []
    assert days_told(kit, 1, hour=15) == [30]


def test_however_often_somebody_looks_it_is_told_once(kit):
    kit.mailbox()
    on(kit, 1)
    for _ in range(3):
        on(kit, 1)
    assert [event.days for event in heard(kit)] == [30]


def test_of_two_workers_that_look_at_the_same_time_one_promises_it(kit):
    kit.mailbox()
    kit.clock.time = datetime(2026, 12, 1, 15, tzinfo=UTC)
    with reading(kit.engine) as db:
        [row] = grants.with_passwords(db)  # both have read it before either writes
    end = end_of(kit.parts.tools, stored(row), {})
    for _ in range(2):
        with kit.engine.begin() as db:
            _promise(kit.parts.tools, db, row, end)
    assert len(kit.promised("password_ends")) == 1


@pytest.mark.parametrize("change", ["state = 'broken'", "state = 'off'", "state = 'waiting'"])
def test_whose_mailbox_does_not_work_hears_nothing_of_it(kit, change):
    kit.mailbox()
    run_sql(kit.url, f"update mailbox set {change}")
    assert days_told(kit, 1, 17) == []


def test_whoever_has_signed_in_meanwhile_hears_nothing_of_it(kit):
    kit.mailbox()
    run_sql(kit.url, "update secret set kind = 'mailbox.oauth.microsoft'")
    assert days_told(kit, 1, 17) == []


def test_a_policy_that_is_put_off_begins_the_count_anew():
    end = End("microsoft", LAST, 14)
    assert end.was_told("2026-12-31 14")
    assert end.was_told("2026-12-31 7")
    assert not end.was_told("2026-12-31 30")
    assert not End("microsoft", date(2027, 6, 30), 14).was_told("2026-12-31 1")
    assert not end.was_told("")
    assert [End("microsoft", LAST, days).stage for days in (1, 2, 3, 4, 30)] == [1, 3, 3, 7, 30]
    assert STAGES[-1] == 30


def test_without_an_app_nobody_is_told_what_they_cannot_change(database_url, tmp_path):
    with made(database_url, tmp_path) as kit:
        kit.clock.time = datetime(2026, 11, 30, 15, tzinfo=UTC)
        kit.mailbox()
        assert days_told(kit, 1, 17, 31) == []


# --- facts ------------------------------------------------------------------------------------------------------------


def known(kit, flow="menu"):
    with reading(kit.engine) as db:
        return kit.parts.facts.read(db, kit.held(), Envelope(flow=flow), kit.clock.now()).facts


def test_an_admin_sees_how_many_days_each_password_works_still(kit):
    kit.mailbox()
    run_sql(kit.url, "update member set role = 'admin'")
    [ana] = known(kit, "team").team
    assert ana.days_left == 31
    run_sql(kit.url, "update secret set kind = 'mailbox.oauth.microsoft'")
    assert known(kit, "team").team[0].days_left is None
    assert len(kit.rows(tables.mailbox)) == 1


def test_the_flows_know_through_whom_somebody_may_sign_in(kit, database_url, tmp_path):
    kit.mailbox()
    assert (known(kit).provider.sign_in, known(kit).provider.until) == ("microsoft", LAST)
    assert known(kit).mailbox.signed_in == ""
    run_sql(kit.url, "update mailbox set address = 'ana@elsewhere.test', host = 'smtp.gmail.com'")
    assert known(kit).provider.sign_in == ""


REAL = {
    "MICROSOFT_CLIENT_ID": "11111111-2222-4333-8444-555555555555", "MICROSOFT_CLIENT_SECRET": "hush",
    "GOOGLE_CLIENT_ID": "1-a.apps.googleusercontent.com", "GOOGLE_CLIENT_SECRET": "hush",
    "PUBLIC_URL": "https://bot.example.com",
}  # fmt: skip


@pytest.mark.parametrize(
    ("address", "host", "verified", "apps", "way"),
    [
        ("ana@gmail.com", "", "no", {}, ""),
        ("ana@gmail.com", "", "yes", {}, "google"),
        ("ana@gmail.com", "", "no", {"google": ["agencys", ""]}, ""),
        ("ana@own.test", "smtp.gmail.com", "no", {}, "google"),
        ("ana@own.test", "smtp.office365.com", "no", {}, "microsoft"),
        ("ana@outlook.com", "", "no", {}, "microsoft"),
        ("ana@own.test", "smtp.own.test", "no", {}, ""),
        ("ana@uol.com.br", "", "no", {}, ""),
    ],
)
def test_who_may_sign_in_follows_from_the_provider_the_app_and_whether_google_verified_it(
    database_url, tmp_path, address, host, verified, apps, way
):
    with Kit(database_url, tmp_path, **{**REAL, "GOOGLE_VERIFIED": verified}) as kit:
        assert (kit.parts.facts.sign_in(address, host, kit.clock.now(), apps) or "") == way


def test_an_administrator_of_microsoft_365_has_one_link_for_all(database_url, tmp_path):
    with Kit(database_url, tmp_path, **REAL) as kit:
        facts = kit.parts.facts
        own = facts.provider("ana@own.test", "smtp.office365.com", kit.clock.now(), {}).consent_url
        theirs = facts.provider(
            "ana@own.test", "smtp.office365.com", kit.clock.now(), {"microsoft": ["app", "own.test"]}
        ).consent_url  # fmt: skip
        google = facts.provider("ana@own.test", "smtp.gmail.com", kit.clock.now(), {}).consent_url
    back = "redirect_uri=https%3A%2F%2Fbot.example.com%2Foauth%2Fmicrosoft%2Fcallback&state=consent"
    client = REAL["MICROSOFT_CLIENT_ID"]
    assert own == f"https://login.microsoftonline.com/organizations/adminconsent?client_id={client}&{back}"
    assert theirs == f"https://login.microsoftonline.com/own.test/adminconsent?client_id=app&{back}"
    assert google == ""
