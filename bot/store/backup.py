"""The whole database in one file, and back: with pg_dump and pg_restore of the wheel, whatever server it is.

The file is of pg_dump's custom format, so `pg_restore` alone reads it, too. The keys are not in it: they are no part of
the database. https://www.postgresql.org/docs/18/app-pgdump.html, https://www.postgresql.org/docs/18/app-pgrestore.html
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import IO, Any

from sqlalchemy import Text, cast, exists, func, inspect, literal, select, text, update
from sqlalchemy.engine import make_url

from bot.store import embedded, limits
from bot.store.engine import OUR_NAME, Connection, driver_url
from bot.store.months import partitions
from bot.store.tables import SCHEMA, compatible, in_state, key_check, message, metadata, outgoing_mail, promise

# What a database holds that was only migrated and started once.
OF_THE_START = frozenset({compatible.name, key_check.name, limits.limit_hit.name})
BOOKKEEPING = "alembic_version"
MAGIC = b"PGDMP"  # every custom archive begins so
WORDS = 300  # characters of what a program of PostgreSQL says
OPEN_FILES = "/proc/self/fd/"


class BackupFailed(Exception):
    """A backup could not be made or put back; the message is one plain sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file says about itself: its schema, and the rows that tell a right key from a wrong one."""

    schema: int
    checks: tuple[tuple[str, bytes, bytes], ...]


def dump(url: str, to: Path) -> int:
    """Write the database into a new file that only our user can read; its size in bytes.

    The file appears when it is whole: a crash in the middle leaves none. Raises BackupFailed, EmbeddedFailed.
    """
    command, environment = _client("pg_dump", url)
    with _appearing(to) as (file, name):
        # Not by its standard output: measured, pg_dump 18 then writes its table of contents twice, the second one last.
        how = ("--format=custom", "--no-owner", "--no-privileges", f"--file={name}")
        _run([*command, *how], environment, keeping=(file,))
        os.fsync(file)
        return os.fstat(file).st_size


def look_into(file: Path) -> Content:
    """What a file holds, without touching any database. Raises BackupFailed, also when it is no backup of ours."""
    try:
        with file.open("rb") as opened:
            genuine = opened.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise BackupFailed(f"{file} cannot be read: {error.strerror}.") from None
    no_backup = BackupFailed(f"{file} is no backup of this assistant, or not a whole one.")
    if not genuine:
        raise no_backup
    try:
        schema = int(_rows(file, compatible.name)[0]["schema"])
        checks = [
            (row["key_id"], bytes.fromhex(row["nonce"][3:]), bytes.fromhex(row["box"][3:]))
            for row in _rows(file, key_check.name)
        ]
    except (ValueError, LookupError):
        raise no_backup from None
    return Content(schema, tuple(checks))


def check_schema(file: Path, content: Content) -> None:
    """Raise BackupFailed unless the file has the very schema of this code."""
    if content.schema != SCHEMA:
        older = "an older" if content.schema < SCHEMA else "a newer"
        raise BackupFailed(
            f"{file} is of {older} version (schema {content.schema}, here {SCHEMA}): restore it with the version that "
            "made it, then install this one and run: python -m bot migrate"
        )


def foreign(db: Connection) -> str:
    """A table in this database that is not ours; empty: there is none."""
    return min(set(inspect(db).get_table_names()) - set(metadata.tables) - partitions(db) - {BOOKKEEPING}, default="")


def in_the_way(db: Connection) -> str:
    """What of ours stands in this database, of which a restore would make an end; empty: nothing."""
    there = set(inspect(db).get_table_names())
    for table in metadata.sorted_tables:
        if (
            table.name in there - OF_THE_START
            and db.execute(select(exists(select(literal(1)).select_from(table)))).scalar()
        ):
            return table.name
    return ""


def at_work(db: Connection) -> int:
    """How many other connections of ours are open: web, worker and `serve` have some all the time.

    https://www.postgresql.org/docs/18/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
    """
    query = text(
        "select count(*) from pg_stat_activity where application_name like :name and datname = current_database() "
        "and pid <> pg_backend_pid()"
    )
    return int(db.execute(query, {"name": f"{OUR_NAME}%"}).scalar_one())


def restore(url: str, file: Path) -> None:
    """Put a file back in the place of what is there, in one transaction: all of it, or nothing is changed.

    By psql, which takes a script from pg_restore: by itself that would drop the indexes of the transcript's months one
    by one, which PostgreSQL refuses, so the transcript goes first. A script that ends before our `commit` has changed
    nothing. Raises BackupFailed, EmbeddedFailed.
    """
    command, environment = _client("psql", url)
    begin = f"begin; set local client_min_messages = error; drop table if exists {message.name} cascade;\n"
    how = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--file=-")
    with _reading(command, environment) as script:
        script.write(begin.encode())
        script.flush()
        _run([embedded.program("pg_restore"), *how, str(file)], {}, to=script)
        script.write(b"commit;\n")


@contextmanager
def _reading(psql: list[str], environment: Mapping[str, str]) -> Iterator[IO[bytes]]:
    """A psql that runs what is written, up to its first error. Raises BackupFailed with what it said."""
    how = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1")
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen([*psql, *how], env=_only(environment), stdin=PIPE, stdout=DEVNULL, stderr=said) as running,
    ):
        script: Any = running.stdin
        try:
            yield script
        finally:  # where psql fails, whoever writes for it fails, too: what psql said is the reason
            with suppress(BrokenPipeError):
                script.close()
            if running.wait():
                said.seek(0)
                raise _refused(psql[0], said.read(), running.returncode)


def after_a_restore(db: Connection) -> int:
    """What was to be done when the backup was made may have been done since: how many promises that are.

    They are treated like those of a worker that died: what is to be said is first looked for at the provider, and a
    mail is not handed over again; its person is told that nobody knows.
    """
    unfinished = in_state(promise, "todo", "doing")
    of_mail = (unfinished, promise.c.lane == "mail")
    mails = select(promise.c.payload["mail"].astext).where(*of_mail)
    waiting = (outgoing_mail.c.state == "todo", cast(outgoing_mail.c.id, Text).in_(mails))
    db.execute(update(outgoing_mail).where(*waiting).values(state="handing"))
    first = (unfinished, promise.c.lane == "speak", promise.c.attempt == 0)
    db.execute(update(promise).where(*first).values(attempt=1))
    return int(db.execute(select(func.count()).where(unfinished)).scalar_one())


def _rows(file: Path, table: str) -> list[dict[str, str]]:
    """The rows of one table in a file, as COPY writes them: https://www.postgresql.org/docs/18/sql-copy.html."""
    command = [embedded.program("pg_restore"), "--data-only", f"--table={table}", "--file=-", str(file)]
    lines = _run(command, {}).decode().splitlines()
    begins = next((number for number, line in enumerate(lines) if line.startswith("COPY ")), None)
    if begins is None:
        return []
    names = [name.strip().strip('"') for name in lines[begins].partition("(")[2].partition(")")[0].split(",")]
    rows = iter(lines[begins + 1 :])
    return [dict(zip(names, row.split("\t"), strict=True)) for row in iter(lambda: next(rows, "\\."), "\\.")]


def _client(name: str, url: str) -> tuple[list[str], dict[str, str]]:
    """A program on a database, and its environment: a password on the command line could be read by everybody."""
    address = make_url(driver_url(url)).set(drivername="postgresql")
    password = address.password if address.password is not None else address.query.get("password")
    secret = {"PGPASSWORD": str(password)} if password is not None else {}
    if "sslpassword" in address.query:
        raise BackupFailed("DATABASE_URL: sslpassword would be read by everybody here; use a key without a password.")
    bare = address._replace(password=None).difference_update_query(["password"])  # `set` cannot take one away
    return [embedded.program(name), "--dbname", bare.render_as_string()], secret


def _run(
    command: list[str], environment: Mapping[str, str], keeping: tuple[int, ...] = (), to: IO[bytes] | int = PIPE
) -> bytes:
    """Run a program to its end, which keeps these open files of ours. Raises BackupFailed with what it said."""
    done = subprocess.run(
        command,
        env=_only(environment),
        stdout=to,
        stderr=PIPE,
        pass_fds=keeping,
        stdin=DEVNULL,
        check=False,
    )
    if done.returncode:
        raise _refused(command[0], done.stderr, done.returncode)
    return done.stdout or b""


def _only(environment: Mapping[str, str]) -> dict[str, str]:
    """What a program may know of our environment, and what it is told."""
    return {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "HOME") if name in os.environ} | {
        **environment
    }


def _refused(program: str, words: bytes, status: int) -> BackupFailed:
    said = " ".join(words.decode(errors="replace").split())[:WORDS]
    return BackupFailed(f"{Path(program).name} did not do it: {said or f'status {status}'}")


@contextmanager
def _appearing(to: Path) -> Iterator[tuple[int, str]]:
    """A file (and how a child reaches it) that gets its name when all went well; we die: the kernel removes it.

    Where the file system has no such files (open(2), O_TMPFILE), it has another name until then.
    """
    if to.exists() or to.is_symlink():
        raise BackupFailed(f"{to} is there already: give another name; a backup replaces nothing.")
    try:
        file, name = _nameless(to.parent)
    except OSError as error:
        raise BackupFailed(f"Nothing can be written into {to.parent}: {error.strerror}.") from None
    try:
        yield file, name
        # Only with a folder given (of no use for an absolute path) does Python call linkat(2), which follows.
        os.link(name, to, src_dir_fd=file, follow_symlinks=True)
    except FileExistsError:
        raise BackupFailed(f"{to} was made by somebody else meanwhile: give another name.") from None
    except OSError as error:
        raise BackupFailed(f"{to} cannot be written: {error.strerror}.") from None
    finally:
        os.close(file)
        if not name.startswith(OPEN_FILES):
            with suppress(FileNotFoundError):
                os.unlink(name)  # noqa: PTH108 - a string from tempfile
    embedded.sync_folder(to.parent)


def _nameless(folder: Path) -> tuple[int, str]:
    """A file of our user's alone, and how a child that inherits it reaches it. Raises OSError."""
    try:
        file = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
    except (AttributeError, OSError):
        file, name = tempfile.mkstemp(prefix=".backup-", dir=folder.resolve())
        return file, name
    return file, f"{OPEN_FILES}{file}"
