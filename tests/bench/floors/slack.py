"""The unavoidable of Slack's requests: Bolt as its guide shows it, whose listeners run the statements of ours.

`FLOOR_SAMPLE` names a file with what ours wrote for an `event` and for a `tap`. Below `/empty` the same Bolt has
listeners that do nothing.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from slack_bolt import App
from slack_bolt.adapter.flask import SlackRequestHandler
from slack_bolt.authorization import AuthorizeResult
from sqlalchemy import Engine, create_engine

from bot.store.engine import reading
from bot.store.slack import screen, workspace
from tests.bench.floors.turn import turn

if TYPE_CHECKING:
    from collections.abc import Callable

Body = dict[str, Any]
ANY = re.compile("")


def app() -> Flask:
    """The web application of this environment."""
    engine = create_engine(os.environ["DATABASE_URL"], pool_size=10, max_overflow=10)
    work = Work(engine, json.loads(Path(os.environ["FLOOR_SAMPLE"]).read_text()))
    flask = Flask("floor")
    _route(flask, "/slack/events", _bolt(work.event, work.tap))
    _route(flask, "/empty/slack/events", _bolt(_nothing, _nothing))

    @flask.get("/healthz")
    def healthz() -> str:
        return "ok\n"

    return flask


class Work:
    """The statements of ours, one after the other; nothing else."""

    def __init__(self, engine: Engine, sample: dict[str, dict[str, Any]]) -> None:
        self._engine = engine
        self._sample = sample

    def event(self, body: Body) -> None:
        """Somebody wrote."""
        told = body["event"]
        address = f"{body['team_id']}.{told['user']}"
        self._turn(body["team_id"], self._sample["event"], body["event_id"], address)
        with reading(self._engine) as db:
            screen(db, address)

    def tap(self, body: Body) -> None:
        """Somebody tapped a button."""
        team = body["team"]["id"]
        self._turn(team, self._sample["tap"], body["trigger_id"], f"{team}.{body['user']['id']}")

    def _turn(self, team: str, sample: dict[str, Any], message_id: str, address: str) -> None:
        with reading(self._engine) as db:
            workspace(db, team)
        with self._engine.begin() as db:
            turn(db, sample, message_id, address, "slack")


def _nothing(_body: Body) -> None:
    """What an empty listener does."""


def _bolt(event: Callable[[Body], None], tap: Callable[[Body], None]) -> App:
    bolt = App(
        signing_secret=os.environ["SLACK_SIGNING_SECRET"],
        process_before_response=True,
        authorize=lambda enterprise_id, team_id: AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id),
    )

    @bolt.event("message")
    def _event(body: Body) -> None:
        event(body)

    @bolt.action(ANY)
    def _tap(body: Body, ack: Callable[[], None]) -> None:
        tap(body)
        ack()

    return bolt


def _route(flask: Flask, path: str, bolt: App) -> None:
    handler = SlackRequestHandler(bolt)

    def events() -> Response:
        return handler.handle(request)

    flask.add_url_rule(path, path, events, methods=["POST"])
