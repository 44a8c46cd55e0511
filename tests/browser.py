"""Real Chromium for tests: the `browser` fixture, a served app, and the accessibility rules."""

import os
import shutil
import threading
from contextlib import contextmanager

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 10_000  # milliseconds that a page may take before a test gives up


def chromium_path():
    """Where the system's Chromium is. Without it the test is skipped, and in CI it fails."""
    path = shutil.which("chromium")
    if path is None:
        stop = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        stop("Chromium is not installed: `make world` installs it")
    return path


# One for a module and not for the session: Playwright keeps an event loop running in this thread while it is started,
# so that every `asyncio.run` of other tests would fail.
@pytest.fixture(scope="module", name="browser")
def chromium():
    path = chromium_path()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield started
        started.close()


@contextmanager
def opened(browser, **options):
    """A page in a context of its own (no cookies, no cache of others)."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    try:
        yield context.new_page()
    finally:
        context.close()


class _Silent(WSGIRequestHandler):
    def log(self, *_):
        """Say nothing: a test's output is its own."""


@contextmanager
def served(app):
    """The address under which `app` is served, several requests at a time, on a free port of this machine."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Silent)
    thread = threading.Thread(
        target=server.serve_forever, args=(0.05,), name="served app"
    )  # seconds between looks at shutdown
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def axe_violations(page):
    """What the accessibility rules (axe-core) find wrong with the page, one line each."""
    page.wait_for_load_state()  # a heading is there before the colours are
    found = Axe().run(page)["violations"]
    return [f"{rule['id']}: {node['html']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]
