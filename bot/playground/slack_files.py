"""The files of the stand-in for Slack: the three calls that bring one, and the address from which one is fetched.

https://docs.slack.dev/messaging/working-with-files. The host files.slack.com is the stand-in's own root.
"""

import json
import mimetypes
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, redirect, request
from werkzeug.wrappers import Response as Answer

from bot.playground.slack_world import Channel, Hosted, Message, Refusal, Workspace, World, new_id

UPLOAD = "https://files.slack.com/upload/v1/"
MAX_FILE = 64 * 1024 * 1024  # bytes; Slack's own is a gigabyte
Args = dict[str, Any]


class Files:
    """`target`: where the bot may post; raises Refusal. `root`: the thread that a call names."""

    def __init__(
        self, world: World, target: Callable[[Workspace, str], Channel], root: Callable[[Channel, Args], str]
    ) -> None:
        self._world, self._target, self._root = world, target, root

    def add_pages(self, app: Flask) -> None:
        """The addresses of bytes."""
        app.add_url_rule("/upload/v1/<secret>", view_func=self._take, methods=["POST"])
        app.add_url_rule("/files-pri/<name>/download/<path:_file>", view_func=self._give, methods=["GET"])

    def begin(self, workspace: Workspace, args: Args) -> Args:
        """https://docs.slack.dev/reference/methods/files.getUploadURLExternal."""
        name, length = str(args.get("filename") or ""), str(args.get("length") or "")
        if not name or not length.isdecimal() or not int(length):
            raise Refusal("invalid_arguments")
        if int(length) > MAX_FILE:
            raise Refusal("file_upload_size_restricted")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        made = Hosted(new_id("F"), workspace.id, name, int(length), workspace.bot_user, mimetype=kind)
        made.upload = secrets.token_urlsafe(18)
        self._world.host(made)
        return {"upload_url": f"{UPLOAD}{made.upload}", "file_id": made.id}

    def complete(self, workspace: Workspace, args: Args) -> Args:
        """https://docs.slack.dev/reference/methods/files.completeUploadExternal: only now it can be seen."""
        named = args.get("files")
        named = json.loads(named) if isinstance(named, str) else named
        if not isinstance(named, list) or not named or not all(isinstance(one, Mapping) for one in named):
            raise Refusal("invalid_arguments")
        found = [self._brought(workspace, one) for one in named]
        place = str(args.get("channel_id") or "")
        if place:
            if place not in workspace.channels:  # a user is none
                raise Refusal("channel_not_found")
            self._share(workspace, self._target(workspace, place), found, args)
        shares: Args = {} if self._world.share_late else {"shares": {"private": {place: [{}]}}}
        return {"files": [self._world.file_shape(one) | shares for one in found]}

    def _brought(self, workspace: Workspace, named: Mapping[str, Any]) -> Hosted:
        file = self._world.files.get(str(named.get("id", "")))
        if file is None or file.team_id != workspace.id or file.content is None or file.shared:
            raise Refusal("file_not_found")
        file.title = str(named.get("title") or "")
        return file

    def _share(self, workspace: Workspace, channel: Channel, files: list[Hosted], args: Args) -> None:
        root = self._root(channel, args)
        for one in files:
            one.shared = True
        if self._world.share_late:
            self._world.unshared.append(lambda: self._post(workspace, channel, files, args, root))
        else:
            self._post(workspace, channel, files, args, root)

    def _post(self, workspace: Workspace, channel: Channel, files: list[Hosted], args: Args, root: str) -> None:
        message = Message(
            self._world.ts(), workspace.id, channel.id, workspace.bot_user, str(args.get("initial_comment") or ""),
            by_bot=True, thread_ts=root,
        )  # fmt: skip
        message.files = [self._world.file_shape(one) for one in files]
        self._world.keep(channel, message)

    def _take(self, secret: str) -> Response:
        """The bytes, once and exactly as many as were announced."""
        content = request.get_data()
        with self._world.changed:
            file = next((one for one in self._world.files.values() if one.upload == secret), None)
            if file is None or len(content) != file.size:
                return Response("bad upload", 400)
            file.content, file.upload = content, ""
            self._world.changed.notify_all()
        return Response(f"OK - {len(content)}")

    def _give(self, name: str, _file: str) -> Answer:
        """For a token of the same workspace that may read files; everybody else is led to the page for signing in."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        team, _, file_id = name.partition("-")
        with self._world.changed:
            known, file = self._world.tokens.get(token), self._world.files.get(file_id)
            self._world.downloads.append(file_id)
            may = scheme == "Bearer" and known is not None and not known.error and known.team_id == team
            if not may or "files:read" not in self._world.workspaces[team].scopes:
                return redirect("https://slack.com/?redir=%2Ffiles-pri")
            if file is None or file.team_id != team or file.content is None:
                return Response("not found", 404)
            return Response(file.content, content_type=file.mimetype)
