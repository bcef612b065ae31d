"""The search by matrix products, as accelerators and graphs do it. All tests run on the CPU."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from anomalist.errors import ParameterError
from anomalist.neighbors import Index, MatrixIndex, search
from tests.fake_accelerator import ELSEWHERE, FakeAccelerator
from tests.reference.search import nearest_neighbors as brute_force

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


def vectors(count: int, dimensions: int, seed: int, offset: float = 0) -> Float32:
    drawn = np.random.default_rng(seed).standard_normal((count, dimensions)) + offset
    return drawn.astype(np.float32)


def find(queries: Float32, bank: Float32, k: int, **settings: int) -> tuple[Float32, Int64]:
    index = MatrixIndex(torch.from_numpy(bank), **settings)
    distances, indices = index.query(torch.from_numpy(queries), k)
    return distances.numpy(), indices.numpy()


@pytest.mark.parametrize("k", [1, 9, 500])
@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("rows", [None, 500, 128])
def test_nearly_equals_brute_force_on_the_cpu(k: int, offset: float, rows: int | None) -> None:
    queries, bank = vectors(60, 40, 1, offset), vectors(500, 40, 2, offset)
    distances, indices = find(queries, bank, k, rows=rows, spare=16)
    expected, _ = brute_force(queries, bank, k)
    np.testing.assert_allclose(distances, expected, rtol=1e-5)
    chosen = np.linalg.norm(queries[:, np.newaxis].astype(np.float64) - bank[indices], axis=2)
    np.testing.assert_allclose(chosen, expected, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 9])
def test_finds_the_same_without_spare_candidates_on_the_cpu(k: int) -> None:
    queries, bank = vectors(30, 8, 1, 5), vectors(100, 8, 2, 5)
    expected = brute_force(queries, bank, k)
    distances, indices = find(queries, bank, k, rows=32)
    np.testing.assert_allclose(distances, expected[0], rtol=1e-5)
    np.testing.assert_array_equal(indices, expected[1])


@pytest.mark.parametrize("rows", [None, 2])
def test_ties_go_to_the_lowest_index_on_the_cpu(rows: int | None) -> None:
    bank = np.arange(20, dtype=np.float32).reshape(10, 2)[[3, 1, 3, 1, 5]]
    _, indices = find(bank[:2], bank, 3, rows=rows, spare=16)
    np.testing.assert_array_equal(indices, [[0, 2, 1], [1, 3, 0]])


class TestIndexOnAFakeAccelerator:
    """The real path from ``Index(tensor)`` on, on the CPU: its tensors say they are elsewhere."""

    def test_ten_queries_upload_and_centre_the_bank_once(self) -> None:
        bank = vectors(500, 40, 2)
        with FakeAccelerator() as device:
            index = Index(torch.from_numpy(bank).to(ELSEWHERE))
            made = [done for done in device.operations if (500, 40) in done.inputs]
            assert sum(done.name == "mean" for done in made) == 1
            for seed in range(10):
                queries = torch.from_numpy(vectors(60, 40, seed)).to(ELSEWHERE)
                distances, indices = index.query(queries, 3)
                assert distances.device == indices.device == ELSEWHERE
                expected, _ = brute_force(vectors(60, 40, seed), bank, 3)
                np.testing.assert_allclose(distances.cpu().numpy(), expected, rtol=1e-5)
        queried = [d.name for d in device.operations if (500, 40) in d.inputs][len(made) :]
        assert set(queried) == {"index"}  # of the candidates; nothing else reads the bank
        assert len(queried) == 10
        assert device.uploads == [(500, 40), *[(60, 40)] * 10]
        assert (500, 40) not in device.downloads

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
    def test_no_float64_tensor_arises(self, dtype: torch.dtype) -> None:
        with FakeAccelerator() as device:
            index = Index(torch.from_numpy(vectors(50, 8, 2)).to(ELSEWHERE, dtype))
            index.query(torch.from_numpy(vectors(9, 8, 1)).to(ELSEWHERE, dtype), 3)
        assert torch.float32 in device.dtypes
        assert torch.float64 not in device.dtypes

    def test_chunks_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        queries, bank = torch.from_numpy(vectors(60, 40, 1)), torch.from_numpy(vectors(500, 40, 2))
        found = []
        for chunk in (search.TENSOR_CHUNK, 7 * 19 * 40):
            monkeypatch.setattr(search, "TENSOR_CHUNK", chunk)
            with FakeAccelerator() as device:
                index = Index(bank.to(ELSEWHERE))
                found.append([x.cpu() for x in index.query(queries.to(ELSEWHERE), 3)])
        assert sum(done.name == "addmm" for done in device.operations) == 9
        torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-6, atol=0)
        assert torch.equal(found[1][1], found[0][1])

    def test_no_queries_have_no_neighbours(self) -> None:
        with FakeAccelerator():
            index = Index(torch.from_numpy(vectors(50, 8, 2)).to(ELSEWHERE))
            distances, indices = index.query(torch.empty(0, 8).to(ELSEWHERE), 3)
        assert distances.shape == indices.shape == (0, 3)

    def test_devices_must_agree(self) -> None:
        with FakeAccelerator():
            index = Index(torch.from_numpy(vectors(50, 8, 2)).to(ELSEWHERE))
            for queries in (vectors(5, 8, 1), torch.from_numpy(vectors(5, 8, 1))):
                with pytest.raises(ParameterError, match=r"on cpu and the bank on mps.*one device"):
                    index.query(queries, 1)

    @pytest.mark.parametrize(
        ("queries", "bank", "message"),
        [
            (torch.zeros(2, 4), torch.zeros(5, 3), "queries have 4 dimensions and the bank has 3"),
            (torch.zeros(2, 3), torch.zeros(0, 3), "bank is empty"),
            (torch.full((1, 3), torch.nan), torch.zeros(5, 3), "queries must be finite"),
            (torch.zeros(2, 3), torch.full((1, 3), torch.inf), "bank must be finite"),
            (torch.zeros(3), torch.zeros(5, 3), "queries must be a matrix"),
        ],
    )
    def test_says_what_is_wrong(
        self, queries: torch.Tensor, bank: torch.Tensor, message: str
    ) -> None:
        with FakeAccelerator(), pytest.raises(ParameterError, match=message):
            Index(bank.to(ELSEWHERE)).query(queries.to(ELSEWHERE), 1)


def test_tensors_stay_on_the_meta_device() -> None:
    index = MatrixIndex(torch.empty(30, 4, device="meta"), spare=16)
    distances, indices = index.query(torch.empty(6, 4, device="meta"), 2)
    assert (distances.device.type, distances.dtype, distances.shape) == (
        "meta",
        torch.float32,
        (6, 2),
    )
    assert (indices.device.type, indices.dtype) == ("meta", torch.int64)
