# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.dnslocal}.
"""

from __future__ import annotations

from typing import Any

from ugate.interfaces import MeshNode
from ugate.modules.dnslocal import FAKE_TTL, TTL, LocalNames
from ugate.modules.dnssection import DnsSection
from ugate.tenancy import fakeaddresses
from ugate.tenancy.addressnames import AddressNames
from ugate.tenancy.nodes import Nodes
from ugate.test.dnsfakes import DnsCase, addressesIn, queryFor, read

BOB = "BOB4CVZ5XDRMOZGSF7SSL2YQJTSHFHZWGJ5VVKWNXEYRQDDMDSDQ"
CAROL = "CAROLVZ5XDRMOZGSF7SSL2YQJTSHFHZWGJ5VVKWNXEYRQDDMDSDQ"
OWN = "OWN4CVZ5XDRMOZGSF7SSL2YQJTSHFHZWGJ5VVKWNXEYRQDDMDSDA"
HOSTS = {"Printer.home": ("192.168.1.9", "fd00:1::9"), "old.home": ("192.168.1.9",)}


class FakeIdentity:
    """
    Our own key.
    """

    keyid = OWN
    vip6 = "fd00::77"
    names = (f"{OWN.lower()}.default.cluster.local", OWN.lower(), "spiffe://x", "me.example")


class LocalCase(DnsCase):
    """
    Two nodes, of which one has an address of its own, and some hosts.
    """

    def setUp(self) -> None:
        super().setUp()
        self.patch(fakeaddresses, "randbelow", lambda _: 0)
        self.names = AddressNames(self.clock)
        self.nodes = Nodes(
            self.clock, [MeshNode(BOB, (), ("bob", "bob.corp", "fd00::1234")), MeshNode(CAROL, ())]
        )
        self.identity = FakeIdentity()
        self.serves = False
        self.delegated: set[str] = set()
        self.local = self.made()

    def made(self, **section: Any) -> LocalNames:
        """
        Of a section.
        """
        self.local = LocalNames(
            self,
            DnsSection(**{"hosts": HOSTS, **section}),
            self.names,
            serves=lambda: self.serves,
            inUse=set,
            isDelegated=self.delegated.__contains__,
        )
        return self.local

    def ask(self, name: str, kind: str = "A") -> Any:
        """
        What is answered: records, or the code; L{None} if others are asked.
        """
        query = queryFor(name, kind)
        answer = self.local.answer(query)
        if answer is None:
            return None
        wire = answer.reply(query, 65535)
        return addressesIn(wire) if read(wire).rcode() == 0 else int(read(wire).rcode())


class HostsTests(LocalCase):
    """
    Names of the section, and of this machine.
    """

    def test_addresses(self) -> None:
        """
        A name has its addresses, of each family; nothing else.
        """
        self.assertEqual(["192.168.1.9"], self.ask("printer.HOME"))
        self.assertEqual(["fd00:1::9"], self.ask("printer.home", "AAAA"))
        self.assertEqual([], self.ask("old.home", "AAAA"))
        self.assertEqual([], self.ask("printer.home", "MX"))
        self.assertIsNone(self.ask("x.printer.home"))
        answer = self.local.answer(queryFor("old.home"))
        self.assertEqual(TTL, answer and answer.ttl)

    def test_reverse(self) -> None:
        """
        Addresses have their names.
        """
        self.assertEqual(["old.home.", "printer.home."], self.ask("9.1.168.192.in-addr.arpa", "PTR"))
        self.assertEqual([], self.ask("9.1.168.192.in-addr.arpa", "TXT"))
        self.assertEqual(["localhost."], self.ask("1.0.0.127.in-addr.arpa", "PTR"))

    def test_private(self) -> None:
        """
        What nobody else can know is not asked of others, unless the section names somebody.
        """
        self.assertEqual(3, self.ask("8.1.168.192.in-addr.arpa", "PTR"))
        self.assertIsNone(self.ask("8.8.8.8.in-addr.arpa", "PTR"))
        self.assertIsNone(self.ask("168.192.in-addr.arpa", "PTR"))
        self.delegated.add("8.1.168.192.in-addr.arpa")
        self.assertIsNone(self.ask("8.1.168.192.in-addr.arpa", "PTR"))

    def test_here(self) -> None:
        """
        C{localhost} is this machine.
        """
        self.assertEqual(["127.0.0.1"], self.ask("localhost"))
        self.assertEqual(["::1"], self.ask("a.localhost", "AAAA"))

    def test_nowhere(self) -> None:
        """
        Names that only are elsewhere than in the DNS stay here, unless the section names somebody.
        """
        for name in ("printer.local", "local", "x.onion", "a.invalid", "x.test", "short"):
            self.assertEqual(3, self.ask(name), name)
        for name in ("example", "x.example"):
            self.delegated.add(name)
            self.assertIsNone(self.ask(name), name)
        self.assertIsNone(self.ask("com", "TXT"))
        self.delegated.add("a.local")
        self.assertIsNone(self.ask("a.local"))

    def test_real(self) -> None:
        """
        Where a name really is, for our own streams.
        """
        self.made(fake=("198.18.0.0/15",))
        self.assertEqual(2, len(self.local.realAddresses("printer.home") or ()))
        self.assertEqual(2, len(self.local.realAddresses("localhost") or ()))
        self.assertEqual((), self.local.realAddresses("bob"))
        self.assertEqual((), self.local.realAddresses("x.onion"))
        self.assertIsNone(self.local.realAddresses("db.example"))


class MeshTests(LocalCase):
    """
    Names of nodes.
    """

    def test_node(self) -> None:
        """
        A node is at the address that follows from its key, by all of its names.
        """
        for name in ("bob", "bob.corp", BOB.lower(), f"{BOB}.default.cluster.local"):
            self.assertEqual(["fd00::1234"], self.ask(name, "AAAA"), name)
            self.assertEqual([], self.ask(name), name)

    def test_withoutAddress(self) -> None:
        """
        One whose address nobody has told has none, but it is there; one that nobody knows is not.
        """
        self.assertEqual([], self.ask(CAROL, "AAAA"))
        self.assertEqual(3, self.ask(f"{OWN[:-1]}Q.default.cluster.local", "AAAA"))

    def test_published(self) -> None:
        """
        A name that a node was let have that has dialed in is answered here; one that it only claims is not.
        """
        for source, wanted in (("registration", None), ("reverse", [])):
            self.nodes.learn(MeshNode(CAROL, (), ("app.example",), source))
            self.assertEqual(wanted, self.ask("app.example", "AAAA"))
        self.made(fake=("198.18.0.0/15",), fakeFor=("x.example",))
        self.assertEqual(["198.18.0.1"], self.ask("app.example"))

    def test_reverse(self) -> None:
        """
        Addresses of nodes have their names; others of that network are nobody's.
        """
        self.nodes.learn(MeshNode(CAROL, (), ("fd00::55",), "registration"))
        for number, wanted in (("1234", ["bob."]), ("0055", [f"{CAROL.lower()}."]), ("0066", 3)):
            name = ".".join(reversed(number)) + "." + "0." * 24 + "0.0.d.f.ip6.arpa"
            self.assertEqual(wanted, self.ask(name, "PTR"), name)

    def test_own(self) -> None:
        """
        We are at our own address, by the names of our certificate too if anything is served there.
        """
        self.assertEqual(["fd00::77"], self.ask(OWN, "AAAA"))
        self.assertIsNone(self.ask("me.example", "AAAA"))
        self.serves = True
        self.assertEqual(["fd00::77"], self.ask("me.example", "AAAA"))
        name = "7.7.0.0." + "0." * 24 + "0.0.d.f.ip6.arpa"
        self.assertEqual([f"{OWN.lower()}.default.cluster.local."], self.ask(name, "PTR"))


class FakeTests(LocalCase):
    """
    Addresses that are made up.
    """

    def setUp(self) -> None:
        super().setUp()
        self.made(fake=("198.18.0.0/15", "fd00:fa6e::/64"))

    def test_made(self) -> None:
        """
        A name that others would be asked for has addresses of its own, the same each time.
        """
        self.assertEqual(["198.18.0.1"], self.ask("db.example"))
        self.assertEqual(["fd00:fa6e::1"], self.ask("db.example", "AAAA"))
        self.assertEqual(["198.18.0.2"], self.ask("b.example"))
        self.assertEqual(["198.18.0.1"], self.ask("db.example"))
        self.assertEqual("db.example", self.names.nameFor("198.18.0.1"))
        answer = self.local.answer(queryFor())
        self.assertEqual(FAKE_TTL, answer and answer.ttl)

    def test_hints(self) -> None:
        """
        What else has addresses in it is not there; what has none is asked of others.
        """
        self.assertEqual([], self.ask("db.example", "HTTPS"))
        self.assertIsNone(self.ask("db.example", "MX"))
        self.assertIsNone(self.ask("db.example", "TXT"))

    def test_noHost(self) -> None:
        """
        What no stream can be for has none.
        """
        for name in ("a b.example", "x\\010y.example", "1.2.3.4.5"):
            self.assertEqual(3, self.ask(name), name)

    def test_oneFamily(self) -> None:
        """
        With a range of one family there is no address of the other.
        """
        self.made(fake=("198.18.0.0/15",))
        self.assertEqual([], self.ask("db.example", "AAAA"))

    def test_some(self) -> None:
        """
        Only some names have one, if the section says which.
        """
        self.made(fake=("198.18.0.0/15",), fakeFor=("*.corp.example", "db.example"))
        self.assertEqual(["198.18.0.1"], self.ask("a.corp.example"))
        self.assertEqual(["198.18.0.2"], self.ask("db.example"))
        for name in ("corp.example", "x.db.example", "other.example"):
            self.assertIsNone(self.ask(name), name)

    def test_others(self) -> None:
        """
        What is known here keeps its addresses; what is nowhere gets none.
        """
        self.assertEqual(["192.168.1.9"], self.ask("printer.home"))
        self.assertEqual(["127.0.0.1"], self.ask("localhost"))
        self.assertEqual(3, self.ask("x.onion"))

    def test_nodes(self) -> None:
        """
        Nodes get what they lack, whichever names have some.
        """
        self.made(fake=("198.18.0.0/15", "fd00:fa6e::/64"), fakeFor=("x.example",))
        self.assertEqual(["fd00::1234"], self.ask("bob", "AAAA"))
        self.assertEqual(["198.18.0.1"], self.ask("bob"))
        self.assertEqual(["fd00:fa6e::1"], self.ask(CAROL, "AAAA"))

    def test_reverse(self) -> None:
        """
        Such an address has the name that it stands for, or none.
        """
        self.ask("db.example")
        self.assertEqual(["db.example."], self.ask("1.0.18.198.in-addr.arpa", "PTR"))
        self.assertEqual(3, self.ask("9.0.18.198.in-addr.arpa", "PTR"))

    def test_full(self) -> None:
        """
        If all are in use there is no answer.
        """
        self.made(fake=("198.18.0.0/29",))
        for count in range(6):
            self.assertEqual(1, len(self.ask(f"{count}.example")))
        self.assertEqual(2, self.ask("6.example"))
