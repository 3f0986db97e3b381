# -*- test-case-name: ugate.test.test_interfaces -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Named components with sections of their own, and the node that runs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

from twisted.plugin import IPlugin

if TYPE_CHECKING:
    from msgspec import Struct

    from twisted.application.service import IService
    from twisted.internet.defer import Deferred
    from twisted.web.resource import IResource

    from ugate.interfaces.tenancy import ITenant
    from ugate.stream import Principal


class IModule(IPlugin):
    """
    A kind of named components, found as a Twisted plugin: a package that puts one into its
    C{twisted/plugins} adds a kind of sections to the configuration.

    There may be many instances at once: one for each section of that kind, of each tenant.
    """

    name = Attribute("L{str}: the kind of its sections, as in C{hello: {greeter: ...}}.")
    schema = Attribute("A subclass of L{msgspec.Struct}: what is in a section; it forbids unknown fields.")
    summary = Attribute("L{str}: what it does, in one line.")

    def makeService(tenant: ITenant, name: str, section: Struct) -> IService:
        """
        One instance.  The node starts it, and stops it when its section goes or changes.

        Nothing is opened or read here, only in C{startService()}: a configuration may be made just to
        be checked.

        @param tenant: whose it is; C{tenant.reactor} is what it uses.
        @param name: the name of its section.
        @param section: what is in it: an instance of C{schema}.
        @raise ugate.errors.UgateError: this section cannot be, and why; then none of the change applies.
        """


class INeedsAsyncio(Interface):
    """
    What an L{IModule} provides as well if its services use asyncio: a node that has a section of its kind
    when it starts runs on asyncio's reactor, and any other on the one that is quickest.
    """


class IServesHTTP(Interface):
    """
    What the service of a module may provide: something to show below C{/modules/KIND/NAME/}.
    """

    isPublic = Attribute(
        "L{bool}: whether anybody may ask for it, from any page; C{IAsker(request)} finds out who it is, if "
        "that matters.  Else whoever does is on this machine, or has logged in: C{IPrincipal(request)} says "
        "who it is."
    )

    def resource() -> IResource:
        """
        The resource; asked for at each request, so give the same one unless something has changed.
        """


class IAsker(Interface):
    """
    Who asks for something that a module shows to anybody: C{IAsker(request)}, for what is not.
    """

    def someone() -> Deferred[Principal]:
        """
        A principal of the tenant, as for what is not public.

        @return: fails with an error that the HTTP port answers with.
        """

    def administrator(changes: bool) -> Deferred[Principal]:
        """
        Somebody who looks after the tenant.

        @param changes: whether they have to be somebody who may change it.
        @return: as above.
        """


class INode(Interface):
    """
    All of a node, for modules that look after it: C{INode(tenant)}.  A module that is not the
    node's own keeps to its tenant.
    """

    started = Attribute("L{float}: when it was started, in seconds since 1970.")
    running = Attribute("L{bool}: whether it runs, and was not told to stop.")
    tenants = Attribute("Mapping of L{str} to L{ITenant}: all of them, by path; parents before children.")
    store = Attribute("L{IConfigStore}: all of the configuration.")
    configs = Attribute("Mapping of paths to C{Config}: what each tenant is configured to do now.")
    kinds = Attribute("L{ugate.tenancy.config.kinds.Kinds}: the kinds of sections that there are.")
    flows = Attribute("L{ugate.gateway.Flows}: the streams, the refusals and the counters.")
    modules = Attribute("Mapping of (tenant path, kind, name) to the IService of each module that runs.")
    last = Attribute("C{Outcome} of the last reload, or of the start.")
    reloading = Attribute("What has C{good} and C{bad}: how many reloads were so.")

    def listeners() -> Sequence[Any]:
        """
        What listens: a C{ListenerState} each.
        """

    def reload(trigger: str, tenants: frozenset[str] | None = None) -> Deferred[Any]:
        """
        Read the configuration again and apply what changed.

        @param trigger: who wants it, for the log.
        @param tenants: the paths of those that changed; L{None} if that is not known.
        @return: the C{Outcome}; it does not fail.
        """

    def drain() -> Deferred[None]:
        """
        Stop listening, let streams end, then end the process.
        """
