"""What the tests of the playground share: the product and the stage, joined as `serve` joins them, in one process."""

import threading
import tomllib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from browser import served

from bot.app import Parts, create_app, create_worker, join
from bot.playground.stage import Stage
from bot.settings import load
from bot.vault import new_key
from flows import speech

TEXTS = Path(__file__).parents[1] / "flows" / "texts"


def sentence(name, language, **values):
    fragment = TEXTS / f"playground.{language}.toml"
    if not fragment.exists() or not name.startswith("playground."):
        return speech.sentence(name, language, **values)
    return dict(speech._flatten(tomllib.loads(fragment.read_text(encoding="utf-8")), ""))[name].format(**values)


@dataclass
class Site:
    """The served product on its stage. `parts` are for looking into the database."""

    address: str
    stage: Stage
    parts: Parts
    app: object


@contextmanager
def performed(home, database_url, *, worker=True):
    """A site, with the worker that speaks and sends unless the test does without."""
    apps, joined = [], []

    def app(environ, start):  # it needs to know its own address, so the server is there first
        return apps[0](environ, start)

    with ExitStack() as running:
        address = running.enter_context(served(app))
        running.callback(lambda: [parts.close() for parts in joined])  # when nobody asks any more
        stage = running.enter_context(Stage(home, f"{address}/whatsapp"))
        parts = join(_settings(address, stage, home, database_url), database_url)
        joined.append(parts)
        parts.search.warm()  # as a web process does: Slack waits three seconds
        apps.append(create_app(parts))
        if worker:
            running.enter_context(_working(create_worker(parts)))
        yield Site(address, stage, parts, apps[0])


@contextmanager
def _working(worker):
    thread = threading.Thread(target=worker.run, name="worker")
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(30)


def _settings(address, stage, home, database_url):
    own = {"PUBLIC_URL": address, "DATA_DIR": str(home), "DATABASE_URL": database_url, "SECRET_KEYS": new_key()}
    return load(own | stage.environment())
