# -*- test-case-name: ugate.test.test_metrics -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What Prometheus may see.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from ugate import __version__
from ugate.interfaces import INode
from ugate.modules.callers import OPERATOR, Caller, isOperator
from ugate.modules.linkstates import countsOf
from ugate.modules.problems import Trouble, send
from ugate.stream import ROOT

MAX_TENANTS: Final = 200
"""How many tenants have values of their own; those of the others are added up."""

_TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"

OTHER: Final = "other"
"""What the others are called together."""


class Labels:
    """
    Which tenants have values of their own: the first ones, so that a value once seen goes on.
    """

    def __init__(self) -> None:
        self._own: dict[str, str] = {ROOT: ROOT}

    def update(self, tenants: Collection[str]) -> None:
        """
        Say which tenants there are.
        """
        for gone in [path for path in self._own if path not in tenants]:
            del self._own[gone]
        for path in tenants:
            if len(self._own) >= MAX_TENANTS:
                break
            self._own.setdefault(path, path)

    def __getitem__(self, path: str) -> str:
        return self._own.get(path, OTHER)


class _Collector:
    """
    The values at one moment, of the tenants that somebody looks after.
    """

    def __init__(self, node: INode, labels: Labels, caller: Caller) -> None:
        self._node = node
        self._labels = labels
        self._caller = caller

    def collect(self) -> Iterator[Any]:
        """
        All families, in order.
        """
        yield from self._tenants()
        if isOperator(self._caller):
            yield from self._whole()

    def _sum(self, family: Any, values: Iterable[tuple[tuple[str, ...], float]]) -> Any:
        """
        Fill a family whose first label is the tenant.
        """
        sums: dict[tuple[str, ...], float] = {}
        for (path, *rest), value in values:
            if self._caller.sees(path):
                key = (self._labels[path], *rest)
                sums[key] = sums.get(key, 0) + value
        for key, value in sums.items():
            family.add_metric(key, value)
        return family

    def _tenants(self) -> Iterator[Any]:
        flows = self._node.flows
        every = flows.allTotals()
        rows = [((path,), every[path]) for path in every]
        yield self._sum(
            GaugeMetricFamily("ugate_streams", "Streams that are open or on their way.", labels=["tenant"]),
            ((key, each.open) for key, each in rows),
        )
        yield self._sum(
            CounterMetricFamily("ugate_streams_opened", "Streams that were carried.", labels=["tenant"]),
            ((key, each.opened) for key, each in rows),
        )
        yield self._sum(
            CounterMetricFamily("ugate_bytes", "Bytes that were carried.", labels=["tenant", "direction"]),
            [
                *(((*key, "sent"), each.sent) for key, each in rows),
                *(((*key, "received"), each.received) for key, each in rows),
            ],
        )
        yield self._sum(
            CounterMetricFamily(
                "ugate_streams_refused", "Streams that were not.", labels=["tenant", "cause"]
            ),
            (((path, cause.name.lower()), count) for (path, cause), count in flows.causes.items()),
        )
        yield from self._links()
        yield self._sum(
            CounterMetricFamily("ugate_dns_answers", "Answers of resolvers.", labels=["tenant", "from"]),
            (
                ((path, source), count)
                for path, tenant in self._node.tenants.items()
                for resolver in getattr(tenant, "resolvers", ())
                for source, count in resolver.answering.counts.items()
            ),
        )

    def _links(self) -> Iterator[Any]:
        rows = [(path, *row) for path, tenant in self._node.tenants.items() for row in countsOf(tenant)]
        labels = ["tenant", "kind"]
        yield self._sum(
            GaugeMetricFamily("ugate_links", "Links that many streams share.", labels=labels),
            (((path, kind), links) for path, kind, links, _, _ in rows),
        )
        yield self._sum(
            GaugeMetricFamily("ugate_link_streams", "Streams on links.", labels=labels),
            (((path, kind), streams) for path, kind, _, streams, _ in rows),
        )
        yield self._sum(
            CounterMetricFamily("ugate_links_opened", "Links that came up.", labels=labels),
            (((path, kind), opened) for path, kind, _, _, opened in rows),
        )

    def _whole(self) -> Iterator[Any]:
        node = self._node
        info = GaugeMetricFamily("ugate_info", "The version that runs.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield GaugeMetricFamily("ugate_start_time_seconds", "When it was started.", node.started)
        yield GaugeMetricFamily("ugate_tenants", "How many tenants there are.", len(node.tenants))
        yield GaugeMetricFamily("ugate_listeners", "How many listeners there are.", len(node.listeners()))
        last = node.last
        if last is not None:
            yield GaugeMetricFamily(
                "ugate_config_good",
                "Whether all of the configuration that was read is in force.",
                int(last.good and not last.others),
            )
            yield GaugeMetricFamily("ugate_config_time_seconds", "When it was read.", last.wall)
            reloads = CounterMetricFamily("ugate_reloads", "How many there were.", labels=["result"])
            reloads.add_metric(["good"], node.reloading.good)
            reloads.add_metric(["bad"], node.reloading.bad)
            yield reloads
            yield CounterMetricFamily(
                "ugate_config_generation", "How many configurations have been in force.", last.generation
            )


def familiesOf(node: INode) -> list[Any]:
    """
    All that there is to see, but for what is of the process.
    """
    return list(_Collector(node, Labels(), Caller(OPERATOR, ROOT)).collect())


class Metrics:
    """
    The page for Prometheus.
    """

    def __init__(self, node: INode) -> None:
        self.node = node
        self._labels = Labels()

    def render(self, request: Any, caller: Caller) -> None:
        """
        Answer a request of somebody who is known.
        """
        if request.method not in (b"GET", b"HEAD"):
            raise Trouble(405, "wanted GET")
        self._labels.update(self.node.tenants)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(self.node, self._labels, caller))
        if isOperator(caller):
            ProcessCollector(registry=registry)
        send(request, 200, generate_latest(registry), _TEXT)
