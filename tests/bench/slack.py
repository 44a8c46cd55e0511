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
    from collections.abc import Callable, Iterable

    from bot.app import Parts
    from tests.bench.site import Side, Site

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
        measured = [[_rates(site, request, turns) for request in requests.values()] for _ in range(rounds)]
    by_kind = zip(requests, zip(*measured, strict=True), strict=True)
    return [row for kind, rates in by_kind for row in _of(NAMES[kind], rates)]


def _of(name: str, rates: Iterable[tuple[float, float, float]]) -> list[Row]:
    ours, floor, empty = zip(*rates, strict=True)
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
    ours, floor = (_rate(site, side, side.base, request, turns) for side in (site.ours, site.floor))
    return ours, floor, _rate(site, site.floor, f"{site.floor.base}{EMPTY}", request, turns)


def _rate(site: Site, side: Side, base: str, request: Request, turns: int) -> float:
    side.reset()
    asked = [request(base, user) for user in site.in_slack[:turns]]
    return len(asked) / drive(base, asked)


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
