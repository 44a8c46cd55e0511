"""A person's account at a mail server, and what is no account at all."""

from dataclasses import dataclass

from bot.mail.knowledge.providers import Server
from bot.mail.wire.addresses import normalise

MAX_USER = 320
MAX_SECRET = 1024


class BadCredential(ValueError):
    """A user name or secret that no mail server can have: empty, too long, with control characters."""


@dataclass(frozen=True)
class Account:
    """A person's way to send: address, the user name that signs in, and the server."""

    address: str
    user: str
    server: Server


def check_account(account: Account, secret: str) -> str:
    """The account's address in normal form; raises BadAddress, BadCredential."""
    for value, longest in ((account.user, MAX_USER), (secret, MAX_SECRET)):
        if not 0 < len(value) <= longest:
            raise BadCredential("empty or too long")
    if "\0" in secret or not account.user.isprintable():
        raise BadCredential("with control characters")
    return normalise(account.address)
