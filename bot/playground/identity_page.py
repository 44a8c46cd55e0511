"""The stand-in's page for signing in, its endpoints, and Graph, on a port of their own.

All lies below `/playground`: browsers tell cookies apart by host and path, not by port, so that the page knows the
language that was chosen on the playground's own page.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2 import OAuth2Error
from flask import Flask, Response, abort, jsonify, make_response, render_template, request

from bot.playground.graph import Post, add_graph
from bot.playground.identity import GRAPH_SEND, SMTP_SEND, Identity
from bot.playground.identity_server import Provider
from bot.playground.loopback import served
from bot.web.headers import CONTENT_POLICY, secure
from flows.speech import sentence
from flows.words import LANGUAGES, Language

PATH = "/playground"
COOKIE = "playground_language"
MAX_QUERY = 8192  # bytes; the bot's own is one tenth of it
MAX_FORM = 16 * 1024  # bytes
MAX_ADDRESS = 254
_WEB = Path(__file__).parent.parent / "web"
_ASKED = {SMTP_SEND: "send", GRAPH_SEND: "send_graph"}
_BAD_REQUEST = 400


@contextlib.contextmanager
def served_identity(identity: Identity, post: Post) -> Iterator[str]:
    """Serve an identity's endpoints, and Graph, which hands mail to `post`; the address. Raises OSError.

    The provider itself is at this address and PATH.
    """
    app = Flask(
        "identity",
        template_folder=str(_WEB / "templates"),
        static_folder=str(_WEB / "static"),
        static_url_path=f"{PATH}/static",
    )
    app.config["MAX_CONTENT_LENGTH"] = MAX_FORM
    secure(app, https=False)
    add_graph(app, identity, post)
    with served(app, "identity") as address:
        _add_provider(app, identity, f"{address}{PATH}")
        yield address


def _add_provider(app: Flask, identity: Identity, issuer: str) -> None:
    provider = Provider(app, identity, issuer)
    page = _Page(provider, identity)
    app.add_url_rule(f"{PATH}/.well-known/openid-configuration", "metadata", lambda: jsonify(provider.metadata()))
    app.add_url_rule(f"{PATH}/keys", "keys", lambda: jsonify(provider.keys.as_dict(private=False)))
    app.add_url_rule(f"{PATH}/token", "token", provider.token, methods=["POST"])
    app.add_url_rule(f"{PATH}/revoke", "revoke", provider.revoke, methods=["POST"])
    app.add_url_rule(f"{PATH}/authorize", "show", page.show, methods=["GET"])
    app.add_url_rule(f"{PATH}/authorize", "decide", page.decide, methods=["POST"])


class _Page:
    """Where a person signs in, and allows or denies what the app asks for."""

    def __init__(self, provider: Provider, identity: Identity) -> None:
        self._provider = provider
        self._identity = identity
        back = urlsplit(identity.redirect_uri)
        # Browsers hold the policy for where a form's answer leads, too
        self._policy = CONTENT_POLICY.replace("form-action 'self'", f"form-action 'self' {back.scheme}://{back.netloc}")

    def show(self) -> Response:
        """The page."""
        return self._asked(lambda asked: self._drawn(asked, request.args.get("login_hint", "")[:MAX_ADDRESS]))

    def decide(self) -> Response:
        """What the person has pressed: back to the app, or once more the page."""
        return self._asked(self._decided)

    def _asked(self, then: Callable[[Any], Response]) -> Response:
        """Only for a request that is one; else what is wrong is said, to the app where it is known."""
        if len(request.query_string) > MAX_QUERY:
            abort(_BAD_REQUEST)
        try:
            asked = self._provider.ask()
        except OAuth2Error as error:
            said = self._provider.refused(error)
            return said if said.location else self._page("bad", status=_BAD_REQUEST)
        return then(asked)

    def _decided(self, asked: Any) -> Response:
        if request.form.get("do") != "allow":
            return self._provider.decide(asked, None)
        address = request.form.get("address", "").strip()[:MAX_ADDRESS].lower()
        if address not in self._identity.addresses and self._identity.consent != "admin":
            return self._drawn(asked, address, status=_BAD_REQUEST)
        return self._provider.decide(asked, address)

    def _drawn(self, asked: Any, address: str, status: int = 200) -> Response:
        scopes = str(asked.request.payload.scope).split()
        return self._page(
            "form",
            status=status,
            address=address,
            is_unknown=status == _BAD_REQUEST,
            needs_admin=self._identity.consent == "admin",
            asked_for=[name for scope, name in _ASKED.items() if scope in scopes],
        )

    def _page(self, kind: str, *, status: int, **values: Any) -> Response:
        language = _language()
        text = partial(_text, language=language, addresses=", ".join(self._identity.addresses))
        html = render_template("playground/identity.html", kind=kind, language=language, text=text, **values)
        page = make_response(html, status)
        page.headers["Content-Security-Policy"] = self._policy
        return page


def _language() -> Language:
    """The one chosen on the playground's page, else what the browser asks for."""
    asked = (request.cookies.get(COOKIE), request.accept_languages.best_match(LANGUAGES))
    return next((one for word in asked for one in LANGUAGES if one == word), "en")


def _text(name: str, language: Language, **values: str) -> str:
    return sentence(f"playground.identity.{name}", language, **values)
