# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
A gateway that ends TLS by name, for curl and openssl.
"""

from __future__ import annotations

import ssl

from ugate.test.interop.asking import Answer, connected, curl
from ugate.test.interop.processes import HOST, LOOPBACK, Gateway, program
from ugate.test.interop.test_mtls import MutualTestCase
from ugate.test.tlsfakes import FakeIdentity, Issuer


class EndingTestCase(MutualTestCase):
    """
    A gateway with certificates for C{*.site.example} and C{www.site.example}.
    """

    limit = 120.0

    def setUp(self) -> None:
        super().setUp()
        self.servers = self.directory / "servers"
        self.servers.mkdir()
        self.certify("www", "www.site.example")
        self.certify("all", "*.site.example")

    def certify(self, file: str, *names: str, by: Issuer | None = None) -> FakeIdentity:
        """
        A certificate in the folder, whole at every moment.
        """
        identity = (by or self.root).identity(*names)
        part = self.servers / f".{file}"
        part.touch(0o600)
        part.write_bytes(identity.pem())
        part.rename(self.servers / f"{file}.pem")
        return identity

    def gateway(self, port: int, more: str = "", config: str = "") -> Gateway:
        """
        One whose names end here and go on to a port, or are C{localhost} and pass through to another.
        """
        names = "'*.site.example', db.corp, www.example"
        return self.ugate(
            config=(
                f"listen: {{main: 'sni:tcp:0:{LOOPBACK}:ends=*.site.example{more}'}}\n"
                f"identity: {{servers: {self.servers}}}\n"
                f"routes: [{{match: [{names}], via: 'forward:{HOST}:{port}'}}]\n"
                f"node: {{state: {self.directory}/state}}\n{config}"
            )
        )

    def curl(self, gateway: Gateway, name: str, *options: str) -> Answer:
        """
        Ask for a page under a name.
        """
        to = ["--connect-to", f"::{HOST}:{gateway.port}", "--cacert", str(self.roots)]
        return curl(self, *to, *options, f"https://{name}/bytes/5")

    def client(self, gateway: Gateway, name: str, *options: str, data: bytes = b"") -> str:
        """
        What openssl says.
        """
        command = [program("openssl"), "s_client", "-connect", f"{HOST}:{gateway.port}", "-servername", name]
        done = self.finish([*command, "-CAfile", self.roots, *options], data)
        return (done.stdout + done.stderr).decode(errors="replace")

    def tls(self, gateway: Gateway, name: str) -> ssl.SSLSocket:
        """
        A connection by Python.
        """
        context = ssl.create_default_context(cafile=str(self.roots))
        return context.wrap_socket(connected(gateway.port), server_hostname=name)
