# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Modules: the named components of a node that have sections of their own, see L{ugate.interfaces.IModule}.
"""
