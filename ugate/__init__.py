# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
ugate: a gateway between protocols, as one Twisted service and as endpoints for any Twisted program.
"""

from ugate._version import __version__ as _version

__version__ = _version.public()
"""The version, as in C{26.11.0.dev0} (L{str}, PEP 440)."""

__all__ = ["__version__"]
