"""How far somebody in the playground has come: what its tour ticks off."""

from typing import Any

from sqlalchemy import func, select

from bot.store.cases import SAID
from bot.store.engine import Connection
from bot.store.tables import case, contact, conversation, mailbox, promise, staff_line

FAILED = "%: %: %"  # stage, cause, and the mail server's words


def progress(db: Connection, address: str) -> dict[str, Any]:
    """What somebody with this number has done, step by step, and how many of their live tests have failed."""
    theirs = select(contact.c.member_id).where(contact.c.address == address)
    talks = select(conversation.c.id).join(contact, contact.c.id == conversation.c.contact_id)
    talks = talks.where(contact.c.address == address)
    cases = select(case.c.number).where(case.c.conversation_id.in_(talks))
    lines = select(staff_line.c.id).where(staff_line.c.case_number.in_(cases), staff_line.c.state.in_(SAID))
    wanted = {
        "join": theirs.where(contact.c.member_id.is_not(None)),
        "password": select(mailbox.c.id).where(mailbox.c.member_id.in_(theirs), mailbox.c.worked_at.is_not(None)),
        "person": cases,
        "answer": lines,
        "hand_back": cases.where(case.c.end == "handed_back"),
    }
    tests = (promise.c.kind == "TestLogin", promise.c.outcome.like(FAILED), promise.c.conversation_id.in_(talks))
    return {
        "done": {name: db.execute(query.limit(1)).first() is not None for name, query in wanted.items()},
        "refusals": db.execute(select(func.count()).select_from(promise).where(*tests)).scalar_one(),
    }
