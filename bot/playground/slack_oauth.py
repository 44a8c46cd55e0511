"""Installing the app in a workspace: the page with Allow and Cancel, and the exchange of the code for a token."""

import hmac
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from flask import Flask, Response, redirect, render_template_string, request
from werkzeug.datastructures import Authorization
from werkzeug.wrappers import Response as AnyResponse

from bot.playground.slack_world import ALL_SCOPES, CODE_LIVES, TOKEN_LIVES, Code, Refusal, Workspace, World

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{{ title }}</title></head>
<body>
<main>
<h1>{{ title }}</h1>
{% if problem %}<p role="alert">{{ problem }}</p>{% else %}
<form method="post" action="/oauth/v2/authorize">
{% for name, value in kept.items() %}<input type="hidden" name="{{ name }}" value="{{ value }}">{% endfor %}
<p><label>You are <select name="who">
{% for value, name in people.items() %}<option value="{{ value }}">{{ name }}</option>
{% endfor %}</select></label></p>
<p>The app asks for:</p>
<ul>{% for scope in scopes %}<li>{{ scope }}</li>{% endfor %}</ul>
<button name="decision" value="cancel">Cancel</button>
<button name="decision" value="allow">Allow</button>
</form>{% endif %}
</main>
</body>
</html>
"""
_KEPT = ("client_id", "scope", "state", "redirect_uri")


class Install:
    """Who may install the app of one world, and what for."""

    def __init__(self, world: World) -> None:
        self._world = world

    # --- the browser -----------------------------------------------------------------------------------------------

    def add_pages(self, app: Flask) -> None:
        """Serve https://slack.com/oauth/v2/authorize."""
        app.add_url_rule("/oauth/v2/authorize", "authorize", self._page, methods=["GET"])
        app.add_url_rule("/oauth/v2/authorize", "decide", self._decide, methods=["POST"])

    def _page(self) -> Response:
        wish = request.args.to_dict()
        with self._world.changed:
            people = {
                f"{workspace.id} {one.id}": f"{one.real_name or one.name}, {workspace.name}"
                for workspace in self._world.workspaces.values()
                for one in workspace.users.values()
                if not one.is_bot and wish.get("team") in {None, workspace.id}
            }
            problem = self.problem(wish)
        page = render_template_string(
            _PAGE,
            title="Allow Ally to access Slack?",
            problem=problem,
            kept={name: wish[name] for name in _KEPT if name in wish},
            people=people,
            scopes=sorted(_scopes(wish)),
        )
        return Response(page, 400 if problem else 200)

    def _decide(self) -> AnyResponse:
        wish = request.form.to_dict()
        team_id, _, user_id = wish.get("who", "").partition(" ")
        with self._world.changed:
            problem = self.problem(wish) or self._nobody(team_id, user_id)
            if problem:
                return Response(problem, 400, content_type="text/plain")
            return redirect(self.decide(wish, team_id, user_id, allow=wish.get("decision") == "allow"))

    # --- the decision ----------------------------------------------------------------------------------------------

    def authorize(self, url: str, team_id: str, user_id: str, *, allow: bool) -> str:
        """What a browser does at the address: where it is sent to. Raises ValueError where Slack shows an error."""
        parts = urlsplit(url)
        wish = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        with self._world.changed:
            problem = self.problem(wish) or self._nobody(team_id, user_id)
            if not parts.path.endswith("/oauth/v2/authorize"):
                problem = "this is not the address of /oauth/v2/authorize"
            if problem:
                raise ValueError(problem)
            return self.decide(wish, team_id, user_id, allow=allow)

    def problem(self, wish: Mapping[str, str]) -> str:
        """What Slack would say instead of asking."""
        if wish.get("client_id") != self._world.client_id:
            return "Invalid client_id parameter"
        if not _scopes(wish):
            return "Invalid permissions requested: no scope"
        unknown = _scopes(wish) - ALL_SCOPES
        if unknown:
            return f"Invalid permissions requested: {', '.join(sorted(unknown))}"
        uri = urlsplit(wish.get("redirect_uri", ""))
        if uri.scheme not in {"https", "http"} or not uri.netloc:
            return "redirect_uri did not match any configured URIs"
        return ""

    def decide(self, wish: Mapping[str, str], team_id: str, user_id: str, *, allow: bool) -> str:
        """Where the browser is sent to."""
        uri, told = wish["redirect_uri"], {"state": wish["state"]} if "state" in wish else {}
        if allow:
            code = f"{secrets.randbelow(10**10)}.{secrets.token_hex(32)}"
            self._world.codes[code] = Code(team_id, user_id, uri, _scopes(wish), self._world.now())
            told = {"code": code} | told
        else:
            told = {"error": "access_denied"} | told
        return f"{uri}{'&' if urlsplit(uri).query else '?'}{urlencode(told)}"

    def _nobody(self, team_id: str, user_id: str) -> str:
        workspace = self._world.workspaces.get(team_id)
        return "" if workspace and user_id in workspace.users else "there is nobody of this name in this workspace"

    # --- the exchange ----------------------------------------------------------------------------------------------

    def exchange(self, args: Mapping[str, Any], given: Authorization | None) -> dict[str, Any]:
        """https://docs.slack.dev/reference/methods/oauth.v2.access."""
        self.check_client(args, given)
        grant = args.get("grant_type") or "authorization_code"
        if grant == "refresh_token":
            return self._refresh(str(args.get("refresh_token", "")))
        if grant != "authorization_code":
            raise Refusal("invalid_grant_type")
        code = self._world.codes.get(str(args.get("code", "")))
        if code is None or self._world.now() - code.issued > CODE_LIVES:
            raise Refusal("invalid_code")
        if code.used:
            raise Refusal("code_already_used")
        if args.get("redirect_uri", code.redirect_uri) != code.redirect_uri:
            raise Refusal("bad_redirect_uri")
        code.used = True
        workspace = self._world.workspaces[code.team_id]
        refresh_token = self._world.install(workspace, code.scopes)
        return self._granted(workspace, refresh_token) | {"authed_user": {"id": code.user_id}}

    def check_client(self, args: Mapping[str, Any], given: Authorization | None) -> None:
        """Whether it is the app that asks, by HTTP Basic or by the form."""
        name, secret = args.get("client_id"), args.get("client_secret")
        if given is not None and given.type == "basic":
            name, secret = given.username, given.password
        if name != self._world.client_id:
            raise Refusal("invalid_client_id")
        if not hmac.compare_digest(str(secret).encode(), self._world.client_secret.encode()):
            raise Refusal("bad_client_secret")

    def _refresh(self, refresh_token: str) -> dict[str, Any]:
        """https://docs.slack.dev/authentication/using-token-rotation: each is good for one time."""
        team_id = self._world.refresh_tokens.pop(refresh_token, None)
        if team_id is None:
            raise Refusal("invalid_refresh_token")
        workspace = self._world.workspaces[team_id]
        return self._granted(workspace, self._world.install(workspace))

    def _granted(self, workspace: Workspace, refresh_token: str) -> dict[str, Any]:
        granted: dict[str, Any] = {
            "app_id": self._world.app_id,
            "scope": ",".join(sorted(workspace.scopes)),
            "token_type": "bot",
            "access_token": workspace.token,
            "bot_user_id": workspace.bot_user,
            "team": {"id": workspace.id, "name": workspace.name},
            "enterprise": None,
            "is_enterprise_install": False,
        }
        if refresh_token:
            granted |= {"refresh_token": refresh_token, "expires_in": int(TOKEN_LIVES.total_seconds())}
        return granted


def _scopes(wish: Mapping[str, str]) -> frozenset[str]:
    return frozenset(one for one in wish.get("scope", "").replace(" ", ",").split(",") if one)
