# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What another configuration does to listeners.
"""

from __future__ import annotations

import os
from typing import Any

from ugate.listenerstrings import filesOf
from ugate.tenancy.config.schema import Delegation, Listener
from ugate.test.nodefakes import HELLO, REQUEST, inUse
from ugate.test.reloadfakes import (
    ALICE,
    DENY,
    MAIN,
    OTHER,
    PUBLIC,
    ReloadCase,
    config,
)


class ListenerTests(ReloadCase):
    """
    Sockets and what is behind them.
    """

    def test_sameAddress(self) -> None:
        """
        A listener that changed at its address keeps the socket; who has connected before
        goes on with what it found.
        """
        node = self.run_(config({"main": MAIN}))
        (port,) = self.reactor.ports
        before, old = self.factory(node), self.client(node)
        self.assertEqual(self.good(node, config({"main": MAIN.replace("auto", "socks4")})), ("listen main",))
        self.assertEqual(self.reactor.ports, [port])
        self.assertTrue(port.listening)
        after = self.factory(node)
        self.assertIsNot(after, before)
        self.assertEqual((before.numPorts, after.numPorts), (0, 1))
        self.assertEqual(old.say(HELLO), b"\x05\x00")
        self.assertNotEqual(self.client(node).say(HELLO), b"\x05\x00")
        self.assertEqual(node.tenant._around.own._byPort, {("tcp", 1080): ["127.0.0.1"]})

    def test_keptAlive(self) -> None:
        """
        Who has connected to a listener that is gone opens no new streams by it; to one that was
        changed, by the rules of now.
        """
        node = self.run_(config({"main": MAIN}))
        gone, stays = self.client(node), self.client(node)
        gone.say(HELLO)
        self.good(node, config({"main": MAIN.replace("auto", "socks")}))
        stays.say(HELLO)
        self.assertEqual(stays.say(REQUEST), b"")
        self.assertEqual(node.listeners()[0].accepted, 1)
        self.good(node, config())
        self.assertEqual(gone.say(REQUEST)[:2], b"\x05\x02")
        self.assertEqual(node.flows.refusals()[0].detail, "its listener is gone")

    def test_renamed(self) -> None:
        """
        The same with another name, or of another tenant, and with two that change places.
        """
        tenants = {"alice": Delegation()}
        node = self.run_(config({"a": MAIN, "b": OTHER}, tenants=tenants), alice=config())
        ports = list(self.reactor.ports)
        self.good(node, config({"a": OTHER, "b": MAIN}, tenants=tenants))
        self.assertEqual([self.port(node, name) for name in "ba"], ports)
        self.good(node, config({"c": OTHER}, tenants=tenants), alice=config({"c": MAIN}))
        self.assertEqual([self.port(node, name) for name in ("alice/c", "c")], ports)
        self.assertEqual(self.reactor.ports, ports)
        self.assertTrue(all(port.listening for port in ports))
        self.stream(node, "alice/c", PUBLIC)
        (stream,) = node.flows.streams()
        self.assertEqual((stream.tenant, stream.listener), ("alice", "c"))

    def port(self, node: Any, name: str) -> Any:
        """
        The port of a listener.
        """
        return node.ports[name].place.port

    def test_moved(self) -> None:
        """
        A listener that goes elsewhere listens there first; then the old socket is closed.
        """
        node = self.run_(config({"main": MAIN}))
        self.good(node, config({"main": OTHER}))
        self.assertEqual([port.listening for port in self.reactor.ports], [False, True])
        self.assertEqual(node.listeners()[0].address, "127.0.0.1:1081")
        self.assertEqual(node.own._byPort, {("tcp", 1081): ["127.0.0.1"]})

    def test_removed(self) -> None:
        """
        One that is gone takes nobody new; its streams go on.
        """
        node = self.run_(config({"main": MAIN}))
        line, target = self.stream(node)
        self.assertEqual(self.good(node, config()), ("listen main",))
        self.assertEqual(([port.listening for port in self.reactor.ports], node.ports), ([False], {}))
        self.assertEqual(node.listeners(), [])
        line.say(b"hello")
        self.assertEqual(target.value(), b"hello")

    def test_inUse(self) -> None:
        """
        A port that somebody else has: all is as before, also what could have been.
        """
        node = self.run_(config({"main": MAIN}))
        (port,) = self.reactor.ports
        before, dialer = self.factory(node), node.tenant.dialer
        self.reactor.taken = inUse(1081)
        error = self.bad(
            node, config({"new": "auto:tcp:1082:interface=127.0.0.1", "main": OTHER}, routes=DENY)
        )
        self.assertIn("listener main (auto:tcp:1081:interface=127.0.0.1) cannot listen", error)
        self.assertIn("ss -ltnp", error)
        self.assertTrue(port.listening)
        self.assertIs(self.factory(node), before)
        self.assertIs(node.tenant.dialer, dialer)
        self.assertEqual([each.listening for each in self.reactor.ports], [True, False])
        self.assertEqual((list(node.ports), node.own._byPort), (["main"], {("tcp", 1080): ["127.0.0.1"]}))
        # And that can be repaired.
        self.reactor.taken = {}
        self.good(node, config({"main": OTHER}))

    def test_takenBack(self) -> None:
        """
        A socket that would have been taken over stays where it was when something else is wrong.
        """
        node = self.run_(config({"main": MAIN}))
        before = self.factory(node)
        self.reactor.taken = inUse(1081)
        self.bad(node, config({"main": MAIN.replace("auto", "socks"), "other": OTHER}))
        self.assertIs(self.factory(node), before)
        self.assertEqual(before.numPorts, 1)
        self.assertEqual(self.client(node).say(HELLO), b"\x05\x00")
        self.good(node, config({"main": MAIN.replace("auto", "socks")}))
        self.assertEqual((before.numPorts, self.factory(node).numPorts), (0, 1))

    def test_anotherHasIt(self) -> None:
        """
        What another tenant listens on is not to be had, nor is it told who that is.
        """
        tenants = {"alice": Delegation(), "bob": Delegation()}
        node = self.run_(config({"main": MAIN}, tenants=tenants), alice=config({"own": OTHER}), bob=config())
        error = self.bad(node, bob=config({"mine": OTHER}))
        self.assertEqual(
            error,
            f"tenant bob: listener mine ({OTHER}) cannot listen: another tenant of this gateway has it",
        )
        self.assertEqual(
            self.bad(node, config({"main": MAIN, "twice": MAIN}, tenants=tenants)),
            f"listener twice ({MAIN}) cannot listen: listen main has it",
        )

    def test_openRelay(self) -> None:
        """
        What may not be at the start may not be later.
        """
        node = self.run_(config({"main": MAIN}))
        self.assertIn("would carry the streams of anybody", self.bad(node, config({"main": "auto:tcp:1080"})))
        self.assertTrue(self.reactor.ports[0].listening)

    def test_unix(self) -> None:
        """
        The same for paths.
        """
        node = self.run_(config({"main": "auto:unix:/run/a"}))
        self.good(node, config({"main": "socks:unix:/run/a"}))
        self.assertEqual(len(self.reactor.ports), 1)
        self.good(node, config({"main": "socks:unix:/run/b"}))
        self.assertEqual([port.listening for port in self.reactor.ports], [False, True])

    def test_anyPort(self) -> None:
        """
        With port 0 there may be several; each keeps its own.
        """
        zero = "auto:tcp:0:interface=127.0.0.1"
        node = self.run_(config({"a": zero, "b": zero}))
        ports = [self.port(node, name) for name in "ab"]
        self.good(node, config({"b": zero.replace("auto", "socks"), "a": zero.replace("auto", "socks")}))
        self.assertEqual([self.port(node, name) for name in "ab"], ports)

    def test_wrappers(self) -> None:
        """
        What is around a socket does not matter: HAProxy's header, a header of our own.
        """
        node = self.run_(config({"main": Listener(f"auto:haproxy:{MAIN[5:]}", open=True)}))
        (port,) = self.reactor.ports
        self.good(node, config({"main": Listener(f"socks:haproxy:{MAIN[5:]}", open=True)}))
        self.good(node, config({"main": Listener(f"socks:proxyproto:{MAIN[5:]}", open=True)}))
        self.good(node, config({"main": MAIN}))
        self.assertEqual(self.reactor.ports, [port])
        self.assertEqual(self.client(node).say(HELLO), b"\x05\x00")

    def test_files(self) -> None:
        """
        A file of keys that was changed changes the listener that names it.
        """
        path = self.mktemp()
        with open(path, "w") as out:
            out.write("one")
        text = f"forward:{MAIN[5:]}:to=x.tls\\:1"
        node = self.run_(config({"main": text, "key": f"{OTHER}:handshake=5"}))
        before = self.factory(node)
        listening = node._listeners.all["root", "main"]
        files = filesOf(f"auto:ssl:443:privateKey={path}:certKey=/nowhere")
        self.assertEqual([each[0] for each in files], [path])
        listening.made = (*listening.made[:2], files)
        self.good(node)
        self.assertIsNot(self.factory(node), before)

    def test_folder(self) -> None:
        """
        So does one in a folder of keys.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        text = f"auto:tls:{folder}:443"
        nothing = filesOf(text)
        with open(os.path.join(folder, "one.pem"), "w") as out:
            out.write("one")
        one = filesOf(text)
        with open(os.path.join(folder, "one.pem"), "w") as out:
            out.write("another")
        self.assertEqual(len({nothing, one, filesOf(text)}), 3)
        self.assertEqual(filesOf(f"auto:tcp:443:interface={folder}"), ())

    def test_stdio(self) -> None:
        """
        Standard input is there from the start, or not at all; nor may a tenant have it.
        """
        node = self.run_(config({"main": MAIN}, tenants=ALICE), alice=config())
        error = self.bad(node, config({"main": MAIN, "in": "socks:stdio:"}, tenants=ALICE))
        self.assertIn("listener in (socks:stdio:) can only be there from the start", error)
        error = self.bad(node, alice=config({"in": "socks:stdio:"}))
        self.assertIn("only the root tenant may have it", error)
