"""The way to Twilio's REST API: the SDK's HTTP client without its habits, and what it means when a request fails."""

import json
import logging
import re
import threading
from typing import Any

from requests import ConnectTimeout, RequestException
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.http.http_client import TwilioHttpClient
from urllib3.exceptions import NewConnectionError

from bot.channels import Later, Refused, SendError, Unclear
from bot.channels.whatsapp.codes import TOO_EARLY, fate
from bot.channels.whatsapp.hosts import rewritten

EARLIEST_ERASE = 60.0  # seconds, https://www.twilio.com/docs/api/errors/20009
OPERATOR_WAIT = 300.0  # seconds: time to set an account or a sender right before the message is tried again
LONGEST_WAIT = 3600.0  # seconds: what a Retry-After may ask of us
TOO_MANY = 429
SERVER_FAULT = 500
UNAVAILABLE = 503

_PERSONAL = re.compile(r"whatsapp:\S+|\+?\d{7,}")
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)  # at DEBUG it writes addresses with numbers in them


class Wire(TwilioHttpClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's HTTP client, with a time limit, an address that can be changed, and no word in any log."""

    def __init__(self, api_url: str, timeout: float) -> None:
        self._last = threading.local()
        super().__init__(timeout=timeout)
        self._api_url = api_url
        if api_url:
            self.session.trust_env = False  # a stand-in on this machine is reached directly, whatever proxy is set

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        """One request, to the other base if there is one."""
        self._last.retry_after = None
        response = super().request(method, rewritten(url, self._api_url), *args, **kwargs)
        self._last.retry_after = response.headers.get("Retry-After")
        self._last.response = None
        return response

    # The SDK writes each answer to this attribute and then returns what it reads there: with two threads, the answer
    # to the other one's message. And it would keep the last request, with a person's words, in memory.

    @property
    def _test_only_last_response(self) -> Any:
        return getattr(self._last, "response", None)

    @_test_only_last_response.setter
    def _test_only_last_response(self, response: Any) -> None:
        self._last.response = response

    @property
    def _test_only_last_request(self) -> None:
        return None

    @_test_only_last_request.setter
    def _test_only_last_request(self, request: Any) -> None:
        """Not kept."""

    def retry_after(self) -> float | None:
        """Seconds that the last answer of this thread asked us to wait, within bounds."""
        stated = getattr(self._last, "retry_after", None) or ""
        return min(float(stated), LONGEST_WAIT) if stated.isascii() and stated.isdigit() else None

    def log_request(self, kwargs: dict[str, Any]) -> None:
        """Nothing: the SDK would write addresses and headers."""

    def log_response(self, status_code: int, response: Any) -> None:
        """Nothing."""

    def close(self) -> None:
        """Close the pooled connections."""
        self.session.close()


def failed(error: TwilioException | RequestException, seconds: float | None) -> SendError:
    """What a request's failure means: Refused, Later or Unclear, free of the request's content.

    `seconds`: what the answer asked us to wait, if there was one and it did.
    """
    match error:
        case TwilioRestException():
            return _refusal(error.status, error.code, error.msg, seconds)
        case TwilioServiceException():
            return _refusal(error.status, error.code, error.title, seconds)
        case TwilioException():
            return _no_list(error, seconds)
        case _:
            return _broken(error)


def _refusal(status: int, code: int | None, text: str, seconds: float | None) -> SendError:
    """What Twilio's answer means: by its code where we know it, else by its HTTP status."""
    name = str(code or status)
    words = _PERSONAL.sub("(hidden)", text)[:200]
    kind = fate(name)
    if name == TOO_EARLY:
        return Later(name, words, seconds or EARLIEST_ERASE)
    if kind == "operator":
        return Later(name, words, seconds or OPERATOR_WAIT)
    if kind == "later" or status in (TOO_MANY, UNAVAILABLE):
        return Later(name, words, seconds)
    if status >= SERVER_FAULT or status < 400:  # noqa: PLR2004 - neither taken for sure nor refused
        return Unclear(name, words)
    return Refused(name, words, stop=kind == "stop")


def _no_list(error: TwilioException, seconds: float | None) -> SendError:
    """Of a list that is not given the SDK only says so (`Page.process_response`), and hands on Twilio's answer."""
    answer: Any = error.args[1] if len(error.args) > 1 else None
    status = getattr(answer, "status_code", SERVER_FAULT)
    try:
        code = json.loads(answer.text)["code"]
    except (ValueError, KeyError, TypeError, AttributeError):
        code = None
    return _refusal(status, code, "the list is not given", seconds)


def _broken(error: RequestException) -> SendError:
    """No answer. Without a connection nothing has left; in every other case it may have."""
    cause = error.args[0] if error.args else None
    never_left = isinstance(error, ConnectTimeout) or isinstance(getattr(cause, "reason", None), NewConnectionError)
    name = type(error).__name__
    return Later(name, "Twilio cannot be reached") if never_left else Unclear(name, "Twilio did not answer")
