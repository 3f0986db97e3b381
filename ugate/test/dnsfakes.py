# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of the resolver share: servers in memory.
"""

from __future__ import annotations

from typing import Any

import dns.message
import dns.rcode
import dns.rrset

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.protocols.dnswire import Asked, Query, questionOf, readQuery

TYPES = {"A": 1, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "HTTPS": 65}


def message(name: str = "db.example", kind: str = "A", **options: Any) -> bytes:
    """
    A question as a client sends it.
    """
    wire: bytes = dns.message.make_query(name, kind, **options).to_wire()
    return wire


def queryFor(name: str = "db.example", kind: str = "A", **options: Any) -> Query:
    """
    The same, read.
    """
    return readQuery(message(name, kind, **options))


def askedFor(name: str = "db.example", kind: str = "A") -> Asked:
    """
    What is asked of other servers then.
    """
    return Asked(questionOf(name, TYPES[kind]))


def said(wire: bytes, *records: str, code: int = 0, flags: int = 0) -> bytes:
    """
    What a server says to a message: records as C{NAME TTL TYPE DATA}, of which an SOA is the authority's.
    """
    response = dns.message.make_response(dns.message.from_wire(wire))
    response.set_rcode(dns.rcode.Rcode(code))
    response.flags |= flags
    for each in records:
        name, ttl, kind, *rest = each.split()
        section = response.authority if kind == "SOA" else response.answer
        section.append(dns.rrset.from_text(f"{name}.", int(ttl), "IN", kind, " ".join(rest)))
    answer: bytes = response.to_wire(max_size=65535)
    return answer


def read(wire: bytes) -> Any:
    """
    What a message says.
    """
    return dns.message.from_wire(wire)


def addressesIn(wire: bytes) -> list[str]:
    """
    The records of an answer, without their names.
    """
    return sorted(str(record) for rrset in read(wire).answer for record in rrset)


class FakeServer:
    """
    Another server, which answers when it is told to.

    @ivar asked: what it was asked, each with where the answer goes.
    """

    def __init__(self, title: str = "one") -> None:
        self.title = title
        self.asked: list[tuple[Asked, Deferred[bytes]]] = []
        self.cancelled = 0
        self.stopped = 0

    def ask(self, asked: Asked) -> Deferred[bytes]:
        """
        See L{Server.ask}.
        """
        answered: Deferred[bytes] = Deferred(self._cancel)
        self.asked.append((asked, answered))
        return answered

    def _cancel(self, answered: object) -> None:
        self.cancelled += 1

    def say(self, *records: str, at: int = -1, **options: Any) -> None:
        """
        Answer the last question.
        """
        asked, answered = self.asked[at]
        answered.callback(said(asked.wire(1), *records, **options))

    def fail(self, at: int = -1) -> None:
        """
        It cannot be reached.
        """
        self.asked[at][1].errback(Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, self.title))

    def stop(self) -> None:
        """
        See L{Server.stop}.
        """
        self.stopped += 1


class DnsCase(SynchronousTestCase):
    """
    With a clock, and what is logged.
    """

    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def lines(self) -> list[str]:
        """
        What was logged.
        """
        return [formatEvent(event) for event in self.events if event["log_namespace"].startswith("ugate")]
