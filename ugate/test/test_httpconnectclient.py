# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpconnectclient}.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.cred.credentials import UsernamePassword
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.httpconnect import HttpProxy
from ugate.protocols.httpconnectclient import ConnectClient
from ugate.protocols.httphead import MAX_HEAD
from ugate.stream import Target
from ugate.test.httpfakes import HTTP, splits

DB = Target("db.example", 5432)


def drive(chunks: Iterable[bytes]) -> bytes | Refused | None:
    """
    Feed a client.

    @return: the first bytes of the stream, or the refusal, or L{None} if it waits
        for more.
    """
    client = ConnectClient(DB, hop="gw:3128")
    client.start()
    rest: bytes | None = None
    for chunk in chunks:
        if rest is not None:
            rest += chunk
            continue
        try:
            step = client.receive(chunk)
        except Refused as e:
            return e
        if step.done:
            rest = step.rest
    return rest


class RequestTests(SynchronousTestCase):
    """
    What is asked.
    """

    def test_interface(self) -> None:
        """
        It is a negotiation.
        """
        client = ConnectClient(DB)
        verifyObject(INegotiation, client)
        self.assertEqual(client.login(None), Step())
        self.assertEqual(client.accept() + client.refuse(Refused(Cause.GENERAL, Phase.CONNECT, "x")), b"")

    def test_request(self) -> None:
        """
        The target is the authority and the Host.
        """
        self.assertEqual(
            ConnectClient(DB).start(), b"CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n"
        )
        self.assertIn(
            b"CONNECT [::1]:22 HTTP/1.1\r\nHost: [::1]:22\r\n", ConnectClient(Target("::1", 22)).start()
        )

    def test_login(self) -> None:
        """
        A login goes with the request, and our own server reads it.
        """
        asked = ConnectClient(DB, UsernamePassword(b"alice", b"secret")).start()
        self.assertIn(b"\r\nProxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n", asked)
        step = HttpProxy(HTTP, Auth.REQUIRED).receive(asked)
        assert isinstance(step.credentials, UsernamePassword)
        self.assertEqual(step.credentials.password, b"secret")

    def test_unsayable(self) -> None:
        """
        What HTTP cannot say is refused before anything is sent.
        """
        for host in "b\u00fccher.example", "a b", "a\r\nX: y":
            error = self.assertRaises(Refused, ConnectClient, Target(host, 1), None, "gw:3128")
            self.assertEqual((error.cause, error.hop), (Cause.NAME_UNKNOWN, "gw:3128"))
        login = UsernamePassword(b"a:b", b"hush")
        error = self.assertRaises(Refused, ConnectClient, DB, login, "gw:3128")
        self.assertEqual(error.phase, Phase.AUTH)


class AnswerTests(SynchronousTestCase):
    """
    What comes back.
    """

    def test_good(self) -> None:
        """
        Any 2xx is a stream, whatever its head says of content (RFC 9110, 9.3.6).
        """
        for head in (
            b"HTTP/1.1 200 Connection established\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\n",
            b"HTTP/1.1 299\r\nContent-Length: 100\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ):
            for chunks in splits(head + b"SSH-2.0-x\r\n"):
                self.assertEqual(drive(chunks), b"SSH-2.0-x\r\n")

    def refused(self, data: bytes) -> Refused:
        """
        The refusal, the same however it comes.
        """
        found = set()
        error: bytes | Refused | None = None
        for chunks in splits(data):
            error = drive(chunks)
            assert isinstance(error, Refused), (chunks, error)
            self.assertEqual(error.hop, "gw:3128")
            found.add(str(error))
        self.assertEqual(len(found), 1, found)
        assert isinstance(error, Refused)
        return error

    def test_text(self) -> None:
        """
        The first line of a text says more.
        """
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n"
        for rest in (
            b"Content-Length: 22\r\n\r\n\nno such rule\nmore\nmore",
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nno su\r\n7\r\nch rule\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nno su\r\n9\r\nch rule\nx\r\n",
        ):
            error = self.refused(head + rest)
            self.assertEqual((error.cause, error.phase), (Cause.DENIED, Phase.REMOTE))
            self.assertEqual(error.detail, "db.example:5432, 403 Forbidden: no such rule")

    def test_noText(self) -> None:
        """
        A page for a browser is not read, nor is one that only ends with the connection.
        """
        for fields in (
            b"Content-Type: text/html\r\nContent-Length: 9\r\n",
            b"Content-Type: text/plain\r\n",
            b"",
        ):
            error = self.refused(b"HTTP/1.1 503 Busy\r\n" + fields + b"\r\n")
            self.assertEqual((error.cause, error.detail), (Cause.GENERAL, "db.example:5432, 503 Busy"))

    def test_redirect(self) -> None:
        """
        There is no way to follow another answer than yes or no.
        """
        error = self.refused(b"HTTP/1.1 302 Found\r\nLocation: http://b/\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((error.cause, error.detail), (Cause.GENERAL, "db.example:5432, 302 Found"))

    def test_longText(self) -> None:
        """
        A long line, or one with what cannot be printed, is cut.
        """
        head = b"HTTP/1.1 502 Bad\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n"
        error = self.refused(head + b"\x1b\xff" + b"x" * 300)
        self.assertEqual(error.detail, "db.example:5432, 502 Bad: \ufffd" + "x" * 198)

    def test_brokenText(self) -> None:
        """
        The refusal counts even if its text is broken.
        """
        head = b"HTTP/1.1 403 No\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.assertEqual(self.refused(head + b"2\r\nabxx").detail, "db.example:5432, 403 No: ab")

    def test_login(self) -> None:
        """
        A proxy that wants a login says so.
        """
        error = self.refused(b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual((error.cause, error.phase), (Cause.AUTHENTICATION, Phase.AUTH))
        self.assertIn("password", error.nextStep)

    def test_proxyStatus(self) -> None:
        """
        Proxy-Status knows more than the status.
        """
        error = self.refused(b"HTTP/1.1 502 Bad Gateway\r\nProxy-Status: x; error=dns_error\r\n\r\n")
        self.assertEqual(error.cause, Cause.NAME_UNKNOWN)

    def test_squid(self) -> None:
        """
        So does what Squid says beside it.
        """
        error = self.refused(
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: 9\r\n"
            b"X-Squid-Error: ERR_CONNECT_FAIL 111\r\n\r\n"
        )
        self.assertEqual(error.cause, Cause.CONNECTION_REFUSED)
        self.assertEqual(error.detail, "db.example:5432, 503 Service Unavailable: ERR_CONNECT_FAIL 111")

    def test_own(self) -> None:
        """
        Our own server's refusal arrives as it was meant, with its text.
        """
        server = HttpProxy(HTTP, Auth.NONE)
        server.receive(ConnectClient(DB).start())
        for cause in Cause:
            reason = Refused(cause, Phase.CONNECT, "db.example:5432")
            error = self.refused(server.refuse(reason))
            self.assertEqual(error.cause, Cause.GENERAL if cause is Cause.AUTHENTICATION else cause)
            self.assertIn(cause.value, error.detail)

    def test_rubbish(self) -> None:
        """
        What is no HTTP/1.1 is no answer.
        """
        for data in (
            b"\x05\x00",
            b"\x05\x00\r\n\r\n",
            b"\r\n",
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nbad line\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\n\r\n",
        ):
            error = self.refused(data)
            self.assertEqual((error.cause, error.phase), (Cause.PEER_MISBEHAVED, Phase.REMOTE))

    def test_tooLong(self) -> None:
        """
        A head that does not end is no answer.
        """
        head = b"HTTP/1.1 200 OK\r\nX: "
        self.assertIsNone(drive([head.ljust(MAX_HEAD, b"x")]))
        error = drive([head.ljust(MAX_HEAD + 1, b"x")])
        assert isinstance(error, Refused)
        self.assertEqual(error.cause, Cause.PEER_MISBEHAVED)

    @given(
        st.lists(
            st.sampled_from(
                [
                    b"HTTP/1.1 ",
                    b"200 ",
                    b"403 ",
                    b"100 ",
                    b"\r\n",
                    b"Content-Type: text/plain\r\n",
                    b"Content-Length: 9\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"5\r\nab\ncd\r\n",
                    b"0\r\n\r\n",
                    b" \n",
                ]
            )
            | st.binary(max_size=4),
            max_size=14,
        ).map(b"".join),
        st.lists(st.integers(0, 200), max_size=6),
    )
    def test_splits(self, data: bytes, cuts: list[int]) -> None:
        """
        Any bytes have an outcome, and how they are cut does not change it.
        """
        ends = sorted(min(cut, len(data)) for cut in cuts)
        chunks = [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]
        whole, parts = drive([data]), drive(chunks)
        self.assertEqual(str(parts), str(whole))
