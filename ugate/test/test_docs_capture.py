# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the page on capture says is what there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import NODEFAULT, Struct, inspect

from ugate.modules.capturesection import CaptureSection
from ugate.test.docpages import Pages, page, table


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
