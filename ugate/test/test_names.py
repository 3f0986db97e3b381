# -*- test-case-name: ugate.test.test_names -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.names}.
"""

from __future__ import annotations

from zope.interface.verify import verifyClass, verifyObject

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError, NoRouteError, TCPTimedOutError
from twisted.internet.interfaces import IProtocol, IResolutionReceiver, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.names import ATTEMPT_DELAY, MAX_ADDRESSES, NameEndpoint, _Race, interleaved
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.stream import Target
from ugate.test.dialfakes import CLIENT, Net, Recorders


class NameTests(SynchronousTestCase):
    """
    Connections to names.
    """

    def prepare(self, *addresses: str, name: str = "db.corp", timeout: float = 10.0) -> None:
        """
        A name that has these addresses.
        """
        self.net = Net({name: addresses})
        self.factory = Recorders()
        self.endpoint = NameEndpoint(self.net, Target(name, 80), timeout)

    def begin(self, *addresses: str, timeout: float = 10.0) -> Deferred[IProtocol]:
        """
        Begin to connect to a name that has these addresses.
        """
        self.prepare(*addresses, timeout=timeout)
        return self.endpoint.connect(self.factory)

    def refused(self, connected: Deferred[IProtocol]) -> Refused:
        """
        The refusal that it failed with; nothing is left behind.
        """
        refused = self.failureResultOf(connected, Refused).value
        assert isinstance(refused, Refused)
        self.assertEqual(self.net.timers, 0)
        return refused

    def test_interfaces(self) -> None:
        """
        What is promised is there.
        """
        self.prepare()
        self.assertTrue(verifyObject(IStreamClientEndpoint, self.endpoint))
        self.assertTrue(verifyClass(IResolutionReceiver, _Race))
        self.assertEqual(str(self.endpoint), "tcp:db.corp:80")

    def test_interleaved(self) -> None:
        """
        Families take turns, the first of the resolver first; what is no address is
        left out, and so is what is too much.
        """
        six = [IPv6Address("TCP", f"::{n}", 80) for n in range(1, 4)]
        four = [IPv4Address("TCP", "10.0.0.1", 80)]
        self.assertEqual(
            [target.host for target in interleaved([*six, UNIXAddress(b"x"), *four])],
            ["::1", "10.0.0.1", "::2", "::3"],
        )
        many = [IPv4Address("TCP", f"10.0.0.{n}", 80) for n in range(100)]
        self.assertEqual(len(interleaved([*many])), MAX_ADDRESSES)
        self.assertEqual(interleaved([]), [])

    def test_one(self) -> None:
        """
        One address, which answers.
        """
        connected = self.begin("10.0.0.1")
        self.assertEqual(self.net.dialed, ["10.0.0.1:80"])
        self.net.up()
        self.assertEqual([self.successResultOf(connected)], self.factory.made)
        self.assertEqual(self.net.timers, 0)

    def test_nextAtOnce(self) -> None:
        """
        When an address fails the next one is not kept waiting.
        """
        connected = self.begin("::1", "10.0.0.1")
        self.assertEqual(self.net.dialed, ["[::1]:80"])
        self.net.down(ConnectionRefusedError())
        self.assertEqual(self.net.dialed, ["[::1]:80", "10.0.0.1:80"])
        self.net.up()
        self.successResultOf(connected)
        self.assertEqual(self.net.timers, 0)

    def test_nextBeside(self) -> None:
        """
        When an address keeps silent the next one is tried beside it; the first to
        answer wins and the others are stopped.
        """
        connected = self.begin("10.0.0.1", "10.0.0.2", "10.0.0.3")
        self.net.advance(ATTEMPT_DELAY * 0.9)
        self.assertEqual(len(self.net.dialed), 1)
        self.net.advance(ATTEMPT_DELAY * 0.1)
        self.assertEqual(len(self.net.dialed), 2)
        self.net.advance(ATTEMPT_DELAY)
        self.assertEqual(len(self.net.dialed), 3)
        self.net.up(1)
        self.successResultOf(connected)
        self.assertEqual(len(self.factory.made), 1)
        self.assertEqual([each.stoppedConnecting for each in self.net.connectors], [True, False, True])
        self.assertIsNone(self.net.tcpClients[0][2].buildProtocol(CLIENT))
        self.assertEqual(self.net.timers, 0)

    def test_lastStillUnderWay(self) -> None:
        """
        A failure is not the end while another attempt is under way.
        """
        connected = self.begin("10.0.0.1", "10.0.0.2")
        self.net.advance(ATTEMPT_DELAY)
        self.net.down(ConnectionRefusedError(), 1)
        self.assertNoResult(connected)
        self.net.up(0)
        self.successResultOf(connected)

    def test_allFail(self) -> None:
        """
        The refusal names the name, and each address with what it has to say.
        """
        connected = self.begin("10.0.0.1", "10.0.0.2", "::1")
        self.net.down(NoRouteError())
        self.net.down(ConnectionRefusedError())
        self.net.down(TCPTimedOutError())
        refused = self.refused(connected)
        self.assertEqual(
            (refused.cause, refused.phase, refused.hop),
            (Cause.CONNECTION_REFUSED, Phase.CONNECT, "db.corp:80"),
        )
        self.assertEqual(
            refused.detail, "10.0.0.1:80: the network is unreachable, [::1]:80, 10.0.0.2:80: timed out"
        )

    def test_unknown(self) -> None:
        """
        A name without an address does not exist.
        """
        refused = self.refused(self.begin())
        self.assertEqual(
            (refused.cause, refused.phase, refused.hop),
            (Cause.NAME_UNKNOWN, Phase.RESOLVE, "db.corp:80"),
        )

    def test_noName(self) -> None:
        """
        What no resolver takes is not asked for.
        """
        for name in ("a..b", "a" * 64, "\u06dd"):
            self.prepare("10.0.0.1", name=name)
            refused = self.refused(self.endpoint.connect(self.factory))
            self.assertEqual((refused.cause, refused.phase), (Cause.NAME_UNKNOWN, Phase.RESOLVE))
            self.assertEqual(self.net.resolver.asked, [])

    def test_idna(self) -> None:
        """
        The resolver is asked for the ASCII form.
        """
        self.prepare(name="bücher.example")
        self.refused(self.endpoint.connect(self.factory))
        self.assertEqual(self.net.resolver.asked, ["xn--bcher-kva.example"])

    def test_denied(self) -> None:
        """
        An address that the reactor denies is a denial of the name that led there.
        """
        self.prepare("169.254.169.254")
        self.net.forbidden["169.254.169.254"] = Denied("169.254.169.254:80", "a metadata address", "ask not")
        refused = self.refused(self.endpoint.connect(self.factory))
        assert isinstance(refused, Denied)
        self.assertEqual(
            (refused.hop, refused.detail, refused.nextStep),
            ("db.corp:80", "169.254.169.254:80: a metadata address", "ask not"),
        )

    def test_deniedAndTried(self) -> None:
        """
        A denial of one address says less than what another one did, and more than
        that there is no route to it.
        """
        for error, cause in (
            (ConnectionRefusedError(), Cause.CONNECTION_REFUSED),
            (NoRouteError(), Cause.DENIED),
        ):
            self.prepare("10.0.0.1", "10.0.0.2")
            self.net.forbidden["10.0.0.1"] = Denied("10.0.0.1:80", "private")
            connected = self.endpoint.connect(self.factory)
            self.assertEqual(self.net.dialed, ["10.0.0.2:80"])
            self.net.down(error)
            self.assertIs(self.refused(connected).cause, cause)

    def test_limitOfLookup(self) -> None:
        """
        A resolver that never answers is given up, and not heard any more.
        """
        self.prepare(timeout=3.0)
        self.net.resolver.pending["db.corp"] = []
        connected = self.endpoint.connect(self.factory)
        self.net.advance(2.9)
        self.assertNoResult(connected)
        self.net.advance(0.1)
        refused = self.refused(connected)
        self.assertEqual((refused.cause, refused.phase), (Cause.TIMED_OUT, Phase.RESOLVE))
        self.assertIn("in 3 s", refused.detail)
        self.net.resolver.names = {"db.corp": ["10.0.0.1"]}
        self.net.resolver.answer("db.corp")
        self.assertEqual(self.net.dialed, [])

    def test_limit(self) -> None:
        """
        Addresses that never answer are given up together.
        """
        connected = self.begin("10.0.0.1", "10.0.0.2", timeout=3.0)
        self.net.advance(1.0)
        self.net.advance(2.0)
        refused = self.refused(connected)
        self.assertEqual(
            (refused.cause, refused.phase, refused.hop), (Cause.TIMED_OUT, Phase.CONNECT, "db.corp:80")
        )
        self.assertTrue(all(each.stoppedConnecting for each in self.net.connectors))

    def test_cancel(self) -> None:
        """
        Cancelling ends the lookup and all attempts.
        """
        connected = self.begin("10.0.0.1", "10.0.0.2")
        self.net.advance(ATTEMPT_DELAY)
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        self.assertEqual([each.stoppedConnecting for each in self.net.connectors], [True, True])
        self.assertEqual(self.net.timers, 0)
        self.net.resolver.pending["db.corp"] = []
        connected = self.endpoint.connect(self.factory)
        connected.cancel()
        self.failureResultOf(connected, CancelledError)
        self.net.resolver.answer("db.corp")
        self.assertEqual(len(self.net.dialed), 2)
        self.assertEqual(self.net.timers, 0)

    def test_factoryFails(self) -> None:
        """
        A fault of the factory is no matter of the address.
        """

        class Broken(Factory):
            def buildProtocol(self, addr: object) -> None:
                raise ZeroDivisionError("a fault")

        self.prepare("10.0.0.1", "10.0.0.2")
        connected = self.endpoint.connect(Broken())
        self.assertIsNone(self.net.tcpClients[-1][2].buildProtocol(CLIENT))
        self.failureResultOf(connected, ZeroDivisionError)
        self.assertEqual(self.net.dialed, ["10.0.0.1:80"])
        self.assertEqual(self.net.timers, 0)
