"""Slack's own app on a person's screen: what is before them, what they can touch, what it makes of the bot's answers.

Whoever calls holds the world's lock.
"""

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bot.playground import slack_screen
from bot.playground.slack_api import Api
from bot.playground.slack_delivery import Answer
from bot.playground.slack_screen import Control, controls, options
from bot.playground.slack_world import Channel, Hook, Message, Refusal, View, Workspace, World

REQUIRED = "Please complete this required field."
_ODD = {
    "email_text_input": (re.compile(r"[^@\s]+@[^@\s]+"), "Please enter a valid email address."),
    "number_input": (re.compile(r"[+-]?\d+(\.\d+)?"), "Please enter a number."),
    "url_text_input": (re.compile(r"https?://\S+"), "Please enter a valid URL."),
}
_ONE_OPTION = frozenset({"static_select", "external_select", "radio_buttons"})
_MANY_OPTIONS = frozenset({"multi_static_select", "multi_external_select", "checkboxes"})
_TROUBLE = "We had some trouble connecting. Try again?"


class Client:
    """The app of everybody in one world."""

    def __init__(self, world: World, api: Api) -> None:
        self._world, self._api, self._views = world, api, api.views

    # --- what is there ---------------------------------------------------------------------------------------------

    def dm(self, team_id: str, user_id: str) -> Channel:
        """The direct messages of a person and the bot."""
        return self._world.dm(self._world.workspaces[team_id], user_id)

    def place(self, team_id: str, user_id: str, channel: str) -> Channel:
        """A channel, or the direct messages when none is named."""
        return self._world.workspaces[team_id].channels[channel] if channel else self.dm(team_id, user_id)

    def top(self, team_id: str, user_id: str) -> View | None:
        """The modal on top."""
        stack = self._world.workspaces[team_id].modals.get(user_id)
        return stack[-1] if stack else None

    def told(self, view: View | None) -> dict[str, Any] | None:
        """A view with its buttons."""
        return self._views.told(view) | {"buttons": slack_screen.buttons(view.content)} if view else None

    def find(
        self, team_id: str, user_id: str, what: str, where: str, ts: str | None
    ) -> tuple[Message | View, Control, Any]:
        """The newest button or option of this label, action id or value, and the option if it is one."""
        there: list[str] = []
        for seen in self._seen(team_id, user_id, where, ts):
            offers = [(one, option) for one in controls(_content(seen)) if not one.asks for option in _offered(one)]
            for name in (_label, _action_id, _value):
                for control, option in offers:
                    if name(control, option) == what:
                        many = control.kind in _MANY_OPTIONS
                        return seen, control, [option] if many else option
            there += [_label(control, option) for control, option in offers]
        raise LookupError(f"There is no {what!r} in {where}, only {there}.")

    def menu(self, team_id: str, user_id: str, name: str, where: str, ts: str | None) -> tuple[Message | View, Control]:
        """The newest menu of this action id or placeholder. Raises LookupError."""
        places = self._seen(team_id, user_id, where, ts)
        menus = ((seen, one) for seen in places for one in controls(_content(seen)) if _named(one, name))
        found = next(menus, None)
        if found is None:
            raise LookupError(f"There is no menu {name!r} in {where}.")
        return found

    def fill(self, team_id: str, user_id: str, values: Mapping[str, str | Sequence[str]]) -> None:
        """Fill in fields of the modal on top, by block id. Raises LookupError."""
        view = self.top(team_id, user_id)
        fields = {one.block_id: one for one in controls(view.content) if one.asks} if view else {}
        for block_id, value in values.items():
            if view is None or block_id not in fields:
                raise LookupError(f"There is no field {block_id!r}, only {sorted(fields)}.")
            control = fields[block_id]
            view.typed[block_id, control.action_id] = filled(control, value)
            view.errors.pop(block_id, None)
        self._world.changed.notify_all()

    def _seen(self, team_id: str, user_id: str, where: str, ts: str | None) -> Sequence[Message | View]:
        """What somebody has before them there, the newest first."""
        if where in {"home", "modal"}:
            homes = self._world.workspaces[team_id].homes
            view = homes.get(user_id) if where == "home" else self.top(team_id, user_id)
            return [view] if view else []
        place = self.place(team_id, user_id, "" if where == "dm" else where)
        mine = [one for one in place.ephemerals if one.reader == user_id]
        found = sorted([*place.messages.values(), *mine], key=age, reverse=True)
        return [one for one in found if ts in {None, one.ts}]

    # --- what it makes of answers ----------------------------------------------------------------------------------

    def show(self, answer: Answer, hook: Hook) -> None:
        """A command's answer, if it has words, is shown to the person."""
        if not answer.ok or not answer.text.strip():
            return
        try:
            given = answer.json()
        except ValueError:
            given = answer.text
        with contextlib.suppress(Refusal):
            self._api.respond(hook, given if isinstance(given, dict) else {"text": str(given)})

    def submitted(self, workspace: Workspace, user_id: str, view: View, answer: Answer) -> None:
        """https://docs.slack.dev/surfaces/modals#updating_views; the view may be gone meanwhile."""
        stack = workspace.modals.get(user_id, [])
        if view not in stack:
            return
        try:
            self._obey(workspace, user_id, view, answer)
        except (Refusal, ValueError, KeyError, TypeError, AttributeError):
            view.errors = {"": _TROUBLE}
        self._world.changed.notify_all()

    def _obey(self, workspace: Workspace, user_id: str, view: View, answer: Answer) -> None:
        stack = workspace.modals[user_id]
        if not answer.ok:
            raise ValueError(answer.reason)
        said = answer.json() if answer.text.strip() else {}
        match said.get("response_action"):
            case None:
                del stack[stack.index(view) :]
            case "clear":
                stack.clear()
            case "errors":
                known = {one.block_id for one in controls(view.content) if one.asks}
                if not said["errors"] or not set(said["errors"]) <= known:
                    raise ValueError("errors are for input blocks of this view")
                view.errors = {str(name): str(words) for name, words in said["errors"].items()}
            case "update":
                self._views.change(view, self._views.checked(workspace, said["view"], "view_submission", known=view))
            case "push":
                self._views.pile(workspace, user_id, self._views.checked(workspace, said["view"], "view_submission"))
            case other:
                raise ValueError(f"{other} is no response_action")


def filled(control: Control, given: str | Sequence[str]) -> Any:
    """What an element holds after that: words, an option, a list. Raises LookupError or ValueError."""
    if control.kind in _ONE_OPTION:
        return _option(control, str(given))
    if control.kind in _MANY_OPTIONS:
        return [_option(control, one) for one in ([given] if isinstance(given, str) else given)]
    if control.kind.startswith("multi_"):
        return [given] if isinstance(given, str) else list(given)
    most = control.element.get("max_length")
    if most is not None and len(given) > most:
        raise ValueError(f"The field {control.block_id!r} takes no more than {most} characters.")
    if control.kind == "rich_text_input" and given:
        section = {"type": "rich_text_section", "elements": [{"type": "text", "text": str(given)}]}
        return {"type": "rich_text", "elements": [section]}
    return str(given) or None


def own_errors(view: View) -> dict[str, str]:
    """What Slack's own client finds wrong, before anything is sent."""
    errors = {}
    values = slack_screen.state(view.content, view.typed)
    for one in controls(view.content):
        if not one.asks:
            continue
        value = values[one.block_id][one.action_id][slack_screen.state_name(one.kind)]
        pattern, words = _ODD.get(one.kind, (None, ""))
        if not value and not one.optional:
            errors[one.block_id] = REQUIRED
        elif value and pattern and not pattern.fullmatch(value):
            errors[one.block_id] = words
        elif value and len(value) < int(one.element.get("min_length") or 0):
            errors[one.block_id] = "Please enter more characters."
    return errors


def _option(control: Control, name: str) -> Mapping[str, Any]:
    offered = options(control.element)
    for one in offered:
        if name in {slack_screen.label(one), one.get("value")}:
            return one
    raise LookupError(f"There is no option {name!r}, only {[slack_screen.label(one) for one in offered]}.")


def _content(seen: Message | View) -> Any:
    return seen.content if isinstance(seen, View) else seen.blocks


def _offered(control: Control) -> list[Mapping[str, Any]]:
    """What can be tapped: a button itself, or each option."""
    return [control.element] if control.kind == "button" else options(control.element)


def _named(control: Control, menu: str) -> bool:
    placeholder = (control.element.get("placeholder") or {}).get("text", "")
    return menu in {control.action_id, placeholder} and control.kind != "button" and not control.asks


def _label(_control: Control, offer: Mapping[str, Any]) -> str:
    return slack_screen.label(offer)


def _action_id(control: Control, _offer: Mapping[str, Any]) -> str:
    return control.action_id if control.kind == "button" else ""


def _value(_control: Control, offer: Mapping[str, Any]) -> str:
    return str(offer.get("value", ""))


def age(message: Message) -> float:
    """What tells which of two messages is newer."""
    return float(message.ts)
