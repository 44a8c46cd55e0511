"""Inviting people where they are: a member and a message for each, one a second, and at most two reminders."""

from datetime import datetime, timedelta
from uuid import UUID

from bot import people
from bot.calendar import next_day_hour, working_days_later
from bot.channels import Identity
from bot.channels.slack.read import address, split
from bot.scene import Scene
from bot.store import people as people_store
from bot.store import promises, slack
from bot.store.engine import Connection
from bot.tell import tell
from flows.words import Event, Invited, InvitePeople, Person, TeamRefused, TeamTouched

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
    due = next_day_hour(now, standing.timezone)
    news = Invited(standing.facts.agency, standing.facts.name)
    count = 0
    for one in wanted.people[:MOST]:
        conversation_id, member_id = _member(scene.db, team, one, standing.agency_id, now)
        tell(scene.db, conversation_id, news, now, due + count * APART)
        remind_later(scene.db, conversation_id, member_id, 0, due, standing.timezone, now)
        count += 1
    promises.wake(scene.db, {"work"})
    scene.audit("invited_people", standing.agency_id)
    return TeamTouched(count)


def _member(db: Connection, team: str, one: Person, agency_id: UUID, now: datetime) -> tuple[UUID, UUID]:
    """The conversation of somebody of the workspace, and the member whom they act for; both made where missing."""
    held = people.who(db, Identity("slack", address(team, one.id)), one.name, now)
    member_id = people_store.membership_in(db, held.contact_id, agency_id)
    if member_id is None:
        member_id = people_store.add_member(db, held.contact_id, agency_id, one.name or "-", "member", now)
    if held.member_id is None:
        people_store.touch(db, held.contact_id, member_id=member_id)
    return held.id, member_id


def remind_later(
    db: Connection, conversation_id: UUID, member_id: UUID, nth: int, since: datetime, timezone: str, now: datetime
) -> None:
    """The nth reminder of somebody who was invited, at its time."""
    due = working_days_later(since, REMINDED_AFTER[nth], timezone)
    payload = {"member": str(member_id), "nth": nth, "since": since.isoformat(), "timezone": timezone}
    promises.one_at(db, conversation_id, promises.FOLLOW_UP, due, now, payload)
