# -*- test-case-name: ugate.test.interop.test_sshpublishing -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh -R} with the client of OpenSSH: jump targets, names and ports.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

from ugate.test.interop.processes import DEADLINE, HOST, LOOPBACK, Child, freePort, program, waitUntil
from ugate.test.interop.sshpeers import SSHTestCase, poured, serveSSH, summed, without
from ugate.test.interop.targets import StreamServer, echo, readAll, webServer
from ugate.test.tlsfakes import Issuer

WIKI, ENDED = "wiki.bob.example", "ended.bob.example"


class PublishingCase(SSHTestCase):
    """
    A gate for bob, who may have names, and eve, who may share one of them.
    """

    def setUp(self) -> None:
        super().setUp()
        self.keys = {name: self.key(name) for name in ("bob", "eve")}
        lines = "".join(key.with_suffix(".pub").read_text() for key in self.keys.values())
        self.open, self.tls = freePort(), freePort()
        self.root = Issuer("root")
        self.roots = self.write("roots.pem", self.root.pem().decode())
        servers = self.directory / "servers"
        servers.mkdir()
        self.write("servers/ended.pem", self.root.identity(ENDED).pem().decode())
        self.far = StreamServer(self, echo)
        self.egress = freePort()
        # Short, for the paths of sockets.
        self.folder = Path(tempfile.mkdtemp()).resolve()
        self.addCleanup(shutil.rmtree, self.folder)
        config = (
            f"listen:\n  main: 'ssh:tcp:0:{LOOPBACK}'\n"
            f"  web: {{endpoint: 'auto:tcp:0:{LOOPBACK}', open: true}}\n"
            f"  tls: 'sni:tcp:{self.tls}:{LOOPBACK}:names={WIKI}:ends={ENDED}:port={self.tls}'\n"
            f"identity: {{servers: {servers}}}\n"
            f"policy: {{keys: {self.write('keys', lines)}, rules: [{{action: allow}}, "
            f"{{action: allow, target: ['unix:{self.folder}/*.sock', 'unix:{self.folder}/served/*']}}]}}\n"
            f"routes: [{{match: '{HOST}:{self.far.port}', via: 'mesh -> socks:bob:{self.egress}'}}]\n"
            f"nodes:\n  bob: {{who: 'key:bob', hosts: '*.bob.example', ports: {self.open}, "
            f"sockets: {self.folder}}}\n"
            f"  all: {{who: 'key:*', hosts: shared.example}}\n"
        )
        self.gateway = self.ugate("--state", str(self.directory / "state"), config=config)
        self.port = self.gateway.port
        self.proxy = f"http://{HOST}:{self.gateway.ports['web']}"

    def client(self, *options: str, name: str = "bob") -> Child:
        """
        Somebody publishes.
        """
        options = (*self.options(self.port, self.keys[name]), "-v", "-N", *options)
        kept = without(list(options), "LogLevel=ERROR")
        return self.spawn([self.ssh, *kept, f"me@{HOST}"], stdin=subprocess.DEVNULL)

    def publish(self, place: str, *options: str, name: str = "bob") -> Child:
        """
        The same, and the gate has said yes.
        """
        child = self.client("-R", place, *options, name=name)
        child.waitFor("remote forward success")
        return child

    def curl(self, url: str, *options: str) -> subprocess.CompletedProcess[bytes]:
        """
        Ask the gate's proxy.
        """
        return self.finish([program("curl"), "-sS", "-m", "20", "-x", self.proxy, *options, url])


class JumpTests(PublishingCase):
    """
    Machines behind the client.
    """

    def test_jump(self) -> None:
        """
        C{-R 0} and C{-R 15022}: C{ssh -J} through the gate reaches an sshd behind the client, and scp too.
        """
        host, user = self.key("host"), self.key("user")
        inner, _ = serveSSH(
            self,
            host,
            f"AuthorizedKeysFile {user}.pub\nStrictModes no\nPermitRootLogin yes\nPrintMotd no\n"
            "Subsystem sftp internal-sftp\n",
        )
        for place, port in (("0", 22), ("15022", 22), ("15022", 15022)):
            child = self.publish(f"{place}:{HOST}:{inner}")
            if place == "0":
                self.assertRegex(child.said(), r"Allocated port 491\d\d for remote forward")
            config = self.write(
                "config",
                f"Host *\nUserKnownHostsFile {self.directory}/known\nStrictHostKeyChecking accept-new\n"
                f"BatchMode yes\nLogLevel ERROR\nIdentitiesOnly yes\n"
                f"Host gate\nHostName {HOST}\nPort {self.port}\nIdentityFile {self.keys['eve']}\n"
                f"Host bob\nPort {port}\nUser {getpass.getuser()}\nIdentityFile {user}\n",
            )
            done = self.finish([self.ssh, "-F", str(config), "-J", "gate", "bob", "echo $SSH_CONNECTION"])
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertEqual(f"{inner}", done.stdout.split()[-1].decode())
            data = self.write("data", "x" * 3_000_000)
            scp = [program("scp", "openssh-client"), "-q", "-F", str(config), "-J", "gate"]
            done = self.finish([*scp, str(data), f"bob:{self.directory}/copy"])
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertEqual(data.read_bytes(), (self.directory / "copy").read_bytes())
            child.end()
            self.gateway.waitFor("publishes bob:")

    def test_proxy(self) -> None:
        """
        C{-R PORT} alone: the client is a proxy, by which the gate goes where a route says.
        """
        target = f"{HOST}:{self.far.port}"
        self.publish(str(self.egress))
        with connected(self, self.gateway.ports["web"], target) as connection:
            connection.sendall(b"hello")
            self.assertEqual(b"hello", connection.recv(5))

    def test_bulk(self) -> None:
        """
        200 MB each way at once to what a client publishes, with every byte in its place.
        """
        up, down = StreamServer(self, summed), StreamServer(self, poured)
        self.publish(f"up.bob.example:1:{HOST}:{up.port}", "-R", f"down.bob.example:1:{HOST}:{down.port}")
        self.gateway.waitFor("publishes down.bob.example:1")
        web = self.gateway.ports["web"]
        self.assertBothWays(
            lambda: connected(self, web, "down.bob.example:1"),
            lambda: connected(self, web, "up.bob.example:1"),
        )


class OtherClientTests(SSHTestCase):
    """
    Clients that are not OpenSSH's.
    """

    def test_dropbear(self) -> None:
        """
        That of Dropbear, on a gate that is open on this machine.
        """
        client = program("dbclient", "dropbear-bin")
        server = StreamServer(self, echo)
        gateway = self.ugate(
            *("--state", str(self.directory / "state")),
            config=f"listen: {{main: 'ssh:tcp:0:{LOOPBACK}', web: 'connect:tcp:0:{LOOPBACK}'}}",
        )
        place = f"15022:{HOST}:{server.port}"
        self.spawn(
            [client, "-y", "-y", "-N", "-p", str(gateway.port), "-R", place, f"bob@{HOST}"],
            env={"HOME": str(self.directory)},
        )
        gateway.waitFor("operator publishes operator:15022")
        with connected(self, gateway.ports["web"], "operator:22") as connection:
            connection.sendall(b"hello")
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(b"hello", readAll(connection))


class NameTests(PublishingCase):
    """
    Web sites behind the client.
    """

    def test_everywhere(self) -> None:
        """
        By a proxy of HTTP, by CONNECT, by SOCKS, and by TLS that names it.
        """
        web = webServer(self, "plain")
        self.publish(f"{WIKI}:80:{HOST}:{web.port}", "-R", f"{WIKI}:{self.tls}:{HOST}:{web.port}")
        self.gateway.waitFor(f"publishes {WIKI}:{self.tls}")
        for options in ((), ("--proxytunnel",), ("-x", f"socks5h://{self.proxy.partition('//')[2]}")):
            done = self.curl(f"http://{WIKI}/who", *options)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertIn(b"plain", done.stdout)
        self.publish(f"{WIKI}:81:{HOST}:{freePort()}")
        done = self.curl(f"http://{WIKI}:81/who", "-w", "%{http_code}", "-o", "/dev/null")
        self.assertEqual(b"502", done.stdout)
        self.gateway.waitFor("connection refused")

    def test_tls(self) -> None:
        """
        TLS passes through as it is, and the gate has no key of the site; where it ends at the gate, what is
        published on port 80 is meant.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.write("wiki.pem", self.root.identity(WIKI).pem().decode()))
        secret, plain = webServer(self, "secret", tls=context), webServer(self, "plain")
        self.publish(f"{WIKI}:{self.tls}:{HOST}:{secret.port}", "-R", f"{ENDED}:80:{HOST}:{plain.port}")
        self.gateway.waitFor(f"publishes {ENDED}:80")
        for name, wanted in ((WIKI, b"secret"), (ENDED, b"plain")):
            done = self.finish(
                [
                    *(program("curl"), "-sS", "-m", "20", "--cacert", str(self.roots)),
                    *("--connect-to", f"{name}:443:{HOST}:{self.tls}", f"https://{name}/who"),
                ]
            )
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertIn(wanted, done.stdout)

    def test_twoUsers(self) -> None:
        """
        One name: the second user is refused, and hears why with -v; killed, the first keeps it, and a caller
        is refused clearly; the first takes it over again.
        """
        web = webServer(self, "one")
        place = f"shared.example:80:{HOST}:{web.port}"
        first = self.publish(place)
        second = self.client("-R", place, name="eve")
        self.assertEqual(255, second.wait())
        self.assertIn("remote port forwarding failed for listen port 80", second.said())
        self.assertIn("the name shared.example is that of", second.said())
        os.kill(first.pid, signal.SIGKILL)
        waitUntil(
            lambda: self.curl("http://shared.example/who").stdout.find(b"one") < 0, "the connection is gone"
        )
        done = self.curl("http://shared.example/who", "-w", "%{http_code}", "-o", "/dev/null")
        self.assertEqual(b"502", done.stdout)
        self.gateway.waitFor("bob is away")
        second = self.client("-R", place, name="eve")
        self.assertEqual(255, second.wait())
        self.publish(place)
        self.assertIn(b"one", self.curl("http://shared.example/who").stdout)

    def test_notGiven(self) -> None:
        """
        A name that is not given is refused, and the client ends if it was told to.
        """
        child = self.client("-R", f"wiki.eve.example:80:{HOST}:1")
        self.assertEqual(255, child.wait())
        self.gateway.waitFor('with who: "key:bob" have it')

    def test_master(self) -> None:
        """
        C{-O forward} and C{-O cancel} on one connection; the status says what is published.
        """
        control = str(self.directory / "c")
        web = webServer(self, "later")
        shared = ["-o", f"ControlPath={control}"]
        self.client(*shared, "-M")

        def ask(*options: str) -> subprocess.CompletedProcess[bytes]:
            done: subprocess.CompletedProcess[bytes] = self.asks(
                self.port, *shared, *options, key=self.keys["bob"]
            )
            return done

        waitUntil(lambda: ask("-O", "check").returncode == 0, "the master is up")
        for number in range(3):
            place = f"{WIKI}:80:{HOST}:{web.port}"
            done = ask("-O", "forward", "-R", place)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertIn(b"later", self.curl(f"http://{WIKI}/who").stdout, number)
            self.assertIn(f"You publish {WIKI}:80.".encode(), ask().stdout)
            self.assertEqual(0, ask("-O", "cancel", "-R", place).returncode)
            done = self.curl(f"http://{WIKI}/who")
            self.assertNotIn(b"later", done.stdout)
        done = ask("-O", "forward", "-R", f"0:{HOST}:{web.port}")
        self.assertRegex(done.stdout, rb"^491\d\d\n")

    def test_port(self) -> None:
        """
        A port of the gate.
        """
        server = StreamServer(self, echo)
        child = self.publish(f"{self.open}:{HOST}:{server.port}")
        with socket.create_connection((HOST, self.open), DEADLINE) as connection:
            connection.sendall(b"hello")
            self.assertEqual(b"hello", connection.recv(5))
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(b"", readAll(connection))
        child.kill()

        def isGone() -> bool:
            try:
                socket.create_connection((HOST, self.open), DEADLINE).close()
            except OSError:
                return True
            return False

        waitUntil(isGone, "the port is closed")


def connected(test: SSHTestCase, port: int, target: str) -> socket.socket:
    """
    A stream by CONNECT.
    """
    connection = socket.create_connection((HOST, port), DEADLINE)
    test.addCleanup(connection.close)
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    test.assertIn(b" 200 ", head)
    return connection
