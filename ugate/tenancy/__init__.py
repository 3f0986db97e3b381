# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whose a stream is: configuration, credentials, policy and routes, for each tenant.
"""
