"""The route of Slack's requests: verified before Bolt sees them, bounded, then one turn."""

from functools import partial
from typing import TYPE_CHECKING

import structlog
from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from bot.channels.slack.bolt import bolt_app, genuine, handler, socket
from bot.channels.slack.line import Line
from bot.handiwork import armed
from bot.log import Seldom
from bot.slack_desk import SupportDesk
from bot.slack_edge import SlackEdge

if TYPE_CHECKING:
    from bot.app import Parts
    from bot.channels.slack.bolt import App

MAX_BODY = 1024 * 1024  # bytes: a tap on a home brings the whole home along
_seldom = Seldom(structlog.get_logger(__name__))


def edge(parts: "Parts") -> "tuple[SlackEdge, App]":
    """What answers Slack's requests, over HTTP or a socket. Raises LookupError where Slack is not configured."""
    slack = parts.slack
    if slack is None:
        raise LookupError("Slack is not configured")
    answers = SlackEdge(
        parts.engine,
        parts.turns,
        parts.facts,
        slack.workspaces,
        slack.screens,
        slack.channel,
        parts.clock.now,
        partial(armed, parts.tools),
        _desk(parts),
    )
    return answers, bolt_app(answers, answers.known)


def _desk(parts: "Parts") -> SupportDesk | None:
    desk = parts.tools.desk
    if desk is None:
        return None
    return SupportDesk(parts.engine, desk.casework, desk.tools, desk.opener, desk.team, desk.channel, parts.clock.now)


def slack_line(parts: "Parts") -> Line | None:
    """The line of Socket Mode, not opened yet; None without SLACK_APP_TOKEN."""
    token, api_url = parts.settings.slack_app_token, parts.settings.slack_api_url
    if not token or parts.slack is None:
        return None
    app = edge(parts)[1]
    return Line(lambda: socket(app, token, api_url))


def slack_pages(parts: "Parts") -> Blueprint:
    """The route `/slack/events`: events, interactions and commands. Without a signing secret it does not answer."""
    secret = parts.settings.slack_signing_secret
    answers, app = edge(parts)
    bolt = handler(app)
    blueprint = Blueprint("slack", __name__)
    blueprint.record_once(lambda state: state.app.extensions.update(slack=answers))

    def events() -> Response:
        request.max_content_length = MAX_BODY
        try:
            body = request.get_data()
        except RequestEntityTooLarge:
            return Response("too large\n", 413, mimetype="text/plain")
        stamp = request.headers.get("X-Slack-Request-Timestamp", "")
        if not genuine(body, stamp, request.headers.get("X-Slack-Signature", ""), secret):
            _seldom.warning("a request that is not signed as it has to be was refused", "Slack")
            return Response("forbidden\n", 401, mimetype="text/plain")
        try:
            answer: Response = bolt.handle(request)
        except (ValueError, TypeError, AttributeError, LookupError):  # Bolt reads the body outside its error handler
            return Response("bad request\n", 400, mimetype="text/plain")
        return answer

    blueprint.add_url_rule("/slack/events", "events", events, methods=["POST"])
    return blueprint
