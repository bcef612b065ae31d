"""Sends a running server what nobody should send, and looks whether it keeps its promises.

``python -m fuzz.server --cases 10000 --seed 0`` makes a model, starts ``anomalist serve`` as a
process of its own on SQLite (or ``--database``), and asks as nobody, as a token that inspects, one
that reviews and one that administers. Promises: no answer of 500, none that is late, none that
shows a traceback, none without its safety headers; what one token had inspected is never told to
another that may only inspect; the server lives and its database is whole at the end.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from fuzz.hostile import Asked, Hostile, Route, routes_of

_LATE_S = 30.0
_ENDLESS_S = 0.3
# Values that go far, by the name of the parameter.
KNOWN = {
    "cursor": ["1", "5"], "limit": ["1", "200"], "model": ["part"], "name": ["part"],
    "version": ["1"], "number": ["1"], "camera": ["side"], "source": ["http"], "side": ["64"],
    "decision": ["normal", "anomalous", "unsure"], "verdict": ["good", "defective", "none"],
    "role": ["inspect", "admin"], "days": ["1"], "alpha": ["0.1"], "threshold": ["9.5"],
    "from": ["2026-01-01T00:00:00Z"], "to": ["2100-01-01"], "offset": ["-60"], "next": ["/"],
    "by": ["day", "camera", "version"], "zone": ["Europe/Berlin", "UTC"], "open": ["true"],
    "sampled": ["true"], "as": ["file", "overlay", "map", "layer"], "bins": ["5"],
    "parts": ["100"], "region": ["[1, 2, 10, 10]", "1,2,10,10"], "kind": ["scratch"],
    "note": ["seen"], "min_score": ["0"], "max_score": ["1e9"], "key": ["0"],
}  # fmt: skip
# How often each asks: nobody, a wrong token, and each role.
_WHO = {"nobody": 0.1, "wrong": 0.05, "inspect": 0.45, "review": 0.2, "admin": 0.2}


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float


def send(port: int, asked: Asked) -> Answer | None:
    """Send a request; return what came back, None where the server hung up without a word."""
    began = time.monotonic()
    endless = asked.target.startswith("/v1/events")
    with socket.create_connection(("127.0.0.1", port), timeout=_LATE_S) as connection:
        try:
            connection.sendall(asked.bytes())
            if _malformed(asked):  # or it would wait for the rest
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has answered, and takes no more
        data = b""
        try:
            while True:
                if endless and data:
                    connection.settimeout(_ENDLESS_S)
                piece = connection.recv(65536)
                if not piece:
                    break
                data += piece
        except TimeoutError:
            if not endless:
                raise
        except OSError:
            pass
    while data.startswith(b"HTTP/1.1 100 "):
        data = data.partition(b"\r\n\r\n")[2]
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    found = re.match(r"HTTP/1\.1 (\d{3})", lines[0])
    if found is None:
        return None
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    return Answer(int(found[1]), headers, body, time.monotonic() - began)


def broken(asked: Asked, answer: Answer | None, who: str, hidden: list[str]) -> str:
    """Return which promise an answer breaks; nothing where it keeps all.

    Parameters
    ----------
    asked, answer : Asked and Answer
        What was sent and what came; None where nothing came.
    who : str
        Whose token it was sent with.
    hidden : list of str
        What nobody may be told but who may review.
    """
    if answer is None:
        return "" if _malformed(asked) else "hangs up without a word"
    text = answer.body.decode("utf-8", "replace")
    if answer.status >= 500 and not (answer.status == 503 and "retry-after" in answer.headers):
        return f"answers {answer.status}: {text[:200]}"
    if answer.seconds > _LATE_S:
        return f"answers after {answer.seconds:.1f} s"
    if "Traceback (most recent" in text or 'File "/' in text:
        return "shows a traceback"
    if "root:x:0:0" in text:
        return "shows a file of the machine"
    ours = "x-request-id" in answer.headers
    if not ours and answer.status != 400:
        return f"answers {answer.status} past the gate"
    if ours and "default-src 'self'" not in answer.headers.get("content-security-policy", ""):
        return "sends no policy"
    if "x-injected" in answer.headers:
        return "lets a header be written"
    if who not in ("review", "admin") and any(secret in text for secret in hidden):
        return "tells of another's inspections"
    if who in ("nobody", "wrong") and answer.status == 200 and not _open(asked):
        return "lets a stranger in"
    told = asked.method != "HEAD" and "json" in answer.headers.get("content-type", "")
    if ours and answer.status >= 400 and told and "error" not in json.loads(text):
        return "tells an error in another shape"
    return ""


def _malformed(asked: Asked) -> bool:
    """Whether HTTP itself leaves a server free to hang up."""
    lengths = [value for name, value in asked.headers if name == "Content-Length"]
    return any(value != str(len(asked.body)) for value in lengths)


def _open(asked: Asked) -> bool:
    path = asked.target.partition("?")[0]
    return path.startswith(("/healthz", "/readyz", "/sign-in", "/static/", "/docs/static/"))


def picture(seed: int, side: int = 64) -> bytes:
    """A part with noise, as PNG."""
    rng = np.random.default_rng(seed)
    samples = np.clip(rng.normal(120, 8, (side, side, 3)), 0, 255).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(samples).save(buffer, "PNG")
    return buffer.getvalue()


def make_model(folder: Path) -> None:
    """Fit a model, ``part``, into a folder."""
    from anomalist import PaDiM

    good = folder / "good"
    good.mkdir()
    for seed in range(20):
        (good / f"{seed:02}.png").write_bytes(picture(seed))
    images = sorted(good.glob("*.png"))
    detector = PaDiM(image_size=64, device="cpu").fit(images)
    detector.calibrate(images)
    (folder / "models").mkdir()
    detector.save(folder / "models" / "part.anomalist")


@dataclass
class Session:
    """A server that is asked, with what one token had inspected, which others mustn't see."""

    port: int
    tokens: Mapping[str, str | None]
    hostile: Hostile
    hidden: list[str]

    @classmethod
    def of(cls, port: int, tokens: Mapping[str, str], owner: str, routes: list[Route]) -> Session:
        """Have photographs inspected for an owner, and for the token that inspects."""
        mark = secrets.token_hex(8)
        theirs = [_inspect(port, owner, f"{mark}-{n}.png", f"{mark}-top") for n in range(3)]
        own = [_inspect(port, tokens["inspect"], f"own-{n}.png", "side") for n in range(3)]
        known = {**KNOWN, "token": [tokens["inspect"]]}
        known |= {name: [*theirs, *own] for name in ("inspection_id", "part", "after")}
        # With a token in the header, forms are those of a browser without a cookie.
        sign_in = send(port, Asked("GET", "/sign-in", (("Host", f"127.0.0.1:{port}"),
                                                       ("Connection", "close")), b""))  # fmt: skip
        form = re.search(rb'name="form_token" value="(\w+)"', sign_in.body if sign_in else b"")
        known["form_token"] = [form[1].decode()] if form else []
        return cls(
            port,
            {"nobody": None, "wrong": "anomalist_x", **tokens},
            Hostile(routes, known, [picture(100), picture(101)], f"127.0.0.1:{port}"),
            [mark],
        )

    def case(self, rng: np.random.Generator) -> tuple[str, Asked, Answer | None]:
        """Send one request; return who asked, what, and what came."""
        who = str(rng.choice(list(_WHO), p=list(_WHO.values())))
        asked = self.hostile.make(rng, self.tokens[who])
        try:
            answer = send(self.port, asked)
        except TimeoutError:
            answer = Answer(599, {}, b"nothing came", _LATE_S)
        return who, asked, answer


def _inspect(port: int, token: str, name: str, camera: str) -> str:
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = head.encode() + picture(200) + b"\r\n--x--\r\n"
    headers = {
        "Host": f"127.0.0.1:{port}",
        "Authorization": f"Bearer {token}",
        "Content-Type": "multipart/form-data; boundary=x",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    target = f"/v1/inspect?model=part&camera={camera}"
    answer = send(port, Asked("POST", target, tuple(headers.items()), body))
    assert answer is not None
    return str(json.loads(answer.body)["inspections"][0]["id"])


def application_routes(folder: Path) -> list[Route]:
    """Return the routes that a server has."""
    from anomalist.server.app import create_app
    from anomalist.server.service import Service
    from anomalist.server.settings import ServerSettings

    service = Service(ServerSettings(models=folder, state=folder / "listed"))
    routes = routes_of(create_app(service))
    service.database.close()
    # Each that is begun in earnest takes a core for a while.
    return [route for route in routes if not route.path.endswith("/refit")]


def main() -> None:
    """Run the command."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--cases", type=int, default=10_000)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--clients", type=int, default=4, help="that ask at the same time")
    arguments.add_argument("--database", default=None)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sys.exit(_run(Path(name), chosen))


def _run(folder: Path, chosen: argparse.Namespace) -> int:
    make_model(folder)
    database = chosen.database
    where = ["--state", str(folder / "state"), *(["--database", database] if database else [])]
    command = [sys.executable, "-m", "anomalist", "serve"]
    made = {
        role: subprocess.run(
            [*command, "tokens", "make", name, "--role", role, *where],
            check=True, capture_output=True, text=True,
        ).stdout.split()[-1]
        for name, role in (("a", "inspect"), ("b", "review"), ("admin", "admin"))
    }  # fmt: skip
    owner = subprocess.run(
        [*command, "tokens", "make", "owner", *where], check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    log = folder / "log"
    with log.open("w") as stream:
        options = ["--port", "0", "--max_rate", "1e6", "--logs", "json"]
        server = subprocess.Popen(
            [*command, str(folder / "models"), *where, *options],
            stderr=stream, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    try:
        assert server.stdout is not None
        answering = re.search(r":(\d+) ", server.stdout.readline())
        assert answering is not None, log.read_text()
        port = int(answering[1])
        session = Session.of(port, made, owner, application_routes(folder))
        counts, findings, seconds = _ask(server, session, chosen)
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)
    finally:
        server.kill()
    errors = [line for line in log.read_text().splitlines() if '"level": "error"' in line]
    for line in errors[:20]:
        print(line[-2000:])
    whole = _whole(folder / "state" / "anomalist.db") if database is None else "not asked"
    print(json.dumps(dict(sorted(counts.items()))))
    print(f"{sum(counts.values())} requests in {seconds:.0f} s, {findings} findings, {len(errors)}"
          f" errors logged, ended with {code}, database: {whole}")  # fmt: skip
    return int(findings > 0 or bool(errors) or code != 0 or whole not in ("ok", "not asked"))


def _ask(
    server: subprocess.Popen[str], session: Session, chosen: argparse.Namespace
) -> tuple[Counter[str], int, float]:
    counts: Counter[str] = Counter()
    findings = 0
    began = time.monotonic()

    def case(number: int) -> tuple[str, Asked, Answer | None] | None:
        if server.poll() is not None:
            return None
        return session.case(np.random.default_rng([chosen.seed, number]))

    with ThreadPoolExecutor(chosen.clients) as clients:
        for number, outcome in enumerate(clients.map(case, range(chosen.cases))):
            if outcome is None:
                print(f"FINDING {number} the server is gone ({server.returncode})")
                findings += 1
                break
            who, asked, answer = outcome
            counts[f"{who} {'nothing' if answer is None else answer.status}"] += 1
            fault = broken(asked, answer, who, session.hidden)
            if fault:
                findings += 1
                print(f"FINDING {number} {who} {asked.method} {asked.target[:200]} {fault}")
                print(f"   {asked.bytes()[:1500]!r}", flush=True)
    return counts, findings, time.monotonic() - began


def _whole(path: Path) -> str:
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()


if __name__ == "__main__":
    main()
