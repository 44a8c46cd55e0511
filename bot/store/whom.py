"""Whom the support team means by a number, an e-mail address or a name."""

import re

from sqlalchemy import ColumnElement, and_, cast, func, or_, select

from bot.store.engine import Connection, Row
from bot.store.tables import agency, contact, conversation, mailbox, member, membership

ACCENTED = "ÁÀÂÃÄÅÉÈÊËÍÌÎÏÓÒÔÕÖÚÙÛÜÇÑáàâãäåéèêëíìîïóòôõöúùûüçñ"
PLAIN = "aaaaaaeeeeiiiiooooouuuucnaaaaaaeeeeiiiiooooouuuucn"
LEAST_DIGITS = 4  # of the end of a number
LEAST_LETTERS = 2  # of a part of a name
_FOLD = str.maketrans(ACCENTED, PLAIN)


def look_for(db: Connection, wanted: str, most: int) -> list[Row]:
    """Whom the support team means by a number, the end of one, an e-mail address or a name; nobody who is gone.

    Each with conversation, name, agency, channel, address and second id. Who fits exactly is found alone; else whoever
    fits a little: the end of a number, a part of a name, without regard to accents.
    """
    exact, loose = _meant(wanted.strip())
    for condition in (exact, loose):
        found = [] if condition is None else list(db.execute(_LOOK_FOR.where(condition).limit(most)).all())
        if found:
            return found
    return []


_LOOK_FOR = (
    select(
        contact.c.id, conversation.c.id.label("conversation_id"), contact.c.name, agency.c.name.label("agency"),
        member.c.name.label("member"), contact.c.channel, contact.c.address, contact.c.external_id,
    )
    .join(conversation, conversation.c.contact_id == contact.c.id)
    .join(member, member.c.id == contact.c.member_id, isouter=True)
    .join(agency, agency.c.id == member.c.agency_id, isouter=True)
    .where(contact.c.gone_at.is_(None))
    .order_by(contact.c.name, contact.c.address, contact.c.id)
)  # fmt: skip


def _meant(wanted: str) -> tuple[ColumnElement[bool], ColumnElement[bool] | None]:
    digits = re.sub(r"[\s().+-]", "", wanted)
    known = or_(
        contact.c.address == wanted,
        contact.c.external_id == wanted,
        cast(contact.c.id, contact.c.address.type) == wanted,
    )
    if digits.isascii() and digits.isdecimal():
        own = func.regexp_replace(contact.c.address, r"\D", "", "g")
        by_number = contact.c.channel != "slack"
        ends = and_(by_number, own.endswith(digits)) if len(digits) >= LEAST_DIGITS else None
        return or_(known, and_(by_number, own == digits)), ends
    if "@" in wanted:
        return or_(known, _acts_for(func.lower(mailbox.c.address) == wanted.lower())), None
    folded = wanted.translate(_FOLD).lower()
    named = or_(_folded(contact.c.name) == folded, _acts_for(_folded(member.c.name) == folded))
    user = and_(contact.c.channel == "slack", func.split_part(contact.c.address, ".", 2) == wanted.upper())
    part = _folded(contact.c.name).contains(folded, autoescape=True)
    theirs = _acts_for(_folded(member.c.name).contains(folded, autoescape=True))
    return or_(known, named, user), or_(part, theirs) if len(folded) >= LEAST_LETTERS else None


def _acts_for(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether somebody acts for a member of whom, or of whose mailbox, this is true."""
    theirs = (
        select(membership.c.contact_id)
        .join(member, member.c.id == membership.c.member_id)
        .join(mailbox, mailbox.c.member_id == member.c.id, isouter=True)
        .where(member.c.removed_at.is_(None), condition)
        .correlate(None)
    )
    return contact.c.id.in_(theirs)


def _folded(name: ColumnElement[str]) -> ColumnElement[str]:
    """A name in small letters without accents, whatever the database's locale is."""
    return func.lower(func.translate(name, ACCENTED, PLAIN))
