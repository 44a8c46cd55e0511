"""What the tests of the one-time page share: links in memory, one of each provider's kind, and an app around them."""

import threading
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask import Flask

from bot.vault import token
from bot.web.headers import secure
from bot.web.secret_page import LinkView, secret_page, steps_for
from flows import speech

NOW = datetime(2026, 9, 14, 12, 0, tzinfo=UTC)
CHAT = "https://wa.me/15550001111"
OPERATOR = "Agência Ação"
TEXTS = Path(__file__).parents[1] / "flows" / "texts"


def sentence(name, language, **values):
    fragment = TEXTS / f"page.{language}.toml"
    if not fragment.exists():
        return speech.sentence(name, language, **values)
    return dict(speech._flatten(tomllib.loads(fragment.read_text(encoding="utf-8")), ""))[name].format(**values)


def view(**changes):
    usual = {
        "language": "en",
        "address": "ana.long-name@agencia-exemplo.com.br",
        "host": "smtp.agencia-exemplo.com.br",
        "user": "ana.long-name@agencia-exemplo.com.br",
        "provider_name": "Locaweb",
        "demand": "password",
        "state": "open",
        "expires_at": NOW + timedelta(minutes=30),
        "chat_url": CHAT,
    }
    return LinkView(**{**usual, **changes})


def google(**changes):
    usual = {
        "address": "ana.souza@gmail.com",
        "user": "ana.souza@gmail.com",
        "host": "smtp.gmail.com",
        "provider_name": "Gmail",
        "demand": "app_password",
        "shape": "google16",
        "app_password_url": "https://myaccount.google.com/apppasswords",
        "reset_url": "https://accounts.google.com/signin/recovery",
        "steps": steps_for("gmail"),
    }
    return view(**{**usual, **changes})


class MemoryLinks:
    """Links that close as the real ones do: in one step under a lock."""

    def __init__(self):
        self._lock = threading.Lock()
        self._open = {}
        self._used = set()
        self.taken = []
        self.submissions = 0

    def add(self, shown):
        clear, _ = token()
        self._open[clear] = shown
        return clear

    def expire(self, clear):
        del self._open[clear]

    def look(self, clear):
        if clear in self._used:
            return view(state="closed")
        return self._open.get(clear)

    def submit(self, clear, secret, source):
        with self._lock:
            self.submissions += 1
            if clear in self._used or clear not in self._open:
                return "closed"
            self._used.add(clear)
            self.taken.append((clear, secret.reveal(), source))
            return "taken"


def make_app(links, *, https=False):
    app = Flask("test", static_folder=None)
    app.register_blueprint(
        secret_page(
            links,
            sentence=sentence,
            form_key=b"k" * 32,
            operator=OPERATOR,
            chat_url=CHAT,
            clock=lambda: NOW,
        )
    )
    secure(app, https=https)
    return app
