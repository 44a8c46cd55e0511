"""What `doctor` looks at of the apps for signing in. It changes nothing anywhere.

A made-up code is exchanged. A provider that takes our id and secret finds fault with the code
(`invalid_grant`); one that does not, with the client (`invalid_client`). So does an independent provider in the tests;
in which order Microsoft and Google look was not tried.
"""

import secrets

from bot.app import Parts
from bot.findings import Finding
from bot.mail.wire import oauth as wire
from bot.oauth_apps import App
from bot.store import grants
from bot.store.engine import reading
from flows.sign_in import BRANDS
from flows.words import SignInProvider

TAKEN = frozenset({"invalid_grant"})


def sign_in_apps(parts: Parts) -> list[Finding]:
    """The installation's apps, and those of agencies: whether their provider knows them."""
    return [finding for app, whose in _apps(parts) for finding in _examined(parts, app, whose)]


def _apps(parts: Parts) -> list[tuple[App, str]]:
    """The installation's apps, and those of agencies, with whose they are."""
    found = [(app, "") for app in parts.apps.own]
    with reading(parts.engine) as db:
        for row in grants.apps(db):
            app = parts.apps.of_agency(db, row.agency_id, row.provider, personal=False)
            if app is not None and app.client_id == row.client_id:
                found.append((app, row.name))
    return found


def _examined(parts: Parts, app: App, whose: str) -> list[Finding]:
    what = f"Sign in with {BRANDS[app.provider]}" + (f", {whose}" if whose else "")
    redirect = parts.apps.redirect_uri(app.provider)
    registered = Finding(what, "ok", f"Redirect address {redirect}", "It has to be registered there.")
    try:
        client = parts.apps.client(app)
    except (wire.Away, wire.Refused, ValueError) as failure:
        todo = "Look at the way out of this machine, and at the authority in the settings."
        return [
            registered,
            Finding(what, "failed", f"It does not say where to sign in ({failure}).", todo),
        ]
    return [registered, _tried(what, app, client, redirect)]


def _tried(what: str, app: App, client: wire.Client, redirect: str) -> Finding:
    try:
        wire.exchange(
            client, code=secrets.token_urlsafe(24), verifier=secrets.token_urlsafe(48), redirect_uri=redirect, nonce="x"
        )
    except wire.Refused as refused:
        if refused.error in TAKEN:
            return Finding(what, "ok", "The app's id and secret are taken.")
        return Finding(what, "failed", f"The app is refused ({refused}).", _advice(app.provider))
    except wire.Away as away:
        return Finding(what, "failed", f"No answer ({away}).", "Try again; look at the way out of this machine.")
    return Finding(what, "failed", "A made-up code was taken.", "That is no provider to be trusted.")


def _advice(provider: SignInProvider) -> str:
    name = provider.upper()
    return f"Compare {name}_CLIENT_ID and {name}_CLIENT_SECRET with the app's page; secrets expire."
