"""How many of a labelled file are right: python -m tests.score explain|discover FILE (JSON Lines)."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from bot.mail.knowledge.explain import explain_text
from bot.mail.knowledge.providers import Providers

Row = dict[str, Any]


@dataclass(frozen=True)
class Score:
    """What was right, in all and for each value of each named field, and the rows that were wrong with our answer."""

    right: int
    total: int
    parts: dict[str, dict[str, tuple[int, int]]]
    wrong: tuple[tuple[Row, str], ...]

    @property
    def share(self) -> float:
        return self.right / self.total if self.total else 0.0

    def table(self) -> str:
        lines = [f"right {self.right} of {self.total} ({self.share:.1%})"]
        for field, values in self.parts.items():
            lines += [f"  {field} {value}: {right}/{total}" for value, (right, total) in sorted(values.items())]
        lines += [f"  wrong {row['id']}: {said}, not {'/'.join(row['accept'])}: {row['text'][:160]!r}"
                  for row, said in self.wrong]  # fmt: skip
        return "\n".join(lines)


def explained(row: Row) -> str:
    """The cause that the product names for a row."""
    return explain_text(row["text"], provider=row.get("given"), host=row.get("host"), stage=row.get("stage")).cause


def provided(row: Row) -> str:
    """The provider that the product names for a row."""
    return explain_text(row["text"], provider=row.get("given"), host=row.get("host"), stage=row.get("stage")).provider


@cache
def _tables() -> Providers:
    return Providers.load()


def discovered(row: Row) -> str:
    """The first server that the tables name for a row's address."""
    found = _tables().candidates(row["address"], datetime.now(UTC).date())
    return _server(found[0].server.host, found[0].server.port, found[0].server.security) if found else "none"


def _server(host: str, port: int, security: str) -> str:
    return f"{host}:{port} {'tls' if security in {'SSL', 'tls'} else 'starttls'}"


def addressed(row: Row) -> Row:
    """A row of addresses in the form that is scored: what is asked, and which servers are right."""
    right = [_server(one["host"], one["port"], one["tls"]) for one in row["answers"]]
    return {**row, "text": row["address"], "accept": right}


def rows(path: Path) -> list[Row]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def score(data: Iterable[Row], answer: Callable[[Row], str], accept: str, by: tuple[str, ...]) -> Score:
    """Every row asked; right is what stands in the row's list `accept`."""
    right: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    wrong = []
    count = 0
    for row in data:
        count += 1
        said = answer(row)
        keys = [(field, str(row.get(field))) for field in by]
        total.update(keys)
        if said in row[accept]:
            right.update(keys)
        else:
            wrong.append(({**row, "accept": row[accept]}, said))
    parts = {field: {value: (right[key], total[key]) for key in total if key[0] == field for value in [key[1]]}
             for field in by}  # fmt: skip
    return Score(count - len(wrong), count, parts, tuple(wrong))


SCORES: dict[str, Callable[[Path], list[Score]]] = {
    "explain": lambda path: [
        score(rows(path), explained, "accept", ("lang", "cause")),
        score(rows(path), provided, "provider_accept", ("provider",)),
    ],
    "discover": lambda path: [score(map(addressed, rows(path)), discovered, "accept", ("form",))],
}


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or arguments[0] not in SCORES:
        sys.stderr.write(f"python -m tests.score {'|'.join(SCORES)} FILE\n")
        return 2
    for each in SCORES[arguments[0]](Path(arguments[1])):
        sys.stdout.write(each.table() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
