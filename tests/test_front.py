"""The TLS front that we ship, `deploy/Caddyfile`, in a real Caddy: what its own answers say, and who may use http."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from botkit import eventually
from flask import Flask, Response

from bot.web.headers import HEADERS, HSTS, secure
from tests.browser import served
from tests.test_serve import free_port

pytestmark = pytest.mark.world

FILE = Path(__file__).parent.parent / "deploy" / "Caddyfile"
READY = ("serving initial configuration", "certificate obtained successfully")  # in either order
EVERYWHERE = {**HEADERS, "Strict-Transport-Security": HSTS}


@dataclass(frozen=True)
class Front:
    http: str
    https: str
    root: Path

    def get(self, path, method="GET"):
        base = self.https if path.startswith("/") else self.http
        return requests.request(
            method, base + path.removeprefix("http:"), verify=self.root, allow_redirects=False, timeout=10
        )

    def greets(self):
        """Whether it proves itself: a moment after it has a certificate it does not yet."""
        try:
            self.get("/")
        except requests.exceptions.SSLError:
            return False
        return True


@contextmanager
def front(home, web):
    """Caddy with our file before what answers at `web` (host:port), on ports of its own and with its own authority."""
    http, https = free_port(), free_port()
    ours = FILE.read_text(encoding="utf-8").replace("web:8000", web)
    options = f"{{\n\tadmin off\n\tskip_install_trust\n\thttp_port {http}\n\thttps_port {https}\n}}\n"
    (home / "Caddyfile").write_text(options + ours)
    environment = {**os.environ, "PUBLIC_HOST": "localhost", "HOME": str(home), "XDG_DATA_HOME": str(home)}
    caddy = subprocess.Popen(
        ["caddy", "run", "--adapter", "caddyfile", "--config", str(home / "Caddyfile")],
        stderr=subprocess.PIPE, env=environment, text=True,
    )  # fmt: skip
    try:
        said = ""
        while not all(sign in said for sign in READY):
            line = caddy.stderr.readline()
            assert line, said
            said += line
        it = Front(
            f"http://localhost:{http}",
            f"https://localhost:{https}",
            home / "caddy" / "pki" / "authorities" / "local" / "root.crt",
        )
        eventually(it.greets, "the certificate to be used")
        yield it
    finally:
        caddy.terminate()
        caddy.communicate(timeout=30)


@pytest.fixture(scope="module", autouse=True)
def _caddy_is_there():
    if shutil.which("caddy") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("caddy is missing: make world")


@pytest.fixture(scope="module")
def before_ours(tmp_path_factory):
    """The front before an application with our headers, one page of which has a policy of its own."""
    app = Flask(__name__)
    app.add_url_rule("/s/page", "page", lambda: Response("page", headers={"Cache-Control": "max-age=60"}))
    secure(app, https=True)
    with served(app) as url, front(tmp_path_factory.mktemp("front"), url.removeprefix("http://")) as it:
        yield it


@pytest.fixture(scope="module")
def before_nothing(tmp_path_factory):
    with front(tmp_path_factory.mktemp("front"), f"127.0.0.1:{free_port()}") as it:
        yield it


def told(answer):
    return {name: answer.headers.get(name) for name in EVERYWHERE}


def test_what_the_application_says_comes_through_as_it_is_and_once(before_ours):
    answer = before_ours.get("/s/page")
    assert (answer.status_code, answer.text) == (200, "page")
    assert told(answer) == {**EVERYWHERE, "Cache-Control": "max-age=60"}


def test_an_application_that_is_away_is_a_plain_answer_with_the_same_headers(before_nothing):
    answer = before_nothing.get("/s/page")
    assert (answer.status_code, answer.text) == (502, "502 Bad Gateway")
    assert told(answer) == EVERYWHERE


def test_the_metrics_are_not_to_be_had_through_the_front(before_ours):
    answer = before_ours.get("/metrics")
    assert (answer.status_code, answer.text) == (404, "")
    assert told(answer) == EVERYWHERE


@pytest.mark.parametrize("path", ["/", "/s/abc", "/privacy", "/slack/install?x=1"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_person_who_types_the_address_is_led_to_https(before_ours, path, method):
    answer = before_ours.get(f"http:{path}", method)
    assert (answer.status_code, answer.headers["Location"]) == (308, f"https://localhost{path}")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/whatsapp"), ("POST", "/whatsapp/status"), ("POST", "/slack/events"), ("POST", "/s/abc"),
        ("GET", "/m/abc"), ("GET", "/metrics"),
    ],
)  # fmt: skip
def test_what_only_machines_ask_for_is_refused_without_tls(before_ours, method, path):
    answer = before_ours.get(f"http:{path}", method)
    assert (answer.status_code, answer.text) == (403, "Only https is spoken here.")
    assert "Location" not in answer.headers
