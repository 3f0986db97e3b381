# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whatever is changed in whatever order: a node is then as if it had started so.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.explaining import explain
from ugate.node import Node
from ugate.stream import Target
from ugate.tenancy.config.schema import Delegation, PolicyRule
from ugate.tenancy.config.whole import Config, Route
from ugate.test.nodefakes import Ports, inUse
from ugate.test.reloadfakes import Hello, HelloModule, config

PORTS = tuple(range(1080, 1090))
TAKEN = 1090
NAMES = ("a", "b")
PATHS = ("root", "alice", "alice/dev", "bob")
HOSTS = ("one.example", "*.example")
TARGETS = ("one.example:80", "two.example:80", "9.9.9.9:25", "10.1.2.3:80")

listeners = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(
        "{}:tcp:{}:interface=127.0.0.1".format,
        st.sampled_from(("auto", "socks", "connect")),
        st.sampled_from((*PORTS, *PORTS, TAKEN)),
    ),
    max_size=2,
)
routes = st.lists(
    st.builds(
        Route,
        st.sampled_from((("*.example",), ("*",), ("*:25",))),
        st.sampled_from((("direct",), ("deny",), ("hop",))),
    ),
    max_size=2,
).map(tuple)
rules = st.lists(
    st.builds(PolicyRule, st.sampled_from(("allow", "deny")), target=st.sampled_from(((), ("*:25",)))),
    max_size=2,
).map(tuple)
modules = st.dictionaries(
    st.sampled_from([("hello", name) for name in NAMES]),
    st.builds(Hello, st.sampled_from((*("hi", "ho") * 10, "bad", "crash"))),
    max_size=2,
)


@st.composite
def wholes(draw: Any) -> dict[str, Config]:
    """
    Configurations of all tenants.
    """
    paths = [path for path in PATHS if path == "root" or draw(st.booleans())]
    paths = [path for path in paths if "/" not in path or path.partition("/")[0] in paths]
    hosts = iter(draw(st.permutations(HOSTS)))
    whole: dict[str, Config] = {}
    for path in paths:
        below = [each for each in paths if each != "root" and (each.rpartition("/")[0] or "root") == path]
        tenants = {
            each.rpartition("/")[2]: Delegation(
                hosts=draw(st.sampled_from(((), (host,)))) if (host := next(hosts, "")) else (),
                ranges=draw(st.sampled_from(((), ("10.0.0.0/8",)))),
            )
            for each in below
        }
        whole[path] = config(
            draw(listeners),
            {"hop": f"socks:9.9.9.{draw(st.integers(1, 2))}:1"},
            draw(routes),
            tenants,
            draw(rules),
            draw(modules),
            private=draw(st.sampled_from(("allow", "deny"))),
            handshake=draw(st.sampled_from((5.0, 6.0))) if path == "root" else 10.0,
        )
    return whole


def looks(node: Node, reactor: Ports) -> dict[str, Any]:
    """
    All that can be seen of a node.
    """
    listening: dict[str, Any] = {}
    ports: list[Any] = reactor.ports
    for key, each in node._listeners.all.items():
        held: Any = each.held
        factory = held.place.port.factory
        listening["/".join(key)] = (
            held.getHost().port,
            factory is held.factory,
            factory.numPorts,
            factory.deadlines.seconds,
            each.listener.endpoint,
            each.gateway.entry.tenant.name,
        )
    return {
        "listening": listening,
        "sockets": sorted(port.address.port for port in ports if port.listening),
        "own": sorted(node.own._byPort),
        "tenants": set(node.tenants),
        "tree": {path: set(tenant.children) for path, tenant in node._tenants.tenants.items()},
        "hosts": {
            path: {host: of.name for host, of in tenant._byHost.items()}
            for path, tenant in node._tenants.tenants.items()
        },
        "ways": {
            (path, target): explain(tenant, Target.fromText(target))
            for path, tenant in node.tenants.items()
            for target in TARGETS
        },
        "modules": {key: (each.section, each.running) for key, each in node.modules.items()},  # type: ignore[attr-defined]
        "services": len(node.services),
    }


def started(whole: dict[str, Config], read: Any = None) -> tuple[Node, Ports] | None:
    """
    A node that has started so, if that can be.
    """
    reactor = Ports()
    reactor.taken = inUse(TAKEN)
    options = {} if read is None else {"read": read}
    node = Node(reactor, whole, threads=0, modules=[HelloModule()], **options)
    try:
        node.privilegedStartService()
        node.startService()
    except SystemExit:
        return None
    return node, reactor


class AnyTests(SynchronousTestCase):
    """
    Reloads of anything.
    """

    @settings(max_examples=150, deadline=None)
    @given(st.lists(wholes(), min_size=1, max_size=4))
    def test_asIfStarted(self, wholes: list[dict[str, Config]]) -> None:
        """
        After each reload a node is as one that has started with what applies; and what
        applies is the new configuration exactly if one can start with that.
        """
        current: dict[str, Config] = {"root": Config()}
        begun = started(current, lambda previous, changed: dict(current))
        assert begun is not None
        node, reactor = begun
        for whole in wholes:
            before = looks(node, reactor)
            streams = list(node.tenants.items())
            current = whole
            (outcome,) = self.resultsOf(node)
            fresh = started(whole)
            self.assertEqual(outcome.good, fresh is not None, outcome.error)
            if fresh is None:
                self.assertEqual(looks(node, reactor), before)
                self.assertEqual([(path, node.tenants[path]) for path, _ in streams], streams)
            else:
                self.assertEqual(looks(node, reactor), looks(*fresh))
                for path, tenant in streams:
                    if path in whole:
                        self.assertIs(node.tenants[path], tenant)
                fresh[0].stopService()
        self.successResultOf(node.stopService())
        self.assertEqual([port for port in reactor.ports if port.listening], [])

    def resultsOf(self, node: Node) -> list[Any]:
        """
        What comes of a reload.
        """
        return [self.successResultOf(node.reload("test"))]
