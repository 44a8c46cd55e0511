"""The dialogue in aiogram: its dispatcher, its states, and a storage of its interface (it brings none on a disk)."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiogram import Bot, Dispatcher, F
from aiogram.client.session.base import BaseSession
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.base import BaseStorage, StorageKey
from aiogram.types import Chat, Message, Update, User

from tests.bench.elsewhere.dialogue import DONE, STEPS, Kept, measured


class Setup(StatesGroup):
    """One state for each question."""

    address, host, port, security, sure = (State() for _ in STEPS)


ORDER = (Setup.address, Setup.host, Setup.port, Setup.security, Setup.sure)


class Storage(BaseStorage):
    """State and data of a person in one row."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def _row(self, key: StorageKey) -> dict[str, Any]:
        return self._kept.get(str(key.user_id)) or {"state": None, "data": {}}

    async def set_state(self, key: StorageKey, state: Any = None) -> None:
        """See BaseStorage."""
        self._kept.put(str(key.user_id), {**self._row(key), "state": state.state if state else None})

    async def get_state(self, key: StorageKey) -> str | None:
        """See BaseStorage."""
        return self._row(key)["state"]

    async def set_data(self, key: StorageKey, data: Any) -> None:
        """See BaseStorage."""
        self._kept.put(str(key.user_id), {**self._row(key), "data": dict(data)})

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        """See BaseStorage."""
        return self._row(key)["data"]

    async def close(self) -> None:
        """See BaseStorage."""


class Nowhere(BaseSession):
    """Takes what is said."""

    said = ""

    async def make_request(self, bot: Bot, method: Any, timeout: int | None = None) -> Any:  # noqa: ASYNC109 - its name
        """See BaseSession."""
        self.said = method.text
        return Message(message_id=1, date=datetime.now(UTC), chat=Chat(id=1, type="private"))

    async def close(self) -> None:
        """See BaseSession."""

    async def stream_content(self, *_: Any, **__: Any) -> Any:
        """See BaseSession."""
        raise NotImplementedError


async def _begin(message: Message, state: FSMContext) -> None:
    await state.set_state(ORDER[0])
    await message.answer(STEPS[0][2])


def _taking(place: int) -> Any:
    async def take(message: Message, state: FSMContext) -> None:
        await state.update_data(**{STEPS[place][0]: message.text})
        last = place + 1 == len(STEPS)
        await state.set_state(None if last else ORDER[place + 1])
        await message.answer(DONE if last else STEPS[place + 1][2])

    return take


async def main() -> None:
    """Print milliseconds a message."""
    with tempfile.TemporaryDirectory() as home:
        session = Nowhere()
        bot = Bot("1:token", session=session)
        dispatcher = Dispatcher(storage=Storage(Kept(Path(home) / "kept")))
        for place, one in enumerate(ORDER):
            dispatcher.message.register(_taking(place), one, F.text)
        dispatcher.message.register(_begin)

        async def hear(person: int, said: str) -> str:
            who = User(id=person + 1, is_bot=False, first_name="Ana")
            message = Message(
                message_id=1, date=datetime.now(UTC), chat=Chat(id=person + 1, type="private"), from_user=who, text=said
            )
            await dispatcher.feed_update(bot, Update(update_id=1, message=message))
            return session.said

        sys.stdout.write(f"aiogram: {await measured(hear):.2f} ms\n")


if __name__ == "__main__":
    asyncio.run(main())
