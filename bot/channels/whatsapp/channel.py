"""WhatsApp as the hands see a channel."""

import logging
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from bot.channels import Accepted, Enclosed, Identity, Inbound
from bot.channels.whatsapp.client import Twilio
from bot.channels.whatsapp.media import File
from bot.channels.whatsapp.read import callback_url
from bot.channels.whatsapp.render import render
from bot.channels.whatsapp.style import WhatsAppStyle
from flows.speech import Message

CLOCKS = timedelta(seconds=30)  # by which Twilio's clock and ours may differ
_log = logging.getLogger(__name__)
_TOKEN = re.compile(r"(/s/)[A-Za-z0-9_-]*")


class WhatsApp:
    """Sends through Twilio; `status_url` is where it tells what became of a message."""

    def __init__(self, twilio: Twilio, status_url: str) -> None:
        self.style = WhatsAppStyle()
        self.twilio = twilio
        self._status_url = status_url

    def send(self, to: Identity, message: Message, promise_id: int, ready: Callable[[], None]) -> Accepted:
        """Hand a message to Twilio. Raises Refused, Later or Unclear, and what `ready` raises."""
        outgoing = render(message)
        if outgoing.cut:
            _log.error("a message was too long and was cut", extra={"promise": promise_id})
        return self.twilio.send(_to(to), outgoing, callback_url(self._status_url, promise_id), ready)

    def send_file(
        self, to: Identity, message: Message, file: Enclosed, promise_id: int, ready: Callable[[], None]
    ) -> Accepted:
        """Hand a message with a file to Twilio, which fetches the file from us. Raises like `send`."""
        callback = callback_url(self._status_url, promise_id)
        return self.twilio.send_file(_to(to), _words(message), file.url(), callback, ready)

    def find_file(self, to: Identity, message: Message, file: Enclosed, since: datetime) -> str | None:  # noqa: ARG002 - as every channel
        """As `find`: Twilio lists how many files a message has, not which. A line's files go one after the other."""
        listed = self.twilio.sent_since(_to(to), since - CLOCKS)
        return next((one.provider_id for one in listed if one.files and one.body == _words(message)), None)

    def send_template(
        self, to: Identity, sid: str, variables: Mapping[str, str], promise_id: int, ready: Callable[[], None]
    ) -> Accepted:
        """Hand a template to Twilio. Raises Refused, Later or Unclear, and what `ready` raises."""
        return self.twilio.send_template(_to(to), sid, variables, callback_url(self._status_url, promise_id), ready)

    def find(self, to: Identity, message: Message, since: datetime) -> str | None:
        """Twilio's id of this very message, if it lists one; a one-time link in it may have another address."""
        body = _masked(render(message).body)
        listed = self.twilio.sent_since(_to(to), since - CLOCKS)
        return next((one.provider_id for one in listed if _masked(one.body) == body), None)

    def typing(self, message_id: str) -> None:
        """Show that an answer is on its way, under the person's last message."""
        self.twilio.typing(message_id)

    def window(self, to: Identity) -> None:
        """WhatsApp has no windows."""

    def erase(self, message_id: str) -> None:
        """Erase what a person sent. Raises Later or Refused."""
        self.twilio.erase(message_id)

    def keeps(self, who: Identity) -> list[str]:
        """The sids of all messages from and to somebody that Twilio keeps, with their media."""
        known = [one for one in (who.address, who.external_id) if one]
        return sorted({sid for one in known for sid in self.twilio.kept_of(one)})

    def fetch(self, url: str, max_bytes: int) -> File:
        """A file that came with a message. Raises Refused or Later."""
        return self.twilio.fetch(url, max_bytes)

    def missed(self, since: datetime) -> list[Inbound]:
        """What people have sent since then, as Twilio lists it, newest first."""
        return self.twilio.received_since(since)


def _words(message: Message) -> str:
    return render(message).body if message.body.strip() else ""


def _to(identity: Identity) -> str:
    return identity.address or identity.external_id or ""


def _masked(body: str) -> str:
    return _TOKEN.sub(r"\1", body)
