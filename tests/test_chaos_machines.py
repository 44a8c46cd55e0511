"""The storm on several machines: its parts do what they say, and its audit finds late take-overs."""

import socket
import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

import tests.chaos.__main__ as command
from bot.door_desk import LEASE
from bot.grants import LEASE as LEASE_OF_GRANTS
from bot.handiwork import HOLD
from bot.store.engine import PATIENCE
from bot.worker import GRACE, LOOK
from tests.chaos.audit import TAKE_OVER_SECONDS, audit
from tests.chaos.desk import Line
from tests.chaos.machines import Absence, Claim, Machine, Network, TakeOver, kinds_at, take_overs
from tests.test_chaos import ANA, BRUNO, CLEAN, kept, shown

WAIT = 10.0
DEAD, ALIVE = 11, 22  # processes
GONE = [Absence("machine-1", 100.0, frozenset({DEAD}))]


# --- who took over ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "results", "seconds"),
    [
        pytest.param([Claim(DEAD, 1, 1, 99), Claim(ALIVE, 1, 2, 107)], [], [7], id="taken over"),
        pytest.param([Claim(DEAD, 1, 1, 99), Claim(DEAD, 1, 2, 107)], [], [7], id="by the same, who came back"),
        pytest.param([Claim(DEAD, 1, 3, 99), Claim(ALIVE, 1, 4, 163)], [], [63], id="late"),
        pytest.param([Claim(DEAD, 1, 1, 99), Claim(ALIVE, 1, 2, 107)], [Claim(DEAD, 1, 1, 99.5)], [], id="put off"),
        pytest.param(
            [Claim(DEAD, 1, 1, 99), Claim(ALIVE, 1, 2, 107)], [Claim(DEAD, 1, 1, 120)], [7], id="its result came late"
        ),
        pytest.param([Claim(DEAD, 1, 1, 99)], [Claim(DEAD, 1, 1, 120)], [], id="nobody else was needed"),
        pytest.param([Claim(DEAD, 1, 1, 101), Claim(ALIVE, 1, 2, 107)], [], [], id="claimed only afterwards"),
        pytest.param([Claim(ALIVE, 1, 1, 99), Claim(DEAD, 1, 2, 99.5)], [], [], id="held by another"),
    ],
)
def test_a_take_over_is_counted_from_the_moment_at_which_the_machine_went(claims, results, seconds):
    assert [one.seconds for one in take_overs(GONE, claims, results)] == seconds


def test_a_line_of_a_journal_is_read_as_it_is_written():
    assert Claim.read("11 7 2 1764236000.25") == Claim(11, 7, 2, 1764236000.25)


@pytest.mark.parametrize(("seconds", "late"), [(TAKE_OVER_SECONDS, 0), (TAKE_OVER_SECONDS + 0.1, 1)])
def test_the_audit_finds_what_was_taken_over_too_late(seconds, late):
    report = audit(replace(CLEAN, taken_over=[TakeOver("machine-1", 3, seconds), TakeOver("machine-2", 4, 2.0)]))
    assert (len(report.late), report.longest_take_over, report.clean) == (late, seconds, not late)


def test_what_a_machine_held_is_done_again_within_a_minute_in_earnest_too():
    """The storm's holds are shorter than the product's: their sums have to fit as well."""
    minute = timedelta(seconds=TAKE_OVER_SECONDS)
    looks = timedelta(seconds=2 * LOOK + GRACE)
    assert HOLD + looks < minute
    assert LEASE + looks < minute  # mails that the door was handing over
    assert LEASE_OF_GRANTS <= HOLD
    assert "idle_in_transaction_session_timeout=20s" in PATIENCE  # what it locked is free before


# --- the desk ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "lost", "doubled"),
    [
        pytest.param(Line(ANA, "m1 of ana.", taken=True, times=1), 0, 0, id="read"),
        pytest.param(Line(ANA, "m1 of ana.", taken=True, times=0), 1, 0, id="taken and never read"),
        pytest.param(Line(ANA, "m1 of ana.", taken=True, times=2), 0, 1, id="read twice"),
        pytest.param(Line(ANA, "s1 to ana.", taken=False, times=0), 0, 0, id="given up by Slack"),
        pytest.param(Line(ANA, "s1 to ana.", taken=False, times=1), 0, 0, id="given up, and there"),
        pytest.param(Line(ANA, "s1 to ana.", taken=False, times=2), 0, 1, id="given up, and there twice"),
    ],
)
def test_the_audit_counts_each_line_of_the_desk(line, lost, doubled):
    report = audit(replace(CLEAN, desk=[line]))
    assert (len(report.lost), len(report.doubled)) == (lost, doubled), report


@pytest.mark.parametrize(("number", "lost"), [(ANA, 0), (BRUNO, 1)])
def test_what_the_bot_still_wanted_to_say_may_be_dropped_only_where_a_person_came(number, lost):
    dropped = replace(kept(5, state="dropped", provider_id=None), number=number)
    evidence = replace(CLEAN, promises=[*CLEAN.promises, dropped], desk=[Line(ANA, "m1 of ana.", taken=True, times=1)])
    assert len(audit(evidence).lost) == lost


def test_what_the_team_said_is_looked_at_as_what_the_bot_says():
    line = kept(5, kind="say_line")
    unseen = replace(CLEAN, promises=[*CLEAN.promises, line])
    assert len(audit(unseen).lost) == 1
    assert len(audit(replace(unseen, shown=[*CLEAN.shown, shown(5), shown(5)])).doubled) == 1


# --- where what runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("machines", [2, 3, 4, 6])
def test_whichever_machine_vanishes_each_kind_runs_elsewhere(machines):
    for gone in range(machines):
        left = {kind for number in range(machines) if number != gone for kind in kinds_at(number, machines)}
        assert left == {"web", "worker", "door"}


def test_on_three_machines_or_more_none_has_everything():
    assert all(len(kinds_at(number, 3)) == 2 for number in range(3))


# --- wires ------------------------------------------------------------------------------------------------------------


@contextmanager
def echo():
    """A server that says each thing back; `ended` is set when a connection has ended."""
    ended, noted = threading.Event(), []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def answer(line):
            with line:
                while heard := line.recv(100):
                    noted.append(heard)
                    line.sendall(heard)
            ended.set()

        def serve():
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(line,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield SimpleNamespace(place=listener.getsockname(), ended=ended, heard=noted)
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def wired():
    """A cable with one wire to a server that echoes, and a connection through it that has been used."""
    with echo() as server, Network() as network:
        cable = network.cable()
        port = cable.lay(server.place)
        with closing(socket.create_connection(("127.0.0.1", port), WAIT)) as line:
            assert asked(line, b"one") == b"one"
            yield SimpleNamespace(cable=cable, line=line, port=port, ended=server.ended, heard=server.heard)


def asked(line, words):
    line.sendall(words)
    return line.recv(100)


def is_silent(line):
    line.settimeout(0.2)
    try:
        return line.recv(100) is None
    except TimeoutError:
        return True
    finally:
        line.settimeout(WAIT)


def test_what_was_said_over_a_dead_wire_arrives_when_it_is_mended(wired):
    wired.cable.hush()
    wired.line.sendall(b"two")
    assert is_silent(wired.line)
    wired.cable.mend(forget=False)
    assert wired.line.recv(100) == b"two"


def test_a_mended_wire_may_have_forgotten_its_connections(wired):
    wired.cable.hush()
    wired.line.sendall(b"two")
    wired.cable.mend(forget=True)
    assert is_broken(wired.line)
    assert not is_broken(socket.create_connection(("127.0.0.1", wired.port), WAIT), b"three")


def test_nobody_hears_of_the_end_of_a_machine_that_lost_its_power(wired):
    wired.cable.hush()
    wired.line.close()
    assert not wired.ended.wait(0.2)
    wired.cable.mend(forget=True)
    assert wired.ended.wait(WAIT)


def test_what_was_said_over_a_dead_wire_by_somebody_who_hung_up_is_lost(wired):
    wired.cable.hush()
    wired.line.sendall(b"two")
    assert not wired.ended.wait(0.1)  # head and body of a request come one after the other
    wired.line.sendall(b"three")
    wired.line.close()
    assert not wired.ended.wait(0.2)
    wired.cable.mend(forget=False)
    assert wired.ended.wait(WAIT)
    assert wired.heard == [b"one"]


@pytest.mark.parametrize("forget", [False, True])
def test_who_came_and_went_while_nothing_passed_was_never_there(wired, forget):
    wired.cable.hush()
    with closing(socket.create_connection(("127.0.0.1", wired.port), WAIT)) as late:
        late.sendall(b"two")
        assert is_silent(late)
    wired.cable.mend(forget=forget)
    with closing(socket.create_connection(("127.0.0.1", wired.port), WAIT)) as line:
        assert asked(line, b"three") == b"three"
    assert wired.heard == [b"one", b"three"]


def test_who_came_while_nothing_passed_and_waits_is_heard_when_it_does(wired):
    wired.cable.hush()
    with closing(socket.create_connection(("127.0.0.1", wired.port), WAIT)) as late:
        late.sendall(b"two")
        assert is_silent(late)
        wired.cable.mend(forget=False)
        assert late.recv(100) == b"two"


def test_a_severed_wire_breaks_and_takes_no_new_connection(wired):
    wired.cable.sever()
    assert is_broken(wired.line)
    assert is_broken(socket.create_connection(("127.0.0.1", wired.port), WAIT), b"three")


def is_broken(line, words=b""):
    """Whether a connection ends, at the latest when something is said."""
    with closing(line):
        try:
            line.sendall(words)
            return line.recv(100) == b""
        except OSError:
            return True


# --- machines ---------------------------------------------------------------------------------------------------------


class Recorded:
    """A cable, or a process, that notes what is done to it."""

    def __init__(self):
        self.done = []
        self.process = SimpleNamespace(pid=DEAD)

    def __getattr__(self, name):
        return lambda **how: self.done.append((name, *how.values()))


def machine():
    cable, child = Recorded(), Recorded()
    return Machine(1, cable, children=[child]), cable, child


def test_a_machine_that_vanishes_is_silent_before_its_processes_die():
    gone, cable, child = machine()
    child.kill = lambda: child.done.append([*cable.done])
    gone.vanish()
    assert child.done == [[("hush",)]]
    assert (gone.is_away, gone.is_there, [one.processes for one in gone.absences]) == (True, False, [{DEAD}])
    gone.come_back(forget=False)
    assert cable.done[-1] == ("mend", True)  # nothing of it is left that could go on
    assert gone.is_there


@pytest.mark.parametrize(("silently", "how"), [(True, "hush"), (False, "sever")])
def test_the_processes_of_a_machine_that_is_cut_off_live_on(silently, how):
    cut, cable, child = machine()
    cut.drift_away(silently=silently)
    cut.come_back(forget=False)
    cut.come_back(forget=False)
    assert cable.done == [(how,), ("mend", False)]
    assert child.done == []
    assert not cut.is_away


# --- the storm --------------------------------------------------------------------------------------------------------


def test_without_rabbitmq_the_storm_says_in_one_sentence_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "SERVER", tmp_path / "nothing")
    assert command.main(["--broker"]) == 2
    assert capsys.readouterr().err == "--broker needs RabbitMQ, which is not installed: run `make world`.\n"
