"""`make talk`: the conversation in this terminal, with the sandbox's mail server and the real one-time page.

A line is what you say; `/page` types a password on the open page without a browser; `/quit` ends. `--record` writes
the talk down as a play, `--script` plays one and says whether it still goes as written.
"""

import getpass
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import click
from werkzeug.serving import WSGIRequestHandler, make_server

from bot.app import create_app
from bot.channels import Identity
from bot.channels.terminal import render
from bot.playground.plays import INDENT, LINK, BadPlay, Play
from bot.playground.theatre import Theatre
from bot.settings import Settings, SettingsError
from flows.speech import Message
from flows.words import LANGUAGES

YOU = "+5511999990000"


def talk(settings: Settings, script: Path | None, record: Path | None) -> None:
    """Play a script, or talk until the end of the input."""
    if script is not None:
        _play(script)
        return
    _Talk(settings, record).run()


def _play(script: Path) -> None:
    before = script.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="ally-play-") as home:
        play = Play(Path(home))
        try:
            with play.theatre:
                after = play.play(before)
        except BadPlay as bad:
            raise SettingsError(str(bad)) from None
    sys.stdout.write(after)
    if after != before:
        raise SettingsError(f"{script} does not go as it is written; what is said today stands above.")


class _Talk:
    """One talk with whoever sits at the terminal."""

    def __init__(self, settings: Settings, record: Path | None) -> None:
        self._written: list[str] = [f"people: You {YOU}", "You has an invitation in pt"]
        self._record = record
        self._link = ""
        self._invitations: list[str] = []
        self._theatre = Theatre(settings.data_dir / "talk", self._show, _free_port())

    def run(self) -> None:
        with self._theatre:
            stop = self._serve_pages()
            self._greet()
            try:
                self._listen()
            finally:
                stop()
        if self._record is not None:
            self._record.write_text("\n".join(self._written) + "\n", encoding="utf-8")

    def _show(self, _to: Identity, message: Message) -> None:
        if found := LINK.search(message.body):
            self._link = found.group()
        words = render(message)
        first, *rest = LINK.sub("http://(link)", words).splitlines()
        self._written += [f"{INDENT}bot: {first}", *(f"{INDENT}  {line}".rstrip() for line in rest)]
        click.echo("\n" + click.style("\n".join(f"  {line}" for line in words.splitlines()), fg="cyan") + "\n")

    def _greet(self) -> None:
        sandbox = self._theatre.sandbox
        passwords = "\n".join(f"  {address}   {password}" for address, password in sandbox.passwords.items())
        self._invitations = [self._theatre.invitation(language) for language in LANGUAGES]
        click.echo(
            "Write as you would on WhatsApp. /page types a password on the open page, /quit ends.\n"
            "To begin, send one of these invitations:\n" + "".join(f"  {one}\n" for one in self._invitations) + "\n"
            f"Addresses of the sandbox's mail server and their passwords:\n{passwords}\n"
        )

    def _listen(self) -> None:
        while True:
            try:
                line = input("you> ").strip()
            except (EOFError, KeyboardInterrupt):
                return
            if line == "/quit":
                return
            if line == "/page":
                self._fill_in()
            elif line:
                self._write(line)
                self._theatre.say(YOU, line, "You")
            self._theatre.settle(YOU)

    def _write(self, line: str) -> None:
        """Keep a line for the play; a password typed into the chat is no part of it."""
        if line in self._theatre.sandbox.passwords.values():
            line = "{right password}"
        for language, invitation in zip(LANGUAGES, self._invitations, strict=True):
            if invitation in line:
                self._written[1] = f"You has an invitation in {language}"
                line = line.replace(invitation, "{invitation}")
        self._written.append(f"You: {line}")

    def _fill_in(self) -> None:
        token = self._link.rsplit("/", 1)[-1]
        view = self._theatre.links.look(token) if token else None
        if view is None or view.state == "closed":
            click.echo("There is no open page.")
            return
        typed = getpass.getpass(f"password of {view.address}: ")
        right = typed == self._theatre.sandbox.passwords.get(view.address)
        self._written.append(f"You's page: {'right' if right else 'wrong'} password")
        self._theatre.fill_in(self._link, typed)

    def _serve_pages(self) -> Callable[[], None]:
        """The one-time page for a browser, at the address that the links name."""
        app = create_app(self._theatre.parts)
        port = self._theatre.parts.settings.port
        server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Silent)
        threading.Thread(target=server.serve_forever, daemon=True, name="pages").start()
        return server.shutdown


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Nothing: the addresses are secret."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
