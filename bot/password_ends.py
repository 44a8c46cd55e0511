"""The day on which a provider takes no passwords any more: its people are told 30, 14, 7, 3 and 1 days before, by day.

Only where signing in is offered instead: else there would be nothing that they can do. The days stand in the table of
providers, which their announcements change: what is told is worked out anew when it is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from bot.calendar import is_by_day, may_write, next_day_hour
from bot.facts import PASSWORD
from bot.handiwork import Again, Ended, Outcome, Tools, look, provider_of
from bot.live_tests import stored
from bot.oauth_apps import is_personal
from bot.store import grants, mailboxes, people, promises, secrets, watches
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise, Wanted
from bot.unasked import TELL_AGAIN, WAITS
from flows.words import Account, PasswordEnds, SignInProvider

STAGES = (1, 3, 7, 14, 30)  # days before


@dataclass(frozen=True, slots=True)
class End:
    """Passwords of an account end on this day, in so many days; its person may sign in with `provider` instead."""

    provider: SignInProvider
    day: date
    days: int

    @property
    def stage(self) -> int:
        """The first of the stages that is not before us any more: it is the one to be told now."""
        return next(stage for stage in STAGES if self.days <= stage)

    @property
    def note(self) -> str:
        """What is kept of it once it is told."""
        return f"{self.day.isoformat()} {self.stage}"

    def was_told(self, note: str) -> bool:
        """Whether this stage, or a later one, of the same day was told."""
        day, _, stage = note.partition(" ")
        return day == self.day.isoformat() and int(stage or "0") <= self.stage


def end_of(tools: Tools, account: Account, apps: Mapping[str, list[str]]) -> End | None:
    """When passwords end for an account, if that is soon and signing in is offered; `apps`: of its agency."""
    today = tools.clock.now().date()
    known, named = provider_of(tools, account), tools.providers.for_address(account.address, today)
    if known is None or known.until is None:
        return None
    way = tools.apps.offered(known.sign_in, apps, personal=is_personal(named))
    days = (known.until - today).days
    return End(way, known.until, days) if way is not None and 0 < days <= STAGES[-1] else None


def look_for_ends(tools: Tools, promise: Promise) -> Outcome:
    """Promise to tell everybody whose password ends soon and who was not told that yet."""
    del promise  # it says no more than that it is time
    with reading(tools.engine) as db:
        rows = grants.with_passwords(db) if tools.apps.any(db) else []
    due = [(row, end) for row in rows if (end := end_of(tools, stored(row), row.apps or {})) is not None]
    fresh = [(row, end) for row, end in due if not end.was_told(row.ends_told)]
    for row, end in fresh:
        with tools.engine.begin() as db:
            _promise(tools, db, row, end)
    return Ended(words=f"{len(fresh)} of {len(due)}")


def _promise(tools: Tools, db: Connection, row: Row, end: End) -> None:
    """Of two processes that look at the same time one promises it."""
    now = tools.clock.now()
    conversation_id = watches.best_conversation(db, row.member_id, now)
    if conversation_id is None or not mailboxes.ends_told(db, row.id, row.ends_told, end.note):
        return
    due = next_day_hour(now, people.timezone_of(db, row.agency_id))
    of = {"mailbox": str(row.id), "note": end.note}
    promises.add(db, conversation_id, [Wanted("work", promises.PASSWORD_ENDS, due, of)], now)
    promises.wake(db, {"work"})


def password_ends(tools: Tools, promise: Promise) -> Outcome:
    """Tell it by day, where we may write; it is dropped where it is not true any more, or the next stage has come."""
    held, now, of = look(tools, promise), tools.clock.now(), promise.payload
    with reading(tools.engine) as db:
        row = mailboxes.by_id(db, UUID(of["mailbox"]))
        if held is None or row is None or not _has_password(db, row):
            return Ended("dropped")
        agency_id = people.agency_id_of(db, row.member_id)
        apps = grants.apps_of(db, agency_id)
        zone = people.timezone_of(db, agency_id)
    end = end_of(tools, stored(row), apps)
    if end is None or end.note != of["note"]:
        return Ended("dropped")
    if not may_write(held.window_until, now) or not (of.get("wrote") or is_by_day(now, zone)):
        return Again(TELL_AGAIN, WAITS)
    return Ended(event=PasswordEnds(row.address, end.provider, end.day, end.days))


def _has_password(db: Connection, row: Row) -> bool:
    kept = secrets.get(db, row.secret_id) if row.state == "works" and row.secret_id is not None else None
    return kept is not None and kept.kind == PASSWORD
