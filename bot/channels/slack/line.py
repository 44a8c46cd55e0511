"""The line of Socket Mode: kept open from a thread of its own, whatever Slack does, until it is closed.

https://docs.slack.dev/apis/events-api/using-socket-mode. The library comes again by itself once a connection stood;
what it leaves to us is the first one. An address of Slack's is good for one connection: each try asks for a new one.
"""

import logging
import random
import threading
from collections.abc import Callable

from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk.errors import SlackApiError

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0  # seconds between two tries
CLOSING = 10.0  # seconds for what came through it and is being worked on
_log = logging.getLogger(__name__)


class Line:
    """A connection that opens by itself. `make`: a handler that is not connected yet; called in our thread."""

    def __init__(self, make: Callable[[], SocketModeHandler], pause: float = FIRST_PAUSE) -> None:
        self._make = make
        self._pause = pause
        self._closed = threading.Event()
        self._connected = threading.Event()
        self._thread = threading.Thread(target=self._open, name="slack-line", daemon=True)

    def open(self) -> "Line":
        """Begin to connect; returns at once and raises nothing."""
        self._thread.start()
        return self

    def wait(self, seconds: float) -> bool:
        """Whether the first connection stands, after waiting for it so long."""
        return self._connected.wait(seconds)

    def close(self) -> None:
        """Close the connection, and wait for what came through it and is being worked on, for a bounded time."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(CLOSING)

    def _open(self) -> None:
        handler = self._make()
        try:
            pause = self._pause
            while not self._closed.is_set():
                if _connected(handler):
                    _log.info("Socket Mode: connected to Slack")
                    self._connected.set()
                    break
                self._closed.wait(pause * random.uniform(1.0, 1.25))  # noqa: S311 - no secret
                pause = min(pause * 2, LONGEST_PAUSE)
            self._closed.wait()
        finally:
            handler.close()  # type: ignore[no-untyped-call]  # the library's own


def _connected(handler: SocketModeHandler) -> bool:
    try:
        handler.client.connect_to_new_endpoint()
    except SlackApiError as error:
        why = f"{_code(error)} (SLACK_APP_TOKEN)"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again, and the web application goes on
        why = type(error).__name__
    else:
        why = "" if handler.client.is_connected() else "not in time"
    if why:
        _log.error("Socket Mode: no connection to Slack, it is tried again: %s", why)
    return not why


def _code(error: SlackApiError) -> str:
    """What Slack calls it; its answer may be anything, and belongs in no log."""
    try:
        return str(error.response["error"])[:64]
    except (KeyError, TypeError, ValueError):
        return "no answer"
