# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Composition: endpoints that wrap endpoints, the dialers that choose them, and the
strings that name them.
"""
