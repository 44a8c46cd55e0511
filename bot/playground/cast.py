"""Who is in the playground's Slack, and where. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from flows.words import Language

TEAM, WORKSPACE = "T0SOL", "Sol"
DESK, CHANNEL = "G0DESK", "C0TEAM"
HOURS, ZONE = "Mon-Fri 09:00-18:00", "America/Sao_Paulo"


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody in the workspace."""

    id: str
    name: str


ADMINS: Mapping[Language, Colleague] = {
    "en": Colleague("U0CARLAEN", "Carla Jones"),
    "pt": Colleague("U0CARLAPT", "Carla Dias"),
    "es": Colleague("U0CARLAES", "Carla Ruiz"),
}
STAFF: Mapping[Language, Colleague] = {
    "en": Colleague("U0SAMEN", "Sam"),
    "pt": Colleague("U0SAMPT", "Rafa"),
    "es": Colleague("U0SAMES", "Sofi"),
}
OTHERS = (Colleague("U0DORA", "Dora"), Colleague("U0HUGO", "Hugo"))  # whom the admin may invite


def address(who: Colleague) -> str:
    """What the bot knows somebody by."""
    return f"{TEAM}.{who.id}"
