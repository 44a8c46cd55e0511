"""Modals and home views: opened, pushed, changed, published, by the Web API or by the answer to a submission."""

import json
from collections.abc import Mapping
from typing import Any

from bot.playground.slack_checks import MAX_VIEW_BYTES, message_problems, view_problems
from bot.playground.slack_screen import controls, mentions, state
from bot.playground.slack_world import TRIGGER_LIVES, Mention, Refusal, View, Workspace, World, new_id

MAX_STACK = 3


class Views:
    """What becomes of the views of one world. Whoever calls holds the world's lock."""

    def __init__(self, world: World) -> None:
        self._world = world

    # --- the methods of the Web API --------------------------------------------------------------------------------

    def open(self, workspace: Workspace, args: Mapping[str, Any]) -> dict[str, Any]:
        """https://docs.slack.dev/reference/methods/views.open."""
        content = self.checked(workspace, args.get("view"), "views.open")
        user, _ = self._exchange(workspace, args)
        view = self.show(workspace, user, content)
        return {"view": self.told(view)}

    def push(self, workspace: Workspace, args: Mapping[str, Any]) -> dict[str, Any]:
        """https://docs.slack.dev/reference/methods/views.push."""
        content = self.checked(workspace, args.get("view"), "views.push")
        user, inside = self._exchange(workspace, args)
        if not inside or not workspace.modals.get(user):
            raise Refusal("invalid_trigger_id")
        return {"view": self.told(self.pile(workspace, user, content))}

    def update(self, workspace: Workspace, args: Mapping[str, Any]) -> dict[str, Any]:
        """https://docs.slack.dev/reference/methods/views.update."""
        name, external = args.get("view_id"), args.get("external_id")
        if not name and not external:
            raise Refusal("invalid_arguments", response_metadata={"messages": ["view_id or external_id is required"]})
        views = workspace.views()
        view = next((one for one in views if one.id == name or one.content.get("external_id") == (external or 0)), None)
        if view is None:
            raise Refusal("not_found")
        _guard(view, args.get("hash"))
        content = self.checked(workspace, args.get("view"), "views.update", known=view)
        self.change(view, content)
        return {"view": self.told(view)}

    def publish(self, workspace: Workspace, args: Mapping[str, Any]) -> dict[str, Any]:
        """https://docs.slack.dev/reference/methods/views.publish."""
        user_id = str(args.get("user_id", ""))
        user = workspace.users.get(user_id)
        if user is None or user.is_bot:
            raise Refusal("user_not_found")
        known = workspace.homes.get(user_id)
        if known is not None:
            _guard(known, args.get("hash"))
        content = self.checked(workspace, args.get("view"), "views.publish", known=known, kind="home")
        if known is None:
            name = new_id("V")
            known = View(name, workspace.id, user_id, content, self._world.hash(), name)
            workspace.homes[user_id] = known
        self.change(known, content)
        return {"view": self.told(known)}

    # --- what becomes of them --------------------------------------------------------------------------------------

    def checked(
        self, workspace: Workspace, content: Any, method: str, *, known: View | None = None, kind: str = "modal"
    ) -> dict[str, Any]:
        """A view as it will be kept, with the names that Slack gives where the app gave none. Raises Refusal."""
        problems = view_problems(content)
        if not problems and known is None and content["type"] != kind:
            problems = [f"must be of type {kind} [json-pointer:/view/type]"]
        if problems:
            raise invalid("invalid_arguments", problems)
        if len(json.dumps(content)) > MAX_VIEW_BYTES:
            raise Refusal("view_too_large")
        external = content.get("external_id")
        if external and any(
            one.content.get("external_id") == external for one in workspace.views() if one is not known
        ):
            raise Refusal("duplicate_external_id")
        for what in mentions("", content):
            self._world.mentions.append(Mention(method, workspace.id, what))
        return {**content, "blocks": with_ids(content["blocks"])}

    def show(self, workspace: Workspace, user: str, content: dict[str, Any]) -> View:
        """Open a modal before somebody; another one that was open is gone."""
        name = new_id("V")
        view = View(name, workspace.id, user, content, self._world.hash(), name)
        workspace.modals[user] = [view]
        self._world.changed.notify_all()
        return view

    def pile(self, workspace: Workspace, user: str, content: dict[str, Any]) -> View:
        """Put a modal upon the one that is open: at most three."""
        stack = workspace.modals[user]
        if len(stack) >= MAX_STACK:
            raise Refusal("push_limit_reached")
        view = View(new_id("V"), workspace.id, user, content, self._world.hash(), stack[0].id, stack[-1].id)
        stack.append(view)
        self._world.changed.notify_all()
        return view

    def change(self, view: View, content: dict[str, Any]) -> None:
        """Show something else in a view. What was typed stays where block id and action id stay."""
        kept = {(one.block_id, one.action_id) for one in controls(content)}
        view.content, view.hash, view.errors = content, self._world.hash(), {}
        view.typed = {key: value for key, value in view.typed.items() if key in kept}
        self._world.changed.notify_all()

    def told(self, view: View) -> dict[str, Any]:
        """A view as Slack tells it, with what is filled in."""
        return self._world.view_shape(view, state(view.content, view.typed))

    def _exchange(self, workspace: Workspace, args: Mapping[str, Any]) -> tuple[str, str]:
        """Use a trigger up: who it is for, and the view that it was issued in."""
        trigger = self._world.triggers.get(str(args.get("trigger_id", "")))
        if trigger is None or trigger.team_id != workspace.id:
            raise Refusal("invalid_trigger_id")
        if trigger.used:
            raise Refusal("exchanged_trigger_id")
        if self._world.now() - trigger.issued > TRIGGER_LIVES:
            raise Refusal("expired_trigger_id")
        trigger.used = True
        return trigger.user_id, trigger.view_id


def checked_blocks(blocks: Any) -> list[dict[str, Any]]:
    """The blocks of a message as they will be kept. Raises Refusal."""
    if blocks in (None, "", []):
        return []
    if not isinstance(blocks, list):
        raise Refusal("invalid_blocks_format")
    problems = message_problems(blocks)
    if problems:
        raise invalid("invalid_blocks", problems)
    return with_ids(blocks)


def with_ids(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks with the block ids and action ids that Slack makes up where the app gave none."""
    return [_with_id(block) for block in json.loads(json.dumps(blocks))]


def invalid(error: str, problems: list[str]) -> Refusal:
    """What is wrong, in the two places where Slack tells it."""
    return Refusal(error, errors=problems, response_metadata={"messages": [f"[ERROR] {one}" for one in problems]})


def _with_id(block: dict[str, Any]) -> dict[str, Any]:
    block.setdefault("block_id", new_id("")[:5])
    parts = [block.get("accessory"), block.get("element")]
    parts += block["elements"] if block["type"] == "actions" else []
    for part in parts:
        if part and part["type"] != "image":
            part.setdefault("action_id", new_id("")[:5])
    return block


def _guard(view: View, known_hash: Any) -> None:
    if known_hash and known_hash != view.hash:
        raise Refusal("hash_conflict")
