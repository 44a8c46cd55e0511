"""What an installation takes up: the image's layers above its base, and what each process loads and keeps."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from bot.store.engine import reading
from bot.store.tables import sign_of_life
from bot.worker import LIFE
from tests.bench.figures import Row
from tests.bench.site import ROOT, Site, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

MEGABYTE = 1_000_000
PROCESSES = {"web": "bot.wsgi", "worker": "bot.worker"}  # the module that each of them loads
PARTS = ("bot", "flows", "deploy/gunicorn.py")  # as `deploy/Dockerfile` copies them
LEFT_OUT = ("playground", "__pycache__")  # as `.dockerignore` says
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


def rows(site: Site, rounds: int) -> Iterator[Row]:
    """All rows; nothing but shown, as each has its own machine."""
    yield Row("image: packages above its base", "MB", [_packages() / MEGABYTE], ())
    yield Row("image: our own code and texts", "MB", [_code() / MEGABYTE], ())
    for name, module in PROCESSES.items():
        yield Row(f"{name}: CPU until it is loaded", "s", [_loading(module) for _ in range(rounds)], ())
    for name in PROCESSES:
        yield Row(f"{name}: memory at rest", "MB", [_resting(site, name) for _ in range(rounds)], ())


def _packages() -> int:
    """Bytes of what the production lock names, as it is installed here; Python itself belongs to the base."""
    names = set(_LOCKED.findall((ROOT / "deploy" / "requirements.lock").read_text(encoding="utf-8")))
    return sum(_installed(metadata.distribution(name)) for name in names if _is_for_us(name))


def _is_for_us(name: str) -> bool:
    """The lock names packages for other systems and versions, too."""
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _installed(package: metadata.Distribution) -> int:
    places = (package.locate_file(file) for file in package.files or () if "__pycache__" not in file.parts)
    return sum(place.stat().st_size for place in places if place.exists())  # type: ignore[attr-defined]


def _code() -> int:
    places = [ROOT / part for part in PARTS]
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file() and not set(LEFT_OUT) & set(file.parts))


def _loading(module: str) -> float:
    """CPU seconds of an interpreter that loads this and ends; compiled before."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", f"import {module}"], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _resting(site: Site, name: str) -> float:
    """Megabytes of a process and its children once it works; what they share is counted once."""
    with site.ours.engine.begin() as db:
        db.execute(delete(sign_of_life))
    process = site.start_ours(name)
    if name == "worker":
        wait_until(lambda: _lives(site), "the worker to work")
    kept = sum(one.memory_full_info().pss for one in [process, *process.children(recursive=True)])
    site.stop(name)
    return kept / MEGABYTE


def _lives(site: Site) -> bool:
    with reading(site.ours.engine) as db:
        return db.execute(select(sign_of_life.c.who).where(sign_of_life.c.who == LIFE)).first() is not None
