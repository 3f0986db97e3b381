# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for what is measured in network namespaces.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from bench.apart import FAR, LINK, apart, cannot, leads, linked
from bench.child import SampleFailed
from bench.contestants import TUN, TUN_LONG, Hop
from bench.tunnels import TunSingBox, TunUgate


def interfaces() -> list[str]:
    """
    @return: their names.
    """
    return sorted(name for _, name in socket.if_nameindex())


class ApartTests(SynchronousTestCase):
    """
    L{apart}.
    """

    def setUp(self) -> None:
        if reason := cannot():
            raise SkipTest(reason)

    def test_returns(self) -> None:
        """
        What is done there sees a loopback alone, says what came of it, and leaves us where we are.
        """
        before = interfaces()
        here = os.readlink("/proc/self/ns/net")
        seen, there = apart(lambda: (interfaces(), os.readlink("/proc/self/ns/net")))
        self.assertEqual(seen, ["lo"])
        self.assertNotEqual(there, here)
        self.assertEqual((interfaces(), os.readlink("/proc/self/ns/net")), (before, here))

    def test_raises(self) -> None:
        """
        What is wrong there is raised here, also if the process ends without a word.
        """

        def fail() -> None:
            raise SampleFailed("it fell over")

        self.assertEqual(str(self.assertRaises(SampleFailed, apart, fail)), "it fell over")
        error = self.assertRaises(SampleFailed, apart, lambda: os._exit(3))
        self.assertIn("ended", str(error))

    def test_linked(self) -> None:
        """
        Another host is reached by the link, and what listens there is not here.
        """

        def work() -> tuple[bytes, bool, list[str]]:
            with linked() as place:
                with place.entered():
                    listening = socket.create_server((place.host, 0))
                with socket.create_connection(listening.getsockname(), timeout=10) as client:
                    accepted, _ = listening.accept()
                    accepted.sendall(b"far")
                    return client.recv(3), leads(LINK), interfaces()

        self.assertEqual(apart(work), (b"far", True, [LINK, "lo"]))


class TunnelTests(SynchronousTestCase):
    """
    Devices.
    """

    def test_commands(self) -> None:
        """
        Both have packets of the same length, and lead only targets into their device.
        """
        place = Path(self.mktemp())
        directory = place / "round" / "hop0"
        directory.mkdir(parents=True)
        peer = TunSingBox()
        peer.program = "/bin/true"
        for front, mtu in ((TUN, 1500), (TUN_LONG, 9000)):
            hop = Hop(directory, {"echo": 1}, {"echo": 2}, front)
            for contestant in (TunUgate(), peer):
                command = contestant.command(hop)
                self.assertFalse(command.accepts)
                self.assertIsNotNone(command.isUp)
            self.assertIn(f":mtu={mtu}'", (directory / "ugate.yaml").read_text())
            (inbound,) = json.loads((directory / "sing-box.json").read_text())["inbounds"]
            self.assertEqual((inbound["mtu"], inbound["stack"]), (mtu, "system"))
            self.assertIn(FAR.rpartition(".")[0], inbound["route_address"][0])
