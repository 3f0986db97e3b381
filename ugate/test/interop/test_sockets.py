# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Listeners that are no TCP port of our own: sockets from systemd, UNIX sockets, standard input and output.
"""

from __future__ import annotations

import shlex
import socket
import stat
import sys

from ugate.test.interop.asking import Answer, curl, socks4, socks5
from ugate.test.interop.processes import (
    DEADLINE,
    HOST,
    InteropTestCase,
    freePort,
    program,
    twistd,
    waitUntil,
)
from ugate.test.interop.targets import BLOCK, StreamServer, readAll, readExactly, webServer

LAUNCH = """
import os, sys
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="web:local")
for here, there in zip(map(int, sys.argv[1:3]), (3, 4)):
    if here != there:
        os.dup2(here, there)
    os.set_inheritable(there, True)
os.execv(sys.argv[3], sys.argv[3:])
"""


class SystemdTests(InteropTestCase):
    """
    Sockets that somebody else has opened.
    """

    def test_byName(self) -> None:
        """
        Two sockets under their names, TCP and UNIX.
        """
        path = self.directory / "s"
        with socket.create_server((HOST, 0)) as web, socket.socket(socket.AF_UNIX) as local:
            port = web.getsockname()[1]
            local.bind(str(path))
            local.listen()
            launch = self.write("launch.py", LAUNCH)
            command = twistd(
                *("-n", "--pidfile=", "ugate"),
                *("--listen", "web=auto:systemd:domain=INET:name=web"),
                *("--listen", "local=socks:systemd:domain=UNIX:name=local"),
            )
            numbers = [web.fileno(), local.fileno()]
            child = self.spawn(
                [sys.executable, launch, *map(str, numbers), *command],
                # 3 and 4 are made by the launcher from whatever numbers these have here.
                pass_fds=numbers,
            )
            child.waitFor("local: listening on")
            self.assertIn(f"web: listening on {HOST}:{port}\n", child.said())
        server = webServer(self)
        for scheme in ("socks5h", "http"):
            answer = curl(self, "-x", f"{scheme}://{HOST}:{port}", f"http://{HOST}:{server.port}/bytes/1000")
            self.assertEqual((answer.exit, answer.body), (0, BLOCK[:1000]), answer.errors)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(str(path))
            self.assertEqual(socks5(client, HOST, server.port), 0)
        # Its own listener is known, though somebody else opened it.
        answer = curl(self, "-x", f"socks5h://{HOST}:{port}", f"http://{HOST}:{port}/")
        self.assertEqual(answer.exit, 97)
        self.assertIn("a listener of this gateway", child.said())

    def test_everywhere(self) -> None:
        """
        A socket on every address needs passwords, whoever opened it.
        """
        with socket.create_server(("0.0.0.0", 0)) as web, socket.create_server((HOST, 0)) as other:
            launch = self.write("launch.py", LAUNCH)
            numbers = [web.fileno(), other.fileno()]
            command = twistd(
                "-n", "--pidfile=", "ugate", "--listen", "main=auto:systemd:domain=INET:name=web"
            )
            child = self.spawn([sys.executable, launch, *map(str, numbers), *command], pass_fds=numbers)
            self.assertNotEqual(child.wait(), 0)
            self.assertIn("would carry the streams of anybody", child.said())

    def test_socketActivate(self) -> None:
        """
        systemd's own program, which starts us at the first connection and keeps that one for us.
        """
        activate = program("systemd-socket-activate", "systemd")
        server = webServer(self)
        port = freePort()
        listen = "main=auto:systemd:domain=INET:name=main"
        names = ("PATH", "PYTHONPATH", "LANG")
        child = self.spawn(
            [
                *(
                    activate,
                    "-l",
                    f"{HOST}:{port}",
                    "--fdname=main",
                    *(option for name in names for option in ("-E", name)),
                ),
                *twistd("-n", "--pidfile=", "ugate", "--listen", listen),
            ]
        )
        child.waitFor("Listening on")
        answer = curl(self, "-x", f"socks5h://{HOST}:{port}", f"http://{HOST}:{server.port}/bytes/1000")
        self.assertEqual((answer.exit, answer.body), (0, BLOCK[:1000]), answer.errors + child.said())


class UnixTests(InteropTestCase):
    """
    UNIX sockets under a listener.
    """

    def setUp(self) -> None:
        super().setUp()
        self.path = self.directory / "s"
        self.server = webServer(self)
        self.url = f"http://{HOST}:{self.server.port}/bytes/3000000"

    def _get(self, proxy: str, *more: str) -> Answer:
        answer = curl(self, "-x", proxy, *more, self.url)
        self.assertEqual((answer.exit, answer.status), (0, 200), answer.errors)
        self.assertTrue(answer.body == (BLOCK * 3)[:3000000])
        return answer

    def test_socat(self) -> None:
        """
        curl by way of socat, in each protocol, with the kernel moving bytes between a UNIX socket and TCP.
        """
        gateway = self.ugate(listen=f"auto:unix:{self.path}")
        self.assertTrue(stat.S_ISSOCK(self.path.stat().st_mode))
        port = freePort()
        self.serve(
            [program("socat"), f"TCP-LISTEN:{port},bind={HOST},fork,reuseaddr", f"UNIX-CONNECT:{self.path}"],
            port,
        )
        for scheme in ("socks4a", "socks5h", "http"):
            self._get(f"{scheme}://{HOST}:{port}")
        gateway.waitFor("socks5 operator: ")

    def test_curl(self) -> None:
        """
        curl itself, which sends its request there as to any web server: a plain path has a place of its own.
        """
        self.ugate(listen=f"auto:unix:{self.path}:http={HOST}\\:{self.server.port}")
        answer = curl(self, "--unix-socket", str(self.path), "http://anything/bytes/1000")
        self.assertEqual((answer.exit, answer.body), (0, BLOCK[:1000]), answer.errors)

    def test_bothEnds(self) -> None:
        """
        A UNIX socket as the way to an upstream.
        """
        self.ugate(listen=f"socks:unix:{self.path}")
        first = self.ugate("--route", f"*=socks:upstream:1080:via=unix\\:{self.path}")
        self._get(first.url("socks5h"))
        self._get(first.url("http"))

    def test_removed(self) -> None:
        """
        The socket is gone when the gateway has ended.
        """
        gateway = self.ugate(listen=f"auto:unix:{self.path}")
        waitUntil(self.path.exists, "socket")
        gateway.process.terminate()
        gateway.wait()
        self.assertFalse(self.path.exists())

    def test_leftOver(self) -> None:
        """
        A socket that a gateway left behind which was killed is no obstacle, when it had a lock.
        """
        listen = f"auto:unix:{self.path}:lockfile=1"
        first = self.ugate(listen=listen)
        first.end()
        self.assertTrue(self.path.exists())
        self.ugate(listen=listen)


class StandardIOTests(InteropTestCase):
    """
    One stream on standard input and output.
    """

    def _command(self, listen: str, *more: str) -> list[str]:
        return twistd("-n", "--pidfile=", "--logfile=/dev/null", "ugate", "--listen", f"it={listen}", *more)

    def test_forward(self) -> None:
        """
        As ProxyCommand: a stream to a fixed place, with half-close.
        """
        server = StreamServer(self, lambda connection: connection.sendall(readAll(connection)[::-1]))
        data = BLOCK * 3
        done = self.finish(self._command(f"forward:stdio:to={HOST}\\:{server.port}"), data)
        self.assertTrue(done.stdout == data[::-1], f"{len(done.stdout)} bytes, {done.stderr!r}")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        server.ended()

    def test_forwardThroughHop(self) -> None:
        """
        The same by way of another gateway.
        """
        gateway = self.ugate()
        server = StreamServer(self, lambda connection: connection.sendall(readAll(connection)[::-1]))
        listen = f"forward:stdio:to=localhost\\:{server.port}"
        done = self.finish(self._command(listen, "--route", f"*=socks:{HOST}:{gateway.port}"), b"abc" * 1000)
        self.assertEqual((done.returncode, done.stdout), (0, b"cba" * 1000), done.stderr)
        gateway.waitFor(f"-> localhost:{server.port} socks5")

    def test_refused(self) -> None:
        """
        A place where nothing listens: it ends soon, and nothing is printed where bytes were expected.
        """
        done = self.finish(self._command(f"forward:stdio:to={HOST}\\:{freePort()}"))
        self.assertEqual(done.stdout, b"")

    def test_inetd(self) -> None:
        """
        As inetd runs it: a gateway for each connection.
        """
        server = webServer(self)
        port = freePort()
        command = shlex.join(self._command("socks:stdio:"))
        script = self.write("serve", f"#!/bin/sh\nexec {command}\n", 0o700)
        self.serve(
            [program("socat"), f"TCP-LISTEN:{port},bind={HOST},fork,reuseaddr", f"EXEC:{script}"], port
        )
        for _ in range(2):
            url = f"http://{HOST}:{server.port}/bytes/100000"
            answer = curl(self, "-x", f"socks5h://{HOST}:{port}", url)
            self.assertEqual((answer.exit, answer.body), (0, BLOCK[:100000]), answer.errors)

    def test_pair(self) -> None:
        """
        As inetd runs it, with a socket as standard input and output, by each protocol.
        """
        server = StreamServer(self, lambda connection: connection.sendall(readAll(connection)))
        for ask in (socks5, socks4):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                child = self.spawn(self._command("auto:stdio:"), stdin=theirs, stdout=theirs, stderr=None)
                theirs.close()
                ours.settimeout(DEADLINE)
                self.assertIn(ask(ours, HOST, server.port), (0, 90))
                ours.sendall(b"hello")
                ours.shutdown(socket.SHUT_WR)
                self.assertEqual(readExactly(ours, 5), b"hello")
                self.assertEqual(ours.recv(1), b"")
            child.wait()
