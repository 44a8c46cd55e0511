"""Agencies, their servers, rules and apps, and invitations to them."""

import re
import sys
from typing import Any

import click

from bot import people
from bot.app import Parts
from bot.cli.shared import CannotBe, agency_named, answer, as_json, audit
from bot.export import moment
from bot.mail.wire.guard import BadHost, ascii_host
from bot.oauth_apps import PROVIDERS, use_of_app
from bot.settings import timezone
from bot.store import grants, secrets
from bot.store import people as people_store
from bot.store.engine import reading
from bot.team import end_membership, forward_text
from bot.vault import Secret
from flows.sign_in import BRANDS
from flows.words import LANGUAGES, Language, Security, SignInProvider

MAX_USES = 500
MAX_NAME = 120
MAX_CLIENT = 200
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")


@click.group()
def agency() -> None:
    """Agencies."""


@agency.command("add")
@click.argument("name")
@click.option("--language", type=click.Choice(LANGUAGES), default="pt", show_default=True)
@click.option("--timezone", default="America/Sao_Paulo", show_default=True)
@click.option("--admin", default="", metavar="NAME", help="Who administrates it; the invitation is theirs.")
@as_json
def agency_add(name: str, language: Any, timezone: str, admin: str, wants_json: bool) -> None:
    """Add an agency and print its admin's invitation."""
    answer(lambda parts: add_agency(parts, name, language, timezone, admin), wants_json)


def add_agency(parts: Parts, name: str, language: Language, zone: str, admin: str) -> dict[str, Any]:
    """A new agency, and the invitation of its admin, ready to be forwarded. Raises CannotBe, SettingsError."""
    timezone(zone)
    _check_name(name)
    _check_name(admin or name)
    now = parts.clock.now()
    with parts.engine.begin() as db:
        if people_store.agency_by_name(db, name) is not None:
            raise CannotBe(f"There is an agency called {name} already.")
        agency_id = people_store.add_agency(db, name, language, zone, now)
        audit(db, now, "agency_added", agency_id)
        made = people.invite(db, agency_id, role="admin", name=admin, language=language, uses=1, now=now)
    texts = invitation_texts(parts, made, language)
    return {"agency": name, "id": str(agency_id), **texts, **install_link(parts, made, "admin")}


@click.command("invite")
@click.argument("agency_name", metavar="AGENCY")
@click.option("--role", type=click.Choice(["member", "admin"]), default="member", show_default=True)
@click.option("--name", default="", help="Whom it is for.")
@click.option("--uses", type=click.IntRange(1, MAX_USES), default=1, show_default=True)
@as_json
def make_invitation(agency_name: str, role: str, name: str, uses: int, wants_json: bool) -> None:
    """Make an invitation: prints the code and the wa.me link."""
    answer(lambda parts: invite(parts, agency_name, role, name, uses), wants_json)


def invite(parts: Parts, agency: str, role: str, name: str, uses: int) -> dict[str, Any]:
    """An invitation to an agency. Raises CannotBe."""
    _check_name(name or agency)
    with parts.engine.begin() as db:
        row = agency_named(db, agency)
        now = parts.clock.now()
        made = people.invite(db, row.id, role=role, name=name, language=row.language, uses=uses, now=now)
        audit(db, now, "invited", row.id)
    texts = invitation_texts(parts, made, row.language)
    return {"agency": row.name, "role": role, "uses": uses, **texts, **install_link(parts, made, role)}


def _check_name(name: str) -> None:
    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME:
        raise CannotBe(f"A name has 1 to {MAX_NAME} characters, on one line.")


def invitation_texts(parts: Parts, made: people.Invitation, language: Language) -> dict[str, Any]:
    """The code, the wa.me link whose text holds it, and words to forward with it."""
    link, forward = forward_text(parts.settings.twilio_whatsapp_from, made.code, language)
    return {"code": made.code, "expires_at": moment(made.expires_at), "link": link, "forward": forward}


def install_link(parts: Parts, made: people.Invitation, role: str) -> dict[str, str]:
    """The page on which an admin adds us to their own Slack workspace, where many can be added."""
    many = role == "admin" and parts.slack is not None and parts.slack.workspaces.installable
    return {"slack": f"{parts.settings.url}/slack/install?code={made.code}"} if many else {}


@agency.command("list")
@as_json
def agency_list(wants_json: bool) -> None:
    """List all agencies."""
    answer(agencies, wants_json)


def agencies(parts: Parts) -> list[dict[str, Any]]:
    """All agencies."""
    with reading(parts.engine) as db:
        rows = people_store.agencies(db)
    return [
        {"agency": row.name, "id": str(row.id), "language": row.language, "members": row.members,
         "closed": row.closed_at is not None}
        for row in rows
    ]  # fmt: skip


@agency.command("show")
@click.argument("name")
@as_json
def agency_show(name: str, wants_json: bool) -> None:
    """Show an agency, its members and who of them can send."""
    answer(lambda parts: agency_in_full(parts, name), wants_json)


def agency_in_full(parts: Parts, name: str) -> dict[str, Any]:
    """An agency with its members and their mailboxes."""
    with reading(parts.engine) as db:
        row = agency_named(db, name)
        server = f"{row.host}:{row.port}" if row.host else "none for all"
        members = [
            f"{one.name} ({one.role}): {one.address or 'no mailbox'} {one.state or ''} {one.cause or ''}".strip()
            for one in people_store.members(db, row.id)
        ]
    return {"agency": row.name, "id": str(row.id), "language": row.language, "timezone": row.timezone,
            "server": server, "members": members}  # fmt: skip


@agency.command("close")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Really do it; without this it only says what would happen.")
@as_json
def agency_close(name: str, yes: bool, wants_json: bool) -> None:
    """Close an agency: all memberships end, all passwords are erased, everybody is told."""
    answer(lambda parts: close_agency(parts, name, really=yes), wants_json)


def close_agency(parts: Parts, name: str, *, really: bool) -> dict[str, Any]:
    """Close an agency: every membership ends, every secret is erased. Without `really`, only what would happen."""
    with parts.engine.begin() as db:
        row, now = agency_named(db, name), parts.clock.now()
        members = people_store.members(db, row.id)
        if really:
            for one in members:
                end_membership(db, one.id, now, row.name)
            for provider in PROVIDERS:
                secrets.erase(db, grants.remove_app(db, row.id, provider))
            people_store.close_agency(db, row.id, now)
            audit(db, now, "agency_closed", row.id)
    ended = {"memberships": len(members), "mailboxes": sum(one.address is not None for one in members),
             "keys": sum(one.door is not None for one in members)}  # fmt: skip
    return {"agency": row.name, "closed": really, **ended}


@agency.command("server")
@click.argument("name")
@click.argument("where", metavar="HOST:PORT|none")
@click.option("--security", type=click.Choice(["tls", "starttls"]), help="How it is encrypted; else by the port.")
@as_json
def agency_server(name: str, where: str, security: Any, wants_json: bool) -> None:
    """Set the one mail server that all members are to use, as Ally demands it; `none`: they may use any."""
    answer(lambda parts: set_server(parts, name, where, security), wants_json)


def set_server(parts: Parts, agency: str, where: str, security: Security | None) -> dict[str, Any]:
    """The one server of an agency (HOST:PORT), or with `none` no such demand. Raises CannotBe."""
    host, port = ("", 0) if where == "none" else _host_and_port(parts, where)
    mode = security or ("starttls" if port in {25, 587} else "tls") if host else ""
    with parts.engine.begin() as db:
        row = agency_named(db, agency)
        people_store.set_server(db, row.id, host, port, mode)
        audit(db, parts.clock.now(), "agency_server", row.id)
    return {"agency": row.name, "host": host, "port": port, "security": mode}


def _host_and_port(parts: Parts, where: str) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    try:
        return ascii_host(host), next(one for one in parts.settings.ports if str(one) == port)
    except (BadHost, StopIteration):
        raise CannotBe(f"{where} is no mail server: give its name and port, such as smtp.example.com:465.") from None


@agency.command("rule")
@click.argument("name")
@click.argument("rule", type=click.Choice(["warn", "strict"]))
@as_json
def agency_rule(name: str, rule: str, wants_json: bool) -> None:
    """Say what happens when a member has another server: they are warned, or it is refused."""
    answer(lambda parts: set_rule(parts, name, rule), wants_json)


def set_rule(parts: Parts, agency: str, rule: str) -> dict[str, Any]:
    """What happens when a member has another server than the agency."""
    with parts.engine.begin() as db:
        row = agency_named(db, agency)
        people_store.set_rule(db, row.id, rule)
        audit(db, parts.clock.now(), f"agency_rule_{rule}", row.id)
    return {"agency": row.name, "rule": rule}


@agency.command("oauth")
@click.argument("name")
@click.option("--provider", type=click.Choice(PROVIDERS), required=True)
@click.option("--client-id", default="", help="Of the agency's own app.")
@click.option("--client-secret-stdin", "reads_secret", is_flag=True, help="Read the app's secret on standard input.")
@click.option("--tenant", default="", help="The one organisation of Microsoft's that the app is for: its id or domain.")
@click.option("--remove", is_flag=True, help="Its people sign in through the installation's app again.")
@as_json
def agency_oauth(
    name: str,
    provider: Any,
    client_id: str,
    reads_secret: bool,
    tenant: str,
    remove: bool,
    wants_json: bool,
) -> None:
    """Let the people of an agency sign in through its own app: --client-id with --client-secret-stdin, or --remove."""
    if remove == bool(client_id) or bool(client_id) != reads_secret:
        raise click.UsageError("Give --client-id with --client-secret-stdin, or --remove.")
    if remove:
        answer(lambda parts: remove_oauth_app(parts, name, provider), wants_json)
        return
    secret = Secret(sys.stdin.readline().strip("\r\n"))
    answer(lambda parts: set_oauth_app(parts, name, provider, client_id, secret, tenant), wants_json)


def set_oauth_app(
    parts: Parts, agency: str, provider: SignInProvider, client_id: str, secret: Secret, tenant: str
) -> dict[str, Any]:
    """An agency's own app: its people sign in through that one from now on. Raises CannotBe."""
    _check_app(provider, client_id, secret, tenant)
    now, use = parts.clock.now(), use_of_app(provider, client_id, tenant)
    with parts.engine.begin() as db:
        row = agency_named(db, agency)
        if not parts.apps.may_stand(db, row.id, provider, client_id, tenant):
            raise CannotBe("An app of this id stands here already, for another tenant: make another app.")
        old = grants.app(db, row.id, provider)
        sealed = parts.safe.put(db, secret, kind="oauth.client", owner=row.id, use=use, now=now)
        secrets.keep_until(db, sealed, None)
        grants.put_app(db, row.id, provider, client_id=client_id, secret_id=sealed, tenant=tenant, at=now)
        secrets.erase(db, [old.secret_id] if old is not None and old.secret_id else [])
        audit(db, now, "oauth_app_set", row.id)
    redirect = parts.apps.redirect_uri(provider)
    return {"agency": row.name, "provider": provider, "client_id": client_id, "tenant": tenant, "redirect": redirect}


def _check_app(provider: str, client_id: str, secret: Secret, tenant: str) -> None:
    printable = all(0 < len(one) <= MAX_CLIENT and one.isascii() and one.isprintable() and " " not in one
                    for one in (client_id, secret.reveal()))  # fmt: skip
    if not printable:
        raise CannotBe("An app has an id and a secret, each on one line and without blanks.")
    if tenant and provider != "microsoft":
        raise CannotBe("Only Microsoft has tenants; leave --tenant out.")
    if tenant and not _TENANT.fullmatch(tenant):
        raise CannotBe("A tenant is its id, or a domain of the organisation.")


def remove_oauth_app(parts: Parts, agency: str, provider: SignInProvider) -> dict[str, Any]:
    """An agency's people sign in through the installation's app again. Raises CannotBe."""
    with parts.engine.begin() as db:
        row, now = agency_named(db, agency), parts.clock.now()
        if grants.app(db, row.id, provider) is None:
            raise CannotBe(f"{row.name} has no app of its own at {BRANDS[provider]}.")
        secrets.erase(db, grants.remove_app(db, row.id, provider))
        audit(db, now, "oauth_app_removed", row.id)
    return {"agency": row.name, "provider": provider, "client_id": ""}
