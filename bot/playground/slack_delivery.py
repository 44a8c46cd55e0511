"""How Slack brings events, commands and interactions to the bot: signed by HTTP, or through a socket."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict
from urllib.parse import urlencode

import requests

from bot.playground.slack_socket import Sockets
from bot.playground.slack_world import World

ANSWER_WITHIN = 3.0  # seconds: https://docs.slack.dev/apis/events-api#responding
MAX_RETRIES = 3
_EVENTS, _COMMANDS, _INTERACTIVE = "events_api", "slash_commands", "interactive"


class Manner(TypedDict, total=False):
    """How a request is delivered, if not as Slack would.

    `forge`: signed with another secret. `timestamp`: this instead of the time. `times`: so often, with the same names
    in it. `retry`: told to be a repetition, by number or by number and reason.
    """

    forge: bool
    timestamp: str | int
    times: int
    retry: int | tuple[int, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the bot answered, by either way. Status 0 and a `reason`, as Slack words it: it did not answer in time.

    `payload`: what was sent to it.
    """

    status_code: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether Slack takes it for an answer: 2xx."""
        return 200 <= self.status_code < 300  # noqa: PLR2004 - HTTP's numbers

    def json(self) -> Any:
        """Its body. Raises ValueError."""
        return json.loads(self.text)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """An event that Slack will repeat: what it is, how often it was repeated, and why it will be again."""

    payload: dict[str, Any]
    attempt: int
    reason: str


class Courier:
    """Brings things to the bot. Whoever calls holds no lock: the bot calls back."""

    def __init__(self, world: World, sockets: Sockets, events_url: str, signing_secret: str) -> None:
        self._world, self._sockets = world, sockets
        self.events_url, self.signing_secret = events_url, signing_secret
        self.socket = False
        self.unanswered: list[Unanswered] = []

    def event(self, payload: dict[str, Any], manner: Manner) -> Answer:
        """Bring an event. One that is not answered is kept, to be repeated."""
        body, arrivals = json.dumps(payload).encode(), self._sockets.arrivals
        answers = self._send(_EVENTS, payload, "application/json", body, manner)
        if not manner.get("forge") and "timestamp" not in manner:
            self._note(payload, 0, answers[-1])
            self._catch_up(arrivals)
        return answers[-1]

    def command(self, form: dict[str, Any], manner: Manner) -> list[Answer]:
        """Bring a slash command; an answer for each time."""
        return self._send(_COMMANDS, form, "application/x-www-form-urlencoded", urlencode(form).encode(), manner)

    def interaction(self, payload: dict[str, Any], manner: Manner) -> list[Answer]:
        """Bring what somebody did with a button, a menu, a view or a shortcut; an answer for each time."""
        body = urlencode({"payload": json.dumps(payload)}).encode()
        return self._send(_INTERACTIVE, payload, "application/x-www-form-urlencoded", body, manner)

    def redeliver(self) -> list[Answer]:
        """Repeat every event that was not answered, as Slack does, up to three times: the answers."""
        with self._world.changed:
            due, self.unanswered = self.unanswered, []
            arrivals = self._sockets.arrivals
        answers = []
        for one in due:
            retry = (one.attempt + 1, one.reason)
            body = json.dumps(one.payload).encode()
            answers += self._send(_EVENTS, one.payload, "application/json", body, {"retry": retry})
            self._note(one.payload, one.attempt + 1, answers[-1])
        return answers + self._catch_up(arrivals)

    def _catch_up(self, arrivals: int) -> list[Answer]:
        """A client that came while something was still on its way to another found nothing to be repeated."""
        with self._world.changed:
            late = self.socket and self._sockets.arrivals > arrivals and bool(self.unanswered)
        return self.redeliver() if late else []

    def _note(self, payload: dict[str, Any], attempt: int, answer: Answer) -> None:
        if answer.ok or answer.headers.get("x-slack-no-retry") == "1" or attempt >= MAX_RETRIES:
            return
        with self._world.changed:
            self.unanswered.append(Unanswered(payload, attempt, answer.reason or "http_error"))
            self._world.changed.notify_all()

    # --- the two ways ----------------------------------------------------------------------------------------------

    def _send(self, kind: str, payload: dict[str, Any], media: str, body: bytes, manner: Manner) -> list[Answer]:
        times = manner.get("times", 1)
        if self.socket:
            if manner.get("forge") or "timestamp" in manner:
                raise ValueError("Nothing is signed in Socket Mode.")
            return [self._through_socket(kind, payload, manner) for _ in range(times)]
        return [self._post(payload, media, body, manner) for _ in range(times)]

    def _through_socket(self, kind: str, payload: dict[str, Any], manner: Manner) -> Answer:
        attempt, reason = _retry(manner)
        told = {"retry_attempt": attempt, "retry_reason": reason} if kind == _EVENTS else {}
        accepts = kind != _EVENTS
        acked, given = self._sockets.deliver(kind, payload, told, accepts=accepts, within=ANSWER_WITHIN)
        if not acked:
            return Answer(0, payload=payload, reason="timeout")
        return Answer(200, json.dumps(given) if given else "", payload=payload)

    def _post(self, payload: dict[str, Any], media: str, body: bytes, manner: Manner) -> Answer:
        headers = {"Content-Type": media, "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)"}
        headers |= self._signed(body, manner)
        if "retry" in manner:
            attempt, reason = _retry(manner)
            headers |= {"X-Slack-Retry-Num": str(attempt), "X-Slack-Retry-Reason": reason}
        try:
            with requests.Session() as session:
                session.trust_env = False
                given = session.post(
                    self.events_url, data=body, headers=headers, timeout=ANSWER_WITHIN, allow_redirects=False
                )
        except requests.Timeout:
            return Answer(0, payload=payload, reason="http_timeout")
        except requests.RequestException:
            return Answer(0, payload=payload, reason="connection_failed")
        return Answer(given.status_code, given.text, given.headers, payload)

    def _signed(self, body: bytes, manner: Manner) -> dict[str, str]:
        """https://docs.slack.dev/authentication/verifying-requests-from-slack: the time is this machine's."""
        stamp = str(manner.get("timestamp", int(time.time())))
        secret = secrets.token_hex(16) if manner.get("forge") else self.signing_secret
        digest = hmac.digest(secret.encode(), b"v0:%s:%s" % (stamp.encode(), body), hashlib.sha256).hex()
        return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}


def _retry(manner: Manner) -> tuple[int, str]:
    given = manner.get("retry", 0)
    if isinstance(given, tuple):
        return given
    return given, "http_timeout" if given else ""
