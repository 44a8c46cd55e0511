"""What Slack checks of blocks and views before it shows them, from its reference: https://docs.slack.dev/reference/block-kit.

An own reading: it shares no code with the bot nor with Slack's SDK, whose models let much through that Slack refuses.
Every check yields sentences as Slack writes them, each with a pointer to the place; none means that nothing is wrong.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import chain
from typing import Any, TypeAlias

Problems: TypeAlias = Iterator[str]

MAX_BLOCKS, MAX_BLOCKS_IN_VIEW, MAX_ID, MAX_URL = 50, 100, 255, 3000
MAX_TITLE, MAX_PRIVATE, MAX_VIEW_BYTES = 24, 3000, 250_000
MAX_MARKDOWN = 12_000  # of all markdown blocks of one message together
MAX_TYPED = 3000  # characters in a plain text input
SELECTS = frozenset(
    f"{many}{kind}_select"
    for many in ("", "multi_")
    for kind in ("static", "external", "users", "conversations", "channels")
)
PICKERS = frozenset({"datepicker", "timepicker", "datetimepicker"})
TICKED = frozenset({"checkboxes", "radio_buttons"})
TYPED = frozenset({"plain_text_input", "email_text_input", "number_input", "url_text_input", "rich_text_input"})
TEXTS = frozenset({"plain_text", "mrkdwn"})
IN_ACTIONS = SELECTS | PICKERS | TICKED | {"button", "overflow", "workflow_button"}
IN_SECTION = IN_ACTIONS | {"image"}
IN_INPUT = SELECTS | PICKERS | TICKED | TYPED | {"file_input"}
IN_CONTEXT = TEXTS | {"image"}
IN_RICH_TEXT = frozenset({"rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote"})
STYLES = frozenset({"primary", "danger"})
_CONFIRM = {"title": 100, "text": 300, "confirm": 30, "deny": 30}
_IN_HOME = frozenset({"type", "blocks", "private_metadata", "callback_id", "external_id"})
_IN_MODAL = _IN_HOME | {"title", "submit", "close", "clear_on_close", "notify_on_close", "submit_disabled"}


def message_problems(blocks: Any) -> list[str]:
    """What Slack would refuse in the blocks of a message."""
    return list(_blocks(blocks, "/blocks", MAX_BLOCKS, frozenset({"file"})))


def view_problems(view: Any) -> list[str]:
    """What Slack would refuse in a modal or a home view."""
    if not isinstance(view, Mapping) or _kind(view) not in {"modal", "home"}:
        return [_at("/view/type", "must be modal or home")]
    fields = _modal(view) if view["type"] == "modal" else _home(view)
    blocks = _blocks(view.get("blocks"), "/view/blocks", MAX_BLOCKS_IN_VIEW, frozenset(), least=0)
    return list(chain(fields, _ids(view), blocks))


# --- views -----------------------------------------------------------------------------------------------------------


def _modal(view: Mapping[str, Any]) -> Problems:
    """https://docs.slack.dev/reference/views/modal-views."""
    yield from _known(view, _IN_MODAL)
    if not view.get("title"):
        yield _at("/view", "missing required field: title")
    for name in ("title", "submit", "close"):
        yield from _text(view.get(name), f"/view/{name}", MAX_TITLE)
    blocks = view.get("blocks")
    asks = isinstance(blocks, list) and any(_kind(one) == "input" for one in blocks)
    if asks and not view.get("submit"):
        yield _at("/view", "missing required field: submit is required when an input block is within the blocks array")


def _home(view: Mapping[str, Any]) -> Problems:
    """https://docs.slack.dev/reference/views/home-tab-views."""
    yield from _known(view, _IN_HOME)


def _known(view: Mapping[str, Any], names: Collection[str]) -> Problems:
    for name in view:
        if name not in names and view[name] is not None:
            yield _at("/view", f"no more than the known fields allowed: {name}")


def _ids(view: Mapping[str, Any]) -> Problems:
    for name, most in (("callback_id", MAX_ID), ("external_id", MAX_ID), ("private_metadata", MAX_PRIVATE)):
        yield from _string(view.get(name), f"/view/{name}", most, least=0)


# --- blocks ----------------------------------------------------------------------------------------------------------


def _blocks(blocks: Any, at: str, most: int, further: Collection[str], *, least: int = 1) -> Problems:
    if not isinstance(blocks, list) or not all(isinstance(one, Mapping) for one in blocks):
        yield _at(at, "must be an array of objects")
        return
    yield from _count(blocks, at, most, least=least)
    seen: set[str] = set()
    for n, block in enumerate(blocks):
        yield from _block(block, f"{at}/{n}", further)
        yield from _unique(block.get("block_id"), f"{at}/{n}/block_id", seen)
    markdown = sum(len(str(one.get("text", ""))) for one in blocks if _kind(one) == "markdown")
    if markdown > MAX_MARKDOWN:
        yield _at(at, f"the text of all markdown blocks must be less than {MAX_MARKDOWN + 1} characters")


def _block(block: Mapping[str, Any], at: str, further: Collection[str]) -> Problems:
    kind = _kind(block)
    yield from _string(block.get("block_id"), f"{at}/block_id", MAX_ID)
    if kind in further:
        return
    check = _BLOCKS.get(kind)
    if check is None:
        yield _at(f"{at}/type", f"unsupported type: {kind}")
    else:
        yield from check(block, at)


def _section(block: Mapping[str, Any], at: str) -> Problems:
    """https://docs.slack.dev/reference/block-kit/blocks/section-block."""
    if not block.get("text") and not block.get("fields"):
        yield _at(at, "missing required field: text or fields")
    yield from _text(block.get("text"), f"{at}/text", 3000, plain=False)
    fields = block.get("fields")
    if fields is not None:
        yield from _each(fields, f"{at}/fields", 10, lambda one, here: _text(one, here, 2000, plain=False))
    if block.get("accessory") is not None:
        yield from _element(block["accessory"], f"{at}/accessory", IN_SECTION)


def _header(block: Mapping[str, Any], at: str) -> Problems:
    """https://docs.slack.dev/reference/block-kit/blocks/header-block."""
    yield from _needed(block, at, "text")
    yield from _text(block.get("text"), f"{at}/text", 150)


def _actions(block: Mapping[str, Any], at: str) -> Problems:
    """https://docs.slack.dev/reference/block-kit/blocks/actions-block."""
    seen: set[str] = set()

    def check(one: Any, here: str) -> Problems:
        yield from _element(one, here, IN_ACTIONS)
        if isinstance(one, Mapping):
            yield from _unique(one.get("action_id"), f"{here}/action_id", seen)

    yield from _each(block.get("elements"), f"{at}/elements", 25, check)


def _context(block: Mapping[str, Any], at: str) -> Problems:
    """https://docs.slack.dev/reference/block-kit/blocks/context-block."""

    def check(one: Any, here: str) -> Problems:
        if _kind(one) in TEXTS:
            return _text(one, here, 3000, plain=False)
        return _element(one, here, IN_CONTEXT)

    yield from _each(block.get("elements"), f"{at}/elements", 10, check)


def _input(block: Mapping[str, Any], at: str) -> Problems:
    """https://docs.slack.dev/reference/block-kit/blocks/input-block."""
    yield from _needed(block, at, "label", "element")
    yield from _text(block.get("label"), f"{at}/label", 2000)
    yield from _text(block.get("hint"), f"{at}/hint", 2000)
    if block.get("element") is not None:
        yield from _element(block["element"], f"{at}/element", IN_INPUT)


def _image(block: Mapping[str, Any], at: str) -> Problems:
    """https://docs.slack.dev/reference/block-kit/blocks/image-block."""
    yield from _needed(block, at, "alt_text")
    if not block.get("image_url") and not block.get("slack_file"):
        yield _at(at, "missing required field: image_url or slack_file")
    yield from _string(block.get("image_url"), f"{at}/image_url", MAX_URL)
    yield from _string(block.get("alt_text"), f"{at}/alt_text", 2000)
    yield from _text(block.get("title"), f"{at}/title", 2000)


def _markdown(block: Mapping[str, Any], at: str) -> Problems:
    """https://docs.slack.dev/reference/block-kit/blocks/markdown-block."""
    yield from _needed(block, at, "text")
    yield from _string(block.get("text"), f"{at}/text", MAX_MARKDOWN)


def _rich_text(block: Mapping[str, Any], at: str) -> Problems:
    """https://docs.slack.dev/reference/block-kit/blocks/rich-text-block."""

    def check(one: Any, here: str) -> Problems:
        if _kind(one) not in IN_RICH_TEXT:
            yield _at(f"{here}/type", "unsupported type in rich text")

    yield from _each(block.get("elements"), f"{at}/elements", None, check)


def _divider(_block: Mapping[str, Any], _at: str) -> Problems:
    return iter(())


_BLOCKS: dict[str, Callable[[Mapping[str, Any], str], Problems]] = {
    "actions": _actions,
    "context": _context,
    "divider": _divider,
    "header": _header,
    "image": _image,
    "input": _input,
    "markdown": _markdown,
    "rich_text": _rich_text,
    "section": _section,
}


# --- elements --------------------------------------------------------------------------------------------------------


def _element(element: Any, at: str, allowed: Collection[str]) -> Problems:
    """https://docs.slack.dev/reference/block-kit/block-elements."""
    kind = _kind(element)
    if kind not in allowed:
        yield _at(f"{at}/type", f"unsupported type: {kind}")
        return
    yield from _string(element.get("action_id"), f"{at}/action_id", MAX_ID)
    yield from _text(element.get("placeholder"), f"{at}/placeholder", 150)
    yield from _confirm(element.get("confirm"), f"{at}/confirm")
    check = _ELEMENTS.get(kind)
    if check is not None:
        yield from check(element, at)


def _button(button: Mapping[str, Any], at: str) -> Problems:
    yield from _needed(button, at, "text")
    yield from _text(button.get("text"), f"{at}/text", 75)
    yield from _string(button.get("value"), f"{at}/value", 2000)
    yield from _string(button.get("url"), f"{at}/url", MAX_URL)
    yield from _string(button.get("accessibility_label"), f"{at}/accessibility_label", 75)
    if str(button.get("style", "primary")) not in STYLES:
        yield _at(f"{at}/style", "must be a valid enum value: primary or danger")


def _overflow(menu: Mapping[str, Any], at: str) -> Problems:
    yield from _options(menu, at, 5, plain=True, described=75)


def _ticked(boxes: Mapping[str, Any], at: str) -> Problems:
    yield from _options(boxes, at, 10, plain=False, described=75)


def _select(menu: Mapping[str, Any], at: str) -> Problems:
    if menu.get("option_groups") is None:
        yield from _options(menu, at, 100, plain=True, described=75)
        return

    def check(group: Any, here: str) -> Problems:
        if not isinstance(group, Mapping):
            yield _at(here, "must be an object")
            return
        yield from _needed(group, here, "label")
        yield from _text(group.get("label"), f"{here}/label", 75)
        yield from _options(group, here, 100, plain=True, described=75)

    yield from _each(menu["option_groups"], f"{at}/option_groups", 100, check)


def _options(menu: Mapping[str, Any], at: str, most: int, *, plain: bool, described: int) -> Problems:
    """https://docs.slack.dev/reference/block-kit/composition-objects/option-object."""

    def check(option: Any, here: str) -> Problems:
        if not isinstance(option, Mapping):
            yield _at(here, "must be an object")
            return
        yield from _needed(option, here, "text", *(() if option.get("url") else ("value",)))
        yield from _text(option.get("text"), f"{here}/text", 75, plain=plain)
        yield from _text(option.get("description"), f"{here}/description", described, plain=plain)
        yield from _string(option.get("value"), f"{here}/value", 150)
        yield from _string(option.get("url"), f"{here}/url", MAX_URL)

    options = menu.get("options")
    yield from _each(options, f"{at}/options", most, check)
    offered = options if isinstance(options, list) else []
    several = menu.get("initial_options")
    chosen = [menu.get("initial_option"), *(several if isinstance(several, list) else ())]
    if any(one is not None and one not in offered for one in chosen):
        yield _at(f"{at}/initial_option", "must be one of the options")


def _typed(field: Mapping[str, Any], at: str) -> Problems:
    """https://docs.slack.dev/reference/block-kit/block-elements/plain-text-input-element."""
    most, least = field.get("max_length"), field.get("min_length")
    if most is not None and not (isinstance(most, int) and 1 <= most <= MAX_TYPED):
        yield _at(f"{at}/max_length", f"must be between 1 and {MAX_TYPED}")
    if least is not None and not (isinstance(least, int) and 0 <= least <= MAX_TYPED):
        yield _at(f"{at}/min_length", f"must be between 0 and {MAX_TYPED}")
    if isinstance(most, int) and isinstance(least, int) and least > most:
        yield _at(f"{at}/min_length", "must be no more than max_length")
    yield from _string(field.get("initial_value"), f"{at}/initial_value", MAX_TYPED, least=0)


def _confirm(dialog: Any, at: str) -> Problems:
    """https://docs.slack.dev/reference/block-kit/composition-objects/confirmation-dialog-object."""
    if dialog is None:
        return
    if not isinstance(dialog, Mapping):
        yield _at(at, "must be an object")
        return
    for name, most in _CONFIRM.items():
        yield from _needed(dialog, at, name)
        yield from _text(dialog.get(name), f"{at}/{name}", most, plain=name != "text")


_ELEMENTS: dict[str, Callable[[Mapping[str, Any], str], Problems]] = {
    "button": _button,
    "checkboxes": _ticked,
    "image": _image,
    "multi_static_select": _select,
    "overflow": _overflow,
    "plain_text_input": _typed,
    "radio_buttons": _ticked,
    "static_select": _select,
}


# --- the smallest parts ----------------------------------------------------------------------------------------------


def _text(text: Any, at: str, most: int, *, plain: bool = True) -> Problems:
    """https://docs.slack.dev/reference/block-kit/composition-objects/text-object."""
    if text is None:
        return
    if _kind(text) not in ({"plain_text"} if plain else TEXTS):
        yield _at(f"{at}/type", "must be a plain_text object" if plain else "must be a text object")
        return
    if not isinstance(text.get("text"), str):
        yield _at(at, "missing required field: text")
        return
    yield from _string(text["text"], f"{at}/text", most)


def _string(text: Any, at: str, most: int, *, least: int = 1) -> Problems:
    if text is None:
        return
    if not isinstance(text, str):
        yield _at(at, "must be a string")
    elif len(text) < least:
        yield _at(at, f"must be more than {least - 1} characters")
    elif len(text) > most:
        yield _at(at, f"must be less than {most + 1} characters")


def _each(items: Any, at: str, most: int | None, check: Callable[[Any, str], Problems]) -> Problems:
    if not isinstance(items, list):
        yield _at(at, "must be an array")
        return
    yield from _count(items, at, most)
    for n, item in enumerate(items):
        yield from check(item, f"{at}/{n}")


def _count(items: Collection[object], at: str, most: int | None, *, least: int = 1) -> Problems:
    if len(items) < least:
        yield _at(at, f"no less than {least} items allowed")
    if most is not None and len(items) > most:
        yield _at(at, f"no more than {most} items allowed")


def _needed(holder: Mapping[str, Any], at: str, *names: str) -> Problems:
    for name in names:
        if holder.get(name) is None:
            yield _at(at, f"missing required field: {name}")


def _unique(name: Any, at: str, seen: set[str]) -> Problems:
    if not isinstance(name, str):
        return
    if name in seen:
        yield _at(at, f"must be unique: {name} already exists")
    seen.add(name)


def _kind(part: Any) -> str:
    return str(part.get("type", "")) if isinstance(part, Mapping) else ""


def _at(pointer: str, words: str) -> str:
    return f"{words} [json-pointer:{pointer}]"
