"""The provider table: its form, its periods, and what it says about an address."""

from datetime import date
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from bot.mail.knowledge import providers as module
from bot.mail.knowledge.providers import BadTable, Providers, SecretShape, Server

TODAY = date(2026, 11, 25)
RAW = yaml.safe_load(Path(module.__file__).with_name("providers.yaml").read_bytes())["providers"]
URL = {"type": "string", "pattern": "^https?://[^ ]+$"}
DOMAIN = {"type": "string", "pattern": r"^\.?([a-z0-9-]+\.)+[a-z]{2,}$"}
SCHEMA = {
    "type": "array",
    "minItems": 30,
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": [
            "id", "family", "name", "domains", "servers", "username", "secret_shape", "policy",
            "password_accepted", "hint", "checked", "sources",
        ],
        "properties": {
            "id": {"type": "string", "pattern": "^[a-z0-9_]+$"},
            "family": {"type": "string", "pattern": "^[a-z0-9_]+$"},
            "name": {"type": "string", "minLength": 2, "maxLength": 60},
            "domains": {"type": "array", "items": DOMAIN, "uniqueItems": True},
            "servers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["host", "port", "security"],
                    "properties": {
                        "host": {"type": "string", "pattern": r"^([a-z0-9-]+\.)+[a-z]{2,}$"},
                        "port": {"enum": [465, 587]},
                        "security": {"enum": ["tls", "starttls"]},
                    },
                },
            },
            "username": {"enum": ["full_address", "local_part"]},
            "secret_shape": {"type": "object"},
            "policy": {"type": "array", "minItems": 1},
            "password_accepted": {"enum": ["accepted", "refused", "without_two_step", "by_period"]},
            "app_password_url": URL,
            "enable_access_url": URL,
            "reset_url": URL,
            "hint": {"type": "string"},
            "checked": {},
            "uncertain": {"type": "array", "items": {"type": "string"}},
            "sources": {"type": "array", "minItems": 1, "items": {"type": "string"}},
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def providers():
    return Providers.load()


def test_the_table_has_the_agreed_form():
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(RAW)] == []


def test_every_fact_carries_the_day_on_which_it_was_checked():
    assert all(isinstance(row["checked"], date) for row in RAW)


def test_no_id_and_no_domain_stands_twice():
    ids = [row["id"] for row in RAW]
    domains = [domain for row in RAW for domain in row["domains"]]
    assert len(ids) == len(set(ids))
    assert len(domains) == len(set(domains))


def test_465_is_tls_from_the_first_byte_and_587_starts_it():
    expected = {465: "tls", 587: "starttls"}
    assert all(server["security"] == expected[server["port"]] for row in RAW for server in row["servers"])


def test_the_normal_password_is_never_called_refused_where_it_is_what_we_ask_for(providers):
    for row in providers.all(TODAY):
        assert (row.password_accepted == "refused") == (row.demand != "password"), row.id


@pytest.mark.parametrize(
    ("address", "id_", "demand", "server", "user"),
    [
        ("ana@gmail.com", "gmail", "app_password", Server("smtp.gmail.com", 465, "tls"), "ana@gmail.com"),
        ("Ana@GMAIL.com", "gmail", "app_password", Server("smtp.gmail.com", 465, "tls"), "Ana@GMAIL.com"),
        ("ana@uol.com.br", "uol", "password", Server("smtps.uol.com.br", 587, "starttls"), "ana"),
        ("ana@bol.com.br", "bol", "password", Server("smtps.bol.com.br", 465, "tls"), "ana"),
        ("ana@hotmail.com", "outlook_com", "oauth_only", Server("smtp-mail.outlook.com", 587, "starttls"), None),
        ("ana@agency.onmicrosoft.com", "microsoft365", "password", Server("smtp.office365.com", 587, "starttls"), None),
        ("ana@icloud.com", "icloud", "app_password", Server("smtp.mail.me.com", 587, "starttls"), None),
        ("ana@tuta.com", "tuta", "cannot_work", None, None),
    ],
)
def test_an_address_tells_server_demand_and_user_name(providers, address, id_, demand, server, user):
    found = providers.for_address(address, TODAY)
    assert (found.id, found.demand, found.server) == (id_, demand, server)
    assert found.user_for(address) == (user or address)


@pytest.mark.parametrize(
    "address", ["ana@agency.example", "onmicrosoft.com", "a@mygmail.com", "a@sub.gmail.com", "", "@"]
)
def test_an_unknown_domain_has_no_provider(providers, address):
    assert providers.for_address(address, TODAY) is None


@pytest.mark.parametrize(
    ("today", "demand", "until"),
    [
        (date(2026, 12, 15), "password", date(2026, 12, 31)),
        (date(2026, 12, 31), "password", date(2026, 12, 31)),
        (date(2027, 1, 1), "oauth_only", None),
        (date(2027, 7, 1), "oauth_only", None),
    ],
)
def test_microsoft_365_takes_passwords_until_the_end_of_2026(providers, today, demand, until):
    found = providers.for_host("smtp.office365.com", today)
    assert (found.id, found.demand, found.until) == ("microsoft365", demand, until)


def test_every_provider_has_one_demand_on_every_day(providers):
    for today in (date(2000, 1, 1), TODAY, date(2100, 1, 1)):
        assert all(len(row.policy) == 1 for row in providers.all(today))


def test_a_host_tells_the_provider_in_any_spelling(providers):
    assert providers.for_host(" SMTP.Gmail.COM. ", TODAY).id == "gmail"
    assert providers.for_host("smtp.agency.example", TODAY) is None


def test_blanks_are_taken_out_only_where_the_provider_shows_groups(providers):
    google = providers.for_address("a@gmail.com", TODAY).secret_shape
    assert google.clean("abcd efgh\u00a0ijkl mnop\n") == "abcdefghijklmnop"
    assert SecretShape("password").clean(" my pass word \r\n") == " my pass word "


@pytest.mark.parametrize(
    ("address", "text", "fits"),
    [
        ("a@gmail.com", "abcd efgh ijkl mnop", True),
        ("a@gmail.com", "abcdefghijklmnop", True),
        ("a@gmail.com", "abcdefghijklmno", False),
        ("a@gmail.com", "what is an app password", False),
        ("a@icloud.com", "abcd-efgh-ijkl-mnop", True),
        ("a@icloud.com", "abcdefghijklmnop", False),
        ("a@uol.com.br", "anything at all", False),
    ],
)
def test_only_the_exact_shape_fits(providers, address, text, fits):
    assert providers.for_address(address, TODAY).secret_shape.fits(text) is fits


def test_an_operator_adds_a_provider_and_corrects_one(tmp_path):
    extra = tmp_path / "extra.yaml"
    extra.write_text(
        """
        providers:
        - {id: ours, family: ours, name: Ours, domains: [ours.example], checked: 2026-11-25,
           servers: [{host: mail.ours.example, port: 2525, security: starttls}]}
        - {id: gmail, family: google, name: Gmail, domains: [gmail.com], checked: 2026-11-25,
           servers: [{host: smtp.gmail.com, port: 587, security: starttls}]}
        """
    )
    providers = Providers.load(extra)
    assert providers.for_address("a@ours.example", TODAY).server == Server("mail.ours.example", 2525, "starttls")
    assert providers.for_address("a@gmail.com", TODAY).server.port == 587
    assert providers.for_address("a@yahoo.com", TODAY).id == "yahoo"


ROW = "id: x, family: x, name: X, domains: [x.example], checked: 2026-11-25"
GAP = "[{until: 2026-12-31, demand: password}, {since: 2027-01-02, demand: oauth_only}]"
HOST = "servers: [{host: h.example, port: 465, security: tls}]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("providers: [{id: x}]", "provider 0.family: Field required"),
        (f"providers: [{{{ROW}, servers: [{{host: h, port: 465, security: ssl}}]}}]", "security"),
        (f"providers: [{{{ROW}, {HOST}, colour: red}}]", "colour"),
        (f"providers: [{{{ROW}, servers: []}}]", "it has no server"),
        (f"providers: [{{{ROW}, {HOST}, policy: []}}]", "first period"),
        (f"providers: [{{{ROW}, {HOST}, policy: [{{until: 2026-12-31, demand: password}}]}}]", "first period"),
        (f"providers: [{{{ROW}, {HOST}, policy: {GAP}}}]", "day after"),
        ("[]", "not a list of providers"),
        ("{a: [", "not a list of providers"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path, text, says):
    file = tmp_path / "extra.yaml"
    file.write_text(text)
    with pytest.raises(BadTable) as caught:
        Providers.load(file)
    assert says in str(caught.value)
    assert str(caught.value).startswith("extra.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(BadTable, match=r"none\.yaml: cannot be read"):
        Providers.load(tmp_path / "none.yaml")
