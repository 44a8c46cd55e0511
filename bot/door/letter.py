"""A message as it came in: what is wrong with it, and the little that a submission server adds (RFC 6409 section 8).

Nothing in it is changed. Date and Message-ID are put in front where they are missing, and Bcc does not leave; the copy
for the writer's own *Sent* folder keeps it. What one server reads in one way and the next in another is refused: a CR
or LF alone (postfix.org/smtp-smuggling.html), a NUL, a header that is none, two fields where there may be one.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import ObsoleteHeaderDefect
from email.policy import default
from email.utils import format_datetime
from typing import Any, Literal

Fault = Literal["bare", "nul", "header", "from_other", "message_id"]

MAX_LINE = 998  # octets, without CRLF (RFC 5322 2.1.1)
MAX_HEAD = 512 * 1024
MAX_FROM = 2_000
# What Python's reading of an address field raises at some that nobody means: nested a thousand times, groups in groups.
UNREADABLE = (RecursionError, AttributeError, IndexError, ValueError)
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
# A blank before the colon ends the header for some who read it (RFC 5322 4.5 has it as obsolete).
_FIELD = re.compile(rb"([!-9;-~]+):(.*)", re.DOTALL)
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>")
# How nearly all programs write it; what else there is, the library reads.
_ADDRESS = rb"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
_PLAIN_FROM = re.compile(rb'(?:(?:[A-Za-z0-9 ]*|"[^"\\\x00-\x1f\x7f-\xff]*" ?)<(?=[^<>]*>$))?(' + _ADDRESS + rb")>?")
_HIDDEN = frozenset({b"bcc", b"resent-bcc"})
_ONCE = (b"from", b"sender", b"date", b"message-id", b"reply-to", b"to", b"cc", b"subject")  # RFC 5322 3.6


class Unfit(Exception):
    """A message that is not passed on, and why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault: Fault = fault


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that may leave: `wire` for the server, `copy` for the writer's own folder.

    `own_id`: it came with its Message-ID; `digest` tells it from every other one.
    """

    message_id: str
    own_id: bool
    digest: str
    wire: bytes = field(repr=False)
    copy: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Field:
    name: bytes
    value: bytes
    raw: bytes


def read(content: bytes, *, address: str, now: datetime, made_id: Callable[[], str]) -> Letter:
    """The message in `content`, written by the owner of `address`; `made_id` makes one where a Message-ID is missing.

    Raises Unfit.
    """
    content += b"" if content.endswith(b"\r\n") else b"\r\n"
    if _BARE.search(content):
        raise Unfit("bare")
    if b"\0" in content:
        raise Unfit("nul")
    head, gap, body = _parted(content)
    fields = _fields(head)
    _check_writer(fields, address)
    given = _message_id(fields)
    added = b"" if _has(fields, b"date") else f"Date: {format_datetime(now)}\r\n".encode()
    message_id = given or made_id()
    added += b"" if given else f"Message-ID: {message_id}\r\n".encode()
    shown = b"".join(one.raw for one in fields if one.name not in _HIDDEN)
    digest = hashlib.sha256(content).hexdigest()
    return Letter(message_id, bool(given), digest, added + shown + gap + body, added + content)


def digest_for(letter: Letter, recipients: Sequence[str]) -> str:
    """What tells a mail from every other one of its mailbox: its bytes, Message-ID included, and to whom it goes.

    The same message for somebody else is another mail: many programs send one to each recipient.
    """
    return hashlib.sha256("\n".join((letter.digest, *sorted(recipients))).encode()).hexdigest()


def _parted(content: bytes) -> tuple[bytes, bytes, bytes]:
    """Header, the empty line, and the body. Raises Unfit for one without a header."""
    head, gap, body = content.partition(b"\r\n\r\n")
    if not head or len(head) > MAX_HEAD or head.startswith(b"\r\n"):
        raise Unfit("header")
    return (head + b"\r\n", gap[2:], body) if gap else (content, b"", b"")


def _fields(head: bytes) -> list[_Field]:
    """The fields of a header, folded lines with the field that they belong to. Raises Unfit."""
    unfolded: list[list[bytes]] = []
    for line in head.splitlines(keepends=True):
        if line[:1] in b" \t":
            if not unfolded:
                raise Unfit("header")
            unfolded[-1].append(line)
        else:
            unfolded.append([line])
    fields = [_field(b"".join(lines)) for lines in unfolded]
    names = [one.name for one in fields]
    if any(names.count(name) > 1 for name in _ONCE):
        raise Unfit("header")
    return fields


def _field(raw: bytes) -> _Field:
    found = _FIELD.fullmatch(raw)
    if found is None:
        raise Unfit("header")
    return _Field(found[1].lower(), found[2].replace(b"\r\n", b"").strip(), raw)


def _has(fields: Sequence[_Field], name: bytes) -> bool:
    return any(one.name == name for one in fields)


def _check_writer(fields: Sequence[_Field], address: str) -> None:
    """From, and Sender where there is one, name the owner of the address and nobody else. Raises Unfit."""
    if not _has(fields, b"from"):
        raise Unfit("from_other")
    for one in fields:
        if one.name in {b"from", b"sender"} and _addresses(one.value) != [address.lower()]:
            raise Unfit("from_other")


def _addresses(value: bytes) -> list[str]:
    """All addresses in a field, in small letters; none that can be trusted where it is written in an odd way."""
    if len(value) > MAX_FROM or value.count(b"<") > 1:
        return []
    plain = _PLAIN_FROM.fullmatch(value)
    if plain is not None:
        return [plain[1].decode().lower()]
    try:
        return _read_with_care(value)
    except UNREADABLE:
        return []


def _read_with_care(value: bytes) -> list[str]:
    header: Any = default.header_factory("From", value.decode("utf-8", "replace"))
    odd = [one for one in header.defects if not isinstance(one, ObsoleteHeaderDefect)]  # a dot in a name is only old
    if odd or any(group.display_name is not None for group in header.groups):
        return []
    return [one.addr_spec.lower() for one in header.addresses]


def _message_id(fields: Sequence[_Field]) -> str:
    """The Message-ID it came with, or nothing. Raises Unfit for one that no server would keep, or find again."""
    given = next((one.value.decode("ascii", "replace") for one in fields if one.name == b"message-id"), "")
    if given and not _MESSAGE_ID.fullmatch(given):
        raise Unfit("message_id")
    return given
