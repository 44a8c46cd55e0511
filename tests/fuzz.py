"""`make fuzz`: the targets of test_fuzz.py, round after round with another seed each, until the time is over.

`FUZZ_SECONDS` (60) bounds when the last round begins, `FUZZ_SEED` is the first seed, `FUZZ_EXAMPLES` (300) are taken of
each target in a round, `FUZZ_ONLY` names a part of one. What was found stands there with its seed, to be done again.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import click

TARGETS = Path(__file__).parent / "test_fuzz.py"


def main() -> int:
    """Status 0 when nothing was found."""
    until = time.monotonic() + float(os.environ.get("FUZZ_SECONDS", "60"))
    seed = int(os.environ.get("FUZZ_SEED") or random.SystemRandom().randrange(2**32))
    while True:
        click.echo(f"seed {seed}")
        if status := _round(seed):
            click.echo(f"Found with seed {seed}. Again: FUZZ_SECONDS=0 FUZZ_SEED={seed} make fuzz")
            return status
        if time.monotonic() >= until:
            return 0
        seed += 1


def _round(seed: int) -> int:
    only = os.environ.get("FUZZ_ONLY", "")
    chosen = f"{only} and not long_run" if only else "not long_run"
    how = ["-q", "-n", "auto", "-p", "no:cacheprovider", "--timeout=0", f"--hypothesis-seed={seed}", "-k", chosen]
    environment = {**os.environ, "FUZZ": os.environ.get("FUZZ_EXAMPLES", "300")}
    command = [sys.executable, "-m", "pytest", *how, str(TARGETS)]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
