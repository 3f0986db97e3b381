# -*- test-case-name: ugate.test.test_refusals -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.refusals}.
"""

from __future__ import annotations

import errno
import os
from socket import gaierror

from twisted.internet.error import (
    ConnectBindError,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
    UnknownHostError,
    getConnectError,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.refusals import noTarget, refusal, refusedAt, renamed
from ugate.errors import Cause, Denied, Phase, Refused
from ugate.stream import StreamInfo
from ugate.test.dialfakes import CLIENT, LISTENER


class RefusalTests(SynchronousTestCase):
    """
    Errors of connections in our own words.
    """

    def test_types(self) -> None:
        """
        Each error has its phase and its cause.
        """
        for error, phase, cause in (
            (ConnectionRefusedError(), Phase.CONNECT, Cause.CONNECTION_REFUSED),
            (TimeoutError(), Phase.CONNECT, Cause.TIMED_OUT),
            (TCPTimedOutError(), Phase.CONNECT, Cause.TIMED_OUT),
            (NoRouteError(), Phase.CONNECT, Cause.NETWORK_UNREACHABLE),
            (DNSLookupError("x"), Phase.RESOLVE, Cause.NAME_UNKNOWN),
            (UnknownHostError(-2, "x"), Phase.RESOLVE, Cause.NAME_UNKNOWN),
            (gaierror(-2, "x"), Phase.RESOLVE, Cause.NAME_UNKNOWN),
            (ConnectionDone(), Phase.CONNECT, Cause.PEER_CLOSED),
            (ConnectionLost(), Phase.CONNECT, Cause.PEER_CLOSED),
        ):
            refused = refusal(error, "there:1")
            assert refused is not None
            self.assertEqual((refused.phase, refused.cause, refused.hop), (phase, cause, "there:1"))
            self.assertIs(refused.__cause__, error)

    def test_numbers(self) -> None:
        """
        The number of the system says more than the type.
        """
        for number, cause in (
            (errno.ECONNREFUSED, Cause.CONNECTION_REFUSED),
            (errno.ETIMEDOUT, Cause.TIMED_OUT),
            (errno.ENETUNREACH, Cause.NETWORK_UNREACHABLE),
            (errno.EADDRNOTAVAIL, Cause.NETWORK_UNREACHABLE),
            (errno.EHOSTUNREACH, Cause.HOST_UNREACHABLE),
            (errno.EPERM, Cause.HOST_UNREACHABLE),
            (errno.ECONNRESET, Cause.PEER_CLOSED),
            (errno.EMFILE, Cause.OVERLOADED),
            (errno.ENOENT, Cause.CONNECTION_REFUSED),
            (errno.EINVAL, Cause.GENERAL),
        ):
            for error in (
                getConnectError((number, os.strerror(number))),
                OSError(number, os.strerror(number)),
                ConnectBindError(number, os.strerror(number)),
            ):
                refused = refusal(error, "there:1")
                assert refused is not None
                self.assertEqual((refused.phase, refused.cause), (Phase.CONNECT, cause))
                if cause is not Cause.CONNECTION_REFUSED:
                    self.assertEqual(refused.detail, os.strerror(number))

    def test_others(self) -> None:
        """
        A refusal stays itself, and what says nothing of the connection too.
        """
        refused = Refused(Cause.GENERAL, Phase.AUTH, "x")
        self.assertIs(refusal(refused, "y"), refused)
        self.assertIsNone(refusal(ValueError("a fault"), "y"))
        for failure in (Failure(refused), Failure(ValueError("a fault"))):
            self.assertIs(refusedAt(failure, "y"), failure)
        self.assertIsInstance(refusedAt(Failure(TimeoutError()), "y").value, Refused)

    def test_renamed(self) -> None:
        """
        What happened at an address happened at the hop that has it, and nothing else
        is renamed.
        """
        refused = Refused(Cause.TIMED_OUT, Phase.CONNECT, "a:1", "detail", "step")
        again = renamed(Failure(refused), "a:1", "socks:a:1").value
        assert isinstance(again, Refused)
        self.assertEqual(
            (again.cause, again.phase, again.hop, again.detail, again.nextStep),
            (Cause.TIMED_OUT, Phase.CONNECT, "socks:a:1", "detail", "step"),
        )
        denied = renamed(Failure(Denied("a:1", "detail", "step")), "a:1", "socks:a:1").value
        assert isinstance(denied, Denied)
        self.assertEqual((denied.hop, denied.detail, denied.nextStep), ("socks:a:1", "detail", "step"))
        for failure in (Failure(refused), Failure(ValueError("a fault"))):
            self.assertIs(renamed(failure, "b:1", "socks:b:1"), failure)

    def test_noTarget(self) -> None:
        """
        A stream without a target is named by its client.
        """
        self.assertIn("192.0.2.7:40000", str(noTarget(StreamInfo(CLIENT, LISTENER))))
