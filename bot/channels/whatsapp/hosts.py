"""Where the requests for Twilio's hosts go: there, or to a stand-in for all of them."""

from urllib.parse import urlsplit


def rewritten(url: str, api_url: str) -> str:
    """`url` on the base `api_url` (without a slash at its end), if there is one.

    The host api.twilio.com is the root of that base; of every other host the first part of its name is the first part
    of the path: content.twilio.com/v1 becomes /content/v1, mms.twiliocdn.com/x becomes /mms/x.
    """
    if not api_url:
        return url
    parts = urlsplit(url)
    product = (parts.hostname or "").split(".")[0]
    prefix = "" if product == "api" else f"/{product}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{api_url}{prefix}{parts.path}{query}"
