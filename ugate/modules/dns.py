# -*- test-case-name: ugate.test.test_dnsresolver,ugate.test.interop.test_dns -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The module C{dns}: a resolver for the clients of a tenant.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.application.service import IService

from ugate.errors import UgateError
from ugate.interfaces import IModule, ITenant
from ugate.modules.dnssection import DnsSection


@implementer(IModule)
class DnsModule:
    """
    See L{IModule}.
    """

    name = "dns"
    summary = "a resolver that knows the mesh, and asks others by the tenant's own ways"
    schema = DnsSection

    def makeService(self, tenant: ITenant, name: str, section: Any) -> IService:
        """
        See L{IModule.makeService}.

        @raise UgateError: dnspython is not installed, or this section cannot be.
        """
        try:
            from ugate.modules.dnsresolver import Resolver
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "dns":
                raise
            raise UgateError("it needs dnspython: pip install 'ugate[dns]'") from error
        service: IService = Resolver(tenant, name, section)
        return service
