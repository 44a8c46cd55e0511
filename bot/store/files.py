"""Files that people sent and that may go with a mail: what they are; their content lies sealed among the secrets."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, insert, select, update

from bot.store.engine import Connection, Row
from bot.store.tables import file


def add(db: Connection, file_id: UUID, conversation_id: UUID, *, name: str, url: str, at: datetime) -> None:
    """A file that is to be fetched from this address."""
    values = {"id": file_id, "conversation_id": conversation_id, "name": name, "url": url, "state": "coming", "at": at}
    db.execute(insert(file).values(values))


def get(db: Connection, file_id: UUID) -> Row | None:
    """A file; None when it was erased."""
    return db.execute(select(file).where(file.c.id == file_id)).one_or_none()


def some(db: Connection, conversation_id: UUID, file_ids: Sequence[UUID]) -> list[Row]:
    """Those of the files that belong to this conversation."""
    mine = (file.c.id.in_(list(file_ids)), file.c.conversation_id == conversation_id)
    return list(db.execute(select(file).where(*mine)).all())


def arrived(db: Connection, file_id: UUID, *, name: str, content_type: str, size: int, content_id: UUID) -> bool:
    """The file was fetched; its address is forgotten. False: it was erased meanwhile."""
    told = {"name": name, "content_type": content_type, "size": size}
    values = {**told, "content_id": content_id, "state": "here", "url": ""}
    return db.execute(update(file).where(file.c.id == file_id).values(values)).rowcount == 1


def lose(db: Connection, file_id: UUID) -> None:
    """The file could not be fetched."""
    db.execute(update(file).where(file.c.id == file_id).values(state="lost", url=""))


def attach(db: Connection, file_ids: Sequence[UUID], mail_id: UUID) -> None:
    """These files go with this mail, in their order."""
    for place, file_id in enumerate(file_ids):
        db.execute(update(file).where(file.c.id == file_id).values(mail_id=mail_id, place=place))


def of_mail(db: Connection, mail_id: UUID) -> list[Row]:
    """The files of a mail, in their order."""
    return list(db.execute(select(file).where(file.c.mail_id == mail_id).order_by(file.c.place)).all())


def drop(db: Connection, mail_id: UUID) -> list[UUID]:
    """Forget the files of a mail; the ids of their sealed contents, to be erased."""
    gone = db.execute(delete(file).where(file.c.mail_id == mail_id).returning(file.c.content_id)).scalars()
    return [content_id for content_id in gone if content_id is not None]
