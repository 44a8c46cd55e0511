"""The command line: what it answers, in words and in JSON, and how it fails - with one sentence and its status."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import click
import pytest
from sqlalchemy import select

import bot.__main__ as command_line
from bot import log
from bot.handiwork import Again
from bot.settings import Settings
from bot.store import conversations, files, promises, tables
from bot.store import people as people_store
from bot.store.engine import connect
from bot.vault import new_key
from tests.botkit import ADDRESS, ANA, PASSWORD, Kit, run_sql

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        """The answer of a command with --json: one line."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


@pytest.fixture
def cli(database_url, tmp_path, monkeypatch, capsys):
    """Runs a command as `python -m bot` does, in this process."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setattr(log, "setup", lambda *_: None)

    def call(*arguments, **environment):
        capsys.readouterr()  # what the test itself made the bot log
        with monkeypatch.context() as patched:
            for name, value in environment.items():
                patched.setenv(name, value)
            patched.setattr(sys, "argv", ["bot", *arguments])
            with pytest.raises(SystemExit) as left:
                command_line.run()
        shown = capsys.readouterr()
        return Answer(left.value.code or 0, shown.out, shown.err)

    return call


def added(cli, name="Agência Sol", *more):
    answer = cli("agency", "add", name, "--json", *more)
    assert answer.status == 0, answer.err
    return answer.json


def one_sentence(answer, status=1):
    """It failed, with one sentence and no stack."""
    assert answer.status == status
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert answer.err.count("\n") == 1
    return answer.err


# --- agencies and invitations -----------------------------------------------------------------------------------------


def test_an_agency_is_added_with_the_invitation_of_its_admin(cli):
    answer = added(cli, "Agência Sol", "--admin", "Ana Souza", "--language", "es", "--timezone", "Europe/Madrid")
    assert set(answer) == {"agency", "id", "code", "expires_at", "link", "forward"}
    assert re.fullmatch(r"[A-Z0-9]{4}-[A-Z0-9]{4}-[A-Z0-9]{4}", answer["code"])
    left = datetime.fromisoformat(answer["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
    assert answer["code"] in answer["forward"]
    assert "Hola" in answer["forward"]


def test_an_agency_is_listed_with_its_members(cli):
    added(cli)
    added(cli, "Agencia Luna", "--language", "es")
    listed = cli("agency", "list", "--json").json
    assert [(one["agency"], one["language"], one["members"], one["closed"]) for one in listed] == [
        ("Agencia Luna", "es", 0, False),
        ("Agência Sol", "pt", 0, False),
    ]
    words = cli("agency", "list").out
    assert "agency: Agência Sol\n" in words


def test_without_agencies_there_is_nothing_to_list(cli):
    assert cli("agency", "list").out == "Nothing.\n"
    assert cli("agency", "list", "--json").json == []


def test_the_same_name_is_not_given_twice(cli):
    added(cli)
    assert "Agência Sol" in one_sentence(cli("agency", "add", "Agência Sol"))


@pytest.mark.parametrize("name", ["", " ", "a" * 121, "a\nb", "a\x1b[2J"])
def test_a_name_that_is_none_is_refused(cli, name):
    assert "1 to 120" in one_sentence(cli("agency", "add", name))
    added(cli)
    if name:
        assert "1 to 120" in one_sentence(cli("invite", "Agência Sol", "--name", name))


def test_an_unknown_time_zone_is_refused(cli):
    assert "Nowhere/Land" in one_sentence(cli("agency", "add", "Sol", "--timezone", "Nowhere/Land"))


def test_an_invitation_is_a_code_and_a_link_that_writes_the_sentence(cli):
    added(cli)
    real = {
        "TWILIO_ACCOUNT_SID": f"AC{'0' * 32}",
        "TWILIO_AUTH_TOKEN": "x",
        "TWILIO_WHATSAPP_FROM": "whatsapp:+15550100000",
        "TWILIO_API_URL": "http://127.0.0.1:9",
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "SUPPORT_CONTACT": "x",
        "PRIVACY_URL": "https://example.com",
        "SECRET_KEYS_FILE": f"{os.environ['DATA_DIR']}/secret.key",
    }
    answer = cli("invite", "Agência Sol", "--name", "Bia", "--uses", "3", "--json", **real).json
    assert set(answer) == {"agency", "role", "uses", "code", "expires_at", "link", "forward"}
    assert (answer["role"], answer["uses"]) == ("member", 3)
    assert answer["link"].startswith("https://wa.me/15550100000?text=")
    assert answer["code"] in answer["link"]
    assert answer["link"] in answer["forward"]


def test_an_invitation_may_name_the_agency_by_its_id(cli):
    made = added(cli)
    assert cli("invite", made["id"], "--json").json["agency"] == "Agência Sol"


def test_an_unknown_agency_is_told_with_the_command_that_lists_them(cli):
    for arguments in (("invite", "Nobody"), ("mailbox", "list", "Nobody")):
        sentence = one_sentence(cli(*arguments))
        assert "Nobody" in sentence
        assert "agency list" in sentence


WRONG_OPTIONS = [("--uses", "0"), ("--uses", "501"), ("--uses", "many"), ("--role", "king"), ("--x",)]


@pytest.mark.parametrize("arguments", WRONG_OPTIONS, ids=" ".join)
def test_what_an_option_cannot_be_is_a_question_of_status_two(cli, arguments):
    answer = cli("invite", "Agência Sol", *arguments)
    assert answer.status == 2
    assert "Usage:" in answer.err


# --- the one server of an agency --------------------------------------------------------------------------------------


def demanded(database_url):
    """What the one agency of a database demands."""
    engine = connect(database_url, pool=1)
    try:
        with engine.connect() as db:
            (found,) = db.execute(select(tables.agency)).all()
    finally:
        engine.dispose()
    return found.host, found.port, found.security, found.server_rule


@pytest.mark.parametrize(
    ("where", "more", "stored"),
    [
        ("smtp.example.com:465", (), ("smtp.example.com", 465, "tls")),
        ("SMTP.Example.com:587", (), ("smtp.example.com", 587, "starttls")),
        ("smtp.example.com:587", ("--security", "tls"), ("smtp.example.com", 587, "tls")),
        ("correo.ñandú.example:465", (), ("correo.xn--and-6ma2c.example", 465, "tls")),
    ],
)
def test_an_agency_gets_its_one_server(cli, database_url, where, more, stored):
    added(cli)
    answer = cli("agency", "server", "Agência Sol", where, "--json", *more).json
    assert (answer["host"], answer["port"], answer["security"]) == stored
    assert demanded(database_url) == (*stored, "warn")


def test_the_demand_for_one_server_is_taken_back(cli, database_url):
    added(cli)
    cli("agency", "server", "Agência Sol", "smtp.example.com:465")
    assert cli("agency", "server", "Agência Sol", "none", "--json").json["host"] == ""
    assert demanded(database_url) == ("", 0, "", "warn")


@pytest.mark.parametrize(
    "where",
    ["smtp.example.com", "smtp.example.com:", ":465", "smtp.example.com:80", "smtp.example.com:0465",
     "ana@example.com:465", "a" * 300 + ".com:465", ""],
)  # fmt: skip
def test_what_is_no_mail_server_is_refused_in_a_sentence_and_changes_nothing(cli, database_url, where):
    added(cli)
    cli("agency", "server", "Agência Sol", "smtp.example.com:465")
    assert "no mail server" in one_sentence(cli("agency", "server", "Agência Sol", where))
    assert demanded(database_url) == ("smtp.example.com", 465, "tls", "warn")


def test_the_rule_of_an_agency_is_set(cli, database_url):
    added(cli)
    for rule in ("strict", "warn"):
        assert cli("agency", "rule", "Agência Sol", rule, "--json").json == {"agency": "Agência Sol", "rule": rule}
        assert demanded(database_url)[3] == rule
    assert cli("agency", "rule", "Agência Sol", "kind").status == 2


@pytest.mark.parametrize("words", [("server", "Nobody", "none"), ("rule", "Nobody", "warn")])
def test_an_agency_that_is_not_there_gets_no_demand(cli, words):
    assert "Nobody" in one_sentence(cli("agency", *words))


def test_only_the_named_agency_gets_the_demand(cli, database_url):
    added(cli, "Agencia Luna")
    added(cli)
    cli("agency", "server", "Agencia Luna", "smtp.example.com:465")
    cli("agency", "rule", "Agencia Luna", "strict")
    engine = connect(database_url, pool=1)
    with engine.connect() as db:
        rows = {row.name: (row.host, row.server_rule) for row in db.execute(select(tables.agency))}
    engine.dispose()
    assert rows == {"Agencia Luna": ("smtp.example.com", "strict"), "Agência Sol": ("", "warn")}


# --- what there is ----------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(cli, database_url, tmp_path):
    """An installation with one member who has a mailbox, wrote a mail and asked for a person."""
    with Kit(database_url, tmp_path) as kit:
        kit.hands["SendMail"] = lambda *_: Again(3600, "busy")
        kit.mailbox()
        kit.write_mail(to="carla@client.test")
        for words in ("person", "menu"):
            kit.say(words)
            kit.work()
        yield kit


def test_mailboxes_are_listed_with_who_can_send_and_who_cannot(cli, filled):
    filled.join("+15550000009")
    answer = cli("mailbox", "list", "Agência Sol", "--json").json
    assert sorted(answer, key=lambda one: one["state"]) == [
        {"name": "Ana", "role": "member", "address": "", "state": "no mailbox", "cause": "", "other_server": ""},
        {"name": "Ana", "role": "member", "address": ADDRESS, "state": "works", "cause": "", "other_server": ""},
    ]
    assert PASSWORD not in cli("mailbox", "list", "Agência Sol").out


@pytest.mark.parametrize(
    ("demanded", "uses", "other"),
    [
        ("smtp.gmail.com:465", "smtp.office365.com", "smtp.office365.com"),
        ("smtp.gmail.com:465", "smtp.googlemail.com", ""),
        ("none", "smtp.office365.com", ""),
    ],
    ids=["another", "the same provider", "no demand"],
)
def test_who_uses_another_server_than_the_agencys_is_listed_as_that(cli, filled, demanded, uses, other):
    run_sql(filled.url, "update mailbox set host = %(host)s", {"host": uses})
    cli("agency", "server", "Agência Sol", demanded)
    (listed,) = cli("mailbox", "list", "Agência Sol", "--json").json
    assert listed["other_server"] == other


def test_cases_are_listed_with_whom_they_are_about(cli, filled):
    (case,) = cli("case", "list", "--json").json
    assert set(case) == {
        "number", "state", "owner", "waits_since", "reason", "name", "agency", "language", "channel", "opened_at"
    }  # fmt: skip
    assert (case["number"], case["reason"], case["name"], case["agency"]) == (101, "asked", "Ana", "Agência Sol")
    assert (case["state"], case["owner"], case["waits_since"]) == ("new", "", case["opened_at"])
    assert datetime.fromisoformat(case["opened_at"]) == filled.clock.now()


def test_cases_are_listed_who_has_waited_longest_first(cli, filled):
    filled.say("hello", who="+5511900000009")
    filled.work()
    with filled.engine.begin() as db:
        other = people_store.conversation_of(db, people_store.find_contact(db, "+5511900000009")[0].id)
        opened = conversations.open_case(db, other, "stuck", filled.clock.now() - timedelta(hours=1))
    assert [case["number"] for case in cli("case", "list", "--json").json] == [opened, 101]


def test_a_case_is_shown_with_whom_it_is_about_and_what_was_said_last(cli, filled):
    case = cli("case", "show", "101", "--json").json
    assert (case["number"], case["state"], case["name"], case["agency"]) == (101, "new", "Ana", "Agência Sol")
    assert (case["address"], case["mailbox"], case["cause"]) == (ADDRESS, "works", "")
    assert case["server"].count(":") == 1
    assert case["where"].startswith("menu")
    assert {"at", "who", "text"} == set(case["lines"][0])
    assert ("person", "person") in {(one["who"], one["text"]) for one in case["lines"]}
    assert PASSWORD not in str(case)


def test_a_case_is_shown_to_a_person_line_by_line_and_that_is_kept(cli, filled):
    out = cli("case", "show", "101").out
    assert "number: 101" in out
    assert re.search(r"^  \S+ person person$", out, re.MULTILINE)
    assert [(row.actor, row.action, row.subject) for row in filled.rows(tables.audit)][-1] == (
        "operator", "case_shown", "101",
    )  # fmt: skip


def test_what_a_person_wrote_begins_no_line_of_its_own_and_turns_no_writing(cli, filled):
    filled.say("hello\nnumber: 999\x1b[2J\u202efdp.exe")
    filled.work()
    out = cli("case", "show", "101").out
    assert "person hello\\nnumber: 999\\x1b[2J\\u202efdp.exe" in out
    assert "\nnumber: 999" not in out


def test_a_closed_case_is_gone_from_the_list_and_the_person_is_told_once(cli, filled):
    assert cli("case", "close", "101", "--json").json == {"number": 101, "state": "closed"}
    assert cli("case", "list", "--json").json == []
    assert cli("case", "show", "101", "--json").json["end"] == "closed"
    told = [row.payload["event"] for row in filled.rows(tables.promise) if row.kind == promises.TELL]
    assert [(one["is"], one["number"], one["reason"]) for one in told] == [("CaseEnded", 101, "closed")]
    assert "101 is not open" in one_sentence(cli("case", "close", "101"))


@pytest.mark.parametrize("number", ["102", "0", "99999"])
def test_a_case_that_is_not_there_is_one_sentence(cli, filled, number):
    assert f"case {number};" in one_sentence(cli("case", "show", number))
    assert f"Case {number} is not open" in one_sentence(cli("case", "close", number))


def test_a_wish_for_access_is_answered_and_not_just_closed(cli, filled):
    filled.say("hello", who="+5511900000009")
    filled.work()
    with filled.engine.begin() as db:
        contact = people_store.find_contact(db, "+5511900000009")[0]
        other = people_store.conversation_of(db, contact.id)
        number = conversations.open_case(db, other, "access", filled.clock.now())
        wish = {"id": uuid4(), "conversation_id": other, "agency": "Lua", "address": "bia@lua.test"}
        db.execute(tables.access_request.insert().values(**wish, at=filled.clock.now(), state="open"))
    assert f"case access {number}" in one_sentence(cli("case", "close", str(number)))
    assert cli("case", "access", str(number), "--decline").status == 0


@pytest.mark.parametrize("known", ["number", "id"])
def test_all_that_is_stored_about_somebody_is_exported_without_what_is_sealed(cli, filled, known):
    contact = filled.held().contact_id
    with filled.engine.begin() as db:
        where = "https://twilio.example/where-it-lies"
        files.add(db, uuid4(), filled.held().id, name="offer.pdf", url=where, at=filled.clock.now())
    answer = cli("export", ANA if known == "number" else str(contact)).json
    assert set(answer) == {
        "contact", "members", "mailboxes", "door_keys", "mails", "files", "case_files", "cases", "staff_lines",
        "questions", "wishes", "secrets", "sign_ins", "messages",
    }  # fmt: skip
    assert answer["contact"]["address"] == ANA
    assert [one["agency"] for one in answer["members"]] == ["Agência Sol"]
    assert [(one["address"], one["state"]) for one in answer["mailboxes"]] == [(ADDRESS, "works")]
    assert [one["recipients"] for one in answer["mails"]] == [["carla@client.test"]]
    assert [(one["name"], one["state"]) for one in answer["files"]] == [("offer.pdf", "coming")]
    assert "where-it-lies" not in str(answer)
    assert [one["number"] for one in answer["cases"]] == [101]
    assert sorted(one["kind"] for one in answer["secrets"]) == ["mail.body", "mailbox.password"]
    assert any(one["text"] == "person" for one in answer["messages"])
    sealed = {row.box for row in filled.rows(tables.secret)}
    assert not any(box.hex() in str(answer) or repr(box) in str(answer) for box in sealed)


def test_every_table_about_people_is_exported(cli, filled):
    """A table that is added later belongs into the export, too, or onto this list of what says nothing by itself."""
    exported = {
        "contact", "member", "membership", "agency", "mailbox", "outgoing_mail", "file", "case", "secret", "message",
        "question", "access_request", "staff_line", "case_file", "oauth_grant", "door_key",
    }  # fmt: skip
    nothing_personal = {
        "compatible", "inbound", "key_check", "audit", "audit_day", "content", "limit_hit", "limit_refusal",  # ids
        "invitation", "entrance_code", "slack_workspace", "slack_state", "slack_screen", "slack_pace", "template_month",
        "conversation", "promise", "link", "link_token", "dead_letter", "media_token", "staff_part",  # on its way
        "sign_in", "oauth_app",  # on its way; of an agency
        "door_mail",  # hashes of mails, for a day
        "alarm", "sign_of_life", "provider_erasure",  # of the installation; ids
    }  # fmt: skip
    assert exported | nothing_personal == set(tables.metadata.tables)


def test_somebody_is_forgotten(cli, filled):
    contact = filled.held().contact_id
    assert cli("forget", ANA, "--json").json == {"erased": str(contact), "at_provider": 0}
    assert filled.rows(tables.contact) == filled.rows(tables.secret) == filled.rows(tables.mailbox) == []


@pytest.mark.parametrize("command", ["forget", "export"])
@pytest.mark.parametrize("known", ["+19990000000", "nobody", "", "'; drop table contact; --"])
def test_nobody_of_that_name_is_one_sentence(cli, filled, command, known):
    assert "no one contact" in one_sentence(cli(command, known))
    assert filled.rows(tables.contact)


# --- dead letters -----------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(filled, monkeypatch):
    """A turn that raised."""
    with monkeypatch.context() as patched:
        patched.setattr("bot.turns.converse", lambda *_: 1 / 0)
        filled.say("menu")
    return filled.rows(tables.dead_letter)[0]


def test_dead_letters_are_listed_and_replayed(cli, filled, broken):
    (letter,) = cli("dead-letters", "list", "--json").json
    assert set(letter) == {"id", "conversation", "error", "at", "replayed"}
    assert (letter["id"], letter["conversation"], letter["replayed"]) == (broken.id, str(filled.held().id), False)
    assert letter["error"].startswith("ZeroDivisionError")
    assert cli("dead-letters", "replay", str(broken.id)) == Answer(0, "Done.\n", "")
    assert cli("dead-letters", "list", "--json").json[0]["replayed"] is True


def test_a_letter_that_is_not_there_or_cannot_be_replayed_is_one_sentence(cli, filled, broken):
    assert "no dead letter 99" in one_sentence(cli("dead-letters", "replay", "99"))
    kept = {
        "not kept": {"text": "(hidden)", "button": None, "kind": "text"},
        "does not know": {"event": {"is": "Gone"}, "ticket": 1},
        "too old": {"promise": 99_999},
    }
    for why, event in kept.items():
        run_sql(filled.url, "update dead_letter set event = %(event)s", {"event": json.dumps(event)})
        assert why in one_sentence(cli("dead-letters", "replay", str(broken.id)))
    assert cli("dead-letters", "replay", "first").status == 2


def test_a_dead_letter_is_shown_in_full_and_who_looked_is_kept(cli, filled, broken):
    letter = cli("dead-letters", "show", str(broken.id), "--json").json
    assert set(letter) == {"id", "conversation", "error", "at", "replayed", "event"}
    assert json.loads(letter["event"]) == {"text": "menu", "button": None, "kind": "text"}
    assert "ZeroDivisionError" in cli("dead-letters", "show", str(broken.id)).out
    assert [row.subject for row in filled.rows(tables.audit) if row.action == "dead_letter_shown"] == ["1", "1"]


def test_the_letter_of_a_task_says_what_became_of_the_task(cli, filled, broken):
    task = filled.rows(tables.promise)[0]
    run_sql(filled.url, "update dead_letter set event = %(event)s", {"event": json.dumps({"promise": task.id})})
    letter = cli("dead-letters", "show", str(broken.id), "--json").json
    assert (letter["promise"], letter["state"]) == (task.kind, task.state)


def test_a_dead_letter_is_given_up_for_good(cli, filled, broken):
    assert cli("dead-letters", "drop", str(broken.id), "--json").json == {"dropped": broken.id}
    assert filled.rows(tables.dead_letter) == []
    for command in ("show", "drop", "replay"):
        assert f"no dead letter {broken.id}" in one_sentence(cli("dead-letters", command, str(broken.id)))
        assert cli("dead-letters", command, str(2**63)).status == 2


def test_a_letter_that_came_too_late_says_so(cli, filled, broken):
    found = '{"event": {"is": "JoinRefused", "reason": "used"}, "ticket": -5}'
    run_sql(filled.url, f"update dead_letter set event = '{found}'")
    answer = cli("dead-letters", "replay", str(broken.id))
    assert (answer.status, "too late" in answer.out) == (0, True)


# --- the installation -------------------------------------------------------------------------------------------------


def test_a_new_key_is_a_key(cli):
    first, second = cli("new-key").out.strip(), cli("new-key").out.strip()
    assert first != second
    assert cli("check-config", SECRET_KEYS=f"{first},{second}").status == 0


def test_settings_are_checked_without_a_database(cli):
    assert cli("check-config", DATABASE_URL="postgresql://127.0.0.1:9/nothing").out == "The settings are right.\n"
    assert one_sentence(cli("check-config", PORT="http")).startswith("PORT")
    assert one_sentence(cli("check-config", SECRET_KEYS="x")).startswith("SECRET_KEYS")
    door = {"DOOR_HOST": "door.example.com", "DOOR_CERT": "/nowhere/girafa.pem", "DOOR_KEY": "/nowhere/girafa.key"}
    assert one_sentence(cli("check-config", **door)).startswith("DOOR_CERT, DOOR_KEY: /nowhere/girafa.pem")


def test_a_database_is_migrated(cli, database_url):
    run_sql(database_url, "drop schema public cascade")
    run_sql(database_url, "create schema public")
    assert "python -m bot migrate" in one_sentence(cli("agency", "list"))
    assert cli("migrate").status == 0
    assert cli("agency", "list").status == 0
    assert cli("migrate").status == 0


WITH_A_DATABASE = [
    ("agency", "list"), ("agency", "add", "Sol"), ("invite", "Sol"), ("mailbox", "list", "Sol"), ("case", "list"),
    ("case", "show", "1"), ("case", "close", "1"),
    ("forget", "x"), ("export", "x"), ("dead-letters", "list"), ("dead-letters", "replay", "1"), ("migrate",),
    ("worker",),
]  # fmt: skip


@pytest.mark.parametrize("arguments", WITH_A_DATABASE, ids=" ".join)
def test_a_database_that_does_not_answer_is_one_sentence(cli, arguments):
    sentence = one_sentence(cli(*arguments, DATABASE_URL="postgresql://girafa:azul@127.0.0.1:9/nothing"))
    assert sentence.startswith("DATABASE_URL")
    assert "azul" not in sentence


def test_keys_that_sealed_nothing_here_stop_every_command(cli):
    added(cli)
    assert one_sentence(cli("agency", "list", SECRET_KEYS=new_key())).startswith("SECRET_KEYS")


@pytest.mark.parametrize("data_dir", ["a file", "below a file"])
def test_a_place_for_data_that_cannot_be_one_is_one_sentence(cli, tmp_path, data_dir):
    file = tmp_path / "file"
    file.write_text("x")
    place = file if data_dir == "a file" else file / "var"
    for database in ("", None):
        environment = {"DATA_DIR": str(place), **({} if database is None else {"DATABASE_URL": database})}
        assert str(place) in one_sentence(cli("agency", "list", **environment))


# --- help -------------------------------------------------------------------------------------------------------------


def commands(group=command_line.main, path=()):
    """Every command and every group of commands, as typed."""
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


ALL = sorted(commands())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_explains_itself(cli, path):
    for flag in ("--help", "-h"):
        answer = cli(*path, flag)
        assert (answer.status, answer.err) == (0, "")
        assert answer.out.startswith("Usage:")
        assert len(answer.out.splitlines()) > 4


ANSWERING = [path for path in ALL if path and path[-1] in {"list", "show", "close", "add", "invite", "forget"}]


@pytest.mark.parametrize("path", ANSWERING, ids=" ".join)
def test_what_answers_something_answers_in_json_too(cli, path):
    assert "--json" in cli(*path, "--help").out


WRONG_QUESTIONS = [("juggle",), ("agency", "juggle"), ("invite",), ("export",), ("agency", "list", "x")]


@pytest.mark.parametrize("arguments", WRONG_QUESTIONS, ids=" ".join)
def test_a_wrong_question_has_status_two(cli, arguments):
    answer = cli(*arguments)
    assert answer.status == 2
    assert "Usage:" in answer.err


def test_the_names_that_scripts_depend_on_are_there():
    names = {" ".join(path) for path in ALL}
    assert {
        "serve", "web", "worker", "migrate", "talk", "check-config", "agency add", "agency list", "invite",
        "mailbox list", "case list", "case show", "case close", "case access", "forget", "export", "new-key",
        "dead-letters list", "dead-letters replay",
    } <= names  # fmt: skip


def test_it_is_started_as_a_module():
    run = subprocess.run(
        [sys.executable, "-m", "bot", "new-key"], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert len(run.stdout.strip()) == 44
    assert run.stderr == ""
