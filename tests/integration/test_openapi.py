"""openapi.json says what is so: it is a valid OpenAPI 3.1 document, has every route, and real answers
fit its schemas.

swagger-parser (npm, which `make test` does not need) is the reference for the first; the rules that
a document of ours can break are here.
"""
import re
import subprocess
import uuid

import jsonschema
import pytest

from conftest import BUILD

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

# Objects of OpenAPI 3.1: the members they must have and may have.
OBJECTS = {
    "document": ("openapi info paths", "servers components tags security externalDocs"),
    "info": ("title version", "summary description termsOfService contact license"),
    "license": ("name", "identifier url"),
    "path": ("", "summary description servers parameters " + " ".join(VERBS)),
    "operation": ("responses", "tags summary description externalDocs operationId parameters requestBody "
                  "callbacks deprecated security servers"),
    "parameter": ("name in schema", "description required deprecated style explode example examples"),
    "body": ("content", "description required"),
    "media": ("schema", "example examples encoding"),
    "response": ("description", "headers content links"),
    "header": ("schema", "description required deprecated example examples"),
    "components": ("", "schemas responses parameters requestBodies headers"),
}


@pytest.fixture(scope="module")
def api(module_stack):
    module_stack.start_api()
    module_stack.start_consumer()
    return module_stack


@pytest.fixture(scope="module")
def document(api):
    answer = api.get("/openapi.json")
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    return answer.json()


def resolve(document, node):
    """The node, or what its $ref points to; KeyError where that is nothing."""
    while "$ref" in node:
        assert set(node) == {"$ref"} and node["$ref"].startswith("#/"), node
        found = document
        for step in node["$ref"][2:].split("/"):
            found = found[step]
        node = found
    return node


def operations(document):
    """(path, verb, operation, the path's own parameters)"""
    for path, item in document["paths"].items():
        for verb in VERBS:
            if verb in item:
                yield path, verb, item[verb], item.get("parameters", [])


def check_valid(document):
    """Fails where it is no valid OpenAPI 3.1."""
    wrong = []

    def check(kind, where, node):
        must, may = (set(names.split()) for names in OBJECTS[kind])
        node = resolve(document, node)
        if must - set(node):
            wrong.append(f"{where} lacks {sorted(must - set(node))}")
        if set(node) - must - may:
            wrong.append(f"{where} has {sorted(set(node) - must - may)}, unknown in a {kind}")
        return node

    def check_content(where, node):
        for kind, media in node.get("content", {}).items():
            schema = check("media", f"{where} {kind}", media)["schema"]
            jsonschema.Draft202012Validator.check_schema(schema)

    check("document", "document", document)
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    licence = check("license", "license", check("info", "info", document["info"])["license"])
    if ("identifier" in licence) == ("url" in licence):
        wrong.append("license has one of identifier and url")
    for path, item in document["paths"].items():
        check("path", path, item)
    names = []
    for path, verb, operation, common in operations(document):
        where = f"{verb} {path}"
        check("operation", where, operation)
        names.append(operation["operationId"])
        parameters = [check("parameter", where, p) for p in common + operation.get("parameters", [])]
        for p in parameters:
            if p["in"] == "path" and p.get("required") is not True:
                wrong.append(f"{where}: {p['name']} of the path must be required")
        if {p["name"] for p in parameters if p["in"] == "path"} != set(re.findall(r"\{(\w+)\}", path)):
            wrong.append(f"{where}: the path's parameters are not those declared")
        if "requestBody" in operation:
            check_content(where, check("body", where, operation["requestBody"]))
        for status, response in operation["responses"].items():
            if not re.fullmatch(r"[1-5]\d\d|default", status):
                wrong.append(f"{where}: status {status}")
            response = check("response", f"{where} {status}", response)
            check_content(f"{where} {status}", response)
            for name, header in response.get("headers", {}).items():
                check("header", f"{where} {status} {name}", header)
    assert len(names) == len(set(names)), "operationIds are unique"
    for name, schema in check("components", "components", document["components"])["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)

    # Every $ref points to something, and what may be pointed to is.
    used = set()

    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                resolve(document, node)
                used.add(node["$ref"])
            node = list(node.values())
        for child in node if isinstance(node, list) else []:
            walk(child)

    walk(document)
    there = {f"#/components/{kind}/{name}" for kind, all_ in document["components"].items() for name in all_}
    assert not wrong
    assert used == there


def test_is_valid_openapi(document):
    check_valid(document)


def test_has_every_route(document):
    """But those of resources, which are in test_resource_openapi.py."""
    listed = subprocess.run([f"{BUILD}/pgfanout-api", "--routes"], capture_output=True, text=True, check=True)
    routes = {re.sub(r":(\w+)", r"{\1}", " ".join(line.split())) for line in listed.stdout.splitlines()
              if line.strip() and ":resource" not in line}
    assert {f"{verb.upper()} {path}" for path, verb, _, _ in operations(document)} == routes


def fits(document, answer, template):
    """Fails where the answer is not what the document says of its route and status."""
    verb = answer.request.method.lower()
    response = document["paths"][template][verb]["responses"].get(str(answer.status_code))
    assert response, f"{verb} {template}: {answer.status_code} is not in the document"
    response = resolve(document, response)
    kind = answer.headers["Content-Type"].partition(";")[0]
    assert kind in response["content"], f"{verb} {template}: {kind}"
    for name, header in response.get("headers", {}).items():
        assert name in answer.headers or not header.get("required"), name
    if kind == "application/json":
        schema = {**response["content"][kind]["schema"], "components": document["components"]}
        jsonschema.validate(answer.json(), schema, jsonschema.Draft202012Validator,
                            format_checker=jsonschema.FormatChecker())
    return answer


def test_answers_fit(document, api):
    made = api.create("Lamp", "19.90", 3)
    path, one = "/api/products/" + made["id"], "/api/products/{id}"
    nobody = f"/api/products/{uuid.uuid4()}"
    new = {"name": "Cup", "price": 6, "stock": 8}
    all_, import_ = "/api/products", "/api/products/import"
    api.wait_converged()
    cases = [
        ("GET", all_, all_, 200, {}), ("GET", all_ + "?limit=1", all_, 200, {}),
        ("GET", all_ + "?limit=0", all_, 400, {}),
        ("POST", all_, all_, 201, {"json": new}), ("POST", all_, all_, 200, {"json": made}),
        ("POST", all_, all_, 400, {"data": "{", "headers": JSON}),
        ("POST", all_, all_, 413, {"data": " " * 70000, "headers": JSON}),
        ("POST", all_, all_, 415, {"data": "{}"}),
        ("POST", all_, all_, 422, {"json": {**new, "price": -1}}),
        ("POST", import_, import_, 200, {"data": '{"name":"a","price":1,"stock":1}\n{}\nx\n', "headers": NDJSON}),
        ("POST", import_, import_, 415, {"json": new}),
        ("GET", path, one, 200, {}), ("GET", nobody, one, 404, {}), ("GET", all_ + "/1", one, 400, {}),
        ("PUT", path, one, 200, {"json": made}), ("PUT", nobody, one, 201, {"json": new}),
        ("PUT", path, one, 422, {"json": {**made, "id": str(uuid.uuid4())}}),
        ("PATCH", path, one, 200, {"json": {"stock": 1}}), ("PATCH", path, one, 422, {"json": {}}),
        ("PATCH", f"/api/products/{uuid.uuid4()}", one, 404, {"json": {"stock": 1}}),
        ("DELETE", path, one, 200, {}), ("DELETE", path, one, 404, {}),
        *[("GET", p, p, 200, {}) for p in ("/health", "/ready", "/status", "/stats", "/metrics", "/openapi.json", "/")],
    ]
    for method, target, template, status, extra in cases:
        answer = api.request(method, target, **extra)
        assert answer.status_code == status, (method, target, answer.text)
        fits(document, answer, template)


# What the document's schemas of requests say, and what the API does.
BODIES = [
    {"name": "a", "price": 1, "stock": 1}, {"name": "", "price": 1, "stock": 1}, {"name": "a", "price": -1, "stock": 1},
    {"name": "a", "price": "1", "stock": 1}, {"name": "a", "price": 1, "stock": 2 ** 31}, {"name": "a", "price": 1},
    {"name": "a" * 201, "price": 1, "stock": 1}, {"name": "a", "price": 1, "stock": 1.5},
    {"name": "a", "price": 1, "stock": 1, "colour": "red"}, {"name": "a", "price": 1, "stock": 1, "version": 1},
    {"name": "a", "price": 1, "stock": 1, "createdAt": "2026-01-31T12:00:00.123456Z", "updatedAt": None},
    {"name": "a", "price": 1, "stock": 1, "id": "no-uuid"}, {"name": None, "price": 1, "stock": 1}, {},
]


@pytest.mark.parametrize("body", BODIES, ids=[str(n) for n in range(len(BODIES))])
def test_bodies_are_taken_as_the_schema_says(document, api, body):
    schema = {**document["components"]["schemas"]["NewProduct"], "components": document["components"]}
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    answer = api.post("/api/products", json=body)
    assert answer.status_code == (201 if validator.is_valid(body) else 422), answer.text
