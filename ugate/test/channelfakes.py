# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of HTTP connections send.
"""

from __future__ import annotations

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def get(host: bytes = b"a.example", fields: bytes = b"", version: bytes = b"1.1") -> bytes:
    """
    A request.
    """
    return b"GET http://%b/ HTTP/%b\r\nHost: x\r\n%b\r\n" % (host, version, fields)
