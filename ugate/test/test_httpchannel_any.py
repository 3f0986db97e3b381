# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpchannel}: whatever the client sends.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.interfaces import Auth
from ugate.test.channelfakes import OK
from ugate.test.httpfakes import BAD, GOOD, Proxy, aliceOnly


class FuzzTests(SynchronousTestCase):
    """
    Whatever the client sends.
    """

    @given(
        st.lists(
            st.sampled_from(
                [
                    b"GET http://a/ HTTP/1.1\r\n",
                    b"POST http://b/ HTTP/1.1\r\n",
                    b"GET http://a/ HTTP/1.0\r\n",
                    b"CONNECT c:1 HTTP/1.1\r\n",
                    b"GET / HTTP/1.1\r\n",
                    b"Host: a\r\n",
                    b"Content-Length: 4\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"Expect: 100-continue\r\n",
                    b"Upgrade: x\r\nConnection: upgrade\r\n",
                    b"Connection: close\r\n",
                    GOOD,
                    BAD,
                    b"\r\n",
                    b"2\r\nab\r\n",
                    b"0\r\n\r\n",
                    b"abcd",
                ]
            )
            | st.binary(max_size=3),
            max_size=16,
        ).map(b"".join),
        st.lists(st.integers(0, 250), max_size=5),
        st.sampled_from([Auth.NONE, Auth.OPTIONAL]),
        st.booleans(),
    )
    def test_splits(self, data: bytes, cuts: list[int], auth: Auth, ended: bool) -> None:
        """
        The targets are asked the same, and the client is told the same, however it
        is cut.
        """
        ends = sorted(min(cut, len(data)) for cut in cuts)
        found = []
        for chunks in [data], [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]:
            proxy = Proxy(auth=auth, login=aliceOnly)
            for chunk in chunks:
                if chunk:
                    proxy.ask(chunk)
            if ended:
                proxy.protocol.readConnectionLost()
                proxy.turn()
            for stream in proxy.gateway.streams:
                if not stream.transport.disconnecting and stream.info.protocol == "http":
                    stream.transport.write(OK)
                    proxy.turn()
            client = proxy.client
            streams = [
                (s.info, s.received.replace(b"\r\n", b"\n").partition(b"\n\n")[0])
                for s in proxy.gateway.streams
            ]
            found.append((streams, proxy.told(), client.disconnecting, client.aborted, client.writeEnded))
            proxy.protocol.connectionLost()
            proxy.turn()
            self.assertEqual(proxy.clock.getDelayedCalls(), [])
            for stream in proxy.gateway.streams:
                self.assertIsNotNone(stream.lost)
        self.assertEqual(found[0], found[1])
