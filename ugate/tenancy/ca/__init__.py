# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A small certification authority: who is certified, as what, for how long, and who no more.
"""
