"""Why it does not work, and who can do something about it: rules as data, in `causes.yaml` and `replies.yaml`."""

import smtplib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, TypeAdapter

from bot.mail.knowledge import tables
from bot.mail.knowledge.clues import (
    Stage,
    family_named,
    family_of,
    family_of_addresses,
    provider_word,
    stage_named,
    stage_of,
)
from bot.mail.knowledge.pasted import Codes, codes, unwrapped

__all__ = ["Cause", "Diagnosis", "Explained", "Failure", "Stage", "Who", "causes", "explain", "explain_text"]

Who = Literal["user", "agency_admin", "provider", "wait", "us"]

_FOLDER = Path(__file__).parent
_STRICT = ConfigDict(extra="forbid")
# Replies that name the address of somebody whose server did not speak
_NAMES_OTHERS = frozenset({"sender_not_allowed", "relay_denied_auth_required"})
_NO_GOOD = "wrong_credentials"
_MOST_LOOKS = 20  # at the same word in one text
_MOST_CAUSES = 3  # exceptions that are told of, from one that was raised from another


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
class Explained(Diagnosis):
    """The diagnosis of a pasted text, and what the text tells of where it comes from.

    `provider`: gmail, microsoft, yahoo, icloud, zoho, other or unknown; `family` as in `providers.yaml`, or None.
    `stage` and `code` are what the text (or the caller) says of them, or None.
    """

    provider: str
    family: str | None
    stage: Stage | None
    code: int | None


@dataclass(frozen=True)
class Failure:
    """What is known of one failure: where, the reply's code, and the text (`provider` is a provider's family).

    `by_token`: who failed had signed in with an access token, not with a password.
    """

    stage: Stage | None
    text: str
    code: int | None = None
    provider: str | None = None
    by_token: bool = False

    @classmethod
    def of(cls, error: BaseException, stage: Stage, provider: str | None = None) -> "Failure":
        """The failure that an exception of the sockets, TLS, DNS, smtplib or imaplib tells of."""
        if isinstance(error, smtplib.SMTPResponseException):
            return cls.of_reply(error.smtp_code, error.smtp_error, stage, provider)
        if isinstance(error, smtplib.SMTPRecipientsRefused) and error.recipients:
            return cls.of_reply(*next(iter(error.recipients.values())), "rcpt_to", provider)
        return cls(stage, " ".join(f"{type(each).__name__}: {each}" for each in _chain(error)), None, provider)

    @classmethod
    def of_reply(cls, code: int, reply: bytes | str, stage: Stage, provider: str | None = None) -> "Failure":
        """The failure that a server's reply tells of; -1 is what smtplib says of a reply without a code."""
        text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
        known = code if code > 0 else None
        lines = " ".join(line.strip() for line in text.splitlines() if line.strip())
        return cls(stage, f"{known or ''} {lines}".strip(), known, provider)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from; the first cause says more than what a library made of it."""
    for _ in range(_MOST_CAUSES):
        yield error
        if error.__cause__ is None:
            return
        error = error.__cause__


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


_Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]


@dataclass(frozen=True)
class _Rule:
    __pydantic_config__ = _STRICT

    cause: str
    match: _Words = ()
    also: _Words = ()
    without: _Words = ()
    near: int | None = None
    stage: _Words = ()
    enhanced: _Words = ()
    code: str | None = None
    family: str | None = None
    only: bool = False
    last: bool = False
    who: Who | None = None
    retry: bool | None = None
    blames_secret: bool | None = None

    def applies(self, text: str, stage: str | None, found: Codes) -> bool:
        """Whether everything that the rule names agrees; the text is an unwrapped one."""
        return (
            (not self.stage or stage in self.stage)
            and (self.code is None or str(found.code or "").startswith(self.code))
            and (not self.enhanced or found.enhanced in self.enhanced)
            and (not self.match or any(part in text for part in self.match))
            and (not self.also or any(part in text for part in self.also))
            and not any(part in text for part in self.without)
            and (self.near is None or any(self._has(around) for around in self._surroundings(text, self.near)))
        )

    def _has(self, text: str) -> bool:
        return any(part in text for part in self.also)

    def _surroundings(self, text: str, reach: int) -> Iterator[str]:
        """What stands around the words of `match`: a noun of one sentence says nothing with a verb of another."""
        for part in self.match:
            at = text.find(part)
            for _ in range(_MOST_LOOKS):
                if at < 0:
                    break
                yield text[max(0, at - reach) : at + len(part) + reach]
                at = text.find(part, at + 1)

    @property
    def turn(self) -> int:
        """When it is asked: texts, enhanced codes, codes, common words, bare stages."""
        if self.last:
            return 3
        if self.match:
            return 0
        return 1 if self.enhanced else 2 if self.code else 4


@dataclass(frozen=True)
class _Group:
    __pydantic_config__ = _STRICT

    source: str
    rules: tuple[_Rule, ...]
    family: str | None = None


def explain(failure: Failure) -> Diagnosis:
    """The most precise diagnosis that the rules have; where none applies, a passing trouble of the server."""
    text = unwrapped(failure.text)
    found = codes(text)
    rule = _rule(text, failure.stage, found._replace(code=failure.code or found.code), failure.provider)
    return _of_token(_diagnosis(rule)) if failure.by_token else _diagnosis(rule)


def _of_token(found: Diagnosis) -> Diagnosis:
    """Servers refuse tokens in the words that they have for passwords; "make an app password" is no advice then."""
    return replace(found, cause=_NO_GOOD, who=causes()[_NO_GOOD].who) if found.blames_secret else found


def explain_text(
    text: str, *, provider: str | None = None, host: str | None = None, stage: str | None = None
) -> Explained:
    """What a text means that somebody pasted: a reply, a traceback, a dialog, a bounce, in any wrapping.

    `provider` may be a word of `provider_word`, a family, or an id of `providers.yaml`; `host` the server's name;
    `stage` one of `Stage` (any other word is as good as none). What is not given is read from the text.
    """
    words = unwrapped(text)
    found = codes(words)
    family = family_named(provider) or family_of(words, host)
    where = stage_named(stage) or stage_of(words)
    known = _diagnosis(_rule(words, where, found, family or family_of_addresses(words)))
    if known.cause not in _NAMES_OTHERS:
        family = family or family_of_addresses(words)
    return Explained(
        known.cause,
        known.who,
        known.retry,
        known.blames_secret,
        provider_word(family),
        family,
        where,
        found.code,
    )


@cache
def causes() -> dict[str, Cause]:
    """The closed list, by name."""
    return TypeAdapter(dict[str, Cause]).validate_python(_load("causes.yaml"))


@cache
def _rules() -> tuple[_Rule, ...]:
    groups = TypeAdapter(tuple[_Group, ...]).validate_python(_load("replies.yaml")["groups"])
    return tuple(_of_group(rule, group) for group in groups for rule in group.rules)


def _of_group(rule: _Rule, group: _Group) -> _Rule:
    return rule if rule.family or not group.family else _replaced(rule, group.family)


def _replaced(rule: _Rule, family: str) -> _Rule:
    return _Rule(**{**vars(rule), "family": family})


@lru_cache(maxsize=64)
def _passes(family: str | None) -> tuple[tuple[_Rule, ...], ...]:
    """The rules in the order in which they are asked: the family's own, then all that may speak for anybody."""
    common = [rule for rule in _rules() if not rule.only]
    own = tuple(rule for rule in _rules() if rule.family is not None and rule.family == family and not rule.last)
    return (own, *(tuple(rule for rule in common if rule.turn == turn) for turn in range(5)))


def _rule(text: str, stage: str | None, found: Codes, family: str | None) -> _Rule:
    for rules in _passes(family):
        for rule in rules:
            if rule.applies(text, stage, found):
                return rule
    return _Rule("server_temporary_failure", who="us")


def _diagnosis(rule: _Rule) -> Diagnosis:
    cause = causes()[rule.cause]
    return Diagnosis(
        rule.cause,
        rule.who or cause.who,
        cause.retry if rule.retry is None else rule.retry,
        cause.blames_secret if rule.blames_secret is None else rule.blames_secret,
    )


def _load(name: str) -> Any:
    return tables.read((_FOLDER / name).read_bytes())
