"""A name server on loopback for tests: UDP, one thread, a dictionary of names."""

import socket
import threading
from collections.abc import Iterable, Mapping
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

SERVFAIL = "servfail"
SILENT = "silent"


class DnsServer:
    """Answers A and AAAA from `names` (name -> addresses, or SERVFAIL, SILENT); others do not exist.

    `records` holds the other types: (name, type) -> texts of its data, or SERVFAIL, SILENT.
    `asked` holds every question as (name, type); `names` and `records` may be changed while it runs.
    """

    def __init__(
        self,
        names: Mapping[str, list[str] | str],
        records: Mapping[tuple[str, str], list[str] | str] | None = None,
    ) -> None:
        self.names = dict(names)
        self.records = dict(records or {})
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:
            knock.sendto(b"", self.address)
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            wire, client = self._socket.recvfrom(4096)
            if not wire:
                return
            if answer := self._answer(dns.message.from_wire(wire)):
                self._socket.sendto(answer.to_wire(), client)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        known = self.records.get((name, kind), self.names.get(name))
        if known is None and any(name == other for other, _ in self.records):
            known = []
        if known == SILENT:
            return None
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if known == SERVFAIL:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif known is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            data = known if (name, kind) in self.records else _addresses(known, kind)
            if data:
                answer.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, data))
        return answer


def _addresses(known: Iterable[str], kind: str) -> list[str]:
    return [address for address in known if kind == ("AAAA" if ":" in address else "A")]
