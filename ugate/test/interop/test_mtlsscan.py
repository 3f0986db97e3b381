# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What testssl.sh has against C{mtls:}.
"""

from __future__ import annotations

import json

from ugate.test.interop.processes import HOST, LOOPBACK, program
from ugate.test.interop.test_mtlspeers import DomainTestCase

CHECKS = ("-p", "-s", "-R", "-C", "-L")
"""Protocols, ciphers, renegotiation, compression, and CBC."""

GOOD = ("OK", "INFO", "DEBUG")


class ScanTests(DomainTestCase):
    """
    A listener, as far as one gets without a certificate; and one that wants none.
    """

    limit = 120.0

    def test_findings(self) -> None:
        """
        There are none.
        """
        endpoint = f"mtls:tcp:0:{LOOPBACK}:anonymous=yes"
        gateway = self.node(
            self.domain.istio("gate", self.server),
            f'listen: {{main: {{endpoint: "{endpoint}", to: "{HOST}:{self.web.port}"}}}}\n',
        )
        found = self.directory / "found.json"
        command = [program("testssl", "testssl.sh"), "--quiet", "--color", "0", "--warnings", "off"]
        done = self.finish(
            [
                *command,
                *CHECKS,
                "--nodns",
                "none",
                "--jsonfile",
                found,
                "--ip",
                HOST,
                f"localhost:{gateway.port}",
            ]
        )
        findings = json.loads(found.read_text())
        rated = {each["id"]: each["severity"] for each in findings}
        for check in ("TLS1_2", "TLS1_3", "cipherlist_NULL", "secure_client_renego", "CRIME_TLS", "LUCKY13"):
            self.assertEqual("OK", rated.get(check), (check, done.stdout))
        # What it misses in the openssl of this machine is no matter of ours.
        bad = [each for each in findings if each["severity"] not in GOOD and each["id"] != "engine_problem"]
        self.assertEqual([], bad)
