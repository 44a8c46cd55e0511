"""The page that gives somebody all that is stored about them, once. It begins as the one-time link's own page.

The file is the answer to one POST of our own form: previews, scanners and a second tap get nothing.
"""

import logging
from typing import TYPE_CHECKING

from flask import Blueprint, Response, make_response, render_template, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from bot.data_links import DataLinks
from bot.web.forms import Forms
from bot.web.language import browser_language
from bot.web.secret_page import CLOSED, DATA, MAX_BODY, MAX_TOKEN, TROUBLE
from flows.speech import sentence

if TYPE_CHECKING:
    from bot.app import Parts

FILE = "my-data.json"
_log = logging.getLogger(__name__)


def data_page(parts: "Parts", data: DataLinks, chat_url: str) -> Blueprint:
    """The route `/s/<token>/data`. `chat_url`: for pages that know no link."""
    page = _DataPage(parts, data, chat_url)
    blueprint = Blueprint("data_page", __name__, template_folder="templates")
    blueprint.add_url_rule("/s/<token>/data", "give", page.give, methods=["GET", "POST"])
    blueprint.register_error_handler(Exception, page.trouble)
    return blueprint


class _DataPage:
    def __init__(self, parts: "Parts", data: DataLinks, chat_url: str) -> None:
        self._chat_url = chat_url
        self._data = data
        self._forms = Forms(parts.vault.subkey("forms"), DATA)
        self._operator = parts.settings.operator_name

    def give(self, token: str) -> Response:
        """The file; whoever asks again, or did not press our button, finds the link closed."""
        told = self._data.take(token) if self._is_ours(token) else None
        if told is None:
            return self._page("closed", CLOSED)
        answer = Response(told, mimetype="application/json")
        answer.headers["Content-Disposition"] = f'attachment; filename="{FILE}"'
        return answer

    def trouble(self, error: Exception) -> Response | HTTPException:
        """Without the address in the log: it holds the token."""
        if isinstance(error, HTTPException):
            return error
        _log.error("the page with somebody's data failed", exc_info=error)
        return self._page("trouble", TROUBLE)

    def _is_ours(self, token: str) -> bool:
        if request.method != "POST" or len(token) > MAX_TOKEN:
            return False
        request.max_content_length = MAX_BODY
        try:
            return self._forms.is_ours(token, request.form.get("proof", ""))
        except RequestEntityTooLarge:
            return False

    def _page(self, name: str, status: int) -> Response:
        language = browser_language()

        def text(which: str) -> str:
            return sentence(which, language)

        html = render_template(
            f"secret_page/{name}.html", text=text, language=language, operator=self._operator, chat_url=self._chat_url
        )
        return make_response(html, status)
