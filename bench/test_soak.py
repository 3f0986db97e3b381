# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests of the soak: that it finds what it looks for.
"""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.soak.checked import CHUNK, SIZE, Streams, pattern
from bench.soak.figures import Figure, table
from bench.soak.limits import sections
from bench.soak.node import Node
from bench.soak.reloads import sections as reloaded


class CheckedTests(SynchronousTestCase):
    """
    Streams whose every byte is looked at; here with no proxy between.
    """

    def setUp(self) -> None:
        self.streams = Streams(0, 3)
        for end in self.streams.ends.values():
            self.addCleanup(end.sock.close)

    def run_(self) -> dict[str, object]:
        """
        Let bytes go, and end.
        """
        ends = [end for end in self.streams.ends.values() if end.other]
        deadline = time.monotonic() + 20
        while not all(end.got >= 2 * SIZE or end.ended for end in ends):
            self.assertLess(time.monotonic(), deadline)
            self.streams.turn(1.0)
        self.streams.end()
        return self.streams.result()

    def test_good(self) -> None:
        """
        All bytes arrive, and the ends.
        """
        result = self.run_()
        self.assertEqual((result["streams"], result["wrong"]), (3, []))

    def test_changed(self) -> None:
        """
        A byte that is another one is found.
        """
        end = next(iter(self.streams.ends.values()))
        end.sock.send(b"another")
        result = self.run_()
        wrong = result["wrong"]
        assert isinstance(wrong, list)
        self.assertEqual(len(wrong), 1)

    def test_cut(self) -> None:
        """
        So is an end that comes too early.
        """
        end = next(iter(self.streams.ends.values()))
        assert end.other is not None
        other = end.other
        while other.got < SIZE:
            self.streams.turn(1.0)
        end.sock.shutdown(socket.SHUT_WR)
        result = self.run_()
        self.assertEqual(len(result["wrong"]), 1)  # type: ignore[arg-type]

    def test_lost(self) -> None:
        """
        And bytes that were sent and did not come.
        """
        next(iter(self.streams.ends.values())).sent += SIZE
        self.assertEqual(self.run_()["wrong"], [f"{SIZE} bytes did not arrive"])

    def test_pattern(self) -> None:
        """
        A chunk from anywhere in the pattern is in one piece.
        """
        data = pattern()
        self.assertEqual(len(data), SIZE + CHUNK)
        self.assertEqual(data[:CHUNK], data[SIZE:])


class FigureTests(SynchronousTestCase):
    """
    Figures and goals.
    """

    def test_reached(self) -> None:
        """
        A figure is within its bounds, or not.
        """
        for value, reached in ((94, False), (95, True), (105, True), (106, False)):
            self.assertEqual(Figure("", value, "", most=105, least=95).reached, reached)
        self.assertTrue(Figure("", 1, "").reached)

    def test_table(self) -> None:
        """
        The table says which.
        """
        lines = table([Figure("start", 21.5, "s", most=20), Figure("size", 3, "MiB")]).splitlines()
        self.assertEqual(lines[1].split(), ["start", "21.5", "s", "at", "most", "20", "MISSED"])
        self.assertEqual(lines[2].split(), ["size", "3", "MiB"])


class NodeTests(SynchronousTestCase):
    """
    The node under test.
    """

    def test_folder(self) -> None:
        """
        Files of its folder are written whole, and nothing else is left there.
        """
        directory = Path(self.mktemp())
        directory.mkdir()
        node = Node(directory)
        for name, content in sections(1, 2).items():
            node.write(name, content)
        node.write("main.yaml", reloaded(1, 7))
        found = sorted(
            str(path.relative_to(node.folder)) for path in node.folder.rglob("*") if path.is_file()
        )
        self.assertEqual(found, ["http.yaml", "main.yaml", "tenants/free.yaml", "tenants/limited.yaml"])
        self.assertEqual(json.loads((node.folder / "main.yaml").read_text()), reloaded(1, 7))
