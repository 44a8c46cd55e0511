"""Our own way out: whether a port is blocked where we stand, rather than silent where somebody's server stands.

Cloud networks often block outgoing mail ports. A connection that times out looks the same in both cases, and nobody
should be sent to look for a mistake in a server's name when it is our network that lets nothing through.
"""

import threading
import time
from collections.abc import Callable, Mapping

from bot.mail.wire.guard import Endpoint, Guard, GuardError, PortRefused, ResolverFailed

# Hosts that always answer at these ports (support.google.com/a/answer/176600, learn.microsoft.com: "POP, IMAP, and
# SMTP settings", help.yahoo.com SLN4075). Two operators each, because one may have an outage or refuse our address.
KNOWN_HOSTS: Mapping[int, tuple[str, ...]] = {
    465: ("smtp.gmail.com", "smtp.mail.yahoo.com"),
    587: ("smtp.gmail.com", "smtp.office365.com"),
    993: ("imap.gmail.com", "outlook.office365.com"),
}
_ADDRESSES = 2  # of one host: both families, or two machines


class Egress:
    """Tells whether connections to a port leave our network, by connecting to hosts that are known to answer there.

    What was found is remembered for `remembered` seconds a port, and whoever asks meanwhile waits for the one who is
    looking: 300 tests that hang make one probe. `seconds` bounds the connection (the look-up of a name has the
    guard's own limit). Nothing is said to the known host. May be shared by threads.
    """

    def __init__(
        self,
        guard: Guard,
        known_hosts: Mapping[int, tuple[str, ...]] = KNOWN_HOSTS,
        *,
        seconds: float = 4.0,
        remembered: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` tells monotonic seconds."""
        self._guard = guard
        self._known = dict(known_hosts)
        self._seconds = seconds
        self._remembered = remembered
        self._clock = clock
        self._locks = {port: threading.Lock() for port in self._known}
        self._found: dict[int, tuple[bool | None, float]] = {}

    def blocked(self, port: int) -> bool | None:
        """Whether not even a known host answers at `port`; None where we cannot tell: no host is known there.

        A port outside the guard's list is never tried. Raises nothing.
        """
        if port not in self._locks:
            return None
        with self._locks[port]:
            found, until = self._found.get(port, (None, self._clock()))
            if self._clock() >= until:
                found = self._look(port)
                self._found[port] = (found, self._clock() + self._remembered)
            return found

    def _look(self, port: int) -> bool | None:
        try:
            self._guard.check_port(port)
            endpoints = self._endpoints(port)
            if not endpoints:
                return None  # a network with names of its own, in which the known hosts do not exist
            self._guard.connect(endpoints, port, self._seconds).close()
        except PortRefused:
            return None
        except (ResolverFailed, OSError):
            return True
        return False

    def _endpoints(self, port: int) -> tuple[Endpoint, ...]:
        """Addresses of the hosts that are found. Raises ResolverFailed where our name servers answer for none."""
        found: list[Endpoint] = []
        failed: ResolverFailed | None = None
        for host in self._known[port]:
            try:
                found += self._guard.resolve(host)[:_ADDRESSES]
            except ResolverFailed as error:
                failed = error
            except GuardError:
                continue
        if failed is not None and not found:
            raise failed
        return tuple(found)
