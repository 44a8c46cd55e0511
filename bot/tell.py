"""News for somebody who did not write."""

from datetime import datetime
from uuid import UUID

from bot.calendar import next_day_hour
from bot.store import people, promises
from bot.store.engine import Connection
from flows import saved
from flows.words import News


def tell(db: Connection, conversation_id: UUID, news: News, at: datetime, due: datetime | None = None) -> None:
    """News for another conversation, as a promise: two turns that hold one another's would wait for ever."""
    promises.add(db, conversation_id, [news_for(news, due or at)], at)


def news_for(news: News, due: datetime) -> promises.Wanted:
    """The promise to tell news, as it is made for a conversation."""
    return promises.Wanted("work", promises.TELL, due, {"event": saved.dump(news)})


def tell_admins(db: Connection, agency_id: UUID, news: News, at: datetime, *, besides: UUID | None = None) -> int:
    """News for all admins of an agency but the one in this conversation, by day there; how many admins that are."""
    conversations = [one for one in people.admins(db, agency_id) if one != besides]
    due = next_day_hour(at, people.timezone_of(db, agency_id))
    for conversation_id in conversations:
        tell(db, conversation_id, news, at, due)
    return len(conversations)
