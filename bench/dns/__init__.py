# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
How many questions of the DNS are answered in a second.
"""
