# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What L{ugate.endpoints.captured} asks of sockets.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from ugate.endpoints.captured import Capture, CapturedServerEndpoint, originalTarget, ownTarget
from ugate.endpoints.connecting import IP_TRANSPARENT
from ugate.errors import ListenRefused
from ugate.stream import Target
from ugate.test.dialfakes import Net, Recorders


class SocketTests(SynchronousTestCase):
    """
    What is asked of sockets.
    """

    def test_notRedirected(self) -> None:
        """
        A connection that nobody has redirected has no original destination, or its own; and a name.
        """
        with socket.create_server(("127.0.0.1", 0)) as listening:
            name = Target(*listening.getsockname())
            with socket.create_connection(listening.getsockname()):
                accepted = listening.accept()[0]
                with accepted:
                    self.assertEqual(ownTarget(accepted), name)
                    try:
                        found = originalTarget(accepted)
                    except OSError as error:
                        self.assertIn(error.errno, (errno.ENOENT, errno.ENOPROTOOPT))
                    else:
                        self.assertEqual(found, name)

    def test_original(self) -> None:
        """
        The answer of the kernel, of both families.
        """

        class Connected:
            def __init__(self, host: str, packed: bytes) -> None:
                self.host, self.packed = host, packed
                self.asked: Any = None

            def getsockname(self) -> tuple[str, int]:
                return self.host, 15001

            def getsockopt(self, *asked: int) -> bytes:
                self.asked = asked
                return self.packed

        four = b"\x02\x00\x15\x38" + socket.inet_aton("203.0.113.9") + bytes(8)
        six = b"\x0a\x00\x01\xbb" + bytes(4) + socket.inet_pton(socket.AF_INET6, "2001:db8::9") + bytes(4)
        for host, packed, target, level in (
            ("127.0.0.1", four, Target("203.0.113.9", 5432), socket.IPPROTO_IP),
            ("::ffff:127.0.0.1", four, Target("203.0.113.9", 5432), socket.IPPROTO_IP),
            ("::1", six, Target("2001:db8::9", 443), socket.IPPROTO_IPV6),
        ):
            connected: Any = Connected(host, packed)
            self.assertEqual(originalTarget(connected), target)
            self.assertEqual(connected.asked, (level, 80, len(packed)))

    def test_transparent(self) -> None:
        """
        The socket of tproxy: may have the addresses of others, or listening fails and nothing is left.
        """

        class Listening(socket.socket):
            options: list[Any] = []
            error: OSError | None = None

            def setsockopt(self, *args: Any) -> None:
                if self.error is not None:
                    raise self.error
                self.options.append(args)

        class Port:
            stopped = False

            def __init__(self) -> None:
                self.socket = Listening()

            def stopListening(self) -> None:
                self.stopped = True

        port = Port()
        self.addCleanup(port.socket.close)
        inner: Any = type("Inner", (), {"listen": lambda self, factory: succeed(port)})()
        endpoint = CapturedServerEndpoint(Net(), inner, Capture("tproxy"))
        self.assertIs(self.successResultOf(endpoint.listen(Recorders())), port)
        self.assertEqual(port.socket.options, [(socket.IPPROTO_IP, IP_TRANSPARENT, 1)])
        port.socket.error = PermissionError(errno.EPERM, "no")
        error = self.failureResultOf(endpoint.listen(Recorders()), ListenRefused)
        self.assertIn("CAP_NET_ADMIN", error.getErrorMessage())
        self.assertTrue(port.stopped)
