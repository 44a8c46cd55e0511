"""A person's account at a mail server, and what is no account at all."""

import re
from dataclasses import dataclass, field

from bot.mail.knowledge.provider import Server
from bot.mail.wire.addresses import BadAddress, normalise

MAX_USER = 320
MAX_SECRET = 1024
MAX_TOKEN = 8192  # Google's have at most 2,048 bytes, Microsoft's two to four thousand; base64 makes 4 of 3
# RFC 6749 A.12, without the blank: nothing in it can end a field of XOAUTH2 or a header
_TOKEN = re.compile(r"[!-~]+")


class BadCredential(ValueError):
    """A user name or secret that no mail server can have: empty, too long, with control characters."""


@dataclass(frozen=True)
class Token:
    """An access token (RFC 6749 1.4), which signs in where a password would; it stands in no `repr`."""

    value: str = field(repr=False)


Secret = str | Token


@dataclass(frozen=True)
class Account:
    """A person's way to send: address, the user name that signs in, and the server."""

    address: str
    user: str
    server: Server


def plain(secret: Secret) -> str:
    """The letters of a password or token, for what hides them."""
    return secret.value if isinstance(secret, Token) else secret


def check_account(account: Account, secret: Secret) -> str:
    """The account's address in normal form; raises BadAddress, BadCredential."""
    longest = MAX_TOKEN if isinstance(secret, Token) else MAX_SECRET
    for value, most in ((account.user, MAX_USER), (plain(secret), longest)):
        if not 0 < len(value) <= most:
            raise BadCredential("empty or too long")
    if "\0" in plain(secret) or not account.user.isprintable():
        raise BadCredential("with control characters")
    if isinstance(secret, Token):
        _check_token(account.user, secret)
    return normalise(account.address)


def _check_token(user: str, token: Token) -> None:
    """The user of a token is an address: in XOAUTH2 its name stands between control characters that part the fields."""
    if not _TOKEN.fullmatch(token.value):
        raise BadCredential("no token")
    try:
        normal = normalise(user)
    except BadAddress:
        raise BadCredential("a token is for an address") from None
    if normal.lower() != user.lower():  # with blanks or brackets around it
        raise BadCredential("a token is for an address")
