# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.tenancy.config.kinds} and L{ugate.tenancy.config.jsonschema}.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import StringError
from ugate.tenancy.config.jsonschema import jsonSchema
from ugate.tenancy.config.kinds import BUILTIN, kindsOf
from ugate.tenancy.config.schema import TYPES, Secret
from ugate.tenancy.config.sections import KINDS, Kind, Order


class Greeter(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What greets.
    """

    text: Annotated[str, Meta(description="What is said.")] = "hello"
    token: Annotated[Secret | None, Meta(description="Who may hear it.")] = None


@dataclass(frozen=True)
class Module:
    """
    What a plugin says of itself.
    """

    name: str
    schema: type[Struct] = Greeter


HELLO = kindsOf([Module("hello")])


class KindsTests(SynchronousTestCase):
    """
    The kinds that there are.
    """

    def test_builtin(self) -> None:
        """
        Without modules there are those of every node.
        """
        self.assertEqual(dict(KINDS), dict(BUILTIN))
        self.assertEqual(dict(TYPES), dict(BUILTIN.types))
        self.assertEqual(frozenset(), BUILTIN.modules)

    def test_modules(self) -> None:
        """
        Each module has named sections, and tenants stay last.
        """
        kinds = kindsOf([Module("web"), Module("hello")])
        self.assertEqual(["node", "hello", "web", "tenants"], list(kinds)[-4:])
        self.assertEqual(Kind(Order.NAMED), kinds["hello"])
        self.assertIs(Order.NAMED, kinds.order["hello"])
        self.assertEqual((Greeter, {"hello", "web"}), (kinds.types["hello"], kinds.modules))
        self.assertEqual(len(kinds), len(list(kinds)))
        self.assertIn("hello", repr(kinds))

    def test_names(self) -> None:
        """
        A module cannot have a name that is no name, means something, or is that of another.
        """
        for names in (["a b"], ["listen"], ["hosts"], ["x", "x"]):
            self.assertRaises(StringError, kindsOf, map(Module, names))


class JSONSchemaTests(SynchronousTestCase):
    """
    The JSON Schema.
    """

    def test_described(self) -> None:
        """
        Every key has a description, and no other keys are known.
        """
        definitions = jsonSchema(HELLO)["$defs"]
        for name, definition in definitions.items():
            self.assertFalse(definition["additionalProperties"], name)
            self.assertTrue(definition["description"], name)
            if name != "tenant":
                for key, value in definition["properties"].items():
                    self.assertIn("description", str(value), f"{name}.{key}")

    def test_tenants(self) -> None:
        """
        A tenant may have what the node has, but for C{node}, and what its parent gives it.
        """
        schema = jsonSchema(HELLO)
        tenant = set(schema["$defs"]["tenant"]["properties"])
        self.assertEqual(set(schema["properties"]) - {"node"} | {"hosts", "ranges", "limits"}, tenant)
        for each in (schema, schema["$defs"]["tenant"]):
            inner = each["properties"]["tenants"]["additionalProperties"]
            self.assertEqual({"$ref": "#/$defs/tenant"}, inner)

    def test_forms(self) -> None:
        """
        Lists that may be one text, sizes that may have a suffix, and the two places of a secret.
        """
        definitions = jsonSchema(HELLO)["$defs"]
        self.assertEqual(["array", "string"], definitions["PolicyRule"]["properties"]["who"]["type"])
        self.assertIn({"type": "null"}, definitions["Limits"]["properties"]["up"]["anyOf"])
        self.assertIn("['integer', 'string']", str(definitions["Limits"]["properties"]["up"]))
        secret = definitions["Secret"]
        self.assertEqual((1, 1), (secret["minProperties"], secret["maxProperties"]))
