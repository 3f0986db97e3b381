# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.ca.inturn}: a record that others hold holds up nobody else.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ugate.modules.ca import CaService
from ugate.modules.tries import MAX_FAILED
from ugate.tenancy.ca import record
from ugate.tenancy.ca.errors import Busy, NotAllowed
from ugate.tenancy.ca.inturn import DEADLINE, MAX_WAITING, InTurn
from ugate.tenancy.ca.schema import CaSection
from ugate.test.adminfakes import Client
from ugate.test.cafakes import NODES, csrOf, logged
from ugate.test.test_capages import CaCase


class Thread:
    """
    A thread that does something when a test says so.
    """

    def __init__(self) -> None:
        self.given: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, call: Callable[[], Any]) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.given.append((call, answer))
        return answer

    def work(self) -> None:
        """
        Do what was given.
        """
        call, answer = self.given.pop(0)
        maybeDeferred(call).chainDeferred(answer)


class InTurnTests(SynchronousTestCase):
    """
    One after the other, so many, and so long.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.thread = Thread()
        self.inTurn = InTurn(self.clock, self.thread, "here")
        self.done: list[object] = []
        self.lines = logged(self)

    def do(self, name: object, isShared: bool = False) -> Deferred[Any]:
        return self.inTurn.do(lambda: self.done.append(name), isShared)

    def test_order(self) -> None:
        """
        One at a time, in the order in which they were asked for; each answers after it was done.
        """
        answers = [self.do(number) for number in range(3)]
        for number in range(3):
            self.assertEqual(1, len(self.thread.given))
            self.assertNoResult(answers[number])
            self.thread.work()
            self.successResultOf(answers[number])
            self.assertEqual(number, self.done[-1])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_fails(self) -> None:
        """
        One that fails is the trouble of who asked for it.
        """
        failing = self.inTurn.do(lambda: 1 // 0)
        other = self.do("other")
        self.thread.work()
        self.failureResultOf(failing, ZeroDivisionError)
        self.thread.work()
        self.successResultOf(other)

    def test_full(self) -> None:
        """
        So many wait, and more are refused, which is told once, until something was done.
        """
        answers = [self.do(number) for number in range(MAX_WAITING + 1)]
        for _ in range(3):
            self.assertIn(f"{MAX_WAITING} requests", str(self.failureResultOf(self.do("x"), Busy).value))
        self.assertEqual(1, len(self.lines))
        self.thread.work()
        self.successResultOf(answers[0])
        self.assertNoResult(self.do("again"))
        self.failureResultOf(self.do("x"), Busy)
        self.assertEqual(2, len(self.lines))
        for _ in range(MAX_WAITING + 1):
            self.thread.work()
        self.assertEqual([*range(MAX_WAITING + 1), "again"], self.done)

    def test_late(self) -> None:
        """
        Who has waited for long is told so; what has not begun then is not done, what has is done for nobody.
        """
        begun, waiting = self.do("begun"), self.do("waiting")
        self.clock.advance(DEADLINE)
        for each in (begun, waiting):
            self.failureResultOf(each, Busy)
        self.assertEqual(1, len(self.lines))
        later = self.do("later")
        self.thread.work()
        self.thread.work()
        self.successResultOf(later)
        self.assertEqual(["begun", "later"], self.done)

    def test_lateFailure(self) -> None:
        """
        What fails when nobody waits for it any more is in the log; what somebody may not have is not.
        """
        for error in (NotAllowed("no"), ZeroDivisionError("oh")):

            def fails(error: Exception = error) -> None:
                raise error

            late = self.inTurn.do(fails)
            self.clock.advance(DEADLINE)
            self.failureResultOf(late, Busy)
            self.thread.work()
        (logged,) = self.flushLoggedErrors()
        self.assertEqual("oh", logged.getErrorMessage())

    def test_shared(self) -> None:
        """
        Who looks at the same before it has begun waits for one look, and each only so long.
        """
        look = partialled(self.done)
        first = self.inTurn.do(look, True)
        late = self.inTurn.do(look, True)
        self.clock.advance(DEADLINE / 2)
        second = self.inTurn.do(look, True)
        for _ in range(MAX_WAITING * 2):
            self.inTurn.do(look, True)
        self.clock.advance(DEADLINE / 2)
        for each in (first, late):
            self.failureResultOf(each, Busy)
        self.thread.work()
        self.thread.work()
        self.successResultOf(second)
        self.assertEqual(["look", "look"], self.done)
        self.assertEqual([], self.thread.given)

    def test_stop(self) -> None:
        """
        At the end what has begun is done, and the last thing; what waits is not, nor what comes later.
        """
        begun, waiting = self.do("begun"), self.do("waiting")
        ended = self.inTurn.stop(lambda: self.done.append("last"))
        self.failureResultOf(waiting, Busy)
        self.failureResultOf(self.do("x"), Busy)
        self.thread.work()
        self.successResultOf(begun)
        self.assertNoResult(ended)
        self.thread.work()
        self.successResultOf(ended)
        self.assertEqual(["begun", "last"], self.done)


def partialled(done: list[object]) -> Callable[[], None]:
    return lambda: done.append("look")


def signing(csr: bytes, token: str) -> bytes:
    """
    Asks for a certificate.
    """
    body = msgspec.json.encode({"csr": csr.decode(), "token": token})
    head = b"POST /ca/sign HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


class HeldTests(CaCase):
    """
    The module, with a thread, and with a record that another process holds.
    """

    def held(self) -> sqlite3.Connection:
        """
        Another process changes something.
        """
        other = sqlite3.connect(self.folder / "record.db", isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        return other

    def test_thread(self) -> None:
        """
        Nothing of the record is touched by who asks, and no answer comes before it was written.
        """
        thread = Thread()
        service = CaService(
            self.node.tenants["root"], CaSection(str(self.folder), rules=(NODES,)), lambda: self.at, thread
        )
        service.startService()
        self.node.modules["root", "ca", "main"] = service
        thread.work()
        token = self.authority.token("node-1", 60)
        client, head = Client(self.port(isLocal=False)), b"Host: 127.0.0.1\r\n\r\n"
        for path in (b"crl.pem", b"crl.der", b"krl"):
            self.assertEqual(b"", client.say(b"GET /ca/%s HTTP/1.1\r\n" % path + head))
            thread.work()
            self.assertIn(b" 200 ", client.transport.value())
        self.assertEqual(b"", client.say(signing(csrOf(self.key, ["a.corp"]), token)))
        self.assertEqual([], list(self.authority.list()))
        call, answer = thread.given.pop()
        given = call()
        self.assertEqual([given.issued], list(self.authority.list()))
        self.assertEqual(b"", client.transport.value())
        answer.callback(given)
        self.assertIn(b" 200 ", client.transport.value())
        stopped: Any = service.stopService()
        self.assertNoResult(stopped)
        thread.work()
        self.successResultOf(stopped)

    def test_tries(self) -> None:
        """
        Who guesses tokens gets no more tries by guessing at once; what cannot be read is no try of anybody.
        """
        thread = Thread()
        section = CaSection(str(self.folder), rules=(NODES,))
        service = CaService(self.node.tenants["root"], section, lambda: self.at, thread)
        service.startService()
        self.node.modules["root", "ca", "main"] = service
        thread.work()
        far = self.port(isLocal=False)
        for body in ({"csr": "x", "token": "ugate_x"}, {"what": 1}, b"{", {"csr": 1, "token": "ugate_x"}):
            for _ in range(MAX_FAILED):
                self.trouble(400, self.ask("POST", "/ca/sign", body, site=far))

        def ask(token: str) -> Client:
            client = Client(far)
            client.say(signing(csrOf(self.key, ["a.corp"]), token))
            return client

        good = self.authority.token("node-1", 60, None)
        asked = [ask(good) for _ in range(2)]
        asked += [ask("ugate_x") for _ in range(MAX_FAILED - 2)]
        self.assertIn(b" 429 ", ask("ugate_x").transport.value())
        for client, status in zip(asked, [b" 200 "] * 2 + [b" 401 "] * MAX_FAILED, strict=False):
            self.assertEqual(b"", client.transport.value())
            thread.work()
            self.assertIn(status, client.transport.value())
        # Those that were good leave room for as many.
        for _ in range(2):
            client = ask("ugate_x")
            thread.work()
            self.assertIn(b" 401 ", client.transport.value())
        self.assertIn(b" 429 ", ask(good).transport.value())

    def test_held(self) -> None:
        """
        Who wants to change a record that is held is told to come again; the log has one line of it.
        """
        self.patch(record, "_WAIT", 0.01)
        other = self.held()
        # One is opened all the same.
        self.running(CaSection(str(self.folder), rules=(NODES,)))
        token = {"name": "node-9"}
        for _ in range(2):
            answer = self.ask("POST", "/ca/token", token)
            self.assertIn("locked", self.trouble(503, answer))
            self.assertEqual("5", answer.fields["retry-after"])
        # Whoever only looks is not held up.
        self.assertEqual(200, self.ask("GET", "/ca/issued").status)
        said = [line for line in self.lines if "locked" in line]
        self.assertEqual(1, len(said), said)
        other.rollback()
        self.assertEqual(200, self.ask("POST", "/ca/token", token).status)

    def test_threads(self) -> None:
        """
        It may be another thread each time.
        """
        found: list[object] = []
        thread = threading.Thread(target=lambda: found.append(self.authority.record.changes()))
        thread.start()
        thread.join()
        self.assertEqual([0], found)

    def test_new(self) -> None:
        """
        A record that two make at the same time is made once.
        """
        path = str(Path(self.mktemp()))
        for _ in range(2):
            made = record.Record(path)
            self.addCleanup(made.close)
            self.assertEqual(0, made.changes())
