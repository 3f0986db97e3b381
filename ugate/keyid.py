# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How a KEYID looks: for those, too, who do without the rest, as the client command line does.
"""

from __future__ import annotations

from typing import Final

KEYID: Final = "[A-Z2-7]{51}[AQ]"
"""Its pattern: 32 bytes in base32, without what fills it up."""
