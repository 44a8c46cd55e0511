"""Autoconfig: the file in which a mail provider tells programs its servers (draft-ietf-mailmaint-autoconfig).

The file comes from a stranger: a document type, and with it every entity, is refused; size, depth and number of
elements are bounded; a server without encryption is not offered to anybody.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from bot.mail.knowledge.provider import Security, Server
from bot.mail.wire.fetch import MAX_BODY
from bot.mail.wire.guard import BadHost, ascii_host

_MAX_DEPTH = 16
_MAX_ELEMENTS = 1_000
_MAX_SERVERS = 4
_MAX_USER = 320
_SECURITY: Final[dict[str, Security]] = {"ssl": "tls", "starttls": "starttls"}
_PASSWORD = frozenset({"password-cleartext", "plain", "password-encrypted", "secure"})  # with the two old names
_OAUTH = frozenset({"oauth2"})
_PLACEHOLDER = re.compile(r"%[A-Z]+%")
_PORT = re.compile(r"[0-9]{1,5}")
_USER = re.compile(r"[^\x00-\x20\x7f]+")


class BadConfig(ValueError):
    """Not a file of autoconfig, or one that is not read to its end. The text is for staff."""


@dataclass(frozen=True)
class Offer:
    """One way in that the file names: server, user name, and whether it takes OAuth and no password."""

    server: Server
    user: str
    oauth_only: bool


@dataclass(frozen=True)
class Config:
    """The encrypted servers of a file, best first: those that take a password before those that want OAuth."""

    smtp: tuple[Offer, ...]
    imap: tuple[Offer, ...]


def urls(address: str) -> tuple[str, str]:
    """Where an address's domain may hold its file: its own host for it, and the well-known path.

    The @ is percent-encoded and the dot never: one large provider fails otherwise.
    """
    domain = address.rpartition("@")[2]
    return (
        f"https://autoconfig.{domain}/mail/config-v1.1.xml?emailaddress={quote(address, safe='')}",
        f"https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml",
    )


def read(xml: bytes, address: str) -> Config:
    """The servers that the file names for `address`; raises BadConfig. Hosts are well-formed, but not judged yet."""
    root = _tree(xml)
    provider = root.find("emailProvider")
    if root.tag != "clientConfig" or provider is None:
        raise BadConfig("not a file of autoconfig")
    return Config(
        smtp=_best_first(_offers(provider.iterfind("outgoingServer[@type='smtp']"), address)),
        imap=_best_first(_offers(provider.iterfind("incomingServer[@type='imap']"), address)),
    )


def _tree(xml: bytes) -> Element:
    if len(xml) > MAX_BODY:
        raise BadConfig("too large")
    growing = _Growing()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = growing.start
    parser.EndElementHandler = growing.end
    parser.CharacterDataHandler = growing.builder.data
    try:
        parser.Parse(xml, True)  # noqa: FBT003 - expat takes it by position only
    except (expat.ExpatError, LookupError) as error:  # LookupError: an encoding that nobody knows
        raise BadConfig(f"not XML ({type(error).__name__})") from None
    return growing.builder.close()


def _refuse_doctype(*_: object) -> None:
    raise BadConfig("a document type")


class _Growing:
    """The tree while it is read, within its bounds."""

    def __init__(self) -> None:
        self.builder = TreeBuilder()
        self._depth = 0
        self._elements = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > _MAX_DEPTH or self._elements > _MAX_ELEMENTS:
            raise BadConfig("too many elements")
        self.builder.start(tag, attributes)

    def end(self, tag: str) -> None:
        self._depth -= 1
        self.builder.end(tag)


def _best_first(offers: Iterator[Offer]) -> tuple[Offer, ...]:
    return tuple(sorted(offers, key=lambda offer: offer.oauth_only))[:_MAX_SERVERS]  # sorted keeps the file's order


def _offers(servers: Iterator[Element], address: str) -> Iterator[Offer]:
    """What can be used of the servers: the rest is left out without a word, as other programs do."""
    for element in servers:
        security = _SECURITY.get(_text(element, "socketType").lower())
        port = _PORT.fullmatch(_text(element, "port"))
        ways = {(way.text or "").strip().lower() for way in element.iterfind("authentication")}
        takes_password = not ways or bool(ways & _PASSWORD)
        host = _host(_filled(_text(element, "hostname"), address))
        if security and port and host and (takes_password or ways & _OAUTH):
            yield Offer(Server(host, int(port[0]), security), _user(element, address), not takes_password)


def _host(text: str) -> str | None:
    try:
        return ascii_host(text)
    except BadHost:
        return None


def _user(element: Element, address: str) -> str:
    """The user name; the whole address where the file has none that we can fill in."""
    user = _filled(_text(element, "username"), address)
    usable = _USER.fullmatch(user) and len(user) <= _MAX_USER and not _PLACEHOLDER.search(user)
    return user if usable else address


def _filled(text: str, address: str) -> str:
    local, _, domain = address.rpartition("@")
    values = {"%EMAILADDRESS%": address, "%EMAILLOCALPART%": local, "%EMAILDOMAIN%": domain}
    return _PLACEHOLDER.sub(lambda found: values.get(found[0], found[0]), text)


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()
