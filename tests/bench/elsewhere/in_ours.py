"""A dialogue of ours as the others hold theirs: in this process, without a signature, a network or a worker.

Not the same one, because ours looks for the server itself: the messages of the bench's short story, in PostgreSQL.
"""

from __future__ import annotations

import itertools
import sys
import time
from statistics import median

from bot.channels import Identity, Inbound
from tests.bench.elsewhere.dialogue import PEOPLE, ROUNDS
from tests.bench.site import Site, joined
from tests.bench.turn import STORY


def main() -> None:
    """Print milliseconds a message, the median of the rounds."""
    numbers = itertools.count()
    took = []
    with Site(people=PEOPLE) as site, joined(site.ours) as parts:
        for _ in range(ROUNDS):
            started = time.perf_counter()
            for text, person in itertools.product(STORY, site.people):
                parts.turns.receive(Inbound(f"SM{next(numbers):032x}", Identity("whatsapp", person), text))
            took.append(1000 * (time.perf_counter() - started) / (len(STORY) * len(site.people)))
            site.ours.reset()
    sys.stdout.write(f"ours: {median(took):.2f} ms\n")


if __name__ == "__main__":
    main()
