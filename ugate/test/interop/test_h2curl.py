# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{h2connect:} as a proxy of libcurl: HTTP/2 in TLS with certificates on both sides, and a C{CONNECT} for each
connection.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from ugate.test.interop.domains import TrustDomain
from ugate.test.interop.processes import HOST, LOOPBACK, Gateway, InteropTestCase, freePort
from ugate.test.interop.targets import BLOCK, MEGABYTE, Certificate, digestOf, webServer

SIZE = 32 * MEGABYTE
HTTPS2 = 3
"""C{CURLPROXY_HTTPS2}, of libcurl 8.1 and later; not every pycurl has a name for it."""
_TEXT = 0
"""C{CURLINFO_TEXT}"""


class CurlTests(InteropTestCase):
    """
    A member of our trust domain with libcurl, and a gateway that lets it in.
    """

    def setUp(self) -> None:
        super().setUp()
        try:
            pycurl = importlib.import_module("pycurl")
        except ImportError as e:
            raise SkipTest("no pycurl here: pip install pycurl") from e
        if pycurl.version_info()[2] < 0x080100 or "nghttp2" not in pycurl.version:
            raise SkipTest(f"no HTTP/2 to proxies in {pycurl.version}")
        self.curl = pycurl
        self.domain = TrustDomain(self.directory)
        self.gate = self.gateway()

    def gateway(self) -> Gateway:
        """
        Start the gateway: alice may go anywhere, and nobody else.
        """
        folder = self.domain.istio(
            "gate", self.domain.member("gate", names=[self.domain.spiffe("gate"), "gate.example"])
        )
        rule = f"{{action: allow, who: 'certificate:{self.domain.spiffe('alice')}'}}"
        return self.ugate(
            config=f"identity: {{dir: {folder}}}\ntrust: {{domain: {self.domain.name}}}\n"
            f"listen: {{main: 'h2connect:mtls:tcp:0:{LOOPBACK}'}}\n"
            f"policy: {{rules: [{rule}]}}\n"
        )

    def files(self, name: str) -> Path:
        """
        The certificate and the key of a member.
        """
        return self.domain.pem(name, self.domain.member(name))

    def ask(self, url: str, files: Path, options: dict[int, Any] | None = None) -> tuple[int, bytes, str]:
        """
        One request, through the gateway.

        @param options: more of them.
        @return: the status of the server; the content; and what libcurl says of its way.
        """
        curl = self.curl.Curl()
        said: list[bytes] = []
        body = io.BytesIO()
        for option, value in {
            self.curl.URL: url,
            self.curl.NOPROXY: "",
            self.curl.PROXY: f"https://gate.example:{self.gate.port}",
            self.curl.PROXYTYPE: HTTPS2,
            self.curl.RESOLVE: [f"gate.example:{self.gate.port}:{HOST}"],
            self.curl.HTTPPROXYTUNNEL: 1,
            self.curl.PROXY_CAINFO: str(self.domain.roots),
            self.curl.PROXY_SSLCERT: str(files),
            self.curl.PROXY_SSLKEY: str(files),
            self.curl.TIMEOUT: int(self.limit / 2),
            self.curl.WRITEDATA: body,
            self.curl.VERBOSE: 1,
            self.curl.DEBUGFUNCTION: lambda kind, text: said.append(text if kind == _TEXT else b""),
            **(options or {}),
        }.items():
            curl.setopt(option, value)
        try:
            curl.perform()
        except self.curl.error as e:
            said.append(str(e).encode())
        status = curl.getinfo(self.curl.RESPONSE_CODE)
        curl.close()
        return status, body.getvalue(), b"".join(said).decode()

    def test_bulk(self) -> None:
        """
        Much comes and goes through it, unchanged, also in TLS inside of TLS.
        """
        files = self.files("alice")
        certificate = Certificate(self.directory)
        plain, secure = webServer(self), webServer(self, tls=certificate.context)
        inside = {self.curl.CAINFO: str(certificate.path)}
        for url, options in (
            (f"http://{HOST}:{plain.port}", {}),
            (f"https://{HOST}:{secure.port}", inside),
        ):
            status, body, said = self.ask(f"{url}/bytes/{SIZE}", files, options)
            self.assertEqual(200, status, said + self.gate.said())
            self.assertIn("HTTP/2 proxy tunnel to", said)
            self.assertEqual(digestOf(SIZE), hashlib.sha256(body).hexdigest())
            sent = {self.curl.UPLOAD: 1, self.curl.READDATA: io.BytesIO(BLOCK * (SIZE // MEGABYTE))}
            _, body, said = self.ask(f"{url}/put", files, {**options, **sent})
            self.assertEqual(digestOf(SIZE), json.loads(body)["sha256"], said)
        self.gate.waitFor(f"h2connect {self.domain.spiffe('alice')}")

    def test_refused(self) -> None:
        """
        A target that is not there, and a member who may not, each have their status; who has no certificate
        of ours is not let in.
        """
        nothing = f"http://{HOST}:{freePort()}/"
        for name, status in (("alice", 502), ("bob", 403)):
            *_, said = self.ask(nothing, self.files(name))
            self.assertRegex(said, rf"CONNECT .*\b{status}\b")
        outsider = TrustDomain(self.directory, self.domain.name)
        web = webServer(self)
        status, *_ = self.ask(
            f"http://{HOST}:{web.port}/facts", outsider.pem("evie", outsider.member("alice"))
        )
        self.assertEqual(0, status)
        self.gate.waitFor("leads to none of our roots")
