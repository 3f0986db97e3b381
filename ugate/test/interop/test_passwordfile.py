# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A gateway that others reach: nobody gets through without a password, and it does not start without one.
"""

from __future__ import annotations

from contextlib import ExitStack

from ugate.test.interop.asking import connect, connected, curl, readHead, socks4
from ugate.test.interop.peers import PASSWORD, USER
from ugate.test.interop.processes import HOST, InteropTestCase, freePort, twistd
from ugate.test.interop.targets import StreamServer, echo, readExactly, webServer
from ugate.test.interop.test_clients import passwordLine

EVERYWHERE = "interface=0.0.0.0"


class PasswordFileTests(InteropTestCase):
    """
    A listener on every address, with a password file.
    """

    def setUp(self) -> None:
        super().setUp()
        self.users = self.write("users", passwordLine() + passwordLine("bob", "pa:ss wörd"))
        self.gateway = self.ugate(
            config=f"""
listen: {{main: "auto:tcp:0:{EVERYWHERE}"}}
policy: {{users: "{self.users}", rules: [{{action: allow}}]}}
"""
        )
        self.server = webServer(self)

    def _codes(self, scheme: str, login: str, *more: str) -> tuple[int, int, int]:
        url = f"http://{HOST}:{self.server.port}/who"
        user = ["-U", login] if login else []
        answer = curl(self, "-x", self.gateway.url(scheme), *user, *more, url)
        return answer.exit, answer.status, answer.connect

    def test_good(self) -> None:
        """
        A good password by each protocol that can say one, and an odd one.
        """
        for login in (f"{USER}:{PASSWORD}", "bob:pa:ss wörd"):
            self.assertEqual(self._codes("socks5h", login), (0, 200, 0))
            self.assertEqual(self._codes("http", login), (0, 200, 0))
            self.assertEqual(self._codes("http", login, "-p"), (0, 200, 200))
        self.gateway.waitFor(f"socks5 {USER}: ")
        self.gateway.waitFor("socks5 bob: ")
        self.assertNotIn(PASSWORD, self.gateway.said())

    def test_bad(self) -> None:
        """
        A wrong password, an unknown user, and nothing at all.
        """
        for login in (f"{USER}:wrong", f"mallory:{PASSWORD}", ""):
            self.assertEqual(self._codes("socks5h", login), (97, 0, 0), login)
            self.assertEqual(self._codes("http", login), (0, 407, 0), login)
            self.assertEqual(self._codes("http", login, "-p"), (56, 0, 407), login)
        self.assertNotIn("wrong:", self.gateway.said())

    def test_socks4(self) -> None:
        """
        SOCKS4 has no passwords, so it has no way in.
        """
        with connected(self.gateway.port) as client:
            self.assertIn(socks4(client, HOST, self.server.port), (91, 93))

    def test_wire(self) -> None:
        """
        What SOCKS5 and HTTP say to who has no password.
        """
        with connected(self.gateway.port) as client:
            client.sendall(b"\x05\x01\x00")
            self.assertEqual(readExactly(client, 2), b"\x05\xff")
            self.assertEqual(client.recv(1), b"")
        with connected(self.gateway.port) as client:
            status, fields = connect(client, HOST, self.server.port)
            self.assertEqual(status, 407)
            self.assertIn("Basic realm=", fields["proxy-authenticate"])
        with connected(self.gateway.port) as client:
            client.sendall(b"\x05\x01\x02\x01\x05alice\x05wrong")
            self.assertEqual(readExactly(client, 4), b"\x05\x02\x01\x01")
            self.assertEqual(client.recv(1), b"")

    def test_againAfter407(self) -> None:
        """
        Most clients ask without a password first, and again on the same connection.
        """
        at = f"{HOST}:{self.server.port}"
        with connected(self.gateway.port) as client:
            for login, expected in (
                ("", 407),
                ("Proxy-Authorization: Basic YWxpY2U6cmFiYml0LWhvbGU=\r\n", 200),
            ):
                client.sendall(f"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n{login}\r\n".encode())
                status, fields = readHead(client)
                self.assertEqual(status, expected)
                readExactly(client, int(fields.get("content-length", 0)))

    def test_changedFile(self) -> None:
        """
        The file is read again when it has changed.
        """
        self.assertEqual(self._codes("socks5h", "carol:new"), (97, 0, 0))
        self.write("users", passwordLine("carol", "new"))
        self.assertEqual(self._codes("socks5h", "carol:new"), (0, 200, 0))
        self.assertEqual(self._codes("socks5h", f"{USER}:{PASSWORD}"), (97, 0, 0))

    def test_othersMeanwhile(self) -> None:
        """
        While passwords are checked, which takes the processor, streams that are up go on.
        """
        server = StreamServer(self, echo)
        with ExitStack() as kept:
            first = kept.enter_context(connected(self.gateway.port))
            first.sendall(b"\x05\x01\x02\x01\x05alice\x0brabbit-hole")
            self.assertEqual(readExactly(first, 4), b"\x05\x02\x01\x00")
            first.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + server.port.to_bytes(2, "big"))
            readExactly(first, 10)
            for number in range(20):
                guessing = kept.enter_context(connected(self.gateway.port))
                guessing.sendall(b"\x05\x01\x02\x01\x05alice\x02%02d" % number)
            for _ in range(20):
                first.sendall(b"ping")
                self.assertEqual(readExactly(first, 4), b"ping")


class StartTests(InteropTestCase):
    """
    What may not start does not, and says why.
    """

    def _refused(self, *options: str) -> str:
        done = self.finish(twistd("-n", "--pidfile=", "ugate", *options))
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn(b"Traceback", done.stdout + done.stderr)
        self.assertNotIn(b"listening on", done.stdout)
        # What goes wrong when the log is up already is told there.
        return (done.stderr or done.stdout).decode()

    def test_open(self) -> None:
        """
        A listener on every address without users: the sentence says what to change.
        """
        for address in (EVERYWHERE, "", "interface=192.0.2.1"):
            listen = f"main=auto:tcp:{freePort()}" + (f":{address}" if address else "")
            said = self._refused("--listen", listen)
            self.assertIn(
                f"listener main ({listen.removeprefix('main=')}) would carry the streams of anybody", said
            )
            self.assertIn("interface=127.0.0.1", said)
            self.assertIn("policy.users", said)
            self.assertIn("open: true", said)

    def test_declaredOpen(self) -> None:
        """
        Unless the configuration says that this is wanted.
        """
        gateway = self.ugate(
            config=f'listen: {{main: {{endpoint: "auto:tcp:0:{EVERYWHERE}", open: true}}}}\n'
            "policy: {rules: [{action: allow}]}\n"
        )
        server = webServer(self)
        answer = curl(self, "-x", gateway.url("socks5h"), f"http://{HOST}:{server.port}/who")
        self.assertEqual((answer.exit, answer.status), (0, 200), answer.errors)
        gateway.waitFor("socks5 anyone: ")

    def test_behindOthers(self) -> None:
        """
        A PROXY header says that the streams are those of others, so loopback is no proof.
        """
        said = self._refused("--listen", f"main=auto:proxyproto:tcp:{freePort()}:interface={HOST}")
        self.assertIn("would carry the streams of anybody", said)

    def test_readableByAll(self) -> None:
        """
        A password file that everybody may read.
        """
        users = self.write("users", passwordLine(), 0o644)
        config = self.write("gate.yaml", f'policy: {{users: "{users}", rules: [{{action: allow}}]}}\n')
        self.assertIn("chmod o-rwx", self._refused("--config", str(config)))

    def test_portTaken(self) -> None:
        """
        Something else listens there.
        """
        server = webServer(self)
        listen = f"main=auto:tcp:{server.port}:interface={HOST}"
        said = self._refused("--listen", listen)
        self.assertIn(f"listener main ({listen.removeprefix('main=')}) cannot listen", said)
        self.assertIn("Address already in use", said)
