"""`backup`, `restore`: the database in one file, the keys told apart from it; and what to do when those are lost."""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.app import keys
from bot.database import kept
from bot.safe import Safe, opens
from bot.settings import Settings, SettingsError
from bot.store import backup as store
from bot.store import housekeeping, schema, secrets
from bot.store.backup import BackupFailed
from bot.store.engine import Connection, Engine, connect

NOT_IN_IT = (
    "The keys (SECRET_KEYS) are not in it: keep a copy of them at another place, without them no password opens."
)
STOP_FIRST = "web, worker or serve is at work on this database: stop them first, then restore."


def backup(settings: Settings, file: Path | None, now: datetime) -> dict[str, Any]:
    """Write the database into a new file, by default one in BACKUP_DIR; what was done, and what to know.

    Raises BackupFailed, SettingsError, EmbeddedFailed.
    """
    to = file or _usual(settings, now)
    with kept(settings) as database:
        engine = connect(database.url, pool=1)
        try:
            schema.check(engine)
        finally:
            engine.dispose()
        size = store.dump(database.url, to)
    return {"file": str(to), "bytes": size, "keys": NOT_IN_IT, **_beside(settings, to)}


def _usual(settings: Settings, now: datetime) -> Path:
    """Where a backup goes that was given no name."""
    if settings.backup_dir is None:
        raise SettingsError("BACKUP_DIR: it is not set; set it, or say where: python -m bot backup FILE")
    try:
        settings.backup_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"BACKUP_DIR: {settings.backup_dir} cannot be made ({error.strerror}).") from None
    return settings.backup_dir / f"ally-{now:%Y-%m-%d-%H%M%S}.dump"


def key_file(settings: Settings) -> Path | None:
    """The file in which the keys lie; None: they stand in the environment, or there are none yet."""
    made = settings.data_dir / "secret.key"
    if settings.secret_keys:
        return None
    return settings.secret_keys_file or (made if made.exists() else None)


def _beside(settings: Settings, to: Path) -> dict[str, str]:
    """Who takes the folder away has the passwords, if the keys lie in it."""
    keys_at = key_file(settings)
    if keys_at is None or not keys_at.resolve().is_relative_to(to.resolve().parent):
        return {}
    return {"warning": f"The keys lie beside it, in {keys_at}: whoever gets this folder can open every password."}


def restore(settings: Settings, file: Path, now: datetime, *, replace: bool) -> dict[str, Any]:
    """Put a backup into the database; `replace`: also over what is there.

    Raises BackupFailed, SettingsError, WrongSchema, EmbeddedFailed; nothing is changed then.
    """
    content = store.look_into(file)
    store.check_schema(file, content)
    if content.checks and not opens(keys(settings), content.checks):
        raise BackupFailed(
            f"{file} was made with other keys: give those of that time in SECRET_KEYS (or SECRET_KEYS_FILE), "
            "or no stored password could be opened."
        )
    with kept(settings) as database:
        if database.embedded is not None and not database.embedded.owner:
            raise BackupFailed(STOP_FIRST)
        engine = connect(database.url, pool=1)
        try:
            return _put_back(engine, database.url, file, now, replace=replace)
        finally:
            engine.dispose()


def _put_back(engine: Engine, url: str, file: Path, now: datetime, *, replace: bool) -> dict[str, Any]:
    with engine.connect() as db:
        if store.at_work(db):
            raise BackupFailed(STOP_FIRST)
        if table := store.foreign(db):
            raise BackupFailed(
                f"DATABASE_URL: that database holds a table that is not ours ({table}): give an empty one."
            )
        if (table := store.in_the_way(db)) and not replace:
            raise BackupFailed(
                f"The database is not empty (table {table}): to put the backup in its place, add --replace."
            )
    engine.dispose()
    store.restore(url, file)
    schema.check(engine)
    with engine.begin() as db:
        under_way = store.after_a_restore(db)
        housekeeping.audit_entry(db, now, actor=housekeeping.OPERATOR, action="restored", subject=_digest(file))
    return {"restored": str(file), "under_way": under_way}


def _digest(file: Path) -> str:
    """Which backup it was, without its name: that may be anybody's."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def forget_secrets(settings: Settings, now: datetime, *, lost: bool = False) -> dict[str, Any]:
    """After the keys were lost: erase what nobody can open any more, so that the start with new ones is free.

    `lost`: only what is sealed with a key that SECRET_KEYS does not hold. Raises SettingsError, WrongSchema, WrongKey,
    EmbeddedFailed.
    """
    with kept(settings) as database:
        engine = connect(database.url, pool=1)
        try:
            schema.check(engine)
            with engine.begin() as db:
                records, mailboxes = secrets.forget_all(db, now, _held(settings, db) if lost else ())
                by, subject = housekeeping.OPERATOR, str(records)
                housekeeping.audit_entry(db, now, actor=by, action="secrets_forgotten", subject=subject)
        finally:
            engine.dispose()
    return {"erased": records, "mailboxes_without_password": mailboxes}


def _held(settings: Settings, db: Connection) -> tuple[str, ...]:
    """The keys at hand, which have to be some of this database. Raises WrongKey."""
    vault = keys(settings)
    Safe(vault).check(db)
    return vault.held
