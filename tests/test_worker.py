"""What wakes the hands: lanes, leases, tries, reminders, housekeeping - and an end in bounded time."""

import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
import sqlalchemy.exc

import bot.worker
from bot.channels import Later, Refused
from bot.database import migrated
from bot.erasure import forget
from bot.handiwork import HOLD, Again, Ended, backoff
from bot.safe import WAITING
from bot.store import housekeeping, promises, secrets, tables
from bot.store import people as people_store
from bot.store.embedded import Embedded
from bot.store.promises import NUDGE, Wanted
from bot.store.wake import Ear
from bot.vault import Secret
from bot.worker import GRACE, MAX_TRIES
from flows.mailbox import Collecting, Finding
from flows.speech import texts
from flows.words import MailAccepted
from tests.botkit import ADDRESS, ANA, BIA, MONDAY, PASSWORD, Kit, eventually
from tests.database import fast_place

EN = texts("en")
SPOKEN_BY_HAND = "done by hand"


def talk(kit, who=ANA):
    """A conversation with nothing left to do."""
    kit.say("hi", who)
    kit.work()
    return kit.held(who).id


def promised(kit, conversation, lane="work", kind="Test", count=1, *, wake=True, **payload):
    """New promises; whether anybody is woken is the test's choice."""
    with kit.engine.begin() as db:
        wanted = [Wanted(lane, kind, kit.clock.now(), payload) for _ in range(count)]
        ids = promises.add(db, conversation, wanted, kit.clock.now())
        if wake:
            promises.wake(db)
    return ids


def row(kit, number):
    return next(one for one in kit.rows(tables.promise) if one.id == number)


def states(kit, kind="Test"):
    return [one.state for one in kit.rows(tables.promise) if one.kind == kind]


@contextmanager
def running(kit, **lanes):
    """A worker that runs in a thread of its own; it ends with the test."""
    worker = kit.new_worker(**lanes)
    thread = threading.Thread(target=worker.run, name="the worker")
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        with kit.engine.begin() as db:
            promises.wake(db)  # or it would listen for the rest of its look
        thread.join(30)
        assert not thread.is_alive()


def listens(kit):
    """Whether a worker's ear is connected and waits."""
    ears = "select count(*) from pg_stat_activity where query = 'listen ally_promises' and datname = current_database()"
    with kit.engine.connect() as db:
        return db.exec_driver_sql(ears).scalar_one() > 0


@pytest.fixture
def gate():
    """Hands that wait for this are let go when the test is over, whatever happened."""
    opened = threading.Event()
    yield opened
    opened.set()


def let_go(worker, gate):
    """What hangs in a stopped worker may end, so that it does not outlive its database."""
    gate.set()
    eventually(lambda: worker._free == worker._places)


class Hanging:
    """A hand that waits for the gate."""

    def __init__(self, gate):
        self.gate = gate
        self.busy = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, _tools, _promise):
        with self._lock:
            self.busy += 1
            self.most = max(self.most, self.busy)
        self.gate.wait(60)
        with self._lock:
            self.busy -= 1
        return Ended()


# --- waking up --------------------------------------------------------------------------------------------------------


def test_a_wake_up_starts_the_work_at_once(kit, monkeypatch):
    monkeypatch.setattr(bot.worker, "LOOK", 60.0)
    kit.hands["Test"] = lambda *_: Ended()
    conversation = talk(kit)
    with running(kit):
        eventually(lambda: listens(kit))
        promised(kit, conversation)
        eventually(lambda: states(kit) == ["done"], within=10)
        promised(kit, conversation)
        eventually(lambda: states(kit) == ["done", "done"], within=10)


@pytest.fixture
def before_it_listens(monkeypatch):
    """What is appended here is done when the worker has looked for the first time, and does not listen yet."""
    things, connect = [], Ear._connect

    def late(ear):
        for one in things:
            one()
        return connect(ear)

    monkeypatch.setattr(Ear, "_connect", late)
    monkeypatch.setattr(bot.worker, "LOOK", 60.0)
    return things


def test_what_is_promised_before_a_worker_listens_is_found_at_once(kit, before_it_listens):
    kit.hands["Test"] = lambda *_: Ended()
    conversation = talk(kit)
    before_it_listens.append(lambda: promised(kit, conversation))
    with running(kit):
        eventually(lambda: states(kit) == ["done"], within=10)


def test_a_worker_that_is_told_to_stop_before_it_listens_stops_at_once(kit, before_it_listens):
    worker = kit.new_worker()
    before_it_listens.append(worker.stop)
    thread = threading.Thread(target=worker.run)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def test_a_lost_wake_up_costs_no_more_than_one_look(kit, monkeypatch):
    monkeypatch.setattr(bot.worker, "LOOK", 0.2)
    kit.hands["Test"] = lambda *_: Ended()
    conversation = talk(kit)
    with running(kit):
        promised(kit, conversation, wake=False)
        eventually(lambda: states(kit) == ["done"], within=10)


def test_a_wake_up_for_nothing_does_no_harm(kit):
    with running(kit):
        for _ in range(3):
            with kit.engine.begin() as db:
                promises.wake(db)


def test_what_follows_in_a_lane_is_done_without_another_wake_up(kit, monkeypatch):
    """Forty messages of one conversation, one after the other, in less than one look."""
    monkeypatch.setattr(bot.worker, "LOOK", 60.0)
    for _ in range(40):
        kit.say("hi")
    with running(kit):
        eventually(lambda: len(kit.bodies()) == 40, within=20)
    assert [one.promise_id for one in kit.channel.sent] == sorted(one.promise_id for one in kit.channel.sent)


# --- lanes ------------------------------------------------------------------------------------------------------------


def test_a_lane_has_as_many_places_as_it_was_given(kit, gate):
    kit.hands["Test"] = hanging = Hanging(gate)
    ids = promised(kit, talk(kit), count=9)
    with running(kit, work=3):
        eventually(lambda: hanging.busy == 3)
        eventually(lambda: states(kit).count("doing") == 3)
        gate.set()
        eventually(lambda: states(kit) == ["done"] * len(ids))
    assert hanging.most == 3


def test_mail_servers_that_hang_delay_no_speech(kit, gate):
    kit.hands["Test"] = hanging = Hanging(gate)
    conversation = talk(kit)
    promised(kit, conversation, "work", count=10)
    promised(kit, conversation, "mail", count=10)
    with running(kit, work=2, mail=2):
        eventually(lambda: hanging.busy == 4)
        said = len(kit.bodies())
        kit.say("hi")
        eventually(lambda: len(kit.bodies()) == said + 1)
        gate.set()


def test_a_place_is_free_again_although_its_promise_could_not_be_ended(kit, monkeypatch):
    kit.hands["Test"] = lambda *_: Ended()
    conversation = talk(kit)

    failed = threading.Event()

    def fail(*_):
        failed.set()
        raise RuntimeError("nothing can be written")

    with monkeypatch.context() as patched, running(kit, work=1) as worker:
        patched.setattr(worker, "_finish", fail)
        patched.setattr(threading, "excepthook", lambda _: None)
        promised(kit, conversation)
        eventually(failed.is_set)
        eventually(lambda: worker._free == worker._places)
        patched.undo()
        promised(kit, conversation)
        eventually(lambda: states(kit) == ["doing", "done"])


# --- the end ----------------------------------------------------------------------------------------------------------


def test_stopping_waits_for_what_is_under_way_and_begins_nothing_more(kit, gate):
    kit.hands["Test"] = hanging = Hanging(gate)
    promised(kit, talk(kit), count=2)
    with running(kit, work=1) as worker:
        eventually(lambda: hanging.busy == 1)
        worker.stop()
        gate.set()
    assert states(kit) == ["done", "todo"]


def test_stopping_ends_in_bounded_time_while_a_hand_hangs(kit, gate, monkeypatch):
    monkeypatch.setattr(bot.worker, "STOP_TIME", 0.2)
    kit.hands["Test"] = hanging = Hanging(gate)
    (number,) = promised(kit, talk(kit))
    with running(kit) as worker:
        eventually(lambda: hanging.busy == 1)
    assert not gate.is_set()
    assert row(kit, number).state == "doing"  # whoever works next does it again, when the lease is over
    let_go(worker, gate)


def test_after_the_word_to_stop_nothing_more_is_claimed(kit):
    worker = kit.new_worker()
    worker.stop()
    promised(kit, talk(kit))
    worker.run()
    assert states(kit) == ["todo"]


def test_the_lease_of_a_worker_that_died_runs_out_and_another_does_it_again(kit, gate, monkeypatch):
    monkeypatch.setattr(bot.worker, "STOP_TIME", 0.1)
    monkeypatch.setattr(bot.worker, "LOOK", 0.05)
    kit.hands["Test"] = hanging = Hanging(gate)
    (number,) = promised(kit, talk(kit))
    with running(kit) as dead:
        eventually(lambda: hanging.busy == 1)
    kit.hands["Test"] = lambda *_: Ended(words=SPOKEN_BY_HAND)
    kit.clock.move(minutes=11)
    with running(kit):
        eventually(lambda: row(kit, number).state == "done")
    let_go(dead, gate)
    assert (row(kit, number).attempt, row(kit, number).outcome) == (2, SPOKEN_BY_HAND)


def test_who_lives_keeps_what_takes_long(kit, gate, monkeypatch):
    monkeypatch.setattr(bot.worker, "LOOK", 0.05)
    kit.hands["Test"] = hanging = Hanging(gate)
    (number,) = promised(kit, talk(kit))
    with running(kit):
        eventually(lambda: hanging.busy == 1)
        for _ in range(3):  # longer than a hold, shorter than this lane allows
            before = row(kit, number).leased_until
            kit.clock.time += HOLD - timedelta(seconds=5)
            eventually(lambda before=before: row(kit, number).leased_until > before)
        gate.set()
        eventually(lambda: states(kit) == ["done"])
    assert row(kit, number).attempt == 1


def test_what_ends_soon_is_not_written_once_more(kit, monkeypatch):
    renewed = []
    monkeypatch.setattr(promises, "renew", lambda _db, held: renewed.extend(held))
    promised(kit, talk(kit))
    (mine,) = kit.claim("work")
    with kit.worker._holding(mine):
        kit.worker._renew()
        assert renewed == []
        kit.clock.time += HOLD / 2
        kit.worker._renew()
        assert [(one.id, until) for one, until in renewed] == [(mine.id, kit.clock.now() + HOLD)]
    kit.clock.time += HOLD / 2
    kit.worker._renew()
    assert len(renewed) == 1


def test_what_somebody_else_has_taken_over_is_not_renewed(kit):
    (number,) = promised(kit, talk(kit))
    (former,) = kit.claim("work")
    kit.clock.time += HOLD + timedelta(seconds=1)
    with kit.engine.begin() as db:
        assert promises.take_back(db, kit.clock.now()) == 1
        promises.renew(db, [(former, kit.clock.now() + HOLD)])
    assert (row(kit, number).state, row(kit, number).leased_until) == ("todo", None)


def test_after_postgresql_was_away_those_who_live_say_so_before_anybody_is_taken_for_dead(kit):
    kit.hands["Test"] = lambda *_: Ended()
    promised(kit, talk(kit))
    kit.claim("work")
    kit.clock.time += HOLD + timedelta(seconds=1)
    worker = kit.new_worker()
    worker._down = time.monotonic()
    worker._look(())
    assert states(kit) == ["doing"]
    worker._down, worker._looked = time.monotonic() - GRACE, float("-inf")
    worker._look(())
    eventually(lambda: states(kit) == ["done"])


def test_a_worker_notes_that_postgresql_was_away(kit, monkeypatch):
    worker = kit.new_worker()
    ear = SimpleNamespace(wait=lambda _seconds: worker.stop() or frozenset(), close=lambda: None)
    monkeypatch.setattr(worker, "_ear", lambda: ear)
    monkeypatch.setattr(worker, "_start", raising(sqlalchemy.exc.OperationalError("select", {}, Exception("away"))))
    worker.run()
    assert time.monotonic() - worker._down < GRACE


def raising(error):
    def raises(*_):
        raise error

    return raises


def test_a_frozen_worker_that_comes_back_changes_nothing_and_tells_nobody_twice(kit, gate):
    accepted = Ended(event=MailAccepted("m", "bia@client.test"))
    kit.hands["Test"] = lambda *_: accepted
    (number,) = promised(kit, talk(kit))
    (frozen,) = kit.claim("work")
    kit.clock.move(minutes=11)
    kit.worker._sweep(kit.clock.now())
    kit.work()
    before = row(kit, number)
    said = len(kit.bodies())
    kit.worker._keep(frozen)
    kit.work()
    assert row(kit, number) == before
    assert len(kit.bodies()) == said


# --- hands that fail --------------------------------------------------------------------------------------------------


def tried(kit, times):
    """Let the worker try so often, with the back-off passing in between."""
    for _ in range(times):
        kit.work()
        kit.clock.move(hours=1, minutes=16)


def test_a_hand_that_raises_is_tried_again_a_few_times_then_the_person_is_told(kit):
    calls = []

    def fail(_tools, promise):
        calls.append(promise.attempt)
        raise OSError(f"no power for {ADDRESS}")

    kit.hands["Test"] = fail
    (number,) = promised(kit, talk(kit))
    said = len(kit.bodies())
    tried(kit, MAX_TRIES + 2)
    assert calls == list(range(1, MAX_TRIES + 1))
    assert row(kit, number).state == "failed"
    assert kit.bodies()[said:] == [texts("pt")["news.turn_failed"]]
    (letter,) = kit.rows(tables.dead_letter)
    assert letter.event == {"promise": number}
    assert letter.error.startswith("OSError at ")
    assert ADDRESS not in letter.error
    assert ADDRESS not in row(kit, number).outcome


def test_a_hand_that_raises_once_does_its_work_the_second_time(kit):
    def fail_once(_tools, promise):
        if promise.attempt == 1:
            raise OSError("no power")
        return Ended(words=SPOKEN_BY_HAND)

    kit.hands["Test"] = fail_once
    (number,) = promised(kit, talk(kit))
    kit.work()
    assert row(kit, number).state == "todo"
    assert row(kit, number).due_at > kit.clock.now()
    tried(kit, 2)
    assert (row(kit, number).state, row(kit, number).outcome) == ("done", SPOKEN_BY_HAND)
    assert kit.rows(tables.dead_letter) == []


def test_a_database_that_is_away_is_waited_for_however_long(kit):
    def away(*_):
        raise sqlalchemy.exc.OperationalError("select 1", {}, Exception("gone"))

    kit.hands["Test"] = away
    (number,) = promised(kit, talk(kit))
    tried(kit, MAX_TRIES + 3)
    assert row(kit, number).state == "todo"
    assert kit.rows(tables.dead_letter) == []


@pytest.mark.parametrize("kind", ["EraseAtProvider", NUDGE])
def test_what_nobody_waits_for_fails_without_a_word_to_the_person(kit, kind):
    def fail(*_):
        raise OSError("no power")

    kit.hands[kind] = fail
    promised(kit, talk(kit), kind=kind)
    said = len(kit.bodies())
    tried(kit, MAX_TRIES)
    assert len(kit.bodies()) == said
    assert len(kit.rows(tables.dead_letter)) == 1


def test_an_unknown_kind_of_promise_is_a_dead_letter_not_the_end_of_the_worker(kit):
    (number,) = promised(kit, talk(kit), kind="Juggle")
    tried(kit, MAX_TRIES)
    assert row(kit, number).state == "failed"


def test_the_end_of_a_promise_is_written_as_soon_as_the_database_answers_again(kit, monkeypatch):
    monkeypatch.setattr(bot.worker, "LOOK", 0.01)
    kit.hands["Test"] = lambda *_: Ended()
    (number,) = promised(kit, talk(kit))
    finish, failures = promises.finish, [1, 2, 3]

    def fail(*arguments):
        if failures:
            failures.pop()
            raise sqlalchemy.exc.OperationalError("update", {}, Exception("gone"))
        return finish(*arguments)

    monkeypatch.setattr(bot.worker.promises, "finish", fail)
    kit.work()
    assert failures == []
    assert row(kit, number).state == "done"


def test_a_worker_survives_a_restart_of_postgresql(tmp_path):
    home = fast_place() / f"ally-restart-{tmp_path.name}-{uuid4().hex[:8]}"
    with Embedded(home, durable=False) as own:
        migrated(own.url)
        with Kit(own.url, tmp_path) as kit:
            kit.hands["Test"] = lambda *_: Ended()
            conversation = talk(kit)
            with running(kit):
                promised(kit, conversation)
                eventually(lambda: states(kit) == ["done"])
                own.restart()
                kit.engine.dispose()  # the test's own way; the worker finds out by itself
                promised(kit, conversation)
                eventually(lambda: states(kit) == ["done", "done"], within=10)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 2), (2, 4), (5, 32), (11, 2048), (12, 3600), (40, 3600)])
def test_the_back_off_doubles_up_to_an_hour_with_a_little_chance(attempt, seconds):
    drawn = [backoff(attempt) for _ in range(200)]
    assert seconds <= min(drawn) < max(drawn) <= seconds * 1.25


def test_the_wish_of_the_provider_is_kept_but_not_for_ever():
    assert 7 <= backoff(5, 7.0) <= 7 * 1.25
    assert 3600 <= backoff(1, 86_400.0) <= 3600 * 1.25


def test_what_a_hand_puts_off_is_done_when_its_time_has_come(kit):
    kit.hands["Test"] = lambda _tools, promise: Again(90, "busy") if promise.attempt == 1 else Ended()
    (number,) = promised(kit, talk(kit))
    kit.work()
    kit.clock.move(seconds=89)
    assert kit.work() == 0
    kit.clock.move(seconds=1)
    kit.work()
    assert row(kit, number).state == "done"


@pytest.mark.parametrize("told", [True, False], ids=["still true", "not true any more"])
def test_an_event_is_told_only_where_what_is_written_with_it_found_its_place(kit, told):
    """The promise ends either way: nobody does it again."""
    conversation = talk(kit)
    (number,) = promised(kit, conversation, kind="Test")
    written = []

    def along(_db):
        written.append(1)
        return told

    kit.hands["Test"] = lambda *_: Ended(event=MailAccepted("m", "carla@client.test"), along=along)
    said = len(kit.bodies())
    kit.work()
    assert (row(kit, number).state, written) == ("done", [1])
    assert len(kit.bodies()) - said == told


def test_a_promise_that_fails_with_nothing_to_be_told_leaves_no_dead_letter(kit):
    promised(kit, talk(kit), kind="Test")
    kit.hands["Test"] = lambda *_: Ended("failed", along=lambda _db: False)
    kit.work()
    assert states(kit) == ["failed"]
    assert kit.rows(tables.dead_letter) == []


# --- the reminder -----------------------------------------------------------------------------------------------------


def reminders(kit, who=ANA):
    return sum(EN["news.left_lying"] in body for body in kit.bodies(who))


def left_lying(kit, at):
    """A member who began the set-up at this moment and went away."""
    kit.clock.time = at
    kit.join()
    assert isinstance(kit.envelope().state, Collecting)


@pytest.mark.parametrize(
    ("begun", "due"),
    [
        (MONDAY.replace(hour=18), timedelta(hours=20)),  # 15 h there: 11 h of the next day
        (MONDAY.replace(hour=15), timedelta(hours=6, minutes=45)),  # noon: 8 h would be too early, so that evening
    ],
)
def test_who_left_a_set_up_lying_is_reminded_once_by_day_inside_the_window(kit, begun, due):
    left_lying(kit, begun)
    kit.clock.time = begun + due - timedelta(seconds=1)
    kit.work()
    assert reminders(kit) == 0
    kit.clock.move(seconds=1)
    kit.work()
    assert reminders(kit) == 1
    assert EN["mailbox.address"] in kit.bodies()[-1]
    kit.clock.move(days=3)
    kit.work()
    assert reminders(kit) == 1


def test_nobody_is_reminded_at_the_weekend(kit):
    left_lying(kit, MONDAY.replace(hour=18) + timedelta(days=4))  # Friday afternoon
    assert [one for one in kit.rows(tables.promise) if one.kind == NUDGE] == []


def test_nobody_is_reminded_of_what_they_finished_or_left(kit):
    left_lying(kit, MONDAY.replace(hour=18))
    kit.say("cancel")
    kit.clock.move(hours=21)
    kit.work()
    assert reminders(kit) == 0
    assert [one for one in kit.rows(tables.promise) if one.kind == NUDGE] == []


def test_each_message_moves_the_reminder(kit):
    left_lying(kit, MONDAY.replace(hour=18))
    kit.clock.move(hours=2)
    kit.say("what?")
    kit.work()
    kit.clock.move(hours=18, minutes=30)
    kit.work()
    assert reminders(kit) == 0


def test_a_worker_that_comes_too_late_reminds_nobody_at_night(kit):
    left_lying(kit, MONDAY)
    kit.clock.time = MONDAY.replace(hour=23, minute=30)  # half past eight in the evening there
    kit.work()
    assert reminders(kit) == 0
    assert states(kit, NUDGE) == ["dropped"]


def test_nobody_is_reminded_after_the_window_has_closed(kit):
    left_lying(kit, MONDAY)
    kit.clock.move(days=1, hours=1)
    kit.work()
    assert reminders(kit) == 0


def test_who_wants_no_messages_is_not_reminded(kit):
    left_lying(kit, MONDAY)
    kit.say("stop")
    kit.work()
    kit.clock.move(hours=6, minutes=50)
    kit.work()
    assert reminders(kit) == 0


def test_somebody_without_an_agency_is_not_reminded_of_anything(kit):
    kit.say("hi")
    kit.work()
    assert [one for one in kit.rows(tables.promise) if one.kind == NUDGE] == []


# --- housekeeping -----------------------------------------------------------------------------------------------------


def kept_promises(kit):
    return [one for one in kit.rows(tables.promise) if one.conversation_id is not None]


def swept(kit, **later):
    kit.clock.move(**later)
    kit.worker._swept = None
    kit.worker._sweep(kit.clock.now())


def kinds(kit):
    return sorted(one.kind for one in kit.rows(tables.secret))


def test_a_secret_that_nobody_claimed_is_erased(kit):
    kit.awaiting()
    kit.say(PASSWORD)  # suspected: five minutes
    swept(kit, minutes=5)
    assert kinds(kit) == ["mailbox.password"]
    swept(kit, seconds=1)
    assert kinds(kit) == []


def test_the_secret_of_a_mailbox_that_works_is_never_erased_by_itself(kit):
    kit.mailbox()
    with kit.engine.begin() as db:
        secrets.keep_until(db, kit.rows(tables.mailbox)[0].secret_id, kit.clock.now())
    swept(kit, days=400)
    assert kinds(kit) == ["mailbox.password"]


def test_the_secret_of_a_mailbox_that_waits_is_erased_after_three_days(kit):
    secret_id = kit.mailbox(state="waiting")
    with kit.engine.begin() as db:
        secrets.keep_until(db, secret_id, kit.clock.now() + WAITING)
    swept(kit, hours=72)
    assert kinds(kit) == ["mailbox.password"]
    swept(kit, seconds=1)
    assert kinds(kit) == []
    (mailbox,) = kit.rows(tables.mailbox)
    assert (mailbox.state, mailbox.secret_id) == ("waiting", None)


def test_the_words_of_a_mail_under_way_are_kept_and_go_with_the_mail(kit):
    kit.mailbox()
    kit.write_mail()
    swept(kit, days=4)
    assert kinds(kit) == ["mail.body", "mailbox.password"]
    swept(kit, days=90)
    swept(kit, minutes=1)
    assert kinds(kit) == ["mailbox.password"]
    assert kit.rows(tables.outgoing_mail) == []


def test_transcripts_are_kept_for_as_long_as_the_operator_said(kit):
    kit.join()
    kit.say("menu")
    kit.work()
    swept(kit, days=90)
    assert kit.transcript()
    swept(kit, seconds=1)
    assert kit.transcript() == []
    assert kit.rows(tables.inbound) == []
    assert kit.rows(tables.conversation)


def test_dead_letters_invitations_and_links_go_in_time(kit):
    kit.awaiting()
    kit.invite(name="Bia")
    with kit.engine.begin() as db:
        db.execute(tables.dead_letter.insert().values(event={}, error="x", at=kit.clock.now()))
    swept(kit, days=1, seconds=1)
    assert kit.rows(tables.link) == kit.rows(tables.link_token) == []
    assert len(kit.rows(tables.invitation)) == 2
    swept(kit, days=97)
    assert kit.rows(tables.invitation) == []
    assert kit.rows(tables.dead_letter) == []


def test_promises_that_ended_are_kept_for_a_week(kit):
    talk(kit)
    swept(kit, days=7)
    assert len(kept_promises(kit)) == 1
    swept(kit, seconds=1)
    assert kept_promises(kit) == []


def test_counts_of_limits_go_when_they_count_no_more(kit):
    kit.join()
    assert kit.rows(tables.metadata.tables["limit_hit"])
    swept(kit, days=2)
    assert kit.rows(tables.metadata.tables["limit_hit"]) == []


def test_the_house_is_swept_once_a_minute_and_not_at_every_look(kit, monkeypatch):
    times = []
    monkeypatch.setattr(housekeeping, "sweep", lambda *_: times.append(kit.clock.now()))
    for _ in range(5):
        kit.worker._sweep(kit.clock.now())
        kit.clock.move(seconds=30)
    assert len(times) == 3


# --- erasing a person -------------------------------------------------------------------------------------------------


def everything(kit):
    """One person with all that can be stored about them, who asks for its erasure."""
    kit.mailbox()
    kit.write_mail(to="carla@client.test")
    for words in ("person", "Some words that only I would write", "menu"):
        kit.say(words)
        kit.work()
    for choice in ("mailbox", "password"):
        kit.tap(choice)
        kit.work()
    kit.say("what?")
    with kit.engine.begin() as db:
        db.execute(
            tables.dead_letter.insert().values(
                conversation_id=kit.held().id, event={"text": "mine"}, error="x", at=kit.clock.now()
            )
        )
    kit.work()


def test_who_wants_everything_erased_hears_a_good_bye_and_then_no_row_is_left(kit):
    kit.mailbox(BIA)
    others = kit.dump().count("+34600000002")
    everything(kit)
    held, (member,) = kit.held(), [one for one in kit.rows(tables.member) if one.id == kit.held().member_id]
    mine = [str(held.id), str(held.contact_id), str(member.id), ANA, "carla@client.test", "only I would write"]
    secret_ids = [one.id for one in kit.rows(tables.secret) if one.owner_id == held.contact_id]
    assert secret_ids
    before = kit.dump()
    assert all(one in before for one in mine)
    kit.say("erase")
    kit.work()
    kit.tap("erase")
    kit.work()
    assert kit.bodies()[-1] == EN["privacy.erased"]
    after = kit.dump()
    noted = "\n".join(str(row) for row in kit.rows(tables.audit))  # ids that say nothing any more stay there
    for row in noted.splitlines():
        after = after.replace(row, "")
    assert [one for one in mine if one in after] == []
    assert [one for one in (ANA, "carla@client.test", "only I would write") if one in noted] == []
    assert [one.id for one in kit.rows(tables.secret) if one.id in secret_ids] == []
    assert after.count("+34600000002") == others
    assert len(kit.rows(tables.mailbox)) == len(kit.rows(tables.member)) == len(kit.rows(tables.contact)) == 1


def test_nothing_is_erased_before_the_good_bye_has_left(kit):
    kit.join()
    kit.channel.failures.append(Later("20429", "busy", 60))
    kit.say("erase")
    kit.work()
    kit.clock.move(minutes=2)
    kit.work()
    kit.channel.failures.append(Later("20429", "busy", 60))
    kit.tap("erase")
    kit.work()
    assert kit.rows(tables.contact)
    kit.clock.move(minutes=2)
    kit.work()
    assert kit.bodies()[-1] == EN["privacy.erased"]
    assert kit.rows(tables.contact) == []


def test_a_good_bye_that_cannot_be_said_erases_all_the_same(kit):
    kit.join()
    kit.say("erase")
    kit.work()
    kit.channel.failures.append(Refused("63024", "nobody there"))
    kit.tap("erase")
    kit.work()
    assert kit.rows(tables.contact) == []


def test_a_result_that_comes_after_the_erasure_makes_nobody_anew(kit):
    kit.join()
    kit.say(ADDRESS)
    assert isinstance(kit.envelope().state, Finding)
    (discovery,) = kit.claim("work")
    with kit.engine.begin() as db:
        people_store.erase(db, kit.held().contact_id)
    kit.worker._keep(discovery)
    assert kit.rows(tables.contact) == kit.rows(tables.promise) == kit.rows(tables.message) == []


def test_who_writes_again_after_the_erasure_is_a_stranger(kit):
    kit.join()
    with kit.engine.begin() as db:
        people_store.erase(db, kit.held().contact_id)
    kit.say("hi")
    kit.work()
    assert texts("pt")["welcome.door"] in kit.last().body


def test_a_member_whom_two_people_act_for_stays_with_the_other_one(kit):
    kit.join(ANA)
    kit.say("hi", BIA)
    with kit.engine.begin() as db:
        shared = kit.held(ANA).member_id
        db.execute(tables.membership.insert().values(contact_id=kit.held(BIA).contact_id, member_id=shared))
        people_store.erase(db, kit.held(ANA).contact_id)
    assert [one.id for one in kit.rows(tables.member)] == [shared]


def test_secrets_that_were_put_by_for_somebody_go_with_them(kit):
    kit.join()
    owner = kit.held().contact_id
    with kit.engine.begin() as db:
        for kind in ("mail.body", "mailbox.password"):
            kit.parts.safe.put(db, Secret("x"), kind=kind, owner=owner, use={"a": 1}, now=kit.clock.now())
    with kit.engine.begin() as db:
        forget(db, owner, by="operator", now=kit.clock.now())
    assert kit.rows(tables.secret) == []
