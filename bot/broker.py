"""Wake-ups through RabbitMQ (`BROKER_URL`) instead of PostgreSQL's notifications, for which commits stand in a row.

They are hints, as those are: the promise's row is the truth, and a worker looks once a second whatever it hears. So
nothing is stored, acknowledged or tried for long; who loses the broker loses a second. Every worker has a queue of its
own, which goes with it, at one exchange that gives each a copy: whoever has a place free claims.
"""

import secrets
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import pika
import structlog
from pika.exceptions import AMQPError

EXCHANGE = "ally.wake"
HEARTBEAT = 30  # seconds
PATIENCE = 2.0  # seconds for a connection: a broker behind a dead wire must not keep a worker from its looks
RECONNECT = 5.0  # seconds between two tries
STALE = 1_000  # milliseconds after which a wake-up is worth nothing: the worker has looked
UNREACHABLE = (AMQPError, OSError)
_log = structlog.get_logger(__name__)


class _Line:
    """A connection to the broker that is made when it is needed, and anew when it broke."""

    def __init__(self, url: str) -> None:
        self._address = pika.URLParameters(url)
        self._address.heartbeat = HEARTBEAT
        self._address.socket_timeout = PATIENCE
        self._address.stack_timeout = PATIENCE
        self._address.blocked_connection_timeout = PATIENCE
        self._not_before = float("-inf")
        self._connection: Any = None
        self.channel: Any = None

    def open(self) -> bool:
        """Whether there is a connection; a new one is tried every few seconds. Raises UNREACHABLE."""
        if self._connection is not None:
            return True
        if time.monotonic() < self._not_before:
            return False
        self._not_before = time.monotonic() + RECONNECT
        self._connection = pika.BlockingConnection(self._address)
        self.channel = self._connection.channel()
        self.channel.exchange_declare(EXCHANGE, "fanout", durable=False)
        _log.info("the broker answers")
        return True

    def say(self, words: str) -> None:
        """Tell everybody who listens. Raises UNREACHABLE."""
        few = pika.BasicProperties(expiration=str(STALE))
        self.channel.basic_publish(EXCHANGE, "", words.encode(), few)

    def listen(self, hear: Callable[[str], object]) -> None:
        """From now on, while `run` runs. Raises UNREACHABLE."""
        mine = self.channel.queue_declare("", exclusive=True, auto_delete=True).method.queue
        self.channel.queue_bind(mine, EXCHANGE)
        self.channel.basic_consume(
            mine, lambda _channel, _method, _properties, body: hear(body.decode("ascii", "replace")), auto_ack=True
        )

    def run(self, seconds: float) -> None:
        """Take and give what is to be, until something comes or so long. Raises UNREACHABLE."""
        self._connection.process_data_events(time_limit=seconds)

    def broke(self, error: Exception) -> None:
        """Nobody is there."""
        _log.warning("the broker does not answer; workers look once a second", kind=type(error).__name__)
        self.close()

    def close(self) -> None:
        """Hang up."""
        connection, self._connection, self.channel = self._connection, None, None
        with suppress(*UNREACHABLE):
            if connection is not None:
                connection.close()


class Herald:
    """Tells all workers in which lanes to look, from a thread of its own: no turn ever waits for the broker."""

    def __init__(self, url: str) -> None:
        self._line = _Line(url)
        self._news = threading.Condition()
        self._lanes: set[str] = set()
        self._thread: threading.Thread | None = None
        self._closing = False

    def tell(self, lanes: Collection[str]) -> None:
        """Look there. What is told while the last word still leaves is one word."""
        with self._news:
            self._lanes |= {*lanes}
            if self._thread is None:  # not before it is needed: a process may still be forked
                self._thread = threading.Thread(target=self._run, name="herald", daemon=True)
                self._thread.start()
            self._news.notify()

    def close(self) -> None:
        """Tell what is still to be told, and hang up."""
        with self._news:
            self._closing = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join(2 * PATIENCE)

    def _run(self) -> None:
        while not (self._closing and not self._lanes):
            with self._news:
                if not self._lanes and not self._closing:
                    self._news.wait(HEARTBEAT / 3)
                lanes, self._lanes = self._lanes, set()
            self._say(lanes)
        self._line.close()

    def _say(self, lanes: Collection[str]) -> None:
        """Without lanes only that we live. A broker that came back is found by the word after the one that is lost."""
        try:
            if lanes and self._line.open():
                self._line.say(" ".join(sorted(lanes)))
            if self._line.channel is not None:
                self._line.run(0)
        except UNREACHABLE as error:
            self._line.broke(error)


class Ear:
    """Hears what heralds tell; used as `store.wake.Ear` is. For a single thread."""

    def __init__(self, url: str) -> None:
        self._line = _Line(url)
        self._heard: set[str] = set()

    def wait(self, seconds: float) -> frozenset[str]:
        """As `store.wake.Ear.wait`."""
        try:
            if self._line.channel is not None:
                self._line.run(seconds)
            elif self._line.open():
                self._line.listen(lambda words: self._heard.update(words.split()))
            else:
                time.sleep(seconds)
        except UNREACHABLE as error:
            self._line.broke(error)
        heard, self._heard = frozenset(self._heard), set()
        return heard

    def close(self) -> None:
        """Hang up."""
        self._line.close()


def hears_itself(url: str) -> bool:
    """Whether what is told at a broker is heard there, tried as web and worker do it. Raises UNREACHABLE.

    The word names no lane of any worker's, so none of them looks for it.
    """
    line, word, heard = _Line(url), f"doctor-{secrets.token_hex(8)}", set[str]()
    try:
        line.open()
        line.listen(heard.add)
        line.say(word)
        until = time.monotonic() + PATIENCE
        while word not in heard and time.monotonic() < until:
            line.run(until - time.monotonic())
    finally:
        line.close()
    return word in heard
