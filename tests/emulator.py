"""An independent emulator of Slack's API: the npm package `emulate`, which knows nothing of our stand-in.

`make world` installs it, as tests/emulate/package-lock.json pins it (`tests/node.py`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.node import Program, program

if TYPE_CHECKING:
    from collections.abc import Mapping


def emulator(seed: Mapping[str, Any], events_url: str) -> Program:
    """One that is ready to be entered with `with`, and sends all its events to one address.

    Skips the test where it is not installed, fails it in CI.
    """
    return program("emulate", [json.dumps(seed), events_url])
