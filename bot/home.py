"""The home in Slack: shown when it is opened, and again whenever it would not tell the truth any more."""

from functools import partial

from bot.channels import Identity, Later, Refused, SendError
from bot.channels.slack.home import home_view
from bot.facts import language
from bot.handiwork import Again, Ended, Outcome, Tools, backoff, look
from bot.screens import OPEN_FOR
from bot.store import slack
from bot.store.engine import Connection, reading
from bot.store.promises import Promise
from flows import board

MAX_TRIES = 5


def show_home(tools: Tools, promise: Promise) -> Outcome:
    """Publish what somebody is to see now; the next change shows it again."""
    held = look(tools, promise)
    if held is None or tools.slack is None or tools.glance is None:
        return Ended("dropped")
    with tools.engine.begin() as db:
        page = slack.begin_home(db, held.id)
    with reading(tools.engine) as db:
        known = tools.glance(db, held, tools.clock.now())
    parts = board.home(known, page)
    try:
        tools.slack.channel.publish(Identity(held.channel, held.address), home_view(parts, language(held.language)))
    except Refused as refusal:
        return Ended("failed", words=str(refusal))
    except SendError as failure:
        if promise.attempt >= MAX_TRIES:
            return Ended("failed", words=str(failure))
        wished = failure.seconds if isinstance(failure, Later) else None
        return Again(backoff(promise.attempt, wished), str(failure))
    return Ended(along=partial(_changed_meanwhile, tools))


def _changed_meanwhile(tools: Tools, db: Connection) -> bool:
    """What has changed while a home was shown is shown next: never two at once, of which the older might stay."""
    now = tools.clock.now()
    slack.promise_homes(db, now - OPEN_FOR, now)
    return True
