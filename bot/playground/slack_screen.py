"""What a person sees of blocks and views: the words, the buttons, the fields; and whom a text would ping."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.playground.slack_checks import TICKED, TYPED

_MENTION = re.compile(r"<(![^>|]+|@[UW][A-Z0-9]+)(?:\|[^>]*)?>")
_LINK = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")
_LOOSE = re.compile(r"(?<!\w)@(?:channel|here|everyone)\b")
_PINGS = ("!channel", "!here", "!everyone", "!subteam", "@")
# What the state of an element is called: https://docs.slack.dev/reference/views#state
_CHOSEN = {
    "static_select": "selected_option",
    "external_select": "selected_option",
    "radio_buttons": "selected_option",
    "users_select": "selected_user",
    "conversations_select": "selected_conversation",
    "channels_select": "selected_channel",
    "multi_static_select": "selected_options",
    "multi_external_select": "selected_options",
    "checkboxes": "selected_options",
    "multi_users_select": "selected_users",
    "multi_conversations_select": "selected_conversations",
    "multi_channels_select": "selected_channels",
    "datepicker": "selected_date",
    "timepicker": "selected_time",
    "datetimepicker": "selected_date_time",
    "file_input": "files",
}


@dataclass(frozen=True, slots=True)
class Control:
    """One thing that a person can press or fill in: an element with the block that holds it."""

    block_id: str
    element: Mapping[str, Any]
    asks: bool  # it stands in an input block
    optional: bool = False

    @property
    def action_id(self) -> str:
        """Its name."""
        return str(self.element.get("action_id", ""))

    @property
    def kind(self) -> str:
        """Its type."""
        return str(self.element.get("type", ""))


def blocks_of(seen: Any) -> Sequence[Mapping[str, Any]]:
    """The blocks of a view, or the blocks themselves."""
    if seen is None:
        return ()
    return list(seen.get("blocks") or ()) if isinstance(seen, Mapping) else list(seen)


def controls(seen: Any) -> list[Control]:
    """Everything that can be pressed or filled in, from top to bottom."""
    found = []
    for block in blocks_of(seen):
        name, kind = str(block.get("block_id", "")), block.get("type")
        if kind == "actions":
            found += [Control(name, one, asks=False) for one in block["elements"]]
        elif kind == "section" and block.get("accessory"):
            found.append(Control(name, block["accessory"], asks=False))
        elif kind == "input":
            found.append(Control(name, block["element"], asks=True, optional=bool(block.get("optional"))))
    return [one for one in found if one.kind != "image"]


def options(element: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The options of a menu or of boxes, groups or not."""
    groups = element.get("option_groups") or ({"options": element.get("options") or ()},)
    return [one for group in groups for one in group["options"]]


def label(part: Mapping[str, Any]) -> str:
    """The words on a button or of an option."""
    return str((part.get("text") or {}).get("text", ""))


def buttons(seen: Any) -> tuple[tuple[str, str, str], ...]:
    """Buttons and what overflow menus hold, as action id, value and label."""
    found: list[tuple[str, str, str]] = []
    for one in controls(seen):
        if one.kind == "button":
            found.append((one.action_id, str(one.element.get("value", "")), label(one.element)))
        elif one.kind == "overflow":
            found += [(one.action_id, str(option.get("value", "")), label(option)) for option in options(one.element)]
    return tuple(found)


def shown(seen: Any) -> str:
    """All words that a person reads, a line for each part: titles, texts, labels, hints, placeholders, options."""
    lines = []
    if isinstance(seen, Mapping):
        lines += [_words(seen[name]) for name in ("title",) if seen.get(name)]
    for block in blocks_of(seen):
        lines += _lines(block)
    if isinstance(seen, Mapping):
        lines += [_words(seen[name]) for name in ("submit", "close") if seen.get(name)]
    return "\n".join(line for line in lines if line)


def plain(mrkdwn: str) -> str:
    """Mrkdwn as it is read: links by their label, entities as characters."""
    words = _LINK.sub(lambda found: found[2] or found[1].removeprefix("mailto:"), mrkdwn)
    return words.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def state(seen: Any, typed: Mapping[tuple[str, str], Any]) -> dict[str, dict[str, Any]]:
    """The state.values of a view or message by block id and action id: what was filled in, else what it began with."""
    values: dict[str, dict[str, Any]] = {}
    for one in controls(seen):
        if one.kind in {"button", "overflow", "workflow_button"}:
            continue
        key = (one.block_id, one.action_id)
        value = typed[key] if key in typed else _initial(one.element)
        values.setdefault(one.block_id, {})[one.action_id] = {"type": one.kind, state_name(one.kind): value}
    return values


def state_name(kind: str) -> str:
    """Under which name an element of this type tells what was filled in."""
    if kind == "rich_text_input":
        return "rich_text_value"
    return "value" if kind in TYPED else _CHOSEN.get(kind, "value")


def mentions(words: str, seen: Any = None, *, loose: bool = False) -> list[str]:
    """Whom a message would ping: unescaped mentions in mrkdwn and markdown, and rich text's own; never in plain text.

    `loose`: parse or link_names was asked for, so that the bare @here counts as well.
    """
    texts = [words, *_mrkdwn(list(blocks_of(seen)))]
    found = [hit[1] for text in texts for hit in _MENTION.finditer(text) if hit[1].startswith(_PINGS)]
    if loose:
        found += [hit[0] for text in texts for hit in _LOOSE.finditer(text)]
    return found + list(_rich_mentions(list(blocks_of(seen))))


def _initial(element: Mapping[str, Any]) -> Any:
    name = state_name(str(element["type"]))
    begun = element.get(name.replace("selected_", "initial_") if name.startswith("selected_") else f"initial_{name}")
    return [] if begun is None and name.endswith("s") and name.startswith("selected_") else begun


def _lines(block: Mapping[str, Any]) -> Iterator[str]:
    kind = block.get("type")
    if kind == "markdown":
        yield str(block["text"])
    elif kind == "rich_text":
        yield from (_rich(one) for one in block["elements"])
    elif kind == "image":
        yield _words(block.get("title")) or str(block["alt_text"])
    else:
        yield from (_words(block.get(name)) for name in ("text", "label"))
        yield from (_words(one) for one in block.get("fields") or ())
        parts = [*(block.get("elements") or ()), block.get("accessory"), block.get("element")]
        yield from (line for part in parts if part for line in _element_lines(part))
        yield _words(block.get("hint"))


def _element_lines(element: Mapping[str, Any]) -> Iterator[str]:
    if element["type"] in {"plain_text", "mrkdwn"}:
        yield _words(element)
        return
    yield str(element.get("alt_text", ""))
    yield from (_words(element.get(name)) for name in ("text", "placeholder"))
    if element.get("options") or element.get("option_groups"):
        yield from (_words(one["text"]) for one in options(element))
        yield from (_words(one.get("description")) for one in options(element) if element["type"] in TICKED)
    yield str(element.get("initial_value") or "")


def _words(text: Any) -> str:
    if not text:
        return ""
    return plain(str(text["text"])) if text.get("type") == "mrkdwn" else str(text["text"])


def _rich(part: Mapping[str, Any]) -> str:
    """A part of rich text: words as they stand, the rest by its name."""
    if "elements" in part:
        between = "\n" if part["type"] == "rich_text_list" else ""
        return between.join(_rich(one) for one in part["elements"])
    if part.get("type") in {"text", "link"}:
        return str(part.get("text") or part.get("url", ""))
    named = ("name", "user_id", "channel_id", "usergroup_id", "range")
    return next((str(part[name]) for name in named if name in part), "")


def _mrkdwn(part: Any) -> Iterator[str]:
    """Every text below that Slack reads for mentions."""
    if isinstance(part, Mapping):
        if part.get("type") in {"mrkdwn", "markdown"}:
            yield str(part.get("text", ""))
        else:
            yield from (text for value in part.values() for text in _mrkdwn(value))
    elif isinstance(part, list):
        yield from (text for one in part for text in _mrkdwn(one))


def _rich_mentions(part: Any) -> Iterator[str]:
    """Mentions that rich text makes by its own elements: user, usergroup, broadcast."""
    if isinstance(part, Mapping):
        if part.get("type") in {"user", "usergroup", "broadcast"}:
            yield str(part.get("user_id") or part.get("usergroup_id") or part.get("range"))
        else:
            yield from (hit for value in part.values() for hit in _rich_mentions(value))
    elif isinstance(part, list):
        yield from (hit for one in part for hit in _rich_mentions(one))
