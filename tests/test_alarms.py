"""Alarms: each tells its sentence once a day, by whatever way works, and the runbook says what to do."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import insert

from bot import alarms
from bot.alarms import ALARMS, ANCHOR, Alarms, MailBell, NobodyError, SlackBell, bells
from bot.app import create_app
from bot.mail.wire.smtp import Network, tls_context
from bot.store import alarms as store
from bot.store import tables
from bot.worker import LIFE
from tests.botkit import Kit, eventually, table_of_providers
from tests.deskkit import DESK, DeskKit

ROOT = Path(__file__).parent.parent
RUNBOOK = (ROOT / "deploy" / "RUNBOOK.md").read_text(encoding="utf-8")


class Ears:
    """Hears what is told; deaf on wish."""

    def __init__(self, *, deaf=False):
        self.heard, self.deaf = [], deaf

    def ring(self, words):
        if self.deaf:
            raise NobodyError("deaf")
        self.heard.append(words)


@pytest.fixture
def ears():
    return Ears()


def promise(kit, *, state="todo", lane="work", outcome="", **ago):
    with kit.engine.begin() as db:
        db.execute(
            insert(tables.promise).values(
                lane=lane, kind=f"trial-{len(kit.rows(tables.promise))}", payload={}, state=state, outcome=outcome,
                due_at=kit.clock.now(), created_at=kit.clock.now(),
            )
        )  # fmt: skip
    kit.clock.move(**ago or {"seconds": 0})


def sign(kit):
    with kit.engine.begin() as db:
        store.alive(db, LIFE, kit.clock.now())


def broken_turn(kit):
    with kit.engine.begin() as db:
        db.execute(insert(tables.dead_letter).values(event={}, error="x", at=kit.clock.now()))


def told(kit, ears):
    return Alarms(kit.parts, [ears]).look()


def test_where_all_is_well_nothing_is_told(kit, ears):
    kit.join()
    sign(kit)
    assert told(kit, ears) == []
    assert ears.heard == []


def test_a_turn_that_raised_is_told_once_a_day_in_words_with_the_place_in_the_runbook(kit, ears):
    broken_turn(kit)
    assert told(kit, ears) == ["dead-letters"]
    (words,) = ears.heard
    assert "1 turns raised" in words
    assert words.endswith("deploy/RUNBOOK.md#alarm-dead-letters")
    assert kit.settings.domain in words
    kit.clock.move(hours=23)
    broken_turn(kit)
    assert told(kit, ears) == []
    kit.clock.move(hours=1)
    assert told(kit, ears) == ["dead-letters"]


def test_of_two_processes_one_tells_it(kit, ears):
    broken_turn(kit)
    assert [told(kit, ears), told(kit, Ears())] == [["dead-letters"], []]


def test_an_alarm_that_reached_nobody_is_tried_again_soon_and_another_way_is_tried_at_once(kit, ears):
    broken_turn(kit)
    deaf = Ears(deaf=True)
    assert told(kit, deaf) == []
    kit.clock.move(minutes=9)
    assert told(kit, ears) == []
    kit.clock.move(minutes=1)
    assert Alarms(kit.parts, [deaf, ears]).look() == ["dead-letters"]
    assert len(ears.heard) == 1


def test_what_failed_for_good_is_told_but_not_a_few_messages(kit, ears):
    for _ in range(10):
        promise(kit, state="failed", lane="speak", outcome="63024: invalid")
    assert told(kit, ears) == []
    promise(kit, state="failed", outcome="x")
    assert told(kit, ears) == ["failed-promises"]
    assert "1 tasks and 10 messages" in ears.heard[0]


def test_a_worker_that_fell_silent_is_told(kit, ears):
    kit.worker._sweep(kit.clock.now())
    kit.clock.move(minutes=5)
    assert told(kit, ears) == []
    kit.clock.move(minutes=1)
    assert told(kit, ears) == ["worker-silent"]


def test_what_waits_too_long_is_told(kit, ears):
    promise(kit, minutes=10)
    assert told(kit, ears) == []
    kit.clock.move(minutes=1)
    assert told(kit, ears) == ["queue-old"]


def test_answers_that_come_late_are_told(kit, ears):
    promise(kit, lane="speak", minutes=1)
    assert told(kit, ears) == []
    kit.clock.move(seconds=1)
    assert told(kit, ears) == ["answers-late"]


def test_what_twilio_refuses_is_told_with_its_code(database_url, tmp_path, ears):
    account = {
        "TWILIO_ACCOUNT_SID": f"AC{'0' * 32}", "TWILIO_AUTH_TOKEN": "x", "TWILIO_WHATSAPP_FROM": "+15550100000",
        "TWILIO_API_URL": "http://127.0.0.1:9", "PUBLIC_URL": "http://127.0.0.1:8000", "SUPPORT_CONTACT": "x",
        "PRIVACY_URL": "https://example.com/privacy", "SECRET_KEYS_FILE": "",
    }  # fmt: skip
    (tmp_path / "key").write_text("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=")
    account["SECRET_KEYS_FILE"] = str(tmp_path / "key")
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path), **account) as kit:
        promise(kit, lane="speak", outcome="63016: too late")
        assert told(kit, ears) == []
        promise(kit, lane="speak", outcome="20003: Authenticate")
        assert told(kit, ears) == ["twilio-refuses"]
        assert "20003" in ears.heard[0]


def test_little_room_is_told(kit, ears, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=1e11, used=9.5e10, free=5e9))
    assert told(kit, ears) == ["disk-full"]
    assert "5.0 GB" in ears.heard[0]


def test_a_database_that_nears_its_limit_is_told(database_url, tmp_path, ears):
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path), DATABASE_LIMIT_GB="0.001") as kit:
        assert told(kit, ears) == ["database-full"]


@pytest.fixture
def desk(database_url, tmp_path):
    with DeskKit(database_url, tmp_path, ALERT_CHANNEL=DESK) as made:
        yield made


def test_a_support_channel_that_strangers_could_read_is_told(desk, ears):
    assert told(desk, ears) == []
    desk.workspace.channels[DESK].private = False
    desk.clock.move(minutes=6)
    assert told(desk, ears) == ["support-channel"]
    assert "public" in ears.heard[0]


def test_a_dead_token_of_slack_is_told(desk, ears):
    promise(desk, state="failed", lane="speak", outcome="invalid_auth: we are not installed")
    assert told(desk, ears) == ["slack-token"]


def test_an_alarm_stands_in_the_channel_in_slack(desk):
    broken_turn(desk)
    (bell,) = bells(desk.parts)
    assert isinstance(bell, SlackBell)
    assert Alarms(desk.parts, [bell]).look() == ["dead-letters"]
    (post,) = [one for one in desk.slack.requests if one.method == "chat.postMessage"]
    assert "#alarm-dead-letters" in str(post)
    desk.slack.fail("chat.postMessage", "server_error", 5)
    with pytest.raises(NobodyError, match="ALERT_CHANNEL"):
        bell.ring("x")


def test_an_alarm_comes_by_mail_through_the_operators_server(kit, tmp_path):
    from bot.mail.wire.guard import Guard
    from bot.playground.mail import Sandbox

    with Sandbox(tmp_path) as sandbox:
        port = sandbox.ports["smtps"]
        trusting = tls_context(str(sandbox.ca_pem))
        network = Network(
            Guard(allow_networks=["127.0.0.0/8", "::1/128"], allow_ports=[port]), trusting, "bot.example.com"
        )
        url = f"smtps://ana%40sandbox.test:{sandbox.passwords['ana@sandbox.test']}@{sandbox.host}:{port}"
        MailBell(url, "ana@sandbox.test", network, kit.clock.now).ring("It is full.")
        assert "It is full." in str(sandbox.mailboxes())
    shut = MailBell(url, "ana@sandbox.test", kit.parts.tools.network, kit.clock.now)
    with pytest.raises(NobodyError, match="ALERT_EMAIL"):
        shut.ring("words")  # the guard lets nobody into our own network unless told so


def test_the_address_of_the_mail_server_is_read_as_it_is_written(kit):
    network = kit.parts.tools.network
    assert isinstance(network, Network)
    bell = MailBell("smtp://it:p%40ss@mail.example.com", "it@example.com", network, kit.clock.now)
    assert (bell._account.address, bell._account.user, bell._secret) == ("it@example.com", "it", "p@ss")
    assert (bell._account.server.port, bell._account.server.security) == (587, "starttls")


def test_without_a_wish_nobody_looks(kit):
    assert bells(kit.parts) == []
    made = Alarms(kit.parts, []).start()
    assert not made._thread.is_alive()


def test_a_look_that_breaks_ends_no_other(kit, ears, monkeypatch):
    def broken(*_):
        raise RuntimeError

    monkeypatch.setattr(alarms, "ALARMS", (alarms.Alarm("broken", broken), *ALARMS))
    broken_turn(kit)
    assert told(kit, ears) == ["dead-letters"]


def test_it_looks_by_itself_until_it_is_stopped(kit, ears, monkeypatch):
    monkeypatch.setattr(alarms, "LOOK", 0.01)
    broken_turn(kit)
    running = Alarms(kit.parts, [ears]).start()
    eventually(lambda: bool(ears.heard), "it is told")
    running.stop()
    running._thread.join(10)
    assert not running._thread.is_alive()


@pytest.mark.parametrize("name", [one.name for one in ALARMS])
def test_the_runbook_says_what_to_do_about_each_alarm(name):
    headings = [re.sub(r"[^a-z0-9 -]", "", line.lstrip("#").strip().lower()).replace(" ", "-")
                for line in RUNBOOK.splitlines() if line.startswith("#")]  # fmt: skip
    assert ANCHOR.format(name).partition("#")[2] in headings


def test_numbers_for_prometheus_tell_of_the_queue_and_the_worker(kit):
    promise(kit, minutes=3)
    sign(kit)
    kit.clock.move(seconds=30)
    with_token = kit.settings.model_copy(update={"metrics_token": "t"})
    page = (
        create_app(replace(kit.parts, settings=with_token))
        .test_client()
        .get("/metrics", headers={"Authorization": "Bearer t"})
    )
    assert 'ally_oldest_due_seconds{lane="work"} 210.0' in page.text
    assert "ally_worker_seconds 30.0" in page.text
