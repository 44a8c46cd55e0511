"""The dialogue in errbot: one plugin, with the state of each person in its own store (a shelf, as it comes)."""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from errbot.backends.test import TestBot

from tests.bench.elsewhere.dialogue import measured

PLUGIN = """
from errbot import BotPlugin
from tests.bench.elsewhere.dialogue import DONE, STEPS

class Setup(BotPlugin):
    def callback_message(self, msg):
        person, said = msg.body.split(" ", 1)
        place, answers = self.get(person, (-1, {}))
        if place >= 0:
            answers[STEPS[place][0]] = said
        place += 1
        over = place == len(STEPS)
        self[person] = (-1, {}) if over else (place, answers)
        self.send(msg.frm, DONE if over else STEPS[place][2])
"""
DESCRIPTION = "[Core]\nName = Setup\nModule = setup_talk\n\n[Python]\nVersion = 3\n"


def main() -> None:
    """Print milliseconds a message."""
    with tempfile.TemporaryDirectory() as home:
        Path(home, "setup_talk.py").write_text(PLUGIN)
        Path(home, "setup_talk.plug").write_text(DESCRIPTION)
        bot = TestBot(extra_plugin_dir=home, loglevel=logging.ERROR, extra_config={"BOT_DATA_DIR": home})
        bot.start()

        async def hear(person: int, said: str) -> str:
            bot.push_message(f"{person} {said}")
            return str(bot.pop_message(timeout=10))

        sys.stdout.write(f"errbot: {asyncio.run(measured(hear)):.2f} ms\n")
        bot.stop()


if __name__ == "__main__":
    main()
