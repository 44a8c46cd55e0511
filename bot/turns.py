"""One turn: remember the message's id, lock, facts, step, save, promise - one transaction, then the edge answers.

Nothing here touches the world: what has to is a promise, and its result comes back through `result` as another turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import structlog

from bot import people
from bot.calendar import nudge_time, window_end
from bot.casework import Casework
from bot.channels import Identity, Inbound
from bot.clock import Clock
from bot.dead_letters import bury, redacted_trace
from bot.desk.rules import MemberWrote
from bot.facts import FactReader, language
from bot.listening import Heard, Listener, is_always_heard, left_of, overheard, taken_along
from bot.pressure import Pressure
from bot.promising import LANES, promise_all
from bot.records import Records
from bot.scene import Scene
from bot.store import conversations, mailboxes, promises
from bot.store import people as people_store
from bot.store.conversations import PERSON, Held, Line
from bot.store.engine import Connection, DatabaseDown, Engine, together
from bot.store.promises import Promise, Wanted
from bot.transcript import HIDDEN, said
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
    records,
    restarted,
    understand,
    worth_a_nudge,
)
from flows.privacy import AwaitingVisit
from flows.words import (
    Answer,
    DataTaken,
    DoorKeyShown,
    Effect,
    Event,
    FieldErrors,
    Language,
    Say,
    Speak,
    Steered,
)

MAX_ROUNDS = 5  # records that answer one another within one turn
AHEAD = timedelta(minutes=5)  # what asks for a moment overtakes what has waited for less
MAX_UNFINISHED = 100  # promises of one conversation; beyond it nothing more is heard until some are kept
_log = structlog.get_logger(__name__)


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
        self, engine: Engine, clock: Clock, facts: FactReader, to_record: Records, listener: Listener,
        casework: Casework, pressure: Pressure,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._clock = clock
        self._facts = facts
        self._records = to_record
        self._listener = listener
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
        envelope = _envelope(held)
        return self._run(self._scene(db, held, envelope, self._clock.now()), envelope, Heard(event, "")).effects

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
        held = _seen(db, held, inbound, now)
        envelope = _envelope(held)
        if held.case is not None:
            self._casework.happened(db, held.id, MemberWrote(), now)
        scene = self._scene(db, held, envelope, now)
        spoken = scene.standing.facts.language
        if crowded or (held.owner == PERSON and not is_always_heard(inbound)):
            overheard(scene, envelope, inbound, crowded=crowded)
            return Taken(held.id, spoken, silent=True)
        scene = self._listener.looked_up(scene, envelope, inbound)
        heard = self._listener.heard(scene, envelope, inbound)
        moment = [] if is_always_heard(inbound) else self._moment(scene, by_edge=answers)
        closed = self._run(scene, envelope, heard, by_person=True, before=moment)
        kept = conversations.look(db, held.id) if held.case is not None else None  # the turn may have ended the case
        silent = kept is not None and kept.owner == PERSON
        aside = moment[0][1] if moment and answers else ""
        return Taken(held.id, spoken, closed.effects, closed.envelope.ticket, silent, aside)

    def _scene(self, db: Connection, held: Held, envelope: Envelope, now: datetime) -> Scene:
        return Scene(db, held, self._facts.read(db, held, envelope, now), now)

    def _moment(self, scene: Scene, *, by_edge: bool) -> list[Line]:
        """When answers come late: one line that asks for a moment, for whoever does not wait already.

        The edge says it in its own answer, or it is promised ahead of what waits.
        """
        db, held, now = scene.db, scene.held, scene.now
        if not self._pressure.late or held.owner == PERSON or promises.speech_waits(db, held.id):
            return []
        please, spoken = Speak((Say("news.moment"),)), scene.standing.facts.language
        if by_edge:
            return [("out", said(please, spoken), None)]
        wanted = Wanted("speak", promises.SPEAK, now - AHEAD, {"effect": saved.dump(please)}, held.ticket)
        (promise_id,) = promises.add(db, held.id, [wanted], now)
        return [("out", said(please, spoken), promise_id)]

    def _happened(self, db: Connection, held: Held, envelope: Envelope, event: Event, now: datetime) -> Envelope:
        """An event of the world, of which the transcript says nothing by itself."""
        scene = self._scene(db, held, envelope, now)
        scene = replace(scene, standing=self._facts.about(scene.standing, envelope, event))
        return self._run(scene, envelope, Heard(event, "")).envelope

    def _run(
        self, scene: Scene, envelope: Envelope, heard: Heard, *, by_person: bool = False, before: Sequence[Line] = ()
    ) -> Closed:
        """Apply an event, and write all that comes of it. `before`: lines of the transcript ahead of the answer."""
        scene, turn = self._recorded(scene, converse(envelope, heard.event, scene.standing.facts))
        db, held, spoken, now = scene.db, scene.held, scene.standing.facts.language, scene.now
        closed = close(turn, scene.standing.facts)
        after = closed.envelope
        if behind_a_link(envelope) and not behind_a_link(after):
            mailboxes.close_links(db, held.id, now)
        promised = [effect for effect in closed.effects if not isinstance(effect, FieldErrors)]
        lines = [*_came_in(scene, heard, closed), *before]
        if held.owner == PERSON:  # what the bot would have said is staff's to know
            lines += [("bot", said(effect, spoken), None) for effect in promised if isinstance(effect, Speak)]
            promised = [effect for effect in promised if not isinstance(effect, Speak)]
        lines += promise_all(db, held, promised, spoken, after.ticket, now)
        if by_person and (worth_a_nudge(after) or worth_a_nudge(envelope)):
            due = nudge_time(now, scene.standing.timezone) if worth_a_nudge(after) else None
            promises.one_at(db, held.id, promises.NUDGE, due, now)
        if held.case is not None:
            self._casework.show(db, held.id, now)
        with together(db):
            conversations.save(db, held.id, saved.dump_envelope(after), after.ticket, now)
            conversations.note(db, held.id, lines, now)
            if promised or records(turn):  # what a record promises only the record knows
                promises.wake(db, () if records(turn) else {LANES[type(effect)] for effect in promised})
        return closed

    def _recorded(self, scene: Scene, turn: Turn) -> tuple[Scene, Turn]:
        """Write what the turn asks for; answers go through `converse` at once, with facts read anew."""
        written = 0
        for _ in range(MAX_ROUNDS):
            fresh = records(turn)[written:]
            if not fresh:
                break
            written += len(fresh)
            answers = []
            for record in fresh:
                answer = self._records.perform(scene, record)
                held = conversations.hold(scene.db, scene.held.id) or scene.held
                scene = self._scene(scene.db, held, turn.envelope, scene.now)
                if answer is not None:
                    answers.append(answer)
            for answer in answers:
                known = self._facts.about(scene.standing, turn.envelope, answer).facts
                turn = turn.then(converse(turn.envelope, answer, known))
        return scene, turn

    # --- when a step raises ---

    def _bury_inbound(self, inbound: Inbound, error: Exception, now: datetime) -> Taken | None:
        """The turn was rolled back: the message counts as heard, the event is kept, the person is told."""
        with self._engine.begin() as db:
            if not conversations.claim_inbound(db, inbound.identity.channel, inbound.message_id, now):
                return None
            held = people.who(db, inbound.identity, inbound.name, now)
            text = left_of(inbound, _envelope(held))
            conversations.note(db, held.id, [("in", text, None)], now)
            event = {"text": text, "button": inbound.button, "kind": inbound.kind}
            bury(db, held.id, event, redacted_trace(error), now)
            return Taken(held.id, language(held.language))

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
                scene = self._scene(db, held, envelope, now)
                meant = understand(envelope, text, button, kind, scene.standing.facts)
                if not isinstance(meant, Secretive):
                    self._run(scene, envelope, Heard(meant, ""))
                    return True
        raise LookupError("Its words were not kept, because they may be private: the person has to write again.")


def _seen(db: Connection, held: Held, inbound: Inbound, now: datetime) -> Held:
    """The conversation as it is known from now on: who writes, until when they may be answered, and by what message."""
    name = inbound.name or held.name
    until = window_end(held.channel, now)
    last = inbound.message_id
    people_store.touch(db, held.contact_id, window_until=until, last_message_id=last, name=name[: people.MAX_NAME])
    return replace(held, name=name, last_message_id=last)


def _came_in(scene: Scene, heard: Heard, closed: Closed) -> list[Line]:
    """The line for what came in; one with files for the team is written at once, and is none of these."""
    if any(isinstance(effect, FieldErrors) for effect in closed.effects):
        return [("in", HIDDEN, None)]  # what does not fit into its field may be a password
    if heard.line and heard.files:
        taken_along(scene, heard)
        return []
    return [("in", heard.line, None)] if heard.line else []


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
