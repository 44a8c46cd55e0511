"""What a turn promises: each effect that touches the world in its lane, and what the transcript says of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from bot.store import promises
from bot.store.conversations import Held, Line
from bot.store.engine import Connection
from bot.store.promises import Wanted
from bot.transcript import said
from flows import saved
from flows.conversation import merged
from flows.words import (
    CheckServer,
    Discover,
    Effect,
    EraseAtProvider,
    EraseEverything,
    Language,
    LookUpPeople,
    Speak,
    TestLogin,
)

LANES: dict[type, str] = {
    Speak: "speak",
    EraseEverything: "speak",  # behind the last word to the person
    Discover: "work",
    TestLogin: "work",
    CheckServer: "work",
    LookUpPeople: "work",
    EraseAtProvider: "work",
}


def promise_all(
    db: Connection, held: Held, effects: Sequence[Effect], spoken: Language, ticket: int, now: datetime
) -> list[Line]:
    """Keep effects as promises; the lines of the transcript for what will be said. The workers are not woken."""
    joined = _join_waiting(db, held, effects[0], spoken) if effects and held.unfinished > 1 else None
    wanted = [
        Wanted(LANES[type(effect)], type(effect).__name__, now + _delay(effect), _payload(effect, held), ticket)
        for effect in effects[1 if joined else 0 :]
    ]
    ids = [*([joined] if joined else []), *promises.add(db, held.id, wanted, now)]
    pairs = zip(effects, ids, strict=True)
    return [("out", said(effect, spoken), promise_id) for effect, promise_id in pairs if isinstance(effect, Speak)]


def _join_waiting(db: Connection, held: Held, effect: Effect, spoken: Language) -> int | None:
    """Add a message to one that has to wait anyway: nobody wants a chain of bubbles. The id of its promise."""
    waiting = promises.waiting_speech(db, held.id) if isinstance(effect, Speak) else None
    if waiting is None or not isinstance(effect, Speak):
        return None
    promise_id, payload = waiting
    together = merged(saved.load(payload["effect"]), effect, spoken)
    if together is None or not promises.say_instead(db, promise_id, {"effect": saved.dump(together)}):
        return None
    return promise_id


def _payload(effect: Effect, held: Held) -> dict[str, Any]:
    about: dict[str, Any] = {"message": held.last_message_id} if isinstance(effect, EraseAtProvider) else {}
    return {"effect": saved.dump(effect), **about}


def _delay(effect: Effect) -> timedelta:
    """Twilio lets go of a message a minute after it took it: twilio.com/docs/api/errors/20009."""
    return timedelta(minutes=1) if isinstance(effect, EraseAtProvider) else timedelta()
