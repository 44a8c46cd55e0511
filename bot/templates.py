"""The four templates: all that WhatsApp lets us say to somebody who has not written for a day. Off unless wished."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.channels import Accepted, Identity
from bot.channels.whatsapp import CHANNEL, Contents, ContentSpec, WhatsAppStyle
from bot.channels.whatsapp.channel import WhatsApp
from flows.speech import sentence
from flows.words import LANGUAGES, Language

LOOK = "news.button.look"
SAMPLES = {"operator": "Ally", "about": "ana@agency.com"}
ASKED = frozenset({"", "unsubmitted"})  # states of a template about which nobody was asked yet


@dataclass(frozen=True, slots=True)
class Template:
    """One template: its name at WhatsApp, its sentence, where its button leads, and what is on the button."""

    name: str
    text: str
    leads_to: str
    button: str = LOOK


TEMPLATES: Mapping[str, Template] = {
    "mailbox_broken": Template("ally_mailbox_broken", "template.mailbox_broken", "go:mailbox.password"),
    "mailbox_waits": Template("ally_mailbox_waits", "template.mailbox_waits", "go:mailbox.manage"),
    "admin_needed": Template("ally_admin_needed", "template.admin_needed", "go:team"),
    # By staff, about a case. Should nobody have it any more when they answer, a person is called.
    "person_asks": Template("ally_person_asks", "template.person_asks", "go:person", "news.button.go_on"),
}


def spec(template: Template, language: Language) -> ContentSpec:
    """A template as Twilio's Content API takes it."""
    body = sentence(template.text, language, operator="{{1}}", about="{{2}}")
    action = {
        "type": "QUICK_REPLY",
        "title": sentence(template.button, language),
        "id": f"news.template:{template.leads_to}",
    }
    types: dict[str, dict[str, object]] = {"twilio/quick-reply": {"body": body, "actions": [action]}}
    return ContentSpec(template.name, language, types, {"1": SAMPLES["operator"], "2": SAMPLES["about"]})


def key(of: ContentSpec) -> str:
    """Under which name its sid is remembered: other words are another template."""
    return f"{of.name}.{of.language}.{_mark(of)}"


def name_at_whatsapp(of: ContentSpec) -> str:
    """Its name there, which is taken once and for all in a language."""
    return f"{of.name}_{_mark(of)}"


def _mark(of: ContentSpec) -> str:
    fixed = json.dumps([of.language, of.types], sort_keys=True).encode()
    return hashlib.sha256(fixed).hexdigest()[:8]


class Templates:
    """Sends templates that were made before; whether WhatsApp approved them shows when one is sent."""

    channel = CHANNEL

    def __init__(self, whatsapp: WhatsApp, contents: Contents, operator: str, limit: int) -> None:
        """`limit`: how many may be sent in a calendar month."""
        self.limit = limit
        self._whatsapp = whatsapp
        self._contents = contents
        self._operator = operator

    def ready(self, name: str, language: Language) -> bool:
        """Whether this template was made at Twilio."""
        return self._contents.get(key(spec(TEMPLATES[name], language))) is not None

    def words(self, name: str, language: Language, about: str) -> str:
        """What the person reads."""
        operator, about = self._values(about)
        return sentence(TEMPLATES[name].text, language, operator=operator, about=about)

    def send(
        self, to: Identity, name: str, language: Language, about: str, promise_id: int, ready: Callable[[], None]
    ) -> Accepted:
        """Hand a template to Twilio. Raises Refused, Later or Unclear, and what `ready` raises."""
        sid = self._contents.get(key(spec(TEMPLATES[name], language))) or ""
        operator, about = self._values(about)
        return self._whatsapp.send_template(to, sid, {"1": operator, "2": about}, promise_id, ready)

    def _values(self, about: str) -> tuple[str, str]:
        style = WhatsAppStyle()
        return style.plain(self._operator), style.code(about)

    def submit_all(self) -> list[dict[str, Any]]:
        """Make each template that is not made yet, ask WhatsApp to approve it, and say how that stands.

        Harmless when done again. Raises Refused, Later or Unclear.
        """
        return [self._submitted(spec(one, language)) for one in TEMPLATES.values() for language in LANGUAGES]

    def states(self) -> list[dict[str, Any]]:
        """How the approval of each template stands; `asked`: it was made and submitted. Changes nothing.

        Raises Refused, Later or Unclear.
        """
        return [self._stands(spec(one, language)) for one in TEMPLATES.values() for language in LANGUAGES]

    def _stands(self, of: ContentSpec) -> dict[str, Any]:
        sid = self._contents.get(key(of))
        state = self._whatsapp.twilio.approval(sid) if sid else None
        known = {"template": of.name, "language": of.language}
        if state is None:  # not made yet, or lost at Twilio
            return {**known, "sid": "", "state": "", "reason": "", "asked": False}
        return {**known, "sid": sid, "state": state[0], "reason": state[1], "asked": state[0] not in ASKED}

    def _submitted(self, of: ContentSpec) -> dict[str, Any]:
        sid = self._contents.get(key(of))
        state = self._whatsapp.twilio.approval(sid) if sid else None
        if sid is None or state is None:  # not made yet, or lost at Twilio
            sid = self._whatsapp.twilio.make(of)
            self._contents.put(key(of), sid)
            state = ("", "")
        if state[0] in ASKED:
            state = self._whatsapp.twilio.submit(sid, name_at_whatsapp(of))
        return {"template": of.name, "language": of.language, "sid": sid, "state": state[0], "reason": state[1]}
