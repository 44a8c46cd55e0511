"""Several ways in for one member: another phone by a short code, a new number by a code mailed to the mailbox itself.

Six digits are few. So a code is good for ten minutes; one that was mailed for three tries, in the conversation that
asked for it; one that is shown for linking is guessed against a limit that all guessers share.
"""

import hashlib
import hmac
import secrets
from datetime import timedelta
from uuid import UUID

from bot.limits import Exhausted, Limits
from bot.people import at_home, belongs
from bot.scene import Scene
from bot.store import entrances, housekeeping, mailboxes, people, promises
from bot.store.engine import Row
from bot.tell import tell
from flows.words import (
    EntranceCode,
    Event,
    Joined,
    JoinRefused,
    MakeLinkCode,
    MovedAway,
    ProofAsked,
    ProveAddress,
    TeamRefused,
    UseEntranceCode,
)

GOOD_FOR = timedelta(minutes=10)
TRIES = 3
EVERYBODY = "everybody"
ELSEWHERE = JoinRefused("workspace")


def make_link_code(scene: Scene, _wanted: MakeLinkCode) -> Event:
    """A code to be typed at another entrance; older ones of this member are void."""
    if scene.standing.member_id is None:
        return TeamRefused("gone")
    row_id, code = entrances.add(scene.db, scene.standing.member_id, None, TRIES, scene.now + GOOD_FOR), new_code()
    entrances.set_code(scene.db, row_id, hashed(row_id, code), scene.now + GOOD_FOR)
    return EntranceCode(code, GOOD_FOR // timedelta(minutes=1))


def prove_address(scene: Scene, wanted: ProveAddress, limits: Limits) -> Event:
    """Mail a code to a mailbox that is registered here. Whether it is one, the answer does not tell.

    From a workspace of another agency nobody could come in with it: nobody there makes us write to these people.
    """
    if isinstance(limits.allow("proof", str(scene.held.contact_id), connection=scene.db), Exhausted):
        return ProofAsked(too_many=True)
    member_id = entrances.member_by_address(scene.db, wanted.address)
    if member_id is not None and at_home(scene.db, scene.held) in {None, people.agency_id_of(scene.db, member_id)}:
        row_id = entrances.add(scene.db, member_id, scene.held.id, TRIES, scene.now + GOOD_FOR)
        wish = promises.Wanted("mail", promises.MAIL_CODE, scene.now, {"entrance": str(row_id)})
        promises.add(scene.db, scene.held.id, [wish], scene.now)
    return ProofAsked()


def use_code(scene: Scene, wanted: UseEntranceCode, limits: Limits) -> Event:
    """Come in with a code: as another entrance of a member, or (mailed) as the only one from now on."""
    db, held = scene.db, scene.held
    if isinstance(limits.allow("code", str(held.contact_id), connection=db), Exhausted):
        return JoinRefused("too_many")
    mailed = [row for row in entrances.open_ones(db, held.id, scene.now) if row.conversation_id == held.id]
    if (mine := _matching(mailed, wanted.code)) is not None:
        return _moved(scene, mine) if _belongs(scene, mine) else ELSEWHERE
    if mailed:
        entrances.one_try_less(db, [row.id for row in mailed])
    if isinstance(limits.allow("entrance", EVERYBODY, connection=db), Exhausted):
        return JoinRefused("too_many")
    shown = [row for row in entrances.open_ones(db, held.id, scene.now) if row.conversation_id is None]
    linked = _matching(shown, wanted.code)
    if linked is None:
        return JoinRefused("unknown")
    return _linked(scene, linked) if _belongs(scene, linked) else ELSEWHERE


def _belongs(scene: Scene, row: Row) -> bool:
    """Whether the member of a code may be acted for from here; an admin's code gives a free workspace to the agency."""
    admin = people.role_of(scene.db, row.member_id) == "admin"
    return belongs(scene.db, scene.held, people.agency_id_of(scene.db, row.member_id), claims=admin)


def _matching(rows: list[Row], code: str) -> Row | None:
    return next((row for row in rows if hmac.compare_digest(row.code_hash, hashed(row.id, code))), None)


def _linked(scene: Scene, row: Row) -> Event:
    entrances.use_up(scene.db, row.id)
    return _enter(scene, row.member_id, "linked")


def _moved(scene: Scene, row: Row) -> Event:
    """The other entrances of the member are closed, and told so: whoever has the old phone has it no more."""
    entrances.use_up(scene.db, row.id)
    for conversation_id in people.shut_out(scene.db, row.member_id, scene.held.contact_id):
        mailboxes.close_links(scene.db, conversation_id, scene.now)
        tell(scene.db, conversation_id, MovedAway(), scene.now)
    return _enter(scene, row.member_id, "moved")


def _enter(scene: Scene, member_id: UUID, action: str) -> Event:
    people.let_in(scene.db, scene.held.contact_id, member_id)
    housekeeping.audit_entry(
        scene.db, scene.now, actor=str(scene.held.contact_id), action=action, subject=str(member_id)
    )
    agency = people.agency_of(scene.db, member_id)
    return Joined(agency)


def new_code() -> str:
    """Six random digits."""
    return f"{secrets.randbelow(10**6):06d}"


def hashed(row_id: UUID, code: str) -> str:
    """What is stored of a code."""
    return hashlib.sha256(f"entrance {row_id} {code}".encode()).hexdigest()
