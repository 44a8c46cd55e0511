"""What of Microsoft Graph the product uses, on loopback: `POST /v1.0/me/sendMail` with MIME, as it is documented.

    with GraphServer(oidc) as graph:
        graph.url                                   # what GRAPH_URL is set to
        graph.folder(ANA, "Sent Items")             # the mails, newest last
        graph.fail(429, headers={"Retry-After": "7"}, code="ApplicationThrottled", times=1)

learn.microsoft.com/graph/api/user-sendmail (202, MIME as base64 in text/plain), …/graph/errors (the form of an error),
…/graph/outlook-send-mime-message. A token is looked up where it was made (`tests/oidc.py`): it has to be alive and to
hold Mail.Send, and the mail has to be from its owner's address.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import email
import email.policy
import json
import threading
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Protocol, Self

from tests.oidc import GRAPH_SCOPE

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Mapping
    from email.message import EmailMessage

MAX_REQUEST = 4 * 1024 * 1024
SENT = "Sent Items"
_SLOWEST = 20.0
_PATH = "/v1.0/me/sendMail"


class Introspects(Protocol):
    """Somebody who knows what a token is good for."""

    def introspect(self, token: str) -> dict[str, Any]:
        """active, email, scope ... (RFC 7662)."""


@dataclass(frozen=True)
class Call:
    """One request: method and path, its headers, the size of its body."""

    what: str
    headers: dict[str, str]
    size: int


@dataclass
class _Plan:
    how: int | str
    headers: Mapping[str, str]
    body: bytes
    times: int | None


class GraphServer:
    """Graph with a mailbox for everybody. `calls` holds every request; with a TLS `context` it speaks https."""

    def __init__(self, tokens: Introspects, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.calls: list[Call] = []
        self.tokens = tokens
        self.over = threading.Event()
        self._mail: dict[tuple[str, str], list[EmailMessage]] = defaultdict(list)
        self._plan: _Plan | None = None
        self._server = _Server(self, context)
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if context else 'http'}://{host}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def folder(self, address: str, name: str = "Inbox") -> list[EmailMessage]:
        """The mails in a folder of somebody's mailbox, the newest last: "Inbox" or "Sent Items"."""
        return list(self._mail[address.lower(), name])

    def fail(
        self,
        how: int | str,
        *,
        times: int | None = None,
        headers: Mapping[str, str] | None = None,
        code: str = "",
        message: str = "No.",
        body: bytes = b"",
    ) -> None:
        """From now on, or so many times, answer otherwise.

        `how`: a status (with an error of this `code`, or else `body`), or "hang", "drop" (hangs up before it reads
        the mail), "lose" (does it, then hangs up without the answer), "late" (reads the mail, then hangs up),
        "garbage" (no HTTP).
        """
        raw = json.dumps({"error": {"code": code, "message": message}}).encode() if code else body
        self._plan = _Plan(how, dict(headers or {}), raw, times)

    def heal(self) -> None:
        """Nothing fails any more; what hangs, hangs up."""
        self._plan = None
        self.over.set()
        self.over = threading.Event()

    def plan(self) -> _Plan | None:
        """What is to go wrong with the request that has just come."""
        plan = self._plan
        if plan and plan.times is not None:
            plan.times -= 1
            if plan.times <= 0:
                self._plan = None
        return plan

    def taken(self, bearer: str, kind: str, body: bytes) -> tuple[int, str, str]:
        """Status, code and message of the answer to a mail; 202 once it is delivered and its copy filed."""
        told = self.tokens.introspect(bearer) if bearer else {"active": False}
        if not told.get("active"):
            return 401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid."
        if GRAPH_SCOPE not in str(told.get("scope", "")).split():
            return 403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."
        if kind != "text/plain":
            return 415, "RequestBodyRead", "The MIME type is not supported."
        try:
            raw = base64.b64decode(body, validate=True)
        except binascii.Error:
            return 400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content."
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        if mail["From"] is None:
            return 400, "ErrorMimeContentInvalid", "The MIME content is invalid."
        return self._delivered(str(told["email"]).lower(), mail)

    def _delivered(self, owner: str, mail: EmailMessage) -> tuple[int, str, str]:
        if [one.addr_spec.lower() for one in mail["From"].addresses] != [owner]:
            message = "The user account which was used to submit this request does not have the right to send mail "
            return 403, "ErrorSendAsDenied", message + "on behalf of the specified sending account."
        people = [one.addr_spec.lower() for name in ("To", "Cc", "Bcc") if mail[name] for one in mail[name].addresses]
        if not people:
            return 400, "ErrorInvalidRecipients", "At least one recipient is not valid."
        self._mail[owner, SENT].append(mail)
        seen = email.message_from_bytes(mail.as_bytes(), policy=email.policy.default)
        del seen["Bcc"]
        for person in dict.fromkeys(people):
            self._mail[person, "Inbox"].append(seen)
        return 202, "", ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: GraphServer, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner
        self.context = context

    def finish_request(self, request: socket.socket, client_address: Any) -> None:  # type: ignore[override]
        """In the connection's own thread: the handshake, then the request."""
        with contextlib.suppress(OSError):
            request.settimeout(_SLOWEST)
            if self.context is None:
                _Handler(request, client_address, self)
                return
            with self.context.wrap_socket(request, server_side=True) as secured:
                _Handler(secured, client_address, self)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """With Mail.Send alone nothing may be read."""
        self.close_connection = True
        self.server.owner.calls.append(Call(f"GET {self.path}", dict(self.headers.items()), 0))
        self._error(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")

    def do_POST(self) -> None:
        """A mail."""
        self.close_connection = True
        owner = self.server.owner
        size = int(self.headers.get("Content-Length") or 0)
        owner.calls.append(Call(f"POST {self.path}", dict(self.headers.items()), size))
        plan = owner.plan()
        if plan and plan.how == "drop":
            return
        if plan and plan.how == "hang":
            owner.over.wait(_SLOWEST)
            return
        if size > MAX_REQUEST:
            self._error(413, "", "")
            return
        body = self.rfile.read(size)
        if plan and plan.how == "garbage":
            self.wfile.write(b"what?\r\n\r\n")
        elif plan and isinstance(plan.how, int):
            self._answer(plan.how, plan.headers, plan.body)
        elif self.path != _PATH:
            self._error(404, "ResourceNotFound", "Resource not found for the segment.")
        elif not plan or plan.how == "lose":
            bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
            answer = owner.taken(bearer, self.headers.get("Content-Type", ""), body)
            if not plan:
                self._error(*answer)

    def _error(self, status: int, code: str, message: str) -> None:
        body = json.dumps({"error": {"code": code, "message": message}}).encode() if code else b""
        self._answer(status, {"request-id": "6f2b4f6c-0000-4000-8000-000000000001"}, body)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests are silent."""
