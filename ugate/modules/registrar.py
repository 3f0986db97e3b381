# -*- test-case-name: ugate.test.test_registrar -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The module C{registrar}: nodes of the mesh tell it how they are reached, by C{PUT} of a signed record.
"""

from __future__ import annotations

from typing import Any, Final

from zope.interface import implementer

from twisted.application.service import IService, Service
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from ugate.errors import Cause, Refused, UgateError
from ugate.interfaces import IModule, IServesHTTP, ITenant
from ugate.modules.problems import Trouble, send, sendTrouble
from ugate.modules.sections import RegistrarSection
from ugate.tenancy.noderecords import MAX_SIZE, RecordError
from ugate.tenancy.registrations import Registrations

_STATUS: Final = {Cause.OVERLOADED: 503, Cause.DENIED: 403, Cause.UNSUPPORTED: 400}


class _Taking(Resource):
    """
    Where records are put.
    """

    isLeaf = True

    def __init__(self, registrar: Registrar) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._registrar = registrar

    def render(self, request: Any) -> Any:
        """
        See L{IResource}.
        """
        try:
            if request.method != b"PUT":
                raise Trouble(405, "wanted PUT of a record")
            self._registrar.take(request.content.read(MAX_SIZE + 1), _hostOf(request.getClientAddress()))
        except Trouble as trouble:
            sendTrouble(request, trouble)
        else:
            send(request, 204, b"")
        return NOT_DONE_YET


def _hostOf(address: IAddress) -> str:
    host = getattr(address, "host", None)
    return host if isinstance(host, str) else ""


@implementer(IServesHTTP)
class Registrar(Service):
    """
    What takes records of nodes for a tenant.

    @since: ugate NEXT
    """

    log = Logger()

    isPublic = True
    """A record proves itself whose it is."""

    def __init__(self, tenant: Any, section: RegistrarSection) -> None:
        """
        @raise UgateError: nobody could register.
        """
        if not section.keys and not section.open:
            raise UgateError("nobody could register: wanted keys, or open: true")
        self._registrations = Registrations(
            tenant.nodes,
            tenant.reactor,
            [each.upper() for each in section.keys],
            isOpen=section.open,
            longest=section.longest,
            most=section.most,
        )
        self._resource = _Taking(self)

    def resource(self) -> IResource:
        """
        See L{IServesHTTP.resource}.
        """
        resource: IResource = self._resource
        return resource

    def take(self, data: bytes, sender: str) -> None:
        """
        Take a record.

        @raise Trouble: it is not taken, and why.
        """
        try:
            record = self._registrations.take(data, sender)
        except RecordError as error:
            raise Trouble(400, str(error)) from error
        except Refused as refused:
            self.log.info("{sender}: {refused}", sender=sender, refused=refused)
            detail = f"{refused.detail}; {refused.nextStep}"
            raise Trouble(_STATUS.get(refused.cause, 409), detail) from refused
        self.log.debug("{keyid} is registered for {lifetime} s", keyid=record.keyid, lifetime=record.lifetime)


@implementer(IModule)
class RegistrarModule:
    """
    See L{IModule}.
    """

    name = "registrar"
    summary = "takes from nodes of the mesh how they are reached"
    schema = RegistrarSection

    def makeService(self, tenant: ITenant, name: str, section: Any) -> IService:
        """
        See L{IModule.makeService}.
        """
        service: IService = Registrar(tenant, section)
        return service
