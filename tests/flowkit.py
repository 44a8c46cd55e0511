"""A pure player of conversations: the bot's part of a turn without a database, with a world that a test scripts.

Between every two messages the conversation goes through JSON, and so does every event and every effect.
"""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from bot.search import Search
from flows import saved
from flows.conversation import (
    Envelope,
    Secretive,
    Turn,
    close,
    converse,
    is_late,
    may_ask,
    records,
    subject,
    understand,
)
from flows.facts import Facts, House, Mailbox, Provider
from flows.speech import Message, Plain, render
from flows.words import (
    Account,
    CaseOpened,
    CheckServer,
    CloseDoor,
    DataSeen,
    DataTaken,
    Discover,
    DoorKeyShown,
    Effect,
    EraseEverything,
    EraseSecret,
    Event,
    FilesFit,
    FindHoster,
    Join,
    Joined,
    JoinRefused,
    Judge,
    Judged,
    LinkOpened,
    LoginWorked,
    MailQueued,
    OpenCase,
    OpenData,
    OpenDoor,
    OpenLink,
    OpenSignIn,
    Record,
    RemoveMailbox,
    SaveMailbox,
    Say,
    SecretStored,
    SecretSuspected,
    SecretTyped,
    SeeData,
    SendMail,
    Server,
    ServerAnswered,
    ServerFound,
    ServerWeighed,
    SetAgencyServer,
    SetLanguage,
    SignedIn,
    Speak,
    SwitchMailbox,
    TestLogin,
    WeighFiles,
    WeighServer,
)

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUSE = House(
    operator="Example Tools",
    privacy_url="https://bot.example.test/privacy",
    retention_days=90,
    support_contact="+1 555 0100",
    domain="bot.example.test",
    sign_in_pages={"microsoft": "login.microsoftonline.com", "google": "accounts.google.com"},
)
GMAIL = Provider("google", "Gmail", "app_password", date(2026, 3, 1), shape="google16", hint="app_password")
MICROSOFT = Provider(
    "microsoft365",
    "Microsoft 365",
    "password",
    date(2026, 3, 1),
    until=date(2026, 12, 31),
    hint="password_until",
    admin_may_allow=True,
    sign_in="microsoft",
    consent_url="https://login.microsoftonline.com/common/adminconsent",
)
OUTLOOK = replace(
    MICROSOFT, id="outlook_com", name="Outlook.com", demand="sign_in_only", until=None, hint="oauth_only",
    admin_may_allow=False, consent_url="",
)  # fmt: skip
WORKSPACE = replace(GMAIL, id="google_workspace", name="Google Workspace", sign_in="google")
CODE = "ACDE-7FGH-JKMN"
ADDRESS = "ana@agency.test"
ANA = Account(ADDRESS, ADDRESS, Server("mail.agency.test", 465, "tls"))
ELSEWHERE = replace(ANA, server=Server("smtp.hoster.test", 465, "tls"))
WORKS = Mailbox(ANA, "works")
DOOR = replace(HOUSE, door="door.example.test")
WITH_KEY = replace(WORKS, door=True)
ANSWERED_AT_ONCE = 5  # records that answer one another within one turn


def facts(**changes) -> Facts:
    """Facts of a member without a mailbox who speaks English, with changes."""
    return replace(Facts(NOW, "en", HOUSE, name="Ana", agency="Agency", role="member"), **changes)


def through_json(value):
    """The same value after the way through the database."""
    return saved.load(json.loads(json.dumps(saved.dump(value))))


def shown(speak: Speak, language: str) -> Message:
    """One message as a terminal shows it."""
    return render(speak, language, Plain(), lambda link: f"https://bot.example.test/s/{link.id}")


@dataclass
class Player:
    """One person, our side of the conversation, and a world that does as it was told.

    `found`: what discovery answers for an address (default: a server under its domain, nothing to confirm). `logins`:
    what the next live tests answer (default: they work). `hold`: answers of the world wait for `release`. `search`:
    finds the articles for the person's questions.
    """

    known: Facts = field(default_factory=lambda: facts(agency="", role=""))
    found: dict[str, Event] = field(default_factory=dict)
    providers: dict[str, Provider] = field(default_factory=dict)
    logins: list[Event] = field(default_factory=list)
    hosters: dict[str, Event] = field(default_factory=dict)
    differs: str = ""
    hold: bool = False
    search: Search | None = None
    effects: list[Effect] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    waiting: list[tuple[int, Effect]] = field(default_factory=list)
    typed: int = 0
    saved: str = ""
    numbers: int = 0

    @property
    def envelope(self) -> Envelope:
        return saved.load_envelope(json.loads(self.saved)) if self.saved else Envelope()

    @property
    def facts(self) -> Facts:
        return self._facts_about(self.envelope)

    @property
    def last(self) -> Message:
        return self.messages[-1]

    def write(self, text: str) -> str:
        """What the person writes; what they read then."""
        self.typed += 1
        return self._message(text, None, "text")

    def tap(self, value: str) -> str:
        """A tap on the button with this value under the last message that had one."""
        buttons = [button for message in self.messages for button in message.buttons]
        button = next(one for one in reversed(buttons) if one.id.partition(":")[2] == value)
        return self._message(button.label, button.id, "text")

    def share(self, kind: str) -> str:
        return self._message("", None, kind)

    def fill_page(self) -> str:
        """The person types the secret on the page behind the newest link."""
        return self.happens(SecretStored(self._number("secret"), self.envelope.state.link_id))

    def sign_in(self) -> str:
        """The person signs in at their provider, behind the newest link."""
        return self.happens(SignedIn(self._number("grant"), self.envelope.state.link_id))

    def show_key(self) -> None:
        """The person taps the button behind the newest link: the page shows the key. The chat hears nothing of that."""
        self._key(there=True)

    def type_key(self) -> str:
        """The person says on the page that the key is typed into Ally."""
        return self.happens(DoorKeyShown())

    def fetch_data(self) -> str:
        """The person gets the file with all that is stored, on the page behind the newest link."""
        return self.happens(DataTaken())

    def _key(self, *, there: bool) -> None:
        self.known = replace(self.known, mailbox=replace(self.known.mailbox, door=there, knock=None))

    def happens(self, event: Event, ticket: int | None = None) -> str:
        """Something comes from the world; with a ticket, an answer that may be late."""
        before = len(self.messages)
        envelope = self.envelope
        if ticket is None or not is_late(envelope, ticket):
            self._turn(envelope, event)
        return self._new(before)

    def release(self) -> str:
        """All answers that were held back."""
        before = len(self.messages)
        while self.waiting:
            ticket, effect = self.waiting.pop(0)
            self.happens(self._answer(effect), ticket)
        return self._new(before)

    # --- the bot's part ---

    def _message(self, text: str, button: str | None, kind: str) -> str:
        before = len(self.messages)
        envelope = self.envelope
        known = self._facts_about(envelope)
        if self.search and kind == "text" and not button and may_ask(envelope, text):
            known = replace(known, question=self.search.find(text, envelope.topic))
        meant = understand(envelope, text, button, kind, known)
        if isinstance(meant, Secretive):
            meant = (SecretTyped if meant.taken else SecretSuspected)(self._number("secret"))
        self._turn(envelope, meant, known)
        return self._new(before)

    def _turn(self, envelope: Envelope, event: Event, known: Facts | None = None) -> None:
        turn = self._written(converse(envelope, through_json(event), known or self._facts_about(envelope)))
        closed = close(turn, self._facts_about(turn.envelope))
        self.effects += [*records(turn), *closed.effects]
        self.saved = json.dumps(saved.dump_envelope(closed.envelope))
        kept = self.envelope.trail  # all of it, unless it was too long
        assert self.envelope == replace(closed.envelope, trail=closed.envelope.trail[-len(kept) :] if kept else ())
        for effect in closed.effects:
            self._promised(through_json(effect), closed.envelope.ticket)
        if not self.hold:
            self.release()

    def _written(self, turn: Turn) -> Turn:
        done = 0
        for _ in range(ANSWERED_AT_ONCE):
            fresh = records(turn)[done:]
            done += len(fresh)
            answers = [self._record(through_json(record)) for record in fresh]
            for answer in filter(None, answers):
                turn = turn.then(converse(turn.envelope, through_json(answer), self._facts_about(turn.envelope)))
        return turn

    def _promised(self, effect: Effect, ticket: int) -> None:
        match effect:
            case Speak():
                self.messages.append(shown(effect, self.known.language))
            case Discover() | TestLogin() | CheckServer():
                self.waiting.append((ticket, effect))
            case EraseEverything():
                self.known = replace(self.known, mailbox=None)

    def _record(self, record: Record) -> Event | None:  # noqa: C901, PLR0912 - the table of records
        match record:
            case Join(code):
                return self._join(code)
            case WeighServer(server):
                return ServerWeighed(server, 2)
            case SetAgencyServer(server):
                self.known = replace(self.known, agency_server=server)
            case SetLanguage(language):
                self.known = replace(self.known, language=language)
            case SeeData():
                address = self.known.mailbox.account.address if self.known.mailbox else ""
                return DataSeen(NOW.date(), self.known.name, self.known.agency, address, password=bool(address))
            case OpenLink() | OpenSignIn() | OpenDoor() | OpenData():
                return LinkOpened(self._number("link"))
            case Judge(account, confirm):
                return Judged(account, confirm, self.differs)
            case FindHoster(address, words):
                return self.hosters.get(words) or ServerFound(account_of(address))
            case SaveMailbox(account, secret_id, cause):
                known = self.providers.get(account.address.rpartition("@")[2])
                signed_in = known.sign_in if known and secret_id.startswith("grant") else ""
                kept = Mailbox(account, "waiting" if cause else "works", cause, signed_in=signed_in)
                self.known = replace(self.known, mailbox=kept)
            case SwitchMailbox(on):
                state = "works" if on else "off"
                self.known = replace(self.known, mailbox=replace(self.known.mailbox, state=state))
            case CloseDoor():
                self._key(there=False)
            case RemoveMailbox():
                self.known = replace(self.known, mailbox=None)
            case OpenCase():
                return CaseOpened(7)
            case WeighFiles():
                return FilesFit()
            case SendMail():
                return MailQueued(self._number("mail"))
        return None

    def _join(self, code: str) -> Event:
        if code != CODE.replace("-", ""):
            return JoinRefused("unknown")
        self.known = replace(self.known, agency="Agency", role="member")
        return Joined("Agency")

    def _answer(self, effect: Effect) -> Event:
        match effect:
            case Discover(address):
                return self.found.get(address) or ServerFound(account_of(address))
            case CheckServer(server):
                return ServerAnswered(server)
            case TestLogin(account):
                return self.logins.pop(0) if self.logins else LoginWorked(account)
        raise AssertionError(effect)

    def _facts_about(self, envelope: Envelope) -> Facts:
        domain = subject(envelope)[0].rpartition("@")[2]
        return replace(self.known, provider=self.providers.get(domain))

    def _number(self, prefix: str) -> str:
        self.numbers += 1
        return f"{prefix}-{self.numbers}"

    def _new(self, before: int) -> str:
        return "\n---\n".join(message.body for message in self.messages[before:])


def account_of(address: str) -> Account:
    """The account of an address on its domain's own server."""
    return Account(address, address, Server(f"mail.{address.rpartition('@')[2]}", 465, "tls"))


def member(**changes) -> Player:
    """A member who has been greeted and stands in the menu."""
    player = Player(known=facts(**changes))
    player.write("hi")
    return player


def with_mailbox(**changes) -> Player:
    """A member whose mailbox works."""
    return member(mailbox=WORKS, **changes)


def asked_for_the_secret(**changes) -> Player:
    """A member who has given the address and is asked for the secret."""
    player = member(**changes)
    player.tap("setup")
    player.write(ADDRESS)
    return player


def erased(player: Player) -> list[str]:
    """The ids of all secrets that were erased."""
    return [effect.secret_id for effect in player.effects if isinstance(effect, EraseSecret)]


def names(effects) -> list[str]:
    """The names of all that is said among effects."""
    return [effect.name for effect in effects if isinstance(effect, Say)]
