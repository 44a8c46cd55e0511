"""From Twilio's form to what came in. Parameters are added without notice: nothing unknown is refused.

Parameters: https://www.twilio.com/docs/messaging/guides/webhook-request; names instead of numbers ("BSUID"):
https://www.twilio.com/docs/whatsapp/key-concepts.
"""

import re
from collections.abc import Mapping

from bot.channels import MAX_MEDIA, MAX_TEXT, Identity, Inbound, Kind, Media, Status
from bot.channels.file_types import known, made_up_name, told_name
from bot.channels.text import clean

CHANNEL = "whatsapp"
PREFIX = "whatsapp:"
PROMISE = "promise"  # the parameter of the status callback's address that carries our own id
MAX_NAME = 100
MAX_BUTTON = 200  # https://www.twilio.com/docs/content/twilio-quick-reply

_SID = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)
_ADDRESS = re.compile(r"[A-Za-z0-9+._-]{1,160}", re.ASCII)
_PROMISE_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
_ERROR = re.compile(r"[0-9]{1,10}", re.ASCII)
_MEDIA_URL = re.compile(r"https://[!-~]{1,2000}", re.ASCII)

_MEDIA: tuple[tuple[str, Kind], ...] = (
    ("image/webp", "sticker"),  # what WhatsApp makes of every sticker
    ("image/", "image"),
    ("audio/", "voice"),
    ("video/", "video"),
    ("text/vcard", "contact"),
    ("text/x-vcard", "contact"),
    ("text/directory", "contact"),
    ("application/", "document"),
    ("text/", "document"),
)
# A later rank never gives way to an earlier one: callbacks repeat and overtake each other. The last three are ends.
RANKS: Mapping[str, int] = {
    "accepted": 0,
    "scheduled": 0,
    "queued": 1,
    "sending": 2,
    "sent": 3,
    "delivered": 4,
    "read": 5,
    "canceled": 9,
    "undelivered": 9,
    "failed": 9,
}


class BadWebhook(ValueError):
    """A genuine request that cannot be read as a WhatsApp message. The reason holds nothing of its content."""


def read(form: Mapping[str, str]) -> Inbound:
    """One inbound message. Raises BadWebhook when its id or its sender is missing or has no known shape."""
    sid = form.get("MessageSid", "")
    if not _SID.fullmatch(sid):
        raise BadWebhook("no MessageSid")
    identity = _identity(form)
    text = clean(form.get("Body") or form.get("ButtonText") or form.get("ListTitle") or "")[:MAX_TEXT]
    button = _button(form)
    name = clean(form.get("ProfileName", "")).replace("\n", " ").strip()[:MAX_NAME]
    kind = _kind(form, has_words=bool(text.strip() or button))
    return Inbound(sid, identity, text, button, kind, name, _media(form))


def read_status(form: Mapping[str, str], args: Mapping[str, str]) -> Status | None:
    """What became of a message of ours, or None when the request says nothing of that.

    `args` is the query of the status callback's address (see `callback_url`). `error` is Twilio's code, for `fate`.
    """
    sid, status = form.get("MessageSid", ""), form.get("MessageStatus", "")
    if not _SID.fullmatch(sid) or status not in RANKS:
        return None
    promise, error = args.get(PROMISE, ""), form.get("ErrorCode", "")
    return Status(
        provider_id=sid,
        promise_id=int(promise) if _PROMISE_ID.fullmatch(promise) else None,
        status=status,
        rank=RANKS[status],
        error=error if _ERROR.fullmatch(error) else "",
    )


def callback_url(base: str, promise_id: int) -> str:
    """The status callback's address for one promise. Twilio refuses a host with an underscore in its name."""
    return f"{base}?{PROMISE}={promise_id}"


def _identity(form: Mapping[str, str]) -> Identity:
    """The number, the business-scoped id, or both. A hidden number shows the id in its place."""
    sender = _address(form.get("From") or _from_wa_id(form))
    if sender is None:
        raise BadWebhook("no WhatsApp sender")
    stated = _address(form.get("ExternalUserId") or form.get("ParentExternalUserId") or "")
    if sender.startswith("+"):
        return Identity(CHANNEL, sender, stated)
    return Identity(CHANNEL, None, stated or sender)


def _from_wa_id(form: Mapping[str, str]) -> str:
    digits = form.get("WaId", "")
    return f"{PREFIX}+{digits}" if digits.isascii() and digits.isdigit() else ""


def _address(value: str) -> str | None:
    """Without its prefix; None without one: a text message's sender is easily forged, and is no WhatsApp user."""
    if not value.startswith(PREFIX):
        return None
    bare = value.removeprefix(PREFIX)
    return bare if _ADDRESS.fullmatch(bare) else None


def _button(form: Mapping[str, str]) -> str | None:
    """The id of the tapped button or list item. Longer than any of ours: not ours, and its words stand in the body."""
    chosen = clean(form.get("ButtonPayload") or form.get("ListId") or "")
    return chosen if 0 < len(chosen) <= MAX_BUTTON else None


def _kind(form: Mapping[str, str], *, has_words: bool) -> Kind:
    if form.get("Latitude") and form.get("Longitude"):
        return "location"
    media = form.get("MediaContentType0", "").lower()
    if media:
        return next((kind for start, kind in _MEDIA if media.startswith(start)), "other")
    if form.get("NumMedia", "0").strip() not in ("", "0"):
        return "other"
    return "text" if has_words else "other"


def _media(form: Mapping[str, str]) -> tuple[Media, ...]:
    """The files, whatever NumMedia says of them. A document's name stands in the body when it has no caption."""
    found = []
    for n in range(MAX_MEDIA):
        url = form.get(f"MediaUrl{n}", "")
        if _MEDIA_URL.fullmatch(url):
            content_type = known(form.get(f"MediaContentType{n}", ""))
            told = form.get("Body", "") if n == 0 else ""
            found.append(Media(url, content_type, told_name(told, content_type) or made_up_name(content_type)))
    return tuple(found)
