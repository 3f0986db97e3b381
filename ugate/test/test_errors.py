# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Errors, and what they say to an operator.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import (
    Cause,
    Denied,
    ListenRefused,
    Phase,
    ProtocolError,
    Refused,
    StringError,
    UgateError,
)


class RefusedTests(SynchronousTestCase):
    """
    L{Refused}.
    """

    def test_everyCauseHasANextStep(self) -> None:
        """
        Whatever the cause, there is something to do, and it is said after a semicolon.
        """
        for cause in Cause:
            refused = Refused(cause, Phase.CONNECT, "db:5432")
            self.assertTrue(refused.nextStep, cause)
            self.assertEqual(str(refused), f"connect at db:5432: {cause.value}; {refused.nextStep}")

    def test_everyPhaseIsNamed(self) -> None:
        """
        The sentence begins with the phase.
        """
        for phase in Phase:
            self.assertTrue(str(Refused(Cause.GENERAL, phase, "x")).startswith(f"{phase.value} at x: "))

    def test_detail(self) -> None:
        """
        What exactly happened stands in brackets.
        """
        refused = Refused(Cause.TIMED_OUT, Phase.TLS, "gate:443", "no ServerHello in 10 s", "look there")
        self.assertEqual(str(refused), "TLS at gate:443: timed out (no ServerHello in 10 s); look there")

    def test_attributes(self) -> None:
        """
        What it was made of can be asked for.
        """
        refused = Refused(Cause.OVERLOADED, Phase.AUTH, "a", "b", "c")
        self.assertEqual(
            (refused.cause, refused.phase, refused.hop, refused.detail, refused.nextStep),
            (Cause.OVERLOADED, Phase.AUTH, "a", "b", "c"),
        )

    def test_saysNothingElse(self) -> None:
        """
        Of the error that was the cause, which may hold a secret, nothing is said.
        """
        try:
            try:
                raise ValueError("alice:swordfish")
            except ValueError as cause:
                raise Refused(Cause.AUTHENTICATION, Phase.AUTH, "proxy:1080") from cause
        except Refused as refused:
            self.assertNotIn("swordfish", f"{refused} {refused!r} {refused.args}")

    def test_denied(self) -> None:
        """
        A denial is a refusal by policy.
        """
        denied = Denied("db:5432", "rule 3", "change rule 3")
        self.assertIsInstance(denied, Refused)
        self.assertEqual((denied.cause, denied.phase), (Cause.DENIED, Phase.POLICY))
        self.assertEqual(str(denied), "policy at db:5432: denied by policy (rule 3); change rule 3")
        self.assertIn("--explain", str(Denied("db:5432")))


class OtherTests(SynchronousTestCase):
    """
    The other errors.
    """

    def test_base(self) -> None:
        """
        All of them can be caught as one; a bad string also as what Python raises for such.
        """
        for kind in (Refused, Denied, ProtocolError, StringError, ListenRefused):
            self.assertTrue(issubclass(kind, UgateError), kind)
        self.assertTrue(issubclass(StringError, ValueError))

    def test_protocolError(self) -> None:
        """
        A broken protocol has words for the peer, or none.
        """
        self.assertEqual(ProtocolError("no version").reply, b"")
        error = ProtocolError("no version", b"\x05\xff")
        self.assertEqual((str(error), error.reply), ("no version", b"\x05\xff"))
