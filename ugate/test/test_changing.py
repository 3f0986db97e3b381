# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.changing}, as a client sees it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from zope.interface import implementer

from twisted.internet.defer import Deferred

from ugate.interfaces import IConfigStore
from ugate.test.adminfakes import AdminCase, Client, FakeOutcome
from ugate.test.test_pages import basic

HOPS = {"hops": "socks:new:1080"}
BAD = {"hops": "socks:bad:1"}
"""What the fake node does not take."""

CAROL = {"Authorization": basic("carol"), "Host": "alice.example"}


@implementer(IConfigStore)
class ReadOnly:
    """
    A store that can only be read.
    """

    def __init__(self, store: Any) -> None:
        self.names, self.section, self.changed = store.names, store.section, store.changed


class EditTests(AdminCase):
    """
    Sections are written and removed, and apply at once or not at all.
    """

    def test_put(self) -> None:
        """
        A new section gives 201, one in the place of another 200; both the tag that GET has too.
        """
        made = self.ask("PUT", "config/dial/lab", HOPS)
        self.assertEqual((201, True), (made.status, made.json["good"]))
        self.assertEqual(["admin: local:operator@root"], self.node.triggers)
        got = self.ask("GET", "config/dial/lab")
        self.assertEqual((HOPS, made.fields["etag"]), (got.json, got.fields["etag"]))
        again = self.ask("PUT", "config/dial/lab", {"hops": "socks:newer:1080"}, If_Match=got.fields["etag"])
        self.assertEqual(200, again.status)
        self.assertNotEqual(made.fields["etag"], again.fields["etag"])

    def test_single(self) -> None:
        """
        A kind that has one section has no name in the path.
        """
        self.assertEqual(201, self.ask("PUT", "config/policy?tenant=alice", {"private": "deny"}).status)
        self.assertEqual({"private": "deny"}, self.node.store.section("alice", "policy", ""))
        self.assertEqual(200, self.ask("DELETE", "config/policy?tenant=alice").status)

    def test_conditions(self) -> None:
        """
        What was changed meanwhile is not overwritten, and what is there is not made anew.
        """
        tag = self.ask("GET", "config/dial/office").fields["etag"]
        self.assertEqual(200, self.ask("PUT", "config/dial/office", HOPS, If_Match=tag).status)
        self.trouble(412, self.ask("PUT", "config/dial/office", HOPS, If_Match=tag))
        self.trouble(412, self.ask("DELETE", "config/dial/office", If_Match=tag))
        self.trouble(412, self.ask("PUT", "config/dial/none", HOPS, If_Match="*"))
        self.trouble(412, self.ask("PUT", "config/dial/office", HOPS, If_None_Match="*"))
        self.assertEqual(HOPS, self.node.store.section("root", "dial", "office"))
        self.assertEqual(200, self.ask("DELETE", "config/dial/office", If_Match="*").status)
        self.trouble(404, self.ask("DELETE", "config/dial/office"))

    def test_order(self) -> None:
        """
        The tag does not depend on the order of keys.
        """
        one = self.ask("PUT", "config/dial/x", b'{"hops": "socks:a:1", "retries": 1}').fields["etag"]
        other = self.ask("PUT", "config/dial/y", b'{"retries":1,"hops":"socks:a:1"}').fields["etag"]
        self.assertEqual(one, other)

    def test_mistakes(self) -> None:
        """
        What is wrong is told with its places, and what was before is there again.
        """
        answer = self.ask("PUT", "config/dial/office", BAD)
        self.assertIn("bad is bad", self.trouble(422, answer))
        self.assertEqual(
            [{"place": "a.yaml:3:5", "message": "bad is bad; wanted good"}], answer.json["mistakes"]
        )
        self.assertEqual({"hops": "socks:proxy.root:1080"}, self.node.store.section("root", "dial", "office"))
        self.assertEqual(2, len(self.node.triggers))
        self.assertTrue(self.node.last.good)
        self.trouble(422, self.ask("PUT", "config/dial/new", BAD))
        self.assertNotIn(("root", "dial", "new"), self.node.store.sections)

    def test_lists(self) -> None:
        """
        What is in a list is named by its place; a new one is put without a name.
        """
        route = {"match": "*.lab", "via": "direct"}
        bad = {"match": "*.bad", "via": "direct"}
        self.assertEqual(201, self.ask("PUT", "config/routes", route).status)
        (row,) = [row for row in self.ask("GET", "config").json if row["kind"] == "routes"]
        place = f"config/routes/{quote(row['name'], safe='')}"
        self.assertEqual(route, self.ask("GET", place).json)
        for path in ("config/routes", place):
            self.trouble(422, self.ask("PUT", path, bad))
            self.assertEqual([row["name"]], self.node.store.names("root", "routes"))
            self.assertEqual(route, self.ask("GET", place).json)
        self.assertEqual(200, self.ask("PUT", place, {"match": "*.home", "via": "direct"}).status)
        self.assertEqual(200, self.ask("DELETE", place).status)
        self.assertEqual([], self.node.store.names("root", "routes"))

    def test_removed(self) -> None:
        """
        What cannot be done without is there again.
        """
        self.node.store.sections["root", "dial", "other"] = BAD
        self.trouble(422, self.ask("DELETE", "config/dial/office"))
        self.assertEqual({"hops": "socks:proxy.root:1080"}, self.node.store.section("root", "dial", "office"))

    def test_noStore(self) -> None:
        """
        Where no store can be written that is said.
        """
        self.node.store = ReadOnly(self.node.store)
        self.assertIn("no store", self.trouble(409, self.ask("PUT", "config/dial/x", HOPS)))

    def test_foreseen(self) -> None:
        """
        What can be known of a section beforehand is told before anybody else sees it.
        """
        for path, body, said in (
            ("config/dial/x", {"hops": "socks:a:1", "colour": "red"}, "unknown key 'colour'"),
            ("config/dial/x", {"hops": "socks:a"}, "too few parts"),
            ("config/dial/x", {}, "lacks 'hops'"),
            ("config/tenants/dev?tenant=alice", {"hosts": ["bob.example"]}, "bob.example"),
        ):
            answer = self.ask("PUT", path, body)
            self.assertIn(said, self.trouble(422, answer))
            self.assertTrue(answer.json["mistakes"])
        self.assertEqual([], self.node.triggers)

    def test_store(self) -> None:
        """
        What a store cannot do is said.
        """
        self.assertIn(
            "disk is full",
            self.trouble(409, self.ask("PUT", "config/dial/x", {"hops": "socks:unwritable:1"})),
        )
        self.node.store.locked.add(("root", "dial", "office"))
        self.assertIn("remove it where it is", self.trouble(409, self.ask("DELETE", "config/dial/office")))

    def test_turns(self) -> None:
        """
        Changes are made one after the other: a condition holds for what the one before has left.
        """
        going: Deferred[FakeOutcome] = Deferred()
        plain = self.node.reload
        self.node.reload = lambda trigger, tenants=None: going
        first, second = Client(self.site), Client(self.site)
        head = b"PUT /api/v1/config/dial/z HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += b'If-None-Match: *\r\nContent-Length: 20\r\n\r\n{"hops":"socks:a:1"}'
        self.assertEqual((b"", b""), (first.say(head), second.say(head)))
        self.node.reload = plain
        going.callback(FakeOutcome())
        self.assertIn(b" 201 ", first.transport.value())
        self.assertIn(b" 412 ", second.transport.value())

    def test_gone(self) -> None:
        """
        Who does not wait for the answer is not answered, and what they asked for is done.
        """
        going: Deferred[FakeOutcome] = Deferred()
        self.node.reload = lambda trigger, tenants=None: going
        client = Client(self.site)
        client.say(b"POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.leave()
        going.callback(FakeOutcome())
        self.assertEqual([], self.flushLoggedErrors())


class TenantTests(AdminCase):
    """
    What tenants may do.
    """

    def test_add(self) -> None:
        """
        A tenant is a section of its parent; what is not given is left out.
        """
        body = {"name": "carl", "hosts": ["carl.example"], "limits": {"streams": 5, "up": "10M"}}
        self.assertEqual(201, self.ask("POST", "tenants", body).status)
        self.assertEqual(
            {"hosts": ["carl.example"], "limits": {"streams": 5, "up": "10M"}},
            self.node.store.section("root", "tenants", "carl"),
        )
        self.trouble(409, self.ask("POST", "tenants", {"name": "carl"}))
        self.assertEqual(201, self.ask("POST", "tenants", {"name": "test"}, **CAROL).status)
        self.assertEqual({}, self.node.store.section("alice", "tenants", "test"))
        for name in ("", "../x", "a/b", 5, None):
            self.trouble(422, self.ask("POST", "tenants", {"name": name}))
        self.trouble(422, self.ask("POST", "tenants", {}))

    def test_within(self) -> None:
        """
        Nobody gives a tenant sections of its own by that of its parent.
        """
        inside = {"listen": {"main": "auto:tcp:1"}}
        self.trouble(422, self.ask("POST", "tenants", {"name": "carl", **inside}))
        self.trouble(422, self.ask("PUT", "config/tenants/dev", inside, **CAROL))

    def test_own(self) -> None:
        """
        What reaches nothing but the network is a tenant's own to write.
        """
        rules = [{"action": "allow", "who": "dave", "target": "*.example:443"}]
        for path, body in (
            ("config/dial/lab", HOPS),
            ("config/dial/lab", {"hops": "socks:a:1080 -> connect:b:3128"}),
            ("config/routes/1", {"match": "*.lab", "via": ["lab", "direct"]}),
            ("config/policy", {"rules": rules}),
            ("config/admin/more", {"who": ["erin"]}),
            ("config/tenants/dev", {"hosts": ["dev.alice.example"]}),
        ):
            answer = self.ask("PUT", path, body, **CAROL)
            self.assertIn(answer.status, (200, 201), (path, answer.body))

    def test_machine(self) -> None:
        """
        Ports, files and variables of the node's machine are not.
        """
        before = dict(self.node.store.sections)
        for path, body in (
            ("config/listen/main", {"endpoint": "auto:tcp:1080"}),
            ("config/http/main", {"endpoint": "tcp:80"}),
            ("config/dial/lab", {"hops": "socks:evil:1080:user=x:passwordFile=/etc/shadow"}),
            ("config/dial/lab", {"hops": "socks:evil:1080:user=x:passwordEnv=SECRET"}),
            ("config/dial/lab", {"hops": "socks:a:1 -> socks:evil:1080:user=x:passwordEnv=SECRET"}),
            ("config/dial/lab", {"hops": "socks:evil:1080:via=unix\\:/run/docker.sock"}),
            ("config/routes/1", {"match": "*", "via": "socks:evil:1080:user=x:passwordEnv=SECRET"}),
            ("config/routes/1", {"match": "*", "via": ["direct", "socks:e:1:user=x:passwordEnv=SECRET"]}),
            ("config/policy", {"users": "/etc/passwd"}),
            ("config/policy", {"issuers": "/etc/passwd"}),
            ("config/policy", {"revoked": "/etc/passwd"}),
            ("config/policy", {"tokens": "/etc/ugate/tokens"}),
            ("config/policy", {"rules": [{"file": "/etc/shadow"}]}),
            ("config/admin/more", {"who": {"env": "SECRET"}}),
        ):
            self.trouble(403, self.ask("PUT", path, body, **CAROL))
        self.trouble(403, self.ask("DELETE", "config/http/main", **CAROL))
        self.assertEqual(before, self.node.store.sections)
        self.assertEqual(
            201, self.ask("PUT", "config/dial/lab", {"hops": "socks:b:1:user=x:passwordEnv=Y"}).status
        )

    def test_kept(self) -> None:
        """
        What the operator has put there may stay.
        """
        users = Path(self.mktemp())
        users.touch(0o600)
        self.node.store.sections["alice", "policy", ""] = {"users": str(users)}
        body = {"users": str(users), "private": "deny"}
        self.assertEqual(200, self.ask("PUT", "config/policy", body, **CAROL).status)
        self.trouble(403, self.ask("PUT", "config/policy", {"users": "/etc/ugate/bob"}, **CAROL))


class NodeTests(AdminCase):
    """
    The node as a whole.
    """

    def test_reload(self) -> None:
        """
        It is told what came of it.
        """
        self.assertEqual(["root dial x"], self.ask("POST", "reload").json["changed"])
        self.node.store.sections["root", "dial", "x"] = BAD
        self.assertIn("bad is bad", self.trouble(422, self.ask("POST", "reload")))

    def test_drain(self) -> None:
        """
        It ends, and says how many are open.
        """
        self.node.stream("root")
        answer = self.ask("POST", "drain")
        self.assertEqual((202, {"streams": 1}, 1), (answer.status, answer.json, self.node.drained))

    def test_kill(self) -> None:
        """
        A stream is closed, with who did it as the reason.
        """
        stream = self.node.stream("bob")
        self.assertEqual({"id": stream.id}, self.ask("DELETE", f"streams/{stream.id}").json)
        self.assertEqual(["closed by local:operator@root"], stream.closed)

    def test_fault(self) -> None:
        """
        A fault of ours is told as that, and is in the log.
        """
        self.node.listeners = lambda: 1 / 0
        self.assertIn("see the log", self.trouble(500, self.ask("GET", "status")))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
