"""What is erased by itself, and small notes on what was said."""

from datetime import datetime, timedelta

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store import bounds, erasures, grants, promises, secrets, slack
from bot.store.engine import Connection
from bot.store.tables import audit, content, message

RECONCILE_EVERY = timedelta(minutes=5)
LOOK_AROUND_EVERY = timedelta(days=1)
LOOK_AT_GRANTS_EVERY = timedelta(days=1)
LOOK_FOR_ENDS_EVERY = timedelta(hours=6)
OPERATOR = "operator"  # who acts by a command, in the audit


def sweep(db: Connection, now: datetime, retention: timedelta) -> bool:
    """See that lost webhooks are looked for and no token lapses, and erase what has had its time, a batch of each kind.

    Whether more may be left to be erased.
    """
    promises.once(db, "work", promises.RECONCILE, now + RECONCILE_EVERY, now)
    if slack.to_be_renewed(db, now):
        promises.once(db, "work", promises.RENEW_TOKENS, now, now)
    if slack.live_workspaces(db):
        promises.once(db, "work", promises.LOOK_AROUND, now + LOOK_AROUND_EVERY, now)
    promises.once(db, "work", promises.KEEP_GRANTS, now + LOOK_AT_GRANTS_EVERY, now)
    promises.once(db, "work", promises.LOOK_FOR_ENDS, now + LOOK_FOR_ENDS_EVERY, now)
    secrets_left = secrets.forget_expired(db, now, bounds.BATCH) >= bounds.BATCH
    if grants.any_leaving(db, now):
        promises.once(db, "work", promises.REVOKE, now, now)
    if erasures.any_due(db, now):
        promises.once(db, "work", promises.ERASE_LEFT, now, now)
    return bounds.erase_all(db, now, retention) or secrets_left


def said(db: Connection, promise_id: int, provider_id: str) -> None:
    """The provider took a message, under this id."""
    mine = (message.c.promise_id == promise_id, message.c.provider_id.is_(None))
    db.execute(update(message).where(*mine).values(provider_id=provider_id))


def content_sid(db: Connection, name: str) -> str | None:
    """Twilio's id of a resource for buttons."""
    return db.execute(select(content.c.sid).where(content.c.name == name)).scalar_one_or_none()


def keep_content(db: Connection, name: str, sid: str) -> None:
    """Remember a resource, in place of a lost one."""
    row = upsert(content).values(name=name, sid=sid)
    db.execute(row.on_conflict_do_update(index_elements=[content.c.name], set_={"sid": sid}))


def audit_entry(db: Connection, at: datetime, *, actor: str, action: str, subject: str) -> None:
    """Who did what to what, when: opaque ids only."""
    db.execute(insert(audit).values(at=at, actor=actor, action=action, subject=subject))


def database_time(db: Connection) -> datetime:
    """What time it is for the database: only for comparing clocks, never for anything that is stored."""
    found: datetime = db.execute(select(func.clock_timestamp())).scalar_one()
    return found
