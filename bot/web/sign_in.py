"""The way to Microsoft's or Google's page and back. The page it begins on is the one-time link's own (`secret_page`).

What leaves is a POST of our own form; what comes back has to come to the browser that left, which is known by a cookie
that no other page can set. Nothing of what comes back stays in an address: each end is a page of its own.
"""

from functools import partial
from typing import TYPE_CHECKING

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response as Answer

from bot.facts import language as known_language
from bot.oauth_apps import CONSENTED, PROVIDERS
from bot.sign_in import CLOSED, STATE_TIME, Back, SignIns
from bot.web.forms import Forms
from bot.web.language import browser_language
from bot.web.secret_page import SIGN_IN
from flows.sign_in import BRANDS
from flows.speech import sentence
from flows.words import Language, SignInProvider

if TYPE_CHECKING:
    from bot.app import Parts

PATH = "/oauth"
MAX_BODY = 4096  # bytes
MAX_VALUE = 4096  # signs of what a provider sends back
MAX_TOKEN = 100
GONE = 410
STATUS = {"done": 200, "closed": GONE, "denied": 200, "other_account": 200, "consent": 200, "away": 503, "ours": 502,
          "other": 502}  # fmt: skip


def sign_in(parts: "Parts", sign_ins: SignIns) -> Blueprint:
    """The routes `/oauth/<provider>/start`, `/oauth/<provider>/callback`, `/oauth/done/<way>`."""
    page = _SignIn(parts, sign_ins)
    blueprint = Blueprint("sign_in", __name__, template_folder="templates")
    blueprint.add_url_rule(f"{PATH}/<provider>/start", "leave", page.leave, methods=["POST"])
    blueprint.add_url_rule(f"{PATH}/<provider>/callback", "back", page.back, methods=["GET"])
    blueprint.add_url_rule(f"{PATH}/done/<way>", "done", page.done, methods=["GET"])
    return blueprint


class _SignIn:
    def __init__(self, parts: "Parts", sign_ins: SignIns) -> None:
        self._settings = parts.settings
        self._sign_ins = sign_ins
        self._forms = Forms(parts.vault.subkey("forms"), SIGN_IN)
        # The prefix makes browsers refuse what another host of this domain sets; it needs https.
        self._https = parts.settings.url.startswith("https://")
        self._cookie = "__Host-sign_in" if self._https else "sign_in"

    def leave(self, provider: str) -> Answer:
        """To the provider's page."""
        request.max_content_length = MAX_BODY
        known = _provider(provider)
        try:
            token, proof = request.form.get("token", ""), request.form.get("proof", "")
        except RequestEntityTooLarge:
            token, proof = "", ""
        if known is None or not 0 < len(token) <= MAX_TOKEN or not self._forms.is_ours(token, proof):
            return self._end(CLOSED, provider)
        begun = self._sign_ins.begin(token, known)
        if isinstance(begun, Back):
            return self._end(begun, provider)
        answer = redirect(begun.url, 303)
        answer.set_cookie(
            self._cookie, begun.browser, max_age=STATE_TIME, path="/", secure=self._https, httponly=True, samesite="Lax"
        )
        return answer

    def back(self, provider: str) -> Answer:
        """From the provider, with a code or an error; or an administrator who has let us in for all."""
        known, query = _provider(provider), request.args.to_dict()
        if known is None or any(len(value) > MAX_VALUE for value in query.values()):
            return self._end(CLOSED, provider)
        if query.get("state") == CONSENTED:
            allowed = query.get("admin_consent", "").lower() == "true"
            return self._to("allowed" if allowed else "not_allowed", known, browser_language())
        browser = request.cookies.get(self._cookie, "")
        if not browser or not query.get("state"):
            return self._end(CLOSED, provider)
        back = self._sign_ins.finish(known, browser, query)
        answer = self._end(back, provider)
        if back.what != "closed":  # else there may be another way that this browser is still on
            answer.delete_cookie(self._cookie, path="/", secure=self._https, httponly=True, samesite="Lax")
        return answer

    def done(self, way: str) -> Response:
        """What became of it; may be loaded again."""
        said = self._forms.read(way)
        if not isinstance(said, list) or len(said) != len(_SAID):
            return self._page("closed", browser_language(), {"provider": "", "address": "", "other": ""}, "")
        name, spoken, provider, address, other, chat_url = said
        return self._page(
            name, known_language(spoken), {"provider": provider, "address": address, "other": other}, chat_url
        )

    # --- inside ---

    def _end(self, back: Back, provider: str) -> Answer:
        """A redirect, so that code and state stand in no address bar, and a reload does no harm."""
        known = _provider(provider)
        if back.what == "closed" or known is None:
            values = {"provider": BRANDS[known] if known else "", "address": "", "other": ""}
            return self._page("closed", browser_language(), values, back.chat_url)
        return self._to(back.what, known, back.language or browser_language(), back)

    def _to(self, name: str, provider: SignInProvider, language: Language, back: Back = CLOSED) -> Answer:
        way = self._forms.way([name, language, BRANDS[provider], back.address, back.other, back.chat_url])
        return redirect(url_for(".done", way=way), 303)

    def _page(self, name: str, language: Language, values: dict[str, str], chat_url: str) -> Response:
        known = {"operator": self._settings.operator_name, "contact": self._settings.support_contact, **values}
        html = render_template(
            "sign_in/end.html",
            text=partial(sentence, language=language, **known),
            language=language,
            operator=known["operator"],
            name=name,
            chat_url=chat_url,
        )
        return make_response(html, STATUS.get(name, 200))


_SAID = ("name", "language", "provider", "address", "other", "chat_url")


def _provider(name: str) -> SignInProvider | None:
    return next((one for one in PROVIDERS if one == name), None)
