# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The version of ugate, kept by incremental: C{python -m incremental.update ugate} changes this file.
"""

from incremental import Version

__version__ = Version("ugate", 26, 11, 0, dev=0)
__all__ = ["__version__"]
