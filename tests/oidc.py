"""An OpenID provider on loopback that is not ours: the npm package `oidc-provider`, in the shape of Google's and
Microsoft's. Every address is an account: who signs in as `ana@agencia.test` is Ana, with any scope she accepts.

    with started_oidc() as oidc:
        client = oidc.register("http://127.0.0.1:8000/oauth/microsoft/callback")
        callback = oidc.sign_in(authorization_url, ANA)        # what a person does, without a browser
        access, refresh = oidc.grant(ANA, [SMTP_SCOPE])        # the whole way, in one line
        oidc.fail("token", 429, headers={"Retry-After": "7"})  # from now on, until `heal()`
        oidc.move_clock(3601)                                  # access tokens are over

A proxy of ours stands in front of it, whose address is the authority: it counts what is asked, and fails on demand.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import secrets
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest
import requests

from tests.node import Program, program

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping, Sequence

SMTP_SCOPE = "https://outlook.office.com/SMTP.Send"
IMAP_SCOPE = "https://outlook.office.com/IMAP.AccessAsUser.All"
GRAPH_SCOPE = "https://graph.microsoft.com/Mail.Send"
GOOGLE_SCOPE = "https://mail.google.com/"
TENANT = "11111111-2222-4333-8444-555555555555"  # as serve.mjs says it in every id_token

ENDPOINTS = {
    "/.well-known/openid-configuration": "discovery",
    "/auth": "authorize",
    "/token": "token",
    "/jwks": "jwks",
    "/token/revocation": "revoke",
    "/token/introspection": "introspect",
}
CALLBACK = "http://127.0.0.1:9/callback"  # nothing listens there
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})
_STEPS = 12  # requests of one sign-in, at most
_SLOWEST = 20.0


@dataclass(frozen=True)
class Registered:
    """An app that people may let in."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True)
class Asked:
    """One request: to which endpoint (a name of ENDPOINTS, else the path), and the fields of its form."""

    endpoint: str
    form: dict[str, str]


@dataclass
class _Plan:
    how: int | str
    headers: Mapping[str, str]
    body: bytes
    times: int | None


class Oidc:
    """The running provider. `client` is an app that is registered already; `asked` holds every request, in order.

    `handed_out` holds every token that left by the token endpoint, behind its name, whatever became of the answer.
    """

    def __init__(self, make: Any = None) -> None:
        self._make = make or (lambda issuer: program("oidc_provider", [issuer]))
        self._server = _Server(self)
        self.authority = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._program: Program = self._make(self.authority)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._plans: dict[str, _Plan] = {}
        self._lock = threading.Lock()
        self.asked: list[Asked] = []
        self.handed_out: list[tuple[str, str]] = []
        self.ahead = 0.0
        self.over = threading.Event()

    def __enter__(self) -> Self:
        self._program.__enter__()
        self._thread.start()
        self.client = self.register(CALLBACK)
        self._resource = ("resource", secrets.token_hex(8))
        self._order("server_client", client_id=self._resource[0], client_secret=self._resource[1])
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
        self._program.__exit__()

    @property
    def backend(self) -> str:
        """Where the provider itself listens; nothing fails there."""
        return self._program.url

    @property
    def introspection_url(self) -> str:
        """Where a mail server asks about a token, with its own name and password in the address."""
        name, password = self._resource
        return f"{self.authority.replace('//', f'//{name}:{password}@')}/token/introspection"

    def register(self, *redirect_uris: str, secret: bool = True) -> Registered:
        """Another app; without a secret it is a public one."""
        made = Registered(f"app-{secrets.token_hex(6)}", secrets.token_hex(16) if secret else "", redirect_uris[0])
        self._order(
            "client",
            client_id=made.client_id,
            client_secret=made.client_secret or None,
            redirect_uris=list(redirect_uris),
        )
        return made

    def settings(self, **values: object) -> None:
        """Change what serve.mjs calls settings: access_seconds, refresh_seconds, issue_refresh, rotate, refuse, ..."""
        self._order("settings", **values)

    def move_clock(self, seconds: float) -> None:
        """The provider's clock runs ahead by this much more: codes and tokens expire; what it signs is dated so."""
        self._order("clock", seconds=seconds)
        self.ahead += seconds

    def fail(
        self,
        endpoint: str,
        how: int | str,
        *,
        times: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | str = b"",
        **error: str,
    ) -> None:
        """Let an endpoint (a name of ENDPOINTS) fail from now on, or so many times.

        `how`: a status, or "hang", "drop" (hangs up), "lose" (does it, then hangs up without the answer), "garbage"
        (200, no JSON), "huge" (200, JSON without an end), "hold" (waits for `heal`, then does it).
        `error="invalid_grant", suberror=...` make a body in JSON.
        """
        raw = json.dumps(error).encode() if error else body.encode() if isinstance(body, str) else body
        self._plans[endpoint] = _Plan(how, dict(headers or {}), raw, times)

    def heal(self) -> None:
        """Nothing fails any more; what hangs, hangs up."""
        self._plans.clear()
        self.over.set()
        self.over = threading.Event()

    def count(self, endpoint: str) -> int:
        """How often an endpoint was asked."""
        return sum(each.endpoint == endpoint for each in self.asked)

    def sign_in(self, url: str, address: str = "", *, accept: bool = True) -> str:
        """Do on the provider's pages what a person does who signs in as `address` (empty: as proposed there).

        The address to which the browser is sent at the end: an app's callback with `code`, or with `error`.
        """
        with requests.Session() as browser:
            browser.trust_env = False
            answer = browser.get(url, allow_redirects=False, timeout=_SLOWEST)
            for _ in range(_STEPS):
                if answer.is_redirect:
                    where = urljoin(answer.url, answer.headers["Location"])
                    if not where.startswith(self.authority):
                        return where
                    answer = browser.get(where, allow_redirects=False, timeout=_SLOWEST)
                    continue
                form = self._filled(answer.text, address, accept=accept)
                answer = browser.post(answer.url, data=form, allow_redirects=False, timeout=_SLOWEST)
        raise RuntimeError(f"the sign-in did not end: {answer.status_code} {answer.text[:300]}")

    def _filled(self, page: str, address: str, *, accept: bool) -> dict[str, str]:
        """What is sent from one of serve.mjs's two pages."""
        if "<h1>Permissions requested</h1>" in page:
            return {"do": "allow" if accept else "deny"}
        if "<h1>Sign in</h1>" not in page:
            raise RuntimeError(f"no page to sign in: {page[:300]}")
        return {"do": "sign_in", "address": address or page.split('name="address" value="', 1)[1].partition('"')[0]}

    def code(
        self, address: str, scopes: Sequence[str] = (), *, client: Registered | None = None, nonce: str = "nonce"
    ) -> tuple[str, str]:
        """A code that waits to be exchanged, and its verifier."""
        client, verifier = client or self.client, secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        wanted = {
            "client_id": client.client_id,
            "response_type": "code",
            "redirect_uri": client.redirect_uri,
            "scope": " ".join(["openid", *scopes]),
            "state": "state",
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        callback = self.sign_in(f"{self.authority}/auth?{urlencode(wanted)}", address)
        return parse_qs(urlsplit(callback).query)["code"][0], verifier

    def grant(self, address: str, scopes: Sequence[str], *, client: Registered | None = None) -> tuple[str, str]:
        """An access token and a refresh token of the person with this address, past anything that fails."""
        client = client or self.client
        code, verifier = self.code(address, scopes, client=client)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": client.redirect_uri,
        }
        answer = self._posted("/token", {**form, **_named(client)})
        return answer["access_token"], answer.get("refresh_token", "")

    def revoke(self, token: str, *, client: Registered | None = None) -> None:
        """Take a token back, as the person (or the app) may do at the provider; a refresh token takes all with it."""
        self._posted("/token/revocation", {"token": token, **_named(client or self.client)})

    def introspect(self, token: str) -> dict[str, Any]:
        """What the provider says of a token: active, email, scope, exp ..."""
        return self._posted("/token/introspection", {"token": token}, auth=self._resource)

    def _posted(self, path: str, form: dict[str, str], auth: tuple[str, str] | None = None) -> Any:
        """Straight at the provider: nothing that a test lets fail is in the way, and it is not counted."""
        host = {"Host": self.authority.removeprefix("http://")}
        answer = requests.post(f"{self.backend}{path}", data=form, auth=auth, headers=host, timeout=_SLOWEST)
        answer.raise_for_status()
        return answer.json() if answer.content else {}

    def _order(self, order: str, **given: object) -> None:
        with self._lock:
            answer = self._program.told(json.dumps({"order": order, **given}))
        if json.loads(answer or "{}") != {"done": order}:
            raise RuntimeError(f"the provider did not do: {order}")

    def plan(self, endpoint: str) -> _Plan | None:
        """What is to go wrong with the request that has just come."""
        plan = self._plans.get(endpoint)
        if plan and plan.times is not None:
            plan.times -= 1
            if plan.times <= 0:
                self._plans.pop(endpoint, None)
        return plan


def _named(client: Registered) -> dict[str, str]:
    return {"client_id": client.client_id, "client_secret": client.client_secret}


@contextlib.contextmanager
def started_oidc() -> Iterator[Oidc]:
    """A running provider; skips the test where it is not installed, fails it in CI (CI=true)."""
    with Oidc() as oidc:
        yield oidc


@pytest.fixture(scope="session")
def session_oidc() -> Iterator[Oidc]:
    """One provider for the whole session: `oidc` hands it out."""
    with started_oidc() as oidc:
        yield oidc


@pytest.fixture
def oidc(session_oidc: Oidc) -> Iterator[Oidc]:
    """The provider as it was at first: nothing fails, no settings, no requests, its clock is right."""
    session_oidc.asked.clear()
    session_oidc.handed_out.clear()
    yield session_oidc
    session_oidc.heal()
    session_oidc.move_clock(-session_oidc.ahead)
    session_oidc.settings(
        access_seconds=3600, refresh_seconds=7_776_000, issue_refresh=True, rotate=True, email_claim=True, refuse=None
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, owner: Oidc) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """A client that went away is its own affair."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        owner = self.server.owner
        self.close_connection = True
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        endpoint = ENDPOINTS.get(path, path)
        form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        owner.asked.append(Asked(endpoint, form))
        plan = owner.plan(endpoint)
        if plan is None:
            self._hand_back(*self._forwarded(body))
        elif plan.how == "hold":
            owner.over.wait(_SLOWEST)
            self._hand_back(*self._forwarded(body))
        elif plan.how == "lose":
            self._forwarded(body)
        elif plan.how == "hang":
            owner.over.wait(_SLOWEST)
        elif plan.how == "huge":
            self._endless()
        elif plan.how != "drop":
            self._planned(plan)

    def _planned(self, plan: _Plan) -> None:
        if plan.how == "garbage":
            self._hand_back(200, [("Content-Type", "text/html")], plan.body or b"<html>not what you expect</html>")
        else:
            kind = "application/json" if plan.body[:1] == b"{" else "text/plain"
            self._hand_back(int(plan.how), [("Content-Type", kind), *plan.headers.items()], plan.body)

    def _endless(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(b'{"access_token": "')
            for _ in range(1000):
                self.wfile.write(b"a" * 65_536)

    def _forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        backend = urlsplit(self.server.owner.backend)
        connection = http.client.HTTPConnection(str(backend.hostname), backend.port, timeout=_SLOWEST)
        with contextlib.closing(connection):
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
            content = answer.read()
            self._note(content)
            return answer.status, kept, content

    def _note(self, content: bytes) -> None:
        """Which tokens left."""
        if ENDPOINTS.get(self.path.partition("?")[0]) == "token":
            told = json.loads(content)
            names = ("access_token", "refresh_token", "id_token")
            self.server.owner.handed_out.extend((name, told[name]) for name in names if name in told)

    def _hand_back(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests are silent."""
