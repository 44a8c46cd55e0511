"""What each of Slack's requests means: one turn, and what can be shown at once. Nothing here waits for Slack.

A window needs the request's trigger, which lasts three seconds: it is opened beside the answer, by a few threads of
our own, after the turn was committed. Where that fails the same question stands in the direct messages.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any

import structlog

from bot.channels import Identity, Inbound, SendError
from bot.channels.slack import read
from bot.channels.slack.channel import Slack
from bot.channels.slack.home import said
from bot.channels.slack.render import window
from bot.channels.slack.style import SlackStyle
from bot.facts import FactReader, language
from bot.screens import Screens
from bot.slack_desk import BUTTON as DESK_BUTTON
from bot.slack_desk import SupportDesk
from bot.store.engine import Engine
from bot.turns import Taken, Turns
from bot.workspaces import Workspaces
from flows.board import HOME, PAGE_TURN, own, summary
from flows.flow import GO
from flows.speech import Message, Plain, render, sentence
from flows.words import FieldErrors, Link, Speak

OPENERS = 8  # windows that are opened at the same time
ARRIVED = 0.5  # seconds by which an answer of ours has surely reached Slack
MAX_OPENING = 50  # windows that wait to be opened; a trigger lasts three seconds, more would be too late anyway
MAX_PAGE = 10_000  # of a home; one that does not exist is the last
WAITING = "slack.waiting"  # the question of a window that only waits
# The words behind /ally, in three languages, and where they lead; everything else is taken as said.
SUBCOMMANDS: Mapping[str, str] = {
    **dict.fromkeys(("", "menu"), f"{GO}menu"),
    **dict.fromkeys(("connect", "conectar"), f"{GO}integrate"),
    **dict.fromkeys(("invite", "convidar", "invitar"), f"{GO}invite"),
    **dict.fromkeys(("team", "equipe", "equipo"), f"{GO}team"),
    **dict.fromkeys(("test", "testar", "probar"), f"{GO}mailbox.test"),
    **dict.fromkeys(("send", "enviar"), f"{GO}compose"),
    **dict.fromkeys(("privacy", "privacidade", "privacidad"), f"{GO}privacy"),
    **dict.fromkeys(("link", "vincular"), f"{GO}roles.link"),
}
HELP = frozenset({"help", "ajuda", "ayuda", "?"})
STATUS = frozenset({"status", "estado"})
JOIN = ("join ", "entrar ")
_log = structlog.get_logger(__name__)

Body = dict[str, Any]


class SlackEdge:
    """See `channels.slack.bolt.Answers`."""

    def __init__(
        self, engine: Engine, turns: Turns, facts: FactReader, workspaces: Workspaces, screens: Screens, channel: Slack,
        now: Callable[[], datetime], address_of: Callable[[Link], str], desk: SupportDesk | None = None,
    ) -> None:  # fmt: skip
        """`address_of`: a new address of a one-time link, which a window shows as the message does."""
        self._engine = engine
        self._turns = turns
        self._facts = facts
        self._workspaces = workspaces
        self._screens = screens
        self._channel = channel
        self._now = now
        self._address_of = address_of
        self._desk = desk
        self._openers = ThreadPoolExecutor(OPENERS, thread_name_prefix="slack-window")
        self._lock = threading.Lock()
        self._showing = 0

    def known(self, team: str) -> str | None:
        """Our own user in a workspace (it may not be known yet); None where we are not."""
        row = self._workspaces.find(team)
        return str(row.bot_user) if row is not None else None

    @property
    def showing(self) -> int:
        """How many windows are being opened or brought up to date beside the answers, or wait for that."""
        return self._showing

    def close(self) -> None:
        """Begin to show nothing more, and let what is being shown end: it works on the database."""
        self._openers.shutdown(wait=True, cancel_futures=True)

    # --- one method for each kind of request ---

    def event(self, body: Body) -> None:
        """See `Answers`."""
        event = body.get("event") or {}
        try:
            match event.get("type"):
                case "message" if self._desk is not None and self._desk.is_here(_team(body), str(event.get("channel"))):
                    self._desk.event(body)
                case "message":
                    inbound = read.read_message(body)
                    if inbound is not None:
                        self._heard_in(inbound, str(event.get("channel", "")))
                case "app_home_opened" if event.get("tab", "home") == "home":
                    self._home_opened(read.read_home(body), 0)
                case "app_uninstalled" | "tokens_revoked":
                    self._left(str(body.get("team_id", "")), event, body.get("event_time"))
        except read.BadPayload as bad:
            _log.warning("an event was not taken", why=str(bad))

    def command(self, body: Body) -> str:
        """See `Answers`."""
        try:
            words, inbound = read.read_command(body)
        except read.BadPayload as bad:
            _log.warning("a command was not taken", why=str(bad))
            return sentence("slack.down", "en")
        if words in HELP or words in STATUS:
            return self._in_place(inbound.identity, words)
        if words.startswith(JOIN):
            inbound = Inbound(inbound.message_id, inbound.identity, inbound.text.partition(" ")[2], name=inbound.name)
        elif words in SUBCOMMANDS:
            button = f"{read.COMMAND}:{SUBCOMMANDS[words]}"
            inbound = Inbound(inbound.message_id, inbound.identity, words, button, name=inbound.name)
        taken = self._turns.receive(inbound)
        if taken is not None:
            self._open(inbound.identity, str(body.get("trigger_id", "")), taken, always=True)
        return ""

    def action(self, body: Body) -> None:
        """See `Answers`. A tap on the home is answered in a window, because the messages are not in sight."""
        try:
            inbound = read.read_action(body)
        except read.BadPayload as bad:
            _log.warning("a tap was not taken", why=str(bad))
            return
        if self._desk is not None and (inbound.button or "").startswith(DESK_BUTTON):
            self._at_the_desk(inbound.button or "", body)
            return
        value = (inbound.button or "").removeprefix(f"{HOME}:")
        if value.startswith(PAGE_TURN):
            page = value.removeprefix(PAGE_TURN)
            self._home_opened(inbound.identity, min(int(page), MAX_PAGE) if page.isdecimal() else 0)
            return
        taken = self._turns.receive(inbound)
        where = str((body.get("view") or {}).get("type", ""))
        if taken is not None and where != "modal":  # a window that is open follows the talk
            self._open(inbound.identity, str(body.get("trigger_id", "")), taken, always=where == "home")

    def submission(self, body: Body) -> Body:
        """See `Answers`. What does not fit is told at its field; else the window waits for what comes next."""
        if self._desk is not None and str((body.get("view") or {}).get("callback_id", "")).startswith(DESK_BUTTON):
            return self._desks_window(body)
        try:
            inbound = read.read_submission(body)
        except read.BadPayload as bad:
            _log.warning("a window was not taken", why=str(bad))
            return {}
        taken = self._turns.receive(inbound)
        if taken is None or taken.silent:
            return {}
        problems = [problem for one in taken.effects if isinstance(one, FieldErrors) for problem in one.problems]
        if problems:
            errors = {name: said(why, taken.language, Plain()) for name, why in problems}
            return {"response_action": "errors", "errors": errors}
        view_id = str((body.get("view") or {}).get("id", ""))
        self._screens.view_opened(taken.conversation_id, view_id)
        # What is said meanwhile may reach the window before this answer does, which would then stand above it.
        self._begin(self._catch_up_late, inbound.identity, view_id, taken)
        return {"response_action": "update", "view": window(self._shown(taken), self._channel.frame(taken.language))}

    def closed(self, body: Body) -> None:
        """See `Answers`."""
        try:
            who = read.actor(body)
        except read.BadPayload:
            return
        self._screens.view_closed(who.address or "", str((body.get("view") or {}).get("id", "")))

    # --- what they have in common ---

    def _heard_in(self, inbound: Inbound, channel: str) -> None:
        if self._turns.receive(inbound) is not None and channel != self._screens.dm(inbound.identity.address or ""):
            self._screens.noted_dm(inbound.identity.address or "", channel)

    def _home_opened(self, who: Identity, page: int) -> None:
        held = self._turns.known(who)
        self._screens.home_opened(held.id, page)

    def _at_the_desk(self, value: str, body: Body) -> None:
        try:
            view = self._desk.action(value, body) if self._desk is not None else None
        except read.BadPayload as bad:
            _log.warning("a tap was not taken", why=str(bad))
            return
        trigger, team = str(body.get("trigger_id", "")), str((body.get("team") or {}).get("id", ""))
        if view is not None and trigger:
            self._beside(partial(self._channel.open_view, team, trigger, view))

    def _desks_window(self, body: Body) -> Body:
        try:
            return self._desk.submission(body) if self._desk is not None else {}
        except read.BadPayload as bad:
            _log.warning("a window was not taken", why=str(bad))
            return {}

    def _left(self, team: str, event: Body, told_at: object) -> None:
        if event.get("type") == "tokens_revoked" and not (event.get("tokens") or {}).get("bot"):
            return  # only somebody's own token, of which we have none
        _log.warning("the app was removed from a workspace", team=team)
        self._workspaces.leave(team, float(told_at) if isinstance(told_at, int | float) else None)

    def _in_place(self, who: Identity, words: str) -> str:
        """What is answered where it was asked, for its writer's eyes only."""
        held = self._turns.known(who)
        spoken = language(held.language)
        if words in HELP:
            return sentence("slack.help", spoken)
        with self._engine.begin() as db:
            known = self._facts.at_a_glance(db, held, self._now())
        if not known.agency:
            return sentence("slack.no_agency", spoken)
        return said(summary(known) if known.role == "admin" else own(known), spoken)

    def _open(self, who: Identity, trigger: str, taken: Taken, *, always: bool) -> None:
        """Open a window with the question, where it has fields or (`always`) whatever it is; beside the answer."""
        asked = _last_speak(taken)
        if taken.silent or not trigger or not (always or (asked is not None and asked.inputs)):
            return
        self._begin(self._opened, who, trigger, taken)

    def _opened(self, who: Identity, trigger: str, taken: Taken) -> None:
        view_id = self._channel.open(read.split(who.address or "")[0], trigger, self._shown(taken))
        self._screens.view_opened(taken.conversation_id, view_id)
        self._catch_up(who, view_id, taken)

    def _begin(self, show: Callable[[Identity, str, Taken], None], who: Identity, how: str, taken: Taken) -> None:
        """Show something of a talk beside the answer."""
        self._beside(partial(show, who, how, taken))

    def _beside(self, show: Callable[[], object]) -> None:
        """Show something beside the answer, if not too much waits already."""
        with self._lock:
            if self._showing >= MAX_OPENING:
                _log.warning("too many windows wait to be opened")
                return
            self._showing += 1
        self._openers.submit(self._shown_beside, show)

    def _shown_beside(self, show: Callable[[], object]) -> None:
        try:
            show()
        except SendError as failure:
            _log.info("a window was not shown", code=failure.code)
        except Exception as error:  # noqa: BLE001 - an ornament: the question stands in the direct messages, too
            _log.error("a window was not shown", kind=type(error).__name__)
        finally:
            with self._lock:
                self._showing -= 1

    def _catch_up_late(self, who: Identity, view_id: str, taken: Taken) -> None:
        time.sleep(ARRIVED)
        self._catch_up(who, view_id, taken)

    def _catch_up(self, who: Identity, view_id: str, taken: Taken) -> None:
        """Show what is asked by now, where the talk went on before the window stood."""
        asked = self._turns.asks_now(taken.conversation_id, taken.ticket)
        if asked is None:
            return
        message = render(asked, taken.language, SlackStyle(), self._address_of)
        self._channel.update(read.split(who.address or "")[0], view_id, message)

    def _shown(self, taken: Taken) -> Message:
        """What a window shows at once: the question, or that it waits; what follows is put into it as it is said."""
        asked = _last_speak(taken)
        if asked is None:
            return Message(sentence("slack.working", taken.language), (), taken.language, WAITING)
        return render(asked, taken.language, SlackStyle(), self._address_of)


def _team(body: Body) -> str:
    """The workspace that we are installed in."""
    return str((body.get("authorizations") or [{}])[0].get("team_id") or body.get("team_id", ""))


def _last_speak(taken: Taken) -> Speak | None:
    return next((one for one in reversed(taken.effects) if isinstance(one, Speak)), None)
