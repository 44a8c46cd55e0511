"""Slack's workspaces, and what people have open there."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store import promises
from bot.store.engine import Connection, Row
from bot.store.tables import (
    agency,
    contact,
    conversation,
    in_state,
    mailbox,
    member,
    membership,
    promise,
    slack_screen,
    slack_state,
    slack_workspace,
)

# --- workspaces -------------------------------------------------------------------------------------------------------

RENEWED_EARLY = timedelta(hours=2)  # before its end: docs.slack.dev/authentication/using-token-rotation
_FIRST = 7_221_001  # the lock of whoever writes down the first workspace
_WORKSPACE = (
    select(slack_workspace, agency.c.language, agency.c.timezone)
    .join(agency, agency.c.id == slack_workspace.c.agency_id, isouter=True)
    .where(slack_workspace.c.team_id == bindparam("team"))
)


def workspace(db: Connection, team: str) -> Row | None:
    """A workspace with its agency's language and time zone."""
    return db.execute(_WORKSPACE, {"team": team}).one_or_none()


def live_workspaces(db: Connection) -> list[Row]:
    """Every workspace that belongs to an agency and in which we still are."""
    mine = (slack_workspace.c.agency_id.is_not(None), slack_workspace.c.gone_at.is_(None))
    return list(db.execute(select(slack_workspace).where(*mine).order_by(slack_workspace.c.team_id)).all())


def any_workspace(db: Connection) -> bool:
    """Whether any workspace is known; of those who ask at once, one gets to make the first."""
    db.execute(select(func.pg_advisory_xact_lock(_FIRST)))
    return db.execute(select(slack_workspace.c.team_id).limit(1)).one_or_none() is not None


def keep_workspace(db: Connection, team: str, at: datetime, **values: Any) -> None:
    """A workspace in which we are, from now on or still."""
    row = upsert(slack_workspace).values(team_id=team, at=at, **values)
    kept = {**values, "gone_at": None}
    db.execute(row.on_conflict_do_update(index_elements=[slack_workspace.c.team_id], set_=kept))


def installed(db: Connection, team: str, at: datetime) -> None:
    """The app was installed at this moment: what is told of earlier ones counts for nothing."""
    db.execute(update(slack_workspace).where(slack_workspace.c.team_id == team).values(at=at))


def bind(db: Connection, team: str, agency_id: UUID) -> bool:
    """Give a workspace to an agency; False: it belongs to another one that was not closed."""
    closed = select(agency.c.id).where(agency.c.closed_at.is_not(None))
    mine_or_nobodys = (slack_workspace.c.agency_id.is_(None), slack_workspace.c.agency_id == agency_id)
    free = or_(*mine_or_nobodys, slack_workspace.c.agency_id.in_(closed))
    mine = update(slack_workspace).where(slack_workspace.c.team_id == team, free)
    return db.execute(mine.values(agency_id=agency_id)).rowcount == 1


def all_workspaces(db: Connection) -> list[Row]:
    """All workspaces that were ever heard of, with the names of their agencies."""
    query = select(slack_workspace, agency.c.name.label("agency"))
    joined = query.join(agency, agency.c.id == slack_workspace.c.agency_id, isouter=True)
    return list(db.execute(joined.order_by(slack_workspace.c.team_id)).all())


def release(db: Connection, team: str) -> bool:
    """A workspace belongs to no agency any more, and nobody in it acts for one; False: it is not known."""
    theirs = (contact.c.channel == "slack", contact.c.address.startswith(f"{team}.", autoescape=True))
    db.execute(delete(membership).where(membership.c.contact_id.in_(select(contact.c.id).where(*theirs))))
    db.execute(update(contact).where(*theirs).values(member_id=None))
    mine = update(slack_workspace).where(slack_workspace.c.team_id == team)
    return db.execute(mine.values(agency_id=None)).rowcount == 1


def locked(db: Connection, team: str) -> Row | None:
    """A workspace, held until the transaction ends."""
    return db.execute(select(slack_workspace).where(slack_workspace.c.team_id == team).with_for_update()).one_or_none()


def leave_workspace(db: Connection, team: str, at: datetime) -> Row | None:
    """We are not in this workspace any more; as it was before, its tokens to be erased. Whose it is stays known.

    None where we were not in it: what tells us of it comes twice or three times.
    """
    row = locked(db, team)
    if row is None or row.gone_at is not None:
        return None
    gone = {"gone_at": at, "token_id": None, "refresh_id": None, "token_until": None, "renewing_until": None}
    db.execute(update(slack_workspace).where(slack_workspace.c.team_id == team).values(gone))
    return row


def admins_elsewhere(db: Connection, agency_id: UUID, team: str) -> list[UUID]:
    """The conversations of an agency's admins that are not in this workspace."""
    query = (
        select(conversation.c.id)
        .join(contact, contact.c.id == conversation.c.contact_id)
        .join(membership, membership.c.contact_id == contact.c.id)
        .join(member, member.c.id == membership.c.member_id)
        .where(member.c.agency_id == agency_id, member.c.role == "admin", member.c.removed_at.is_(None))
        .where(or_(contact.c.channel != "slack", ~contact.c.address.startswith(f"{team}.", autoescape=True)))
    )
    return list(db.execute(query).scalars())


def to_be_renewed(db: Connection, now: datetime) -> list[str]:
    """The workspaces whose token ends soon, or has ended; nobody else renews it at present."""
    soon = (slack_workspace.c.gone_at.is_(None), slack_workspace.c.token_until < now + RENEWED_EARLY)
    # What cannot be renewed any more is left alone until its end.
    due = or_(slack_workspace.c.refresh_id.is_not(None), slack_workspace.c.token_until <= now)
    free = or_(slack_workspace.c.renewing_until.is_(None), slack_workspace.c.renewing_until <= now)
    query = select(slack_workspace.c.team_id).where(*soon, due, free).order_by(slack_workspace.c.token_until)
    return list(db.execute(query).scalars())


def cannot_renew(db: Connection, team: str) -> None:
    """The refresh token of a workspace is worth nothing: its token lasts until its own end."""
    db.execute(update(slack_workspace).where(slack_workspace.c.team_id == team).values(refresh_id=None))


def claim_renewal(db: Connection, team: str, refresh_id: UUID, now: datetime, until: datetime) -> bool:
    """Whether we are the one process that uses this refresh token of a workspace now: it is good once."""
    free = or_(slack_workspace.c.renewing_until.is_(None), slack_workspace.c.renewing_until <= now)
    unused = slack_workspace.c.refresh_id == refresh_id  # or else somebody has renewed it since we looked
    mine = update(slack_workspace).where(slack_workspace.c.team_id == team, unused, free)
    return db.execute(mine.values(renewing_until=until)).rowcount == 1


def working_in(db: Connection, agency_id: UUID, addresses: Sequence[str]) -> set[str]:
    """Those of these Slack addresses whose member of the agency can send."""
    query = (
        select(contact.c.address)
        .join(membership, membership.c.contact_id == contact.c.id)
        .join(member, member.c.id == membership.c.member_id)
        .join(mailbox, mailbox.c.member_id == member.c.id)
        .where(contact.c.channel == "slack", contact.c.address.in_(addresses), member.c.agency_id == agency_id)
        .where(member.c.removed_at.is_(None), mailbox.c.state == "works")
    )
    return {str(one) for one in db.execute(query).scalars()}


def members_of(db: Connection, team: str, agency_id: UUID) -> list[Row]:
    """The contacts of a workspace who belong to its agency, with their members, and since when they are gone."""
    query = (
        select(
            contact.c.address, contact.c.id.label("contact_id"), contact.c.gone_at, member.c.id.label("member_id"),
            member.c.name,
        )
        .join(membership, membership.c.contact_id == contact.c.id)
        .join(member, member.c.id == membership.c.member_id)
        .where(contact.c.channel == "slack", contact.c.address.startswith(f"{team}.", autoescape=True))
        .where(member.c.agency_id == agency_id, member.c.removed_at.is_(None))
        .order_by(member.c.name)
    )  # fmt: skip
    return list(db.execute(query).all())


# --- the way to Slack's consent page and back -------------------------------------------------------------------------


def keep_state(db: Connection, state_hash: str, invitation_hash: str, language: str, expires_at: datetime) -> None:
    """Remember that somebody left for Slack's consent page with this invitation."""
    values = {"hash": state_hash, "invitation_hash": invitation_hash, "language": language, "expires_at": expires_at}
    db.execute(insert(slack_state).values(values))


def use_state(db: Connection, state_hash: str, now: datetime) -> Row | None:
    """Use a state up: of two who come with the same one, one gets it. None: unknown, used or too late."""
    mine = delete(slack_state).where(slack_state.c.hash == state_hash).returning(slack_state)
    row = db.execute(mine).one_or_none()
    return row if row is not None and row.expires_at > now else None


# --- what people have open --------------------------------------------------------------------------------------------

_SCREEN = (
    select(slack_screen)
    .join(conversation, conversation.c.id == slack_screen.c.conversation_id)
    .join(contact, contact.c.id == conversation.c.contact_id)
    .where(contact.c.channel == "slack", contact.c.address == bindparam("address"))
)


def screen(db: Connection, address: str) -> Row | None:
    """What somebody has open."""
    return db.execute(_SCREEN, {"address": address}).one_or_none()


def note_screen(db: Connection, conversation_id: UUID, **values: Any) -> None:
    """What somebody has open from now on."""
    row = upsert(slack_screen).values(conversation_id=conversation_id, **values)
    db.execute(row.on_conflict_do_update(index_elements=[slack_screen.c.conversation_id], set_=values))


def window_closed(db: Connection, address: str, view_id: str = "") -> None:
    """A window is open no more; `view_id`: only if it is still this one."""
    mine = (
        select(conversation.c.id)
        .join(contact, contact.c.id == conversation.c.contact_id)
        .where(contact.c.channel == "slack", contact.c.address == address)
    )
    this = (slack_screen.c.view_id == view_id,) if view_id else ()
    where = (slack_screen.c.conversation_id.in_(mine), *this)
    db.execute(update(slack_screen).where(*where).values(view_id="", view_at=None))


def stale_homes(db: Connection, opened_since: datetime) -> list[UUID]:
    """The conversations whose home was opened since then and does not show the truth any more.

    Not those whose home is being shown, or waits to be: Slack may have asked for patience.
    """
    return list(db.execute(_STALE, {"since": opened_since}).scalars())


_waits = exists().where(
    promise.c.conversation_id == slack_screen.c.conversation_id,
    promise.c.kind == promises.SHOW_HOME,
    in_state(promise, "todo", "doing"),
)
_STALE = (
    select(slack_screen.c.conversation_id)
    .where(slack_screen.c.home_stale, slack_screen.c.home_at >= bindparam("since"), ~_waits)
    .with_for_update(skip_locked=True)
)


def promise_homes(db: Connection, opened_since: datetime, now: datetime) -> int:
    """Promise to show each of these again; how many."""
    ids = stale_homes(db, opened_since)
    for conversation_id in ids:
        promises.add(db, conversation_id, [promises.Wanted("work", promises.SHOW_HOME, now)], now)
    if ids:
        promises.wake(db, {"work"})
    return len(ids)


def doubt_staff(db: Connection, conversation_id: UUID, opened_since: datetime, now: datetime) -> None:
    """Somebody wants something that only staff may see: the hand that shows their home looks anew whether they are.

    Until it has, they are nobody; it is promised here.
    """
    note_screen(db, conversation_id, home_at=now, home_stale=True, home_queue=False)
    promise_homes(db, opened_since, now)


def is_staff(db: Connection, conversation_id: UUID, since: datetime) -> bool:
    """Whether the hand that last showed somebody's home found them to be staff, since they opened it, then or later."""
    mine = (
        slack_screen.c.conversation_id == conversation_id,
        slack_screen.c.home_queue,
        slack_screen.c.home_at >= since,
    )
    return db.execute(select(slack_screen.c.home_at).where(*mine)).one_or_none() is not None


def begin_home(db: Connection, conversation_id: UUID, *, queue: bool = False) -> int:
    """A home is about to be shown, with all that has changed until now; which page of it.

    `queue`: with the open cases, so that what changes one of them makes it stale, too.
    """
    mine = update(slack_screen).where(slack_screen.c.conversation_id == conversation_id)
    values = {"home_stale": False, "home_queue": queue}
    page = db.execute(mine.values(values).returning(slack_screen.c.home_page)).scalar_one_or_none()
    return page or 0
