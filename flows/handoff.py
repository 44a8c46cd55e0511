"""How a person is reached: at the desk, in this very chat; without one by a contact, with a few lines to paste."""

from collections.abc import Iterator

from flows.facts import Facts
from flows.speech import has, sentence, shortened
from flows.words import Account, Code, Language, Quote, Say

MOST = 60  # characters of a name, and of an agency's
MOST_OF_AN_ADDRESS = 90
# Where somebody is, by flow and state; else by the flow alone.
PLACES = {
    ("mailbox", "Collecting"): "address",
    ("mailbox", "Finding"): "server",
    ("mailbox", "Suggesting"): "server",
    ("mailbox", "Hosting"): "server",
    ("mailbox", "Confirming"): "server",
    ("mailbox", "AwaitingLink"): "password",
    ("mailbox", "AwaitingSecret"): "password",
    ("mailbox", "ConfirmingSecret"): "password",
    ("mailbox", "AwaitingSignInLink"): "signing_in",
    ("mailbox", "AwaitingSignIn"): "signing_in",
    ("mailbox", "SignInStuck"): "signing_in",
    ("mailbox", "Testing"): "sign_in",
    ("mailbox", "Stuck"): "sign_in",
}


def opened(number: int, flow: str, state: object, about: str | Account, facts: Facts) -> Say:
    """Who will help and when. `about`: the address, or the account, that the talk is about; empty: none."""
    house = facts.house
    if not house.desk:
        lines = Quote("\n".join(_summary(number, flow, state, about, facts)))
        return Say("handoff.opened", {"number": number, "contact": Code(house.support_contact), "summary": lines})
    if facts.away_until is not None:
        return Say("handoff.away", {"number": number, "day": facts.away_until, "hour": facts.away_hour})
    return Say("handoff.called", {"number": number, "minutes": house.answer_minutes})


def place(flow: str, state: str, language: Language) -> str:
    """Where somebody is, in words; empty where they are nowhere in particular. `state`: its name."""
    name = f"handoff.where.{PLACES.get((flow, state), flow)}"
    return sentence(name, language) if has(name) else ""


def _summary(number: int, flow: str, state: object, about: str | Account, facts: Facts) -> Iterator[str]:
    """Who they are and what does not work, in their language, and never a secret: they will paste it somewhere."""
    spoken, mailbox = facts.language, facts.mailbox
    name, agency = shortened(facts.name or "?", MOST), shortened(facts.agency, MOST)
    if facts.agency and facts.role:
        role = sentence(f"team.role.{facts.role}", spoken)
        yield sentence("handoff.summary.member", spoken, number=str(number), who=name, agency=agency, role=role)
    else:
        yield sentence("handoff.summary.stranger", spoken, number=str(number), who=name)
    if where := place(flow, type(state).__name__, spoken):
        yield sentence("handoff.summary.where", spoken, where=where)
    account = about or (mailbox.account if mailbox is not None else "")
    address, server = (account, None) if isinstance(account, str) else (account.address, account.server)
    if address:
        yield sentence("handoff.summary.address", spoken, address=shortened(address, MOST_OF_AN_ADDRESS))
    if server is not None and server.host:
        host = f"{shortened(server.host, MOST_OF_AN_ADDRESS)}, {server.port}"
        yield sentence("handoff.summary.server", spoken, server=host)
    cause = getattr(state, "cause", "") or (mailbox.cause if mailbox is not None else "")
    if has(f"home.cause.{cause}"):
        yield sentence("handoff.summary.cause", spoken, cause=sentence(f"home.cause.{cause}", spoken))
