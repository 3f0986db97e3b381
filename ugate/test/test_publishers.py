# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.publishers}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ugate.stream import Principal
from ugate.tenancy.keyids import keyidIn
from ugate.tenancy.publishers import Publisher, userNode
from ugate.tenancy.who import parseWho


def publisher(who: str, *hosts: str, ports: tuple[int, ...] = ()) -> Publisher:
    """
    A section.
    """
    return Publisher((parseWho(who),), hosts, ports)


class UserNodeTests(SynchronousTestCase):
    """
    What a user may have.
    """

    def test_given(self) -> None:
        """
        All that means it counts together, by what has proven who it is.
        """
        given = (
            publisher("key:bob", "*.bob.example", "shop.example", ports=(80, 81)),
            publisher("certificate:bob", "no.example"),
            publisher("b*", "shop.example", "all.example", ports=(81, 82)),
        )
        node = userNode(Principal("bob", "key"), given)
        self.assertEqual(("*.bob.example", "shop.example", "all.example"), node.hosts)
        self.assertEqual((80, 81, 82), node.ports)
        node = userNode(Principal("eve", "key"), given)
        self.assertEqual(((), ()), (node.hosts, node.ports))

    def test_who(self) -> None:
        """
        A user is the same whatever proves it; of another tenant it is another.
        """
        one = userNode(Principal("bob", "key"), ()).keyid
        self.assertEqual(one, keyidIn(one))
        self.assertEqual(one, userNode(Principal("bob", "certificate"), ()).keyid)
        others = {
            userNode(each, ()).keyid for each in (Principal("bob", "key", "a"), Principal("Bob", "key"))
        }
        self.assertEqual(2, len(others - {one}))

    def test_ownName(self) -> None:
        """
        Its name is its own if it is a label, and so cannot be that of a host of others; not that of nobody.
        """
        for name in ("bob", "Bob", "b-o_b2", "7up", "a" * 63):
            self.assertEqual((name.lower(),), userNode(Principal(name, "key"), ()).names)
        wrong = (
            "bob.example",
            "b b",
            "",
            "127",
            "-b",
            "b-",
            "localhost",
            "a" * 64,
            "fd00::1",
            "A" * 52,
            "bö",
        )
        for name in wrong:
            self.assertEqual((), userNode(Principal(name, "key"), ()).names, name)
        self.assertEqual((), userNode(Principal("anyone", "open"), ()).names)
