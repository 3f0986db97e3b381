# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a person sees who has started a gateway by hand.
"""

from __future__ import annotations

import shlex
import sys
from io import StringIO
from typing import Any

from twisted.internet.address import UNIXAddress

from ugate.node import Node
from ugate.tap import Options
from ugate.tenancy.config.schema import Listener
from ugate.test.nodefakes import NodeCase
from ugate.welcome import greet, lines

NCAT = {"ncat": "/usr/bin/ncat"}


class LinesTests(NodeCase):
    """
    L{lines}.
    """

    def lines(self, endpoint: str | Listener, which: dict[str, str] = NCAT, users: bool = False) -> list[str]:
        """
        What is said of a node with one listener.
        """
        node = self.start(self.config({"main": endpoint}, users=users))
        return list(lines(node, which.get))

    def test_auto(self) -> None:
        """
        A listener for all protocols has a line for each kind of client.
        """
        self.assertEqual(
            self.lines("auto:tcp:1080:interface=127.0.0.1"),
            [
                "main: listening on 127.0.0.1:1080",
                "  curl -x socks5h://127.0.0.1:1080 http://example.com/",
                "  curl -x http://127.0.0.1:1080 https://example.com/",
                "  ssh -o 'ProxyCommand=ncat --proxy 127.0.0.1:1080 --proxy-type socks5 --proxy-dns remote"
                " %h %p' user@example.com",
            ],
        )

    def test_others(self) -> None:
        """
        One for some protocols has those for these.
        """
        socks = self.lines("socks:tcp:1080:interface=127.0.0.1")
        self.assertEqual([line.split()[0] for line in socks], ["main:", "curl", "ssh"])
        self.assertIn("socks5h://", socks[1])
        connect = self.lines("connect:tcp:1080:interface=127.0.0.1")
        self.assertEqual([line.split()[0] for line in connect], ["main:", "curl"])
        self.assertIn("-x http://", connect[1])

    def test_ssh(self) -> None:
        """
        One for SSH is jumped over.
        """
        self.assertEqual(
            ["main: listening on 127.0.0.1:2222", "  ssh -J 127.0.0.1:2222 user@example.com"],
            self.lines("ssh:tcp:2222:interface=127.0.0.1"),
        )
        self.assertIn("ssh -J NAME@127.0.0.1:2222 ", self.lines("ssh:tcp:2222", users=True)[1])

    def test_none(self) -> None:
        """
        One that none of these clients can speak to has none.
        """
        for endpoint in (
            Listener("tcp:8080:interface=127.0.0.1", to="db:5432"),
            "forward:tcp:8080:interface=127.0.0.1:to=db\\:5432",
            Listener("auto:proxyproto:tcp:8080", open=True),
            "socks4:tcp:8080:interface=127.0.0.1",
        ):
            (line,) = self.lines(endpoint)
            self.assertIn(":8080", line)

    def test_listed(self) -> None:
        """
        One that is open for what it lists says so.
        """
        self.assertEqual(
            ["main: listening on 0.0.0.0:443", "  anybody, whom a rule allows, may reach by TLS: a,*.b"],
            self.lines("sni:tcp:443:names=a,*.b"),
        )
        self.assertIn("programs of this machine", self.lines("sni:tcp:443:interface=127.0.0.1:names=a")[1])

    def test_wildcard(self) -> None:
        """
        A listener on all addresses is reached on this machine by its own.
        """
        told = self.lines(Listener("auto:tcp:1080", open=True))
        self.assertEqual(told[0], "main: listening on 0.0.0.0:1080")
        self.assertIn("socks5h://127.0.0.1:1080 ", told[1])
        told = self.lines(Listener("auto:tcp6:1080:interface=\\:\\:", open=True))
        self.assertEqual(told[0], "main: listening on [::]:1080")
        self.assertIn("socks5h://[::1]:1080 ", told[1])

    def test_IPv6(self) -> None:
        """
        An IPv6 address stands in brackets.
        """
        told = self.lines("auto:tcp6:1080:interface=\\:\\:1")
        self.assertEqual(told[0], "main: listening on [::1]:1080")
        for line in told[1:]:
            self.assertIn("[::1]:1080", line)

    def test_login(self) -> None:
        """
        Where a login is needed, the lines ask for one; on this machine none is.
        """
        told = self.lines("auto:tcp:1080", users=True)
        self.assertEqual([line.split()[0] for line in told], ["main:", "curl", "curl"])
        for line in told[1:]:
            self.assertIn(" -U NAME ", line)
        for endpoint in ("auto:tcp:1080:interface=127.0.0.1", Listener("auto:tcp:1080", open=True)):
            self.assertNotIn("-U", "".join(self.lines(endpoint, users=True)))

    def test_unix(self) -> None:
        """
        A UNIX socket is named by its path.
        """
        self.assertEqual(self.lines("auto:unix:/run/ugate"), ["main: listening on unix:/run/ugate"])
        node = self.start(self.config({"main": "auto:unix:/run/ugate"}))
        port: Any = node.ports["main"]
        port.place.port.address = UNIXAddress(b"\0ugate")
        self.assertEqual(list(lines(node)), ["main: listening on unix:@ugate"])

    def test_noNcat(self) -> None:
        """
        Without ncat this very program does what ssh needs; a shell and then ugate's own
        options can read the line.
        """
        told = self.lines("auto:tcp6:1080:interface=\\:\\:1", {})
        ssh, dash, command, who = shlex.split(told[-1])
        self.assertEqual((ssh, dash, who), ("ssh", "-o", "user@example.com"))
        self.assertTrue(command.startswith("ProxyCommand="))
        # As ssh does before it gives the command to a shell.
        words = shlex.split(command.removeprefix("ProxyCommand=").replace("%h", "db").replace("%p", "22"))
        at = words.index("ugate")
        self.assertIn("--logfile=/dev/null", words[:at])
        options = Options()
        options.parseOptions(words[at + 1 :])
        config = options["read"]
        self.assertEqual(config.listen["ssh"].endpoint, "forward:stdio:to=db\\:22")
        self.assertEqual(config.routes[0].via, ("socks:[::1]:1080",))

    def test_several(self) -> None:
        """
        Each listener has its lines.
        """
        node = self.start(
            self.config({"a": "socks:tcp:1:interface=127.0.0.1", "b": "connect:tcp:2:interface=127.0.0.1"})
        )
        told = list(lines(node, NCAT.get))
        self.assertEqual(
            [line for line in told if line[0] != " "],
            ["a: listening on 127.0.0.1:1", "b: listening on 127.0.0.1:2"],
        )
        self.assertIn("127.0.0.1:1 ", told[1])
        self.assertIn("127.0.0.1:2 ", told[-1])


class GreetTests(NodeCase):
    """
    L{greet}.
    """

    def greeted(self, node: Node) -> str:
        """
        What is printed.
        """
        out = StringIO()
        self.patch(sys, "__stdout__", out)
        greet(node)
        return out.getvalue()

    def test_prints(self) -> None:
        """
        The lines, past whatever has taken the place of standard output.
        """
        node = self.start(self.config({"main": "auto:tcp:1080:interface=127.0.0.1"}))
        said = self.greeted(node)
        self.assertEqual(said, "".join(f"{line}\n" for line in lines(node)))
        self.assertEqual(len(said.split("\n")), 5)

    def test_notOnAStream(self) -> None:
        """
        But not between the bytes of a stream.
        """
        node = self.start(self.config({"main": "auto:tcp:1080:interface=127.0.0.1"}))
        node._listeners.stdio = True
        self.assertEqual(self.greeted(node), "")

    def test_nowhere(self) -> None:
        """
        Nor when there is nothing to say, or nowhere to say it, as in a service.
        """
        self.assertEqual(self.greeted(self.start(self.config({}))), "")
        node = self.start(self.config({"main": "auto:tcp:1080:interface=127.0.0.1"}))
        self.patch(sys, "__stdout__", None)
        greet(node)
