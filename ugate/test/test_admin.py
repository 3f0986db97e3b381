# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.looking}, L{ugate.modules.whole} and L{ugate.modules.tokens}, as a client sees them.
"""

from __future__ import annotations

from pathlib import Path

from twisted.logger import capturedLogs, formatEvent

from ugate.flows import Totals
from ugate.tenancy.config.schema import Listener
from ugate.tenancy.config.whole import Config
from ugate.test.adminfakes import AdminCase


class LookingTests(AdminCase):
    """
    What the operator sees.
    """

    def test_status(self) -> None:
        """
        How the node does, in sums.
        """
        self.node.flows.counted = {"root": Totals(5, 1, 100, 200, 2), "alice/dev": Totals(1, 1, 10, 20, 1)}
        answer = self.ask("GET", "status")
        self.assertEqual((200, "application/json"), (answer.status, answer.fields["content-type"]))
        status = answer.json
        applied = status.pop("applied")
        self.assertEqual((True, 1), (applied["good"], applied["generation"]))
        version = status.pop("version")
        self.assertTrue(version)
        self.assertEqual(
            {
                "caller": "local:operator@root",
                "tenant": "root",
                "started": 900.0,
                "tenants": 4,
                "listeners": 3,
                "streams": 3,
                "opened": 6,
                "refused": 2,
                "sent": 110,
                "received": 220,
            },
            status,
        )
        part = self.ask("GET", "status?tenant=alice").status
        self.assertEqual(400, part)

    def test_notAllowed(self) -> None:
        """
        Who tries what is not theirs leaves a line, with their address as people write one.
        """
        with capturedLogs() as events:
            self.trouble(403, self.ask("GET", "status", Origin="http://evil.example"))
        said = [formatEvent(event) or "" for event in events]
        self.assertTrue(any("admin: 127.0.0.1:40000 is told 403: " in line for line in said), said)

    def test_tenants(self) -> None:
        """
        All of them, parents first; or one and those below.
        """
        self.node.flows.counted = {"alice": Totals(5, 1, 100, 200, 2)}
        rows = self.ask("GET", "tenants").json
        self.assertEqual(["root", "alice", "alice/dev", "bob"], [row["tenant"] for row in rows])
        self.assertEqual((["alice.example", "*.alice.example"], 5), (rows[1]["hosts"], rows[1]["opened"]))
        rows = self.ask("GET", "tenants?tenant=alice").json
        self.assertEqual(["alice", "alice/dev"], [row["tenant"] for row in rows])
        self.assertIn("no tenant carl", self.trouble(404, self.ask("GET", "tenants?tenant=carl")))

    def test_listeners(self) -> None:
        """
        All of them.
        """
        rows = self.ask("GET", "listeners?tenant=bob").json
        self.assertEqual(
            [
                {
                    "tenant": "bob",
                    "name": "own",
                    "endpoint": "auto:tcp:1080",
                    "address": "127.0.0.1:1080",
                    "streams": 3,
                }
            ],
            rows,
        )

    def test_streams(self) -> None:
        """
        The newest first, by any of the filters, and no more than wanted.
        """
        self.node.stream("root", "ann")
        self.node.stream("alice", target="mail.example:25")
        self.node.stream("alice/dev")
        self.node.stream("bob", "bob")
        for query, wanted in (
            ("", [4, 3, 2, 1]),
            ("?limit=2", [4, 3]),
            ("?tenant=alice", [3, 2]),
            ("?principal=ann", [1]),
            ("?principal=password:*", [4, 3, 2, 1]),
            ("?principal=token:*", []),
            ("?target=mail", [2]),
            ("?listener=main&tenant=bob", [4]),
            ("?listener=other", []),
        ):
            rows = self.ask("GET", f"streams{query}").json
            self.assertEqual(wanted, [row["id"] for row in rows], query)
        (row,) = self.ask("GET", "streams?principal=ann").json
        self.assertEqual(
            ("127.0.0.1:40000", "ann", "db.example:5432"), (row["peer"], row["principal"], row["target"])
        )
        self.trouble(400, self.ask("GET", "streams?principal=nosuch:x"))

    def test_why(self) -> None:
        """
        What was refused, the newest first.
        """
        for wall, tenant in enumerate(("root", "alice", "bob", "alice")):
            self.node.refuse(tenant, float(wall))
        self.assertEqual([3, 2, 1, 0], [row["wall"] for row in self.ask("GET", "refusals").json])
        rows = self.ask("GET", "refusals?tenant=alice&limit=1").json
        self.assertEqual(
            [(3, "resolve", "gone.example", "the name does not exist", "look")],
            [(row["wall"], row["phase"], row["hop"], row["cause"], row["nextStep"]) for row in rows],
        )

    def test_limits(self) -> None:
        """
        How much is used of what there may be.
        """
        rows = self.ask("GET", "limits?tenant=bob").json
        self.assertEqual(
            [("bob", "streams", 2, 10), ("bob", "up", 0.5, None)],
            [(row["tenant"], row["limit"], row["used"], row["allowed"]) for row in rows],
        )

    def test_config(self) -> None:
        """
        Which sections there are, and one with its tag.
        """
        rows = self.ask("GET", "config?tenant=alice").json
        self.assertEqual(
            [("alice", "dial", "office"), ("alice", "tenants", "dev")],
            [(row["tenant"], row["kind"], row["name"]) for row in rows],
        )
        answer = self.ask("GET", "config/dial/office?tenant=bob")
        self.assertEqual({"hops": "socks:proxy.bob:1080"}, answer.json)
        self.assertRegex(answer.fields["etag"], '^"[0-9a-f]{32}"$')
        self.node.store.sections["root", "policy", ""] = {"private": "deny"}
        self.assertEqual({"private": "deny"}, self.ask("GET", "config/policy").json)
        self.assertEqual({"private": "deny"}, self.ask("GET", "config/policy/").json)
        self.assertIn("no kind hopp", self.trouble(404, self.ask("GET", "config/hopp/x")))
        self.trouble(404, self.ask("GET", "config/dial/nowhere"))
        self.trouble(404, self.ask("GET", "config/dial/office?tenant=carl"))

    def test_explain(self) -> None:
        """
        Which rule and which hops a stream would take.
        """
        web = Listener(r"sni:tcp:443:names=db\:5432")
        self.node.configs = {"alice": Config(listen={"web": web}), "root": Config()}
        lines = self.ask("GET", "explain?target=db:5432&principal=token:x&tenant=alice").json["lines"]
        self.assertEqual("listener web: its names= list db:5432, by db:5432", lines.pop(3))
        self.assertEqual("  TLS passes through unopened", lines.pop(3))
        del lines[3:]
        self.assertEqual(["tenant: alice", "policy: x@alice of alice", "direct to db:5432"], lines)
        lines = self.ask("GET", "explain?target=mail:25").json["lines"]
        self.assertIn("no mail", lines[-1])
        self.trouble(400, self.ask("GET", "explain?target=db"))

    def test_schema(self) -> None:
        """
        The schema has what modules bring.
        """
        schema = self.ask("GET", "schema").json
        self.assertLessEqual({"listen", "http", "admin", "tenants"}, schema["properties"].keys())

    def test_check(self) -> None:
        """
        A file is checked without being applied.
        """
        text = "listen: {main: 'socks:tcp:1080:interface=127.0.0.1'}"
        answer = self.ask("POST", "check", {"text": text, "name": "mine.yaml"})
        self.assertIn("socks:tcp:1080:interface=127.0.0.1", answer.json["normal"])
        answer = self.ask("POST", "check", {"text": "bad: 1", "name": "mine.yaml"})
        self.assertIn("mine.yaml:1:1: unknown key", self.trouble(422, answer))
        (mistake,) = answer.json["mistakes"]
        self.assertEqual("mine.yaml:1:1", mistake["place"])
        self.assertEqual([], self.node.triggers)


class TokenTests(AdminCase):
    """
    Tokens by the API.
    """

    def tokens(self, tenant: str, text: str = "", name: str = "") -> Path:
        """
        A tenant has its tokens in a file.
        """
        path = Path(name or self.mktemp())
        path.write_text(text)
        path.chmod(0o600)
        self.node.store.sections[tenant, "policy", ""] = {"tokens": str(path)}
        return path

    def test_stored(self) -> None:
        """
        The line is added to the file; the secret is in the answer only.
        """
        path = self.tokens("alice", "# those\n")
        answer = self.ask("POST", "tokens?tenant=alice", {"name": "ci", "days": 1})
        self.assertEqual(201, answer.status)
        made = answer.json
        self.assertTrue(made["stored"])
        self.assertTrue(made["line"].startswith("ci:sha256:"))
        self.assertEqual(f"# those\n{made['line']}\n", path.read_text())
        self.assertNotIn(made["token"], path.read_text())
        self.assertEqual(0o600, path.stat().st_mode & 0o777)

    def test_nowhere(self) -> None:
        """
        Without a file there is only a line.
        """
        self.assertFalse(self.ask("POST", "tokens", {"name": "ci"}).json["stored"])

    def test_shared(self) -> None:
        """
        A file that another tenant has too is not written: the token would be good there.
        """
        path = self.tokens("root")
        self.tokens("alice", name=str(path))
        self.assertFalse(self.ask("POST", "tokens?tenant=alice", {"name": "ci"}).json["stored"])
        self.assertEqual("", path.read_text())

    def test_noTokens(self) -> None:
        """
        Neither is a file that has other things in it.
        """
        path = self.tokens("alice", "root:x:0:0::/:/bin/sh\n")
        self.assertIn(
            "cannot be stored", self.trouble(409, self.ask("POST", "tokens?tenant=alice", {"name": "ci"}))
        )
        self.assertEqual("root:x:0:0::/:/bin/sh\n", path.read_text())

    def test_names(self) -> None:
        """
        A name has no line ends.
        """
        for name in ("", "a\nb", "ab\n", "a:b", "x" * 65):
            self.trouble(422, self.ask("POST", "tokens", {"name": name}))
        self.trouble(422, self.ask("POST", "tokens", {"name": "ci", "days": 0}))
