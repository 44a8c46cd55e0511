"""Every wrong setting stops the start with one plain sentence that names it."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.app import look_over
from bot.settings import Settings, SettingsError, load, timezone
from bot.vault import new_key

ROOT = Path(__file__).parent.parent
REAL = {
    "TWILIO_ACCOUNT_SID": f"AC{'0' * 32}",
    "TWILIO_AUTH_TOKEN": "girafa-token",
    "TWILIO_WHATSAPP_FROM": "whatsapp:+15550100000",
    "PUBLIC_URL": "https://bot.example.com",
    "SECRET_KEYS": new_key(),
    "SUPPORT_CONTACT": "+1 555 0100",
    "PRIVACY_URL": "https://example.com/privacy",
}


def wrong(**values):
    """The sentence that stops the start."""
    with pytest.raises(SettingsError) as stopped:
        look_over(load(values))
    sentence = str(stopped.value)
    assert "\n" not in sentence
    assert len(sentence) < 300
    return sentence


def test_nothing_is_needed_for_the_playground():
    settings = load({})
    assert not settings.real_twilio
    assert settings.url == "http://127.0.0.1:8000"
    look_over(settings)


def test_a_real_account_with_all_it_needs_starts():
    settings = load(REAL)
    assert settings.real_twilio
    assert settings.domain == "bot.example.com"
    look_over(settings)


WRONG = [
    ("DATABASE_URL", "mysql://host/db"),
    ("DATABASE_URL", "postgresql://user:girafa@host:port/db"),
    ("DATABASE_URL", "host/db"),
    ("PUBLIC_URL", "bot.example.com"),
    ("PUBLIC_URL", "ftp://bot.example.com"),
    ("PUBLIC_URL", "https://"),
    ("PUBLIC_URL", "https://bot.example.com:99999"),
    ("PUBLIC_URL", "https://bot.example.com/?a=1"),
    ("PUBLIC_URL", "https://user:girafa@bot.example.com"),
    ("PUBLIC_URL", "https://bot_1.example.com"),
    ("PUBLIC_URL", "http://[::1"),
    ("PRIVACY_URL", "example.com/privacy"),
    ("PLAYGROUND_URL", "127.0.0.1:9"),
    ("TWILIO_API_URL", "localhost"),
    ("SECRET_KEYS", "girafa"),
    ("SECRET_KEYS", "girafa="),
    ("SECRET_KEYS", "Z2lyYWZh"),
    ("SECRET_KEYS", ","),
    ("TWILIO_ACCOUNT_SID", "SK00"),
    ("TWILIO_ACCOUNT_SID", "ACxyz"),
    ("TWILIO_WHATSAPP_FROM", "my number"),
    ("TWILIO_WHATSAPP_FROM", "15550100000"),
    ("TWILIO_MESSAGING_SERVICE_SID", "AC123"),
    ("TEMPLATES", "yes"),
    ("TEMPLATE_LIMIT", "-1"),
    ("TEMPLATE_LIMIT", "100001"),
    ("SUPPORT_TEAM", "girafa"),
    ("SUPPORT_TEAM", "t0sol"),
    ("SUPPORT_TEAM", "C0DESK"),
    ("SUPPORT_CHANNEL", "#desk"),
    ("SUPPORT_CHANNEL", "T0SOL"),
    ("SUPPORT_CHANNEL", "D0DESK"),
    ("SUPPORT_CHANNEL", "https://sol.slack.com/archives/C0DESK"),
    ("SUPPORT_HOURS", "always"),
    ("SUPPORT_HOURS", "09:00-18:00"),
    ("SUPPORT_HOURS", "Mon-Fri 9:00-18:00"),
    ("SUPPORT_HOURS", "Mon-Fri 09:00-25:00"),
    ("SUPPORT_HOURS", "Mon-Fri 09:00-18:60"),
    ("SUPPORT_HOURS", "Mon-Fri 18:00-09:00"),
    ("SUPPORT_HOURS", "Mon-Fri 09:00-09:00"),
    ("SUPPORT_HOURS", "Fri-Mon 09:00-18:00"),
    ("SUPPORT_HOURS", "Mon-Xyz 09:00-18:00"),
    ("SUPPORT_HOURS", "Seg-Sex 09:00-18:00"),
    ("SUPPORT_HOURS", "Mon 09:00-12:00 Mon 13:00-18:00"),
    ("SUPPORT_HOURS", "Mon 09:00-12:00,"),
    ("SUPPORT_HOURS", ","),
    ("SUPPORT_TIMEZONE", "Sao Paulo"),
    ("SUPPORT_TIMEZONE", "../../etc/passwd"),
    ("SUPPORT_TIMEZONE", "-03:00"),
    ("SUPPORT_ANSWER_MINUTES", "0"),
    ("SUPPORT_ANSWER_MINUTES", "-5"),
    ("SUPPORT_ANSWER_MINUTES", "1441"),
    ("SUPPORT_ANSWER_MINUTES", "soon"),
    ("SLACK_BOT_TOKEN", "girafa"),
    ("SLACK_BOT_TOKEN", "xoxp-girafa-1"),
    ("SLACK_BOT_TOKEN", "xoxe.xoxb-1-girafa"),
    ("SLACK_BOT_TOKEN", "xoxb-girafa 1"),
    ("SLACK_CLIENT_ID", "A0GIRAFA"),
    ("SLACK_CLIENT_ID", "123.456.789"),
    ("SLACK_APP_TOKEN", "xoxb-girafa"),
    ("SLACK_API_URL", "localhost"),
    ("MICROSOFT_CLIENT_ID", "x" * 201),
    ("MICROSOFT_CLIENT_ID", "no-secret-with-it"),
    ("MICROSOFT_CLIENT_SECRET", "girafa-without-an-id"),
    ("MICROSOFT_AUTHORITY", "login.example.com"),
    ("MICROSOFT_AUTHORITY", "http://login.example.com"),
    ("GOOGLE_CLIENT_ID", "no-secret-with-it"),
    ("GOOGLE_CLIENT_SECRET", "girafa-without-an-id"),
    ("GOOGLE_AUTHORITY", "http://192.0.2.1:8080"),
    ("GOOGLE_AUTHORITY", "https://user:girafa@login.example.com"),
    ("GOOGLE_VERIFIED", "perhaps"),
    ("GOOGLE_VERIFIED", "yes"),
    ("GRAPH_URL", "http://graph.example.com"),
    ("GRAPH_URL", "graph"),
    ("ALERT_CHANNEL", "#girafa"),
    ("ALERT_EMAIL", "girafa"),
    ("ALERT_EMAIL", "girafa@example.com, other@example.com"),
    ("ALERT_SMTP_URL", "mail.example.com:465"),
    ("ALERT_SMTP_URL", "smtps://mail.example.com"),
    ("ALERT_SMTP_URL", "https://user:girafa@mail.example.com"),
    ("ALERT_SMTP_URL", "smtps://user:girafa@mail.example.com:port"),
    ("DATABASE_LIMIT_GB", "-1"),
    ("DATABASE_LIMIT_GB", "much"),
    ("OPERATOR_NAME", "x" * 61),
    ("SMTP_ALLOW_NETWORKS", "10.0.0.0/33"),
    ("SMTP_ALLOW_NETWORKS", "10.0.0.1/8"),
    ("SMTP_ALLOW_NETWORKS", "everything"),
    ("SMTP_ALLOW_PORTS", "0"),
    ("SMTP_ALLOW_PORTS", "99999"),
    ("SMTP_ALLOW_PORTS", "smtp"),
    ("SMTP_ALLOW_PORTS", "٣"),
    ("IMAP_ALLOW_PORTS", "0"),
    ("IMAP_ALLOW_PORTS", "imap"),
    ("DISCOVERY", "sometimes"),
    ("DNS_SERVER", "dns.example.com"),
    ("DNS_SERVER", "192.0.2.1:"),
    ("DNS_SERVER", "192.0.2.1:abc"),
    ("DNS_SERVER", "192.0.2.1:99999"),
    ("DNS_SERVER", "192.0.2"),
    ("PROVIDERS_EXTRA", "/nowhere/providers.yaml"),
    ("DOOR_HOST", "https://door.example.com"),
    ("DOOR_HOST", "door.example.com:465"),
    ("DOOR_HOST", "192.0.2.1"),
    ("DOOR_HOST", "door_1.example.com"),
    ("DOOR_HOST", "door.example.com"),
    ("DOOR_CERT", "/nowhere/girafa.pem"),
    ("DOOR_KEY", "/nowhere/girafa.key"),
    ("DOOR_PORT", "0"),
    ("DOOR_PORT", "70000"),
    ("DOOR_PORT", "smtps"),
    ("PLAYGROUND_DOOR", "perhaps"),
    ("LOG_FORMAT", "xml"),
    ("SIGNUP", "open"),
    ("BROKER_URL", "https://girafa.example.com"),
    ("BROKER_URL", "amqp://ally:girafa#2@mq.example.com/"),
    ("BROKER_URL", "amqp://ally:girafa\u2100x@mq.example.com/"),
    ("RETENTION_DAYS", "0"),
    ("RETENTION_DAYS", "4000"),
    ("RETENTION_DAYS", "for ever"),
    ("PORT", "0"),
    ("PORT", "70000"),
    ("PORT", "http"),
    ("WEB_THREADS", "0"),
    ("MAILS_PER_HOUR", "0"),
    ("MAILS_PER_HOUR", "201"),
    ("MAILS_PER_DAY", "many"),
    ("LANE_SPEAK", "201"),
    ("TEMPLATES", "yes"),
    ("TEMPLATE_LIMIT", "-1"),
    ("LANE_WORK", "-1"),
    ("LANE_MAIL", "many"),
    ("SSL_CERT_FILE", "/nowhere/ca.pem"),
    ("BIND", "0.0.0.0"),
    ("TRUSTED_PROXIES", "10.0.0.1/8"),
    ("TRUSTED_PROXIES", "caddy"),
    ("TRUSTED_PROXIES", "0.0.0.0/0"),
    ("TRUSTED_PROXIES", "10.0.0.0/8 ::/0"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_named_and_not_repeated_where_it_may_be_a_secret(name, value):
    sentence = wrong(**{name: value})
    assert name in sentence
    assert "girafa" not in sentence
    assert sentence.endswith(".")


def test_every_setting_that_can_be_wrong_is_tried_above():
    free = {  # any text is right, or what is wrong with it shows only where it is used
        "DATA_DIR", "BACKUP_DIR", "SECRET_KEYS_FILE", "TWILIO_AUTH_TOKEN", "SUPPORT_CONTACT", "METRICS_TOKEN",
        "SLACK_CLIENT_SECRET", "SLACK_SIGNING_SECRET", "PLAYGROUND_CLOCK",
    }  # fmt: skip
    assert {name for name, _ in WRONG} | free == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("missing", [name for name in REAL if name != "TWILIO_ACCOUNT_SID"])
def test_a_real_account_needs_each_of_these(missing):
    sentence = wrong(**{name: value for name, value in REAL.items() if name != missing})
    assert sentence.startswith(missing)


def test_a_messaging_service_does_instead_of_a_number():
    values = {**REAL, "TWILIO_MESSAGING_SERVICE_SID": f"MG{'a' * 32}"}
    del values["TWILIO_WHATSAPP_FROM"]
    assert load(values).twilio_sender == f"MG{'a' * 32}"


def test_domains_are_looked_up_unless_the_operator_wants_the_tables_only():
    assert load({}).discovery == "online"
    assert load({"DISCOVERY": "tables"}).discovery == "tables"


def test_passwords_are_not_typed_on_a_page_without_https():
    assert wrong(**{**REAL, "PUBLIC_URL": "http://bot.example.com"}).startswith("PUBLIC_URL")


def test_a_stand_in_for_twilio_is_on_this_machine_only():
    assert wrong(**{**REAL, "TWILIO_API_URL": "https://evil.example.com"}).startswith("TWILIO_API_URL")
    assert load({**REAL, "TWILIO_API_URL": "http://127.0.0.1:9", "PUBLIC_URL": "http://127.0.0.1:8000"}).real_twilio


SHARED = {name: REAL[name] for name in ("PUBLIC_URL", "SECRET_KEYS", "SUPPORT_CONTACT", "PRIVACY_URL")}
ONE = {**SHARED, "SLACK_BOT_TOKEN": "xoxb-girafa-1", "SLACK_SIGNING_SECRET": "girafa-signing"}
SOCKET = {**SHARED, "SLACK_BOT_TOKEN": "xoxb-girafa-1", "SLACK_APP_TOKEN": "xapp-1-girafa"}
CLIENT = {"SLACK_CLIENT_ID": "1.2", "SLACK_CLIENT_SECRET": "girafa-client"}
MANY = {**SHARED, **CLIENT, "SLACK_SIGNING_SECRET": "girafa-signing"}


@pytest.mark.parametrize("values", [ONE, SOCKET, MANY, {**REAL, **ONE}], ids=["one", "socket", "many", "whatsapp too"])
def test_slack_with_all_it_needs_starts(values):
    settings = load(values)
    assert settings.real_slack
    assert settings.real
    look_over(settings)


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        *((ONE, name) for name in ONE),
        *((SOCKET, name) for name in SOCKET if name != "SLACK_APP_TOKEN"),
        *((MANY, name) for name in MANY),
    ],
)
def test_slack_needs_each_of_these(values, missing):
    sentence = wrong(**{name: value for name, value in values.items() if name != missing})
    assert missing in sentence
    assert "girafa" not in sentence


@pytest.mark.parametrize("alone", ["SLACK_SIGNING_SECRET", "SLACK_APP_TOKEN", "SLACK_CLIENT_SECRET"])
def test_a_setting_of_slack_s_without_a_token_is_not_passed_over(alone):
    value = "xapp-1-girafa" if alone == "SLACK_APP_TOKEN" else "girafa"
    assert wrong(**SHARED, **{alone: value}).startswith("SLACK_BOT_TOKEN (or SLACK_CLIENT_ID)")


def test_slack_is_for_one_workspace_or_for_many():
    assert wrong(**ONE, **CLIENT).startswith("SLACK_BOT_TOKEN")


def test_socket_mode_is_for_one_workspace():
    assert wrong(**MANY, SLACK_APP_TOKEN="xapp-1-girafa").startswith("SLACK_APP_TOKEN")


def test_a_token_that_is_rotated_is_told_from_one_that_lasts():
    assert "token_rotation_enabled" in wrong(**{**ONE, "SLACK_BOT_TOKEN": "xoxe.xoxb-1-girafa"})


def test_a_stand_in_for_slack_is_on_this_machine_only():
    assert wrong(**ONE, SLACK_API_URL="https://evil.example.com/api").startswith("SLACK_API_URL")
    assert load({**ONE, "SLACK_API_URL": "http://127.0.0.1:9/api", "PUBLIC_URL": "http://127.0.0.1:8000"}).real_slack


def test_slack_s_passwords_are_not_typed_on_a_page_without_https_either():
    assert wrong(**{**ONE, "PUBLIC_URL": "http://bot.example.com"}).startswith("PUBLIC_URL")


DESK = {"SUPPORT_TEAM": "T0SOL", "SUPPORT_CHANNEL": "C0DESK"}


def test_the_desk_is_a_workspace_and_a_channel_in_it_never_one_alone():
    assert wrong(**ONE, SUPPORT_CHANNEL="C0DESK").startswith("SUPPORT_TEAM")
    assert wrong(**ONE, SUPPORT_TEAM="T0SOL").startswith("SUPPORT_CHANNEL")


def test_the_desk_needs_slack():
    assert wrong(**REAL, **DESK).startswith("SUPPORT_CHANNEL")
    assert wrong(**DESK).startswith("SUPPORT_CHANNEL")


@pytest.mark.parametrize("account", [ONE, SOCKET, MANY, {**REAL, **ONE}], ids=["one", "socket", "many", "both"])
def test_people_are_reached_at_the_desk_or_at_a_contact(account):
    without = {name: value for name, value in account.items() if name != "SUPPORT_CONTACT"}
    assert wrong(**without).startswith("SUPPORT_CONTACT (or SUPPORT_CHANNEL)")
    assert load({**without, **DESK}).support_channel == "C0DESK"
    look_over(load({**without, **DESK}))


def test_a_twilio_account_alone_needs_a_contact():
    without = {name: value for name, value in REAL.items() if name != "SUPPORT_CONTACT"}
    assert "SUPPORT_CONTACT" in wrong(**without)


@pytest.fixture
def door(tmp_path):
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("-")
    return {
        "DOOR_HOST": "Door.Example.com.",
        "DOOR_CERT": str(tmp_path / "cert.pem"),
        "DOOR_KEY": str(tmp_path / "key.pem"),
    }


def test_the_door_is_closed_unless_the_operator_opens_it():
    settings = load({})
    assert (settings.door_host, settings.door_cert, settings.door_key, settings.door_port) == ("", None, None, 465)


def test_the_door_opens_with_its_name_certificate_and_key(door):
    settings = load({**door, "DOOR_PORT": "4650"})
    assert (settings.door_host, settings.door_port) == ("door.example.com", 4650)
    assert settings.door_key.name == "key.pem"


@pytest.mark.parametrize("missing", ["DOOR_HOST", "DOOR_CERT", "DOOR_KEY"])
def test_the_door_needs_all_three_or_none(door, missing):
    sentence = wrong(**{name: value for name, value in door.items() if name != missing})
    assert sentence.startswith(f"{missing}: the door needs")
    assert wrong(**{missing: door[missing]}).startswith("DOOR_")


def test_the_hours_of_the_desk_are_read_and_none_means_always():
    monday = datetime(2026, 3, 2, 15, tzinfo=UTC)  # noon in São Paulo
    assert load({**ONE, **DESK}).desk.hours.open_at(monday)
    some = load({**ONE, **DESK, "SUPPORT_HOURS": "mon-fri 09:00-11:30, Mon 12:30-18:00", "SUPPORT_ANSWER_MINUTES": "5"})
    assert not some.desk.hours.open_at(monday)
    assert some.desk.hours.opens(monday) == monday + timedelta(minutes=30)
    assert some.desk.answer == timedelta(minutes=5)


def test_the_playground_listens_on_this_machine_only():
    assert load({"BIND": "localhost"}).listen == "localhost:8000"
    assert load({**REAL, "BIND": "0.0.0.0"}).listen == "0.0.0.0:8000"
    assert "playground" in wrong(BIND="0.0.0.0")
    assert "playground" in wrong(**REAL, BIND="0.0.0.0", PLAYGROUND_URL="http://127.0.0.1:9")


PLAYED = {**REAL, "TWILIO_API_URL": "http://127.0.0.1:9", "PLAYGROUND_URL": "http://127.0.0.1:9"}


def test_the_playground_is_never_beside_a_real_account_and_its_stand_ins_are_here():
    here = {**PLAYED, "PUBLIC_URL": "http://127.0.0.1:8000"}
    assert load(here).playground_url
    assert wrong(**{**here, "TWILIO_API_URL": "", "PUBLIC_URL": "https://bot.test"}).startswith("PLAYGROUND_URL")
    assert wrong(**{**here, "PLAYGROUND_URL": "http://evil.test"}).startswith("PLAYGROUND_URL")


def test_the_playground_s_door_is_for_this_machine_too():
    assert load({**PLAYED, "PUBLIC_URL": "http://127.0.0.1:8000"}).door_bind == "127.0.0.1"
    assert load(REAL).door_bind is None


def test_the_password_of_the_database_is_in_no_text_of_the_settings():
    assert "girafa" not in repr(load({**REAL, "DATABASE_URL": "postgresql://ally:girafa@db.test/ally"}))


def test_an_address_of_the_newer_kind_is_written_in_brackets():
    settings = load({"BIND": "::1", "PORT": "8001"})
    assert settings.listen == "[::1]:8001"
    assert settings.url == "http://[::1]:8001"
    look_over(settings)


@pytest.mark.parametrize(
    "public", ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:8000", "https://a.example"]
)
def test_any_address_of_ours_gives_a_name_that_mail_servers_take(public):
    look_over(load({"PUBLIC_URL": public}))


def test_a_key_file_that_cannot_be_read_is_named(tmp_path):
    assert "SECRET_KEYS_FILE" in wrong(SECRET_KEYS_FILE=str(tmp_path / "nothing"))
    (tmp_path / "keys").write_text("not a key")
    assert "SECRET_KEYS" in wrong(SECRET_KEYS_FILE=str(tmp_path / "keys"))


@pytest.mark.parametrize("content", ["providers: 3", "][", "providers: [{id: x}]"])
def test_a_broken_table_of_providers_is_named(tmp_path, content):
    path = tmp_path / "providers.yaml"
    path.write_text(content)
    assert wrong(PROVIDERS_EXTRA=str(path)).startswith("PROVIDERS_EXTRA")


def test_a_certificate_file_without_a_certificate_is_named(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("hello")
    assert wrong(SSL_CERT_FILE=str(path)).startswith("SSL_CERT_FILE")


def test_empty_values_count_as_unset_and_blanks_around_them_do_not_count():
    settings = load({"PORT": "", "OPERATOR_NAME": "  ", "PUBLIC_URL": " https://bot.example.com/ "})
    assert (settings.port, settings.operator_name, settings.url) == (8000, "Ally", "https://bot.example.com")


def test_what_is_not_ours_in_the_environment_is_left_alone():
    assert load({"PATH": "/bin", "TWILIO_SOMETHING": "x", "model_config": "x"}) == load({})


def test_lists_may_be_written_with_commas_or_blanks():
    settings = load({"SMTP_ALLOW_NETWORKS": "10.0.0.0/8, 192.168.0.0/16 ::1/128", "SMTP_ALLOW_PORTS": "2465,2587"})
    assert settings.smtp_allow_networks == ("10.0.0.0/8", "192.168.0.0/16", "::1/128")
    assert settings.ports == (465, 587, 2465, 2587)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", None),
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
    ],
)
def test_a_name_server_may_have_a_port(written, meant):
    assert load({"DNS_SERVER": written}).nameserver == meant


def test_no_secret_stands_in_the_representation_of_the_settings():
    settings = load({**REAL, "METRICS_TOKEN": "girafa-metrics"})
    assert "girafa" not in repr(settings)
    assert all("girafa" not in repr(load(values)) for values in (ONE, SOCKET, MANY))
    assert REAL["SECRET_KEYS"] not in repr(settings)


def test_settings_cannot_be_changed_while_the_program_runs():
    with pytest.raises(ValueError, match="frozen"):
        load({}).port = 1


def test_a_process_that_cannot_own_a_database_says_which_command_can():
    with pytest.raises(SettingsError, match=r"DATABASE_URL.*bot serve"):
        _ = load({}).needed_database_url


def test_an_unknown_time_zone_is_named():
    assert timezone("America/Sao_Paulo").key == "America/Sao_Paulo"
    for name in ("Nowhere/Land", "../../etc/passwd", ""):
        with pytest.raises(SettingsError, match="time zone"):
            timezone(name)


def test_env_example_names_exactly_the_settings():
    lines = (ROOT / "deploy" / "env.example").read_text(encoding="utf-8").splitlines()
    named = [found[1] for line in lines if (found := re.match(r"#? ?([A-Z][A-Z_]+)=", line))]
    assert sorted(named) == sorted(name.upper() for name in Settings.model_fields)


def test_every_line_of_env_example_is_explained_and_what_it_says_is_right():
    text = (ROOT / "deploy" / "env.example").read_text(encoding="utf-8")
    values = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z_]+=", line))
    load(values)


# --- signing in at Microsoft and Google -------------------------------------------------------------------------------

MICROSOFT = {
    "MICROSOFT_CLIENT_ID": "11111111-2222-4333-8444-555555555555", "MICROSOFT_CLIENT_SECRET": "girafa~value",
    "PUBLIC_URL": "https://bot.example.com",
}  # fmt: skip
GOOGLE = {
    "GOOGLE_CLIENT_ID": "1-girafa.apps.googleusercontent.com", "GOOGLE_CLIENT_SECRET": "girafa-value",
    "PUBLIC_URL": "https://bot.example.com",
}  # fmt: skip


@pytest.mark.parametrize("values", [MICROSOFT, GOOGLE, {**MICROSOFT, **GOOGLE}, {**GOOGLE, "GOOGLE_VERIFIED": "yes"}])
def test_an_app_with_its_secret_starts(values):
    look_over(load(values))


def test_the_id_of_a_secret_is_not_its_value():
    sentence = wrong(**{**MICROSOFT, "MICROSOFT_CLIENT_SECRET": MICROSOFT["MICROSOFT_CLIENT_ID"]})
    assert sentence.startswith("MICROSOFT_CLIENT_SECRET: that is the secret's id")


def test_the_name_of_an_app_is_not_its_id():
    assert wrong(**{**MICROSOFT, "MICROSOFT_CLIENT_ID": "Ally mail"}).startswith("MICROSOFT_CLIENT_ID")
    assert wrong(**{**GOOGLE, "GOOGLE_CLIENT_ID": "ally-mail"}).startswith("GOOGLE_CLIENT_ID")


def test_nobody_comes_back_from_signing_in_over_plain_http_but_on_this_machine():
    assert wrong(**{**MICROSOFT, "PUBLIC_URL": "http://bot.example.com"}).startswith("PUBLIC_URL")
    look_over(load({**MICROSOFT, "PUBLIC_URL": "http://localhost:8000"}))


def test_another_provider_than_the_real_one_names_its_apps_as_it_likes():
    settings = load({**MICROSOFT, "MICROSOFT_CLIENT_ID": "app-1", "MICROSOFT_AUTHORITY": "http://127.0.0.1:9/"})
    assert settings.microsoft_authority == "http://127.0.0.1:9"


def test_a_secret_of_an_app_is_not_printed():
    assert "girafa~value" not in repr(load(MICROSOFT))
    assert "girafa-value" not in repr(load(GOOGLE))
