"""The OpenAPI schema, and a short run of schemathesis; the long one is a trial."""

import json
from dataclasses import fields

import pytest

from suraksha.types import Lesion
from suraksha.web.schemas import (
    FailedFile,
    FrameRecord,
    LesionRecord,
    MeasureResponse,
    SegmentResponse,
)

POSTS = {"/v1/segment", "/v1/frames", "/v1/measure", "/v1/export/{kind}"}


@pytest.fixture(scope="module")
def schema(client):
    return client.get("/openapi.json").json()


def test_the_schema_documents_every_route_and_error(schema):
    assert schema["paths"].keys() > POSTS
    for path in POSTS:
        post = schema["paths"][path]["post"]
        assert {"200", "401", "408", "413", "415", "422", "429", "503"} <= post["responses"].keys()
        assert "multipart/form-data" in post["requestBody"]["content"]
    assert "Research use only" in schema["info"]["description"]
    assert "http://" not in json.dumps(schema)


def test_generated_requests_conform_to_the_schema(served):
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
    assert served.leftover_files() == []


def test_the_models_equal_the_records_of_results(client, png, dicom):
    """Everything that is sent is in the schema, with its type."""
    parts = ["image", "mask", "overlay", "attention", "classes"]
    contents = (png, dicom, b"\x89PNG\r\n\x1a\nbroken")
    files = [("files", ("a", content)) for content in contents]
    sent = client.post("/v1/segment", files=files, data={"parts": parts}).json()
    model = SegmentResponse.model_validate_json(json.dumps(sent), strict=True)
    assert json.loads(model.model_dump_json(exclude_unset=True)) == sent
    assert [type(result) for result in model.results] == [FrameRecord, FrameRecord, FailedFile]
    lesion_fields = {field.name for field in fields(Lesion)} - {"contour"}
    assert LesionRecord.model_fields.keys() == lesion_fields
    assert sent["results"][0]["lesions"][0].keys() == lesion_fields


def test_measurements_equal_their_model(client):
    form = {"polygons": "[[[10, 10], [10, 50], [40, 50]]]", "rows": "60", "columns": "80"}
    sent = client.post("/v1/measure", files={key: (None, text) for key, text in form.items()})
    model = MeasureResponse.model_validate_json(sent.text, strict=True)
    assert json.loads(model.model_dump_json(exclude_unset=True)) == sent.json()
    assert len(model.lesions) == len(model.contours) == 1


def test_a_generated_client_has_a_type_for_lesions(schema):
    models = schema["components"]["schemas"]
    response = models["SegmentResponse"]["properties"]["results"]["items"]["anyOf"]
    assert {"$ref": "#/components/schemas/FrameRecord"} in response
    lesion = models["FrameRecord"]["properties"]["lesions"]["items"]
    assert lesion == {"$ref": "#/components/schemas/LesionRecord"}
    assert models["LesionRecord"]["properties"]["area_px"]["type"] == "integer"
