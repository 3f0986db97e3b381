# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnspages}, on the HTTP port where they are.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

from zope.interface import implementer

from twisted.internet.defer import Deferred

from ugate.interfaces import IServesHTTP
from ugate.modules import dnspages
from ugate.modules.dnspages import DnsPages
from ugate.test.adminfakes import AdminCase, Client, parse
from ugate.test.dnsfakes import message, read, said

KIND = "application/dns-message"
QUESTION = message()
GOOD = "db.example 60 A 192.0.2.1"


def encoded(data: bytes = QUESTION) -> str:
    """
    A question as it is in a URI.
    """
    return urlsafe_b64encode(data).decode().rstrip("=")


@implementer(IServesHTTP)
class FakeResolver:
    """
    What shows the pages.
    """

    isPublic = False

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bool]] = []
        self.answer: Any = None
        self.pages: Any = DnsPages(self)

    def __call__(self, data: bytes, isStream: bool, source: str | None) -> Any:
        self.asked.append((data, isStream))
        return said(data, GOOD) if self.answer is None else self.answer

    def resource(self) -> Any:
        return self.pages


class DnsPagesTests(AdminCase):
    """
    L{DnsPages}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.resolver = FakeResolver()
        self.node.modules["root", "dns", "main"] = self.resolver

    def get(self, data: bytes = QUESTION, path: str = "/dns-query", **more: Any) -> Any:
        """
        Ask with GET.
        """
        return self.ask("GET", f"{path}?dns={encoded(data)}", **more)

    def test_get(self) -> None:
        """
        A question in the URI.
        """
        for path in ("/dns-query", "/modules/dns/main", "/modules/dns/main/"):
            answer = self.get(path=path)
            self.assertEqual((200, KIND), (answer.status, answer.fields["content-type"]), path)
            self.assertEqual("private, max-age=60", answer.fields["cache-control"])
            self.assertEqual("192.0.2.1", str(read(answer.body).answer[0][0]))
        self.assertEqual([(QUESTION, True)] * 3, self.resolver.asked)
        head = self.ask("HEAD", f"/dns-query?dns={encoded()}")
        self.assertEqual((200, b""), (head.status, head.body))

    def test_post(self) -> None:
        """
        A question in the body.
        """
        answer = self.ask("POST", "/dns-query", QUESTION, Content_Type=KIND)
        self.assertEqual(200, answer.status)
        self.assertEqual(read(QUESTION).id, read(answer.body).id)

    def test_mistakes(self) -> None:
        """
        What is no question, and how it can be one.
        """
        for method, path, body, kind, status in (
            ("GET", "/dns-query", None, None, 400),
            ("GET", "/dns-query?dns=!", None, None, 400),
            ("GET", "/dns-query?dns=a", None, None, 400),
            ("GET", f"/dns-query?dns={encoded()}&dns={encoded()}", None, None, 400),
            ("GET", f"/dns-query/x?dns={encoded()}", None, None, 404),
            ("GET", f"/dns-query?dns={encoded(bytes(4097))}", None, None, 413),
            ("PUT", "/dns-query", QUESTION, KIND, 405),
            ("POST", "/dns-query", QUESTION, "text/plain", 415),
            ("POST", "/dns-query", bytes(5000), KIND, 413),
        ):
            fields = {} if kind is None else {"Content_Type": kind}
            answer = self.ask(method, path, body, **fields)
            self.assertEqual(status, answer.status, (method, path[:40]))
        self.assertEqual([], self.resolver.asked)
        self.resolver.answer = b""
        self.assertEqual(400, self.get(b"x").status)

    def test_later(self) -> None:
        """
        An answer that takes time; no more than so many do.
        """
        self.patch(dnspages, "MAX_UNANSWERED", 1)
        answer: Deferred[bytes] = Deferred()
        self.resolver.answer = answer
        client = Client(self.site)
        head = f"GET /dns-query?dns={encoded()} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.assertEqual(b"", client.say(head.encode()))
        self.assertEqual(503, self.get().status)
        answer.callback(said(QUESTION, GOOD))
        self.assertEqual(200, parse(client.transport.value()).status)
        self.assertEqual(0, self.resolver.pages._places.taken)
        self.resolver.answer = answer = Deferred()
        client.say(head.encode())
        client.leave()
        answer.callback(said(QUESTION, GOOD))

    def test_guarded(self) -> None:
        """
        Pages of other sites may not ask, nor may who is not on this machine and has not logged in.
        """
        self.assertEqual(403, self.get(Origin="http://evil.example").status)
        self.assertEqual(421, self.get(Host="evil.example").status)
        far = self.port(isLocal=False)
        self.assertEqual(401, self.get(site=far).status)
        self.assertEqual(200, self.get(site=far, Authorization="Basic YW5uOnNlY3JldA==").status)

    def test_which(self) -> None:
        """
        With several resolvers one is asked by its name; a tenant without one has none.
        """
        self.node.modules["root", "dns", "other"] = FakeResolver()
        answer = self.get()
        self.assertEqual(404, answer.status)
        self.assertIn("wanted /modules/dns/NAME/", answer.body.decode())
        self.assertEqual(404, self.get(Host="alice.example").status)
