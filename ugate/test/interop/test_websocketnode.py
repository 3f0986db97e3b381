# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{websocket:} with ws, which programs for node speak WebSocket by: as client and as server.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from ugate.protocols.capsules import capsule
from ugate.test.interop.datagrams import DatagramEcho, client
from ugate.test.interop.processes import HOST, freePort, program
from ugate.test.interop.targets import StreamServer, echo, readAll, readExactly
from ugate.test.interop.test_websocket import BULK, WebSocketTestCase

_CLIENT = """
const WebSocket = require('ws'), crypto = require('crypto'), fs = require('fs');
const [gate, echo, closed, flow, question] = JSON.parse(process.argv[2]);
const data = fs.readFileSync(0), steps = [];
const say = (...what) => console.log(JSON.stringify(what));
const url = (target) => `ws://127.0.0.1:${gate}/?target=127.0.0.1:${target}`;
const next = () => { if (steps.length) steps.shift()(); };
steps.push(() => {
  const socket = new WebSocket(url(echo), ['chat', 'binary']), seen = crypto.createHash('sha256');
  let count = 0;
  socket.on('open', () => {
    say('open', socket.protocol, socket.extensions);
    for (let at = 0; at < data.length; at += 1 << 20) socket.send(data.subarray(at, at + (1 << 20)));
    socket.ping('there?');
  });
  socket.on('pong', (what) => say('pong', String(what)));
  socket.on('message', (some, isBinary) => {
    seen.update(some);
    if ((count += some.length) == data.length) socket.close();
  });
  socket.on('close', (code) => { say('carried', count, seen.digest('hex'), code); next(); });
});
steps.push(() => {
  const socket = new WebSocket(url(echo));
  socket.on('open', () => socket.send('a text'));
  socket.on('close', (code, reason) => { say('text', code, String(reason)); next(); });
});
steps.push(() => {
  const socket = new WebSocket(url(closed));
  socket.on('unexpected-response', (_, answer) => { say('refused', answer.statusCode); next(); });
});
steps.push(() => {
  const socket = new WebSocket(url(flow), 'connect-udp');
  socket.on('open', () => { say('flow', socket.protocol); socket.send(Buffer.from(question, 'hex')); });
  socket.on('message', (some) => { say('datagram', some.toString('hex')); socket.close(); });
  socket.on('close', next);
});
next();
"""

_SERVER = """
const {WebSocketServer, createWebSocketStream} = require('ws'), net = require('net');
const server = new WebSocketServer({host: '127.0.0.1', port: Number(process.argv[2])});
server.on('connection', (socket, request) => {
  const [host, port] = new URL(request.url, 'ws://here').searchParams.get('target').split(':');
  const stream = createWebSocketStream(socket), target = net.connect(port, host);
  stream.pipe(target).pipe(stream);
  for (const each of [stream, target]) each.on('error', () => { stream.destroy(); target.destroy(); });
});
"""


class NodeTests(WebSocketTestCase):
    """
    ws of node.
    """

    def setUp(self) -> None:
        super().setUp()
        modules = Path(sys.prefix) / "node" / "node_modules"
        self.node = program("node", "nodejs")
        if not (modules / "ws").is_dir():
            raise SkipTest(f"no ws here: npm install --prefix {modules.parent} ws")
        self.env = {"NODE_PATH": str(modules)}

    def test_client(self) -> None:
        """
        Bulk there and back, a ping, a text, a target that is not there, and a datagram; nothing is packed.
        """
        gate, target, flow = self.gate(), StreamServer(self, echo), DatagramEcho(self)
        spec: list[Any] = [gate.port, target.port, freePort(), flow.port, capsule(b"question").hex()]
        done = self.finish(
            [self.node, self.write("client.js", _CLIENT), json.dumps(spec)], BULK, env=self.env
        )
        self.assertEqual((0, b""), (done.returncode, done.stderr))
        wanted = [
            ["open", "binary", ""],
            ["pong", "there?"],
            ["carried", len(BULK), hashlib.sha256(BULK).hexdigest(), 1000],
            ["text", 1003, "this is a tunnel: send binary messages"],
            ["refused", 502],
            ["flow", "connect-udp"],
            ["datagram", capsule(b"question").hex()],
        ]
        said = [json.loads(line) for line in done.stdout.splitlines()]
        # The answer to a ping need not wait for data.
        self.assertEqual(sorted(map(str, wanted)), sorted(map(str, said)))

    def test_server(self) -> None:
        """
        Our hop through it: bulk there and back, a target that speaks first and ends, and one that takes no
        datagrams.
        """
        port = freePort()
        self.serve([self.node, self.write("server.js", _SERVER), str(port)], port, env=self.env)
        target = StreamServer(self, echo)
        connection = self.connect(self.through(f"websocket:{HOST}:{port}", target.port).port)
        connection.sendall(BULK[: 1 << 20])
        self.assertTrue(readExactly(connection, 1 << 20) == BULK[: 1 << 20])
        connection.close()
        target.ended()
        first = StreamServer(self, lambda connection: connection.sendall(BULK))
        self.assertTrue(
            readAll(self.connect(self.through(f"websocket:{HOST}:{port}", first.port).port)) == BULK
        )
        listen = f"udp:0:to={HOST}\\:{target.port}"
        gate = self.ugate("--route", f"*=websocket:{HOST}:{port}", listen=listen)
        client(self, gate.port).send(b"question")
        gate.waitFor("it takes no datagrams")
