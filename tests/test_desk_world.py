"""The desk with two web processes and two workers, of which some are killed: nothing is lost, doubled, out of order."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos.installation import wait_until
from tests.chaos.people import number_of
from tests.deskkit import DESK, GREETING
from tests.deskworld import DeskWorld
from tests.slackkit import TEAM

pytestmark = pytest.mark.processes

PEOPLE = ["p1", "p2", "p3"]
LINES = 8  # of each member, and of Sam's to each of them
SECONDS = 150.0  # for all that has to be said at one message a second


@pytest.fixture
def world(tmp_path):
    with DeskWorld(tmp_path, PEOPLE) as made:
        for name in PEOPLE:
            made.settle_in(number_of(name), name)
        yield made


def talks(world, name):
    """Somebody wishes for a person, and writes on without waiting."""
    for words in ("person", *(f"m{number} of {name}" for number in range(LINES))):
        world.write(number_of(name), words)


def roots(world):
    shown = world.slack.channel_messages(TEAM, DESK)
    return [one for one in shown if not one.mine and not one.thread_ts]


def below(world, root):
    return "\n".join(one.text for one in world.slack.thread(TEAM, DESK, root.ts) if not one.mine and one.ts != root.ts)


def whose(world, root):
    """Whose thread it is, once somebody's words stand in it."""
    found = re.search(r"m\d+ of (p\d)", below(world, root))
    return found[1] if found else ""


def read_by(world, name):
    return [bubble.body for bubble in world.twilio.phone(number_of(name))]


def told(world):
    """What must have happened when all is said: each thread with its words, each phone with Sam's."""
    threads = {whose(world, root): below(world, root) for root in roots(world)}
    heard = all(f"s{LINES - 1} to {name}" in read_by(world, name) for name in PEOPLE)
    return heard and all(f"m{LINES - 1} of {name}" in threads.get(name, "") for name in PEOPLE)


@pytest.mark.timeout(400)
def test_two_web_processes_and_two_workers_share_one_desk_and_may_be_killed(world):
    with ThreadPoolExecutor(len(PEOPLE)) as crowd:
        for begun in [crowd.submit(talks, world, name) for name in PEOPLE]:
            begun.result()
    wait_until(lambda: sorted(whose(world, one) for one in roots(world)) == PEOPLE, SECONDS, "three threads")
    threads = {whose(world, root): root for root in roots(world)}
    for number in range(LINES):
        for name in PEOPLE:
            world.answer(threads[name], f"!s{number} to {name}")
            world.answer(threads[name], f"among us: {number} of {name}")
        if number == LINES // 2:
            world.of("worker")[0].kill()
            world.of("web")[1].kill()
    wait_until(lambda: told(world), SECONDS, f"all that was said\n{world.last_lines()}")

    assert len(roots(world)) == len(PEOPLE)
    for name in PEOPLE:
        said = re.findall(rf"m(\d+) of {name}", below(world, threads[name]))
        assert said == [str(number) for number in range(LINES)]
        heard = read_by(world, name)
        greeted = next(at for at, body in enumerate(heard) if body.startswith(GREETING))
        assert heard[greeted + 1 :] == [f"s{number} to {name}" for number in range(LINES)]
        assert not [body for body in heard if "among us" in body]
    posts = [one.arguments["text"] for one in world.slack.requests if one.method == "chat.postMessage"]
    assert len(posts) < len(PEOPLE) * LINES  # what came while the channel had to rest is in one message
