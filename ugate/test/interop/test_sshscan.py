# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What ssh-audit has against C{ssh:}.
"""

from __future__ import annotations

import json
import sys

from ugate.test.interop.processes import HOST, LOOPBACK
from ugate.test.interop.sshpeers import SSHTestCase, package

NIST = "ecdh-sha2-nistp256"


class ScanTests(SSHTestCase):
    """
    A listener, and the key exchanges that it does not have.
    """

    def test_findings(self) -> None:
        """
        There is no failure with an ed25519 key, and with the key that a node makes by itself that alone. Who
        has only the curves of NIST is sent away with a reason, or served where that is wanted.
        """
        package("ssh_audit", "ssh-audit")
        for kind, wanted in (("ed25519", []), ("p256", [("key", "ecdsa-sha2-nistp256")])):
            gateway = self.ugate(
                *("--state", str(self.directory / kind)),
                config=f"identity: {{kind: {kind}}}\n"
                f"listen: {{main: 'ssh:tcp:0:{LOOPBACK}', all: 'ssh:nist=yes:tcp:0:{LOOPBACK}'}}\n",
            )
            command = [sys.executable, "-m", "ssh_audit", "--json", "--skip-rate-test", "-p"]
            done = self.finish([*command, str(gateway.port), HOST])
            found = json.loads(done.stdout)
            failed = [
                (part, each["algorithm"])
                for part in ("kex", "key", "enc", "mac")
                for each in found[part]
                if "fail" in each.get("notes", {})
            ]
            self.assertEqual(wanted, failed)
            self.assertEqual([], found["cves"])
            self.assertEqual("SSH-2.0-ugate", found["banner"]["raw"])
            names = [each["algorithm"] for each in found["kex"]]
            self.assertEqual("curve25519-sha256", names[names.index("mlkem768x25519-sha256") + 1])
        only = ("-o", f"KexAlgorithms={NIST}")
        self.assertEqual(255, self.asks(gateway.port, *only).returncode)
        gateway.waitFor(f"SSH: no key exchange in common: the client has {NIST}")
        done = self.asks(gateway.ports["all"], *only)
        self.assertEqual((0, b""), (done.returncode, done.stderr))
