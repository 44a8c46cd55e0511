"""How the stand-in's account is set up: the account itself, its WhatsApp sender, its messaging service.

Shapes as the SDK twilio 9.13 reads them: api v2010 Account, messaging v2 ChannelsSender, messaging v1 Service and
ChannelSender.
"""

import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from flask import Response, jsonify, request

ADDRESSES = ("callback_url", "fallback_url", "status_callback_url")
METHODS = ("callback_method", "fallback_method", "status_callback_method")
SERVICE_FIELDS = {
    "InboundRequestUrl": "inbound_request_url",
    "InboundMethod": "inbound_method",
    "FallbackUrl": "fallback_url",
    "FallbackMethod": "fallback_method",
    "StatusCallback": "status_callback",
}
Refuse = Callable[[int, int, str], Exception]


class AccountSetup:
    """What the console of one made-up account holds."""

    def __init__(self, sid: str, sender: str, service_sid: str, refuse: Refuse) -> None:
        self.status = "active"
        self.sender: dict[str, Any] = {
            "sid": "XE" + secrets.token_hex(16),
            "sender_id": sender,
            "status": "ONLINE",
            "configuration": {"waba_id": "12345678912345"},
            "profile": {"name": "Ally", "about": "Your e-mail in Ally"},
            "webhook": dict.fromkeys((*ADDRESSES, *METHODS)),
            "properties": {"quality_rating": "HIGH", "messaging_limit": "1K Customers/24hr"},
            "offline_reasons": None,
        }
        self.service: dict[str, Any] = {
            "sid": service_sid,
            "account_sid": sid,
            "friendly_name": "Ally",
            "use_inbound_webhook_on_number": True,
            **dict.fromkeys(SERVICE_FIELDS.values()),
        }
        self._sid = sid
        self._refuse = refuse

    def routes(self) -> tuple[tuple[str, str, Callable[..., Any]], ...]:
        """Path, method and view of each request that is answered."""
        return (
            ("/2010-04-01/Accounts/<account>.json", "GET", self._account),
            ("/messaging/v2/Channels/Senders", "GET", self._senders),
            ("/messaging/v2/Channels/Senders/<sid>", "POST", self._change_sender),
            ("/messaging/v1/Services/<sid>", "GET", self._service),
            ("/messaging/v1/Services/<sid>", "POST", self._change_service),
            ("/messaging/v1/Services/<sid>/ChannelSenders", "GET", self._pool),
        )

    def _account(self) -> Response:
        return jsonify({"sid": self._sid, "friendly_name": "Ally", "status": self.status, "type": "Full"})

    def _senders(self) -> Response:
        if request.args.get("Channel") != "whatsapp":
            raise self._refuse(400, 20001, "The channel is required.")
        return _only_page("senders", self.sender)

    def _change_sender(self, sid: str) -> tuple[Response, int]:
        """What is sent takes the place of what was there, also a null."""
        if sid != self.sender["sid"]:
            raise self._refuse(404, 20404, "The requested resource was not found")
        wish = request.get_json()
        webhook = wish.get("webhook") or {}
        if any(webhook.get(name) not in {None, "POST", "PUT"} for name in METHODS):
            raise self._refuse(400, 63100, "Validation error: the method of a webhook")
        for name in ADDRESSES:
            self._check(webhook.get(name))
        self.sender.update({name: value for name, value in wish.items() if name in self.sender})
        return jsonify(self.sender | {"status": "ONLINE:UPDATING"}), 202

    def _service(self, sid: str) -> Response:
        if sid != self.service["sid"]:
            raise self._refuse(404, 20404, "The requested resource was not found")
        return jsonify(self.service)

    def _pool(self, sid: str) -> Response:
        """The one sender of the service."""
        self._service(sid)
        named = {"sender": self.sender["sender_id"], "sender_type": "WhatsApp", "messaging_service_sid": sid}
        return _only_page("senders", {"sid": self.sender["sid"], "account_sid": self._sid, **named})

    def _change_service(self, sid: str) -> Response:
        self._service(sid)
        for name, field in SERVICE_FIELDS.items():
            if name in request.form:
                if "Url" in name or name == "StatusCallback":
                    self._check(request.form[name])
                self.service[field] = request.form[name]
        if "UseInboundWebhookOnNumber" in request.form:
            self.service["use_inbound_webhook_on_number"] = request.form["UseInboundWebhookOnNumber"] == "true"
        return jsonify(self.service)

    def _check(self, url: str | None) -> None:
        if url is not None and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
            raise self._refuse(400, 63100, "Validation error: a webhook is no web address")


def _only_page(key: str, one: dict[str, Any]) -> Response:
    meta = {"key": key, "page": 0, "page_size": 50, "next_page_url": None, "previous_page_url": None}
    return jsonify({"meta": meta, key: [one]})
