"""`python -m bot check HOST:PORT`: the staged live test by hand, with the settings of this installation.

Without a user it stops when a mail server has proved its name. It needs no database. The password comes by standard
input only: arguments can be read by every user of the machine, and stay in the shell's history.
"""

import json
import os
import re
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import click

from bot.app import known_providers, network
from bot.cli.shared import as_json
from bot.mail.knowledge.explain import Stage
from bot.mail.knowledge.provider import Provider, Server
from bot.mail.wire.account import MAX_SECRET, Account
from bot.mail.wire.guard import BadHost, PortRefused, ascii_host
from bot.mail.wire.probe import SUBMISSION, Answered, Failed, Worked, check_server, test_login
from bot.mail.wire.smtp import Network
from bot.settings import Settings, load
from flows.speech import sentence

_PORT = re.compile(r"[0-9]{1,5}")
_MAX_LINE = 4 * MAX_SECRET + 2  # bytes: UTF-8, and the line's end


@dataclass
class _Printer:
    """Every stage as it ends: what an operator waits for is seen while it is waited for."""

    silent: bool
    stages: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, stage: Stage, seconds: float, *, ok: bool) -> None:
        self.stages.append({"stage": stage, "ok": ok, "seconds": round(seconds, 3)})
        if not self.silent:
            click.echo(f"{stage:<10}  {'ok' if ok else 'failed':<6}  {seconds:7.3f} s")


@click.command()
@click.argument("server", metavar="HOST:PORT")
@click.option("--security", type=click.Choice(["tls", "starttls"]), help="When TLS starts. [default: as the port says]")
@click.option("--user", help="Who signs in; without, it stops before signing in.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input (its first line).")
@click.option("--address", help="The address that mail is from.  [default: the user]")
@as_json
@click.pass_context
def check(
    context: click.Context,
    server: str,
    security: Literal["tls", "starttls"] | None,
    user: str | None,
    password_stdin: bool,
    address: str | None,
    wants_json: bool,
) -> None:
    """Test a mail server, or an account on it, stage by stage; no mail is sent.

    Exit status 0: it works; 1: it does not; 2: asked in the wrong way.
    """
    if (user is None) is password_stdin:
        raise click.UsageError("--user and --password-stdin belong together.")
    if address is not None and user is None:
        raise click.UsageError("--address is of use with --user only.")
    if user is not None and address is None and "@" not in user:
        raise click.UsageError("--address: the user name is no address; say from which address mail is sent.")
    settings = load(os.environ)
    ways = network(settings)
    tested = _server(server, security, ways)
    printer = _Printer(wants_json)
    found: Answered | Worked | Failed
    if user is None:
        found = check_server(tested, network=ways, watch=printer)
    else:
        account = Account(address or user, user, tested)
        provider = _provider(settings, account)
        secret = _password()
        secret = provider.secret_shape.clean(secret) if provider else secret
        family = provider.family if provider else None
        found = test_login(account, secret, network=ways, provider=family, watch=printer)
    answer = _answer(found)
    if wants_json:
        click.echo(json.dumps({**answer, "stages": printer.stages}, ensure_ascii=False, default=asdict))
    else:
        click.echo("\n".join(["", *(f"{name.replace('_', ' ')}: {_shown(value)}" for name, value in answer.items())]))
    context.exit(1 if isinstance(found, Failed) else 0)


def _server(text: str, security: Literal["tls", "starttls"] | None, ways: Network) -> Server:
    host, _, number = text.rpartition(":")
    try:
        name = ascii_host(host)
        port = int(number) if _PORT.fullmatch(number) else 0
        ways.guard.check_port(port)
    except BadHost:
        raise click.UsageError("HOST:PORT is like smtp.example.com:465, or [2001:db8::1]:465.") from None
    except PortRefused:
        raise click.UsageError("The port is none at which mail is handed in; SMTP_ALLOW_PORTS adds some.") from None
    return Server(name, port, security or SUBMISSION.get(port, "tls"))


def _provider(settings: Settings, account: Account) -> Provider | None:
    known, today = known_providers(settings.providers_extra), datetime.now(UTC).date()
    return known.for_address(account.address, today) or known.for_host(account.server.host, today)


def _password() -> str:
    """The first line of standard input. What is wrong about it is said without it."""
    line = sys.stdin.buffer.readline(_MAX_LINE)
    try:
        secret = line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise click.UsageError("The password on standard input is not UTF-8.") from None
    if not secret or len(secret) > MAX_SECRET:
        raise click.UsageError(f"Standard input must begin with the password, of at most {MAX_SECRET} letters.")
    return secret


def _answer(found: Answered | Worked | Failed) -> dict[str, Any]:
    """The outcome as names and plain values; a failure's empty ones are left out."""
    common = {"works": not isinstance(found, Failed), "server": found.server, "repaired": found.repaired}
    if isinstance(found, Answered):
        return {**common, "sign_in_methods": list(found.methods)}
    if isinstance(found, Worked):
        return common
    told = {
        "ours": found.ours,
        "certificate": found.detail,
        "better_host": found.better_host,
        "better_server": found.better_server,
        "said": found.raw,
    }
    return {
        **common,
        "stage": found.stage,
        "cause": found.cause,
        "who": found.who,
        "retry": found.retry,
        "advice": sentence(f"cause.{found.cause}", "en"),
        **{name: value for name, value in told.items() if value},
    }


def _shown(value: Any) -> str:
    """A value of the answer in one line."""
    match value:
        case Server(host, port, security):
            return f"[{host}]:{port} {security}" if ":" in host else f"{host}:{port} {security}"
        case bool():
            return "yes" if value else "no"
        case list():
            return " ".join(value) or "none"
        case _:
            return str(value)
