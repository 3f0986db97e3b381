# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Much in C{mtls:}, how it ends, and sessions that go on, with curl and openssl on the other side.
"""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

from OpenSSL import SSL

from ugate.test.interop.asking import curl
from ugate.test.interop.processes import DEADLINE, HOST, Gateway, program
from ugate.test.interop.targets import BLOCK, MEGABYTE, StreamServer, digestOf, webServer
from ugate.test.interop.test_mtls import SPIFFE, MutualTestCase

SIZE = 30 * MEGABYTE


class ListenerTestCase(MutualTestCase):
    """
    Has a listener for alice.
    """

    def listening(self, to: str, config: str = "") -> Gateway:
        """
        A gateway that lets alice in, and leads her there.
        """
        rules = f"policy: {{rules: [{{who: 'certificate:{SPIFFE}', action: allow}}]}}\n"
        identity = self.root.identity("localhost", SPIFFE)
        return self.gate(identity, "mtls:tcp:0", f', to: "{to}"', config=rules + config)


class BulkTests(ListenerTestCase):
    """
    Bytes are what they were.
    """

    def check(self, gateway: Gateway) -> None:
        """
        Much, both ways, in both versions.
        """
        cert = self.keep("client", self.alice())
        url = f"https://localhost:{gateway.port}"
        for version in ("1.2", "1.3"):
            options = ["--cacert", str(self.roots), "--cert", str(cert), "--tls-max", version]
            answer = curl(self, *options, f"{url}/bytes/{SIZE}")
            self.assertEqual((answer.exit, answer.status), (0, 200), answer.errors)
            self.assertEqual(hashlib.sha256(answer.body).hexdigest(), digestOf(SIZE))
            told = curl(self, *options, "-T", "-", f"{url}/up", data=BLOCK * (SIZE // len(BLOCK))).json()
            self.assertEqual(told["sha256"], digestOf(SIZE))

    def test_listener(self) -> None:
        """
        TLS from the client.
        """
        self.check(self.listening(f"{HOST}:{webServer(self).port}"))

    def test_bothSides(self) -> None:
        """
        TLS on both sides of a gateway.
        """
        inner = self.listening(f"{HOST}:{webServer(self).port}")
        way = f"mtls:{HOST}:{inner.port}:name=localhost"
        self.check(self.listening("where.ever:1", f"routes: [{{match: '*', via: '{way}'}}]\n"))

    def test_truncated(self) -> None:
        """
        A client that is gone without an end in TLS has not ended: the server finds its connection reset.
        """
        ends: list[str] = []

        def serve(connection: socket.socket) -> None:
            connection.sendall(b"go on")
            try:
                while connection.recv(65536):
                    pass
                ends.append("clean")
            except ConnectionResetError:
                ends.append("reset")

        server = StreamServer(self, serve)
        gateway = self.listening(f"{HOST}:{server.port}")
        context = self.alice().context()
        for isClean in (False, True):
            with socket.create_connection((HOST, gateway.port), DEADLINE) as below:
                below.setblocking(True)
                client = SSL.Connection(context, below)
                client.set_connect_state()
                client.do_handshake()
                client.sendall(b"half of it")
                self.assertEqual(client.recv(100), b"go on")
                if isClean:
                    client.shutdown()
            server.ended()
        self.assertEqual(ends, ["reset", "clean"])


class ResumedTests(ListenerTestCase):
    """
    Sessions of openssl's.
    """

    def ask(self, gateway: Gateway, option: str, cert: Path, *more: str) -> str:
        """
        What openssl says.
        """
        place = ["-connect", f"{HOST}:{gateway.port}", "-servername", "localhost", "-CAfile", str(self.roots)]
        command = [program("openssl"), "s_client", *place, option, "-ign_eof", "-cert", str(cert), *more]
        done = self.finish(command, b"GET / HTTP/1.0\r\n\r\n")
        return (done.stdout + done.stderr).decode(errors="replace")

    def test_resumed(self) -> None:
        """
        A session goes on.  Who is revoked since does not get in with one, and with another certificate
        begins anew.
        """
        alice = self.alice()
        revoked = self.write("revoked", "# nobody\n")
        self.trust = f", revoked: {revoked}"
        gateway = self.listening(f"{HOST}:{webServer(self).port}")
        cert, other = self.keep("client", alice), self.keep("other", self.alice())
        for option in ("-tls1_2", "-tls1_3"):
            session = str(self.directory / f"session{option}.pem")
            self.assertIn("200 OK", self.ask(gateway, option, cert, "-sess_out", session))
            said = self.ask(gateway, option, cert, "-sess_in", session)
            self.assertIn("Reused, ", said)
            self.assertIn("200 OK", said)
            self.write("revoked", f"{alice.certificate.serial_number:x}\n")
            self.assertNotIn("200 OK", self.ask(gateway, option, cert, "-sess_in", session))
            gateway.waitFor("it is revoked")
            said = self.ask(gateway, option, other, "-sess_in", session)
            self.assertIn("New, ", said)
            self.assertIn("200 OK", said)
            self.write("revoked", "# nobody\n")
