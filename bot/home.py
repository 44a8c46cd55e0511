"""The home in Slack: shown when it is opened, and again whenever it would not tell the truth any more."""

from functools import partial

from bot.channels import Identity, Later, Refused, SendError
from bot.channels.slack.home import home_view
from bot.channels.slack.read import split
from bot.desk_home import queue_blocks, read_queue
from bot.facts import language
from bot.handiwork import Again, DeskParts, Ended, Outcome, Tools, backoff, look
from bot.screens import OPEN_FOR
from bot.store import slack
from bot.store.conversations import Held
from bot.store.engine import Connection, reading
from bot.store.promises import Promise
from flows import board

MAX_TRIES = 5


def show_home(tools: Tools, promise: Promise) -> Outcome:
    """Publish what somebody is to see now; the next change shows it again."""
    held = look(tools, promise)
    if held is None or tools.slack is None or tools.glance is None:
        return Ended("dropped")
    spoken, now = language(held.language), tools.clock.now()
    try:
        desk, me = _desk_of(tools, promise, held)
        with tools.engine.begin() as db:
            page = slack.begin_home(db, held.id, queue=desk is not None)
        with reading(tools.engine) as db:
            known = tools.glance(db, held, now)
            found = read_queue(db, now) if desk is not None else None
        above = queue_blocks(found, desk, me, spoken) if desk is not None and found is not None else []
        view = home_view(board.home(known, page), spoken, above)
        tools.slack.channel.publish(Identity(held.channel, held.address), view)
    except Refused as refusal:
        return Ended("failed", words=str(refusal))
    except SendError as failure:
        if promise.attempt >= MAX_TRIES:
            return Ended("failed", words=str(failure))
        wished = failure.seconds if isinstance(failure, Later) else None
        return Again(backoff(promise.attempt, wished), str(failure))
    return Ended(along=partial(_changed_meanwhile, tools))


def _desk_of(tools: Tools, promise: Promise, held: Held) -> tuple[DeskParts | None, str]:
    """The desk that somebody sits at (None: at none), and who they are there. Raises Later, Unclear.

    At the last try somebody's own part is better than nothing.
    """
    team, user = split(held.address or "")
    desk = tools.desk if tools.desk is not None and tools.desk.team == team else None
    try:
        return (desk if desk is not None and desk.staff.has(user) else None), user
    except SendError:
        if promise.attempt < MAX_TRIES:
            raise
        return None, user


def _changed_meanwhile(tools: Tools, db: Connection) -> bool:
    """What has changed while a home was shown is shown next: never two at once, of which the older might stay."""
    now = tools.clock.now()
    slack.promise_homes(db, now - OPEN_FOR, now)
    return True
