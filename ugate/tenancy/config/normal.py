# -*- test-case-name: ugate.test.test_config_normal -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The normal form of a configuration: all defaults filled in, in a fixed order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, to_builtins

from ugate.tenancy.config.identityschema import Identity, Trust
from ugate.tenancy.config.meshschema import Peer
from ugate.tenancy.config.schema import Policy
from ugate.tenancy.config.sections import ROOT, childPath
from ugate.tenancy.config.whole import Config, Route
from ugate.tenancy.config.yamlout import entries


def normalForm(configs: Config | Mapping[str, Config]) -> str:
    """
    Write a configuration as YAML that reads back as an equal one.

    Equal configurations have the same normal form, so that two can be compared line by line.

    @param configs: that of a tenant alone; or those of all, by path, which then stand in each other.
    @since: ugate NEXT
    """
    if isinstance(configs, Config):
        configs = {ROOT: configs}
    return "".join(f"{line}\n" for line in entries(_document(configs, ROOT).items()))


def sectionValue(section: Struct | Route) -> dict[str, Any]:
    """
    A section as plain values, with every key: what stores hold, and programs are told.
    """
    if isinstance(section, Route):
        route: dict[str, Any] = {
            "match": _few(section.match),
            "via": _few(section.via),
            "reason": section.reason,
        }
        # Nothing fits an empty list.
        return {**route, "alpn": _few(section.alpn)} if section.alpn else route
    value: dict[str, Any] = to_builtins(section)
    if isinstance(section, Peer):
        # It has either.
        del value["keyid" if section.who else "who"]
    if isinstance(section, Policy):
        # Nothing fits an empty list, and everything what is not there.
        rules = [sectionValue(rule) for rule in section.rules]
        value["rules"] = [{key: rule[key] for key in rule if rule[key] or key == "reason"} for rule in rules]
    return value


def _document(configs: Mapping[str, Config], path: str) -> dict[str, object]:
    config = configs[path]
    document: dict[str, object] = {}
    for kind in ("listen", "dial"):
        named = getattr(config, kind)
        document[kind] = {name: sectionValue(named[name]) for name in sorted(named)}
    document["routes"] = [sectionValue(route) for route in config.routes]
    document["policy"] = sectionValue(config.policy)
    if config.identity != Identity():
        document["identity"] = sectionValue(config.identity)
    if config.trust != Trust():
        document["trust"] = sectionValue(config.trust)
    for kind in ("nodes", "serve"):
        named = getattr(config, kind)
        if named:
            document[kind] = {name: sectionValue(named[name]) for name in sorted(named)}
    if path == ROOT:
        document["node"] = sectionValue(config.node)
    for kind, name in sorted(config.modules):
        section = document.setdefault(kind, {})
        assert isinstance(section, dict)
        section[name] = sectionValue(config.modules[kind, name])
    tenants = {}
    for name in sorted(config.tenants):
        child = childPath(path, name)
        own = _document(configs, child) if child in configs else {}
        tenants[name] = {**sectionValue(config.tenants[name]), **own}
    document["tenants"] = tenants
    return document


def _few(values: tuple[str, ...]) -> str | tuple[str, ...]:
    return values[0] if len(values) == 1 else values
