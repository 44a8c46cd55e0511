"""How a Twilio account is set up: its state, and where its sender tells us what people write.

* the account: https://www.twilio.com/docs/iam/api/account
* a WhatsApp sender: https://www.twilio.com/docs/whatsapp/api/senders (Public Beta; an update is a POST of what changes)
* a messaging service, which then takes all that comes in: https://www.twilio.com/docs/messaging/api/service-resource
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from twilio.rest.messaging.v2.channels_sender import ChannelsSenderList

from bot.channels.whatsapp.client import Twilio
from bot.channels.whatsapp.read import CHANNEL, PREFIX

SANDBOX = "whatsapp:+14155238886"  # shared by all accounts: https://www.twilio.com/docs/whatsapp/sandbox
PATIENT = "#rc=3&rp=all"  # https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
MOST_SENDERS = 1000
SERVICE = "MG"


@dataclass(frozen=True, slots=True)
class State:
    """An account: `status` active, suspended or closed; `at`: what time it is for Twilio."""

    name: str
    status: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Hooks:
    """Where Twilio calls us: with a message, where that fails, with what became of one of ours."""

    inbound: str
    fallback: str
    status: str


@dataclass(frozen=True, slots=True)
class SenderState:
    """What people write to: a WhatsApp sender or a messaging service. `online`: empty when all is well."""

    sid: str
    online: str
    hooks: Hooks


def wanted(public_url: str, found: Hooks) -> Hooks:
    """The hooks of an installation; a fallback that the operator chose is left as it is."""
    inbound = f"{public_url}/whatsapp{PATIENT}"
    return Hooks(inbound, found.fallback or f"{public_url}/whatsapp", f"{public_url}/whatsapp/status")


class TwilioAccount:
    """Looks at an account and sets it up. Everything raises Refused, Later or Unclear, as `Twilio` does."""

    def __init__(self, twilio: Twilio, account_sid: str, sender: str) -> None:
        """`sender`: a WhatsApp number, or the sid of a messaging service."""
        self._twilio = twilio
        self._account_sid = account_sid
        self.sender = sender if sender.startswith((PREFIX, SERVICE)) else PREFIX + sender

    def state(self) -> State:
        """Whether Twilio takes our token, and what it says of the account."""
        told = self._twilio.ask(lambda client: client.api.v2010.accounts(self._account_sid).fetch_with_http_info())
        return State(str(told.data.friendly_name or ""), str(told.data.status or ""), _moment(told.headers))

    def find(self) -> SenderState | None:
        """Our sender as Twilio knows it; None: this account has none of that name."""
        return self._service() if self.sender.startswith(SERVICE) else self._number()

    def point(self, found: SenderState, hooks: Hooks) -> None:
        """Let Twilio call us at these addresses."""
        if found.sid.startswith(SERVICE):
            self._twilio.ask(
                lambda client: client.messaging.v1.services(found.sid).update(
                    inbound_request_url=hooks.inbound, inbound_method="POST", fallback_url=hooks.fallback,
                    fallback_method="POST", status_callback=hooks.status, use_inbound_webhook_on_number=False,
                )
            )  # fmt: skip
        else:
            self._twilio.ask(lambda client: client.messaging.v2.channels_senders(found.sid).update(_Webhook(hooks)))

    def _number(self) -> SenderState | None:
        listed = self._twilio.ask(
            lambda client: client.messaging.v2.channels_senders.list(channel=CHANNEL, limit=MOST_SENDERS)
        )
        mine = next((one for one in listed if one.sender_id == self.sender), None)
        if mine is None:
            return None
        hook: Mapping[str, Any] = mine.webhook or {}
        post = hook.get("callback_method") in {None, "POST"}
        inbound = str(hook.get("callback_url") or "") if post else "(not by POST)"
        hooks = Hooks(inbound, str(hook.get("fallback_url") or ""), str(hook.get("status_callback_url") or ""))
        status = str(mine.status or "")
        return SenderState(str(mine.sid), "" if status.startswith("ONLINE") else status, hooks)

    def _service(self) -> SenderState | None:
        found = self._twilio.ask_perhaps(lambda client: client.messaging.v1.services(self.sender).fetch())
        if found is None:
            return None
        post = not found.use_inbound_webhook_on_number and found.inbound_method in {None, "POST"}
        inbound = str(found.inbound_request_url or "") if post else "(the numbers' own, or not by POST)"
        return SenderState(
            str(found.sid), "", Hooks(inbound, str(found.fallback_url or ""), str(found.status_callback or ""))
        )


class _Webhook(ChannelsSenderList.MessagingV2ChannelsSenderRequestsUpdate):  # type: ignore[misc]  # the SDK has no types
    """A change of the webhook alone: the SDK would send everything else as null, which erases it."""

    def __init__(self, hooks: Hooks) -> None:
        super().__init__({})
        self._hooks = hooks

    def to_dict(self) -> dict[str, dict[str, str]]:
        return {
            "webhook": {
                "callback_url": self._hooks.inbound,
                "callback_method": "POST",
                "fallback_url": self._hooks.fallback,
                "fallback_method": "POST",
                "status_callback_url": self._hooks.status,
                "status_callback_method": "POST",
            }
        }


def _moment(headers: Mapping[str, str]) -> datetime | None:
    """When an answer was made, by its Date header (RFC 9110 §6.6.1)."""
    try:
        return parsedate_to_datetime(headers["Date"]).astimezone(UTC)
    except (KeyError, TypeError, ValueError):
        return None
