# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httphead}: a response as it comes back.
"""

from __future__ import annotations

import h11

from twisted.trial.unittest import SynchronousTestCase

from ugate.protocols.httphead import (
    forwardFields,
)


class ResponseTests(SynchronousTestCase):
    """
    A response as it comes back.
    """

    def fields(
        self, status: int, *fields: tuple[bytes, bytes], version: bytes = b"1.1"
    ) -> list[tuple[bytes, bytes]]:
        """
        The fields of a response as the client gets them, without our mark.
        """
        kind = h11.InformationalResponse if status < 200 else h11.Response
        found = forwardFields(kind(status_code=status, headers=list(fields)), version)
        self.assertEqual(found.pop(), (b"Via", b"1.1 ugate"))
        return found

    def test_hopByHop(self) -> None:
        """
        What is for us stays here.
        """
        self.assertEqual(
            self.fields(
                200,
                (b"Server", b"x"),
                (b"Connection", b"X-Hop"),
                (b"X-Hop", b"1"),
                (b"Proxy-Authenticate", b"Basic"),
                (b"Upgrade", b"h2"),
                (b"Content-Length", b"3"),
            ),
            [(b"Server", b"x"), (b"Content-Length", b"3")],
        )

    def test_chunked(self) -> None:
        """
        The framing is made anew, and a length beside chunks does not count.
        """
        fields = ((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3"), (b"Trailer", b"Digest"))
        self.assertEqual(self.fields(200, *fields), [(b"Trailer", b"Digest")])
        self.assertEqual(self.fields(200, *fields, version=b"1.0"), [])

    def test_upgrade(self) -> None:
        """
        101 and 426 name the protocols.
        """
        upgrade = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
        self.assertEqual(self.fields(101, *upgrade), upgrade)
        self.assertEqual(self.fields(426, *upgrade), upgrade)
        self.assertEqual(self.fields(426, (b"Upgrade", b"x")), [])

    def test_informational(self) -> None:
        """
        There is no content before the final response.
        """
        link = (b"Link", b"</x>")
        self.assertEqual(self.fields(103, link, (b"Content-Length", b"3")), [link])
