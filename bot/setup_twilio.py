"""`python -m bot setup-twilio`: where Twilio calls us, and the templates. Done again it changes nothing.

Resources for buttons and lists need no approval and are as many as there are questions: each is made when it is first
sent, and remembered (`bot/channels/whatsapp/client.py`).
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from bot.app import Parts
from bot.channels import SendError
from bot.channels.whatsapp.account import SANDBOX, Hooks, SenderState, TwilioAccount, wanted
from bot.cli.shared import CannotBe
from bot.templates import Templates

WHAT = {"inbound": "webhook", "fallback": "fallback", "status": "status callback"}
BY_HAND = (
    "This is Twilio's shared sandbox, which only the console sets up: Messaging > Try it out > Send a WhatsApp message "
    "> Sandbox settings, 'When a message comes in': {url} (POST)."
)


def setup_twilio(parts: Parts, *, dry_run: bool) -> list[dict[str, Any]]:
    """Set the sender's addresses, make and submit the templates; one row for each, with what was changed.

    `dry_run`: only say what would be. Raises CannotBe.
    """
    account = parts.twilio
    if account is None or parts.templates is None:
        raise CannotBe("TWILIO_ACCOUNT_SID: it is needed here, with its token and sender.")
    if not parts.settings.public_url:
        raise CannotBe("PUBLIC_URL: it is needed here; Twilio calls us there.")
    return [*_taken(lambda: _hooks(parts, account, dry_run=dry_run)), *_templates(parts.templates, dry_run=dry_run)]


def _hooks(parts: Parts, account: TwilioAccount, *, dry_run: bool) -> list[dict[str, Any]]:
    url = parts.settings.url
    if account.sender == SANDBOX:
        words = BY_HAND.format(url=wanted(url, Hooks("", "", "")).inbound)
        return [{"what": "webhook", "done": "to be done by hand", "words": words}]
    found = account.find()
    if found is None:
        raise CannotBe(f"TWILIO_WHATSAPP_FROM (or TWILIO_MESSAGING_SERVICE_SID): the account has no {account.sender}.")
    aim = wanted(url, found.hooks)
    if aim != found.hooks and not dry_run:
        account.point(found, aim)
    return _rows(found, aim, dry_run=dry_run)


def _rows(found: SenderState, aim: Hooks, *, dry_run: bool) -> list[dict[str, Any]]:
    was = asdict(found.hooks)
    return [
        {"what": WHAT[name], "done": _done(was[name] == new, dry_run=dry_run), "was": was[name], "is": new}
        for name, new in asdict(aim).items()
    ]


def _templates(templates: Templates, *, dry_run: bool) -> list[dict[str, Any]]:
    """A row for each template: how WhatsApp's approval stood, and how it stands now."""
    before = _taken(templates.states)
    after = before if dry_run else _taken(templates.submit_all)
    rows = []
    for was, now in zip(before, after, strict=True):
        stood = (was["state"] or "not submitted") if was["sid"] else "not made"
        row = {"what": f"template {was['template']} {was['language']}", "was": stood, "reason": now["reason"]}
        rows.append({**row, "done": _done(bool(was["asked"]), dry_run=dry_run), "is": now["state"] or stood})
    return rows


def _done(right: bool, *, dry_run: bool) -> str:  # noqa: FBT001 - one yes or no
    if right:
        return "was right"
    return "would be changed" if dry_run else "changed"


def _taken(ask: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    try:
        return ask()
    except SendError as failure:
        raise CannotBe(f"Twilio did not do it: {failure}") from None
