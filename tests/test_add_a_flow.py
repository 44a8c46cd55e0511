"""docs/add-a-flow.md is followed as it stands, in a copy of the repository, and its play goes as it is written."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "add-a-flow.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+) file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COPIED = ("bot", "flows", "tests", "docs", "deploy", "pyproject.toml", "README.md", "Makefile", "Procfile")


def copied(to):
    """The repository without what was built in it."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(ROOT / name, to / name)


def follow(to):
    """Do what the blocks say; the files that were touched."""
    blocks = BLOCK.findall(PAGE)
    for kind, name, text in blocks:
        path = to / name
        if kind == "diff":
            path.write_text(changed(path.read_text(encoding="utf-8"), text, name), encoding="utf-8")
        else:
            assert not path.exists(), f"{name} is there already"
            path.write_text(text, encoding="utf-8")
    return {name for _, name, _ in blocks}


def changed(content, diff, name):
    """A file after a change: lines with - and without sign are there, once; then those with + take their place."""
    lines = diff.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if line[:1] in {" ", "-"})
    after = "".join(f"{line[1:]}\n" for line in lines if line[:1] in {" ", "+"})
    assert content.count(f"\n{before}") == 1, f"{name}: {before}"
    return content.replace(f"\n{before}", f"\n{after}")


def test_the_page_is_followed_and_its_play_goes_as_it_is_written(tmp_path, request):
    copied(tmp_path)
    touched = follow(tmp_path)
    assert {"flows/opinion.py", "flows/texts/es.toml", "tests/stories/opinion.en.txt"} <= touched
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    files = [f"tests/test_{name}.py" for name in ("stories", "architecture", "texts")]
    tests = [*files, "-k", "opinion or test_architecture or test_texts"]
    more = ["--update"] if request.config.getoption("--update") else []
    done = subprocess.run(
        [*command, *tests, *more], cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    if more:
        play = (tmp_path / "tests/stories/opinion.en.txt").read_text(encoding="utf-8")
        old = next(text for _, name, text in BLOCK.findall(PAGE) if name.endswith("opinion.en.txt"))
        (ROOT / "docs" / "add-a-flow.md").write_text(PAGE.replace(old, play), encoding="utf-8")
