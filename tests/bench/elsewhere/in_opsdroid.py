"""The dialogue in opsdroid: one skill, found by its parser; the state in its memory, on the SQLite database it brings.

A message goes the way of its own connectors (`parse`). What it starts besides, a web server and a clock, stays off.
"""

from __future__ import annotations

import gettext
import sys
import tempfile
from pathlib import Path
from typing import Any

from opsdroid.connector import Connector, register_event
from opsdroid.core import OpsDroid
from opsdroid.database.sqlite import DatabaseSqlite
from opsdroid.events import Message
from opsdroid.matchers import match_regex
from opsdroid.skill import Skill

from tests.bench.elsewhere.dialogue import DONE, STEPS, measured


class Setup(Skill):
    """It has no dialogues: the place in the story is kept with the answers."""

    @match_regex(r".+")
    async def take(self, message: Message) -> None:
        """Any message of a person."""
        memory, person = self.opsdroid.memory, message.user_id
        kept = await memory.get(person, {"place": -1, "answers": {}})
        if kept["place"] >= 0:
            kept["answers"][STEPS[kept["place"]][0]] = message.text
        kept["place"] += 1
        over = kept["place"] == len(STEPS)
        await (memory.delete(person) if over else memory.put(person, kept))
        await message.respond(DONE if over else STEPS[kept["place"]][2])


class Nowhere(Connector):
    """Gives in what is heard, and takes what is said."""

    said = ""

    async def connect(self) -> None:
        """See Connector."""

    async def listen(self) -> None:
        """See Connector."""

    async def hear(self, person: int, said: str) -> str:
        """A message of a person, and what is said to it."""
        self.said = ""
        await self.opsdroid.parse(Message(said, user_id=str(person), target=str(person), connector=self))
        return self.said

    @register_event(Message)
    async def _say(self, message: Message) -> Any:
        self.said = message.text


async def _talk(bot: OpsDroid, file: Path) -> float:
    connector = Nowhere({"name": "nowhere"}, bot)
    bot.connectors.append(connector)
    bot.memory.databases.append(DatabaseSqlite({"path": str(file)}, bot))
    bot.register_skill(Setup(bot, {"name": "setup"}).take)
    await bot.start_databases()
    await bot.start_connectors()
    took = await measured(connector.hear)
    await bot.memory.databases[0].disconnect()
    return took


def main() -> None:
    """Print milliseconds a message."""
    gettext.install("opsdroid")  # its texts need it, and only its command line does it
    with tempfile.TemporaryDirectory() as home, OpsDroid() as bot:
        took = bot.eventloop.run_until_complete(_talk(bot, Path(home) / "kept"))
    sys.stdout.write(f"opsdroid: {took:.2f} ms\n")


if __name__ == "__main__":
    main()
