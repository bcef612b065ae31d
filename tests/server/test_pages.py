from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from anomalist.choosing import Choice, Row
from anomalist.detectors import PaDiM
from anomalist.server.database.tables import Inspection, now
from anomalist.server.inspecting import Upload
from anomalist.server.service import Service
from tests.server.conftest import picture

PAGES = (
    "/", "/queue", "/history", "/models/part", "/drift", "/try", "/tokens", "/audit",
)  # fmt: skip


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Pages only show what functions give that are tested with each database."""
    return sqlite_url


@pytest.fixture
def inspected(service: Service) -> list[str]:
    """The ids of a good part, then a defective one, whose name would be markup."""
    uploads = [
        Upload(name="a.png", data=picture(100), source="folder", camera="top"),
        Upload(name="<b>.png", data=picture(101, defect=True), source="page"),
    ]
    rows = [row for row in service.inspector.inspect(uploads) if isinstance(row, Inspection)]
    return [row.id for row in rows]


@pytest.fixture
def form(client: TestClient) -> dict[str, str]:
    """What a form of the page carries."""
    found = re.search(r'name="form_token" value="(\w+)"', client.get("/sign-in").text)
    assert found is not None
    return {"form_token": found[1]}


def test_before_the_first_part_the_page_says_so(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert "No part yet" in answer.text


def test_live_shows_the_last_part_by_word_and_shape(
    client: TestClient, inspected: list[str]
) -> None:
    text = client.get("/").text
    assert re.search(r'class="now defect".*?mark-defect.*?<span>Defect</span>', text, re.S)
    assert f'href="/inspections/{inspected[0]}"' in text
    assert "&lt;b&gt;.png" in text
    assert "<b>.png" not in text
    assert "<b>2</b> parts" in text


def test_live_answers_nothing_until_a_part_comes(
    client: TestClient, service: Service, inspected: list[str]
) -> None:
    state = re.search(r'"after": "([^"]+)"', client.get("/").text)
    assert state is not None
    asked = {"after": state[1]}
    assert client.get("/live/parts", params=asked).status_code == 204
    service.inspector.inspect([Upload(name="c.png", data=picture(5, defect=True), source="http")])
    fresh = client.get("/live/parts", params=asked)
    assert fresh.status_code == 200
    assert 'hx-swap-oob="innerHTML">Defect: c.png</div>' in fresh.text


def test_live_is_of_one_camera(client: TestClient, inspected: list[str]) -> None:
    text = client.get("/?camera=top&model=part").text
    assert "a.png" in text
    assert "&lt;b&gt;.png" not in text
    assert "No part yet" in client.get("/?camera=none").text


def test_the_hour_is_the_last_one(
    client: TestClient, service: Service, inspected: list[str]
) -> None:
    with service.database.session() as session:
        session.execute(
            update(Inspection)
            .where(Inspection.id == inspected[0])
            .values(at=now() - timedelta(hours=2))
        )
    assert "<b>1</b> part<" in client.get("/").text


def test_an_inspection_is_shown_whole(client: TestClient, inspected: list[str]) -> None:
    text = client.get(f"/inspections/{inspected[1]}").text
    assert f'href="/inspections/{inspected[0]}" data-key="n"' in text
    assert 'class="over"' in text
    assert client.get("/inspections/none").status_code == 404


def test_a_verdict_is_kept_and_shown(
    client: TestClient, inspected: list[str], form: dict[str, str]
) -> None:
    path = f"/inspections/{inspected[1]}"
    said = {**form, "verdict": "defective", "kind": "scratch", "region": "1,2,3.4,4"}
    answer = client.post(f"{path}/verdict", data=said, follow_redirects=False)
    assert answer.status_code == 303
    answer = client.get(path)
    assert "Defective (scratch), says local" in answer.text
    assert '<rect class="person" x="1.0" y="2.0" width="3.4" height="4.0"/>' in answer.text
    assert "Taken back" not in answer.text
    assert (
        "Taken back" in client.post(f"{path}/verdict", data={**form, "verdict": "withdrawn"}).text
    )
    assert client.post(f"{path}/verdict", data={**said, "region": "a"}).status_code == 422
    assert client.post(f"{path}/verdict", data={"verdict": "good"}).status_code == 403


def test_history_is_filtered_and_carries_its_filters(
    client: TestClient, inspected: list[str]
) -> None:
    text = client.get("/history").text
    assert all(f'href="/inspections/{one}"' in text for one in inspected)
    text = client.get("/history?decision=anomalous&camera=&min_score=&name=").text
    assert f"/inspections/{inspected[1]}?decision=anomalous" in text
    assert inspected[0] not in text
    assert "No inspection matches" in client.get("/history?verdict=good").text
    part = client.get(f"/inspections/{inspected[1]}?decision=anomalous").text
    assert inspected[0] not in part
    assert client.get("/history?min_score=much").status_code == 422


def test_history_goes_on_page_by_page(client: TestClient, service: Service) -> None:
    data = picture(3)
    service.inspector.inspect(
        [Upload(name=f"{i}.png", data=data, source="http") for i in range(52)]
    )
    first = client.get("/history").text
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following is not None
    second = client.get(following[1]).text
    assert 'rel="next"' not in second
    assert second.count('class="whole"') == 2


def test_history_counts_by_day_and_camera_and_gives_the_table(
    client: TestClient, service: Service, inspected: list[str]
) -> None:
    service.verdicts.give(inspected[0], "good", by="anna")
    service.verdicts.give(inspected[1], "defective", by="anna")
    text = client.get("/history").text
    assert 'id="counts"' not in text
    assert 'href="/v1/inspections.csv"' in text
    text = client.get("/history?by=camera&decision=anomalous").text
    found = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', text)
    assert [camera for camera, _ in found] == ["–", "top"]
    # Clopper and Pearson's interval of none of one.
    assert '0 of 1 <span class="of">0.0% (0.0% to 97.5%)</span>' in found[0][1]
    assert "none judged" in found[0][1]
    assert 'href="/v1/inspections.csv?decision=anomalous"' in text
    # The day is of the reader's zone.
    with service.database.session() as session:
        session.execute(update(Inspection).values(at=datetime(2026, 3, 1, 23, 30, tzinfo=UTC)))
    span = "from=2026-03-01T00:00&to=2026-03-04T00:00&offset=-60"
    for zone, day in (("UTC", "2026-03-01"), ("Europe/Vienna", "2026-03-02")):
        text = client.get(f"/history?by=day&zone={zone}&{span}").text
        assert re.findall(r'<th scope="row">(2026.*?)</th>', text) == [day]
    # Times of the table are those that the form asked for.
    (address,) = re.findall(r'href="(/v1/inspections.csv\?.*?)"', text)
    assert "from=2026-02-28T23%3A00%3A00%2B00%3A00" in address
    assert client.get(unescape(address)).text.count("\r\n") == 3
    assert client.get("/history?by=colour").status_code == 422
    assert client.get("/history?by=day&zone=nowhere").status_code == 422


def test_who_may_only_inspect_has_the_table_and_no_counts(
    client: TestClient, service: Service
) -> None:
    who = {"Authorization": f"Bearer {service.tokens.make('line', 'inspect')}"}
    service.tokens.make("boss", "admin")
    text = client.get("/history?by=day", headers=who).text
    assert 'name="by"' not in text
    assert 'id="counts"' not in text


def test_pages_hold_no_inline_script_or_style(client: TestClient, inspected: list[str]) -> None:
    for path in (*PAGES, f"/inspections/{inspected[0]}"):
        text = client.get(path).text
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", text), path
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text), path


def test_static_files_are_served(client: TestClient) -> None:
    for name in ("page.css", "page.js", "htmx.min.js", "icon.svg"):
        assert client.get(f"/static/{name}").status_code == 200


def test_who_signs_in_comes_where_they_wanted_to(client: TestClient, service: Service) -> None:
    token = service.tokens.make("ann", "review")
    html = {"Accept": "text/html"}
    asked = client.get("/history?decision=unsure", headers=html)
    assert asked.url.path == "/sign-in"
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', asked.text))
    wrong = client.post("/sign-in", data={**form, "token": "anomalist_no"}, headers=html)
    assert wrong.status_code == 401
    assert "This token isn't known" in wrong.text
    answer = client.post("/sign-in", data={**form, "token": token}, headers=html)
    assert str(answer.url).endswith("/history?decision=unsure")
    assert "ann" in answer.text
    assert client.get("/").status_code == 200
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', answer.text))
    assert client.post("/sign-out", data=form, headers=html).url.path == "/sign-in"
    assert client.get("/").status_code == 401


def test_who_may_only_inspect_comes_to_where_that_is_done(
    client: TestClient, service: Service, form: dict[str, str]
) -> None:
    token = service.tokens.make("line", "inspect")
    answer = client.post("/sign-in", data={**form, "token": token})
    assert answer.url.path == "/try"
    assert 'href="/queue"' not in answer.text
    assert client.get("/", headers={"Accept": "text/html"}).status_code == 403


def test_a_fault_is_told_to_people_as_a_page(client: TestClient) -> None:
    answer = client.get("/inspections/none", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "<h1>Not found</h1>" in answer.text
    assert "No inspection &#39;none&#39;." in answer.text


def test_the_queue_goes_on_to_the_next_that_waits(
    client: TestClient, service: Service, inspected: list[str], form: dict[str, str]
) -> None:
    service.inspector.inspect([Upload(name="c.png", data=picture(7, defect=True), source="http")])
    waiting = service.review.waiting()
    text = client.get("/queue").text
    assert f"{waiting} parts wait for you" in text
    begin = re.search(r'class="button first" href="([^"]+)"', text)
    assert begin is not None
    path = begin[1].partition("?")[0]
    for left in range(waiting - 1, -1, -1):
        answer = client.post(f"{path}/verdict?queue=1", data={**form, "verdict": "defective"})
        assert service.review.waiting() == left
        if left:
            assert f'href="{path}?queue=1" data-key="p"' in answer.text
            path = answer.url.path
    assert answer.url.path == "/queue"
    assert "Nothing waits" in answer.text


def test_a_photograph_that_is_dropped_in_is_inspected_and_shown(
    client: TestClient, service: Service, form: dict[str, str]
) -> None:
    files = [("file", ("a.png", picture(9, defect=True))), ("file", ("b.png", b"none"))]
    whole = client.post("/try", data=form, files=files)
    assert "<h1>Try</h1>" in whole.text
    part = client.post("/try", data=form, files=files, headers={"HX-Request": "true"}).text
    assert "<h1>" not in part
    assert re.search(r'class="now defect".*role="alert"><b>b.png</b>', part, re.S)
    nothing = client.post("/try", data=form, files=[("file", ("", b""))])
    assert 'role="alert"' in nothing.text
    assert client.post("/try", files=files).status_code == 403
    records = service.memory.page().records
    assert {record.inspection.source for record in records} == {"page"}


def test_drift_is_drawn_and_taken_note_of(
    client: TestClient, service: Service, form: dict[str, str]
) -> None:
    assert "No photograph was inspected" in client.get("/drift").text
    uploads = [
        Upload(name=f"{i}.png", data=picture(200 + i, light=0.6), source="http", camera="top")
        for i in range(24)
    ]
    service.inspector.inspect(uploads)
    service.drift.catch_up()
    text = client.get("/drift?model=part&camera=top").text
    assert text.count('<svg class="plot"') == 4
    assert "Photographs have changed" in text
    assert "Photographs have changed" in client.get("/").text
    settle = re.search(r'action="(/drift/warnings/\d+/settle)"', text)
    assert settle is not None
    after = client.post(settle[1], data=form)
    assert after.url.path == "/drift"
    assert "local took note" in after.text
    assert client.post(settle[1], data=form).status_code == 422


def test_tokens_are_made_shown_once_and_revoked(
    client: TestClient, service: Service, form: dict[str, str]
) -> None:
    admin = {"Authorization": f"Bearer {service.tokens.make('boss', 'admin')}"}
    asked = {**form, "name": "line 1", "role": "inspect", "days": ""}
    text = client.post("/tokens", data=asked, headers=admin).text
    made = re.search(r"anomalist_[\w-]+", text)
    assert made is not None
    assert service.tokens.find(made[0]) is not None
    text = client.get("/tokens", headers=admin).text
    assert made[0] not in text
    assert "line 1" in text
    client.post("/tokens/revoke", data={**form, "name": "line 1"}, headers=admin)
    assert service.tokens.find(made[0]) is None
    worse = {**asked, "name": "x", "days": "-1"}
    assert client.post("/tokens", data=worse, headers=admin).status_code == 422
    audit = client.get("/audit", headers=admin).text
    assert "token revoked" in audit
    assert audit.count("<td>token made</td>") == 2


def test_a_models_threshold_is_changed_and_who_did_so_is_told(
    client: TestClient, form: dict[str, str]
) -> None:
    assert client.get("/models").url.path == "/models/part"
    asked = {**form, "alpha": "10", "threshold": "", "note": "for a week"}
    text = client.post("/models/part/settings", data=asked).text
    assert "false alarms of 10%" in text
    assert "for a week" in text
    assert client.post("/models/part/settings", data={**asked, "alpha": "a"}).status_code == 422
    assert "Roll back" not in text


def test_a_model_that_chose_itself_shows_among_what(client: TestClient, service: Service) -> None:
    assert 'id="chosen"' not in client.get("/models/part").text
    row = Row("padim, image_size 384", "padim", {"image_size": 384}, 0, None, "no time for <b>")
    choice = Choice(PaDiM(), "padim", (row,), 1.0, 60.0, ("60 s were enough for none",))
    service.registry.answering("part").detector.summary_["choice"] = choice.as_dict()
    text = client.get("/models/part").text
    assert "Chosen among 1 candidates: padim" in text
    assert "padim, image_size 384" in text
    assert "no time for &lt;b&gt;" in text
    assert "60 s were enough for none." in text


def test_what_can_not_be_learnt_is_told(client: TestClient, form: dict[str, str]) -> None:
    html = {"Accept": "text/html"}
    answer = client.post("/models/part/refit", data=form, headers=html)
    assert answer.status_code == 422
    assert "There is nothing new to learn for part" in answer.text
    assert client.get("/models/part/refit").headers["HX-Refresh"] == "true"
    assert client.get("/models/other").status_code == 404
