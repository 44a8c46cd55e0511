"""What is set up at Twilio: the templates, and where we are called."""

from typing import Any

import click

from bot.app import Parts
from bot.channels import SendError
from bot.cli.shared import CannotBe, answer, as_json


@click.command("templates")
@as_json
def make_templates(wants_json: bool) -> None:
    """Make the WhatsApp templates, ask for their approval, and show how it stands."""
    answer(templates, wants_json)


def templates(parts: Parts) -> list[dict[str, Any]]:
    """Make the four templates in three languages, ask WhatsApp to approve them, and say how that stands."""
    if parts.templates is None:
        raise CannotBe("TWILIO_ACCOUNT_SID: it is needed here; templates are made in a Twilio account.")
    try:
        return parts.templates.submit_all()
    except SendError as failure:
        raise CannotBe(f"Twilio did not do it: {failure}") from None


@click.command("setup-twilio")
@click.option("--dry-run", is_flag=True, help="Change nothing; only say what would be changed.")
@as_json
def setup_twilio(dry_run: bool, wants_json: bool) -> None:
    """Tell Twilio where we are, make the templates and submit them. Harmless when done again."""
    from bot.setup_twilio import setup_twilio as run

    answer(lambda parts: run(parts, dry_run=dry_run), wants_json)
