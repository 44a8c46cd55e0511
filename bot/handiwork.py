"""What all hands share: their tools, their outcomes, and looks at what a promise is about."""

import base64
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from bot.casework import Casework
from bot.channels import Accepted, Enclosed, Identity, Inbound
from bot.channels.slack.channel import Slack
from bot.channels.slack.client import SlackApi
from bot.channels.slack.files import SlackFiles
from bot.channels.slack.threads import Threads
from bot.clock import Clock
from bot.desk_open import Opener
from bot.desk_tools import DeskTools
from bot.facts import wire_server
from bot.limits import Limits
from bot.links import LinkBook
from bot.mail.knowledge.provider import Provider
from bot.mail.knowledge.providers import Providers
from bot.mail.wire import send
from bot.mail.wire.account import Account as WireAccount
from bot.mail.wire.smtp import Network
from bot.oauth_apps import Apps
from bot.safe import Safe
from bot.screens import Screens
from bot.staff import Staff
from bot.store import conversations, files, people
from bot.store.conversations import Held
from bot.store.engine import Connection, Engine, Row, reading
from bot.store.promises import Promise
from bot.templates import Templates
from bot.workspaces import Workspaces
from flows.facts import Facts
from flows.speech import Message, Style
from flows.words import Account, Event, Link, Server

IMAPS = 993
MAX_DOUBLINGS = 16  # of the time until the next try: what is never given up is tried very often
MAX_WORDS = 200  # letters that an operator reads of an outcome
# So long a worker counts as alive of which nothing is heard: what it held is done again within a minute by another.
HOLD = timedelta(seconds=45)
# How long a lane's promises may take at most, while their worker lives and says so; then they are done again, too.
LEASES = {"speak": timedelta(minutes=2), "work": timedelta(minutes=3), "mail": timedelta(minutes=10)}


class FetchedFile(Protocol):
    """A file whose bytes are what its type says; `name` may be empty."""

    @property
    def content(self) -> bytes:
        """Its bytes."""

    @property
    def content_type(self) -> str:
        """Its type, without parameters."""

    @property
    def name(self) -> str:
        """What its keeper calls it."""


class Channel(Protocol):
    """One channel, as the hands need it; all channels are alike."""

    @property
    def style(self) -> Style:
        """How this channel writes what is not its own."""

    def send(self, to: Identity, message: Message, promise_id: int, ready: Callable[[], None]) -> Accepted:
        """Hand a message to the provider; `ready` is called before its first byte leaves, and may raise.

        Raises Refused, Later or Unclear.
        """

    def find(self, to: Identity, message: Message, since: datetime) -> str | None:
        """The provider's id of a message that may have been taken; None when it surely was not."""

    def send_file(
        self, to: Identity, message: Message, file: Enclosed, promise_id: int, ready: Callable[[], None]
    ) -> Accepted:
        """Hand over a message with a file; its words may be empty. Raises like `send`."""

    def find_file(self, to: Identity, message: Message, file: Enclosed, since: datetime) -> str | None:
        """As `find`, of a message with a file."""

    def typing(self, message_id: str) -> None:
        """Show that an answer is on its way."""

    def window(self, to: Identity) -> Callable[[Message], None] | None:
        """A way to show something in the window that the person has open; None without. It raises nothing of theirs."""

    def erase(self, message_id: str) -> None:
        """Erase what a person sent at the provider. Raises Later or Refused."""

    def keeps(self, who: Identity) -> list[str]:
        """The ids of the messages from and to somebody that the provider keeps and would erase. Raises as `missed`."""

    def fetch(self, url: str, max_bytes: int) -> FetchedFile:
        """A file that came with a message. Raises Refused (code `type`, `413` or another), Later."""

    def missed(self, since: datetime) -> list[Inbound]:
        """What people have sent since then, as the provider lists it, newest first. Raises Later, Unclear, Refused."""


def _nothing(_db: Connection) -> bool:
    """Nothing else is written."""
    return True


@dataclass(frozen=True, slots=True)
class Ended:
    """The promise is kept, or will never be: final state, the event for the conversation, words for the operator.

    `along` is written in the transaction that ends the promise: never by somebody who has lost it meanwhile. Where it
    answers False, what the event tells is not true any more, and nothing is told.
    """

    state: str = "done"
    event: Event | None = None
    provider_id: str | None = None
    words: str = ""
    along: Callable[[Connection], bool] = _nothing


@dataclass(frozen=True, slots=True)
class Again:
    """Not now: try again after so many seconds. `along`: see `Ended`."""

    seconds: float
    words: str
    along: Callable[[Connection], bool] = _nothing


Outcome = Ended | Again


@dataclass(frozen=True, slots=True)
class SlackParts:
    """What belongs to Slack alone: the workspaces with their tokens, what people have open, and the channel."""

    workspaces: Workspaces
    screens: Screens
    channel: Slack


@dataclass(frozen=True, slots=True)
class DeskParts:
    """Where the desk stands: a channel of the team's, who is in it, their time zone, how cases go on, their tools."""

    api: SlackApi
    team: str
    channel: str
    zone: ZoneInfo
    casework: Casework
    threads: Threads
    staff: Staff
    tools: DeskTools
    opener: Opener
    files: SlackFiles


@dataclass(frozen=True, slots=True)
class Tools:
    """What hands work with."""

    engine: Engine
    clock: Clock
    channels: Mapping[str, Channel]
    links: LinkBook
    providers: Providers
    safe: Safe
    limits: Limits
    network: Network
    apps: Apps
    later: Callable[[float, Callable[[], None]], Callable[[], None]]
    announce: Callable[[Promise, Event], None]
    receive: Callable[[Inbound], object | None]
    public_url: str
    operator: str = ""
    discovery: bool = True
    glance: Callable[[Connection, Held, datetime], Facts] | None = None
    slack: SlackParts | None = None
    desk: DeskParts | None = None
    templates: Templates | None = None


Hand = Callable[[Tools, Promise], Outcome]


def backoff(attempt: int, wished: float | None = None, longest: float = 3600.0) -> float:
    """Seconds until the next try: what the provider wished, else about 2, 4, 8 ... up to an hour.

    A little is added by chance, so that what failed together does not come back together.
    """
    usual = 2.0 ** min(attempt, MAX_DOUBLINGS)
    return min(wished if wished is not None else usual, longest) * random.uniform(1.0, 1.25)  # noqa: S311 - no secret


def look(tools: Tools, promise: Promise) -> Held | None:
    """The conversation that a promise belongs to, as it is now; None when there is none any more."""
    if promise.conversation_id is None:
        return None
    with reading(tools.engine) as db:
        return conversations.look(db, promise.conversation_id)


def armed(tools: Tools, link: Link) -> str:
    """A new address of a one-time link, good from now on."""
    with tools.engine.begin() as db:
        return f"{tools.public_url}/s/{tools.links.arm(db, UUID(link.id))}"


def family_of(tools: Tools, account: Account) -> str | None:
    """The family of the provider behind an account: providers that answer with the same texts."""
    provider = provider_of(tools, account)
    return provider.family if provider else None


def provider_of(tools: Tools, account: Account) -> Provider | None:
    """The provider behind an account: of its address, else of its server."""
    today = tools.clock.now().date()
    known = tools.providers.for_address(account.address, today)
    return known or tools.providers.for_host(account.server.host, today)


def written(tools: Tools, mail: Row) -> EmailMessage:
    """A mail that was written in the chat, the same bytes each time. Raises Unopenable, BadAddress, BadMessage."""
    with reading(tools.engine) as db:
        words = tools.safe.take(db, mail.content_id, kind="mail.body", use={"mail": str(mail.id)}).reveal()
        attached = [
            send.Attachment(row.name, row.content_type, _content(db, tools, row)) for row in files.of_mail(db, mail.id)
        ]
        name = people.member_name(db, mail.member_id)
    subject, _, text = words.partition("\n")
    return send.compose(
        sender=mail.address,
        name=name[: send.MAX_NAME],
        to=mail.recipients,
        subject=subject,
        text=text,
        date=mail.date,
        marker=mail.id.hex,
        attachments=attached,
    )


def _content(db: Connection, tools: Tools, row: Row) -> bytes:
    """The bytes of a file that was fetched. Raises Unopenable."""
    clear = tools.safe.take(db, row.content_id, kind="mail.file", use={"file": str(row.id)})
    return base64.b64decode(clear.reveal())


def imap_of(tools: Tools, account: Account) -> WireAccount:
    """Where the copies of an account's mails lie: its provider's IMAP server, else the one under the same name."""
    provider = provider_of(tools, account)
    if provider is not None and provider.imap:
        user = provider.imap_user_for(account.address) or account.user
        return WireAccount(account.address, user, provider.imap[0])
    same_name = wire_server(Server(account.server.host, IMAPS, "tls"))
    return WireAccount(account.address, account.user, same_name)
