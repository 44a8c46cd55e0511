"""One connection of a guest: SMTP submission inside TLS (RFC 6409, 8314), by aiosmtpd, made stricter where it is lax.

A command ends with CRLF and nothing else; nothing but signing in is done before that; a line, a message, a session
and a pause have their ends. DSN (RFC 3461) and SMTPUTF8 (RFC 6531) are not offered: whether the guest's own server has
them is not known when we say what we offer, and a promise that is not kept is worse than none.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog
from aiosmtpd.smtp import MISSING, SMTP

from bot.door.letter import MAX_LINE, UNREADABLE
from bot.door.lines import BUFFER, CRLF, Ended, Lines
from bot.door.turnstile import Full, Line
from bot.door.words import Guest, Refusal, Reply

if TYPE_CHECKING:
    from bot.door.server import Door

MAX_RECIPIENTS = 100  # as many as are passed on (`bot.mail.wire.relay`)
MAX_WRONG = 3  # keys on one connection
MAX_COMMANDS = 2_000  # of one connection
MAX_BEFORE = 20  # of one that has not signed in
MAX_NONSENSE = 20  # lines of one connection that are no command
SMALL = 100_000  # bytes of a message that is looked through in less time than a change of threads takes
TAKEN = 250
_DOT = b".\r\n"
PATIENCE = 60.0  # seconds that a mail waits for its turn; then it is to come again
_AUTH_PARAMETER = re.compile(r"\s+AUTH=\S*", re.IGNORECASE)  # RFC 4954 section 5: may be ignored
_PLAIN_ADDRESS = re.compile(r"<([A-Za-z0-9_.+-]+@[A-Za-z0-9.-]+)>(| .*)")
_HAS_ENHANCED = re.compile(r"\d{3}[ -]\d\.\d{1,3}\.\d{1,3}\b")
_MECHANISMS = ("PLAIN", "LOGIN")
# What aiosmtpd says in plain codes, with the enhanced ones that we say we have (RFC 2034, RFC 3463).
_ENHANCED = {
    221: "2.0.0", 250: "2.0.0", 252: "2.5.0", 451: "4.3.0", 500: "5.5.2", 501: "5.5.4", 502: "5.5.1", 503: "5.5.1",
    504: "5.5.4", 552: "5.3.4", 553: "5.1.3", 555: "5.5.4",
}  # fmt: skip
_log = structlog.get_logger(__name__)


class Protocol(SMTP):
    """See the head of the module. `door` is what all connections share."""

    line_length_limit = BUFFER  # of what is read ahead; the lines of messages have their own end below

    def __init__(self, door: "Door", source: str) -> None:
        self.command_size_limits: dict[str, int] = {}  # aiosmtpd's own are shared by all connections, and grow
        times = door.times
        super().__init__(
            _Hooks(self), data_size_limit=door.max_size, hostname=door.host, ident="ESMTP", timeout=times.before,
            auth_require_tls=False, loop=asyncio.get_running_loop(),
        )  # fmt: skip
        self.command_size_limits = _Sizes()
        self.door = door
        self.source = source
        self.guest: Guest | None = None
        self.busy = False
        self.commands = 0
        self.nonsense = 0
        self.wrong = 0
        self.known_at = 0.0
        self._in_ehlo = False
        self._ends = self.loop.call_later(times.session, self._timeout_cb)
        self._smtp_methods = {name: self._watched(name, method) for name, method in self._smtp_methods.items()}

    # --- the connection ---

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self.door.came(self)

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        self.abandon()
        if self.session is not None:
            super().connection_lost(error)

    def eof_received(self) -> bool | None:
        """See asyncio.Protocol."""
        return super().eof_received() if self.session is not None else False

    def abandon(self) -> None:
        """It is over, whether or not it ever came to SMTP; said twice it counts once."""
        if not self._ends.cancelled():
            self._ends.cancel()
            self.door.went(self)

    def _cb_client_connected(self, reader: Any, writer: Any) -> None:
        self._reader: Any = Lines(reader)
        self._writer = writer

    def leave(self) -> None:
        """We stop: who waits for nothing is sent away now, the others when they have their answer."""
        transport: Any = self.transport
        if not self.busy and transport is not None and not transport.is_closing():
            self._writer.write(b"421 4.3.2 We are about to restart. Please come again in a minute.\r\n")
            transport.close()

    def patient(self, seconds: float) -> None:
        """The guest may take so long until the next command is there."""
        self._reset_timeout(seconds)

    async def push(self, status: str | bytes) -> None:
        """Say it, with an enhanced code where aiosmtpd gives none."""
        said = status.decode() if isinstance(status, bytes) else status
        line = "".join(sign if " " <= sign <= "~" else "?" for sign in said)
        if not self._in_ehlo and not line.startswith(("220", "3")) and not _HAS_ENHANCED.match(line):
            code = int(line[:3])
            line = f"{code} {_ENHANCED.get(code, f'{code // 100}.0.0')}{line[3:]}"
        await super().push(line)
        if line.startswith(("500", "502")):
            await self._endured()

    async def _endured(self) -> None:
        """What is no command is answered before it is counted as one, out of what was read already: so here it is."""
        self.nonsense += 1
        if self.nonsense >= MAX_NONSENSE:
            self.abort()
        await asyncio.sleep(0)  # the others have their turn, and the end of this connection

    async def handle_exception(self, error: Exception) -> str:
        """Something of ours was raised: said without what was in it."""
        if isinstance(error, Ended):
            self.close()
            return "500 5.5.2 That line is too long."
        _log.error("a guest's command failed", kind=type(error).__name__, exc_info=error)
        return "451 4.3.0 Something went wrong on our side. Please try again later."

    def close(self) -> None:
        """Hang up, after what was said has left."""
        if self.transport is not None:
            self.loop.call_soon(self.transport.close)

    def abort(self) -> None:
        """The end, without a good-bye."""
        transport: Any = self.transport
        if transport is not None:
            transport.abort()

    def _watched(self, name: str, method: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        """A command with what holds for all of them; what aiosmtpd tells of it with HELP stays."""

        async def command(arg: str | None) -> None:
            self.busy = True
            try:
                refused = self._refused(name, arg)
                if refused is not None:
                    await self.push(refused.line())
                    if refused.closes:
                        self.close()
                    return
                await method(arg)
            finally:
                self.busy = False
                self.patient(self.door.times.command if self.guest else self.door.times.before)
                if self.door.stopping and self.transport is not None:
                    self.leave()

        return command

    def _refused(self, name: str, arg: str | None) -> Reply | None:
        self.commands += 1
        if self.commands > (MAX_COMMANDS if self.guest else MAX_BEFORE):
            return Reply(421, "4.7.0", "Too many commands. Please come again.", closes=True)
        if arg is not None and ("\n" in arg or "\r" in arg or "\0" in arg):
            return Reply(500, "5.5.2", "A command ends with CRLF, and has no other line break in it.", closes=True)
        if name in {"MAIL", "RCPT", "DATA", "VRFY"} and self.guest is None:
            return Reply(530, "5.7.0", "Please sign in first: your e-mail address, and the key from the chat.")
        return None

    # --- commands ---

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802 - aiosmtpd's name
        """What we offer."""
        self._in_ehlo = True
        try:
            await super().smtp_EHLO(hostname)
        finally:
            self._in_ehlo = False

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802
        """There is nothing to start."""
        del arg
        await self.push("503 5.5.1 This connection is encrypted already.")

    async def smtp_VRFY(self, arg: str) -> None:  # noqa: N802
        """Nobody is told who exists (RFC 5321 7.3)."""
        del arg
        await self.push("252 2.5.0 Send the mail, and you will see.")

    async def smtp_HELP(self, arg: str) -> None:  # noqa: N802
        """Little."""
        del arg
        await self.push("214 2.0.0 Mail from your own address: ask the assistant in the chat.")

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        """Mechanisms are named in whatever letters (RFC 4422 3.1 has them in capitals; some write them small)."""
        mechanism, _, rest = (arg or "").partition(" ")
        await super().smtp_AUTH(f"{mechanism.upper()} {rest}".strip())

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        """Who writes; see `_Hooks`."""
        await super().smtp_MAIL(_AUTH_PARAMETER.sub("", arg) if arg is not None else None)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """The message, and what becomes of it."""
        envelope: Any = self.envelope
        if not envelope.rcpt_tos:
            await self.push("503 5.5.1 Tell me first from whom and to whom it is.")
            return
        if arg:
            await self.push("501 5.5.4 DATA stands alone.")
            return
        self.patient(self.door.times.data)
        await self.push("354 End the message with a line that holds one dot")
        recipients = tuple(envelope.rcpt_tos)
        content = await self._content()
        self._set_rset_state()  # type: ignore[no-untyped-call]
        reply = content if isinstance(content, Reply) else await self._sent(bytes(content), recipients)
        self.known_at = self.loop.time() if reply.code == TAKEN else 0.0
        self.door.count(reply)
        await self.push(reply.line())
        if reply.closes:
            self.close()

    def _getaddr(self, arg: str) -> tuple[Any, Any]:
        """An address and what stands behind it; aiosmtpd reads the odd ones, and takes long for it."""
        plain = _PLAIN_ADDRESS.fullmatch(arg)
        if plain is not None:
            return plain[1], plain[2]
        try:
            return super()._getaddr(arg)
        except UNREADABLE:
            return None, None

    async def _content(self) -> bytearray | Reply:
        """All up to the line with the dot, without the dots that were doubled (RFC 5321 4.5.2); or what is wrong.

        What is too much is read to its end all the same, and kept nowhere.
        """
        content, fault, held = bytearray(), None, 0
        begins, over = True, False  # whether what comes next begins a line; whether the dot was there
        try:
            while not over:
                part = await self._reader.several()
                lines, over, rest = _until_dot(part, begins=begins)
                self._reader.back(rest)
                begins = part.endswith(CRLF)
                if fault is None:
                    content += lines
                    fault = self._fault(lines, len(content), begins=begins)
                if fault is None and len(content) - held > BUFFER:
                    grown = len(content) - held
                    held += grown
                    fault = None if self.door.hold(grown) else self.says(452, "4.3.1", "door_reply.busy")
                if fault is not None:
                    content = bytearray()
        finally:
            self.door.hold(-held)
        return fault or content

    def _fault(self, lines: bytes, size: int, *, begins: bool) -> Reply | None:
        """What is wrong with these lines of a message that has now `size` bytes; `begins`: the last one is whole."""
        most = self.guest.size if self.guest and self.guest.size else self.door.max_size
        if size > min(most, self.door.max_size):
            return self.says(552, "5.3.4", "cause.message_too_large")
        if not begins or max(map(len, lines.split(CRLF))) > MAX_LINE:
            return self.says(554, "5.6.0", "door_reply.long_line")
        return None

    async def _sent(self, content: bytes, recipients: tuple[str, ...]) -> Reply:
        """Its turn, and then the house. What the house does goes on when the guest hangs up meanwhile."""
        guest, door, mail_id = self.guest, self.door, uuid4()
        if guest is None:
            return Reply(530, "5.7.0", "Please sign in first.")
        self.patient(door.times.sending)
        if len(content) < SMALL:
            letter = door.house.letter(guest, content, mail_id)
        else:
            letter = await door.asked(door.house.letter, guest, content, mail_id)
        if isinstance(letter, Reply):
            return letter
        line = Line(guest.mailbox, guest.host, guest.parallel, guest.a_minute)
        try:
            return await door.sent(line, guest, letter, recipients, mail_id)
        except Full:
            return self.says(451, "4.3.2", "door_reply.wait")

    async def looked_at(self) -> Guest | Reply:
        """The guest as things stand. Who was looked at a moment ago is believed: before a mail leaves it is asked."""
        guest, now = self.guest, self.loop.time()
        assert guest is not None  # noqa: S101 - see `_refused`
        if now - self.known_at < self.door.times.believed:
            return guest
        found = await self.door.asked(self.door.house.may_send, guest)
        self.known_at = now if isinstance(found, Guest) else 0.0
        return found

    def says(self, code: int, enhanced: str, name: str) -> Reply:
        """A reply in the guest's language."""
        return Reply(code, enhanced, self.door.house.says(name, self.guest.language if self.guest else "en"))


class _Sizes(dict[str, int]):
    """The longest command of each kind: aiosmtpd changes its numbers as it goes, which we do not need."""

    def __missing__(self, command: str) -> int:
        return {"AUTH": 12_288, "MAIL": 1_024, "RCPT": 1_024}.get(command, 512)  # RFC 4954 section 4

    def __setitem__(self, command: str, size: int) -> None:
        """Nothing changes them."""


class _Hooks:
    """What aiosmtpd asks while it reads commands."""

    def __init__(self, mine: Protocol) -> None:
        self._mine = mine

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        """What we offer beside what aiosmtpd does."""
        del server, envelope
        session.host_name = hostname
        offered = [line for line in responses[:-1] if not line.startswith("250-AUTH")]
        return [*offered, "250-PIPELINING", "250-ENHANCEDSTATUSCODES", f"250 AUTH {' '.join(_MECHANISMS)}"]

    async def handle_AUTH(self, server: Any, session: Any, envelope: Any, args: list[str]) -> str | None:  # noqa: N802
        """PLAIN (RFC 4616) and LOGIN; the key is checked by the house."""
        del server, envelope
        given = await (self._plain(args) if args[0] == "PLAIN" else self._login(args))
        if given is None:
            return None
        found = await self._mine.door.asked(
            self._mine.door.house.sign_in,
            *given,
            self._mine.source,
        )
        if isinstance(found, Refusal):
            return await self._turned_away(found)
        self._mine.guest, session.authenticated = found, True
        return "235 2.7.0 Welcome."

    async def _turned_away(self, found: Refusal) -> str:
        self._mine.wrong += found.wrong
        self._mine.door.turned_away += 1
        if found.seconds:  # a guesser waits, and holds nothing but its own connection
            self._mine.patient(found.seconds + 10.0)
            await asyncio.sleep(found.seconds)
        if found.reply.closes or self._mine.wrong >= MAX_WRONG:
            self._mine.close()
        return found.reply.line()

    async def _plain(self, args: list[str]) -> tuple[str, str] | None:
        blob = await self._decoded(args[1]) if len(args) > 1 else await self._challenged(b"")
        if blob is None:
            return None
        authorized, _, rest = blob.partition(b"\0")
        user, gap, key = rest.partition(b"\0")
        if not gap or (authorized and authorized != user):
            await self._mine.push("501 5.5.2 That is not how PLAIN is said.")
            return None
        return _text(user), _text(key)

    async def _login(self, args: list[str]) -> tuple[str, str] | None:
        user = await self._decoded(args[1]) if len(args) > 1 else await self._challenged(b"Username:")
        key = await self._challenged(b"Password:") if user is not None else None
        return None if user is None or key is None else (_text(user), _text(key))

    async def _challenged(self, challenge: bytes) -> bytes | None:
        said = await self._mine.challenge_auth(challenge)
        return None if said is MISSING else bytes(said)

    async def _decoded(self, blob: str) -> bytes | None:
        try:
            return b"" if blob == "=" else base64.b64decode(blob, validate=True)
        except (binascii.Error, ValueError):
            await self._mine.push("501 5.5.2 That is no base64.")
            return None

    async def handle_MAIL(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Only the mailbox's own address may write, and only as often as it may."""
        del server, session
        mine = self._mine
        door, guest = mine.door, mine.guest
        assert guest is not None  # noqa: S101 - see Protocol._refused
        if address.lower() != guest.address.lower():
            return mine.says(550, "5.7.1", "door_reply.from_other").line()
        told = next((int(one[5:]) for one in options if one.startswith("SIZE=")), 0)
        if guest.size and told > guest.size:
            return mine.says(552, "5.3.4", "cause.message_too_large").line()
        found = door.house.is_busy(guest, mine.source) or await mine.looked_at()
        if isinstance(found, Reply):
            if found.closes:
                mine.close()
            return found.line()
        mine.guest, envelope.mail_from = found, address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Any address that is one, up to a hundred."""
        del server, session, options
        mine = self._mine
        assert mine.guest is not None  # noqa: S101 - see Protocol._refused
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return mine.says(452, "4.5.3", "door_reply.many").line()
        found = mine.door.house.recipient(mine.guest, address)
        if isinstance(found, Reply):
            return found.line()
        if found not in envelope.rcpt_tos:
            envelope.rcpt_tos.append(found)
        return "250 2.1.5 Ok"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _until_dot(part: bytes, *, begins: bool) -> tuple[bytes, bool, bytes]:
    """Lines of a message as they were written, whether the line with the dot ends them, and what stands behind that.

    `begins`: the first of them is whole.
    """
    if begins and part.startswith(_DOT):
        return b"", True, part[len(_DOT) :]
    lines, dot, rest = part.partition(CRLF + _DOT)
    if dot:
        lines += CRLF
    if begins and lines.startswith(b"."):
        lines = lines[1:]
    return lines.replace(b"\r\n.", CRLF), bool(dot), rest
