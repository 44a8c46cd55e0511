"""The table of mail providers: what is known about an address, a host or an MX record without asking the network."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path

from bot.mail.knowledge import names
from bot.mail.knowledge.domains import above, domain_of, in_ascii
from bot.mail.knowledge.provider import BLANK_FIELDS, Candidate, Provider, SignIn
from bot.mail.knowledge.provider_table import read, shipped_rows

_MAX_TEXT = 400
_MAX_NAMED = 6


class Providers:
    """All known providers, found by address, host, MX record or name."""

    def __init__(self, rows: tuple[Provider, ...]) -> None:
        """Later rows win over earlier ones, by id, domain and MX suffix; rows of the table over those of the ISPDB."""
        by_id = {row.id: row for row in rows}
        self._rows = dict(sorted(by_id.items(), key=lambda item: item[1].source == "ispdb"))
        ranked = sorted(by_id.values(), key=lambda row: row.source == "table")
        self._by_domain = {domain: row for row in ranked for domain in row.domains}
        self._by_mx = {suffix: row for row in ranked for suffix in row.mx_suffixes}
        # the first row of a host wins: Gmail's servers are Workspace's, too
        self._by_host = {host: at for row in reversed(self._rows.values()) for host, at in _hosts(row)}
        self._by_pattern = [(_pattern(host), row) for row in self._rows.values() for host in _open_hosts(row)]
        self._names = names.Names((name, row.id) for row in self._rows.values() for name in _called(row))

    @classmethod
    def load(cls, extra: Path | None = None) -> "Providers":
        """The shipped tables, widened by the operator's file; raises BadTable with a sentence about what is wrong."""
        return _widened(read(extra) if extra else ())

    def for_address(self, address: str, today: date) -> Provider | None:
        """The provider of an e-mail address (or bare domain) as of `today`, or None."""
        domain = domain_of(address)
        row = self._for_domain(domain) if domain else None
        return row.on(today).at(domain or "") if row else None

    def _for_domain(self, domain: str) -> Provider | None:
        if row := self._by_domain.get(domain):
            return row
        parents = ("." + parent for parent in above(domain))
        return next((self._by_domain[parent] for parent in parents if parent in self._by_domain), None)

    def for_host(self, host: str, today: date) -> Provider | None:
        """The provider to which a mail server belongs as of `today`, or None."""
        name = in_ascii(host)
        if row := self._by_host.get(name):
            return row.on(today)
        for pattern, row in self._by_pattern:
            if found := pattern.fullmatch(name):
                return row.on(today).filled(found.groupdict())
        return None

    def for_mx(self, mx_host: str, today: date, domain: str = "") -> Provider | None:
        """The provider behind a domain's best MX host as of `today`, or None; the longest suffix wins.

        `domain` is the address's: some servers are called after it, and without it these are left out. The answer is a
        hint, never a permission: anyone can point an MX record anywhere.
        """
        name = in_ascii(mx_host)
        for suffix in (name, *above(name)):
            if row := self._by_mx.get(suffix):
                account = name.removesuffix(suffix).rstrip(".")
                known = {"domain": domain, "account": "" if "." in account else account}
                row = row.on(today).filled({field: value for field, value in known.items() if value})
                return _for_own_domain(row)
        return None

    def token_hosts(self, sign_in: SignIn) -> frozenset[str]:
        """The mail servers to which an access token of Microsoft's or Google's may be given: theirs, and nobody's else.

        Names in ASCII and lower case; those of the operator's file are among them where its rows say `sign_in`.
        """
        return frozenset(
            host
            for row in self._rows.values()
            if row.sign_in == sign_in
            for host in (*(server.host for server in (*row.servers, *row.imap)), *row.other_hosts)
            if "{" not in host
        )

    def candidates(self, address: str, today: date) -> tuple[Candidate, ...]:
        """The servers that the tables know for an address or bare domain, best first, without the network."""
        row = self.for_address(address, today)
        return tuple(Candidate(server, row.source, row.id) for server in row.servers) if row else ()

    def same(self, host_a: str, host_b: str, today: date) -> bool:
        """Whether two hosts are one server for an agency: one name, or two names of one provider."""
        if in_ascii(host_a) == in_ascii(host_b):
            return True
        a, b = self.for_host(host_a, today), self.for_host(host_b, today)
        return a is not None and b is not None and a.id == b.id

    def by_name(self, text: str, today: date) -> tuple[Provider, ...]:
        """The providers that a person speaks of ("we pay Locaweb"), the surest first, six at most; () where none is."""
        typed = (self.for_address(word, today) for word in text[:_MAX_TEXT].split() if "." in word)
        ids = dict.fromkeys([row.id for row in typed if row] + list(self._names.find(text)))
        return tuple(self._rows[id_].on(today) for id_ in list(ids)[:_MAX_NAMED])

    def near(self, domain: str) -> str | None:
        """The well-known domain that `domain` (or an address's) is a slip of, or None; never for a known domain."""
        typed = domain_of(domain)
        return names.near(typed, lambda name: self._for_domain(name) is not None) if typed else None

    def all(self, today: date) -> tuple[Provider, ...]:
        """Every provider as of `today`, in the tables' order, those of the ISPDB last."""
        return tuple(row.on(today) for row in self._rows.values())


@lru_cache(maxsize=2)
def _widened(own: tuple[Provider, ...]) -> Providers:
    """The shipped tables and an operator's rows: looked over at the start, and used right after."""
    return Providers(shipped_rows() + own)


def _for_own_domain(row: Provider) -> Provider:
    """A provider with the servers first that people's own domains use."""
    mine = row.own_domain_hosts
    servers, imap = (tuple(sorted(all_, key=lambda one: one.host not in mine)) for all_ in (row.servers, row.imap))
    return replace(row, servers=servers, imap=imap) if mine else row


def _hosts(row: Provider) -> Iterator[tuple[str, Provider]]:
    """Every name of a row's servers that can be written down, with the row as it is there."""
    for server in row.servers:
        if "{domain}" in server.host:
            yield from ((server.host.replace("{domain}", domain), row.at(domain)) for domain in row.domains)
        elif "{" not in server.host:
            yield server.host, row.at("")
    yield from ((host, row.at("")) for host in row.other_hosts)


def _open_hosts(row: Provider) -> tuple[str, ...]:
    """The row's hosts of which one label is the person's own."""
    return tuple(server.host for server in row.servers if "{account}" in server.host or "{region}" in server.host)


def _pattern(host: str) -> re.Pattern[str]:
    """A host with its open labels as named groups."""
    parts = BLANK_FIELDS.split(host)  # text, field, text ...
    texts, fields = parts[::2], parts[1::2]
    labels = [f"(?P<{field}>[a-z0-9-]{{1,63}})" for field in fields]
    return re.compile("".join(chain.from_iterable(zip_longest(map(re.escape, texts), labels, fillvalue=""))))


def _called(row: Provider) -> Iterator[str]:
    """What a row is called: its names, and the parts of its title (what stands in brackets explains, and is none)."""
    yield from row.names
    yield from re.split(r"[/,]", re.sub(r"\(.*?\)", "", row.name))
    yield row.id
