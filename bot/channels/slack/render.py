"""From a message to Block Kit: https://docs.slack.dev/reference/block-kit/blocks. Pure; limits as Slack has them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flows import menu
from flows.flow import GO
from flows.speech import Button, Entry, Message

MAX_SECTION = 3_000  # characters of a section's text
MAX_TEXT = 4_000  # characters of a message's own text, which notifications show
MAX_LABEL = 75
MAX_TITLE = 24  # characters of a window's title and of its two buttons
MAX_INPUT_LABEL = 2_000
MAX_TYPED = 320  # characters of one field; an address has no more
NEXT = frozenset({"setup", f"{GO}mailbox"})  # choices that are what there is to be done now, where they stand first
OWN = "slack."  # questions of windows that only show something
VALUE = "value"  # the action id of a field's input; the block id is the field's name

Block = dict[str, Any]
# Channels of this workspace only: what is shared with another company has strangers in it.
_ONLY_OURS = {"include": ["public", "private"], "exclude_external_shared_channels": True, "exclude_bot_users": True}
PICKERS: dict[str, Block] = {
    "people": {"type": "multi_users_select"},
    "channels": {"type": "multi_conversations_select", "filter": _ONLY_OURS},
}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for `chat.postMessage`: its text for notifications, and its blocks."""

    text: str
    blocks: list[Block]


@dataclass(frozen=True, slots=True)
class Frame:
    """The words around a window: title, two buttons, and where to write what it has no field for."""

    title: str
    submit: str
    close: str
    written: str = ""


def render(message: Message) -> Outgoing:
    """A message with its choices as buttons; "2" and the label work as words, too."""
    blocks = [*sections(message.body), *actions(message.buttons)]
    return Outgoing(_cut(message.body, MAX_TEXT), blocks)


def window(message: Message, frame: Frame) -> dict[str, Any]:
    """The same as a modal, its question as fields; without fields it has no submit button."""
    view: dict[str, Any] = {
        "type": "modal",
        "title": plain(frame.title, MAX_TITLE),
        "close": plain(frame.close, MAX_TITLE),
        "notify_on_close": True,
        "callback_id": message.question,
        "blocks": [*sections(message.body), *map(_input, message.entries), *actions(message.buttons)],
    }
    if frame.written and not message.entries and message.question and not message.question.startswith(OWN):
        view["blocks"].append({"type": "context", "elements": [plain(frame.written, MAX_LABEL)]})
    return {**view, "submit": plain(frame.submit, MAX_TITLE)} if message.entries else view


def sections(body: str) -> list[Block]:
    """A text as sections that are short enough, cut between paragraphs, else between lines; no "see more" in any."""
    return [{"type": "section", "text": mrkdwn(part), "expand": True} for part in _parts(body)]


def actions(buttons: Sequence[Button]) -> list[Block]:
    """Choices as rows of buttons. Below news the menu stands apart, and what of it is seldom needed, in a list."""
    ours = [one for one in buttons if _of_the_menu(one, menu.OFTEN)]
    seldom = [one for one in buttons if _of_the_menu(one, menu.SELDOM)]
    news = [one for one in buttons if one not in ours and one not in seldom]
    rows = [_row(news), [*_row(ours), *_list(seldom)]]
    return [{"type": "actions", "elements": row} for row in rows if row]


def _of_the_menu(one: Button, values: Sequence[str]) -> bool:
    question, _, value = one.id.partition(":")
    return question == menu.QUESTION and value in values


def _row(buttons: Sequence[Button]) -> list[Block]:
    styles = ["primary" if one.id.partition(":")[2] in NEXT and one is buttons[0] else "" for one in buttons]
    return [button(one, style) for one, style in zip(buttons, styles, strict=True)]


def _list(buttons: Sequence[Button]) -> list[Block]:
    """Further choices behind three dots."""
    options = [option(one.id, one.label) for one in buttons]
    return [{"type": "overflow", "action_id": f"{menu.QUESTION}.more", "options": options}] if options else []


def option(value: str, label: str) -> Block:
    """One choice of a list."""
    return {"text": plain(label, MAX_LABEL), "value": value}


def button(one: Button, style: str = "") -> Block:
    """One button; its id stands in its value, because Slack wants action ids to differ within a block."""
    made = {"type": "button", "action_id": one.id[:255], "value": one.id[:2000], "text": plain(one.label, MAX_LABEL)}
    return {**made, "style": style} if style else made


def plain(text: str, most: int) -> Block:
    """A plain text object."""
    return {"type": "plain_text", "text": _cut(text, most), "emoji": True}


def mrkdwn(text: str) -> Block:
    """A text object with Slack's marks; links are not read into words."""
    return {"type": "mrkdwn", "text": text, "verbatim": False}


def _input(entry: Entry) -> Block:
    """A field: what is typed into it, or a picker; of pickers none is needed, because there are two."""
    if entry.kind != "text":
        return {**_labelled(entry), "optional": True, "element": {**PICKERS[entry.kind], "action_id": VALUE}}
    field: Block = {"type": "plain_text_input", "action_id": VALUE, "max_length": MAX_TYPED}
    if entry.value:
        field["initial_value"] = entry.value[:MAX_TYPED]
    return {**_labelled(entry), "element": field}


def _labelled(entry: Entry) -> Block:
    return {"type": "input", "block_id": entry.name, "label": plain(entry.label, MAX_INPUT_LABEL)}


def _parts(body: str) -> Iterator[str]:
    """Pieces of at most `MAX_SECTION` characters, cut at the last good place before it."""
    rest = body.strip()
    while len(rest) > MAX_SECTION:
        cut = max(rest.rfind("\n\n", 0, MAX_SECTION), rest.rfind("\n", MAX_SECTION // 2, MAX_SECTION))
        cut = cut if cut > 0 else MAX_SECTION
        yield rest[:cut]
        rest = rest[cut:].lstrip("\n")
    if rest:
        yield rest


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
