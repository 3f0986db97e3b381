# -*- test-case-name: ugate.test.test_callers -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The module C{admin}: which principals look after a tenant.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from zope.interface import implementer

from twisted.application.service import IService, Service

from ugate.errors import StringError
from ugate.interfaces import IModule, ITenant
from ugate.stream import Principal
from ugate.tenancy.who import parseWho


class AdminSection(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Who looks after this tenant and all below it.
    """

    who: Annotated[
        tuple[Annotated[str, Meta(min_length=1, extra={"wanted": "NAME or METHOD:NAME, maybe with *"})], ...],
        Meta(
            min_length=1,
            description="Principals of this tenant: a name, or a method of login and a name, with *.",
            examples=["carol", "token:*"],
            extra={"one": True},
            extra_json_schema={"x-type": ["array", "string"]},
        ),
    ]
    may: Annotated[Literal["change", "look"], Meta(description="What they may do.")] = "change"


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
        try:
            service: IService = Admin(section)
        except StringError as error:
            raise StringError(f"admin.{name}: {error}") from error
        return service
