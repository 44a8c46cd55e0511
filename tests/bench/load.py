"""Webhooks as Twilio and Slack send them, over connections that are kept alive."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import select
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode, urlsplit

from bot.channels.whatsapp import sign
from bot.channels.whatsapp.read import callback_url

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 30.0  # seconds for an answer
CONNECTIONS = 8
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Account:
    """The account at Twilio whose webhooks these are."""

    sid: str
    token: str
    sender: str

    def webhook(self, base: str, number: str, text: str) -> bytes:
        """One signed request, in bytes: this number writes this text."""
        form = {
            "MessageSid": f"SM{next(_numbers):032x}",
            "AccountSid": self.sid,
            "From": f"whatsapp:{number}",
            "To": self.sender,
            "WaId": number.removeprefix("+"),
            "ProfileName": "A person",
            "Body": text,
            "NumMedia": "0",
            "NumSegments": "1",
            "MessageType": "text",
            "SmsStatus": "received",
            "ApiVersion": "2010-04-01",
        }
        return self._signed(base, "/whatsapp", form)

    def callback(self, base: str, promise_id: int, sid: str, status: str) -> bytes:
        """One signed request, in bytes: what became of the message that a promise said."""
        form = {"MessageSid": sid, "MessageStatus": status, "AccountSid": self.sid, "ApiVersion": "2010-04-01"}
        return self._signed(base, callback_url("/whatsapp/status", promise_id), form)

    def _signed(self, base: str, path: str, form: dict[str, str]) -> bytes:
        body = urlencode(form).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {urlsplit(base).netloc}\r\nUser-Agent: TwilioProxy/1.1\r\n"
            f"X-Twilio-Signature: {sign(f'{base}{path}', form, self.token)}\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n\r\n"
        )
        return head.encode() + body


@dataclass(frozen=True, slots=True)
class SlackApp:
    """The app in Slack whose events these are."""

    secret: str
    team: str = "T0BENCH"

    def address(self, user: str) -> str:
        """What one of its users is known by."""
        return f"{self.team}.{user}"

    def event(self, base: str, user: str, text: str) -> bytes:
        """One signed request, in bytes: this user writes this text in the direct messages."""
        number = next(_numbers)
        message = {
            "type": "message", "channel_type": "im", "channel": f"D{user}", "user": user, "text": text,
            "ts": f"{number}.000100", "team": self.team, "user_team": self.team,
        }  # fmt: skip
        whole = {
            "type": "event_callback", "event_id": f"Ev{number:010d}", "team_id": self.team, "api_app_id": "A0BENCH",
            "authorizations": [{"team_id": self.team}], "event": message,
        }  # fmt: skip
        return self._signed(base, json.dumps(whole).encode(), "application/json")

    def tap(self, base: str, user: str, value: str) -> bytes:
        """One signed request, in bytes: this user taps the button of this value below a direct message."""
        number = next(_numbers)
        action = {
            "type": "button", "action_id": value, "block_id": "b", "value": value, "action_ts": f"{number}.000200",
            "text": {"type": "plain_text", "text": "Menu"},
        }  # fmt: skip
        whole = {
            "type": "block_actions", "team": {"id": self.team, "domain": "bench"}, "api_app_id": "A0BENCH",
            "user": {"id": user, "username": "a.person", "name": "a.person", "team_id": self.team},
            "trigger_id": f"{number}.bench", "actions": [action], "channel": {"id": f"D{user}"},
            "container": {"type": "message", "message_ts": f"{number}.000100", "channel_id": f"D{user}"},
        }  # fmt: skip
        form = urlencode({"payload": json.dumps(whole)}).encode()
        return self._signed(base, form, "application/x-www-form-urlencoded")

    def _signed(self, base: str, body: bytes, kind: str) -> bytes:
        address, stamp = urlsplit(base), str(int(time.time()))
        signed = hmac.new(self.secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
        head = (
            f"POST {address.path}/slack/events HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: {kind}\r\n"
            f"X-Slack-Request-Timestamp: {stamp}\r\nX-Slack-Signature: v0={signed}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Line:
    """One connection to a web process, kept alive."""

    def __init__(self, base: str) -> None:
        address = urlsplit(base)
        self._address = (address.hostname or "", address.port or 0)
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(self._address, PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, request: bytes) -> None:
        """Send one request; its answer is to be read before the next.

        A server hangs up on a connection that rests for some seconds, as it does while the other side is slow.
        """
        if select.select([self._socket], [], [], 0)[0]:
            self._socket.close()
            self._connect()
        self._socket.sendall(request)

    def status(self) -> int:
        """The status of one answer, which is read to its end. Raises OSError."""
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._more()
        head, _, body = answer.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        while len(body) < length:
            body += self._more()
        return int(head[9:12])

    def _more(self) -> bytes:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("The web process closed the connection.")
        return data

    def ask(self, request: bytes) -> float:
        """Seconds from the request to its answer, which must be a 200."""
        started = time.monotonic()
        self.send(request)
        status = self.status()
        if status != 200:
            raise ConnectionError(f"The web process answered {status}.")
        return time.monotonic() - started


def drive(base: str, requests: Sequence[bytes], connections: int = CONNECTIONS) -> float:
    """Seconds for all requests, each connection sending its share one after another. Raises ConnectionError."""
    shares = [requests[first::connections] for first in range(connections)]
    lines = [Line(base) for _ in shares]
    failed: list[Exception] = []
    threads = [threading.Thread(target=_send, args=(*one, failed)) for one in zip(lines, shares, strict=True)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    if failed:
        raise failed[0]
    return seconds


def _send(line: Line, share: Sequence[bytes], failed: list[Exception]) -> None:
    try:
        with line:
            for request in share:
                line.ask(request)
    except OSError as error:
        failed.append(error)


def paced(base: str, requests: Sequence[bytes], every: float, connections: int = CONNECTIONS) -> list[float]:
    """Seconds to each answer, when a request is due `every` so many seconds whether the others are answered or not.

    A request that had to wait for a free connection has waited: it counts from when it was due.
    """
    begin = time.monotonic() + every
    due = [(begin + every * number, request) for number, request in enumerate(requests)]
    took: list[float] = []
    failed: list[Exception] = []

    def send(share: Sequence[tuple[float, bytes]]) -> None:
        try:
            with Line(base) as line:
                for at, request in share:
                    time.sleep(max(at - time.monotonic(), 0))
                    line.ask(request)
                    took.append(time.monotonic() - at)
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=send, args=(due[first::connections],)) for first in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return took
