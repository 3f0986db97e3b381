# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ucli}: the admin API from the command line.  Nothing here imports Twisted, but for what needs no node.
"""
