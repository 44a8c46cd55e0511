"""The stage of the playground: stand-ins for Twilio, Slack, Microsoft and a mail server, and what its page asks.

Everything between them is the product itself: messages come in as signed webhooks and go out through Twilio's and
Slack's SDKs, mail leaves over real SMTP. The page reaches the stage through the web process only
(`bot/web/playground.py`). All of it lives in memory: after a restart the phones are empty, and the conversations go on.
What else is to be played one day starts beside these and adds its settings.
"""

import contextlib
import json
import re
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml
from flask import Flask, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException

from bot.clock import SharedClock
from bot.desk.hours import read_hours
from bot.mail.knowledge.provider_table import shipped
from bot.playground.cast import HOURS, ZONE
from bot.playground.identity import CLIENT_ID, CONSENTS, Identity
from bot.playground.identity import DOMAIN as OFFICE
from bot.playground.identity import PROVIDER as OFFICE_NAME
from bot.playground.identity_page import PATH, served_identity
from bot.playground.loopback import served
from bot.playground.mail import FAULTS, HOST, Sandbox
from bot.playground.mail_room import MailRoom
from bot.playground.office import Office, known
from bot.playground.phones import Phones
from bot.playground.samples import SAMPLES
from bot.playground.twilio import TwilioStandIn
from bot.playground.twilio_api import MAX_ID

DOMAIN = "sandbox.test"
PROVIDER = "Sandbox Mail"
SUPPORT = f"support@{DOMAIN}"
MAX_BODY = 4096  # characters that WhatsApp lets a person write in one message
MAX_NAME = 100
MAX_REQUEST = 32 * 1024  # bytes: MAX_BODY characters, percent-encoded or escaped
JUMPS = {"minutes": timedelta(minutes=5), "hour": timedelta(hours=1), "day": timedelta(days=1)}
LISTEN = "127.0.0.1"
MORNING = "morning"  # the next one on which the support team works
_NUMBER = re.compile(r"\+\d{6,15}", re.ASCII)


class Stage:
    """The stand-ins of one playground, served on free ports of this machine from threads of this process.

    `home`: a folder of ours, for the certificates and the mail provider's entry. `webhook_url`: where the bot takes
    WhatsApp messages (PUBLIC_URL and `/whatsapp`). `door`: whether Ally's mails come in through us. Raises SandboxError
    or OSError when a stand-in cannot start.
    """

    def __init__(self, home: Path, webhook_url: str, *, door: bool = False) -> None:
        self._site = webhook_url.partition("#")[0].removesuffix("/whatsapp")
        self._time = home / "ahead"
        self.clock = SharedClock(self._time)
        self.twilio = TwilioStandIn(webhook_url=webhook_url, now=self.clock.now)
        self.office = Office(f"{self._site}/slack/events", self.clock.now)
        self.identity = Identity(f"{self._site}/oauth/microsoft/callback", self.clock.now)
        self.sandbox = Sandbox(home, tokens=self.identity)
        self.url = ""
        self.identity_url = ""
        self._home = home
        self._phones = Phones(self.twilio, self.clock.now)
        self._running = contextlib.ExitStack()
        self._mail: Mapping[str, str] = {}
        self._with_door = door
        self._door: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as starting:
            starting.enter_context(self.sandbox)
            starting.enter_context(self.twilio)
            starting.enter_context(self.office)
            starting.callback(self._phones.close)
            self.identity_url = starting.enter_context(served_identity(self.identity, self.sandbox.post))
            app = _app(self._phones, MailRoom(self.sandbox), self.office, self.clock, self.identity)
            self.url = starting.enter_context(served(app, "stage"))
            self._mail = mail_settings(self.sandbox, self._home)
            self._door = door_settings(self.sandbox) if self._with_door else {}
            self._running = starting.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._running.close()

    def environment(self) -> dict[str, str]:
        """The settings with which web and worker talk to the stand-ins; what else they need is the caller's."""
        return {
            "TWILIO_ACCOUNT_SID": self.twilio.account_sid,
            "TWILIO_AUTH_TOKEN": self.twilio.auth_token,
            "TWILIO_WHATSAPP_FROM": self.twilio.sender,
            "TWILIO_API_URL": self.twilio.url,
            "PLAYGROUND_URL": self.url,
            "PLAYGROUND_CLOCK": str(self._time.resolve()),
            **self._mail,
            **self._sign_in(),
            **self._door,
            **self.office.environment(),
            "PRIVACY_URL": f"{self._site}/privacy",
            "SUPPORT_CONTACT": SUPPORT,
        }

    def _sign_in(self) -> dict[str, str]:
        """Microsoft's part; the guard lets the bot go to Graph as it lets it go to the mail server."""
        return {
            "MICROSOFT_CLIENT_ID": CLIENT_ID,
            "MICROSOFT_CLIENT_SECRET": self.identity.client_secret,
            "MICROSOFT_AUTHORITY": f"{self.identity_url}{PATH}",
            "GRAPH_URL": self.identity_url,
            "SMTP_ALLOW_PORTS": f"{self._mail['SMTP_ALLOW_PORTS']} {urlsplit(self.identity_url).port}",
        }


def mail_settings(
    sandbox: Sandbox, home: Path, played: Mapping[str, Sequence[str]] | None = None, today: date | None = None
) -> dict[str, str]:
    """The settings with which a running sandbox is reached, and its addresses need no typed server.

    `played`: real providers (by id) whose part the sandbox plays, and the domains under which it does. `today`: when
    the sandbox was looked up, if not really today.
    """
    providers = home / "providers.yaml"
    looked_up = today or datetime.now(UTC).date()
    rows = [
        _provider(sandbox.ports, looked_up),
        *([_office(sandbox.ports, looked_up)] if sandbox.signing_in else []),
        *(_played(one, domains, sandbox.ports) for one, domains in (played or {}).items()),
    ]
    providers.write_text(yaml.safe_dump({"providers": rows}, sort_keys=False), encoding="utf-8")
    return {
        "SMTP_ALLOW_NETWORKS": "127.0.0.0/8 ::1/128",
        "SMTP_ALLOW_PORTS": f"{sandbox.ports['smtps']} {sandbox.ports['submission']}",
        "SSL_CERT_FILE": str(sandbox.ca_pem.resolve()),
        "IMAP_ALLOW_PORTS": str(sandbox.ports["imaps"]),
        "PROVIDERS_EXTRA": str(providers.resolve()),
        "DISCOVERY": "tables",  # nothing leaves this machine
    }


def door_settings(sandbox: Sandbox) -> dict[str, str]:
    """The settings of a door at a free port of this machine, which shows the running sandbox's certificate."""
    with socket.socket() as probe:
        probe.bind((LISTEN, 0))
        port = probe.getsockname()[1]
    pem = str(sandbox.server_pem.resolve())
    return {"DOOR_HOST": HOST, "DOOR_CERT": pem, "DOOR_KEY": pem, "DOOR_PORT": str(port)}


def _provider(ports: Mapping[str, int], today: date) -> dict[str, Any]:
    """The sandbox as a row of the table of providers: a hoster like many, with a plain password."""
    return {
        "id": "sandbox",
        "family": "sandbox",
        "name": PROVIDER,
        "domains": [DOMAIN],
        "servers": _servers(ports),
        "imap": _imap(ports),
        "sent_copy": "never",
        "checked": today,
    }


def _office(ports: Mapping[str, int], today: date) -> dict[str, Any]:
    """The second domain: a provider that takes no password, where people sign in as at Microsoft."""
    return {
        "id": "sandbox_office",
        "family": "microsoft",
        "name": OFFICE_NAME,
        "domains": [OFFICE],
        "servers": [{"host": HOST, "port": ports["submission"], "security": "starttls"}],
        "imap": _imap(ports),
        "sent_copy": "auto",
        "sign_in": "microsoft",
        "policy": [{"demand": "oauth_only"}],
        "checked": today,
    }


def _servers(ports: Mapping[str, int]) -> list[dict[str, Any]]:
    ways = (("smtps", "tls"), ("submission", "starttls"))
    return [{"host": HOST, "port": ports[name], "security": security} for name, security in ways]


def _played(provider: str, domains: Sequence[str], ports: Mapping[str, int]) -> dict[str, Any]:
    """A real provider's row with the sandbox's servers."""
    row = shipped(provider)
    return {
        **row,
        "domains": list(domains),
        "mx_suffixes": [],
        "servers": _servers(ports),
        "imap": _imap(ports),
        "sent_copy": "never",
    }


def _imap(ports: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"host": HOST, "port": ports["imaps"], "security": "tls"}]


# --- what the page asks -----------------------------------------------------------------------------------------------


def _app(phones: Phones, mail: MailRoom, office: Office, clock: SharedClock, identity: Identity) -> Flask:
    """The questions of the page, in JSON; every problem is an HTTP status with `{"problem": its name}`."""
    app = Flask("stage", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST
    app.register_error_handler(HTTPException, _problem)
    _add_phones(app, phones)
    _add_mailboxes(app, mail, clock, identity)
    _add_sign_in(app, identity)
    _add_office(app, office)
    return app


def _add_phones(app: Flask, phones: Phones) -> None:
    @app.post("/say")
    def say() -> tuple[Response, int]:
        """{"from", "body" | "button" | "file", "profile_name"?}: the person writes, taps or sends a file."""
        wish = _wish()
        number = wish.pop("from", None)
        if not _is_number(number) or len(wish.keys() & {"body", "button", "file"}) != 1 or not _are_words(wish):
            abort(400)
        if wish.get("file", "photo") not in SAMPLES:
            abort(400)
        if not phones.say(number, wish):
            abort(429)
        return jsonify({}), 202

    @app.get("/phone/<number>")
    def phone(number: str) -> Response:
        """What the phone shows behind message `after`."""
        if not _is_number(number):
            abort(400)
        return jsonify(phones.shown(number, request.args.get("after", 0, type=int)))


def _add_mailboxes(app: Flask, mail: MailRoom, clock: SharedClock, identity: Identity) -> None:
    @app.get("/mailboxes")
    def mailboxes() -> Response:
        """The sandbox's mailboxes with their passwords, how the stand-ins behave, and what time it is."""
        return jsonify({**mail.shown(), "consent": identity.consent, "now": clock.now().isoformat()})

    @app.post("/refuse")
    def refuse() -> Response:
        """{"kind": one of the faults | null}: how the mail server answers from now on."""
        kind = _wish().get("kind")
        if kind is not None and (not isinstance(kind, str) or kind not in FAULTS):
            abort(400)
        mail.refuse(kind)
        return jsonify({"fault": kind})

    @app.post("/clock")
    def jump() -> Response:
        """{"by": one of the jumps}: so much time passes at once."""
        by = _wish().get("by")
        if by not in {*JUMPS, MORNING}:
            abort(400)
        clock.move(JUMPS[by] if by in JUMPS else _morning(clock.now()) - clock.now())
        return jsonify({"now": clock.now().isoformat()})


def _add_sign_in(app: Flask, identity: Identity) -> None:
    @app.post("/consent")
    def decide() -> Response:
        """{"by": one of CONSENTS}: who decides from now on whether somebody may sign in."""
        by = _wish().get("by")
        known = next((one for one in CONSENTS if one == by), None)
        if known is None:
            abort(400)
        identity.consent = known
        return jsonify({"consent": known})

    @app.post("/revoke")
    def revoke() -> Response:
        """What was granted last is taken back; `address`: whose it was, empty if there is nothing."""
        _wish()  # JSON: no other page can send that unasked
        return jsonify({"address": identity.revoke_last()})


def _morning(now: datetime) -> datetime:
    return read_hours(HOURS, ZONE).next_morning(now)


def _add_office(app: Flask, office: Office) -> None:
    @app.get("/office/<language>")
    def seen(language: str) -> Response:
        """What the admin and the team who read this language have before them; `seen`: what the page knows."""
        spoken = known(language)
        if spoken is None:
            abort(400)
        return jsonify(office.shown(spoken, request.args.get("seen", "")))

    @app.post("/office/<language>/<place>")
    def act(language: str, place: str) -> tuple[Response, int]:
        """{"do": ...}: one of them does something there, see `Office.act`."""
        wish, spoken = _wish(), known(language)
        if spoken is None or not _is_whole(json.dumps(wish, ensure_ascii=False)):
            abort(400)
        try:
            match place:
                case "admin" | "desk":
                    taken = office.act(spoken, place, wish)
                case _:
                    abort(400)
        except LookupError:
            abort(409)
        except ValueError:
            abort(400)
        return jsonify({}), 202 if taken else 502


def _wish() -> dict[str, Any]:
    wish = request.get_json()
    if not isinstance(wish, dict):
        abort(400)
    return wish


def _is_number(value: object) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None


def _are_words(wish: Mapping[str, object]) -> bool:
    """Only known words, none empty or too long, none with half characters (which no form can carry)."""
    limits = {"body": MAX_BODY, "button": MAX_ID, "file": MAX_NAME, "profile_name": MAX_NAME}
    return wish.keys() <= limits.keys() and all(
        isinstance(value, str) and value.strip() != "" and len(value) <= limits[name] and _is_whole(value)
        for name, value in wish.items()
    )


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _problem(error: HTTPException) -> tuple[Response, int]:
    return jsonify({"problem": error.name}), error.code or 500
