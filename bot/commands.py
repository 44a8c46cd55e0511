"""What the commands do, once the parts are joined; `bot.__main__` only reads the command line."""

import json
import re
from datetime import datetime
from typing import Any
from uuid import UUID

from bot import people
from bot.app import Parts
from bot.channels import Identity, SendError
from bot.desk import rules
from bot.desk.packet import where
from bot.desk_open import NAMED, named
from bot.erasure import forget, kept_by_provider
from bot.export import everything, moment
from bot.mail.wire.guard import BadHost, ascii_host
from bot.oauth_apps import PROVIDERS, use_of_app
from bot.settings import timezone
from bot.store import access, conversations, doors, grants, housekeeping, promises, questions, secrets, slack, whom
from bot.store import cases as desk_cases
from bot.store import people as people_store
from bot.store.engine import Connection, Row, reading
from bot.team import decided, elsewhere, end_membership, forward_text
from bot.tell import tell
from bot.vault import Secret
from flows.sign_in import BRANDS
from flows.words import CaseEnded, Language, Security, SignInProvider

OPERATOR = "operator"  # who acts by a command, in the audit
MAX_USES = 500
LINES = 30  # of a transcript that are shown with a case
WHO = {"in": "person", "out": "bot", "bot": "bot, to itself"}
NO_LETTER = "There is no dead letter {}; python -m bot dead-letters list shows them."
MAX_NAME = 120
MAX_CLIENT = 200
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")


class CannotBe(Exception):
    """What was asked for cannot be done; the message is one plain sentence."""


def _audit(db: Connection, now: datetime, action: str, subject: UUID | str | int) -> None:
    housekeeping.audit_entry(db, now, actor=OPERATOR, action=action, subject=str(subject))


def add_agency(parts: Parts, name: str, language: Language, zone: str, admin: str) -> dict[str, Any]:
    """A new agency, and the invitation of its admin, ready to be forwarded."""
    timezone(zone)
    _check_name(name)
    _check_name(admin or name)
    now = parts.clock.now()
    with parts.engine.begin() as db:
        if people_store.agency_by_name(db, name) is not None:
            raise CannotBe(f"There is an agency called {name} already.")
        agency_id = people_store.add_agency(db, name, language, zone, now)
        _audit(db, now, "agency_added", agency_id)
        made = people.invite(db, agency_id, role="admin", name=admin, language=language, uses=1, now=now)
    texts = invitation_texts(parts, made, language)
    return {"agency": name, "id": str(agency_id), **texts, **install_link(parts, made, "admin")}


def invite(parts: Parts, agency: str, role: str, name: str, uses: int) -> dict[str, Any]:
    """An invitation to an agency."""
    _check_name(name or agency)
    with parts.engine.begin() as db:
        row = _agency(db, agency)
        now = parts.clock.now()
        made = people.invite(db, row.id, role=role, name=name, language=row.language, uses=uses, now=now)
        _audit(db, now, "invited", row.id)
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


def _agency(db: Connection, name: str) -> Row:
    row = people_store.agency_by_name(db, name)
    if row is None:
        raise CannotBe(f"There is no agency called {name}; python -m bot agency list shows them.")
    return row


def agencies(parts: Parts) -> list[dict[str, Any]]:
    """All agencies."""
    with reading(parts.engine) as db:
        rows = people_store.agencies(db)
    return [
        {"agency": row.name, "id": str(row.id), "language": row.language, "members": row.members,
         "closed": row.closed_at is not None}
        for row in rows
    ]  # fmt: skip


def set_server(parts: Parts, agency: str, where: str, security: Security | None) -> dict[str, Any]:
    """The one server of an agency (HOST:PORT), or with `none` no such demand. Raises CannotBe."""
    host, port = ("", 0) if where == "none" else _host_and_port(parts, where)
    mode = security or ("starttls" if port in {25, 587} else "tls") if host else ""
    with parts.engine.begin() as db:
        row = _agency(db, agency)
        people_store.set_server(db, row.id, host, port, mode)
        _audit(db, parts.clock.now(), "agency_server", row.id)
    return {"agency": row.name, "host": host, "port": port, "security": mode}


def _host_and_port(parts: Parts, where: str) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    try:
        return ascii_host(host), next(one for one in parts.settings.ports if str(one) == port)
    except (BadHost, StopIteration):
        raise CannotBe(f"{where} is no mail server: give its name and port, such as smtp.example.com:465.") from None


def set_rule(parts: Parts, agency: str, rule: str) -> dict[str, Any]:
    """What happens when a member has another server than the agency."""
    with parts.engine.begin() as db:
        row = _agency(db, agency)
        people_store.set_rule(db, row.id, rule)
        _audit(db, parts.clock.now(), f"agency_rule_{rule}", row.id)
    return {"agency": row.name, "rule": rule}


def set_oauth_app(
    parts: Parts, agency: str, provider: SignInProvider, client_id: str, secret: Secret, tenant: str
) -> dict[str, Any]:
    """An agency's own app: its people sign in through that one from now on. Raises CannotBe."""
    _check_app(provider, client_id, secret, tenant)
    now, use = parts.clock.now(), use_of_app(provider, client_id, tenant)
    with parts.engine.begin() as db:
        row = _agency(db, agency)
        if not parts.apps.may_stand(db, row.id, provider, client_id, tenant):
            raise CannotBe("An app of this id stands here already, for another tenant: make another app.")
        old = grants.app(db, row.id, provider)
        sealed = parts.safe.put(db, secret, kind="oauth.client", owner=row.id, use=use, now=now)
        secrets.keep_until(db, sealed, None)
        grants.put_app(db, row.id, provider, client_id=client_id, secret_id=sealed, tenant=tenant, at=now)
        secrets.erase(db, [old.secret_id] if old is not None and old.secret_id else [])
        _audit(db, now, "oauth_app_set", row.id)
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
        row, now = _agency(db, agency), parts.clock.now()
        if grants.app(db, row.id, provider) is None:
            raise CannotBe(f"{row.name} has no app of its own at {BRANDS[provider]}.")
        secrets.erase(db, grants.remove_app(db, row.id, provider))
        _audit(db, now, "oauth_app_removed", row.id)
    return {"agency": row.name, "provider": provider, "client_id": ""}


def mailboxes(parts: Parts, agency: str) -> list[dict[str, Any]]:
    """Who of an agency can send, and who cannot, and why; and who uses another server than the agency's."""
    with reading(parts.engine) as db:
        of = _agency(db, agency)
        rows = people_store.members(db, of.id)
    today = parts.clock.now().date()
    same = parts.tools.providers.same
    return [
        {"name": row.name, "role": row.role, "address": row.address or "", "state": row.state or "no mailbox",
         "cause": row.cause or "",
         "other_server": row.host if of.host and row.host and not same(row.host, of.host, today) else ""}
        for row in rows
    ]  # fmt: skip


def door_keys(parts: Parts, agency: str = "") -> list[dict[str, Any]]:
    """The keys with which Ally sends through us, of all agencies or of one; never a key itself."""
    with reading(parts.engine) as db:
        rows = doors.listed(db, _agency(db, agency).id if agency else None)
    return [_key_as_row(row) for row in rows]


def door_key(parts: Parts, address: str, *, revoke: bool) -> list[dict[str, Any]]:
    """The keys of an address (it may be registered in several agencies), or that they are void from now on."""
    now = parts.clock.now()
    with parts.engine.begin() as db:
        rows = doors.listed(db, address=address)
        if not rows:
            raise CannotBe(f"There is no key for Ally at {address}; python -m bot mailbox doors shows them.")
        for row in rows if revoke else []:
            doors.revoke(db, row.mailbox_id, now)
            housekeeping.audit_entry(db, now, actor="operator", action="door_closed", subject=str(row.mailbox_id))
    return [{**_key_as_row(row), "revoked": revoke} for row in rows]


def _key_as_row(row: Row) -> dict[str, Any]:
    return {
        "agency": row.agency, "name": row.name, "address": row.address, "state": row.state,
        "made_at": moment(row.made_at), "used_at": _perhaps(row.used_at),
        "refused_at": _perhaps(row.refused_at), "refusal": row.refusal,
    }  # fmt: skip


def cases(parts: Parts) -> list[dict[str, Any]]:
    """Who waits for a person, longest first. `owner`: a user of Slack's; empty: nobody has it."""
    with reading(parts.engine) as db:
        rows = desk_cases.queue(db)
    return [
        {"number": row.number, "state": row.state, "owner": row.owner, "waits_since": _perhaps(row.waits_since),
         "reason": row.reason, "name": row.name, "agency": row.agency or "", "language": row.language,
         "channel": row.channel, "opened_at": moment(row.opened_at),
         **({"wants_into": row.wants_into, "address": row.wants_with} if row.wants_into else {})}
        for row in rows
    ]  # fmt: skip


def show_case(parts: Parts, number: int) -> dict[str, Any]:
    """A case, open or not, with whom it is about and the last that was said. That somebody looked is kept."""
    with parts.engine.begin() as db:
        row = desk_cases.about(db, number)
        if row is None:
            raise CannotBe(f"There is no case {number}; python -m bot case list shows the open ones.")
        said = conversations.transcript(db, row.conversation_id, LINES)
        _audit(db, parts.clock.now(), "case_shown", number)
    return {
        "number": row.number, "state": row.state, "end": row.end, "owner": row.owner,
        "waits_since": _perhaps(row.waits_since), "snoozed_until": _perhaps(row.snoozed_until),
        "opened_at": moment(row.opened_at), "closed_at": _perhaps(row.closed_at), "reason": row.reason,
        "name": row.name, "agency": row.agency or "", "role": row.role or "", "language": row.language,
        "channel": row.channel, "window_until": _perhaps(row.window_until), "where": where(row.envelope),
        "address": row.address or "", "server": f"{row.host}:{row.port}" if row.host else "",
        "mailbox": row.mailbox_state or "", "cause": row.cause or "",
        "lines": [{"at": moment(one.at), "who": one.by or WHO[one.direction], "text": one.text} for one in said],
    }  # fmt: skip


def open_case(parts: Parts, known: str) -> dict[str, Any]:
    """Open a case about the one person who is known by this (number, id, e-mail address, name), or find the open one.

    The person is told nothing: whoever takes the case greets them. Raises CannotBe.
    """
    with parts.engine.begin() as db:
        found = whom.look_for(db, known, NAMED + 1)
        if len(found) > 1:
            raise CannotBe(f"Several people are known as {known}: {'; '.join(named(found))}. Give the number.")
        held = conversations.hold(db, found[0].conversation_id) if found else None
        if held is None:
            raise CannotBe(f"There is no contact known as {known}; only who has written to us once can be found.")
        now = parts.clock.now()
        number, fresh = parts.casework.opened_by_staff(db, held.id, "", now)
        promises.wake(db, {"work"})
        _audit(db, now, "case_open", number)
        row = desk_cases.about(db, number)
    if row is None:
        raise CannotBe(f"Case {number} was erased meanwhile.")
    return {"number": number, "new": fresh, "state": row.state, "owner": row.owner, "reason": row.reason,
            "name": row.name, "agency": row.agency or ""}  # fmt: skip


def close_case(parts: Parts, number: int) -> dict[str, Any]:
    """End a case; the person is told, and the bot speaks again. Raises CannotBe."""
    with parts.engine.begin() as db:
        known, now = desk_cases.get(db, number), parts.clock.now()
        held = conversations.hold(db, known.conversation_id) if known is not None else None
        if held is None or held.case != number:
            raise CannotBe(f"Case {number} is not open; python -m bot case list shows those that are.")
        if access.of_case(db, number) is not None:
            raise CannotBe(f"Case {number} is a wish for access: answer it with python -m bot case access {number}.")
        told = desk_cases.knows(db, known)
        if parts.casework.happened(db, held.id, rules.Ended("closed"), now) is None:
            conversations.close_case(db, held.id, now)
        if told:
            tell(db, held.id, CaseEnded(number, "closed"), now)
        promises.wake(db, {"work"})
        _audit(db, now, "case_close", number)
    return {"number": number, "state": "closed"}


def decide_access(parts: Parts, number: int, into: str | None, role: str) -> dict[str, Any]:
    """Answer the wish for access behind a case: into this agency, or (None) not at all. Raises CannotBe."""
    with parts.engine.begin() as db:
        wish = _wish(db, number)
        row = _agency(db, into) if into is not None else None
        if row is not None:
            _check_where(db, wish, row.id)
        now = parts.clock.now()
        decided(db, wish, row.id if row else None, role, now)
        _audit(db, now, "access_granted" if row else "access_declined", wish.id)
    return {"name": wish.name, "agency": row.name if row else None, "role": role if row else None}


def found_agency(parts: Parts, number: int, language: str, zone: str) -> dict[str, Any]:
    """Found the agency that the person behind a case named, with this person as its admin. Raises CannotBe."""
    timezone(zone)
    with parts.engine.begin() as db:
        wish, now = _wish(db, number), parts.clock.now()
        if people_store.agency_by_name(db, wish.agency) is not None:
            raise CannotBe(f"There is an agency called {wish.agency} already; use --into to add them to it.")
        _check_where(db, wish, None)
        agency_id = people_store.add_agency(db, wish.agency, language, zone, now)
        decided(db, wish, agency_id, "admin", now)
        _audit(db, now, "agency_added", agency_id)
        _audit(db, now, "access_granted", wish.id)
    return {"name": wish.name, "agency": wish.agency, "role": "admin"}


def _check_where(db: Connection, wish: Row, agency_id: UUID | None) -> None:
    if elsewhere(db, wish, agency_id):
        raise CannotBe(f"{wish.name} writes from a Slack workspace that belongs to another agency.")


def _wish(db: Connection, number: int) -> Row:
    row = access.of_case(db, number)
    if row is None:
        raise CannotBe(f"Case {number} is no open wish for access; python -m bot case list shows them.")
    return row


def agency_in_full(parts: Parts, name: str) -> dict[str, Any]:
    """An agency with its members and their mailboxes."""
    with reading(parts.engine) as db:
        row = _agency(db, name)
        server = f"{row.host}:{row.port}" if row.host else "none for all"
        members = [
            f"{one.name} ({one.role}): {one.address or 'no mailbox'} {one.state or ''} {one.cause or ''}".strip()
            for one in people_store.members(db, row.id)
        ]
    return {"agency": row.name, "id": str(row.id), "language": row.language, "timezone": row.timezone,
            "server": server, "members": members}  # fmt: skip


def close_agency(parts: Parts, name: str, *, really: bool) -> dict[str, Any]:
    """Close an agency: every membership ends, every secret is erased. Without `really`, only what would happen."""
    with parts.engine.begin() as db:
        row, now = _agency(db, name), parts.clock.now()
        members = people_store.members(db, row.id)
        if really:
            for one in members:
                end_membership(db, one.id, now, row.name)
            for provider in PROVIDERS:
                secrets.erase(db, grants.remove_app(db, row.id, provider))
            people_store.close_agency(db, row.id, now)
            _audit(db, now, "agency_closed", row.id)
    ended = {"memberships": len(members), "mailboxes": sum(one.address is not None for one in members),
             "keys": sum(one.door is not None for one in members)}  # fmt: skip
    return {"agency": row.name, "closed": really, **ended}


def unanswered(parts: Parts, most: int = 100) -> list[dict[str, Any]]:
    """What people asked in vain, the most frequent first; without a topic the guide had no answer."""
    with reading(parts.engine) as db:
        rows = questions.unanswered(db, most)
    return [
        {"times": row.times, "question": row.words, "language": row.language, "topic": row.topic or None,
         "last": moment(row.last)}
        for row in rows
    ]  # fmt: skip


def dead_letters(parts: Parts) -> list[dict[str, Any]]:
    """Turns that raised."""
    with reading(parts.engine) as db:
        rows = conversations.dead_letters(db)
    return [_letter(row) for row in rows]


def _letter(row: Row) -> dict[str, Any]:
    return {"id": row.id, "conversation": str(row.conversation_id), "error": row.error, "at": moment(row.at),
            "replayed": row.replayed_at is not None}  # fmt: skip


def show_letter(parts: Parts, letter: int) -> dict[str, Any]:
    """A turn that raised, with the event (redacted) or the promise. That somebody looked is kept."""
    with parts.engine.begin() as db:
        row = conversations.dead_letter_in_full(db, letter)
        if row is None:
            raise CannotBe(NO_LETTER.format(letter))
        _audit(db, parts.clock.now(), "dead_letter_shown", letter)
    of_promise = {"promise": row.kind, "state": row.state, "outcome": row.outcome} if row.kind else {}
    return {**_letter(row), "event": json.dumps(row.event, ensure_ascii=False), **of_promise}


def drop_letter(parts: Parts, letter: int) -> dict[str, Any]:
    """Give a turn that raised up: it is not applied any more."""
    with parts.engine.begin() as db:
        if not conversations.drop_dead_letter(db, letter):
            raise CannotBe(NO_LETTER.format(letter))
        _audit(db, parts.clock.now(), "dead_letter_dropped", letter)
    return {"dropped": letter}


def replay(parts: Parts, letter: int) -> str:
    """Apply a dead letter again; what became of it."""
    try:
        in_time = parts.turns.replay(letter)
    except LookupError as missing:
        raise CannotBe(str(missing)) from None
    with parts.engine.begin() as db:
        _audit(db, parts.clock.now(), "dead_letter_replayed", letter)
    return "Done." if in_time else "It came too late: the conversation has gone on without it."


def forget_contact(parts: Parts, known: str) -> dict[str, Any]:
    """Erase all that is stored about a contact."""
    with reading(parts.engine) as db:
        contact = _contact(db, known)
    kept = kept_by_provider(parts.tools, Identity(contact.channel, contact.address, contact.external_id))
    with parts.engine.begin() as db:
        forget(db, contact.id, kept, by=OPERATOR, now=parts.clock.now())
    return {"erased": str(contact.id), "at_provider": len(kept[1])}


def export(parts: Parts, known: str) -> dict[str, Any]:
    """All that is stored about a contact; of secrets and of mails' texts only that they exist."""
    with parts.engine.begin() as db:
        contact = _contact(db, known)
        _audit(db, parts.clock.now(), "exported", contact.id)
        return everything(db, contact)


def _contact(db: Connection, known: str) -> Row:
    found = people_store.find_contact(db, known)
    if len(found) != 1:
        raise CannotBe(f"There is no one contact known as {known}.")
    return found[0]


def _perhaps(when: datetime | None) -> str:
    return moment(when) if when is not None else ""


# --- Slack ------------------------------------------------------------------------------------------------------------


def workspaces(parts: Parts) -> list[dict[str, Any]]:
    """The Slack workspaces, each with the agency that it belongs to."""
    with reading(parts.engine) as db:
        rows = slack.every_workspace(db)
    return [
        {"workspace": row.team_id, "name": row.name, "agency": row.agency or "", "since": moment(row.at),
         "left": row.gone_at is not None}
        for row in rows
    ]  # fmt: skip


def release_workspace(parts: Parts, team: str) -> dict[str, Any]:
    """Take a workspace from its agency: the next admin who comes with an invitation gets it. Raises CannotBe."""
    with parts.engine.begin() as db:
        if not slack.release(db, team):
            raise CannotBe(f"There is no workspace {team}; python -m bot workspace list shows them.")
        _audit(db, parts.clock.now(), "workspace_released", team)
    return {"workspace": team, "agency": ""}


def templates(parts: Parts) -> list[dict[str, Any]]:
    """Make the four templates in three languages, ask WhatsApp to approve them, and say how that stands."""
    if parts.templates is None:
        raise CannotBe("TWILIO_ACCOUNT_SID: it is needed here; templates are made in a Twilio account.")
    try:
        return parts.templates.submit_all()
    except SendError as failure:
        raise CannotBe(f"Twilio did not do it: {failure}") from None
