"""What more than one flow asks for: an address, a mail server's name and number, a language; and their choices."""

import re

from flows.facts import Facts
from flows.forms import Problem
from flows.reading import LANGUAGE_OF, command
from flows.reading import address as read_address
from flows.reading import host as read_host
from flows.words import LANGUAGES, Chose, Language, Option, Said, Security, Values

PERSON = Option("person", "button.person")
MENU = Option("menu", "button.menu")
LANGUAGE_OPTIONS = (Option("en", words="English"), Option("pt", words="Português"), Option("es", words="Español"))
PORTS = (Option("465", words="465"), Option("587", words="587"), Option("unknown", "button.dont_know"))
HOSTS = (Option("unknown", "button.dont_know"), PERSON)


def address(text: str, _facts: Facts) -> str | Problem:
    """The person's own mail address."""
    return read_address(text) or Problem("mailbox.no_address")


def host(text: str, _facts: Facts) -> str | Problem:
    """The name of a mail server; a port typed behind it is not needed here."""
    if "@" in text:
        return Problem("mailbox.address_instead_of_server")
    return read_host(re.sub(r":\d{1,5}$", "", text.strip())) or Problem("mailbox.no_server")


def port(text: str, facts: Facts) -> str | Problem:
    """One of the ports on which mail is handed in; "unknown" is the first of them (RFC 8314 §3.3)."""
    allowed = [str(number) for number in facts.house.ports]
    typed = text.strip()
    if typed == "unknown":
        return allowed[0]
    values: Values = {"ports": " / ".join(allowed)}
    if not (typed.isascii() and typed.isdecimal()):
        return Problem("mailbox.port_no_number", values)
    return typed if typed in allowed else Problem("mailbox.port_unusual", values)


def language_of(event: Chose | Said) -> Language | None:
    """The language that was chosen or typed, in whatever language its name was typed; None: it is none of ours."""
    if isinstance(event, Chose):
        return next((one for one in LANGUAGES if one == event.value), None)
    name = command(event.text)
    return LANGUAGE_OF.get(name) if name else None


def security_of(number: int) -> Security:
    """How a port is encrypted: 587 begins in plain and demands STARTTLS, others from the first byte (RFC 8314 §3.3).

    The live test corrects a server that does it otherwise.
    """
    return "starttls" if number == 587 else "tls"  # noqa: PLR2004


def under(host_name: str, of_address: str) -> bool:
    """Whether a host visibly belongs to an address: it is its domain, or under it."""
    domain = of_address.rpartition("@")[2].lower()
    return host_name == domain or host_name.endswith(f".{domain}")
