# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.protocols.tlsalerts}.
"""

from __future__ import annotations

import ssl

from OpenSSL import SSL

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause, Phase
from ugate.protocols.tlsalerts import alertIn, refusalIn

OURS = {
    42: "bad certificate",
    43: "unsupported certificate",
    44: "certificate revoked",
    45: "certificate expired",
    46: "certificate unknown",
    48: "unknown ca",
    49: "access denied",
    116: "certificate required",
}


def alertedBy(number: int) -> SSL.Error:
    """
    What OpenSSL raises in a client that is told that.
    """
    client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    client.set_connect_state()
    try:
        client.do_handshake()
    except SSL.WantReadError:
        pass
    client.bio_write(bytes((21, 3, 3, 0, 2, 2, number)))
    try:
        client.do_handshake()
    except SSL.Error as error:
        return error
    raise AssertionError("no error")


class AlertTests(SynchronousTestCase):
    """
    Alerts as OpenSSL tells them.
    """

    def test_ours(self) -> None:
        """
        Those that are about our certificate say so, with the alert, and what to do.
        """
        for number, name in OURS.items():
            error = alertedBy(number)
            self.assertEqual(name, alertIn(error))
            refusal = refusalIn(error, "mtls:gw:1")
            assert refusal is not None
            self.assertEqual(
                (Cause.AUTHENTICATION, Phase.TLS, "mtls:gw:1"), (refusal.cause, refusal.phase, refusal.hop)
            )
            self.assertIn(f"alert {name}", refusal.detail)
            shown = "we showed none" if number == 116 else "refused our certificate"
            self.assertIn(shown, refusal.detail)
            self.assertNotIn("look into the log,", refusal.nextStep)

    def test_others(self) -> None:
        """
        Others are told as what they are.
        """
        refusal = refusalIn(alertedBy(40), "gw")
        assert refusal is not None
        self.assertEqual(
            (Cause.GENERAL, "it ended TLS: alert handshake failure"), (refusal.cause, refusal.detail)
        )

    def test_none(self) -> None:
        """
        What is no alert is nothing.
        """
        for error in (
            SSL.Error([("SSL routines", "", "wrong version number")]),
            SSL.Error([]),
            SSL.Error(),
            SSL.SysCallError(-1, "Unexpected EOF"),
            ssl.SSLError(1, "alert"),
            ValueError("an alert or so"),
            None,
        ):
            self.assertEqual(("", None), (alertIn(error), refusalIn(error, "gw")))
