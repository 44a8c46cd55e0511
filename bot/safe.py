"""The safe: seals what comes in, keeps it in the table of secrets, and opens it for the one who may."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from bot.store import secrets
from bot.store.engine import Connection
from bot.vault import Binding, Kind, Sealed, Secret, Unopenable, Vault
from flows.words import Account

UNCLAIMED = timedelta(hours=24)  # nobody saved it: it is erased
SUSPECTED = timedelta(minutes=5)  # perhaps it was no secret at all
WAITING = timedelta(hours=72)  # the fault lies elsewhere: we retry so long


class WrongKey(Exception):
    """The keys at hand are not the ones that sealed this database."""


class Safe:
    """Puts secrets in and takes them out; everything is bound to what it may be used with."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def put(
        self, db: Connection, clear: Secret, *, kind: Kind, owner: UUID, use: Mapping[str, str | int], now: datetime,
        keep: timedelta = UNCLAIMED,
    ) -> UUID:  # fmt: skip
        """Seal and keep; the id under which it lies."""
        record = self.seal(clear, kind=kind, owner=owner, use=use, now=now, keep=keep)
        secrets.put(db, record)
        return record.id

    def seal(
        self, clear: Secret, *, kind: Kind, owner: UUID, use: Mapping[str, str | int], now: datetime,
        keep: timedelta = UNCLAIMED,
    ) -> secrets.Record:  # fmt: skip
        """Seal, for one who keeps it together with other things."""
        new = uuid4()
        box = self._vault.seal(clear.reveal().encode(), kind=kind, secret_id=new, owner_id=owner, use=use)
        return secrets.Record(new, kind, owner, dict(use), box.key_id, box.nonce, box.box, now, now + keep)

    def take(self, db: Connection, secret_id: UUID, *, kind: Kind, use: Mapping[str, str | int]) -> Secret:
        """Open a secret for exactly this use. Raises Unopenable, also when it was erased."""
        record = secrets.get(db, secret_id)
        if record is None:
            raise Unopenable("This secret was erased.")
        sealed = Sealed(record.key_id, record.nonce, record.box)
        clear = self._vault.open(sealed, kind=kind, secret_id=record.id, owner_id=record.owner_id, use=use)
        return Secret(clear.decode())

    def reseal(
        self, db: Connection, secret_id: UUID, clear: Secret, *, kind: Kind, use: Mapping[str, str | int]
    ) -> None:
        """Keep something new under the same id, bound as it was. Raises Unopenable when nothing lies there for this."""
        record = secrets.get(db, secret_id)
        if record is None:
            raise Unopenable("This secret was erased.")
        binding = Binding(kind=kind, secret_id=secret_id, owner_id=record.owner_id, use=use)
        self._vault.open(Sealed(record.key_id, record.nonce, record.box), **binding)
        box = self._vault.seal(clear.reveal().encode(), **binding)
        secrets.reseal(db, secret_id, box.key_id, box.nonce, box.box)

    def check(self, db: Connection) -> None:
        """Remember a key that is used for the first time. Raises WrongKey when ours open nothing sealed here before."""
        known = secrets.checks(db)
        if known and not opens(self._vault, known):
            raise WrongKey(
                "SECRET_KEYS: these are not the keys with which the secrets in this database were sealed; "
                "put the former key behind the new one."
            )
        if self._vault.newest not in {key_id for key_id, _, _ in known}:
            box = self._vault.seal_check()
            secrets.add_check(db, box.key_id, box.nonce, box.box)


def opens(vault: Vault, checks: Sequence[tuple[str, bytes, bytes]]) -> bool:
    """Whether these keys open what was sealed under one of these check rows."""
    return any(vault.opens_check(Sealed(*row)) for row in checks)


def use_of(account: Account) -> dict[str, str | int]:
    """What the password of an account may be used with: nobody can point it at another server."""
    return {"host": account.server.host, "port": account.server.port, "user": account.user}
