"""Blocks as a person sees them: messages, windows and homes as HTML that looks like Slack's. Pure.

An own reading of https://docs.slack.dev/reference/block-kit for what our screens are made of, and for no more: a type
or a field that is not drawn here raises, so that no picture leaves anything out. Names of emoji (`:tada:`) stay as they
are. The style is `blocks.css` beside the playground's; nothing here needs a script, and buttons say in `data-` what
they are.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

from flows.words import Language

CSS = Path(__file__).parents[1] / "web" / "static" / "playground" / "blocks.css"
Part: TypeAlias = Mapping[str, Any]
Choices: TypeAlias = Mapping[str, Sequence[tuple[str, str]]]  # by type of a picker: ids and names that it offers

# What Slack itself writes around what an app says.
SLACKS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "optional": "(optional)",
        "private": "Only visible to you",
        "more": "More actions",
        "pick": "Select options",
        "choose": "Choose an option",
        "required": "Please complete this required field.",
    },
    "pt": {
        "optional": "(opcional)",
        "private": "Visível só para você",
        "more": "Mais ações",
        "pick": "Selecionar opções",
        "choose": "Escolha uma opção",
        "required": "Preencha este campo obrigatório.",
    },
    "es": {
        "optional": "(opcional)",
        "private": "Solo visible para ti",
        "more": "Más acciones",
        "pick": "Seleccionar opciones",
        "choose": "Elige una opción",
        "required": "Completa este campo obligatorio.",
    },
}
EMOJI = {
    "hourglass_flowing_sand": "⏳",
    "outbox_tray": "📤",
    "white_check_mark": "✅",
    "eyes": "👀",
    "x": "❌",
    "leftwards_arrow_with_hook": "↩️",
}
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}
# Marks work only at the edges of words, and never across lines.
_INLINE = re.compile(
    r"```(?P<pre>.+?)```|`(?P<code>[^`\n]+)`|<(?P<target>[^<>|\n]+)(?:\|(?P<label>[^<>\n]*))?>"
    r"|(?P<url>https?://[^\s<>|`*]*[\w/=&#-])"
    r"|(?<![\w*~])(?P<mark>[*_~])(?=\S)(?P<inside>(?:(?!(?P=mark))[^\n])+)(?<=\S)(?P=mark)(?!\w)",
    re.DOTALL,
)
_MARKS = {"*": "b", "_": "i", "~": "s"}
_QUOTED = re.compile(r"(?:>|&gt;) ?")


class Undrawn(ValueError):
    """A type or a field of Block Kit that is not drawn here."""


# --- what stands around blocks ---------------------------------------------------------------------------------------


def message(
    shown: Part,
    language: Language,
    *,
    sender: str = "Ally",
    at: str = "9:41",
    private: bool = False,
    person: bool = False,
    below: str = "",
) -> str:
    """A message of the app: `text`, or `blocks` in its place. `private`: for one person's eyes only.

    `person`: somebody wrote it, and not the app. `below`: what stands below it, as HTML.
    """
    _only(shown, "text", "blocks")
    blocks = shown.get("blocks")
    body = _drawn(blocks, language) if blocks else f'<div class="sl-text">{mrkdwn(str(shown["text"]))}</div>'
    only = f'<p class="sl-private">{SLACKS[language]["private"]}</p>' if private else ""
    face, badge = (f'sl-person">{escape(sender[:1])}', "") if person else ('">✉', ' <span class="sl-app">APP</span>')
    return (
        f'<article class="slack sl-message" lang="{language}">{only}<div aria-hidden="true" class="sl-face {face}</div>'
        f'<div class="sl-said"><p class="sl-head"><b>{escape(sender)}</b>{badge} '
        f"<time>{escape(at)}</time></p>{body}{below}</div></article>"
    )


def marks(names: Sequence[str], said: Mapping[str, str]) -> str:
    """The reactions below a message, by their names. `said`: what each of them says."""
    words = [(EMOJI.get(one, escape(one)), escape(said.get(one, one))) for one in names]
    drawn = (
        f'<span class="sl-mark" role="img" aria-label="{word}" title="{word}">{sign}</span>' for sign, word in words
    )
    return f'<p class="sl-marks">{"".join(drawn)}</p>' if names else ""


def modal(
    view: Part, language: Language, *, errors: Mapping[str, str] | None = None, choices: Choices | None = None
) -> str:
    """A window with its title and buttons. `errors`: what stands below fields, by the ids of their blocks."""
    _only(view, "type", "title", "submit", "close", "blocks", "callback_id", "notify_on_close", "private_metadata")
    title = _plain(view["title"])
    close = _plain(view["close"]) if view.get("close") else ""
    foot = f'<button type="button" class="sl-button" data-close>{close}</button>' if close else ""
    if view.get("submit"):
        foot += f'<button type="submit" class="sl-button sl-primary">{_plain(view["submit"])}</button>'
    body = _drawn(view["blocks"], language, errors or {}, choices or {})
    return (
        f'<div class="slack sl-modal" role="dialog" aria-label="{title}" lang="{language}">'
        f'<form data-callback="{escape(str(view.get("callback_id", "")))}"><div class="sl-title">'
        f'<div class="sl-face" aria-hidden="true">✉</div><h2>{title}</h2></div>'
        f'<div class="sl-body">{body}</div><div class="sl-foot">{foot}</div></form></div>'
    )


def home(view: Part, language: Language, tag: str = "main") -> str:
    """The home of the app; `tag`: as what it stands in a page."""
    _only(view, "type", "blocks")
    return f'<{tag} class="slack sl-home" lang="{language}">{_drawn(view["blocks"], language)}</{tag}>'


def page(body: str, *, title: str, language: Language = "en", style: str = "") -> str:
    """A page of its own, complete in itself."""
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{CSS.read_text(encoding='utf-8')}{style}</style></head><body>{body}</body></html>"
    )


# --- blocks ----------------------------------------------------------------------------------------------------------


def _drawn(
    blocks: Sequence[Part],
    language: Language,
    errors: Mapping[str, str] | None = None,
    choices: Choices | None = None,
) -> str:
    """Blocks from top to bottom; only a window has fields."""
    pieces = []
    for block in blocks:
        kind = str(block.get("type", ""))
        if kind == "input" and errors is not None:
            pieces.append(_input(block, language, errors.get(str(block.get("block_id", "")), ""), choices or {}))
        elif kind in _BLOCKS:
            pieces.append(_BLOCKS[kind](block, language))
        else:
            raise Undrawn(f"block {kind}")
    return "".join(pieces)


def _header(block: Part, _language: Language) -> str:
    _only(block, "type", "block_id", "text")
    return f'<h3 class="sl-header">{_plain(block["text"])}</h3>'


def _section(block: Part, language: Language) -> str:
    _only(block, "type", "block_id", "text", "accessory", "expand")
    beside = block.get("accessory")
    end = f'<div class="sl-beside">{_element(beside, block, language)}</div>' if beside else ""
    return f'<div class="sl-section"><div class="sl-text">{_text(block["text"])}</div>{end}</div>'


def _actions(block: Part, language: Language) -> str:
    _only(block, "type", "block_id", "elements")
    return f'<div class="sl-actions">{"".join(_element(one, block, language) for one in block["elements"])}</div>'


def _context(block: Part, _language: Language) -> str:
    _only(block, "type", "block_id", "elements")
    return f'<div class="sl-context">{"".join(f"<span>{_text(one)}</span>" for one in block["elements"])}</div>'


def _divider(block: Part, _language: Language) -> str:
    _only(block, "type", "block_id")
    return '<hr class="sl-divider">'


_BLOCKS: dict[str, Callable[[Part, Language], str]] = {
    "actions": _actions,
    "context": _context,
    "divider": _divider,
    "header": _header,
    "section": _section,
}


def _input(block: Part, language: Language, error: str, choices: Choices) -> str:
    """A field below its label, or a picker."""
    _only(block, "type", "block_id", "label", "element", "optional", "hint")
    element = block["element"]
    optional = f' <span class="sl-soft">{SLACKS[language]["optional"]}</span>' if block.get("optional") else ""
    label = f'<span class="sl-label">{_plain(block["label"])}{optional}</span>'
    below = f'<span class="sl-hint">{_plain(block["hint"])}</span>' if block.get("hint") else ""
    below += f'<span class="sl-error">{escape(error)}</span>' if error else ""
    name, wrong = escape(str(block.get("block_id", ""))), ' aria-invalid="true"' if error else ""
    if element["type"] == "plain_text_input":
        field = _typed(element, name, wrong)
        return f'<label class="sl-input">{label}{field}{below}</label>'
    if element["type"] == "static_select":
        return f'<label class="sl-input">{label}{_menu(element, name, wrong, language)}{below}</label>'
    if element["type"] == "radio_buttons":
        return f'<fieldset class="sl-input"{wrong}><legend>{label}</legend>{_radios(element, name)}{below}</fieldset>'
    if element["type"] in {"multi_users_select", "multi_conversations_select"}:
        picker = _picker(element, name, language, choices)
        return f'<fieldset class="sl-input"{wrong}><legend>{label}</legend>{picker}{below}</fieldset>'
    raise Undrawn(f"field {element['type']}")


def _typed(element: Part, name: str, wrong: str) -> str:
    _only(element, "type", "action_id", "max_length", "initial_value", "placeholder", "multiline")
    known = escape(str(element.get("initial_value") or ""))
    hint = f' placeholder="{_plain(element["placeholder"])}"' if element.get("placeholder") else ""
    most = f' maxlength="{int(element["max_length"])}"' if element.get("max_length") else ""
    if element.get("multiline"):
        return f'<textarea name="{name}"{most}{hint}{wrong}>{known}</textarea>'
    return f'<input type="text" name="{name}" value="{known}"{most}{hint}{wrong} autocomplete="off">'


def _picker(element: Part, name: str, language: Language, choices: Choices) -> str:
    """A closed menu; open it holds a box for each of what can be picked."""
    _only(element, "type", "action_id", "filter", "placeholder", "initial_users", "initial_conversations")
    words = _plain(element["placeholder"]) if element.get("placeholder") else SLACKS[language]["pick"]
    picked = {*(element.get("initial_users") or ()), *(element.get("initial_conversations") or ())}
    boxes = "".join(
        f'<label><input type="checkbox" name="{name}" value="{escape(value)}"{" checked" * (value in picked)}> '
        f"{escape(shown)}</label>"
        for value, shown in choices.get(element["type"], ())
    )
    return f'<details class="sl-picker"><summary>{words}</summary><div class="sl-options">{boxes}</div></details>'


def _menu(element: Part, name: str, wrong: str, language: Language) -> str:
    """A menu of which one is chosen."""
    _only(element, "type", "action_id", "options", "initial_option", "placeholder")
    begun = (element.get("initial_option") or {}).get("value")
    words = _plain(element["placeholder"]) if element.get("placeholder") else SLACKS[language]["choose"]
    options = "".join(
        f'<option value="{escape(str(one["value"]))}"{" selected" * (one["value"] == begun)}>'
        f"{_plain(one['text'])}</option>"
        for one in element["options"]
    )
    return f'<select name="{name}"{wrong}><option value="">{words}</option>{options}</select>'


def _radios(element: Part, name: str) -> str:
    _only(element, "type", "action_id", "options", "initial_option")
    begun = (element.get("initial_option") or {}).get("value")
    return "".join(
        f'<label class="sl-radio"><input type="radio" name="{name}" value="{escape(str(one["value"]))}"'
        f"{' checked' * (one['value'] == begun)}> {_plain(one['text'])}</label>"
        for one in element["options"]
    )


# --- elements and texts ----------------------------------------------------------------------------------------------


def _element(element: Part, block: Part, language: Language) -> str:
    kind = element["type"]
    if kind == "button":
        _only(element, "type", "action_id", "value", "text", "style")
        style = f" sl-{element['style']}" if element.get("style") else ""
        return _button(element, element, block, f"sl-button{style}")
    if kind == "overflow":
        _only(element, "type", "action_id", "options")
        more = SLACKS[language]["more"]
        summary = f'<summary aria-label="{more}"{_names(element, block)}>⋯</summary>'
        return _unfolding(summary, element, block, "sl-more")
    if kind in {"static_select", "users_select"}:  # choosing acts at once, so it is a menu of buttons and no field
        _only(element, "type", "action_id", "options", "placeholder")
        summary = f"<summary{_names(element, block)}>{_plain(element['placeholder'])}</summary>"
        return _unfolding(summary, element, block, "sl-more sl-named")
    raise Undrawn(f"element {kind}")


def _unfolding(summary: str, element: Part, block: Part, look: str) -> str:
    options = "".join(_button(one, element, block, "sl-option") for one in element.get("options", ()))
    return f'<details class="{look}">{summary}<div>{options}</div></details>'


def _button(shown: Part, element: Part, block: Part, look: str) -> str:
    """A button, or a choice in a menu, with the names that go back to the app when it is pressed."""
    data = _names(element, block, shown.get("value"))
    return f'<button type="button" class="{look}"{data}>{_plain(shown["text"])}</button>'


def _names(element: Part, block: Part, value: object = None) -> str:
    names = {"block": block.get("block_id"), "action": element.get("action_id"), "value": value}
    return "".join(f' data-{name}="{escape(str(one))}"' for name, one in names.items() if one)


def _text(text: Part) -> str:
    _only(text, "type", "text", "emoji", "verbatim")
    return mrkdwn(str(text["text"])) if text["type"] == "mrkdwn" else _plain(text)


def _plain(text: Part) -> str:
    _only(text, "type", "text", "emoji")
    if text["type"] != "plain_text":
        raise Undrawn(f"{text['type']} where only plain text may stand")
    return escape(str(text["text"]))


def mrkdwn(text: str) -> str:
    """Slack's marks as HTML: https://docs.slack.dev/messaging/formatting-message-text."""
    pieces = []
    for quoted, lines in groupby(text.split("\n"), lambda line: _QUOTED.match(line) is not None):
        if quoted:
            pieces.append(
                f"<blockquote>{_inline(chr(10).join(_QUOTED.sub('', one, count=1) for one in lines))}</blockquote>"
            )
        else:
            pieces.append(_inline("\n".join(lines).strip("\n")))
    return "".join(pieces)


def _inline(text: str) -> str:
    return "".join(_pieces(text)).replace("\n\n", '<span class="sl-gap"></span>').replace("\n", "<br>")


def _pieces(text: str) -> Iterator[str]:
    at = 0
    for found in _INLINE.finditer(text):
        yield _escaped(text[at : found.start()])
        yield _marked(found)
        at = found.end()
    yield _escaped(text[at:])


def _marked(found: re.Match[str]) -> str:
    if found["pre"] is not None:
        return f"<pre>{_escaped(found['pre'])}</pre>"
    if found["code"] is not None:
        return f"<code>{_escaped(found['code'])}</code>"
    if found["mark"] is not None:
        tag = _MARKS[found["mark"]]
        return f"<{tag}>{''.join(_pieces(found['inside']))}</{tag}>"
    target = found["target"] or found["url"]
    if target[0] in "@#!":
        return f'<span class="sl-mention">{_escaped(found["label"] or target)}</span>'
    shown = found["label"] or target.removeprefix("mailto:")
    return f'<a href="{_escaped(target)}" rel="noreferrer">{_escaped(shown)}</a>'


def _escaped(text: str) -> str:
    """Slack's three entities as the signs they are, and then as HTML."""
    return escape(re.sub("|".join(_ENTITIES), lambda one: _ENTITIES[one[0]], text))


def _only(part: Part, *known: str) -> None:
    """Raise what is not drawn, rather than leave it out."""
    if further := sorted(set(part) - set(known)):
        raise Undrawn(f"{part.get('type', 'a message')} with {', '.join(further)}")
