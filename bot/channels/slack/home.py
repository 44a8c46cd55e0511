"""From the parts of a home to the view that Slack publishes: https://docs.slack.dev/surfaces/app-home."""

from collections.abc import Iterator, Sequence
from typing import Any

from bot.channels.slack.render import Block, button, mrkdwn, plain, sections
from bot.channels.slack.style import SlackStyle
from flows.board import HOME, Buttons, Line, Part, Title, Words
from flows.speech import Button, Plain, Style, label, render
from flows.words import Language, Option, Say, Speak

MAX_HEADER = 150
MAX_OPTION = 75
MAX_BLOCKS = 100


def home_view(parts: tuple[Part, ...], language: Language, above: Sequence[Block] = ()) -> dict[str, Any]:
    """A home, in a language; `above`: blocks that stand before its own."""
    blocks = [*above, *(block for part in parts for block in _blocks(part, language))]
    return {"type": "home", "blocks": blocks[:MAX_BLOCKS]}


def said(say: Say, language: Language, style: Style | None = None) -> str:
    """One sentence, in Slack's marks unless told otherwise."""
    return render(Speak((say,)), language, style or SlackStyle(), lambda _link: "").body


def _blocks(part: Part, language: Language) -> Iterator[Block]:
    match part:
        case Title(say):
            yield {"type": "header", "text": plain(said(say, language, Plain()), MAX_HEADER)}
        case Words(say):
            yield from sections(said(say, language))
        case Line(says, options):
            text = "\n".join(said(say, language) for say in says)
            menu = {
                "type": "overflow",
                "action_id": f"{HOME}.menu",
                "options": [_option(one, language) for one in options],
            }
            yield {"type": "section", "text": mrkdwn(text[:3000]), "accessory": menu}
        case Buttons(options):
            made = [button(Button(f"{HOME}:{one.value}", label(one, language))) for one in options]
            yield {"type": "actions", "elements": made}


def _option(one: Option, language: Language) -> Block:
    return {"text": plain(label(one, language), MAX_OPTION), "value": f"{HOME}:{one.value}"}
