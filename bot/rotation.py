"""`rotate-keys`: what is sealed gets the newest key while the product runs, and a proof that the old one is done with.

How far it has come stands in the records themselves (`key_id`), so it may be killed at any moment and begun again, and
two may work beside one another. A record is locked while it is sealed anew: who renews it or erases it at that moment
comes before or after, and neither is undone.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, cast
from uuid import UUID

from bot.clock import Clock
from bot.store import housekeeping, secrets
from bot.store.engine import Connection, Engine, reading
from bot.store.secrets import Record
from bot.vault import Binding, Kind, Sealed, Unopenable, Vault

BATCH = 20  # records in a transaction: a file in one of them may have 16 MB


class StillAtWork(Exception):
    """A process seals with another key than the newest one; the message is one plain sentence for the operator."""


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What one key is still needed for. `at_work`: a process seals with it; `unopened`: it does not open so many."""

    key: str
    held: bool
    newest: bool
    at_work: bool
    records: int
    unopened: int

    @property
    def in_order(self) -> bool:
        """Whether all that it sealed opens, and only the newest one seals."""
        return not self.unopened and (self.newest or not (self.records or self.at_work))

    @property
    def told(self) -> str:
        """What may be done with it, in words."""
        if self.unopened:
            lost = "do not open with it" if self.held else "need it, and SECRET_KEYS does not hold it"
            return f"{self.unopened} records {lost}: RUNBOOK, 'A lost key'."
        if self.newest:
            return "It seals."
        if self.at_work:
            return "A process still seals with it: restart web and worker with the newest key in front."
        if self.records:
            return "It is needed: python -m bot rotate-keys"
        return "Nothing is sealed with it: it may be taken out of SECRET_KEYS. Keep it with backups of its time."


def rotate(engine: Engine, vault: Vault, clock: Clock) -> int:
    """Seal everything with the newest key; how many records that were. What does not open stays as it is.

    Raises StillAtWork when a process would not open what the newest key seals, or would go on sealing with another.
    """
    with reading(engine) as db:
        others = secrets.at_work(db) - {vault.newest}
    if others:
        raise StillAtWork(
            f"A process at work seals with the key {min(others)}: put the newest key ({vault.newest}) in front of it "
            "in the SECRET_KEYS of web and worker, too, restart them, then rotate."
        )
    # The second time for what somebody else held at that moment: one by one, so that we wait for one and hold none.
    resealed = sum(_batches(engine, vault, BATCH, wait=False)) + sum(_batches(engine, vault, 1, wait=True))
    with engine.begin() as db:
        _retire(db, vault)
        # Now, and not when it began: by then that day may have been sealed.
        now = clock.now()
        housekeeping.audit_entry(db, now, actor=housekeeping.OPERATOR, action="keys_rotated", subject=vault.newest)
    return resealed


def _batches(engine: Engine, vault: Vault, most: int, *, wait: bool) -> Iterator[int]:
    """Seal all records of other keys anew, each batch in a transaction; how many of each batch."""
    after: UUID | None = None
    while True:
        with engine.begin() as db:
            batch = secrets.of_other_keys(db, vault.newest, after, most, wait=wait)
            resealed = sum(_resealed(db, vault, one) for one in batch)
        if not batch:
            return
        yield resealed
        after = batch[-1]


def _resealed(db: Connection, vault: Vault, secret_id: UUID) -> bool:
    record = secrets.get(db, secret_id)
    if record is None:
        return False
    try:
        box = vault.reseal(_sealed(record), **_binding(record))
    except (Unopenable, ValueError):  # ValueError: a kind that a newer version made
        return False
    secrets.reseal(db, record.id, box.key_id, box.nonce, box.box)
    return True


def _retire(db: Connection, vault: Vault) -> None:
    """Who has only a key with which nothing is sealed is not let in any more."""
    needed = {vault.newest, *secrets.by_key(db)}
    for key_id, _, _ in secrets.checks(db):
        if key_id not in needed:
            secrets.forget_check(db, key_id)


def keys_in_use(engine: Engine, vault: Vault) -> list[KeyUse]:
    """What each key is needed for, newest first; every record is opened for it, with its own key and no other."""
    records, unopened = Counter[str](), Counter[str]()
    with reading(engine) as db:
        for record in _all(db):
            records[record.key_id] += 1
            unopened[record.key_id] += not _opens(vault, record)
        known = {key_id for key_id, _, _ in secrets.checks(db)}
        working = secrets.at_work(db)
    others = sorted({*records, *known, *working} - {*vault.held})
    return [
        KeyUse(key, key in vault.held, key == vault.newest, key in working, records[key], unopened[key])
        for key in (*vault.held, *others)
    ]


def _all(db: Connection) -> Iterator[Record]:
    """Every record, a few at a time: some are large."""
    after: UUID | None = None
    while batch := secrets.following(db, after, BATCH):
        yield from batch
        after = batch[-1].id


def _opens(vault: Vault, record: Record) -> bool:
    try:
        vault.open(_sealed(record), **_binding(record))
    except (Unopenable, ValueError):
        return False
    return True


def _sealed(record: Record) -> Sealed:
    return Sealed(record.key_id, record.nonce, record.box)


def _binding(record: Record) -> Binding:
    return Binding(kind=cast("Kind", record.kind), secret_id=record.id, owner_id=record.owner_id, use=record.bound_to)


def as_row(use: KeyUse) -> dict[str, Any]:
    """A key for the command's answer."""
    return {**asdict(use), "verdict": use.told}
