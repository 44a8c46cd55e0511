"""Rows of size: a turn, and the way to its answer, with very many conversations, and with few.

The rows are made in SQL, with what turns write: real saved states, sentences of ours in the transcript, a promise for
tomorrow and a mailbox that works for each person. Both sides are ours, and alike in everything but their size.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from sqlalchemy import text

from bot.store import months
from bot.store.engine import reading
from bot.store.storage import STORAGE, options
from flows.speech import texts
from tests.bench.answers import GAP, answered
from tests.bench.figures import Row, quantile
from tests.bench.load import Line, drive
from tests.bench.turn import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine

    from tests.bench.site import Side, Site

FEW = 1_000
LINES = 20  # of the transcript, for each conversation
DAYS = 90  # in which they were written: RETENTION_DAYS
SLOWEST = 1.25
WARM = 300
SEED = 13
SENTENCES = tuple(sentence for name, sentence in sorted(texts("pt").items()) if 40 < len(sentence) < 300)

# Who is who. Ids are made of numbers, and as scattered as random ones.
PEOPLE = """
insert into agency (id, name, language, timezone, created_at)
select md5('agency' || n)::uuid, 'Imobiliaria ' || n, 'pt', 'America/Sao_Paulo', now() - interval '300 days'
from generate_series(0, :many / 100) n;
insert into member (id, agency_id, name, role, created_at)
select md5('member' || n)::uuid, md5('agency' || n / 100)::uuid, 'Ana Souza ' || n,
       case when n % 100 = 0 then 'admin' else 'member' end, now() - interval '200 days'
from generate_series(0, :many - 1) n;
insert into contact (id, channel, address, external_id, name, language, member_id, window_until, last_message_id,
                     created_at)
select md5('contact' || n)::uuid, 'whatsapp', :prefix || to_char(n, 'fm0000000'), 'BR.' || md5('external' || n),
       'Ana Souza ' || n, 'pt', md5('member' || n)::uuid, now() - random() * interval '30 days',
       'SM' || md5('last' || n), now() - interval '200 days'
from generate_series(0, :many - 1) n;
insert into membership (contact_id, member_id)
select md5('contact' || n)::uuid, md5('member' || n)::uuid from generate_series(0, :many - 1) n;
insert into mailbox (id, member_id, address, user_name, host, port, security, state, version, since, worked_at)
select md5('mailbox' || n)::uuid, md5('member' || n)::uuid, 'ana' || n || '@imobiliaria' || n / 100 || '.example',
       'ana' || n || '@imobiliaria' || n / 100 || '.example', 'mail.imobiliaria' || n / 100 || '.example', 465, 'tls',
       'works', 1, now() - interval '100 days', now()
from generate_series(0, :many - 1) n;
insert into conversation (id, contact_id, envelope, ticket, updated_at)
select md5('conversation' || n)::uuid, md5('contact' || n)::uuid, saved.envelope, saved.ticket,
       now() - random() * interval '30 days'
from generate_series(0, :many - 1) n,
     (select envelope, ticket from conversation order by updated_at limit 1) saved;
insert into promise (conversation_id, lane, kind, payload, due_at, created_at)
select md5('conversation' || n)::uuid, 'work', 'watch',
       jsonb_build_object('mailbox', md5('mailbox' || n)::uuid, 'swept', true),
       now() + interval '1 day' + random() * interval '8 hours', now()
from generate_series(0, :many - 1) n;
"""
# In the order in which it was written: each conversation's lines lie far apart, as in life.
TRANSCRIPT = """
insert into {name} (conversation_id, direction, text, promise_id, provider_id, status, rank, at)
select md5('conversation' || n % :many)::uuid, case when said then 'out' else 'in' end,
       (cast(:sentences as text[]))[1 + n % :kinds], case when said then n end,
       case when said then 'SM' || md5('said' || n) end, case when said then 'read' else '' end,
       case when said then 3 else 0 end, at
from (
    select n, n / :many % 2 = 1 as said,
           cast(:now as timestamptz) - interval '1 hour'
           - interval '1 day' * :days * (1 - n / (cast(:many as float) * :lines)) as at
    from generate_series(0, cast(:many as bigint) * :lines - 1) n
) line
where at >= :since and at < :until
"""
HEARD = """
insert into inbound (channel, message_id, at)
select 'whatsapp', 'SM' || md5('heard' || n), now() - interval '1 hour' - n * interval '7 days' / :heard
from generate_series(0, :heard - 1) n
"""


@dataclass(frozen=True, slots=True)
class Crowd:
    """A side with so many people of its own numbers."""

    side: Side
    prefix: str
    many: int

    def some(self, chance: Random, count: int) -> list[str]:
        """The numbers of some of them, each once."""
        return [f"{self.prefix}{place:07d}" for place in chance.sample(range(self.many), count)]


def rows(site: Site, many: int, rounds: int, turns: int, answers: int, bound: float | None = SLOWEST) -> Iterator[Row]:
    """A turn and an answer with `many` conversations, against FEW."""
    large, small = (_crowd(site, prefix, size) for prefix, size in (("+1556", many), ("+1557", FEW)))
    shape = f"with {many:,} conversations, {many * LINES:,} lines, {many:,} promises for tomorrow"
    with ExitStack() as stack:
        for crowd in (large, small):
            label = f"web of {crowd.many}"
            site.start_of(crowd.side, "web", label)
            stack.callback(site.stop, label)
        ours, floor = _turns(site, (large, small), rounds, turns)
        yield Row(f"turn {shape}", "ms", ours, floor, bound)
        for crowd in (large, small):
            label = f"worker of {crowd.many}"
            site.start_of(crowd.side, "worker", label)
            stack.callback(site.stop, label)
        ours, floor = _answers(site, (large, small), rounds, answers)
        yield Row("webhook in to request out there, p50", "ms", ours, floor, bound)


def _turns(site: Site, crowds: Sequence[Crowd], rounds: int, turns: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Milliseconds of a turn on each side, round by round; nobody performs promises here."""
    chance = Random(SEED)
    for crowd in crowds:
        _milliseconds(site, crowd, chance, WARM)
    measured = [[_milliseconds(site, crowd, chance, turns) for crowd in crowds] for _ in range(rounds)]
    ours, floor = zip(*measured, strict=True)
    return ours, floor


def _milliseconds(site: Site, crowd: Crowd, chance: Random, turns: int) -> float:
    webhooks = [site.account.webhook(crowd.side.base, person, TEXT) for person in crowd.some(chance, turns)]
    seconds = drive(crowd.side.base, webhooks)
    _undo(crowd.side)
    return 1000 * seconds / turns


def _undo(side: Side) -> None:
    """What a round has left behind goes, so that the next one finds what the first one found."""
    with side.engine.begin() as db:
        db.execute(text("delete from promise where lane = 'speak' and state = 'todo' and due_at <= now()"))
        for table in ("message", "inbound"):
            db.execute(text(f"delete from {table} where at > now() - interval '30 minutes'"))


def _answers(
    site: Site, crowds: Sequence[Crowd], rounds: int, answers: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Milliseconds from a webhook to the request that answers it: the median of each round, one side after another."""
    chance = Random(SEED + 1)
    for crowd in crowds:  # its worker has begun when these are answered
        drive(crowd.side.base, [site.account.webhook(crowd.side.base, one, TEXT) for one in crowd.some(chance, WARM)])
        crowd.side.wait_until_kept()
    ours, floor = zip(*(_medians(site, crowds, chance, answers) for _ in range(rounds)), strict=True)
    return ours, floor


def _medians(site: Site, crowds: Sequence[Crowd], chance: Random, answers: int) -> list[float]:
    site.provider.forget()
    took: list[list[float]] = [[] for _ in crowds]
    people = zip(*(crowd.some(chance, answers) for crowd in crowds), strict=True)
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(crowd.side.base)) for crowd in crowds]
        for both in people:
            for place, crowd in enumerate(crowds):
                took[place].append(1000 * answered(site, crowd.side, lines[place], both[place]))
                time.sleep(GAP)
    for crowd in crowds:
        crowd.side.wait_until_kept()
    return [quantile(one, 0.5) for one in took]


# --- making it --------------------------------------------------------------------------------------------------------


def _crowd(site: Site, prefix: str, many: int) -> Crowd:
    crowd = Crowd(site.side(), prefix, many)
    engine = crowd.side.engine
    with _in_bulk(engine) as db:
        for statement in filter(str.strip, PEOPLE.split(";")):
            db.execute(text(statement), {"many": many, "prefix": prefix})
        db.execute(text(HEARD), {"heard": many * LINES * 7 // DAYS // 2})
    _write_transcript(engine, many)
    with engine.begin() as db:  # who was there before only lent a saved state
        db.execute(text("delete from contact where created_at > now() - interval '100 days'"))
    with reading(engine) as db:
        db.execute(text("vacuum (freeze, analyze)"))
        db.execute(text("checkpoint"))
    return crowd


@contextmanager
def _in_bulk(engine: Engine) -> Iterator[Connection]:
    """A transaction in which no row is asked whether what it refers to is there: it is."""
    with engine.begin() as db:
        db.execute(text("set local session_replication_role = replica"))
        yield db


def _write_transcript(engine: Engine, many: int) -> None:
    """Month by month; the indexes of each are made when all its lines are there."""
    now = datetime.now(UTC)
    for days in range(0, DAYS + 31, 30):
        months.tend(engine, now - timedelta(days=days), datetime.min.replace(tzinfo=UTC))
    with reading(engine) as db:
        parts = months.parts(db)
    values = {"many": many, "lines": LINES, "days": DAYS, "sentences": list(SENTENCES), "kinds": len(SENTENCES)}
    for before, part in pairwise(parts):  # of the first one nothing is left
        with _in_bulk(engine) as db:
            _write_month(db, part.name, {**values, "now": now, "since": before.until, "until": part.until})


def _write_month(db: Connection, name: str, values: Mapping[str, object]) -> None:
    db.execute(text(f"drop table {name}"))
    db.execute(text(f"create table {name} (like message including defaults) with ({options(STORAGE['message'])})"))
    db.execute(text(TRANSCRIPT.format(name=name)), values)
    bounds = f"from ('{values['since']}') to ('{values['until']}')"
    db.execute(text(f"alter table message attach partition {name} for values {bounds}"))
