# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Side-by-side measurements of ugate and its peers in one run, on one machine.

Nothing here imports the C{ugate} package: every contestant is a process of its own that is
measured from the outside.
"""
