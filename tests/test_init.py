"""`init`: asks one thing after the other, says at once what is wrong, and writes a file that starts."""

import stat
import subprocess

import pytest
from click.testing import CliRunner

from bot.__main__ import main
from bot.playground.slack import SlackStandIn
from bot.playground.twilio import TwilioStandIn
from bot.settings import Settings, load

PUBLIC = "https://mail.example.com"


@pytest.fixture
def twilio():
    with TwilioStandIn() as stand_in:
        stand_in.statuses = ()
        yield stand_in


@pytest.fixture
def slack():
    with SlackStandIn() as stand_in:
        stand_in.workspace("T0SOL", "Sol")
        yield stand_in


@pytest.fixture
def run(monkeypatch, tmp_path):
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)

    def call(*answers, file="ally.env", **environment):
        words = "\n".join(answers) + "\n"
        return CliRunner().invoke(main, ["init", str(tmp_path / file)], input=words, env=environment)

    return call


def by_whatsapp(twilio, **other):
    """The answers in the order of the questions, some of them others."""
    usual = {
        "channel": "whatsapp", "url": PUBLIC, "operator": "Ana and Bia", "sid": twilio.account_sid,
        "token": twilio.auth_token, "number": twilio.sender, "database": "", "contact": "+55 11 5555 0100",
    }  # fmt: skip
    return [part for value in (usual | other).values() for part in (value if isinstance(value, list) else [value])]


def written(file):
    """The settings as a shell reads them from the file."""
    command = ["sh", "-c", f"set -a; . {file}; env -0"]
    output = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True).stdout.decode()
    return dict(line.split("=", 1) for line in output.split("\0") if "=" in line)


def test_the_answers_stand_in_a_file_that_starts(run, twilio, tmp_path):
    done = run(*by_whatsapp(twilio), TWILIO_API_URL=twilio.url)
    assert done.exit_code == 0, done.output
    file = tmp_path / "ally.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    settings = load(written(file))
    assert (settings.public_url, settings.twilio_auth_token) == (PUBLIC, twilio.auth_token)
    assert settings.support_contact == "+55 11 5555 0100"
    assert settings.operator_name == "Ana and Bia"
    assert settings.privacy_url == f"{PUBLIC}/privacy"
    assert settings.secret_keys
    assert settings.twilio_api_url == ""
    for words in ("python -m bot doctor", "python -m bot setup-twilio", "On Monday", "Keep a copy of the key"):
        assert words in done.output
    assert settings.secret_keys not in done.output
    assert twilio.auth_token not in done.output


@pytest.mark.parametrize(
    ("which", "wrong", "sentence"),
    [
        ("url", "mail.example.com", "PUBLIC_URL: it must be a web address"),
        ("sid", "AC12", "TWILIO_ACCOUNT_SID: it must be like AC"),
        ("token", "wrong-token", "TWILIO_AUTH_TOKEN: Twilio does not take it"),
        ("number", "+15550109999", "TWILIO_WHATSAPP_FROM: the account has no WhatsApp sender"),
        ("number", "12", "TWILIO_WHATSAPP_FROM: it must be like +5511"),
        ("database", "mysql://x/y", "DATABASE_URL: it must begin with postgresql://"),
        ("database", "postgresql://127.0.0.1:9/ally", "DATABASE_URL: no database answers there"),
        ("channel", "fax", "Please answer one of: whatsapp, slack, both."),
        ("contact", "it's me", "SUPPORT_CONTACT: it must not hold quotation marks"),
    ],
)
def test_a_wrong_answer_is_told_at_once_and_asked_again(run, twilio, tmp_path, which, wrong, sentence):
    usual = dict(zip(("channel", "url", "operator", "sid", "token", "number", "database", "contact"),
                     by_whatsapp(twilio), strict=True))  # fmt: skip
    done = run(*by_whatsapp(twilio, **{which: [wrong, usual[which]]}), TWILIO_API_URL=twilio.url)
    assert done.exit_code == 0, done.output
    assert done.output.count(sentence) == 1
    assert f"={wrong}\n" not in (tmp_path / "ally.env").read_text()


def test_an_address_without_encryption_is_refused(run, tmp_path):
    done = run("whatsapp", "http://mail.example.com")
    assert "PUBLIC_URL: it must begin with https://" in done.output
    assert done.exit_code != 0  # the answers ended there
    assert not (tmp_path / "ally.env").exists()


def test_a_provider_that_is_away_holds_nobody_up(run, twilio, tmp_path):
    done = run(*by_whatsapp(twilio), TWILIO_API_URL="http://127.0.0.1:9")
    assert done.exit_code == 0, done.output


def test_slack_alone_with_a_channel_of_the_team(run, slack, tmp_path):
    (token,) = [one.token for one in slack._world.workspaces.values()]
    answers = ["slack", PUBLIC, "", "xoxb-nonsense", token, "5" * 32, "", "channel", "T0SOL", "G0DESK"]
    done = run(*answers, SLACK_API_URL=f"{slack.url}/api")
    assert done.exit_code == 0, done.output
    assert "SLACK_BOT_TOKEN: Slack does not take it." in done.output
    assert "setup-twilio" not in done.output
    settings = load(written(tmp_path / "ally.env"))
    assert (settings.support_team, settings.support_channel) == ("T0SOL", "G0DESK")
    assert settings.operator_name == "Ally"


def test_a_file_that_is_there_is_only_replaced_after_a_yes(run, twilio, tmp_path):
    file = tmp_path / "ally.env"
    file.write_text("the former one")
    done = run("", TWILIO_API_URL=twilio.url)
    assert done.exit_code != 0
    assert file.read_text() == "the former one"
    assert run("yes", *by_whatsapp(twilio), TWILIO_API_URL=twilio.url).exit_code == 0
    assert "PUBLIC_URL" in file.read_text()
    assert [one.name for one in tmp_path.iterdir()] == ["ally.env"]
