# -*- test-case-name: ugate.test.test_config_whole -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What knows whether the texts in a configuration are good, as far as that needs no endpoints.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from ugate.stream import Target
from ugate.tenancy.config.check import Checks
from ugate.tenancy.config.delegated import parseHost, parseRange
from ugate.tenancy.config.schema import secretFile, secretVariable
from ugate.tenancy.nodes import addressFromText, nodeName

OWN_CHECKS: Final[Checks] = MappingProxyType(
    {
        "target": Target.fromText,
        "service": Target.anyFromText,
        "folder": Target.atPath,
        "host": parseHost,
        "range": parseRange,
        "meshAddress": addressFromText,
        "nodeName": nodeName,
        "secretFile": secretFile,
        "secretVariable": secretVariable,
    }
)
"""The checkers that are there if no others are given."""
