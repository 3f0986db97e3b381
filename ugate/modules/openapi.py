# -*- test-case-name: ugate.test.test_openapi -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The description of the admin API, by OpenAPI 3.1: made of the table of operations and the schemas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET

from ugate import __version__
from ugate.modules.answers import Problem
from ugate.modules.operations import BASE, OPERATIONS, Operation, Parameter
from ugate.tenancy.config.jsonschema import schemaComponents

REF: Final = "#/components/schemas/{name}"
PROBLEM: Final = "application/problem+json"
JSON: Final = "application/json"

_PROBLEMS: Final = {
    400: "It is not understood: a parameter or the body is not as it should be.",
    401: "It is not known who asks.",
    403: "Who asks may not do this, or it comes from the page of another site.",
    404: "There is no such thing, or it is another tenant's.",
    409: "It cannot be done as things are.",
    412: "The section has changed, or is there already.",
    413: "The body is too large.",
    415: "The body is not application/json.",
    422: "The configuration would have mistakes; nothing has changed.",
}
"""What each status means."""

_DESCRIPTION: Final = (
    "The administration of a ugate node. On loopback, or on a UNIX socket, no credentials are needed: "
    "whoever asks is the operator. Elsewhere, a login of the tenant (Basic) or a bearer token is, of a "
    "principal that an admin section names. Who looks after a tenant sees it and those below it, and "
    "nothing else."
)


def describe(configuration: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    The whole description.

    @param configuration: the JSON Schema of a configuration, to be shown with it.
    """
    wanted = [
        Problem,
        *(each.answer for each in OPERATIONS),
        *(each.body for each in OPERATIONS if each.body),
    ]
    _, components = schemaComponents(wanted, REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        for number, path in enumerate(operation.paths()):
            described = _operation(operation, path, "" if number == 0 else "Only")
            paths.setdefault(BASE + path, {})[operation.method.lower()] = described
    if configuration is not None:
        components["Configuration"] = {**configuration}
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "ugate",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
        "security": [{}, {"basic": []}, {"bearer": []}],
    }
    # Defaults are Python's own values: tuples, for one.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(described))
    return plain


def schemaOf(wanted: Any) -> dict[str, Any]:
    """
    The JSON Schema of one type, as the description refers to it.
    """
    (schema,), _ = schemaComponents([wanted], REF)
    found: dict[str, Any] = schema
    return found


def _operation(operation: Operation, path: str, suffix: str) -> dict[str, Any]:
    inPath = f"{{{operation.inPath()[-1].name}}}" if operation.inPath() else ""
    given = [
        each for each in operation.parameters if each in operation.inQuery() or f"{{{each.name}}}" in path
    ]
    described: dict[str, Any] = {
        "operationId": operation.name + suffix,
        "summary": operation.summary[0].upper() + operation.summary[1:],
        "responses": _responses(operation),
    }
    if suffix:
        described["summary"] += f", of a kind that has one: there is no {inPath}"
    parameters = [_parameter(each, path) for each in given]
    if operation.tagged and operation.changes:
        parameters.append(_condition("If-Match", "The ETag that the section must still have."))
    if operation.tagged and operation.body is not None:
        parameters.append(_condition("If-None-Match", "With *: there must be no such section yet."))
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        content = {JSON: {"schema": schemaOf(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _parameter(parameter: Parameter, path: str) -> dict[str, Any]:
    isInPath = f"{{{parameter.name}}}" in path
    schema = schemaOf(parameter.type)
    if parameter.default is not UNSET and not isInPath:
        schema = {**schema, "default": parameter.default}
    return {
        "name": parameter.name,
        "in": "path" if isInPath else "query",
        "required": isInPath or parameter.default is UNSET,
        "description": parameter.summary[0].upper() + parameter.summary[1:] + ".",
        "schema": schema,
    }


def _condition(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def _responses(operation: Operation) -> dict[str, Any]:
    good: dict[str, Any] = {
        "description": "It went well.",
        "content": {JSON: {"schema": schemaOf(operation.answer)}},
    }
    if operation.tagged:
        good["headers"] = {
            "ETag": {"description": "What names this state of the section.", "schema": {"type": "string"}}
        }
    problem = {"schema": schemaOf(Problem)}
    return {
        str(operation.status): good,
        **{
            str(status): {"description": _PROBLEMS[status], "content": {PROBLEM: problem}}
            for status in problemsOf(operation)
        },
    }


def problemsOf(operation: Operation) -> list[int]:
    """
    Which statuses an operation has beside its own.
    """
    found = {400, 401, 403}
    if operation.parameters:
        found.add(404)
    if operation.changes and (operation.body is not None or operation.tagged):
        found |= {409, 422}
    if operation.body is not None:
        found |= {413, 415, 422}
    if operation.tagged and operation.changes:
        found.add(412)
    return sorted(found)
