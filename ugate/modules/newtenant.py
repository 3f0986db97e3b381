# -*- test-case-name: ugate.test.test_openapi -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a new tenant is given by its parent.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ugate.tenancy.config.schema import Delegation


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
