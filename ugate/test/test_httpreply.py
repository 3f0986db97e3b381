# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.httpreply}.
"""

from __future__ import annotations

import h11
from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Denied, Phase, Refused
from ugate.protocols.httpreply import Reply, Unserved, causeOf, challenge, refusal


def read(data: bytes) -> tuple[h11.Response, bytes]:
    """
    A response as a client reads it.
    """
    conn = h11.Connection(h11.CLIENT)
    conn.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    conn.send(h11.EndOfMessage())
    conn.receive_data(data)
    response = conn.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := conn.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    return response, body


class ReplyTests(SynchronousTestCase):
    """
    What the proxy says.
    """

    def test_bytes(self) -> None:
        """
        A reply is a whole response.
        """
        response, body = read(Reply(502, "Zu früh.").toBytes())
        self.assertEqual((response.status_code, response.reason), (502, b"Bad Gateway"))
        self.assertEqual(body, "Zu früh.\n".encode())
        fields = dict(response.headers)
        self.assertEqual(fields[b"connection"], b"close")
        self.assertEqual(fields[b"content-type"], b"text/plain; charset=utf-8")
        self.assertEqual(fields[b"cache-control"], b"no-store")
        self.assertEqual(fields[b"x-content-type-options"], b"nosniff")

    def test_open(self) -> None:
        """
        A connection can go on after a reply.
        """
        response, _ = read(challenge("Who are you?").toBytes(close=False))
        fields = dict(response.headers)
        self.assertNotIn(b"connection", fields)
        self.assertEqual(fields[b"proxy-authenticate"], b'Basic realm="ugate", charset="UTF-8"')

    def test_empty(self) -> None:
        """
        A reply may have no text.
        """
        response, body = read(Unserved(200, "", ((b"Allow", b"GET"),)).reply.toBytes())
        fields = dict(response.headers)
        self.assertEqual((body, fields[b"content-length"], fields[b"allow"]), (b"", b"0", b"GET"))
        self.assertNotIn(b"content-type", fields)

    def test_surrogate(self) -> None:
        """
        A text that UTF-8 cannot say is no error.
        """
        self.assertIn(b"\\udc80\n", read(Reply(502, "\udc80").toBytes())[1])


class RefusalTests(SynchronousTestCase):
    """
    The words for a refusal.
    """

    def test_statuses(self) -> None:
        """
        Each cause has its status and its error of RFC 9209.
        """
        wanted = {
            Cause.DENIED: (403, b"http_request_denied"),
            Cause.NAME_UNKNOWN: (502, b"dns_error"),
            Cause.NETWORK_UNREACHABLE: (502, b"destination_ip_unroutable"),
            Cause.HOST_UNREACHABLE: (502, b"destination_unavailable"),
            Cause.CONNECTION_REFUSED: (502, b"connection_refused"),
            Cause.TIMED_OUT: (504, b"connection_timeout"),
            Cause.AUTHENTICATION: (502, b"proxy_configuration_error"),
            Cause.UNSUPPORTED: (501, b"http_request_error"),
            Cause.OVERLOADED: (503, b"connection_limit_reached"),
            Cause.PEER_CLOSED: (502, b"connection_terminated"),
            Cause.PEER_MISBEHAVED: (502, b"http_protocol_error"),
            Cause.GENERAL: (502, b"proxy_internal_error"),
        }
        self.assertEqual(set(wanted), set(Cause))
        for cause, (status, error) in wanted.items():
            reason = Refused(cause, Phase.CONNECT, "db:5432", "so")
            response, body = read(refusal(reason).toBytes())
            self.assertEqual(response.status_code, status)
            self.assertEqual(dict(response.headers)[b"proxy-status"], b"ugate; error=" + error)
            self.assertEqual(body.decode(), f"{reason}\n")

    def test_phases(self) -> None:
        """
        Where it happened makes some errors more exact.
        """
        for phase, cause, error in (
            (Phase.RESOLVE, Cause.TIMED_OUT, b"dns_timeout"),
            (Phase.TLS, Cause.GENERAL, b"tls_protocol_error"),
            (Phase.REMOTE, Cause.TIMED_OUT, b"http_response_timeout"),
        ):
            fields = dict(refusal(Refused(cause, phase, "x")).fields)
            self.assertEqual(fields[b"Proxy-Status"], b"ugate; error=" + error)

    def test_roundTrip(self) -> None:
        """
        A chain of these proxies keeps the cause, but for what is no matter of the client.
        """
        for cause in set(Cause) - {Cause.AUTHENTICATION}:
            for phase in Phase:
                reply = refusal(Refused(cause, phase, "x"))
                fields = dict(reply.fields)
                got = causeOf(reply.status, fields[b"Proxy-Status"])
                if (phase, cause) == (Phase.TLS, Cause.GENERAL):
                    self.assertEqual(got, Cause.PEER_MISBEHAVED)
                else:
                    self.assertEqual(got, cause, phase)

    def test_denied(self) -> None:
        """
        Policy is 403.
        """
        self.assertEqual(refusal(Denied("a:1", "rule 3")).status, 403)


class CauseTests(SynchronousTestCase):
    """
    What a client makes of a response.
    """

    def test_statuses(self) -> None:
        """
        A status alone says little.
        """
        for status, cause in (
            (403, Cause.DENIED),
            (407, Cause.AUTHENTICATION),
            (401, Cause.AUTHENTICATION),
            (405, Cause.UNSUPPORTED),
            (429, Cause.OVERLOADED),
            (501, Cause.UNSUPPORTED),
            (504, Cause.TIMED_OUT),
            (302, Cause.GENERAL),
            (500, Cause.GENERAL),
            (503, Cause.GENERAL),
        ):
            self.assertEqual(causeOf(status, b""), cause, status)

    def test_error(self) -> None:
        """
        The error nearest to the target counts, and quoted text does not.
        """
        for value, cause in (
            (b"gate; error=dns_error", Cause.NAME_UNKNOWN),
            (b"gate;error=connection_refused, near; error=dns_error", Cause.CONNECTION_REFUSED),
            (b"near, gate; received-status=503; error=connection_limit_reached", Cause.OVERLOADED),
            (b'gate; details="x; error=dns_error"; error=connection_refused', Cause.CONNECTION_REFUSED),
            (b'gate; details="\\"; error=dns_error"', Cause.TIMED_OUT),
            (b"gate; error=made_up", Cause.TIMED_OUT),
            (b"gate; noerror=dns_error", Cause.TIMED_OUT),
            (b"", Cause.TIMED_OUT),
        ):
            self.assertEqual(causeOf(504, value), cause, value)

    def test_squid(self) -> None:
        """
        Squid has words of its own.
        """
        for value, cause in (
            (b"ERR_CONNECT_FAIL 111", Cause.CONNECTION_REFUSED),
            (b"ERR_CONNECT_FAIL 113", Cause.HOST_UNREACHABLE),
            (b"ERR_CONNECT_FAIL 99", Cause.GENERAL),
            (b"ERR_DNS_FAIL 0", Cause.NAME_UNKNOWN),
            (b"ERR_MADE_UP 0", Cause.GENERAL),
        ):
            self.assertEqual(causeOf(503, b"", value), cause, value)

    @given(st.integers(100, 999), st.binary())
    def test_anything(self, status: int, value: bytes) -> None:
        """
        There is a cause for everything.
        """
        self.assertIsInstance(causeOf(status, value, value), Cause)
