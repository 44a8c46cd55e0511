"""WhatsApp through Twilio: read what came in, render a message, send it. The only room that knows Twilio."""

from bot.channels.whatsapp.answer import answer
from bot.channels.whatsapp.client import Contents, Twilio
from bot.channels.whatsapp.codes import OUTSIDE_WINDOW, Fate, fate
from bot.channels.whatsapp.read import CHANNEL, BadWebhook, callback_url, read, read_status
from bot.channels.whatsapp.render import ContentSpec, Outgoing, render
from bot.channels.whatsapp.signature import genuine, sign
from bot.channels.whatsapp.style import WhatsAppStyle

__all__ = [
    "CHANNEL",
    "OUTSIDE_WINDOW",
    "BadWebhook",
    "ContentSpec",
    "Contents",
    "Fate",
    "Outgoing",
    "Twilio",
    "WhatsAppStyle",
    "answer",
    "callback_url",
    "fate",
    "genuine",
    "read",
    "read_status",
    "render",
    "sign",
]
