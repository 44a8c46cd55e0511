"""Gathers what the audit compares, when everything has settled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from psycopg import sql
from sqlalchemy import func, select

from bot.playground.mail import INBOX, SENT
from bot.store import tables
from bot.store.engine import Connection, reading
from tests.chaos.audit import Evidence, Found, Kept, Mailed
from tests.chaos.guests import WORDS
from tests.chaos.inside import SPEECH
from tests.chaos.installation import WAITING, client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from tests.chaos.guests import HandedIn
    from tests.chaos.installation import Installation
    from tests.chaos.post import Post

JUST = timedelta(seconds=10)
UNDER_WAY = 0.2  # seconds from the last look at a claim until all bytes have left, on a busy machine


def gather(world: Installation, post: Post, handed: Sequence[HandedIn], complaints: Sequence[str]) -> Evidence:
    """Everything, as it stands now."""
    with reading(world.parts.engine) as db:
        numbers = _numbers(db)
        return Evidence(
            letters=list(post.letters),
            heard={row.message_id: row.at for row in db.execute(select(tables.inbound))},
            lines=_lines(db, numbers),
            promises=_promises(db, numbers),
            shown=list(world.twilio.shown),
            mails=_mails(world, db, numbers),
            found=_found(world, INBOX),
            copies=_found(world, SENT),
            handed=handed,
            left=list(_left(world, db)),
            excused=frozenset(_interrupted(world)),
            dead=[f"{numbers.get(row.conversation_id)}: {row.error}" for row in db.execute(select(tables.dead_letter))],
            complaints=[*complaints, *(words for child in world.children for words in child.complaints)],
        )


def _numbers(db: Connection) -> dict[UUID, str]:
    query = select(tables.conversation.c.id, tables.contact.c.address).join(tables.contact)
    return {row.id: row.address for row in db.execute(query)}


def _lines(db: Connection, numbers: dict[UUID, str]) -> dict[str, list[datetime]]:
    lines: dict[str, list[datetime]] = defaultdict(list)
    for row in db.execute(select(tables.message).where(tables.message.c.direction == "in")):
        lines[numbers[row.conversation_id]].append(row.at)
    return lines


def _promises(db: Connection, numbers: dict[UUID, str]) -> list[Kept]:
    """Some kinds wait for their time, which has not come, or only just."""
    late = datetime.now(UTC) - JUST
    return [
        Kept(
            id=row.id,
            number=numbers.get(row.conversation_id, ""),
            kind=row.kind,
            state=row.state,
            attempt=row.attempt,
            outcome=row.outcome,
            provider_id=row.provider_id,
            waits=row.state == "todo" and row.due_at > late and row.kind in WAITING,
        )
        for row in db.execute(select(tables.promise).order_by(tables.promise.c.id))
    ]


def _mails(world: Installation, db: Connection, numbers: dict[UUID, str]) -> list[Mailed]:
    """Those of the door go to addresses to which nobody writes in the chat."""
    query = select(tables.outgoing_mail, tables.mailbox.c.address).join(tables.mailbox)
    clients = {client(name) for name in world.keys}
    return [
        Mailed(
            marker=_marker(row.message_id),
            number=numbers[row.conversation_id],
            state=row.state,
            recipients=tuple(row.recipients),
            sender=row.address,
            copy=row.copy,
            at_door=not clients.isdisjoint(row.recipients),
        )
        for row in db.execute(query)
    ]


def _marker(message_id: str) -> str:
    return message_id.strip("<>").partition("@")[0]


def _left(world: Installation, db: Connection) -> Iterator[str]:
    """Where something of a mail of the door lies still: sealed, in a table, in a log."""
    sealed = select(func.count()).select_from(tables.secret).where(tables.secret.c.kind == "door.mail")
    if count := db.execute(sealed).scalar_one():
        yield f"{count} sealed mails"
    with world.operator() as operator:
        for (name,) in operator.execute("select relname from pg_stat_user_tables order by 1").fetchall():
            holding = sql.SQL("select count(*) from {} as one where one::text like %s").format(sql.Identifier(name))
            if (count := operator.execute(holding, (f"%{WORDS}%",)).fetchall()[0][0]) > 0:
                yield f"{count} rows of {name}"
    yield from (log.name for log in sorted(world.home.glob("*.log")) if WORDS in log.read_text(errors="replace"))


def _interrupted(world: Installation) -> Iterator[int]:
    """What a process was just about to say when it was frozen.

    It has looked at its claim for the last time, and the bytes may not have left: when it comes back they do, and
    meanwhile another process has said the same. Without idempotent requests at the provider nobody can help that; who
    begins to speak after it came back has no such excuse.
    """
    freezes = [freeze for child in world.children for freeze in child.freezes]
    for line in world.written(SPEECH):
        process, promise, at = line.split()
        if any(int(process) == frozen and 0 <= began - float(at) <= UNDER_WAY for frozen, began in freezes):
            yield int(promise)


def _found(world: Installation, folder: str) -> list[Found]:
    boxes = world.sandbox.mailboxes()
    return [
        Found(box, _marker(mail.message_id), mail.subject) for box, folders in boxes.items() for mail in folders[folder]
    ]
