"""When more comes in than can be answered soon: one honest word at once, by the webhook itself; nothing is dropped."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event, select, text

from bot.app import create_app
from bot.pressure import LATE
from bot.store import promises, tables
from bot.store.engine import DatabaseDown
from flows.speech import texts
from flows.words import LANGUAGES
from tests.botkit import ANA, BIA
from tests.test_pages import client, kit, message, post  # noqa: F401 - fixtures

MOMENTS = tuple(texts(language)["news.moment"] for language in LANGUAGES)
BACKLOG = 3_000


@pytest.fixture
def crowd(kit):  # noqa: F811
    """Others wait for answers that nobody has said for longer than people wait without wondering."""
    kit.say("oi", BIA)
    with kit.engine.begin() as db:
        many = text(
            "with people as (insert into contact (id, channel, address, language, created_at)"
            " select gen_random_uuid(), 'whatsapp', '+1555' || n, 'en', :now from generate_series(1, :many) n"
            " returning id), talks as (insert into conversation (id, contact_id, envelope, updated_at)"
            " select gen_random_uuid(), id, '{}', :now from people returning id)"
            " insert into promise (conversation_id, lane, kind, payload, due_at, created_at)"
            " select id, 'speak', 'Speak', '{}', :now, :now from talks"
        )
        db.execute(many, {"now": kit.clock.now(), "many": BACKLOG})
        db.execute(text("analyze"))
    kit.clock.move(seconds=LATE.total_seconds() + 1)
    kit.parts.pressure.look()
    return kit


def asked(words):
    """Whether somebody is asked for a moment, in whichever language."""
    return any(moment in words for moment in MOMENTS)


def said(kit, who):  # noqa: F811
    """Whatever was to be said to somebody is said."""
    with kit.engine.begin() as db:
        mine = tables.promise.c.conversation_id == kit.held(who).id
        db.execute(tables.promise.update().where(mine).values(state="done"))


def test_while_answers_are_in_time_nobody_is_asked_for_a_moment(kit, client):  # noqa: F811
    kit.say("oi", BIA)
    kit.clock.move(seconds=LATE.total_seconds())
    kit.parts.pressure.look()
    assert "Message" not in post(client, message()).text


def test_under_overload_the_webhook_s_own_answer_asks_for_a_moment(crowd, client):  # noqa: F811
    answer = post(client, message())
    assert (answer.status_code, answer.mimetype) == (200, "text/xml")
    assert answer.text.partition("<Response>")[2] in [f"<Message>{one}</Message></Response>" for one in MOMENTS]


def test_nothing_is_dropped_the_answer_is_promised_as_always(crowd, client):  # noqa: F811
    before = len(crowd.rows(tables.promise))
    post(client, message())
    assert len(crowd.rows(tables.promise)) == before + 1
    heard = [row.message_id for row in crowd.rows(tables.inbound)]
    assert "SM1" in heard


def test_who_waits_already_is_not_asked_again(crowd, client):  # noqa: F811
    answers = [post(client, message(MessageSid=f"SM{number}")).text for number in range(1, 4)]
    assert [asked(answer) for answer in answers] == [True, False, False]


def test_it_stands_in_the_transcript_between_what_was_written_and_the_answer(crowd):
    crowd.parts.turns.receive(crowd.inbound("oi", ANA), answers=True)
    ways = [(row.direction, row.text in MOMENTS) for row in crowd.rows(tables.message)][-3:]
    assert ways == [("in", False), ("out", True), ("out", False)]


def test_a_message_that_comes_twice_is_answered_with_nothing(crowd, client):  # noqa: F811
    post(client, message())
    assert "Message" not in post(client, message()).text


def test_where_the_edge_cannot_answer_it_is_promised_ahead_of_all_that_waits(crowd):
    crowd.parts.turns.receive(crowd.inbound("oi", ANA))
    now = crowd.clock.now()
    with crowd.engine.begin() as db:
        (first,) = promises.claim(db, "speak", 1, now, now + timedelta(minutes=1))
    assert first.conversation_id == crowd.held(ANA).id
    assert first.payload["effect"]["parts"][0]["name"] == "news.moment"
    assert sum(line in MOMENTS for line in crowd.transcript(ANA)) == 1


def test_who_says_stop_is_not_asked_for_a_moment(crowd, client):  # noqa: F811
    assert "Message" not in post(client, message(body="stop")).text


def test_when_the_backlog_is_gone_nobody_is_asked_any_more(crowd, client):  # noqa: F811
    with crowd.engine.begin() as db:
        db.execute(tables.promise.update().values(state="done"))
    crowd.parts.pressure.look()
    assert "Message" not in post(client, message()).text


def test_one_conversation_that_hangs_is_no_overload(kit):  # noqa: F811
    """What stands behind a message that is tried again later is due, but nobody could say it."""
    kit.say("oi")
    kit.say("menu")
    first = next(row for row in kit.rows(tables.promise) if row.lane == "speak")
    with kit.engine.begin() as db:
        promises.move(db, first.id, kit.clock.now() + timedelta(hours=1))
        promises.add(db, kit.held(ANA).id, [promises.Wanted("speak", "Speak", kit.clock.now())], kit.clock.now())
    kit.clock.move(minutes=10)
    kit.parts.pressure.look()
    assert not kit.parts.pressure.late


def statements(kit, do):  # noqa: F811
    seen = []

    def hear(_db, _cursor, statement, *_):
        seen.append(statement)

    event.listen(kit.engine, "before_cursor_execute", hear)
    do()
    event.remove(kit.engine, "before_cursor_execute", hear)
    return seen


def test_a_turn_under_overload_costs_one_statement_more_however_much_waits(crowd):
    """The webhook answers in time because its work does not grow with the queue."""
    crowd.say("oi")
    said(crowd, ANA)
    crowd.parts.pressure.late = False
    usual = len(statements(crowd, lambda: crowd.say("oi")))
    said(crowd, ANA)
    crowd.parts.pressure.late = True
    late = statements(crowd, lambda: crowd.parts.turns.receive(crowd.inbound("oi"), answers=True))
    assert any(line in MOMENTS for line in crowd.transcript(ANA))
    assert len(late) - usual == 1


def test_a_look_at_the_pressure_reads_a_few_pages_however_much_waits(crowd):
    due_at = tables.promise.c.due_at
    query = select(due_at).where(promises._ready("speak")).order_by(due_at).limit(1).compile(crowd.engine)
    values = {**query.params, "of_lane": "speak", "now": crowd.clock.now()}
    with crowd.engine.begin() as db:
        plan = db.exec_driver_sql(f"explain (analyze, buffers, format json) {query}", values).scalar_one()
    top = plan[0]["Plan"]
    assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] <= 40


def test_a_thread_looks_and_ends_and_a_database_that_is_away_ends_nothing(kit, monkeypatch):  # noqa: F811
    pressure, looks = kit.parts.pressure, []

    def look():
        looks.append(1)
        if len(looks) == 3:
            pressure.stop()
        raise DatabaseDown[0]("away", None, Exception())

    monkeypatch.setattr(pressure, "look", look)
    monkeypatch.setattr("bot.pressure.LOOK", 0.0)
    pressure._run()
    assert len(looks) == 3


def test_the_word_is_there_in_three_languages_and_promises_no_time():
    words = [texts(language)["news.moment"] for language in LANGUAGES]
    assert len(set(words)) == len(LANGUAGES)
    assert not any(sign.isdigit() for sign in "".join(words))


@pytest.mark.parametrize("lane", ["speak", "work", "mail"])
def test_the_age_of_each_lane_s_queue_is_measured(kit, lane):  # noqa: F811
    now = kit.clock.now()
    kit.say("oi")
    kit.work()
    with kit.engine.begin() as db:
        promises.add(db, kit.held(ANA).id, [promises.Wanted(lane, "Test", now)], now)
    kit.clock.move(seconds=90)
    parts = replace(kit.parts, settings=kit.settings.model_copy(update={"metrics_token": "t"}))
    page = create_app(parts).test_client().get("/metrics", headers={"Authorization": "Bearer t"}).text
    assert f'ally_oldest_due_seconds{{lane="{lane}"}} 90.0' in page
    assert f'ally_promises_due{{lane="{lane}",state="todo"}} 1.0' in page
