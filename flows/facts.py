"""What a step may know beside state and event: read in the same transaction, never saved."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from flows.words import Account, FileShared, Language, Server, SignInProvider

Demand = Literal["password", "app_password", "sign_in_only", "impossible"]
MailboxState = Literal["waiting", "works", "broken", "off"]


@dataclass(frozen=True, slots=True)
class Provider:
    """What the mail provider of the address at hand demands, on the day of the turn.

    `shape` names the exact form of its secrets, if they have one (`google16`). `until`: its policy ends on that day.
    `hint` names what has to be known about it before a secret is made. `access_url`: where access for other programs
    is switched on. `admin_may_allow`: its administrator may allow what the provider does not take by itself. `old`:
    all this was not looked up for three months. `certified`: mail with legal force, which nobody sends as a test.
    `sign_in`: through whom this installation (or the agency's own app) lets its people sign in instead of giving a
    password; empty: nobody. `consent_url`: where an administrator allows that once for all.
    """

    id: str
    name: str
    demand: Demand
    checked: date
    shape: str = ""
    app_password_url: str = ""
    until: date | None = None
    hint: str = "password"
    access_url: str = ""
    admin_may_allow: bool = False
    old: bool = False
    certified: bool = False
    sign_in: SignInProvider | Literal[""] = ""
    consent_url: str = ""


@dataclass(frozen=True, slots=True)
class Knock:
    """When Ally came to the door last for a mailbox. `refusal`: why it was not let in; empty: it was."""

    day: date
    hour: str
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The member's saved mailbox and its verdict; `cause` says why when it does not work.

    `signed_in`: through whom its person signed in; empty: there is a password. `door`: there is a key with which Ally
    sends through us, `knock`: what came of it last; None: Ally never came with it.
    """

    account: Account
    state: MailboxState
    cause: str = ""
    secret_id: str = ""
    signed_in: SignInProvider | Literal[""] = ""
    door: bool = False
    knock: Knock | None = None


@dataclass(frozen=True, slots=True)
class Pasted:
    """What the error text means that the person has just sent: cause (of the closed list), who can act.

    `secretive`: it holds what looks like a password or a sign-in.
    """

    cause: str
    who: str
    retry: bool
    secretive: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What the person's message asks, as the guide's search sees it.

    `topics`: the likeliest first; a second one where either may be meant. `also`: topics of further questions in the
    same message. `clear`: surely meant. `score`: how sure, 0 to 1. `language`: the message's, where that is sure.
    `kind`: why it is no question for the guide (see `flows.guide`); empty where nothing was recognised.
    `provider`: the name of the provider that it names, with its `server`.
    """

    topics: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    clear: bool = False
    score: float = 0.0
    language: Language | None = None
    kind: str = ""
    provider: str = ""
    server: Server | None = None


@dataclass(frozen=True, slots=True)
class Teammate:
    """A member of the agency, as its admin sees them. `state`: of the mailbox; empty: none yet.

    `who`: can do something about the cause. `mails`: how many of theirs are still waiting to be sent. `me`: the admin.
    `days_left`: their password works for so many more days (None: for ever, or they signed in). `door`: there is a key
    with which Ally sends through us from their address.
    """

    id: str
    name: str
    role: Literal["member", "admin"]
    address: str = ""
    state: Literal["", "waiting", "works", "broken", "off"] = ""
    cause: str = ""
    who: str = ""
    mails: int = 0
    me: bool = False
    days_left: int | None = None
    door: bool = False


@dataclass(frozen=True, slots=True)
class Role:
    """One of the memberships of whoever writes. `acting`: the one at present. `mails`: still waiting to be sent."""

    member_id: str
    agency: str
    name: str = ""
    acting: bool = False
    mails: int = 0


@dataclass(frozen=True, slots=True)
class House:
    """What this installation is: who runs it, how long things are kept, and how a person is reached.

    `desk`: persons answer in this very chat, within so many minutes of their working time. `sign_in_pages`: the names
    of the providers' own pages, which a person is to look for before they type a password. `door`: the host at which
    Ally can send through us; empty: there is none.
    """

    operator: str
    privacy_url: str
    retention_days: int
    support_contact: str
    domain: str
    ports: tuple[int, ...] = (465, 587)
    mails_per_hour: int = 20
    mails_per_day: int = 100
    signup: Literal["ask", "closed"] = "ask"
    desk: bool = False
    answer_minutes: int = 30
    sign_in_pages: Mapping[SignInProvider, str] = field(default_factory=dict)
    door: str = ""
    door_port: int = 465


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts of one turn. `agency` is empty while the contact is nobody's member.

    `about`, `shared`: the account, the file that a flow is begun with. `differs`: the server at hand is another one
    than the agency's. `team`: the agency's members by name, for its admin while the flow `team` or `integrate` goes on,
    `invited`: for how many people invitations are still open.
    `workspace`: they write from a workspace of the agency, where people can be picked.
    `case`: the number of their open case, 0 without. `away_until`: support works again on that day, at `away_hour`;
    None while it does.
    `several`: they belong to more than one agency; `roles`: all of these, while the flow `roles` goes on.
    """

    now: datetime
    language: Language
    house: House
    name: str = ""
    agency: str = ""
    role: Literal["", "member", "admin"] = ""
    mailbox: Mailbox | None = None
    provider: Provider | None = None
    pasted: Pasted | None = None
    question: Question | None = None
    about: Account | None = None
    shared: FileShared | None = None
    agency_server: Server | None = None
    differs: bool = False
    team: tuple[Teammate, ...] = ()
    invited: int = 0
    several: bool = False
    roles: tuple[Role, ...] = ()
    workspace: bool = False
    case: int = 0
    away_until: date | None = None
    away_hour: str = ""


def team_in_numbers(facts: Facts) -> dict[str, int]:
    """How many members there are, and how many of them can send, wait, are stuck, paused, or have no mailbox yet."""
    states = Counter(one.state for one in facts.team)
    return {
        "all": len(facts.team),
        "works": states["works"],
        "waiting": states["waiting"],
        "stuck": states["broken"],
        "paused": states["off"],
        "missing": states[""],
    }
