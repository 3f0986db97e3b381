# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What testssl.sh and sslyze have against C{mtls:}.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from unittest import SkipTest

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

    def listening(self) -> int:
        """
        The port of such a listener.
        """
        endpoint = f"mtls:tcp:0:{LOOPBACK}:anonymous=yes"
        return self.node(
            self.domain.istio("gate", self.server),
            f'listen: {{main: {{endpoint: "{endpoint}", to: "{HOST}:{self.web.port}"}}}}\n',
        ).port

    def test_testssl(self) -> None:
        """
        There are no findings.
        """
        found = self.directory / "found.json"
        command = [program("testssl", "testssl.sh"), "--quiet", "--color", "0", "--warnings", "off", *CHECKS]
        command += ["--nodns", "none", "--jsonfile", str(found), "--ip", HOST]
        done = self.finish([*command, f"localhost:{self.listening()}"])
        findings = json.loads(found.read_text())
        rated = {each["id"]: each["severity"] for each in findings}
        for check in ("TLS1_2", "TLS1_3", "cipherlist_NULL", "secure_client_renego", "CRIME_TLS", "LUCKY13"):
            self.assertEqual("OK", rated.get(check), (check, done.stdout))
        # What it misses in the openssl of this machine is no matter of ours.
        bad = [each for each in findings if each["severity"] not in GOOD and each["id"] != "engine_problem"]
        self.assertEqual([], bad)

    def test_sslyze(self) -> None:
        """
        There is nothing that Mozilla's intermediate configuration minds, but for two curves that are as good
        as the others, and that the certificate is of an authority of our own.
        """
        sslyze = Path(sys.prefix) / "apart" / "bin" / "sslyze"
        if not sslyze.exists():
            raise SkipTest(f"no {sslyze} here: .ci/run installs it")
        done = self.finish([sslyze, "--mozilla_config=intermediate", f"localhost:{self.listening()}"])
        said = done.stdout.decode()
        self.assertIn('Checking results against Mozilla\'s "intermediate" configuration', said)
        minded = re.findall(r"^ +\* (\w+): (.*)$", said.partition("COMPLIANCE AGAINST")[2], re.MULTILINE)
        self.assertEqual({"certificate_path_validation", "tls_curves"}, {check for check, _ in minded}, said)
        (curves,) = [why for check, why in minded if check == "tls_curves"]
        self.assertEqual({"X448", "secp521r1"}, set(re.findall(r"'(\w+)'", curves)))
        for good in (
            "Not vulnerable to OpenSSL CCS injection",
            "Not vulnerable to Heartbleed",
            "Client Renegotiation DoS Attack:   OK",
            "TLS_FALLBACK_SCSV:                 OK",
            "Compression disabled",
        ):
            self.assertIn(good, said)
