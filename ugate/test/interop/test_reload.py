# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A gateway whose configuration changes while clients use it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import termios
import threading
from pathlib import Path

from ugate.test.interop.asking import connected, socks5
from ugate.test.interop.processes import HOST, Gateway, InteropTestCase, freePort, twistd, waitUntil
from ugate.test.interop.targets import BLOCK, StreamServer, readAll, readExactly, trickle
from ugate.test.interop.test_sockets import LAUNCH

RELOADS = 100


class ReloadTests(InteropTestCase):
    """
    SIGHUP, and the watch of the file.
    """

    limit = 120.0

    def gate(self, text: str) -> tuple[Gateway, Path]:
        """
        A gateway with a configuration, and the file of that.
        """
        gateway = self.ugate(config=text)
        (path,) = self.directory.glob("gate-*.yaml")
        return gateway, path

    def change(self, path: Path, text: str) -> None:
        """
        Replace the file as a whole.
        """
        part = path.with_suffix(".new")
        part.write_text(text)
        os.replace(part, path)

    def reloads(self, gateway: Gateway) -> int:
        """
        How many reloads have been told in the log.
        """
        return gateway.said().count("Reloading#")

    def hup(self, gateway: Gateway) -> None:
        """
        Reload, and wait until that is done.
        """
        before = self.reloads(gateway)
        gateway.process.send_signal(signal.SIGHUP)
        waitUntil(lambda: self.reloads(gateway) > before, "a reload")

    def test_refusesNobody(self) -> None:
        """
        While a listener is changed again and again, with each of its protocols in turn,
        nobody who connects is refused, reset or kept waiting.
        """
        port = freePort()
        texts = [f'listen: {{main: "{kind}:tcp:{port}:interface={HOST}"}}\n' for kind in ("auto", "socks")]
        gateway, path = self.gate(texts[0])
        server = StreamServer(self, lambda connection: connection.sendall(b"hello"))
        over = threading.Event()
        wrong: list[object] = []
        good = 0

        def ask() -> None:
            nonlocal good
            while not over.is_set():
                try:
                    with connected(port) as client:
                        client.settimeout(10)
                        if socks5(client, HOST, server.port) != 0 or readAll(client) != b"hello":
                            wrong.append("not served")
                        good += 1
                except OSError as error:
                    wrong.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for number in range(RELOADS):
                self.change(path, texts[(number + 1) % 2])
                self.hup(gateway)
        finally:
            over.set()
            asking.join()
        self.assertEqual(wrong, [])
        self.assertGreater(good, RELOADS / 2)
        self.assertEqual(gateway.said().count("listen main"), RELOADS)

    def test_widened(self) -> None:
        """
        The same when it goes from one address to all of them and back.
        """
        port = freePort()
        rules = "policy: {rules: [{action: allow}]}\n"
        texts = [
            f'listen: {{main: {{endpoint: "auto:tcp:{port}{where}", open: true}}}}\n{rules}'
            for where in (f":interface={HOST}", "")
        ]
        gateway, path = self.gate(texts[0])
        wrong: list[object] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                try:
                    with connected(port) as client:
                        client.settimeout(10)
                        client.sendall(b"\x05\x01\x00")
                        if readExactly(client, 2) != b"\x05\x00":
                            wrong.append("not served")
                except OSError as error:
                    wrong.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for number in range(20):
                self.change(path, texts[(number + 1) % 2])
                self.hup(gateway)
        finally:
            over.set()
            asking.join()
        self.assertEqual(wrong, [])
        self.assertNotIn("refused", gateway.said())

    def test_cutsNobody(self) -> None:
        """
        Streams that are up do not notice.
        """
        port = freePort()
        text = f'listen: {{main: "auto:tcp:{port}:interface={HOST}"}}\n'
        gateway, path = self.gate(text)
        server = StreamServer(self, trickle(100, 0.02))
        clients = [connected(port) for _ in range(5)]
        for client in clients:
            self.addCleanup(client.close)
            self.assertEqual(socks5(client, HOST, server.port), 0)
        others = (
            f'listen: {{other: "socks:tcp:{port}:interface={HOST}"}}\nroutes: [{{match: "*", via: deny}}]\n',
            f'listen: {{main: "auto:unix:{self.directory}/gate"}}\n',
            text,
        )
        for other in others:
            self.change(path, other)
            self.hup(gateway)
        for client in clients:
            self.assertTrue(readAll(client) == BLOCK[:100_000])

    def test_watched(self) -> None:
        """
        A file that is changed is read again without being asked; a mistake in it is told,
        and what was before goes on.
        """
        port = freePort()
        text = f'listen: {{main: "auto:tcp:{port}:interface={HOST}"}}\n'
        gateway, path = self.gate(text)
        self.change(path, text + "rutes: []\n")
        said = gateway.waitFor("reload (store) refused")
        self.assertIn(f"{path}:2:1: unknown key 'rutes'", said)
        with connected(port) as client:
            client.sendall(b"\x05\x01\x00")
            self.assertEqual(readExactly(client, 2), b"\x05\x00")
        self.change(path, text.replace("main", "other"))
        gateway.waitFor("reload (store): listen other, listen main")

    def test_portInUse(self) -> None:
        """
        A port that somebody else has.
        """
        port = freePort()
        text = f'listen: {{main: "auto:tcp:{port}:interface={HOST}"}}\n'
        gateway, path = self.gate(text)
        with socket.create_server((HOST, 0)) as taken:
            other = taken.getsockname()[1]
            self.change(path, f'listen: {{main: "auto:tcp:{other}:interface={HOST}"}}\n')
            gateway.waitFor("cannot listen: Couldn't listen")
            with connected(port) as client:
                client.sendall(b"\x05\x01\x00")
                self.assertEqual(readExactly(client, 2), b"\x05\x00")
        self.hup(gateway)
        waitUntil(lambda: "listen main" in gateway.said(), "the port is free now")
        with connected(other) as client:
            client.sendall(b"\x05\x01\x00")
            self.assertEqual(readExactly(client, 2), b"\x05\x00")

    def test_systemd(self) -> None:
        """
        A socket that somebody else has opened is taken over too, is there again after it was
        not wanted for a time, and can be wanted only once.
        """
        listen = 'listen: {{main: "{}:systemd:domain=INET:name=web"}}\n'
        path = self.write("systemd.yaml", listen.format("auto"))
        with socket.create_server((HOST, 0)) as web, socket.create_server((HOST, 0)) as other:
            port = web.getsockname()[1]
            numbers = [web.fileno(), other.fileno()]
            launch = self.write("launch.py", LAUNCH)
            command = twistd("-n", "--pidfile=", "ugate", "--config", str(path))
            child = self.spawn([sys.executable, launch, *map(str, numbers), *command], pass_fds=numbers)
        gateway = Gateway(child.process, child.log)
        gateway.waitFor("main: listening on")
        unix = f'listen: {{main: "auto:unix:{self.directory}/gate"}}\n'
        for text in (listen.format("socks"), unix, listen.format("auto")):
            self.change(path, text)
            self.hup(gateway)
            if "systemd" in text:
                with connected(port) as client:
                    client.sendall(b"\x05\x01\x00")
                    self.assertEqual(readExactly(client, 2), b"\x05\x00")
        twice = '{main: "auto:systemd:domain=INET:name=web", twice: "socks:systemd:domain=INET:name=web"}'
        self.change(path, f"listen: {twice}\n")
        gateway.waitFor("cannot listen: listen main has it")
        self.assertNotIn("Traceback", gateway.said())

    def test_descriptors(self) -> None:
        """
        Nothing is left of what was replaced.
        """
        port = freePort()
        texts = [
            f'listen: {{main: "{kind}:tcp:{number}:interface={HOST}"}}\n'
            for kind, number in (("auto", port), ("socks", freePort()), ("auto", port))
        ]
        gateway, path = self.gate(texts[0])
        for number in range(6):
            self.change(path, texts[number % 3])
            self.hup(gateway)
        before = gateway.descriptors()
        for number in range(60):
            self.change(path, texts[number % 3])
            self.hup(gateway)
        self.assertLessEqual(gateway.descriptors(), before)


class EndTests(InteropTestCase):
    """
    How the process ends, and how it tells what it does.
    """

    def test_success(self) -> None:
        """
        SIGTERM ends it as a success.
        """
        gateway = self.ugate()
        gateway.process.terminate()
        self.assertEqual(gateway.wait(), 0)
        self.assertIn("told to stop", gateway.said())

    def test_terminal(self) -> None:
        """
        When the terminal is gone that it was started on, it ends as by SIGTERM.
        """
        ours, theirs = os.openpty()

        def lead() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        child = self.spawn(
            twistd("-n", "--pidfile=", "ugate", "--listen", f"main=auto:tcp:0:interface={HOST}"),
            stdin=theirs,
            preexec_fn=lead,
        )
        os.close(theirs)
        child.waitFor("main: listening on")
        os.close(ours)
        self.assertEqual(child.wait(), 0)
        self.assertIn("told to stop", child.said())

    def test_json(self) -> None:
        """
        With C{node.log: json} each line is a JSON object.
        """
        server = StreamServer(self, lambda connection: connection.sendall(b"hello"))
        gateway = self.ugate(config=f'listen: {{main: "auto:tcp:0:interface={HOST}"}}\nnode: {{log: json}}\n')
        with connected(gateway.port) as client:
            self.assertEqual(socks5(client, HOST, server.port), 0)
            self.assertEqual(readAll(client), b"hello")
        gateway.waitFor("5 received")
        gateway.process.terminate()
        self.assertEqual(gateway.wait(), 0)
        lines = [json.loads(line) for line in gateway.said().splitlines() if line.startswith("{")]
        (flow,) = [line for line in lines if line["source"] == "ugate.flows.Flows"]
        self.assertEqual((flow["received"], flow["tenant"], flow["listener"]), (5, "root", "main"))
        self.assertEqual(flow["level"], "info")
        self.assertIn("5 received", flow["text"])
        self.assertNotIn("[-]", gateway.said())
