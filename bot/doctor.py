"""`doctor`: whether what this installation depends on does its part. It changes nothing anywhere.

The apps for signing in: a made-up code is exchanged. A provider that takes our id and secret finds fault with the code
(`invalid_grant`); one that does not, with the client (`invalid_client`).
"""

import secrets
import socket
import ssl
from dataclasses import dataclass

from bot.app import Parts
from bot.mail.wire import oauth as wire
from bot.oauth_apps import NAMES, App
from bot.store import grants
from bot.store.engine import reading
from flows.words import SignInProvider

PATIENCE = 10.0  # seconds
FEW_DAYS = 14
TAKEN = frozenset({"invalid_grant"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` is what an operator does about it."""

    what: str
    well: bool
    said: str
    advice: str = ""


def examine(parts: Parts) -> list[Finding]:
    """Look at everything that can be looked at from here."""
    return [*_door(parts), *(finding for app, whose in _apps(parts) for finding in _examined(parts, app, whose))]


def _door(parts: Parts) -> list[Finding]:
    """Whether somebody who knocks at the door by its name meets our certificate, and how long that is good."""
    host, port = parts.settings.door_host, parts.settings.door_port
    if not host:
        return []
    what = f"The door, {host}:{port}"
    try:
        with (
            socket.create_connection((host, port), timeout=PATIENCE) as plain,
            parts.tools.network.context.wrap_socket(plain, server_hostname=host) as inside,
        ):
            greeting = inside.recv(100)
            ends = ssl.cert_time_to_seconds(str((inside.getpeercert() or {}).get("notAfter")))
    except (OSError, ValueError) as failure:
        advice = "is `python -m bot door` running, is the port open, and is DOOR_CERT for this name, with its chain?"
        return [Finding(what, well=False, said=f"nobody gets in ({failure})", advice=advice)]
    days = int((ends - parts.clock.now().timestamp()) // 86400)
    if not greeting.startswith(b"220"):
        return [Finding(what, well=False, said="something else answers there", advice="look at DOOR_PORT")]
    advice = "" if days >= FEW_DAYS else "renew the certificate; the door takes it by itself"
    return [Finding(what, well=days >= FEW_DAYS, said=f"open; its certificate is good for {days} days", advice=advice)]


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
    what = f"Sign in with {NAMES[app.provider]}" + (f", {whose}" if whose else "")
    redirect = parts.apps.redirect_uri(app.provider)
    registered = Finding(what, well=True, said=f"redirect address {redirect}", advice="it has to be registered there")
    try:
        client = parts.apps.client(app)
    except (wire.Away, wire.Refused, ValueError) as failure:
        advice = "look at the way out of this machine, and at the authority in the settings"
        return [
            registered,
            Finding(what, well=False, said=f"it does not say where to sign in ({failure})", advice=advice),
        ]
    return [registered, _tried(what, app, client, redirect)]


def _tried(what: str, app: App, client: wire.Client, redirect: str) -> Finding:
    try:
        wire.exchange(
            client, code=secrets.token_urlsafe(24), verifier=secrets.token_urlsafe(48), redirect_uri=redirect, nonce="x"
        )
    except wire.Refused as refused:
        if refused.error in TAKEN:
            return Finding(what, well=True, said="the app's id and secret are taken")
        return Finding(what, well=False, said=f"the app is refused ({refused})", advice=_advice(app.provider))
    except wire.Away as away:
        return Finding(what, well=False, said=f"no answer ({away})", advice="try again; look at the way out")
    return Finding(what, well=False, said="a made-up code was taken", advice="that is no provider to be trusted")


def _advice(provider: SignInProvider) -> str:
    name = provider.upper()
    return f"compare {name}_CLIENT_ID and {name}_CLIENT_SECRET with the app's page; secrets expire"
