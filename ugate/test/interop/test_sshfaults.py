# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What goes wrong with SSH in the middle of streams: somebody is killed.
"""

from __future__ import annotations

import socket
import struct

from ugate.test.interop.asking import connected
from ugate.test.interop.processes import HOST, LOOPBACK, Gateway, freePort, program, waitUntil
from ugate.test.interop.sshpeers import SSHTestCase
from ugate.test.interop.taps import Tap
from ugate.test.interop.targets import BLOCK, MEGABYTE, StreamServer, readExactly

ENOUGH = 20
"""Megabytes that are not in buffers alone."""


def pouring(connection: socket.socket) -> None:
    """
    A function for L{StreamServer}: much, without an end, if the client says hello.
    """
    if connection.recv(1):
        while True:
            connection.sendall(BLOCK)


def swallowing(connection: socket.socket) -> None:
    """
    A function for L{StreamServer}: fails when there is an end.
    """
    while connection.recv(MEGABYTE):
        pass
    raise EOFError("it ended as if that was all")


def resetting(connection: socket.socket) -> None:
    """
    A function for L{StreamServer}: a megabyte, and then it is as if its machine had lost its memory.
    """
    connection.sendall(BLOCK)
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class FaultTests(SSHTestCase):
    """
    Somebody is killed while two streams carry bulk, one each way: who is on the other side of it hears of a
    cut, the log says why, and nothing is left of it.
    """

    def setUp(self) -> None:
        super().setUp()
        self.pours, self.swallows = StreamServer(self, pouring), StreamServer(self, swallowing)
        self.gateway = self.gate()

    def bulk(self, pours: int, swallows: int) -> tuple[socket.socket, socket.socket]:
        """
        Two streams that are in the middle of it.
        """
        down, up = (self.through(each) for each in (pours, swallows))
        down.sendall(b"!")
        readExactly(down, ENOUGH * MEGABYTE)
        for _ in range(ENOUGH):
            up.sendall(BLOCK)
        return down, up

    def through(self, port: int) -> socket.socket:
        """
        A connection.
        """
        connection = connected(port)
        self.addCleanup(connection.close)
        return connection

    def assertCut(self, down: socket.socket, up: socket.socket) -> None:
        """
        Both hear of it.
        """
        self.assertReset(down)
        with self.assertRaises((ConnectionResetError, BrokenPipeError)):
            while True:
                up.sendall(BLOCK)

    def assertReset(self, connection: socket.socket) -> None:
        """
        What is read does not end as if it was whole.
        """
        with self.assertRaises(ConnectionResetError):
            while connection.recv(MEGABYTE):
                pass
            self.fail("it ended as if that was all")

    def assertGone(self, gateway: Gateway, before: int, via: str = "") -> None:
        """
        Both streams are over, the log says why, and they have left no descriptor.
        """
        ports = (f"{HOST}:{self.pours.port} ", f"{HOST}:{self.swallows.port} ")

        def lines() -> list[str]:
            said = gateway.said().splitlines()
            return [each for each in said if any(port in each for port in ports) and " sent, " in each]

        waitUntil(lambda: len(lines()) >= 2, f"two lines in the log: {lines()}")
        for line in lines()[-2:]:
            self.assertIn(via, line)
            self.assertRegex(line, " s, the (peer has closed the connection|connection was lost)$")
        waitUntil(lambda: gateway.descriptors() <= before, f"{before} descriptors again")

    def assertTold(self, before: int = 0) -> None:
        """
        The servers were told that what they have is not the whole.

        @param before: how often they had been told something before that.
        """
        servers = self.pours, self.swallows
        waitUntil(lambda: all(len(each.failures) > before for each in servers), "the servers are told")
        for each in servers:
            self.assertIsInstance(each.failures[-1], (ConnectionResetError, BrokenPipeError))

    def test_client(self) -> None:
        """
        The client of OpenSSH is killed; and then the gateway, and the client ends by itself.
        """
        self.assertEqual(0, self.asks(self.gateway.port).returncode)
        before = self.gateway.descriptors()
        local, other = freePort(), freePort()
        options = (f"-L{local}:{HOST}:{self.pours.port}", local, f"-L{other}:{HOST}:{self.swallows.port}")
        client = self.forwarding(self.gateway.port, *options)
        self.bulk(local, other)
        client.kill()
        self.assertTold()
        self.assertGone(self.gateway, before)
        client = self.forwarding(self.gateway.port, *options)
        self.bulk(local, other)
        self.gateway.kill()
        self.assertEqual(255, client.wait())

    def test_hop(self) -> None:
        """
        The target, the gateway, and then that which had it as a hop.
        """
        wire = Tap(self, self.gateway.port)
        scan = program("ssh-keyscan", "openssh-client")
        known = self.write("hosts", self.finish([scan, "-p", str(wire.port), HOST]).stdout.decode())
        resets = StreamServer(self, resetting)
        targets = {"pours": self.pours, "swallows": self.swallows, "resets": resets}
        ports = "".join(
            f"  {name}: 'forward:tcp:0:{LOOPBACK}:to={HOST}\\:{each.port}'\n"
            for name, each in targets.items()
        )
        via = f"ssh:bob@{HOST}:{wire.port}:known={known}"
        side = self.ugate(
            *("--state", str(self.directory / "side")),
            config=f"listen:\n{ports}routes: [{{match: '*', via: '{via}'}}]\n",
        )
        reset = self.through(side.ports["resets"])
        readExactly(reset, MEGABYTE)
        before, after = self.gateway.descriptors() - 1, side.descriptors() - 1
        reset.sendall(b"!")
        self.assertReset(reset)
        streams = self.bulk(side.ports["pours"], side.ports["swallows"])
        self.gateway.kill()
        self.assertCut(*streams)
        self.assertGone(side, after, via)
        self.gateway = self.gate()
        wire.to = self.gateway.port
        self.bulk(side.ports["pours"], side.ports["swallows"])
        side.kill()
        self.assertTold(1)
        self.assertGone(self.gateway, before)
