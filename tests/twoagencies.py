"""Two agencies, each in a Slack workspace of its own, and people of one who mean the other no good."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from bot import people
from bot.channels import Identity
from bot.safe import use_of
from bot.store import access, mailboxes, slack, tables
from bot.store import people as people_store
from bot.store.engine import reading
from bot.vault import Secret
from bot.workspaces import owner
from flows.words import Account, Server
from tests.slackkit import ANOTHER_TEAM, TEAM, SlackKit

if TYPE_CHECKING:
    from uuid import UUID

    from bot.playground.slack_delivery import Answer

NONE = {"SLACK_BOT_TOKEN": "", "SLACK_CLIENT_ID": "1.2", "SLACK_CLIENT_SECRET": "geheim"}
MEMBER, ADMIN, REMOVED, STRANGER, GUEST = "U0ANA", "U0BIA", "U0REX", "U0NEW", "U0GAST"
HOSTILE = (MEMBER, ADMIN, REMOVED, STRANGER, GUEST)
VICTIMS = {"U0LARA": ("Lara", "admin"), "U0LUIS": ("Luis", "member"), "U0LINA": ("Lina", "member")}
# What nobody of the other agency is ever to read.
SECRETS_OF_LUA = ("Lua Viagens", "Lara", "Luis", "Lina", "lua.test", "2465", "zebra-azul")


@dataclass
class Agency:
    """One of the two."""

    id: UUID
    team: str
    members: dict[str, UUID]
    requests: list[str]


class TwoAgencies(SlackKit):
    """Sol, whose people are hostile, and Lua, whose people are not to notice."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **{**NONE, **more})
        try:
            self._people()
        except BaseException:
            self.__exit__()
            raise

    def _people(self) -> None:
        self.another = self.slack.workspace(ANOTHER_TEAM, "Lua")
        for user, name in ((REMOVED, "Rex"), (STRANGER, "Nils")):
            self.slack.user(TEAM, user, name.lower(), real_name=name)
        self.slack.user(TEAM, GUEST, "gast", is_restricted=True)
        for user, (name, _) in VICTIMS.items():
            self.slack.user(ANOTHER_TEAM, user, name.lower(), real_name=name)
        self.slack.channel(ANOTHER_TEAM, "C0LUA", "general", [*VICTIMS, self.another.bot_user])
        self.slack.channel(TEAM, "C0SOL", "general", [ADMIN, MEMBER, STRANGER, self.workspace.bot_user])
        sol = {ADMIN: ("Bia", "admin"), MEMBER: ("Ana", "member"), REMOVED: ("Rex", "admin")}
        self.sol = self._founded("Agência Sol", TEAM, self.workspace.token, sol, "sol.test", 1465)
        self.lua = self._founded("Lua Viagens", ANOTHER_TEAM, self.another.token, VICTIMS, "lua.test", 2465)
        with self.engine.begin() as db:
            people_store.exclude(db, self.sol.members[REMOVED], self.clock.now())
        for user in VICTIMS:
            self.slack.say(ANOTHER_TEAM, user, "menu")
            self.slack.open_home(ANOTHER_TEAM, user)
        self.work()

    def _founded(
        self, name: str, team: str, token: str, who: dict[str, tuple[str, str]], domain: str, port: int
    ) -> Agency:
        now = self.clock.now()
        with self.engine.begin() as db:
            agency = people_store.add_agency(db, name, "en", "America/Sao_Paulo", now)
            people_store.set_server(db, agency, f"mail.{domain}", port, "tls")
            self.parts.slack.workspaces.keep(
                db, team, {"access_token": token}, agency_id=agency, bot_user=f"U0BOT{team}"
            )
            people.invite(db, agency, role="member", name="", language="en", uses=3, now=now)
            members = {user: self._member(db, team, user, agency, *one, domain, port) for user, one in who.items()}
            asker = people.who(db, Identity("terminal", f"+55119999{port}"), "Kim", now)
            wish = access.ask(db, asker.id, agency_name=name, address=f"kim@{domain}", agency_id=agency, at=now)
        return Agency(agency, team, members, [str(wish)])

    def _member(
        self, db: Any, team: str, user: str, agency: UUID, name: str, role: str, domain: str, port: int
    ) -> UUID:
        now = self.clock.now()
        held = people.who(db, Identity("slack", f"{team}.{user}"), name, now)
        member = people_store.add_member(db, held.contact_id, agency, name, role, now)
        people_store.act_for(db, held.contact_id, member, "en")
        address = f"{name.lower()}@{domain}"
        account = Account(address, address, Server(f"mail.{domain}", port, "tls"))
        secret = self.parts.safe.put(
            db, Secret("zebra-azul"), kind="mailbox.password", owner=held.contact_id, use=use_of(account), now=now
        )
        server = {"host": f"mail.{domain}", "port": port, "security": "tls"}
        mailboxes.save(
            db,
            member,
            {"address": address, "user_name": address, **server, "secret_id": secret, "state": "works", "since": now},
        )
        return member

    # --- what is to stay as it was, and what is to be read by nobody ---

    def all_of(self, agency: Agency) -> dict[str, list[str]]:
        """Every row that is an agency's own, or one of its people's."""
        members = select(tables.member.c.id).where(tables.member.c.agency_id == agency.id)
        contacts = select(tables.contact.c.id).where(
            or_(
                tables.contact.c.id.in_(
                    select(tables.membership.c.contact_id).where(tables.membership.c.member_id.in_(members))
                ),
                tables.contact.c.address.startswith(f"{agency.team}."),
            )
        )
        talks = select(tables.conversation.c.id).where(tables.conversation.c.contact_id.in_(contacts))
        mine = {
            tables.agency: tables.agency.c.id == agency.id,
            tables.member: tables.member.c.agency_id == agency.id,
            tables.membership: tables.membership.c.member_id.in_(members),
            tables.mailbox: tables.mailbox.c.member_id.in_(members),
            tables.invitation: tables.invitation.c.agency_id == agency.id,
            tables.entrance_code: tables.entrance_code.c.member_id.in_(members),
            tables.secret: or_(tables.secret.c.owner_id.in_(contacts), tables.secret.c.owner_id == owner(agency.team)),
            tables.access_request: tables.access_request.c.agency_id == agency.id,
            tables.slack_workspace: or_(
                tables.slack_workspace.c.agency_id == agency.id, tables.slack_workspace.c.team_id == agency.team
            ),
            tables.contact: tables.contact.c.id.in_(contacts),
            tables.conversation: tables.conversation.c.id.in_(talks),
            tables.message: tables.message.c.conversation_id.in_(talks),
            tables.promise: tables.promise.c.conversation_id.in_(talks),
            tables.slack_screen: tables.slack_screen.c.conversation_id.in_(talks),
            tables.link: tables.link.c.member_id.in_(members),
        }
        with reading(self.engine) as db:
            return {
                table.name: sorted(str(row) for row in db.execute(select(table).where(where)))
                for table, where in mine.items()
            }

    def received(self, team: str) -> list[str]:
        """All that Slack was asked to show in a workspace; ids of its own, which are made by chance, say nothing."""
        asked = (one.arguments for one in self.slack.requests if one.team_id == team)
        return [json.dumps({**arguments, "trigger_id": ""}, ensure_ascii=False) for arguments in asked]

    # --- requests as Slack signs them, with whatever in them ---

    def about(self, user: str, kind: str, team: str = TEAM) -> dict[str, Any]:
        """The beginning of an interaction of this person."""
        with self.slack._world.changed:
            return self.slack._payloads.about(team, user, kind, "")

    def interact(self, payload: dict[str, Any]) -> Answer:
        """Send an interaction."""
        return self.slack._courier.interaction(payload, {})[-1]

    def pressed(self, who: str, value: str, where: str = "message", home: str = TEAM, **more: Any) -> Answer:
        """A tap on a button with this value, wherever it may have stood."""
        action = {"type": "button", "action_id": "a", "block_id": "b", "value": value, "action_ts": "1.1"}
        view = {"view": {"id": "V0FORGED", "type": where, "team_id": home}} if where != "message" else {}
        return self.interact({**self.about(who, "block_actions", home), "actions": [action], **view, **more})

    def filled_in(self, user: str, callback_id: str, values: dict[str, Any], team: str = TEAM, **more: Any) -> Answer:
        """A window with these fields, whether it was ever shown or not."""
        state = {name: {"value": one if isinstance(one, dict) else {"value": one}} for name, one in values.items()}
        view = {
            "id": "V0FORGED", "type": "modal", "hash": "1.a", "callback_id": callback_id, "state": {"values": state},
            "team_id": team,
        }  # fmt: skip
        return self.interact({**self.about(user, "view_submission", team), "view": {**view, **more}})

    def quiet(self) -> None:
        """Wait until nothing is shown beside an answer any more."""
        edge = self.web.extensions["slack"]
        self.slack.wait_for(lambda: True)
        from tests.botkit import eventually

        eventually(lambda: edge.showing == 0, "the end of all showing")


def keep_workspace(kit: SlackKit, team: str, **values: Any) -> None:
    """A workspace row of a test's own."""
    with kit.engine.begin() as db:
        slack.keep_workspace(db, team, kit.clock.now(), **values)
