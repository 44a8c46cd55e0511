"""`python -m tests.chaos --seed N`: one run; the last line is its result in JSON, findings stand on standard error."""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from bot import log
from tests.chaos.audit import Report, audit
from tests.chaos.evidence import gather
from tests.chaos.guests import Guests
from tests.chaos.inside import POINTS, SPEECH
from tests.chaos.installation import ROOT, Installation, wait_until
from tests.chaos.people import Crowd
from tests.chaos.points import all_names
from tests.chaos.post import Post
from tests.chaos.storm import Storm

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS, PEOPLE = 150.0, 8
NEWCOMERS = 40
SETTLE_SECONDS = 60.0
LOGS = ROOT / "var" / "chaos"


def main(arguments: Sequence[str]) -> int:
    """Run once; the exit status: 0 when every promise held."""
    options = _options(arguments)
    LOGS.mkdir(parents=True, exist_ok=True)
    alone = (LOGS / "lock").open("w")
    try:
        fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        _tell("Another storm is under way here; two at once would wait for one another in vain.")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is stopped then, too
    log.setup()
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="ally-chaos-") as home:
        report = run(Path(home), options.seed, options.seconds, options.people)
        if not report.clean:
            _keep_logs(Path(home))
            _tell(f"The logs are kept in {LOGS}.")
    sys.stdout.write(json.dumps({"seed": options.seed, **report.counts()}) + "\n")
    return 0 if report.clean else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats the same choices")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long the storm lasts")
    parser.add_argument("--people", type=int, default=PEOPLE, help="how many write at the same time")
    return parser.parse_args(arguments)


def run(home: Path, seed: int, seconds: float, people: int) -> Report:
    """A storm of so many seconds, and what the audit says of it."""
    at_once = max(1, people // 4)
    settled = [f"ana{n}" for n in range(people - at_once)]
    newcomers = [f"bia{n}" for n in range(1000, 1000 + NEWCOMERS)]
    with Installation(home, seed, [*settled, *newcomers], door=True) as world, Post(world.twilio, seed) as post:
        crowd, storm = Crowd(world, post, seed, settled, newcomers), Storm(world, seed)
        guests = Guests(world, seed, settled)
        crowd.begin()
        storm.start()
        guests.come()
        crowd.live(seconds, at_once)
        complaints = storm.stop()
        world.calm_down()
        complaints += [*guests.leave(), *crowd.leave(), *_settle(world, post)]
        complaints += [*crowd.mute(), *_settle(world, post)]
        _tell_what_happened(world, post, guests, storm)
        report = audit(gather(world, post, guests.letters, complaints))
    for kind in ("lost", "doubled", "out_of_order", "excused"):
        for finding in getattr(report, kind):
            _tell(f"{kind}: {finding}")
    return report


def _settle(world: Installation, post: Post) -> list[str]:
    """Fair weather: wait until nothing is under way any more; what still is."""
    post.settle()
    sids = [letter.sid for letter in post.letters]
    try:
        wait_until(lambda: not world.unheard(sids), SETTLE_SECONDS, "messages whose webhooks were lost")
        wait_until(lambda: not world.unfinished(), SETTLE_SECONDS, "the last promise")
    except TimeoutError as late:
        return [str(late)]
    return []


def _tell_what_happened(world: Installation, post: Post, guests: Guests, storm: Storm) -> None:
    deaths = {child.name: child.deaths for child in world.children}
    reached = Counter(world.points_reached())
    _tell(f"disasters: {storm.disasters}")
    _tell(f"deaths: {deaths}; at {len(reached)} of {len(all_names())} named points: {dict(reached)}")
    lost = sum(not letter.taken for letter in post.letters)
    _tell(f"webhooks: {len(post.letters)} messages, {lost} of them never taken")
    replies = Counter(reply[:3] or "none" for letter in guests.letters for reply in letter.replies)
    _tell(f"door: {len(guests.letters)} mails handed in; replies: {dict(replies)}")
    _tell(f"not reached: {sorted(all_names() - reached.keys())}")


def _keep_logs(home: Path) -> None:
    LOGS.mkdir(parents=True, exist_ok=True)
    for file in (*home.glob("*.log"), *(home / name for name in (POINTS, SPEECH) if (home / name).exists())):
        shutil.copy(file, LOGS)


def _tell(words: str) -> None:
    sys.stderr.write(words + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
