"""Slack's Web API, as far as a talk needs it. Nothing is repeated by itself: what Slack may have taken is `Unclear`.

Methods: https://docs.slack.dev/reference/methods; limits: https://docs.slack.dev/apis/web-api/rate-limits.
"""

import http.client
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.channels import Later, Refused, SendError, Unclear

PAGE = 200  # users or members of one page; Slack recommends no more than 200
MAX_PAGES = 100
TIMEOUT = 10  # seconds
OPERATOR_WAIT = 300.0  # seconds: time to install the app again before something is tried again
LONGEST_WAIT = 3600.0
TOO_MANY = 429
SERVER_FAULT = 500
# The token is of no use any more: the app was removed, or its token revoked.
DEAD_TOKEN = frozenset({"account_inactive", "invalid_auth", "not_authed", "token_revoked", "team_access_not_granted"})
EXPIRED = "token_expired"  # it was not renewed in time, but may be now
EXPIRED_WAIT = 15.0  # seconds
# Nobody can be reached there any more.
GONE = frozenset(
    {"user_disabled", "user_not_found", "cannot_dm_bot", "is_archived", "channel_not_found", "messages_tab_disabled"}
)
PASSING = frozenset({"ratelimited", "rate_limited", "service_unavailable", "team_added_to_org", "accesslimited"})
UNCLEAR = frozenset({"fatal_error", "internal_error", "request_timeout"})

_log = logging.getLogger(__name__)


class _StaysHere(HTTPRedirectHandler):
    """A redirect is an answer like any other that is not one of success."""

    def redirect_request(self, *_: Any) -> None:
        return None


@lru_cache(maxsize=4)
def _opener(context: ssl.SSLContext | None) -> OpenerDirector:
    """One for all requests, as urllib's own; without a context it makes one, which costs 45 ms."""
    return build_opener(HTTPSHandler(context=context), _StaysHere)


class Client(WebClient):
    """The library's client, which follows no redirect: it would take our token along to wherever that leads."""

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:  # noqa: ARG002 - its seam
        with _opener(self.ssl).open(req, timeout=self.timeout) as answer:
            charset = answer.headers.get_content_charset() or "utf-8"
            return {"status": answer.code, "headers": answer.headers, "body": answer.read().decode(charset)}


class NoWorkspaceError(Refused):
    """We have no token for this workspace, or Slack takes it no more. `team`: which."""

    def __init__(self, team: str, code: str) -> None:
        super().__init__(code, "we are not installed in that workspace any more")
        self.team = team


class SlackApi:
    """Slack's API with the token of each workspace. Safe to share between threads."""

    def __init__(
        self, token_of: Callable[[str], str], api_url: str = "", timeout: int = TIMEOUT,
        dead: Callable[[str, str, str], bool] = lambda _team, _token, _code: True,
    ) -> None:  # fmt: skip
        """`token_of`: the token of a workspace; raises NoWorkspaceError. `api_url`: another base, ending in `/api`.

        `dead` is told the team and its token that Slack takes no more, and why; False: there is another one by now.
        """
        self._token_of = token_of
        self._dead = dead
        self._how: dict[str, Any] = {"timeout": timeout, "retry_handlers": [], "ssl": None}
        if api_url:
            self._how["base_url"] = f"{api_url}/"
        else:  # one context for all: each own one costs 45 ms, and without it urllib makes one for each request
            self._how["ssl"] = ssl.create_default_context()

    def call(self, team: str, method: str, **arguments: Any) -> dict[str, Any]:
        """One request for a workspace. Raises Refused, Later, Unclear, NoWorkspaceError: free of its content."""
        return _data(self._asked(team, method, arguments))

    def granted(self, team: str) -> tuple[str, str]:
        """The name of a workspace, and the scopes that we have there, with commas. Raises like `call`.

        Each answer names them: https://docs.slack.dev/authentication/installing-with-oauth#sending
        """
        answer = self._asked(team, "auth.test", {})
        headers = {name.lower(): value for name, value in (answer.headers or {}).items()}
        scopes = headers.get("x-oauth-scopes", "")
        return str(_data(answer).get("team", "")), str(scopes[0] if isinstance(scopes, list) else scopes)

    def using(self, token: str, method: str, **arguments: Any) -> dict[str, Any]:
        """One request with a token that was just given to us and is not kept yet. Raises like `call`."""
        return _data(self._call("", token, method, arguments))

    def bare(self, method: str, **arguments: Any) -> dict[str, Any]:
        """One request without a token (`oauth.v2.access`). Raises like `call`."""
        return _data(self._call("", None, method, arguments))

    def pages(self, team: str, method: str, of: str, **arguments: Any) -> Iterator[Any]:
        """What lies under `of` on all pages of an answer. Raises like `call`."""
        cursor = ""
        for _ in range(MAX_PAGES):
            more = {"cursor": cursor} if cursor else {}
            answer = self.call(team, method, limit=PAGE, **arguments, **more)
            yield from answer.get(of) or []
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return

    def _asked(self, team: str, method: str, arguments: dict[str, Any]) -> Any:
        """One request with the token of a workspace, which may turn out to be dead."""
        token = self._token_of(team)
        try:
            return self._call(team, token, method, arguments)
        except NoWorkspaceError as gone:
            if self._dead(team, token, gone.code):
                raise
            raise Later(gone.code, f"{method}: the token was changed meanwhile", 1.0) from None

    def _call(self, team: str, token: str | None, method: str, arguments: dict[str, Any]) -> Any:
        client = Client(token=token, **self._how)
        try:
            return getattr(client, method.replace(".", "_"))(**arguments)
        except SlackApiError as error:
            raise _failure(team, method, error.response) from None
        except (URLError, OSError, http.client.HTTPException) as error:
            raise _broken(error) from None
        except (SlackClientError, ValueError):
            raise Unclear("no-json", "Slack answered with something else than JSON") from None


def _data(answer: Any) -> dict[str, Any]:
    return dict(answer.data) if isinstance(answer.data, dict) else {}


def _failure(team: str, method: str, response: Any) -> SendError:
    """What a refusal of Slack's means for us."""
    code, status = _code(response), int(getattr(response, "status_code", 200))
    if status == TOO_MANY or code in PASSING:
        return Later(code or "ratelimited", f"{method}: too many requests", _wished(response))
    if status >= SERVER_FAULT or code in UNCLEAR:
        return Unclear(code or str(status), f"{method}: Slack broke while it answered")
    if code in DEAD_TOKEN:
        return NoWorkspaceError(team, code)
    if code == EXPIRED:
        return Later(code, f"{method}: the token has to be renewed", EXPIRED_WAIT)
    if code == "missing_scope":
        _log.error(
            "Slack: the app lacks the scope %s for %s; install it again with the manifest", _needed(response), method
        )
        return Later(code, f"{method}: the app lacks a scope", OPERATOR_WAIT)
    return Refused(code or str(status), f"{method} was refused")


def _code(response: Any) -> str:
    try:
        code = str(response.get("error") or "")
    except (AttributeError, TypeError, ValueError):  # a body that is no JSON
        return ""
    return code[:64]


def _needed(response: Any) -> str:
    return str(response.get("needed", "?"))[:100]


def _wished(response: Any) -> float | None:
    headers = getattr(response, "headers", None) or {}
    told = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    told = str(told[0] if isinstance(told, list) and told else told)
    return min(max(float(told), 1.0), LONGEST_WAIT) if told.isascii() and told.isdecimal() else None


def _broken(error: Exception) -> SendError:
    """Only what failed before a connection stood was surely not taken."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, ConnectionRefusedError | socket.gaierror):
        return Later("no-connection", f"Slack cannot be reached: {type(reason).__name__}")
    return Unclear("broken", f"the connection to Slack broke: {type(reason).__name__}")
