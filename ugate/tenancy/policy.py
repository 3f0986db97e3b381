# -*- test-case-name: ugate.test.test_policy -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Who may use the gateway.
"""

from __future__ import annotations

from zope.interface import implementer

from ugate.errors import Denied
from ugate.interfaces import IPolicy
from ugate.stream import StreamInfo


@implementer(IPolicy)
class KnownPrincipals:
    """
    Whoever is known may go anywhere that the egress rules and the routes allow:
    who has logged in, and the operator on a listener that only this machine reaches.

    @since: ugate NEXT
    """

    def check(self, info: StreamInfo) -> None:
        """
        See L{IPolicy.check}.
        """
        if info.principal is None:
            raise Denied(
                str(info),
                "nobody knows who asks",
                "log in with a user name and a password, or let the listener be open",
            )
