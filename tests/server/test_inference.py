from __future__ import annotations

import base64
import gzip
import io
import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from anomalist.server.service import Service
from tests.server.conftest import picture

triton = pytest.importorskip("tritonclient.http")


def score_of(client: TestClient, data: bytes) -> float:
    found: float = client.post("/v1/inspect", content=data).json()["inspections"][0]["score"]
    return found


def request_of(datatype: str, shape: list[int], data: Any, **more: Any) -> dict[str, Any]:
    tensor = {"name": "image", "datatype": datatype, "shape": shape, "data": data}
    return {"inputs": [tensor], **more}


def test_triton_s_client_asks_and_is_answered(
    address: str, client: TestClient, service: Service
) -> None:
    asking = triton.InferenceServerClient(address)
    assert asking.is_server_live()
    assert asking.is_server_ready()
    assert asking.is_model_ready("part")
    assert not asking.is_model_ready("other")
    assert asking.get_server_metadata()["name"] == "anomalist"
    told = asking.get_model_metadata("part")
    assert told["versions"] == ["1"]
    assert told["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    good, bad = picture(100), picture(101, defect=True)
    tensor = triton.InferInput("image", [2], "BYTES")
    tensor.set_data_from_numpy(np.array([good, bad], object), binary_data=True)
    found = asking.infer("part", [tensor], request_id="shift 1")
    assert found.get_response()["id"] == "shift 1"
    scores = found.as_numpy("score")
    assert scores.dtype == np.float64
    assert found.as_numpy("decision").tolist()[1] == b"anomalous"
    with service.database.reading() as session:
        kept = service.memory.page().records
        del session
    assert [r.inspection.id.encode() for r in kept[::-1]] == found.as_numpy("inspection").tolist()
    one = triton.InferInput("image", [1], "BYTES")
    one.set_data_from_numpy(np.array([good], object), binary_data=True)
    for packing in (None, "gzip", "deflate"):
        outputs = [
            triton.InferRequestedOutput("score", binary_data=False),
            triton.InferRequestedOutput("heatmap", binary_data=True),
        ]
        alone = asking.infer(
            "part", [one], outputs=outputs, model_version="1", request_compression_algorithm=packing
        )
        assert alone.as_numpy("score").tolist() == [score_of(client, good)]
        assert alone.as_numpy("heatmap").shape == (1, 64, 64)
    with pytest.raises(triton.InferenceServerException, match="version 7 of part"):
        asking.infer("part", [one], model_version="7")
    asking.close()


def test_pixels_are_taken_as_well(address: str, client: TestClient) -> None:
    asking = triton.InferenceServerClient(address)
    pixels = np.asarray(Image.open(io.BytesIO(picture(100))))
    for shape in ((1, 64, 64, 3), (64, 64, 3)):
        tensor = triton.InferInput("image", shape, "UINT8")
        tensor.set_data_from_numpy(pixels.reshape(shape), binary_data=True)
        scores = asking.infer("part", [tensor]).as_numpy("score")
        assert scores.tolist() == [score_of(client, picture(100))]
    asking.close()


def test_json_alone_does(client: TestClient) -> None:
    asked = request_of("BYTES", [1], [base64.b64encode(picture(100)).decode()])
    answer = client.post("/v2/models/part/infer", json=asked).json()
    outputs = {one["name"]: one["data"] for one in answer["outputs"]}
    assert outputs["score"] == [score_of(client, picture(100))]
    assert "heatmap" not in outputs
    grey = request_of("UINT8", [16, 16], [[7] * 16] * 16, outputs=[{"name": "score"}])
    assert client.post("/v2/models/part/infer", json=grey).status_code == 200


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([], "JSON object"),
        ({}, "one tensor"),
        ({"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}, "called"),
        (request_of("BYTES", [1], ["no base64!"]), "base64"),
        (request_of("BYTES", [2], ["AAAA"]), "has 1 elements"),
        (request_of("BYTES", [-1], ["AAAA"]), "shape"),
        (request_of("BYTES", [1], ["AAAA"]), "isn't an image"),
        (request_of("BYTES", [65], ["AAAA"] * 65), "at most 64"),
        (request_of("FP32", [1, 2, 2, 3], [0.5] * 12), "not of FP32"),
        (request_of("UINT8", [2, 2, 3], [256] * 12), "0 to 255"),
        (request_of("UINT8", [2, 2, 3], [1] * 11), "has 11 elements"),
        (request_of("UINT8", [2, 2, 4], [1] * 16), "shape"),
        (request_of("UINT8", [2, 2, 3], [1] * 12, outputs=[{"name": "mask"}]), "one of score"),
        (request_of("UINT8", [2, 2, 3], [1] * 12, outputs={"name": "score"}), "outputs is a list"),
    ],
)
def test_what_is_no_request_is_told(client: TestClient, asked: Any, told: str) -> None:
    answer = client.post("/v2/models/part/infer", json=asked)
    assert answer.status_code == 422
    assert told in answer.json()["error"]


def test_bodies_that_lie_are_told(client: TestClient) -> None:
    body = json.dumps({"inputs": []}).encode()
    where = "/v2/models/part/infer"
    for headers, content, told in (
        ({"Inference-Header-Content-Length": "999"}, body, "of a body of"),
        ({"Inference-Header-Content-Length": "x"}, body, "of a body of"),
        ({"Content-Encoding": "gzip"}, body, "no gzip"),
        ({"Content-Encoding": "br"}, body, "gzip or deflate"),
        ({"Content-Encoding": "gzip"}, gzip.compress(bytes(60_000_000)), "unpacked"),
    ):
        answer = client.post(where, content=content, headers=headers)
        assert answer.status_code == 422, answer.text
        assert told in answer.json()["error"]
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1]}
    cut = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": 6}}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(cut))}
    for data, told in ((b"\x09\0\0\0ab", "cut short"), (b"ab", "bytes came")):
        answer = client.post(where, content=cut + data, headers=headers)
        assert told in answer.json()["error"]
