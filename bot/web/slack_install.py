"""The pages on which an admin adds us to Slack: the invitation, the way to Slack's consent page, and the way back.

Looking uses nothing up: previews look, too. What leaves for Slack is a POST of our own form; what comes back has to
come to the browser that left, which is known by a cookie that only we can make for that state.
"""

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from bot.facts import language as known_language
from bot.install import STATE_TIME, Installer, Trouble, Why
from bot.limits import source
from bot.way_back import messages_url
from bot.web.forms import Forms
from bot.web.headers import CONTENT_POLICY
from bot.web.language import browser_language
from flows.speech import sentence
from flows.words import Language

if TYPE_CHECKING:
    from bot.app import Parts

PATH = "/slack"
MAX_BODY = 4096  # bytes
MAX_STATE = 100
STATUS: dict[Why, int] = {
    "enter": 200, "invitation": 410, "too_often": 429, "state": 410, "denied": 200, "refused": 502, "down": 503,
    "org": 422, "taken": 409,
}  # fmt: skip


def slack_install(parts: "Parts") -> Blueprint:
    """The routes `/slack/install`, `/slack/oauth_redirect`, `/slack/installed/<way>`; 404 without SLACK_CLIENT_ID."""
    page = _Install(parts)
    blueprint = Blueprint("slack_install", __name__, template_folder="templates")
    blueprint.add_url_rule(f"{PATH}/install", "show", page.show, methods=["GET"])
    blueprint.add_url_rule(f"{PATH}/install", "leave", page.leave, methods=["POST"])
    blueprint.add_url_rule(f"{PATH}/oauth_redirect", "back", page.back, methods=["GET"])
    blueprint.add_url_rule(f"{PATH}/installed/<way>", "done", page.done, methods=["GET"])
    blueprint.before_request(page.off)
    return blueprint


class _Install:
    def __init__(self, parts: "Parts") -> None:
        self._settings = parts.settings
        key = parts.vault.subkey("forms")
        self._forms, self._tickets = Forms(key, "slack install"), Forms(key, "slack install browser")
        # The prefix makes browsers refuse what another host of this domain sets; it needs https, and the whole host.
        self._cookie = "__Host-slack_install" if parts.settings.url.startswith("https://") else "slack_install"
        self._installer: Installer | None = None
        if parts.slack is not None and parts.slack.workspaces.installable:
            uri = f"{parts.settings.url}{PATH}/oauth_redirect"
            self._installer = Installer(parts.engine, parts.clock, parts.limits, parts.slack.workspaces, uri)
            self._slack = urlsplit(parts.slack.workspaces.consent_url(uri, ""))

    def off(self) -> Response | None:
        """Nobody installs anything here."""
        return None if self._installer is not None else self._page("off", browser_language(), 404)

    def show(self) -> Response:
        """The invitation, and what will happen. Changes nothing."""
        code, language = request.args.get("code", ""), browser_language()
        found = self._used().look(code, source(request.remote_addr))
        if isinstance(found, Trouble):
            return self._trouble(found)
        return self._offer(code, found, language)

    def leave(self) -> Answer:
        """To Slack's consent page."""
        request.max_content_length = MAX_BODY
        code, language = request.form.get("code", ""), browser_language()
        if not self._forms.is_ours(code, request.form.get("proof", "")):
            return self._trouble(Trouble("state"))
        begun = self._used().begin(code, source(request.remote_addr), language)
        if isinstance(begun, Trouble):
            return self._trouble(begun)
        url, state = begun
        answer = redirect(url, 303)
        answer.set_cookie(
            self._cookie,
            self._tickets.proof(state),
            max_age=STATE_TIME,
            path="/",
            secure=True,
            httponly=True,
            samesite="Lax",
        )
        return answer

    def back(self) -> Answer:
        """From Slack, with a code or an error."""
        state = request.args.get("state", "")
        if not (0 < len(state) <= MAX_STATE and self._left_from_here(state)):
            return self._trouble(Trouble("state"))
        found = self._used().finish(state, request.args.get("code", ""), request.args.get("error", ""))
        if isinstance(found, Trouble):
            answer: Answer = self._trouble(found)
        else:  # a redirect, so that code and state stand in no address bar, and a reload does no harm
            way = self._forms.way([found.language, found.team, found.app_id, found.workspace])
            answer = redirect(url_for(".done", way=way), 303)
        answer.delete_cookie(self._cookie, path="/", secure=True, httponly=True, samesite="Lax")
        return answer

    def done(self, way: str) -> Response:
        """We are in the workspace."""
        said = self._forms.read(way)
        if said is None:
            return self._trouble(Trouble("state"))
        language, team, app_id, workspace = said
        return self._page("done", language, workspace=workspace, slack_url=messages_url(team, app_id))

    # --- inside ---

    def _used(self) -> Installer:
        if self._installer is None:
            raise LookupError("nobody installs anything here")
        return self._installer

    def _offer(self, code: str, agency: str, language: Language) -> Response:
        proof = self._forms.proof(code)
        answer = self._page("offer", language, code=code, proof=proof, agency=agency)
        # The form's answer leads to Slack, which leads on to the workspace's own host: browsers hold that against us.
        slack = f"{self._slack.scheme}://{self._slack.netloc} {self._slack.scheme}://*.{self._slack.netloc}"
        allowed = slack if self._slack.scheme == "https" else slack.partition(" ")[0]
        policy = CONTENT_POLICY.replace("form-action 'self'", f"form-action 'self' {allowed}")
        answer.headers["Content-Security-Policy"] = policy
        return answer

    def _trouble(self, trouble: Trouble) -> Response:
        language = known_language(trouble.language) if trouble.language else browser_language()
        answer = self._page(trouble.why, language, STATUS[trouble.why], minutes=str(trouble.minutes))
        if trouble.minutes:
            answer.headers["Retry-After"] = str(trouble.minutes * 60)
        return answer

    def _page(self, name: str, language: Language, status: int = 200, **values: str) -> Response:
        known = {"operator": self._settings.operator_name, "contact": self._settings.support_contact, **values}
        text = partial(sentence, language=language, **known)
        template = name if name in {"offer", "done"} else "note"
        html = render_template(f"slack_install/{template}.html", text=text, language=language, name=name, **known)
        return make_response(html, status)

    def _left_from_here(self, state: str) -> bool:
        """Whether it was this browser that left with this state; nothing is used up by any other."""
        return self._tickets.signed(state, request.cookies.get(self._cookie, ""))
