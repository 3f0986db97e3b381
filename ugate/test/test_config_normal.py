# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.normal}.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from ugate.tenancy.config.files import FileStore
from ugate.tenancy.config.kinds import kindsOf
from ugate.tenancy.config.normal import normalForm
from ugate.tenancy.config.schema import (
    Delegation,
    Dial,
    Limits,
    Listener,
    Node,
    Policy,
    PolicyRule,
    Secret,
)
from ugate.tenancy.config.sections import ROOT, childPath
from ugate.tenancy.config.stack import openStores
from ugate.tenancy.config.whole import Config, Route, readConfig, readConfigs
from ugate.test.test_config_kinds import Greeter, Module

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,20}", fullmatch=True) | st.sampled_from(
    ["on", "null", "y", "No"]
)
texts = st.text(st.characters(codec="utf-8"), min_size=1) | st.sampled_from(
    ["null", "~", "22:22", "0777", "*.corp", "a: b", "a #b", "- a", "tcp:1", "on", "1e3", " a ", "a:", "deny"]
)
seconds = st.floats(0, 3600, exclude_min=True) | st.integers(1, 3600).map(float)
hops = texts.filter(lambda text: ":" in text)
ways = st.just(("deny",)) | st.lists(
    hops.filter(lambda text: text != "deny") | st.just("direct"), min_size=1
).map(tuple)
words = st.lists(texts, max_size=2).map(tuple)
rules = st.builds(
    PolicyRule,
    st.sampled_from(["allow", "deny"]),
    who=words,
    tenant=words,
    protocol=words,
    target=words,
    reason=st.text(st.characters(codec="utf-8"), max_size=20),
)
hosts = st.lists(
    st.from_regex(r"(\*\.)?[a-z]{1,8}(\.[a-z]{1,8})?", fullmatch=True), max_size=2, unique=True
).map(tuple)
ranges = st.lists(st.sampled_from(["10.0.0.0/8", "fd00::/8", "192.0.2.1"]), max_size=2).map(tuple)
limits = st.builds(
    Limits,
    streams=st.none() | st.integers(0, 10_000_000),
    up=st.none() | st.integers(1, 10**18),
    month=st.none() | st.integers(0, 10**18),
)
delegations = st.dictionaries(
    names.filter(lambda name: name != "root"), st.builds(Delegation, hosts, ranges, limits), max_size=1
)
modules = st.dictionaries(
    st.tuples(st.just("hello"), names),
    st.builds(Greeter, texts, st.none() | st.builds(Secret, file=texts) | st.builds(Secret, env=texts)),
    max_size=2,
)
HELLO = kindsOf([Module("hello")])
configs = st.builds(
    Config,
    tenants=delegations,
    modules=modules,
    listen=st.dictionaries(
        names, st.builds(Listener, texts, st.none() | st.just("db.internal:5432"), st.booleans()), max_size=4
    ),
    dial=st.dictionaries(
        names.filter(lambda name: name not in ("direct", "deny")),
        st.builds(Dial, texts, seconds, st.integers(0, 20)),
        max_size=4,
    ),
    routes=st.lists(
        st.builds(
            Route,
            st.lists(texts, min_size=1, max_size=3).map(tuple),
            ways,
            st.text(st.characters(codec="utf-8"), max_size=50),
            st.lists(st.sampled_from(["h2", "http/1.1", "-", "a~b", "1"]), max_size=2).map(tuple),
        ),
        max_size=4,
    ).map(tuple),
    policy=st.builds(
        Policy,
        users=st.none() | texts,
        private=st.sampled_from(["allow", "deny"]),
        close=st.booleans(),
        rules=st.lists(rules, max_size=2).map(tuple),
    ),
    node=st.builds(
        Node,
        connect=seconds,
        handshake=seconds,
        idle=seconds,
        drain=st.floats(0, 3600),
        flows=st.sampled_from(["log", "quiet"]),
        streams=st.integers(1, 10_000_000),
        log=st.sampled_from(["text", "json"]),
    ),
)


class NormalFormTests(SynchronousTestCase):
    """
    The normal form of a configuration.
    """

    def read(self, text: str) -> Config:
        """
        The configuration in a file with this text.
        """
        path = Path(self.mktemp())
        path.write_text(text, encoding="utf-8")
        # Secrets that are nowhere are no matter of form.
        checks = {"secretFile": str, "secretVariable": str}
        return readConfig(FileStore(str(path), HELLO), checks, kinds=HELLO)

    def test_text(self) -> None:
        """
        All defaults are filled in; names are sorted, routes are in their order.
        """
        self.assertEqual(
            """\
listen:
  db:
    endpoint: "tcp:5432"
    to: db.internal:5432
    open: false
  main:
    endpoint: auto:tcp:1080:interface=127.0.0.1
    to: null
    open: false
dial: {}
routes:
  - match: "*"
    via: direct
    reason: ""
  - match: [a.b, "*:25"]
    via: deny
    reason: "no mail"
policy:
  users: null
  tokens: null
  issuers: null
  keys: null
  revoked: null
  certificates: null
  private: allow
  close: false
  rules: []
node:
  connect: 0.5
  handshake: 10
  idle: 900
  drain: 30
  flows: log
  streams: 10000
  log: text
  state: ""
  mark: 30055
tenants: {}
""".replace('"tcp:5432"', "tcp:5432"),
            normalForm(
                Config(
                    listen={
                        "main": Listener("auto:tcp:1080:interface=127.0.0.1"),
                        "db": Listener("tcp:5432", "db.internal:5432"),
                    },
                    routes=(Route(("*",), ("direct",)), Route(("a.b", "*:25"), ("deny",), "no mail")),
                    node=Node(connect=0.5),
                )
            ),
        )

    def test_default(self) -> None:
        """
        What is listened on by default can be written down and read back.
        """
        config = readConfig(openStores())
        self.assertEqual(config, self.read(normalForm(config)))

    @given(configs)
    def test_roundTrip(self, config: Config) -> None:
        """
        It reads back as an equal configuration, whose normal form is the same text.
        """
        text = normalForm(config)
        again = self.read(text)
        self.assertEqual(config, again)
        self.assertEqual(text, normalForm(again))

    @given(configs, configs, configs)
    def test_nested(self, root: Config, child: Config, grandchild: Config) -> None:
        """
        Tenants stand in each other, each with what is its own.
        """
        found = {ROOT: root}
        for path, config in ((ROOT, child), (ROOT, grandchild)):
            while path in found and found[path].tenants:
                path = childPath(path, next(iter(found[path].tenants)))
            found.setdefault(path, replace(config, node=Node(), tenants={}))
        text = normalForm(found)
        file = Path(self.mktemp())
        file.write_text(text, encoding="utf-8")
        store = FileStore(str(file), HELLO)
        checks = {"secretFile": str, "secretVariable": str}
        again = readConfigs(store, checks, HELLO)
        self.assertEqual((found, text), (again, normalForm(again)))

    @given(texts)
    def test_otherReaders(self, text: str) -> None:
        """
        Another reader of YAML 1.1 takes texts for the same texts.
        """
        config = Config(policy=Policy(users=text), dial={"on": Dial(text)})
        value = yaml.safe_load(normalForm(config))
        self.assertEqual((text, text), (value["policy"]["users"], value["dial"]["on"]["hops"]))
