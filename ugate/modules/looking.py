# -*- test-case-name: ugate.test.test_admin -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the admin API shows, of the tenants that somebody looks after.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.interfaces import IAddress

from ugate import __version__
from ugate.errors import StringError, UgateError
from ugate.explaining import explain, explainListed
from ugate.flows import LiveStream, Totals
from ugate.interfaces import INode
from ugate.modules import answers
from ugate.modules.api import Asked, Tagged, tagOf
from ugate.modules.identities import stateOf
from ugate.modules.linkstates import linksOf
from ugate.modules.meshstates import nodesOf
from ugate.modules.problems import Trouble
from ugate.stream import ROOT, Principal, StreamInfo, Target
from ugate.tenancy.config.sections import NAME_SHAPE, Order, isName, isWithin
from ugate.tenancy.who import Who, parseWho


class Looking:
    """
    The operations that change nothing; each is a method of the same name.

    @since: ugate NEXT
    """

    def __init__(self, node: INode) -> None:
        self.node = node

    def tenantsOf(self, asked: Asked) -> list[str]:
        """
        The paths of the tenants that are meant: one and all below it.

        @raise Trouble: there is no such tenant.
        """
        top = asked.tenant
        if top not in self.node.tenants:
            raise Trouble(404, f"no tenant {top}")
        return [path for path in self.node.tenants if isWithin(path, top)]

    def _streams(self, tenants: list[str]) -> Iterator[LiveStream]:
        wanted = set(tenants)
        return (stream for stream in self.node.flows.streams() if stream.tenant in wanted)

    def status(self, asked: Asked) -> answers.Status:
        """
        How the node does, as far as it is the caller's.
        """
        node, tenants = self.node, self.tenantsOf(asked)
        wanted = set(tenants)
        every = node.flows.allTotals()
        totals = [every[path] for path in tenants if path in every]
        return answers.Status(
            version=__version__,
            caller=str(asked.caller),
            tenant=asked.tenant,
            started=node.started,
            tenants=len(tenants),
            listeners=sum(each.tenant in wanted for each in node.listeners()),
            streams=sum(each.open for each in totals),
            opened=sum(each.opened for each in totals),
            refused=sum(each.refused for each in totals),
            sent=sum(each.sent for each in totals),
            received=sum(each.received for each in totals),
            applied=appliedFrom(node.last) if asked.caller.tenant == ROOT else None,
        )

    def tenants(self, asked: Asked) -> list[answers.TenantState]:
        """
        The tenants, parents before children.
        """
        every, none = self.node.flows.allTotals(), Totals()
        found = []
        for path in self.tenantsOf(asked):
            totals = every.get(path, none)
            found.append(
                answers.TenantState(
                    path,
                    tuple(map(str, self.node.tenants[path].hosts)),
                    totals.open,
                    totals.opened,
                    totals.refused,
                    totals.sent,
                    totals.received,
                )
            )
        return found

    def listeners(self, asked: Asked) -> list[answers.Listening]:
        """
        What listens.
        """
        wanted = set(self.tenantsOf(asked))
        return [
            answers.Listening(each.tenant, each.name, each.endpoint, each.address, each.accepted)
            for each in self.node.listeners()
            if each.tenant in wanted
        ]

    def streams(self, asked: Asked) -> list[answers.Stream]:
        """
        What is open or on its way, the newest first.
        """
        given = asked.given
        who = _who(given["principal"])
        found = []
        for stream in reversed(list(self._streams(self.tenantsOf(asked)))):
            info = stream.info
            if who is not None and (info.principal is None or not who.matches(info.principal)):
                continue
            if given["target"] is not None and given["target"] not in str(info.target):
                continue
            if given["listener"] not in (None, stream.listener):
                continue
            found.append(_stream(stream))
            if len(found) == given["limit"]:
                break
        return found

    def why(self, asked: Asked) -> list[answers.RefusedStream]:
        """
        What was refused, the newest first.
        """
        tenants, flows = self.tenantsOf(asked), self.node.flows
        whole = len(tenants) == len(self.node.tenants)
        kept = flows.refusals() if whole else [each for path in tenants for each in flows.refusals(path)]
        kept.sort(key=lambda each: each.wall, reverse=True)
        return [
            answers.RefusedStream(
                each.wall,
                each.tenant,
                each.listener,
                each.stream,
                each.principal,
                each.cause.value,
                each.phase.value,
                each.hop,
                each.detail,
                each.nextStep,
            )
            for each in kept[: asked.given["limit"]]
        ]

    def limits(self, asked: Asked) -> list[answers.LimitState]:
        """
        What limits the tenants, and how much of it they use.
        """
        found = []
        for path in self.tenantsOf(asked):
            limits: Any = self.node.tenants[path].limits
            for name, state in {} if limits is None else limits.snapshot().items():
                used, allowed = _maybe(state["used"]), _maybe(state["allowed"])
                if used is not None or allowed is not None:
                    found.append(answers.LimitState(path, name, used, allowed))
        return found

    def identity(self, asked: Asked) -> answers.IdentityState:
        """
        Who a tenant is; its key is made if it has none yet.

        @raise Trouble: it cannot be.
        """
        path = self.tenantsOf(asked)[0]
        try:
            return stateOf(path, self.node.tenants[path].identity)
        except UgateError as error:
            raise Trouble(503, f"the identity of {path} cannot be used: {error}") from error

    def nodes(self, asked: Asked) -> list[answers.MeshNodeState]:
        """
        The nodes of the mesh, a line for each address.
        """
        return [state for path in self.tenantsOf(asked) for state in nodesOf(self.node.tenants[path])]

    def sessions(self, asked: Asked) -> list[answers.LinkState]:
        """
        The links that many streams share.
        """
        return [state for path in self.tenantsOf(asked) for state in linksOf(self.node.tenants[path])]

    def config(self, asked: Asked) -> list[answers.SectionName]:
        """
        Where the sections are.
        """
        store = self.node.store
        return [
            answers.SectionName(path, kind, name)
            for path in self.tenantsOf(asked)
            for kind in self.node.kinds.order
            for name in store.names(path, kind)
        ]

    def get(self, asked: Asked) -> Tagged:
        """
        One section, with references in the place of secrets, as it is written.
        """
        section = self.section(asked)
        if section is None:
            raise Trouble(404, f"no section {sectionName(asked)}")
        return Tagged(section, tagOf(section))

    def section(self, asked: Asked) -> dict[str, Any] | None:
        """
        What is in a section that is asked for, if there is one.

        @raise Trouble: there cannot be one.
        """
        kind, name = asked.given["kind"], asked.given["name"]
        if asked.tenant not in self.node.tenants:
            raise Trouble(404, f"no tenant {asked.tenant}")
        if kind not in self.node.kinds.order:
            known = ", ".join(self.node.kinds.order)
            raise Trouble(404, f"no kind {kind}; there are {known}")
        if self.node.kinds.order[kind] is Order.NAMED and not isName(name):
            raise Trouble(404, f"{name!a} is no name of a section; wanted {NAME_SHAPE}")
        try:
            return dict(self.node.store.section(asked.tenant, kind, name))
        except KeyError:
            return None

    def explain(self, asked: Asked) -> answers.Explanation:
        """
        What would become of a stream, without one.
        """
        given = asked.given
        method, colon, name = given["principal"].rpartition(":")
        path = self.tenantsOf(asked)[0]
        tenant = self.node.tenants[path]
        try:
            target = Target.anyFromText(given["target"], paths=True)
        except StringError as error:
            raise Trouble(400, str(error)) from error
        who = Principal(name, method if colon else "password", asked.tenant)
        lines = explain(tenant, target, who, given["protocol"])
        config = self.node.configs.get(path)
        lines += explainListed(tenant, target, {} if config is None else config.listen)
        return answers.Explanation(tuple(lines))


def appliedFrom(outcome: Any) -> answers.Applied:
    """
    What a reload came to.
    """
    return answers.Applied(
        outcome.good,
        outcome.generation,
        tuple(outcome.changed),
        outcome.error,
        outcome.trigger,
        outcome.wall,
        outcome.others,
        tuple(outcome.later),
    )


def sectionName(asked: Asked) -> str:
    """
    Which section is meant, in words.
    """
    kind, name = asked.given["kind"], asked.given["name"]
    return " ".join(filter(None, [kind, name, f"of the tenant {asked.tenant}"]))


def _who(text: str | None) -> Who | None:
    try:
        return None if text is None else parseWho(text)
    except StringError as error:
        raise Trouble(400, str(error)) from error


def _maybe(number: Any) -> float | None:
    return None if number is None else float(number)


def _stream(stream: LiveStream) -> answers.Stream:
    info = stream.info
    peer: IAddress = info.peer
    return answers.Stream(
        stream.id,
        stream.tenant,
        stream.listener,
        str(StreamInfo(peer, peer)),
        "" if info.principal is None else str(info.principal),
        info.protocol,
        "" if info.target is None else str(info.target),
        stream.via,
        stream.state,
        stream.wall,
        stream.sent,
        stream.received,
    )
