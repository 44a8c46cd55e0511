"""Files between a person and staff: what they are and how far they have come; their content lies among the secrets."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update

from bot.store import secrets
from bot.store.engine import Connection, Row
from bot.store.tables import case_file, media_token, secret, staff_part


def add(
    db: Connection, file_id: UUID, conversation_id: UUID, number: int, *, name: str, url: str, at: datetime, **more: Any
) -> None:
    """A file that is to be fetched from this address. `more`: message_id or line_id, place, slack_id, state, why."""
    values = {"id": file_id, "conversation_id": conversation_id, "case_number": number, "name": name, "url": url}
    db.execute(insert(case_file).values(**values, at=at, **more))


def get(db: Connection, file_id: UUID) -> Row | None:
    """A file; None when it was erased."""
    return db.execute(select(case_file).where(case_file.c.id == file_id)).one_or_none()


def recent(db: Connection, conversation_id: UUID, since: datetime) -> int:
    """How many files of a person's have been fetched, or are to be, since then."""
    theirs = (case_file.c.conversation_id == conversation_id, case_file.c.message_id.is_not(None))
    kept = (case_file.c.at > since, case_file.c.why != "many")
    return int(db.execute(select(func.count()).select_from(case_file).where(*theirs, *kept)).scalar_one())


def arrived(db: Connection, file_id: UUID, *, name: str, content_type: str, size: int, content_id: UUID) -> bool:
    """The file was fetched; its address is forgotten. False: nobody waits for it any more."""
    told = {"name": name, "content_type": content_type, "size": size, "content_id": content_id}
    mine = (case_file.c.id == file_id, case_file.c.state == "coming")
    return db.execute(update(case_file).where(*mine).values(**told, state="here", url="")).rowcount == 1


def lose(db: Connection, file_id: UUID, why: str) -> None:
    """The file cannot be had, or not be brought to where it was to go: what there is of it is erased."""
    mine = (case_file.c.id == file_id, case_file.c.state.in_(["coming", "here"]))
    if db.execute(update(case_file).where(*mine).values(state="lost", why=why, url="")).rowcount:
        _erase(db, [file_id])


def gone(db: Connection, file_id: UUID) -> None:
    """The file is where it was to go: its content is erased, and no address leads to it any more."""
    mine = (case_file.c.id == file_id, case_file.c.state == "here")
    db.execute(update(case_file).where(*mine).values(state="gone"))
    _erase(db, [file_id])


def drop(db: Connection, line_id: int, keep: Collection[str] = ()) -> None:
    """The files of a line of staff's do not go to the person, but for those with one of these names of Slack's."""
    mine = (case_file.c.line_id == line_id, case_file.c.slack_id.not_in(list(keep)))
    dropped = list(db.execute(select(case_file.c.id).where(*mine)).scalars())
    _erase(db, dropped)
    db.execute(delete(case_file).where(case_file.c.id.in_(dropped)))


def give_up(db: Connection, line_id: int) -> None:
    """A line of staff's does not go on: of its files only those are kept which the provider has been told of."""
    handed = select(staff_part.c.case_file_id).where(
        staff_part.c.line_id == line_id, staff_part.c.fate != "leaving", staff_part.c.case_file_id.is_not(None)
    )
    mine = (case_file.c.line_id == line_id, case_file.c.id.not_in(handed))
    for file_id in list(db.execute(select(case_file.c.id).where(*mine)).scalars()):
        lose(db, file_id, "")


def _erase(db: Connection, file_ids: Sequence[UUID]) -> None:
    db.execute(delete(media_token).where(media_token.c.case_file_id.in_(list(file_ids))))
    contents = select(case_file.c.content_id).where(case_file.c.id.in_(list(file_ids)))
    secrets.erase(db, [one for one in db.execute(contents).scalars() if one is not None])


# --- a person's, into the thread --------------------------------------------------------------------------------------


def with_lines(db: Connection, message_ids: Sequence[int]) -> list[Row]:
    """The files that came with these lines of a transcript, in order."""
    query = select(case_file).where(case_file.c.message_id.in_(list(message_ids)))
    return list(db.execute(query.order_by(case_file.c.message_id, case_file.c.place)).all())


def to_post(db: Connection, number: int, shown_to: int) -> Row | None:
    """The first file that is to follow its line into the thread of a case, which shows the lines up to this one."""
    mine = (case_file.c.case_number == number, case_file.c.message_id <= shown_to, case_file.c.state == "here")
    query = select(case_file).where(*mine).order_by(case_file.c.message_id, case_file.c.place)
    return db.execute(query.limit(1)).one_or_none()


def named(db: Connection, file_id: UUID, slack_id: str) -> None:
    """What Slack will call it, once it stands there."""
    db.execute(update(case_file).where(case_file.c.id == file_id).values(slack_id=slack_id))


# --- staff's, to a person ---------------------------------------------------------------------------------------------


def of_line(db: Connection, line_id: int) -> list[Row]:
    """The files of a line of staff's, in order."""
    return list(
        db.execute(select(case_file).where(case_file.c.line_id == line_id).order_by(case_file.c.place)).all()
    )  # fmt: skip


def add_token(db: Connection, file_id: UUID, hashed: str, until: datetime) -> None:
    """An address that leads to a file until then; those before it do, too: one of them may have been handed over."""
    db.execute(insert(media_token).values(hash=hashed, case_file_id=file_id, until=until))


def by_token(db: Connection, hashed: str, now: datetime) -> Row | None:
    """The file to which an address leads now."""
    query = select(case_file).join(media_token, media_token.c.case_file_id == case_file.c.id)
    good = (media_token.c.hash == hashed, media_token.c.until > now, case_file.c.state == "here")
    return db.execute(query.where(*good)).one_or_none()


def keep_content(db: Connection, file_id: UUID, until: datetime) -> None:
    """When the content of a file is erased at the latest."""
    content = select(case_file.c.content_id).where(case_file.c.id == file_id).scalar_subquery()
    db.execute(update(secret).where(secret.c.id == content).values(expires_at=until))


def add_part(db: Connection, line_id: int, promise_id: int, words: str, file_id: UUID | None) -> None:
    """One message of a line with files."""
    values = {"line_id": line_id, "promise_id": promise_id, "words": words, "case_file_id": file_id}
    db.execute(insert(staff_part).values(values))


def part(db: Connection, promise_id: int) -> Row | None:
    """The message of a line that a promise says; None: the line has no files, or needs no such message."""
    return db.execute(select(staff_part).where(staff_part.c.promise_id == promise_id)).one_or_none()
