from __future__ import annotations

from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from tests.server.conftest import picture


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_was_inspected_and_asked_is_counted(client: TestClient) -> None:
    files = [("file", ("a.png", picture(100, defect=True))), ("file", ("b.png", b"no image"))]
    client.post("/v1/inspect?model=part", files=files)
    client.get("/v1/inspections/nothing")
    client.get("/no/route/at/all")
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    found = samples(answer.text)
    assert all(name.startswith("anomalist_") for name, _ in found)

    def value(name: str, **labels: str) -> float:
        return found[name, frozenset(labels.items())]

    assert (
        value("anomalist_inspections_total", model="part", decision="anomalous", source="http") == 1
    )
    assert value("anomalist_inspection_seconds_count", model="part") == 1
    assert value("anomalist_answering_version", model="part") == 1
    assert value("anomalist_drift_warnings_open", model="part") == 0
    assert value("anomalist_refits_under_way") == 0
    assert value("anomalist_disk_free_bytes") > 0
    assert value("anomalist_process_resident_memory_bytes") > 0
    assert value("anomalist_requests_total", method="POST", route="/v1/inspect", status="200") == 1
    assert (
        value(
            "anomalist_requests_total",
            method="GET",
            route="/v1/inspections/{inspection_id}",
            status="404",
        )
        == 1
    )
    assert value("anomalist_requests_total", method="GET", route="other", status="404") == 1
    openmetrics = client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert openmetrics.text.endswith("# EOF\n")
