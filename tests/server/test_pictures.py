from __future__ import annotations

import io

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from anomalist.server.service import Service
from tests.server.conftest import SIDE, picture


def inspected(client: TestClient, data: bytes, name: str = "a.png") -> dict[str, str]:
    answer = client.post("/v1/inspect", params={"name": name}, content=data)
    assert answer.status_code == 200, answer.text
    found: dict[str, str] = answer.json()["inspections"][0]
    return found


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_photograph_comes_back_as_it_came_or_smaller(client: TestClient) -> None:
    data = picture(1, defect=True)
    found = inspected(client, data)
    whole = client.get(found["photograph"])
    assert (whole.content, whole.headers["content-type"]) == (data, "image/png")
    assert "immutable" in whole.headers["cache-control"]
    small = client.get(found["photograph"], params={"side": 32})
    assert opened(small.content).size == (32, 32)
    assert small.headers["content-type"] == "image/jpeg"
    file = client.get(found["photograph"], params={"as": "file"})
    assert file.content == data
    assert file.headers["content-disposition"] == "attachment"
    assert client.get(found["photograph"], params={"side": 100_000}).status_code == 422


def test_what_browsers_do_not_show_is_made_a_picture(client: TestClient) -> None:
    deep = np.full((SIDE, SIDE), 30_000, np.uint16)
    deep[:8] = 100
    for kind in ("TIFF", "PNG"):
        buffer = io.BytesIO()
        Image.fromarray(deep).save(buffer, kind)
        found = inspected(client, buffer.getvalue(), f"a.{kind.lower()}")
        shown = client.get(found["photograph"])
        assert shown.headers["content-type"] == "image/jpeg"
        assert opened(shown.content).getpixel((40, 40)) == pytest.approx((117, 117, 117), abs=2)
        file = client.get(found["photograph"], params={"as": "file"})
        assert file.content == buffer.getvalue()
        assert file.headers["content-type"] == f"image/{kind.lower()}"


def test_a_heatmap_is_a_layer_an_overlay_or_a_map(client: TestClient) -> None:
    found = inspected(client, picture(1, defect=True))
    layer = opened(client.get(found["heatmap"]).content)
    assert (layer.mode, layer.size) == ("RGBA", (SIDE, SIDE))
    good = opened(client.get(inspected(client, picture(1))["heatmap"]).content)
    assert np.asarray(layer)[..., 3].mean() > np.asarray(good)[..., 3].mean() + 50
    overlay = opened(client.get(found["heatmap"], params={"as": "overlay"}).content)
    assert (overlay.mode, overlay.size) == ("RGB", (SIDE, SIDE))
    values = opened(client.get(found["heatmap"], params={"as": "map"}).content)
    assert (values.mode, values.size) == ("L", (SIDE, SIDE))
    assert client.get(found["heatmap"], params={"as": "other"}).status_code == 422


def test_what_is_no_longer_kept_or_never_was_is_not_found(
    client: TestClient, service: Service
) -> None:
    found = inspected(client, picture(1))
    service.photographs.path(found["sha256"]).unlink()
    answer = client.get(found["photograph"])
    assert answer.status_code == 404
    assert "no longer kept" in answer.json()["error"]
    assert client.get("/v1/inspections/nothing/photograph").status_code == 404
    assert client.get("/v1/inspections/nothing/heatmap").status_code == 404


def test_who_may_inspect_sees_pictures_of_its_own(client: TestClient, service: Service) -> None:
    tokens = {name: service.tokens.make(name, role) for name, role in
              (("a", "inspect"), ("b", "inspect"), ("c", "review"))}  # fmt: skip
    headers = {name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()}
    answer = client.post("/v1/inspect", content=picture(1), headers=headers["a"])
    found = answer.json()["inspections"][0]
    for what in ("photograph", "heatmap"):
        status = {n: client.get(found[what], headers=headers[n]).status_code for n in headers}
        assert status == {"a": 200, "b": 404, "c": 200}
