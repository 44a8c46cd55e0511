"""The command line: `python -m bot ...`. Exit status 0: done; 1: it did not work; 2: asked in the wrong way."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from bot import ask_command, audit_command, commands, texts_command
from bot.app import Parts, create_worker, join, look_over
from bot.check_command import check
from bot.clock import SystemClock
from bot.database import opened
from bot.discover_command import discover, providers
from bot.explain_command import explain
from bot.log import setup
from bot.oauth_apps import PROVIDERS, redirect_uri
from bot.rotation import StillAtWork, as_row, keys_in_use, rotate
from bot.safe import WrongKey
from bot.settings import Settings, SettingsError, load
from bot.store.backup import BackupFailed
from bot.store.embedded import EmbeddedFailed
from bot.store.engine import DatabaseDown
from bot.store.schema import WrongSchema
from bot.vault import Secret, new_key
from flows import guide
from flows.sign_in import BRANDS
from flows.words import LANGUAGES, Language

DOOR_POOL = 20  # connections to the database; each is held for moments only
OPERATOR_ERRORS = (
    SettingsError, WrongSchema, WrongKey, StillAtWork, EmbeddedFailed, BackupFailed, commands.CannotBe,
)  # fmt: skip
LETTER = click.IntRange(1, 2**63 - 1)
as_json = click.option("--json", "wants_json", is_flag=True, help="Answer in JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Ally mail assistant."""


def _settings() -> Settings:
    settings = load(os.environ)
    setup(settings.log_format)
    return settings


@contextmanager
def _joined() -> Iterator[Parts]:
    settings = _settings()
    with opened(settings) as url:
        parts = join(settings, url)
        try:
            yield parts
        finally:
            parts.close()


def _answer(found: Any, wants_json: bool) -> None:  # noqa: FBT001 - the flag of the command line
    if wants_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    rows = found if isinstance(found, list) else [found]
    if not rows:
        click.echo("Nothing.")
    for row in rows:
        click.echo("\n".join(f"{name.replace('_', ' ')}: {_written(value)}" for name, value in row.items()) + "\n")


def _written(value: Any) -> str:
    """A value for a person: what is many stands on lines of its own."""
    if not isinstance(value, list):
        return str(value)
    lines = (" ".join(map(str, one.values())) if isinstance(one, dict) else str(one) for one in value)
    return "".join(f"\n  {line}" for line in lines)


# --- running ----------------------------------------------------------------------------------------------------------


@main.command()
def serve() -> None:
    """Serve everything on this machine; without a Twilio account, the playground."""
    from bot.serve import serve as run  # noqa: PLC0415 - only this command supervises processes

    run(_settings(), os.environ)


@main.command()
def web() -> None:
    """Serve the web application with gunicorn."""
    from bot.serve import web_command  # noqa: PLC0415 - see serve

    command = web_command(_settings())
    os.execv(command[0], command)  # noqa: S606 - it takes our place, with our signals


@main.command()
def worker() -> None:
    """Perform promises until told to stop."""
    from bot.alarms import Alarms, bells  # noqa: PLC0415 - only what runs for long gives alarms

    with _joined() as parts:
        working = create_worker(parts)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: working.stop())
        alarms = Alarms(parts, bells(parts)).start()
        working.run()
        alarms.stop()


@main.command()
def door() -> None:
    """Take mails for people's mailboxes from Ally, until told to stop; SIGHUP: the certificate was renewed."""
    from bot.door_command import keep_open  # noqa: PLC0415 - only this command needs it

    settings = _settings()
    with opened(settings) as url:
        parts = join(settings, url, pool=DOOR_POOL)
        try:
            keep_open(parts)
        finally:
            parts.close()


@main.command()
@click.option("--draft", metavar="WHAT", help="Write a migration for what changed in tables.py, to be read.")
def migrate(draft: str | None) -> None:
    """Bring the database to this version's schema."""
    with opened(_settings(), migrate=draft is None) as url:
        if draft is not None:
            from bot.store import schema  # noqa: PLC0415 - for developers
            from bot.store.engine import connect  # noqa: PLC0415

            schema.draft(connect(url, pool=1), draft)


@main.command("check-config")
def check_config() -> None:
    """Say whether the settings are right."""
    from bot.door_command import look_at_files  # noqa: PLC0415 - see door

    settings = _settings()
    look_over(settings)
    look_at_files(settings)
    click.echo("The settings are right.")
    given = {"microsoft": settings.microsoft_client_id, "google": settings.google_client_id}
    for name in PROVIDERS:
        if given[name]:
            click.echo(f"Redirect address to be registered at {BRANDS[name]}: {redirect_uri(settings.url, name)}")


@main.command("doctor")
@as_json
def look_at_it(wants_json: bool) -> None:  # noqa: FBT001
    """Look at the whole installation: one line a check, with what to do. Status 1 when something failed."""
    from dataclasses import asdict  # noqa: PLC0415 - see backup

    from bot.doctor import examine, healthy, lines  # noqa: PLC0415

    setup("text", logging.CRITICAL)  # the findings say it in better words
    found = examine(os.environ)
    click.echo(
        json.dumps([asdict(one) for one in found], ensure_ascii=False) if wants_json else "\n".join(lines(found))
    )
    if not healthy(found):
        sys.exit(1)


@main.command()
@click.option("--script", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Play what a file says.")
@click.option("--record", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write down the talk.")
def talk(script: Path | None, record: Path | None) -> None:
    """Talk to the assistant in this terminal, with the sandbox's mail server."""
    from bot.talk import talk as run  # noqa: PLC0415 - needs the playground's libraries

    settings = _settings()
    setup(settings.log_format, logging.WARNING)  # the talk is what this terminal is for
    run(settings, script, record)


@main.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@as_json
def backup(file: Path | None, wants_json: bool) -> None:  # noqa: FBT001
    """Write the database into FILE, else into a new file in BACKUP_DIR. The keys are not in it."""
    from bot.backup import backup as run  # noqa: PLC0415 - what an operator does once a day loads no serving process

    _answer(run(_settings(), file, SystemClock().now()), wants_json)


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Also over what is in the database: that is lost.")
@as_json
def restore(file: Path, replace: bool, wants_json: bool) -> None:  # noqa: FBT001 - flags
    """Put a backup back into the database: all of it, or nothing is changed."""
    from bot.backup import restore as run  # noqa: PLC0415 - see backup

    _answer(run(_settings(), file, SystemClock().now(), replace=replace), wants_json)


@main.command("forget-secrets")
@click.option("--yes", is_flag=True, help="Really do it.")
@click.option("--lost", is_flag=True, help="Only what was sealed with a key that SECRET_KEYS does not hold.")
@as_json
def forget_secrets(yes: bool, lost: bool, wants_json: bool) -> None:  # noqa: FBT001 - flags
    """Erase every stored password and token: only for when the keys are lost for good."""
    from bot.backup import forget_secrets as run  # noqa: PLC0415 - see backup

    if not yes:
        raise click.UsageError("People will be asked for their password anew. If the keys are lost for good: --yes")
    _answer(run(_settings(), SystemClock().now(), lost=lost), wants_json)


@main.command("init")
@click.argument("file", default="ally.env", type=click.Path(dir_okay=False, path_type=Path))
def ask_for_settings(file: Path) -> None:
    """Ask for what an installation needs and write it into FILE (ally.env)."""
    from bot.init import Terminal, init  # noqa: PLC0415 - see backup

    def ask(words: str, usual: str, hidden: bool) -> str:  # noqa: FBT001 - see Terminal
        return str(click.prompt(words, default=usual, hide_input=hidden, show_default=bool(usual)))

    click.echo(init(file, Terminal(ask, click.echo), os.environ), nl=False)


@main.command("new-key")
def make_key() -> None:
    """Print a new key for SECRET_KEYS."""
    click.echo(new_key())


@main.command("rotate-keys")
@click.option("--check", "only_look", is_flag=True, help="Change nothing: only say what each key is needed for.")
@as_json
def rotate_keys(only_look: bool, wants_json: bool) -> None:  # noqa: FBT001 - flags
    """Seal everything with the newest key of SECRET_KEYS, while all runs; say what each key is needed for.

    Status 1 when an older key is still needed, or something does not open. It may be stopped, and begun again.
    """
    with _joined() as parts:
        resealed = 0 if only_look else rotate(parts.engine, parts.vault, parts.clock.now())
        found = keys_in_use(parts.engine, parts.vault)
    rows = [as_row(one) for one in found]
    if wants_json:
        click.echo(json.dumps({"resealed": resealed, "keys": rows}))
    else:
        click.echo(f"Sealed anew: {resealed}")
        click.echo("\n".join(f"{one.key}: {one.records} records. {one.told}" for one in found))
    if not all(one.in_order for one in found):
        sys.exit(1)


@main.command()
@click.argument("question", required=False)
@click.option("--language", type=click.Choice(LANGUAGES), help="Of the answer; else that of the question.")
@click.option("--jsonl", "many", is_flag=True, help='Read {"id", "text"} lines on standard input, answer a line each.')
@click.option("--topic", type=click.Choice(sorted(guide.articles("en"))), help="Print this article, to be posted.")
@click.option("--unanswered", is_flag=True, help="List what people asked in vain.")
@as_json
def ask(
    question: str | None,
    language: Language | None,
    many: bool,  # noqa: FBT001 - a flag, as the next two
    topic: str | None,
    unanswered: bool,  # noqa: FBT001
    wants_json: bool,  # noqa: FBT001
) -> None:
    """Say what the guide answers to QUESTION."""
    if sum((question is not None, many, topic is not None, unanswered)) != 1:
        raise click.UsageError("Give one of QUESTION, --jsonl, --topic and --unanswered.")
    if unanswered:
        _listed(commands.unanswered, wants_json)
        return
    desk = ask_command.Desk(_settings())
    if topic is not None:
        click.echo(desk.article(topic, language or "en"))
    elif many:
        ask_command.answer_lines(desk, language)
    else:
        ask_command.answer(desk, question or "", language, wants_json=wants_json)


@main.command("texts")
@click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True)
@as_json
def show_texts(language: Language, wants_json: bool) -> None:  # noqa: FBT001
    """Print every sentence with example values, its length, and where it is said."""
    if wants_json:
        click.echo(json.dumps(texts_command.as_rows(language), ensure_ascii=False))
        return
    for line in texts_command.lines(language):
        click.echo(f"{line.name}  ({line.length}; {', '.join(line.said_in)})\n{line.words}\n")


main.add_command(check)
main.add_command(discover)
main.add_command(explain)
main.add_command(providers)


# --- people -----------------------------------------------------------------------------------------------------------


@main.group()
def agency() -> None:
    """Agencies."""


@agency.command("add")
@click.argument("name")
@click.option("--language", type=click.Choice(["en", "pt", "es"]), default="pt", show_default=True)
@click.option("--timezone", default="America/Sao_Paulo", show_default=True)
@click.option("--admin", default="", metavar="NAME", help="Who administrates it; the invitation is theirs.")
@as_json
def agency_add(name: str, language: Any, timezone: str, admin: str, wants_json: bool) -> None:  # noqa: FBT001
    """Add an agency and print its admin's invitation."""
    with _joined() as parts:
        _answer(commands.add_agency(parts, name, language, timezone, admin), wants_json)


@agency.command("list")
@as_json
def agency_list(wants_json: bool) -> None:  # noqa: FBT001
    """List all agencies."""
    _listed(commands.agencies, wants_json)


@agency.command("show")
@click.argument("name")
@as_json
def agency_show(name: str, wants_json: bool) -> None:  # noqa: FBT001
    """Show an agency, its members and who of them can send."""
    with _joined() as parts:
        _answer(commands.agency_in_full(parts, name), wants_json)


@agency.command("close")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Really do it; without this it only says what would happen.")
@as_json
def agency_close(name: str, yes: bool, wants_json: bool) -> None:  # noqa: FBT001
    """Close an agency: all memberships end, all passwords are erased, everybody is told."""
    with _joined() as parts:
        _answer(commands.close_agency(parts, name, really=yes), wants_json)


@agency.command("server")
@click.argument("name")
@click.argument("where", metavar="HOST:PORT|none")
@click.option("--security", type=click.Choice(["tls", "starttls"]), help="How it is encrypted; else by the port.")
@as_json
def agency_server(name: str, where: str, security: Any, wants_json: bool) -> None:  # noqa: FBT001
    """Set the one mail server that all members are to use, as Ally demands it; `none`: they may use any."""
    with _joined() as parts:
        _answer(commands.set_server(parts, name, where, security), wants_json)


@agency.command("rule")
@click.argument("name")
@click.argument("rule", type=click.Choice(["warn", "strict"]))
@as_json
def agency_rule(name: str, rule: str, wants_json: bool) -> None:  # noqa: FBT001
    """Say what happens when a member has another server: they are warned, or it is refused."""
    with _joined() as parts:
        _answer(commands.set_rule(parts, name, rule), wants_json)


@agency.command("oauth")
@click.argument("name")
@click.option("--provider", type=click.Choice(PROVIDERS), required=True)
@click.option("--client-id", default="", help="Of the agency's own app.")
@click.option("--client-secret-stdin", "reads_secret", is_flag=True, help="Read the app's secret on standard input.")
@click.option("--tenant", default="", help="The one organisation of Microsoft's that the app is for: its id or domain.")
@click.option("--remove", is_flag=True, help="Its people sign in through the installation's app again.")
@as_json
def agency_oauth(
    name: str,
    provider: Any,
    client_id: str,
    reads_secret: bool,  # noqa: FBT001 - a flag, as the next two
    tenant: str,
    remove: bool,  # noqa: FBT001
    wants_json: bool,  # noqa: FBT001
) -> None:
    """Let the people of an agency sign in through its own app: --client-id with --client-secret-stdin, or --remove."""
    if remove == bool(client_id) or bool(client_id) != reads_secret:
        raise click.UsageError("Give --client-id with --client-secret-stdin, or --remove.")
    secret = Secret(sys.stdin.readline().strip("\r\n")) if reads_secret else None
    with _joined() as parts:
        if secret is None:
            _answer(commands.remove_oauth_app(parts, name, provider), wants_json)
        else:
            _answer(commands.set_oauth_app(parts, name, provider, client_id, secret, tenant), wants_json)


@main.command()
@click.argument("agency_name", metavar="AGENCY")
@click.option("--role", type=click.Choice(["member", "admin"]), default="member", show_default=True)
@click.option("--name", default="", help="Whom it is for.")
@click.option("--uses", type=click.IntRange(1, commands.MAX_USES), default=1, show_default=True)
@as_json
def invite(agency_name: str, role: str, name: str, uses: int, wants_json: bool) -> None:  # noqa: FBT001
    """Make an invitation: prints the code and the wa.me link."""
    with _joined() as parts:
        _answer(commands.invite(parts, agency_name, role, name, uses), wants_json)


@main.group()
def workspace() -> None:
    """Slack workspaces: each belongs to one agency."""


@workspace.command("list")
@as_json
def workspace_list(wants_json: bool) -> None:  # noqa: FBT001
    """List all workspaces."""
    _listed(commands.workspaces, wants_json)


@workspace.command("release")
@click.argument("team")
@as_json
def workspace_release(team: str, wants_json: bool) -> None:  # noqa: FBT001
    """Take a workspace (T...) from its agency; everybody in it has to come in again."""
    with _joined() as parts:
        _answer(commands.release_workspace(parts, team), wants_json)


@main.group()
def mailbox() -> None:
    """Mailboxes."""


@mailbox.command("list")
@click.argument("agency_name", metavar="AGENCY")
@as_json
def mailbox_list(agency_name: str, wants_json: bool) -> None:  # noqa: FBT001
    """Show who of an agency can send, and who cannot."""
    _listed(lambda parts: commands.mailboxes(parts, agency_name), wants_json)


@mailbox.command("doors")
@click.argument("agency_name", metavar="[AGENCY]", default="")
@as_json
def mailbox_doors(agency_name: str, wants_json: bool) -> None:  # noqa: FBT001
    """List who has a key with which Ally sends through the door, in all agencies or in one."""
    _listed(lambda parts: commands.door_keys(parts, agency_name), wants_json)


@mailbox.command("door")
@click.argument("address")
@click.option("--revoke", is_flag=True, help="Take the key back: Ally can send from this address no longer.")
@as_json
def mailbox_door(address: str, revoke: bool, wants_json: bool) -> None:  # noqa: FBT001
    """Show the key with which Ally sends from an address (when it was made and used), or take it back."""
    with _joined() as parts:
        _answer(commands.door_key(parts, address, revoke=revoke), wants_json)


@main.group()
def case() -> None:
    """Conversations that wait for a person."""


@case.command("list")
@as_json
def case_list(wants_json: bool) -> None:  # noqa: FBT001
    """List who waits for a person."""
    _listed(commands.cases, wants_json)


@case.command("show")
@click.argument("number", type=int)
@as_json
def case_show(number: int, wants_json: bool) -> None:  # noqa: FBT001
    """Show a case: whom it is about, how it stands, and what was said last."""
    with _joined() as parts:
        _answer(commands.show_case(parts, number), wants_json)


@case.command("open")
@click.argument("contact")
@as_json
def case_open(contact: str, wants_json: bool) -> None:  # noqa: FBT001
    """Open a case about a contact (number, id, e-mail address, name) for the support team."""
    with _joined() as parts:
        _answer(commands.open_case(parts, contact), wants_json)


@case.command("close")
@click.argument("number", type=int)
@as_json
def case_close(number: int, wants_json: bool) -> None:  # noqa: FBT001
    """Close a case. The person is told, and the bot speaks again."""
    with _joined() as parts:
        _answer(commands.close_case(parts, number), wants_json)


@case.command("access")
@click.argument("number", type=int)
@click.option("--into", metavar="AGENCY", help="Let the person into this agency.")
@click.option("--role", type=click.Choice(["member", "admin"]), default="member", show_default=True)
@click.option("--create", is_flag=True, help="Found the agency that the person named; they become its admin.")
@click.option("--language", type=click.Choice(LANGUAGES), default="pt", show_default=True, help="Of a new agency.")
@click.option("--timezone", default="America/Sao_Paulo", show_default=True, help="Of a new agency.")
@click.option("--decline", is_flag=True, help="Do not let the person in.")
@as_json
def case_access(
    number: int,
    into: str | None,
    role: str,
    create: bool,  # noqa: FBT001 - a flag, as the next two
    language: Language,
    timezone: str,
    decline: bool,  # noqa: FBT001
    wants_json: bool,  # noqa: FBT001
) -> None:
    """Answer a wish for access: --create, --into AGENCY or --decline. The person is told at once."""
    if sum((into is not None, create, decline)) != 1:
        raise click.UsageError("Give one of --create, --into and --decline.")
    with _joined() as parts:
        if create:
            _answer(commands.found_agency(parts, number, language, timezone), wants_json)
        else:
            _answer(commands.decide_access(parts, number, into, role), wants_json)


@main.command()
@as_json
def templates(wants_json: bool) -> None:  # noqa: FBT001
    """Make the WhatsApp templates, ask for their approval, and show how it stands."""
    _listed(commands.templates, wants_json)


@main.command("setup-twilio")
@click.option("--dry-run", is_flag=True, help="Change nothing; only say what would be changed.")
@as_json
def twilio_setup(dry_run: bool, wants_json: bool) -> None:  # noqa: FBT001 - flags
    """Tell Twilio where we are, make the templates and submit them. Harmless when done again."""
    from bot.setup_twilio import setup_twilio  # noqa: PLC0415 - see backup

    _listed(lambda parts: setup_twilio(parts, dry_run=dry_run), wants_json)


@main.command()
@click.argument("contact")
@as_json
def forget(contact: str, wants_json: bool) -> None:  # noqa: FBT001
    """Erase all that is stored about a contact (number, id)."""
    with _joined() as parts:
        _answer(commands.forget_contact(parts, contact), wants_json)


@main.command()
@click.argument("contact")
def export(contact: str) -> None:
    """Print all that is stored about a contact, in JSON."""
    with _joined() as parts:
        _answer(commands.export(parts, contact), wants_json=True)


@main.command()
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="From this day on: 2026-03-02 (UTC).")
@click.option("--verify", is_flag=True, help="Say whether all is as it was sealed; else status 1, and which day.")
@as_json
def audit(since: datetime | None, verify: bool, wants_json: bool) -> None:  # noqa: FBT001 - flags
    """Show who did what when, in opaque ids; oldest first."""
    with _joined() as parts:
        if verify:
            audit_command.say_verified(audit_command.verified(parts), wants_json=wants_json)
        else:
            click.echo(audit_command.told(audit_command.entries(parts, since), wants_json=wants_json))


# --- when something went wrong ----------------------------------------------------------------------------------------


@main.group("dead-letters")
def dead_letters() -> None:
    """Turns that raised: their state is as it was, nothing is lost."""


@dead_letters.command("list")
@as_json
def dead_letters_list(wants_json: bool) -> None:  # noqa: FBT001
    """List them, newest first."""
    _listed(commands.dead_letters, wants_json)


@dead_letters.command("show")
@click.argument("letter", type=LETTER)
@as_json
def dead_letters_show(letter: int, wants_json: bool) -> None:  # noqa: FBT001
    """Show one in full: what happened, redacted, and where it broke."""
    with _joined() as parts:
        _answer(commands.show_letter(parts, letter), wants_json)


@dead_letters.command("drop")
@click.argument("letter", type=LETTER)
@as_json
def dead_letters_drop(letter: int, wants_json: bool) -> None:  # noqa: FBT001
    """Give one up: it is erased, and never applied."""
    with _joined() as parts:
        _answer(commands.drop_letter(parts, letter), wants_json)


@dead_letters.command("replay")
@click.argument("letter", type=LETTER)
def dead_letters_replay(letter: int) -> None:
    """Apply one again, after its cause was mended."""
    with _joined() as parts:
        click.echo(commands.replay(parts, letter))


def _listed(find: Callable[[Parts], list[dict[str, Any]]], wants_json: bool) -> None:  # noqa: FBT001
    with _joined() as parts:
        _answer(find(parts), wants_json)


def run() -> None:
    """The command line, with every expected failure as one plain sentence."""
    try:
        main(standalone_mode=True)
    except DatabaseDown:
        sys.stderr.write("DATABASE_URL: the database does not answer.\n")
        sys.exit(1)
    except OPERATOR_ERRORS as wrong:
        sys.stderr.write(f"{wrong}\n")
        sys.exit(1)


if __name__ == "__main__":
    run()
