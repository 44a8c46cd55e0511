"""Keys are changed while everything runs: killed in the middle, beside renewals and erasures, with proof at the end."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count, takewhile
from pathlib import Path
from threading import Event
from uuid import uuid4

import pytest
from sqlalchemy import LargeBinary, text

from bot import rotation
from bot.rotation import StillAtWork, keys_in_use, rotate
from bot.safe import Safe, WrongKey
from bot.store import secrets, tables
from bot.store.engine import connect, reading
from bot.vault import KINDS, LostKey, Secret, Unopenable, Vault, new_key
from tests.botkit import Kit, eventually, run_sql
from tests.test_commands import cli, one_sentence  # noqa: F401 - a fixture

OLD, NEW = new_key(), new_key()
BOTH = f"{NEW},{OLD}"
USE = {"host": "mail.agency.test", "port": 465, "user": "ana"}
ALL = sorted(KINDS - {"key.check"})


def put(kit, clear="girafa", kind="mailbox.password", key=OLD):
    """A record that was sealed with a key; its id."""
    with kit.engine.begin() as db:
        return Safe(Vault.from_setting(key)).put(
            db, Secret(clear), kind=kind, owner=uuid4(), use=USE, now=kit.clock.now()
        )


def take(kit, secret_id, kind="mailbox.password", key=NEW):
    """What lies there, opened with one key and no other."""
    with reading(kit.engine) as db:
        return Safe(Vault.from_setting(key)).take(db, secret_id, kind=kind, use=USE).reveal()


def turned(kit):
    return rotate(kit.engine, kit.parts.vault, kit.clock)


def use_of(kit, key):
    wanted = Vault.from_setting(key).newest
    return next(one for one in keys_in_use(kit.engine, kit.parts.vault) if one.key == wanted)


@pytest.fixture
def kit(database_url, tmp_path):
    """An installation that was begun with the old key, and restarted with the new one in front of it."""
    with Kit(database_url, tmp_path, SECRET_KEYS=OLD):
        pass
    with Kit(database_url, tmp_path, SECRET_KEYS=BOTH) as made:
        yield made


def test_whatever_is_sealed_opens_afterwards_with_the_newest_key_and_no_other(kit):
    ids = {kind: put(kit, f"girafa {kind}", kind) for kind in ALL}
    assert turned(kit) == len(ALL)
    for kind, secret_id in ids.items():
        assert take(kit, secret_id, kind) == f"girafa {kind}"
        with pytest.raises(LostKey):
            take(kit, secret_id, kind, key=OLD)


def test_there_is_nothing_sealed_but_what_rotation_and_its_proof_look_at():
    bytes_in = {
        f"{table.name}.{column.name}"
        for table in tables.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    assert bytes_in == {"secret.nonce", "secret.box", "key_check.nonce", "key_check.box", "limit_hit.key"}


def test_what_is_sealed_keeps_its_id_owner_use_and_time(kit):
    put(kit)
    before = kit.rows(tables.secret)[0]
    turned(kit)
    after = kit.rows(tables.secret)[0]
    same = ("id", "kind", "owner_id", "bound_to", "created_at", "expires_at")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert after.nonce != before.nonce


def test_done_again_it_changes_nothing(kit):
    put(kit)
    turned(kit)
    before = kit.rows(tables.secret)
    assert turned(kit) == 0
    assert kit.rows(tables.secret) == before


def test_the_report_says_when_the_old_key_may_go(kit):
    put(kit)
    needed = use_of(kit, OLD)
    assert (needed.records, needed.in_order, needed.told) == (1, False, "It is needed: python -m bot rotate-keys")
    turned(kit)
    free = use_of(kit, OLD)
    assert (free.records, free.in_order) == (0, True)
    assert "may be taken out of SECRET_KEYS" in free.told
    assert use_of(kit, NEW).told == "It seals."


def test_who_has_only_the_retired_key_is_not_let_in_any_more(kit, database_url, tmp_path):
    put(kit)
    turned(kit)
    with pytest.raises(WrongKey), Kit(database_url, tmp_path, SECRET_KEYS=OLD):
        pass
    with Kit(database_url, tmp_path, SECRET_KEYS=NEW):
        pass


def test_the_word_of_the_database_is_not_enough_for_the_proof(kit):
    """Somebody writes the newest key's name at a record that it did not seal."""
    put(kit)
    run_sql(kit.url, f"update secret set key_id = '{kit.parts.vault.newest}'")
    found = use_of(kit, NEW)
    assert (found.records, found.unopened, found.in_order) == (1, 1, False)


@pytest.mark.parametrize(
    "harm",
    ["key_id = 'deadbeef'", "box = '\\x00'", "owner_id = gen_random_uuid()", "kind = 'of.later'"],
    ids=["lost key", "changed", "moved", "a newer version's"],
)
def test_what_does_not_open_is_left_as_it_is_and_told(kit, harm):
    well = put(kit, "zebra")
    ill = put(kit)
    run_sql(kit.url, f"update secret set {harm} where id = '{ill}'")
    before = next(row for row in kit.rows(tables.secret) if row.id == ill)
    assert turned(kit) == 1
    assert take(kit, well) == "zebra"
    assert next(row for row in kit.rows(tables.secret) if row.id == ill) == before
    (wrong,) = [one for one in keys_in_use(kit.engine, kit.parts.vault) if one.unopened]
    assert not wrong.in_order
    assert "RUNBOOK" in wrong.told


def test_nothing_is_turned_while_a_process_seals_with_another_key(kit, database_url, tmp_path):
    secret_id = put(kit)
    with Kit(database_url, tmp_path, SECRET_KEYS=f"{OLD},{NEW}"), pytest.raises(StillAtWork, match="restart them"):
        turned(kit)
    assert take(kit, secret_id, key=OLD) == "girafa"
    eventually(lambda: not use_of(kit, OLD).at_work, "the end of the other process's connections")
    assert turned(kit) == 1


def test_a_process_that_still_seals_with_the_old_key_keeps_it_needed(kit, database_url, tmp_path):
    turned(kit)
    with Kit(database_url, tmp_path, SECRET_KEYS=f"{OLD},{NEW}"):
        found = use_of(kit, OLD)
    assert (found.at_work, found.in_order) == (True, False)
    assert "restart web and worker" in found.told


# --- killed -----------------------------------------------------------------------------------------------------------

# The ordinary command, which dies as if by kill -9 while it seals the so-manieth record, its transaction still open.
DIES = """
import os, signal, sys
from bot import __main__, rotation
rotation.BATCH = 3
seal, left = rotation._resealed, [int(sys.argv.pop(1))]
def dies(*arguments):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return seal(*arguments)
rotation._resealed = dies
sys.argv[1:] = ["rotate-keys"]
__main__.run()
"""


def killed(url, home, at):
    return subprocess.run(
        [sys.executable, "-c", DIES, str(at)],
        env={**os.environ, "DATABASE_URL": url, "DATA_DIR": str(home), "SECRET_KEYS": BOTH},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        timeout=60,
        check=False,
    ).returncode


@pytest.mark.processes
def test_killed_in_the_middle_every_record_opens_and_the_next_one_ends_what_was_begun(kit, tmp_path):
    ids = [put(kit, f"girafa {number}") for number in range(10)]
    for at, done in ((8, 6), (2, 6), (4, 9)):  # whole batches of three; the one under way is as it was
        assert killed(kit.url, tmp_path, at) == -signal.SIGKILL
        assert (use_of(kit, NEW).records, use_of(kit, OLD).records) == (done, 10 - done)
        assert [take(kit, one, key=BOTH) for one in ids] == [f"girafa {number}" for number in range(10)]
    assert turned(kit) == 1
    assert [take(kit, one) for one in ids] == [f"girafa {number}" for number in range(10)]


# --- beside others ----------------------------------------------------------------------------------------------------


@contextmanager
def turning(kit):
    """Rotation in another thread, that has come to a record which somebody holds."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(turned, kit)
        with reading(kit.engine) as db:
            waits = text(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            )
            eventually(lambda: db.execute(waits).scalar_one() == 1, "rotation to wait")
        yield running


def test_what_is_renewed_at_that_moment_is_not_undone(kit):
    secret_id, other = put(kit, "the first"), put(kit, "zebra")
    with kit.engine.connect() as db:
        old = Safe(Vault.from_setting(OLD))
        old.reseal(db, secret_id, Secret("the second"), kind="mailbox.password", use=USE)
        with turning(kit) as running:
            assert take(kit, other) == "zebra"  # the others were not kept waiting
            db.commit()
    assert running.result() == 2
    assert take(kit, secret_id) == "the second"


def test_what_is_erased_at_that_moment_stays_erased(kit):
    secret_id = put(kit)
    with kit.engine.connect() as db:
        secrets.erase(db, [secret_id])
        with turning(kit) as running:
            db.commit()
    assert running.result() == 0
    assert kit.rows(tables.secret) == []


def test_a_mailbox_is_saved_with_a_record_that_is_just_being_sealed_anew(kit):
    """It refers to the record: that must not wait for us."""
    secret_id = kit.mailbox()
    with kit.engine.connect() as db:
        held = secrets.of_other_keys(db, "another", None, 20, wait=False)
        assert held == [secret_id]
        run_sql(kit.url, f"update mailbox set secret_id = '{secret_id}', version = version + 1")


def test_two_that_turn_at_the_same_time_share_the_work(kit, monkeypatch):
    monkeypatch.setattr(rotation, "BATCH", 2)
    ids = [put(kit, f"girafa {number}") for number in range(30)]
    with ThreadPoolExecutor(3) as pool:
        counts = list(pool.map(lambda _: turned(kit), range(3)))
    assert sum(counts) == 30
    assert [take(kit, one) for one in ids] == [f"girafa {number}" for number in range(30)]


def test_under_load_nothing_is_lost_undone_or_brought_back(kit, monkeypatch):
    """Others read, renew, put and erase all the while, each its own records: they know what is true."""
    monkeypatch.setattr(rotation, "BATCH", 4)
    done, busy = Event(), Event()

    def lives(number):
        mine = {put(kit, f"{number}.{one}"): f"{number}.{one}" for one in range(12)}
        gone, safe = [], kit.parts.safe
        busy.set()
        for turn in takewhile(lambda _: not done.is_set(), count()):
            secret_id = list(mine)[turn % len(mine)]
            with kit.engine.begin() as db:
                assert safe.take(db, secret_id, kind="mailbox.password", use=USE).reveal() == mine[secret_id]
                if turn % 3 == 0:
                    mine[secret_id] = f"{number}.{turn} renewed"
                    safe.reseal(db, secret_id, Secret(mine[secret_id]), kind="mailbox.password", use=USE)
                elif turn % 7 == 0 and len(mine) > 4:
                    secrets.erase(db, [secret_id])
                    gone.append(secret_id)
                    del mine[secret_id]
                    mine[put(kit, f"{number}.{turn} fresh", key=BOTH)] = f"{number}.{turn} fresh"
        return mine, gone

    with ThreadPoolExecutor(4) as pool:
        people = [pool.submit(lives, number) for number in range(3)]
        busy.wait()
        try:
            for _ in range(5):
                turned(kit)
        finally:
            done.set()
        ended = [one.result() for one in people]
    turned(kit)
    assert all(take(kit, secret_id) == clear for mine, _ in ended for secret_id, clear in mine.items())
    for _, gone in ended:
        for secret_id in gone:
            with pytest.raises(Unopenable, match="erased"):
                take(kit, secret_id)
    assert use_of(kit, OLD).in_order


# --- the commands -----------------------------------------------------------------------------------------------------


def test_the_command_turns_proves_and_says_so(database_url, tmp_path, cli):  # noqa: F811
    with Kit(database_url, tmp_path, SECRET_KEYS=OLD) as kit:
        put(kit)
    looked = cli("rotate-keys", "--check", "--json", SECRET_KEYS=BOTH)
    assert (looked.status, looked.json["resealed"]) == (1, 0)
    assert [one["records"] for one in looked.json["keys"]] == [0, 1]
    told = cli("rotate-keys", SECRET_KEYS=BOTH)
    assert told.status == 0
    assert "Sealed anew: 1" in told.out
    assert "may be taken out of SECRET_KEYS" in told.out
    again = cli("rotate-keys", "--check", "--json", SECRET_KEYS=NEW).json
    assert [(one["newest"], one["records"], one["verdict"]) for one in again["keys"]] == [(True, 1, "It seals.")]
    assert NEW not in told.out + told.err
    assert [row.action for row in rows(database_url, tables.audit)] == ["keys_rotated"]


def rows(url, table):
    engine = connect(url, pool=1)
    try:
        with engine.connect() as db:
            return list(db.execute(table.select()).all())
    finally:
        engine.dispose()


def test_the_command_refuses_in_one_sentence_while_another_key_seals(database_url, tmp_path, cli):  # noqa: F811
    with Kit(database_url, tmp_path, SECRET_KEYS=OLD):
        assert "restart them, then rotate" in one_sentence(cli("rotate-keys", SECRET_KEYS=BOTH))


def test_only_what_a_lost_key_sealed_is_forgotten(kit, tmp_path, cli):  # noqa: F811
    kit.mailbox()
    kept, lost = kit.rows(tables.secret)[0].id, put(kit)
    run_sql(kit.url, f"update secret set key_id = 'deadbeef' where id = '{lost}'")
    told = cli("forget-secrets", "--lost", "--yes", "--json", SECRET_KEYS=BOTH).json
    assert told == {"erased": 1, "mailboxes_without_password": 0}
    assert [row.id for row in kit.rows(tables.secret)] == [kept]
    assert kit.rows(tables.mailbox)[0].state == "works"
    run_sql(kit.url, "update secret set key_id = 'deadbeef'")
    told = cli("forget-secrets", "--lost", "--yes", "--json", SECRET_KEYS=BOTH).json
    assert told == {"erased": 1, "mailboxes_without_password": 1}
    assert kit.rows(tables.mailbox)[0].state == "broken"
    assert "SECRET_KEYS" in one_sentence(cli("forget-secrets", "--lost", "--yes", SECRET_KEYS=new_key()))
