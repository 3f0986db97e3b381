# -*- test-case-name: ugate.test.test_config_kinds -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The JSON Schema of a configuration file, for editors and for other programs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ugate.tenancy.config.kinds import BUILTIN, Kinds
from ugate.tenancy.config.sections import Order

_NAMES: Final = {"pattern": "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$"}


def schemaComponents(
    types: Iterable[Any], reference: str = "#/$defs/{name}"
) -> tuple[list[Any], dict[str, Any]]:
    """
    The JSON Schemas of some types of the configuration, and of those that they refer to.

    It is L{msgspec.json.schema_components} with what that cannot say: numbers and lists that may be
    written as a text, and secrets that have just one place.

    @param reference: what a reference looks like, with C{{name}}.
    @since: ugate NEXT
    """
    schemas, definitions = msgspec.json.schema_components(types, ref_template=reference)
    for name, definition in definitions.items():
        if name.endswith("Secret") and definition.get("properties", {}).keys() == {"file", "env"}:
            definition |= {"minProperties": 1, "maxProperties": 1}
    _setTypes([*schemas, definitions])
    return list(schemas), definitions


def _setTypes(schema: Any) -> None:
    if isinstance(schema, dict):
        if "x-type" in schema:
            schema["type"] = schema.pop("x-type")
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            _setTypes(each)


def jsonSchema(kinds: Kinds = BUILTIN) -> dict[str, Any]:
    """
    The JSON Schema (draft 2020-12) of a whole document.  The section of a kind alone, as stores have it,
    is in C{$defs}, by the name of its type.

    @since: ugate NEXT
    """
    schemas, definitions = schemaComponents([kinds.forms[kind] for kind in kinds])
    properties = {}
    for kind, schema in zip(kinds, schemas, strict=True):
        order = kinds[kind].order
        if order is Order.NAMED:
            inner = {"$ref": "#/$defs/tenant"} if kind == "tenants" else schema
            schema = {"type": "object", "additionalProperties": inner, "propertyNames": _NAMES}
        elif order is Order.LISTED:
            schema = {"type": "array", "items": schema}
        properties[kind] = schema
    own = {kind: schema for kind, schema in properties.items() if kind != "node"}
    definitions["tenant"] = {
        "title": "tenant",
        "description": "A tenant: what it has of its parent, and its own sections.",
        "type": "object",
        "properties": {**definitions["Delegation"]["properties"], **own},
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ugate",
        "description": "A configuration file of ugate, in YAML or JSON.",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": definitions,
    }
