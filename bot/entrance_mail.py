"""The mail with six digits, from a mailbox to itself: whoever can read it is whose mailbox it is."""

from uuid import UUID

from bot.credentials import hand_over
from bot.entrances import GOOD_FOR, hashed, new_code
from bot.facts import language
from bot.grants import NotNowError
from bot.handiwork import Again, Ended, Outcome, Tools, backoff
from bot.live_tests import stored
from bot.mail.wire import send
from bot.mail.wire.account import BadCredential
from bot.mail.wire.addresses import BadAddress
from bot.store import entrances, mailboxes
from bot.store.conversations import look
from bot.store.engine import reading
from bot.store.promises import Promise
from bot.vault import Unopenable
from flows.speech import sentence

MAX_TRIES = 3


def mail_code(tools: Tools, promise: Promise) -> Outcome:
    """Mail a code from a mailbox to itself; each try makes a new one, and only the last one is good."""
    row_id = UUID(promise.payload["entrance"])
    with reading(tools.engine) as db:
        row = entrances.get(db, row_id)
        box = mailboxes.of_member(db, row.member_id) if row is not None else None
        held = look(db, row.conversation_id) if row is not None else None
    if box is None or held is None or box.secret_id is None or box.state != "works":
        return Ended("dropped")
    code = new_code()
    with tools.engine.begin() as db:
        entrances.set_code(db, row_id, hashed(row_id, code), tools.clock.now() + GOOD_FOR)
    spoken = language(held.language)
    try:
        message = send.compose(
            sender=box.address,
            name="",
            to=[box.address],
            subject=sentence("entrance.subject", spoken),
            text=sentence("entrance.text", spoken, code=code, operator=tools.operator),
            date=tools.clock.now(),
            marker=f"code-{promise.id:08d}-{promise.attempt}",
        )
        outcome = hand_over(
            tools,
            stored(box),
            box.secret_id,
            message,
            [box.address],
            on_handing=lambda: None,
            on_accepted=lambda _reply: None,
        )
    except NotNowError as away:
        return Again(backoff(0, away.seconds, 60.0), str(away)) if promise.attempt < MAX_TRIES else Ended("dropped")
    except (Unopenable, BadAddress, BadCredential) as gone:
        return Ended("dropped", words=str(gone))
    if isinstance(outcome, send.Later) and promise.attempt < MAX_TRIES:
        return Again(backoff(promise.attempt, longest=60.0), outcome.raw)
    return Ended(words=type(outcome).__name__)
