"""Questions that were asked, redacted: what the guide lacks, and what it answered wrongly, is read off them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Integer, cast, func, insert, or_, select, update

from bot.store.engine import Connection, Row
from bot.store.tables import question


def note(db: Connection, conversation_id: UUID, *, words: str, topic: str, language: str, at: datetime) -> None:
    """A question and the topic that answered it; empty: none did."""
    values = {"conversation_id": conversation_id, "words": words, "topic": topic, "language": language, "at": at}
    db.execute(insert(question).values(values))


def not_helpful(db: Connection, conversation_id: UUID) -> None:
    """The last question of a conversation was answered in vain."""
    last = select(func.max(question.c.id)).where(question.c.conversation_id == conversation_id).scalar_subquery()
    db.execute(update(question).where(question.c.id == last).values(helpful=False))


def answered_with(db: Connection, conversation_id: UUID, since: datetime | None, most: int) -> list[str]:
    """The topics that answered somebody's questions since then (None: ever), each once, the last ones, oldest first."""
    mine = [question.c.conversation_id == conversation_id, question.c.topic != ""]
    if since is not None:
        mine.append(question.c.at > since)
    last = func.max(question.c.id)
    topics = select(question.c.topic).where(*mine).group_by(question.c.topic).order_by(last.desc()).limit(most)
    return list(db.execute(topics).scalars())[::-1]


def unanswered(db: Connection, most: int) -> list[Row]:
    """What was asked in vain, the most frequent first: words, language, topic (empty: no answer), times, last."""
    words = func.lower(question.c.words).label("words")
    last = func.max(question.c.at).label("last")
    times = cast(func.count(), Integer).label("times")
    query = (
        select(words, question.c.language, question.c.topic, times, last)
        .where(or_(question.c.topic == "", ~question.c.helpful))
        .group_by(words, question.c.language, question.c.topic)
        .order_by(times.desc(), last.desc())
        .limit(most)
    )
    return list(db.execute(query).all())
