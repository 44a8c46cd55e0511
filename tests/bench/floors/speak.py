"""The unavoidable of an answer: wait for NOTIFY, claim, one bare call to the provider, note that it was done."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

import psycopg
from sqlalchemy import Engine, and_, bindparam, create_engine, exists, select, update

from bot.store.tables import contact, conversation, in_state, message, promise

LOOK = 1.0
LEASE = timedelta(minutes=2)

_earlier = promise.alias("earlier")
_first = ~exists().where(
    _earlier.c.conversation_id == promise.c.conversation_id,
    _earlier.c.lane == "speak",
    _earlier.c.id < promise.c.id,
    in_state(_earlier, "todo", "doing"),
)
_due = and_(promise.c.lane == "speak", in_state(promise, "todo"), promise.c.due_at <= bindparam("now"))
_chosen = (
    select(promise.c.id)
    .where(_due, _first)
    .order_by(promise.c.due_at, promise.c.id)
    .limit(8)
    .with_for_update(skip_locked=True)
    .cte("chosen")
)
# The person's number comes along: without it the call could not be made.
CLAIM = (
    update(promise)
    .where(
        promise.c.id == _chosen.c.id,
        conversation.c.id == promise.c.conversation_id,
        contact.c.id == conversation.c.contact_id,
    )
    .values(state="doing", attempt=promise.c.attempt + 1, leased_until=bindparam("until"))
    .returning(promise.c.id, contact.c.address)
)
FINISH = update(promise).where(promise.c.id == bindparam("mine")).values(state="done", payload={}, leased_until=None)
SAID = update(message).where(message.c.promise_id == bindparam("mine")).values(provider_id=bindparam("sid"))


def main() -> None:
    """Answer whatever is promised, until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    url = os.environ["DATABASE_URL"]
    engine = create_engine(url)
    provider = http.client.HTTPConnection(urlsplit(os.environ["TWILIO_API_URL"]).netloc)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as line:
        line.execute("listen ally_promises")
        while True:
            while _speak(engine, provider):
                pass
            for _ in line.notifies(timeout=LOOK, stop_after=1):
                pass


def _speak(engine: Engine, provider: http.client.HTTPConnection) -> int:
    now = datetime.now(UTC)
    with engine.begin() as db:
        claimed = db.execute(CLAIM, {"now": now, "until": now + LEASE}).all()
    for number, address in claimed:
        sid = _call(provider, address)
        with engine.begin() as db:
            db.execute(FINISH, {"mine": number})
            db.execute(SAID, {"mine": number, "sid": sid})
    return len(claimed)


def _call(provider: http.client.HTTPConnection, address: str) -> str:
    sid, token = os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"]
    form = {
        "To": f"whatsapp:{address}",
        "From": os.environ["TWILIO_WHATSAPP_FROM"],
        "StatusCallback": f"{os.environ['PUBLIC_URL']}/whatsapp/status?promise=1",
        "ContentSid": f"HX{1:032x}",
        "ContentVariables": json.dumps({"1": "Your e-mail is not connected yet. What would you like to do?"}),
    }
    headers = {
        "Authorization": "Basic " + base64.b64encode(f"{sid}:{token}".encode()).decode(),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    provider.request("POST", f"/2010-04-01/Accounts/{sid}/Messages.json", urlencode(form), headers)
    return str(json.loads(provider.getresponse().read())["sid"])


if __name__ == "__main__":
    main()
