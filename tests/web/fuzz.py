"""What schemathesis makes up about our server, for a short test and a long trial."""

import random

import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from .hostile import sound_png

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
IMAGE, CHOICE = sound_png(), random.Random(1)


def operations(address):
    """Every operation of a server's schema."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    return [found.ok() for found in schema.get_all_operations()]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Some of what is made up becomes sound, so that what lies behind is reached too."""
    body = case.body
    if not isinstance(body, dict):
        return
    for name in ("file", "files", "mask"):
        if name in body and CHOICE.random() < 0.5:
            body[name] = [IMAGE] if isinstance(body[name], list) else IMAGE
    if case.path.endswith("/measure") and CHOICE.random() < 0.3:
        body.clear()
        body.update(polygons="[[[5, 5], [5, 40], [30, 40]]]", rows=60, columns=80)
