"""Backup and restore: one file without the keys, all or nothing, and afterwards a mailbox still works."""

import os
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from itertools import count as count_from
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.backup import backup, restore
from bot.safe import WrongKey
from bot.settings import SettingsError, load
from bot.store import backup as store
from bot.store import months, tables
from bot.store.backup import BackupFailed
from bot.store.embedded import Embedded, EmbeddedFailed
from bot.store.engine import connect
from bot.store.tables import SCHEMA
from bot.vault import new_key
from tests.botkit import ADDRESS, MONDAY, PASSWORD, Kit, eventually, run_sql, table_of_providers
from tests.test_commands import cli, one_sentence  # noqa: F401 - a fixture

KEY = new_key()


def settings_for(url, home, **more):
    return load({"DATABASE_URL": url, "DATA_DIR": str(home), "SECRET_KEYS": KEY, **more})


@pytest.fixture
def lived_in(database_url, tmp_path):
    """A database in which Ana has a mailbox that works."""
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path), SECRET_KEYS=KEY) as kit:
        kit.mailbox()
    return database_url


def emptied(url):
    run_sql(url, "drop schema public cascade")
    run_sql(url, "create schema public")


def count(url, table):
    engine = connect(url, pool=1)
    try:
        with engine.connect() as db:
            return len(db.execute(select(table)).all())
    finally:
        engine.dispose()


def test_what_was_destroyed_is_back_and_the_mailbox_still_works(lived_in, tmp_path):
    settings, file = settings_for(lived_in, tmp_path), tmp_path / "ally.dump"
    told = backup(settings, file, MONDAY)
    assert told["bytes"] == file.stat().st_size > 10_000
    emptied(lived_in)
    assert restore(settings, file, MONDAY, replace=False)["restored"] == str(file)
    with Kit(lived_in, tmp_path, providers=table_of_providers(tmp_path), SECRET_KEYS=KEY) as kit:
        (mailbox,) = kit.rows(tables.mailbox)
        assert (mailbox.address, mailbox.state) == (ADDRESS, "works")
        use = {"host": "localhost", "port": 465, "user": ADDRESS}
        with kit.engine.connect() as db:
            secret = kit.parts.safe.take(db, mailbox.secret_id, kind="mailbox.password", use=use)
        assert secret.reveal() == PASSWORD
        kit._numbers = count_from(1000)  # the messages before the backup are known
        kit.say("menu")
        kit.work()
        kit.write_mail()
        assert len(kit.promised("SendMail")) == 1


def test_the_file_is_for_our_user_alone_and_holds_no_key_nor_password(lived_in, tmp_path):
    file = tmp_path / "ally.dump"
    told = backup(settings_for(lived_in, tmp_path), file, MONDAY)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert KEY.encode() not in file.read_bytes()
    assert PASSWORD.encode() not in file.read_bytes()
    assert "not in it" in told["keys"]
    assert "warning" not in told


def test_keys_that_lie_beside_the_backup_are_warned_of(lived_in, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    settings = settings_for(lived_in, tmp_path, SECRET_KEYS="", SECRET_KEYS_FILE=str(keys))
    assert str(keys) in backup(settings, tmp_path / "ally.dump", MONDAY)["warning"]


def test_a_backup_without_a_name_goes_where_the_setting_says(lived_in, tmp_path):
    with pytest.raises(SettingsError, match="BACKUP_DIR"):
        backup(settings_for(lived_in, tmp_path), None, MONDAY)
    place = tmp_path / "backups"
    told = backup(settings_for(lived_in, tmp_path, BACKUP_DIR=str(place)), None, MONDAY)
    assert told["file"] == str(place / "ally-2026-03-02-150000.dump")
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_a_backup_replaces_no_file(lived_in, tmp_path):
    file = tmp_path / "ally.dump"
    file.write_text("the former one")
    with pytest.raises(BackupFailed, match="is there already"):
        backup(settings_for(lived_in, tmp_path), file, MONDAY)
    assert file.read_text() == "the former one"


def test_a_backup_that_cannot_be_made_leaves_no_file(database_url, tmp_path):
    folder = tmp_path / "place"
    folder.mkdir()
    wrong = database_url.replace("?host=", "_gone?host=")
    with pytest.raises(BackupFailed, match="pg_dump did not do it"):
        store.dump(wrong, folder / "ally.dump")
    assert list(folder.iterdir()) == []
    with pytest.raises(BackupFailed, match="Nothing can be written into"):
        store.dump(database_url, tmp_path / "nowhere" / "ally.dump")


# pg_dump that hangs in the middle: half of the file is written, and then our process dies.
HALF = """
import sys, time
from pathlib import Path
from bot.store import backup
slow = "import sys, time; open(sys.argv[-1][7:], 'wb').write(b'PGDMP' * 9999); time.sleep(600)"
backup._client = lambda name, url: ([sys.executable, "-c", slow], {})
backup.dump("postgresql://x/y", Path(sys.argv[1]))
"""


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="only Linux has files without a name")
def test_a_crash_in_the_middle_leaves_no_half_file(tmp_path):
    folder = tmp_path / "place"
    folder.mkdir()
    process = subprocess.Popen([sys.executable, "-c", HALF, str(folder / "ally.dump")], start_new_session=True)
    try:
        eventually(lambda: written(process.pid) > 40_000, "half of it is written")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert list(folder.iterdir()) == []


def written(pid):
    """Bytes in the nameless file of a process."""
    sizes = [0]
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if "(deleted)" in str(handle.readlink()):
                sizes.append(handle.stat().st_size)
    return max(sizes)


def test_where_files_have_to_have_names_none_is_left_half_made(lived_in, tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE")
    folder = tmp_path / "place"
    folder.mkdir()
    store.dump(lived_in, folder / "ally.dump")
    assert [one.name for one in folder.iterdir()] == ["ally.dump"]
    with pytest.raises(BackupFailed):
        store.dump(lived_in.replace("?host=", "_gone?host="), folder / "other.dump")
    assert [one.name for one in folder.iterdir()] == ["ally.dump"]


def test_nothing_is_restored_over_what_is_there_unless_told(lived_in, tmp_path):
    settings, file = settings_for(lived_in, tmp_path), tmp_path / "ally.dump"
    backup(settings, file, MONDAY)
    run_sql(lived_in, "update agency set name = 'Changed since'")
    with pytest.raises(BackupFailed, match="--replace"):
        restore(settings, file, MONDAY, replace=False)
    restore(settings, file, MONDAY, replace=True)
    with_name = connect(lived_in, pool=1)
    with with_name.connect() as db:
        assert db.execute(select(tables.agency.c.name)).scalar_one() == "Agência Sol"
    with_name.dispose()


def test_a_transcript_in_months_replaces_one_that_has_other_months(lived_in, tmp_path):
    settings, file = settings_for(lived_in, tmp_path), tmp_path / "ally.dump"
    engine = connect(lived_in, pool=1)
    months.tend(engine, MONDAY, MONDAY - timedelta(days=90))
    lines = count(lived_in, tables.message)
    with engine.connect() as db:
        parts = months.parts(db)
    engine.dispose()
    backup(settings, file, MONDAY)
    months.tend(engine, MONDAY + timedelta(days=300), MONDAY + timedelta(days=200))
    engine.dispose()
    assert count(lived_in, tables.message) == 0
    restore(settings, file, MONDAY, replace=True)
    assert count(lived_in, tables.message) == lines > 0
    with engine.connect() as db:
        assert months.parts(db) == parts
    engine.dispose()


def test_what_psql_has_against_a_backup_is_told_and_changes_nothing(lived_in, tmp_path):
    settings, file = settings_for(lived_in, tmp_path), tmp_path / "ally.dump"
    backup(settings, file, MONDAY)
    run_sql(lived_in, "create view names as select name from agency")  # it keeps its table from being dropped
    with pytest.raises(BackupFailed, match=r"psql did not do it: .*depend"):
        restore(settings, file, MONDAY, replace=True)
    assert count(lived_in, tables.mailbox) == 1


def test_a_migrated_database_that_nobody_used_counts_as_empty(lived_in, test_database, tmp_path):
    file, other = tmp_path / "ally.dump", test_database.fresh()
    backup(settings_for(lived_in, tmp_path), file, MONDAY)
    restore(settings_for(other, tmp_path), file, MONDAY, replace=False)
    assert count(other, tables.mailbox) == 1
    test_database.drop(other)


def test_somebody_elses_database_is_left_alone(lived_in, tmp_path):
    settings, file = settings_for(lived_in, tmp_path), tmp_path / "ally.dump"
    backup(settings, file, MONDAY)
    run_sql(lived_in, "create table shop (name text)")
    with pytest.raises(BackupFailed, match="shop"):
        restore(settings, file, MONDAY, replace=True)


def test_nothing_is_restored_under_the_hands_of_a_worker(lived_in, tmp_path):
    settings, file = settings_for(lived_in, tmp_path), tmp_path / "ally.dump"
    backup(settings, file, MONDAY)
    working = connect(lived_in, pool=1)
    with working.connect(), pytest.raises(BackupFailed, match="stop them first"):
        restore(settings, file, MONDAY, replace=True)
    working.dispose()


def test_a_guest_of_serve_restores_nothing(lived_in, tmp_path):
    file = tmp_path / "ally.dump"
    backup(settings_for(lived_in, tmp_path), file, MONDAY)
    home = tmp_path / "embedded"
    ready = "from bot.store.embedded import Embedded; import sys; from pathlib import Path\n"
    ready += "with Embedded(Path(sys.argv[1]), durable=False): print('up', flush=True); sys.stdin.read()"
    owner = subprocess.Popen(
        [sys.executable, "-c", ready, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout.readline() == "up\n"
        with pytest.raises(BackupFailed, match="stop them first"):
            restore(settings_for("", home), file, MONDAY, replace=False)
    finally:
        owner.communicate("", timeout=60)


@pytest.mark.parametrize(("schema", "words"), [(SCHEMA - 1, "an older version"), (SCHEMA + 1, "a newer version")])
def test_a_backup_of_another_schema_is_refused_with_words(lived_in, tmp_path, schema, words):
    settings, file = settings_for(lived_in, tmp_path), tmp_path / "ally.dump"
    run_sql(lived_in, f"update compatible set schema = {schema}")
    store.dump(lived_in, file)
    emptied(lived_in)
    with pytest.raises(BackupFailed, match=words) as refused:
        restore(settings, file, MONDAY, replace=False)
    assert "python -m bot migrate" in str(refused.value)


def test_a_database_of_an_older_schema_is_not_backed_up_by_a_version_that_could_not_restore_it(lived_in, tmp_path):
    run_sql(lived_in, f"update compatible set schema = {SCHEMA - 1}")
    with pytest.raises(Exception, match="python -m bot migrate"):
        backup(settings_for(lived_in, tmp_path), tmp_path / "ally.dump", MONDAY)


def test_a_backup_that_was_made_with_other_keys_is_refused(lived_in, tmp_path):
    file = tmp_path / "ally.dump"
    backup(settings_for(lived_in, tmp_path), file, MONDAY)
    emptied(lived_in)
    with pytest.raises(BackupFailed, match="other keys"):
        restore(settings_for(lived_in, tmp_path, SECRET_KEYS=new_key()), file, MONDAY, replace=False)
    restore(settings_for(lived_in, tmp_path, SECRET_KEYS=f"{new_key()},{KEY}"), file, MONDAY, replace=False)
    with pytest.raises(WrongKey), Kit(lived_in, tmp_path, SECRET_KEYS=new_key()):
        pass


@pytest.mark.parametrize("content", [b"", b"PGDMP", b"not a backup\n"])
def test_a_file_that_is_no_backup_is_refused(tmp_path, content):
    file = tmp_path / "ally.dump"
    file.write_bytes(content)
    with pytest.raises(BackupFailed):
        store.look_into(file)
    with pytest.raises(BackupFailed, match="cannot be read"):
        store.look_into(tmp_path / "nowhere.dump")


def test_half_a_backup_changes_nothing(lived_in, tmp_path):
    settings, file = settings_for(lived_in, tmp_path), tmp_path / "ally.dump"
    backup(settings, file, MONDAY)
    whole = file.read_bytes()
    half = tmp_path / "half.dump"
    half.write_bytes(whole[: len(whole) * 9 // 10])
    with pytest.raises(BackupFailed):
        restore(settings, half, MONDAY, replace=True)
    assert count(lived_in, tables.mailbox) == 1


def test_what_was_under_way_is_not_simply_done_again(database_url, tmp_path):
    table, file = table_of_providers(tmp_path), tmp_path / "ally.dump"
    settings = settings_for(database_url, tmp_path)
    with Kit(database_url, tmp_path, providers=table, SECRET_KEYS=KEY) as kit:
        kit.mailbox()
        kit.write_mail()
        kit.say("menu")
        said = len(kit.channel.sent)
    backup(settings, file, MONDAY)
    told = restore(settings, file, MONDAY, replace=True)
    assert told["under_way"] > 1
    with Kit(database_url, tmp_path, providers=table, SECRET_KEYS=KEY) as kit:
        assert {one.state for one in kit.rows(tables.outgoing_mail)} == {"handing"}
        kit.work()
        assert said > 0
        assert kit.channel.looked_for  # what may have been said is looked for at the provider first
        assert [one.state for one in kit.rows(tables.outgoing_mail)] == ["unknown"]


def test_the_password_of_the_database_stands_on_no_command_line():
    command, environment = store._client("pg_dump", "postgresql://ally:girafa%40azul@db.test:5433/ally?sslmode=require")
    assert "girafa" not in " ".join(command)
    assert command[-1] == "postgresql://ally@db.test:5433/ally?sslmode=require"
    assert environment == {"PGPASSWORD": "girafa@azul"}
    command, environment = store._client("pg_dump", "postgresql://ally@db.test/ally?password=girafa&sslmode=require")
    assert (command[-1], environment) == ("postgresql://ally@db.test/ally?sslmode=require", {"PGPASSWORD": "girafa"})
    with pytest.raises(BackupFailed, match="DATABASE_URL: sslpassword"):
        store._client("pg_dump", "postgresql://ally@db.test/ally?sslpassword=girafa")


def test_the_commands_say_what_they_did_in_json_and_fail_with_one_sentence(cli, tmp_path, database_url):  # noqa: F811
    file = tmp_path / "ally.dump"
    done = cli("backup", str(file), "--json", SECRET_KEYS=KEY)
    assert done.json["file"] == str(file)
    assert "is there already" in one_sentence(cli("backup", str(file), SECRET_KEYS=KEY))
    assert cli("restore", str(file), "--json", SECRET_KEYS=KEY).json == {"restored": str(file), "under_way": 0}
    assert "cannot be read" in one_sentence(cli("restore", str(tmp_path / "none"), SECRET_KEYS=KEY))
    assert "not in it" in cli("backup", str(tmp_path / "other.dump"), SECRET_KEYS=KEY).out


def test_after_the_keys_were_lost_the_start_is_free_and_people_are_asked_anew(lived_in, tmp_path, cli):  # noqa: F811
    with pytest.raises(WrongKey), Kit(lived_in, tmp_path, SECRET_KEYS=new_key()):
        pass
    assert cli("forget-secrets").status == 2
    assert cli("forget-secrets", "--yes", "--json").json == {"erased": 1, "mailboxes_without_password": 1}
    with Kit(lived_in, tmp_path, providers=table_of_providers(tmp_path), SECRET_KEYS=new_key()) as kit:
        (mailbox,) = kit.rows(tables.mailbox)
        assert (mailbox.state, mailbox.secret_id) == ("broken", None)
        kit._numbers = count_from(1000)
        kit.say("menu")
        kit.work()
        kit.tap("mailbox")
        kit.work()
        assert kit.last().message.buttons[0].id == "mailbox.manage:password"
        assert "no longer stored here" in kit.last().message.body  # and not that a server refused it


def test_a_folder_of_another_major_version_refuses_to_start_and_names_the_two_commands(tmp_path):
    with Embedded(tmp_path / "home", durable=False) as server:
        data = server._data
    (data / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedFailed, match="made by PostgreSQL 17") as refused, Embedded(tmp_path / "home"):
        pass
    assert "python -m bot backup" in str(refused.value)
    assert "python -m bot restore" in str(refused.value)
