"""Inviting people where they are: a member and a message for each, one a second, and at most two reminders."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from bot import people
from bot.calendar import next_day_hour, working_days_later
from bot.channels.slack.read import address, split
from bot.scene import Scene
from bot.store import conversations, promises, slack
from bot.store import people as people_store
from bot.store.engine import Connection
from bot.tell import news_for
from flows.words import LANGUAGES, Event, Invited, InvitePeople, Person, TeamRefused, TeamTouched

MOST = 200  # people who are invited at once
APART = timedelta(seconds=1)  # between two messages: Slack lets a workspace's app say so much
REMINDED_AFTER = (3, 10)  # working days after the invitation; then never again


def invite_people(scene: Scene, wanted: InvitePeople) -> Event:
    """Make each a member and write to each, one a second and by day."""
    standing, now = scene.standing, scene.now
    if standing.agency_id is None or not scene.by_admin or scene.held.channel != "slack":
        return TeamRefused("gone")
    team, _ = split(scene.held.address or "")
    workspace = slack.workspace(scene.db, team)
    if workspace is None or workspace.agency_id != standing.agency_id:
        return TeamRefused("gone")
    guests = _guests(scene.db, team, wanted.people[:MOST], standing.agency_id, workspace.language, now)
    due = next_day_hour(now, standing.timezone)
    news = Invited(standing.facts.agency, standing.facts.name)
    told = [(one, news_for(news, due + nth * APART)) for nth, (one, _) in enumerate(guests)]
    reminded = [(one, _reminder(member_id, 0, due, standing.timezone)) for one, member_id in guests]
    promises.drop_waiting(scene.db, [one for one, _ in guests], promises.FOLLOW_UP)  # they were invited before
    promises.add_each(scene.db, [*told, *reminded], now)
    promises.wake(scene.db, {"work"})
    scene.audit("invited_people", standing.agency_id)
    return TeamTouched(len(guests))


def _guests(
    db: Connection, team: str, invited: Sequence[Person], agency_id: UUID, language: str | None, now: datetime
) -> list[tuple[UUID, UUID]]:
    """The conversations of these people and the members for whom they act, in this order; made where missing.

    For all at once: Slack waits three seconds for the answer to the yes. Two hundred one by one took a second on an
    idle machine (all at once a tenth), and too long on a busy one.
    """
    names = {address(team, one.id): one.name[: people.MAX_NAME] for one in invited}
    people_store.add_contacts(db, "slack", names, language or LANGUAGES[0], now)
    held = {row.address: row for row in conversations.hold_all(db, "slack", names)}
    known = people_store.memberships_in(db, [row.contact_id for row in held.values()], agency_id)
    new = {row.contact_id: names[row.address] or "-" for row in held.values() if row.contact_id not in known}
    members = known | people_store.add_members(db, agency_id, new, "member", now)
    people_store.begin_to_act(db, list(members), agency_id)
    return [(held[one].id, members[held[one].contact_id]) for one in names if one in held]  # not erased just now


def remind_later(
    db: Connection, conversation_id: UUID, member_id: UUID, nth: int, since: datetime, timezone: str, now: datetime
) -> None:
    """The nth reminder of somebody who was invited, at its time."""
    wanted = _reminder(member_id, nth, since, timezone)
    promises.one_at(db, conversation_id, wanted.kind, wanted.due_at, now, wanted.payload)


def _reminder(member_id: UUID, nth: int, since: datetime, timezone: str) -> promises.Wanted:
    payload = {"member": str(member_id), "nth": nth, "since": since.isoformat(), "timezone": timezone}
    due = working_days_later(since, REMINDED_AFTER[nth], timezone)
    return promises.Wanted("work", promises.FOLLOW_UP, due, payload)
