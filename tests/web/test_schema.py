"""Schemathesis against the server for a short while: what it says of itself holds, and no 500.

The long run is trials/web_schemathesis.py.
"""

import json

import pytest

POSTS = {"/v1/segment", "/v1/frames", "/v1/measure", "/v1/export/{kind}"}


@pytest.fixture(scope="module")
def schema(client):
    return client.get("/openapi.json").json()


def test_the_schema_tells_what_there_is(schema):
    assert schema["paths"].keys() > POSTS
    for path in POSTS:
        post = schema["paths"][path]["post"]
        assert {"200", "401", "408", "413", "415", "422", "429", "503"} <= post["responses"].keys()
        assert "multipart/form-data" in post["requestBody"]["content"]
    assert "Research use only" in schema["info"]["description"]
    assert "http://" not in json.dumps(schema)


def test_made_up_requests_never_make_a_500(served):
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings

    from .fuzz import CHECKS, operations

    tried = set()
    for operation in operations(served.address):

        @given(case=operation.as_strategy())
        @settings(
            max_examples=10,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def one(case):
            tried.add((case.method, case.path))
            case.call_and_validate(timeout=30, checks=CHECKS)

        one()
    assert {path for _, path in tried} >= POSTS
    assert schemathesis.__version__ >= "4"
    assert " 500 " not in served.log
    assert served.left_files() == []
