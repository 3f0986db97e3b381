# -*- test-case-name: ugate.test.test_tlsalerts,ugate.test.test_tlsclient -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a TLS server says in an alert that ends the connection.

With TLS 1.3 a client is through with its handshake before its server has seen the client's
certificate, so that a server which refuses that says so in the middle of the stream.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.error import ConnectionLost

from ugate.errors import Cause, Phase, Refused

_SHOWN: Final = {
    "unknown ca": "let it trust the root that certifies us, or our KEYID: ucli identity shows who we are",
    "certificate expired": "renew our certificate: see the section identity",
    "certificate revoked": "have us certified again, with a new key",
    "access denied": "let it allow who we are: ucli identity shows that",
}
"""What to do when a server is against our certificate, if there is more to say than of the others."""

_OTHERS: Final = frozenset(("bad certificate", "unsupported certificate", "certificate unknown"))
_REQUIRED: Final = frozenset(("certificate required", "no certificate"))

_UNSAID: Final = ("", "unexpected eof while reading")
"""OpenSSL's for a connection that ended below, and not in TLS."""


def alertIn(error: object) -> str:
    """
    The name of the alert that a peer has sent, in the words of OpenSSL; empty if it is another error.
    """
    entries = getattr(error, "args", ())
    if not entries or not isinstance(entries[0], list):
        return ""
    for entry in entries[0]:
        name = alertOf(str(entry[-1]) if isinstance(entry, tuple) and entry else "")
        if name:
            return name
    return ""


def alertOf(said: str) -> str:
    """
    The same of one of its sentences.
    """
    return said.partition(" alert ")[2]


def refusalIn(error: object, hop: str) -> Refused | None:
    """
    What a server means by an alert, if that is what ended the connection.

    @param hop: the server.
    @since: ugate NEXT
    """
    name = alertIn(error)
    return refusalBy(name, hop) if name else None


def refusalBy(name: str, hop: str) -> Refused:
    """
    What a server means by an alert of that name.

    @since: ugate NEXT
    """
    if name in _REQUIRED:
        step = "speak mtls: with it, or let it do without"
        detail = f"it wants a certificate, and we showed none: alert {name}"
        return Refused(Cause.AUTHENTICATION, Phase.TLS, hop, detail, step)
    if name in _SHOWN or name in _OTHERS:
        step = _SHOWN.get(name, "look into the log of that peer for what is wrong with it")
        return Refused(
            Cause.AUTHENTICATION, Phase.TLS, hop, f"it refused our certificate: alert {name}", step
        )
    return Refused(Cause.GENERAL, Phase.TLS, hop, f"it ended TLS: alert {name}", "look into its log")


class TLSLost(ConnectionLost):
    """
    A stream in TLS that is lost, and why, in words.

    @ivar isTruncated: whether the connection ended, and TLS did not say that it would.
    @since: ugate NEXT
    """

    isTruncated = False

    def __str__(self) -> str:
        return f"TLS: {' '.join(self.args)}"


def lossFrom(error: BaseException) -> TLSLost:
    """
    What OpenSSL complains of in the middle of a stream.

    @since: ugate NEXT
    """
    from ugate.protocols.tlsserver import said

    words = said(error)
    if error.args == (-1, "Unexpected EOF") or words in _UNSAID:
        # Many a browser ends so: no cause for alarm.
        lost = TLSLost("it ended without saying so")
        lost.isTruncated = True
        return lost
    return TLSLost(words)
