# -*- test-case-name: bench.test_report -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Two gateways or more with HTTP/2 between them, in clear text: ugate's C{h2connect:}, and Envoy's C{CONNECT}.
"""

from __future__ import annotations

import json

from bench.contestants import Command, Hop
from bench.dial import HOST
from bench.ours import Ugate, twistd
from bench.peers import Envoy, _envoyAddress, _envoyCluster, _executable

_TYPE = "type.googleapis.com/envoy.extensions."
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_LAST = "hop0"


class FramedUgate(Ugate):
    """
    ugate; the first is asked by SOCKS5.
    """

    name = "ugate-h2"
    leastHops = 2
    hops = 3

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        config = hop.shared / "ugate.yaml"
        config.write_text("node: {flows: quiet}\n", encoding="utf-8")
        listens = "socks" if hop.isFirst else "h2connect"
        argv = [str(twistd()), "-n", "--pidfile=", "--logfile=-", "ugate", "--config", str(config)]
        argv += ["--listen", f"main={listens}:tcp:{hop.socks}:interface={HOST}"]
        if hop.upstream:
            argv += ["--route", f"*=h2connect:{HOST}:{hop.upstream}:h2c=yes"]
        return Command(argv)


class FramedEnvoy(Envoy):
    """
    Envoy, with a port for each target.
    """

    name = "envoy-h2"
    leastHops = 2
    hops = 3

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        isLast = hop.directory.name == _LAST
        listeners = [
            _first(name, port) if hop.isFirst else _later(name, port, isLast)
            for name, port in hop.listen.items()
        ]
        resources = {
            "listeners": listeners,
            "clusters": [_cluster(name, port, framed=not isLast) for name, port in hop.onward.items()],
        }
        config = hop.directory / "envoy.json"
        config.write_text(json.dumps({"static_resources": resources}))
        quiet = ["--log-level", "error", "--disable-hot-restart"]
        return Command(
            [_executable(self._program, hop.shared), "-c", str(config), "--concurrency", "1", *quiet]
        )


def _listener(name: str, port: int, filter: dict[str, object]) -> dict[str, object]:
    filters = [{"name": name, "typed_config": {"stat_prefix": name, **filter}}]
    return {"name": name, "address": _envoyAddress(port), "filter_chains": [{"filters": filters}]}


def _first(name: str, port: int) -> dict[str, object]:
    """
    @return: a listener whose connections become streams to the other one.
    """
    proxy: dict[str, object] = {
        "@type": _TYPE + "filters.network.tcp_proxy.v3.TcpProxy",
        "cluster": name,
        "tunneling_config": {"hostname": f"{name}:1"},
    }
    return _listener(name, port, proxy)


def _later(name: str, port: int, isLast: bool) -> dict[str, object]:
    """
    @param isLast: whether it is the last one.
    @return: a listener whose streams go to the target, or on as they are.
    """
    router: dict[str, object] = {"@type": _TYPE + "filters.http.router.v3.Router"}
    upgrade: dict[str, object] = {"upgrade_type": "CONNECT"}
    if isLast:
        upgrade["connect_config"] = {}
    onward: dict[str, object] = {"cluster": name, "timeout": "0s", "upgrade_configs": [upgrade]}
    routes: list[dict[str, object]] = [{"match": {"connect_matcher": {}}, "route": onward}]
    manager: dict[str, object] = {
        "@type": _TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "codec_type": "HTTP2",
        "http2_protocol_options": {"allow_connect": True},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
        "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    }
    return _listener(name, port, manager)


def _cluster(name: str, port: int, framed: bool) -> dict[str, object]:
    cluster = _envoyCluster(name, port)
    if framed:
        explicit: dict[str, object] = {"http2_protocol_options": {}}
        options = {"@type": f"type.googleapis.com/{_OPTIONS}", "explicit_http_config": explicit}
        cluster["typed_extension_protocol_options"] = {_OPTIONS: options}
        limits = {"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}
        cluster["circuit_breakers"] = {"thresholds": [limits]}
    return cluster
