# -*- test-case-name: ugate.test.test_meshnodes,ugate.test.test_meshserve -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Which names are our own: those that follow from our key, those in our certificate, and those that the config
gives to our KEYID.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from ugate.errors import UgateError
from ugate.interfaces import IPolicy
from ugate.stream import UNIX, StreamInfo, Target
from ugate.tenancy.keyids import keyidIn
from ugate.tenancy.match import normalHost, packed

if TYPE_CHECKING:
    from ugate.tenancy.tenant import Tenant


class OwnNames:
    """
    The names of a tenant.

    @since: ugate NEXT
    """

    __slots__ = ("_serves", "_tenant")

    def __init__(self, tenant: Tenant, serves: bool) -> None:
        """
        @param tenant: whose; its identity is only asked for when it matters, since a key is made by that.
        @param serves: whether it serves anything under its names.  If not, only those that follow from the
            key, or that C{nodes} gives to it, are its own: others may be those of real hosts.
        """
        self._tenant = tenant
        self._serves = serves

    def isOurs(self, host: str) -> bool:
        """
        Whether a host is ourselves.
        """
        if not self._serves and not self._tenant.nodes.leads(host):
            return False
        keyid = keyidIn(host)
        if keyid is None:
            node = self._tenant.nodes.find(host)
            keyid = None if node is None else node.keyid
        try:
            identity = self._tenant.identity
        except UgateError:
            # Who has no key has no names either.
            return False
        if keyid is not None:
            return bool(keyid == identity.keyid)
        number = packed(host)
        if number is not None:
            return number == packed(identity.vip6)
        name = normalHost(host)
        return any(name == each.lower() for each in identity.names if "://" not in each)

    def oneName(self) -> str:
        """
        The name that rules see, by whichever of our names we were asked for: C{KEYID.namespace.domain} if
        our certificate has that, else the KEYID; in lower case.
        """
        identity = self._tenant.identity
        keyid: str = identity.keyid
        return next((str(name) for name in identity.names if keyidIn(name) == keyid), keyid).lower()


@implementer(IPolicy)
class OneNamePolicy:
    """
    A policy that is asked about one of our names, whichever of them a stream asks for: else a rule that
    denies one name would not deny the others.

    @since: ugate NEXT
    """

    def __init__(self, policy: Any, own: OwnNames) -> None:
        """
        @param policy: L{IPolicy}.
        """
        self._policy = policy
        self._own = own

    def _named(self, info: StreamInfo) -> StreamInfo:
        target = info.target
        if target is None or target.network == UNIX or not self._own.isOurs(target.host):
            return info
        return info.but(target=Target(self._own.oneName(), target.port, target.network))

    def check(self, info: StreamInfo) -> None:
        """
        See L{IPolicy.check}.
        """
        self._policy.check(self._named(info))

    def explain(self, info: StreamInfo) -> str:
        """
        Which rule decides about a stream, and how.
        """
        line: str = self._policy.explain(self._named(info))
        return line
