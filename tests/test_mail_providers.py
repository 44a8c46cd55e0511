"""The tables of providers: their form, their periods, what they say about addresses, hosts, MX records and names."""

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bot.mail.knowledge import names, tables
from bot.mail.knowledge.domains import domain_of
from bot.mail.knowledge.provider import Candidate, Hint, SecretShape, Server, Username
from bot.mail.knowledge.provider_table import BadTable, read
from bot.mail.knowledge.providers import Providers

TODAY = date(2026, 11, 25)
FOLDER = Path(names.__file__).parent
RAW = tables.read((FOLDER / "providers.yaml").read_bytes())["providers"]
COPIED = tables.read((FOLDER / "ispdb.yaml").read_bytes())["providers"]
TABLES = pytest.mark.parametrize("table", [RAW, COPIED], ids=["providers.yaml", "ispdb.yaml"])
# Three providers are listed, in the table that this one was made from, with TLS from the first byte on port 587.
ODD_PORTS = {("mobile.charter.net", 587, "tls"), ("smtp.hushmail.com", 587, "tls")}
MODES = {(465, "tls"), (587, "starttls"), (993, "tls"), (143, "starttls")}
URL = {"type": "string", "pattern": "^https?://[^ ]+$"}
DOMAIN = {"type": "string", "pattern": r"^\.?([a-z0-9-]+\.)+[a-z]{2,}$"}
WORDS = {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": "string", "minLength": 2}}
USERNAME = {"enum": list(get_args(Username))}


def endpoints(ports):
    return {
        "type": "array",
        "uniqueItems": True,
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["host", "port", "security"],
            "properties": {
                "host": {
                    "type": "string",
                    "pattern": r"^(\{(domain|account|region)\}|[a-z0-9-]+)(\.(\{region\}|\{domain\}|[a-z0-9-]+))+$",
                },
                "port": {"enum": ports},
                "security": {"enum": ["tls", "starttls"]},
            },
        },
    }


SCHEMA = {
    "type": "array",
    "minItems": 125,
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
            "names": WORDS,
            "domains": {"type": "array", "items": DOMAIN, "uniqueItems": True},
            "mx_suffixes": {"type": "array", "minItems": 1, "items": DOMAIN, "uniqueItems": True},
            "servers": endpoints([465, 587]),
            "imap": endpoints([993, 143]),
            "other_hosts": {"type": "array", "minItems": 1, "items": DOMAIN},
            "own_domain_hosts": {"type": "array", "minItems": 1, "items": DOMAIN},
            "username": USERNAME,
            "user_name": {"type": "string", "minLength": 2},
            "imap_username": USERNAME,
            "username_own_domain": USERNAME,
            "secret_shape": {"type": "object"},
            "policy": {"type": "array", "minItems": 1},
            "password_accepted": {"enum": ["accepted", "refused", "without_two_step", "by_period"]},
            "app_password_url": URL,
            "enable_access_url": URL,
            "reset_url": URL,
            "hint": {"enum": list(get_args(Hint))},
            "sent_copy": {"enum": ["auto", "auto_by_default", "never", "unknown"]},
            "from_must_match": {"type": "string"},
            "sign_in": {"enum": ["microsoft", "google"]},
                    "certified": {"const": True},
            "limits": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}, "minProperties": 1},
            "checked": {},
            "uncertain": WORDS,
            "sources": WORDS,
        },
    },
}  # fmt: skip


@cache
def _loaded():
    return Providers.load()


@pytest.fixture
def providers():
    return _loaded()


def test_the_table_has_the_agreed_form():
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(RAW)] == []


def test_the_copied_table_has_facts_about_servers_and_none_about_policies():
    needed = {"id", "name", "domains", "servers"}
    assert all(needed <= set(row) <= needed | {"imap", "username", "imap_username", "certified"} for row in COPIED)
    properties = SCHEMA["items"]["properties"]
    rows = {"type": "array", "items": {"properties": properties}}
    assert [error.message for error in Draft202012Validator(rows).iter_errors(COPIED)] == []


def test_every_fact_carries_the_day_on_which_it_was_checked():
    assert all(isinstance(row["checked"], date) for row in RAW)


def test_no_id_no_domain_and_no_mx_suffix_stands_twice_in_all_tables():
    both = RAW + COPIED
    for values in (
        [row["id"] for row in both],
        [domain for row in both for domain in row["domains"]],
        [suffix for row in both for suffix in row.get("mx_suffixes", [])],
    ):
        assert [value for value, times in Counter(values).items() if times > 1] == []


@TABLES
def test_the_port_tells_the_mode_but_for_two_odd_hosts(table):
    servers = [server for row in table for server in (*row["servers"], *row.get("imap", []))]
    odd = {
        (one["host"], one["port"], one["security"]) for one in servers if (one["port"], one["security"]) not in MODES
    }
    assert odd <= ODD_PORTS


def test_every_kind_of_hint_is_needed_by_some_provider():
    assert {row["hint"] for row in RAW} == set(get_args(Hint))


@TABLES
def test_every_domain_of_every_provider_gives_its_first_server(providers, table):
    for row in table:
        for domain in row["domains"]:
            address = f"ana@{'agency' if domain.startswith('.') else ''}{domain}"
            found = providers.for_address(address, TODAY)
            assert found.id == row["id"], domain
            if row["servers"]:
                first = row["servers"][0]
                host = first["host"].replace("{domain}", domain)
                assert found.server == Server(host, first["port"], first["security"]), domain


def test_every_mx_suffix_of_every_provider_gives_it(providers):
    for row in RAW:
        for suffix in row.get("mx_suffixes", []):
            assert providers.for_mx(f"mx1.{suffix}.", TODAY).id == row["id"], suffix


def test_nothing_handed_out_holds_a_blank_to_fill_in(providers):
    asked = ["ana@inbox.eu", "ana@gmail.com", "ana@rr.com"]
    rows = [providers.for_address(address, TODAY) for address in asked]
    rows += [providers.for_mx(f"w0123.{suffix}", TODAY) for row in RAW for suffix in row.get("mx_suffixes", [])]
    rows += [providers.for_host("w0123.kasserver.com", TODAY), providers.for_host("mail.inbox.lt", TODAY)]
    assert all("{" not in server.host for row in rows for server in (*row.servers, *row.imap))
    assert rows[-1].server == Server("mail.inbox.lt", 465, "tls")


def test_who_demands_an_own_secret_says_in_the_hint_how_it_is_made(providers):
    making = {
        "app_password", "own_mail_password", "authorization_code", "switch_access_on_then_app_password", "api_key",
        "token_on_paid_plan",
    }  # fmt: skip
    for row in providers.all(TODAY):
        assert (row.hint in making) == (row.demand == "app_password") or row.id == "proton", row.id
        assert (row.hint == "oauth_only") == (row.demand == "oauth_only"), row.id
        assert row.hint != "cannot_work" or row.demand == "cannot_work", row.id


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
        ("ana@proton.me", "proton", "cannot_work", Server("smtp.protonmail.ch", 587, "starttls"), None),
        ("ana@live.cl", "outlook_com", "oauth_only", Server("smtp-mail.outlook.com", 587, "starttls"), None),
        ("ana@inbox.lv", "inbox_lv", "app_password", Server("mail.inbox.lv", 465, "tls"), None),
        (
            "ana@bc.iij4u.or.jp",
            "ispdb_dd_iij4u_or_jp",
            "password",
            Server("mbox.iij4u.or.jp", 587, "starttls"),
            "ana.bc.iij4u.or.jp",
        ),
        ("Ana@WEB.DE", "webde", "password", Server("smtp.web.de", 465, "tls"), "Ana"),
        ("<ana@qq.com>", "qq", "app_password", Server("smtp.qq.com", 465, "tls"), None),
        ("gmail.com.", "gmail", "app_password", Server("smtp.gmail.com", 465, "tls"), None),
    ],
)
def test_an_address_tells_server_demand_and_user_name(providers, address, id_, demand, server, user):
    found = providers.for_address(address, TODAY)
    assert (found.id, found.demand, found.server) == (id_, demand, server)
    assert found.user_for(address) == (user or address)


@pytest.mark.parametrize(
    "address",
    ["ana@agency.example", "a@mygmail.com", "a@sub.gmail.com", "", "@", "a@.", "a@gmail.com x", "gmail", "x" * 100_000],
)
def test_an_unknown_domain_has_no_provider(providers, address):
    assert providers.for_address(address, TODAY) is None


@pytest.mark.parametrize(
    ("today", "demand", "until"),
    [
        (date(2026, 12, 15), "password", date(2026, 12, 31)),
        (date(2026, 12, 31), "password", date(2026, 12, 31)),
        (date(2027, 1, 1), "oauth_only", None),
        (date(2027, 1, 2), "oauth_only", None),
        (date(2027, 7, 1), "oauth_only", None),
    ],
)
def test_microsoft_365_takes_passwords_until_the_end_of_2026(providers, today, demand, until):
    found = providers.for_host("smtp.office365.com", today)
    assert (found.id, found.demand, found.until) == ("microsoft365", demand, until)
    assert found.hint == {"password": "password_until", "oauth_only": "oauth_only"}[demand]
    assert found.admin_may_allow == {"password": None, "oauth_only": "password"}[demand]


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


def test_people_of_google_and_microsoft_may_sign_in_there():
    signing_in = {row.id: row.sign_in for row in _loaded().all(TODAY) if row.sign_in}
    assert signing_in == {
        "gmail": "google",
        "google_workspace": "google",
        "microsoft365": "microsoft",
        "outlook_com": "microsoft",
    }


def test_a_token_may_go_to_its_providers_own_servers_and_to_nobody_elses():
    providers = _loaded()
    google, microsoft = providers.token_hosts("google"), providers.token_hosts("microsoft")
    assert {"smtp.gmail.com", "imap.gmail.com"} <= google
    assert {"smtp.office365.com", "smtp-mail.outlook.com", "outlook.office365.com"} <= microsoft
    assert "smtp-relay.gmail.com" not in google
    owned = (
        ".gmail.com",
        ".googlemail.com",
        ".office365.com",
        ".office.com",
        ".outlook.com",
        ".live.com",
        ".hotmail.com",
    )
    assert all(host.endswith(owned) for host in google | microsoft)
    assert not google & microsoft


def test_an_operator_may_let_another_server_take_tokens(tmp_path):
    extra = tmp_path / "extra.yaml"
    extra.write_text(
        "providers:\n- {id: own, family: own, name: Own, domains: [own.test], checked: 2026-11-23,\n"
        "   sign_in: microsoft, servers: [{host: smtp.own.test, port: 587, security: starttls}]}\n"
    )
    assert "smtp.own.test" in Providers.load(extra).token_hosts("microsoft")
    assert "smtp.own.test" not in Providers.load().token_hosts("microsoft")


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
        ("providers: [{id: x}]", "provider x: family: Field required"),
        ("providers: [{id: x}, 3]", "provider x: family: "),
        ("providers: [3]", "provider number 1: "),
        ("providers: [{name: X}]", "provider number 1: id: Field required"),
        (f"providers: [{{{ROW}, {HOST}, hint: prayer}}]", "provider x: hint: "),
        (f"providers: [{{{ROW}, {HOST}, limits: {{letters: 1}}}}]", "provider x: limits.letters: "),
        (
            f"providers: [{{{ROW}, {HOST}, mx_suffixes: [Mail.X.example]}}]",
            "mx_suffixes: 'Mail.X.example' is no domain",
        ),
        (f"providers: [{{{ROW}, {HOST}, username: fixed}}]", "user_name: it must be given"),
        (f"providers: [{{{ROW}, {HOST}, sent_copy: no}}]", "provider x: sent_copy: "),
        (f"providers: [{{{ROW}, servers: [{{host: 'a b', port: 465, security: tls}}]}}]", "servers: 'a b' is no host"),
        (f"providers: [{{{ROW}, servers: [{{host: h.example, port: 0, security: tls}}]}}]", "servers: 0 is no port"),
        (
            f"providers: [{{{ROW}, {HOST}, imap: [{{host: '{{name}}.x', port: 993, security: tls}}]}}]",
            "imap: '{name}.x' is",
        ),
        (f"providers: [{{{ROW}, {HOST}}}, {{{ROW}, {HOST}}}]", "provider x: id: 'x' stands there twice"),
        (
            f"providers: [{{{ROW}, {HOST}}}, {{{ROW.replace('id: x', 'id: y')}, {HOST}}}]",
            "domains: 'x.example' stands there",
        ),
        ("{providers: [{}], defaults: 3}", "not a list of providers"),
        ("[[[[" * 20_000, "not a list of providers"),
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


# --- MX records, hosts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mx", "id_", "server"),
    [
        ("aspmx.l.google.com", "google_workspace", Server("smtp.gmail.com", 465, "tls")),
        ("ALT1.ASPMX.L.Google.com.", "google_workspace", Server("smtp.gmail.com", 465, "tls")),
        ("agency-example.mail.protection.outlook.com", "microsoft365", Server("smtp.office365.com", 587, "starttls")),
        ("eur.olc.protection.outlook.com", "outlook_com", Server("smtp-mail.outlook.com", 587, "starttls")),
        ("mta5.am0.yahoodns.net", "yahoo", Server("smtp.mail.yahoo.com", 465, "tls")),
        ("mx-aol.mail.gm0.yahoodns.net", "aol", Server("smtp.aol.com", 465, "tls")),
        ("mx1.hostinger.com", "hostinger", Server("smtp.hostinger.com", 465, "tls")),
        ("mx2.titan.email", "titan", Server("smtp.titan.email", 465, "tls")),
        ("w0123abc.kasserver.com", "all_inkl", Server("w0123abc.kasserver.com", 465, "tls")),
        ("kasserver.com", "all_inkl", None),
        ("mx.zoho.eu", "zoho_eu", Server("smtppro.zoho.eu", 465, "tls")),
        ("mail.protonmail.ch", "proton_own_domain", Server("smtp.protonmail.ch", 587, "starttls")),
    ],
)
def test_the_longest_suffix_of_an_mx_host_tells_the_provider(providers, mx, id_, server):
    found = providers.for_mx(mx, TODAY, "agency.example")
    assert (found.id, found.server) == (id_, server)


@pytest.mark.parametrize("mx", ["mx.agency.example", "notyahoodns.net", "", ".", "a." * 50_000])
def test_an_unknown_mx_host_tells_nothing(providers, mx):
    assert providers.for_mx(mx, TODAY) is None


def test_a_server_called_after_the_domain_needs_the_domain(providers):
    with_it, without = (providers.for_mx("vade-in1.mail.dreamhost.com", TODAY, *more) for more in (("a.example",), ()))
    assert Server("mail.a.example", 465, "tls") in with_it.servers
    assert [server.host for server in without.servers] == ["smtp.dreamhost.com"] * 2


def test_an_own_domain_at_icloud_signs_in_with_an_address_that_only_the_person_knows(providers):
    assert providers.for_address("ana@me.com", TODAY).user_for("ana@me.com") == "ana@me.com"
    assert providers.for_mx("mx01.mail.icloud.com", TODAY).user_for("ana@agency.example") == ""


def test_imap_may_want_another_user_name(providers):
    icloud = providers.for_address("ana@icloud.com", TODAY)
    assert (icloud.user_for("ana@icloud.com"), icloud.imap_user_for("ana@icloud.com")) == ("ana@icloud.com", "ana")
    gmail = providers.for_address("ana@gmail.com", TODAY)
    assert gmail.imap_user_for("ana@gmail.com") == "ana@gmail.com"


@pytest.mark.parametrize(
    ("host", "user"),
    [
        ("smtp.sendgrid.net", "apikey"),
        ("smtp.resend.com", "resend"),
        ("smtp.postmarkapp.com", ""),
        ("smtp.mailgun.org", ""),
    ],
)
def test_a_sender_service_has_a_fixed_user_name_or_one_to_ask_for(providers, host, user):
    found = providers.for_host(host, TODAY)
    assert (found.hint, found.user_for("ana@agency.example")) == ("api_key", user)


def test_a_host_with_a_region_of_its_own_is_known(providers):
    found = providers.for_host("email-smtp.sa-east-1.amazonaws.com", TODAY)
    assert (found.id, found.server.host) == ("amazon_ses", "email-smtp.sa-east-1.amazonaws.com")
    assert providers.for_host("email-smtp.a.b.amazonaws.com", TODAY) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("smtp.agency.example", "SMTP.Agency.Example.", True),
        ("smtp.gmail.com", "smtp.googlemail.com", True),
        ("smtp.zoho.com", "smtppro.zoho.com", True),
        ("smtp.1und1.de", "smtp.ionos.de", True),
        ("smtp.zoho.com", "smtp.zoho.eu", False),
        ("smtp-mail.outlook.com", "smtp.office365.com", False),
        ("smtp.gmail.com", "smtp-relay.gmail.com", False),
        ("smtp.mail.yahoo.com", "smtp.aol.com", False),
        ("smtp.agency.example", "mail.agency.example", False),
        ("smtp.agency.example", "smtp.gmail.com", False),
    ],
)
def test_two_hosts_are_one_server_by_provider_and_not_by_spelling(providers, one, other, same):
    assert providers.same(one, other, TODAY) is same
    assert providers.same(other, one, TODAY) is same


# --- candidates, age ------------------------------------------------------------------------------------------------


def test_candidates_are_the_providers_servers_best_first(providers):
    found = providers.candidates("Ana@GMX.de", TODAY)
    assert found == tuple(
        Candidate(Server("mail.gmx.net", port, mode), "table", "gmx_net")
        for port, mode in ((465, "tls"), (587, "starttls"))
    )


def test_a_copied_row_says_so_and_asks_for_a_plain_password(providers):
    (found,) = providers.candidates("fastwebnet.it", TODAY)
    assert (found.source, found.server) == ("ispdb", Server("smtp.fastwebnet.it", 587, "starttls"))
    row = providers.for_address("fastwebnet.it", TODAY)
    assert (row.family, row.hint, row.demand) == ("other", "password", "password")


def test_a_row_of_the_table_wins_over_a_copied_one_whatever_comes_first(tmp_path):
    extra = tmp_path / "extra.yaml"
    extra.write_text(
        """
        providers:
        - {id: old, family: f, name: Old, domains: [x.example], source: ispdb, checked: 2026-11-25,
           servers: [{host: old.x.example, port: 465, security: tls}]}
        - {id: new, family: f, name: New, domains: [y.example], checked: 2026-11-25,
           servers: [{host: new.x.example, port: 465, security: tls}]}
        """
    )
    old, new = read(extra)
    new = replace(new, domains=("x.example",))
    assert [Providers(rows).for_address("x.example", TODAY).id for rows in ((old, new), (new, old))] == ["new", "new"]


def test_nothing_is_guessed_offline(providers):
    assert providers.candidates("ana@agency.example", TODAY) == ()
    assert providers.candidates("ana@tuta.com", TODAY) == ()


def test_facts_are_old_after_ninety_days(providers):
    gmail = providers.for_address("gmail.com", TODAY)
    last = gmail.checked + timedelta(days=90)
    assert (gmail.is_old(last), gmail.is_old(last + timedelta(days=1))) == (False, True)


# --- what people type -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Hostinger", ["hostinger"]),
        ("HOSTINGER.com.br", ["hostinger"]),
        ("hostnger", ["hostinger"]),
        ("locaweb", ["locaweb"]),
        ("a gente paga a Locawebb", ["locaweb"]),
        ("Gmail", ["gmail"]),
        ("gmial", ["gmail"]),
        ("google", ["gmail", "google_workspace"]),
        ("a empresa usa o Google Workspace", ["google_workspace"]),
        ("outlook 365", ["microsoft365"]),
        ("Office365", ["microsoft365"]),
        ("outlook", ["microsoft365", "outlook_com"]),
        ("King Host", ["kinghost"]),
        ("kinghost", ["kinghost"]),
        ("umbler", ["umbler"]),
        ("É pela HostGator", ["titan", "cpanel_generic"]),
        ("Yahóo!", ["yahoo"]),
        ("UOL", ["uol"]),
        ("uol host", ["uol_host"]),
        ("la TIM", ["tim_it"]),
        ("1&1", ["ionos_de", "ionos_com"]),
        ("web.de", ["webde"]),
        ("my address is ana@hotmail.com", ["outlook_com"]),
        ("I think we have godaddy, or namecheap", ["godaddy", "namecheap"]),
        ("zoho", ["zoho_com", "zoho_eu", "zoho_in", "zoho_com_au", "zoho_jp", "zoho_ca"]),
    ],
)
def test_a_provider_is_known_by_what_people_call_it(providers, text, ids):
    assert [row.id for row in providers.by_name(text, TODAY)] == ids


@pytest.mark.parametrize(
    "text",
    [
        "", "não sei", "I do not know", "no lo sé", "I live in Lisbon", "ask Tim, he knows", "it was free", "nobody",
        "we exchange mails with them", "I posted it", "one of my colleagues", "o meu chefe",
        "minha terra natal é linda",
    ],
)  # fmt: skip
def test_an_ordinary_sentence_names_no_provider(providers, text):
    assert providers.by_name(text, TODAY) == ()


def test_a_very_long_answer_is_read_in_part_only(providers):
    assert providers.by_name("palavra " * 100_000 + "gmail", TODAY) == ()
    assert len(providers.by_name("gmail uol bol yahoo zoho hostinger locaweb icloud fastmail", TODAY)) == 6


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gmial.com", "gmail.com"),
        ("gmai.com", "gmail.com"),
        ("gmaill.com", "gmail.com"),
        ("gnail.com", "gmail.com"),
        ("hmail.com", "gmail.com"),
        ("ggmail.com", "gmail.com"),
        ("gmail.con", "gmail.com"),
        ("gmail.co", "gmail.com"),
        ("gmail.com.br", "gmail.com"),
        ("Ana@GMAIL.COM.BR", "gmail.com"),
        ("hotmail.con", "hotmail.com"),
        ("hotmial.com", "hotmail.com"),
        ("homail.com", "hotmail.com"),
        ("hotmail.con.br", "hotmail.com.br"),
        ("outlok.com", "outlook.com"),
        ("outlookk.com.br", "outlook.com.br"),
        ("outlook.com.b", "outlook.com.br"),
        ("yaho.com.br", "yahoo.com.br"),
        ("yahooo.com", "yahoo.com"),
        ("uahoo.com", "yahoo.com"),
        ("iclod.com", "icloud.com"),
        ("icloud.comm", "icloud.com"),
        ("uol.con.br", "uol.com.br"),
        ("live.con", "live.com"),
        ("protonmial.com", "protonmail.com"),
    ],
)
def test_a_slip_near_a_well_known_domain_is_seen(providers, typed, meant):
    assert providers.near(typed) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "gmail.com", "mail.com", "email.com", "ymail.com", "hotmail.es", "hotmail.com.br", "outlook.com.ar", "live.cl",
        "yahoo.ca", "googlemail.com", "gmx.es", "gmx.fr", "me.com", "cloud.com", "web.de", "web.dk", "uol.com",
        "sol.com.br", "zmail.com", "7mail.com", "agency.com", "agency.example", "terrasur.com.br", "globe.com",
        "yahoo.com.be", "orange.es", "bol.com", "proton.com", "mail.co", "live.co.za", "", "@", "com", "x" * 100_000,
    ],
)  # fmt: skip
def test_a_domain_that_may_be_right_is_left_alone(providers, typed):
    assert providers.near(typed) is None


def test_every_well_known_domain_is_in_the_tables(providers):
    assert [domain for domain in names.WELL_KNOWN if providers.for_address(domain, TODAY) is None] == []


@pytest.mark.parametrize(
    ("one", "other", "slip"),
    [
        ("abc", "abc", True), ("abc", "ab", True), ("ab", "abc", True), ("abc", "acb", True), ("abc", "xbc", True),
        ("bac", "abc", True), ("abc", "a", False), ("abcd", "badc", False), ("abc", "xyc", False), ("", "a", True),
        ("abcd", "acxd", False),
    ],
)  # fmt: skip
def test_one_slip_is_one_letter_or_two_swapped(one, other, slip):
    assert names.one_slip(one, other) is slip
    assert names.one_slip(other, one) is slip


@given(st.text(max_size=300))
def test_no_text_breaks_the_reading_of_domains_and_names(text):
    providers = _loaded()
    domain = domain_of(text)
    assert domain is None or domain == domain.lower()
    assert providers.near(text) in {None, *names.WELL_KNOWN}
    assert len(providers.by_name(text, TODAY)) <= 6
    providers.for_address(text, TODAY)
    providers.for_host(text, TODAY)
    providers.for_mx(text, TODAY)


@pytest.mark.parametrize(
    ("typed", "domain"),
    [
        (" Ana@Agência.COM.br ", "xn--agncia-jva.com.br"),
        ("agency.example", "agency.example"),
        ("<ana@agency.example>", "agency.example"),
        ("ana@agency", None),
        ("ana@agency..example", None),
        ("ana@-agency.example", None),
        ("ana smith@agency.example", None),
        ("ana@" + "a" * 64 + ".example", None),
    ],
)
def test_a_domain_is_read_as_people_type_it(typed, domain):
    assert domain_of(typed) == domain
