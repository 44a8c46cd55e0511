"""How often something may be done. Without limits a test form is a port scanner and a join code can be guessed.

A limit is for one kind of act and counts it for each subject the act has: a live test for the contact who asks and
for the host that is asked. The act is counted for all its subjects, or for none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Network, ip_address
from math import ceil
from typing import Literal

import structlog
from limits import RateLimitItem, parse_many
from limits.strategies import MovingWindowRateLimiter

from bot.clock import Clock
from bot.log import Seldom
from bot.store.engine import Connection, Engine
from bot.store.limits import PostgresStorage, note_refusal

Name = Literal[
    "access",
    "admin_warning",
    "agency_mail",
    "code",
    "data",
    "discovery",
    "door_news",
    "door_sign_in",
    "entrance",
    "install",
    "live_test",
    "link",
    "mail",
    "page",
    "proof",
    "recipient",
    "sign_in",
    "watch",
]

# For each act its subjects, in the order of `allow`'s keys and of locking, and how often it may be done for each. No
# window is longer than a day, and none allows more than 200: that bounds a row. A changed limit begins at zero.
LIMITS: dict[Name, dict[str, str]] = {
    # Wishes for access: somebody has to answer each.
    "access": {"contact": "3 per day"},
    # Tries of a join code: a person mistypes one or two, a machine that guesses needs thousands.
    "code": {"contact": "5 per hour"},
    # Invitation codes tried on the page that adds us to Slack: a person opens it and goes on, a few times.
    "install": {"source": "30 per hour"},
    # Codes of six digits that are shown for linking, guessed by whoever: together one in ten thousand an hour.
    "entrance": {"everybody": "100 per hour"},
    # Mails with a code to a mailbox that somebody says is theirs.
    "proof": {"contact": "3 per hour"},
    # Looking up servers on the Internet. A set-up needs one, with a typo two.
    "discovery": {"contact": "20 per hour", "agency": "200 per hour"},
    # Sign-in tests. A set-up needs one, with three wrong passwords four. Many members share a host, but no mail server
    # should ever see us as a flood.
    "live_test": {"contact": "10 per hour", "agency": "120 per hour", "host": "60 per hour"},
    # Sign-ins tried at one address, whoever asks: nobody guesses somebody else's password through us.
    "sign_in": {"address": "20 per hour"},
    # One-time links: one for each live test.
    "link": {"contact": "10 per hour"},
    # Links to all that is stored about somebody: one is enough, a stolen phone needs no more.
    "data": {"contact": "5 per day"},
    # Mail written by hand does not come faster; a stolen phone stays far below the 500 a day after which Gmail
    # makes a personal account wait (https://support.google.com/mail/answer/22839). MAILS_PER_HOUR, MAILS_PER_DAY.
    "mail": {"mailbox": "20 per hour; 100 per day"},
    # All who write by hand in one agency, and how many people somebody writes to: no way for mass mail.
    "agency_mail": {"agency": "200 per hour"},
    "recipient": {"mailbox": "200 per day"},
    # Telling somebody unasked that a copy of what left through the door is missing.
    "door_news": {"mailbox": "1 per day"},
    # Wrong keys at the door. They cannot be guessed; whoever tries is slowed, and a right key is always taken.
    "door_sign_in": {"source": "60 per hour", "address": "20 per hour"},
    # Quiet tests of mailboxes that work: half of what a host may see of us stays for people who wait for a test.
    "watch": {"host": "2 per minute; 30 per hour"},
    # Messages to an agency's admins about all mailboxes that wait for the same cause.
    "admin_warning": {"agency and cause": "1 per day"},
    # Looking up one-time pages: a whole office may stand behind one source.
    "page": {"source": "60 per minute"},
}

# Acts of our own, to which a limit only gives their pace: that it says no is nothing to look into.
_PACES: frozenset[Name] = frozenset({"admin_warning", "door_news", "watch"})
_seldom = Seldom(structlog.get_logger(__name__))
_Items = Mapping[Name, Sequence[tuple[str, Sequence[RateLimitItem]]]]


def _items(limits: Mapping[Name, Mapping[str, str]]) -> _Items:
    return {name: [(subject, parse_many(rates)) for subject, rates in limit.items()] for name, limit in limits.items()}


@dataclass(frozen=True, slots=True)
class Allowed:
    """It may be done now, and is counted."""


@dataclass(frozen=True, slots=True)
class Exhausted:
    """It was done too often and is not counted; it may be done again in this many whole minutes, at least 1."""

    minutes: int


@dataclass(frozen=True, slots=True)
class Act:
    """One act to be counted for its subjects, see `Limits.allow`; a mail to so many people counts for each (`cost`)."""

    name: Name
    keys: tuple[str, ...]
    cost: int = 1


class Limits:
    """Counts acts against the table above, for all processes on one database. Safe to use from several threads."""

    def __init__(self, engine: Engine, clock: Clock, changed: Mapping[Name, Mapping[str, str]] | None = None) -> None:
        """`changed`: limits that an operator set otherwise than the table."""
        self._engine = engine
        self._clock = clock
        self._items = _items({**LIMITS, **(changed or {})})

    def allow(self, name: Name, *keys: str, connection: Connection | None = None) -> Allowed | Exhausted:
        """Count one act, unless it was done too often for one of its subjects: then nothing is counted.

        `keys` are the subjects' ids, in the table's order, and are compared as they are: bring host names into one
        form before, addresses with `source`. Only hashes are stored; but who has a hash of a phone number can find
        the number by trying all, so give our own ids where there are some.

        With `connection` it counts in the caller's transaction and is rolled back with it. The keys stay locked until
        that ends: others who count the same ones wait, so end it soon. Without, in a short transaction of its own.
        Raises ValueError for a missing, empty or additional key, SQLAlchemyError when PostgreSQL does not answer.
        """
        return self.allow_all([Act(name, keys)], connection=connection)

    def allow_all(self, acts: Sequence[Act], *, connection: Connection | None = None) -> Allowed | Exhausted:
        """Count all of these acts, or none: the first that was done too often tells how long. See `allow`."""
        counts = [(act, list(_counts(self._items, act.name, act.keys))) for act in acts]
        if connection is not None:
            return self._count(connection, counts)
        with self._engine.begin() as own:
            return self._count(own, counts)

    def _count(self, connection: Connection, acts: list[tuple[Act, list["_Count"]]]) -> Allowed | Exhausted:
        now = self._clock.now()
        window = MovingWindowRateLimiter(PostgresStorage(connection, lambda: now))
        with connection.begin_nested() as together:
            refused = next((each for each in acts if not _hit(window, *each)), None)
            if refused is None:
                return Allowed()
            together.rollback()
        act, counts = refused
        note_refusal(connection, act.name)
        if act.name not in _PACES:
            _seldom.warning("a limit said no", act.name)
        return Exhausted(_minutes(window, counts, now, act.cost))


def _hit(window: MovingWindowRateLimiter, act: Act, counts: list["_Count"]) -> bool:
    return all(window.hit(item, *key, cost=act.cost) for item, key in counts)


_Count = tuple[RateLimitItem, tuple[str, str, str]]


def source(address: str | None) -> str:
    """The key for where a web request came from: an IPv4 address, or the /64 of an IPv6 one.

    A customer gets at least a whole /64 (RFC 6177), so its single addresses would count nothing. What is no address
    shares one key.
    """
    try:
        read = ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(read, IPv4Address):
        return str(read)
    return str(read.ipv4_mapped or IPv6Network((int(read), 64), strict=False))


def _counts(items: _Items, name: Name, keys: tuple[str, ...]) -> Iterator[_Count]:
    """Each rate with what it is counted under."""
    if not all(keys):
        raise ValueError(f"a key of the limit {name} is empty")
    for (subject, rates), key in zip(items[name], keys, strict=True):
        yield from ((item, (name, subject, key)) for item in rates)


def _minutes(window: MovingWindowRateLimiter, counts: list[_Count], now: datetime, cost: int = 1) -> int:
    """Until all are free again; where others gave theirs back meanwhile, that is soon."""
    every = [window.get_window_stats(item, *key) for item, key in counts]
    seconds = [each.reset_time - now.timestamp() for each in every if each.remaining < cost]
    return max(1, ceil(max(seconds, default=0) / 60))
