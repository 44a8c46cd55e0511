"""The door's parts by themselves: whose turn it is, kept connections, replies."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot import doctor_door
from bot.door.turnstile import Full, Line, Turnstile
from bot.door.words import Reply
from bot.door_command import create_door
from bot.mail.wire.relay import MAX_AGE, MAX_IDLE, MAX_KEPT, MAX_MESSAGES, MAX_RECIPIENTS, Lines, Way, _Kept, relay
from bot.mail.wire.send import BadMessage, check_recipients
from bot.settings import SettingsError
from tests.doorway import OpenDoor
from tests.faulty_smtp import FaultySMTP, client_context, loopback_network, server_context

# --- whose turn it is -------------------------------------------------------------------------------------------------


class Scene:
    """A turnstile, and who went through it in which order."""

    def __init__(self, **bounds):
        self.time = 0.0
        self.turnstile = Turnstile(lambda: self.time, **bounds)
        self.inside = []
        self.tasks = []

    def come(self, mailbox, host="a", parallel=1, a_minute=0, patience=5.0):
        task = asyncio.create_task(self._through(Line(mailbox, host, parallel, a_minute), patience))
        self.tasks.append(task)
        return task

    async def _through(self, line, patience):
        async with self.turnstile.place(line, patience):
            self.inside.append(line.mailbox)
            self.leave = asyncio.Event()
            await asyncio.Event().wait()

    async def settle(self):
        for _ in range(10):
            await asyncio.sleep(0)

    async def end(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert (self.turnstile.inside, self.turnstile.waiting) == (0, 0)


def played(scene):
    """Run a scene, which is a coroutine function of a Scene."""

    def run():
        async def main():
            await asyncio.wait_for(scene(), 20)

        asyncio.run(main())

    return run


def test_a_mailbox_with_many_mails_delays_another_by_one():
    async def scene():
        of = Scene(places=1)
        first = of.come("busy")
        await of.settle()
        others = [of.come("busy") for _ in range(5)]
        of.come("quiet")
        await of.settle()
        assert of.inside == ["busy"]
        first.cancel()
        await of.settle()
        others[0].cancel()
        await of.settle()
        assert of.inside == ["busy", "busy", "quiet"]
        await of.end()

    played(scene)()


def test_a_server_that_hangs_holds_only_its_own_places():
    async def scene():
        of = Scene(places=10, per_host=4)
        for number in range(9):
            of.come(f"m{number}", host="hangs")
        of.come("other", host="quick")
        await of.settle()
        assert (of.inside.count("other"), of.turnstile.inside, of.turnstile.waiting) == (1, 5, 5)
        await of.end()

    played(scene)()


def test_a_mailbox_has_as_many_at_once_as_its_server_takes():
    async def scene():
        of = Scene()
        for _ in range(5):
            of.come("m", parallel=3)
        await of.settle()
        assert (of.turnstile.inside, of.turnstile.waiting) == (3, 2)
        await of.end()

    played(scene)()


def test_a_mailbox_sends_no_more_in_a_minute_than_its_server_takes():
    async def scene():
        of = Scene()
        tasks = [of.come("m", parallel=9, a_minute=3) for _ in range(4)]
        await of.settle()
        assert of.turnstile.inside == 3
        of.time = 61.0
        tasks[0].cancel()
        await of.settle()
        assert of.inside == ["m"] * 4
        await of.end()

    played(scene)()


def test_who_waits_too_long_is_told_and_forgotten():
    async def scene():
        of = Scene(places=1)
        of.come("m")
        await of.settle()
        with pytest.raises(Full):
            await of.come("m", patience=0.01)
        assert of.turnstile.waiting == 0
        await of.end()

    played(scene)()


def test_a_mailbox_may_not_fill_the_house_with_those_who_wait():
    async def scene():
        of = Scene(places=1)
        tasks = [of.come("m") for _ in range(60)]
        await of.settle()
        assert of.turnstile.waiting == 50
        assert sum(isinstance(task.exception(), Full) for task in tasks if task.done()) == 9
        await of.end()

    played(scene)()


def test_who_leaves_while_waiting_leaves_no_trace():
    async def scene():
        of = Scene(places=1)
        inside, waiting = of.come("m"), of.come("n")
        await of.settle()
        waiting.cancel()
        inside.cancel()
        await of.settle()
        assert (of.turnstile.inside, of.turnstile.waiting) == (0, 0)
        of.come("o")
        await of.settle()
        assert of.inside == ["m", "o"]
        await of.end()

    played(scene)()


# --- kept connections -------------------------------------------------------------------------------------------------


class Session:
    """A connection that only knows whether it was ended."""

    ended = ""

    def leave(self, seconds):
        self.ended = f"left within {seconds}"

    def close(self):
        self.ended = "closed"


def kept(since=0.0, messages=1):
    return _Kept(Session(), "ana@agency.test", "secret", since, since, messages)


@pytest.fixture
def lines():
    """Lines whose clock is moved by hand."""
    made = Lines(lambda: made.time)
    made.time = 0.0
    return made


def test_a_connection_serves_its_own_mailbox_only(lines):
    one = kept()
    assert lines.put("ana", one)
    assert lines.take("bia") is None
    assert lines.take("ana").session is one.session
    assert lines.take("ana") is None


@pytest.mark.parametrize("seconds", [MAX_IDLE + 1, MAX_AGE + 1])
def test_a_connection_that_was_idle_for_too_long_is_not_used_and_is_closed(lines, seconds):
    one = kept()
    lines.put("ana", one)
    lines.time = seconds
    assert lines.take("ana") is None
    lines.put("bia", kept(since=seconds))
    assert lines.sweep(0) == 1


def test_what_nobody_uses_is_closed_with_a_good_bye(lines):
    one = kept()
    lines.put("ana", one)
    lines.time = MAX_IDLE + 1
    assert (lines.sweep(1.0), lines.count, one.session.ended) == (1, 0, "left within 1.0")


def test_a_connection_has_its_number_of_messages_and_all_have_theirs(lines):
    assert not lines.put("ana", kept(messages=MAX_MESSAGES))
    assert all(lines.put(number, kept()) for number in range(MAX_KEPT))
    assert not lines.put("ana", kept())


def test_after_the_end_nothing_is_kept(lines):
    one = kept()
    lines.put("ana", one)
    lines.close()
    assert (one.session.ended, lines.put("ana", kept()), lines.count) == ("closed", False, 0)


def test_no_secret_stands_where_a_connection_is_printed():
    assert "girafa" not in repr(_Kept(Session(), "ana@agency.test", "girafa", 0, 0, 0))


def test_nothing_with_a_line_end_of_its_own_kind_is_handed_on():
    way = Way(None, lambda: "x", None, None, Lines(), "k")
    for content in (b"a\nb\r\n", b"a\rb\r\n", b"a\n.\r\n", b"a\r\r\n"):
        with pytest.raises(BadMessage, match="text"):
            relay(way, content, ["bia@client.test"], on_accepted=print, on_handing=print)


@pytest.mark.parametrize("recipients", [[], [f"p{number}@x.test" for number in range(101)]])
def test_a_mail_is_for_somebody_and_for_a_hundred_at_most(recipients):
    with pytest.raises(BadMessage, match="recipients"):
        check_recipients(recipients, MAX_RECIPIENTS)


# --- the start --------------------------------------------------------------------------------------------------------


def test_without_its_settings_there_is_no_door(kit):
    with pytest.raises(SettingsError, match="DOOR_HOST: it is not set"):
        create_door(kit.parts)


def test_files_that_are_no_certificate_stop_the_start(kit, tmp_path):
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("girafa")
    files = {"door_host": "door.example.com", "door_cert": tmp_path / "cert.pem", "door_key": tmp_path / "key.pem"}
    parts = replace(kit.parts, settings=kit.parts.settings.model_copy(update=files))
    with pytest.raises(SettingsError, match="DOOR_CERT, DOOR_KEY: "):
        create_door(parts)


def looked_at(kit, door, **clock):
    """What the doctor says of the door."""
    kit.clock.time = datetime.now(UTC)
    kit.clock.move(**clock)
    settings = kit.parts.settings.model_copy(update={"door_host": "localhost", "door_port": door.port})
    return doctor_door.door(replace(kit.parts, settings=settings))


@pytest.fixture
def everybody_gets_there(monkeypatch):
    monkeypatch.setattr(doctor_door, "_is_for_all", lambda _: True)


@pytest.mark.usefixtures("everybody_gets_there")
def test_the_doctor_knocks_at_the_door_and_looks_at_its_certificate(kit, door_authority, tmp_path):
    kit.network(loopback_network(client_context(door_authority), 465))
    with OpenDoor(kit, door_authority, tmp_path, name="localhost") as door:
        found = looked_at(kit, door)
        assert found.state == "ok", found
        assert "good for" in found.words
        soon = looked_at(kit, door, days=360_000)
        assert (soon.state, "Renew" in soon.todo) == ("warning", True)
    assert "Nobody gets in" in looked_at(kit, door).words


def test_the_doctor_warns_of_a_door_that_only_we_can_reach(kit, door_authority, tmp_path):
    kit.network(loopback_network(client_context(door_authority), 465))
    with OpenDoor(kit, door_authority, tmp_path, name="localhost") as door:
        found = looked_at(kit, door)
    assert (found.state, "leads to" in found.words) == ("warning", True)


def test_the_doctor_tells_a_certificate_for_another_name(kit, door_authority, tmp_path):
    kit.network(loopback_network(client_context(door_authority), 465))
    with OpenDoor(kit, door_authority, tmp_path, name="other.example.com") as door:
        found = looked_at(kit, door)
    assert (found.state, "certificate" in found.words) == ("failed", True)


def test_the_doctor_tells_a_server_at_which_nobody_can_sign_in(kit, door_authority):
    kit.network(loopback_network(client_context(door_authority), 465))
    with FaultySMTP(server_context(door_authority, "localhost"), ehlo_tls="250 localhost") as other:
        found = looked_at(kit, other)
    assert (found.state, "another server" in found.words) == ("failed", True)


def test_without_a_door_the_doctor_has_nothing_to_look_at(kit):
    assert doctor_door.door(kit.parts) is None


# --- replies ----------------------------------------------------------------------------------------------------------


def test_a_reply_is_one_short_line_whatever_is_in_it():
    line = Reply(550, "5.1.1", "a\r\n250 ok \0 ç" + "x" * 900).line()
    assert line.startswith("550 5.1.1 a??250 ok ? ?x")
    assert len(line) <= 510
