"""Mails that came in at the door: noted before their last byte leaves, so that none leaves twice.

Each step is one statement, and so one way to PostgreSQL and one commit: a mail costs two of them that wait for the
disk, before its last byte and at its server's last word.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import IntegrityError

from bot.store import promises
from bot.store.engine import Connection, Row, straight
from bot.store.secrets import Record
from bot.store.tables import door_mail, outgoing_mail

DAY = timedelta(days=1)  # so long a mail is known again by its Message-ID and bytes
WITHOUT_ID = timedelta(minutes=10)  # without one the same bytes may be meant twice, but not at once
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SEEN = timedelta(minutes=1)  # a mailbox that worked so lately is not written anew


class Known(Exception):
    """The same mail was noted a moment ago by somebody else: it must not leave once more."""


@dataclass(frozen=True, slots=True)
class Once:
    """By what a mail is known again in its mailbox: its digest, and whether it came with a Message-ID of its own."""

    digest: str
    own_id: bool

    @property
    def kept(self) -> timedelta:
        """So long it is known."""
        return DAY if self.own_id else WITHOUT_ID


# Whoever acts for the member: the first one who acts for nobody else at present, else any.
_STANDING = """
select k.used_at, b.id as mailbox_id, b.address, b.user_name, b.host, b.port, b.security, b.transport, b.secret_id,
       b.state, b.cause, b.version, b.size, m.id as member_id, a.id as agency_id, c.id as contact_id, c.language,
       v.id as conversation_id, lately.in_minute, lately.in_hour, lately.since,
       e.id as before_id, e.state as before_state, e.at as before_at,
       d.promise_id as before_promise, d.at as before_came
from door_key k
join mailbox b on b.id = k.mailbox_id
join member m on m.id = b.member_id
join agency a on a.id = m.agency_id
left join lateral (
    select contact.id, contact.language from contact join membership on membership.contact_id = contact.id
    where membership.member_id = m.id
    order by (contact.member_id = m.id) desc nulls last, contact.created_at, contact.id limit 1
) c on true
left join conversation v on v.contact_id = c.id
left join lateral (
    select count(*) filter (where at > %(minute)s) as in_minute, count(*) as in_hour, min(at) as since
    from door_mail where mailbox_id = b.id and at > %(hour)s
) lately on true
left join door_mail d on d.mailbox_id = b.id and d.digest = %(digest)s
left join outgoing_mail e on e.id = d.mail_id
where k.hash = %(hash)s and k.revoked_at is null and m.removed_at is null and a.closed_at is null
"""

_BEGIN = f"""
with mail as (
    insert into outgoing_mail
        (id, conversation_id, mailbox_id, mailbox_version, message_id, date, recipients, state, at)
    values (%(id)s, %(conversation_id)s, %(mailbox_id)s, %(mailbox_version)s, %(message_id)s, %(at)s,
        cast(%(recipients)s as jsonb), 'handing', %(at)s)
    returning id
), looks as (
    insert into promise (conversation_id, lane, kind, payload, due_at, created_at)
    values (%(conversation_id)s, 'mail', '{promises.DOOR_MAIL}', cast(%(payload)s as jsonb), %(look_at)s, %(at)s)
    returning id
)
insert into door_mail (mail_id, mailbox_id, digest, own_id, promise_id, at)
select mail.id, %(mailbox_id)s, %(digest)s, %(own_id)s, looks.id, %(at)s from mail, looks
returning promise_id
"""  # noqa: S608 - a constant of ours

_ACCEPTED = f"""
with moved as (
    update outgoing_mail set state = 'accepted', reply = %(reply)s, at = %(at)s, content_id = %(secret_id)s
    where id = %(id)s and state in ('handing', 'unknown') returning id
), sealed as (
    insert into secret (id, kind, owner_id, bound_to, key_id, nonce, box, created_at, expires_at)
    select %(secret_id)s, %(kind)s, %(owner_id)s, cast(%(bound_to)s as jsonb), %(key_id)s, %(nonce)s, %(box)s, %(at)s,
        %(expires_at)s from moved
), looked as (
    delete from promise where id = %(promise_id)s and state = 'todo' and exists (select from moved)
), worked as (
    update mailbox set worked_at = greatest(worked_at, %(at)s), doubt = '', doubted_at = null
    where id = %(mailbox_id)s and version = %(version)s and state = 'works'
        and (worked_at is null or worked_at < %(seen)s or doubt <> '')
), used as (
    update door_key set used_at = greatest(used_at, %(at)s)
    where mailbox_id = %(mailbox_id)s and (used_at is null or used_at < %(seen)s)
)
insert into promise (conversation_id, lane, kind, payload, due_at, created_at)
select %(conversation_id)s, 'work', '{promises.FILE_COPY}', cast(%(payload)s as jsonb), %(at)s, %(at)s from moved
"""  # noqa: S608 - the same

_STILL_HANDING = """
with mine as (
    update outgoing_mail set at = greatest(at, %(now)s) where id = any(%(ids)s) and state = 'handing' returning id
)
update promise set due_at = greatest(due_at, %(look_at)s)
from door_mail join mine on mine.id = door_mail.mail_id
where promise.id = door_mail.promise_id and promise.state = 'todo'
"""


def standing(db: Connection, key_hash: str, digest: str, now: datetime) -> Row | None:
    """The mailbox that a key opens, with its member, agency and whoever acts for them.

    None: no such key, it was taken back, its member was removed, or the agency closed. Whether the mailbox works is for
    the caller to ask (`state`). With it how many mails came in lately, and the mail with this digest (`before_...`):
    None where that is not known any more; `before_came` tells when it came in all the same.
    """
    when = {"minute": now - MINUTE, "hour": now - HOUR}
    found = straight(db, _STANDING, {"hash": key_hash, "digest": digest, **when})
    return found[0] if found else None


def hurried(db: Connection) -> None:
    """What this transaction writes may be lost where PostgreSQL dies at once: counts, which nobody's mail hangs on."""
    db.execute(text("set local synchronous_commit = off"))


def begin(db: Connection, mail_id: UUID, values: Mapping[str, Any], once: Once, look_at: datetime) -> int:
    """Note that a mail's last byte is about to leave; the id of the promise that looks after it. Raises Known.

    `db` is one without a transaction of its own: what stands here is one statement.
    """
    given = {
        **values,
        "id": mail_id,
        "recipients": json.dumps(values["recipients"]),
        "payload": json.dumps({"mail": str(mail_id)}),
        "digest": once.digest,
        "own_id": once.own_id,
        "look_at": look_at,
    }
    try:
        return int(straight(db, _BEGIN, given)[0].promise_id)
    except IntegrityError:
        raise Known from None


def accepted(
    db: Connection, mail_id: UUID, *, row: Row, reply: str, promise_id: int, content: Record, at: datetime
) -> None:
    """The server has it: its bytes lie sealed until its copy is in *Sent*, which is a promise of its own.

    `row`: what `standing` told of its mailbox. One statement, as `begin`; it may be said twice.
    """
    given = {
        "id": mail_id,
        "reply": reply[:500],
        "at": at,
        "secret_id": content.id,
        "kind": content.kind,
        "owner_id": content.owner_id,
        "bound_to": json.dumps(dict(content.bound_to)),
        "key_id": content.key_id,
        "nonce": content.nonce,
        "box": content.box,
        "expires_at": content.expires_at,
        "promise_id": promise_id,
        "mailbox_id": row.mailbox_id,
        "version": row.version,
        "seen": at - SEEN,
        "conversation_id": row.conversation_id,
        "payload": json.dumps({"mail": str(mail_id)}),
    }
    straight(db, _ACCEPTED, given)


def still_handing(db: Connection, mail_ids: Sequence[UUID], now: datetime, look_at: datetime) -> None:
    """Their process lives: nobody looks after them before its time. Who says so late takes nothing back."""
    straight(db, _STILL_HANDING, {"ids": list(mail_ids), "now": now, "look_at": look_at})


def forget(db: Connection, mail_id: UUID) -> None:
    """The same mail may come again: it did not leave, or its time is over.

    By its id: what somebody else has noted of the same bytes meanwhile stays.
    """
    db.execute(delete(door_mail).where(door_mail.c.mail_id == mail_id))


def take_back(db: Connection, mail_id: UUID) -> None:
    """Nothing of it was handed over, and perhaps it was noted. What looks after it then finds nothing to do."""
    db.execute(delete(outgoing_mail).where(outgoing_mail.c.id == mail_id, outgoing_mail.c.state == "handing"))


def is_of_the_door(db: Connection, mail_id: UUID) -> bool:
    """Whether a mail came in there, lately."""
    return db.execute(select(door_mail.c.mail_id).where(door_mail.c.mail_id == mail_id)).first() is not None


def counted(db: Connection) -> list[tuple[str, int]]:
    """How many mails of the last day stand in which state, of those that left or may have; refused ones are not."""
    query = select(outgoing_mail.c.state, func.count()).join(door_mail, door_mail.c.mail_id == outgoing_mail.c.id)
    return [(row[0], row[1]) for row in db.execute(query.group_by(outgoing_mail.c.state))]
