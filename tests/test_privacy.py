"""What is known of a person can be had, and goes with them: from every table, and from their channel's provider."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import BigInteger, Boolean, DateTime, Integer, LargeBinary, Uuid, insert, select
from sqlalchemy.dialects.postgresql import JSONB
from structlog.testing import capture_logs

from bot.channels import Later, Refused
from bot.erasure import MAX_TRIES, SOON
from bot.store import erasures, promises, tables
from bot.store.engine import reading
from flows.speech import sentence
from flows.words import LANGUAGES
from tests.botkit import ADDRESS, ANA, BIA, run_sql
from tests.test_commands import cli  # noqa: F401 - a fixture

MARK = "quagga"  # in every text column of everything that is theirs
PERSON = {"contact", "member", "conversation"}
# What the check of a table demands, and what makes sense together.
VALUES = {
    "message": {"direction": "in"}, "promise": {"lane": "work", "state": "done"},
    "outgoing_mail": {"state": "accepted"},
    "file": {"state": "here"}, "case": {"state": "closed"}, "staff_line": {"state": "sent"},
    "case_file": {"state": "here"}, "access_request": {"state": "open"}, "link": {"kind": "password"},
    "mailbox": {"state": "works", "transport": "smtp"}, "oauth_grant": {"provider": "google"},
    "slack_screen": {}, "secret": {"kind": "mailbox.password"},
}  # fmt: skip


def personal():
    """Every table that leads to a person, in an order in which it can be filled."""
    found = set(PERSON)
    for _ in tables.metadata.sorted_tables:
        for table in tables.metadata.sorted_tables:
            if any(key.column.table.name in found for key in table.foreign_keys):
                found.add(table.name)
    return [table for table in tables.metadata.sorted_tables if table.name in found | {"secret", "oauth_grant"}]


def value_of(column, known):
    """Something for a column: what it refers to, or the mark."""
    for key in column.foreign_keys:
        if key.column.table.name in known:
            return known[key.column.table.name]
        return None
    kinds = {Uuid: uuid4(), Boolean: True, DateTime: known["now"], LargeBinary: b"x", JSONB: {"words": MARK}}
    for kind, value in kinds.items():
        if isinstance(column.type, kind):
            return value
    if isinstance(column.type, (BigInteger, Integer)):
        return 7
    length = getattr(column.type, "length", None) or 64
    return f"{MARK}-{column.name}"[:length]


def counts(column):
    """Whether the database numbers its rows."""
    return "nextval" in str(getattr(column.server_default, "arg", ""))


def fill(kit):
    """A row of everything that there can be of Ana, beside what her talk has left."""
    kit.mailbox()
    held = kit.held()
    known = {"now": kit.clock.now(), "contact": held.contact_id, "member": held.member_id, "conversation": held.id,
             "agency": kit.agency, "mailbox": kit.rows(tables.mailbox)[0].id,
             "secret": kit.rows(tables.secret)[0].id}  # fmt: skip
    there = {"contact", "member", "conversation", "mailbox", "secret", "membership"}
    for table in personal():
        if table.name in there:
            continue
        wanted = {
            column.name: value_of(column, known)
            for column in table.columns
            if not (column.identity or counts(column)) and not (column.nullable and not column.foreign_keys)
        } | VALUES.get(table.name, {})
        with kit.engine.begin() as db:
            made = db.execute(insert(table).values(wanted).returning(*table.primary_key.columns)).one()
        if len(made) == 1:
            known[table.name] = made[0]
    run_sql(kit.url, f"update contact set name = '{MARK}'")
    run_sql(kit.url, f"update member set name = '{MARK}'")


def left(kit):
    return {table.name for table in personal() if kit.rows(table)}


def test_everything_that_leads_to_a_person_goes_with_them(kit, cli):  # noqa: F811
    fill(kit)
    assert left(kit) == {table.name for table in personal()}
    assert MARK in kit.dump()
    assert cli("forget", ANA).status == 0
    assert left(kit) <= {"secret", "oauth_grant"}  # what they granted is taken back first


def test_what_they_granted_goes_as_soon_as_it_is_taken_back(kit, cli):  # noqa: F811
    fill(kit)
    cli("forget", ANA)
    kit.worker._sweep(kit.clock.now())
    kit.work()
    assert left(kit) == {"promise"}  # the housekeeping's own
    dumped = kit.dump()
    assert not [one for one in (MARK, ANA, ADDRESS) if one in dumped]


def test_nobody_else_loses_anything(kit, cli):  # noqa: F811
    kit.join(BIA)
    kit.say("hello from Bia", BIA)
    kit.work()
    before = kit.transcript(BIA)
    fill(kit)
    cli("forget", ANA)
    assert kit.transcript(BIA) == before
    assert [row.address for row in kit.rows(tables.contact)] == [BIA]
    assert len(kit.rows(tables.member)) == 1


def test_everything_personal_is_in_the_export_but_what_is_sealed_or_on_its_way(kit, cli):  # noqa: F811
    fill(kit)
    answer = cli("export", ANA).out
    shown = {"contact", "members", "mailboxes", "door_keys", "mails", "files", "case_files", "cases", "staff_lines",
             "questions", "wishes", "secrets", "sign_ins", "messages"}  # fmt: skip
    with reading(kit.engine) as db:
        contact = db.execute(select(tables.contact.c.id)).scalar_one()
    assert str(contact) in answer
    exported = cli("export", ANA).json
    assert {name for name, rows in exported.items() if rows} == shown - (
        {"sign_ins"} if not exported["sign_ins"] else set()
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_in_the_chat_it_is_said_what_is_known_and_it_is_erased_at_a_word(kit, language):
    kit.mailbox()
    run_sql(kit.url, f"update contact set language = '{language}'")
    kit.channel.kept = ["SM1", "SM2"]
    kit.say({"en": "erase", "pt": "apagar", "es": "borrar"}[language])
    kit.work()
    asked = sentence("privacy.stored", language, days=kit.settings.retention_days, url="").split("{")[0].splitlines()[0]
    assert asked[:60] in kit.last().body
    kit.tap("erase")
    kit.work()
    assert sentence("privacy.erased", language) in kit.bodies()[-1]
    assert kit.rows(tables.contact) == kit.rows(tables.secret) == kit.rows(tables.message) == []
    assert [row.message_id for row in kit.rows(tables.provider_erasure)] == ["SM1", "SM2"]


# --- what the provider keeps ------------------------------------------------------------------------------------------


@pytest.fixture
def gone(kit, cli):  # noqa: F811
    """Somebody who is erased here, and of whom the provider still keeps two messages."""
    kit.join()
    with kit.engine.begin() as db:
        erasures.add(db, "terminal", ["SM1", "SM2"], kit.clock.now() + SOON)
    cli("forget", ANA)
    return kit


def swept(kit):
    kit.worker._sweep(kit.clock.now())
    kit.clock.move(seconds=1)
    kit.work()


def test_what_the_provider_keeps_is_erased_there_once_it_lets_go_of_it(gone):
    swept(gone)
    assert gone.channel.erased == []
    gone.clock.time += SOON
    gone.clock.move(minutes=1)
    swept(gone)
    assert sorted(gone.channel.erased) == ["SM1", "SM2"]
    assert gone.rows(tables.provider_erasure) == []


def test_what_cannot_be_erased_now_is_tried_again_and_nobody_is_told(gone):
    gone.clock.time += SOON
    gone.channel.erase_failures.extend([Later("20009", "not yet")] * 2)
    swept(gone)
    assert {row.tries for row in gone.rows(tables.provider_erasure)} == {1}
    gone.clock.move(minutes=6)
    swept(gone)
    assert sorted(gone.channel.erased) == ["SM1", "SM2"]


def test_what_the_provider_never_lets_go_of_is_given_up_and_told_to_the_operator(gone):
    gone.clock.time += SOON
    gone.channel.erase_failures.append(Refused("30400", "no"))
    gone.channel.erase_failures.extend([Later("20009", "not yet")] * MAX_TRIES)
    with capture_logs() as logs:
        for _ in range(MAX_TRIES):
            swept(gone)
            gone.clock.time += timedelta(days=1, minutes=2)
    assert gone.rows(tables.provider_erasure) == []
    errors = [one for one in logs if one["event"] == "a message of an erased person stays at the provider"]
    assert [one["code"] for one in errors] == ["30400", "20009"]


def test_a_provider_that_does_not_answer_keeps_nobody_from_being_erased(kit):
    kit.join()
    kit.say("erase")
    kit.work()
    kit.tap("erase")
    (goodbye,) = kit.claim("speak")
    kit.worker._keep(goodbye)
    kit.channel.failures.append(Later("503", "away"))
    kit.work()
    assert kit.rows(tables.contact) == []


def test_a_message_is_named_once_however_often_its_person_is_erased(kit):
    for _ in range(2):
        with kit.engine.begin() as db:
            erasures.add(db, "whatsapp", ["SM1"], kit.clock.now())
    assert [(row.message_id, row.tries) for row in kit.rows(tables.provider_erasure)] == [("SM1", 0)]
    assert promises.ERASE_LEFT in kit.hands
