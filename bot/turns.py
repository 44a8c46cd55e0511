"""One turn: remember the message's id, lock, facts, step, save, promise - one transaction, then the edge answers.

Nothing here touches the world: what has to is a promise, and its result comes back through `result` as another turn.
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

import structlog

from bot import member_files, people
from bot.calendar import nudge_time, window_end
from bot.casework import Casework
from bot.channels import Identity, Inbound, Media
from bot.clock import Clock
from bot.desk.rules import MemberWrote
from bot.facts import FactReader, Standing, language
from bot.mail.knowledge.explain import explain_text
from bot.mail.knowledge.looks import looks_like_an_error
from bot.mail.knowledge.redact import HIDDEN as HIDDEN_WORDS
from bot.mail.knowledge.redact import redact
from bot.pressure import Pressure
from bot.records import Records
from bot.safe import SUSPECTED, UNCLAIMED, Safe, use_of
from bot.scene import Scene
from bot.search import Search
from bot.store import conversations, files, mailboxes, promises
from bot.store import people as people_store
from bot.store.conversations import Held
from bot.store.engine import Connection, DatabaseDown, Engine, together
from bot.store.promises import Promise, Wanted
from bot.vault import Secret
from flows import saved
from flows.conversation import (
    Closed,
    Envelope,
    Secretive,
    Turn,
    awaits_secret,
    behind_a_link,
    close,
    converse,
    is_late,
    may_ask,
    merged,
    private,
    records,
    restarted,
    takes_files,
    understand,
    worth_a_nudge,
)
from flows.facts import Pasted, Question
from flows.privacy import AwaitingVisit
from flows.reading import command, looks_like_a_leak, surely_language, written
from flows.speech import Plain, render
from flows.words import (
    Answer,
    CheckServer,
    DataTaken,
    Discover,
    DoorKeyShown,
    Effect,
    EraseAtProvider,
    EraseEverything,
    Event,
    FieldErrors,
    FileShared,
    Language,
    LookUpPeople,
    Quote,
    Said,
    Say,
    SecretLeaked,
    SecretSuspected,
    SecretTyped,
    Shared,
    Speak,
    Steered,
    TestLogin,
    Value,
)

HIDDEN = "(hidden)"
PERSON = "person"  # who owns a conversation that the bot must not speak in
ALWAYS_HEARD = frozenset({"bot", "stop", "start", "erase"})
SHORTEST_ERROR = 10  # characters; most messages are a number or a word, and need no look
MAX_ROUNDS = 5  # records that answer one another within one turn
MAX_FILE_NAME = 100
MAX_LINE = 2_000  # characters of one line in the transcript
AHEAD = timedelta(minutes=5)  # what asks for a moment overtakes what has waited for less
MAX_UNFINISHED = 100  # promises of one conversation; beyond it nothing more is heard until some are kept
UNNOTICED = frozenset(
    {
        "EraseAtProvider",
        promises.NUDGE,
        promises.TELL,
        promises.FILE_COPY,
        promises.FETCH_CASE_FILE,
        promises.MAIL_CODE,
        promises.WATCH,
        promises.WARN,
        promises.PASSWORD_ENDS,
        promises.ADMIN_WARNING,
        promises.FOLLOW_UP,
        promises.SHOW_HOME,
        promises.SHOW_CASE,
        promises.CASE_TIME,
        promises.CASE_WINDOW,
    }
)  # nobody waits for these: a failure is the operator's
LANES: dict[type, str] = {
    Speak: "speak",
    EraseEverything: "speak",  # behind the last word to the person
    Discover: "work",
    TestLogin: "work",
    CheckServer: "work",
    LookUpPeople: "work",
    EraseAtProvider: "work",
}
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """An event with what the transcript may say about it, and the files that go into a case's thread with that."""

    event: Event
    line: str
    files: Sequence[Media] = ()
    came_in: str = ""  # the provider's id of the message
    for_mail: bool = False  # one of the files may go with a mail, too


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that was new, and what became of it: the edge that brought it may use some of the effects at once."""

    conversation_id: UUID
    language: Language
    effects: tuple[Effect, ...] = ()
    ticket: int = 0
    silent: bool = False  # a person has the word: the bot answers by no way at all
    aside: str = ""  # to be said by the edge, in its own answer


class Turns:
    """Applies events to conversations."""

    def __init__(
        self, engine: Engine, clock: Clock, facts: FactReader, to_record: Records, safe: Safe, search: Search,
        casework: Casework, pressure: Pressure,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._clock = clock
        self._facts = facts
        self._records = to_record
        self._safe = safe
        self._search = search
        self._casework = casework
        self._pressure = pressure

    def receive(self, inbound: Inbound, *, answers: bool = False) -> Taken | None:
        """One message from a person; None when it came before. Raises DatabaseDown; nothing else ever gets out.

        `answers`: the edge that brings it can say something at once (`Taken.aside`).
        """
        now = self._clock.now()
        try:
            return self._received(inbound, now, answers=answers)
        except DatabaseDown:
            # After a restart of PostgreSQL the pool holds dead connections. Once more is safe even if the commit got
            # through: the message's id is then taken.
            return self._received(inbound, now, answers=answers)

    def _received(self, inbound: Inbound, now: datetime, *, answers: bool) -> Taken | None:
        try:
            with self._engine.begin() as db:
                return self._receive(db, inbound, now, answers=answers)
        except DatabaseDown:
            raise
        except Exception as error:  # noqa: BLE001 - a step that raises loses nothing: see _bury_inbound
            return self._bury_inbound(inbound, error, now)

    def known(self, identity: Identity) -> Held:
        """The conversation of somebody who did not write: made where there is none. Raises DatabaseDown."""
        with self._engine.begin() as db:
            return people.who(db, identity, "", self._clock.now())

    def asks_now(self, conversation_id: UUID, since: int) -> Speak | None:
        """The question of a conversation, if it is another one than that of this ticket. Nothing is changed."""
        with self._engine.begin() as db:
            held = conversations.look(db, conversation_id)
            if held is None or held.ticket == since or held.owner == PERSON:
                return None
            envelope = _envelope(held)
            known = self._facts.read(db, held, envelope, self._clock.now()).facts
        asked = close(Turn(envelope, ask=True), known).effects
        return next((one for one in asked if isinstance(one, Speak)), None)

    def result(self, db: Connection, conversation_id: UUID, event: Event, ticket: int) -> None:
        """What became of a promise, in the transaction that ends the promise. A late answer is dropped here."""
        held = conversations.hold(db, conversation_id)
        if held is None:
            return
        envelope = _envelope(held)
        if isinstance(event, get_args(Answer)) and is_late(envelope, ticket):
            _log.info("late answer dropped", conversation=str(conversation_id), answer=type(event).__name__)
            return
        self._happened(db, held, envelope, event, self._clock.now())

    def steer(self, db: Connection, conversation_id: UUID, event: Steered) -> tuple[Effect, ...]:
        """Support leads the talk, in the caller's transaction; what came of it, wrong answers among it."""
        held = conversations.hold(db, conversation_id)
        if held is None:
            return ()
        envelope, now = _envelope(held), self._clock.now()
        standing = self._facts.read(db, held, envelope, now)
        return self._run(db, held, envelope, standing, Heard(event, ""), now).effects

    def announce(self, promise: Promise, event: Event) -> None:
        """Something to be told while a promise is still being performed."""
        if promise.conversation_id is not None:
            with self._engine.begin() as db:
                self.result(db, promise.conversation_id, event, promise.ticket)

    def secret(self, db: Connection, held: Held, event: Event) -> bool:
        """A secret from the page, in the transaction that uses the link up; whether it was still awaited."""
        envelope = _envelope(held)
        if not awaits_secret(envelope):
            return False
        after = self._happened(db, held, envelope, event, self._clock.now())
        return bool(after.state != envelope.state)

    def shown(self, db: Connection, held: Held) -> None:
        """The key is typed into Ally, says its person on the page; the talk goes on, if it still waits for that."""
        self._happened(db, held, _envelope(held), DoorKeyShown(), self._clock.now())

    def data_taken(self, db: Connection, held: Held, link_id: str) -> bool:
        """All that is stored leaves by this link, in the transaction that uses it up; whether it was still awaited."""
        envelope = _envelope(held)
        if envelope.state != AwaitingVisit(link_id):
            return False
        self._happened(db, held, envelope, DataTaken(), self._clock.now())
        return True

    # --- within the transaction ---

    def _receive(self, db: Connection, inbound: Inbound, now: datetime, *, answers: bool) -> Taken | None:
        if not conversations.claim_inbound(db, inbound.identity.channel, inbound.message_id, now):
            return None
        held = people.who(db, inbound.identity, inbound.name, now)
        crowded = held.unfinished >= MAX_UNFINISHED
        if crowded:
            _log.warning("too much is still to be done for this conversation", conversation=str(held.id))
        if crowded and held.case is None:
            return Taken(held.id, language(held.language), silent=True)
        if held.held_back:
            promises.they_write(db, held.id, now)
        name = inbound.name or held.name
        people_store.touch(
            db,
            held.contact_id,
            window_until=window_end(held.channel, now),
            last_message_id=inbound.message_id,
            name=name[:120],
        )
        held = replace(held, name=name, last_message_id=inbound.message_id)
        envelope = _envelope(held)
        if held.case is not None:
            self._casework.happened(db, held.id, MemberWrote(), now)
        standing = self._facts.read(db, held, envelope, now)
        if crowded or (held.owner == PERSON and not _is_always_heard(inbound)):
            self._overheard(db, held, envelope, standing, inbound, now, crowded=crowded)
            return Taken(held.id, standing.facts.language, silent=True)
        if pasted := _pasted(inbound):
            standing = replace(standing, facts=replace(standing.facts, pasted=pasted))
        elif question := self._question(envelope, inbound, now):
            standing = replace(standing, facts=replace(standing.facts, question=question))
        heard = self._heard(db, held, envelope, standing, inbound, now)
        moment = [] if _is_always_heard(inbound) else self._moment(db, held, standing, now, by_edge=answers)
        closed = self._run(db, held, envelope, standing, heard, now, by_person=True, before=moment)
        kept = conversations.look(db, held.id) if held.case is not None else None  # the turn may have ended the case
        silent = kept is not None and kept.owner == PERSON
        aside = moment[0][1] if moment and answers else ""
        return Taken(held.id, standing.facts.language, closed.effects, closed.envelope.ticket, silent, aside)

    def _moment(
        self, db: Connection, held: Held, standing: Standing, now: datetime, *, by_edge: bool
    ) -> list[tuple[str, str, int | None]]:
        """When answers come late: one line that asks for a moment, for whoever does not wait already.

        The edge says it in its own answer, or it is promised ahead of what waits.
        """
        if not self._pressure.late or held.owner == PERSON or promises.speech_waits(db, held.id):
            return []
        please, spoken = Speak((Say("news.moment"),)), standing.facts.language
        if by_edge:
            return [("out", _line(please, spoken), None)]
        wanted = Wanted("speak", promises.SPEAK, now - AHEAD, _payload(please, held), held.ticket)
        (promise_id,) = promises.add(db, held.id, [wanted], now)
        return [("out", _line(please, spoken), promise_id)]

    def _overheard(
        self, db: Connection, held: Held, envelope: Envelope, standing: Standing, inbound: Inbound, now: datetime,
        *, crowded: bool,
    ) -> None:  # fmt: skip
        """What is written goes into the thread; the bot neither steps nor speaks.

        A person owns the conversation, or too much of it is still to be done (`crowded`). Where a secret is awaited
        only what is surely language is shown: that person has to be understood there, too.
        """
        meant = understand(envelope, inbound.text, inbound.button, inbound.kind, standing.facts, inbound.fields)
        awaited = isinstance(meant, Secretive | SecretLeaked) or envelope.lost
        secretive = looks_like_a_leak(_caption(inbound)) or (awaited and not surely_language(inbound.text))
        words = redact(inbound.text) if looks_like_an_error(inbound.text) else written(inbound.text)
        words = words if len(words) <= MAX_LINE else f"{words[: MAX_LINE - 1]}…"
        text = HIDDEN if secretive else _told(inbound, words, shown=held.case is not None)
        if inbound.media and held.case is not None and not secretive:
            heard = Heard(Shared(inbound.kind), text, inbound.media, inbound.message_id)
            self._take_along(db, held, heard, now, crowded=crowded)
        else:
            conversations.note(db, held.id, [("in", text, None)], now)
        if (secretive or awaits_secret(envelope)) and not crowded:
            self._promise(db, held, [EraseAtProvider()], standing.facts.language, held.ticket, now)
            promises.wake(db, {"work"})

    def _question(self, envelope: Envelope, inbound: Inbound, now: datetime) -> Question | None:
        """What a message asks of the guide, if it may be a question at all."""
        if inbound.kind != "text" or inbound.button or not may_ask(envelope, inbound.text):
            return None
        found = self._search.find(inbound.text, envelope.topic)
        return self._facts.named(found, inbound.text, now.date())

    def _heard(
        self, db: Connection, held: Held, envelope: Envelope, standing: Standing, inbound: Inbound, now: datetime
    ) -> Heard:
        """What a message means. Text that may be a secret is sealed here and goes no further in clear."""
        event = understand(envelope, inbound.text, inbound.button, inbound.kind, standing.facts, inbound.fields)
        if isinstance(event, Secretive):
            return Heard(self._seal(db, held, envelope, inbound.text, event, now), HIDDEN)
        if inbound.fields is not None and any(map(looks_like_a_leak, inbound.fields.values())):
            return Heard(event, HIDDEN)
        for_staff = bool(inbound.media) and held.case is not None and not _is_for_mail_alone(envelope)
        for_mail = isinstance(event, Shared) and bool(inbound.media) and takes_files(envelope, standing.facts)
        if for_mail:
            event = self._take_file(db, held, inbound, now, also_for_staff=for_staff)
        if isinstance(event, SecretLeaked) or awaits_secret(envelope) or envelope.lost:
            return Heard(event, HIDDEN)
        if isinstance(event, Said) and private(envelope):
            return Heard(event, f"({len(event.text)} characters of a mail)")
        words = (redact(inbound.text) if standing.facts.pasted else inbound.text)[:MAX_LINE]
        if for_staff and looks_like_a_leak(_caption(inbound)):
            return Heard(event, HIDDEN)
        line = _told(inbound, words, shown=for_staff)
        return Heard(event, line, inbound.media if for_staff else (), inbound.message_id, for_mail=for_mail)

    def _take_along(self, db: Connection, held: Held, heard: Heard, now: datetime, *, crowded: bool = False) -> None:
        """A line whose files are for the team of the open case."""
        line = conversations.note_heard(db, held.id, heard.line, now)
        if held.case is not None:
            member_files.coming(
                db, held.id, held.case, line, heard.files, heard.came_in, now, crowded=crowded,
                also_for_mail=heard.for_mail,
            )  # fmt: skip

    def _take_file(
        self, db: Connection, held: Held, inbound: Inbound, now: datetime, *, also_for_staff: bool
    ) -> FileShared:
        """A file for a mail: known from now on, fetched by a promise.

        Where it is also for staff, whoever fetches it for them erases it at the provider, later.
        """
        media, file_id = inbound.media[0], uuid4()
        name = media.name[:MAX_FILE_NAME]
        files.add(db, file_id, held.id, name=name, url=media.url, at=now)
        of = {"file": str(file_id), "message": "" if also_for_staff else inbound.message_id}
        promises.add(db, held.id, [Wanted("work", promises.FETCH_FILE, now, of)], now)
        promises.wake(db, {"work"})
        return FileShared(str(file_id), name)

    def _seal(
        self, db: Connection, held: Held, envelope: Envelope, text: str, judged: Secretive, now: datetime
    ) -> SecretTyped | SecretSuspected:
        keep = UNCLAIMED if judged.taken else SUSPECTED
        account = envelope.state.account
        secret_id = self._safe.put(
            db,
            Secret(text.strip("\r\n")),
            kind="mailbox.password",
            owner=held.contact_id,
            use=use_of(account),
            now=now,
            keep=keep,
        )
        return SecretTyped(str(secret_id)) if judged.taken else SecretSuspected(str(secret_id))

    def _happened(self, db: Connection, held: Held, envelope: Envelope, event: Event, now: datetime) -> Envelope:
        """An event of the world, of which the transcript says nothing by itself."""
        standing = self._facts.read(db, held, envelope, now)
        standing = replace(
            standing, facts=self._facts.about(standing.facts, envelope, standing.agency_host, event, apps=standing.apps)
        )
        return self._run(db, held, envelope, standing, Heard(event, ""), now).envelope

    def _run(
        self,
        db: Connection,
        held: Held,
        envelope: Envelope,
        standing: Standing,
        heard: Heard,
        now: datetime,
        *,
        by_person: bool = False,
        before: Sequence[tuple[str, str, int | None]] = (),
    ) -> Closed:
        turn = converse(envelope, heard.event, standing.facts)
        held, standing, turn = self._write_records(db, held, standing, turn, now)
        closed = close(turn, standing.facts)
        after = closed.envelope
        if behind_a_link(envelope) and not behind_a_link(after):
            mailboxes.close_links(db, held.id, now)
        refused = any(isinstance(effect, FieldErrors) for effect in closed.effects)
        line = HIDDEN if refused else heard.line  # what does not fit into its field may be a password
        lines: list[tuple[str, str, int | None]] = [("in", line, None)] if line else []
        if lines and heard.files and not refused:
            self._take_along(db, held, heard, now)
            lines = []
        lines += before
        silent = held.owner == PERSON
        promised = [
            effect
            for effect in closed.effects
            if not isinstance(effect, FieldErrors) and not (silent and isinstance(effect, Speak))
        ]
        if silent:  # what the bot would have said is staff's to know
            unsaid = [effect for effect in closed.effects if isinstance(effect, Speak)]
            lines += [("bot", _line(speak, standing.facts.language), None) for speak in unsaid]
        lines += self._promise(db, held, promised, standing.facts.language, after.ticket, now)
        if by_person and (worth_a_nudge(after) or worth_a_nudge(envelope)):
            due = nudge_time(now, standing.timezone) if worth_a_nudge(after) else None
            promises.one_at(db, held.id, promises.NUDGE, due, now)
        if held.case is not None:
            self._casework.show(db, held.id, now)
        with together(db):
            conversations.save(db, held.id, saved.dump_envelope(after), after.ticket, now)
            conversations.note(db, held.id, lines, now)
            if promised or records(turn):  # what a record promises only the record knows
                promises.wake(db, () if records(turn) else {LANES[type(effect)] for effect in promised})
        return closed

    def _write_records(
        self, db: Connection, held: Held, standing: Standing, turn: Turn, now: datetime
    ) -> tuple[Held, Standing, Turn]:
        """Write what the turn asks for; answers go through `converse` at once, with facts read anew."""
        written = 0
        for _ in range(MAX_ROUNDS):
            fresh = records(turn)[written:]
            if not fresh:
                break
            written += len(fresh)
            answers = []
            for record in fresh:
                answer = self._records.perform(Scene(db, held, standing, now), record)
                held = conversations.hold(db, held.id) or held
                standing = self._facts.read(db, held, turn.envelope, now)
                if answer is not None:
                    answers.append(answer)
            for answer in answers:
                known = self._facts.about(
                    standing.facts, turn.envelope, standing.agency_host, answer, apps=standing.apps
                )
                turn = turn.then(converse(turn.envelope, answer, known))
        return held, standing, turn

    def _promise(
        self, db: Connection, held: Held, effects: Sequence[Effect], spoken: Language, ticket: int, now: datetime
    ) -> list[tuple[str, str, int | None]]:
        """Keep effects as promises; the lines of the transcript for what will be said."""
        joined = self._join_waiting(db, held, effects[0], spoken) if effects and held.unfinished > 1 else None
        wanted = [
            Wanted(LANES[type(effect)], type(effect).__name__, now + _delay(effect), _payload(effect, held), ticket)
            for effect in effects[1 if joined else 0 :]
        ]
        ids = [*([joined] if joined else []), *promises.add(db, held.id, wanted, now)]
        pairs = zip(effects, ids, strict=True)
        return [("out", _line(effect, spoken), promise_id) for effect, promise_id in pairs if isinstance(effect, Speak)]

    def _join_waiting(self, db: Connection, held: Held, effect: Effect, spoken: Language) -> int | None:
        """Add a message to one that has to wait anyway: nobody wants a chain of bubbles. The id of its promise."""
        waiting = promises.waiting_speech(db, held.id) if isinstance(effect, Speak) else None
        if waiting is None or not isinstance(effect, Speak):
            return None
        promise_id, payload = waiting
        together = merged(saved.load(payload["effect"]), effect, spoken)
        if together is None or not promises.say_instead(db, promise_id, {"effect": saved.dump(together)}):
            return None
        return promise_id

    # --- when a step raises ---

    def _bury_inbound(self, inbound: Inbound, error: Exception, now: datetime) -> Taken | None:
        """The turn was rolled back: the message counts as heard, the event is kept, the person is told."""
        with self._engine.begin() as db:
            if not conversations.claim_inbound(db, inbound.identity.channel, inbound.message_id, now):
                return None
            held = people.who(db, inbound.identity, inbound.name, now)
            envelope = _envelope(held)
            window = inbound.fields is not None  # whose fields are kept nowhere: it cannot be replayed
            secretive = window or awaits_secret(envelope) or envelope.lost or looks_like_a_leak(inbound.text)
            pasted = looks_like_an_error(inbound.text)
            shown = redact(inbound.text) if pasted else written(inbound.text[:MAX_LINE])
            text = HIDDEN if secretive or private(envelope) else shown
            conversations.note(db, held.id, [("in", text, None)], now)
            self._bury(
                db, held.id, {"text": text, "button": inbound.button, "kind": inbound.kind}, redacted_trace(error), now
            )
            return Taken(held.id, language(held.language))

    def bury_result(self, db: Connection, promise: Promise, event: Event | None, where: str) -> None:
        """Keep as a dead letter what became of a promise and could not be applied; without an event, the promise.

        `where` it broke, in words without anything personal.
        """
        if promise.conversation_id is None:
            return
        kept = {"promise": promise.id} if event is None else {"event": saved.dump(event), "ticket": promise.ticket}
        self._bury(db, promise.conversation_id, kept, where, self._clock.now(), tell=promise.kind not in UNNOTICED)

    def _bury(
        self, db: Connection, conversation_id: UUID, event: Any, where: str, now: datetime, *, tell: bool = True
    ) -> None:
        letter = conversations.lay_dead(db, conversation_id, event, where, now)
        _log.error("turn failed", conversation=str(conversation_id), dead_letter=letter, where=where)
        if tell:
            self._apologise(db, conversation_id, now)

    def _apologise(self, db: Connection, conversation_id: UUID, now: datetime) -> None:
        held = conversations.hold(db, conversation_id)
        if held is None:
            return
        sorry = Speak((Say("news.turn_failed"),))
        lines = self._promise(db, held, [sorry], language(held.language), held.ticket, now)
        conversations.note(db, held.id, lines, now)
        promises.wake(db)

    def replay(self, letter: int) -> bool:
        """Apply a dead letter's event again; False when its question is no longer asked.

        Raises LookupError when there is no such letter, or nothing was kept that could be replayed.
        """
        now = self._clock.now()
        with self._engine.begin() as db:
            row = conversations.dead_letter_by_id(db, letter)
            held = conversations.hold(db, row.conversation_id) if row and row.conversation_id else None
            if row is None or held is None:
                raise LookupError(f"There is no dead letter {letter} to replay.")
            in_time = self._revive(db, held, row.event, now)
            conversations.mark_replayed(db, letter, now)
        return in_time

    def _revive(self, db: Connection, held: Held, event: Any, now: datetime) -> bool:
        envelope = _envelope(held)
        match event:
            case {"promise": int(promise_id)}:
                if not promises.revive(db, promise_id, now):
                    raise LookupError("That promise is too old: it was erased.")
                promises.wake(db)
                return True
            case {"event": dict(dumped), "ticket": int(ticket)}:
                happened = _event(dumped)
                if isinstance(happened, get_args(Answer)) and is_late(envelope, ticket):
                    return False
                self._happened(db, held, envelope, happened, now)
                return True
            case {"text": str(text), "button": button, "kind": str(kind)} if text != HIDDEN:
                standing = self._facts.read(db, held, envelope, now)
                meant = understand(envelope, text, button, kind, standing.facts)
                if not isinstance(meant, Secretive):
                    self._run(db, held, envelope, standing, Heard(meant, ""), now)
                    return True
        raise LookupError("Its words were not kept, because they may be private: the person has to write again.")


def redacted_trace(error: Exception) -> str:
    """Where an exception came from and of what kind it is, without a word of what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "site-packages" not in frame.filename]
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in ours or frames]
    return f"{type(error).__name__} at {' > '.join(places[-8:])}"


def _envelope(held: Held) -> Envelope:
    if not held.envelope:
        return Envelope()
    try:
        return saved.load_envelope(held.envelope)
    except saved.Unreadable as unreadable:
        _log.error("saved state unreadable", conversation=str(held.id), why=str(unreadable))
        return restarted(Envelope(ticket=held.ticket, silent=saved.was_silent(held.envelope)))


def _event(dumped: Any) -> Event:
    try:
        found: Event = saved.load(dumped)
    except saved.Unreadable:
        raise LookupError("This version does not know that event any more.") from None
    return found


def _payload(effect: Effect, held: Held) -> dict[str, Any]:
    about: dict[str, Any] = {"message": held.last_message_id} if isinstance(effect, EraseAtProvider) else {}
    return {"effect": saved.dump(effect), **about}


def _told(inbound: Inbound, words: str, *, shown: bool) -> str:
    """A message for the transcript. `shown`: its files are, too, by their names and with what was written below."""
    if not (shown and inbound.media):
        return words if inbound.kind == "text" else f"({inbound.kind})"
    names = ", ".join(member_files.told(inbound.media))
    kind = "document" if inbound.kind == "text" else inbound.kind
    below = words.strip() if _caption(inbound) else ""
    return f"({kind}) {names}" + (f": {below}" if below else "")


def _caption(inbound: Inbound) -> str:
    """What was written; a document without a caption has its name there."""
    text = inbound.text.strip()
    return "" if inbound.media and text == inbound.media[0].name else text


def _is_for_mail_alone(envelope: Envelope) -> bool:
    """Whether a file that comes now is part of a mail of the person's, which is nobody else's to read."""
    return envelope.flow == "compose"


def _is_always_heard(inbound: Inbound) -> bool:
    """Whether the person wants the bot again, or no messages at all: the words that count also beside a human."""
    return inbound.kind == "text" and not inbound.button and command(inbound.text) in ALWAYS_HEARD


def _pasted(inbound: Inbound) -> Pasted | None:
    """What an error text means, if the message is one."""
    if inbound.kind != "text" or inbound.button or len(inbound.text) < SHORTEST_ERROR:
        return None
    if not looks_like_an_error(inbound.text):
        return None
    found = explain_text(inbound.text)
    return Pasted(found.cause, found.who, found.retry, secretive=HIDDEN_WORDS in redact(inbound.text))


def _delay(effect: Effect) -> timedelta:
    """Twilio lets go of a message a minute after it took it: twilio.com/docs/api/errors/20009."""
    return timedelta(minutes=1) if isinstance(effect, EraseAtProvider) else timedelta()


def _line(speak: Speak, spoken: Language) -> str:
    """A message for the transcript: no address of a one-time link, none of the person's own mail."""
    parts = (Say(part.name, {name: _shown(value) for name, value in part.values.items()}) for part in speak.parts)
    message = render(Speak(tuple(parts)), spoken, Plain(), lambda _link: HIDDEN)
    return message.body[:MAX_LINE]


def _shown(value: Value) -> Value:
    return HIDDEN if isinstance(value, Quote) else value
