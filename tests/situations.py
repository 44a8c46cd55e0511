"""Every state in which somebody is asked something, with the facts that change the question."""

import json
from dataclasses import replace
from pathlib import Path

from bot.mail.knowledge.explain import causes
from flows import compose, door, integrate, invite, mailbox
from flows.facts import Mailbox, Role, Teammate
from flows.remedies import SWITCHED_OFF
from flows.saved import VERSION, load_envelope
from flows.sign_in import STEPS, SignInStuck
from flows.team import ConfirmingExclusion, Listing, Showing
from flows.words import Person, Server
from tests.flowkit import ADDRESS, ANA, DOOR, GMAIL, MICROSOFT, OUTLOOK, WITH_KEY, WORKS, WORKSPACE, facts

SAVED = Path(__file__).parent / "saved" / f"v{VERSION}"
TEAM = (
    Teammate("m0", "Bia", "admin", me=True),
    Teammate("m1", "Ana", "member", "ana@agency.test", "works"),
    Teammate("m2", "Caio", "admin", "caio@agency.test", "waiting", "greylisted"),
    Teammate("m3", "Davi Fernando de Albuquerque e Souza", "member", "d@agency.test", "broken", "wrong_credentials"),
    Teammate("m4", "Eva", "member", "eva@agency.test", "off", door=True),
    *(Teammate(f"m{number}", f"Fulana {number}", "member") for number in range(5, 9)),
)
SIGNED_IN = Mailbox(ANA, "waiting", SWITCHED_OFF, "s1", signed_in="microsoft")


def situations():  # noqa: C901 - a list, and what goes through it
    """A name, the flow, the state and the facts of each."""
    known = [
        facts(),
        facts(provider=GMAIL),
        *(facts(mailbox=Mailbox(ANA, state)) for state in ("waiting", "works", "broken", "off")),
        facts(role="admin", mailbox=WORKS, agency_server=ANA.server),
        facts(several=True, mailbox=WORKS, roles=(Role("m1", "Agency", acting=True), Role("m2", "Another"))),
        facts(mailbox=WORKS, provider=replace(GMAIL, app_password_url="https://provider.test/apps")),
        *(facts(role="admin", team=team) for team in (TEAM, TEAM[:1], TEAM * 2)),
        facts(provider=MICROSOFT, mailbox=WORKS, role="admin", agency_server=ANA.server),
        *(facts(provider=one, mailbox=SIGNED_IN) for one in (MICROSOFT, OUTLOOK, WORKSPACE)),
        facts(provider=WORKSPACE, mailbox=WORKS),
        *(facts(house=DOOR, mailbox=one) for one in (WORKS, WITH_KEY, replace(WITH_KEY, state="broken"))),
        facts(house=DOOR, mailbox=WITH_KEY, role="admin", agency_server=ANA.server, team=TEAM),
        facts(house=DOOR, mailbox=replace(SIGNED_IN, state="works", cause=""), provider=OUTLOOK),
        facts(mailbox=WITH_KEY, provider=WORKSPACE),
    ]
    for path in sorted(SAVED.glob("*.json")):
        envelope = load_envelope(json.loads(path.read_text(encoding="utf-8")))
        if envelope.flow:
            for one in known:
                yield path.stem, envelope.flow, envelope.state, one
    proved = Server("srv7.hoster.test", 465, "tls")
    more = [mailbox.Confirming(ANA, (doubt,)) for doubt in ("server", "barred", "warn", "strict")]
    more += [mailbox.Stuck(ANA, "s1", cause, better) for cause in causes() for better in (None, proved)]
    more += [mailbox.Collecting({"address": ADDRESS, "host": "mail.agency.test"}, "user")]
    more += [mailbox.Stuck(ANA, "s1", cause, None, "microsoft") for cause in causes()]
    more += [SignInStuck(ANA, "microsoft", reason) for reason in STEPS]
    files = compose.Correcting({"files": "f1 photo.jpg"})
    yield "files", "compose", files, facts(mailbox=WORKS)
    yield "silent", "integrate", integrate.Silent(ADDRESS, ANA.server, proved), facts(role="admin")
    admin = facts(role="admin", team=TEAM)
    for told in ("all", "now", "again"):
        for role in ("member", "admin"):
            yield f"door {told}", "door", door.Trying(told), facts(house=DOOR, mailbox=WITH_KEY, role=role)
    for one in TEAM:
        for state in (Showing(one.id), ConfirmingExclusion(one.id)):
            yield f"team {one.name}", "team", state, admin
    for page in (0, 1):
        yield "team", "team", Listing(page), admin
    yield "invite", "invite", invite.Previewing((Person("U1", "Ana"),), 3, 1), facts(role="admin")
    for state in more:
        for provider in (GMAIL, MICROSOFT):
            yield str(state), "mailbox", state, facts(provider=provider)
