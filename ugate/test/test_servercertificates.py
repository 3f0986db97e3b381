# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.servercertificates} and L{ugate.tenancy.expiry}, and for identities that have such.
"""

from __future__ import annotations

import os
from typing import Any

from OpenSSL import SSL

from twisted.internet.task import Clock

from ugate.tenancy.config.identityschema import Identity as Section
from ugate.tenancy.expiry import Expiry
from ugate.tenancy.identity import Identity
from ugate.tenancy.identityfiles import Files
from ugate.tenancy.servercertificates import ServerCertificates
from ugate.test.identityfakes import DAY, NOW, Holder, authority, certified
from ugate.test.test_serverfiles import FolderTestCase
from ugate.test.tlsfakes import Logged


class ServersTests(FolderTestCase):
    """
    L{ServerCertificates}.
    """

    wall = NOW

    def certificates(self) -> ServerCertificates:
        return ServerCertificates(str(self.folder), "alice", lambda: self.wall)

    def add(self, file: str, *names: str, **more: Any) -> Holder:
        """
        One more certificate.
        """
        holder = certified(names, self.root, **more)
        self.put(f"{file}.pem", self.whole(holder))
        return holder

    def held(self, servers: ServerCertificates, name: str, *own: str) -> str:
        """
        The file whose certificate answers.
        """
        found = servers.find(name, own)
        return "" if found is None else os.path.basename(str(found.pair))

    def test_choice(self) -> None:
        """
        The name itself, then a wildcard, whose star is one label.
        """
        self.add("exact", "www.corp")
        self.add("wild", "*.corp", "corp")
        servers = self.certificates()
        for name, file in (
            ("www.corp", "exact.pem"),
            ("shop.corp", "wild.pem"),
            ("corp", "wild.pem"),
            ("a.b.corp", ""),
            ("www.example", ""),
            ("", ""),
        ):
            self.assertEqual(file, self.held(servers, name), name)
        self.assertEqual("", self.held(servers, "shop.corp", "Shop.corp"))
        self.assertEqual("exact.pem", self.held(servers, "www.corp", "www.corp"))

    def test_twoOfOneName(self) -> None:
        """
        The one that is good for longer, if it is good already.
        """
        self.add("long", "www.corp", ends=NOW + 9 * DAY)
        self.add("short", "www.corp", ends=NOW + DAY)
        self.add("later", "www.corp", begins=NOW + DAY, ends=NOW + 20 * DAY)
        self.assertEqual("long.pem", self.held(self.certificates(), "www.corp"))

    def test_changes(self) -> None:
        """
        What is added, replaced or gone is so without a restart; what is not touched is not read again.
        """
        self.add("a", "a.corp")
        servers = self.certificates()
        before = servers.find("a.corp")
        with Logged() as logged:
            servers.look()
            self.add("b", "b.corp")
            servers.look()
        self.assertIs(before, servers.find("a.corp"))
        self.assertEqual("b.pem", self.held(servers, "b.corp"))
        (line,) = logged.lines
        self.assertIn("b.pem, for b.corp, good until 2027-", line)
        with Logged() as logged:
            self.add("a", "c.corp")
            os.unlink(self.folder / "b.pem")
            servers.look()
        self.assertEqual(["", "", "a.pem"], [self.held(servers, f"{each}.corp") for each in "abc"])
        self.assertEqual(1, len(servers.all))
        self.assertIn("b.pem: this certificate is there no more", logged.lines[-1])

    def test_links(self) -> None:
        """
        A link that leads elsewhere than before, as certbot and Kubernetes renew, is a change; so is a folder
        that is gone.
        """
        live, archive = self.folder / "www.corp", self.folder.parent / f"{self.folder.name}.archive"
        live.mkdir()
        archive.mkdir()
        for number in (1, 2):
            holder = certified([f"www{number}.corp"], self.root)
            holder.write(archive, f"privkey{number}.pem", f"fullchain{number}.pem", [self.root])

        def lead(number: int) -> None:
            for name in ("privkey", "fullchain"):
                link = live / f".{name}"
                link.symlink_to((archive / f"{name}{number}.pem").resolve())
                link.rename(live / f"{name}.pem")

        lead(1)
        servers = self.certificates()
        self.assertEqual("fullchain.pem", self.held(servers, "www1.corp"))
        lead(2)
        servers.look()
        self.assertEqual(["", "fullchain.pem"], [self.held(servers, f"www{n}.corp") for n in (1, 2)])
        live.rename(f"{live}.away")
        (self.folder / "www.corp.away").rename(archive / "away")
        servers.look()
        self.assertEqual((), servers.all)

    def test_broken(self) -> None:
        """
        The others stay, and what was there before; it is told once, with the file, the line and why.
        """
        self.add("a", "a.corp")
        self.put("broken.pem", b"-----BEGIN CERTIFICATE-----\n")
        self.put("alone.crt", b"")
        with Logged() as logged:
            servers = self.certificates()
        self.assertEqual("a.pem", self.held(servers, "a.corp"))
        alone, broken, count = logged.lines
        self.assertIn("alice: ", alone)
        self.assertIn("alone.crt: there is no alone.key", alone)
        self.assertIn("broken.pem:1: this CERTIFICATE has no end", broken)
        self.assertIn("1 certificates for servers of alice", count)
        self.put("a.pem", b"\n-----END RUBBISH-----\n")
        with Logged() as logged:
            for _ in range(3):
                servers.look()
        (line,) = logged.lines
        self.assertIn("a.pem:2: END RUBBISH stands there", line)
        self.assertIn("; the one from before stays", line)
        self.assertEqual("a.pem", self.held(servers, "a.corp"))
        with Logged() as logged:
            self.folder.rename(f"{self.folder}.away")
            for _ in range(3):
                servers.look()
        (line,) = logged.lines
        self.assertIn("the certificates from before stay", line)
        self.assertEqual("a.pem", self.held(servers, "a.corp"))

    def test_weak(self) -> None:
        """
        What OpenSSL does not take is told at once, and not by a client that gets no answer.
        """

        def refuse(context: object, certificate: object) -> None:
            raise SSL.Error([("SSL routines", "", "ca md too weak")])

        self.add("a", "a.corp")
        self.patch(SSL.Context, "use_certificate", refuse)
        with Logged() as logged:
            servers = self.certificates()
        self.assertEqual((), servers.all)
        self.assertIn("a.pem: OpenSSL does not take it: ca md too weak", logged.lines[0])

    def test_expiry(self) -> None:
        """
        The log says when one is about to end, at a quarter, at a tenth and at the end of its life.
        """
        self.add("a", "a.corp", begins=NOW - 50 * DAY, ends=NOW + 50 * DAY)
        servers = self.certificates()
        said = []
        for day in range(60):
            self.wall = NOW + day * DAY
            with Logged() as logged:
                servers.look()
            said += [(day, line) for line in logged.lines]
        self.assertEqual([25, 40, 50], [day for day, _ in said])
        self.assertIn("a.pem ends at 2027-", said[0][1])
        self.assertIn("a.pem ended at 2027-", said[2][1])

    def test_expiryOnce(self) -> None:
        """
        Each is said once.
        """
        holder = certified(["a"], ends=NOW + DAY, begins=NOW - 99 * DAY)
        expiry = Expiry("it", ServerCertificates.log)
        with Logged() as logged:
            for _ in range(3):
                expiry.look(holder.certificate, NOW)
        self.assertEqual(1, len(logged.lines))

    def test_early(self) -> None:
        """
        One that has not begun is told once, since it is mostly the clock that is wrong.
        """
        holder = certified(["a"], ends=NOW + 99 * DAY, begins=NOW + DAY)
        expiry = Expiry("it", ServerCertificates.log)
        with Logged() as logged:
            for _ in range(2):
                expiry.look(holder.certificate, NOW)
        (line,) = logged.lines
        self.assertIn("of it is not good before 20", line)
        self.assertIn("check the clock", line)


class IdentityTests(FolderTestCase):
    """
    An identity with certificates for other names.
    """

    def setUp(self) -> None:
        super().setUp()
        own = self.folder.parent / f"{self.folder.name}.own"
        own.mkdir()
        self.own = certified(["node.corp"], authority())
        self.own.write(own, "key.pem", "cert.pem")
        self.put("www.pem", self.whole(certified(["www.corp", "*.corp"], self.root)))
        self.clock = Clock()
        self.source = Files(Section(dir=str(own)))
        self.identity = Identity(self.source, self.clock, now=lambda: NOW, servers=self.servers())
        self.addCleanup(self.identity.stop)

    def servers(self) -> ServerCertificates:
        return ServerCertificates(str(self.folder), now=lambda: NOW)

    def shown(self, name: str) -> object:
        """
        Which certificate a client sees.
        """
        creator = self.identity.serverTLS((), False, name)
        server = creator.serverConnectionForTLS(None)  # type: ignore[arg-type]
        server.set_accept_state()
        client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        client.set_connect_state()
        for _ in range(4):
            for one, other in ((client, server), (server, client)):
                try:
                    one.do_handshake()
                except SSL.WantReadError:
                    pass
                try:
                    other.bio_write(one.bio_read(65536))
                except SSL.WantReadError:
                    pass
        return client.get_peer_certificate(as_cryptography=True)

    def test_which(self) -> None:
        """
        That of the name; our own for our own name, also if a wildcard means it, and for all others.
        """
        (served,) = self.identity.servers.all  # type: ignore[union-attr]
        for name in ("www.corp", "shop.corp"):
            self.assertEqual(served.keypair.certificate, self.shown(name))
            self.assertIn("www.pem, for www.corp, *.corp, good until", self.identity.certifying(name))
        for name in ("node.corp", "", "www.example"):
            self.assertEqual(self.own.certificate, self.shown(name), name)
        self.assertEqual(f"that of {self.identity.keyid}", self.identity.certifying("node.corp"))
        self.assertEqual("", self.identity.certifying("www.example"))
        names = ("www.corp", "shop.corp", "node.corp", "www.example", "")
        self.assertEqual([True, True, True, False, False], list(map(self.identity.has, names)))

    def test_changed(self) -> None:
        """
        New files hold for the next connection, a second later at most.
        """
        self.assertFalse(self.identity.has("new.example"))
        holder = certified(["new.example"], self.root)
        self.put("new.pem", self.whole(holder))
        self.clock.advance(1)
        self.assertTrue(self.identity.has("new.example"))
        self.assertEqual(holder.certificate, self.shown("new.example"))
        os.unlink(self.folder / "new.pem")
        self.clock.advance(10)
        self.assertEqual(self.own.certificate, self.shown("new.example"))

    def test_section(self) -> None:
        """
        Another section may have others, or none, and that can be taken back.
        """
        before = self.identity.servers
        undo = self.identity.serve(None)
        self.assertFalse(self.identity.has("www.corp"))
        undo()
        self.assertIs(before, self.identity.servers)
        self.assertTrue(self.identity.has("www.corp"))
