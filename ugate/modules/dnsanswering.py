# -*- test-case-name: ugate.test.test_dnsanswering -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
From the message of a client to that with the answer: known here, kept, or asked of others.

An answer that was given a moment ago is given again to the same bytes without reading them: what is looked up
is all of the message but its id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ugate.errors import ProtocolError
from ugate.modules.dnsforwarding import Forwarder
from ugate.protocols.dnsanswers import Answer
from ugate.protocols.dnswire import HEADER, Query, readQuery, refusal
from ugate.protocols.servernames import isHostName
from ugate.tenancy.addressnames import AddressNames

MAX_QUICK: Final = 8192
"""Messages whose answers are at hand."""

QUICK: Final = 1.0
"""Seconds for which an answer of our own is."""

_LARGEST_QUICK: Final = 1024
"""Bytes of such a message, and of the records of its answer."""

_LARGEST: Final = 65535
_ID: Final = 2
_SERVFAIL: Final = 2
_TYPES: Final = (1, 28)


class _Quick:
    """
    An answer that is at hand, as a message without its id.
    """

    __slots__ = ("_age", "_answer", "_at", "_limit", "_query", "_tail", "source", "until")

    def __init__(self, query: Query, answer: Answer, limit: int, at: float, until: float) -> None:
        """
        @param at: since when its records get older.
        @param until: up to when it is good.
        """
        self.until = until
        self.source = "own" if answer.isOwn else "kept"
        self._query = query
        self._answer = answer
        self._limit = limit
        self._at = at
        self._age = -1
        self._tail = b""

    def tail(self, now: float) -> bytes:
        """
        The message behind its id.
        """
        age = max(0, int(now - self._at))
        if age != self._age:
            self._age = age
            self._tail = self._answer.reply(self._query, self._limit, age)[_ID:]
        return self._tail


class Answering:
    """
    What answers the messages of a tenant's clients.

    @ivar counts: how many answers there were that were known here (C{own}), that were got before (C{kept}),
        and for which others were asked: with one (C{asked}) and without (C{failed}).
    @since: ugate NEXT
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        local: Callable[[Query], Answer | None],
        forwarder: Forwarder,
        names: AddressNames,
    ) -> None:
        """
        @param local: what is known here.
        @param forwarder: asks others.
        @param names: is told which addresses were given for which names.
        """
        self._seconds = clock.seconds
        self._local = local
        self._forwarder = forwarder
        self._names = names
        self.counts = {"own": 0, "kept": 0, "asked": 0, "failed": 0}
        # What was found longest ago comes first.
        self._quick: dict[tuple[bool, bytes], _Quick] = {}

    def answer(self, data: bytes, isStream: bool, source: str | None = None) -> bytes | Deferred[bytes]:
        """
        Answer a message.

        @param isStream: whether the answer may be long.
        @param source: who asks: see L{ugate.endpoints.sources.sourceOf}.
        @return: that message, which is empty if nothing is to be said; it does not fail.
        """
        key = (isStream, data[_ID:])
        quick = self._quick.get(key)
        if quick is not None:
            now = self._seconds()
            if now < quick.until:
                self.counts[quick.source] += 1
                return data[:_ID] + quick.tail(now)
            del self._quick[key]
        try:
            query = readQuery(data)
        except ProtocolError as error:
            return error.reply
        try:
            return self._answer(query, key, source)
        except Exception:
            self.log.failure("a question was not answered")
            return refusal(data, _SERVFAIL, query)

    def _answer(self, query: Query, key: tuple[bool, bytes], source: str | None) -> bytes | Deferred[bytes]:
        now = self._seconds()
        answer = self._local(query)
        if answer is not None:
            self.counts["own"] += 1
            return self._reply(query, answer, key, now, now + min(QUICK, answer.ttl))
        kept = self._forwarder.kept(query.asked)
        if kept is not None:
            self.counts["kept"] += 1
            return self._reply(query, kept.answer, key, kept.at, kept.until)
        asking = self._forwarder.ask(query.asked, query.name, source)
        return asking.addCallback(self._replyNow, query, key)

    def _replyNow(self, answer: Answer, query: Query, key: tuple[bool, bytes]) -> bytes:
        now = self._seconds()
        self.counts["failed" if answer.code == _SERVFAIL else "asked"] += 1
        return self._reply(query, answer, key, now, now + answer.ttl)

    def _reply(self, query: Query, answer: Answer, key: tuple[bool, bytes], at: float, until: float) -> bytes:
        now = self._seconds()
        if query.type in _TYPES and isHostName(query.name):
            for number in answer.addresses:
                self._names.learn(query.name, number, max(0.0, until - now))
        limit = _LARGEST if key[0] else query.payload
        if answer.isOwn:
            # It is as good as new each time.
            at = until
        isLarge = len(key[1]) > _LARGEST_QUICK or len(answer.records) > _LARGEST_QUICK
        if until <= now or not query.isPlain or isLarge:
            return answer.reply(query, limit, max(0.0, now - at))
        quick = _Quick(query, answer, limit, at, until)
        self._quick[key] = quick
        if len(self._quick) > MAX_QUICK:
            del self._quick[next(iter(self._quick))]
        return query.number.to_bytes(_ID, "big") + quick.tail(now)

    def clear(self) -> None:
        """
        Forget what is at hand.
        """
        self._quick.clear()


def isQuestion(data: bytes) -> bool:
    """
    Whether a message is worth an answer at all.
    """
    return len(data) >= HEADER.size and not data[_ID] & 0x80
