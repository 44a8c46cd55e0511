"""The key that Ally gives as the password at our door: made once, shown once, and known by its hash only.

It is written in groups of lower-case letters and digits that nobody mixes up, so that it can be typed from a phone.
"""

import secrets

from bot.vault import Secret, token_hash

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # without 0, 1, i, l and o; 31 signs
GROUPS, GROUP = 7, 4  # 28 signs: 138 random bits


def make() -> tuple[Secret, str]:
    """A new key and its hash."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP)) for _ in range(GROUPS))
    clear = "-".join(groups)
    return Secret(clear), hash_of(clear)


def hash_of(typed: str) -> str:
    """The hash of a key as somebody typed it: with or without its dashes, with blanks, in capitals."""
    bare = "".join(sign for sign in typed.lower() if sign not in " -\t\r\n")
    return token_hash(bare.encode("utf-8", "replace").decode())  # whatever bytes came in over the wire
