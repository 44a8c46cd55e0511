"""The one-time page on which a person types a password. It is written to, never read from.

The link's token is the only right to this page. Looking changes nothing (previews, scanners and browsers look);
one good submission closes the link, and whoever is to decide that is `Links.submit`, in one atomic step.
Unknown, expired and used links get the same bytes, so that nobody learns which of them a token is.
"""

import logging
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, Protocol

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.wrappers import Response as Answer

from bot.vault import Secret
from bot.web.forms import Forms
from bot.web.headers import CONTENT_POLICY
from bot.web.language import browser_language
from flows.reading import MAX_SECRET, SHAPES, has_shape
from flows.sign_in import BRANDS
from flows.words import Language, SignInProvider

SIGN_IN = "sign in"  # the name under which the forms of signing in at a provider are signed
DOOR = "door"  # and those of the page that shows a key for the door
DATA = "data"  # and those of the page that gives what is stored about somebody
MAX_BODY = 4096  # bytes; 256 characters take at most 3,072 when they are percent-encoded
MAX_TOKEN = 100
CLOSED = 410  # Gone
REFUSED = 422
FORGED = 400
TOO_LARGE = 413
TROUBLE = 500

Problem = Literal["empty", "too_long", "unreadable", "expired_form", "shape"]
# How many steps the texts hold for each family of providers (`page.steps.<family>.<n>`), facts of September 2026 from
# support.google.com/accounts/answer/185833, help.yahoo.com/kb/SLN15241.html, support.apple.com/102654,
# fastmail.com/help/clients/apppassword.html, help.zoho.com (app-specific password).
STEPS = {"google": 4, "yahoo": 4, "apple": 4, "fastmail": 3, "zoho": 3, "other": 3}
_FAMILIES = {"gmail": "google", "google_workspace": "google", "yahoo": "yahoo", "aol": "yahoo", "icloud": "apple"}
_FAMILIES |= {"fastmail": "fastmail"} | {f"zoho_{place}": "zoho" for place in ("com", "eu", "in", "com_au", "jp", "ca")}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkView:
    """What an open link shows. Nothing here can be changed on the page.

    `shape` names a form in `flows.reading.SHAPES` or is empty; `steps` are names in the texts; `chat_url` leads back
    to the chat and may be empty, like the provider's two pages. `sends_mail`: the test ends with a mail to oneself.
    `sign_in`: the provider (google, microsoft) on whose page, `sign_in_page`, its person signs in instead of giving a
    password here; `may_look_in`: what is asked for there lets us look into the mailbox, too. `name` and `agency`: for
    whom it is, in whose chat mails can be sent from this address afterwards.
    `door`: the host (at `door_port`) for which a key is shown here; `admin`: they fill in what is for the whole agency.
    `data`: its person gets all that is stored about them; no mailbox is meant, and none of the rest is known.
    """

    language: Language
    address: str
    host: str
    user: str
    provider_name: str
    demand: Literal["password", "app_password"]
    state: Literal["open", "closed"]
    expires_at: datetime
    shape: str = ""
    app_password_url: str = ""
    reset_url: str = ""
    chat_url: str = ""
    steps: tuple[str, ...] = ()
    sends_mail: bool = True
    sign_in: SignInProvider | Literal[""] = ""
    sign_in_page: str = ""
    may_look_in: bool = False
    door: str = ""
    door_port: int = 0
    admin: bool = False
    name: str = ""
    agency: str = ""
    data: bool = False


class Links(Protocol):
    """The one-time links, as the page needs them."""

    def look(self, token: str) -> LinkView | None:
        """What the link of this token shows; None if there is none. Changes nothing."""

    def submit(self, token: str, secret: Secret, source: str) -> Literal["taken", "closed"]:
        """Take the secret and close the link, both or neither; `closed` if it was not open any more.

        `source` is the network address that it came from.
        """


class Sentence(Protocol):
    """The shape of `flows.speech.sentence`."""

    def __call__(self, name: str, language: Language, **values: str) -> str:
        """A sentence by name, in a language, with its values."""


def steps_for(provider_id: str) -> tuple[str, ...]:
    """The names of the steps that lead to an app password at this provider (an id of `providers.yaml`, or none)."""
    family = _FAMILIES.get(provider_id, "other")
    return tuple(f"page.steps.{family}.{number}" for number in range(1, STEPS[family] + 1))


def secret_page(
    links: Links,
    *,
    sentence: Sentence,
    form_key: bytes,
    operator: str,
    chat_url: str,
    clock: Callable[[], datetime],
) -> Blueprint:
    """The routes `/s/<token>`, `/s/done/<way>` and `/s/static/<file>`.

    `form_key` signs the forms and is the same in all processes. `operator` and `chat_url` (may be empty) stand on the
    pages that know no link. The blueprint guards its form itself and must be exempt from an app-wide CSRF check.
    """
    page = _SecretPage(
        links,
        sentence,
        Forms(form_key, "secret page"),
        Forms(form_key, SIGN_IN),
        Forms(form_key, DOOR),
        Forms(form_key, DATA),
        operator,
        chat_url,
        clock,
    )
    blueprint = Blueprint(
        "secret_page", __name__, template_folder="templates", static_folder="static", static_url_path="/s/static"
    )
    blueprint.add_url_rule("/s/<token>", "show", page.show, methods=["GET"])
    blueprint.add_url_rule("/s/<token>", "take", page.take, methods=["POST"])
    blueprint.add_url_rule("/s/done/<way>", "done", page.done, methods=["GET"])
    blueprint.register_error_handler(Exception, page.trouble)
    return blueprint


def read_secret(typed: str, shape: str, *, anyway: bool) -> Secret | Problem:
    """The secret that was typed, or what is wrong with it. `anyway`: the person insists on an unusual shape.

    Only a trailing newline is dropped: a blank may belong to a password. Blanks inside go where the provider shows
    its secrets in groups.
    """
    bare = re.sub(r"\r?\n\Z", "", typed)
    if not bare.strip():
        return "empty"
    if len(bare) > MAX_SECRET:
        return "too_long"
    if any(unicodedata.category(sign) == "Cc" or sign == "\ufffd" for sign in bare):
        return "unreadable"  # a NUL would end the password inside AUTH PLAIN (RFC 4616)
    if not shape or anyway:
        return Secret(bare)
    joined = "".join(bare.split())
    return Secret(joined) if has_shape(joined, shape) else "shape"


@dataclass(frozen=True, slots=True)
class _SecretPage:
    links: Links
    sentence: Sentence
    forms: Forms
    sign_in_forms: Forms
    door_forms: Forms
    data_forms: Forms
    operator: str
    chat_url: str
    clock: Callable[[], datetime]

    def show(self, token: str) -> Response:
        view = self._open(token)
        if view and view.sign_in:
            return self._offer(token, view)
        if view and view.door:
            return self._key(token, view)
        if view and view.data:
            return self._data(token, view)
        return self._form(token, view) if view else self._closed()

    def take(self, token: str) -> Answer:
        view = self._open(token)
        if view is None or view.sign_in or view.door or view.data:
            return self._closed()
        request.max_content_length = MAX_BODY
        try:
            form = request.form
        except RequestEntityTooLarge:
            return self._form(token, view, "too_long", TOO_LARGE)
        if not self.forms.is_ours(token, form.get("proof", "")):
            return self._form(token, view, "expired_form", FORGED)
        secret = read_secret(form.get("secret", ""), view.shape, anyway="anyway" in form)
        if not isinstance(secret, Secret):
            return self._form(token, view, secret, REFUSED)
        if self.links.submit(token, secret, request.remote_addr or "") == "closed":
            return self._closed()
        # a redirect, so that the browser does not keep the password to submit it again on reload
        return redirect(url_for(".done", way=self.forms.way([view.language, view.chat_url])), 303)

    def done(self, way: str) -> Response:
        said = self.forms.read(way)
        if said is None:
            return self._closed()
        language, chat_url = said
        return self._page("done", language, chat_url)

    def trouble(self, error: Exception) -> Response | HTTPException:
        if isinstance(error, HTTPException):
            return error
        _log.error("the secret page failed", exc_info=error)  # without the address: it holds the token
        return self._page("trouble", browser_language(), self.chat_url, TROUBLE)

    def _open(self, token: str) -> LinkView | None:
        view = self.links.look(token) if len(token) <= MAX_TOKEN else None
        return view if view and view.state == "open" else None

    def _form(self, token: str, view: LinkView, problem: Problem | None = None, status: int = 200) -> Response:
        values = {
            "address": view.address,
            "host": view.host,
            "user": view.user,
            "provider": view.provider_name or view.host,
            "minutes": self._minutes(view),
        }
        return self._page(
            "form",
            view.language,
            view.chat_url,
            status,
            values,
            view=view,
            problem=problem,
            proof=self.forms.proof(token),
            pattern=SHAPES[view.shape] if view.shape else "",
        )

    def _offer(self, token: str, view: LinkView) -> Response:
        """To the provider's page. From there an organisation may lead on to any page of its own."""
        brand = BRANDS[view.sign_in] if view.sign_in else ""
        values = {"address": view.address, "provider": brand, "page": view.sign_in_page, "person": view.name,
                  "agency": view.agency, "operator": self.operator, "minutes": self._minutes(view)}  # fmt: skip
        answer = self._page(
            "offer", view.language, view.chat_url, 200, values, folder="sign_in", view=view, token=token,
            proof=self.sign_in_forms.proof(token),
        )  # fmt: skip
        leads = "https:" if ":" not in view.sign_in_page else f"https: http://{view.sign_in_page}"
        policy = CONTENT_POLICY.replace("form-action 'self'", f"form-action 'self' {leads}")
        answer.headers["Content-Security-Policy"] = policy
        return answer

    def _key(self, token: str, view: LinkView) -> Response:
        """The button that shows the key; looking at the page makes none."""
        values = {"address": view.address, "minutes": self._minutes(view)}
        return self._page(
            "offer", view.language, view.chat_url, 200, values, folder="door_page", view=view, token=token,
            proof=self.door_forms.proof(token),
        )  # fmt: skip

    def _data(self, token: str, view: LinkView) -> Response:
        """The button that gives the file; looking at the page gives none."""
        return self._page(
            "offer", view.language, view.chat_url, 200, {"minutes": self._minutes(view)}, folder="data_page",
            token=token, proof=self.data_forms.proof(token),
        )  # fmt: skip

    def _minutes(self, view: LinkView) -> str:
        return str(max(1, (view.expires_at - self.clock()) // timedelta(minutes=1)))

    def _closed(self) -> Response:
        return self._page("closed", browser_language(), self.chat_url, CLOSED)

    def _page(
        self,
        name: str,
        language: Language,
        chat_url: str,
        status: int = 200,
        values: dict[str, str] | None = None,
        folder: str = "secret_page",
        **more: object,
    ) -> Response:
        text = partial(self.sentence, language=language, **(values or {}))
        html = render_template(
            f"{folder}/{name}.html",
            text=text,
            language=language,
            operator=self.operator,
            chat_url=chat_url,
            **more,
        )
        return make_response(html, status)
