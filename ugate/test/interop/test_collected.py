# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What a stream leaves for the collector: nothing, so that the next one is in memory that is still warm.
"""

from __future__ import annotations

import signal
import ssl
import sys
from typing import Any

from ugate.test.interop.asking import connected, socks5
from ugate.test.interop.processes import HOST, LOOPBACK, Gateway, InteropTestCase
from ugate.test.interop.targets import StreamServer, echo, readExactly

COUNTING = """\
import gc
import signal
import sys

from twisted.scripts.twistd import run

times = 0

def collect(*_):
    global times
    times += 1
    gc.disable()
    print(f"collection {times} found {gc.collect()}.", flush=True)

signal.signal(signal.SIGUSR2, collect)
sys.argv = ["twistd", *sys.argv[1:]]
run()
"""

STREAMS = 20


class CollectedTests(InteropTestCase):
    """
    Streams of several kinds, one after the other.
    """

    def counting(self, config: str) -> Gateway:
        """
        A gateway that says what its collector finds, which works only when it is asked from then on.
        """
        script = str(self.write("counting.py", COUNTING))
        return self.ugate(
            config=config, inside=lambda *argv: [sys.executable, script, *argv[argv.index("-n") :]]
        )

    def carry(self, port: int, isTLS: bool = False) -> None:
        """
        Streams, each from its beginning to its end.
        """
        for _ in range(STREAMS):
            stream: Any = connected(port)
            if isTLS:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                stream = context.wrap_socket(stream)
            with stream:
                if not isTLS:
                    self.assertEqual(0, socks5(stream, HOST, self.server.port))
                stream.sendall(b"there and back")
                self.assertEqual(b"there and back", readExactly(stream, 14))

    def found(self, gateway: Gateway) -> int:
        """
        What its collector finds.
        """
        times = self.times[gateway.pid] = self.times.get(gateway.pid, 0) + 1
        gateway.process.send_signal(signal.SIGUSR2)
        said = gateway.waitFor(f"collection {times} found ")
        return int(said.rpartition(" found ")[2].partition(".")[0])

    def assertClean(self, port: int, *gateways: Gateway, isTLS: bool = False) -> None:
        """
        Less than one object for each stream waits for the collector, once all is there that is made but once.
        """
        self.carry(port, isTLS)
        for gateway in gateways:
            self.found(gateway)
        self.carry(port, isTLS)
        for gateway in gateways:
            self.assertLess(self.found(gateway), STREAMS)

    def test_each(self) -> None:
        """
        From one gateway to the next, by each protocol.
        """
        self.times: dict[int, int] = {}
        self.server = StreamServer(self, echo)
        far = self.counting(
            "listen:\n"
            f'  link: "h2connect:tcp:0:{LOOPBACK}"\n'
            f'  proxy: "auto:tcp:0:{LOOPBACK}"\n'
            f'  main: {{endpoint: "mtls:anonymous=yes:tcp:0:{LOOPBACK}", to: "{HOST}:{self.server.port}"}}\n'
            "policy: {rules: [{action: allow}]}\n"
        )
        self.assertClean(far.ports["proxy"], far)
        self.assertClean(far.port, far, isTLS=True)
        for way in (
            f"h2connect:{HOST}:{far.ports['link']}:h2c=yes",
            f"connect:{HOST}:{far.ports['proxy']}",
            f"socks:{HOST}:{far.ports['proxy']}",
        ):
            near = self.counting(
                f'listen: {{main: "auto:tcp:0:{LOOPBACK}"}}\nroutes: [{{match: "*", via: "{way}"}}]\n'
            )
            self.assertClean(near.port, near, far)
