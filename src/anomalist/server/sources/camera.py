"""A camera, a stream or a film: a picture every so often is inspected."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from anomalist.errors import ParameterError
from anomalist.server.addresses import Place
from anomalist.server.inspecting import Inspector, Upload
from anomalist.server.sources.source import Source

Pixels = npt.NDArray[np.uint8]
# A camera that says nothing for so long is opened again.
_PATIENCE_MS = 5000
_RETRY_S = 2.0


class CameraSource(Source):
    """Inspects what a camera shows, a picture every so many seconds.

    Pictures in between are passed over, so that each is of now; a picture that comes while the one
    before is still being inspected is one of these. Of a film each is taken, by its own clock, and
    at its end the source ends. A camera that is gone is opened again until it is back. Pictures are
    kept as PNG, without loss.

    Parameters
    ----------
    place : Place
        Its address is a device's number, a film's file, or what OpenCV opens, as ``rtsp://...``.
    inspector : Inspector
        Takes pictures.
    seconds : float
        Time between two pictures.

    Raises
    ------
    ParameterError
        If OpenCV isn't installed.
    """

    kind = "camera"

    def __init__(self, place: Place, inspector: Inspector, seconds: float) -> None:
        super().__init__(f"camera {place.camera}", inspector)
        self._place, self._seconds = place, seconds
        self._cv2 = _opencv()

    def bring(self) -> None:
        """Take pictures until it is stopped, or the film ends."""
        film = Path(self._place.address).is_file()
        while not self._stopped.is_set():
            capture = self._open(film)
            try:
                if capture.isOpened():
                    self.tell(None)
                    for number, pixels in self._film(capture) if film else self._live(capture):
                        self._take(number, pixels)
            finally:
                capture.release()
            if film:
                if not self.brought:
                    self.tell(f"{self._place.address} shows nothing")
                return
            if not self._stopped.is_set():
                self.tell(f"{self._shown()} shows nothing; opening it again")
                self.wait(_RETRY_S)

    def _open(self, film: bool) -> Any:
        cv2, address = self._cv2, self._place.address
        if film or address.isdigit():
            return cv2.VideoCapture(int(address) if address.isdigit() and not film else address)
        patience = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _PATIENCE_MS),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, _PATIENCE_MS),
        ]
        return cv2.VideoCapture(address, cv2.CAP_FFMPEG, patience)

    def _live(self, capture: Any) -> Iterator[tuple[int, Pixels]]:
        """Take every picture out of the camera's buffer, and yield one when it is due."""
        due, number = time.monotonic(), 0
        while not self._stopped.is_set() and capture.grab():
            now = time.monotonic()
            if now < due:
                continue
            due = max(due + self._seconds, now)
            whole, pixels = capture.retrieve()
            if whole:
                number += 1
                yield number, pixels

    def _film(self, capture: Any) -> Iterator[tuple[int, Pixels]]:
        rate = capture.get(self._cv2.CAP_PROP_FPS)
        each = max(round(self._seconds * rate), 1) if rate > 0 else 1
        number = 0
        while not self._stopped.is_set() and capture.grab():
            if number % each == 0:
                whole, pixels = capture.retrieve()
                if whole:
                    yield number, pixels
            number += 1

    def _take(self, number: int, pixels: Pixels) -> None:
        # Little effort at packing: it is done for each picture, and disks are large.
        done, data = self._cv2.imencode(".png", pixels, [self._cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not done:
            self.failed += 1
            return
        when = time.strftime("%Y-%m-%d %H.%M.%S")
        upload = Upload(
            name=f"{self._place.camera} {when} {number}.png",
            data=data.tobytes(),
            source=self.kind,
            camera=self._place.camera,
        )
        self.inspect([upload], self._place.model)

    def _shown(self) -> str:
        """Its address, without a password."""
        address = self._place.address
        parts = urlsplit(address)
        if parts.password is None:
            return address
        return address.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise ParameterError(
            f"a camera takes OpenCV: pip install 'anomalist[camera]' ({error})"
        ) from None
    module: ModuleType = cv2
    return module
