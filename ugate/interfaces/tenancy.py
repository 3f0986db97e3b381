# -*- test-case-name: ugate.test.test_interfaces -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whose keys, rules, routes, limits and names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from ugate.stream import StreamInfo


class ITenant(Interface):
    """
    Whose keys, rules, routes, limits and names.
    """

    name = Attribute("L{str}: its path, unique in the node: C{root}, C{alice}, C{alice/dev}.")
    parent = Attribute("L{ITenant} or L{None}: who delegated to it; the root has none.")
    children = Attribute("Mapping of L{str} to L{ITenant}: those that it delegates to, by their own names.")
    limits = Attribute("L{ILimits} or L{None} when nothing is limited.")
    reactor = Attribute("The tenant's reactor: C{ITenant(reactor)} gives the tenant back.")
    portal = Attribute("L{twisted.cred.portal.Portal} or L{None} when nobody can log in.")
    policy = Attribute("L{IPolicy}.")
    dialer = Attribute("L{IDialer}: the routes of this tenant.")
    handshake = Attribute("L{float}: seconds that a client has to say what it wants.")
    hops = Attribute("Mapping of L{str} to L{IDialer}: the hops that C{dial:} names, C{mesh} and C{dns}.")
    identity = Attribute(
        "L{IIdentity}: made when it is first asked for, which may raise L{ugate.errors.UgateError}."
    )
    trust = Attribute("L{ITrust}: the same.")
    nodes = Attribute("L{INodes}: the nodes of the mesh that it knows; none of its parent's.")
    names = Attribute("L{INames}: which names addresses stand for; or L{None} where nobody resolves names.")

    def tenantFor(info: StreamInfo) -> ITenant:
        """
        Whose rules hold for a stream that came in by a listener of this tenant: its
        own, or those of one below it, whose credentials or names the stream has.
        """
