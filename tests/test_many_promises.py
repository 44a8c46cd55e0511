"""What waits for a later time costs nothing: measured by what PostgreSQL has to read, not by a watch."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, text

from bot.store import conversations, promises
from bot.store.engine import reading
from bot.store.tables import message
from tests.botkit import ANA

WAITING = 300_000
PAGES = 40  # that a look may read: the index from its root to an empty leaf, and what is due


@pytest.fixture
def crowd(kit):
    """300,000 promises for tomorrow, in all lanes, as reminders of many conversations are."""
    kit.say("oi")
    with kit.engine.begin() as db:
        fill = text(
            "insert into promise (conversation_id, lane, kind, payload, due_at, created_at)"
            " select c.id, (array['speak', 'work', 'mail'])[1 + n % 3], 'remind', '{}', :due, :now"
            " from generate_series(1, :many) n, (select id from conversation limit 1) c"
        )
        now = kit.clock.now()
        db.execute(fill, {"due": now + timedelta(days=1), "now": now, "many": WAITING})
    with reading(kit.engine) as db:
        db.execute(text("analyze promise"))
    return kit


def pages_read(plan):
    """All pages that a plan has read, from memory or from the disk."""
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


@pytest.mark.parametrize("lane", ["work", "mail"])
def test_promises_for_tomorrow_cost_a_look_nothing(crowd, lane):
    claim = promises._claiming(lane).compile(crowd.engine)
    now = crowd.clock.now()
    when = {"of_lane": lane, "most": 5, "now": now, "until": now + timedelta(minutes=2)}
    with crowd.engine.begin() as db:
        plan = f"explain (analyze, buffers, format json) {claim}"
        explained = db.exec_driver_sql(plan, {**claim.params, **when}).scalar_one()
    assert pages_read(explained[0]["Plan"]) <= PAGES


def test_two_lines_of_the_transcript_said_as_one_message_are_proven_by_either(kit):
    """Messages that had to wait became one: a callback may have been noted on one line only."""
    kit.say("oi")
    conversation, now = kit.held(ANA).id, kit.clock.now()
    with kit.engine.begin() as db:
        (promise_id,) = promises.add(db, conversation, [promises.Wanted("speak", "Speak", now)], now)
        for words, provider_id in (("one", None), ("two", "SM2"), ("three", None)):
            row = {"conversation_id": conversation, "direction": "out", "text": words, "at": now}
            db.execute(insert(message).values(**row, promise_id=promise_id, provider_id=provider_id))
    with reading(kit.engine) as db:
        assert conversations.proof(db, promise_id) == ("SM2", now)
