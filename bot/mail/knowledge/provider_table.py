"""The files of mail providers: read, looked over, and told in one sentence where they cannot be used.

Facts lie in `providers.yaml` (reviewed) and `ispdb.yaml` (copied, of lower rank); an operator (or the playground) adds
a file of the same form.
"""

import re
from collections import Counter
from copy import deepcopy
from datetime import timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bot.mail.knowledge import tables
from bot.mail.knowledge.domains import DOMAIN
from bot.mail.knowledge.provider import Provider

_TABLE = Path(__file__).with_name("providers.yaml")
_ISPDB = Path(__file__).with_name("ispdb.yaml")
_MAX_BYTES = 1_000_000
_MAX_PORT = 65535
_HOST = re.compile(r"(?:[a-z0-9_-]|\{(?:domain|account|region)\}|\.)+")
_ROWS = TypeAdapter(tuple[Provider, ...])


class BadTable(ValueError):
    """A provider file that cannot be used; the text is one sentence for the operator: file, row, field, fault."""


def read(path: Path) -> tuple[Provider, ...]:
    """The rows of one file; raises BadTable. What `defaults` says holds for each row that does not say it itself."""
    raw = _parsed(path)
    try:
        rows = _ROWS.validate_python(raw)
    except ValidationError as error:
        first = error.errors()[0]
        number, *field = first["loc"]
        where = "".join(f"{part}: " for part in [".".join(str(part) for part in field)] if part)
        raise BadTable(f"{path.name}: provider {_label_of(raw, number)}: {where}{first['msg']}") from None
    for row in rows:
        if fault := _fault(row):
            raise BadTable(f"{path.name}: provider {row.id}: {fault}")
    _look_for_doubles(path, rows)
    return rows


def shipped(provider_id: str) -> dict[str, Any]:
    """A row of the shipped table as it is written there: to be changed, and given as an operator's own."""
    return deepcopy(_written()[provider_id])


@cache
def shipped_rows() -> tuple[Provider, ...]:
    """All rows that come with us, those of lower rank first."""
    return read(_ISPDB) + read(_TABLE)


@cache
def _written() -> dict[str, Any]:
    return {row["id"]: row for row in (*_parsed(_ISPDB), *_parsed(_TABLE))}


def _parsed(path: Path) -> list[Any]:
    try:
        text = path.read_bytes()
        table = tables.read(text[:_MAX_BYTES])
        defaults = table.get("defaults", {})
        return [{**defaults, **row} if isinstance(row, dict) else row for row in table["providers"]]
    except OSError as error:
        raise BadTable(f"{path.name}: cannot be read ({error.strerror})") from None
    except (tables.BadYaml, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise BadTable(f"{path.name}: not a list of providers (see the shipped providers.yaml)") from None


def _label_of(raw: list[Any], number: int | str) -> str:
    """What the operator finds the row by: its id, or else its number, counted from one."""
    row = raw[number] if isinstance(number, int) else None
    id_ = row.get("id") if isinstance(row, dict) else None
    return id_[:40] if isinstance(id_, str) and id_.isprintable() else f"number {int(number) + 1}"


def _look_for_doubles(path: Path, rows: tuple[Provider, ...]) -> None:
    """One file must not say two things about one id, domain or MX suffix."""
    for field, values in (
        ("id", [row.id for row in rows]),
        ("domains", [domain for row in rows for domain in row.domains]),
        ("mx_suffixes", [suffix for row in rows for suffix in row.mx_suffixes]),
    ):
        value, times = max(Counter(values).items(), key=lambda item: item[1], default=("", 0))
        if times > 1:
            owner = [row.id for row in rows if value in (row.id, *row.domains, *row.mx_suffixes)][-1]
            raise BadTable(f"{path.name}: provider {owner}: {field}: {value!r} stands there twice")


def _fault(row: Provider) -> str | None:
    """What makes a row unusable although its fields are of the right types: the field, and what is wrong with it."""
    return _fault_of_policy(row) or _fault_of_hosts(row) or _fault_of_domains(row)


def _fault_of_policy(row: Provider) -> str | None:
    policy = row.policy
    if not policy or policy[0].since is not None or policy[-1].until is not None:
        return "policy: the first period must have no since, the last no until"
    for before, after in pairwise(policy):
        if before.until is None or after.since != before.until + timedelta(days=1):
            return "policy: each period must start on the day after the one before"
    if not row.servers and any(period.demand != "cannot_work" for period in policy):
        return "servers: it has no server"
    if "fixed" in {row.username, row.imap_username, row.username_own_domain} and not row.user_name:
        return "user_name: it must be given where the user name is fixed"
    return None


def _fault_of_hosts(row: Provider) -> str | None:
    for field, servers in (("servers", row.servers), ("imap", row.imap)):
        for server in servers:
            if not _HOST.fullmatch(server.host):
                return f"{field}: {server.host!r} is no host name in lower case"
            if not 0 < server.port <= _MAX_PORT:
                return f"{field}: {server.port} is no port"
    return None


def _fault_of_domains(row: Provider) -> str | None:
    for field, domains in (("domains", row.domains), ("mx_suffixes", row.mx_suffixes)):
        for domain in domains:
            if not DOMAIN.fullmatch(domain.removeprefix(".")):
                return f"{field}: {domain!r} is no domain in lower case"
    return None
