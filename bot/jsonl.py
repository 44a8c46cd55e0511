"""Commands that answer thousands of lines in one process: one JSON object in, one out."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

MAX_LINE = 1_048_576  # bytes; of a longer line nothing is answered


@dataclass(frozen=True, slots=True)
class Row:
    """One line: its id (whatever was given), its texts by name, or in a sentence why it cannot be answered."""

    id: Any = None
    given: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


def rows(stream: BinaryIO, wanted: str, more: Collection[str] = ()) -> Iterator[Row]:
    """The lines of a stream that hold something. `wanted`: the text that each must have; `more`: those it may have."""
    while line := stream.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE)
            yield Row(error=f"the line has more than {MAX_LINE} bytes")
        elif line.strip():
            yield read(line, wanted, more)


def read(line: bytes, wanted: str, more: Collection[str] = ()) -> Row:
    """One line, see `rows`."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return Row(error="it is not JSON")
    if not isinstance(found, dict):
        return Row(error="it is not an object")
    given = {name: found[name] for name in (wanted, *more) if found.get(name) is not None}
    if wanted not in given or not all(isinstance(value, str) for value in given.values()):
        return Row(found.get("id"), error=f'it needs a "{wanted}", and only texts beside it')
    return Row(found.get("id"), given)
