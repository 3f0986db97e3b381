# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpconnect}.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted.cred.credentials import ICredentials
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.address import UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase, ProtocolError, Refused
from ugate.interfaces import Auth, INegotiation, Step
from ugate.protocols.credentials import BearerToken
from ugate.protocols.httpconnect import ESTABLISHED, MAX_TRIES, HttpProxy
from ugate.protocols.httphead import MAX_HEAD
from ugate.stream import Principal, StreamInfo, Target
from ugate.test.httpfakes import ALICE, BAD, CLIENT, GOOD, PROXY, aliceOnly, splits

BASE = StreamInfo(CLIENT, PROXY, principal=Principal("local", "local"), layers=("outer",))
DB = b"CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n"


def check(credentials: ICredentials | None) -> Principal | None:
    """
    What the host does with credentials.
    """
    assert credentials is not None
    try:
        return aliceOnly(credentials)
    except UnauthorizedLogin:
        return None


def drive(proxy: HttpProxy, chunks: Iterable[bytes]) -> tuple[bytes, StreamInfo | None, bytes, str]:
    """
    Feed a negotiation as its host does.

    @return: what was sent, what is known, what came after, and the error.
    """
    sent = proxy.start()
    rest = b""
    done: Step | None = None
    try:
        for chunk in chunks:
            if done is not None:
                rest += chunk
                continue
            step = proxy.receive(chunk)
            sent += step.send
            while step.credentials is not None:
                step = proxy.login(check(step.credentials))
                sent += step.send
            if step.done:
                done = step
                rest = step.rest
    except ProtocolError as e:
        return sent + e.reply, None, b"", str(e)
    return sent, done.info if done else None, rest, ""


class ConnectTests(SynchronousTestCase):
    """
    CONNECT without a login.
    """

    def test_interface(self) -> None:
        """
        It is a negotiation.
        """
        verifyObject(INegotiation, HttpProxy(BASE, Auth.NONE))

    def test_connect(self) -> None:
        """
        However the request comes, the target and what follows are the same.
        """
        for chunks in splits(DB + b"\r\nearly"):
            proxy = HttpProxy(BASE, Auth.NONE)
            sent, info, rest, error = drive(proxy, chunks)
            self.assertEqual((sent, rest, error), (b"", b"early", ""))
            wanted = BASE.but(
                target=Target("db.example", 5432), protocol="connect", layers=("outer", "connect")
            )
            self.assertEqual(info, wanted)
            self.assertEqual(proxy.accept(), ESTABLISHED)

    def test_old(self) -> None:
        """
        HTTP/1.0 has no Host, and a client may begin with an empty line.
        """
        for data in b"CONNECT [::1]:22 HTTP/1.0\r\n\r\n", b"\r\n\r\nCONNECT [::1]:22 HTTP/1.0\n\n":
            for chunks in splits(data):
                _, info, rest, _ = drive(HttpProxy(BASE, Auth.NONE), chunks)
                assert info is not None
                self.assertEqual((info.target, rest), (Target("::1", 22), b""))

    def test_ignored(self) -> None:
        """
        Where nobody can log in, a login does not matter.
        """
        _, info, _, _ = drive(HttpProxy(BASE, Auth.NONE), [DB + BAD + b"\r\n"])
        assert info is not None
        self.assertEqual(info.principal, BASE.principal)

    def test_bad(self) -> None:
        """
        What is no good request gets an answer that says so.
        """
        for data, status, hint in (
            (b"CONNECT db.example HTTP/1.1\r\nHost: x\r\n\r\n", b"400", b"HOST:PORT"),
            (b"CONNECT db.example: HTTP/1.1\r\nHost: x\r\n\r\n", b"400", b"HOST:PORT"),
            (b"CONNECT ::1:22 HTTP/1.1\r\nHost: x\r\n\r\n", b"400", b"brackets"),
            (b"CONNECT db:1 HTTP/1.1\r\n\r\n", b"400", b"Host"),
            (b"CONNECT db:1 HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"400", b"Host"),
            (DB + b"Content-Length: 4\r\n\r\n", b"400", b"content"),
            (DB + b"Transfer-Encoding: chunked\r\n\r\n", b"400", b"content"),
            (b"CONNECT db:1 HTTP/2.0\r\n\r\n", b"505", b"HTTP/1.1"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400", b"HTTP/1.1"),
            (b"GET / HTTP/2.0\r\n\r\n", b"400", b"HTTP/1.1"),
            (b"GET a HTTP/1.0\r\n\r\n", b"400", b"CONNECT HOST:PORT"),
            (b"hello\r\n\r\n", b"400", b"illegal request line"),
            (b"\x16\x03\x01\x02\x00", b"400", b"illegal request line"),
            (DB + b"X: \0\r\n\r\n", b"400", b"illegal header line"),
            (DB + b"Transfer-Encoding: gzip\r\n\r\n", b"501", b"Transfer-Encoding"),
        ):
            for chunks in splits(data):
                sent, info, _, error = drive(HttpProxy(BASE, Auth.NONE), chunks)
                self.assertIsNone(info)
                self.assertTrue(sent.startswith(b"HTTP/1.1 " + status), (data, sent))
                self.assertIn(hint, sent)
                self.assertIn(b"Connection: close", sent)
                self.assertTrue(error.startswith("HTTP: "))

    def test_tooLong(self) -> None:
        """
        A head that does not end is too long; one that is just within the limit is not.
        """
        proxy = HttpProxy(BASE, Auth.NONE)
        self.assertEqual(proxy.receive(DB + b"X: ".ljust(MAX_HEAD - len(DB), b"x")), Step())
        error = self.assertRaises(ProtocolError, proxy.receive, b"x")
        self.assertTrue(error.reply.startswith(b"HTTP/1.1 431 "))

    def test_refuse(self) -> None:
        """
        A refusal has a status, the reason, and ends the connection.
        """
        proxy = HttpProxy(BASE, Auth.NONE)
        drive(proxy, [DB + b"\r\n"])
        reply = proxy.refuse(Refused(Cause.CONNECTION_REFUSED, Phase.CONNECT, "db.example:5432"))
        self.assertTrue(reply.startswith(b"HTTP/1.1 502 Bad Gateway\r\n"))
        self.assertIn(b"Proxy-Status: ugate; error=connection_refused\r\n", reply)
        self.assertIn(b"Connection: close\r\n", reply)
        self.assertTrue(reply.endswith(b"check that the service is running on that port\n"))


class LoginTests(SynchronousTestCase):
    """
    CONNECT with a login.
    """

    def test_good(self) -> None:
        """
        A good login gives a principal.
        """
        for auth in Auth.REQUIRED, Auth.OPTIONAL:
            for chunks in splits(DB + GOOD + b"\r\nearly"):
                sent, info, rest, _ = drive(HttpProxy(BASE, auth), chunks)
                assert info is not None
                self.assertEqual((sent, info.principal, rest), (b"", ALICE, b"early"))

    def test_optional(self) -> None:
        """
        Nobody is asked for a login who need not have one.
        """
        _, info, _, _ = drive(HttpProxy(BASE, Auth.OPTIONAL), [DB + b"\r\n"])
        assert info is not None
        self.assertEqual(info.principal, BASE.principal)

    def test_again(self) -> None:
        """
        After a 407 the client tries again on the same connection.
        """
        for auth, first in (Auth.REQUIRED, b""), (Auth.REQUIRED, BAD), (Auth.OPTIONAL, BAD):
            for chunks in splits(DB + first + b"\r\n" + DB + GOOD + b"\r\nearly"):
                sent, info, rest, _ = drive(HttpProxy(BASE, auth), chunks)
                assert info is not None
                self.assertEqual((info.principal, rest), (ALICE, b"early"))
                self.assertEqual(sent.count(b"HTTP/1.1 407 "), 1)
                self.assertIn(b'Proxy-Authenticate: Basic realm="ugate", charset="UTF-8"\r\n', sent)
                self.assertNotIn(b"Connection: close", sent)

    def test_other(self) -> None:
        """
        Other schemes, and what cannot be read, are no login; two are an error.
        """
        for line in b"Proxy-Authorization: Digest x\r\n", b"Proxy-Authorization: Basic ?\r\n":
            sent, info, _, _ = drive(HttpProxy(BASE, Auth.OPTIONAL), [DB + line + b"\r\n"])
            self.assertIsNone(info)
            self.assertTrue(sent.startswith(b"HTTP/1.1 407 "))
        sent, _, _, _ = drive(HttpProxy(BASE, Auth.REQUIRED), [DB + GOOD + BAD + b"\r\n"])
        self.assertTrue(sent.startswith(b"HTTP/1.1 400 "))

    def test_bearer(self) -> None:
        """
        A token is a login, too.
        """
        for chunks in splits(DB + b"Proxy-Authorization: Bearer alice~ugate_x\r\n\r\n"):
            proxy = HttpProxy(BASE, Auth.REQUIRED)
            step = Step()
            for chunk in chunks:
                step = proxy.receive(chunk)
            self.assertEqual(step.credentials, BearerToken(b"alice~ugate_x"))
            done = proxy.login(ALICE)
            assert done.info is not None
            self.assertEqual((done.done, done.info.principal), (True, ALICE))

    def test_tries(self) -> None:
        """
        There are only so many tries.
        """
        for chunks in splits((DB + BAD + b"\r\n") * (MAX_TRIES + 1)):
            sent, info, _, error = drive(HttpProxy(BASE, Auth.REQUIRED), chunks)
            self.assertIsNone(info)
            self.assertEqual(sent.count(b"HTTP/1.1 407 "), MAX_TRIES)
            self.assertEqual(sent.count(b"Connection: close"), 1)
            self.assertEqual(error, "HTTP: The user name, the password or the token is wrong.")

    def test_once(self) -> None:
        """
        Some clients have one try on a connection.
        """
        old = b"CONNECT db:1 HTTP/1.0\r\n"
        for data in DB + b"Connection: close\r\n\r\n", old + b"\r\n", old + BAD + b"\r\n":
            sent, info, _, error = drive(HttpProxy(BASE, Auth.REQUIRED), [data])
            self.assertIsNone(info)
            self.assertTrue(sent.startswith(b"HTTP/1.1 407 ") and b"Connection: close" in sent)
            self.assertTrue(error)

    def test_owed(self) -> None:
        """
        An answer that is owed comes in front of the next one, whatever that is.
        """
        sent, _, _, error = drive(HttpProxy(BASE, Auth.REQUIRED), [DB + b"\r\nrubbish\r\n\r\n"])
        self.assertTrue(sent.startswith(b"HTTP/1.1 407 "))
        self.assertEqual(sent.count(b"HTTP/1.1 400 "), 1)
        self.assertTrue(error)
        page = b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"
        sent, info, rest, _ = drive(HttpProxy(BASE, Auth.REQUIRED), [DB + BAD + b"\r\n" + page])
        assert info is not None
        self.assertEqual((info.protocol, rest, sent.count(b"HTTP/1.1 407 ")), ("http", page, 1))


class OtherTests(SynchronousTestCase):
    """
    What others serve.
    """

    def test_absolute(self) -> None:
        """
        A request with a whole URI is left as it is, with whatever comes behind it.
        """
        for uri in b"http://a.example/x", b"HTTPS://a.example/":
            data = b"POST %b HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\nbody" % uri
            for chunks in splits(data):
                proxy = HttpProxy(BASE, Auth.REQUIRED)
                sent, info, rest, _ = drive(proxy, chunks)
                self.assertEqual((sent, rest), (b"", data))
                self.assertEqual(info, BASE.but(protocol="http", layers=("outer", "http")))
                self.assertEqual(proxy.accept(), b"")

    def test_origin(self) -> None:
        """
        A request without a host goes to the site behind the proxy, if there is one.
        """
        site = Target("127.0.0.1", 8080)
        for line in b"GET / HTTP/1.1", b"GET /?u=http:/x HTTP/1.0", b"OPTIONS * HTTP/1.1":
            data = line + b"\r\nHost: proxy\r\n\r\nmore"
            for chunks in splits(data):
                proxy = HttpProxy(BASE, Auth.NONE, site)
                sent, info, rest, _ = drive(proxy, chunks)
                self.assertEqual((sent, rest), (b"", data))
                self.assertEqual(
                    info, BASE.but(target=site, protocol="http-origin", layers=("outer", "http"))
                )
                self.assertEqual(proxy.accept(), b"")
        self.assertTrue(proxy.refuse(Refused(Cause.GENERAL, Phase.CONNECT, "x")).startswith(b"HTTP/1.1 502 "))

    def test_browser(self) -> None:
        """
        If there is none, the client is told what this is.
        """
        sent, info, _, error = drive(HttpProxy(BASE, Auth.NONE), [b"GET / HTTP/1.1\r\nHost: proxy\r\n\r\n"])
        self.assertIsNone(info)
        head, _, body = sent.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 400 "))
        self.assertIn(b"Content-Type: text/plain", head)
        self.assertEqual(body.count(b"\n"), 2)
        self.assertIn(b"curl -x http://127.0.0.1:1080 ", body)
        self.assertEqual(error, "HTTP: This port is a proxy, not a web site.")
        unnamed = HttpProxy(BASE.but(host=UNIXAddress(None)), Auth.NONE)
        sent, _, _, _ = drive(unnamed, [b"GET / HTTP/1.1\r\nHost: proxy\r\n\r\n"])
        self.assertIn(b"curl -x http://THIS-HOST:THIS-PORT ", sent)


class FuzzTests(SynchronousTestCase):
    """
    Whatever comes.
    """

    @given(
        st.lists(
            st.sampled_from(
                [
                    b"CONNECT ",
                    b"a:1",
                    b"http://a/",
                    b" HTTP/1.1",
                    b" HTTP/1.0",
                    b"\r\n",
                    b"\n",
                    b"Host: a\r\n",
                    GOOD,
                    BAD,
                    b"Content-Length: 3\r\n",
                    DB,
                ]
            )
            | st.binary(max_size=4),
            max_size=14,
        ).map(b"".join),
        st.lists(st.integers(0, 200), max_size=6),
        st.sampled_from(list(Auth)),
    )
    def test_splits(self, data: bytes, cuts: list[int], auth: Auth) -> None:
        """
        Any bytes have an outcome, and how they are cut does not change it.
        """
        ends = sorted(min(cut, len(data)) for cut in cuts)
        chunks = [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]
        whole = drive(HttpProxy(BASE, auth), [data])
        self.assertEqual(drive(HttpProxy(BASE, auth), chunks), whole)
