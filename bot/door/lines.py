"""What comes in over a connection, in lines that end with CRLF and nothing else, and messages by many lines at once."""

import asyncio

CRLF = b"\r\n"
BUFFER = 64 * 1024  # bytes of a line, or read in one go


class Ended(Exception):
    """The guest is gone, or has to go."""


class Lines:
    """In the place of asyncio's reader, for aiosmtpd, which would end a command at any LF."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._ahead = bytearray()  # it came in, and nobody has asked for it yet

    async def readuntil(self, separator: bytes = CRLF) -> bytes:
        """One line; aiosmtpd's `separator` is not asked. See asyncio.StreamReader."""
        del separator
        while (end := self._ahead.find(CRLF)) < 0:
            if len(self._ahead) > BUFFER:
                raise asyncio.LimitOverrunError("this line is too long", self._unfinished())
            await self._more()
        return self._taken(end + len(CRLF))

    async def readline(self) -> bytes:
        """One line. Raises Ended for one that is too long."""
        try:
            return await self.readuntil()
        except asyncio.LimitOverrunError:
            raise Ended from None

    async def read(self, most: int) -> bytes:
        """See asyncio.StreamReader."""
        if not self._ahead:
            await self._more()
        return self._taken(most)

    async def several(self) -> bytes:
        """All the lines that are there, at least one; or a piece of one that is longer than any line may be."""
        while (end := self._ahead.rfind(CRLF)) < 0:
            if len(self._ahead) > BUFFER:
                return self._taken(self._unfinished())
            await self._more()
        return self._taken(end + len(CRLF))

    def back(self, rest: bytes) -> None:
        """What was too much comes first again."""
        self._ahead[:0] = rest

    def _unfinished(self) -> int:
        """How much of what is there belongs to its line for sure: a CR may be the first half of an end."""
        return len(self._ahead) - self._ahead.endswith(b"\r")

    def _taken(self, size: int) -> bytes:
        taken = bytes(self._ahead[:size])
        del self._ahead[:size]
        return taken

    async def _more(self) -> None:
        """Raises asyncio.IncompleteReadError where nothing comes any more."""
        data = await self._reader.read(BUFFER)
        if not data:
            raise asyncio.IncompleteReadError(bytes(self._ahead), None)
        self._ahead += data
