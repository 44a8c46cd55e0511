"""The sandbox's mailboxes as the page shows them, and how its mail server behaves."""

from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from bot.playground.mail import FAULTS, INBOX, OUTSIDE, SENT, Sandbox, SandboxMail

SHOWN_MAILS = 20
SHOWN_CHARACTERS = 4000


class MailRoom:
    """The sandbox's mailboxes, and how its mail server behaves."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._fault: str | None = None

    def refuse(self, kind: str | None) -> None:
        """Answer with this fault from now on; None: work again. Raises ValueError for an unknown one."""
        self._sandbox.refuse(kind)
        self._fault = kind

    def shown(self) -> dict[str, Any]:
        """All mailboxes, newest mail first; the last one, without an address, is the rest of the world."""
        mailboxes = [
            {
                "address": "" if address == OUTSIDE else address,
                "password": self._sandbox.passwords.get(address, ""),
                "inbox": _newest(folders[INBOX]),
                "sent": _newest(folders[SENT]),
            }
            for address, folders in self._sandbox.mailboxes().items()
        ]
        return {"mailboxes": mailboxes, "fault": self._fault, "faults": list(FAULTS)}


def _newest(mails: Sequence[SandboxMail]) -> list[dict[str, str]]:
    return [
        {
            "from": mail.sender,
            "to": mail.to,
            "subject": mail.subject,
            "text": mail.text[:SHOWN_CHARACTERS],
            "at": _moment(mail.date),
            "id": mail.message_id,
        }
        for mail in reversed(mails[-SHOWN_MAILS:])
    ]


def _moment(date: str) -> str:
    """A mail's date as ISO 8601; empty where it cannot be read."""
    try:
        return parsedate_to_datetime(date).isoformat()
    except ValueError:
        return ""
