from __future__ import annotations

import os
from pathlib import Path

import pytest

from anomalist import PatchCore
from anomalist.errors import ParameterError
from anomalist.inspection import fit_parts, open_parts


def test_a_batch_that_memory_cannot_hold_is_refused(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.sysconf
    # A gigabyte, in pages.
    small = {"SC_PHYS_PAGES": 2**30 // real("SC_PAGE_SIZE")}
    monkeypatch.setattr(os, "sysconf", lambda name: small.get(name) or real(name))
    detector = PatchCore(image_size=4000, batch_size=1000, device="cpu")
    with pytest.raises(ParameterError, match=r"a batch of 6 images of 4000 x 4000 .* 4 GB .* 1 GB"):
        fit_parts(detector, open_parts(dots), tmp_path / "new" / "dot.anomalist")
    assert not (tmp_path / "new").exists()
