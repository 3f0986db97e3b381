# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.commandline}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.config.commandline import CommandLineStore
from ugate.tenancy.config.sections import ROOT
from ugate.test.test_config_files import everything, told


class CommandLineTests(SynchronousTestCase):
    """
    The command line as a store.
    """

    def test_sections(self) -> None:
        """
        Names end at the first C{=}, and so do patterns.
        """
        store = CommandLineStore(
            ["main=auto:tcp:1080:interface=127.0.0.1"], ["*:25=deny", "[::1]:80-90=ssh:a:keyFile=x"]
        )
        self.assertEqual([], told(store))
        self.assertEqual(
            {
                "listen": {"main": {"endpoint": "auto:tcp:1080:interface=127.0.0.1"}},
                "routes": {
                    "--route 1": {"match": "*:25", "via": "deny"},
                    "--route 2": {"match": "[::1]:80-90", "via": "ssh:a:keyFile=x"},
                },
            },
            everything(store),
        )
        self.assertEqual([], store.names("alice", "listen"))
        self.assertRaises(KeyError, store.section, "alice", "listen", "main")

    def test_state(self) -> None:
        """
        C{--state} is C{node.state}.
        """
        self.assertEqual({"node": {"": {"state": "/s"}}}, everything(CommandLineStore(state="/s")))

    def test_mistakes(self) -> None:
        """
        Each option that is not of its shape is shown with it.
        """
        store = CommandLineStore(["auto:tcp:1:interface=::1", "", "a=x", "a=y"], ["*.corp"])
        self.assertEqual(
            [
                "--listen 'auto:tcp:1:interface=::1': it has no name; wanted NAME=STRING, as in"
                " --listen 'main=auto:tcp:1:interface=::1'",
                "--listen '': it has no name; wanted NAME=STRING, as in --listen 'main='",
                "--listen 'a=y': listen.a is at --listen 'a=x' too; wanted each name once",
                "--route '*.corp': it has no '='; wanted PATTERN=HOPS, as in --route '*.corp=direct'",
            ],
            told(store),
        )
        self.assertEqual("  a=y\n  ^", store.mistakes()[2].place.excerpt())
        self.assertFalse(store.isWhole(ROOT, "listen"))
        self.assertTrue(store.isWhole(ROOT, "dial"))

    def test_quotes(self) -> None:
        """
        What is shown can be pasted into a shell.
        """
        store = CommandLineStore(["it's"])
        self.assertIn("--listen 'it'\"'\"'s': ", told(store)[0])

    def test_changed(self) -> None:
        """
        Nothing changes on a command line.
        """
        CommandLineStore().changed(lambda tenants: self.fail("it changed"))()
