"""Once a day: whose account in a workspace was deactivated. Whether they are removed is for an admin to say."""

import structlog

from bot.channels import SendError
from bot.channels.slack.people import deactivated
from bot.channels.slack.read import split
from bot.handiwork import Ended, Outcome, Tools
from bot.store import people, slack
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise
from bot.tell import tell_admins
from flows.words import MemberDeactivated

_log = structlog.get_logger(__name__)


def look_around(tools: Tools, promise: Promise) -> Outcome:
    """Look through all workspaces; one that cannot be looked through today is looked through tomorrow."""
    del promise  # it says no more than that it is time
    if tools.slack is None:
        return Ended("dropped")
    with reading(tools.engine) as db:
        workspaces = slack.live_workspaces(db)
    found = 0
    for one in workspaces:
        try:
            gone = deactivated(tools.slack.workspaces.api, one.team_id)
        except SendError as failure:
            _log.info("a workspace was not looked through", team=one.team_id, code=failure.code)
            continue
        with tools.engine.begin() as db:
            found += _noted(db, tools, one, gone)
    return Ended(words=f"{found} found")


def _noted(db: Connection, tools: Tools, workspace: Row, gone: set[str]) -> int:
    """Tell the admins of each who was not known to be gone; who came back is forgotten to have been."""
    now, told = tools.clock.now(), 0
    for row in slack.members_of(db, workspace.team_id, workspace.agency_id):
        is_gone = split(row.address)[1] in gone
        if is_gone and row.gone_at is None:
            tell_admins(db, workspace.agency_id, MemberDeactivated(str(row.member_id), row.name), now)
            told += 1
        if is_gone != (row.gone_at is not None):
            people.touch(db, row.contact_id, gone_at=now if is_gone else None)
    return told
