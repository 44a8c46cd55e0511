"""Bolt, over HTTP or Socket Mode: one listener for each kind of request. What each means stands in `Answers`' maker.

A hundred listeners cost three times as much for each event as these. `process_before_response`: a listener is one turn
and then the acknowledgement, so that what failed is answered 500 and Slack repeats it.
"""

import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import structlog
from slack_bolt import App as App  # noqa: PLC0414 - others may name it without the library
from slack_bolt import BoltResponse
from slack_bolt.adapter.flask import SlackRequestHandler
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.signature import SignatureVerifier

from bot.channels.slack.client import Client

ANY = re.compile("")
CONCURRENCY = 8  # requests of one socket that are worked on at once
_log = structlog.get_logger(__name__)

Body = dict[str, Any]


class Answers(Protocol):
    """What is done with each kind of request; each is one turn. What it raises is answered 500."""

    def event(self, body: Body) -> None:
        """Something happened: a message, a home opened, the app removed."""

    def command(self, body: Body) -> str:
        """A slash command; what only its writer reads where it was written, empty for nothing."""

    def action(self, body: Body) -> None:
        """A button or a menu."""

    def submission(self, body: Body) -> Body:
        """A filled-in window; what becomes of it (`response_action`), empty: it closes."""

    def closed(self, body: Body) -> None:
        """A window was closed."""


def bolt_app(answers: Answers, known: Callable[[str], str | None]) -> App:
    """Bolt with our few listeners. `known`: our own user in a workspace in which we are, else None.

    Signatures are checked before Bolt, which would write a whole window into the log when one is wrong. It keeps no
    files, looks nothing up at Slack, and speaks to nobody by itself.
    """
    app = App(
        name="ally",
        authorize=partial(_authorised, known),
        process_before_response=True,
        request_verification_enabled=False,
        token_verification_enabled=False,
        client=Client(retry_handlers=[]),
        logger=_quiet(),
    )
    app.error(_failed)

    @app.event(ANY)
    def _event(body: Body) -> None:
        answers.event(body)

    @app.command(ANY)
    def _command(body: Body, ack: Any) -> None:
        words = answers.command(body)
        ack(words) if words else ack()

    @app.action(ANY)
    def _action(body: Body, ack: Any) -> None:
        answers.action(body)
        ack()

    @app.view_submission(ANY)
    def _submission(body: Body, ack: Any) -> None:
        ack(**answers.submission(body))

    @app.view_closed(ANY)
    def _closed(body: Body, ack: Any) -> None:
        answers.closed(body)
        ack()

    return app


def handler(app: App) -> SlackRequestHandler:
    """Bolt for Flask."""
    return SlackRequestHandler(app)


def socket(app: App, app_token: str, api_url: str = "") -> SocketModeHandler:
    """Bolt for Socket Mode, not connected yet: https://docs.slack.dev/apis/events-api/using-socket-mode."""
    client = Client(retry_handlers=[], base_url=f"{api_url}/") if api_url else Client(retry_handlers=[])
    return SocketModeHandler(app, app_token, web_client=client, logger=_quiet(), concurrency=CONCURRENCY)


def genuine(body: bytes, timestamp: str, signature: str, secret: str) -> bool:
    """Whether Slack signed this within five minutes: https://docs.slack.dev/authentication/verifying-requests-from-slack."""
    if not (secret and signature and timestamp.isascii() and timestamp.isdecimal()):
        return False
    try:
        return SignatureVerifier(secret).is_valid(body=body, timestamp=timestamp, signature=signature)
    except (ValueError, TypeError):  # a body that is no text, thousands of digits, a signature of other letters
        return False


class _NotThereError(Exception):
    """We are not in that workspace."""


def _authorised(known: Callable[[str], str | None], enterprise_id: str | None, team_id: str | None) -> Any:
    """Our own `authorize`: from our table, without a call to Slack. Told None, Bolt would write to people itself."""
    us = known(team_id) if team_id else None
    if us is None:
        raise _NotThereError
    return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_user_id=us or None)


def _failed(error: Exception) -> BoltResponse:
    """Slack repeats an event that is answered 500; its content is in no log."""
    if isinstance(error, _NotThereError):
        _log.warning("a request from a workspace in which we are not")
        return BoltResponse(status=200, body="")
    _log.error("a request of Slack's failed", kind=type(error).__name__, code=getattr(error, "code", ""))
    return BoltResponse(status=500, body="")


def _quiet() -> logging.Logger:
    """Bolt's own lines hold whole requests at INFO and WARNING."""
    logger = logging.getLogger("bot.slack.bolt")
    logger.setLevel(logging.CRITICAL)
    return logger
