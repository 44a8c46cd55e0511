"""Everything on one machine: the embedded PostgreSQL, web and worker as children, and the playground's stand-ins.

A child that ends is started again. SIGTERM and Ctrl-C stop all of it, in order, in bounded time; when this process is
killed, the children stop by themselves (on Linux), so that the next start finds the port free.
"""

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import structlog

from bot.app import make_key
from bot.database import kept
from bot.settings import Settings, SettingsError

STOP_TIME = 25.0  # seconds for a child; a worker needs up to 20
PAUSE = 1.0  # seconds before a child that ended is started again, twice as long each time
LONGEST_PAUSE = 30.0
EARLY = 5.0  # seconds: a child that ends sooner did not really start
MAX_EARLY = 3  # such ends in a row; then the trouble is not one that passes
PR_SET_PDEATHSIG = 1  # prctl(2)
GUNICORN = Path(__file__).parent.parent / "deploy" / "gunicorn.py"
_log = structlog.get_logger(__name__)


def serve(settings: Settings, environment: Mapping[str, str]) -> None:
    """Run until told to stop. Raises SettingsError, EmbeddedFailed."""
    _port_is_free(settings.bind, settings.port)
    stop = _until_signalled()
    with kept(settings) as database, _stage(settings) as stage:
        shared = {**environment, **stage, "DATABASE_URL": database.url, "PUBLIC_URL": settings.url}
        if not (settings.secret_keys or settings.secret_keys_file):
            shared["SECRET_KEYS_FILE"] = str(_key_told(settings))
        children = [_Child("worker", _worker(), shared), _Child("web", web_command(settings), shared)]
        if shared.get("DOOR_HOST"):
            children.append(_Child("door", _door(), shared, needed=False))
        _greet(settings, stage)
        try:
            while not stop.wait(0.2):
                database.look()
                for child in children:
                    child.look()
        finally:
            for child in children:
                child.ask_to_stop()
            for child in children:
                child.stop()


def _end_with_parent() -> Callable[[], None] | None:
    """What a child does before its program begins, to be told to stop when its parent is gone; None: not on this OS.

    The library is looked up here: between fork and exec nothing may be loaded.
    """
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def told() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was gone already
            os._exit(1)

    return told


class _Child:
    """One process of ours, started again when it ends. One that is not `needed` never stops the others."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], *, needed: bool = True) -> None:
        self._name = name
        self._needed = needed
        self._command = command
        self._environment = dict(environment)
        self._early = 0
        self._again_at: float | None = None
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._started = time.monotonic()
        # Its own session: Ctrl-C in the terminal reaches us, and we stop the children in order.
        return subprocess.Popen(
            self._command,
            env=self._environment,
            start_new_session=True,
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 - one system call, no lock
        )

    def look(self) -> None:
        """Start it again when it ended. Raises SettingsError when it cannot start at all."""
        if self._process.poll() is None:
            return
        now = time.monotonic()
        if self._again_at is None:
            self._early = self._early + 1 if now - self._started < EARLY else 0
            if self._needed and self._early >= MAX_EARLY:
                raise SettingsError(f"The {self._name} process does not start; its own words stand above.")
            self._again_at = now + min(PAUSE * 2**self._early, LONGEST_PAUSE)
            _log.error("a process ended and is started again", name=self._name, status=self._process.returncode)
        elif now >= self._again_at:
            self._again_at = None
            self._process = self._start()

    def ask_to_stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        self.ask_to_stop()
        try:
            self._process.wait(STOP_TIME)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _worker() -> list[str]:
    return [sys.executable, "-m", "bot", "worker"]


def _door() -> list[str]:
    return [sys.executable, "-m", "bot", "door"]


def web_command(settings: Settings) -> list[str]:
    """How gunicorn is started; `Procfile` and containers use the same."""
    where = ["-b", settings.listen, "--threads", str(settings.web_threads)]
    return [sys.executable, "-m", "gunicorn", "-c", str(GUNICORN), *where, "bot.wsgi:app()"]


def _until_signalled() -> threading.Event:
    stop = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, note)
    return stop


def _port_is_free(bind: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingsError(f"BIND, PORT: we cannot listen at {bind}, {port}: {error.strerror}.") from None
            raise SettingsError(
                f"PORT: {port} is taken by another program; stop that one, or choose another: PORT=8001 make run"
            ) from None


@contextmanager
def _stage(settings: Settings) -> Iterator[Mapping[str, str]]:
    """The playground's stand-ins, unless there is a real account."""
    if settings.real:
        yield {}
        return
    if settings.database_url:
        raise SettingsError(
            "DATABASE_URL: without an account this is the playground, whose stand-ins would take what is promised "
            "there; leave it away, or give the accounts."
        )
    # Imported only here: the playground's libraries are no part of a production install.
    from bot.playground.stage import Stage  # noqa: PLC0415

    home, door = settings.data_dir / "playground", settings.playground_door == "yes"
    with Stage(home, f"{settings.url}/whatsapp", door=door) as stage:
        yield stage.environment()


def _key_told(settings: Settings) -> Path:
    known = (settings.data_dir / "secret.key").exists()
    path = make_key(settings.data_dir).resolve()
    if not known:
        say(f"Made a key for stored passwords: {path} - keep a copy, without it they are lost.")
    return path


def _greet(settings: Settings, stage: Mapping[str, str]) -> None:
    where = f"{settings.url}/playground" if stage else settings.url
    say(f"Ally mail assistant: open {where}   (Ctrl-C stops it)")
    if "DOOR_PORT" in stage:
        say(f"The door: {stage['DOOR_HOST']}:{stage['DOOR_PORT']}, TLS, signed by {stage['SSL_CERT_FILE']}")
    if stage and "SSH_CONNECTION" in os.environ:
        say(f"From your own machine: ssh -L {settings.port}:127.0.0.1:{settings.port} {socket.gethostname()}")


def say(words: str) -> None:
    """One line for the operator, at once."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
