# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.endpoints.plain}.
"""

from __future__ import annotations

import os
import socket

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.endpoints import serverFromString
from twisted.trial.unittest import SynchronousTestCase

from ugate.checks import stringChecks
from ugate.endpoints.plain import mistakeIn, whyNot
from ugate.errors import StringError
from ugate.test.dialfakes import Net


class MistakeTests(SynchronousTestCase):
    """
    What is found before Twisted is asked.
    """

    def test_none(self) -> None:
        """
        What is good has no mistake, nor what is not Twisted's own.
        """
        folder = self.mktemp()
        os.mkdir(folder)
        for text in (
            "tcp:1080",
            "tcp:0:interface=127.0.0.1:backlog=9",
            "tcp:port=65535",
            "tcp6:1080:50:\\:\\:1",
            "unix:/run/a\\:b:mode=600:lockfile=0",
            f"tls:{folder}",
            f"tls:{folder}:8443:interface=127.0.0.1",
            "systemd:domain=INET:name=main",
            "ssl:8443:privateKey=k:certKey=c:extraCertChain=e:dhParameters=d",
            "stdio:",
            "auto:tcp:x",
            "nosuch:1:a=b",
            "tcp:1080:backlog=1:backlog=2",
            "",
        ):
            self.assertEqual("", mistakeIn(text), text)

    def test_keyword(self) -> None:
        """
        A keyword that it does not take is named, and which one was meant: its own, or of what is in front.
        """
        said = mistakeIn("tcp:1080:interfac=127.0.0.1")
        self.assertIn("tcp has no keyword interfac=, it takes backlog=, interface=, port=", said)
        self.assertIn("did you mean 'interface'?", said)
        self.assertIn("did you mean 'handshake'?", mistakeIn("tcp:1:handshak=3", {"handshake"}))

    def test_parts(self) -> None:
        """
        A colon that is not escaped makes too many.
        """
        self.assertIn("is written \\:", mistakeIn("tcp:1080:127.0.0.1:50:9"))
        self.assertIn("tcp:PORT", mistakeIn("tcp:1080:fd00::1"))

    def test_port(self) -> None:
        """
        A port is a number, and there are so many.
        """
        for port in ("x", "65536", "-1", "", "0.0.0.0", "9" * 1000, "²"):
            for text in (f"tcp:{port}", f"tcp6:{port}", f"ssl:{port}", f"tcp:port={port}"):
                self.assertIn(f"port {port[:20]!r}: wanted {text.partition(':')[0]}:PORT", mistakeIn(text))

    def test_interface(self) -> None:
        """
        The name of an interface is no address.
        """
        name = socket.if_nameindex()[0][1]
        self.assertIn(f"ip address show {name}", mistakeIn(f"tcp:1080:interface={name}"))

    def test_folder(self) -> None:
        """
        A folder of certificates has to be there.
        """
        said = mistakeIn("tls:/nonexistent/certs:8443")
        self.assertTrue(
            said.startswith("/nonexistent/certs: No such file or directory; wanted a folder"), said
        )

    @given(st.text(":=\\[]tcpls6 x0", max_size=30))
    def test_anything(self, text: str) -> None:
        """
        Whatever is written, something is said or nothing.
        """
        self.assertIsInstance(mistakeIn(text), str)


class WhyTests(SynchronousTestCase):
    """
    What Twisted says of a string.
    """

    def why(self, text: str) -> str:
        """
        Why it cannot be read.
        """
        try:
            serverFromString(Net(), text)
        except Exception as error:
            return whyNot(text, error)
        return ""

    def test_unknown(self) -> None:
        """
        A kind that there is not is named, and the one that was meant.
        """
        self.assertEqual("no listener is called 'tpc'; did you mean 'tcp'?", self.why("tpc:1080"))
        self.assertEqual("no listener is called 'sokcs'; did you mean 'socks'?", self.why("sokcs:tcp:1080"))

    def test_systemd(self) -> None:
        """
        What systemd has not opened is not there.
        """
        for text in ("systemd:domain=INET:name=main", "systemd:domain=INET:index=7"):
            self.assertIn("systemd has opened no such socket here", self.why(text))

    def test_other(self) -> None:
        """
        All else is said as it was.
        """
        self.assertIn("exactly one of descriptor index or name", self.why("systemd:domain=INET"))


class CheckTests(SynchronousTestCase):
    """
    What the configuration says of such strings.
    """

    def test_said(self) -> None:
        """
        It is told with or without something in front.
        """
        check = stringChecks(Net())["endpoint"]
        for text, said in (
            ("tcp:1080:interfac=::1", "did you mean 'interface'?"),
            ("auto:tcp:1080:interfac=127.0.0.1", "did you mean 'interface'?; auto itself takes answers="),
            ("auto:tcp:99999", "port '99999'"),
            ("tcp:99999", "port '99999'"),
            ("tpc:1", "did you mean 'tcp'?"),
            ("auto:tpc:1", "did you mean 'tcp'?"),
            ("auto:tls:/nonexistent:1", "/nonexistent: No such file"),
        ):
            self.assertIn(said, str(self.assertRaises(StringError, check, text)))
