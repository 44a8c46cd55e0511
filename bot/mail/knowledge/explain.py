"""Why it does not work, and who can do something about it: rules as data, in `causes.yaml` and `replies.yaml`."""

import re
import smtplib
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, TypeAdapter

Who = Literal["user", "agency_admin", "provider", "wait", "us"]
Stage = Literal[
    "input",
    "dns",
    "connect",
    "tls",
    "greeting",
    "ehlo",
    "starttls",
    "auth",
    "mail_from",
    "rcpt_to",
    "data",
    "post_data",
]

_FOLDER = Path(__file__).parent
_STRICT = ConfigDict(extra="forbid")
_MAX_TEXT = 16_384
_ENHANCED = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_CODE = re.compile(r"^\s*([2-5]\d\d)(?=[ \-]|$)")


@dataclass(frozen=True)
class Cause:
    """One reason of the closed list, with what follows from it where nothing more precise is known."""

    __pydantic_config__ = _STRICT

    meaning: str
    who: Who
    retry: bool
    blames_secret: bool


@dataclass(frozen=True)
class Diagnosis:
    """The cause's name, who can act, whether the same try may succeed later, whether the secret is useless."""

    cause: str
    who: Who
    retry: bool
    blames_secret: bool


@dataclass(frozen=True)
class Failure:
    """What is known of one failure: where, the reply's code, and the text (`provider` is a provider's family)."""

    stage: Stage | None
    text: str
    code: int | None = None
    provider: str | None = None

    @classmethod
    def of(cls, error: BaseException, stage: Stage, provider: str | None = None) -> "Failure":
        """The failure that an exception of the sockets, TLS, DNS or smtplib tells of."""
        if isinstance(error, smtplib.SMTPResponseException):
            return cls.of_reply(error.smtp_code, error.smtp_error, stage, provider)
        return cls(stage, f"{type(error).__name__}: {error}", None, provider)

    @classmethod
    def of_reply(cls, code: int, reply: bytes | str, stage: Stage, provider: str | None = None) -> "Failure":
        """The failure that a server's reply tells of; -1 is what smtplib says of a reply without a code."""
        text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
        known = code if code > 0 else None
        return cls(stage, f"{known or ''} {_joined(text)}".strip(), known, provider)


@dataclass(frozen=True)
class _Rule:
    __pydantic_config__ = _STRICT

    cause: str
    match: str | None = None
    family: str | None = None
    stage: Stage | tuple[Stage, ...] | None = None
    enhanced: str | None = None
    code: str | None = None
    who: Who | None = None
    retry: bool | None = None

    def applies(self, failure: Failure, text: str, code: str, enhanced: str) -> bool:
        stages = (self.stage,) if isinstance(self.stage, str) else self.stage
        return (
            (self.match is None or self.match in text)
            and (stages is None or failure.stage in stages)
            and (self.code is None or code.startswith(self.code))
            and (self.enhanced is None or enhanced == self.enhanced)
        )


def explain(failure: Failure) -> Diagnosis:
    """The most precise diagnosis that the rules have; where none applies, a passing trouble of the server."""
    text = _joined(failure.text[:_MAX_TEXT]).lower()
    code = str(failure.code) if failure.code else _first(_CODE, text)
    enhanced = _first(_ENHANCED, text)
    for rules in _passes(failure.provider):
        for rule in rules:
            if rule.applies(failure, text, code, enhanced):
                return _diagnosis(rule)
    return _diagnosis(_Rule("server_temporary_failure", who="us"))


@cache
def causes() -> dict[str, Cause]:
    """The closed list, by name."""
    return TypeAdapter(dict[str, Cause]).validate_python(_load("causes.yaml"))


@cache
def _rules() -> tuple[_Rule, ...]:
    return TypeAdapter(tuple[_Rule, ...]).validate_python(_load("replies.yaml")["rules"])


@lru_cache(maxsize=64)
def _passes(family: str | None) -> tuple[tuple[_Rule, ...], ...]:
    """The rules in the order in which they are asked."""
    rules = _rules()
    bare = [rule for rule in rules if rule.match is None and rule.family is None]
    return (
        tuple(rule for rule in rules if rule.family is not None and rule.family == family),
        tuple(rule for rule in rules if rule.match is not None),
        tuple(rule for rule in bare if rule.enhanced is not None),
        tuple(rule for rule in bare if rule.enhanced is None),
    )


def _diagnosis(rule: _Rule) -> Diagnosis:
    cause = causes()[rule.cause]
    return Diagnosis(
        rule.cause,
        rule.who or cause.who,
        cause.retry if rule.retry is None else rule.retry,
        cause.blames_secret,
    )


def _joined(text: str) -> str:
    """The lines of a reply as one, without the codes that every line repeats (535-5.7.8 …)."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    prefix = re.match(r"(?:[245]\d\d[ -])?(?:[245]\.\d{1,3}\.\d{1,3} )?", lines[0])
    repeated = prefix[0].replace("-", " ") if prefix else ""
    rest = (line[len(repeated) :] if line.replace("-", " ").startswith(repeated) else line for line in lines[1:])
    return " ".join([lines[0], *rest])


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""


def _load(name: str) -> Any:
    return yaml.safe_load((_FOLDER / name).read_bytes())
