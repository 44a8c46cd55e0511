"""What a turn writes of a mail: that it is to leave, its words sealed, and the files that go with it."""

from uuid import UUID, uuid4

from bot.limits import Act, Exhausted, Limits
from bot.mail.wire.send import message_id, room_for_files
from bot.safe import WAITING, Safe
from bot.scene import Scene
from bot.store import files, mailboxes, promises, secrets
from bot.store.engine import Row
from bot.vault import Secret
from flows.words import (
    Event,
    FilesComing,
    FilesFit,
    FilesGone,
    FilesTooLarge,
    MailQueued,
    MailsExhausted,
    SendMail,
    WeighFiles,
)

MEGABYTE = 1_000_000


def send_mail(scene: Scene, mail: SendMail, safe: Safe, limits: Limits) -> Event:
    """A mail is kept and promised, within its mailbox's bounds; or why it is not. Raises LookupError."""
    db, now, mailbox = scene.db, scene.now, scene.standing.facts.mailbox
    if mailbox is None or scene.standing.mailbox_id is None:
        raise LookupError("a mail without a mailbox")
    if (unready := _unready_files(scene, mail.files)) is not None:
        return unready
    box, agency = str(scene.standing.mailbox_id), str(scene.standing.agency_id)
    acts = [Act("mail", (box,)), Act("agency_mail", (agency,)), Act("recipient", (box,), len(mail.recipients))]
    counted = limits.allow_all(acts, connection=db)
    if isinstance(counted, Exhausted):
        return MailsExhausted(counted.minutes)
    mail_id = uuid4()
    content = _sealed(scene, mail_id, mail, safe)
    values = {
        "conversation_id": scene.held.id,
        "mailbox_id": scene.standing.mailbox_id,
        "mailbox_version": scene.standing.mailbox_version,
        "message_id": message_id(mail_id.hex, mailbox.account.address),
        "date": now,
        "recipients": list(mail.recipients),
        "content_id": content,
        "at": now,
    }
    mailboxes.add_mail(db, mail_id, values)
    _attach(scene, mail, mail_id)
    promises.add(db, scene.held.id, [promises.Wanted("mail", "SendMail", now, {"mail": str(mail_id)})], now)
    return MailQueued(str(mail_id))


def _sealed(scene: Scene, mail_id: UUID, mail: SendMail, safe: Safe) -> UUID:
    words = Secret(f"{mail.subject}\n{mail.text}")
    use = {"mail": str(mail_id)}
    return safe.put(
        scene.db, words, kind="mail.body", owner=scene.held.contact_id, use=use, now=scene.now, keep=WAITING
    )


def _attach(scene: Scene, mail: SendMail, mail_id: UUID) -> None:
    """Its files go with a mail and are kept as long as its words: their own time may be over in a moment."""
    files.attach(scene.db, [UUID(one) for one in mail.files], mail_id)
    for row in files.of_mail(scene.db, mail_id):
        secrets.keep_until(scene.db, row.content_id, scene.now + WAITING)


def weigh_files(scene: Scene, wanted: WeighFiles) -> Event:
    """Whether the files of a mail can go with it; those that are still on their way count as such that can."""
    unready = _unready_files(scene, wanted.files)
    return FilesFit() if unready is None or isinstance(unready, FilesComing) else unready


def _unready_files(scene: Scene, file_ids: tuple[str, ...]) -> Event | None:
    """Why a mail cannot leave with its files yet, or with some of them never."""
    known = {str(row.id): row for row in files.some(scene.db, scene.held.id, [UUID(one) for one in file_ids])}
    gone = [one for one in file_ids if one not in known or _is_gone(known[one])]
    if gone:
        return FilesGone(tuple(gone))
    most = room_for_files(scene.standing.mailbox_size)
    if sum(row.size for row in known.values()) > most:
        return FilesTooLarge(most // MEGABYTE)
    return FilesComing() if any(row.state == "coming" for row in known.values()) else None


def _is_gone(row: Row) -> bool:
    """It never came, was kept for too long, or goes with another mail, with which it is erased."""
    return row.state == "lost" or row.mail_id is not None or (row.state == "here" and row.content_id is None)
