"""The command line: `python -m bot ...`. Exit status 0: done; 1: it did not work; 2: asked in the wrong way.

Which commands there are; what they read and do stands in `bot/cli`, by subject.
"""

import sys

import click

from bot.cli import (
    agencies,
    ask,
    audit,
    cases,
    check,
    contacts,
    dead_letters,
    discover,
    explain,
    installation,
    mailboxes,
    programs,
    texts,
    twilio,
    workspaces,
)
from bot.cli.shared import CannotBe
from bot.rotation import StillAtWork
from bot.safe import WrongKey
from bot.settings import SettingsError
from bot.store.backup import BackupFailed
from bot.store.embedded import EmbeddedFailed
from bot.store.engine import DatabaseDown
from bot.store.schema import WrongSchema

OPERATOR_ERRORS = (SettingsError, WrongSchema, WrongKey, StillAtWork, EmbeddedFailed, BackupFailed, CannotBe)
COMMANDS = (
    # to run
    programs.serve, programs.web, programs.worker, programs.door, programs.talk,
    # to set up, and to look after
    installation.init, installation.check_config, installation.doctor, installation.migrate,
    installation.backup, installation.restore,
    installation.new_key, installation.rotate_keys, installation.forget_secrets,
    twilio.setup_twilio, twilio.make_templates,
    # people, and what is theirs
    agencies.agency, agencies.make_invitation, workspaces.workspace, mailboxes.mailbox, cases.case,
    contacts.forget, contacts.print_export,
    # what happened
    audit.show_audit, dead_letters.letters,
    # what the bot knows and says
    ask.ask, texts.show_texts, explain.explain, discover.discover, discover.providers, check.check,
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Ally mail assistant."""


for command in COMMANDS:
    main.add_command(command)


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
