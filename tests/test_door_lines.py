"""How the door reads lines and messages, in whatever pieces they come in."""

import asyncio
import re
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.door.lines import BUFFER, Ended, Lines
from bot.door.protocol import Protocol
from bot.door.words import Reply

HOSTILE = [b"\r\n", b".", b"\r", b"\n", b"a", b"\r\n.\r\n", b"\n.\n", b"\r\n.\n", b"..", b"QUIT"]


async def guest_with(pieces):
    """Just enough of a connection to read a message from, all of whose pieces are there already or come one by one."""
    reader = asyncio.StreamReader()
    lines = Lines(reader)

    async def feed():
        for piece in pieces:
            reader.feed_data(piece)
            await asyncio.sleep(0)
        reader.feed_eof()

    guest = SimpleNamespace(
        _reader=lines, guest=None, door=SimpleNamespace(hold=lambda _: True, max_size=10**9),
        says=Reply,
    )  # fmt: skip
    guest._fault = lambda *args, **named: Protocol._fault(guest, *args, **named)
    return guest, asyncio.ensure_future(feed())


def message(*pieces):
    """What is read of a message (None: it never ends), and what stands behind it."""

    async def read():
        guest, feeding = await guest_with(pieces)
        try:
            content = await Protocol._content(guest)
        except asyncio.IncompleteReadError:
            return None, b""
        finally:
            await feeding
        rest = bytes(guest._reader._ahead) + await guest._reader._reader.read()
        return (content if isinstance(content, Reply) else bytes(content)), rest

    return asyncio.run(read())


def as_written_in_the_standard(raw):
    """RFC 5321 4.5.2, line by line."""
    content, at = b"", 0
    while (end := raw.find(b"\r\n", at)) >= 0:
        line, at = raw[at : end + 2], end + 2
        if line == b".\r\n":
            return content, raw[at:]
        content += line.removeprefix(b".")
    return None, b""


@settings(deadline=None, max_examples=300)
@given(st.lists(st.lists(st.sampled_from(HOSTILE), max_size=6).map(b"".join), max_size=8))
@example([b".\r\n"])
@example([b"a\r", b"\n.\r", b"\nQUIT\r\n"])
@example([b"a\r\n", b".", b"\r\n"])
def test_a_message_ends_where_the_standard_says_in_whatever_pieces_it_comes(pieces):
    assert message(*pieces) == as_written_in_the_standard(b"".join(pieces))


@pytest.mark.parametrize("length", range(BUFFER - 3, BUFFER + 5))
def test_within_a_line_that_is_far_too_long_no_message_ends(length):
    """Its pieces end anywhere: what looks like a line of its own in the next one is none."""
    found, rest = message(b"a" * length, b".\r\n" + b"MAIL FROM:<x>\r\n", b".\r\nQUIT\r\n")
    assert (found.text, rest) == ("door_reply.long_line", b"QUIT\r\n")


@pytest.mark.parametrize("length", range(BUFFER - 3, BUFFER + 5))
def test_behind_a_line_that_is_far_too_long_the_message_ends_as_it_should(length):
    found, rest = message(b"a" * length + b"\r", b"\n.\r\nQUIT\r\n")
    assert (found.text, rest) == ("door_reply.long_line", b"QUIT\r\n")


@pytest.mark.parametrize(("length", "taken"), [(998, True), (999, False)])
def test_a_line_has_998_octets_at_most(length, taken):
    found, _ = message(b"a" * length + b"\r\nb\r\n.\r\n")
    assert isinstance(found, bytes) is taken


def heard(*pieces):
    """The commands that are heard, and how it ends."""

    async def read():
        guest, feeding = await guest_with(pieces)
        lines = []
        try:
            while True:
                lines.append(await guest._reader.readline())
        except (asyncio.IncompleteReadError, Ended) as end:
            return lines, type(end)
        finally:
            await feeding

    return asyncio.run(read())


@given(st.lists(st.sampled_from([b"NOOP", b"\r\n", b"\n", b"\r", b"x"]), max_size=12))
def test_a_command_ends_with_crlf_and_nothing_else(pieces):
    whole = b"".join(pieces)
    lines, end = heard(*pieces)
    assert lines == re.findall(rb"(?s).*?\r\n", whole)
    assert end is asyncio.IncompleteReadError


def test_a_command_without_an_end_is_one_too_much():
    assert heard(b"a" * (BUFFER + 1), b"a") == ([], Ended)
