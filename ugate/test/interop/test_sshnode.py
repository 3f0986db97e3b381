# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
C{ssh:} with ssh2, which programs for node speak SSH by.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from ugate.test.interop.processes import freePort, program
from ugate.test.interop.sshlibraries import ANSWER, DATA, NAME, LibraryTestCase, connect
from ugate.test.interop.targets import BLOCK

_NODE = """
const {Client} = require('ssh2'), fs = require('fs'), crypto = require('crypto'), net = require('net');
const [port, target, web, connect, closed, size, ways] = JSON.parse(process.argv[2]);
const say = (...what) => console.log(JSON.stringify(what));
const block = fs.readFileSync(0), data = Buffer.concat(Array(size).fill(block));
function carry(client, then) {
  client.forwardOut('127.0.0.1', 0, '127.0.0.1', target, (error, stream) => {
    const seen = crypto.createHash('sha256');
    let count = 0;
    stream.on('data', (some) => { seen.update(some); count += some.length; });
    stream.on('close', () => { say('carried', count, seen.digest('hex')); then(); });
    stream.end(data);
  });
}
function publish(client, then) {
  client.on('tcp connection', (info, accept) => {
    const stream = accept(), server = net.connect({port: target, allowHalfOpen: true});
    stream.pipe(server).pipe(stream);
  });
  client.forwardIn('wiki.bob.example', 80, (error) => {
    const visitor = net.connect({port: web, allowHalfOpen: true}), seen = crypto.createHash('sha256');
    let count = 0, head = '';
    visitor.write(connect);
    visitor.on('data', (some) => {
      if (count || head.endsWith('\\r\\n\\r\\n')) {
        seen.update(some);
        count += some.length;
      } else if ((head += some).endsWith('\\r\\n\\r\\n')) visitor.end(data);
    });
    visitor.on('end', () => { say('visited', head.slice(9, 12), count, seen.digest('hex')); then(); });
  });
}
function next() {
  if (!ways.length) return;
  const way = ways.shift(), client = new Client();
  if (way.privateKey) way.privateKey = fs.readFileSync(way.privateKey);
  client.on('error', (error) => say('error', error.level));
  client.on('close', next);
  client.on('ready', () => client.exec('status', (error, stream) => {
    let said = '', status;
    stream.on('data', (some) => { said += some; });
    stream.on('exit', (code) => { status = code; });
    stream.on('close', () => {
      say('status', status, said.split(',')[0]);
      if (ways.length) return client.end();
      carry(client, () => publish(client, () => {
        client.forwardOut('127.0.0.1', 0, '127.0.0.1', closed, (error) => {
          say('refused', error.reason);
          client.end();
        });
      }));
    });
  }));
  client.connect({host: '127.0.0.1', port, username: 'bob', ...way});
}
next();
"""


class NodeTests(LibraryTestCase):
    """
    ssh2 of node.
    """

    def test_client(self) -> None:
        """
        By each kind of key and a password it gets in, and by no others; what it sends and gets is whole, also
        what comes for a name that it publishes.
        """
        modules = Path(sys.prefix) / "node" / "node_modules"
        node = program("node", "nodejs")
        if not (modules / "ssh2").is_dir():
            raise SkipTest(f"no ssh2 here: npm install --prefix {modules.parent} ssh2")
        gateway = self.closedGate()
        ways: list[dict[str, str]] = [{"password": "wrong"}, {"privateKey": str(self.stranger)}]
        ways += [{"privateKey": str(key)} for key in self.keys]
        ports = [
            gateway.port,
            self.server.port,
            gateway.ports["web"],
            connect(f"{NAME}:80").decode(),
            freePort(),
        ]
        spec = json.dumps([*ports, len(DATA) // len(BLOCK), [*ways, {"password": "secret"}]])
        done = self.finish(
            [node, self.write("client.js", _NODE), spec], BLOCK, env={"NODE_PATH": str(modules)}
        )
        self.assertEqual((0, b""), (done.returncode, done.stderr))
        wanted: list[list[Any]] = [["error", "client-authentication"]] * 2
        wanted += [["status", 0, "You are bob (key)"]] * 3 + [["status", 0, "You are bob (password)"]]
        answer = [len(ANSWER), hashlib.sha256(ANSWER).hexdigest()]
        wanted += [["carried", *answer], ["visited", "200", *answer], ["refused", 2]]
        self.assertEqual(wanted, [json.loads(line) for line in done.stdout.splitlines()])
        self.assertLogged(gateway)
