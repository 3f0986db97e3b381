# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh:} with paramiko.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from ugate.test.interop.processes import DEADLINE, HOST, freePort
from ugate.test.interop.sshlibraries import DATA, NAME, LibraryTestCase, answered
from ugate.test.interop.sshpeers import package
from ugate.test.interop.targets import MEGABYTE, readAll, readExactly


class ParamikoTests(LibraryTestCase):
    """
    paramiko.
    """

    def setUp(self) -> None:
        super().setUp()
        self.paramiko = package("paramiko")
        # It complains there of what is tested here.
        logging.getLogger("paramiko").addHandler(logging.NullHandler())

    def test_client(self) -> None:
        """
        By each kind of key, a certificate and a password it gets in, and by no others; what it sends and gets
        is whole, with new keys in between, and so is what comes for a name that it publishes.
        """
        gateway, paramiko = self.closedGate(), self.paramiko
        files = (*self.keys, self.certified, self.stranger)
        *keys, stranger = (paramiko.PKey.from_path(str(each)) for each in files)
        ways = [{"pkey": key} for key in keys] + [{"password": "secret"}]
        for way, means in zip(ways, (*["key"] * len(self.keys), "certificate", "password"), strict=True):
            client = self._connect(gateway.port, **way)
            _, said, _ = client.exec_command("status")
            self.assertIn(f"You are bob ({means})".encode(), said.read())
            self.assertEqual(0, said.channel.recv_exit_status())
        # It asks for the login before each of these.
        several = {"key_filename": [str(self.stranger), str(self.keys[0])], "password": "wrong"}
        self._connect(gateway.port, **several)
        transport = client.get_transport()
        self._carries(transport)
        transport.request_port_forward(NAME, 80, lambda channel, *_: self._serves(channel))
        self.assertVisited(gateway)
        transport.cancel_port_forward(NAME, 80)
        self.assertNotEqual(b"200", self.visit(gateway)[:3])
        for wrong in ({"pkey": stranger}, {"password": "wrong"}):
            with self.assertRaises(paramiko.AuthenticationException):
                self._connect(gateway.port, **wrong)
        self.assertLogged(gateway)

    def _carries(self, transport: Any) -> None:
        channel = transport.open_channel("direct-tcpip", (HOST, self.server.port), (HOST, 1))
        channel.settimeout(DEADLINE)
        channel.sendall(DATA[:MEGABYTE])
        transport.renegotiate_keys()
        channel.sendall(DATA[MEGABYTE:])
        channel.shutdown_write()
        begin = readExactly(channel, MEGABYTE)
        # While it exchanges keys it is stuck with a channel that is closed: more has to come.
        transport.renegotiate_keys()
        self.assertAnswer(begin + readAll(channel))
        channel.close()
        with self.assertRaises(self.paramiko.ChannelException) as caught:
            transport.open_channel("direct-tcpip", (HOST, freePort()), (HOST, 1))
        self.assertEqual(2, caught.exception.code)

    def _serves(self, channel: Any) -> None:
        def serve() -> None:
            answered(channel)
            channel.close()

        threading.Thread(target=serve, daemon=True).start()

    def _connect(self, port: int, **ways: Any) -> Any:
        client = self.paramiko.SSHClient()
        self.addCleanup(client.close)
        client.set_missing_host_key_policy(self.paramiko.AutoAddPolicy())
        client.connect(HOST, port, "bob", allow_agent=False, look_for_keys=False, timeout=DEADLINE, **ways)
        return client
