"""What the team reads about a case: the provider's facts, and live tests with the words of the mail server."""

from collections.abc import Iterator
from datetime import date

from bot.channels.slack.style import SlackStyle
from bot.mail.knowledge.provider import Provider
from bot.mail.knowledge.redact import redact
from bot.progress import STEPS
from flows.speech import has, sentence
from flows.words import Language, LoginFailed, LoginWorked

_STYLE = SlackStyle()
# Stages that a person sees as part of another one.
_ALSO = {"greeting": "connect", "ehlo": "connect", **dict.fromkeys(("mail_from", "rcpt_to", "data", "final"), "mail")}


def provider_facts(provider: Provider | None, address: str, spoken: Language) -> str:
    """What is known of the provider of an address today."""
    shown = _STYLE.code(address)
    if provider is None:
        return sentence("desk.facts.none", spoken, address=shown)
    return "\n".join(_facts(provider, shown, address, spoken))


def _facts(provider: Provider, shown: str, address: str, spoken: Language) -> Iterator[str]:
    checked = _day(provider.checked)
    yield sentence("desk.facts.who", spoken, provider=_STYLE.plain(provider.name), address=shown, checked=checked)
    for server in provider.servers[:2]:
        when = sentence(f"desk.facts.{server.security}", spoken)
        yield sentence("desk.facts.server", spoken, server=_STYLE.code(server.host), number=str(server.port), when=when)
    user = provider.user_for(address)
    yield sentence("desk.facts.user", spoken, user=_STYLE.code(user)) if user else sentence("desk.facts.asked", spoken)
    yield sentence(f"desk.facts.demand.{provider.demand}", spoken)
    period = provider.policy[0]
    if period.since is not None:
        yield sentence("desk.facts.since", spoken, day=_day(period.since))
    if period.until is not None:
        yield sentence("desk.facts.until", spoken, day=_day(period.until))
    if provider.admin_may_allow is not None:
        yield sentence("desk.facts.allowed", spoken)
    pages = {"app": provider.app_password_url, "access": provider.enable_access_url, "reset": provider.reset_url}
    yield from (sentence(f"desk.facts.page.{name}", spoken, page=page) for name, page in pages.items() if page)
    if provider.limits.messages_a_day is not None:
        yield sentence("desk.facts.a_day", spoken, number=str(provider.limits.messages_a_day))


def _day(day: date) -> str:
    return f"{day:%d.%m.%Y}"


def last_error(outcome: str | None, spoken: Language) -> str:
    """The last live test, as the mail server answered it: "stage: cause: its words"."""
    if not has_failed(outcome):
        return sentence("desk.error.none", spoken)
    stage, cause, raw = _parts(outcome)
    return "\n".join([*_stages(stage, spoken), *_explained(cause, raw, spoken)])


def has_failed(outcome: str | None) -> bool:
    """Whether this is what became of a live test that failed."""
    return has(f"cause.{_parts(outcome)[1]}")


def _parts(outcome: str | None) -> tuple[str, str, str]:
    stage, _, rest = (outcome or "").partition(": ")
    cause, _, raw = rest.partition(": ")
    return stage, cause, raw


def tested(address: str, event: LoginWorked | LoginFailed, words: str, spoken: Language) -> str:
    """A live test, stage by stage. `words`: "stage: cause: the server's words", where it failed."""
    begun = sentence("desk.test.of", spoken, address=_STYLE.code(address))
    if isinstance(event, LoginWorked):
        stages = [_stage("done", one, spoken) for one in STEPS if event.proof or one != "mail"]
        ended = [sentence("desk.test.works", spoken)]
        ended += [sentence(f"desk.test.proof.{event.proof}", spoken)] if event.proof else []
        return "\n".join([begun, *stages, *ended])
    stage, _, rest = words.partition(": ")
    return "\n".join([begun, *_stages(stage, spoken), *_explained(event.cause, rest.partition(": ")[2], spoken)])


def _stages(stage: str, spoken: Language) -> list[str]:
    """The stages up to the one that failed; nothing where it is none of them."""
    step = _ALSO.get(stage) or next((name for name, stages in STEPS.items() if stage in stages), "")
    if not step:
        return []
    names = list(STEPS)
    return [*(_stage("done", one, spoken) for one in names[: names.index(step)]), _stage("failed", step, spoken)]


def _stage(sign: str, step: str, spoken: Language) -> str:
    return sentence(f"desk.test.{sign}", spoken, what=sentence(f"slack.stage.{step}", spoken))


def _explained(cause: str, raw: str, spoken: Language) -> list[str]:
    name = f"cause.{cause}" if has(f"cause.{cause}") else "desk.error.unexplained"
    said = [sentence("desk.error.means", spoken, cause=_STYLE.code(cause), words=sentence(name, spoken))]
    return [*said, sentence("desk.error.raw", spoken, raw=_STYLE.code(redact(raw)))] if raw else said
