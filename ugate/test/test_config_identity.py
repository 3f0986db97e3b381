# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The sections C{identity} and C{trust}, and what becomes of them when they change.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec.structs import replace as changed

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from ugate.checks import stringChecks
from ugate.errors import UgateError
from ugate.interfaces import ITenant
from ugate.tenancy.config.identityschema import Identity, Trust
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.config.normal import normalForm
from ugate.tenancy.config.schema import Delegation
from ugate.tenancy.config.whole import Config, readConfigs
from ugate.tenancy.tenant import Tenant
from ugate.test.identityfakes import authority, certified
from ugate.test.reloadfakes import MAIN, ReloadCase, config
from ugate.test.tlsfakes import Logged
from ugate.testing.store import ValueStore

KEYID = "A" * 52
ALICE = {"alice": Delegation()}


def but(config: Config, **sections: Any) -> Config:
    """
    A configuration with other sections.
    """
    return replace(config, **sections)


class SectionTests(SynchronousTestCase):
    """
    What may be written.
    """

    def read_(self, **kinds: Any) -> Config:
        """
        Read sections, with the checks of strings.
        """
        return readConfigs(ValueStore(**kinds), stringChecks(MemoryReactorClock()))["root"]

    def wrong(self, text: str, **kinds: Any) -> None:
        """
        That cannot be read, and the mistake says why.
        """
        error = self.assertRaises(ConfigError, self.read_, **kinds)
        self.assertEqual(1, len(error.mistakes), error)
        self.assertIn(text, str(error))

    def test_none(self) -> None:
        """
        Without them there are the usual ones, which the normal form leaves out.
        """
        config = self.read_()
        self.assertEqual((Identity(), Trust()), (config.identity, config.trust))
        self.assertFalse(config.identity.isGiven)
        for kind in ("identity", "trust"):
            self.assertNotIn(f"{kind}:", normalForm({"root": config}))

    def test_given(self) -> None:
        """
        What is written is read.
        """
        config = self.read_(
            identity={"kind": "ed25519", "domain": "td", "namespace": "ns", "account": "web", "pod": "web-0"},
            trust={"domain": "td", "namespaces": "prod", "pins": KEYID, "skew": 5},
        )
        self.assertEqual(
            Identity(kind="ed25519", domain="td", namespace="ns", account="web", pod="web-0"), config.identity
        )
        self.assertEqual(Trust(domain="td", namespaces=("prod",), pins=(KEYID,), skew=5), config.trust)
        text = normalForm({"root": config})
        self.assertIn("namespaces:", text)
        self.assertTrue(self.read_(identity={"dir": "/etc/certs"}).identity.isGiven)

    def test_routeALPN(self) -> None:
        """
        A route may be for protocols inside of TLS alone: one, or a list.
        """
        for written, read in (("h2", ("h2",)), (["h2", "http/1.1"], ("h2", "http/1.1"))):
            route = {"match": "a", "via": "direct", "alpn": written}
            self.assertEqual(read, self.read_(routes=[route]).routes[0].alpn)
        wrongs: tuple[Any, ...] = ("a,b", "a b", "", "é", [])
        for wrong in wrongs:
            route = {"match": "a", "via": "direct", "alpn": wrong}
            self.assertRaises(ConfigError, self.read_, routes=[route])

    def test_wrong(self) -> None:
        """
        What is not of its shape is told.
        """
        self.wrong("wanted the one or the others", identity={"dir": "/x", "key": "/y", "cert": "/z"})
        self.wrong("wanted both", identity={"key": "/y"})
        self.wrong("identity.kind", identity={"kind": "rsa"})
        for name in ("", "a b", "a/b", "-a", "x" * 200):
            self.wrong("wanted a name as of a host", identity={"domain": name})
            self.wrong("trust.domain", trust={"domain": name})
        for name in ("a.b", "", "a b", "-a", "x" * 64):
            self.wrong("wanted a name without dots", identity={"namespace": name})
        for pin in ("AB", KEYID[:-1], KEYID + "A", "0" + KEYID[1:], KEYID[:-1] + "a", f"{KEYID}.x"):
            self.wrong(
                "wanted a KEYID: 52 letters, all capital or all small, and digits", trust={"pins": [pin]}
            )
        self.wrong("skew", trust={"skew": -1})
        self.wrong("namespaces", trust={"namespaces": ["a b"]})

    def test_authority(self) -> None:
        """
        A CA is known by something, and is for a key of our own.
        """
        url, here = "https://ca.example:8443/ca", "http://127.0.0.1:15000/ca"
        pin = "sha256:" + "0" * 64
        roots = Path(self.mktemp())
        roots.write_bytes(authority().pem())
        for section in (
            {"ca": url, "caPin": KEYID},
            {"ca": url, "caPin": pin, "token": "/nowhere", "pod": "web-0"},
            {"ca": here},
            {"ca": "http://[::1]/x", "token": "/nowhere"},
            {"ca": "http://localhost", "caPin": pin},
        ):
            identity = self.read_(identity=section).identity
            self.assertEqual((section["ca"], False), (identity.ca, identity.isGiven))
        for text, section in (
            ("wanted caRoots or caPin", {"ca": url}),
            ("wanted one of them", {"ca": url, "caPin": pin, "caRoots": str(roots)}),
            ("no certificates", {"ca": url, "caRoots": __file__}),
            ("wanted https://", {"ca": "http://ca.example/ca", "caPin": pin}),
            ("wanted https://", {"ca": "http://127.0.0.1.evil.example/ca", "caPin": pin}),
            ("wanted https://HOST", {"ca": "ftp://ca.example/ca", "caPin": pin}),
            ("wanted https://HOST", {"ca": "https://user@ca.example/ca", "caPin": pin}),
            ("wanted a KEYID, or sha256:", {"ca": url, "caPin": "x"}),
            ("and no ca", {"token": "/x"}),
            ("and no ca", {"caPin": pin}),
            ("for a key of our own", {"ca": url, "caPin": pin, "dir": "/x"}),
            ("for a key of our own", {"ca": url, "caPin": pin, "key": "/x", "cert": "/y"}),
        ):
            self.wrong(text, identity=section)

    def test_files(self) -> None:
        """
        Files are looked at when the configuration is.
        """
        path = Path(self.mktemp())
        path.write_bytes(b"nothing good")
        self.wrong("no certificates", trust={"roots": str(path)})
        self.wrong("no certificates", identity={"roots": str(path)})
        self.wrong("neither a serial number", trust={"revoked": str(path)})
        self.wrong("is no KEYID", trust={"known": str(path)})
        path.write_bytes(authority().pem())
        self.assertEqual(str(path), self.read_(trust={"roots": str(path)}).trust.roots)


class ReloadTests(ReloadCase):
    """
    What a reload does.
    """

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.state = self.folder / "state"
        self.base = config({"main": MAIN}, tenants=ALICE, state=str(self.state))

    def certified(self, name: str) -> Identity:
        """
        Files of a key in a folder of that name.
        """
        folder = self.folder / name
        folder.mkdir()
        certified([f"{name}.example"]).write(folder, "tls.key", "tls.crt")
        return Identity(dir=str(folder))

    def test_lazy(self) -> None:
        """
        Nothing is made until somebody asks; then it is in the folder of the tenant, and another for each.
        """
        node = self.run_(self.base, alice=config())
        self.good(node, but(self.base, trust=Trust(skew=1)))
        self.assertFalse(self.state.exists())
        alice: ITenant = node.tenants["alice"]
        root: ITenant = node.tenant
        self.assertNotEqual(root.identity.keyid, alice.identity.keyid)
        self.assertIs(root.identity, root.identity)
        self.assertTrue((self.state / "key.pem").exists())
        self.assertTrue((self.state / "tenants" / "alice" / "cert.pem").exists())
        self.assertEqual("alice", alice.identity.principal.tenant)
        self.successResultOf(node.stopService())
        self.assertEqual(
            [], [call for call in self.reactor.getDelayedCalls() if "identity" in str(call.func)]
        )

    def test_changed(self) -> None:
        """
        Who holds an identity and a trust goes on with them, and they are others.
        """
        node = self.run_(self.base, alice=config())
        identity = node.tenant.identity
        trust: Any = node.tenant.trust
        keyid = identity.keyid
        told: list[str] = []
        identity.changed(lambda: told.append(identity.keyid))
        given = but(self.base, identity=self.certified("web"), trust=Trust(skew=5))
        self.assertEqual({"identity", "trust"}, set(self.good(node, given)))
        self.assertIs(identity, node.tenant.identity)
        self.assertIs(trust, node.tenant.trust)
        self.assertEqual(("web.example",), tuple(identity.names))
        self.assertEqual([identity.keyid], told)
        self.assertEqual(5, trust.section.skew)
        self.good(node, self.base)
        self.assertEqual(keyid, identity.keyid)

    def test_state(self) -> None:
        """
        Keys that are made later are where those of the start are, wherever the state is from the next start
        on; that is told with each reload until then.  The mark stays, by which rules of the kernel know us.
        """
        node = self.run_(self.base, alice=config())
        new = {"state": str(self.folder / "new"), "log": "json", "mark": 5}
        elsewhere = but(self.base, node=changed(self.base.node, **new))
        with Logged() as logged:
            self.good(node, elsewhere)
        self.assertEqual(("node.log", "node.mark", "node.state"), node.last.later)
        self.assertIn("; only from the next start on: node.log, node.mark, node.state", logged.lines[-1])
        self.assertEqual(node.own.marks, 0x7567)
        self.assertTrue(node.tenants["alice"].identity.keyid)
        self.assertTrue((self.state / "tenants" / "alice" / "key.pem").exists())
        self.assertFalse((self.folder / "new").exists())
        with Logged() as logged:
            self.good(node, self.base)
        self.assertEqual(((), False), (node.last.later, "next start" in logged.lines[-1]))

    def test_servers(self) -> None:
        """
        The certificates for the names of servers are others, or none, with another section; with the same
        folder they are the same.
        """
        folders = []
        for name in ("one", "two"):
            folder = self.folder / name
            folder.mkdir()
            certified([f"{name}.example"]).write(folder, "tls.key", "tls.crt")
            folders.append(Identity(servers=str(folder)))
        node = self.run_(but(self.base, identity=folders[0]), alice=config())
        identity: Any = node.tenant.identity
        before = identity.servers
        self.assertEqual([True, False], [identity.has(f"{name}.example") for name in ("one", "two")])
        self.good(node, but(self.base, identity=changed(folders[0], pod="x")))
        self.assertIs(before, identity.servers)
        self.good(node, but(self.base, identity=folders[1]))
        self.assertEqual([False, True], [identity.has(f"{name}.example") for name in ("one", "two")])
        self.good(node, self.base)
        self.assertIsNone(identity.servers)
        # Each tenant has its own.
        alice: Any = node.tenants["alice"].identity
        self.assertIsNone(alice.servers)

    def test_certifying(self) -> None:
        """
        To see which certificate answers, nothing is made.
        """
        folder = self.folder / "servers"
        folder.mkdir()
        certified(["www.example"]).write(folder, "tls.key", "tls.crt")
        node = self.run_(but(self.base, identity=Identity(servers=str(folder))), alice=config())
        self.assertIn("tls.crt, for www.example, good until", node.tenant.certifying("www.example"))
        self.assertEqual("", node.tenant.certifying("else.example"))
        alice: Any = node.tenants["alice"]
        self.assertEqual("", alice.certifying("www.example"))
        self.assertFalse(self.state.exists())
        self.assertEqual("", Tenant(self.reactor).certifying("www.example"))
        host = node.tenant.identity.names[0]
        self.assertEqual(f"that of {node.tenant.identity.keyid}", node.tenant.certifying(host))
        given = self.certified("web")
        self.good(node, alice=but(config(), identity=given))
        self.assertIn("that of", alice.certifying("web.example"))

    def test_same(self) -> None:
        """
        What is as it was is not touched.
        """
        given = but(self.base, identity=self.certified("web"))
        node = self.run_(given, alice=config())
        told: list[int] = []
        node.tenant.identity.changed(lambda: told.append(1))
        self.assertEqual(("node",), self.good(node, but(given, node=changed(given.node, idle=5.0))))
        self.assertEqual([], told)

    def test_refused(self) -> None:
        """
        With an identity that cannot be, nothing of the change applies, be it in use or not.
        """
        node = self.run_(self.base, alice=config())
        wrong = but(self.base, identity=Identity(dir=str(self.folder)), trust=Trust(skew=5))
        self.assertIn("there is no key", self.bad(node, wrong))
        identity, keyid = node.tenant.identity, node.tenant.identity.keyid
        self.assertIn("there is no key", self.bad(node, wrong))
        self.assertEqual(keyid, identity.keyid)

    def test_takenBack(self) -> None:
        """
        What has changed already is taken back when something else cannot be.
        """
        node = self.run_(self.base, alice=config())
        identity = node.tenant.identity
        trust: Any = node.tenant.trust
        keyid = identity.keyid
        given = but(self.base, identity=self.certified("web"), trust=Trust(skew=5))
        wrong = but(config(), identity=Identity(dir=str(self.folder)))
        self.assertIn("tenant alice", self.bad(node, given, alice=wrong))
        self.assertEqual(keyid, identity.keyid)
        self.assertEqual(60, trust.section.skew)

    def test_start(self) -> None:
        """
        A node whose identity cannot be does not start.
        """
        wrong = but(self.base, identity=Identity(dir=str(self.folder)))
        error = self.assertRaises(UgateError, self.run_, wrong, alice=config())
        self.assertIn("there is no key", str(error))

    def test_gone(self) -> None:
        """
        The identity of a tenant that is gone looks for nothing any more; its key stays.
        """
        node = self.run_(self.base, alice=config())
        assert node.tenants["alice"].identity is not None
        before = len(self.reactor.getDelayedCalls())
        self.good(node, but(self.base, tenants={}), alice=None)
        self.assertEqual(before - 1, len(self.reactor.getDelayedCalls()))
        self.assertTrue((self.state / "tenants" / "alice" / "key.pem").exists())

    def test_ownRoots(self) -> None:
        """
        The roots in the folder of an identity are believed.
        """
        root = authority()
        folder = self.folder / "web"
        folder.mkdir()
        certified(["spiffe://td/ns/a/sa/b"], root).write(folder, "key.pem", "cert-chain.pem")
        (folder / "root-cert.pem").write_bytes(root.pem())
        node = self.run_(but(self.base, identity=Identity(dir=str(folder))), alice=config())
        trust: Any = node.tenant.trust
        self.assertEqual((root.certificate,), trust.own().roots)

    def test_authority(self) -> None:
        """
        With a CA the key stays, and the CA is asked; without it all is as before, and nobody is asked.
        """
        node = self.run_(self.base, alice=config())
        identity = node.tenant.identity
        trust: Any = node.tenant.trust
        keyid, before = identity.keyid, len(self.reactor.getDelayedCalls())
        given = but(self.base, identity=Identity(ca="http://127.0.0.1:1/ca", account="web"))
        self.good(node, given)
        self.assertEqual((keyid, ()), (identity.keyid, trust.own().roots))
        self.assertIn("spiffe://cluster.local/ns/default/sa/web", identity.names)
        self.assertEqual(before + 1, len(self.reactor.getDelayedCalls()))
        (self.state / "ca-crl.pem").write_bytes(b"what")
        self.assertIsNotNone(trust._files._revoked)
        self.good(node, self.base)
        self.assertEqual(before, len(self.reactor.getDelayedCalls()))
        self.assertIsNone(trust._files._revoked)
        self.good(node, given)
        self.successResultOf(node.stopService())
        self.assertEqual([], [call for call in self.reactor.getDelayedCalls() if "enrol" in str(call.func)])
