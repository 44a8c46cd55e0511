"""What inviting people needs of the world: who was picked, and whether they have connected meanwhile."""

from datetime import datetime
from uuid import UUID

from bot.channels import Refused, SendError
from bot.channels.slack.people import full_members
from bot.channels.slack.read import split
from bot.handiwork import Again, Ended, Outcome, Tools, backoff, look
from bot.invite import MOST, REMINDED_AFTER, remind_later
from bot.store import mailboxes, slack
from bot.store import people as people_store
from bot.store.conversations import Held
from bot.store.engine import Connection, reading
from bot.store.promises import Promise
from flows import saved
from flows.words import Event, LookUpPeople, PeopleFound, PeopleUnknown, Person, Reminded

MAX_TRIES = 5


def look_up(tools: Tools, promise: Promise) -> Outcome:
    """Find who was picked, and who of them can send already; bots, guests and strangers are left out."""
    wanted: LookUpPeople = saved.load(promise.payload["effect"])
    held = look(tools, promise)
    if held is None or tools.slack is None:
        return Ended("dropped")
    team, me = split(held.address or "")
    try:
        found = full_members(tools.slack.workspaces.api, team, wanted.users, wanted.channels)
    except Refused as refusal:
        return Ended(event=PeopleUnknown("channel"), words=str(refusal))
    except SendError as failure:
        if promise.attempt >= MAX_TRIES:
            return Ended(event=PeopleUnknown("later"), words=str(failure))
        return Again(backoff(promise.attempt, getattr(failure, "seconds", None)), str(failure))
    return Ended(event=_sorted_out(tools, held, team, [one for one in found if one.id != me]))


def _sorted_out(tools: Tools, held: Held, team: str, found: list[Person]) -> Event:
    with reading(tools.engine) as db:
        agency_id = people_store.agency_id_of(db, held.member_id) if held.member_id else None
        working = slack.working_in(db, agency_id, [f"{team}.{one.id}" for one in found]) if agency_id else set()
    missing = [one for one in found if f"{team}.{one.id}" not in working]
    return PeopleFound(tuple(missing[:MOST]), len(found), len(working), more=len(missing) > MOST)


def follow_up(tools: Tools, promise: Promise) -> Outcome:
    """Remind somebody who was invited and has not connected, twice at most."""
    held, of = look(tools, promise), promise.payload
    member_id = UUID(of["member"])
    with reading(tools.engine) as db:
        box = mailboxes.of_member(db, member_id)
        standing = mailboxes.standing(db, member_id, held.contact_id) if held is not None else None
    if held is None or standing is None or box is not None or promise.conversation_id is None:
        return Ended("dropped")  # connected, removed or gone
    nth, conversation_id = int(of["nth"]) + 1, promise.conversation_id

    def once_more(db: Connection) -> bool:
        if nth < len(REMINDED_AFTER):
            since = datetime.fromisoformat(of["since"])
            remind_later(db, conversation_id, member_id, nth, since, of["timezone"], tools.clock.now())
        return True

    return Ended(event=Reminded(standing.agency), along=once_more)
