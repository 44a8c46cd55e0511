"""The page that shows a key for the door, once. It begins as the one-time link's own page (`secret_page`).

The key stands in the answer to one POST and nowhere else: not in an address, not in what a browser keeps, not in a log.
"""

import logging
from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.wrappers import Response as Answer

from bot.door_links import DoorLinks, Shown
from bot.facts import language as known_language
from bot.web.forms import Forms
from bot.web.language import browser_language
from bot.web.secret_page import DOOR, MAX_TOKEN
from flows.speech import sentence, texts
from flows.words import Language

if TYPE_CHECKING:
    from bot.app import Parts

MAX_BODY = 4096  # bytes
GONE = 410
TROUBLE = 500
TYPED = "typed "  # before the token, in the proof of the second form
_log = logging.getLogger(__name__)


def door_page(parts: "Parts", doors: DoorLinks, chat_url: str) -> Blueprint:
    """The routes `/s/<token>/key`, `/s/<token>/typed`, `/s/typed/<way>`. `chat_url`: for pages that know no link."""
    page = _DoorPage(parts, doors, chat_url)
    blueprint = Blueprint("door_page", __name__, template_folder="templates")
    blueprint.add_url_rule("/s/<token>/key", "show", page.show, methods=["GET", "POST"])
    blueprint.add_url_rule("/s/<token>/typed", "typed", page.typed, methods=["POST"])
    blueprint.add_url_rule("/s/typed/<way>", "done", page.done, methods=["GET"])
    blueprint.register_error_handler(Exception, page.trouble)
    return blueprint


class _DoorPage:
    def __init__(self, parts: "Parts", doors: DoorLinks, chat_url: str) -> None:
        self._chat_url = chat_url
        self._doors = doors
        self._forms = Forms(parts.vault.subkey("forms"), DOOR)
        self._operator = parts.settings.operator_name

    def show(self, token: str) -> Response:
        """The key, with what is to be typed where; whoever asks again, or goes back, finds the link closed."""
        shown = self._doors.show(token) if self._is_ours(token, token) else None
        return self._key(token, shown) if shown is not None else self._closed()

    def typed(self, token: str) -> Answer:
        """The talk goes on; a redirect, so that nothing of the page with the key is left to go back to."""
        view = self._doors.typed(token) if self._is_ours(token, f"{TYPED}{token}") else None
        if view is None:
            return self._closed()
        return redirect(url_for(".done", way=self._forms.way([view.language, view.chat_url])), 303)

    def done(self, way: str) -> Response:
        """What comes next; may be loaded again."""
        said = self._forms.read(way)
        if not isinstance(said, list):
            return self._closed()
        spoken, chat_url = said
        return self._page("door_page/done.html", known_language(spoken), chat_url)

    def trouble(self, error: Exception) -> Response | HTTPException:
        """Without the address in the log: it holds the token."""
        if isinstance(error, HTTPException):
            return error
        _log.error("the page with the key failed", exc_info=error)
        return self._page("secret_page/trouble.html", browser_language(), self._chat_url, status=TROUBLE)

    # --- inside ---

    def _is_ours(self, token: str, what: str) -> bool:
        if request.method != "POST":
            return False
        request.max_content_length = MAX_BODY
        try:
            proof = request.form.get("proof", "")
        except RequestEntityTooLarge:
            return False
        return len(token) <= MAX_TOKEN and self._forms.is_ours(what, proof)

    def _key(self, token: str, shown: Shown) -> Response:
        view = shown.view
        return self._page(
            "door_page/key.html", view.language, view.chat_url, view=view, key=shown.key.reveal(), token=token,
            proof=self._forms.proof(f"{TYPED}{token}"),
        )  # fmt: skip

    def _closed(self) -> Response:
        return self._page("door_page/closed.html", browser_language(), self._chat_url, status=GONE)

    def _page(self, name: str, language: Language, chat_url: str, *, status: int = 200, **more: object) -> Response:
        labels = {one.removeprefix("ally."): words for one, words in texts(language).items() if one.startswith("ally.")}
        text = partial(sentence, language=language, **labels)
        html = render_template(name, text=text, language=language, operator=self._operator, chat_url=chat_url, **more)
        return make_response(html, status)
