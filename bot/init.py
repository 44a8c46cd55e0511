"""`python -m bot init`: asks for what an installation needs, one thing after the other, and writes it into a file.

Each answer is looked at where it is given, as far as that can be: by the rules of the settings, and by asking Twilio,
Slack or the database. A provider that cannot be reached holds nobody up; `doctor` looks again.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bot.channels import SendError
from bot.channels.slack.client import NoWorkspaceError, SlackApi
from bot.channels.whatsapp import Twilio
from bot.channels.whatsapp.account import SANDBOX, TwilioAccount
from bot.settings import Settings, SettingsError, load
from bot.store.engine import DatabaseDown, connect
from bot.vault import new_key

Values = dict[str, str]
Look = Callable[[Values], str]
REFUSED = frozenset({"20003", "20404", "401", "404"})  # of a sid or a token: www.twilio.com/docs/api/errors/20003
UNWRITABLE = frozenset("'\\\n\r\0")  # shells, systemd and compose read them each in its own way
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@+,=-")
WHATSAPP, SLACK, BOTH = "whatsapp", "slack", "both"

NOW = """\
Now:
  1. Load it:        set -a; . {file}; set +a
  2. Look it over:   python -m bot doctor
{twilio}{slack}  {next}. Start it:       python -m bot serve     (or by Procfile, compose.yml, systemd: all in deploy/)
  {last}. Your first agency: python -m bot agency add "NAME" --admin "NAME"
Keep a copy of the key (SECRET_KEYS) at another place than your backups: without it no stored password opens.
On Monday (it takes days, so ask for it today): deploy/RUNBOOK.md, "What takes its time".
"""


@dataclass(frozen=True, slots=True)
class Question:
    """One setting that is asked for. `look`: what the world says of it; empty: it is right, or cannot be told."""

    name: str
    words: str
    secret: bool = False
    optional: bool = False
    usual: str = ""
    shape: str = ""
    look: Look = lambda _: ""


@dataclass(frozen=True, slots=True)
class Terminal:
    """How questions reach a person: `ask(words, usual, hidden)` gives the answer; `say` prints a line."""

    ask: Callable[[str, str, bool], str]
    say: Callable[[str], None]


def init(file: Path, terminal: Terminal, environment: Mapping[str, str]) -> str:
    """Ask for everything, write the file (0600), and answer what is to be done now. Raises SettingsError.

    `environment`: where the addresses of stand-ins may be given, for tests. A file that is there is only replaced
    after a yes.
    """
    if file.exists() and _chosen(terminal, f"{file} is there already. Replace it?", ("yes", "no"), "no") == "no":
        raise SettingsError(f"{file} was left as it is; give another name: python -m bot init FILE")
    values: Values = {"SECRET_KEYS": new_key()}
    apis = {name: environment[name] for name in ("TWILIO_API_URL", "SLACK_API_URL") if environment.get(name)}
    asked = {**values, **apis}
    channel = _chosen(terminal, "Where do people write to the assistant?", (WHATSAPP, SLACK, BOTH), WHATSAPP)
    for question in _questions(channel):
        _put(terminal, question, asked)
    _ask_for_help(terminal, asked, slack=channel != WHATSAPP)
    asked.setdefault("PRIVACY_URL", f"{asked['PUBLIC_URL']}/privacy")
    load(asked)
    _write(file, {name: value for name, value in asked.items() if name not in apis and value})
    return _what_now(file, channel)


def _questions(channel: str) -> list[Question]:
    questions = [
        Question("PUBLIC_URL", "Under which address do people and Twilio reach it (https://…)?", look=_https),
        Question("OPERATOR_NAME", "Whose assistant is it? This name stands in the first message.", usual="Ally"),
    ]
    if channel != SLACK:
        questions += [
            Question("TWILIO_ACCOUNT_SID", "Twilio: the Account SID (AC…)", shape="AC and 32 digits or letters a to f"),
            Question("TWILIO_AUTH_TOKEN", "Twilio: the Auth Token", secret=True, look=_twilio_token),
            Question(
                "TWILIO_WHATSAPP_FROM", "Twilio: your WhatsApp number (+…)", shape="+5511999990001", look=_twilio_sender
            ),
        ]
    if channel != WHATSAPP:
        questions += [
            Question("SLACK_BOT_TOKEN", "Slack: the Bot User OAuth Token (xoxb-…)", secret=True, look=_slack_token),
            Question("SLACK_SIGNING_SECRET", "Slack: the Signing Secret", secret=True),
        ]
    return [
        *questions,
        Question(
            "DATABASE_URL", "PostgreSQL (postgresql://user:password@host/name); empty: an embedded one", optional=True,
            secret=True, look=_database,
        ),
    ]  # fmt: skip


def _ask_for_help(terminal: Terminal, asked: Values, *, slack: bool) -> None:
    """A person must be reachable: by a contact, or by a channel of the team's in Slack."""
    how = (
        _chosen(terminal, "How do people reach a person of yours?", ("contact", "channel"), "contact") if slack else ""
    )
    if how == "channel":
        _put(terminal, Question("SUPPORT_TEAM", "Slack: the workspace of your team (T…)", shape="T0123ABCD"), asked)
        _put(terminal, Question("SUPPORT_CHANNEL", "Slack: its private channel (C… or G…)", shape="C0123ABCD"), asked)
    else:
        _put(terminal, Question("SUPPORT_CONTACT", "The phone number or address of your support"), asked)


def _chosen(terminal: Terminal, words: str, choices: tuple[str, ...], usual: str) -> str:
    while True:
        answer = terminal.ask(f"{words} ({' / '.join(choices)})", usual, False).strip().lower()  # noqa: FBT003
        fitting = [one for one in choices if answer and one.startswith(answer)]
        if len(fitting) == 1:
            return fitting[0]
        terminal.say(f"Please answer one of: {', '.join(choices)}.")


def _put(terminal: Terminal, question: Question, asked: Values) -> None:
    """Ask until the answer is right, and keep it."""
    while True:
        answer = terminal.ask(question.words, question.usual, question.secret).strip()
        wrong = _wrong(question, answer, asked)
        if not wrong:
            asked[question.name] = answer
            return
        terminal.say(wrong)


def _wrong(question: Question, answer: str, asked: Values) -> str:
    """What is wrong about an answer, in one plain sentence; empty: nothing."""
    if not answer:
        return "" if question.optional else f"{question.name}: it is needed."
    if UNWRITABLE & set(answer) or not answer.isprintable():
        return f"{question.name}: it must not hold quotation marks or backslashes."
    try:
        load({question.name: answer})
    except SettingsError as error:
        if str(error).startswith(f"{question.name}:"):  # else it is about what was not asked for yet
            return f"{question.name}: it must be like {question.shape}." if question.shape else str(error)
    return question.look({**asked, question.name: answer})


# --- what the world says ----------------------------------------------------------------------------------------------


def _https(values: Values) -> str:
    right = values["PUBLIC_URL"].startswith("https://") or "TWILIO_API_URL" in values or "SLACK_API_URL" in values
    return "" if right else "PUBLIC_URL: it must begin with https://, because passwords are typed there."


class _NoContents:
    """Nothing is sent while we ask, so no resource is looked for."""

    def get(self, _name: str) -> None:
        """None is known."""

    def put(self, name: str, sid: str) -> None:
        """None is made."""


def _account(values: Values) -> TwilioAccount:
    sid, token = values["TWILIO_ACCOUNT_SID"], values["TWILIO_AUTH_TOKEN"]
    sender = values.get("TWILIO_WHATSAPP_FROM", "+10000000")
    twilio = Twilio(sid, token, sender, _NoContents(), api_url=values.get("TWILIO_API_URL", ""))
    return TwilioAccount(twilio, sid, sender)


def _twilio_token(values: Values) -> str:
    try:
        state = _account(values).state()
    except SendError as failure:
        return "TWILIO_AUTH_TOKEN: Twilio does not take it with this Account SID." if failure.code in REFUSED else ""
    return "" if state.status == "active" else f"TWILIO_ACCOUNT_SID: Twilio says that the account is {state.status}."


def _twilio_sender(values: Values) -> str:
    account = _account(values)
    with suppress(SendError):
        if account.sender != SANDBOX and account.find() is None:
            return f"TWILIO_WHATSAPP_FROM: the account has no WhatsApp sender {values['TWILIO_WHATSAPP_FROM']}."
    return ""


def _slack_token(values: Values) -> str:
    api = SlackApi(lambda _team: values["SLACK_BOT_TOKEN"], values.get("SLACK_API_URL", ""))
    try:
        api.granted("")
    except NoWorkspaceError:
        return "SLACK_BOT_TOKEN: Slack does not take it."
    except SendError:
        return ""
    return ""


def _database(values: Values) -> str:
    engine = connect(values["DATABASE_URL"], pool=1)
    try:
        with engine.connect():
            return ""
    except DatabaseDown:
        return "DATABASE_URL: no database answers there, or it does not let this user in."
    finally:
        engine.dispose()


# --- what is written --------------------------------------------------------------------------------------------------


def _write(file: Path, values: Values) -> None:
    """All or nothing, for our user's eyes only."""
    lines = ["# The settings of the Ally mail assistant; deploy/env.example explains each, and those left out."]
    lines += [f"{name}={_quoted(values[name])}" for name in _names(values)]
    fresh = file.with_name(f".{file.name}.new")
    try:
        with suppress(FileNotFoundError):
            fresh.unlink()
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write("\n".join(lines) + "\n")
        fresh.replace(file)
    except OSError as error:
        raise SettingsError(f"{file} cannot be written ({error.strerror}).") from None


def _names(values: Values) -> list[str]:
    return [name.upper() for name in Settings.model_fields if name.upper() in values]  # in the order of the settings


def _quoted(value: str) -> str:
    """As a shell, systemd's EnvironmentFile and compose's env_file read it alike."""
    return value if set(value) <= PLAIN else f"'{value}'"


def _what_now(file: Path, channel: str) -> str:
    number, twilio, slack = 3, "", ""
    if channel != SLACK:
        twilio = f"  {number}. Tell Twilio:     python -m bot setup-twilio\n"
        number += 1
    if channel != WHATSAPP:
        slack = f"  {number}. Let Slack check the address: README.md, 'Connect Slack'\n"
        number += 1
    shown = str(file) if file.is_absolute() else f"./{file}"  # a shell looks for a bare name elsewhere
    return f"Wrote {file}; only you can read it.\n" + NOW.format(
        file=shown, twilio=twilio, slack=slack, next=number, last=number + 1
    )
