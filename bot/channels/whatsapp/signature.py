"""Twilio's signature under a webhook: HMAC-SHA1 over the address and the form, keyed with the primary auth token.

There is no time and no nonce in it (https://www.twilio.com/docs/usage/webhooks/webhooks-security): a captured request
stays genuine for ever, and only the unique message id stops it.
"""

import hmac
from collections.abc import Mapping
from functools import lru_cache

from twilio.request_validator import RequestValidator


def genuine(url: str, form: Mapping[str, str], header: str | None, auth_token: str) -> bool:
    """Whether Twilio signed this POST. Never raises; without a header or a token nothing is genuine.

    `url` is the address as Twilio called it: the configured public base, the raw path and the raw query - never one
    put together from forwarded headers, nor an un-escaped one. `form` is the parsed body (a MultiDict is read in full).
    """
    if not header or not auth_token:
        return False
    try:
        validator = _validator(auth_token)
        # Nearly always it is our address as it stands; the library tries it with and without a port, at twice the cost.
        expected = validator.compute_signature(url, form)
        return hmac.compare_digest(expected, header) or bool(validator.validate(url, form, header))
    except (TypeError, ValueError):  # an address that cannot be parsed, text that cannot be encoded
        return False


@lru_cache(maxsize=4)
def _validator(auth_token: str) -> RequestValidator:
    return RequestValidator(auth_token)


def sign(url: str, form: Mapping[str, str], auth_token: str) -> str:
    """The signature that Twilio would send with this POST. Raises ValueError for an empty token."""
    if not auth_token:
        raise ValueError("Nothing can be signed with an empty auth token.")
    return str(RequestValidator(auth_token).compute_signature(url, form))
