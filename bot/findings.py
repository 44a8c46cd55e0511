"""What `doctor` finds."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: in one sentence, and what to do about it in another."""

    name: str
    state: State
    words: str
    todo: str = ""
