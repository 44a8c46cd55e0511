"""The Slack of the playground: one workspace with the agency's admin and the support team, and what each of them sees.

The stand-in for Slack keeps it all; here stands who is there, and what the page asks. For each language there is an
admin and somebody of the team who read it: nobody has to be talked into another language when the page changes its own.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from bot.playground.cast import ADMINS, CHANNEL, DESK, HOURS, OTHERS, STAFF, TEAM, WORKSPACE, ZONE
from bot.playground.office_page import PICK, Drawing
from bot.playground.slack import SlackStandIn
from flows.words import LANGUAGES, Language

COMMAND = "/ally"
Place: TypeAlias = Literal["admin", "desk"]
Act: TypeAlias = Mapping[str, Any]


class Office:
    """One workspace on a stand-in for Slack. `events_url`: where the bot takes its events; `now`: the time there."""

    def __init__(self, events_url: str, now: Callable[[], datetime]) -> None:
        self.slack = SlackStandIn(events_url=events_url, now=now)
        everybody = [*ADMINS.values(), *STAFF.values(), *OTHERS]
        workspace = self.slack.workspace(TEAM, WORKSPACE)
        for one in everybody:
            self.slack.user(TEAM, one.id, one.name.lower(), real_name=one.name, tz=ZONE)
        bot = workspace.bot_user
        self.slack.channel(TEAM, CHANNEL, "team", [bot, *(one.id for one in [*ADMINS.values(), *OTHERS])])
        self.slack.channel(TEAM, DESK, "desk", [bot, *(one.id for one in STAFF.values())], private=True)
        self._token = workspace.token
        self._names = {one.id: one.name for one in everybody}
        self._picks = {
            "multi_users_select": tuple((one.id, one.name) for one in OTHERS),
            "multi_conversations_select": ((CHANNEL, "#team"),),
            "users_select": tuple((one.id, one.name) for one in STAFF.values()),
        }
        self._now = now

    def __enter__(self) -> Self:
        self.slack.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.slack.stop()

    def environment(self) -> dict[str, str]:
        """The settings with which the bot is in this workspace, and has its desk there."""
        return {
            "SLACK_BOT_TOKEN": self._token,
            "SLACK_SIGNING_SECRET": self.slack.signing_secret,
            "SLACK_API_URL": f"{self.slack.url}/api",
            "SUPPORT_TEAM": TEAM,
            "SUPPORT_CHANNEL": DESK,
            "SUPPORT_HOURS": HOURS,
            "SUPPORT_TIMEZONE": ZONE,
        }

    # --- what they see ---

    def shown(self, language: Language, seen: str) -> dict[str, Any]:
        """What the admin and the team of a language have before them; only its name `seen` if that is known."""
        pen = Drawing(language, self._names, self._picks, self._now(), ZONE)
        admin, staff = ADMINS[language].id, STAFF[language].id
        found = {
            "admin": {
                **self._own(pen, admin),
                "items": pen.talk([*self.slack.dm(TEAM, admin), *self._notes(admin)], self._notes(admin)),
            },
            "desk": {**self._own(pen, staff), "threads": self._threads(pen, staff)},
        }
        name = hashlib.sha256(json.dumps([language, found]).encode()).hexdigest()[:32]
        return {"seen": name} if name == seen else {"seen": name, **found}

    def _own(self, pen: Drawing, user: str) -> dict[str, Any]:
        home, window = self.slack.home(TEAM, user), self.slack.modal(TEAM, user)
        errors = self.slack.field_errors(TEAM, user) if window else {}
        return {"home": pen.home(home) if home else "", "window": pen.window(window, errors) if window else ""}

    def _notes(self, user: str) -> list[Any]:
        return [one for one in self.slack.ephemerals(TEAM, user) if one.channel != DESK]

    def _threads(self, pen: Drawing, user: str) -> list[dict[str, Any]]:
        """The threads of the channel, newest first, each from its root on."""
        all_of_it = self.slack.channel_messages(TEAM, DESK)
        notes = [one for one in self.slack.ephemerals(TEAM, user) if one.channel == DESK]
        roots = [one for one in all_of_it if one.thread_ts in {"", one.ts}]
        threads = []
        for root in reversed(roots):
            inside = [one for one in (*all_of_it, *notes) if one.thread_ts == root.ts != one.ts]
            reactions = {one.ts: self.slack.reactions(TEAM, DESK, one.ts) for one in inside if one.mine}
            items = pen.talk([root, *inside], notes, reactions, mine=user)
            threads.append({"key": root.ts, "title": pen.title(root), "items": items})
        return threads

    # --- what they do ---

    def act(self, language: Language, place: Place, wish: Act) -> bool:
        """Somebody does something; whether the bot took it. Raises LookupError: it is not there (any more).

        ValueError: that cannot be done.
        """
        user = (ADMINS if place == "admin" else STAFF)[language].id
        match wish:
            case {"do": "home"}:
                return self.slack.open_home(TEAM, user).ok
            case {"do": "say", "text": str(text), **rest}:
                return self._say(user, place, text, str(rest.get("thread", "")))
            case {"do": "tap", "value": str(value), "where": "home" | "modal" as where}:
                return self.slack.tap(TEAM, user, value, where=where).ok
            case {"do": "tap", "value": str(value), "ts": str(ts)} if value.startswith(PICK):
                menu, _, chosen = value.removeprefix(PICK).partition(" ")
                return self.slack.choose(TEAM, user, menu, chosen, where="dm" if place == "admin" else DESK, ts=ts).ok
            case {"do": "tap", "value": str(value), "ts": str(ts)}:
                return self.slack.tap(TEAM, user, value, where="dm" if place == "admin" else DESK, ts=ts).ok
            case {"do": "submit", "values": dict(values)}:
                self.slack.type_in(TEAM, user, _fields(values))
                answer = self.slack.submit(TEAM, user)
                return answer.ok or answer.reason == "not_sent"
            case {"do": "close"}:
                self.slack.close_modal(TEAM, user)
                return True
            case {"do": "delete", "ts": str(ts)}:
                return self.slack.take_back(TEAM, user, ts).ok
        raise ValueError("nothing that can be done")

    def _say(self, user: str, place: Place, text: str, thread: str) -> bool:
        if not text.strip():
            raise ValueError("no words")
        if place == "desk":
            if thread and not self.slack.thread(TEAM, DESK, thread):
                raise LookupError("there is no such thread")
            return self.slack.say(TEAM, user, text, channel=DESK, thread_ts=thread).ok
        command, _, rest = text.strip().partition(" ")
        if command == COMMAND:
            return self.slack.command(TEAM, user, rest.strip()).ok
        return self.slack.say(TEAM, user, text).ok


def known(language: object) -> Language | None:
    """A language of ours."""
    return next((one for one in LANGUAGES if one == language), None)


def _fields(values: Mapping[Any, Any]) -> dict[str, str | list[str]]:
    """What a window's fields hold: words, or what was picked. Raises ValueError."""
    fields: dict[str, str | list[str]] = {}
    for name, value in values.items():
        many = isinstance(value, list) and all(isinstance(one, str) for one in value)
        if not isinstance(name, str) or not (many or isinstance(value, str)):
            raise ValueError("no field")
        fields[name] = value
    return fields
