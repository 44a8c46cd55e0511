"""Files that a person sends while a case is open: known from the turn on, fetched by promises, at most so many."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from bot.channels import Media
from bot.channels.file_types import made_up_name
from bot.store import case_files, promises
from bot.store.engine import Connection
from bot.store.promises import Wanted
from flows.reading import looks_like_a_leak

MOST, WITHIN = 20, timedelta(minutes=10)  # files of one person: a team reads no album of two hundred pictures
MAX_NAME = 100


def told(media: Sequence[Media]) -> list[str]:
    """What the files are called, in the transcript, too: a name that may be a password is none."""
    return [made_up_name(one.content_type) if looks_like_a_leak(one.name) else one.name[:MAX_NAME] for one in media]


def coming(
    db: Connection, conversation_id: UUID, number: int, message_id: int, media: Sequence[Media], came_in: str,
    now: datetime, *, crowded: bool, also_for_mail: bool,
) -> None:  # fmt: skip
    """The files that came with a line of the transcript are to stand in the thread of a case.

    `came_in`: the provider's id of the message, erased there afterwards; not at once when somebody else fetches from
    it, too. `crowded`: too much is still to be done for this person: they are not fetched.
    """
    room = 0 if crowded else MOST - case_files.recent(db, conversation_id, now - WITHIN)
    wanted = []
    for place, (one, name) in enumerate(zip(media, told(media), strict=True)):
        file_id = uuid4()
        of_line: dict[str, Any] = {"message_id": message_id, "place": place}
        if place >= room:
            of_line |= {"state": "lost", "why": "many"}
        case_files.add(
            db, file_id, conversation_id, number, name=name, url=one.url if place < room else "", at=now, **of_line
        )
        if place < room:
            of = {"file": str(file_id), "message": came_in, "others": also_for_mail or len(media) > 1}
            wanted.append(Wanted("work", promises.FETCH_CASE_FILE, now, of))
    promises.add(db, conversation_id, wanted, now)
    promises.wake(db, {"work"})
