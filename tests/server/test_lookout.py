from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from anomalist.server.service import Service
from tests.server.conftest import picture

boto3 = pytest.importorskip("boto3")
botocore = pytest.importorskip("botocore.exceptions")

# The one operation that is needed, as clients describe services to themselves: newer ones have
# forgotten this one.
_SERVICE: dict[str, Any] = {
    "version": "2.0",
    "metadata": {
        "apiVersion": "2020-11-20",
        "endpointPrefix": "lookoutvision",
        "protocol": "rest-json",
        "serviceFullName": "Vision",
        "serviceId": "LookoutVision",
        "signatureVersion": "v4",
        "signingName": "lookoutvision",
        "uid": "lookoutvision-2020-11-20",
    },
    "operations": {
        "DetectAnomalies": {
            "name": "DetectAnomalies",
            "http": {
                "method": "POST",
                "requestUri": "/2020-11-20/projects/{projectName}/models/{modelVersion}/detect",
            },
            "input": {"shape": "Asked"},
            "output": {"shape": "Answer"},
            "errors": [{"shape": "ResourceNotFoundException"}],
        }
    },
    "shapes": {
        "Asked": {
            "type": "structure",
            "required": ["ProjectName", "ModelVersion", "Body", "ContentType"],
            "members": {
                "ProjectName": {
                    "shape": "Text", "location": "uri", "locationName": "projectName",
                },
                "ModelVersion": {
                    "shape": "Text", "location": "uri", "locationName": "modelVersion",
                },
                "Body": {"shape": "Stream"},
                "ContentType": {
                    "shape": "Text", "location": "header", "locationName": "content-type",
                },
            },
            "payload": "Body",
        },
        "Answer": {"type": "structure", "members": {"DetectAnomalyResult": {"shape": "Result"}}},
        "Result": {
            "type": "structure",
            "members": {
                "Source": {"shape": "Source"},
                "IsAnomalous": {"shape": "Yes"},
                "Confidence": {"shape": "Number"},
                "Anomalies": {"shape": "Anomalies"},
                "AnomalyMask": {"shape": "Blob"},
            },
        },
        "Source": {"type": "structure", "members": {"Type": {"shape": "Text"}}},
        "Anomalies": {"type": "list", "member": {"shape": "Anomaly"}},
        "Anomaly": {
            "type": "structure",
            "members": {"Name": {"shape": "Text"}, "PixelAnomaly": {"shape": "PixelAnomaly"}},
        },
        "PixelAnomaly": {
            "type": "structure",
            "members": {"TotalPercentageArea": {"shape": "Number"}, "Color": {"shape": "Text"}},
        },
        "ResourceNotFoundException": {
            "type": "structure",
            "members": {"Message": {"shape": "Text"}},
            "error": {"httpStatusCode": 404},
            "exception": True,
        },
        "Text": {"type": "string"},
        "Stream": {"type": "blob", "streaming": True},
        "Blob": {"type": "blob"},
        "Yes": {"type": "boolean"},
        "Number": {"type": "float"},
    },
}  # fmt: skip


def vision(folder: Path, address: str, **more: Any) -> Any:
    """Amazon's client, pointed at a server."""
    models = folder / "botocore" / "lookoutvision" / "2020-11-20"
    models.mkdir(parents=True)
    (models / "service-2.json").write_text(json.dumps(_SERVICE))
    session = boto3.Session(
        aws_access_key_id="any", aws_secret_access_key="any", region_name="eu-west-1", **more
    )
    session._loader.search_paths.append(str(folder / "botocore"))
    return session.client("lookoutvision", endpoint_url=f"http://{address}")


def detect(client: Any, data: bytes, project: str = "part", version: str = "1") -> Any:
    answer = client.detect_anomalies(
        ProjectName=project, ModelVersion=version, Body=data, ContentType="image/png"
    )
    return answer["DetectAnomalyResult"]


def test_amazon_s_client_asks_and_is_answered(
    tmp_path: Path,
    service: Service,
    address: str,
) -> None:
    client = vision(tmp_path, address, aws_session_token=service.tokens.make("line", "inspect"))
    bad = detect(client, picture(101, defect=True))
    assert bad["IsAnomalous"] is True
    assert bad["Confidence"] > 0.9
    assert bad["Source"] == {"Type": "direct"}
    assert [one["Name"] for one in bad["Anomalies"]] == ["background", "anomaly"]
    mask = np.asarray(Image.open(io.BytesIO(bad["AnomalyMask"])))
    marked = (mask != 255).any(axis=2)
    area = bad["Anomalies"][1]["PixelAnomaly"]
    assert area["TotalPercentageArea"] == pytest.approx(marked.mean())
    assert marked.shape == (64, 64)
    good = detect(client, picture(3), version="$LATEST")
    assert good["IsAnomalous"] is False
    assert [one["Name"] for one in good["Anomalies"]] == ["background"]
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="no model 'other'"):
        detect(client, picture(1), project="other")
    with pytest.raises(botocore.ClientError, match="ValidationException"):
        detect(client, b"no image")
    record = service.memory.page().records[0]
    assert record.inspection.token_id is not None


def test_without_its_token_nobody_is_answered(client: TestClient, service: Service) -> None:
    where = "/2020-11-20/projects/part/models/1/detect"
    assert client.post(where, content=picture(1)).status_code == 200
    service.tokens.make("line", "inspect")
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=any", "X-Amz-Security-Token": "wrong"}
    assert client.post(where, content=picture(1), headers=signed).status_code == 401


def test_what_is_wrong_is_told_in_its_shape(client: TestClient) -> None:
    answer = client.post("/2020-11-20/projects/part/models/9/detect", content=picture(1))
    assert answer.status_code == 404
    assert answer.headers["x-amzn-errortype"] == "ResourceNotFoundException"
    assert "1 does" in answer.json()["Message"]
    empty = client.post("/2020-11-20/projects/part/models/1/detect", content=b"")
    assert empty.status_code == 400
