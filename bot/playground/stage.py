"""The stage of the playground: stand-ins for Twilio and for a mail server, and what its page asks of them.

Everything between them is the product itself: messages come in as signed webhooks and go out through Twilio's SDK,
mail leaves over real SMTP. The page reaches the stage through the web process only (`bot/web/playground.py`).
All of it lives in memory: after a restart the phones are empty, and the conversations go on.
"""

import contextlib
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

import requests
import yaml
from flask import Flask, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server

from bot.mail.knowledge.providers import shipped
from bot.playground.mail import FAULTS, HOST, INBOX, OUTSIDE, SENT, Sandbox, SandboxMail
from bot.playground.twilio import LOOPBACK, Bubble, TwilioStandIn
from bot.playground.twilio_api import MAX_ID, new_sid

DOMAIN = "sandbox.test"
PROVIDER = "Sandbox Mail"
SUPPORT = f"support@{DOMAIN}"
TYPING_TIME = timedelta(seconds=25)  # https://www.twilio.com/docs/whatsapp/api/typing-indicators-resource
MAX_BODY = 4096  # characters that WhatsApp lets a person write in one message
MAX_NAME = 100
MAX_REQUEST = 32 * 1024  # bytes: MAX_BODY characters, percent-encoded or escaped
BAD_REQUEST = 400
MAX_WAITING = 50  # messages that the bot has not answered yet
SHOWN_BUBBLES = 200
SHOWN_STATUSES = 20
SHOWN_MAILS = 20
SHOWN_CHARACTERS = 4000
ON_THE_PHONE = 2.0  # seconds that a message may take to the person's own phone before the page stops waiting for it
_NUMBER = re.compile(r"\+\d{6,15}", re.ASCII)


class Stage:
    """The stand-ins of one playground, served on free ports of this machine from threads of this process.

    `home`: a folder of ours, for the certificates and the mail provider's entry. `webhook_url`: where the bot takes
    WhatsApp messages (PUBLIC_URL and `/whatsapp`). Raises SandboxError or OSError when a stand-in cannot start.
    """

    def __init__(self, home: Path, webhook_url: str) -> None:
        self.twilio = TwilioStandIn(webhook_url=webhook_url)
        self.sandbox = Sandbox(home)
        self.url = ""
        self._home = home
        self._site = webhook_url.partition("#")[0].removesuffix("/whatsapp")
        self._phones = _Phones(self.twilio)
        self._running = contextlib.ExitStack()
        self._mail: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as starting:
            starting.enter_context(self.sandbox)
            starting.enter_context(self.twilio)
            starting.callback(self._phones.close)
            self.url = starting.enter_context(_served(_app(self._phones, _MailRoom(self.sandbox))))
            self._mail = mail_settings(self.sandbox, self._home)
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
            **self._mail,
            "PRIVACY_URL": f"{self._site}/privacy",
            "SUPPORT_CONTACT": SUPPORT,
        }


def mail_settings(
    sandbox: Sandbox, home: Path, played: Mapping[str, Sequence[str]] | None = None, today: date | None = None
) -> dict[str, str]:
    """The settings with which a running sandbox is reached, and its addresses need no typed server.

    `played`: real providers (by id) whose part the sandbox plays, and the domains under which it does. `today`: when
    the sandbox was looked up, if not really today.
    """
    providers = home / "providers.yaml"
    rows = [
        _provider(sandbox.ports, today or datetime.now(UTC).date()),
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


# --- phones -----------------------------------------------------------------------------------------------------------


class _Phones:
    """What people write, brought to the bot in the order of writing, and how far each message came."""

    def __init__(self, twilio: TwilioStandIn) -> None:
        self._twilio = twilio
        self._post = ThreadPoolExecutor(1, "phones")
        self._room = threading.BoundedSemaphore(MAX_WAITING)
        self._fates: OrderedDict[str, str] = OrderedDict()
        self._world = secrets.token_hex(8)

    def close(self) -> None:
        """Drop what is not on its way yet; wait for what is."""
        self._post.shutdown(cancel_futures=True)

    def say(self, number: str, what: Mapping[str, str]) -> bool:
        """The person writes or taps; `what` as in `TwilioStandIn.say`. False: too much is under way already.

        Comes back when the message is on the person's own phone; the bot gets it afterwards, as in the real world.
        """
        if not self._room.acquire(blocking=False):
            return False
        sid = new_sid("SM")
        self._post.submit(self._bring, number, dict(what), sid)
        with contextlib.suppress(TimeoutError):  # those before it are slow: it will show itself later
            self._twilio.wait_until(lambda: any(one.sid == sid for one in self._all(number)), ON_THE_PHONE)
        return True

    def shown(self, number: str, after: int) -> dict[str, Any]:
        """What the page has not seen yet, and how far the person's newest messages came.

        `world` is another one when the stage was started anew: then numbers begin again.
        """
        chat = self._all(number)[-SHOWN_BUBBLES:]
        mine = [one for one in chat if one.mine]
        answers = [one for one in chat if not one.mine]
        typed_at = self._typed_at({one.sid for one in mine})
        answered = answers[-1].number if answers else 0
        status = {one.number: self._status(one, answered, typed_at) for one in mine}
        return {
            "world": self._world,
            "messages": [_shown(one, status.get(one.number, one.status)) for one in chat if one.number > after],
            "statuses": {one.number: status[one.number] for one in mine[-SHOWN_STATUSES:]},
            "typing": typed_at is not None and (not answers or answers[-1].at <= typed_at),
        }

    def _all(self, number: str) -> list[Bubble]:
        return self._twilio.phone(number, mine=True)

    def _bring(self, number: str, what: dict[str, Any], sid: str) -> None:
        try:
            taken = self._twilio.say(number, **what, sid=sid) < BAD_REQUEST
        except requests.RequestException:
            taken = False
        finally:
            self._room.release()
        self._fates[sid] = "delivered" if taken else "failed"
        if len(self._fates) > SHOWN_BUBBLES:
            self._fates.popitem(last=False)

    def _status(self, message: Bubble, answered: int, typed_at: datetime | None) -> str:
        """The ticks below a person's own message: read, once the bot has answered or shown that it is typing."""
        read = message.number < answered or (typed_at is not None and message.at <= typed_at)
        return "read" if read else self._fates.get(message.sid, "sent")

    def _typed_at(self, sids: set[str]) -> datetime | None:
        """When the bot last showed "typing" below one of these messages, if that is still to be seen."""
        earliest = datetime.now(UTC) - TYPING_TIME
        for seen in reversed(self._twilio.requests):
            if seen.at < earliest:
                return None
            if seen.path.endswith("/Typing.json") and seen.fields.get("messageId") in sids:
                return seen.at
        return None


def _shown(message: Bubble, status: str) -> dict[str, Any]:
    return {
        "number": message.number,
        "mine": message.mine,
        "text": message.body,
        "buttons": [{"id": id_, "label": label} for id_, label in message.buttons],
        "status": status,
        "at": message.at.isoformat(),
    }


# --- mailboxes --------------------------------------------------------------------------------------------------------


class _MailRoom:
    """The sandbox's mailboxes, and how its mail server behaves."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._fault: str | None = None

    def refuse(self, kind: str | None) -> None:
        """Answer with this fault from now on; None: work again. Raises ValueError for an unknown one."""
        self._sandbox.refuse(kind)
        self._fault = kind

    def shown(self) -> dict[str, Any]:
        """All mailboxes, newest mail first; the last one, without an address, is the rest of the world."""
        mailboxes = [
            {
                "address": "" if address == OUTSIDE else address,
                "password": self._sandbox.passwords.get(address, ""),
                "inbox": _newest(folders[INBOX]),
                "sent": _newest(folders[SENT]),
            }
            for address, folders in self._sandbox.mailboxes().items()
        ]
        return {"mailboxes": mailboxes, "fault": self._fault, "faults": list(FAULTS)}


def _newest(mails: Sequence[SandboxMail]) -> list[dict[str, str]]:
    return [
        {
            "from": mail.sender,
            "to": mail.to,
            "subject": mail.subject,
            "text": mail.text[:SHOWN_CHARACTERS],
            "at": _moment(mail.date),
            "id": mail.message_id,
        }
        for mail in reversed(mails[-SHOWN_MAILS:])
    ]


def _moment(date: str) -> str:
    """A mail's date as ISO 8601; empty where it cannot be read."""
    try:
        return parsedate_to_datetime(date).isoformat()
    except ValueError:
        return ""


# --- what the page asks -----------------------------------------------------------------------------------------------


def _app(phones: _Phones, mail: _MailRoom) -> Flask:
    """The questions of the page, in JSON; every problem is an HTTP status with `{"problem": its name}`."""
    app = Flask("stage", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST
    app.before_request(_only_this_machine)
    app.register_error_handler(HTTPException, _problem)

    @app.post("/say")
    def say() -> tuple[Response, int]:
        """{"from", "body" | "button", "profile_name"?}: the person writes or taps."""
        wish = _wish()
        number = wish.pop("from", None)
        if not _is_number(number) or ("body" in wish) == ("button" in wish) or not _are_words(wish):
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

    @app.get("/mailboxes")
    def mailboxes() -> Response:
        """The sandbox's mailboxes with their passwords, and how its mail server behaves."""
        return jsonify(mail.shown())

    @app.post("/refuse")
    def refuse() -> Response:
        """{"kind": one of the faults | null}: how the mail server answers from now on."""
        kind = _wish().get("kind")
        if kind is not None and (not isinstance(kind, str) or kind not in FAULTS):
            abort(400)
        mail.refuse(kind)
        return jsonify({"fault": kind})

    return app


def _wish() -> dict[str, Any]:
    wish = request.get_json()
    if not isinstance(wish, dict):
        abort(400)
    return wish


def _is_number(value: object) -> bool:
    return isinstance(value, str) and _NUMBER.fullmatch(value) is not None


def _are_words(wish: Mapping[str, object]) -> bool:
    """Only known words, none empty or too long, none with half characters (which no form can carry)."""
    limits = {"body": MAX_BODY, "button": MAX_ID, "profile_name": MAX_NAME}
    return wish.keys() <= limits.keys() and all(
        isinstance(value, str) and value.strip() != "" and len(value) <= limits[name] and _is_whole(value)
        for name, value in wish.items()
    )


def _is_whole(text: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _only_this_machine() -> None:
    """A page from elsewhere must not speak to it through this machine's browser (DNS rebinding)."""
    if request.host.rpartition(":")[0] not in LOOPBACK:
        abort(403)


def _problem(error: HTTPException) -> tuple[Response, int]:
    return jsonify({"problem": error.name}), error.code or 500


class _Quiet(WSGIRequestHandler):
    """One request a connection, and no line in the log: it would hold telephone numbers."""

    protocol_version = "HTTP/1.0"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Nothing."""


@contextlib.contextmanager
def _served(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="stage")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
