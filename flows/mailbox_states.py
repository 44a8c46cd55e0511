"""The states of a set-up, of a mailbox that is saved, and (in `flows.sign_in`) of signing in at the provider."""

from dataclasses import dataclass
from typing import Literal

from flows.forms import Answers
from flows.sign_in import AwaitingSignIn, AwaitingSignInLink, SignInStuck
from flows.words import Account, Done, Server, SignInProvider

Signed = SignInProvider | Literal[""]  # through whom the person signed in; empty: there is a password


@dataclass(frozen=True, slots=True)
class Collecting:
    """We wait for the address, or for a part of the server that nobody could find."""

    answers: Answers
    asking: str


@dataclass(frozen=True, slots=True)
class Finding:
    """The server of this address is being looked up."""

    address: str


@dataclass(frozen=True, slots=True)
class Suggesting:
    """We wait for whether another address was meant."""

    address: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class Hosting:
    """We wait for the name of the company that is paid for the e-mail of this address."""

    address: str


@dataclass(frozen=True, slots=True)
class Confirming:
    """We wait for a yes to go on with this account; each of the `doubts` is asked about, the first one now.

    `server`: it does not visibly belong to the address. `barred`: the provider takes a password only where an
    administrator allowed it. `warn`, `strict`: the agency has another server, and this is its rule for that.
    """

    account: Account
    doubts: tuple[str, ...] = ("server",)


@dataclass(frozen=True, slots=True)
class AwaitingLink:
    """A one-time link is being opened. `tries`: secrets refused so far."""

    account: Account
    tries: int = 0


@dataclass(frozen=True, slots=True)
class AwaitingSecret:
    """We wait for the secret, given on the page behind the link."""

    account: Account
    link_id: str
    tries: int = 0


@dataclass(frozen=True, slots=True)
class ConfirmingSecret:
    """Something typed in the chat is kept sealed for a few minutes; we wait for the word that it is the secret."""

    account: Account
    link_id: str
    secret_id: str
    tries: int = 0


@dataclass(frozen=True, slots=True)
class AskingForMail:
    """We wait for whether a certified mail, which has legal force, may be sent as the proof."""

    account: Account
    secret_id: str
    tries: int = 0
    signed_in: Signed = ""


@dataclass(frozen=True, slots=True)
class Testing:
    """The live test runs. `signed_in`: the secret is what this provider granted; empty: a password."""

    account: Account
    secret_id: str
    tries: int = 0
    signed_in: Signed = ""


@dataclass(frozen=True, slots=True)
class Stuck:
    """The test failed for a reason that another password would not mend; the secret is kept."""

    account: Account
    secret_id: str
    cause: str
    better: Server | None = None
    signed_in: Signed = ""


@dataclass(frozen=True, slots=True)
class Managing:
    """We wait for what is to be done with the saved mailbox."""


@dataclass(frozen=True, slots=True)
class ConfirmingRemoval:
    """We wait for the yes to remove the mailbox."""


State = (
    Collecting
    | Suggesting
    | Finding
    | Hosting
    | Confirming
    | AwaitingLink
    | AwaitingSecret
    | ConfirmingSecret
    | AwaitingSignInLink
    | AwaitingSignIn
    | SignInStuck
    | AskingForMail
    | Testing
    | Stuck
    | Managing
    | ConfirmingRemoval
    | Done
)
