# -*- test-case-name: ugate.test.test_openapi -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a new tenant is given by its parent.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    streams: int | None = None
    opens: int | None = None
    up: int | str | None = None
    down: int | str | None = None
    month: int | str | None = None
    buffers: int | str | None = None


class Delegation(Struct, frozen=True, forbid_unknown_fields=True):
    hosts: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    limits: Limits = Limits()


class NewTenant(Delegation, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    A tenant that is to be: its name, and what is delegated to it.
    """

    name: Annotated[
        str,
        Meta(
            pattern="^[A-Za-z_][A-Za-z0-9_.-]{0,63}$",
            description="Its name below its parent.",
            extra={"argument": True},
        ),
    ]
