"""What was measured: rows, their table, and `var/bench.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TITLES = ("figure", "ours", "floor", "ratio", "bound", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: ours and the floor's value in each round, and what they may come to.

    `bound` is for the ratio of ours to the floor, or, without a floor, for ours; None: the figure is only shown.
    `at_least`: it must be reached; else it must not be exceeded.
    """

    name: str
    unit: str
    ours: Sequence[float]
    floor: Sequence[float]
    bound: float | None = None
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios of ours to the floor; None without a floor.

        Within a round the two were measured one right after the other: what else the machine did hit both.
        """
        if not self.floor:
            return None
        return median(ours / floor for ours, floor in zip(self.ours, self.floor, strict=True))

    @property
    def holds(self) -> bool:
        """Whether the bound is kept; without one there is nothing to keep."""
        if self.bound is None:
            return True
        measured = median(self.ours) if self.ratio is None else self.ratio
        return measured >= self.bound if self.at_least else measured <= self.bound

    def as_json(self) -> dict[str, object]:
        """The row for other programs."""
        return {
            "name": self.name,
            "ours": round(median(self.ours), 3),
            "floor": round(median(self.floor), 3) if self.floor else None,
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "bound": self.bound,
            "holds": self.holds,
        }

    def cells(self) -> tuple[str, ...]:
        """The row for people; behind each median stand the least and the most of all rounds."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        floor = _spread(self.floor, self.unit) if self.floor else "-"
        return (self.name, _spread(self.ours, self.unit), floor, ratio, *self._verdict())

    def _verdict(self) -> tuple[str, str]:
        if self.bound is None:
            return "-", "shown"
        unit = "" if self.floor else f" {self.unit}"
        limit = f"{'at least' if self.at_least else 'at most'} {self.bound:g}{unit}"
        return limit.rstrip(), "holds" if self.holds else "DOES NOT HOLD"


def _spread(values: Sequence[float], unit: str) -> str:
    shown = f"{median(values):.4g} {unit}".rstrip()
    return f"{shown} ({min(values):.4g} to {max(values):.4g})"


def quantile(values: Sequence[float], part: float) -> float:
    """The value that `part` (0 to 1) of all values do not exceed."""
    return sorted(values)[min(int(part * len(values)), len(values) - 1)]


def table(rows: Sequence[Row]) -> str:
    """All rows, for people."""
    lines = [TITLES, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(TITLES))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def write(rows: Sequence[Row], file: Path) -> None:
    """All rows, for other programs: a list of `{"name", "ours", "floor", "ratio", "bound", "holds"}`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n")
