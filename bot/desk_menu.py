"""What can be done with an open case, below its root: buttons for what is done most, menus for the rest."""

from collections.abc import Sequence
from typing import Any

from bot.channels.slack.render import button, plain
from bot.store.engine import Row
from flows import saved
from flows.conversation import Envelope, places
from flows.speech import Button, sentence
from flows.words import Language

DESK = "desk:"
OPENING = f"{DESK}open:0"  # opens a window for a case that is not there yet
MAX_PLACES = 3  # answers that a case may be handed back at
MAX_OPTION = 75
WINDOWS = frozenset({"send", "canned", "article", "answer", "access"})  # what opens a window first
SAY = ("canned", "article", "link", "answer")
LOOK = ("test", "error", "facts")
SNOOZES = ("", ".morning", ".days")

Block = dict[str, Any]


def talk_of(row: Row) -> Envelope:
    """The state of the talk that a case is about; at its beginning where it cannot be read."""
    try:
        return saved.load_envelope(row.envelope) if row.envelope else Envelope()
    except saved.Unreadable:
        return Envelope()


def controls(row: Row, spoken: Language, *, offers: bool = False) -> list[Block]:
    """All that can be done with a case now, in the team's language; nothing with a closed one.

    `offers`: the person's 24 hours are over, and a template may be sent.
    """
    if row.state == "closed":
        return []
    number = row.number
    mine = ["send", "release", "take"] if row.owner else ["take", "send"]  # another one may take it over, too
    wanted = [*mine, *(["access"] if row.wish else []), "close"]
    seen = {"take": f":{row.owner}"}  # of two who take it at once the first one has it
    made = [
        Button(f"{DESK}{one}:{number}{seen.get(one, '')}", sentence(f"desk.button.{one}", spoken)) for one in wanted
    ]
    buttons = [button(one, "primary" if not row.owner and one is made[0] else "") for one in made]
    template = template_button(row, spoken)[0]["elements"] if offers else []
    menus = [_colleagues(row, spoken), _select("back", number, _places(row), spoken)]
    if row.state != "snoozed":
        menus.append(_select("snooze", number, [f"snooze{one}" for one in SNOOZES], spoken))
    return [
        {"type": "actions", "elements": [*buttons, *template, *menus]},
        _overflow("say", number, SAY, spoken),
        _overflow("look", number, LOOK, spoken),
    ]


def template_button(row: Row, spoken: Language) -> list[Block]:
    """What sends a template that asks the person to answer."""
    made = Button(f"{DESK}template:{row.number}", sentence("desk.button.template", spoken))
    return [{"type": "actions", "elements": [button(made)]}]


def _colleagues(row: Row, spoken: Language) -> Block:
    """Gives the case to somebody; its name says whose it was when it was shown. Slack lists everybody who is there."""
    return {
        "type": "users_select",
        "action_id": f"{DESK}assign:{row.number}:{row.owner}",
        "placeholder": plain(sentence("desk.menu.assign", spoken), MAX_OPTION),
    }


def _places(row: Row) -> list[str]:
    """Where the talk can go on: where it was, at one of its answers, the test again, the menu."""
    fields = places(talk_of(row))[:MAX_PLACES] or (("address",) if row.agency else ())
    tested = ["back.test"] if row.address else []
    return ["back", *(f"back.{one}" for one in fields), *tested, "back.menu"]


def _select(name: str, number: int, values: Sequence[str], spoken: Language) -> Block:
    """A menu with a name; what is chosen in it changes the case, and with it the menu."""
    return {
        "type": "static_select",
        "action_id": f"{DESK}{name}",
        "placeholder": plain(sentence(f"desk.menu.{name}", spoken), MAX_OPTION),
        "options": [_option(one, number, spoken) for one in values],
    }


def _overflow(name: str, number: int, tools: Sequence[str], spoken: Language) -> Block:
    """A line that says what is in its menu. Unlike a select it remembers nothing: the same tool works twice."""
    menu = {
        "type": "overflow",
        "action_id": f"{DESK}{name}",
        "options": [_option(one, number, spoken) for one in tools],
    }
    text = {"type": "mrkdwn", "text": sentence(f"desk.menu.{name}", spoken)}
    return {"type": "section", "text": text, "accessory": menu}


def _option(what: str, number: int, spoken: Language) -> Block:
    return {"text": plain(sentence(f"desk.tool.{what}", spoken), MAX_OPTION), "value": f"{DESK}{what}:{number}"}
