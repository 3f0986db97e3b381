# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{twistd ugate} as a command: mistakes told at their places, C{--check}, C{--explain}, options and files.
"""

from __future__ import annotations

import subprocess

from ugate.test.interop.asking import connect, connected, socks5
from ugate.test.interop.processes import HOST, InteropTestCase, freePort, twistd
from ugate.test.interop.targets import StreamServer, echo, webServer

MISTAKES = """\
listen:
  main: auto:tcp:0:interface=127.0.0.1
  Web Site: auto:tcp:0
  odd: auto:tcp:0:interface=127.0.0.1:colour=red
  extra: {endpoint: "socks:tcp:0", bogus: 1}
dial:
  office: socks:proxy
routes:
  - {match: "*.corp", via: offce}
  - {match: 10.0.0.0/99, via: direct}
  - {match: "*", via: [direct, deny]}
policy: {private: maybe}
node: {connect: 0, drain: soon}
noode: {}
"""

PLACES = (
    (3, 3, "Web Site"),
    (4, 8, "colour"),
    (5, 36, "bogus"),
    (7, 11, "socks:HOST:PORT"),
    (9, 28, "office"),
    (10, 13, "10.0.0.0/99"),
    (11, 32, "deny"),
    (12, 19, "allow"),
    (13, 17, "above 0"),
    (13, 27, "seconds"),
    (14, 1, "noode"),
)

WHOLE = """\
listen:
  main: auto:tcp:0:interface=127.0.0.1
  db: {endpoint: "tcp:0:interface=127.0.0.1", to: "db.corp:5432"}
dial:
  office: {hops: "socks:proxy.corp:1080 -> connect:gate:3128", retries: 1}
  lab: office -> socks4:lab:1081
routes:
  - {match: ["*.corp", "10.0.0.0/8:443"], via: [office, direct]}
  - {match: "bad.example", via: deny, reason: not for you}
  - {match: "*.lab", via: lab}
node: {connect: 5, idle: 60.5}
"""


class CommandTests(InteropTestCase):
    """
    What ends by itself.
    """

    def _twistd(self, *options: str) -> subprocess.CompletedProcess[bytes]:
        done = self.finish(twistd("-n", "--pidfile=", "ugate", *options))
        self.assertNotIn(b"Traceback", done.stdout + done.stderr)
        return done

    def _config(self, text: str, name: str = "gate.yaml") -> str:
        return str(self.write(name, text))

    def test_mistakes(self) -> None:
        """
        Each mistake has a line with its place, its fix, and the source with a mark; the exit status is 1.
        """
        path = self._config(MISTAKES)
        done = self._twistd("--config", path)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        lines = done.stderr.decode().splitlines()
        told = [line for line in lines if line.startswith(path)]
        places = [line.split(": ")[0] for line in told]
        self.assertEqual(
            places, [f"{path}:{line}:{column}" for line, column, _ in PLACES], done.stderr.decode()
        )
        for line, (_, _, word) in zip(told, PLACES, strict=True):
            self.assertIn(word, line)
        self.assertEqual(sum("^" in line for line in lines), len(PLACES))
        self.assertEqual(self._twistd("--config", path, "--check").stderr, done.stderr)

    def test_check(self) -> None:
        """
        The normal form is printed, and reads back as the same.
        """
        first = self._twistd("--config", self._config(WHOLE), "--check")
        self.assertEqual((first.returncode, first.stderr), (0, b""))
        again = self._twistd("--config", self._config(first.stdout.decode(), "again.yaml"), "--check")
        self.assertEqual((again.returncode, again.stdout, again.stderr), (0, first.stdout, b""))
        self.assertIn(b"socks:proxy.corp:1080 -> connect:gate:3128", first.stdout)

    def test_checkOfNothing(self) -> None:
        """
        Without options there is one listener, on loopback.
        """
        done = self._twistd("--check")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"auto:tcp:1080:interface=127.0.0.1", done.stdout)

    def test_checkOfOptions(self) -> None:
        """
        What is written as options comes out as a configuration too, in front of what files say.
        """
        options = ["--route", "*.corp=socks:proxy:1080", "--route", "*=direct"]
        done = self._twistd("--listen", "main=socks:tcp:1081:interface=127.0.0.1", *options, "--check")
        self.assertEqual(done.returncode, 0, done.stderr)
        again = self._twistd("--config", self._config(done.stdout.decode()), "--check")
        self.assertEqual(again.stdout, done.stdout)
        self.assertIn(b"socks:proxy:1080", done.stdout)

    def test_explain(self) -> None:
        """
        The rule and the hops of a stream, without making one.
        """
        path = self._config(WHOLE)
        for target, words in (
            ("db.corp:5432", ["*.corp", "proxy.corp:1080", "gate:3128", "SOCKS5", "HTTP CONNECT"]),
            ("10.1.2.3:443", ["10.0.0.0/8:443"]),
            ("bad.example:80", ["bad.example via deny", "not for you"]),
            ("a.lab:22", ["*.lab", "lab:1081", "SOCKS4A"]),
            ("example.com:80", ["direct"]),
            ("[2001:db8::1]:80", ["direct"]),
        ):
            done = self._twistd("--config", path, "--explain", target)
            self.assertEqual((done.returncode, done.stderr), (0, b""), target)
            for word in words:
                self.assertIn(word, done.stdout.decode(), target)
        done = self._twistd("--explain", "nowhere")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"HOST:PORT", done.stderr)

    def test_badOptions(self) -> None:
        """
        Options that are not of their shape.
        """
        for options, word in (
            (["--listen", "auto:tcp:0"], b"NAME=STRING"),
            (["--route", "nonsense"], b"PATTERN=HOPS"),
            (["--route", "*=sokcs:proxy:1080"], b"sokcs"),
            (["--config", str(self.directory / "none.yaml")], b"No such file"),
            (["--listen", "main=auto:tcp:zero:interface=127.0.0.1"], b"zero"),
        ):
            done = self._twistd(*options)
            self.assertEqual(done.returncode, 1, options)
            self.assertIn(word, done.stderr, options)

    def test_help(self) -> None:
        """
        C{--help} names every option.
        """
        done = self._twistd("--help")
        self.assertEqual(done.returncode, 0)
        for word in (b"--listen", b"--route", b"--config", b"--check", b"--explain"):
            self.assertIn(word, done.stdout)


class StoreTests(InteropTestCase):
    """
    Where a configuration may come from.
    """

    def test_folder(self) -> None:
        """
        A folder of files, YAML and JSON, with a listener on the command line.
        """
        folder = self.directory / "conf.d"
        folder.mkdir()
        self.write("conf.d/10-listen.yaml", f'listen: {{main: "auto:tcp:0:interface={HOST}"}}\n')
        self.write("conf.d/20-routes.json", '{"routes": [{"match": "*.blocked", "via": "deny"}]}')
        gateway = self.ugate(
            "--config", str(folder), "--listen", f"more=socks:tcp:0:interface={HOST}", listen=""
        )
        self.assertEqual(set(gateway.ports), {"main", "more"})
        with connected(gateway.port) as client:
            self.assertEqual(connect(client, "www.blocked", 80)[0], 403)
        with connected(gateway.ports["more"]) as client:
            self.assertEqual(socks5(client, "www.blocked", 80), 2)

    def test_fixedTarget(self) -> None:
        """
        A listener that is no proxy: each stream goes to one place.
        """
        server = StreamServer(self, echo)
        listener = f'{{endpoint: "tcp:0:interface={HOST}", to: "{HOST}:{server.port}"}}'
        gateway = self.ugate(config=f"listen: {{main: {listener}}}\n")
        with connected(gateway.port) as client:
            client.sendall(b"hello")
            self.assertEqual(client.recv(5), b"hello")

    def test_routes(self) -> None:
        """
        The first route that matches wins.
        """
        server = webServer(self)
        gateway = self.ugate(
            *("--route", f"localhost:{server.port}=direct"),
            *("--route", f"*=socks:{HOST}:{freePort()}"),
        )
        with connected(gateway.port) as client:
            self.assertEqual(socks5(client, "localhost", server.port), 0)
        with connected(gateway.port) as client:
            self.assertEqual(socks5(client, HOST, server.port), 5)
