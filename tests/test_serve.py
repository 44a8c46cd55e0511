"""`python -m bot serve`: one command for everything, which ends as a whole and brings back what died."""

import os
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
import requests

from bot import serve
from bot.settings import Settings
from bot.vault import new_key
from tests.botkit import eventually

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 45.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(home, port, **more):
    """An installation with an account, so that no playground is started; its Twilio answers nothing."""
    inherited = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return {
        **inherited,
        "DATA_DIR": str(home),
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "TWILIO_ACCOUNT_SID": f"AC{'0' * 32}",
        "TWILIO_AUTH_TOKEN": "girafa-token",
        "TWILIO_WHATSAPP_FROM": "whatsapp:+15550100000",
        "TWILIO_API_URL": "http://127.0.0.1:9",
        "SECRET_KEYS": new_key(),
        "SUPPORT_CONTACT": "+1 555 0100",
        "PRIVACY_URL": "https://example.com/privacy",
        **more,
    }


def answers(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except requests.RequestException:
        return False


@contextmanager
def served(home, port, log, **more):
    """`serve` as a process of its own; whatever happens, nothing of it outlives the test."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot", "serve"],
            cwd=ROOT,
            env=environment(home, port, **more),
            stdout=file,
            stderr=file,
        )
    family = {}
    try:
        eventually(lambda: process.poll() is not None or answers(port), "serve answers", within=START_SECONDS)
        assert process.poll() is None, log.read_text()
        family.update({one.pid: one for one in psutil.Process(process.pid).children(recursive=True)})
        yield process
    finally:
        if process.poll() is None:
            family.update({one.pid: one for one in psutil.Process(process.pid).children(recursive=True)})
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        left = [one for one in family.values() if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        for one in left:
            one.kill()


PARTS = {"web": "gunicorn", "worker": "bot worker", "PostgreSQL": "bin/postgres"}


def child(process, part):
    """The child of `serve` that is this part."""
    return next(one for one in psutil.Process(process.pid).children() if PARTS[part] in " ".join(one.cmdline()[:4]))


def test_it_serves_brings_back_what_died_and_ends_as_a_whole(tmp_path):
    home, port, log = tmp_path / "var", free_port(), tmp_path / "log"
    with served(home, port, log) as process:
        for part in PARTS:
            former = child(process, part)
            former.kill()
            eventually(lambda p=part, f=former: back(process, p, f), f"{part} is back", within=START_SECONDS)
        eventually(lambda: answers(port), "it answers again", within=START_SECONDS)
        assert requests.get(f"http://127.0.0.1:{port}/playground", timeout=10).status_code == 404

        family = psutil.Process(process.pid).children(recursive=True)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0
        assert time.monotonic() - begun < STOP_SECONDS
        eventually(lambda: not any(alive(one) for one in family), "nothing is left", within=5)
        assert not answers(port)
    text = log.read_text()
    assert "girafa" not in text
    for words in ("name=web", "name=worker", "PostgreSQL ended and is started again"):
        assert words in text
    assert f"open http://127.0.0.1:{port} " in text


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux")
def test_when_it_is_killed_its_children_end_and_the_next_start_finds_all_in_place(tmp_path):
    home, port, log, keys = tmp_path / "var", free_port(), tmp_path / "log", new_key()
    with served(home, port, log, SECRET_KEYS=keys) as process:
        family = [child(process, part) for part in ("web", "worker")]
        process.kill()
        process.wait()
        eventually(lambda: not any(alive(one) for one in family), "nobody holds the port", within=STOP_SECONDS)
    with served(home, port, log, SECRET_KEYS=keys):
        assert answers(port)


def back(process, part, former):
    try:
        return child(process, part).pid != former.pid
    except (StopIteration, psutil.NoSuchProcess):
        return False


def alive(one):
    try:
        return one.is_running() and one.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def run(home, port, **more):
    """`serve` where it cannot start; what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", "serve"],
        cwd=ROOT, env=environment(home, port, **more), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_a_busy_port_is_one_sentence_with_the_remedy(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = run(tmp_path / "var", port)
    assert status == 1
    assert said == (f"PORT: {port} is taken by another program; stop that one, or choose another: PORT=8001 make run\n")
    assert not (tmp_path / "var").exists()


WITHOUT_ACCOUNT = dict.fromkeys(
    ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_WHATSAPP_FROM", "TWILIO_API_URL", "SUPPORT_CONTACT"), ""
)


def test_without_an_account_it_is_the_playground_whose_processes_share_one_clock(tmp_path):
    home, port, log = tmp_path / "var", free_port(), tmp_path / "log"
    with served(home, port, log, **WITHOUT_ACCOUNT, SSH_CONNECTION="192.0.2.1 1 192.0.2.2 22"):
        url = f"http://127.0.0.1:{port}/playground"
        assert requests.get(url, timeout=10).status_code == 200
        arrives = partial(requests.post, f"{url}/api/arrive", json={"language": "en"}, timeout=20)
        # The page tries again, too: Slack waits three seconds, and a process that has just started may need more.
        eventually(lambda: arrives().status_code == 202, "somebody arrives", within=60)
        homes = f"{url}/api/office/en"
        eventually(lambda: requests.get(homes, timeout=10).json()["admin"]["home"], "the admin sees a home", within=20)
        person = {"from": "+12125550100", "body": "hello"}
        assert requests.post(f"{url}/api/say", json=person, timeout=10).status_code == 202
        phone = f"{url}/api/phone/%2B12125550100"
        eventually(lambda: len(heard(phone)) == 2, "the worker answers", within=20)
        assert requests.post(f"{url}/api/clock", json={"by": "day"}, timeout=10).status_code == 200
        # The worker speaks of what is due a day later: an invitation left lying, a case that nobody has answered.
        person["body"] = "person"
        assert requests.post(f"{url}/api/say", json=person, timeout=10).status_code == 202
        eventually(lambda: len(heard(phone)) == 4, "it goes on a day later", within=20)
        eventually(lambda: requests.get(homes, timeout=10).json()["desk"]["threads"], "the case is there", within=20)
    text = log.read_text()
    assert f"open http://127.0.0.1:{port}/playground " in text
    assert f"ssh -L {port}:127.0.0.1:{port} " in text


def test_the_playground_takes_no_database_of_somebody_s(tmp_path):
    database = "postgresql://ally:girafa@127.0.0.1:9/ally"
    status, said = run(tmp_path / "var", free_port(), **WITHOUT_ACCOUNT, DATABASE_URL=database)
    assert status == 1
    assert said.startswith("DATABASE_URL: without an account this is the playground")
    assert "girafa" not in said


def test_the_playground_has_a_door_where_it_is_asked_for(tmp_path):
    home, port, log = tmp_path / "var", free_port(), tmp_path / "log"
    with served(home, port, log, **WITHOUT_ACCOUNT, PLAYGROUND_DOOR="yes"):
        told = re.search(r"The door: (\S+):(\d+), TLS, signed by (\S+)", log.read_text())
        context = ssl.create_default_context(cafile=told[3])
        opened = partial(smtplib.SMTP_SSL, told[1], int(told[2]), "ally.example", timeout=10, context=context)
        eventually(lambda: is_open(int(told[2])), "the door is open", within=20)
        with opened() as guest, pytest.raises(smtplib.SMTPAuthenticationError):
            guest.login("ana@sandbox.test", "girafa")


def is_open(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_a_process_that_is_not_needed_never_stops_the_others(monkeypatch):
    monkeypatch.setattr(serve, "PAUSE", 0.0)
    door = serve._Child("door", [sys.executable, "-c", "raise SystemExit(1)"], {}, needed=False)
    for _ in range(serve.MAX_EARLY + 2):
        door._process.wait(20)
        door.look()  # it ended
        door.look()  # and is started again
    door._process.wait(20)
    assert door._early > serve.MAX_EARLY


def heard(phone):
    return requests.get(phone, timeout=10).json()["messages"]


@pytest.mark.parametrize(("bind", "word"), [("192.0.2.1", "192.0.2.1"), ("nowhere.invalid", "nowhere.invalid")])
def test_an_address_that_is_not_ours_is_one_sentence(tmp_path, bind, word):
    status, said = run(tmp_path / "var", free_port(), BIND=bind)
    assert status == 1
    assert said.startswith("BIND, PORT: ")
    assert word in said
    assert said.count("\n") == 1


def test_a_wrong_setting_stops_it_before_anything_is_made(tmp_path):
    status, said = run(tmp_path / "var", free_port(), RETENTION_DAYS="0")
    assert (status, said.count("\n")) == (1, 1)
    assert said.startswith("RETENTION_DAYS")
    assert not (tmp_path / "var").exists()
