"""Rows of Slack: an event and a button through gunicorn, against Bolt whose listener runs the same statements."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from bot.app import create_app
from tests.bench.figures import Row
from tests.bench.floors.slack import Work
from tests.bench.load import drive
from tests.bench.site import joined
from tests.bench.turn import Sample, beside, listening, must_be_the_same, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.app import Parts
    from tests.bench.site import Site

    Request = Callable[[str, str], bytes]  # of the base of a web process, and a user

WARM = 400
LEAST_RATE = 0.85
EMPTY = "/empty"  # where the floor does nothing
NAMES = {"event": "Slack event and its acknowledgement", "tap": "Slack button and its acknowledgement"}
MENU = "home:go:menu"  # a button that leads to the menu, wherever its person is


def rows(site: Site, rounds: int, turns: int) -> list[Row]:
    """Both rows, and beside each what a listener that does nothing comes to; nobody performs promises here."""
    requests = _requests(site)
    sample = {kind: _sample(site, kind, request) for kind, request in requests.items()}
    with beside(site, "tests.bench.floors.slack:app()", sample):
        for request in requests.values():
            _rates(site, request, WARM)
        rates = {kind: [_rates(site, request, turns) for _ in range(rounds)] for kind, request in requests.items()}
    return [row for kind, measured in rates.items() for row in _of(NAMES[kind], measured)]


def _of(name: str, measured: list[tuple[float, float, float]]) -> list[Row]:
    ours, floor, empty = zip(*measured, strict=True)
    return [
        Row(name, "a second", ours, floor, LEAST_RATE, at_least=True),
        Row(f"{name}, beside an empty listener", "a second", ours, empty),
    ]


def _requests(site: Site) -> dict[str, Request]:
    return {
        "event": lambda base, user: site.slack.event(base, user, "menu"),
        "tap": lambda base, user: site.slack.tap(base, user, MENU),
    }


def _rates(site: Site, request: Request, turns: int) -> tuple[float, float, float]:
    """Requests a second of ours, of the floor, and of its empty listener, one right after the other."""
    bases = (site.ours.base, site.floor.base, f"{site.floor.base}{EMPTY}")
    rates = []
    for base in bases:
        asked = [request(base, user) for user in site.in_slack[:turns]]
        rates.append(len(asked) / drive(base, asked))
    site.ours.reset()
    site.floor.reset()
    ours, floor, empty = rates
    return ours, floor, empty


def _sample(site: Site, kind: str, request: Request) -> Sample:
    """What ours writes. That the floor runs the same statements is checked."""
    asked = request(site.ours.base, site.in_slack[0])
    with joined(site.ours) as parts, listening(parts.engine) as ours:
        _take(parts, asked)
    sample = written(site.ours)
    with listening(site.floor.engine) as its:
        getattr(Work(site.floor.engine, {kind: sample}), kind)(_body(asked))
    must_be_the_same(site, ours, its)
    return sample


def _take(parts: Parts, asked: bytes) -> None:
    """Our route takes a request in this process."""
    head, _, body = asked.partition(b"\r\n\r\n")
    headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")[1:]]
    web = create_app(parts)
    try:
        answer = web.test_client().post("/slack/events", data=body, headers=headers)
    finally:
        web.extensions["slack"].close()
    if answer.status_code != 200:
        raise RuntimeError(f"Ours answered {answer.status_code}.")


def _body(asked: bytes) -> dict[str, object]:
    body = asked.partition(b"\r\n\r\n")[2].decode()
    return json.loads(parse_qs(body)["payload"][0] if body.startswith("payload=") else body)
