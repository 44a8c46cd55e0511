"""Twilio's REST API, as far as a talk needs it: send, show typing, erase, list. Nothing is repeated by itself.

No request is idempotent there (https://www.twilio.com/docs/messaging/api/message-resource), so an
answer that never came is `Unclear`, and only what surely was not taken is `Later`.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import chain, takewhile
from typing import Any, Protocol, TypeVar

from requests import RequestException
from twilio.base.exceptions import TwilioException
from twilio.rest import Client
from twilio.rest.content.v1.content import ContentList
from twilio.rest.content.v1.content.approval_create import ApprovalCreateList

from bot.channels import Accepted, Inbound, Later, Refused, SendError, Sent, Unclear
from bot.channels.whatsapp.codes import BAD_CONTENT, LOST_CONTENT
from bot.channels.whatsapp.media import MAX_FILE_BYTES, File, fetch
from bot.channels.whatsapp.read import PREFIX, BadWebhook, read
from bot.channels.whatsapp.render import ContentSpec, Outgoing
from bot.channels.whatsapp.wire import Wire, failed

LISTED = 200  # messages looked through for one that may or may not have been taken
HEARD = 5_000  # messages looked through for one that we were not told of: some hours of many people
PAGE = 1_000  # Twilio's longest
SENDERS = 1_000  # of one Messaging Service
REST = 60.0  # seconds without trying to make a Content resource, after one could not be made
GONE = frozenset({"404", "20404"})

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Contents(Protocol):
    """The book of Content resources that were made: their sids by name. Shared by all processes, kept for ever."""

    def get(self, name: str) -> str | None:
        """The sid of this resource, or None if none was made."""

    def put(self, name: str, sid: str) -> None:
        """Remember the sid, in the place of another one if there is one."""


class Twilio:
    """One Twilio account and one sender. Safe to share between threads."""

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        sender: str,
        contents: Contents,
        *,
        api_url: str = "",
        timeout: float = 10.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sender`: a WhatsApp number, with or without `whatsapp:`, or the sid of a Messaging Service (`MG...`).

        `api_url`: another base for all requests, for tests and the playground only. There the host api.twilio.com is
        the root, and every other product has its name as the first part of the path (`/content/v1/...`).
        `timeout`: seconds, for connecting and between two packets; `now`: a steady clock, in seconds.
        Raises ValueError when one of the first three is empty.
        """
        if not (account_sid and auth_token and sender):
            raise ValueError("Twilio needs an account sid, an auth token and a sender.")
        api_url = api_url.rstrip("/")
        self._wire = Wire(api_url, timeout)
        self._client: Any = Client(account_sid, auth_token, http_client=self._wire)
        self._service = sender if sender.startswith("MG") else None
        self._from = {"messaging_service_sid": sender} if self._service else {"from_": _prefixed(sender)}
        self._fetch = partial(fetch, account_sid=account_sid, auth_token=auth_token, api_url=api_url)
        self._contents = contents
        self._sids: dict[str, str] = {}
        self._making = threading.Lock()
        self._now = now
        self._resting_until = float("-inf")

    def send(
        self, to: str, outgoing: Outgoing, callback_url: str, ready: Callable[[], None] = lambda: None
    ) -> Accepted:
        """Hand over one message. `to`: a number or a business-scoped id; `callback_url`: see `read.callback_url`.

        Buttons are an ornament: where their resource cannot be made or is not taken, the same words go out with the
        choices as numbers. Raises Refused, Later or Unclear; after Unclear look at `sent_since` before sending again.
        `ready` is called right before the message leaves, and again before it leaves in another form; what it raises
        passes through.
        """
        create = partial(self._create, to, callback_url, ready)
        accepted = self._with_buttons(create, outgoing, outgoing.content) if outgoing.content else None
        return accepted or create(body=outgoing.body)

    def send_file(
        self, to: str, body: str, media_url: str, callback_url: str, ready: Callable[[], None] = lambda: None
    ) -> Accepted:
        """Hand over a file by an address from which Twilio fetches it, with words or without. Raises like `send`.

        https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource: one file on WhatsApp.
        """
        words = {"body": body} if body else {}
        return self._create(to, callback_url, ready, media_url=[media_url], **words)

    def send_template(
        self, to: str, sid: str, variables: Mapping[str, str], callback_url: str, ready: Callable[[], None]
    ) -> Accepted:
        """Hand over a template by its resource: without a body, which would make it free words. Raises like `send`."""
        values = json.dumps(dict(variables), ensure_ascii=False)
        return self._create(to, callback_url, ready, content_sid=sid, content_variables=values)

    def make(self, spec: ContentSpec) -> str:
        """A new Content resource; its sid. Raises like `send`."""
        return str(self._call(lambda: self._client.content.v1.contents.create(_request(spec))).sid)

    def submit(self, sid: str, name: str) -> tuple[str, str]:
        """Ask WhatsApp to approve a resource as a template; its state, and why it was rejected. Raises like `send`.

        https://www.twilio.com/docs/content/content-api-resources#submit-templates-for-approval
        """
        asked = self._call(lambda: self._client.content.v1.contents(sid).approval_create.create(_Approval(name)))
        return asked.status or "", asked.rejection_reason or ""

    def approval(self, sid: str) -> tuple[str, str] | None:
        """How its approval stands, as of `submit`; None: Twilio knows no such resource. Raises like `send`."""
        fetched = self.ask_perhaps(lambda client: client.content.v1.contents(sid).approval_fetch().fetch())
        if fetched is None:
            return None
        found = fetched.whatsapp or {}
        return str(found.get("status") or ""), str(found.get("rejection_reason") or "")

    def ask(self, request: Callable[[Any], _T]) -> _T:
        """One request of the SDK's own, which is handed its client. Raises like `send`."""
        return self._call(lambda: request(self._client))

    def ask_perhaps(self, request: Callable[[Any], _T]) -> _T | None:
        """The same; None where Twilio knows nothing of that name."""
        try:
            return self.ask(request)
        except Refused as refusal:
            if refusal.code in GONE:
                return None
            raise

    def typing(self, message_sid: str) -> bool:
        """Show "typing" below this inbound message and mark it read, for at most 25 seconds. Whether it was shown.

        https://www.twilio.com/docs/whatsapp/api/typing-indicators-resource (v2). An ornament: it raises nothing.
        """
        indicator = self._client.messaging.v2.typing_indicator
        try:
            self._call(lambda: indicator.create(channel="whatsapp", message_id=message_sid))
        except SendError as failure:
            _log.info("no typing indicator (%s)", failure.code)
            return False
        return True

    def erase(self, message_sid: str) -> None:
        """Empty a message's text, then delete its record with all media. Doing it twice is harmless.

        Raises Later while Twilio does not let go of it (20009: at least a minute, in rare cases 14 days) or cannot be
        reached, and Refused when it never will.
        """
        message = self._client.messages(message_sid)
        for step in (lambda: message.update(body=""), message.delete):
            self._erase(step)

    def fetch(self, url: str, max_bytes: int = MAX_FILE_BYTES) -> File:
        """A file that came with a message, see `media.fetch`."""
        return self._fetch(url, max_bytes=max_bytes)

    def sent_since(self, to: str, when: datetime) -> list[Sent]:
        """Our messages to this person that Twilio has taken since then, newest first, at most 200 looked through.

        By the time they were made, whole seconds: one that still waits at Twilio has no time of sending, and is listed
        too. `when` is aware; allow for clocks that differ. Raises like `send`.
        """
        earliest = when.astimezone(UTC).replace(microsecond=0)
        listed = self._call(lambda: self._client.messages.list(to=_prefixed(to), limit=LISTED))
        return [
            Sent(one.sid, one.body or "", one.status, one.date_created, int(one.num_media or "0"))
            for one in listed
            if one.direction != "inbound" and one.date_created and one.date_created >= earliest
        ]

    def kept_of(self, person: str) -> list[str]:
        """The sids of all messages from and to a person, at most 5,000 of each looked through. Raises like `send`.

        What other senders of the same account exchanged with them is none of ours.
        https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
        """
        address, ours = _prefixed(person), self._from.get("from_")
        ways: list[dict[str, str]] = [{"to": address}, {"from_": address}]
        if ours:
            ways = [{"to": address, "from_": ours}, {"from_": address, "to": ours}]
        return self._call(lambda: [one.sid for one in self._listed(*ways) if one.sid])

    def received_since(self, when: datetime) -> list[Inbound]:
        """What people have written to us since then, newest first, at most 5,000 looked through.

        A webhook that is lost stays lost (https://www.twilio.com/docs/usage/webhooks): here it is found again. Names
        and taps are not listed, only the words on the button. Raises like `send`.
        """
        earliest = when.astimezone(UTC).replace(microsecond=0)
        ours = {"to": self._from["from_"]} if "from_" in self._from else {}
        listed = self._call(lambda: list(self._listed(ours, earliest=earliest)))
        return [one for listed_one in listed if (one := _heard(listed_one)) is not None]

    def close(self) -> None:
        """Close the pooled connections."""
        self._wire.close()

    def _listed(self, *kinds: Mapping[str, str], earliest: datetime | None = None) -> Iterator[Any]:
        """Messages of each kind that are ours, newest first, back to a moment (None: all); at most 5,000 looked at.

        A Messaging Service has several senders; what a sender sent that has left it since bears the service's sid.
        """
        streams = (self._client.messages.stream(limit=HEARD, page_size=PAGE, **one) for one in kinds)
        found: Iterator[Any] = chain.from_iterable(streams)
        if earliest is not None:
            found = takewhile(lambda one: one.date_created and one.date_created >= earliest, found)
        if not self._service:
            return found
        pool = self._client.messaging.v1.services(self._service).channel_senders.stream(limit=SENDERS)
        senders = {_prefixed(one.sender) for one in pool}
        return (one for one in found if one.messaging_service_sid == self._service or _our_side(one) in senders)

    def _erase(self, step: Callable[[], _T]) -> _T | None:
        """One step of erasing; None when there was nothing left to erase."""
        try:
            return self._call(step)
        except Unclear as failure:
            raise Later(failure.code, "it may have been erased; doing it again is harmless") from None
        except Refused as failure:
            if failure.code not in GONE:
                raise
        return None

    def _with_buttons(self, create: Callable[..., Accepted], outgoing: Outgoing, spec: ContentSpec) -> Accepted | None:
        """Send by a Content resource; None: it cannot be had, nothing was sent."""
        sid = self._content(spec)
        for again in (True, False):  # a resource that was lost at Twilio is made anew once
            if not sid:
                break
            try:
                return create(content_sid=sid, content_variables=_variables(outgoing))
            except Refused as refusal:
                if refusal.code not in BAD_CONTENT:
                    raise
                _log.warning("Twilio did not take content resource %s (%s)", spec.name, refusal.code)
                sid = self._content(spec, lost=sid) if again and refusal.code in LOST_CONTENT else None
        return None

    def _create(self, to: str, callback_url: str, ready: Callable[[], None], **what: Any) -> Accepted:
        messages = self._client.messages
        ready()
        message = self._call(
            lambda: messages.create(to=_prefixed(to), status_callback=callback_url, **self._from, **what)
        )
        if not message.sid:
            raise Unclear("no-sid", "Twilio answered without a message sid")
        return Accepted(message.sid)

    def _content(self, spec: ContentSpec, lost: str = "") -> str | None:
        """The sid of the resource, made on first use and anew when `lost`; None: do without."""
        sid = self._known(spec.name, lost)
        if sid:
            return sid
        with self._making:
            return self._known(spec.name, lost) or self._made(spec)

    def _known(self, name: str, lost: str) -> str | None:
        """The sid in the book; asked for once, then remembered: it is needed for nearly every message."""
        sid = self._sids.get(name)
        if sid in (None, lost):  # another process may have made it, or made it anew
            sid = self._contents.get(name)
            if sid is not None:
                self._sids[name] = sid
        return sid if sid != lost else None

    def _made(self, spec: ContentSpec) -> str | None:
        """A new resource. After a failure none is tried for a minute: a dead Content API holds nobody up."""
        if self._now() < self._resting_until:
            return None
        try:
            made = self._call(lambda: self._client.content.v1.contents.create(_request(spec)))
        except SendError as failure:
            _log.warning("content resource %s could not be made (%s)", spec.name, failure)
            self._resting_until = self._now() + REST
            return None
        self._contents.put(spec.name, made.sid)
        self._sids[spec.name] = str(made.sid)
        return str(made.sid)

    def _call(self, request: Callable[[], _T]) -> _T:
        """Run one request; every way to fail becomes Refused, Later or Unclear, free of the request's content."""
        try:
            return request()
        except (TwilioException, RequestException) as error:
            failure = failed(error, self._wire.retry_after())
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # success, but no JSON or not of its shape
            failure = Unclear(type(error).__name__, "Twilio's answer could not be read")
        raise failure  # out here: what was caught carries the request with the person's words


class _Approval(ApprovalCreateList.ContentApprovalRequest):  # type: ignore[misc]  # the SDK has no types
    """A wish for approval without the SDK's empty fields."""

    def __init__(self, name: str) -> None:
        super().__init__({"name": name, "category": "UTILITY"})

    def to_dict(self) -> dict[str, str]:
        return {"name": self.name, "category": self.category}


def _our_side(listed: Any) -> str | None:
    """The sender of ours that a listed message came to or went out by."""
    address: str | None = listed.to if listed.direction == "inbound" else listed.from_
    return address


def _request(spec: ContentSpec) -> Any:
    return ContentList.ContentCreateRequest(
        {
            "friendly_name": spec.name,
            "language": spec.language,
            "variables": dict(spec.variables),
            "types": {kind: dict(shape) for kind, shape in spec.types.items()},
        }
    )


def _variables(outgoing: Outgoing) -> str:
    return json.dumps(dict(outgoing.variables), ensure_ascii=False)


def _heard(listed: Any) -> Inbound | None:
    """A listed message as its webhook would have told it; None for one of ours, or that is no WhatsApp message."""
    if listed.direction != "inbound":
        return None
    form = {"MessageSid": listed.sid, "From": listed.from_ or "", "Body": listed.body or ""}
    try:
        return read({**form, "NumMedia": str(listed.num_media or "0")})
    except BadWebhook:
        return None


def _prefixed(address: str) -> str:
    return address if address.startswith(PREFIX) else PREFIX + address
