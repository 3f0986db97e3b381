# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Programs of ten lines that know of ugate only what an endpoint string says.
"""

from __future__ import annotations

import importlib.util
import sys

from twisted.trial.unittest import SkipTest

from ugate.test.interop.asking import connect, connected, socks4, socks5
from ugate.test.interop.peers import PASSWORD, USER
from ugate.test.interop.processes import HOST, InteropTestCase, freePort
from ugate.test.interop.targets import Certificate, StreamServer, echo, webServer
from ugate.test.interop.test_clients import passwordLine

TREQ = r"""
import sys, treq
from twisted.internet.defer import ensureDeferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.task import react
from twisted.web.client import Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

@implementer(IAgentEndpointFactory)
class ThroughProxy:
    def __init__(self, reactor): self.reactor = reactor
    def endpointForURI(self, uri):
        return clientFromString(self.reactor, rf"{sys.argv[1]}:to={uri.host.decode()}\:{uri.port}")

async def main(reactor):
    client = treq.client.HTTPClient(Agent.usingEndpointFactory(reactor, ThroughProxy(reactor)))
    for url in sys.argv[2:]:
        response = await client.get(url)
        print(response.code, len(await response.content()))

react(lambda reactor: ensureDeferred(main(reactor)))
"""

ECHO = r"""
import sys
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import react

class Echoed(Protocol):
    def __init__(self): self.got = Deferred()
    def dataReceived(self, data): self.got.callback(data)

async def main(reactor):
    for string in sys.argv[1:]:
        try:
            protocol = await connectProtocol(clientFromString(reactor, string), Echoed())
        except Exception as error:
            print(type(error).__name__, error)
            continue
        protocol.transport.write(b"hello")
        print((await protocol.got).decode())

react(lambda reactor: ensureDeferred(main(reactor)))
"""

SERVER = r"""
import sys
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet import reactor

class Greeter(Protocol):
    def connectionMade(self):
        info = self.transport.getPeer()
        self.transport.accept()
        self.transport.write(f"you want {info.target} by {info.protocol}".encode())
        self.transport.loseConnection()

def listening(port):
    print(port.getHost().port, flush=True)

serverFromString(reactor, sys.argv[1]).listen(Factory.forProtocol(Greeter)).addCallback(listening)
reactor.run()
"""


class ClientTests(InteropTestCase):
    """
    C{clientFromString} in programs that import nothing of ugate.
    """

    def _program(self, text: str, *arguments: str) -> list[str]:
        done = self.finish([sys.executable, self.write("program.py", text), *arguments])
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return done.stdout.decode().splitlines()

    def test_treq(self) -> None:
        """
        treq through each kind of proxy.
        """
        if importlib.util.find_spec("treq") is None:
            raise SkipTest("no treq here: pip install treq")
        gateway = self.ugate()
        server = webServer(self)
        urls = [f"http://{host}:{server.port}/bytes/300000" for host in (HOST, "localhost")]
        for prefix in ("socks", "socks4", "connect"):
            said = self._program(TREQ, f"{prefix}:{HOST}:{gateway.port}", *urls)
            self.assertEqual(said, ["200 300000"] * 2, prefix)
        gateway.waitFor(f"-> localhost:{server.port} socks4")

    def test_chains(self) -> None:
        """
        A chain in one string, a hop in a hop, and a login with the password in a file.
        """
        server = StreamServer(self, echo)
        one = self.ugate()
        users = self.write("users", passwordLine())
        password = self.write("password", PASSWORD)
        two = self.ugate(
            config='listen: {main: "auto:tcp:0:interface=0.0.0.0"}\n'
            f'policy: {{users: "{users}", rules: [{{action: allow}}]}}\n'
        )
        strings = [
            f"socks:{HOST}:{one.port} -> connect:{HOST}:{one.port} -> tcp:{HOST}:{server.port}",
            f"socks:{HOST}:{one.port}:to={HOST}\\:{server.port}:via=connect\\:{HOST}\\:{one.port}",
            f"connect:{HOST}:{two.port}:user={USER}:passwordFile={password}:to=localhost\\:{server.port}",
        ]
        # Twice through the same gateway is a stream to its own listener, which it refuses.
        said = self._program(ECHO, *strings)
        self.assertIn("Refused", said[0])
        self.assertIn("Refused", said[1])
        self.assertEqual(said[2], "hello")
        three = self.ugate()
        strings[0] = strings[0].replace(f"connect:{HOST}:{one.port}", f"connect:{HOST}:{three.port}")
        strings[1] = strings[1].replace(f"socks:{HOST}:{one.port}", f"socks:{HOST}:{three.port}")
        self.assertEqual(self._program(ECHO, *strings[:2]), ["hello"] * 2)

    def test_refusals(self) -> None:
        """
        An error names the hop, the phase and the next step.
        """
        gateway = self.ugate()
        gone, nowhere = freePort(), freePort()
        said = self._program(
            ECHO,
            f"socks:{HOST}:{gone}:to=example.com\\:80",
            f"socks:{HOST}:{gateway.port}:to={HOST}\\:{nowhere}",
            f"socks:{HOST}:{gateway.port}",
        )
        self.assertIn(f"Refused connect at socks:{HOST}:{gone}: connection refused", said[0])
        self.assertIn(
            f"Refused remote at socks:{HOST}:{gateway.port}: connection refused ({HOST}:{nowhere}", said[1]
        )
        self.assertIn("check that the service is running", said[1])
        self.assertIn("to=HOST", said[2])

    def test_tls(self) -> None:
        """
        A proxy that is spoken to in TLS, whose certificate must be good.
        """
        certificate = Certificate(self.directory)
        proxy = webServer(self, tls=certificate.context)
        said = self._program(ECHO, f"connect:localhost:{proxy.port}:tls=yes:to=example.com\\:80")
        self.assertIn(f"Refused TLS at connect:localhost:{proxy.port}", said[0])


class ServerTests(InteropTestCase):
    """
    C{serverFromString}: a program that is itself what a SOCKS client reaches.
    """

    def test_metadata(self) -> None:
        """
        The program is told where its peer wants to go, and says itself that the stream is up.
        """
        script = self.write("server.py", SERVER)
        child = self.spawn([sys.executable, script, f"auto:tcp:0:interface={HOST}"])
        port = int(child.waitFor("\n"))
        for ask, protocol, good in ((socks5, "socks5", 0), (socks4, "socks4", 90)):
            with connected(port) as client:
                self.assertEqual(ask(client, "db.example", 5432), good)
                self.assertEqual(client.recv(100), f"you want db.example:5432 by {protocol}".encode())
        with connected(port) as client:
            self.assertEqual(connect(client, "db.example", 5432)[0], 200)
            self.assertEqual(client.recv(100), b"you want db.example:5432 by connect")
