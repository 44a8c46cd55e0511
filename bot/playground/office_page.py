"""What somebody sees in the playground's Slack, drawn as pieces of HTML, each with a name of its own. Pure."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from bot.playground import blocks_page, slack_screen
from bot.playground.slack_client import REQUIRED
from bot.playground.slack_screen import Control
from flows.speech import sentence
from flows.words import Language

if TYPE_CHECKING:
    from bot.playground.slack import Bubble

SHOWN_MESSAGES = 60
PICK = "pick "  # before a menu of people and the one that is chosen in it
MAX_TITLE = 80
_VIEW = ("type", "title", "submit", "close", "blocks", "callback_id", "notify_on_close")
_MENTION = re.compile(r"<@([A-Z0-9]+)>")
# What a field began with is called otherwise than what it holds.
_BEGUN = {
    "value": "initial_value",
    "selected_option": "initial_option",
    "selected_users": "initial_users",
    "selected_conversations": "initial_conversations",
}
Piece = tuple[str, str]  # name and HTML


class Drawing:
    """Draws in one language. `names`: of people by id; `picks`: what a picker offers; `now`, `zone`: for the times."""

    def __init__(
        self,
        language: Language,
        names: Mapping[str, str],
        picks: Mapping[str, Sequence[tuple[str, str]]],
        now: datetime,
        zone: str,
    ) -> None:
        self._language = language
        self._names = names
        self._picks = picks
        self._zone = ZoneInfo(zone)
        self._today = now.astimezone(self._zone).date()

    def talk(
        self,
        bubbles: "Sequence[Bubble]",
        private: "Sequence[Bubble]" = (),
        reactions: Mapping[str, Sequence[str]] | None = None,
        mine: str = "",
    ) -> list[Piece]:
        """Messages from the oldest to the newest. `private`: of them, for one person's eyes only; `mine`: of whom."""
        hidden, marked = {one.ts for one in private}, reactions or {}
        newest = sorted(bubbles, key=lambda one: float(one.ts))[-SHOWN_MESSAGES:]
        return [
            (one.ts, self._message(one, private=one.ts in hidden, marks=marked.get(one.ts, ()), mine=mine))
            for one in newest
        ]

    def title(self, root: "Bubble") -> str:
        """The first line of a thread's root."""
        line = slack_screen.plain(self._named(root.text)).replace("*", "").strip().partition("\n")[0]
        return line[:MAX_TITLE]

    def home(self, view: Mapping[str, Any]) -> str:
        """A home."""
        return blocks_page.home({name: self._named(view[name]) for name in ("type", "blocks")}, self._language, "div")

    def window(self, view: Mapping[str, Any], errors: Mapping[str, str]) -> str:
        """A window with what is filled in."""
        own = blocks_page.SLACKS[self._language]["required"]
        wrong = {name: own if words == REQUIRED else words for name, words in errors.items()}
        shown = {name: view[name] for name in _VIEW if view.get(name)}
        values = (view.get("state") or {}).get("values") or {}
        shown["blocks"] = self._named([_filled(block, values) for block in view["blocks"]])
        drawn = blocks_page.modal(shown, self._language, errors=wrong, choices=self._picks)
        general = f'<p class="sl-error" role="alert">{wrong[""]}</p>' if wrong.get("") else ""
        return f'<div data-window="{view["id"]}">{general}{drawn}</div>'

    def _message(self, one: "Bubble", *, private: bool, marks: Sequence[str], mine: str) -> str:
        blocks = [self._peopled(block) for block in one.blocks]
        shown = {"text": self._named(one.text)} | ({"blocks": self._named(blocks)} if blocks else {})
        if not shown["text"].strip() and not one.blocks:
            shown["text"] = "…"
        below = blocks_page.marks(marks, {name: self._words(f"mark_{name}") for name in blocks_page.EMOJI})
        if mine and one.user == mine and one.mine:
            below += f'<button type="button" class="sl-delete" data-delete="{one.ts}">{self._words("delete")}</button>'
        drawn = blocks_page.message(
            shown,
            self._language,
            sender=self._names.get(one.user, one.user) if one.mine else "Ally",
            at=self._time(one.ts),
            private=private,
            person=one.mine,
            below=below,
        )
        return f'<div data-ts="{one.ts}">{drawn}</div>'

    def _peopled(self, block: Mapping[str, Any]) -> Mapping[str, Any]:
        """A block whose menus of people list who is there, as Slack does by itself."""
        if block.get("type") != "actions":
            return block
        return {**block, "elements": [self._with_people(one) for one in block["elements"]]}

    def _with_people(self, element: Mapping[str, Any]) -> Mapping[str, Any]:
        if element.get("type") != "users_select":
            return element
        people = self._picks.get("users_select", ())
        options = [
            {"text": {"type": "plain_text", "text": name}, "value": f"{PICK}{element['action_id']} {user}"}
            for user, name in people
        ]
        return {**element, "options": options}

    def _words(self, name: str) -> str:
        return sentence(f"playground.slack.{name}", self._language)

    def _time(self, ts: str) -> str:
        """The time, and the day if it was another one."""
        at = datetime.fromtimestamp(int(ts.partition(".")[0]), UTC).astimezone(self._zone)
        return at.strftime("%H:%M" if at.date() == self._today else "%d.%m. %H:%M")

    def _named(self, part: Any) -> Any:
        """The same with names for the ids of people."""
        match part:
            case str():
                return _MENTION.sub(lambda found: f"<@{found[1]}|@{self._names.get(found[1], found[1])}>", part)
            case list():
                return [self._named(one) for one in part]
            case dict():
                return {key: self._named(value) for key, value in part.items()}
        return part


def _filled(block: Mapping[str, Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A block that asks, as if it had begun with what is filled in."""
    if block.get("type") != "input":
        return block
    control = Control(str(block.get("block_id", "")), block["element"], asks=True)
    held = values.get(control.block_id, {}).get(control.action_id, {})
    name = slack_screen.state_name(control.kind)
    begun = {name: value for name, value in block["element"].items() if not name.startswith("initial_")}
    return {**block, "element": begun | ({_BEGUN[name]: held[name]} if held.get(name) else {})}
