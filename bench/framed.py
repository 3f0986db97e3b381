# -*- test-case-name: bench.test_contestants -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Two gateways or more with HTTP/2 between them, in clear text, or two in TLS with a certificate on both sides:
ugate's C{h2connect:}, and Envoy's C{CONNECT}.
"""

from __future__ import annotations

import json

from bench.contestants import Command, Hop
from bench.dial import HOST
from bench.ours import Ugate, twistd
from bench.peers import Envoy, _envoyAddress, _envoyCluster, executable
from bench.secure import NAME, certificate

_TYPE = "type.googleapis.com/envoy.extensions."
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_LAST = "hop0"
_VERSION = "TLSv1_3"


class FramedUgate(Ugate):
    """
    ugate; the first is asked by SOCKS5.

    @cvar below: what the others listen with below HTTP/2.
    @cvar more: what a hop says of that.
    """

    name = "ugate-h2"
    leastHops = 2
    hops = 3
    below = ""
    more = "h2c=yes"

    def command(self, hop: Hop) -> Command:
        """
        @param hop: the instance.
        @return: its command.
        """
        config = hop.directory / "ugate.yaml"
        config.write_text("node: {flows: quiet}\n" + self.section(hop), encoding="utf-8")
        listens = "socks" if hop.isFirst else f"h2connect{self.below}"
        argv = [str(twistd()), "-n", "--pidfile=", "--logfile=-", "ugate", "--config", str(config)]
        argv += ["--listen", f"main={listens}:tcp:{hop.socks}:interface={HOST}"]
        if hop.upstream:
            argv += ["--route", f"*=h2connect:{HOST}:{hop.upstream}:{self.more}"]
        return Command(argv)

    def section(self, hop: Hop) -> str:
        """
        @param hop: the instance.
        @return: what else is configured.
        """
        return ""


class SecureUgate(FramedUgate):
    """
    The same in TLS, with one certificate for both, which is all that they believe.
    """

    name = "ugate-h2s"
    hops = 2
    below = ":mtls"
    more = f"name={NAME}"

    def section(self, hop: Hop) -> str:
        """
        @param hop: the instance.
        @return: what else is configured.
        """
        made, key = certificate(hop.shared)
        rules = "{who: 'local:*', action: allow}, {who: 'certificate:*', action: allow}"
        identity = f"identity: {{cert: {made}, key: {key}}}\ntrust: {{roots: {made}}}\n"
        return f"{identity}policy: {{rules: [{rules}]}}\n"


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
            _first(name, port)
            if hop.isFirst
            else _later(name, port, isLast, self.secure(hop, isClient=False))
            for name, port in hop.listen.items()
        ]
        secure = {} if isLast else self.secure(hop, isClient=True)
        resources = {
            "listeners": listeners,
            "clusters": [
                _cluster(name, port, framed=not isLast) | secure for name, port in hop.onward.items()
            ],
        }
        config = hop.directory / "envoy.json"
        config.write_text(json.dumps({"static_resources": resources}))
        quiet = ["--log-level", "error", "--disable-hot-restart"]
        return Command(
            [executable(self._program, hop.shared), "-c", str(config), "--concurrency", "1", *quiet]
        )

    def secure(self, hop: Hop, isClient: bool) -> dict[str, object]:
        """
        @param hop: the instance.
        @param isClient: whether it dials.
        @return: what is below HTTP/2, if it is not clear text.
        """
        return {}


class SecureEnvoy(FramedEnvoy):
    """
    The same in TLS, as L{SecureUgate}.
    """

    name = "envoy-h2s"
    hops = 2

    def secure(self, hop: Hop, isClient: bool) -> dict[str, object]:
        """
        @param hop: the instance.
        @param isClient: whether it dials.
        @return: TLS with the certificates of both sides.
        """
        made, key = ({"filename": str(path)} for path in certificate(hop.shared))
        common: dict[str, object] = {
            "tls_certificates": [{"certificate_chain": made, "private_key": key}],
            "validation_context": {"trusted_ca": made},
            "alpn_protocols": ["h2"],
            # Its clients would offer 1.2 at most.
            "tls_params": {
                "tls_minimum_protocol_version": _VERSION,
                "tls_maximum_protocol_version": _VERSION,
            },
        }
        kind = "UpstreamTlsContext" if isClient else "DownstreamTlsContext"
        context: dict[str, object] = {
            "@type": f"{_TYPE}transport_sockets.tls.v3.{kind}",
            "common_tls_context": common,
        }
        context |= {"sni": NAME} if isClient else {"require_client_certificate": True}
        return {"transport_socket": {"name": "tls", "typed_config": context}}


def _listener(
    name: str, port: int, filter: dict[str, object], below: dict[str, object] | None = None
) -> dict[str, object]:
    filters = [{"name": name, "typed_config": {"stat_prefix": name, **filter}}]
    chain = {"filters": filters, **(below or {})}
    return {"name": name, "address": _envoyAddress(port), "filter_chains": [chain]}


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


def _later(name: str, port: int, isLast: bool, below: dict[str, object]) -> dict[str, object]:
    """
    @param isLast: whether it is the last one.
    @param below: what is below HTTP/2.
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
    return _listener(name, port, manager, below)


def _cluster(name: str, port: int, framed: bool) -> dict[str, object]:
    cluster = _envoyCluster(name, port)
    if framed:
        explicit: dict[str, object] = {"http2_protocol_options": {}}
        options = {"@type": f"type.googleapis.com/{_OPTIONS}", "explicit_http_config": explicit}
        cluster["typed_extension_protocol_options"] = {_OPTIONS: options}
        limits = {"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}
        cluster["circuit_breakers"] = {"thresholds": [limits]}
    return cluster
