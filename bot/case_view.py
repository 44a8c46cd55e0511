"""A case's thread in words: its root, and the lines that stand below it."""

from typing import Any
from zoneinfo import ZoneInfo

from bot.casework import is_unasked
from bot.channels.slack.render import sections
from bot.channels.slack.style import SlackStyle
from bot.desk import packet
from bot.desk_menu import controls
from bot.desk_offer import Offer
from bot.store import cases
from bot.store.engine import Row
from flows import handoff
from flows.speech import sentence
from flows.words import Language

LOST = frozenset({"size", "type", "gone", "many", "slack"})


def root(row: Row, spoken: Language, zone: ZoneInfo, offer: Offer | None) -> tuple[str, list[Any]]:
    """The root of a case (`cases.about`), in plain text and in blocks. `zone`: the team's."""
    shown = packet.Packet(
        number=row.number,
        name=SlackStyle().plain(row.name or "?"),
        agency=SlackStyle().plain(row.agency or ""),
        role=sentence(f"team.role.{row.role}", spoken) if row.role else "",
        language=row.language,
        channel=row.channel,
        state=row.state,
        owner=f"<@{row.owner}>" if row.owner else "",
        waits_since=row.waits_since,
        snoozed_until=row.snoozed_until,
        where=_place(row, spoken),
        mailbox=_mailbox(row, spoken),
        window_until=row.window_until,
        end=row.end,
        reason=sentence(f"desk.reason.{row.reason}", spoken),
        unasked=is_unasked(row),
        over=offer.words(spoken) if offer is not None else "",
    )

    def words(name: str, **values: Any) -> str:
        return sentence(name, spoken, **{key: str(value) for key, value in values.items()})

    text = packet.root(shown, words, zone)
    return text, [*sections(text), *controls(row, spoken, offers=offer is not None and offer.stands)]


def _place(row: Row, spoken: Language) -> str:
    saved_talk = row.envelope or {}
    state = saved_talk.get("state") or {}
    return handoff.place(str(saved_talk.get("flow") or ""), str(state.get("is") or ""), spoken)


def _mailbox(row: Row, spoken: Language) -> str:
    if not row.address:
        return ""
    why = f" - {sentence(f'home.cause.{row.cause}', spoken)}" if row.cause else ""
    state = sentence(f"team.state.{row.mailbox_state}", spoken)
    return f"{SlackStyle().code(row.address)}, {SlackStyle().code(f'{row.host}:{row.port}')}: {state}{why}"


def talk(
    row: Row, lines: list[Row], files: list[Row], below: list[Any], spoken: Language
) -> tuple[str, list[Any], int]:
    """As many lines of the talk as fit into one message, in plain text and in blocks, and the id of the last one.

    `files`: of all these lines; `below`: what goes below a note that offers a template.
    """

    def told_of(line: Row) -> str:
        missing = [lost(one, spoken) for one in files if one.message_id == line.id and one.state == "lost"]
        return "\n".join([_readable(line), *missing])

    told = [packet.Line(line.id, line.direction, told_of(line)) for line in lines]
    text, last = packet.merged(told)
    mention = f"<@{row.owner}>\n" if row.owner and any(line.direction == "in" for line in lines) else ""
    offers = any(line.status == cases.OFFERS and line.id <= last for line in lines)
    return mention + text, [*sections(mention + text), *(below if offers else [])], last


def _readable(line: Row) -> str:
    """Slack's signs are meant in what the desk itself says, nobody's else are; our own bold would be stars."""
    if line.direction == "us":
        return str(line.text)
    return SlackStyle().plain(line.text if line.direction == "in" else line.text.replace("*", ""))


def lost(file: Row, spoken: Language) -> str:
    """Why a file of the person's does not stand there."""
    why = sentence(f"desk.file.{file.why if file.why in LOST else 'gone'}", spoken)
    return sentence("desk.file.lost", spoken, file=SlackStyle().plain(file.name), why=why)
