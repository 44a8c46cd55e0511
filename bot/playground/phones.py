"""The phones of the playground: what people write, how far each message came, and what the page has not seen yet."""

import contextlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import requests

from bot.playground.samples import SAMPLES
from bot.playground.twilio import Bubble, TwilioStandIn
from bot.playground.twilio_api import new_sid

TYPING_TIME = timedelta(seconds=25)  # https://www.twilio.com/docs/whatsapp/api/typing-indicators-resource
MAX_WAITING = 50  # messages that the bot has not answered yet
SHOWN_BUBBLES = 200
SHOWN_STATUSES = 20
ON_THE_PHONE = 2.0  # seconds that a message may take to the person's own phone before the page stops waiting for it
BAD_REQUEST = 400


class Phones:
    """What people write, brought to the bot in the order of writing, and how far each message came."""

    def __init__(self, twilio: TwilioStandIn, now: Callable[[], datetime]) -> None:
        self._twilio = twilio
        self._now = now
        self._post = ThreadPoolExecutor(1, "phones")
        self._room = threading.BoundedSemaphore(MAX_WAITING)
        self._fates: OrderedDict[str, str] = OrderedDict()
        self._world = secrets.token_hex(8)

    def close(self) -> None:
        """Drop what is not on its way yet; wait for what is."""
        self._post.shutdown(cancel_futures=True)

    def say(self, number: str, what: Mapping[str, str]) -> bool:
        """The person writes, taps or sends a file; `what` as in `TwilioStandIn.say`, `file` by its name in SAMPLES.

        False: too much is under way already.

        Comes back when the message is on the person's own phone; the bot gets it afterwards, as in the real world.
        """
        if not self._room.acquire(blocking=False):
            return False
        words: dict[str, Any] = dict(what)
        if "file" in words:
            sample = SAMPLES[words.pop("file")]
            words |= {"media": [(sample.content_type, sample.content)], "file_name": sample.name}
        sid = new_sid("MM" if "media" in words else "SM")
        self._post.submit(self._bring, number, words, sid)
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
        earliest = self._now() - TYPING_TIME
        for seen in reversed(self._twilio.requests):
            if seen.at < earliest:
                return None
            if seen.path.endswith("/Typing.json") and seen.fields.get("messageId") in sids:
                return seen.at
        return None


def _shown(message: Bubble, status: str) -> dict[str, Any]:
    names = [name for _, name in message.files]
    return {
        "number": message.number,
        "mine": message.mine,
        "text": "" if message.body in names else message.body,
        "buttons": [{"id": id_, "label": label} for id_, label in message.buttons],
        "list": message.is_list,
        "files": [{"kind": content_type.partition("/")[0], "name": name} for content_type, name in message.files],
        "status": status,
        "at": message.at.isoformat(),
    }
