"""The unavoidable of a turn: bare Flask, the signature, and the turn's statements in one Core transaction.

`FLOOR_SAMPLE` names a file with what ours wrote in the same turn: envelope, payload, and the words of the transcript.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from sqlalchemy import Connection, bindparam, create_engine, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from twilio.request_validator import RequestValidator

from bot.store.promises import held_back
from bot.store.tables import (
    agency,
    case,
    contact,
    conversation,
    door_key,
    in_state,
    inbound,
    mailbox,
    member,
    membership,
    message,
    oauth_app,
    oauth_grant,
    promise,
)

_unfinished = (
    select(func.count())
    .select_from(promise)
    .where(promise.c.conversation_id == conversation.c.id, in_state(promise, "todo", "doing"))
    .correlate(conversation)
    .scalar_subquery()
)
_held_back = (
    select(promise.c.id)
    .where(promise.c.conversation_id == conversation.c.id, in_state(promise, "todo"))
    .where(held_back(promise))
    .correlate(conversation)
    .exists()
)
_case = (
    select(case.c.number)
    .where(case.c.conversation_id == conversation.c.id, case.c.closed_at.is_(None))
    .correlate(conversation)
    .scalar_subquery()
)
REMEMBER = (
    upsert(inbound)
    .values(channel=bindparam("channel"), message_id=bindparam("message_id"), at=bindparam("at"))
    .on_conflict_do_nothing()
    .returning(inbound.c.at)
)
HOLD = (
    select(
        conversation.c.id,
        conversation.c.contact_id,
        conversation.c.owner,
        conversation.c.envelope,
        conversation.c.ticket,
        contact.c.channel,
        contact.c.address,
        contact.c.external_id,
        contact.c.name,
        contact.c.language,
        contact.c.member_id,
        contact.c.last_message_id,
        contact.c.window_until,
        _unfinished.label("unfinished"),
        _held_back.label("held_back"),
        _case.label("case"),
    )
    .join(contact, contact.c.id == conversation.c.contact_id)
    .where(
        contact.c.channel == bindparam("channel"),
        or_(contact.c.address == bindparam("address"), contact.c.external_id == bindparam("external_id")),
    )
    .order_by(conversation.c.id)
    .with_for_update(of=(conversation, contact))
)
TOUCH = (
    update(contact)
    .where(contact.c.id == bindparam("contact"))
    .values(
        name=bindparam("name"), window_until=bindparam("window_until"), last_message_id=bindparam("last_message_id")
    )
)
_other, _their = member.alias("other"), agency.alias("their")
_roles = (
    select(func.count())
    .select_from(membership)
    .join(_other, _other.c.id == membership.c.member_id)
    .join(_their, _their.c.id == _other.c.agency_id)
    .where(membership.c.contact_id == bindparam("contact"), _other.c.removed_at.is_(None), _their.c.closed_at.is_(None))
    .scalar_subquery()
)
_apps = (
    select(func.json_object_agg(oauth_app.c.provider, func.json_build_array(oauth_app.c.client_id, oauth_app.c.tenant)))
    .where(oauth_app.c.agency_id == agency.c.id, oauth_app.c.secret_id.is_not(None))
    .correlate(agency)
    .scalar_subquery()
)
STANDING = (
    select(
        member.c.id,
        member.c.name,
        member.c.role,
        agency.c.id.label("agency_id"),
        agency.c.name.label("agency"),
        agency.c.timezone,
        agency.c.host.label("agency_host"),
        agency.c.port.label("agency_port"),
        agency.c.security.label("agency_security"),
        agency.c.server_rule,
        mailbox.c.id.label("mailbox_id"),
        mailbox.c.address,
        mailbox.c.user_name,
        mailbox.c.host,
        mailbox.c.port,
        mailbox.c.security,
        mailbox.c.state,
        mailbox.c.cause,
        mailbox.c.version,
        mailbox.c.size,
        mailbox.c.secret_id,
        mailbox.c.transport,
        oauth_grant.c.provider.label("signed_in"),
        door_key.c.mailbox_id.label("door"),
        door_key.c.used_at.label("door_used_at"),
        door_key.c.refused_at.label("door_refused_at"),
        door_key.c.refusal.label("door_refusal"),
        _apps.label("apps"),
        _roles.label("roles"),
    )
    .join(agency, agency.c.id == member.c.agency_id)
    .join(mailbox, mailbox.c.member_id == member.c.id, isouter=True)
    .join(oauth_grant, oauth_grant.c.secret_id == mailbox.c.secret_id, isouter=True)
    .join(door_key, (door_key.c.mailbox_id == mailbox.c.id) & door_key.c.revoked_at.is_(None), isouter=True)
    .where(member.c.id == bindparam("member"), member.c.removed_at.is_(None), agency.c.closed_at.is_(None))
)
SAVE = (
    update(conversation)
    .where(conversation.c.id == bindparam("conversation"))
    .values(envelope=bindparam("envelope"), ticket=bindparam("ticket"), updated_at=bindparam("updated_at"))
)
PROMISE = insert(promise).returning(promise.c.id)
NOTE = insert(message).inline()
WAKE = text("notify ally_promises, 'speak'")


def app() -> Flask:
    """The web application of this environment."""
    sample = json.loads(Path(os.environ["FLOOR_SAMPLE"]).read_text())
    engine = create_engine(os.environ["DATABASE_URL"], pool_size=10, max_overflow=10)
    validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
    address = f"{os.environ['PUBLIC_URL']}/whatsapp"
    flask = Flask("floor")

    @flask.get("/healthz")
    def healthz() -> str:
        return "ok\n"

    @flask.post("/whatsapp")
    def whatsapp() -> Response:
        if not validator.validate(address, request.form, request.headers.get("X-Twilio-Signature", "")):
            return Response("forbidden\n", 403)
        with engine.begin() as db:
            turn(db, sample, request.form["MessageSid"], request.form["From"].removeprefix("whatsapp:"))
        return Response("<Response/>", mimetype="text/xml")

    return flask


def turn(db: Connection, sample: dict[str, Any], message_id: str, address: str, channel: str = "whatsapp") -> None:
    """The statements of one turn, with what `sample` says."""
    now = datetime.now(UTC)
    if db.execute(REMEMBER, {"channel": channel, "message_id": message_id, "at": now}).one_or_none() is None:
        return
    held = db.execute(HOLD, {"channel": channel, "address": address, "external_id": None}).one()
    db.execute(
        TOUCH,
        {
            "contact": held.contact_id,
            "name": held.name,
            "window_until": now + timedelta(hours=24),
            "last_message_id": message_id,
        },
    )
    db.execute(STANDING, {"member": held.member_id, "contact": held.contact_id}).one()
    promised = db.execute(
        PROMISE,
        {
            "conversation_id": held.id,
            "lane": "speak",
            "kind": "Speak",
            "payload": sample["payload"],
            "ticket": held.ticket,
            "due_at": now,
            "created_at": now,
        },
    ).scalar_one()
    saved = {"envelope": held.envelope, "ticket": held.ticket, "updated_at": now}
    db.execute(SAVE, {"conversation": held.id, **saved})
    lines = [("in", sample["in"], None), ("out", sample["out"], promised)]
    db.execute(
        NOTE,
        [
            {"conversation_id": held.id, "direction": way, "text": words, "promise_id": spoken, "at": now}
            for way, words, spoken in lines
        ],
    )
    db.execute(WAKE)
