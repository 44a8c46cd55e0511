"""What a turn writes of a mailbox, and of the one server that an agency may have for all."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

from bot.facts import FactReader
from bot.safe import WAITING
from bot.scene import Scene
from bot.store import doors, mailboxes, promises, secrets
from bot.store import people as people_store
from bot.tell import tell_admins
from flows.words import (
    AdminNeeded,
    CloseDoor,
    Event,
    Judge,
    Judged,
    RemoveMailbox,
    RetryWaiting,
    SaveMailbox,
    ServerWeighed,
    SetAgencyServer,
    SwitchMailbox,
    TellAdmins,
    WeighServer,
)

# A mailbox that has to wait is tested again after so long, the last time over and over.
RETEST_AFTER = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6))
MAX_TOLD = 20  # addresses in one message to an admin


def save(scene: Scene, wanted: SaveMailbox) -> None:
    """The member's mailbox, in place of an older one; with a cause it waits and is tested again. Raises LookupError."""
    if scene.standing.member_id is None:
        raise LookupError("a mailbox without a member")
    account, secret_id = wanted.account, UUID(wanted.secret_id)
    values = {
        "address": account.address,
        "user_name": account.user,
        "host": account.server.host,
        "port": account.server.port,
        "security": account.server.security,
        "secret_id": secret_id,
        "state": "waiting" if wanted.cause else "works",
        "cause": wanted.cause,
        "who": wanted.who,
        "since": scene.now,
        "size": wanted.size,
        "transport": account.transport,
    }
    replaced = mailboxes.save(scene.db, scene.standing.member_id, values)
    promises.one_at(scene.db, scene.held.id, promises.RETEST, None, scene.now)
    if wanted.cause:
        _promise_retest(scene, scene.standing.member_id)
    secrets.keep_until(scene.db, secret_id, scene.now + WAITING if wanted.cause else None)
    if replaced:
        secrets.erase(scene.db, [replaced])
    scene.audit("mailbox_saved", scene.standing.member_id)


def _promise_retest(scene: Scene, member_id: UUID) -> None:
    """Of this version: a test that is under way for an older one ends without another."""
    row = mailboxes.of_member(scene.db, member_id)
    if row is not None:
        of = {"member": str(member_id), "version": row.version}
        wanted = promises.Wanted("work", promises.RETEST, scene.now + RETEST_AFTER[0], of)
        promises.add(scene.db, scene.held.id, [wanted], scene.now)


def switch(scene: Scene, wish: SwitchMailbox) -> None:
    """Nothing leaves from one's own address, or it may again; the secret stays."""
    if scene.standing.mailbox_id is not None:
        state = "works" if wish.on else "off"
        mailboxes.set_state(scene.db, scene.standing.mailbox_id, state, "", "", scene.now)
        scene.audit(f"mailbox_{'on' if wish.on else 'off'}", scene.standing.mailbox_id)


def remove(scene: Scene, _wanted: RemoveMailbox) -> None:
    """The mailbox with its secret is gone."""
    if scene.standing.member_id is not None:
        secret_id = mailboxes.remove(scene.db, scene.standing.member_id)
        secrets.erase(scene.db, [secret_id] if secret_id else [])
        scene.audit("mailbox_removed", scene.standing.member_id)


def close_door(scene: Scene, _wanted: CloseDoor) -> None:
    """Ally sends nothing through us from one's own address any more; the mailbox stays as it is."""
    if scene.standing.mailbox_id is not None and doors.revoke(scene.db, scene.standing.mailbox_id, scene.now):
        scene.audit("door_closed", scene.standing.mailbox_id)


def judge(scene: Scene, wanted: Judge, facts: FactReader) -> Event:
    """What the agency's rule says to a server: nothing, where it is the agency's own or there is none for all."""
    standing, today = scene.standing, scene.now.date()
    same = not standing.agency_host or facts.same_host(wanted.account.server.host, today, standing.agency_host)
    return Judged(wanted.account, wanted.confirm, "" if same else standing.server_rule)


def set_agency_server(scene: Scene, wanted: SetAgencyServer) -> None:
    """The one server for all of an agency, as its admin said; without one, everybody may have their own."""
    standing, server = scene.standing, wanted.server
    if standing.agency_id is None or not scene.by_admin:
        return
    host, port, security = (server.host, server.port, server.security) if server else ("", 0, "")
    people_store.set_server(scene.db, standing.agency_id, host, port, security)
    scene.audit("agency_server", standing.agency_id)


def weigh_server(scene: Scene, wanted: WeighServer, facts: FactReader) -> Event:
    """How many of the agency's mailboxes are at another server than this one."""
    agency_id, today = scene.standing.agency_id, scene.now.date()
    hosts = mailboxes.hosts_of(scene.db, agency_id) if agency_id else []
    same = partial(facts.same_host, wanted.server.host, today)
    return ServerWeighed(wanted.server, sum(not same(host) for host in hosts))


def tell_the_admins(scene: Scene, wanted: TellAdmins) -> None:
    """News for the admins of one's agency; of what only they can mend, with all who wait for the same."""
    agency_id = scene.standing.agency_id
    if agency_id is None:
        return
    news = wanted.news
    if isinstance(news, AdminNeeded):
        waiting = mailboxes.waiting_addresses(scene.db, agency_id, news.cause)
        news = replace(news, addresses=", ".join(waiting[:MAX_TOLD]) or news.addresses)
    tell_admins(scene.db, agency_id, news, scene.now, besides=scene.held.id)


def retry_waiting(scene: Scene, wanted: RetryWaiting) -> None:
    """An admin says that it is mended: what waits is tested at once, and again after so many minutes."""
    if scene.standing.agency_id is not None and scene.by_admin:
        again = [scene.now + timedelta(minutes=minutes) for minutes in wanted.again]
        promises.hurry(scene.db, scene.standing.agency_id, promises.RETEST, scene.now, again)
