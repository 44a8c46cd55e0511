"""What people have open in Slack, as the channel and the edge need it."""

from datetime import timedelta
from uuid import UUID

from bot.clock import Clock
from bot.store import conversations, slack
from bot.store.engine import Engine, reading

OPEN_FOR = timedelta(hours=1)  # a window or a home that was not touched for so long is not kept up to date


class Screens:
    """See `channels.slack.channel.Screens`. Safe to share between threads."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def dm(self, known: str) -> str:
        """See the protocol."""
        with reading(self._engine) as db:
            row = slack.screen(db, known)
        return str(row.dm) if row is not None else ""

    def noted_dm(self, known: str, channel: str) -> None:
        """See the protocol."""
        with self._engine.begin() as db:
            conversation_id = conversations.id_by_address(db, "slack", known)
            if conversation_id is not None:
                slack.note_screen(db, conversation_id, dm=channel[:32])

    def view(self, known: str) -> str:
        """See the protocol."""
        with reading(self._engine) as db:
            row = slack.screen(db, known)
        fresh = row is not None and row.view_at is not None and row.view_at > self._clock.now() - OPEN_FOR
        return str(row.view_id) if row is not None and fresh else ""

    def view_opened(self, conversation_id: UUID, view_id: str) -> None:
        """A window follows this talk from now on."""
        with self._engine.begin() as db:
            slack.note_screen(db, conversation_id, view_id=view_id[:64], view_at=self._clock.now())

    def view_closed(self, known: str, view_id: str = "") -> None:
        """See the protocol."""
        with self._engine.begin() as db:
            slack.window_closed(db, known, view_id)

    def home_opened(self, conversation_id: UUID, page: int = 0) -> None:
        """A home is on somebody's screen from now on, and has to be shown."""
        with self._engine.begin() as db:
            slack.note_screen(db, conversation_id, home_at=self._clock.now(), home_page=page, home_stale=True)
            slack.promise_homes(db, self._clock.now() - OPEN_FOR, self._clock.now())

    def renew_homes(self) -> int:
        """Promise to show again what does not show the truth any more; how many homes that is."""
        with reading(self._engine) as db:  # mostly none: one statement
            if not slack.stale_homes(db, self._clock.now() - OPEN_FOR):
                return 0
        with self._engine.begin() as db:
            return slack.promise_homes(db, self._clock.now() - OPEN_FOR, self._clock.now())
