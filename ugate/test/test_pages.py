# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.pages}: who comes to which page, and who does not.
"""

from __future__ import annotations

import base64
from typing import Any

from zope.interface import implementer

from twisted.application.service import Service
from twisted.web import http
from twisted.web.resource import IResource, Resource

from ugate.interfaces import IPrincipal, IServesHTTP
from ugate.modules.pages import Pages
from ugate.modules.serving import LimitedSite
from ugate.test.adminfakes import AdminCase


def basic(name: str, password: str = "secret") -> str:
    """
    C{Authorization} of somebody with a password.
    """
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class Shown(Resource):
    """
    Says who asks for what.
    """

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        who = IPrincipal(request, None)
        return f"{who} {[each.decode() for each in request.postpath]}".encode()

    def render_POST(self, request: Any) -> bytes:
        body: bytes = request.content.read()
        return body


@implementer(IServesHTTP)
class Showing(Service):
    """
    A module that shows something.
    """

    def __init__(self, isPublic: bool = False) -> None:
        self.isPublic = isPublic
        self.shown = Shown()

    def resource(self) -> IResource:
        shown: IResource = self.shown
        return shown


FOREIGN = "http://evil.example"
HOSTILE: tuple[tuple[str, int, str, str, object, dict[str, str | None]], ...] = (
    ("a page of another site", 403, "GET", "status", None, {"Origin": FOREIGN}),
    ("a page without an origin", 403, "GET", "status", None, {"Origin": "null"}),
    (
        "a page of this machine, at another port",
        403,
        "GET",
        "status",
        None,
        {"Origin": "http://127.0.0.1:8080"},
    ),
    ("a page by another scheme", 403, "GET", "status", None, {"Origin": "https://127.0.0.1:15000"}),
    ("a page that says so otherwise", 403, "GET", "status", None, {"Sec-Fetch-Site": "cross-site"}),
    ("a page of a neighbour", 403, "GET", "status", None, {"Sec-Fetch-Site": "same-site"}),
    ("a form of another site", 403, "POST", "reload", b"", {"Origin": FOREIGN, "Content-Type": "text/plain"}),
    ("a preflight of another site", 403, "OPTIONS", "reload", None, {"Origin": FOREIGN}),
    ("a preflight", 405, "OPTIONS", "reload", None, {}),
    ("a name that was rebound", 421, "GET", "status", None, {"Host": "evil.example:15000"}),
    ("its page", 421, "GET", "status", None, {"Host": "evil.example", "Origin": FOREIGN}),
    (
        "a rebound name that begins like an address",
        421,
        "GET",
        "status",
        None,
        {"Host": "127.0.0.1.evil.example"},
    ),
    ("a tenant's name, rebound", 401, "GET", "status", None, {"Host": "x.alice.example:15000"}),
    ("its page", 401, "POST", "reload", b"", {"Host": "alice.example", "Origin": "http://alice.example"}),
    ("no host", 400, "GET", "status", None, {"Host": None}),
    ("no host in it", 400, "GET", "status", None, {"Host": ""}),
    ("a host with a user", 400, "GET", "status", None, {"Host": "me@127.0.0.1"}),
    ("a host with a path", 400, "GET", "status", None, {"Host": "127.0.0.1/x"}),
    ("a port that is none", 400, "GET", "status", None, {"Host": "127.0.0.1:99999"}),
    ("another proxy's client", 401, "GET", "status", None, {"X-Forwarded-For": "192.0.2.1"}),
    ("the same by the book", 401, "GET", "status", None, {"Forwarded": "for=192.0.2.1"}),
    ("a wrong password", 401, "GET", "status", None, {"Authorization": basic("ann", "wrong")}),
    ("a scheme that is unknown", 401, "GET", "status", None, {"Authorization": "Digest x"}),
    ("what is not base64", 401, "GET", "status", None, {"Authorization": "Basic !!!"}),
    ("no colon", 401, "GET", "status", None, {"Authorization": "Basic YWJj"}),
    ("a user who looks after nothing", 403, "GET", "status", None, {"Authorization": basic("eve")}),
    ("no content type", 415, "PUT", "config/dial/x", {}, {"Content-Type": None}),
    ("that of a form", 415, "PUT", "config/dial/x", {}, {"Content-Type": "text/plain"}),
    (
        "JSON in name only",
        415,
        "PUT",
        "config/dial/x",
        {},
        {"Content-Type": "application/json; x=text/plain"},
    ),
    ("not JSON", 400, "PUT", "config/dial/x", b"{", {}),
    ("no mapping", 422, "PUT", "config/dial/x", b"[]", {}),
    ("a million brackets", 400, "PUT", "config/dial/x", b'{"a":' + b"[" * 100_000, {}),
    ("a body for nothing", 400, "DELETE", "config/dial/office", {}, {}),
    ("a path upwards", 404, "GET", "config/dial/..", None, {}),
    ("a path upwards, hidden", 404, "GET", "config/dial/..%2f..%2fetc", None, {}),
    ("a path far upwards", 404, "GET", "config/dial/../../../../etc/passwd", None, {}),
    ("an absolute path", 404, "PUT", "config/dial/%2fetc%2fpasswd", {}, {}),
    ("a line end in a name", 404, "PUT", "config/dial/x%0ay", {}, {}),
    ("a NUL in a name", 404, "PUT", "config/dial/x%00", {}, {}),
    ("a name that is too long", 404, "PUT", "config/dial/" + "x" * 65, {}, {}),
    ("no UTF-8", 404, "GET", "config/dial/%ff", None, {}),
    ("a tenant upwards", 400, "GET", "config/dial/x?tenant=alice/../bob", None, {}),
    ("a tenant from the top", 400, "GET", "config?tenant=/alice", None, {}),
    ("an unknown parameter", 400, "GET", "streams?colour=red", None, {}),
    ("a parameter twice", 400, "GET", "streams?limit=1&limit=2", None, {}),
    ("too many", 400, "GET", "streams?limit=100000", None, {}),
    ("no number", 400, "GET", "streams?limit=many", None, {}),
    ("a query that is none", 400, "GET", "streams?%%", None, {}),
    ("no such stream", 404, "DELETE", "streams/99", None, {}),
    ("no number of a stream", 404, "DELETE", "streams/-1", None, {}),
    ("the wrong way", 405, "POST", "status", None, {}),
    ("a stale tag", 412, "PUT", "config/dial/office", {}, {"If-Match": '"0"'}),
    ("many tags", 400, "PUT", "config/dial/office", {}, {"If-Match": '"0", "1"'}),
    ("there already", 412, "PUT", "config/dial/office", {}, {"If-None-Match": "*"}),
    ("something else", 404, "GET", "/etc/passwd", None, {}),
    ("nothing", 404, "GET", "/", None, {}),
    ("no version", 404, "GET", "/api/v2/status", None, {}),
)
"""What, its answer, method, path, body, and fields of the head."""


class HostileTests(AdminCase):
    """
    Requests that an operator's browser may be made to send, and others that nobody should.
    """

    def test_each(self) -> None:
        """
        Each has its answer, which no page may read, and nothing has changed.
        """
        before = dict(self.node.store.sections)
        for what, status, method, path, body, fields in HOSTILE:
            answer = self.ask(
                method, path, body, **{name.replace("-", "_"): each for name, each in fields.items()}
            )
            self.trouble(status, answer)
            self.assertEqual("nosniff", answer.fields["x-content-type-options"], what)
            self.assertEqual([], [each for each in answer.fields if each.startswith("access-control")], what)
            self.assertEqual(before, self.node.store.sections, what)
            self.assertEqual([], self.node.triggers, what)

    def test_same(self) -> None:
        """
        What the node's own pages, and programs, send is answered.
        """
        for fields in (
            {"Origin": "http://127.0.0.1:15000", "Sec_Fetch_Site": "same-origin"},
            {"Sec_Fetch_Site": "none"},
            {"Host": "localhost:15000", "Origin": "http://LOCALHOST:15000"},
            {"Host": "[::1]:15000"},
            {"Host": "127.0.0.1"},
            {"Host": "192.0.2.1:15000"},
        ):
            answer = self.ask("GET", "status", **fields)
            self.assertEqual(200, answer.status, answer.body)
            self.assertIn("sandbox", answer.fields["content-security-policy"])
            self.assertEqual("same-origin", answer.fields["cross-origin-resource-policy"])
            self.assertEqual("no-store", answer.fields["cache-control"])

    def test_head(self) -> None:
        """
        HEAD is as GET, without a body.
        """
        answer = self.ask("HEAD", "status")
        self.assertEqual((200, b""), (answer.status, answer.body))
        self.assertGreater(int(answer.fields["content-length"]), 0)


class LoginTests(AdminCase):
    """
    An HTTP port that others reach.
    """

    isLocal = False

    def test_nobody(self) -> None:
        """
        Without credentials there is nothing, be it where it may, and it is said how to log in.
        """
        for path in ("status", "nothing", "/openapi.json", "/metrics", "/modules/hello/x/"):
            answer = self.ask("GET", path)
            if path != "/modules/hello/x/":
                self.trouble(401, answer)
                self.assertIn("Basic", answer.fields["www-authenticate"])

    def test_operator(self) -> None:
        """
        Who looks after the root tenant sees all.
        """
        status = self.ask("GET", "status", Authorization=basic("ann")).json
        self.assertEqual(("password:ann@root", 4), (status["caller"], status["tenants"]))
        self.assertEqual(200, self.ask("POST", "reload", Authorization=basic("ann")).status)

    def test_tenant(self) -> None:
        """
        Who looks after a tenant sees that, by the port of its parent or by its own name.
        """
        for fields in (
            {"Authorization": basic("carol@alice")},
            {"Authorization": basic("carol"), "Host": "www.alice.example"},
        ):
            status = self.ask("GET", "status", **fields).json
            self.assertEqual(
                ("password:carol@alice", "alice", 2), (status["caller"], status["tenant"], status["tenants"])
            )
            self.assertIsNone(status["applied"])

    def test_otherPortal(self) -> None:
        """
        A tenant's names lead to its own users, and not to those of another.
        """
        answer = self.ask("GET", "status", Authorization=basic("ann"), Host="alice.example")
        self.trouble(401, answer)
        answer = self.ask("GET", "status", Authorization=basic("bob"), Host="bob.example")
        self.assertIn("no admin section of the tenant bob names password:bob", self.trouble(403, answer))

    def test_fence(self) -> None:
        """
        A tenant's admin can neither see nor change, name or guess what is not theirs.
        """
        mine = self.node.stream("alice/dev")
        other = self.node.stream("bob", "bob")
        self.node.refuse("bob", 1.0)
        self.node.refuse("alice", 2.0)
        carol = {"Authorization": basic("carol@alice")}
        for query in ("streams", "refusals", "limits", "listeners", "tenants", "config"):
            answer = self.ask("GET", query, **carol)
            self.assertEqual(200, answer.status)
            self.assertNotIn(b"bob", answer.body)
            self.assertTrue(answer.json)
            for outside in ("bob", "root", "carl"):
                answer = self.ask("GET", f"{query}?tenant={outside}", **carol)
                self.assertEqual(f"no tenant {outside}", self.trouble(404, answer))
        self.trouble(404, self.ask("DELETE", f"streams/{other.id}", **carol))
        self.assertEqual([], other.closed)
        self.assertEqual(200, self.ask("DELETE", f"streams/{mine.id}", **carol).status)
        self.assertEqual(["closed by password:carol@alice"], mine.closed)
        for method, path, body in (
            ("GET", "config/dial/office?tenant=bob", None),
            ("PUT", "config/dial/office?tenant=bob", {"hops": "socks:evil:1080"}),
            ("DELETE", "config/dial/office?tenant=root", None),
            ("GET", "config/tenants/alice?tenant=root", None),
            ("POST", "tenants?tenant=bob", {"name": "x"}),
            ("POST", "tokens?tenant=root", {"name": "x"}),
            ("GET", "explain?target=db:1&tenant=root", None),
        ):
            self.trouble(404, self.ask(method, path, body, **carol))
        for method, path, body in (
            ("POST", "reload", None),
            ("POST", "drain", None),
            ("POST", "check", {"text": ""}),
        ):
            self.trouble(403, self.ask(method, path, body, **carol))
        self.assertEqual((0, []), (self.node.drained, self.node.triggers))

    def test_look(self) -> None:
        """
        Who may only look changes nothing.
        """
        dave = {"Authorization": basic("dave"), "Host": "alice.example"}
        self.assertEqual(200, self.ask("GET", "config/dial/office", **dave).status)
        self.trouble(403, self.ask("PUT", "config/dial/office", {}, **dave))
        self.trouble(403, self.ask("DELETE", f"streams/{self.node.stream('alice').id}", **dave))
        self.trouble(403, self.ask("POST", "tokens", {"name": "x"}, **dave))

    def test_tenantsPort(self) -> None:
        """
        A port of a tenant shows that tenant, also to who is on this machine, and knows no names but its own.
        """
        site = self.port("alice", isLocal=True)
        self.assertEqual("alice", self.ask("GET", "status", site=site).json["tenant"])
        self.trouble(404, self.ask("GET", "status/../streams?tenant=bob", site=site))
        self.trouble(404, self.ask("GET", "streams?tenant=bob", site=site))
        self.trouble(421, self.ask("GET", "status", site=site, Host="bob.example"))
        self.trouble(403, self.ask("POST", "reload", site=site))


class ModuleTests(AdminCase):
    """
    What modules show.
    """

    def setUp(self) -> None:
        super().setUp()
        for tenant, name, isPublic in (
            ("root", "mine", False),
            ("root", "open", True),
            ("alice", "mine", False),
            ("alice", "open", True),
        ):
            self.node.modules[tenant, "hello", name] = Showing(isPublic)
        self.node.modules["root", "hello", "silent"] = Service()

    def test_operator(self) -> None:
        """
        Who is on this machine sees those of whose port it is.
        """
        answer = self.ask("GET", "/modules/hello/mine/a/b%2Fc?x=1")
        self.assertEqual((200, b"operator ['a', 'b/c']"), (answer.status, answer.body))
        self.assertEqual(b"operator []", self.ask("GET", "/modules/hello/mine").body)
        self.assertEqual(b"{}", self.ask("POST", "/modules/hello/mine/", {}).body)
        for path in ("", "hello", "hello/", "hello/none/", "hello/silent/", "none/mine/", "../hello/mine"):
            self.trouble(404, self.ask("GET", f"/modules/{path}"))

    def test_names(self) -> None:
        """
        A tenant's modules are below its names, and want a login unless they are for everybody.
        """
        host = {"Host": "alice.example:15000"}
        self.assertEqual(b"None ['x']", self.ask("GET", "/modules/hello/open/x", **host).body)
        self.trouble(401, self.ask("GET", "/modules/hello/mine/", **host))
        answer = self.ask("GET", "/modules/hello/mine/", Authorization=basic("dave"), **host)
        self.assertEqual(b"dave@alice ['']", answer.body)
        self.trouble(404, self.ask("GET", "/modules/hello/mine/", Host="bob.example"))
        self.trouble(421, self.ask("GET", "/modules/hello/open/", Host="evil.example"))

    def test_ownNames(self) -> None:
        """
        A port may have names of its own, by which nobody is the operator.
        """
        pages = Pages(self.node, "root", ("modules",), isLocal=True, hosts=["CA.example."])
        site = LimitedSite(pages, self.reactor)
        host = {"Host": "ca.example:8443"}
        self.assertEqual(b"None ['']", self.ask("GET", "/modules/hello/open/", site=site, **host).body)
        self.trouble(401, self.ask("GET", "/modules/hello/mine/", site=site, **host))
        self.trouble(421, self.ask("GET", "/modules/hello/open/", site=site, Host="evil.example"))

    def test_protocols(self) -> None:
        """
        In TLS it is HTTP/1.1, also where Twisted could have HTTP/2, which would know nothing of our limits.
        """
        self.patch(http, "H2_ENABLED", True)
        self.assertEqual([b"http/1.1"], self.port().acceptableProtocols())

    def test_pages(self) -> None:
        """
        Pages of other sites come to what is for everybody, and to nothing else.
        """
        self.trouble(403, self.ask("GET", "/modules/hello/mine/", Origin=FOREIGN))
        self.assertEqual(b"None ['']", self.ask("GET", "/modules/hello/open/", Origin=FOREIGN).body)

    def test_apart(self) -> None:
        """
        A page of a module has no part in the origin of the admin API, where that is on the same port.
        """
        for path in ("mine", "open"):
            answer = self.ask("GET", f"/modules/hello/{path}/")
            policy = answer.fields["content-security-policy"]
            self.assertIn("sandbox", policy)
            self.assertNotIn("allow-same-origin", policy)
        answer = self.ask("GET", "/modules/hello/mine/", site=self.port(serve=("modules",)))
        self.assertNotIn("content-security-policy", answer.fields)

    def test_served(self) -> None:
        """
        A port serves what its section says.
        """
        site = self.port(serve=("modules",))
        self.assertEqual(200, self.ask("GET", "/modules/hello/mine/", site=site).status)
        for path in ("status", "/metrics", "/openapi.json"):
            self.trouble(404, self.ask("GET", path, site=site))
        self.trouble(404, self.ask("GET", "/modules/hello/mine/", site=self.port(serve=("admin",))))
