"""Domain names as people and tables write them."""

import re
from collections.abc import Iterator

import idna

DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.(?!-)[a-z0-9-]{1,63})*\.[a-z][a-z0-9-]{0,62}")
_MAX_DOMAIN = 253  # RFC 1035, 2.3.4
_MAX_ADDRESS = 400
_BLANKS = re.compile(r"[\s\u00a0]+")
_PLAIN = re.compile(r"[a-z0-9.-]+")


def domain_of(text: str) -> str | None:
    """The domain of an address or bare domain as people type it, in ASCII and lower case; None where there is none."""
    bare = text[: _MAX_ADDRESS + 1].strip().strip("<>")
    if len(bare) > _MAX_ADDRESS or _BLANKS.search(bare):
        return None
    domain = in_ascii(bare.rpartition("@")[2])
    return domain if DOMAIN.fullmatch(domain) else None


def in_ascii(name: str) -> str:
    """A domain name as it stands in the table: ASCII, lower case, no final dot; unchanged where it is none."""
    bare = name[: 2 * _MAX_DOMAIN].strip().rstrip(".")
    if _PLAIN.fullmatch(bare):  # nearly all are; there is nothing to be changed about them
        return bare
    try:
        return idna.encode(bare, uts46=True).decode("ascii")
    except idna.IDNAError:
        return bare.lower()


def above(domain: str) -> Iterator[str]:
    """The domains above this one, the nearest first."""
    while "." in domain:
        domain = domain.partition(".")[2]
        yield domain
