"""All that the flows and the bot say to each other.

Values stand inside sentences. Events are what happened, in the past tense, one per outcome. Effects are what is to be
done, in the imperative. All are frozen and plain, and none ever carries a secret: they carry the id of a sealed record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

Language = Literal["en", "pt", "es"]
LANGUAGES: tuple[Language, ...] = ("en", "pt", "es")
Security = Literal["tls", "starttls"]

# --- values: what may stand inside a sentence --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Code:
    """Text to be read letter by letter: a host, an address, a code. The channel sets it apart."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """Another sentence of the texts, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Quote:
    """The person's own words, shown back; the transcript keeps only that they were shown."""

    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """A one-time link, by the id of its record; its address is made only when the message leaves."""

    id: str


Value = str | int | date | Code | Text | Quote | Link
Values = Mapping[str, Value]

# --- what is said ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Option:
    """One choice: its value inside the question, its label (a name in the texts, or ready words in `words`)."""

    value: str
    label: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Say:
    """One sentence or paragraph, by its name in the texts."""

    name: str
    values: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """The question of a state. `question` names it within its flow; asking it twice is harmless."""

    question: str
    name: str
    values: Values = field(default_factory=dict)
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class Input:
    """A field of a question, where a channel can show several at once: its label (a name in the texts), what is known.

    `kind`: words are typed into it, or people or channels picked; then its value is their ids with commas between them.
    """

    name: str
    label: str
    value: str = ""
    kind: Literal["text", "people", "channels"] = "text"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of a workspace, by the channel's own id."""

    id: str
    name: str


# --- things that events and effects are about --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server: host name, port, and how the connection is encrypted. It always is."""

    host: str
    port: int
    security: Security


Transport = Literal["smtp", "graph"]
SignInProvider = Literal["microsoft", "google"]


@dataclass(frozen=True, slots=True)
class Account:
    """What a secret is for: an address, the name it signs in with, and the server.

    `transport`: how mail leaves; `graph` is Microsoft's own way for those whose SMTP is switched off.
    """

    address: str
    user: str
    server: Server
    transport: Transport = "smtp"


# --- events: what the person did -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """The person wrote something. `literal`: they confirmed that a command word is meant as text."""

    text: str
    literal: bool = False


@dataclass(frozen=True, slots=True)
class Chose:
    """The person chose an option of the question last asked, by button, number or label."""

    value: str


@dataclass(frozen=True, slots=True)
class Tapped:
    """A button of a question that is closed; WhatsApp's buttons stay tappable for ever."""

    button: str


@dataclass(frozen=True, slots=True)
class Shared:
    """Something that is not text: voice, image, video, document, sticker, contact, location or other."""

    kind: str


@dataclass(frozen=True, slots=True)
class FileShared:
    """A file that can go with a mail; it is being fetched into our keeping, sealed."""

    file_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Filled:
    """Several fields of the question last asked at once, from a window."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SecretTyped:
    """A secret came in, typed in the chat, in the shape this provider's secrets have; it is sealed."""

    secret_id: str


@dataclass(frozen=True, slots=True)
class SecretSuspected:
    """Text that may be the awaited secret is kept sealed for five minutes."""

    secret_id: str


@dataclass(frozen=True, slots=True)
class SecretLeaked:
    """Text that looks like a password came where none was asked for; it was not kept."""


# --- events: answers, which belong to a question in progress and are dropped when late ------------------------------


@dataclass(frozen=True, slots=True)
class Joined:
    """The code was good: the contact now acts as a member of this agency."""

    agency: str


@dataclass(frozen=True, slots=True)
class JoinRefused:
    """The code was not accepted. `reason` is one of unknown, expired, used, too_many."""

    reason: str


@dataclass(frozen=True, slots=True)
class AccessAsked:
    """The wish for access was passed on; whoever decides, the asker reads the same."""


@dataclass(frozen=True, slots=True)
class AccessRefused:
    """The wish for access was not passed on: too many of them."""


@dataclass(frozen=True, slots=True)
class AccessDecided:
    """The admin's word on a wish for access counts; `name`: whose. `already`: somebody decided before."""

    name: str
    granted: bool
    already: bool = False


@dataclass(frozen=True, slots=True)
class EntranceCode:
    """A code to be typed at another entrance, good for so many minutes."""

    code: str
    minutes: int


@dataclass(frozen=True, slots=True)
class ProofAsked:
    """If the address is registered here, a code is mailed to it; nobody is told whether it is."""

    too_many: bool = False


@dataclass(frozen=True, slots=True)
class TeamSeen:
    """The members of the agency were looked up: the facts hold them."""


@dataclass(frozen=True, slots=True)
class InvitationMade:
    """An invitation: the words to be forwarded, with its code; for so many people, good for so many days."""

    forward: str
    uses: int
    days: int


@dataclass(frozen=True, slots=True)
class TeamChanged:
    """What was asked for a member is done."""


@dataclass(frozen=True, slots=True)
class TeamRefused:
    """It was not done: `last_admin` (another has to be named first), `gone` (no member any more), `unreachable`."""

    reason: str


@dataclass(frozen=True, slots=True)
class TeamTouched:
    """What was asked for all members is done, for so many of them."""

    count: int


@dataclass(frozen=True, slots=True)
class PeopleFound:
    """Who of those that were picked can be invited. `all`: full members among them; `working`: can send already.

    `more`: there are more than can be invited at once.
    """

    people: tuple[Person, ...]
    all: int
    working: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class PeopleUnknown:
    """Who was picked could not be looked up. `reason`: `later`, or `channel` (we are not in it, or it is gone)."""

    reason: str


@dataclass(frozen=True, slots=True)
class AddressRefused:
    """No address that mail could leave from. `reason`: empty when it is none, `no_domain`, `no_mail`."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class AddressDoubted:
    """The address looks like a slip of the pen; nothing was looked up yet."""

    address: str
    suggestion: str


@dataclass(frozen=True, slots=True)
class ServerFound:
    """The account that belongs to an address: ready to be used, or (`confirm`) to be shown and confirmed first."""

    account: Account
    confirm: bool = False


@dataclass(frozen=True, slots=True)
class ServerUnknown:
    """Nobody knows the server of this (normalised) address; the person has to say it.

    `later`: it could not be looked up just now, through no fault of the address.
    """

    address: str
    later: bool = False


@dataclass(frozen=True, slots=True)
class HosterUnknown:
    """What the person calls the company that they pay for their e-mail is none that we know."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An account measured by the agency's rule.

    `confirm`: its server does not visibly belong to the address. `differs`: it is another one than the agency's, and
    the agency's rule for that (`warn`, `strict`); empty when it is the same, or the agency has none.
    """

    account: Account
    confirm: bool = False
    differs: str = ""


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """A one-time link is ready; it gets its address when the message with it leaves."""

    link_id: str


@dataclass(frozen=True, slots=True)
class LinkRefused:
    """Too many open links."""


@dataclass(frozen=True, slots=True)
class SecretStored:
    """The page behind this link sealed the awaited secret."""

    secret_id: str
    link_id: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The person signed in at their provider, through this link; the grant is sealed under the id of a secret."""

    secret_id: str
    link_id: str


@dataclass(frozen=True, slots=True)
class SignInFailed:
    """Signing in at the provider came to nothing; the link is used up.

    `reason`: `denied` (they said no), `other_account` (they signed in as `other`), `consent` (an administrator has to
    allow the program first), `away` (the provider does not answer), `ours` (this installation is not set up right),
    `other` (the provider refused it for a reason of its own).
    """

    reason: str
    link_id: str
    other: str = ""


@dataclass(frozen=True, slots=True)
class DoorKeyShown:
    """The page has shown the key for Ally, once, and the person says there that it is typed in."""


@dataclass(frozen=True, slots=True)
class DataSeen:
    """What is stored about whoever asks, in short: names and addresses as one line each, the rest counted.

    Mails: `accepted` and `refused` by a mail server, `unclear` (no answer came), `waiting` to leave.
    """

    since: date
    name: str
    agencies: str
    addresses: str
    password: bool = False
    sign_ins: int = 0
    accepted: int = 0
    refused: int = 0
    unclear: int = 0
    waiting: int = 0
    cases: int = 0
    messages: int = 0


@dataclass(frozen=True, slots=True)
class DataTaken:
    """The page has given the file with all that is stored about this person, once."""


@dataclass(frozen=True, slots=True)
class SecretGone:
    """The secret cannot be used any more (erased in time, or its key was lost): it has to be given again."""


@dataclass(frozen=True, slots=True)
class LoginWorked:
    """The live test passed, with these settings (`repaired`: we corrected how the connection is encrypted).

    `proof`: what became of the mail to oneself (`accepted`, `later`, `unknown`; empty: none was sent). `arrived`: it
    was seen in the inbox. `copy`: what became of its copy in *Sent* (`found`, `appended`, or see `CopyMissing`).
    `size`: the largest mail in bytes that the server takes; 0: it does not say.
    """

    account: Account
    repaired: bool = False
    proof: str = ""
    arrived: bool = False
    copy: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class LoginFailed:
    """The live test failed: cause (of the closed list), who can act, whether waiting helps.

    `detail`: what is known more precisely (`self_signed`, `expired` ..., `ours`: it is our network). `better`: a server
    that would do instead.
    """

    cause: str
    who: str
    retry: bool
    detail: str = ""
    better: Server | None = None


@dataclass(frozen=True, slots=True)
class ServerAnswered:
    """A mail server proved its name there and offers to sign in; with these settings."""

    server: Server


@dataclass(frozen=True, slots=True)
class ServerSilent:
    """No mail server that could be used answered there: why, and what would do instead (see LoginFailed)."""

    cause: str
    detail: str = ""
    better: Server | None = None


@dataclass(frozen=True, slots=True)
class ServerWeighed:
    """So many members of the agency have another server than this one."""

    server: Server
    touched: int


@dataclass(frozen=True, slots=True)
class MailQueued:
    """The mail is kept and will be sent; its outcome comes as news."""

    mail_id: str


@dataclass(frozen=True, slots=True)
class FilesGone:
    """These files (ids) cannot go with the mail: they could not be fetched, or were kept for too long. Not sent."""

    file_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FilesComing:
    """A file of the mail is still being fetched; the mail can be sent in a moment."""


@dataclass(frozen=True, slots=True)
class FilesFit:
    """Nothing known speaks against these files: they are not more than the mail server takes."""


@dataclass(frozen=True, slots=True)
class FilesTooLarge:
    """Together the files are more than the mail server takes; not sent. `most`: what it takes, in megabytes."""

    most: int


@dataclass(frozen=True, slots=True)
class MailsExhausted:
    """Too many mails from this mailbox; this one was not sent. The next may leave in so many minutes."""

    minutes: int


@dataclass(frozen=True, slots=True)
class CaseOpened:
    """A case with this number is open; asked again, it is the same one."""

    number: int


@dataclass(frozen=True, slots=True)
class TestsExhausted:
    """Too many live tests, by this person or at this server; the next one may start in so many minutes."""

    __test__ = False  # pytest: not a test class

    minutes: int


# --- events: news, which is never dropped and never moves a flow ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class MailAccepted:
    """The server took the mail (its final 250) for these recipients, and not for the declined ones."""

    mail_id: str
    recipients: str
    declined: str = ""


@dataclass(frozen=True, slots=True)
class MailRefused:
    """The mail was not sent: the server refused it, or (without a cause) the mailbox is not as it was.

    `signed_in`: the provider whose sign-in for `address` has just ended; nothing else is the matter. `gone`: the
    password cannot be opened any more.
    """

    mail_id: str
    cause: str
    who: str
    retry: bool
    signed_in: SignInProvider | Literal[""] = ""
    address: str = ""
    gone: bool = False


@dataclass(frozen=True, slots=True)
class MailWaits:
    """The server does not take the mail yet, for a reason that passes; it is tried again."""

    mail_id: str
    cause: str


@dataclass(frozen=True, slots=True)
class MailUnknown:
    """The connection broke before the server said whether it took the mail. Nobody sends it again by itself.

    `recipients`: of a mail that was not written here, but came from Ally.
    """

    mail_id: str
    recipients: str = ""


@dataclass(frozen=True, slots=True)
class FileLost:
    """A file that was shared could not be taken. `reason`: `type`, `size`, `gone`."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class CopyMissing:
    """The mail went out; only its copy in *Sent* is missing: `no_folder`, `failed`, `no_imap` or `not_seen_yet`."""

    mail_id: str
    recipients: str
    state: str


@dataclass(frozen=True, slots=True)
class MailboxWorks:
    """A mailbox that had to wait works now."""

    address: str


@dataclass(frozen=True, slots=True)
class MailboxWaits:
    """A mailbox still has to wait, for another cause than before; who can act. `worked`: it worked until now."""

    address: str
    cause: str
    who: str = ""
    worked: bool = False


@dataclass(frozen=True, slots=True)
class MailboxBroke:
    """A mailbox that had to wait will not work like this: its secret is erased. Without a cause: it waited too long.

    `worked`: it did, until its secret was refused; without a cause its secret is gone.
    """

    address: str
    cause: str = ""
    worked: bool = False


@dataclass(frozen=True, slots=True)
class GrantEnded:
    """The provider does not let us in any more for this address (revoked, expired): one new sign-in mends it."""

    address: str
    provider: SignInProvider


@dataclass(frozen=True, slots=True)
class PasswordEnds:
    """Passwords stop working for this address on a day, in so many days: signing in now takes one tap."""

    address: str
    provider: SignInProvider
    day: date
    days: int


@dataclass(frozen=True, slots=True)
class AdminNeeded:
    """To an admin: a member cannot send until something is changed for these addresses; several without a name.

    `url`: where it is changed, where that is one page for all.
    """

    name: str
    addresses: str
    cause: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class MemberDiffers:
    """To an admin: a member would send through another server than the agency's. `asks`: they want the admin's word."""

    name: str
    address: str
    host: str
    asks: bool = False


@dataclass(frozen=True, slots=True)
class AccessWanted:
    """To an admin: somebody unknown wants to be a member. `number`: theirs, as far as it is known."""

    request_id: str
    name: str
    number: str
    address: str


@dataclass(frozen=True, slots=True)
class AccessGranted:
    """The wish for access was granted: the contact acts for this agency now."""

    agency: str


@dataclass(frozen=True, slots=True)
class AccessDeclined:
    """The wish for access was declined."""


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """To an admin: somebody used an invitation that is for many."""

    member_id: str
    name: str
    number: str


@dataclass(frozen=True, slots=True)
class MemberLeft:
    """To an admin: a member has left the agency."""

    name: str


@dataclass(frozen=True, slots=True)
class MemberDeactivated:
    """To an admin: a member's account in the workspace was deactivated, but they belong to the agency still."""

    member_id: str
    name: str


@dataclass(frozen=True, slots=True)
class NumberReissued:
    """To an admin: a member's phone number belongs to another account now; the member has to prove who they are."""

    name: str


@dataclass(frozen=True, slots=True)
class MovedAway:
    """The member whom this contact acted for comes in by another phone now, proven by a mail to the mailbox."""


@dataclass(frozen=True, slots=True)
class Excluded:
    """An admin has ended this person's membership in an agency. `url`: where an app password is deleted, if known."""

    agency: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Invited:
    """An admin of an agency invites this person, who is a member from now on; `by`: the admin's name."""

    agency: str
    by: str


@dataclass(frozen=True, slots=True)
class Reminded:
    """An admin asks to connect the e-mail."""

    agency: str


@dataclass(frozen=True, slots=True)
class SlackAdded:
    """The person has added us to their Slack workspace, and is an admin of the agency that it belongs to."""

    agency: str


@dataclass(frozen=True, slots=True)
class SlackLeft:
    """For an agency's admins elsewhere: we are not in their Slack workspace any more."""

    workspace: str


@dataclass(frozen=True, slots=True)
class CaseLapsed:
    """Nobody of the support team could answer in time: the person may go on with the bot, or wait."""

    number: int


@dataclass(frozen=True, slots=True)
class CaseEnded:
    """A case is over. `reason`: handed_back (a person has helped), closed, silent (the person did not answer).

    `at`: where the talk is to go on, see `Steered`; empty: where it was.
    """

    number: int
    reason: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class Steered:
    """Support leads the talk to another place, and perhaps answers there for the person, as if they had typed it.

    `at`: a field of the flow (`host`), `test` (the live test again), `link` (a new one for the secret), `menu`.
    `values`: answers by field; nothing secret is ever among them.
    """

    at: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TestSlow:
    """A live test takes longer than five seconds."""

    __test__ = False


@dataclass(frozen=True, slots=True)
class Lay:
    """A set-up was left lying; said once, inside the free window."""


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """A step raised; everything was rolled back, a person was told."""


Answer = (
    Joined
    | JoinRefused
    | AccessAsked
    | AccessRefused
    | AccessDecided
    | EntranceCode
    | ProofAsked
    | TeamSeen
    | InvitationMade
    | TeamChanged
    | TeamRefused
    | TeamTouched
    | PeopleFound
    | PeopleUnknown
    | AddressRefused
    | AddressDoubted
    | ServerFound
    | ServerUnknown
    | HosterUnknown
    | Judged
    | LinkOpened
    | LinkRefused
    | SecretStored
    | SignedIn
    | SignInFailed
    | DoorKeyShown
    | DataSeen
    | DataTaken
    | SecretGone
    | LoginWorked
    | LoginFailed
    | ServerAnswered
    | ServerSilent
    | ServerWeighed
    | CaseOpened
    | MailQueued
    | FilesGone
    | FilesComing
    | FilesFit
    | FilesTooLarge
    | MailsExhausted
    | TestsExhausted
)
News = (
    MailAccepted
    | MailRefused
    | MailUnknown
    | MailWaits
    | FileLost
    | CopyMissing
    | MailboxWorks
    | MailboxWaits
    | MailboxBroke
    | GrantEnded
    | PasswordEnds
    | AdminNeeded
    | MemberDiffers
    | AccessWanted
    | AccessGranted
    | AccessDeclined
    | MemberJoined
    | MemberLeft
    | MemberDeactivated
    | NumberReissued
    | MovedAway
    | Excluded
    | Invited
    | Reminded
    | SlackAdded
    | SlackLeft
    | CaseLapsed
    | CaseEnded
    | TestSlow
    | Lay
    | TurnFailed
)
Event = (
    Said
    | Chose
    | Tapped
    | Shared
    | FileShared
    | Filled
    | Steered
    | SecretTyped
    | SecretSuspected
    | SecretLeaked
    | Answer
    | News
)

# --- effects: records, which change our own tables and are written with the turn --------------------------------------


@dataclass(frozen=True, slots=True)
class Join:
    """Accept an invitation code. Answered by Joined or JoinRefused."""

    code: str


@dataclass(frozen=True, slots=True)
class AskAccess:
    """Pass on that this person wants to be a member: to the agency's admin, else to support. AccessAsked or refused."""

    agency: str
    address: str


@dataclass(frozen=True, slots=True)
class DecideAccess:
    """The admin's word on a wish for access. AccessDecided."""

    request_id: str
    granted: bool


@dataclass(frozen=True, slots=True)
class SeeTeam:
    """Look up the members of the agency, by an admin only. TeamSeen."""


@dataclass(frozen=True, slots=True)
class Invite:
    """Make an invitation, by an admin only. InvitationMade."""

    role: Literal["member", "admin"]
    uses: int
    language: Language


@dataclass(frozen=True, slots=True)
class RemindMember:
    """Remind a member of the e-mail that is not connected. TeamChanged or TeamRefused."""

    member_id: str


@dataclass(frozen=True, slots=True)
class PauseMember:
    """Let nothing leave from a member's address, or (`off` is false) let it again. TeamChanged or TeamRefused."""

    member_id: str
    off: bool


@dataclass(frozen=True, slots=True)
class TakeKey:
    """Take a member's key for Ally back. TeamChanged or TeamRefused."""

    member_id: str


@dataclass(frozen=True, slots=True)
class ExcludeMember:
    """End a membership: secret erased, links and waiting mails void. TeamChanged or TeamRefused."""

    member_id: str


@dataclass(frozen=True, slots=True)
class SetRole:
    """Make a member an admin, or an admin a member. TeamChanged or TeamRefused."""

    member_id: str
    role: Literal["member", "admin"]


@dataclass(frozen=True, slots=True)
class TestTeam:
    """Test the mailboxes of all members, by an admin only; those that wait at once. TeamTouched."""

    __test__ = False


@dataclass(frozen=True, slots=True)
class RemindTeam:
    """Remind all members whose e-mail is not connected or broken, by an admin only. TeamTouched."""


@dataclass(frozen=True, slots=True)
class InvitePeople:
    """Make these people of the admin's workspace members and write to each, one a second. TeamTouched."""

    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class SeeRoles:
    """Look up the memberships of whoever writes. TeamSeen."""


@dataclass(frozen=True, slots=True)
class ActFor:
    """From now on they act for this membership of theirs. TeamChanged or TeamRefused."""

    member_id: str


@dataclass(frozen=True, slots=True)
class MakeLinkCode:
    """Make a code with which this member comes in at another entrance, too. EntranceCode."""


@dataclass(frozen=True, slots=True)
class ProveAddress:
    """Mail a code to this address, if it is registered here. ProofAsked."""

    address: str


@dataclass(frozen=True, slots=True)
class UseEntranceCode:
    """Come in with six digits, shown or mailed. Joined or JoinRefused."""

    code: str


@dataclass(frozen=True, slots=True)
class LeaveAgency:
    """End the membership that they act for: see ExcludeMember. TeamChanged or TeamRefused."""


@dataclass(frozen=True, slots=True)
class SetLanguage:
    """The person's language from now on."""

    language: Language


@dataclass(frozen=True, slots=True)
class SetMessages:
    """The person wants messages (START), or none any more (STOP)."""

    wanted: bool


@dataclass(frozen=True, slots=True)
class OpenLink:
    """Open a one-time link for the secret of an account; older links are void. LinkOpened or LinkRefused."""

    account: Account


@dataclass(frozen=True, slots=True)
class OpenSignIn:
    """Open a one-time link behind which the person signs in at their provider. LinkOpened or LinkRefused.

    Then SignedIn or SignInFailed. What is asked for there follows from the account's transport.
    """

    account: Account
    provider: SignInProvider


@dataclass(frozen=True, slots=True)
class OpenDoor:
    """Open a one-time link behind which a key for Ally is shown once; it voids the old one. LinkOpened or LinkRefused.

    Then DoorKeyShown. With the key Ally sends through us, from the saved mailbox.
    """


@dataclass(frozen=True, slots=True)
class SeeData:
    """Look up in short what is stored about whoever asks. DataSeen."""


@dataclass(frozen=True, slots=True)
class OpenData:
    """Open a one-time link behind which they get all of it as a file. LinkOpened or LinkRefused; then DataTaken."""


@dataclass(frozen=True, slots=True)
class CloseDoor:
    """Take the key for Ally back."""


@dataclass(frozen=True, slots=True)
class FindHoster:
    """Find the server of an address by what the person calls the company they pay. ServerFound or HosterUnknown."""

    address: str
    words: str


@dataclass(frozen=True, slots=True)
class Judge:
    """Measure an account by the agency's rule of one server for all. Judged."""

    account: Account
    confirm: bool = False


@dataclass(frozen=True, slots=True)
class WeighServer:
    """Count the members of the agency who have another server than this one. ServerWeighed."""

    server: Server


@dataclass(frozen=True, slots=True)
class SetAgencyServer:
    """From now on this is the agency's one server; None: it has none. By an admin only."""

    server: Server | None


@dataclass(frozen=True, slots=True)
class TellAdmins:
    """Tell the agency's admins, as news in their own conversations: about all who wait for the same, or who differs."""

    news: AdminNeeded | MemberDiffers


@dataclass(frozen=True, slots=True)
class RetryWaiting:
    """Test all mailboxes of the agency that have to wait, now: an admin has changed something.

    `again`: and once more after so many minutes each, for those that still wait: a change can take an hour to hold.
    """

    again: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EraseSecret:
    """Erase a sealed secret at once."""

    secret_id: str


@dataclass(frozen=True, slots=True)
class SaveMailbox:
    """Save the account with its sealed secret. `cause` is empty when it works, else what it waits for.

    `size`: see LoginWorked.
    """

    account: Account
    secret_id: str
    cause: str = ""
    who: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class SwitchMailbox:
    """Switch sending from the saved mailbox on or off."""

    on: bool


@dataclass(frozen=True, slots=True)
class RemoveMailbox:
    """Erase the saved mailbox and its secret."""


@dataclass(frozen=True, slots=True)
class WeighFiles:
    """Whether these files (ids) can go with a mail. FilesFit, FilesGone or FilesTooLarge.

    One that is still being fetched weighs nothing yet.
    """

    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SendMail:
    """Send a mail from the saved mailbox, with these files. MailQueued, FilesGone or MailsExhausted; outcome: news."""

    recipients: tuple[str, ...]
    subject: str
    text: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A person is wanted. `reason` is one of asked, stuck."""

    reason: str


@dataclass(frozen=True, slots=True)
class LeaveCase:
    """The person wants the bot again: the case is over."""


# --- effects: promises, which touch the world ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Speak:
    """One message: what is said, then the question with its options. Made by `converse` alone.

    `inputs`: the question as fields that can be filled in at once, for a channel with windows.
    """

    parts: tuple[Say, ...]
    question: str = ""
    options: tuple[Option, ...] = ()
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True, slots=True)
class Discover:
    """Find the server of an address. AddressRefused, AddressDoubted, ServerFound or ServerUnknown.

    `sure`: the person says that it is no slip.
    """

    address: str
    sure: bool = False


@dataclass(frozen=True, slots=True)
class TestLogin:
    """Run the live test. LoginWorked, LoginFailed or TestsExhausted; TestSlow on the way.

    `mail`: a real mail to oneself is its last stage; it alone shows senders that are refused after their mail was read.
    """

    __test__ = False

    account: Account
    secret_id: str
    mail: bool = False


@dataclass(frozen=True, slots=True)
class CheckServer:
    """Reach a server without signing in. ServerAnswered, ServerSilent or TestsExhausted."""

    server: Server


@dataclass(frozen=True, slots=True)
class LookUpPeople:
    """Find who these users are, and who is in these channels, of the workspace. PeopleFound or PeopleUnknown."""

    users: tuple[str, ...]
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EraseAtProvider:
    """Erase the message that was just received at the channel's provider: it may hold a secret."""


@dataclass(frozen=True, slots=True)
class EraseEverything:
    """Erase all that is stored about this contact, after the last word to them has left."""


# --- effects: for `converse` itself --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Begin another flow; a flow does not import another one. `entry` chooses its first state.

    `account`: what it is about, where nothing is saved yet.
    """

    flow: str
    entry: str = ""
    account: Account | None = None


@dataclass(frozen=True, slots=True)
class FieldErrors:
    """What was filled into a window does not fit: why, field by field. Spent at the edge, while the window is open."""

    problems: tuple[tuple[str, Say], ...]


@dataclass(frozen=True, slots=True)
class NoteQuestion:
    """A question was asked: in these words (empty: not to be kept), answered by this topic, or (empty) by none."""

    words: str
    topic: str = ""


@dataclass(frozen=True, slots=True)
class NotHelpful:
    """The answer to the question that was noted last did not help."""


Record = (
    Join
    | AskAccess
    | DecideAccess
    | SeeTeam
    | Invite
    | RemindMember
    | PauseMember
    | TakeKey
    | ExcludeMember
    | SetRole
    | TestTeam
    | RemindTeam
    | InvitePeople
    | SeeRoles
    | ActFor
    | LeaveAgency
    | MakeLinkCode
    | ProveAddress
    | UseEntranceCode
    | SetLanguage
    | SetMessages
    | OpenLink
    | OpenSignIn
    | OpenDoor
    | SeeData
    | OpenData
    | CloseDoor
    | FindHoster
    | Judge
    | WeighServer
    | SetAgencyServer
    | TellAdmins
    | RetryWaiting
    | EraseSecret
    | SaveMailbox
    | SwitchMailbox
    | RemoveMailbox
    | WeighFiles
    | SendMail
    | OpenCase
    | LeaveCase
    | NoteQuestion
    | NotHelpful
)
Promised = Speak | Discover | TestLogin | CheckServer | LookUpPeople | EraseAtProvider | EraseEverything
Effect = Say | Start | FieldErrors | Record | Promised


@dataclass(frozen=True, slots=True)
class Declined:
    """A flow's word that it has no use for an event; `problem` names the sentence that says why."""

    problem: str = ""
    values: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """The state of a flow that has ended. The menu follows, now or (`ask` false) with the news that is on its way."""

    ask: bool = True
