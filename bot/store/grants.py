"""What people granted us at their providers, the apps through which they did, and the ways there and back.

A grant has the id of the secret that holds its refresh token and ends with it; `bot.store.secrets` sees to it that one
which its provider takes back is not erased before that was asked for.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from bot.store.engine import Connection, Row
from bot.store.mailboxes import APPS
from bot.store.tables import agency, link, mailbox, member, oauth_app, oauth_grant, secret, sign_in

# --- grants -----------------------------------------------------------------------------------------------------------


def add(db: Connection, secret_id: UUID, **values: Any) -> None:
    """A new grant; its refresh token lies sealed under this id."""
    db.execute(insert(oauth_grant).values(secret_id=secret_id, **values))


def get(db: Connection, secret_id: UUID) -> Row | None:
    """A grant that was not given up; None also where the secret is a password."""
    mine = (oauth_grant.c.secret_id == secret_id, ~oauth_grant.c.leaving)
    return db.execute(select(oauth_grant).where(*mine)).one_or_none()


def locked(db: Connection, secret_id: UUID) -> Row | None:
    """The same, held until the transaction ends."""
    mine = (oauth_grant.c.secret_id == secret_id, ~oauth_grant.c.leaving)
    return db.execute(select(oauth_grant).where(*mine).with_for_update()).one_or_none()


def claim(db: Connection, secret_id: UUID, generation: int, now: datetime, until: datetime) -> bool:
    """Whether we are the one process that renews this grant now: its refresh token may be good once."""
    free = or_(oauth_grant.c.refreshing_until.is_(None), oauth_grant.c.refreshing_until <= now)
    mine = (oauth_grant.c.secret_id == secret_id, oauth_grant.c.generation == generation, ~oauth_grant.c.leaving, free)
    return db.execute(update(oauth_grant).where(*mine).values(refreshing_until=until)).rowcount == 1


def rest(db: Connection, secret_id: UUID, generation: int, until: datetime) -> None:
    """It could not be renewed: nobody tries again before then."""
    mine = (oauth_grant.c.secret_id == secret_id, oauth_grant.c.generation == generation)
    db.execute(update(oauth_grant).where(*mine).values(refreshing_until=until))


def renewed(db: Connection, secret_id: UUID, **values: Any) -> None:
    """Its new access token; from now on it is of another generation."""
    fresh = {**values, "generation": oauth_grant.c.generation + 1, "refreshing_until": None}
    db.execute(update(oauth_grant).where(oauth_grant.c.secret_id == secret_id).values(fresh))


def mailbox_of(db: Connection, secret_id: UUID) -> Row | None:
    """The mailbox that signs in with a secret."""
    return db.execute(select(mailbox).where(mailbox.c.secret_id == secret_id)).one_or_none()


def unused(db: Connection, before: datetime, most: int) -> list[Row]:
    """Mailboxes with grants that nobody renewed for long, the longest first."""
    query = (
        select(mailbox)
        .join(oauth_grant, oauth_grant.c.secret_id == mailbox.c.secret_id)
        .where(oauth_grant.c.refreshed_at < before, ~oauth_grant.c.leaving)
        .order_by(oauth_grant.c.refreshed_at)
        .limit(most)
    )
    return list(db.execute(query).all())


# --- grants that were given up ----------------------------------------------------------------------------------------


def leaving(db: Connection, now: datetime) -> list[Row]:
    """What is to be taken back at its provider now."""
    due = or_(oauth_grant.c.revoke_at.is_(None), oauth_grant.c.revoke_at <= now)
    query = select(oauth_grant).where(oauth_grant.c.leaving, due).order_by(oauth_grant.c.secret_id)
    return list(db.execute(query).all())


def any_leaving(db: Connection, now: datetime) -> bool:
    """Whether there is anything to be taken back now."""
    due = or_(oauth_grant.c.revoke_at.is_(None), oauth_grant.c.revoke_at <= now)
    return bool(db.execute(select(exists().where(oauth_grant.c.leaving, due))).scalar_one())


def granted_again(db: Connection, provider: str, client_id: str, subject: str) -> bool:
    """Whether the same account has granted the same app something that we keep: taking one back ends all of it."""
    same = (oauth_grant.c.provider == provider, oauth_grant.c.client_id == client_id, oauth_grant.c.subject == subject)
    return bool(db.execute(select(exists().where(*same, ~oauth_grant.c.leaving))).scalar_one())


def take_back_later(db: Connection, secret_id: UUID, at: datetime) -> None:
    """It could not be taken back now."""
    mine = update(oauth_grant).where(oauth_grant.c.secret_id == secret_id)
    db.execute(mine.values(tries=oauth_grant.c.tries + 1, revoke_at=at))


def drop(db: Connection, secret_id: UUID) -> None:
    """Erase a grant with its secret at once: it was taken back, or is worth nothing any more."""
    access = select(oauth_grant.c.access_id).where(oauth_grant.c.secret_id == secret_id)
    access_id = db.execute(access).scalar_one_or_none()
    db.execute(delete(secret).where(secret.c.id.in_([secret_id, *([access_id] if access_id else [])])))


# --- the apps of agencies ---------------------------------------------------------------------------------------------


def put_app(db: Connection, agency_id: UUID, provider: str, **values: Any) -> None:
    """An agency's own app at a provider, in place of an earlier one."""
    row = upsert(oauth_app).values(agency_id=agency_id, provider=provider, **values)
    db.execute(row.on_conflict_do_update(index_elements=[oauth_app.c.agency_id, oauth_app.c.provider], set_=values))


def app(db: Connection, agency_id: UUID, provider: str) -> Row | None:
    """An agency's own app at a provider."""
    mine = (oauth_app.c.agency_id == agency_id, oauth_app.c.provider == provider)
    return db.execute(select(oauth_app).where(*mine)).one_or_none()


def app_by_client(db: Connection, provider: str, client_id: str) -> Row | None:
    """The app with this id at a provider; several agencies may share one."""
    same = (oauth_app.c.provider == provider, oauth_app.c.client_id == client_id, oauth_app.c.secret_id.is_not(None))
    return db.execute(select(oauth_app).where(*same).order_by(oauth_app.c.at.desc()).limit(1)).one_or_none()


def any_app(db: Connection) -> bool:
    """Whether any agency has an app of its own."""
    return bool(db.execute(select(exists().where(oauth_app.c.client_id != ""))).scalar_one())


def apps(db: Connection) -> list[Row]:
    """All apps of open agencies, with the agencies' names."""
    query = select(oauth_app, agency.c.name).join(agency, agency.c.id == oauth_app.c.agency_id)
    return list(db.execute(query.where(agency.c.closed_at.is_(None)).order_by(agency.c.name)).all())


def apps_of(db: Connection, agency_id: UUID) -> Mapping[str, list[str]]:
    """An agency's own apps: {provider: [client id, tenant]}."""
    return db.execute(select(APPS).select_from(agency).where(agency.c.id == agency_id)).scalar_one_or_none() or {}


def remove_app(db: Connection, agency_id: UUID, provider: str) -> list[UUID]:
    """An agency has no app of its own at a provider any more; the ids of what was sealed of it."""
    mine = (oauth_app.c.agency_id == agency_id, oauth_app.c.provider == provider)
    gone = db.execute(delete(oauth_app).where(*mine).returning(oauth_app.c.secret_id)).scalars()
    return [one for one in gone if one is not None]


# --- the way to a provider's page and back ----------------------------------------------------------------------------


def keep_state(db: Connection, state_hash: str, link_id: UUID, until: datetime, **values: Any) -> list[UUID]:
    """Somebody leaves for their provider by this link; earlier ways of theirs lead nowhere. What they had sealed."""
    earlier = delete(sign_in).where(sign_in.c.link_id == link_id).returning(sign_in.c.sealed_id)
    gone = [one for one in db.execute(earlier).scalars() if one is not None]
    db.execute(insert(sign_in).values(hash=state_hash, link_id=link_id, expires_at=until, **values))
    mine = (link.c.id == link_id, link.c.closed_at.is_(None), link.c.expires_at < until)
    db.execute(update(link).where(*mine).values(expires_at=until))  # they have the time that the way has
    return gone


def use_state(db: Connection, state_hash: str, provider: str, browser_hash: str, now: datetime) -> Row | None:
    """Use a way up: of two who come with the same one, one gets it.

    None: unknown, used, too late, of another provider, or begun in another browser, for which nothing is used up.
    """
    mine = (sign_in.c.hash == state_hash, sign_in.c.provider == provider, sign_in.c.browser_hash == browser_hash)
    row = db.execute(delete(sign_in).where(*mine).returning(sign_in)).one_or_none()
    return row if row is not None and row.expires_at > now else None


# --- passwords that end -----------------------------------------------------------------------------------------------


def with_passwords(db: Connection) -> Sequence[Row]:
    """The mailboxes that work by a password, with their members' agencies and those agencies' own apps."""
    query = (
        select(mailbox, member.c.agency_id, APPS.label("apps"))
        .join(secret, secret.c.id == mailbox.c.secret_id)
        .join(member, member.c.id == mailbox.c.member_id)
        .join(agency, agency.c.id == member.c.agency_id)
        .where(mailbox.c.state == "works", secret.c.kind == "mailbox.password")
        .where(member.c.removed_at.is_(None), agency.c.closed_at.is_(None))
    )
    return db.execute(query).all()
