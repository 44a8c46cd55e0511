"""The doctor: a healthy installation passes, and each thing that is broken is told by its own line."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from bot import doctor
from bot.doctor import Finding
from bot.doctor_wires import wires
from bot.mail.wire.egress import Egress
from bot.settings import load
from bot.store.tables import SCHEMA
from bot.vault import new_key
from tests.botkit import run_sql
from tests.dns_server import SERVFAIL
from tests.doctorkit import DESK, Installation
from tests.test_commands import cli  # noqa: F401 - a fixture
from tests.test_serve import free_port


class Usage(NamedTuple):
    total: float
    used: float
    free: float


@pytest.fixture
def house(database_url, tmp_path, monkeypatch):
    monkeypatch.setattr(Egress, "blocked", lambda *_: False)
    with Installation(database_url, tmp_path) as made:
        yield made


def states(found):
    return {name: one.state for name, one in found.items() if one.state != "ok"}


def test_a_healthy_installation_passes_every_check(house):
    found = house.look()
    assert states(found) == {}
    assert set(found) == {
        "settings", "alerts", "data dir", "key place", "disk", "reachable", "webhook", "wires", "database", "schema",
        "keys", "clock", "twilio account", "twilio sender", "slack app", "support channel", "mail ports",
    }  # fmt: skip


def test_looking_does_nothing_to_people(house, database_url):
    house.look()
    from bot.store import tables
    from tests.test_backup import count

    assert count(database_url, tables.contact) == count(database_url, tables.promise) == 0
    assert [one for one in house.twilio.requests if one.method != "GET"] == []


def test_wrong_settings_are_the_only_finding(house):
    (found,) = house.look(RETENTION_DAYS="0").values()
    assert (found.name, found.state) == ("settings", "failed")
    assert found.words.startswith("RETENTION_DAYS")


@pytest.mark.parametrize(
    ("changed", "name", "words"),
    [
        ({"SECRET_KEYS": new_key()}, "keys", "not the keys"),
        ({"DATABASE_URL": "postgresql://127.0.0.1:9/ally"}, "database", "does not answer"),
        ({"TWILIO_WHATSAPP_FROM": "+15550109999"}, "twilio sender", "+15550109999"),
        ({"SLACK_BOT_TOKEN": "xoxb-nonsense"}, "slack app", "does not take the token"),
        ({"SUPPORT_CHANNEL": "G0NOWHERE"}, "support channel", "channel_not_found"),
        ({"TEMPLATES": "on"}, "twilio templates", "not submitted"),
    ],
)
def test_a_wrong_setting_is_found_by_the_check_that_needs_it(house, changed, name, words):
    found = house.look(**changed)
    assert found[name].state == "failed"
    assert words in found[name].words
    assert found[name].todo


def test_without_a_database_the_rest_is_said_not_to_be_looked_at(house):
    found = house.look(DATABASE_URL="postgresql://127.0.0.1:9/ally")
    assert found["the rest"].state == "warning"
    assert "twilio account" in found["the rest"].words
    assert found["webhook"].state == "ok"


def test_an_older_schema_is_a_finding(house, database_url):
    run_sql(database_url, f"update compatible set schema = {SCHEMA - 1}")
    assert "python -m bot migrate" in house.look()["schema"].words


def test_a_token_that_twilio_refuses_is_found_at_twilio_and_at_our_own_door(house):
    found = house.look(TWILIO_AUTH_TOKEN="another")
    assert states(found) == {"webhook": "failed", "twilio account": "failed", "twilio sender": "failed"}
    assert "403" in found["webhook"].words


def test_a_closed_account_is_found(house):
    house.twilio.setup.status = "suspended"
    assert "suspended" in house.look()["twilio account"].words


def test_a_sender_that_calls_elsewhere_or_sleeps_is_found(house):
    house.twilio.setup.sender["status"] = "OFFLINE"
    assert "OFFLINE" in house.look()["twilio sender"].words
    house.twilio.setup.sender["status"] = "ONLINE:UPDATING"
    assert house.look()["twilio sender"].state == "ok"
    house.twilio.setup.sender["webhook"]["callback_url"] = "https://elsewhere.example.com/"
    assert "setup-twilio" in house.look()["twilio sender"].todo
    assert house.look(TWILIO_WHATSAPP_FROM="+14155238886")["twilio sender"].state == "warning"


def test_nobody_answering_at_public_url_is_found(house):
    found = house.look(PUBLIC_URL=f"http://127.0.0.1:{free_port()}")
    assert (found["reachable"].state, found["webhook"].state) == ("failed", "failed")
    assert "does not answer" in found["reachable"].words


def test_somebody_else_answering_at_public_url_is_found(house):
    found = house.look(PUBLIC_URL=house.twilio.url)
    assert "not by us" in found["reachable"].words
    assert found["webhook"].state == "failed"


def test_a_door_that_takes_what_nobody_signed_is_found(house, monkeypatch):
    answers = iter([200, 200])
    monkeypatch.setattr(doctor.requests, "post", lambda *_, **__: SimpleNamespace(status_code=next(answers)))
    assert "not refused" in house.look()["webhook"].words


def test_templates_are_told_as_whatsapp_sees_them(house, cli, monkeypatch):  # noqa: F811
    on = {"TEMPLATES": "on"}
    assert cli("setup-twilio", **house.environment).status == 0
    assert house.look(**on)["twilio templates"].state == "warning"
    house.twilio.review("approved")
    assert house.look(**on)["twilio templates"].state == "ok"
    house.twilio.review("rejected", reason="no")
    assert house.look(**on)["twilio templates"].state == "failed"


def test_a_scope_that_is_missing_is_named(house):
    house.workspace.scopes = frozenset(house.workspace.scopes - {"groups:history"})
    assert "groups:history" in house.look()["slack app"].words


def test_a_desk_that_strangers_could_read_is_found(house):
    channel = house.workspace.channels[DESK]
    channel.private = False
    assert "public" in house.look()["support channel"].words


def test_many_workspaces_without_any_are_well(house):
    many = {"SLACK_BOT_TOKEN": "", "SLACK_CLIENT_ID": "1.2", "SLACK_CLIENT_SECRET": "x", "SUPPORT_CHANNEL": "",
            "ALERT_CHANNEL": "",
            "SUPPORT_TEAM": "", "SUPPORT_CONTACT": "x"}  # fmt: skip
    found = house.look(**many)
    assert "No workspace" in found["slack app"].words
    assert "support channel" not in found


def test_a_clock_that_goes_wrong_is_found(house, monkeypatch):
    for minutes, state in ((1, "warning"), (60, "failed")):
        theirs = datetime.now(UTC) + timedelta(minutes=minutes)
        monkeypatch.setattr(doctor, "_other_clock", lambda _, at=theirs: (at, "Twilio's"))
        assert house.look()["clock"].state == state


def test_without_twilio_the_clock_of_the_database_is_asked(house):
    unset = dict.fromkeys([name for name in house.environment if name.startswith("TWILIO")], "")
    found = house.look(**unset)
    assert "the database's" in found["clock"].words
    assert not {"webhook", "twilio account", "twilio sender"} & set(found)


@pytest.mark.parametrize(("free", "state"), [(1e8, "failed"), (8e9, "warning"), (6e10, "ok")])
def test_little_room_is_warned_of_and_none_is_a_failure(house, monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1e11, 1e11 - free, free))
    assert house.look()["disk"].state == state


def test_files_that_others_can_read_are_found(house, tmp_path):
    tmp_path.chmod(0o755)
    assert house.look()["data dir"].todo == f"chmod 700 {tmp_path}"
    tmp_path.chmod(0o700)
    keys = tmp_path / "keys"
    keys.write_text(house.environment["SECRET_KEYS"])
    keys.chmod(0o644)
    by_file = {"SECRET_KEYS": "", "SECRET_KEYS_FILE": str(keys)}
    assert house.look(**by_file)["key place"].state == "warning"
    keys.chmod(0o600)
    assert house.look(**by_file)["key place"].state == "ok"
    beside = house.look(**by_file, BACKUP_DIR=str(tmp_path))["key place"]
    assert (beside.state, "BACKUP_DIR" in beside.words) == ("failed", True)


def test_ports_that_our_network_shuts_are_found(database_url, tmp_path):
    with Installation(database_url, tmp_path) as house:
        assert house.look()["mail ports"].state == "warning"  # its name server knows nobody
        house.dns.names.update(dict.fromkeys(("smtp.gmail.com", "smtp.mail.yahoo.com"), SERVFAIL))
        shut = house.look()["mail ports"]
        assert shut.state == "failed"
        assert "465" in shut.words


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ({"DATABASE_URL": "postgresql://ally:x@db.example.com/ally"}, "DATABASE_URL: another machine"),
        ({"DATABASE_URL": "postgresql://ally:x@10.0.0.7/ally?sslmode=require"}, "DATABASE_URL: another machine"),
        ({"DATABASE_URL": "postgresql://ally:x@localhost/ally?host=db.example.com"}, "DATABASE_URL: another machine"),
        ({"BROKER_URL": "amqp://ally:x@mq.example.com"}, "BROKER_URL: another machine"),
        ({"DATABASE_URL": "postgresql://db.example.com/ally", "BROKER_URL": "amqp://[fd00::7]"},
         "DATABASE_URL and BROKER_URL: another machine"),
    ],
    ids=["database", "encrypted, and nobody knows with whom", "named behind", "broker", "both"],
)  # fmt: skip
def test_a_wire_to_another_machine_that_anybody_between_may_read_is_warned_of(url, words):
    found = wires(load({"SECRET_KEYS": new_key(), **url}))
    assert (found.state, words in found.words) == ("warning", True)


@pytest.mark.parametrize(
    "url",
    [
        {"DATABASE_URL": "postgresql://ally:x@db.example.com/ally?sslmode=verify-full"},
        {"DATABASE_URL": "postgresql://ally@/ally?host=/run/postgresql.d"},
        {"DATABASE_URL": "postgresql://ally:x@db:5432/ally", "BROKER_URL": "amqp://broker"},
        {"BROKER_URL": "amqps://ally:x@mq.example.com"},
    ],
    ids=["checked", "a socket", "containers", "amqps"],
)
def test_a_wire_that_nobody_reads_is_well(url):
    assert wires(load({"SECRET_KEYS": new_key(), **url})).state == "ok"


def test_without_a_wire_there_is_nothing_to_say_of_one():
    assert wires(load({})) is None


def test_a_check_that_breaks_hides_no_other(house, monkeypatch):
    def in_vain(_settings):
        raise RuntimeError("secret words")

    monkeypatch.setattr(doctor, "OF_SETTINGS", [in_vain, *doctor.OF_SETTINGS])
    found = house.look()
    assert found["in vain"].state == "failed"
    assert "secret words" not in str(found)
    assert found["mail ports"].state == "ok"


def test_another_module_may_add_its_own(house, monkeypatch):
    monkeypatch.setattr(doctor, "OF_PARTS", [*doctor.OF_PARTS, lambda parts: Finding("mine", "ok", parts.settings.url)])
    assert house.look()["mine"].words == house.environment["PUBLIC_URL"]


def test_the_command_prints_a_line_each_and_ends_with_its_status(house, cli):  # noqa: F811
    answer = cli("doctor", **house.environment)
    assert answer.status == 0
    findings = [line for line in answer.out.splitlines() if line.startswith("ok ")]
    assert len(findings) == len(house.look())  # beside them stands what the web application of this process logs
    bad = cli("doctor", **house.environment | {"TWILIO_WHATSAPP_FROM": "+15550109999"})
    assert bad.status == 1
    assert "failed   twilio sender: " in bad.out
    assert "-> Compare TWILIO_WHATSAPP_FROM" in bad.out
    told = json.loads(cli("doctor", "--json", **house.environment).out.splitlines()[-1])
    assert {frozenset(one) for one in told} == {frozenset({"name", "state", "words", "todo"})}
    assert house.environment["TWILIO_AUTH_TOKEN"] not in str(told)


def test_that_nobody_hears_of_alarms_is_warned_of(house):
    assert house.look(ALERT_CHANNEL="")["alerts"].state == "warning"


def test_the_playground_is_told_to_be_one(cli, tmp_path):  # noqa: F811
    tmp_path.chmod(0o700)
    found = {one["name"]: one for one in cli("doctor", "--json").json}
    assert found["accounts"]["state"] == "warning"
    assert "python -m bot init" in found["accounts"]["todo"]
