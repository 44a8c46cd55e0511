"""The REST API of the stand-in for Twilio: what it keeps and what it answers.

An own reading of Twilio's contract: it shares no code with the bot, and forgives nothing that Twilio refuses.
The host api.twilio.com is its root; content.twilio.com, messaging.twilio.com and mms.twiliocdn.com (the files) are
/content, /messaging and /mms.
"""

import hmac
import json
import re
import secrets
import socket
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from queue import Full, Queue
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from bot.playground.twilio_setup import AccountSetup

PREFIX = "whatsapp:"
WINDOW = timedelta(hours=24)
MAX_BODY, MAX_BODY_WITH_BUTTONS, MAX_ID = 1600, 1024, 200
LIMITS = {"twilio/quick-reply": (3, 20), "twilio/list-picker": (10, 24)}  # choices, characters of each
MAX_LIST_BUTTON = 20
KEPT_MESSAGES, KEPT_REQUESTS, KEPT_CONTENTS, KEPT_PEOPLE, KEPT_ON_A_PHONE = 2000, 5000, 1000, 500, 500
MAX_REQUEST = 1_000_000  # bytes
PAGE, MAX_PAGE = 50, 1000
API_HOST, MEDIA_HOST = "https://api.twilio.com", "https://mms.twiliocdn.com"
SIGNED_FOR = timedelta(hours=4)
FAILURES = frozenset({"failed", "undelivered"})
_MESSAGES = "/2010-04-01/Accounts/<account>/Messages"
_ADDRESS = re.compile(rf"{PREFIX}(\+\d{{6,15}}|[A-Z]{{2}}\.[A-Za-z0-9.]{{1,135}})", re.ASCII)
_NO_VARIABLE = re.compile(r"[\n\r\t]| {5,}")  # https://www.twilio.com/docs/api/errors/21656
_TEMPLATE_NAME = re.compile(r"[a-z0-9_]{1,512}", re.ASCII)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it reached the API; `body` is raw."""

    method: str
    path: str
    query: str
    content_type: str
    body: bytes
    at: datetime

    @property
    def fields(self) -> dict[str, Any]:
        """The form or the JSON object of its body, or else the parameters of its query."""
        if self.content_type.startswith("application/json"):
            return dict(json.loads(self.body))
        return dict(parse_qsl(self.body.decode() or self.query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Medium:
    """A file of a message; `name` is what the phone called it, if anything."""

    sid: str
    content_type: str
    content: bytes = field(repr=False)
    name: str = ""


@dataclass(slots=True)
class Message:
    """Twilio's record of a message (`body`), and what the phone shows of it (`shown`), which outlives the record."""

    sid: str
    sender: str
    to: str
    body: str
    at: datetime
    status: str
    inbound: bool = False
    number: int = 0
    shown: str = ""
    kind: str = ""
    buttons: tuple[tuple[str, str], ...] = ()
    media: tuple[Medium, ...] = ()
    service: str | None = None
    callback: str = ""
    error: int | None = None
    media_url: str = ""


@dataclass(slots=True)
class Person:
    """Somebody with a phone, known by number, by business-scoped id, or both."""

    external_id: str | None = None
    last_wrote: datetime | None = None
    chat: deque[Message] = field(default_factory=lambda: deque(maxlen=KEPT_ON_A_PHONE))


@dataclass(slots=True)
class Fault:
    """A refusal that is due: for so many requests whose path holds `path`."""

    status: int
    code: int
    retry_after: int | None
    times: int
    path: str


class Refusal(Exception):
    """The API's answer to a request that it does not take."""

    def __init__(self, status: int, code: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after


class Account:
    """All that one made-up account holds. Whoever touches it holds `changed`, and notifies it after a change."""

    def __init__(self, sender: str, now: Callable[[], datetime]) -> None:
        self.sid = "AC" + secrets.token_hex(16)
        self.token = secrets.token_hex(16)
        self.service_sid = "MG" + secrets.token_hex(16)
        self.sender = PREFIX + bare(sender)
        self.now = now
        self.changed = threading.Condition(threading.RLock())
        self.stopping = threading.Event()
        self.window: timedelta | None = WINDOW
        self.refuse_erasure = 0
        self.delay = 0.0
        self.drops = 0
        self.drop_path = ""
        self.faults: list[Fault] = []
        self.messages: OrderedDict[str, Message] = OrderedDict()
        self.contents: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.approvals: dict[str, dict[str, Any]] = {}
        self.people: OrderedDict[str, Person] = OrderedDict()
        self.requests: deque[Seen] = deque(maxlen=KEPT_REQUESTS)
        self.typing: deque[str] = deque(maxlen=KEPT_REQUESTS)
        self.setup = AccountSetup(self.sid, self.sender, self.service_sid, Refusal)
        self.outbox: Queue[Message | None] = Queue(maxsize=KEPT_MESSAGES)
        self._number = 0

    def person(self, address: str) -> Person:
        """By number or by business-scoped id; somebody new has an empty phone."""
        name = bare(address)
        known = self.people.get(name) or next((one for one in self.people.values() if one.external_id == name), None)
        if known is None:
            known = Person(external_id=None if name.startswith("+") else name)
            _put(self.people, name, known, KEPT_PEOPLE)
        return known

    def keep(self, message: Message, person: Person) -> None:
        """Record a message and bring it to the person's phone."""
        self._number += 1
        message.number = self._number
        _put(self.messages, message.sid, message, KEPT_MESSAGES)
        person.chat.append(message)
        self.changed.notify_all()

    def path(self, sid: str) -> str:
        """Where a message's record lies."""
        return f"/2010-04-01/Accounts/{self.sid}/Messages/{sid}"

    def signature(self, medium_sid: str, expires: str) -> str:
        """What opens a file at the other host until `expires`, in seconds since 1970."""
        return hmac.digest(self.token.encode(), f"{medium_sid} {expires}".encode(), "sha256").hex()

    def media_record(self, message: Message, medium: Medium) -> dict[str, Any]:
        """A file as the API shows it."""
        at = format_datetime(message.at)
        return {
            "sid": medium.sid,
            "account_sid": self.sid,
            "parent_sid": message.sid,
            "content_type": medium.content_type,
            "date_created": at,
            "date_updated": at,
            "uri": f"{self.path(message.sid)}/Media/{medium.sid}.json",
        }

    def record(self, message: Message) -> dict[str, Any]:
        """A message as the API shows it."""
        at = format_datetime(message.at)
        return {
            "sid": message.sid,
            "account_sid": self.sid,
            "api_version": "2010-04-01",
            "body": message.body,
            "date_created": at,
            "date_sent": None if message.status == "queued" else at,
            "date_updated": at,
            "direction": "inbound" if message.inbound else "outbound-api",
            "error_code": message.error if message.status in FAILURES else None,
            "error_message": None,
            "from": message.sender,
            "messaging_service_sid": message.service,
            "num_media": str(len(message.media) or int(bool(message.media_url))),
            "num_segments": "1",
            "price": None,
            "price_unit": None,
            "status": message.status,
            "subresource_uris": {"media": f"{self.path(message.sid)}/Media.json"},
            "to": message.to,
            "uri": f"{self.path(message.sid)}.json",
        }


class Api:
    """The answers, as a Flask app (`app`) on one account."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.app = Flask("twilio-stand-in", static_folder=None)
        self.app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST
        self.app.before_request(self._admit)
        self.app.after_request(self._leave)
        self.app.register_error_handler(Refusal, _refused)
        self.app.register_error_handler(HTTPException, _not_understood)
        for rule, method, view in (
            (f"{_MESSAGES}.json", "POST", self._create),
            (f"{_MESSAGES}.json", "GET", self._list),
            (f"{_MESSAGES}/<sid>.json", "GET", self._fetch),
            (f"{_MESSAGES}/<sid>.json", "POST", self._redact),
            (f"{_MESSAGES}/<sid>.json", "DELETE", self._delete),
            (f"{_MESSAGES}/<sid>/Media.json", "GET", self._list_media),
            (f"{_MESSAGES}/<sid>/Media/<medium_sid>", "GET", self._send_on),
            (f"{_MESSAGES}/<sid>/Media/<medium_sid>.json", "DELETE", self._delete_medium),
            ("/mms/<owner>/<medium_sid>", "GET", self._signed),
            ("/content/v1/Content", "POST", self._create_content),
            ("/content/v1/Content/<sid>/ApprovalRequests/whatsapp", "POST", self._submit),
            ("/content/v1/Content/<sid>/ApprovalRequests", "GET", self._approval),
            ("/messaging/v2/Indicators/Typing.json", "POST", self._show_typing),
        ):
            self.app.add_url_rule(rule, f"{method} {rule}", view, methods=[method])
        for rule, method, answer in account.setup.routes():
            self.app.add_url_rule(rule, f"{method} {rule}", answer, methods=[method])

    # --- around every request --------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Log the request, ask who it is, and play the fault that is due."""
        if request.path.startswith("/standin/"):
            return
        account = self._account
        with account.changed:
            account.requests.append(_seen(account.now()))
            account.changed.notify_all()
        if request.path.startswith("/mms/"):
            return  # another host, which knows signatures only
        given = request.authorization
        if given is None or (given.username, given.password) != (account.sid, account.token):
            raise Refusal(401, 20003, "Authenticate")
        if (request.view_args or {}).pop("account", account.sid) != account.sid:  # no view needs it any more
            raise _not_found()
        fault = self._due()
        if fault:
            raise Refusal(fault.status, fault.code, "A fault was asked for", fault.retry_after)

    def _due(self) -> Fault | None:
        faults = self._account.faults
        with self._account.changed:
            fault = next((one for one in faults if one.path in request.path), None)
            if fault is not None:
                fault.times -= 1
                if fault.times < 1:
                    faults.remove(fault)
            return fault

    def _leave(self, response: Response) -> Response:
        """Play slowness and lost connections, after the request was done."""
        account = self._account
        if request.path.startswith("/standin/"):
            return response
        if account.delay:
            account.stopping.wait(account.delay)
        with account.changed:
            drop = account.drops > 0 and account.drop_path in request.path
            account.drops -= drop
        if drop:
            request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return response

    # --- messages --------------------------------------------------------------------------------------------------

    def _create(self) -> tuple[Response, int]:
        form = request.form
        to = self._recipient(form)
        shown, buttons, kind = self._words(form)
        address = self._media_url(form)
        with self._account.changed:
            person = self._account.person(to)
            message = Message(
                sid=new_sid("SM"),
                sender=self._account.sender,
                to=to,
                body=shown,
                shown=shown,
                at=self._account.now(),
                status="queued",
                kind=kind,
                buttons=buttons,
                service=form.get("MessagingServiceSid"),
                callback=form.get("StatusCallback", ""),
                error=self._channel_error(person, shown, buttons, form.get("ContentSid", "")),
                media_url=address,
            )
            try:
                self._account.outbox.put_nowait(message)
            except Full:
                raise Refusal(429, 21611, "The queue of this sender is full") from None
            self._account.keep(message, person)
            return jsonify(self._account.record(message)), 201

    def _recipient(self, form: Mapping[str, str]) -> str:
        """Who it goes to, if all addresses of the request are in order."""
        to, account = form.get("To", ""), self._account
        host = urlsplit(form.get("StatusCallback", "http://none")).hostname
        if not to:
            raise Refusal(400, 21604, "A 'To' phone number is required.")
        if not _ADDRESS.fullmatch(to):
            raise Refusal(400, 21211, f"The 'To' number {to} is not a valid phone number.")
        if not form.get("From") and not form.get("MessagingServiceSid"):
            raise Refusal(400, 21603, "A 'From' phone number is required.")
        if form.get("From", account.sender) != account.sender:
            raise Refusal(400, 63007, "Twilio could not find a Channel with the specified From address")
        if form.get("MessagingServiceSid", account.service_sid) != account.service_sid:
            raise Refusal(404, 20404, "The requested Messaging Service was not found")
        if not host or "_" in host:
            raise Refusal(400, 21609, "The 'StatusCallback' URL is not a valid URL.")
        return to

    def _words(self, form: Mapping[str, str]) -> tuple[str, tuple[tuple[str, str], ...], str]:
        """What the person will see: text, buttons as pairs of id and label, and the type of the content."""
        filled = "ContentSid" in form or "ContentVariables" in form
        if form.get("MediaUrl"):
            return form.get("Body", "")[: MAX_BODY + 1], (), ""
        shown, buttons, kind = self._filled(form) if filled else (form.get("Body", ""), (), "")
        if not shown.strip():
            raise Refusal(400, 21619, "A text message body or media urls must be specified.")
        if len(shown) > MAX_BODY:
            raise Refusal(400, 21617, "The concatenated message body exceeds the 1600 character limit")
        return shown, buttons, kind

    @staticmethod
    def _media_url(form: Mapping[str, str]) -> str:
        """Where the file of a message lies, one on WhatsApp; it is fetched after the message was taken."""
        address = form.get("MediaUrl", "")
        if address and (urlsplit(address).scheme not in {"http", "https"} or not urlsplit(address).hostname):
            raise Refusal(400, 21620, "Invalid media URL(s)")
        if address and len(form.get("Body", "")) > MAX_BODY:
            raise Refusal(400, 21617, "The concatenated message body exceeds the 1600 character limit")
        return address

    def _filled(self, form: Mapping[str, str]) -> tuple[str, tuple[tuple[str, str], ...], str]:
        """A Content resource with its variables set in."""
        if not form.get("ContentSid"):
            raise Refusal(400, 21654, "ContentSid Required")
        with self._account.changed:
            content = self._account.contents.get(form["ContentSid"])
        if content is None:
            raise Refusal(400, 21655, "The ContentSid is Invalid")
        values = content["variables"] | _variables(form.get("ContentVariables", "{}"))
        kind = next((one for one in LIMITS if one in content["types"]), "twilio/text")
        shape = content["types"][kind]
        shown = re.sub(r"{{(\w+)}}", lambda found: str(values.get(found[1], found[0])), shape["body"])
        return shown, tuple((one["id"], _label(one)) for one in _choices(shape)), kind

    def _channel_error(self, person: Person, shown: str, buttons: Sequence[object], content_sid: str) -> int | None:
        """What WhatsApp refuses only after Twilio has taken the message: templates that it approved pass."""
        window, wrote = self._account.window, person.last_wrote
        approved = self._account.approvals.get(content_sid, {}).get("status") == "approved"
        if window is not None and (wrote is None or self._account.now() - wrote > window) and not approved:
            return 63016
        return 63021 if buttons and len(shown) > MAX_BODY_WITH_BUTTONS else None

    def _list(self) -> Response:
        unknown = set(request.args) - {"To", "From", "PageSize", "Page"}
        if unknown:
            raise Refusal(400, 20001, f"The stand-in cannot filter by {sorted(unknown)}.")
        size = min(request.args.get("PageSize", PAGE, type=int), MAX_PAGE)
        page = request.args.get("Page", 0, type=int)
        with self._account.changed:
            found = [
                self._account.record(one)
                for one in reversed(self._account.messages.values())
                if request.args.get("To", one.to) == one.to and request.args.get("From", one.sender) == one.sender
            ]
        start, end = page * size, (page + 1) * size
        return jsonify(
            {
                "messages": found[start:end],
                "page": page,
                "page_size": size,
                "start": start,
                "end": start + max(len(found[start:end]) - 1, 0),
                "uri": f"{request.path}?{request.query_string.decode()}",
                "first_page_uri": _page_uri(0, size),
                "previous_page_uri": _page_uri(page - 1, size) if page else None,
                "next_page_uri": _page_uri(page + 1, size) if len(found) > end else None,
            }
        )

    def _fetch(self, sid: str) -> Response:
        with self._account.changed:
            return jsonify(self._account.record(self._found(sid)))

    def _redact(self, sid: str) -> Response:
        with self._account.changed:
            message = self._found(sid)
            if request.form.get("Body") != "" or "Status" in request.form:
                raise Refusal(400, 30400, "Only an empty body is taken.")
            self._let_go()
            message.body = ""
            return jsonify(self._account.record(message))

    def _delete(self, sid: str) -> tuple[str, int]:
        with self._account.changed:
            self._found(sid)
            self._let_go()
            del self._account.messages[sid]
        return "", 204

    # --- files -----------------------------------------------------------------------------------------------------

    def _list_media(self, sid: str) -> Response:
        with self._account.changed:
            message = self._found(sid)
            listed = [self._account.media_record(message, medium) for medium in message.media]
        size = min(request.args.get("PageSize", PAGE, type=int), MAX_PAGE)
        return jsonify(
            {
                "media_list": listed[:size],
                "page": 0,
                "page_size": size,
                "start": 0,
                "end": max(len(listed[:size]) - 1, 0),
                "uri": f"{request.path}?{request.query_string.decode()}",
                "first_page_uri": _page_uri(0, size),
                "previous_page_uri": None,
                "next_page_uri": None,
            }
        )

    def _send_on(self, sid: str, medium_sid: str) -> Response:
        """The file itself lies at another host, for whoever has the signed address, for four hours."""
        with self._account.changed:
            self._medium(self._found(sid), medium_sid)
            expires = int((self._account.now() + SIGNED_FOR).timestamp())
            location = f"{MEDIA_HOST}/{self._account.sid}/{medium_sid}?Expires={expires}&Signature="
            location += self._account.signature(medium_sid, str(expires))
        return Response(status=307, headers={"Location": location})

    def _signed(self, owner: str, medium_sid: str) -> Response:
        """The other host: refuses a password beside the signature, as such hosts do, and what has run out."""
        expires, account = request.args.get("Expires", ""), self._account
        genuine = hmac.compare_digest(request.args.get("Signature", ""), account.signature(medium_sid, expires))
        with account.changed:
            if request.headers.get("Authorization"):
                return Response("Only one auth mechanism allowed", 400)
            if not genuine or owner != account.sid or int(expires) < account.now().timestamp():
                return Response("Access denied", 403)
            held = (medium for message in account.messages.values() for medium in message.media)
            medium = next((one for one in held if one.sid == medium_sid), None)
        if medium is None:
            return Response("No such key", 404)
        answer = Response(medium.content, content_type=medium.content_type)
        if medium.name:
            answer.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(medium.name)}"
        return answer

    def _delete_medium(self, sid: str, medium_sid: str) -> tuple[str, int]:
        with self._account.changed:
            message = self._found(sid)
            gone = self._medium(message, medium_sid)
            self._let_go()
            message.media = tuple(one for one in message.media if one is not gone)
        return "", 204

    @staticmethod
    def _medium(message: Message, medium_sid: str) -> Medium:
        found = next((one for one in message.media if one.sid == medium_sid), None)
        if found is None:
            raise _not_found()
        return found

    def _found(self, sid: str) -> Message:
        if sid not in self._account.messages:
            raise _not_found()
        return self._account.messages[sid]

    def _let_go(self) -> None:
        """Refuse to change a record, if that was asked for; else tell those who wait for it."""
        if self._account.refuse_erasure > 0:
            self._account.refuse_erasure -= 1
            raise Refusal(409, 20009, "The resource cannot be changed yet")
        self._account.changed.notify_all()

    # --- contents and typing ---------------------------------------------------------------------------------------

    def _create_content(self) -> tuple[Response, int]:
        wish = request.get_json()
        _check_content(wish)
        sid, at = new_sid("HX"), self._account.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        content = {
            "sid": sid,
            "account_sid": self._account.sid,
            "friendly_name": wish.get("friendly_name", ""),
            "language": wish["language"],
            "variables": wish.get("variables", {}),
            "types": wish["types"],
            "url": f"https://content.twilio.com/v1/Content/{sid}",
            "date_created": at,
            "date_updated": at,
            "links": {},
        }
        with self._account.changed:
            _put(self._account.contents, sid, content, KEPT_CONTENTS)
            self._account.changed.notify_all()
        return jsonify(content), 201

    def _submit(self, sid: str) -> tuple[Response, int]:
        """WhatsApp is asked to approve a template; somebody there looks at it later."""
        wish = request.get_json()
        with self._account.changed:
            content = self._account.contents.get(sid)
            if content is None:
                raise _not_found()
            if sid in self._account.approvals:
                raise Refusal(400, 20001, "It was submitted already.")
            _check_template(wish, content, self._account)
            kind = next(iter(content["types"]))
            approval = {
                "name": wish["name"],
                "category": wish["category"],
                "content_type": kind,
                "status": "received",
                "rejection_reason": "",
                "allow_category_change": True,
            }
            self._account.approvals[sid] = approval
            self._account.changed.notify_all()
        return jsonify(approval), 201

    def _approval(self, sid: str) -> Response:
        with self._account.changed:
            if sid not in self._account.contents:
                raise _not_found()
            unasked = {"status": "unsubmitted", "name": "", "category": "", "rejection_reason": "", "content_type": ""}
            found = self._account.approvals.get(sid, unasked)
        url = f"https://content.twilio.com/v1/Content/{sid}/ApprovalRequests"
        return jsonify({"sid": sid, "account_sid": self._account.sid, "whatsapp": found, "url": url})

    def _show_typing(self) -> Response:
        sid = request.form.get("messageId", "")
        with self._account.changed:
            if request.form.get("channel") != "whatsapp" or sid not in self._account.messages:
                raise Refusal(400, 20001, "The channel or the message is not known.")
            self._account.typing.append(sid)
            self._account.changed.notify_all()
        return jsonify({"success": True})


def bare(address: str) -> str:
    """An address without its channel."""
    return address.removeprefix(PREFIX)


def new_sid(kind: str) -> str:
    """A name as Twilio makes them: two letters and 32 hexadecimal digits."""
    return kind + secrets.token_hex(16)


def _seen(at: datetime) -> Seen:
    return Seen(
        request.method,
        request.path,
        request.query_string.decode(errors="replace"),
        request.content_type or "",
        request.get_data(),
        at,
    )


def _put(kept: OrderedDict[str, _T], name: str, what: _T, limit: int) -> None:
    kept[name] = what
    while len(kept) > limit:
        kept.popitem(last=False)


def _page_uri(page: int, size: int) -> str:
    here = {key: value for key, value in request.args.items() if key not in ("Page", "PageSize")}
    return f"{request.path}?{urlencode(here | {'PageSize': str(size), 'Page': str(page)})}"


def _variables(text: str) -> dict[str, str]:
    """The values for the variables: a JSON object of words without newlines, never empty."""
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict) or not all(
        isinstance(value, str) and value and not _NO_VARIABLE.search(value) for value in values.values()
    ):
        raise Refusal(400, 21656, "The ContentVariables Parameter is invalid")
    if any(len(value) > MAX_BODY for value in values.values()):
        raise Refusal(400, 21658, "Parameter exceeded character limit")
    return values


def _check_content(wish: Any) -> None:
    """The limits of https://www.twilio.com/docs/content for content without approval."""
    if not isinstance(wish, dict) or not wish.get("language") or not isinstance(wish.get("types"), dict):
        raise Refusal(400, 20001, "Language and types are required.")
    for kind, shape in wish["types"].items():
        if kind not in (*LIMITS, "twilio/text"):
            raise Refusal(400, 20001, f"The stand-in does not know {kind}.")
        if not 0 < len(shape.get("body", "")) <= (MAX_BODY_WITH_BUTTONS if kind in LIMITS else MAX_BODY):
            raise Refusal(400, 20001, f"The body of {kind} is missing or too long.")
        if kind in LIMITS:
            _check_choices(kind, shape)


def _check_template(wish: Any, content: Mapping[str, Any], account: Account) -> None:
    """The limits of https://www.twilio.com/docs/content/content-api-resources and WhatsApp's for templates."""
    if not isinstance(wish, dict) or not _TEMPLATE_NAME.fullmatch(str(wish.get("name", ""))):
        raise Refusal(400, 20001, "A name has small letters, digits and underscores.")
    if wish.get("category") not in {"UTILITY", "MARKETING", "AUTHENTICATION"}:
        raise Refusal(400, 20001, "The category is none of WhatsApp's.")
    if "twilio/list-picker" in content["types"]:
        raise Refusal(400, 20001, "A list is never approved.")
    language = content["language"]
    taken = (one for sid, one in account.approvals.items() if account.contents[sid]["language"] == language)
    if any(one["name"] == wish["name"] for one in taken):
        raise Refusal(400, 20001, "There is a template of this name in this language.")
    for shape in content["types"].values():
        body = shape["body"].strip()
        if body.startswith("{{") or body.endswith("}}") or re.search(r"}}\s*{{", body):
            raise Refusal(400, 20001, "A variable stands at the beginning, at the end, or beside another one.")
        if set(re.findall(r"{{(\w+)}}", body)) - set(content["variables"]):
            raise Refusal(400, 20001, "A variable has no sample.")


def _check_choices(kind: str, shape: dict[str, Any]) -> None:
    count, length = LIMITS[kind]
    choices = _choices(shape)
    if not 1 <= len(choices) <= count:
        raise Refusal(400, 20001, f"{kind} has 1 to {count} choices.")
    if not all(0 < len(_label(one)) <= length and 0 < len(one["id"]) <= MAX_ID for one in choices):
        raise Refusal(400, 20001, f"A choice of {kind} is empty or too long.")
    if kind == "twilio/list-picker" and not 0 < len(shape.get("button", "")) <= MAX_LIST_BUTTON:
        raise Refusal(400, 20001, "The button of a list is empty or too long.")


def _choices(shape: Mapping[str, Any]) -> list[dict[str, str]]:
    return list(shape.get("actions") or shape.get("items") or ())


def _label(choice: Mapping[str, str]) -> str:
    return choice.get("title") or choice["item"]


def _not_found() -> Refusal:
    return Refusal(404, 20404, "The requested resource was not found")


def _refused(refusal: Refusal) -> Response:
    answer = jsonify(
        {
            "code": refusal.code,
            "message": refusal.message,
            "more_info": f"https://www.twilio.com/docs/errors/{refusal.code}",
            "status": refusal.status,
        }
    )
    answer.status_code = refusal.status
    if refusal.retry_after is not None:
        answer.headers["Retry-After"] = str(refusal.retry_after)
    return answer


def _not_understood(error: HTTPException) -> Response:
    status = error.code or 500
    return _refused(Refusal(status, 20404 if status == 404 else 20001, error.name))  # noqa: PLR2004 - HTTP's number
