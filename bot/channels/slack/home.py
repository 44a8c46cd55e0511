"""From the parts of a home to the view that Slack publishes: https://docs.slack.dev/surfaces/app-home."""

from collections.abc import Iterator, Sequence
from typing import Any

from bot.channels.slack.render import Block, button, mrkdwn, option, plain, sections
from bot.channels.slack.style import SlackStyle
from flows.board import HOME, Buttons, Line, Part, Rule, Small, Title, Words
from flows.speech import Button, Plain, Style, label, render
from flows.words import Language, Say, Speak

MAX_HEADER = 150
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
                "options": [option(f"{HOME}:{one.value}", label(one, language)) for one in options],
            }
            yield {"type": "section", "text": mrkdwn(text[:3000]), "accessory": menu}
        case Small(says):
            yield {"type": "context", "elements": [mrkdwn(said(say, language)) for say in says]}
        case Rule():
            yield {"type": "divider"}
        case Buttons(options, next_):
            made = [Button(f"{HOME}:{one.value}", label(one, language)) for one in options]
            styles = ["primary" if next_ else "", *[""] * len(made)]
            yield {"type": "actions", "elements": [button(*one) for one in zip(made, styles, strict=False)]}
