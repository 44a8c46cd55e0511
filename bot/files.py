"""The hand that fetches a person's file from the channel's provider and seals it, for the mail that it may go with."""

import base64
from datetime import timedelta
from uuid import UUID

from bot.channels import Refused, SendError
from bot.handiwork import Again, Ended, Outcome, Tools, backoff, look
from bot.mail.wire.send import MAX_FILE_BYTES, MAX_FILE_NAME, room_for_files
from bot.store import files, mailboxes, promises, secrets
from bot.store.conversations import Held
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise, Wanted
from bot.vault import Secret
from flows.words import FileLost

MAX_TRIES = 6
KEEP = timedelta(days=7)  # as long as a draft may wait
REASONS = {"type": "type", "413": "size"}  # by the code of the refusal; everything else: it is gone


def fetch_file(tools: Tools, promise: Promise) -> Outcome:
    """Fetch one file; what it says about itself is proved by its bytes (see the channel)."""
    held = look(tools, promise)
    with reading(tools.engine) as db:
        row = files.get(db, UUID(promise.payload["file"]))
    if held is None or row is None or row.state != "coming":
        return Ended("dropped")
    try:
        found = tools.channels[held.channel].fetch(row.url, MAX_FILE_BYTES)
    except Refused as refusal:
        return _lost(tools, promise, row, REASONS.get(refusal.code, "gone"), str(refusal))
    except SendError as failure:
        if promise.attempt >= MAX_TRIES:
            return _lost(tools, promise, row, "gone", str(failure))
        return Again(backoff(promise.attempt, longest=60.0), str(failure))

    if len(found.content) > _most(tools, held):
        return _lost(tools, promise, row, "size", "more than the mail server takes")

    def keep(db: Connection) -> bool:
        clear = Secret(base64.b64encode(found.content).decode())
        use, now = {"file": str(row.id)}, tools.clock.now()
        content_id = tools.safe.put(db, clear, kind="mail.file", owner=held.contact_id, use=use, now=now, keep=KEEP)
        name = (found.name or row.name)[:MAX_FILE_NAME]
        kept = files.arrived(
            db,
            row.id,
            name=name,
            content_type=found.content_type,
            size=len(found.content),
            content_id=content_id,
        )
        _erase_there(db, tools, promise)
        if not kept:
            secrets.erase(db, [content_id])  # nobody would ever ask for it
        return kept

    return Ended(along=keep)


def _most(tools: Tools, held: Held) -> int:
    with reading(tools.engine) as db:
        mailbox = mailboxes.of_member(db, held.member_id) if held.member_id else None
    return room_for_files(mailbox.size if mailbox else 0)


def _erase_there(db: Connection, tools: Tools, promise: Promise) -> None:
    """What was fetched, or never will be, need not lie at the channel's provider."""
    now = tools.clock.now()
    if promise.conversation_id and (message := promise.payload["message"]):
        erase = Wanted("work", promises.ERASE_AT_PROVIDER, now + timedelta(minutes=1), {"message": message})
        promises.add(db, promise.conversation_id, [erase], now)


def _lost(tools: Tools, promise: Promise, row: Row, reason: str, words: str) -> Ended:
    def note(db: Connection) -> bool:
        files.lose(db, row.id)
        _erase_there(db, tools, promise)
        return True

    return Ended("failed", FileLost(row.name, reason), words=words, along=note)
