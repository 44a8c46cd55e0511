"""A stand-in for Twilio on this machine: its REST API, its webhooks, and the people with their phones behind it."""

import base64
import contextlib
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from queue import Full
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

import requests
from flask import Response, abort, jsonify, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from bot.playground.twilio_api import API_HOST, PREFIX, Account, Api, Fault, Medium, Message, Seen, bare, new_sid
from bot.playground.twilio_fetch import NoMedia, fetched

WEBHOOK_TIMEOUT = 15.0  # seconds, Twilio's default
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_NUMBER = re.compile(r"\+\d{6,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Bubble:
    """One message as a phone shows it. `mine`: the person wrote it.

    `buttons` are pairs of id and label, behind one button if they are a list; `files` pairs of content type and name.
    """

    number: int
    sid: str
    body: str
    buttons: tuple[tuple[str, str], ...]
    status: str
    at: datetime
    mine: bool
    is_list: bool = False
    files: tuple[tuple[str, str], ...] = ()


class TwilioStandIn:
    """One made-up account. All methods may be called from any thread.

    `webhook_url`: where the bot takes messages. `statuses`: what every message that goes out comes to, in this order,
    each told to its StatusCallback: repeat or reorder them at will; with none it stays queued.
    """

    def __init__(
        self,
        *,
        sender: str = "+15550100000",
        webhook_url: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._account = Account(sender, now)
        self.account_sid = self._account.sid
        self.auth_token = self._account.token
        self.sender = self._account.sender
        self.service_sid = self._account.service_sid
        self.setup = self._account.setup
        self.webhook_url = webhook_url
        self.statuses: Sequence[str] = ("sent", "delivered", "read")
        self.url = ""
        self._server: BaseWSGIServer | None = None
        self._threads: list[threading.Thread] = []

    # --- on and off ------------------------------------------------------------------------------------------------

    def start(self, port: int = 0) -> Self:
        """Serve on 127.0.0.1, on a free port unless one is given; `url` is then the base of the API."""
        if self._server is not None:
            raise RuntimeError("The stand-in is already running.")
        app = Api(self._account).app
        app.add_url_rule("/standin/say", view_func=self._say_view, methods=["POST"])
        app.add_url_rule("/standin/phone/<number>", view_func=self._phone_view, methods=["GET"])
        self._server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._account.stopping.clear()
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.05,), name="twilio-api"),
            threading.Thread(target=self._deliver, name="twilio-delivery"),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Stop serving. What is known is kept, what is not delivered yet waits: it can be started again."""
        if self._server is None:
            return
        self._account.stopping.set()
        with contextlib.suppress(Full):
            self._account.outbox.put_nowait(None)
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()
        self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    # --- the person ------------------------------------------------------------------------------------------------

    def say(
        self,
        number: str,
        body: str = "",
        *,
        button: str | None = None,
        media: Sequence[tuple[str, bytes]] = (),
        file_name: str = "",
        location: tuple[float, float] | None = None,
        external_id: str | None = None,
        hidden: bool = False,
        profile_name: str = "A person",
        sid: str = "",
        times: int = 1,
        forge: bool = False,
        extra: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> int:
        """The person writes: one webhook, signed as Twilio signs it. The status of the bot's answer (the last one).

        `button`: tap the button or list item of this id, on the newest message that has it. `media`: pairs of content
        type and bytes; `file_name`: what their phone calls the first one, told as the body when that is empty.
        `external_id`: their business-scoped id; `hidden`: the number is not told. `sid`: of a message said before, to
        replay it; `times`: deliver it so often. `forge`: sign with another token. `extra`: further or other parameters.
        `raw`: this body instead of a form. Raises requests.RequestException if there is no answer.
        """
        form: dict[str, str] = {}
        if button is not None:
            form = self._tapped(number, body, button)
            body = form["Body"]
        files = [
            Medium(new_sid("ME"), content_type, content, "" if n else file_name)
            for n, (content_type, content) in enumerate(media)
        ]
        message = self._written(number, body or file_name, files, external_id, sid)
        form = self._form(message) | form | {"ProfileName": profile_name}
        if external_id:
            form["ExternalUserId"] = PREFIX + external_id
        if hidden:
            form["From"] = form["ExternalUserId"]
            del form["WaId"]
        if location:
            form |= {"Latitude": str(location[0]), "Longitude": str(location[1]), "MessageType": "location"}
        form |= extra or {}
        payload = urlencode(form).encode() if raw is None else raw
        token = secrets.token_hex(16) if forge else self.auth_token
        status = 0
        for _ in range(times):
            status = _post(self.webhook_url, payload, token)
        return status

    def phone(self, number: str, *, mine: bool = False) -> list[Bubble]:
        """What this person (by number or by id) has received, oldest first; with `mine` also what they wrote."""
        with self._account.changed:
            chat = self._account.person(number).chat
            return [_bubble(one) for one in chat if (mine or not one.inbound) and one.error is None]

    def wait_for(
        self,
        number: str,
        predicate: Callable[[list[Bubble]], bool] | None = None,
        *,
        count: int = 1,
        timeout: float = 10.0,
    ) -> list[Bubble]:
        """Wait until the person has received `count` messages, or what `predicate` says of them; then all of them.

        Raises TimeoutError, which says what the phone shows instead.
        """
        reached = predicate or (lambda shown: len(shown) >= count)
        self.wait_until(lambda: reached(self.phone(number)), timeout, lambda: f"the phone shows {self.phone(number)}")
        return self.phone(number)

    def wait_until(
        self, reached: Callable[[], bool], timeout: float = 10.0, shown: Callable[[], str] = lambda: "no more is known"
    ) -> None:
        """Wait for something in this stand-in; `reached` is asked after every change. Raises TimeoutError."""
        with self._account.changed:
            if not self._account.changed.wait_for(reached, timeout):
                raise TimeoutError(f"It did not happen within {timeout} s: {shown()}.")

    # --- what was seen, and what is to go wrong --------------------------------------------------------------------

    @property
    def requests(self) -> list[Seen]:
        """Every request to the API, oldest first, the newest 5,000."""
        with self._account.changed:
            return list(self._account.requests)

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """Twilio's records of all messages, in both directions, by sid: what somebody with the account can read."""
        with self._account.changed:
            return {sid: self._account.record(message) for sid, message in self._account.messages.items()}

    @property
    def contents(self) -> dict[str, dict[str, Any]]:
        """The Content resources by sid."""
        with self._account.changed:
            return dict(self._account.contents)

    @property
    def typing(self) -> list[str]:
        """The sids below which "typing" was shown."""
        with self._account.changed:
            return list(self._account.typing)

    @property
    def approvals(self) -> dict[str, dict[str, Any]]:
        """The templates that WhatsApp was asked to approve, by the sid of their content."""
        with self._account.changed:
            return {sid: dict(one) for sid, one in self._account.approvals.items()}

    def review(self, status: str = "approved", *, name: str = "", reason: str = "") -> None:
        """WhatsApp looks at all templates whose name begins so: `approved`, `rejected`, `paused`, `disabled`."""
        with self._account.changed:
            for one in self._account.approvals.values():
                if one["name"].startswith(name):
                    one.update(status=status, rejection_reason=reason)
            self._account.changed.notify_all()

    def forget_contents(self) -> None:
        """Delete every Content resource, as somebody at the console might."""
        with self._account.changed:
            self._account.contents.clear()
            self._account.approvals.clear()

    def set_window(self, window: timedelta | None) -> None:
        """How long after a person's last message the bot may write freely: 24 hours at first; None: always.

        A message outside of it is taken and then fails with 63016, as at Twilio.
        """
        with self._account.changed:
            self._account.window = window

    def refuse_erasure(self, times: int = 1) -> None:
        """Answer the next redactions and deletions with 20009."""
        with self._account.changed:
            self._account.refuse_erasure = times

    def fail_next(
        self, status: int, code: int, *, retry_after: int | None = None, times: int = 1, path: str = ""
    ) -> None:
        """Refuse the next requests (only those with `path` in their path) before anything is taken."""
        with self._account.changed:
            self._account.faults.append(Fault(status, code, retry_after, times, path))

    def slow(self, seconds: float) -> None:
        """Answer every request so much later, after it was taken; 0 ends it."""
        self._account.delay = seconds

    def drop_after_reading(self, times: int = 1, *, path: str = "") -> None:
        """Take the next requests (only those with `path` in their path), and close the connection without a word."""
        with self._account.changed:
            self._account.drops, self._account.drop_path = times, path

    # --- inside: webhooks ------------------------------------------------------------------------------------------

    def say_elsewhere(self, number: str, body: str, sender: str) -> str:
        """The person writes to another sender of the same account, whose webhook is not ours; the message's sid."""
        with self._account.changed:
            message = self._written(number, body, (), None, "")
            message.to = PREFIX + bare(sender)
            return message.sid

    def _written(self, number: str, body: str, media: Sequence[Medium], external_id: str | None, sid: str) -> Message:
        account = self._account
        with account.changed:
            known = account.messages.get(sid)
            if known:
                return known
            person = account.person(number)
            person.external_id = external_id or person.external_id
            person.last_wrote = account.now()
            message = Message(
                sid=sid or new_sid("MM" if media else "SM"),
                sender=PREFIX + bare(number),
                to=self.sender,
                body=body,
                shown=body,
                at=account.now(),
                status="received",
                inbound=True,
                media=tuple(media),
            )
            account.keep(message, person)
            return message

    def _form(self, message: Message) -> dict[str, str]:
        """The parameters of https://www.twilio.com/docs/messaging/guides/webhook-request, as WhatsApp's come."""
        form = dict.fromkeys(("MessageSid", "SmsSid", "SmsMessageSid"), message.sid) | {
            "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
            "Body": message.shown,
            "From": message.sender,
            "To": self.sender,
            "WaId": bare(message.sender).removeprefix("+"),
            "NumMedia": str(len(message.media)),
            "NumSegments": "1",
            "MessageType": "text",
            "SmsStatus": "received",
        }
        for n, medium in enumerate(message.media):
            form[f"MediaContentType{n}"] = medium.content_type
            form[f"MediaUrl{n}"] = f"{API_HOST}{self._account.path(message.sid)}/Media/{medium.sid}"
        return form

    def _tapped(self, number: str, body: str, button: str) -> dict[str, str]:
        """What a tap adds to a webhook: the label as text, and the id; without an offer only what is given."""
        with self._account.changed:
            offers = [one for one in self._account.person(number).chat if button in dict(one.buttons)]
        label = dict(offers[-1].buttons)[button] if offers else body
        tapped = {"Body": body or label, "MessageType": "interactive"}
        if offers and offers[-1].kind == "twilio/list-picker":
            return tapped | {"ListId": button, "ListTitle": label}
        return tapped | {"ButtonPayload": button, "ButtonText": label}

    # --- inside: what becomes of the bot's messages ----------------------------------------------------------------

    def _deliver(self) -> None:
        while not self._account.stopping.is_set():
            message = self._account.outbox.get()
            if message is not None:
                self._advance(message)

    def _advance(self, message: Message) -> None:
        if message.media_url and not message.error:
            self._fetch(message)
        for status in ("failed",) if message.error else tuple(self.statuses):
            if self._account.stopping.is_set():
                return
            with self._account.changed:
                message.status = status
                self._account.changed.notify_all()
            if message.callback:
                self._call_back(message, status)

    def _fetch(self, message: Message) -> None:
        try:
            kind, name, content = fetched(message.media_url)
        except NoMedia as none:
            message.error = none.code
            return
        with self._account.changed:
            message.media = (Medium(new_sid("ME"), kind, content, name),)

    def _call_back(self, message: Message, status: str) -> None:
        form = dict.fromkeys(("MessageSid", "SmsSid"), message.sid) | {
            "MessageStatus": status,
            "SmsStatus": status,
            "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
            "From": self.sender,
            "To": message.to,
            "ChannelPrefix": "whatsapp",
        }
        if message.error:
            form |= {"ErrorCode": str(message.error), "ChannelStatusMessage": "refused by the channel"}
        with contextlib.suppress(requests.RequestException):  # Twilio, too, notes an error 11200 and goes on
            _post(message.callback, urlencode(form).encode(), self.auth_token)

    # --- inside: the playground's page -----------------------------------------------------------------------------

    def _say_view(self) -> tuple[Response, int]:
        """POST {"from", "body"?, "button"?, "external_id"?, "profile_name"?}: the person writes."""
        _only_this_machine()
        wish = request.get_json()
        if not isinstance(wish, dict) or not all(isinstance(value, str) for value in wish.values()):
            abort(400)
        known = {key: wish[key] for key in ("body", "button", "external_id", "profile_name") if key in wish}
        if not _NUMBER.fullmatch(wish.get("from", "")):
            abort(400)
        try:
            return jsonify({"status": self.say(wish["from"], **known)}), 200
        except requests.RequestException:
            return jsonify({"status": None, "problem": "the bot does not answer"}), 502

    def _phone_view(self, number: str) -> Response:
        """GET ?after=n: the bubbles with a greater number, in both directions."""
        _only_this_machine()
        if not _NUMBER.fullmatch(number):
            abort(400)
        after = request.args.get("after", 0, type=int)
        shown = [asdict(one) for one in self.phone(number, mine=True) if one.number > after]
        return jsonify([one | {"at": one["at"].isoformat()} for one in shown])


class _Handler(WSGIRequestHandler):
    """One request a connection, and no line in the log: it would hold telephone numbers."""

    protocol_version = "HTTP/1.0"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Nothing."""


def _only_this_machine() -> None:
    """A page from elsewhere must not speak to it through this machine's browser (DNS rebinding)."""
    if request.remote_addr not in LOOPBACK or request.host.rsplit(":", 1)[0] not in LOOPBACK:
        abort(403)


def _bubble(message: Message) -> Bubble:
    return Bubble(
        message.number,
        message.sid,
        message.shown,
        message.buttons,
        message.status,
        message.at,
        message.inbound,
        message.kind == "twilio/list-picker",
        tuple((one.content_type, one.name) for one in message.media),
    )


def _post(url: str, payload: bytes, token: str) -> int:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            url.partition("#")[0],
            data=payload,
            headers={
                "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
                "X-Twilio-Signature": _signature(url, payload, token),
                "User-Agent": "TwilioProxy/1.1",
            },
            timeout=WEBHOOK_TIMEOUT,
            allow_redirects=False,
        )
        return answer.status_code


def _signature(url: str, payload: bytes, token: str) -> str:
    """https://www.twilio.com/docs/usage/webhooks/webhooks-security: the fragment of the address is not signed."""
    form = dict(parse_qsl(payload.decode(errors="replace"), keep_blank_values=True))
    signed = url.partition("#")[0] + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.digest(token.encode(), signed.encode(), hashlib.sha1)).decode()
