"""What bounds each table, so that none grows for ever: a test asks every table for its rule here.

To add a table, add its rule: its rows go some time after a moment they carry (`AGED`, and that moment has an index),
or with the row they belong to (`WITH`, by their foreign key), or there can only be so many (`FEW`). The transcript is
erased to the second; months in which everything is old are dropped as a whole (`store.months`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Column, ColumnElement, Table, delete, select, tuple_

from bot.store import door_mails
from bot.store.engine import Connection
from bot.store.limits import limit_hit
from bot.store.tables import (
    access_request,
    audit,
    case,
    case_file,
    dead_letter,
    door_mail,
    entrance_code,
    file,
    in_state,
    inbound,
    invitation,
    link,
    media_token,
    message,
    outgoing_mail,
    promise,
    question,
    sign_in,
    slack_state,
    staff_line,
)

BATCH = 2_000  # rows of a table at once: the locks are held for some milliseconds
AT_ONCE = timedelta()
KEEP_HEARD = timedelta(days=7)  # the ids of what came in; lost webhooks are looked for within six hours
KEEP_ENDED = timedelta(days=7)  # promises that ended: long enough to see what happened
KEEP_LINKS = timedelta(days=1)
KEEP_FILES = timedelta(days=7)  # a draft may wait so long
KEEP_RECORDS = timedelta(days=730)  # opaque ids only: who did what, and cases that are over


@dataclass(frozen=True, slots=True)
class Aged:
    """Rows go when `moment` is older than `keep` or than the operator keeps anything; those that fulfil `only`.

    `records`: nothing personal stands in them, they are kept longer.
    """

    moment: Column[datetime]
    keep: timedelta = timedelta.max
    only: ColumnElement[bool] | None = None
    records: bool = False

    def over(self, now: datetime, retention: timedelta) -> ColumnElement[bool]:
        """Which rows have had their time."""
        old = self.moment < now - (self.keep if self.records else min(self.keep, retention))
        return old if self.only is None else old & self.only


_AGED = (
    Aged(promise.c.created_at, KEEP_ENDED, ~in_state(promise, "todo", "doing")),
    Aged(inbound.c.at, KEEP_HEARD),
    Aged(message.c.at),
    Aged(staff_line.c.at),
    Aged(outgoing_mail.c.at),
    Aged(dead_letter.c.at),
    Aged(door_mail.c.at, door_mails.DAY),
    Aged(question.c.at),
    Aged(access_request.c.at),
    Aged(invitation.c.expires_at),
    Aged(link.c.created_at, KEEP_LINKS),
    Aged(file.c.at, KEEP_FILES, file.c.mail_id.is_(None)),
    Aged(case_file.c.at, KEEP_FILES),
    Aged(media_token.c.until, AT_ONCE),
    Aged(entrance_code.c.expires_at, AT_ONCE),
    Aged(slack_state.c.expires_at, AT_ONCE),
    Aged(sign_in.c.expires_at, AT_ONCE),
    Aged(limit_hit.c.expires_at, AT_ONCE),
    Aged(audit.c.at, KEEP_RECORDS, records=True),
    Aged(case.c.closed_at, KEEP_RECORDS, records=True),
)
AGED: Mapping[str, Aged] = {rule.moment.table.name: rule for rule in _AGED}

# Of each such row there is one for one of these (or a handful: tokens of a link, parts of a line), and goes with it.
WITH: Mapping[str, str] = {
    "member": "agency",
    "membership": "member",
    "mailbox": "member",
    "door_key": "mailbox",
    "conversation": "contact",
    "slack_screen": "conversation",
    "link_token": "link",
    "staff_part": "staff_line",
    "oauth_app": "agency",
    "oauth_grant": "secret",
}

FEW: Mapping[str, str] = {
    "compatible": "one row",
    "agency": "one for each customer, made by the operator",
    "contact": "one for each person who ever wrote: that they said *stop* is not forgotten",
    "key_check": "one for each key",
    "secret": "has its own time (`secrets.forget_expired`), or is one of the few of a mailbox, app or workspace",
    "slack_workspace": "one for each workspace that added the app",
    "slack_pace": "one for each channel of the team's",
    "template_month": "one a month",
    "content": "one for each set of buttons and language that the texts have",
    "audit_day": "one a day",
    "provider_erasure": "goes when Twilio has let go of the message, or after the last try",
    "limit_refusal": "one for each limit and each process that it refused at the same moment",
    "alarm": "one for each kind of alarm",
    "sign_of_life": "one for each kind of process",
}


def erase(db: Connection, table: Table, now: datetime, retention: timedelta, most: int = BATCH) -> int:
    """Erase rows of an aged table that have had their time, at most so many; how many went.

    A row that somebody else holds is passed over: a later call finds it. Raises KeyError for a table that does not age.
    """
    key = table.primary_key.columns
    old = select(*key).where(AGED[table.name].over(now, retention)).limit(most).with_for_update(skip_locked=True)
    # A CTE that locks rows is never run twice; a subquery might be, and would then erase more.
    chosen = old.cte("chosen")
    return db.execute(delete(table).where(tuple_(*key).in_(select(chosen)))).rowcount


def erase_all(db: Connection, now: datetime, retention: timedelta, most: int = BATCH) -> bool:
    """Erase a batch of every aged table; whether more may be left."""
    gone = [erase(db, rule.moment.table, now, retention, most) for rule in AGED.values()]
    return max(gone) >= most
