# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Whose connections are led to the gateway: by groups, control groups and networks.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from unittest import SkipTest

from ugate.test.interop.capturedhosts import PAGE, CapturedCase
from ugate.test.interop.processes import Gateway, program

_BOTH = """
listen:
  out: {endpoint: 'redirect:tcp:15001:interface=127.0.0.1'}
  out6: {endpoint: 'redirect:tcp:15001:interface=\\:\\:1'}
"""
_MOUNT = "mount -t cgroup2 none /sys/fs/cgroup"
_GROUP = "games"


class WhoTests(CapturedCase):
    """
    C{ucli capture} with nft and with iptables.
    """

    def setUp(self) -> None:
        super().setUp()
        self.connected("alice", "bob")
        bob = self.hosts["bob"]
        self.serveWeb(bob)
        self.urls = f"http://{bob.ipv4}/", f"http://[{self.six(bob)}]/"
        self.setpriv = program("setpriv", "util-linux")

    def controlGroup(self) -> Path:
        """
        A new one, of the second version, with nobody in it.
        """
        if self.on("alice", "sh", "-c", _MOUNT).returncode:
            raise SkipTest("no control groups can be mounted here")
        for line in Path("/proc/mounts").read_text().splitlines():
            kind, where = line.split()[2], line.split()[1]
            if kind == "cgroup2":
                made = Path(where) / f"ugate-{os.getpid()}"
                try:
                    made.mkdir()
                except OSError as error:
                    raise SkipTest(f"no control groups here: {error}") from error
                self.addCleanup(made.rmdir)
                return made
        raise SkipTest("no control groups of the second version here")

    def rule(self, which: str, *options: str) -> None:
        """
        Run C{ucli capture}, where control groups are at the usual place.
        """
        command = shlex.join((sys.executable, "-m", "ugate.cli.main", "capture", which, *options))
        done = self.on("alice", "sh", "-c", f"{_MOUNT} && exec {command}")
        self.assertEqual(done.returncode, 0, done.stderr)

    def isLed(self, gateway: Gateway, *before: str) -> bool:
        """
        Whether what somebody asks for, by both families, goes by the gateway; all of it or nothing.
        """

        def lines() -> int:
            return gateway.said().count(" redirect operator: ")

        was = lines()
        for url in self.urls:
            self.assertEqual(self.get(url, before=before), (0, PAGE))
        # What goes past it is in no log, and this is.
        self.get("http://127.0.0.1:15001/")
        gateway.waitFor("it connected to this listener itself")
        self.assertIn(lines() - was, (0, 2))
        return lines() > was

    def test_who(self) -> None:
        """
        Of groups, control groups and networks only those that are said, or all but those.
        """
        group = self.controlGroup()
        procs = f"/sys/fs/cgroup/{group.name}/cgroup.procs"
        within = ("sh", "-c", f'{_MOUNT} && echo $$ > {procs} && exec "$@"', "sh")
        asGroup = (self.setpriv, "--regid", _GROUP, "--clear-groups")
        before = self.state()
        gateway = self.gate(_BOTH)
        for word, tool in (("only", "nft"), ("not", "nft"), ("only", "iptables")):
            for kind, value, who in (("group", _GROUP, asGroup), ("cgroup", group.name, within)):
                options = (f"--{word}-{kind}", value, "--tool", tool)
                self.rule("up", *options)
                found = self.isLed(gateway, *who), self.isLed(gateway)
                self.assertEqual(found, (word == "only", word == "not"), options)
                self.rule("down", *options)
            if word == "not":
                self.networks(gateway)
                self.assertEqual(self.state(), before)

    def networks(self, gateway: Gateway) -> None:
        """
        The same of networks.
        """
        bob = self.hosts["bob"]
        for word in ("only", "not"):
            name = f"--{word}-network"
            options = (name, f"{bob.ipv4}/32", name, f"{self.six(bob)}/128")
            self.rule("up", *options)
            self.assertEqual(self.isLed(gateway), word == "only", options)
            self.rule("down", *options)
