"""The dialogue in botbuilder: its waterfall of prompts, its conversation state, on a storage of its interface."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from botbuilder.core import ConversationState, MessageFactory, Storage
from botbuilder.core.adapters import TestAdapter
from botbuilder.dialogs import (
    DialogSet,
    DialogTurnResult,
    DialogTurnStatus,
    WaterfallDialog,
    WaterfallStepContext,
)
from botbuilder.dialogs.prompts import PromptOptions, TextPrompt
from botbuilder.schema import Activity, ChannelAccount, ConversationAccount
from jsonpickle import Pickler, Unpickler

from tests.bench.elsewhere.dialogue import DONE, STEPS, Kept, measured


class OnDisk(Storage):
    """One row for each conversation, written as its own storages write it (jsonpickle)."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    async def read(self, keys: list[str]) -> dict[str, Any]:
        """See Storage."""
        found = {key: self._kept.get(key) for key in keys}
        return {key: Unpickler().restore(value) for key, value in found.items() if value is not None}

    async def write(self, changes: dict[str, Any]) -> None:
        """See Storage."""
        for key, value in changes.items():
            self._kept.put(key, Pickler().flatten(value))

    async def delete(self, keys: list[str]) -> None:
        """See Storage."""
        raise NotImplementedError


def _asking(place: int) -> Any:
    async def ask(step: WaterfallStepContext) -> DialogTurnResult:
        if place:
            step.values[STEPS[place - 1][0]] = step.result
        return await step.prompt("text", PromptOptions(prompt=MessageFactory.text(STEPS[place][2])))

    return ask


async def _end(step: WaterfallStepContext) -> DialogTurnResult:
    await step.context.send_activity(MessageFactory.text(DONE))
    return await step.end_dialog()


async def main() -> None:
    """Print milliseconds a message."""
    with tempfile.TemporaryDirectory() as home:
        state = ConversationState(OnDisk(Kept(Path(home) / "kept")))
        dialogs = DialogSet(state.create_property("dialog"))
        dialogs.add(TextPrompt("text"))
        dialogs.add(WaterfallDialog("setup", [*(_asking(place) for place in range(len(STEPS))), _end]))

        async def turn(context: Any) -> None:
            talk = await dialogs.create_context(context)
            if (await talk.continue_dialog()).status == DialogTurnStatus.Empty:
                await talk.begin_dialog("setup")
            await state.save_changes(context)

        adapter = TestAdapter(turn)

        async def hear(person: int, said: str) -> str:
            adapter.activity_buffer.clear()
            await adapter.receive_activity(
                Activity(
                    type="message", text=said, channel_id="test", conversation=ConversationAccount(id=str(person)),
                    from_property=ChannelAccount(id=str(person)), recipient=ChannelAccount(id="bot"),
                )
            )  # fmt: skip
            return str(adapter.activity_buffer[-1].text)

        sys.stdout.write(f"botbuilder: {await measured(hear):.2f} ms\n")


if __name__ == "__main__":
    asyncio.run(main())
