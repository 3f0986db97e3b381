# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests with real sockets and with the programs of others: each skips, with a reason, where its peer is missing.
"""
