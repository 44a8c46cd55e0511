"""Wake-ups through RabbitMQ: the same as PostgreSQL's, and who loses the broker loses a second, never a message."""

import importlib
import socket
import threading
from contextlib import closing

import pytest
from pika.exceptions import AMQPError

from bot import app as composition
from bot import broker, doctor, doctor_broker
from bot.broker import Ear, Herald
from bot.handiwork import Ended
from bot.settings import SettingsError, load
from bot.store import promises, tables
from bot.store.wake import tell_by
from tests.botkit import ANA, Kit, eventually
from tests.test_worker import promised, running, states, talk

ALL = {"speak", "work", "mail"}


# --- what needs no broker ---------------------------------------------------------------------------------------------


@pytest.fixture
def told(kit):
    """What is told instead of PostgreSQL's notification, in order."""
    kit.engine.dispose()  # connections from before know nothing of it
    heard = []
    tell_by(kit.engine, lambda lanes: heard.append({*lanes}))
    return heard


def test_a_wake_up_is_told_when_its_transaction_has_ended_and_not_before(kit, told):
    with kit.engine.begin() as db:
        promises.wake(db, {"speak"})
        assert told == []
    assert told == [{"speak"}]


def test_wake_ups_of_one_transaction_are_one(kit, told):
    with kit.engine.begin() as db:
        promises.wake(db, {"speak"})
        promises.wake(db, {"mail"})
    assert told == [{"speak", "mail"}]


def test_a_wake_up_that_names_no_lane_is_for_all(kit, told):
    with kit.engine.begin() as db:
        promises.wake(db)
    assert told == [ALL]


def test_a_transaction_that_promises_nothing_tells_nothing_even_on_the_same_connection(kit, told):
    for lanes in ({"work"}, None):
        with kit.engine.begin() as db:
            if lanes:
                promises.wake(db, lanes)
    assert told == [{"work"}]


def test_a_turn_tells_the_lane_in_which_it_promised(kit, told):
    kit.say("oi")
    assert told == [{"speak"}]


def test_nothing_is_notified_where_something_else_tells(kit, told):
    """NOTIFY is what makes commits wait for one another: none may be left."""
    with kit.engine.begin() as listener:
        listener.exec_driver_sql(f"listen {promises.WAKE}")
        kit.say("oi")
        listener.commit()
        driver = listener.connection.driver_connection
        assert list(driver.notifies(timeout=0)) == []


@pytest.mark.parametrize("url", ["rabbit", "http://h", "amqp://", "amqps:///"])
def test_an_address_that_is_none_stops_the_start_and_is_not_repeated(url):
    with pytest.raises(SettingsError, match="BROKER_URL: it must be an address such as") as wrong:
        load({"BROKER_URL": url})
    assert url not in str(wrong.value).partition("such as")[0]


def test_a_password_in_the_address_stands_in_no_words_about_the_settings():
    assert "geheim" not in repr(load({"BROKER_URL": "amqp://ally:geheim@h/"}))


def test_without_its_library_the_start_says_what_to_install(monkeypatch, database_url, tmp_path):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(composition.importlib, "import_module", missing)
    with pytest.raises(SettingsError, match=r"BROKER_URL: .*requirements-broker\.lock"):
        Kit(database_url, tmp_path, BROKER_URL="amqp://localhost/")
    assert importlib.import_module is missing


@pytest.fixture
def nobody():
    """An address at which nobody listens: it is ours, and closed."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield f"amqp://127.0.0.1:{held.getsockname()[1]}/"


def test_a_turn_does_not_wait_for_a_broker_that_is_away(nobody, database_url, tmp_path):
    with Kit(database_url, tmp_path, BROKER_URL=nobody) as kit:
        assert kit.say("oi")
        assert [row.state for row in kit.rows(tables.promise)] == ["todo"]


def test_without_the_broker_everything_is_done_all_the_same(nobody, database_url, tmp_path):
    with Kit(database_url, tmp_path, BROKER_URL=nobody) as kit, running(kit):
        kit.say("oi")
        eventually(lambda: kit.bodies(ANA))


def test_a_broker_that_is_away_is_tried_again_every_few_seconds_only(nobody, monkeypatch):
    tries = []

    def away(_address):
        tries.append(1)
        raise AMQPError

    monkeypatch.setattr(broker.pika, "BlockingConnection", away)
    monkeypatch.setattr(broker.time, "sleep", lambda _seconds: None)
    moments = iter([0.0, 0.0, broker.RECONNECT - 0.1, broker.RECONNECT, broker.RECONNECT])
    monkeypatch.setattr(broker.time, "monotonic", lambda: next(moments))
    ear = Ear(nobody)
    assert [ear.wait(1.0) for _ in range(3)] == [frozenset()] * 3
    assert len(tries) == 2


# --- with a real one --------------------------------------------------------------------------------------------------


@pytest.fixture
def ear(rabbit):
    """A worker's ear that listens already."""
    made = Ear(rabbit.url)
    made.wait(0)
    yield made
    made.close()


@pytest.fixture
def herald(rabbit):
    made = Herald(rabbit.url)
    yield made
    made.close()


def hears(ear, wanted):
    """Whether an ear hears these lanes, in however many words."""
    found = set()

    def heard():
        found.update(ear.wait(0.2))
        return found >= wanted

    eventually(heard)
    return found == wanted


@pytest.mark.world
def test_what_is_told_is_heard_by_each_worker(rabbit, ear, herald):
    other = Ear(rabbit.url)
    other.wait(0)
    herald.tell({"speak", "mail"})
    assert hears(ear, {"speak", "mail"})
    assert hears(other, {"speak", "mail"})
    other.close()


@pytest.mark.world
def test_what_was_told_before_somebody_listened_is_not_kept_for_them(rabbit, ear, herald):
    herald.tell({"mail"})
    assert hears(ear, {"mail"})
    late = Ear(rabbit.url)
    late.wait(0)
    herald.tell({"speak"})
    assert hears(late, {"speak"})
    late.close()


@pytest.mark.world
def test_many_words_of_many_threads_are_all_heard(ear, herald):
    threads = [threading.Thread(target=herald.tell, args=({lane},)) for lane in sorted(ALL) * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hears(ear, ALL)


@pytest.mark.world
def test_the_last_word_of_a_process_that_ends_still_leaves(rabbit, ear):
    short = Herald(rabbit.url)
    short.tell({"work"})
    short.close()
    assert hears(ear, {"work"})


@pytest.mark.world
def test_a_worker_is_woken_through_the_broker(rabbit, database_url, tmp_path, monkeypatch):
    """It looks by itself once in ten minutes here, so it is the wake-up that brings the answer."""
    monkeypatch.setattr("bot.worker.LOOK", 600.0)
    done = threading.Event()
    with Kit(database_url, tmp_path, BROKER_URL=rabbit.url) as kit:
        conversation = talk(kit)
        kit.hands["Test"] = lambda *_: done.set() or Ended()
        listens = threading.Event()
        make = kit.parts.ear

        def ear():
            made = make()
            made.wait(0)
            listens.set()
            return made

        worker = kit.new_worker()
        worker._ear = ear
        thread = threading.Thread(target=worker.run)
        thread.start()
        assert listens.wait(20)
        eventually(lambda: worker._looked > 0)
        promised(kit, conversation)
        assert done.wait(20)
        worker.stop()
        with kit.engine.begin() as db:
            promises.wake(db)
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.world
def test_a_broker_that_dies_and_comes_back_costs_no_promise(rabbit, database_url, tmp_path, monkeypatch):
    monkeypatch.setattr(broker, "RECONNECT", 0.1)
    with Kit(database_url, tmp_path, BROKER_URL=rabbit.url) as kit, running(kit):
        kit.say("oi")
        eventually(lambda: kit.bodies(ANA))
        rabbit.kill()
        kit.say("menu")
        eventually(lambda: states(kit, "Speak") == ["done", "done"])
        rabbit.start()
        kit.say("menu")
        eventually(lambda: states(kit, "Speak") == ["done"] * 3)


# --- what the doctor says of it ---------------------------------------------------------------------------------------


@pytest.mark.world
def test_the_doctor_hears_at_the_broker_what_it_tells_there(rabbit):
    found = doctor_broker.broker(load({"BROKER_URL": rabbit.url}))
    assert (found.state, found.words) == ("ok", "What is told there is heard.")


@pytest.mark.world
def test_the_doctors_word_makes_no_worker_look_anywhere(rabbit, ear):
    assert broker.hears_itself(rabbit.url)
    assert not ALL & ear.wait(5)


@pytest.mark.world
def test_the_doctor_warns_of_a_broker_that_does_not_know_us_without_repeating_the_password(rabbit):
    found = doctor_broker.broker(load({"BROKER_URL": rabbit.url.replace("guest:guest", "guest:geheim")}))
    assert (found.state, "BROKER_URL" in found.todo, "geheim" in str(found)) == ("warning", True, False)


def test_the_doctor_warns_of_a_broker_that_is_away(nobody):
    assert doctor_broker.broker(load({"BROKER_URL": nobody})).state == "warning"


def test_the_doctor_warns_of_a_broker_at_which_nothing_is_heard(monkeypatch):
    monkeypatch.setattr(broker, "hears_itself", lambda _url: False)
    found = doctor_broker.broker(load({"BROKER_URL": "amqp://h/"}))
    assert (found.state, found.words) == ("warning", "What is told there is not heard.")


def test_the_doctor_names_what_the_broker_needs_and_is_missing(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(doctor_broker.importlib, "import_module", missing)
    found = doctor_broker.broker(load({"BROKER_URL": "amqp://h/"}))
    assert (found.state, "requirements-broker.lock" in found.todo) == ("failed", True)


def test_without_a_broker_the_doctor_has_nothing_to_look_at():
    assert doctor_broker.broker(load({})) is None
    assert doctor_broker.broker in doctor.OF_SETTINGS
