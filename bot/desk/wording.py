"""What staff type into Slack, as the person reads it: no ids, no mentions, marks as their channel has them. Pure.

https://docs.slack.dev/messaging/formatting-message-text: `&`, `<` and `>` of a writer come as entities, links and
mentions in pointed brackets, emoji as their names.
"""

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from bot.channels.text import NOT_TEXT

_LINK = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
_CODE = re.compile(r"```(.+?)```|`([^`\n]+)`", re.DOTALL)
_BLANKS = re.compile(r" {2,}")
_DEEPEST = 8  # of the elements of one message


class Style(Protocol):
    """How the person's channel writes it."""

    def kept(self, text: str) -> str:
        """Words whose marks are meant."""

    def code(self, text: str) -> str:
        """Text to be read letter by letter."""


def for_person(text: str, names: Mapping[str, str], style: Style) -> str:
    """Slack's text in a channel's style. `names`: of the staff who may be named in it."""
    text = _LINK.sub(lambda link: _read(link, names), text.replace("\r\n", "\n").replace("\t", " "))
    text = _BLANKS.sub(" ", NOT_TEXT.sub("", text))
    return "".join(_styled(text, style)).strip()


def _styled(text: str, style: Style) -> Iterator[str]:
    at = 0
    for code in _CODE.finditer(text):
        yield style.kept(html.unescape(text[at : code.start()]))
        yield style.code(html.unescape(code[1] or code[2]).strip("\n"))
        at = code.end()
    yield style.kept(html.unescape(text[at:]))


def _read(link: re.Match[str], names: Mapping[str, str]) -> str:
    """A link as its address, somebody as their name; what only Slack knows is nothing."""
    target, label = link[1], link[2] or ""
    match target[:1]:
        case "@":
            return names.get(target[1:], "")
        case "#":
            return f"#{label}" if label else ""
        case "!":
            return label.removeprefix("@") if target.startswith(("!subteam", "!date")) else ""
    target = target.removeprefix("mailto:")
    if not label or label in target or label in html.unescape(target):
        return target
    return f"{label} ({target})"


def with_emoji(text: str, blocks: Any) -> str:
    """The names of emoji as the signs that they stand for: Slack tells them beside the text."""
    for name, sign in dict(_emoji(blocks, _DEEPEST)).items():
        text = text.replace(f":{name}:", sign)
    return text


def _emoji(inside: Any, deep: int) -> Iterator[tuple[str, str]]:
    if isinstance(inside, Mapping) and deep:
        name, code = str(inside.get("name", "")), str(inside.get("unicode", ""))
        if inside.get("type") == "emoji" and name and re.fullmatch(r"[0-9a-f]{2,5}(-[0-9a-f]{2,5}){0,7}", code):
            tone = f"::skin-tone-{inside['skin_tone']}" if inside.get("skin_tone") else ""
            yield name + tone, "".join(chr(int(one, 16)) for one in code.split("-"))
        yield from _emoji(inside.get("elements"), deep - 1)
    elif isinstance(inside, list) and deep:
        for one in inside:
            yield from _emoji(one, deep - 1)
