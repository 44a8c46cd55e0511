"""How the stand-in for Twilio fetches the file of a message: by HEAD, then by GET, and refused where it is none.

https://www.twilio.com/docs/messaging/guides/accepted-mime-types and
https://www.twilio.com/docs/whatsapp/guidance-whatsapp-media-messages: the Content-Type decides; 16 MB, pictures 5 MB.
"""

import re

import requests

TIMEOUT = 15.0  # seconds
NOT_FETCHED, WRONG_TYPE = 63019, 12300  # https://www.twilio.com/docs/api/errors
MAX_FILE, MAX_IMAGE = 16 * 1024 * 1024, 5 * 1024 * 1024
TAKEN = frozenset(
    {
        "image/jpeg", "image/png", "image/webp", "audio/ogg", "audio/amr", "audio/3gpp", "audio/aac", "audio/mpeg",
        "audio/mp4", "video/mp4", "video/3gpp", "application/pdf", "application/msword", "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint", "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation", "text/vcard",
    }
)  # fmt: skip
_NAME = re.compile(r'filename="([^"]*)"')


class NoMedia(Exception):
    """The message fails with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


def fetched(url: str) -> tuple[str, str, bytes]:
    """Type, name and bytes of the file at an address. Raises NoMedia."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            told = session.head(url, timeout=TIMEOUT, allow_redirects=True)
            answer = session.get(url, timeout=TIMEOUT, allow_redirects=True)
        except requests.RequestException:
            raise NoMedia(NOT_FETCHED) from None
    if (told.status_code, answer.status_code) != (200, 200) or not answer.content:
        raise NoMedia(NOT_FETCHED)
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in TAKEN or told.headers.get("Content-Type") != answer.headers.get("Content-Type"):
        raise NoMedia(WRONG_TYPE)
    if len(answer.content) > (MAX_IMAGE if kind.startswith("image/") else MAX_FILE):
        raise NoMedia(NOT_FETCHED)
    name = _NAME.search(answer.headers.get("Content-Disposition", ""))
    return kind, name[1] if name else "", answer.content
