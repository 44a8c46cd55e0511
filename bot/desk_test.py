"""What the team wants of the world: a live test, and that what they fill in is done once they are known to be staff."""

from dataclasses import replace
from uuid import UUID

import structlog

from bot.channels import SendError
from bot.credentials import try_account
from bot.desk_facts import tested
from bot.desk_open import OPEN
from bot.grants import NotNowError
from bot.handiwork import LEASES, Again, DeskParts, Ended, Outcome, Tools, backoff, look
from bot.limits import Exhausted
from bot.live_tests import count_test
from bot.mail.wire.probe import Failed
from bot.proofs import Proving, TakenError, prove
from bot.store import cases, conversations, mailboxes, promises, secrets
from bot.store.conversations import Held
from bot.store.engine import Connection, Row, reading
from bot.store.promises import Promise
from bot.vault import Unopenable
from flows import saved
from flows.remedies import SECRET_CAUSES
from flows.speech import sentence
from flows.words import (
    LoginFailed,
    LoginWorked,
    MailboxBroke,
    MailboxWorks,
    News,
    Server,
    TestLogin,
)

_log = structlog.get_logger(__name__)


def desk_test(tools: Tools, promise: Promise) -> Outcome:
    """Test a saved mailbox for the team: within everybody's limits, and told to the team only."""
    wanted: TestLogin = saved.load(promise.payload["effect"])
    held, desk = look(tools, promise), tools.desk
    if held is None or desk is None:
        return Ended("dropped")
    if promise.attempt == 1:
        counted = count_test(tools, held, wanted.account)
        if isinstance(counted, Exhausted):
            return _only_noted(tools, desk, held, "desk.test.exhausted", minutes=str(counted.minutes))
    try:
        outcome = _tested(tools, promise, wanted, held)
    except Unopenable:
        return _only_noted(tools, desk, held, "desk.test.nothing")
    except NotNowError as away:
        return Again(backoff(promise.attempt, away.seconds), str(away))
    except TakenError:
        return Again(LEASES[promise.lane].total_seconds(), "another process tests it")
    if not isinstance(outcome, Ended) or not isinstance(outcome.event, LoginWorked | LoginFailed):
        return outcome
    return _judged(tools, desk, promise, held, outcome)


def desk_use(tools: Tools, promise: Promise) -> Outcome:
    """What was filled in for the person, or decided about them: only by somebody of the team."""
    held, desk, of = look(tools, promise), tools.desk, promise.payload
    if held is None or desk is None:
        return Ended("dropped")
    to = of["given"].get("user", "") if of["what"] == "assign" else ""
    try:
        of_us, of_us_too = desk.staff.has(of["by"]), not to or desk.staff.has(to)
    except SendError as failure:  # Slack does not say who is of the team
        return Again(backoff(promise.attempt), str(failure))
    if not of_us:
        _log.warning("somebody who is not of the team wanted to do something at the desk", what=of["what"], by=of["by"])
        return _only_noted(tools, desk, held, "desk.why.stranger")
    if not of_us_too:
        return _only_noted(tools, desk, held, "desk.assign.stranger", by=f"<@{of['by']}>", owner=f"<@{to}>")

    def along(db: Connection) -> bool:
        if of["what"] == OPEN:
            return desk.opener.proven(db, held.id, of["given"], of["by"])
        desk.tools.proven(db, of["case"], of["what"], of["given"], of["by"])
        return True

    return Ended(along=along)


def _tested(tools: Tools, promise: Promise, wanted: TestLogin, held: Held) -> Outcome:
    account, secret_id = wanted.account, UUID(wanted.secret_id)
    result = try_account(tools, account, secret_id)
    if isinstance(result, Failed):
        event = LoginFailed(result.cause, result.who, result.retry)
        return Ended(event=event, words=f"{result.stage}: {result.cause}: {result.raw}")
    worked = replace(account, server=Server(result.server.host, result.server.port, result.server.security))
    if not wanted.mail:
        return Ended(event=LoginWorked(worked, result.repaired, size=result.size))
    return prove(Proving(tools, promise, held, worked, secret_id, result.repaired, result.size))


def _only_noted(tools: Tools, desk: DeskParts, held: Held, name: str, **values: str) -> Ended:
    def along(db: Connection) -> bool:
        return _noted(tools, desk, db, held, sentence(name, desk.casework.spoken(db), **values))

    return Ended(along=along)


def _judged(tools: Tools, desk: DeskParts, promise: Promise, held: Held, outcome: Ended) -> Ended:
    """The team reads it stage by stage; the mailbox's verdict follows, and its person hears if that is another one."""
    event = outcome.event
    with reading(tools.engine) as db:
        row = mailboxes.of_member(db, UUID(promise.payload["member"]))
    mine = row if row is not None and row.version == promise.payload["version"] else None
    news = _news(event, mine)

    def along(db: Connection) -> bool:
        text = ""
        if isinstance(event, LoginWorked | LoginFailed):
            text = tested(_address(promise), event, outcome.words, desk.casework.spoken(db))
        _noted(tools, desk, db, held, text)
        return mine is not None and _settled(tools, db, held, mine, event, news)

    return Ended(event=news, words=outcome.words, along=along)


def _address(promise: Promise) -> str:
    wanted: TestLogin = saved.load(promise.payload["effect"])
    return wanted.account.address


def _news(event: object, row: Row | None) -> News | None:
    """What the person has to know: it works again, or does not any more."""
    if row is None or row.state == "off":
        return None
    if isinstance(event, LoginWorked):
        return MailboxWorks(row.address) if row.state != "works" else None
    if isinstance(event, LoginFailed) and event.cause in SECRET_CAUSES and not event.retry and row.state != "broken":
        return MailboxBroke(row.address, event.cause, worked=row.state == "works")
    return None


def _settled(tools: Tools, db: Connection, held: Held, row: Row, event: object, news: News | None) -> bool:
    now = tools.clock.now()
    match news:
        case MailboxWorks():
            secrets.keep_until(db, row.secret_id, None)
            promises.one_at(db, held.id, promises.RETEST, None, now)
            return mailboxes.settle(db, row.id, row.version, "works", "", "", now, of=row.state)
        case MailboxBroke(_, cause):
            secrets.erase(db, [row.secret_id] if row.secret_id else [])  # what a server calls wrong is of no use
            return mailboxes.settle(db, row.id, row.version, "broken", cause, "user", now, of=row.state)
    if isinstance(event, LoginWorked):
        mailboxes.worked(db, row.id, row.version, now)
    return True


def told_the_team(tools: Tools, held: Held, address: str, outcome: Outcome) -> Outcome:
    """The same live test as the person's: while somebody of the team has the case, they read it stage by stage."""
    desk = tools.desk
    if desk is None or held.owner == conversations.BOT or not isinstance(outcome, Ended):
        return outcome
    event, before = outcome.event, outcome.along
    if not isinstance(event, LoginWorked | LoginFailed):
        return outcome

    def along(db: Connection) -> bool:
        _noted(tools, desk, db, held, tested(address, event, outcome.words, desk.casework.spoken(db)))
        return before(db)

    return replace(outcome, along=along)


def _noted(tools: Tools, desk: DeskParts, db: Connection, held: Held, text: str) -> bool:
    """In the thread of the open case, if there still is one."""
    if conversations.hold(db, held.id) is None:
        return False
    row = cases.open_one(db, held.id)
    if row is not None and text:
        now = tools.clock.now()
        cases.note(db, row.number, held.id, text, now)
        desk.casework.show(db, held.id, now)
    return True
