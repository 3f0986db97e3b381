# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the page on capture says is what there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import NODEFAULT, Struct, inspect

from ugate.endpoints.captured import SNIFFED, WAIT
from ugate.modules.capturesection import CaptureSection
from ugate.modules.checking import checkedFile
from ugate.test.docpages import Pages, blocks, page, table


def rows(struct: type[Struct], prefix: str, nothing: str = "none") -> Iterator[list[str]]:
    """
    All keys of a section, with their defaults.
    """
    information = inspect.type_info(struct)
    assert isinstance(information, inspect.StructType)
    for field in information.fields:
        name = f"{prefix}.{field.encode_name}"
        wanted: Any = field.type
        wanted = wanted.type if isinstance(wanted, inspect.Metadata) else wanted
        if isinstance(wanted, inspect.StructType):
            yield from rows(wanted.cls, name, "all" if field.name == "include" else "none")
            continue
        default: Any = field.default
        assert default is not NODEFAULT
        default = ", ".join(default) if isinstance(default, tuple) else default
        if isinstance(default, bool):
            default = str(default).lower()
        yield [name, str(default or nothing)]


class CaptureTests(Pages):
    """
    C{doc/capture.rst}.
    """

    def test_keys(self) -> None:
        """
        All keys of a section, with their defaults.
        """
        there = [row[:2] for row in table(page("capture"), "capture-keys")]
        self.assertEqual(list(rows(CaptureSection, "capture.NAME")), there)

    def test_configurations(self) -> None:
        """
        Those that it shows can be.
        """
        shown = list(blocks(page("capture"), "yaml"))
        self.assertEqual(len(shown), 3)
        for text in shown:
            path = Path(self.mktemp())
            path.mkdir()
            (path / "config.yaml").write_text(text)
            self.assertIn("capture:", checkedFile(str(path / "config.yaml")))

    def test_numbers(self) -> None:
        """
        What it says of the listeners.
        """
        text = page("capture")
        self.assertEqual((SNIFFED, WAIT), ({80, 443}, 0.5))
        self.assertIn("On ports 80 and 443", text)
        row = next(row for row in table(page("strings"), "server-keywords") if row[0] == "wait")
        self.assertEqual(row[2], f"1, or {WAIT:g}")
