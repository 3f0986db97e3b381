# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Programs that send datagrams and know of no gateway: QUIC, iperf3, dig, and datagrams that are in fragments.
"""

from __future__ import annotations

import importlib.util
import json
import sys

from ugate.test.interop.capturedhosts import ECHO, CapturedCase
from ugate.test.interop.namespaces import Host, needTun
from ugate.test.interop.processes import Gateway, program
from ugate.test.interop.targets import Certificate

_SERVER = """
import asyncio, sys
from aioquic.asyncio import serve
from aioquic.quic.configuration import QuicConfiguration

async def answer(reader, writer):
    writer.write((await reader.read()).upper())
    writer.write_eof()

async def main():
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["echo"])
    configuration.load_cert_chain(sys.argv[1], sys.argv[2])
    await serve("::", 4433, configuration=configuration,
                stream_handler=lambda *ends: asyncio.ensure_future(answer(*ends)))
    print("ready", flush=True)
    await asyncio.Future()

asyncio.run(main())
"""

_CLIENT = """
import asyncio, sys
from aioquic.asyncio import connect
from aioquic.quic.configuration import QuicConfiguration

async def main():
    configuration = QuicConfiguration(alpn_protocols=["echo"], server_name="localhost")
    configuration.load_verify_locations(sys.argv[2])
    async with connect(sys.argv[1], 4433, configuration=configuration) as connection:
        reader, writer = await connection.create_stream()
        writer.write(b"x" * 1_000_000)
        writer.write_eof()
        assert await reader.read() == b"X" * 1_000_000

asyncio.run(asyncio.wait_for(main(), 30))
"""

_ASK = """
import socket, sys
host = sys.argv[1]
asking = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(10)
asking.connect((host, 9999))
asking.send(b"y" * 60_000)
assert asking.recv(65536) == b"Y" * 60_000
"""


class DatagramProgramTests(CapturedCase):
    """
    What alice's programs send to bob.
    """

    if importlib.util.find_spec("aioquic") is None:
        skip = "there is no aioquic: pip install aioquic"

    def serveDatagrams(self, bob: Host, made: Certificate) -> None:
        """
        Start all that answers there.
        """
        key, dnsmasq = str(self.directory / "key.pem"), program("dnsmasq", "dnsmasq-base")
        options = ("--no-resolv", "--no-hosts", "--pid-file=", "--user=", "--log-facility=-")
        for ready, argv in (
            ("ready", (sys.executable, "-u", "-c", _SERVER, str(made.path), key)),
            ("ready", (sys.executable, "-u", "-c", ECHO)),
            ("Server listening", (program("iperf3"), "-s", "--forceflush")),
            ("started", (dnsmasq, "-k", *options, "--address=/up.example/192.0.2.77")),
        ):
            self.spawn(bob.inside(*argv)).waitFor(ready)

    def test_programs(self) -> None:
        """
        A stream of QUIC there and back, what iperf3 sends, and datagrams of many fragments, by both families,
        where as little goes in one packet as in WireGuard's; and a question, which goes to a resolver of ours
        that asks the same server.  Then all but the question by a device.
        """
        self.connected("alice", "bob")
        bob = self.hosts["bob"]
        for each in self.hosts.values():
            each.ip("link", "set", "eth0", "mtu", "1420")
        made = Certificate(self.directory)
        self.serveDatagrams(bob, made)
        gateway = self.gate(
            "listen:\n"
            "  led: {endpoint: 'tproxy:udp:15001', open: true}\n"
            "  led6: {endpoint: 'tproxy:udp:15001:interface=\\:\\:1', open: true}\n"
            "policy: {rules: [{action: allow, target: 'udp:*'}]}\n"
            f"routes: [{{match: '*:53', via: dns}}]\ndns: {{main: {{listen: [], upstreams: {bob.ipv4}}}}}\n"
            "capture: {led: {direction: out, mode: tproxy, protocols: udp}}\n"
        )
        self.ask(gateway, made)
        for host in (bob.ipv4, self.six(bob)):
            done = self.on("alice", program("dig", "bind9-dnsutils"), "+short", f"@{host}", "a.up.example")
            self.assertEqual(done.stdout, b"192.0.2.77\n", gateway.said())
        gateway.waitFor(f"udp:{bob.ipv4}:53 via dns tproxy")
        gateway.kill()
        # It was led there: nobody is, now.
        refused = self.on("alice", sys.executable, "-c", _ASK, self.six(bob))
        self.assertIn(b"ConnectionRefusedError", refused.stderr)
        self.ucli("capture", "down", "led", "--mode", "tproxy")
        needTun()
        routes = f"{bob.ipv4},{self.six(bob)}".replace(":", "\\:")
        self.ask(self.gate(f"listen: {{led: 'tun:ug0:mtu=1420:routes={routes}'}}"), made)

    def ask(self, gateway: Gateway, made: Certificate) -> None:
        """
        All of these programs.
        """
        bob = self.hosts["bob"]
        for host in (bob.ipv4, self.six(bob)):
            for argv in (("-c", _CLIENT, host, str(made.path)), ("-c", _ASK, host)):
                done = self.on("alice", sys.executable, *argv)
                self.assertEqual((done.returncode, done.stderr), (0, b""), gateway.said())
            done = self.on(
                "alice", program("iperf3"), "-J", "-u", "-c", host, "-n", "2M", "-b", "20M", "-l", "1372"
            )
            end = json.loads(done.stdout)["end"]["sum"]
            self.assertGreater(end["packets"], 1000)
            self.assertLess(end["lost_percent"], 50)
