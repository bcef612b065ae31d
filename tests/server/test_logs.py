from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from anomalist.server.app import create_app
from anomalist.server.logs import Form, logging_as
from anomalist.server.service import Service
from anomalist.server.settings import ServerSettings


def logged(form: Form, tmp_path: Path) -> str:
    """What is logged of three requests and a fault."""
    service = Service(ServerSettings(models=tmp_path, state=tmp_path / "state"))
    service.database.upgrade()
    stream = io.StringIO()
    client = TestClient(create_app(service), base_url="http://127.0.0.1")
    with logging_as(form, stream), client:
        client.get("/healthz")
        client.get("/v1/tokens")
        client.get("/a%0Aforged line")
        try:
            raise ZeroDivisionError("inside")
        except ZeroDivisionError:
            logging.getLogger("uvicorn.error").exception("it failed")
        logging.getLogger("uvicorn.error").info("started")
        logging.getLogger("paho").warning("gone")
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        client.post("/sign-in", content=b"no form", headers=kind)
    service.database.close()
    return stream.getvalue()


def test_each_line_is_an_object(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in logged("json", tmp_path).splitlines()]
    paths = ["/v1/tokens", "/a\nforged line", None, None, "/sign-in"]
    assert [line.get("path") for line in lines] == paths
    first, _, fault, other, _ = lines
    assert (other["logger"], other["message"]) == ("paho", "gone")
    assert first["status"] == 200
    assert first["by"] == "local"
    assert first["seconds"] > 0
    assert len(first["request"]) == 24
    assert "ZeroDivisionError: inside" in fault["traceback"]
    assert fault["level"] == "error"


def test_each_line_is_a_sentence(tmp_path: Path) -> None:
    lines = logged("text", tmp_path).splitlines()
    assert "GET /v1/tokens 200 in " in lines[0]
    assert lines[0].endswith(" for local")
    assert "GET /a\\nforged line 404" in lines[1]
    assert "error: it failed" in lines[2]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger("anomalist").level
    with logging_as("json", io.StringIO()):
        assert logging.getLogger().handlers != before[0]
    assert (logging.getLogger().handlers, logging.getLogger("anomalist").level) == before
    with pytest.raises(ValueError, match="xml"), logging_as("xml"):  # type: ignore[arg-type]
        pass
