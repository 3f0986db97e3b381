# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What many tenants, reloads and limits cost: figures that no comparison with another proxy gives.
"""
