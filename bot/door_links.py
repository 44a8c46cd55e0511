"""The one-time link behind which a key for the door is made and shown, in one step with using the link up."""

from dataclasses import dataclass, field

from bot import door_keys
from bot.clock import Clock
from bot.links import LinkBook
from bot.store import conversations, doors, housekeeping, mailboxes
from bot.store.engine import Connection, Engine, Row
from bot.turns import Turns
from bot.vault import Secret, token_hash
from bot.web.secret_page import LinkView
from flows import saved
from flows.words import Account


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows once: the key, and what goes with it."""

    key: Secret = field(repr=False)
    view: LinkView


class _NotOpen(Exception):
    """The link is used, or its mailbox is another one now, or does not work."""


class DoorLinks:
    """Makes keys behind links. The key is nowhere but in what is given back here; only its hash is kept."""

    def __init__(self, engine: Engine, clock: Clock, turns: Turns, links: LinkBook) -> None:
        self._engine = engine
        self._clock = clock
        self._turns = turns
        self._links = links

    def show(self, clear: str) -> Shown | None:
        """Use the link up and make a key, which voids the old one, both or neither; None if the link is not open."""
        view = self._links.look(clear)
        if view is None or view.state != "open" or not view.door:
            return None
        key, hashed = door_keys.make()
        try:
            with self._engine.begin() as db:
                self._make(db, token_hash(clear), hashed)
        except _NotOpen:
            return None
        return Shown(key, view)

    def typed(self, clear: str) -> LinkView | None:
        """The person has typed the key in, and the talk goes on; None for a link behind which none was shown."""
        view = self._links.look(clear)
        if view is None or view.state == "open" or not view.door:
            return None
        with self._engine.begin() as db:
            row = mailboxes.link_by_token(db, token_hash(clear))
            held = conversations.hold(db, row.conversation_id) if row is not None else None
            box = mailboxes.of_member(db, row.member_id) if row is not None else None
            key = doors.of_mailbox(db, box.id) if box is not None else None
            # Who has taken a newer one meanwhile is asked about that.
            if row is None or held is None or key is None or key.made_at != row.closed_at:
                return None
            self._turns.shown(db, held)
        return view

    def _make(self, db: Connection, link_hash: str, key_hash: str) -> None:
        """Raises _NotOpen: nothing of it happened."""
        now = self._clock.now()
        row = mailboxes.link_by_token(db, link_hash)
        held = conversations.hold(db, row.conversation_id) if row is not None else None
        if row is None or held is None or row.kind != "door" or not mailboxes.close_link(db, row.id, now):
            raise _NotOpen
        box = _box(db, row)
        if box is None:
            raise _NotOpen
        doors.make(db, box.id, key_hash, now)
        housekeeping.audit_entry(db, now, actor=str(row.member_id), action="door_opened", subject=str(box.id))


def _box(db: Connection, row: Row) -> Row | None:
    """The mailbox that the link is for, if it still is that one, and works."""
    account: Account = saved.load(row.account)
    box = mailboxes.of_member(db, row.member_id)
    same = box is not None and box.address == account.address and box.state == "works"
    return box if same else None
