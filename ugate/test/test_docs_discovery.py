# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the page on discovery says is what there is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import inspect

from ugate.modules import announcing, neighbours
from ugate.modules.discoverysection import DiscoverySection
from ugate.tenancy import noderecords
from ugate.test.docpages import Pages, blocks, page, table

LISTEN = 'listen: {main: "auto:tcp:1080:interface=127.0.0.1"}\n'


def rate(pair: tuple[float, float]) -> str:
    """
    As the page writes it.
    """
    return f"{pair[0]:g} a second, {pair[1]:g} at once"


class DiscoveryTests(Pages):
    """
    C{doc/discovery.rst}.
    """

    def test_keys(self) -> None:
        """
        All keys of a section, with their defaults.
        """
        information = inspect.type_info(DiscoverySection)
        assert isinstance(information, inspect.StructType)
        wanted = []
        for field in information.fields:
            default: Any = field.default
            default = ", ".join(default) if isinstance(default, tuple) else default
            wanted.append([f"discovery.NAME.{field.encode_name}", str(default) or "none"])
        rows = table(page("discovery"), "discovery-keys")
        self.assertEqual(wanted, [row[:2] for row in rows])

    def test_limits(self) -> None:
        """
        All limits.
        """
        wanted = [
            rate(neighbours.PER_SOURCE),
            rate(neighbours.PER_LINKS),
            rate(neighbours.CHECKS),
            rate(announcing.ANSWERS),
            f"one in {announcing.GAP:g} s",
            str(noderecords.MAX_SIZE),
            str(neighbours.MAX_ADDRESSES),
            str(neighbours.MAX_PLACES),
            str(neighbours.MAX_AT_PLACE),
            f"{neighbours.LONGEST} s",
            f"{noderecords.SKEW:g} s",
        ]
        self.assertEqual(wanted, [row[1] for row in table(page("discovery"), "discovery-limits")])

    def test_record(self) -> None:
        """
        The head of a record, and what is signed before it.
        """
        rows = table(page("discovery"), "record")
        self.assertEqual(noderecords._HEAD.size, sum(int(row[0]) for row in rows if row[0]))
        self.assertIn(f"``{noderecords._SIGNED[:-1].decode()}``, a zero byte", page("discovery"))

    def test_yaml(self) -> None:
        """
        What is shown is a configuration without a mistake.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        for number, block in enumerate(blocks(page("discovery"), "yaml")):
            path = folder / f"{number}.yaml"
            # What is shown is only a part of one.
            path.write_text(block if "listen:" in block else LISTEN + block)
            status, shown, errors = self.ugate("--config", str(path), "--check")
            self.assertEqual((0, ""), (status, errors), block)
            self.assertIn("discovery" if "discovery" in block else "nodes", shown)
