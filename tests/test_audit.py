"""The record of who did what when: complete, without a name in it, append-only, and sealed day by day."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from bot.store import audit, bounds, housekeeping, tables
from bot.store.audit import Tampered
from bot.store.engine import reading
from tests.botkit import ADDRESS, ANA, MONDAY, Kit, run_sql
from tests.test_commands import cli, one_sentence  # noqa: F401 - a fixture


def note(kit, action="case_take", subject="101", actor="U1", at=None):
    with kit.engine.begin() as db:
        housekeeping.audit_entry(db, at or kit.clock.now(), actor=actor, action=action, subject=subject)


def sealed(kit):
    with kit.engine.begin() as db:
        return audit.seal_days(db, kit.clock.now())


def verified(kit):
    with reading(kit.engine) as db:
        return audit.verify(db, kit.clock.now())


@pytest.fixture
def three_days(kit):
    """Monday with two entries, Tuesday with none, Wednesday with one; all sealed. It is Thursday."""
    note(kit)
    note(kit, "case_close")
    kit.clock.move(days=2)
    note(kit, "case_shown", actor="operator")
    kit.clock.move(days=1)
    assert [one.entries for one in sealed(kit)] == [2, 0, 1]
    return kit


def forced(kit, statement):
    """What somebody does who owns the database."""
    for switch in ("disable", "enable"):
        for table in ("audit", "audit_day"):
            run_sql(kit.url, f"alter table {table} {switch} trigger user")
        if switch == "disable":
            run_sql(kit.url, statement)


# --- append-only ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["audit", "audit_day"])
@pytest.mark.parametrize("statement", ["update {} set at = at", "delete from {}", "truncate {}"])
def test_the_record_can_only_grow(three_days, table, statement):
    before = three_days.rows(tables.audit), three_days.rows(tables.audit_day)
    with pytest.raises(DBAPIError, match="append-only"):
        run_sql(three_days.url, statement.format(table))
    assert (three_days.rows(tables.audit), three_days.rows(tables.audit_day)) == before


def test_entries_of_two_years_go_and_the_days_since_are_verified_nevertheless(three_days):
    kit = three_days
    sealed(kit)
    forced(kit, "update audit set at = at - interval '800 days'; update audit_day set day = day - 800")
    old = len(kit.rows(tables.audit))
    with kit.engine.begin() as db:
        housekeeping.audit_entry(db, kit.clock.now(), actor="operator", action="new", subject="1")
    with kit.engine.begin() as db:
        assert bounds.erase(db, tables.audit, kit.clock.now(), timedelta(days=90)) == old
    assert [one.action for one in kit.rows(tables.audit)] == ["new"]
    kit.clock.move(days=2)
    while sealed(kit):  # so many at once
        pass
    assert verified(kit).entries == 0
    forced(kit, "delete from audit")
    with pytest.raises(Tampered, match="1 entries were sealed, 0 are there"):
        verified(kit)


@pytest.mark.parametrize("statement", ["delete from audit_day", "delete from audit_day where entries = 1"])
def test_a_day_that_has_long_been_over_and_has_no_digest_is_told(three_days, statement):
    kit = three_days
    verified(kit)
    forced(kit, statement)
    verified(kit)  # Wednesday ended just now, and a worker may be about to seal it
    kit.clock.move(days=5)
    with pytest.raises(Tampered, match="either no worker has run since, or it was taken away"):
        verified(kit)
    sealed(kit)
    verified(kit)


def test_erasing_a_person_leaves_the_record_whole_and_it_does_not_name_them(kit, cli):  # noqa: F811
    kit.mailbox()
    kit.say("person")
    kit.work()
    assert cli("case", "show", "101").status == 0
    assert cli("export", ANA).status == 0
    before = kit.rows(tables.audit)
    contact = kit.held().contact_id
    kit.clock.move(days=2)
    sealed(kit)
    assert cli("forget", ANA).status == 0
    after = kit.rows(tables.audit)
    assert after[: len(before)] == before
    assert [(one.actor, one.action, one.subject) for one in after[len(before) :]] == [
        ("operator", "erased", str(contact))
    ]
    words = " ".join(f"{one.actor} {one.action} {one.subject}" for one in after)
    assert not any(one in words for one in (ANA, ANA[1:], ADDRESS, "Ana", "Agência"))


# --- who did what -----------------------------------------------------------------------------------------------------


def told(kit):
    return [(row.actor, row.action, row.subject) for row in kit.rows(tables.audit)]


def test_what_a_person_does_with_their_own_access_is_noted(kit):
    token = kit.awaiting()
    member, contact = str(kit.held().member_id), str(kit.held().contact_id)
    link = str(kit.rows(tables.link)[0].id)
    assert told(kit) == [(contact, "joined", member), (member, "link_opened", link)]
    from bot.vault import Secret

    assert kit.parts.links.submit(token, Secret("girafa-azul"), "") == "taken"
    assert told(kit)[-1] == (contact, "link_used", link)


def test_whoever_erases_themselves_leaves_one_entry_under_an_id_that_says_nothing_any_more(kit):
    kit.join()
    contact = str(kit.held().contact_id)
    kit.say("erase")
    kit.work()
    kit.tap("erase")
    kit.work()
    assert kit.rows(tables.contact) == []
    assert told(kit)[-1] == (contact, "erased", contact)


@pytest.mark.parametrize(
    ("command", "action"),
    [
        (("agency", "server", "Sol", "smtp.example.com:465"), "agency_server"),
        (("agency", "rule", "Sol", "strict"), "agency_rule_strict"),
        (("invite", "Sol"), "invited"),
        (("agency", "close", "Sol", "--yes"), "agency_closed"),
    ],
)
def test_what_an_operator_sets_is_noted(cli, kit, command, action):  # noqa: F811
    made = cli("agency", "add", "Sol", "--json").json
    assert told(kit) == [("operator", "agency_added", made["id"])]
    assert cli(*command).status == 0
    assert told(kit)[1:] == [("operator", action, made["id"])]


def test_what_would_only_happen_is_not_noted(cli, kit):  # noqa: F811
    cli("agency", "add", "Sol")
    assert cli("agency", "close", "Sol").status == 0
    assert [action for _, action, _ in told(kit)] == ["agency_added"]


# --- sealed -----------------------------------------------------------------------------------------------------------


def test_a_day_is_sealed_once_it_is_surely_over_and_days_without_entries_too(kit):
    assert sealed(kit) == []
    note(kit)
    kit.clock.time = datetime(2026, 3, 3, 0, 59, tzinfo=UTC)
    assert sealed(kit) == []
    kit.clock.move(minutes=1)
    assert [one.day.isoformat() for one in sealed(kit)] == ["2026-03-02"]
    assert sealed(kit) == []
    kit.clock.move(days=3)
    assert [(one.day.isoformat(), one.entries) for one in sealed(kit)] == [
        ("2026-03-03", 0), ("2026-03-04", 0), ("2026-03-05", 0),
    ]  # fmt: skip
    assert verified(kit).day.isoformat() == "2026-03-05"


def test_every_digest_hangs_on_the_one_before(kit, database_url, test_database, tmp_path):
    def digests(made, first):
        note(made, first)
        made.clock.move(days=1)
        note(made, "same")
        made.clock.move(days=1, hours=1)
        return [one.digest for one in sealed(made)]

    other = test_database.fresh()
    with Kit(other, tmp_path) as second:
        assert not set(digests(kit, "case_take")) & set(digests(second, "case_close"))
    test_database.drop(other)


def test_the_worker_seals_and_writes_the_digest_into_its_log(kit):
    note(kit)
    kit.clock.move(hours=12)
    with capture_logs() as logs:
        kit.worker._sweep(kit.clock.now())
    (line,) = [one for one in logs if one["event"] == "audit sealed"]
    (row,) = kit.rows(tables.audit_day)
    assert (line["day"], line["entries"], line["digest"]) == ("2026-03-02", 1, row.digest)


def test_what_was_not_touched_is_verified(three_days):
    assert verified(three_days).day.isoformat() == "2026-03-04"
    note(three_days)
    assert verified(three_days).entries == 1


def test_of_two_processes_that_seal_at_the_same_moment_one_does(kit):
    note(kit)
    kit.clock.move(days=3)
    with kit.engine.connect() as first:
        assert len(audit.seal_days(first, kit.clock.now())) == 3
        first.commit()
        assert sealed(kit) == []


@pytest.mark.parametrize(
    ("statement", "day", "why"),
    [
        ("update audit set actor = 'U2' where action = 'case_close'", "2026-03-02", "not those that were sealed"),
        ("update audit set at = at + interval '1 second' where id = 1", "2026-03-02", "not those that were sealed"),
        ("delete from audit where action = 'case_close'", "2026-03-02", "2 entries were sealed, 1 are there"),
        ("update audit set at = at + interval '1 day' where action = 'case_close'", "2026-03-02", "1 are there"),
        ("delete from audit where action = 'case_shown'", "2026-03-04", "1 entries were sealed, 0 are there"),
        ("delete from audit_day where day = '2026-03-03'", "2026-03-03", "is gone"),
        ("delete from audit_day where day = '2026-03-02'", "2026-03-02", "never sealed"),
        ("update audit_day set digest = repeat('0', 64) where day = '2026-03-02'", "2026-03-02", "not those"),
        (
            "insert into audit (at, actor, action, subject) values ('2026-03-03 12:00+00', 'U9', 'case_take', '1')",
            "2026-03-03", "0 entries were sealed, 1 are there",
        ),
    ],
    ids=["who", "when", "gone", "moved", "the last", "a digest", "the first digest", "another digest", "later"],
)  # fmt: skip
def test_whatever_is_changed_behind_our_back_is_noticed_with_the_first_day(three_days, cli, statement, day, why):  # noqa: F811
    forced(three_days, statement)
    with pytest.raises(Tampered, match=why):
        verified(three_days)
    said = one_sentence(cli("audit", "--verify"))
    assert said.startswith(day)
    assert why in said


def test_whoever_seals_a_forged_day_anew_breaks_the_days_behind_it(three_days):
    """All digests can be made anew by who owns the database: those in the logs then say otherwise."""
    forced(three_days, "delete from audit where id = 1; delete from audit_day where day = '2026-03-02'")
    with three_days.engine.begin() as db:
        forged = audit._sealed(db, MONDAY.date(), "")
        db.execute(
            tables.audit_day.insert().values(day=forged.day, entries=forged.entries, digest=forged.digest, at=MONDAY)
        )
    with pytest.raises(Tampered, match="2026-03-03"):
        verified(three_days)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_record_is_shown_from_a_day_on_in_words_and_in_json(three_days, cli):  # noqa: F811
    assert [one["action"] for one in cli("audit", "--json").json] == ["case_take", "case_close", "case_shown"]
    assert cli("audit", "--since", "2026-03-03").out == "2026-03-04T15:00:00+00:00  operator  case_shown  101\n"
    assert cli("audit", "--since", "2026-03-05").out == "Nothing.\n"
    assert cli("audit", "--since", "yesterday").status == 2


def test_the_command_says_until_when_all_is_as_it_was(kit, cli):  # noqa: F811
    assert cli("audit", "--verify").out == "No day is sealed yet.\n"
    note(kit)
    kit.clock.move(hours=12)
    (one,) = sealed(kit)
    assert cli("audit", "--verify", "--json").json == {"sealed_until": "2026-03-02", "digest": one.digest}
    assert one.digest in cli("audit", "--verify").out


def test_entries_of_a_transaction_that_ends_after_midnight_are_sealed_with_their_day(kit):
    late = datetime(2026, 3, 2, 23, 59, 59, tzinfo=UTC)
    with kit.engine.connect() as db:
        housekeeping.audit_entry(db, late, actor="U1", action="case_take", subject="101")
        kit.clock.time = late + timedelta(minutes=5)
        assert sealed(kit) == []
        db.commit()
    kit.clock.move(hours=2)
    assert [one.entries for one in sealed(kit)] == [1]
