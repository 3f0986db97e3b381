# -*- test-case-name: ugate.test.test_callers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The module C{admin}: which principals look after a tenant.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twisted.application.service import IService, Service

from ugate.interfaces import IModule, ITenant
from ugate.modules.sections import AdminSection
from ugate.stream import Principal
from ugate.tenancy.who import parseWho


class Admin(Service):
    """
    Those whom one section names.

    @ivar mayChange: whether they may change anything.
    """

    def __init__(self, section: AdminSection) -> None:
        """
        @raise StringError: C{who} cannot be read.
        """
        self._who = [parseWho(text) for text in section.who]
        self.mayChange = section.may == "change"

    def means(self, principal: Principal) -> bool:
        """
        Whether somebody is among them.
        """
        return any(who.matches(principal) for who in self._who)


@implementer(IModule)
class AdminModule:
    """
    See L{IModule}.
    """

    name = "admin"
    summary = "who looks after a tenant by the admin API"
    schema = AdminSection

    def makeService(self, tenant: ITenant, name: str, section: Any) -> IService:
        """
        See L{IModule.makeService}.
        """
        service: IService = Admin(section)
        return service
