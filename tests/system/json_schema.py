"""Is a value what a JSON Schema (the part of 2020-12 that the OpenAPI document uses) says? And is the schema known whole?"""
import datetime
import re
import uuid

ANNOTATIONS = {"description", "title", "default", "readOnly", "writeOnly", "examples", "contentEncoding", "deprecated"}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def is_type(value, name):
    if name in ("integer", "number"):
        return isinstance(value, (int, float) if name == "number" else int) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def check_format(value, name):
    if name == "uuid":
        uuid.UUID(value)
    elif name == "date-time":
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value), value
        datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    else:
        assert name == "uri-reference", f"unknown format {name}"


def matches(document, schema, value):
    try:
        validate(document, schema, value)
        return True
    except (AssertionError, ValueError):
        return False


def resolve(document, schema):
    while "$ref" in schema:
        assert schema["$ref"].startswith("#/"), schema
        target = document
        for part in schema["$ref"][2:].split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        schema = target
    return schema


def validate(document, schema, value, at="$"):
    """Asserts; an unknown keyword is an error too, so that nothing passes by not being looked at."""
    schema = resolve(document, schema)
    for keyword, given in schema.items():
        if keyword in ANNOTATIONS or keyword in ("additionalProperties", "required", "properties", "items"):
            continue
        if keyword == "type":
            names = given if isinstance(given, list) else [given]
            assert any(is_type(value, name) for name in names), f"{at}: {value!r} is no {names}"
        elif keyword == "enum":
            assert value in given, f"{at}: {value!r} is none of {given}"
        elif keyword in ("oneOf", "anyOf"):
            count = sum(matches(document, one, value) for one in given)
            assert count == 1 or (keyword == "anyOf" and count > 1), f"{at}: matches {count} of {keyword}"
        elif keyword in ("minimum", "maximum"):
            if is_type(value, "number"):
                assert value >= given if keyword == "minimum" else value <= given, f"{at}: {value} {keyword} {given}"
        elif keyword in ("minLength", "maxLength", "pattern", "format"):
            if isinstance(value, str):
                check_text(keyword, given, value, at)
        elif keyword in ("minItems", "maxItems", "minProperties"):
            if isinstance(value, (list, dict)):
                assert len(value) <= given if keyword == "maxItems" else len(value) >= given, f"{at}: {keyword}"
        else:
            raise AssertionError(f"{at}: the keyword {keyword} is not known here")
    if isinstance(value, dict):
        validate_members(document, schema, value, at)
    if isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            validate(document, schema["items"], item, f"{at}[{number}]")


def check_text(keyword, given, value, at):
    if keyword == "pattern":
        assert re.search(given, value), f"{at}: {value!r} does not match {given}"
    elif keyword == "format":
        check_format(value, given)
    else:
        assert len(value) >= given if keyword == "minLength" else len(value) <= given, f"{at}: {keyword} {given}"


def validate_members(document, schema, value, at, strict=True):
    known = schema.get("properties", {})
    for name in schema.get("required", []):
        assert name in value, f"{at}: {name} is missing"
    for name, member in value.items():
        if name in known:
            validate(document, known[name], member, f"{at}.{name}")
        elif known and strict:
            raise AssertionError(f"{at}: {name} is not described")
