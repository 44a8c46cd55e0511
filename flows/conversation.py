"""What surrounds every flow, once: greeting, commands, back, corrections, language, a person, late answers, news.

`understand` tells what a message means, given the question last asked. `converse` applies one event; the bot performs
the records it asks for and comes back with their answers; `close` then makes the one message of the turn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from flows import (
    card,
    compose,
    door,
    handoff,
    integrate,
    invite,
    mailbox,
    mailbox_states,
    menu,
    privacy,
    questions,
    reading,
    remedies,
    roles,
    sign_in,
    team,
    welcome,
)
from flows.facts import Facts, Pasted
from flows.flow import GO, Flow, State
from flows.questions import PERSON, READ
from flows.reading import Command
from flows.remarks import remark
from flows.speech import Plain, has, label, render, texts
from flows.words import (
    LANGUAGES,
    AccessDecided,
    AccessDeclined,
    AccessGranted,
    AccessWanted,
    Account,
    AdminNeeded,
    Ask,
    CaseEnded,
    CaseLapsed,
    CaseOpened,
    Chose,
    Code,
    CopyMissing,
    DecideAccess,
    Declined,
    Done,
    Effect,
    EraseAtProvider,
    EraseSecret,
    Event,
    Excluded,
    FieldErrors,
    FileLost,
    FileShared,
    Filled,
    GrantEnded,
    Input,
    Invited,
    Judged,
    Language,
    Lay,
    LeaveCase,
    MailAccepted,
    MailboxBroke,
    MailboxWaits,
    MailboxWorks,
    MailRefused,
    MailUnknown,
    MailWaits,
    MemberDeactivated,
    MemberDiffers,
    MemberJoined,
    MemberLeft,
    MovedAway,
    News,
    NumberReissued,
    OpenCase,
    Option,
    PasswordEnds,
    Record,
    Reminded,
    Said,
    Say,
    SecretLeaked,
    SecretSuspected,
    SecretTyped,
    ServerFound,
    SetLanguage,
    SetMessages,
    Shared,
    SignInProvider,
    SlackAdded,
    SlackLeft,
    Speak,
    Start,
    Steered,
    Tapped,
    TellAdmins,
    TestSlow,
    Text,
    Value,
    Values,
)

FLOWS: dict[str, Flow] = {
    one.name: one
    for one in (
        welcome.FLOW,
        menu.FLOW,
        mailbox.FLOW,
        card.FLOW,
        door.FLOW,
        integrate.FLOW,
        team.FLOW,
        invite.FLOW,
        roles.FLOW,
        compose.FLOW,
        privacy.FLOW,
    )
}
MAX_TRAIL = 10
MAX_STARTS = 5  # flows that start one another in one turn; more would be a circle
MAX_OPTIONS = 10  # WhatsApp's list
MAX_BUTTONS = 3  # WhatsApp's buttons
SEEN_AT_THE_DESK = frozenset({"voice", "image", "video", "document", "sticker"})
MAX_CHOICE = 2  # digits with which an option is chosen
MISSES_BEFORE_A_PERSON = 3
MAX_WITH_CHOICES = 960  # of WhatsApp's 1,024 characters; the rest is for what the channel adds to set values apart
MAX_WITHOUT_CHOICES = 1_500  # of its 1,600
LINK_LENGTH = 120  # a one-time link is not longer
FIX = "fix:"  # an option that asks for one answer of this flow again: "fix:host"
DONT_KNOW = ("unknown", "forgotten")  # choices of somebody who does not know
# Options below news that are done on the spot, whatever flow goes on: somebody is let in or not, or all is well.
ADMIT, REFUSE, NOTED, LATER, WAIT = "admit:", "refuse:", "noted:", "later:", "wait:"
DOUBT = "talk.doubt"
NEWS = "news."
FOR_ANYBODY = frozenset({"welcome", "privacy"})  # flows that need no agency


@dataclass(frozen=True, slots=True)
class Asked:
    """The question as the person saw it: "2" means what stood there, whatever the texts say today."""

    question: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Envelope:
    """The saved state of a conversation.

    `ticket` grows with every step of a flow: an answer with another ticket is late. `misses`: how often the question
    was not understood. `doubt`: words that are either a command or free text. `silent`: the person wants no messages.
    `topic`: of the guide, answered last. `lost`: it could not be read and begins anew; never saved, because the first
    turn apologises.
    """

    flow: str = ""
    state: State = field(default_factory=Done)
    trail: tuple[tuple[str, State], ...] = ()
    asked: Asked | None = None
    ticket: int = 0
    misses: int = 0
    doubt: str = ""
    greeted: bool = False
    silent: bool = False
    topic: str = ""
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """What one event led to: the new envelope, what to do, and whether the question is to be asked.

    `briefly`: below an answer the menu is not shown again, but what it offers still works. `asking`: what is said then.
    """

    envelope: Envelope
    effects: tuple[Effect, ...] = ()
    ask: bool = False
    offer: tuple[Option, ...] = ()
    briefly: bool = False
    asking: str = "talk.anything_else"

    def then(self, later: "Turn") -> "Turn":
        """The turn continued: what is to be done adds up, the later one decides what is asked."""
        return replace(later, effects=self.effects + later.effects, offer=self.offer + later.offer)


# --- what a message means -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Secretive:
    """A message that may hold a secret. `taken`: it has exactly the awaited shape; else it has to be asked about."""

    taken: bool


def understand(
    envelope: Envelope, text: str, button: str | None, kind: str, facts: Facts, fields: Mapping[str, str] | None = None
) -> Event | Secretive:
    """What a message means after the question last asked. Secretive text must be sealed before anything else.

    `fields`: what was filled into a window; `button` then names its question alone.
    """
    if button:
        question, _, value = button.partition(":")
        known = envelope.asked is not None and envelope.asked.question == question
        if fields is not None:
            return Filled(fields) if known else Tapped(button)
        return Chose(value) if known and value in dict(_options(envelope)) else Tapped(button)
    if kind != "text":
        return Shared(kind)
    if reading.holds_door_key(text) and not private(envelope):
        return SecretLeaked()
    if facts.pasted is not None and not private(envelope):
        return Said(text)
    chosen = reading.choice(text, _options(envelope))
    if chosen is not None:
        return Chose(chosen)
    if awaits_secret(envelope):
        return _while_a_secret_is_awaited(envelope, text, facts)
    harmless = _takes_any_text(envelope) or (_asks_an_address(envelope) and "@" in text)
    return Said(text) if harmless or not reading.looks_like_a_leak(text) else SecretLeaked()


def awaits_secret(envelope: Envelope) -> bool:
    """Whether what is typed now may be a secret: it is judged in memory, never written down."""
    return _takes_secrets(envelope) or isinstance(envelope.state, sign_in.AwaitingSignIn)


def behind_a_link(envelope: Envelope) -> bool:
    """Whether we wait for what is done on the page behind a one-time link, which is void when we do not any more."""
    return awaits_secret(envelope) or isinstance(envelope.state, door.AwaitingKey | privacy.AwaitingVisit)


def _takes_secrets(envelope: Envelope) -> bool:
    """Whether a secret that is typed now is used; where one signs in at the provider, it never is."""
    return isinstance(envelope.state, mailbox_states.AwaitingSecret | mailbox_states.ConfirmingSecret)


def _while_a_secret_is_awaited(envelope: Envelope, text: str, facts: Facts) -> Event | Secretive:
    if _is_nobodys_secret(envelope, text):
        return Said(text)
    if remark(text) is not None and not reading.looks_like_a_leak(text):
        return Said(text)
    shape = facts.provider.shape if facts.provider else ""
    if reading.has_shape(text, shape) and not reading.has_ordinary_words(text):
        return Secretive(taken=True) if _takes_secrets(envelope) else SecretLeaked()
    language = reading.looks_like_a_sentence(text) or _is_a_clear_question(text, facts)
    if language or len(text) > reading.MAX_SECRET or not text.strip():
        return SecretLeaked() if reading.looks_like_a_leak(text) else Said(text)
    return Secretive(taken=False) if _takes_secrets(envelope) else SecretLeaked()


def _is_nobodys_secret(envelope: Envelope, text: str) -> bool:
    """Whether no password looks like that: a command, a correction (an address is one), a choice, "done"."""
    corrects = _wrong_field(envelope, text) or reading.address(text) == text.strip()
    return bool(reading.command(text) or corrects or _was_meant_as_a_choice(text) or reading.says_done(text))


def _was_meant_as_a_choice(text: str) -> bool:
    """Whether it is a number that stands at no choice: nobody's password is as short as that."""
    return len(text.strip()) <= MAX_CHOICE and text.strip().isdecimal()


def _is_a_clear_question(text: str, facts: Facts) -> bool:
    """Whether these are words of the guide's, without any sign that asks."""
    return questions.is_a_phrase(text) and facts.question is not None and facts.question.clear


def _takes_any_text(envelope: Envelope) -> bool:
    match envelope.state:
        case compose.Collecting(_, asking):
            return compose.FORM.field(asking).free
    return False


def _asks_an_address(envelope: Envelope) -> bool:
    match envelope.state:
        case mailbox_states.Collecting(_, "address") | compose.Collecting(_, "to"):
            return True
    return False


def _options(envelope: Envelope) -> tuple[tuple[str, str], ...]:
    return envelope.asked.options if envelope.asked else ()


def private(envelope: Envelope) -> bool:
    """Whether the person's words are a mail of theirs: the transcript keeps only that something was written."""
    return isinstance(envelope.state, compose.Collecting)


# --- one event --------------------------------------------------------------------------------------------------------


def converse(envelope: Envelope, event: Event, facts: Facts) -> Turn:
    """Apply one event. Answers must belong to the envelope's ticket (`is_late` tells); news never moves a flow."""
    if envelope.silent and _by_the_person(event) and not _is_command(event, "start"):
        return _stay_silent(envelope, event)
    if not _by_the_person(event):
        turn = _happened(_placed(envelope, facts), event, facts)
        if envelope.lost:
            turn = replace(Turn(envelope, (Say("talk.restarted"),)).then(turn), ask=True)
        return _unsaid(turn) if envelope.silent else turn
    if not envelope.greeted:
        return _begin(envelope, _intro(facts), event, facts)
    if envelope.lost:
        return _begin(envelope, Say("talk.restarted"), event, facts)
    return _heard(_placed(envelope, facts, anew=True), event, facts)


def _heard(envelope: Envelope, event: Event, facts: Facts) -> Turn:
    """What the person did."""
    match event:
        case Said() if awaits_secret(envelope):
            return Turn(envelope, (EraseAtProvider(),)).then(_spoke(envelope, event, facts))
        case Said() | Chose():
            return _spoke(envelope, event, facts)
        case Tapped(button):
            return _tapped(envelope, button, facts)
        case FileShared():
            offered = Start("compose", "offer")  # no flow waits for it: perhaps it is to be sent
            return _step(envelope, event, facts) or _start(envelope, offered, replace(facts, shared=event))
        case Shared(kind):
            return Turn(envelope, (_unread(kind, envelope, facts),), ask=True)
        case Filled():
            return _step(envelope, event, facts) or Turn(envelope, (Say("talk.closed"),), ask=True)
        case SecretTyped(secret_id) | SecretSuspected(secret_id) if not _takes_secrets(envelope):
            return Turn(envelope, (EraseSecret(secret_id),)).then(_leaked(envelope))
        case SecretLeaked():
            return _leaked(envelope)
    return _step(envelope, event, facts) or Turn(envelope)


def takes_files(envelope: Envelope, facts: Facts) -> bool:
    """Whether a file that comes now can be of use: for a mail, or at rest, from somebody who can send."""
    usable = facts.mailbox is not None and facts.mailbox.state == "works" and not envelope.silent
    return usable and envelope.flow in {"menu", "card", "door", "compose"}


def _leaked(envelope: Envelope) -> Turn:
    signing_in = isinstance(envelope.state, sign_in.AwaitingSignIn)
    if envelope.flow == door.FLOW.name:
        new = Option(f"{GO}door.new", "door.button.new")
        return Turn(envelope, (EraseAtProvider(), Say("door.typed")), ask=True, offer=(new,))
    return Turn(envelope, (EraseAtProvider(), Say("sign_in.typed" if signing_in else "talk.leaked")), ask=True)


def _happened(envelope: Envelope, event: Event, facts: Facts) -> Turn:
    """What the world did: an answer to a question in progress, or news."""
    match event:
        case CaseOpened(number):
            told = handoff.opened(number, envelope.flow, envelope.state, _about(envelope), facts)
            return Turn(envelope, (told,), ask=True)
        case AccessDecided(name, granted, already):
            became = "already" if already else "granted" if granted else "refused"
            return Turn(envelope, (Say(f"access.{became}", {"name": name}),), ask=True)
        case Steered(at, values):
            return _steered(envelope, at, values, facts)
    if isinstance(event, News):
        return _news(envelope, event, facts)
    return _step(envelope, event, facts) or Turn(envelope)


def _stay_silent(envelope: Envelope, event: Event) -> Turn:
    """One sentence on how to go on; a secret that came in nevertheless is not kept."""
    erase: tuple[Effect, ...] = ()
    match event:
        case SecretTyped(secret_id) | SecretSuspected(secret_id):
            erase = (EraseSecret(secret_id), EraseAtProvider())
        case SecretLeaked():
            erase = (EraseAtProvider(),)
    return Turn(envelope, (*erase, Say("talk.silent")))


def _unsaid(turn: Turn) -> Turn:
    """All of a turn but its words: the person wants none that they did not ask for."""
    return Turn(turn.envelope, tuple(effect for effect in turn.effects if not isinstance(effect, Say)))


def _placed(envelope: Envelope, facts: Facts, *, anew: bool = False) -> Envelope:
    """A conversation without a flow begins at home; `anew`: so does one whose person joined or left an agency."""
    lost = envelope.flow == "welcome" if facts.agency else envelope.flow not in FOR_ANYBODY
    return _at_home(envelope, facts) if not envelope.flow or (anew and lost) else envelope


def is_late(envelope: Envelope, ticket: int) -> bool:
    """Whether an answer belongs to a question that is no longer asked. The one place where answers are dropped."""
    return ticket != envelope.ticket


_BY_THE_PERSON = (Said, Chose, Tapped, Shared, FileShared, Filled, SecretTyped, SecretSuspected, SecretLeaked)


def _by_the_person(event: Event) -> bool:
    return isinstance(event, _BY_THE_PERSON)


def _is_command(event: Event, name: Command) -> bool:
    return isinstance(event, Said) and reading.command(event.text) == name


def _home(facts: Facts) -> str:
    """Where somebody rests: members in the menu, everybody else at the door."""
    return "menu" if facts.agency else "welcome"


def _first(name: str, facts: Facts) -> State:
    return FLOWS[name].start("", facts)[0]


def _intro(facts: Facts) -> Say:
    """The first words to anybody: whose assistant this is, that it is automatic, what is kept, how to erase."""
    house = facts.house
    return Say("talk.intro", {"operator": house.operator, "days": house.retention_days, "url": house.privacy_url})


def _begin(envelope: Envelope, first: Say, event: Event, facts: Facts) -> Turn:
    """A conversation at its beginning: these words first, then what the event leads to, or the first question."""
    begun = _at_home(replace(envelope, greeted=True, lost=False), facts)
    rest = converse(begun, event, facts)
    if rest.envelope.state == begun.state and not _records(rest) and facts.pasted is None:
        rest = Turn(begun, ask=True)  # a first "hi" is no mistake: no complaint, just the first question
    return Turn(begun, (first,)).then(rest)


def _records(turn: Turn) -> list[Effect]:
    return [effect for effect in turn.effects if not isinstance(effect, Say)]


def _unread(kind: str, envelope: Envelope, facts: Facts) -> Say:
    """We read no pictures and hear no voices; whoever takes care of the person's case does."""
    if kind in SEEN_AT_THE_DESK and facts.case and facts.house.desk and not awaits_secret(envelope):
        return Say("talk.shared.passed_on", {"number": facts.case})
    return Say(f"talk.shared.{kind}" if has(f"talk.shared.{kind}") else "talk.shared.other")


def _spoke(envelope: Envelope, event: Said | Chose, facts: Facts) -> Turn:
    """The order of first refusal: doubt, flow, command, correction, guide, reprompt."""
    if envelope.asked is not None and envelope.asked.question == DOUBT:
        return _undoubt(envelope, event, facts)
    if isinstance(event, Chose) and event.value.startswith(GO):
        return _go(envelope, event.value.removeprefix(GO), facts)
    if isinstance(event, Chose) and (done := _on_the_spot(envelope, event.value)):
        return done
    if isinstance(event, Chose) and event.value.startswith(READ):
        return _read(envelope, event.value.removeprefix(READ), facts)
    if isinstance(event, Chose) and event.value.startswith(FIX):
        return _asked_anew(envelope, event.value.removeprefix(FIX), facts) or Turn(envelope, ask=True)
    if isinstance(event, Said) and facts.pasted is not None and not _takes_errors(envelope):
        return _explained(envelope, facts.pasted, facts)
    stepped = FLOWS[envelope.flow].step(envelope.state, event, facts)
    if not isinstance(stepped, Declined):
        return _apply(envelope, *stepped, facts)
    if stepped.problem == DOUBT and isinstance(event, Said):
        return Turn(replace(envelope, doubt=event.text), ask=True)
    if isinstance(event, Said) and (name := reading.command(event.text)):
        return _command(envelope, name, facts)
    if isinstance(event, Said) and (remarked := _remarked(envelope, event.text, facts)):
        return Turn(envelope, questions.their_language(facts)).then(remarked)
    if isinstance(event, Said) and (corrected := _corrected(envelope, event.text, facts)):
        return corrected
    if isinstance(event, Said) and (answered := _from_the_guide(envelope, event.text, facts)):
        return answered
    return Turn(envelope, questions.their_language(facts)).then(_missed(envelope, stepped))


def _undoubt(envelope: Envelope, event: Said | Chose, facts: Facts) -> Turn:
    doubted, clear = envelope.doubt, replace(envelope, doubt="", asked=None)
    match event:
        case Chose("text"):
            return _spoke(clear, Said(doubted, literal=True), facts)
        case Chose("command") if name := reading.command(doubted):
            return _command(clear, name, facts)
        case Said(text) if (name := reading.command(text)) and name == reading.command(doubted):
            return _command(clear, name, facts)  # said twice, it is meant
    return _spoke(clear, event, facts)


def _step(envelope: Envelope, event: Event, facts: Facts) -> Turn | None:
    stepped = FLOWS[envelope.flow].step(envelope.state, event, facts)
    if isinstance(stepped, Declined):
        return Turn(envelope, (Say(stepped.problem, stepped.values),), ask=True) if stepped.problem else None
    return _apply(envelope, *stepped, facts)


def _apply(envelope: Envelope, state: State, effects: Sequence[Effect], facts: Facts) -> Turn:
    """A flow has taken an event: remember the way back, give a new ticket, follow where it leads."""
    moved = state != envelope.state
    trail = _remember(envelope) if moved else envelope.trail
    ticket = envelope.ticket + moved
    asked = None if moved else envelope.asked
    after = replace(envelope, state=state, trail=trail, ticket=ticket, misses=0, doubt="", asked=asked)
    begin = next((effect for effect in effects if isinstance(effect, Start)), None)
    rest = tuple(effect for effect in effects if not isinstance(effect, Start))
    if begin is not None:
        return Turn(after, rest).then(_start(after, begin, facts))
    if isinstance(state, Done):
        return Turn(_at_home(after, facts), rest, ask=state.ask)
    shown = any(isinstance(effect, FieldErrors) for effect in rest)  # in the window that asks, which stays open
    return Turn(after, rest, ask=not shown and (not isinstance(state, FLOWS[envelope.flow].world) or not moved))


def _remember(envelope: Envelope) -> tuple[tuple[str, State], ...]:
    if not isinstance(envelope.state, FLOWS[envelope.flow].back):
        return envelope.trail
    return (*envelope.trail, (envelope.flow, envelope.state))[-MAX_TRAIL:]


def _at_home(envelope: Envelope, facts: Facts) -> Envelope:
    home = _home(facts)
    return _entered(envelope, home, _first(home, facts))


def _entered(envelope: Envelope, flow: str, state: State) -> Envelope:
    ticket = envelope.ticket + 1
    return replace(envelope, flow=flow, state=state, trail=(), ticket=ticket, misses=0, doubt="", asked=None)


def _start(envelope: Envelope, begin: Start, facts: Facts, depth: int = 0) -> Turn:
    flow = FLOWS[begin.flow]
    state, effects = flow.start(begin.entry, replace(facts, about=begin.account))
    entered = _entered(envelope, flow.name, state)
    onward = next((effect for effect in effects if isinstance(effect, Start)), None)
    said = tuple(effect for effect in effects if not isinstance(effect, Start))
    if onward is not None and depth < MAX_STARTS:
        return Turn(entered, said).then(_start(entered, onward, facts, depth + 1))
    if isinstance(state, Done):
        return Turn(_at_home(entered, facts), said, ask=state.ask)
    return Turn(entered, said, ask=not isinstance(state, flow.world))


def _missed(envelope: Envelope, declined: Declined) -> Turn:
    """Not understood: say why and ask again; after three times a person is offered."""
    if isinstance(envelope.state, FLOWS[envelope.flow].world):
        return Turn(envelope, ask=True)
    misses = envelope.misses + 1
    why = Say(declined.problem, declined.values) if declined.problem else Say("talk.not_understood")
    again = replace(envelope, misses=misses)
    if misses < MISSES_BEFORE_A_PERSON:
        return Turn(again, (why,), ask=True)
    return Turn(again, (why, Say("talk.offer_person")), ask=True, offer=(PERSON,))


def _tapped(envelope: Envelope, button: str, facts: Facts) -> Turn:
    """A button of an older message. One that leads to a flow still does; any other question is closed."""
    _, _, value = button.partition(":")
    if value.startswith(GO):
        return _go(envelope, value.removeprefix(GO), facts)
    if value.startswith(READ):
        return _read(envelope, value.removeprefix(READ), facts)
    return _on_the_spot(envelope, value) or Turn(envelope, (Say("talk.closed"),), ask=True)


def _on_the_spot(envelope: Envelope, value: str) -> Turn | None:
    """What needs no flow; whether this person may, the record knows."""
    for prefix in (ADMIT, REFUSE):
        if value.startswith(prefix):
            return Turn(envelope, (DecideAccess(value.removeprefix(prefix), granted=prefix == ADMIT),))
    if value == WAIT:
        return Turn(envelope, (Say("handoff.waiting"),))
    if value == LATER:
        return Turn(envelope, (Say("news.later"),), ask=True, briefly=True)
    return Turn(envelope, (Say("news.noted"),), ask=True) if value == NOTED else None


def _go(envelope: Envelope, target: str, facts: Facts) -> Turn:
    if target == "person":
        return _command(envelope, "person", facts)
    name, _, entry = target.partition(".")
    if name not in FLOWS:
        return Turn(envelope, (Say("talk.closed"),), ask=True)
    if not facts.agency and name not in FOR_ANYBODY:
        return Turn(_at_home(envelope, facts), ask=True)
    return _start(envelope, Start(name, entry), facts)


# --- commands ---------------------------------------------------------------------------------------------------------


def _command(envelope: Envelope, name: Command, facts: Facts) -> Turn:
    match name:
        case "english" | "portuguese" | "spanish":
            return Turn(envelope, (SetLanguage(reading.LANGUAGE_OF[name]), Say("menu.language_set")), ask=True)
        case "stop":
            return Turn(replace(envelope, silent=True), (SetMessages(wanted=False), Say("talk.stopped")))
        case "start":
            return Turn(replace(envelope, silent=False), (SetMessages(wanted=True), Say("talk.started")), ask=True)
        case "leave":
            left = () if _resting(envelope) else (Say("talk.left"),)
            return Turn(_at_home(envelope, facts), left, ask=True)
        case "menu":
            return Turn(_at_home(envelope, facts), ask=True)
        case "back":
            return _back(envelope, facts)
        case "again":
            return Turn(envelope, ask=True)
        case "person":
            return Turn(envelope, (OpenCase("asked"),))
        case _:
            return _small_command(envelope, name, facts)


def _small_command(envelope: Envelope, name: Command, facts: Facts) -> Turn:
    match name:
        case "help":
            return Turn(envelope, (Say("talk.help", {"operator": facts.house.operator}),), ask=True)
        case "link":
            none = Turn(envelope, (Say("talk.no_link"),), ask=True)
            return (_step(envelope, Chose("new_link"), facts) or none) if behind_a_link(envelope) else none
        case "remove" if facts.agency:
            return _start(envelope, Start("mailbox", "remove"), facts)
        case "data" | "erase":
            return _start(envelope, Start("privacy", name), facts)
        case "bot":
            leave = (LeaveCase(),) if facts.case else ()
            return Turn(envelope, (*leave, Say("handoff.bot_is_here")), ask=True)
    return Turn(envelope, ask=True)


def _remarked(envelope: Envelope, text: str, facts: Facts) -> Turn | None:
    """What was said besides an answer: who greets is greeted, who misses the link gets another one."""
    match remark(text):
        case ("greeting" | "thanks") as kind if not _resting(envelope):
            return Turn(envelope, (Say(f"guide.{kind}"),), ask=True)
        case "later" if not _resting(envelope):
            return Turn(envelope, (Say("talk.later"),))
        case "who":
            return _command(envelope, "help", facts)
        case "no_link" if behind_a_link(envelope):
            return _command(envelope, "link", facts)
        case "no_code" if isinstance(envelope.state, welcome.AtTheDoor | welcome.AwaitingCode | welcome.Waiting):
            return Turn(envelope, (Say(f"welcome.without_code.{facts.house.signup}"),), ask=True)
        case "no_code" if isinstance(envelope.state, welcome.AwaitingProof):
            return _step(envelope, Chose("again"), facts)
        case "unsure" | "no_password":
            offered = (value for value, _ in _options(envelope) if value in DONT_KNOW)
            return next((_step(envelope, Chose(value), facts) for value in offered), None)
    return None


_RESTING = (menu.Choosing, welcome.AtTheDoor, welcome.Waiting)  # nothing particular was asked


def _resting(envelope: Envelope) -> bool:
    return isinstance(envelope.state, _RESTING)


def _back(envelope: Envelope, facts: Facts) -> Turn:
    if not envelope.trail:
        said = (Say("talk.no_way_back"),) if _resting(envelope) else ()
        return Turn(_at_home(envelope, facts), said, ask=True)
    *earlier, (name, state) = envelope.trail
    return Turn(replace(_entered(envelope, name, state), trail=tuple(earlier)), ask=True)


def _corrected(envelope: Envelope, text: str, facts: Facts) -> Turn | None:
    """After "the address is wrong" that answer is asked for again, the others stay."""
    wrong = _wrong_field(envelope, text)
    return _asked_anew(envelope, wrong, facts) if wrong else None


def _asked_anew(envelope: Envelope, field_name: str, facts: Facts) -> Turn | None:
    state = FLOWS[envelope.flow].reopen(envelope.state, field_name)
    return _apply(envelope, state, (), facts) if state is not None else None


def _wrong_field(envelope: Envelope, text: str) -> str | None:
    flow = FLOWS[envelope.flow]
    return reading.wrong_field(text, [(name, _words_for(flow.name, name)) for name in flow.fields])


def _words_for(flow: str, field_name: str) -> tuple[str, ...]:
    """What people call a field, in all languages: some write in another one than the conversation's."""
    name = f"field.{flow}.{field_name}"
    return tuple(word for language in LANGUAGES for word in texts(language)[name].split(", "))


def _takes_errors(envelope: Envelope) -> bool:
    """Whether an error text belongs to what the flow waits for: a mail's own words, or the error itself."""
    return private(envelope) or isinstance(envelope.state, FLOWS[envelope.flow].errors)


# --- questions --------------------------------------------------------------------------------------------------------


def may_ask(envelope: Envelope, text: str) -> bool:
    """Whether a message may be a question for the guide: no choice, no command, no address, no part of a mail."""
    if envelope.silent or envelope.lost or _takes_any_text(envelope) or reading.address(text):
        return False  # what was said to a state that cannot be read may be a secret
    return reading.command(text) is None and reading.choice(text, _options(envelope)) is None


def _from_the_guide(envelope: Envelope, text: str, facts: Facts) -> Turn | None:
    """The answer to a question; the flow stays where it is, and its question is asked again behind it."""
    if questions.wants_a_person(facts):
        return _command(envelope, "person", facts)
    keep = not awaits_secret(envelope)
    said = questions.reply(text, facts, here=envelope.flow, resting=_resting(envelope), keep=keep)
    if said is None:
        return None
    misses = envelope.misses if said.topic else envelope.misses + 1
    return _told(replace(envelope, misses=misses), said)


def _read(envelope: Envelope, target: str, facts: Facts) -> Turn:
    """A button below an answer: an article, its steps, or that it was not the right one."""
    said = questions.read(target, envelope.topic, facts, envelope.flow)
    return _told(envelope, said) if said else Turn(envelope, (Say("talk.closed"),), ask=True)


def _told(envelope: Envelope, said: questions.Reply) -> Turn:
    briefly = said.briefly and isinstance(envelope.state, menu.Choosing)
    return Turn(replace(envelope, topic=said.topic), said.effects, ask=True, offer=said.offer, briefly=briefly)


# --- an error that the person pasted ------------------------------------------------------------------------------


def _explained(envelope: Envelope, pasted: Pasted, facts: Facts) -> Turn:
    """What an error text means, whoever it came from, and the one step that mends it; then the pending question."""
    means = Say(sign_in.why(pasted.cause, facts.mailbox.signed_in if facts.mailbox else ""))
    said: list[Effect] = [*([EraseAtProvider()] if pasted.secretive else []), means]
    about, host = subject(envelope)
    known = about or (facts.mailbox.account.address if facts.mailbox else "")
    if pasted.who in {"agency_admin", "provider"} and known and has(f"forward.{pasted.cause}"):
        said += remedies.to_forward(pasted.cause, known, host or known)
    return Turn(envelope, tuple(said), ask=True, offer=_remedy(envelope, pasted.cause, facts))


def _remedy(envelope: Envelope, cause: str, facts: Facts) -> tuple[Option, ...]:
    """The button that leads to exactly the answer which is to be given again."""
    if not facts.agency:
        return (PERSON,)
    flow = FLOWS[envelope.flow]
    wrong = "host" if cause in remedies.SERVER_CAUSES else "address" if cause == "sender_not_allowed" else ""
    if wrong and flow.reopen(envelope.state, wrong) is not None:
        return (Option(f"{FIX}{wrong}", f"mailbox.button.{'server' if wrong == 'host' else wrong}"),)
    if cause in remedies.SECRET_CAUSES and facts.mailbox is not None:
        return (sign_in.anew(facts.mailbox),)
    if facts.mailbox is not None:
        return (Option(f"{GO}mailbox.manage", "menu.button.mailbox"),)
    return () if flow.name == mailbox.FLOW.name else (Option(f"{GO}mailbox", "menu.button.setup"),)


# --- news -------------------------------------------------------------------------------------------------------------


def _news(envelope: Envelope, event: News, facts: Facts) -> Turn:
    """Said at once; the question that was open is asked again after it, unless nothing was (or a test runs)."""
    match event:
        case MailAccepted(recipients=recipients, declined=declined):
            accepted = Say("news.mail_accepted", {"to": Code(recipients)})
            partly = (Say("news.mail_partly", {"declined": Code(declined)}),) if declined else ()
            return Turn(envelope, (accepted, *partly), ask=True)
        case MailRefused(signed_in=("microsoft" | "google") as provider, address=address):
            said = Say("news.mail_refused", {"why": Text("sign_in.cause.wrong_credentials")})
            return Turn(envelope, (said,), ask=True, offer=(_new_sign_in(provider, address, facts),))
        case MailRefused(gone=True):
            said = Say("news.mail_refused", {"why": Text("mailbox.secret_gone")})
            return Turn(envelope, (said,), ask=True, offer=(sign_in.anew(facts.mailbox),))
        case MailRefused(cause=cause, retry=retry):
            said = Say("news.mail_refused", {"why": Text(f"cause.{cause}" if cause else "news.mailbox_changed")})
            offer = () if retry else (Option(f"{GO}mailbox.manage", "menu.button.mailbox"),)
            return Turn(envelope, (said,), ask=True, offer=offer)
        case MailUnknown(recipients=recipients):
            said = Say("news.door_unknown", {"to": Code(recipients)}) if recipients else Say("news.mail_unknown")
            return Turn(envelope, (said,), ask=True)
        case CopyMissing(recipients=recipients, state=state):
            missing = Say("news.copy_missing", {"to": Code(recipients), "why": Text(f"copy.{state}")})
            return Turn(envelope, (missing,), ask=True)
        case FileLost(name, reason):
            return Turn(envelope, (Say(f"news.file_lost.{reason}", {"name": name}),), ask=True)
        case MailWaits(cause=cause):
            return Turn(envelope, (Say("news.mail_waits", {"why": Text(f"cause.{cause}")}),), ask=True)
        case MailboxWorks() | MailboxWaits() | MailboxBroke():
            return _news_of_the_mailbox(envelope, event, facts)
        case GrantEnded() | PasswordEnds():
            return _news_of_signing_in(envelope, event, facts)
        case AdminNeeded() | MemberDiffers():
            return _news_for_an_admin(envelope, event)
        case AccessWanted() | MemberJoined() | MemberLeft() | MemberDeactivated() | NumberReissued():
            return _news_of_somebody(envelope, event)
        case AccessGranted() | AccessDeclined() | Excluded() | MovedAway() | Invited() | Reminded():
            return _news_of_a_membership(envelope, event, facts)
        case SlackAdded(agency):
            intro = () if envelope.greeted else (_intro(facts),)
            home = _at_home(replace(envelope, greeted=True, lost=False), facts)
            return Turn(home, (*intro, Say("news.slack_added", {"agency": agency})), ask=True)
        case SlackLeft(workspace):
            return Turn(envelope, (Say("news.slack_left", {"workspace": workspace}),), ask=True)
        case CaseLapsed() | CaseEnded():
            return _news_of_the_case(envelope, event, facts)
        case TestSlow():
            return Turn(
                envelope, (Say("news.test_slow"),) if isinstance(envelope.state, mailbox_states.Testing) else ()
            )
        case Lay():
            worth = FLOWS[envelope.flow].nudge and not envelope.silent
            return Turn(envelope, (Say("news.left_lying"),), ask=True) if worth else Turn(envelope)
    return Turn(envelope, (Say("news.turn_failed"),), ask=True)


def _news_of_the_mailbox(envelope: Envelope, event: MailboxWorks | MailboxWaits | MailboxBroke, facts: Facts) -> Turn:
    match event:
        case MailboxWorks(address):
            said = Say("news.mailbox_works", {"address": Code(address)})
            return Turn(_unless_moot(envelope, address, facts), (said,), ask=True)
        case MailboxWaits(address, cause, worked=True):
            broke: Values = {"address": Code(address), "why": Text(sign_in.why(cause, _signed_in(address, facts)))}
            look = Option(f"{GO}mailbox.manage", "menu.button.mailbox")
            kept = Say("sign_in.i_keep_trying" if _signed_in(address, facts) else "news.watch_waits")
            return Turn(envelope, (Say("news.watch_broke", broke), kept), ask=True, offer=(look,))
        case MailboxWaits(address, cause, who):
            why: Values = {"address": Code(address), "why": Text(sign_in.why(cause, _signed_in(address, facts)))}
            admin = (TellAdmins(AdminNeeded(facts.name, address, cause)),) if who == "agency_admin" else ()
            return Turn(envelope, (*admin, Say("news.mailbox_waits", why)), ask=True)
    told: tuple[Say, ...] = (Say("news.waited_too_long", {"address": Code(event.address)}),)
    if event.worked:
        told = _stopped(event)
    elif event.cause:
        told = (Say("news.mailbox_broke", {"address": Code(event.address), "why": Text(f"cause.{event.cause}")}),)
    again = _at_theirs(event.address, facts) or sign_in.anew(facts.mailbox)
    return Turn(_unless_moot(envelope, event.address, facts), told, ask=True, offer=(again,))


def _at_theirs(address: str, facts: Facts) -> Option | None:
    """The way to the agency that this mailbox of theirs belongs to, where it is another one than they act for."""
    here = facts.mailbox is not None and facts.mailbox.account.address == address
    return Option(f"{GO}roles", "menu.button.roles") if facts.several and not here else None


def _signed_in(address: str, facts: Facts) -> str:
    """Through whom the person signed in for this address; empty: there is a password, or it is not the saved one."""
    saved = facts.mailbox
    return saved.signed_in if saved is not None and saved.account.address == address else ""


def _news_of_signing_in(envelope: Envelope, event: GrantEnded | PasswordEnds, facts: Facts) -> Turn:
    """One tap leads to the provider's own page; what is saved stays until the new sign-in has proved itself."""
    about: dict[str, Value] = {**sign_in.brand(event.provider), "address": Code(event.address)}
    said = Say("news.grant_ended", about)
    if isinstance(event, PasswordEnds):
        said = Say("news.password_ends", {**about, "day": event.day, "days": event.days})
    return Turn(envelope, (said,), ask=True, offer=(_new_sign_in(event.provider, event.address, facts),))


def _new_sign_in(provider: SignInProvider, address: str, facts: Facts) -> Option:
    return _at_theirs(address, facts) or sign_in.button(provider, f"{GO}mailbox.sign_in.{provider}")


def _stopped(event: MailboxBroke) -> tuple[Say, ...]:
    """A mailbox worked until now."""
    why = f"cause.{event.cause}" if event.cause else "mailbox.secret_gone"
    told = Say("news.watch_broke", {"address": Code(event.address), "why": Text(why)})
    return (told, Say("news.watch_erased")) if event.cause else (told,)


def _unless_moot(envelope: Envelope, address: str, facts: Facts) -> Envelope:
    """The one exception from "news never moves a flow": what to do about a failure that is over is no question."""
    moot = isinstance(envelope.state, mailbox_states.Stuck) and envelope.state.account.address == address
    return _at_home(envelope, facts) if moot else envelope


def _news_for_an_admin(envelope: Envelope, event: AdminNeeded | MemberDiffers) -> Turn:
    if isinstance(event, MemberDiffers):
        about: Values = {"name": event.name, "address": Code(event.address), "host": Code(event.host)}
        return Turn(envelope, (Say("news.member_asks" if event.asks else "news.member_differs", about),), ask=True)
    first, *more = remedies.in_pieces(event.addresses)
    if event.cause == remedies.CONSENT:
        needed = Say("news.consent_needed", {"name": event.name, "addresses": Code(first)})
        return Turn(envelope, (needed, *remedies.to_forward(event.cause, event.addresses, url=event.url)), ask=True)
    said = [Say("news.watch_admin", {"addresses": Code(first)})]
    if event.name:
        said = [Say("news.admin_needed", {"name": event.name, "addresses": Code(first)})]
    if event.cause != remedies.SWITCHED_OFF:  # whose lines to copy name them all
        said += [Say("news.watch_also", {"addresses": Code(one)}) for one in more]
    if has(f"forward.{event.cause}"):
        said += remedies.to_forward(event.cause, event.addresses)
    done = Option(f"{GO}menu.switched_on", "menu.button.switched_on")
    return Turn(envelope, tuple(said), ask=True, offer=(done,))


def _news_of_somebody(
    envelope: Envelope, event: AccessWanted | MemberJoined | MemberLeft | MemberDeactivated | NumberReissued
) -> Turn:
    """To an admin, who says whether this person belongs to the agency, or has to do something in Ally."""
    if isinstance(event, MemberLeft):
        todo: Values = {"name": event.name, "settings": Text("ally.settings")}
        return Turn(envelope, (Say("news.member_left", todo),), ask=True)
    if isinstance(event, NumberReissued):
        return Turn(envelope, (Say("news.number_reissued", {"name": event.name}),), ask=True)
    if isinstance(event, MemberDeactivated):
        remove = Option(f"{GO}team.exclude.{event.member_id}", "news.button.remove")
        said = Say("news.deactivated", {"name": event.name})
        return Turn(envelope, (said,), ask=True, offer=(remove, Option(NOTED, "news.button.keep")))
    about: Values = {"name": event.name, "number": Code(event.number)}
    if isinstance(event, AccessWanted):
        said = Say("news.access_wanted", {**about, "address": Code(event.address)})
        yes = Option(f"{ADMIT}{event.request_id}", "news.button.admit")
        no = Option(f"{REFUSE}{event.request_id}", "news.button.refuse")
        return Turn(envelope, (said,), ask=True, offer=(yes, no))
    known = Option(NOTED, "news.button.known")
    unknown = Option(f"{GO}team.exclude.{event.member_id}", "news.button.unknown")
    return Turn(envelope, (Say("news.member_joined", about),), ask=True, offer=(known, unknown))


def _news_of_a_membership(
    envelope: Envelope,
    event: AccessGranted | AccessDeclined | Excluded | MovedAway | Invited | Reminded,
    facts: Facts,
) -> Turn:
    """Who one is has changed: what was under way belongs to somebody who one is not any more, or not yet."""
    match event:
        case AccessGranted(agency):
            return Turn(_at_home(envelope, facts), (Say("news.access_granted", {"agency": agency}),), ask=True)
        case Excluded(agency, url):
            where = (Say("news.delete_app_password", {"url": url}),) if url else ()
            said = (Say("news.excluded", {"agency": agency}), *where)
            return Turn(_at_home(envelope, facts), said, ask=True)
        case MovedAway():
            return Turn(_at_home(envelope, facts), (Say("news.moved_away"),), ask=True)
        case Invited(agency, by):
            return _invited(envelope, agency, by, facts)
        case Reminded(agency):
            connect = Option(f"{GO}mailbox", "menu.button.setup")
            offer = (connect,) if facts.mailbox is None else ()
            return Turn(envelope, (Say("news.reminded", {"agency": agency}),), ask=True, offer=offer)
    declined = replace(envelope, state=welcome.AtTheDoor()) if envelope.flow == "welcome" else envelope
    return Turn(declined, (Say("news.access_declined"),), ask=True)


def _news_of_the_case(envelope: Envelope, event: CaseLapsed | CaseEnded, facts: Facts) -> Turn:
    """The bot has the word again: it says why, and goes on where it was, or where staff want it to."""
    if isinstance(event, CaseLapsed):
        said = Say("handoff.longer", {"number": event.number})
        return Turn(envelope, (said,), ask=True, offer=(Option(WAIT, "handoff.button.wait"),))
    there = _placed_at(envelope, event.at, facts)
    name = event.reason
    if event.reason == "handed_back" and there is not None:
        name = event.at if event.at in {"menu", "test"} else "anew"
    over = (Say(f"handoff.over.{name}", {"number": event.number}),)
    return Turn(envelope, over).then(there) if there is not None else Turn(envelope, over, ask=True)


# --- support leads the talk -------------------------------------------------------------------------------------------

_WITH_A_LINK = (
    mailbox_states.AwaitingSecret,
    mailbox_states.ConfirmingSecret,
    mailbox_states.Stuck,
    sign_in.AwaitingSignIn,
    sign_in.SignInStuck,
)


def places(envelope: Envelope) -> tuple[str, ...]:
    """The answers of the flow at hand that can be asked for again, in the order in which they are asked."""
    flow = FLOWS.get(envelope.flow)
    fields = reversed(flow.fields) if flow is not None else ()
    return tuple(one for one in fields if flow is not None and flow.reopen(envelope.state, one) is not None)


def may_fill(envelope: Envelope) -> tuple[str, ...]:
    """What may be answered for the person: their address at any time, the server where the flow knows whose it is."""
    known = [one for one in (*places(envelope), *(one.name for one in _asked_inputs(envelope))) if one in FILLABLE]
    return tuple(one for one in FILLABLE if one in {"address", *known, *(FILLABLE if "host" in known else ())})


def given(envelope: Envelope) -> dict[str, str]:
    """What the person has answered in the flow at hand, by the name of the answer, for those who go on with it."""
    about = _about(envelope)
    if isinstance(about, Account):
        server, user = about.server, {"user": about.user} if about.user != about.address else {}
        return {"address": about.address, **user, "host": server.host, "port": str(server.port)}
    answers: Mapping[str, str] = getattr(envelope.state, "answers", {})
    known = {"address": about, **answers} if about else answers
    return {name: value for name, value in known.items() if name in GIVEN and value}


GIVEN = ("address", "user", "host", "port", "agency")
FILLABLE = ("address", "host", "port")


def _asked_inputs(envelope: Envelope) -> tuple[Input, ...]:
    return _inputs(envelope) if envelope.flow in {mailbox.FLOW.name, integrate.FLOW.name} else ()


def _placed_at(envelope: Envelope, at: str, facts: Facts) -> Turn | None:
    """The talk at another place (see `Steered`); None where there is no such place, or none is wished for."""
    match at:
        case "":
            return None
        case "menu":
            return Turn(_at_home(envelope, facts), ask=True)
        case "test" if isinstance(envelope.state, mailbox_states.Stuck):
            return _step(envelope, Chose("again"), facts)
        case "link" if isinstance(envelope.state, _WITH_A_LINK):
            return _step(envelope, Chose("new_link"), facts)
        case "test" | "link" if facts.agency and facts.mailbox is not None:
            return _start(envelope, Start("mailbox", "test" if at == "test" else "password"), facts)
    asked = FLOWS[envelope.flow].reopen(envelope.state, at) if at in FLOWS[envelope.flow].fields else None
    if asked is not None:
        return _apply(envelope, asked, (), facts)
    if at in {one.name for one in _asked_inputs(envelope)}:
        return Turn(envelope, ask=True)
    return _start(envelope, Start("mailbox"), facts) if at == "address" and facts.agency else None


def _steered(envelope: Envelope, at: str, values: Mapping[str, str], facts: Facts) -> Turn:
    """What does not fit into its field changes nothing: it is told at the field."""
    there = _placed_at(envelope, at, facts)
    if not values or there is None:
        return there or Turn(envelope)
    filled = _step(there.envelope, Filled(values), facts)
    wrong = tuple(one for one in filled.effects if isinstance(one, FieldErrors)) if filled is not None else ()
    if filled is None or wrong:
        return Turn(envelope, wrong)
    return _unsaid(there).then(filled)


def _invited(envelope: Envelope, agency: str, by: str, facts: Facts) -> Turn:
    """The first words to somebody who did not write first: who invites to what, then whose assistant says so."""
    house = facts.house
    who = Say("news.invited_by", {"operator": house.operator, "days": house.retention_days, "url": house.privacy_url})
    connect = Option(f"{GO}mailbox", "news.button.connect")
    later, why = Option(LATER, "news.button.later"), Option(f"{READ}what_is_it", "news.button.why")
    home = _at_home(replace(envelope, greeted=True, lost=False), facts)
    said = (Say("news.invited", {"agency": agency, "by": by}), *(() if envelope.greeted else (who,)))
    return Turn(home, said, ask=True, offer=(connect, later, why), briefly=True, asking="news.shall_we")


# --- the one message of the turn ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Closed:
    """A turn at its end: the envelope to save, the message to say (if any) and the promises to make."""

    envelope: Envelope
    effects: tuple[Effect, ...]


def close(turn: Turn, facts: Facts) -> Closed:
    """Everything said becomes one message, with the question behind it; records have been performed by now."""
    says = tuple(effect for effect in turn.effects if isinstance(effect, Say))
    others = tuple(effect for effect in turn.effects if not isinstance(effect, Say) and not _is_record(effect))
    envelope = turn.envelope
    if not turn.ask or envelope.silent:
        return Closed(envelope, (*_speak(says, facts), *others))
    asked = _question(envelope, facts)
    options = turn.offer[:MAX_BUTTONS] if turn.briefly else _with_offers(asked.options, turn.offer, facts)
    question = asked.question if "." in asked.question else f"{envelope.flow}.{asked.question}"
    understood = (*turn.offer, *asked.options) if turn.briefly else options
    shown = tuple((option.value, label(option, facts.language)) for option in understood)
    envelope = replace(envelope, asked=Asked(question, shown))
    ask = Say(turn.asking) if turn.briefly else Say(asked.name, asked.values)
    speak = Speak((*says, ask), question, options, () if envelope.doubt else _inputs(envelope))
    if facts.workspace or _fits(speak, facts.language):  # a message in a workspace holds as much as it has to
        return Closed(envelope, (speak, *others))
    return Closed(envelope, (*_speak(says, facts), replace(speak, parts=(ask,)), *others))


def _with_offers(options: tuple[Option, ...], offers: tuple[Option, ...], facts: Facts) -> tuple[Option, ...]:
    """The question's options, then what is offered besides, if the same words do not stand there already."""
    if not offers:
        return options[:MAX_OPTIONS]
    by_label = {label(option, facts.language): option for option in (*reversed(offers), *reversed(options))}
    besides = tuple(option for option in offers if option in by_label.values())[:MAX_OPTIONS]
    # Of a long list the end gives way: what news is about is offered once, the question can be asked again.
    return (*options[: MAX_OPTIONS - len(besides)], *besides)


def _speak(says: tuple[Say, ...], facts: Facts) -> tuple[Speak, ...]:
    """One message, or as many as it takes: what is to be copied from it must never be cut."""
    messages: list[Speak] = []
    for say in says:
        longer = Speak((*messages[-1].parts, say)) if messages else None
        if longer is not None and (facts.workspace or _length(longer, facts.language) <= MAX_WITHOUT_CHOICES):
            messages[-1] = longer
        else:
            messages.append(Speak((say,)))
    return tuple(messages)


def _length(speak: Speak, language: Language) -> int:
    return len(render(speak, language, Plain(), lambda _: "-" * LINK_LENGTH).body)


def _fits(speak: Speak, language: Language) -> bool:
    """Whether this leaves room enough in one message with its choices; without choices there always is."""
    message = render(speak, language, Plain(), lambda _: "-" * LINK_LENGTH)
    choices = sum(len(button.label) + len("10 \n") for button in message.buttons)
    return not message.buttons or len(message.body) + choices <= MAX_WITH_CHOICES


def merged(waiting: Speak, later: Speak, language: Language) -> Speak | None:
    """Two messages that wait for one person as one; None where they do not fit into one.

    One question is left, at the end: the later one, by which the earlier one is closed. What is said twice is said
    once, but for news: each is about something of its own, such as two mails to the same address.
    """
    asked = 1 if waiting.question else 0
    said, question = waiting.parts[: len(waiting.parts) - asked], waiting.parts[len(waiting.parts) - asked :]
    after = later.parts if later.question else (*later.parts, *question)
    last = later if later.question else waiting
    together = Speak(
        (*said, *(part for part in after if part not in said or part.name.startswith(NEWS))),
        last.question,
        last.options,
        last.inputs,
    )
    fits = _fits(together, language) and _length(together, language) <= MAX_WITH_CHOICES
    return together if fits else None


def _inputs(envelope: Envelope) -> tuple[Input, ...]:
    return FLOWS[envelope.flow].inputs(envelope.state)


def _question(envelope: Envelope, facts: Facts) -> Ask:
    if envelope.doubt:
        options = (Option("command", "talk.button.command"), Option("text", "talk.button.text"))
        return Ask(DOUBT, "talk.which_is_it", {"word": Code(envelope.doubt)}, options)
    return FLOWS[envelope.flow].ask(envelope.state, facts)


def _is_record(effect: Effect) -> bool:
    return isinstance(effect, Record)


def records(turn: Turn) -> tuple[Record, ...]:
    """What a turn writes into our own tables; performed by the bot inside the same transaction."""
    return tuple(effect for effect in turn.effects if isinstance(effect, Record))


def worth_a_nudge(envelope: Envelope) -> bool:
    """Whether this conversation, left lying now, deserves one reminder."""
    return not envelope.silent and bool(envelope.flow) and FLOWS[envelope.flow].nudge


def subject(envelope: Envelope, event: Event | None = None) -> tuple[str, str]:
    """The mail address and the server that the conversation, or this event, is about; empty where there is none.

    What the facts say of the provider is looked up by them.
    """
    about = _about(envelope)
    if isinstance(event, ServerFound | Judged):
        about = event.account
    return (about.address, about.server.host) if isinstance(about, Account) else (about, "")


def _about(envelope: Envelope) -> str | Account:
    return FLOWS[envelope.flow].subject(envelope.state) if envelope.flow else ""


def restarted(envelope: Envelope) -> Envelope:
    """A conversation whose saved state cannot be read any more: at its beginning, but not a stranger."""
    return Envelope(greeted=True, silent=envelope.silent, ticket=envelope.ticket + 1, lost=True)


def guess_language(address: str | None, external_id: str | None = None) -> Language:
    """The likely language of a phone number's country, or of the one that a business-scoped id begins with."""
    digits = (address or "").removeprefix("+")
    country = (external_id or "").partition(".")[0].upper()
    if digits.startswith(PORTUGUESE_SPEAKING) or country in {"BR", "PT", "AO", "MZ", "CV", "GW", "ST"}:
        return "pt"
    spanish = digits.startswith(SPANISH_SPEAKING) or country in SPANISH_COUNTRIES
    return "es" if spanish else LANGUAGES[0]


# Country codes of ITU-T E.164: Brazil, Portugal, Angola, Mozambique, Cape Verde, Guinea-Bissau, São Tomé.
PORTUGUESE_SPEAKING = ("55", "351", "244", "258", "238", "245", "239")
# Spain, Mexico and the Spanish-speaking countries of South and Central America.
SPANISH_SPEAKING = (
    "34", "51", "52", "53", "54", "56", "57", "58", "502", "503", "504", "505", "506", "507", "591", "593",
    "595", "598",
)  # fmt: skip
SPANISH_COUNTRIES = frozenset(
    {"ES", "MX", "PE", "CU", "AR", "CL", "CO", "VE", "GT", "SV", "HN", "NI", "CR", "PA", "BO", "EC", "PY", "UY", "DO"}
)
