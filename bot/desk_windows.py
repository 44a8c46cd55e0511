"""The windows of the desk, in the team's language: what is written, chosen or filled in for the person of a case."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from bot.channels.slack.render import MAX_TITLE, MAX_TYPED, VALUE, plain
from bot.channels.slack.style import SlackStyle
from bot.desk.packet import clock
from bot.desk_menu import DESK, MAX_OPTION
from bot.store.engine import Row
from flows import guide
from flows.speech import sentence
from flows.words import Language

MAX_SAID = 1_500  # characters: WhatsApp takes 1,600
MAX_CHOICES = 100  # of one menu in Slack
# Ready replies: their sentences stand in the texts, as desk.canned.<name>.
CANNED = ("looking", "words", "link", "no_password", "own_site", "admin", "provider", "solved")
DECISIONS = ("found", "member", "admin", "decline")

Block = dict[str, Any]
View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class About:
    """The case that a window is about, and whom it speaks to: the language they read, until when they can be told."""

    number: int
    channel: str
    spoken: Language
    theirs: Language
    window_until: datetime | None
    zone: ZoneInfo


def send(of: About) -> View:
    """Words of one's own."""
    typed = {"type": "plain_text_input", "action_id": VALUE, "multiline": True, "max_length": MAX_SAID}
    return _view("send", of, [_whom(of), _field("text", of, typed)])


def canned(of: About) -> View:
    """A ready reply: chosen in the team's language, said in theirs."""
    options = [_option(name, sentence(f"desk.canned.{name}", of.spoken)) for name in CANNED]
    return _view("canned", of, [_whom(of), _field("reply", of, _menu(options))])


def article(of: About) -> View:
    """An answer of the guide: chosen by its title in the team's language, said in theirs."""
    known = sorted(guide.articles(of.spoken).values(), key=lambda one: one.title.casefold())
    options = [_option(one.topic, one.title) for one in known[:MAX_CHOICES]]
    return _view("article", of, [_whom(of), _field("topic", of, _menu(options))])


def answer(of: About, names: Sequence[str]) -> View:
    """What is answered for the person: each may stay empty."""
    typed = {"type": "plain_text_input", "action_id": VALUE, "max_length": MAX_TYPED}
    words = _words(sentence("desk.window.answer_what", of.spoken))
    return _view("answer", of, [words, *({**_field(one, of, typed), "optional": True} for one in names)])


def opening(channel: str, spoken: Language) -> View:
    """Whom a case is to be opened for, and whether whoever opens it has it from the start."""
    of = About(0, channel, spoken, spoken, None, ZoneInfo("UTC"))
    typed = {"type": "plain_text_input", "action_id": VALUE, "max_length": MAX_TYPED}
    own = _option("own", sentence("desk.window.own", spoken))
    boxes: Block = {"type": "checkboxes", "action_id": VALUE, "options": [own], "initial_options": [own]}
    words = _words(sentence("desk.window.open_what", spoken))
    view = _view("open", of, [_field("who", of, typed), {**_field("mine", of, boxes), "optional": True}, words])
    return {**view, "title": plain(sentence("desk.window.open_title", spoken), MAX_TITLE)}


def access(of: About, wish: Row, agencies: Sequence[str]) -> View:
    """What becomes of a wish for access, and in which agency. With very many agencies its name is typed."""
    style = SlackStyle()
    asked = sentence(
        "desk.window.wish", of.spoken, who=style.plain(wish.name or "?"), agency=style.plain(wish.agency),
        address=style.code(wish.address),
    )  # fmt: skip
    options = [_option(one, sentence(f"desk.decision.{one}", of.spoken)) for one in DECISIONS]
    blocks = [_words(asked), _field("decision", of, {"type": "radio_buttons", "action_id": VALUE, "options": options})]
    if agencies:
        blocks.append({**_field("agency", of, _agency(wish, agencies)), "optional": True})
    return _view("access", of, blocks)


def _agency(wish: Row, agencies: Sequence[str]) -> Block:
    named = next((one for one in agencies if one.casefold() == wish.agency.casefold()), "")
    if len(agencies) > MAX_CHOICES:
        typed: Block = {"type": "plain_text_input", "action_id": VALUE, "max_length": MAX_TYPED}
        return {**typed, "initial_value": named} if named else typed
    menu = _menu([_option(one, one) for one in agencies])
    return {**menu, "initial_option": _option(named, named)} if named else menu


def _view(what: str, of: About, blocks: list[Block]) -> View:
    return {
        "type": "modal",
        "callback_id": f"{DESK}{what}",
        "private_metadata": f"{of.channel} {of.number}",
        "title": plain(sentence("desk.window.title", of.spoken, number=str(of.number)), MAX_TITLE),
        "submit": plain(sentence(f"desk.window.submit.{what}", of.spoken), MAX_TITLE),
        "close": plain(sentence("slack.close", of.spoken), MAX_TITLE),
        "blocks": blocks,
    }


def _whom(of: About) -> Block:
    """In which language they read it, and until when they can be written to."""
    both = {name: sentence(f"desk.language.{code}", of.spoken) for name, code in _codes(of)}
    lines = [sentence("desk.window.languages", of.spoken, **both)]
    if of.window_until is not None:
        lines.append(sentence("desk.root.window", of.spoken, until=clock(of.window_until, of.zone)))
    return _words("\n".join(lines))


def _codes(of: About) -> tuple[tuple[str, Language], ...]:
    return ("theirs", of.theirs), ("ours", of.spoken)


def _words(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _field(name: str, of: About, element: Block) -> Block:
    label = plain(sentence(f"desk.window.{name}", of.spoken), MAX_OPTION)
    return {"type": "input", "block_id": name, "label": label, "element": element}


def _menu(options: list[Block]) -> Block:
    return {"type": "static_select", "action_id": VALUE, "options": options}


def _option(value: str, label: str) -> Block:
    return {"text": plain(label.replace("*", ""), MAX_OPTION), "value": value}
