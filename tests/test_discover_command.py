"""`python -m bot discover` and `providers`: what they answer, to a person and to a program, without a database."""

import json
from datetime import date

import pytest
from click.testing import CliRunner

from bot.__main__ import main
from bot.cli import discover
from bot.mail.knowledge.providers import Providers
from tests.dns_server import DnsServer

GMX = [
    {"host": "mail.gmx.net", "port": 465, "security": "tls", "source": "table"},
    {"host": "mail.gmx.net", "port": 587, "security": "starttls", "source": "table"},
]


class Day:
    """A clock that stands still."""

    def __init__(self, day):
        self.day = day

    def now(self):
        return self

    def date(self):
        return self.day


@pytest.fixture(autouse=True)
def _day(monkeypatch):
    """The settings of a fresh installation, on a day when a password still opens Microsoft 365."""
    monkeypatch.delenv("PROVIDERS_EXTRA", raising=False)
    monkeypatch.setattr(discover, "SystemClock", lambda: Day(date(2026, 12, 15)))


def run(*arguments, lines=None):
    return CliRunner().invoke(main, arguments, input=lines)


def answers(lines, *more):
    done = run("discover", "--offline", "--jsonl", *more, lines=lines)
    assert done.exit_code == 0
    return [json.loads(line) for line in done.output.splitlines()]


def test_an_address_is_answered_in_json():
    done = run("discover", "--offline", "--json", " Ana@GMX.de ")
    assert done.exit_code == 0
    assert json.loads(done.output) == {
        "candidates": GMX,
        "provider": "gmx_net",
        "hint": "switch_access_on",
        "did_you_mean": None,
    }


def test_a_person_reads_servers_provider_and_what_was_probably_meant():
    done = run("discover", "--offline", "gmx.de")
    assert done.output.splitlines() == [
        "mail.gmx.net:465  tls  (table)",
        "mail.gmx.net:587  starttls  (table)",
        "provider: gmx_net, hint: switch_access_on",
    ]
    done = run("discover", "--offline", "ana@gmial.com")
    assert (done.exit_code, done.output) == (1, "Did you mean gmail.com?\n")


def test_a_provider_of_the_table_is_answered_from_it_with_the_network_allowed_too():
    done = run("discover", "--json", "ana@gmx.de")
    assert (done.exit_code, json.loads(done.output)["candidates"]) == (0, GMX)


def test_an_unknown_domain_is_exit_status_1():
    done = run("discover", "--offline", "ana@agency.example")
    assert (done.exit_code, done.output) == (1, "No server is known for it.\n")


@pytest.mark.parametrize("arguments", [(), ("no address",), ("",), ("--jsonl", "ana@gmx.de"), ("ana@@",)])
def test_what_is_asked_in_the_wrong_way_is_exit_status_2(arguments):
    assert run("discover", "--offline", *arguments).exit_code == 2


def test_a_provider_without_any_way_in_is_named_with_its_hint():
    done = run("discover", "--offline", "--json", "ana@tuta.com")
    found = json.loads(done.output)
    assert (done.exit_code, found["candidates"], found["provider"], found["hint"]) == (1, [], "tuta", "cannot_work")


@pytest.mark.parametrize(
    ("day", "hint"),
    [(date(2026, 12, 15), "password_until"), (date(2027, 1, 2), "oauth_only"), (date(2027, 7, 1), "oauth_only")],
)
def test_the_hint_is_the_one_of_the_day(monkeypatch, day, hint):
    monkeypatch.setattr(discover, "SystemClock", lambda: Day(day))
    (found,) = answers('{"id": 1, "address": "ana@agency.onmicrosoft.com"}\n')
    assert (found["provider"], found["hint"]) == ("microsoft365", hint)


def test_lines_are_answered_in_their_order_with_their_ids():
    asked = [
        {"id": "a", "address": "ana@GMX.de"},
        {"id": 2, "address": "fastwebnet.it"},
        {"id": None, "address": "y.example"},
    ]
    first, second, third = answers("\n\n".join(json.dumps(line) for line in asked))
    assert (first["id"], first["candidates"], first["provider"]) == ("a", GMX, "gmx_net")
    assert (second["id"], second["candidates"][0]["source"], second["hint"]) == (2, "ispdb", "password")
    assert (third["id"], third["candidates"], third["provider"], third["hint"]) == (None, [], None, None)


@pytest.mark.parametrize(
    ("line", "id_"),
    [
        ('{"id": "b", "address": "ana smith"}', "b"),
        ('{"id": "b", "address": ""}', "b"),
        ('{"id": "b", "address": 7}', "b"),
        ('{"id": "b"}', "b"),
        ("[1]", None),
        ("{", None),
        ("[" * 50_000, None),
        ('{"id": "b", "address": "' + "x" * 200_000 + '"}', "b"),
        ('{"id": "b", "address": "' + "x" * 2_000_000 + '"}', None),
        (b"\xff\xfe", None),
    ],
)
def test_a_bad_line_gets_an_error_and_the_next_one_is_answered(line, id_):
    line = line if isinstance(line, bytes) else line.encode()
    bad, good = answers(line + b'\n{"id": "ok", "address": "ana@gmx.de"}\n')
    assert (bad["id"], bad["candidates"], bad["provider"], bad["hint"]) == (id_, [], None, None)
    assert bad["error"]
    assert (good["id"], good["candidates"]) == ("ok", GMX)


def test_an_operators_own_hoster_is_known_to_the_command(monkeypatch, tmp_path):
    extra = tmp_path / "extra.yaml"
    extra.write_text(
        "providers: [{id: ours, family: ours, name: Ours, domains: [ours.example], checked: 2026-11-25,"
        " hint: switch_access_on, mx_suffixes: [mx.ours.example], sent_copy: never,"
        " servers: [{host: 'mail.{domain}', port: 465, security: tls}]}]"
    )
    monkeypatch.setenv("PROVIDERS_EXTRA", str(extra))
    (found,) = answers('{"id": 1, "address": "ana@ours.example"}')
    assert found["candidates"] == [{"host": "mail.ours.example", "port": 465, "security": "tls", "source": "table"}]
    assert (found["provider"], found["hint"]) == ("ours", "switch_access_on")


def test_the_providers_are_listed_with_what_they_demand_today():
    rows = json.loads(run("providers", "--json").output)
    today = date(2026, 12, 15)
    assert [row["id"] for row in rows] == [row.id for row in Providers.load().all(today)]
    assert next(row for row in rows if row["id"] == "gmail") == {
        "id": "gmail",
        "name": "Gmail",
        "demand": "app_password",
        "hint": "app_password",
        "checked": "2026-11-23",
        "old": False,
        "source": "table",
    }


def test_the_old_ones_are_those_not_checked_for_ninety_days(monkeypatch):
    old = json.loads(run("providers", "--old", "--json").output)
    assert {row["source"] for row in old} == {"ispdb"}
    monkeypatch.setattr(discover, "SystemClock", lambda: Day(date(2027, 2, 22)))
    gmail = [line for line in run("providers", "--old").output.splitlines() if " gmail " in line]
    assert gmail == ["2026-11-23  gmail                    app_password  Gmail  OLD"]


def test_the_tables_are_read_once_for_all_lines():
    lines = "".join(f'{{"id": {number}, "address": "ana@gmx.de"}}\n' for number in range(100))
    reads = []
    real = Providers.load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Providers, "load", classmethod(lambda _cls, extra=None: reads.append(extra) or real(extra)))
        assert len(answers(lines)) == 100
    assert len(reads) == 1


@pytest.fixture
def world(monkeypatch, tmp_path):
    """The command asks this name server, which knows one domain that names its own server."""
    records = {("_submissions._tcp.agency.example", "SRV"): ["0 0 465 mail.agency.example."]}
    with DnsServer({"agency.example": [], "mail.agency.example": ["127.0.0.1"]}, records) as dns:
        monkeypatch.setenv("DNS_SERVER", f"127.0.0.1:{dns.address[1]}")
        monkeypatch.setenv("SMTP_ALLOW_NETWORKS", "127.0.0.0/8")
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        yield dns


@pytest.mark.parametrize("asked", ["ana@agency.example", "agency.example", "Ana@AGENCY.example"])
def test_a_server_that_only_the_network_tells_is_found_with_its_source(world, asked):
    done = run("discover", "--json", asked)
    assert done.exit_code == 0
    assert json.loads(done.output)["candidates"] == [
        {"host": "mail.agency.example", "port": 465, "security": "tls", "source": "srv"}
    ]


def test_offline_no_name_server_is_asked(world):
    assert run("discover", "--offline", "ana@agency.example").exit_code == 1
    assert world.asked == []


def test_what_the_table_knows_is_not_asked_of_the_network(world):
    assert run("discover", "--json", "ana@gmx.de").exit_code == 0
    assert world.asked == []


def test_a_domain_that_is_not_there_has_no_server(world):
    done = run("discover", "ana@nowhere.example")
    assert (done.exit_code, done.output) == (1, "No server is known for it.\n")
    assert ("nowhere.example", "MX") in world.asked


@pytest.mark.parametrize(
    "asked", ["ana@-agency-.example", "a..b@agency.example", "ana@agency.example.", "ana@[192.0.2.1]"]
)
def test_what_cannot_be_looked_up_breaks_nothing(world, asked):
    assert run("discover", "--json", asked).exit_code in {0, 1, 2}
