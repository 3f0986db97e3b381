# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.capturesection}.
"""

from __future__ import annotations

from typing import Any

import msgspec

from twisted.trial.unittest import SynchronousTestCase

from ugate.modules.capturesection import MOST, CaptureSection, Selection


def read(**keys: Any) -> CaptureSection:
    """
    A section.
    """
    return msgspec.convert(keys, CaptureSection)


class SectionTests(SynchronousTestCase):
    """
    What may be in a section.
    """

    def test_default(self) -> None:
        """
        All that programs of this machine open is redirected, and refused while nobody is there.
        """
        section = read()
        self.assertEqual(section, CaptureSection())
        self.assertEqual((section.direction, section.mode, section.failure), ("out", "redirect", "closed"))
        self.assertEqual((section.include, section.protocols), (Selection(), ("tcp",)))

    def test_good(self) -> None:
        """
        What may be written in lists.
        """
        for key, texts in (
            ("ports", ["1", "65535", "8000-8099"]),
            ("networks", ["10.0.0.0/8", "192.0.2.1", "::/0", "2001:db8::1"]),
            ("users", ["0", "nobody", "www-data", "_apt"]),
            ("groups", ["1337"]),
            ("cgroups", ["system.slice", "user.slice/user-1000.slice/a@b.service"]),
        ):
            self.assertEqual(getattr(read(exclude={key: texts}).exclude, key), tuple(texts))

    def test_wrong(self) -> None:
        """
        Nothing in there can mean anything else to a tool than what it is.
        """
        for key, text in (
            ("ports", "0"),
            ("ports", "65536"),
            ("ports", "80,443"),
            ("ports", "90-80"),
            ("ports", "80 accept"),
            ("networks", "10.0.0.1/8"),
            ("networks", "10.0.0.0/8;"),
            ("networks", "example.org"),
            ("users", "a b"),
            ("users", "-j"),
            ("users", "x}"),
            ("groups", ""),
            ("cgroups", "/system.slice"),
            ("cgroups", 'a"b'),
            ("cgroups", "a/../b;"),
        ):
            self.assertRaises(msgspec.ValidationError, read, include={key: [text]})
        many = [str(number) for number in range(1, MOST + 2)]
        self.assertRaises(msgspec.ValidationError, read, include={"ports": many})
        for keys in (
            {"port": 0},
            {"table": 0},
            {"direction": "up"},
            {"mode": "x"},
            {"failure": "x"},
            {"x": 1},
        ):
            self.assertRaises(msgspec.ValidationError, read, **keys)

    def test_together(self) -> None:
        """
        What cannot be said together.
        """
        for words, keys in (
            ("logins by ssh as well", {"direction": "in"}),
            ("logins by ssh as well", {"direction": "both"}),
            ("wanted no users", {"direction": "forward", "exclude": {"users": ["0"]}}),
            ("wanted no users", {"direction": "in", "include": {"ports": ["80"], "cgroups": ["a"]}}),
            ("wanted tool nft", {"mode": "tproxy", "tool": "iptables"}),
            ("wanted mode tproxy", {"protocols": ["tcp", "udp"]}),
        ):
            error = self.assertRaises(msgspec.ValidationError, read, **keys)
            self.assertIn(words, str(error))
        read(direction="both", include={"ports": ["80"], "users": ["0"]})
