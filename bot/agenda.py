"""In which order a lane with more to do than places claims: a promise of each agency, then a second one of each.

Oldest first is right while everything is done at once, and costs one look into an index. When an agency has promised
ten thousand mails, all others would stand behind them. So a lane that is full takes stock once a second, and its places
take what is next from that list; a list is a hint like any wake-up, and what somebody else has claimed is passed over.
"""

import threading
import time
from collections import deque
from datetime import datetime

from bot.store import promises
from bot.store.engine import Connection
from bot.store.promises import Promise

MOST = 1_000  # on a list: more than a lane does until the next one
SHARE = 10  # taking stock of very many takes long: at most every tenth moment goes into it


class Agenda:
    """What one lane of one worker claims next. For several threads."""

    def __init__(self, lane: str) -> None:
        self._lane = lane
        self._next: deque[int] = deque()
        self._not_before = float("-inf")
        self._lock = threading.Lock()

    def take_stock(self, db: Connection, now: datetime) -> None:
        """Make the list anew. For a lane that is full, once a look."""
        began = time.monotonic()
        if began < self._not_before:
            return
        listed = promises.in_turn(db, self._lane, now, MOST)
        with self._lock:
            self._next = deque(listed)
            self._not_before = began + SHARE * (time.monotonic() - began)

    def claim(self, db: Connection, most: int, now: datetime, leased_until: datetime) -> list[Promise]:
        """Claim up to so many promises that are due: those on the list in its order, then the oldest."""
        claimed: list[Promise] = []
        while len(claimed) < most and (ids := self._take(most - len(claimed))):
            claimed += promises.claim(db, self._lane, len(ids), now, leased_until, of=ids)
        if len(claimed) < most:
            claimed += promises.claim(db, self._lane, most - len(claimed), now, leased_until)
        return claimed

    def _take(self, most: int) -> list[int]:
        with self._lock:
            return [self._next.popleft() for _ in range(min(most, len(self._next)))]
