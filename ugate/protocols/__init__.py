# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The protocols: what is spoken before a stream is usable, as bytes and values
alone.  Nothing here knows of endpoints, tenants, config or a reactor.
"""
