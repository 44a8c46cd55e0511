"""What became of a mail of the door that nobody can tell: looked for, and then the truth is told, once."""

from uuid import UUID

from bot.handiwork import Ended, Outcome, Tools
from bot.proofs import was_sent
from bot.store import mailboxes
from bot.store.engine import Connection, reading
from bot.store.promises import Promise
from flows.words import MailUnknown

UNCLEAR = ("handing", "unknown")
MAX_SHOWN = 3  # recipients


def door_mail(tools: Tools, promise: Promise) -> Outcome:
    """Look for a mail whose server gave no answer, or whose process died before it could note one.

    It is never handed over again: found in its sender's own folders it was sent, else its person is told.
    """
    with reading(tools.engine) as db:
        mail = mailboxes.mail(db, UUID(promise.payload["mail"]))
    if mail is None or mail.state not in UNCLEAR:
        return Ended("dropped")
    found = was_sent(tools, mail)
    state = "accepted" if found else "unknown"

    def note(db: Connection) -> bool:
        return mailboxes.move_mail(db, mail.id, to=state, of=UNCLEAR, reply=mail.reply, at=tools.clock.now())

    told = None if found else MailUnknown(str(mail.id), shown(mail.recipients))
    return Ended("done" if found else "unknown", told, along=note)


def shown(recipients: list[str]) -> str:
    """Whom a mail is for, as a person is told; of many the first."""
    more = "" if len(recipients) <= MAX_SHOWN else f" (+{len(recipients) - MAX_SHOWN})"
    return ", ".join(recipients[:MAX_SHOWN]) + more
