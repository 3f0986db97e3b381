# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tlsmemory}.
"""

from __future__ import annotations

from types import SimpleNamespace

from OpenSSL import SSL

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols import tlsmemory
from ugate.protocols.tlsmemory import canLeave, out, shake, takeOut
from ugate.test.mtlsfakes import ALICE, SERVER
from ugate.test.tlssocketfakes import shaken


def errors() -> int:
    """
    What is in OpenSSL's list of errors.
    """
    from OpenSSL._util import lib

    number: int = lib.ERR_peek_error()
    return number


def ends(version: int = 0) -> tuple[SSL.Connection, SSL.Connection]:
    """
    A client and a server that have said nothing yet.
    """
    context = ALICE.context()
    context.set_options(version)
    client, server = SSL.Connection(context, None), SSL.Connection(SERVER.context(), None)
    client.set_connect_state()
    server.set_accept_state()
    return client, server


def shakeAll(client: SSL.Connection, server: SSL.Connection) -> list[bool]:
    """
    What each step of the two has returned.
    """
    steps, sent = [], b""
    for _ in range(3):
        for each in (client, server):
            steps.append(shake(each, sent))
            sent = out(each)
    return steps


class MemoryTests(SynchronousTestCase):
    """
    Handshakes, by the inside of pyOpenSSL.
    """

    def test_through(self) -> None:
        """
        Each end says when it is through.
        """
        # TLS 1.3: the client is first; the last two are tickets, and nothing.
        self.assertEqual(shakeAll(*ends()), [False, False, True, True, True, True])
        steps = shakeAll(*ends(SSL.OP_NO_TLSv1_3))
        self.assertEqual(steps, [False, False, False, True, True, True])

    def test_byteByByte(self) -> None:
        """
        A handshake may come in any pieces.
        """
        client, server = ends()
        shake(client, b"")
        *first, last = out(client)
        for byte in first:
            self.assertFalse(shake(server, bytes((byte,))))
            self.assertEqual(out(server), b"")
        self.assertFalse(shake(server, bytes((last,))))
        self.assertNotEqual(out(server), b"")

    def test_long(self) -> None:
        """
        All is sent that there is, also what is as long as one read, or longer.
        """
        client, server = shaken()
        for size in (4096 - 22, 4096, 16384 * 3):
            for at in range(0, size, 16384):
                server.send(b"x" * min(16384, size - at))
            sent = out(server)
            self.assertGreater(len(sent), size)
            self.assertEqual(out(server), b"")
            client.bio_write(sent)
            received = b"".join(client.recv(16384) for _ in range(-(-size // 16384)))
            self.assertEqual(received, b"x" * size)

    def test_broken(self) -> None:
        """
        What fails is raised as pyOpenSSL does it, with an alert for the peer, and what is in OpenSSL's
        list of errors is not left to others.
        """
        _, server = ends()
        error = self.assertRaises(SSL.Error, shake, server, b"\x16\x03\x01\x00\x04\x02\x00\x00\x00")
        self.assertNotEqual(error.args, ([],))
        self.assertEqual(out(server)[0], 21)
        self.assertEqual(errors(), 0)


class PublicTests(MemoryTests):
    """
    With a pyOpenSSL that is otherwise inside, by what is public.
    """

    def setUp(self) -> None:
        self.patch(tlsmemory, "inside", lambda kind: None)


class InsideTests(SynchronousTestCase):
    """
    What is only done by the inside.
    """

    def test_othersErrors(self) -> None:
        """
        What somebody else has left there is not ours.
        """
        from OpenSSL._util import lib

        client, server = ends()
        lib.ERR_put_error(20, 0, 100, b"", 0)
        self.assertTrue(all(shakeAll(client, server)[-2:]))

    def test_takeOut(self) -> None:
        """
        What has come, and whether that was all; an end that broke leaves no error to others.
        """
        client, server = shaken()
        self.assertEqual(takeOut(server), (b"", False))
        client.send(b"hello")
        client.shutdown()
        server.bio_write(out(client))
        self.assertEqual(takeOut(server), (b"hello", True))
        client, server = shaken()
        client.send(b"hello")
        server.bio_write(out(client) + b"nonsense")
        self.assertEqual(takeOut(server), (b"hello", True))
        self.assertEqual(errors(), 0)


class CanLeaveTests(SynchronousTestCase):
    """
    What is needed of the inside.
    """

    def test_inside(self) -> None:
        """
        It must be there.
        """
        self.addCleanup(tlsmemory.inside.cache_clear)
        self.assertTrue(canLeave(shaken()[1]))
        self.assertFalse(canLeave(SimpleNamespace(_ssl=None)))
        self.patch(tlsmemory, "_NEEDED", ("SSL_of_tomorrow",))
        tlsmemory.inside.cache_clear()
        self.assertFalse(canLeave(shaken()[1]))
