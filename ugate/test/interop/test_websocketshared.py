# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The hop C{websocket:} in TLS: on one connection in HTTP/2 to servers that take tunnels there, and else on one
for each.
"""

from __future__ import annotations

from pathlib import Path

from ugate.tenancy.passwordhashes import PasswordHash
from ugate.test.interop.envoys import envoyFront
from ugate.test.interop.processes import HOST, LOOPBACK, Gateway, freePort
from ugate.test.interop.targets import readExactly
from ugate.test.interop.test_websocket import WebSocketTestCase
from ugate.test.tlsfakes import Issuer


class SharedTests(WebSocketTestCase):
    """
    What is in front speaks TLS, by a certificate that the hop believes.
    """

    limit = 120.0

    def setUp(self) -> None:
        super().setUp()
        self.root = Issuer("root")
        self.roots = self.write("roots.pem", self.root.pem().decode())
        self.identity: Path = self.write("identity.pem", self.root.identity("localhost").pem().decode())
        users = self.write("users", f"alice:{PasswordHash.ofPassword(b'secret', ln=10)}\n")
        self.login = f":user=alice:passwordFile={self.write('password', 'secret')}"
        self.policy = f"policy: {{users: {users}, rules: [{{action: allow}}]}}\n"

    def behind(self) -> Gateway:
        """
        A gateway behind a web server, where everybody has to log in.
        """
        listen = f"websocket:tcp:0:{LOOPBACK}:path=/tunnel:proxied=yes"
        return self.ugate(config=f"listen: {{main: '{listen}'}}\n" + self.policy)

    def hopTo(self, port: int, target: int, *more: str) -> Gateway:
        """
        A gateway that sends all by a hop to what is in front.
        """
        hop = f"websocket:localhost:{port}:tls=yes:path=/tunnel" + "".join(more)
        return self.ugate(
            *("--route", f"*={hop}"),
            listen=f"forward:tcp:0:{LOOPBACK}:to={HOST}\\:{target}",
            env={"SSL_CERT_FILE": str(self.roots)},
        )

    def connections(self, port: int) -> int:
        """
        How many connections to a port are up.
        """
        wanted = f"0100007F:{port:04X} 01"
        lines = Path("/proc/net/tcp").read_text().splitlines()
        return sum(wanted == " ".join(line.split()[2:4]) for line in lines)

    def assertShares(self, port: int, gate: Gateway, who: str, login: str = "", connections: int = 1) -> None:
        """
        What is at a port leads to the gate: bulk both ways, halves, and a server that speaks first; three
        streams at once are on so many connections; and it is said why there is none.
        """
        server = self.server()
        side = self.hopTo(port, server.port, login)
        self.assertCarries(side.port)
        many = [self.connect(side.port) for _ in range(3)]
        for each in many:
            self.assertEqual(b"220 ready\n", readExactly(each, 10))
        self.assertEqual(connections, self.connections(port))
        for each in many:
            each.close()
        server.ended()
        gate.waitFor(f"-> {HOST}:{server.port} websocket {who}")
        self.assertIn("connection refused", self.refusedBy(self.hopTo(port, freePort(), login)))

    def test_ours(self) -> None:
        """
        On both sides ours.
        """
        folder = self.directory / "gate"
        self.root.write(folder, "localhost")
        listen = f"h2connect:mtls:tcp:0:{LOOPBACK}:anonymous=only:websocket=/tunnel"
        gate = self.ugate(
            config=f"identity: {{dir: {folder}}}\nlisten: {{main: '{listen}'}}\n"
            "policy: {rules: [{action: allow}]}\n"
        )
        self.assertShares(gate.port, gate, "operator")

    def test_envoy(self) -> None:
        """
        Through Envoy, which takes extended CONNECT.
        """
        gate = self.ugate(listen=f"h2connect:tcp:0:{LOOPBACK}:websocket=/tunnel:hosts=localhost")
        self.assertShares(envoyFront(self, gate.port, (self.identity, self.roots)), gate, "operator")

    def test_haproxy(self) -> None:
        """
        Through HAProxy, which takes extended CONNECT, and makes an upgrade of it; each tunnel has its login.
        """
        gate = self.behind()
        port = self.haproxy(gate.port, self.identity)
        self.assertShares(port, gate, "alice", self.login)
        self.assertIn("401", self.refusedBy(self.hopTo(port, freePort())))

    def test_nginx(self) -> None:
        """
        Through nginx, which speaks HTTP/2 and does not take it: each has a connection, and a login.
        """
        gate = self.behind()
        port = self.nginx(gate.port, self.identity)
        self.assertShares(port, gate, "alice", self.login, 3)
        self.assertIn("401", self.refusedBy(self.hopTo(port, freePort())))
