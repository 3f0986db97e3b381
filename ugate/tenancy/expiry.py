# -*- test-case-name: ugate.test.test_servercertificates,ugate.test.test_identity -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
When somebody has to be told that a certificate is about to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_WARNED: Final = (0.25, 0.1, 0.0)
"""What parts of the life of a certificate are left when a warning is logged."""


class Expiry:
    """
    Says in the log, once for each part of its life, that a certificate is about to end, and once
    that it has not begun.

    @since: ugate NEXT
    """

    __slots__ = ("_isEarly", "_log", "_warned", "_what")

    def __init__(self, what: str, log: Logger) -> None:
        """
        @param what: whose certificate it is, in words.
        @param log: that of whoever has it.
        """
        self._what = what
        self._log = log
        self._warned = -1
        self._isEarly = False

    def look(self, certificate: Certificate, now: float) -> None:
        """
        See whether it is time.

        @param now: the time of day.
        """
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if now < begins.timestamp() and not self._isEarly:
            self._isEarly = True
            self._log.error(
                "The certificate of {what} is not good before {at}; check the clock of this machine",
                what=self._what,
                at=begins.isoformat(),
            )
        life = (ends - begins).total_seconds()
        left = ends.timestamp() - now
        step = sum(left <= life * part for part in _WARNED) - 1
        if step <= self._warned:
            return
        self._warned = step
        say = self._log.warn if left > 0 else self._log.error
        say(
            "The certificate of {what} {ends} at {at}; see that whoever certifies it renews it",
            what=self._what,
            ends="ends" if left > 0 else "ended",
            at=ends.isoformat(),
        )
