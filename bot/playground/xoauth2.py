"""How an access token signs in to the sandbox's mail server: XOAUTH2, from the server's side.

https://developers.google.com/gmail/imap/xoauth2-protocol and learn.microsoft.com, "Authenticate an IMAP, POP or SMTP
connection using OAuth": a token that is refused is answered by JSON, the client says an empty line, and only then comes
the refusal.
"""

import json
import re
from collections.abc import Sequence
from typing import Protocol

from pysasl.creds.external import ExternalCredentials
from pysasl.mechanism import ChallengeResponse, ServerChallenge
from pysasl.mechanism.oauth import OAuth2Mechanism

from bot.playground.identity import IMAP_ACCESS, SMTP_SEND

MECHANISM = "XOAUTH2"
# What Exchange Online answers, word for word: a token that it does not take, and a password where there are none.
WRONG_TOKEN = "535 5.7.3 Authentication unsuccessful [SANDBOX.PROD.OUTLOOK.COM]"
NO_PASSWORDS = "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. [SANDBOX.PROD.OUTLOOK.COM]"
_SAID = re.compile(rb"user=([^\x01]{1,254})\x01auth=[Bb]earer ([!-~]{1,4096})\x01\x01")
_ANSWERS = 2  # of a client whose token is refused: the token, and the empty line


class Tokens(Protocol):
    """Who knows which token opens which mailbox. `addresses`: the mailboxes that are opened in no other way."""

    addresses: tuple[str, ...]

    def opens(self, address: str, token: str, scope: str) -> bool:
        """Whether a token opens this mailbox for that."""


def challenge(scope: str) -> bytes:
    """What a refused token is answered by, before base64."""
    return json.dumps({"status": "401", "schemes": "Bearer", "scope": scope}).encode()


def signed_in(said: bytes, tokens: Tokens, scope: str = SMTP_SEND) -> str:
    """The address that signs in with what the client said, decoded; empty: nobody."""
    found = _SAID.fullmatch(said)
    address, token = (part.decode(errors="replace") for part in found.groups()) if found else ("", "")
    return address.lower() if tokens.opens(address, token, scope) else ""


class Admitted(ExternalCredentials):
    """Credentials that were judged already, and found good: `authzid` is in."""


class ForImap(OAuth2Mechanism):
    """The mechanism for pymap, which answers a refused token as it should be answered."""

    def __init__(self, tokens: Tokens) -> None:
        """`tokens` knows which are good."""
        super().__init__()
        self._tokens = tokens

    def server_attempt(self, responses: Sequence[ChallengeResponse]) -> tuple[ExternalCredentials, None]:
        """Admitted, or credentials of nobody. Raises ServerChallenge: the client has to say something first."""
        if not responses:
            raise ServerChallenge(b"")
        if address := signed_in(responses[0].response, self._tokens, IMAP_ACCESS):
            return Admitted(address), None
        if len(responses) < _ANSWERS:
            raise ServerChallenge(challenge(IMAP_ACCESS))
        return ExternalCredentials(""), None
