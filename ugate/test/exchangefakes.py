# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the tests of HTTP exchanges send.
"""

from __future__ import annotations

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def post(fields: bytes, version: bytes = b"1.1") -> bytes:
    """
    The head of a POST.
    """
    return b"POST http://a.example/ HTTP/%b\r\nHost: a.example\r\n%b\r\n" % (version, fields)


def get(fields: bytes, version: bytes = b"1.1") -> bytes:
    """
    A GET.
    """
    return post(fields, version).replace(b"POST", b"GET")
