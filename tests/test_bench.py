"""The bench can be run, and its rows are what they say; no figure is judged here."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.figures import Row, quantile, table, write

ROOT = Path(__file__).parent.parent
FIRST_ROWS = [
    "turn through gunicorn",
    "CPU of a turn",
    "statements of a turn",
    "webhook in to request out, p50",
    "webhook in to request out, p99",
    "third of three messages at once",
]


def row(ours, floor, bound, *, at_least=False):
    return Row("a figure", "ms", ours, floor, bound, at_least=at_least)


@pytest.mark.processes
@pytest.mark.timeout(400)  # it starts seven processes, on a machine that may be busy
def test_the_first_rows_can_be_measured_and_are_written_for_other_programs(tmp_path):
    file = tmp_path / "below" / "bench.json"
    command = [sys.executable, "-m", "tests.bench", "--quick", "--file", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=380)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(file.read_text())
    assert [one["name"] for one in rows] == FIRST_ROWS
    assert all(set(one) == {"name", "ours", "floor", "ratio", "bound", "holds"} for one in rows)
    assert all(one["ours"] > 0 and isinstance(one["holds"], bool) for one in rows)
    assert [one["name"] for one in rows if one["bound"] is None] == ["CPU of a turn"]
    without_floor = [one["name"] for one in rows if one["floor"] is None]
    assert without_floor == [one["name"] for one in rows if one["ratio"] is None] == ["statements of a turn"]
    assert all(name in done.stdout for name in FIRST_ROWS)


def test_a_turn_takes_at_most_ten_statements(tmp_path):
    from tests.bench.site import Site
    from tests.bench.turn import MOST_STATEMENTS, statements

    with Site(people=1) as site:
        counts = statements(site)
    assert len(counts) > 5
    assert max(counts) <= MOST_STATEMENTS == 10


def test_the_floor_of_slacks_rows_runs_the_statements_of_ours():
    from tests.bench import slack
    from tests.bench.site import Site

    with Site(people=1) as site:  # it raises where they differ
        samples = {kind: slack._sample(site, kind, request) for kind, request in slack._requests(site).items()}
    assert set(samples) == {"event", "tap"}
    assert all(set(sample) == {"payload", "in", "out"} for sample in samples.values())


def test_a_crowd_has_its_conversations_lines_and_promises_for_tomorrow_and_nobody_else():
    from sqlalchemy import text

    from bot.store.engine import reading
    from tests.bench import many
    from tests.bench.site import Site

    with Site(people=1) as site:
        crowd = many._crowd(site, "+1556", 250)
        with reading(crowd.side.engine) as db:
            counts = {
                table: db.execute(text(f"select count(*) from {table}")).scalar_one()
                for table in ("conversation", "contact", "mailbox", "message", "message_rest")
            }
            due = db.execute(text("select count(*) from promise where due_at > now() + interval '23 hours'"))
            assert due.scalar_one() == 250
    assert counts == {"conversation": 250, "contact": 250, "mailbox": 250, "message": 5_000, "message_rest": 0}


@pytest.mark.parametrize(
    ("ours", "floor", "bound", "at_least", "holds"),
    [
        ([1.4, 1.5, 9.0], [1.0, 1.0, 1.0], 1.5, False, True),
        ([1.4, 1.6, 9.0], [1.0, 1.0, 1.0], 1.5, False, False),
        ([90, 80, 10], [100, 100, 100], 0.80, True, True),
        ([90, 79, 10], [100, 100, 100], 0.80, True, False),
        ([1, 20, 300], [1, 10, 100], 2.0, False, True),
        ([1, 20, 300], [1, 10, 100], 1.9, False, False),
        ([9.0], [1.0], None, False, True),
        ([10], [], 10, False, True),
        ([11], [], 10, False, False),
    ],
)
def test_the_median_decides_whether_a_row_holds(ours, floor, bound, at_least, holds):
    assert row(ours, floor, bound, at_least=at_least).holds is holds


def test_a_row_shows_median_and_spread(tmp_path):
    line = table([row([3.0, 1.0, 2.0], [1.0, 4.0, 2.0], 1.5)]).splitlines()[1]
    assert "2 ms (1 to 3)" in line
    assert "2 ms (1 to 4)" in line
    assert "1.00" in line
    assert "at most 1.5" in line
    assert line.rstrip().endswith("holds")


def test_what_is_written_has_one_object_for_each_row(tmp_path):
    write([row([2.0], [1.0], 1.5), row([2.0], [], 3)], tmp_path / "bench.json")
    assert json.loads((tmp_path / "bench.json").read_text()) == [
        {"name": "a figure", "ours": 2.0, "floor": 1.0, "ratio": 2.0, "bound": 1.5, "holds": False},
        {"name": "a figure", "ours": 2.0, "floor": None, "ratio": None, "bound": 3, "holds": True},
    ]


def test_a_quantile_is_one_of_the_values():
    assert quantile([5, 1, 4, 2, 3], 0.5) == 3
    assert quantile(range(100), 0.99) == 99
    assert quantile(range(1000), 0.99) == 990
    assert quantile([7], 0.99) == 7


def test_a_connection_on_which_the_server_has_hung_up_is_made_anew():
    from tests.bench.load import Line

    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:
        with Line(f"http://127.0.0.1:{server.getsockname()[1]}") as line:
            rested, _ = server.accept()
            rested.shutdown(socket.SHUT_RDWR)
            assert line._socket.recv(1, socket.MSG_PEEK) == b""  # it has heard of it
            line.send(b"GET / HTTP/1.1\r\n\r\n")
            fresh, _ = server.accept()
            assert fresh.recv(100) == b"GET / HTTP/1.1\r\n\r\n"
            fresh.sendall(answer)
            assert line.status() == 200
        rested.close()
        fresh.close()
