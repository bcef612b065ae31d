"""Downloads of MVTec AD and VisA: resumed after a cut, verified, extracted in their folder only."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import lzma
import re
import shutil
import stat
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from anomalist.errors import DownloadError, ParameterError
from anomalist.files import sha256_of, write_text

Progress = Callable[[int, int | None], None]

_BLOCK = 1 << 16
_HEADWAY = 1 << 20
_TIMEOUT_S = 60.0
_RETRIES = 5
_BACKOFF_S = 1.0
_MAX_MEMBERS = 200_000
# Photographs hardly compress: an archive that grows more than this is a bomb.
_MAX_EXPANSION = 20
_ALWAYS_ALLOWED_BYTES = 1 << 30
_IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
_NOTICE_FILE = "LICENCE-NOTE.txt"
_WORK_FOLDER = ".anomalist-download"


@dataclass(frozen=True)
class Archive:
    """A file to download.

    Attributes
    ----------
    url : str
        Where it is.
    sha256 : str or None
        Its SHA-256 in lower-case hexadecimal; None when nobody published one.
    size : int or None
        Its exact size in bytes; None when unknown.
    """

    url: str
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Source:
    """Where a public data set comes from and on what terms.

    Attributes
    ----------
    name : str
        The name that `download` takes.
    title : str
        The name that people know it by.
    homepage : str
        The publisher's page, which has the current links.
    licence, licence_url : str
        The licence and its text.
    terms : str
        What the licence asks for, in a sentence.
    citation : str
        What to cite.
    whole : Archive
        The archive of all categories.
    images : mapping of str to int
        The categories and the number of images (training and test) in each.
    required : tuple of str
        The folders that a category has, relative to it.
    image_folders : tuple of str
        The folders whose images `images` counts, relative to a category.
    archives : mapping of str to Archive
        Archives of single categories; empty where the publisher has only the whole.
    shared : tuple of str
        What lies beside the categories and belongs to all of them.
    """

    name: str
    title: str
    homepage: str
    licence: str
    licence_url: str
    terms: str
    citation: str
    whole: Archive
    images: Mapping[str, int]
    required: tuple[str, ...]
    image_folders: tuple[str, ...]
    archives: Mapping[str, Archive] = field(default_factory=dict)
    shared: tuple[str, ...] = ()

    @property
    def notice(self) -> str:
        """Licence, terms and citation as text for people; `download` writes it beside the data."""
        return (
            f"{self.title} ({self.homepage})\n\n"
            f"Licence: {self.licence}, {self.licence_url}\n{self.terms}\n\n"
            f"Please cite:\n{self.citation}\n"
        )


_MYDRIVE = "https://www.mydrive.ch/shares"

SOURCES: Mapping[str, Source] = {
    "mvtec_ad": Source(
        name="mvtec_ad",
        title="MVTec AD, the MVTec anomaly detection data set",
        homepage="https://www.mvtec.com/company/research/datasets/mvtec-ad/downloads",
        licence="CC BY-NC-SA 4.0",
        licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
        terms=(
            "Not for commercial use. Name MVTec Software GmbH as the author; "
            "pass on what you derive from it under the same licence."
        ),
        citation=(
            "P. Bergmann, M. Fauser, D. Sattlegger, C. Steger. MVTec AD - A Comprehensive\n"
            "Real-World Dataset for Unsupervised Anomaly Detection. CVPR 2019, pp. 9584-9592.\n"
            "P. Bergmann, K. Batzner, M. Fauser, D. Sattlegger, C. Steger. The MVTec Anomaly\n"
            "Detection Dataset. International Journal of Computer Vision 129(4), 2021."
        ),
        whole=Archive(
            f"{_MYDRIVE}/150996/b52ecdcbf521176e9db9c731f2304b27/"
            "download/420938113-1629960298/mvtec_anomaly_detection.tar.xz",
            "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
            5_264_982_680,
        ),
        images={
            "bottle": 292,
            "cable": 374,
            "capsule": 351,
            "carpet": 397,
            "grid": 342,
            "hazelnut": 501,
            "leather": 369,
            "metal_nut": 335,
            "pill": 434,
            "screw": 480,
            "tile": 347,
            "toothbrush": 102,
            "transistor": 313,
            "wood": 326,
            "zipper": 391,
        },
        required=("train/good", "test", "ground_truth"),
        image_folders=("train", "test"),
        archives={
            "bottle": Archive(
                f"{_MYDRIVE}/150452/132a93367fb17cdf968dfb5c4013f6e7/"
                "download/420937370-1629958698/bottle.tar.xz",
                "726512129cb3b1f47d4f6cd7c7fc9170db7fc209132249c788fec06029cb5dc3",
                155_880_244,
            ),
            "cable": Archive(
                f"{_MYDRIVE}/150453/10f960e07fec2838b2cd512586633a32/"
                "download/420937413-1629958794/cable.tar.xz",
                "1e3d59b80a6a8da5adf32fb0cf311c7b964cde146d6920aef9ca66380999a9cd",
            ),
            "capsule": Archive(
                f"{_MYDRIVE}/150454/e0ce6dd74eb150f46c0d98131b3703f2/"
                "download/420937454-1629958872/capsule.tar.xz",
                "f6a41cb11f1589d552888fe9c43a1adcbcae15b70073e19093322f836d00a2b6",
            ),
            "carpet": Archive(
                f"{_MYDRIVE}/150455/eac7fbce84d93a5094e13f391170eca4/"
                "download/420937484-1629959013/carpet.tar.xz",
                "d9dd5064515a20bd75cf24d223c570579141abd72388beef892780b74dbaa85d",
            ),
            "grid": Archive(
                f"{_MYDRIVE}/150456/bb0b2e3dc804ccb8b4485e01f8e4493b/"
                "download/420937487-1629959044/grid.tar.xz",
                "d94a9a651cbfaee22c94d06cf8fa8204a590c872362de0489eb34f1645328de8",
                160_763_852,
            ),
            "hazelnut": Archive(
                f"{_MYDRIVE}/150457/51d49f65e84bdc100ff8035d7dd783ea/"
                "download/420937545-1629959162/hazelnut.tar.xz",
                "a7f4e7d65a60a235def7236a46fcb854d62e6c6917c16b1ec9cb4ff089d3b0da",
            ),
            "leather": Archive(
                f"{_MYDRIVE}/150458/923030ce14e10a7d147e95d0f8885f6b/"
                "download/420937607-1629959262/leather.tar.xz",
                "704ffa48b1dc2fc44824aa50442d9febc399dd92a5d6fd8156f8aa0373d15f24",
            ),
            "metal_nut": Archive(
                f"{_MYDRIVE}/150459/c68856a21dca589b0f8ff6d4ee0f18f4/"
                "download/420937637-1629959294/metal_nut.tar.xz",
                "86e3c8e163ceb19146ad3ddc408e85cc34ae02e0da430e07a73bac6bbb48532a",
                165_414_484,
            ),
            "pill": Archive(
                f"{_MYDRIVE}/150460/d4f1c04da67034ccc8d8b5fa3e73f244/"
                "download/420938129-1629960351/pill.tar.xz",
                "ac6ce9ec4ec2a5d67c906d82147bd7431980cf00b78f25d63201a5f17e3a2038",
            ),
            "screw": Archive(
                f"{_MYDRIVE}/150461/242f454cc6385e5693c4fd4b94567d1e/"
                "download/420938130-1629960389/screw.tar.xz",
                "0a27a365a21e472d19b9fb48cb8e4002b49fabe083bff7f4c16fa57d78154f10",
                195_344_332,
            ),
            "tile": Archive(
                f"{_MYDRIVE}/150462/5479f0fdc97bc6fa16eab0cb0cf0109f/"
                "download/420938133-1629960456/tile.tar.xz",
                "392228153b96d0db9f179d3f7c2d63e131e907154883b57309fcbf798643173c",
            ),
            "toothbrush": Archive(
                f"{_MYDRIVE}/150463/895a1a5fb84b958f07417784b060434b/"
                "download/420938134-1629960477/toothbrush.tar.xz",
                "fe72a34b4b0d074f84e844be7ef8c4f64f7f02f20e25f19c9e3b4a231c8bea77",
            ),
            "transistor": Archive(
                f"{_MYDRIVE}/150464/99b8ea0332438d64fcc2475ee73f9c29/"
                "download/420938166-1629960554/transistor.tar.xz",
                "146b2166c35a1d0cf37ded091366ac01a50338b4ac704632f1239890eaca4449",
            ),
            "wood": Archive(
                f"{_MYDRIVE}/150465/d5b4115b720cdb54d217e75636e6e374/"
                "download/420938383-1629960649/wood.tar.xz",
                "3757297ac2a266072eb4f25a97f805f5b37fd583492b20bd709f310736c1ea47",
            ),
            "zipper": Archive(
                f"{_MYDRIVE}/150466/bd155b557520edaf692d9bfdb915c24a/"
                "download/420938385-1629960680/zipper.tar.xz",
                "7ab46e0e195da145db30052baea3d3a5d14c5f0e710137c968e0423f02cb942d",
                159_484_784,
            ),
        },
        shared=("license.txt", "readme.txt"),
    ),
    "visa": Source(
        name="visa",
        title="VisA, the Visual Anomaly data set",
        homepage="https://github.com/amazon-science/spot-diff",
        licence="CC BY 4.0",
        licence_url="https://creativecommons.org/licenses/by/4.0/",
        terms="Name Amazon and the authors below as its source, and say what you changed.",
        citation=(
            "Y. Zou, J. Jeong, L. Pemula, D. Zhang, O. Dabeer. SPot-the-Difference\n"
            "Self-Supervised Pre-training for Anomaly Detection and Segmentation. ECCV 2022."
        ),
        whole=Archive(
            "https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",
            "2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
            1_929_840_640,
        ),
        images={
            "candle": 1100,
            "capsules": 702,
            "cashew": 600,
            "chewinggum": 603,
            "fryum": 600,
            "macaroni1": 1100,
            "macaroni2": 1100,
            "pcb1": 1104,
            "pcb2": 1101,
            "pcb3": 1106,
            "pcb4": 1105,
            "pipe_fryum": 600,
        },
        required=("Data/Images/Normal", "Data/Images/Anomaly", "Data/Masks/Anomaly"),
        image_folders=("Data/Images",),
        shared=("split_csv", "LICENSE-DATASET"),
    ),
}


def download(
    dataset: str = "mvtec_ad",
    to: str | Path | None = None,
    *,
    categories: Sequence[str] | None = None,
    url: str | None = None,
    sha256: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Download a public data set, verify it and extract it.

    Categories that are in the folder already are neither downloaded nor touched. Where the
    publisher has archives of single categories (MVTec AD), only those that are missing are
    downloaded; where not (VisA), the whole archive is, and the chosen categories are extracted.
    A download that was cut or interrupted goes on where it stopped when it is started again.
    Proxies are taken from the environment (``https_proxy`` and so on).

    Parameters
    ----------
    dataset : str
        A key of `SOURCES`: ``"mvtec_ad"`` or ``"visa"``.
    to : str or Path, optional
        The root of the data set, which then holds a folder a category; made when missing.
        ``data/<dataset>`` by default.
    categories : sequence of str, optional
        The categories wanted; all by default.
    url : str, optional
        Another place, http or https, to get an archive (tar, tar.xz, tar.gz or zip) from. It must
        hold all the categories wanted.
    sha256 : str, optional
        The SHA-256 of the archive at `url`; without it that archive is not verified.
    progress : callable, optional
        Called with the bytes done and the total bytes (None when unknown) of the archive under
        way; with several archives it starts again at each.

    Returns
    -------
    Path
        The root of the data set.

    Raises
    ------
    ParameterError
        For an unknown data set or category, or an address or checksum that can't be one.
    DownloadError
        When there is no connection, no such file or no room; when the file doesn't match its
        checksum, isn't an archive, is unsafe to extract or lacks a category.

    Examples
    --------
    >>> from anomalist.data.download import SOURCES, download
    >>> SOURCES["mvtec_ad"].licence
    'CC BY-NC-SA 4.0'
    >>> download("mvtec_ad", "data/mvtec_ad", categories=["bottle"])  # doctest: +SKIP
    PosixPath('data/mvtec_ad')
    """
    if dataset not in SOURCES:
        raise ParameterError(f"No data set {dataset!r} to download; there are {_list(SOURCES)}.")
    source = SOURCES[dataset]
    wanted = _checked_categories(source, categories)
    if url is not None and not re.match(r"https?://[^/\s]+/", url):
        raise ParameterError(
            f"url={url!r} is no address of a file that begins with https:// or http://."
        )
    if sha256 is not None and url is None:
        raise ParameterError("sha256 is the checksum of the archive at url: give url as well.")
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ParameterError(f"sha256={sha256!r} is not 64 hexadecimal digits.")

    root = Path(to) if to is not None else Path("data", dataset)
    # An archive that the caller names may hold a smaller version of the data set.
    counts: Mapping[str, int] = source.images if url is None else {}
    missing = [name for name in wanted if not _is_present(root / name, source, counts.get(name))]
    if not missing:
        return root

    if url is not None:
        plan = [(Archive(url, sha256.lower() if sha256 else None), missing)]
    elif source.archives and len(missing) < len(source.images):
        plan = [(source.archives[name], [name]) for name in missing]
    else:
        plan = [(source.whole, missing)]
    work = root / _WORK_FOLDER
    try:
        work.mkdir(parents=True, exist_ok=True)
        for archive, names in plan:
            file = _fetch(archive, source, names, work, progress)
            keep = archive.sha256 is not None  # One that wasn't verified isn't used again.
            try:
                _install(file, archive.url, source, names, counts, root)
                keep = False
            finally:
                if not keep:
                    file.unlink(missing_ok=True)
    except OSError as error:
        raise DownloadError(
            f"{root} can't be written: {error.strerror or error}. Make room or choose another "
            "folder, then start again; the download goes on where it stopped."
        ) from error
    finally:
        with suppress(OSError):  # It isn't empty when it holds a part to go on from.
            work.rmdir()
    return root


def _checked_categories(source: Source, categories: Sequence[str] | None) -> list[str]:
    """Return the categories wanted, each once, in the order of the source."""
    if categories is None:
        return list(source.images)
    if isinstance(categories, str) or not categories:
        raise ParameterError(f"categories={categories!r} is no list of category names.")
    unknown = [name for name in categories if name not in source.images]
    if unknown:
        raise ParameterError(
            f"{source.title} has no category {_list(unknown)}; it has {_list(source.images)}."
        )
    return [name for name in source.images if name in categories]


def _is_present(folder: Path, source: Source, images: int | None) -> bool:
    """Say whether the category is there; half of one is an error, for it is the user's."""
    if not folder.exists():
        return False
    gap = _gap(folder, source, images)
    if gap is not None:
        raise DownloadError(
            f"{folder} is there but not complete: it {gap}. Move or delete that folder, then "
            "start again."
        )
    return True


def _gap(folder: Path, source: Source, images: int | None) -> str | None:
    """Say what a category's folder lacks, as the end of a sentence; None when it lacks nothing."""
    for name in source.required:
        if not (folder / name).is_dir():
            return f"has no folder {name}"
    if images is not None:
        found = sum(
            path.suffix.lower() in _IMAGE_SUFFIXES
            for name in source.image_folders
            for path in (folder / name).rglob("*")
        )
        if found < images:
            return f"has {found} of {images} images"
    return None


class _DroppedError(Exception):
    """The connection failed or was cut; trying again may help."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the given schemes only, so never from https to http."""

    def __init__(self, schemes: set[str]) -> None:
        self.schemes = schemes

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request to follow with."""
        if urlsplit(newurl).scheme not in self.schemes:
            fp.close()
            raise DownloadError(f"{req.full_url} redirects to {newurl}, which isn't followed.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(
    archive: Archive,
    source: Source,
    names: Sequence[str],
    work: Path,
    progress: Progress | None,
) -> Path:
    """Return the archive as a whole file in `work`, verified where its checksum is known."""
    name = re.sub(r"[^\w.-]", "_", unquote(PurePosixPath(urlsplit(archive.url).path).name))
    # The address is part of the name, lest a part from one server be continued from another.
    file = work / f"{hashlib.sha256(archive.url.encode()).hexdigest()[:8]}-{name}"
    part = file.with_name(file.name + ".part")
    single = archive in source.archives.values()
    images = sum(source.images[name] for name in names)
    share = 1.0 if single else images / sum(source.images.values())
    transfer = _Transfer(archive, source.homepage, part, share, progress)
    if file.exists() and archive.sha256 is not None:  # An earlier run got as far as extracting.
        file.replace(part)
    else:
        transfer.run()
    if archive.sha256 is not None:
        found = sha256_of(part)
        if found != archive.sha256:
            part.unlink()
            transfer.state_file.unlink(missing_ok=True)
            raise DownloadError(
                f"{archive.url} has the SHA-256 {found} and should have {archive.sha256}: the "
                "file is damaged or was replaced. It was deleted; start again to download it anew."
            )
    part.replace(file)
    transfer.state_file.unlink(missing_ok=True)
    return file


@dataclass
class _Transfer:
    """One file on its way into `part`, of which the given share is going to be unpacked."""

    archive: Archive
    homepage: str
    part: Path
    share: float
    progress: Progress | None

    def run(self) -> None:
        """Fill `part`; a drop is retried, with growing pauses, unless nothing ever arrived."""
        failures = 0
        while True:
            before = self.have
            try:
                return self.attempt()
            except _DroppedError as drop:
                if not self.part.exists():
                    raise DownloadError(
                        f"{self.archive.url} can't be reached: {drop}. Check the network and the "
                        "proxy settings (https_proxy)."
                    ) from drop
                failures = 1 if self.have - before >= _HEADWAY else failures + 1
                if failures > _RETRIES:
                    raise DownloadError(
                        f"The download of {self.archive.url} failed after {self.have} bytes and "
                        f"{_RETRIES} further attempts: {drop}. Start again to go on from there."
                    ) from drop
                time.sleep(_BACKOFF_S * 2 ** (failures - 1))

    @property
    def have(self) -> int:
        """Bytes received so far."""
        return self.part.stat().st_size if self.part.exists() else 0

    @property
    def state_file(self) -> Path:
        """The file that says which version of which size `part` is a part of."""
        return self.part.with_name(self.part.name + ".json")

    def attempt(self) -> None:
        """Go on from what `part` holds if that can be trusted, else start afresh."""
        state = self._read_state()
        have = self.have
        validator = state.get("validator")
        if have and have == state.get("total"):
            return
        headers = {"User-Agent": "anomalist"}
        # Without a validator only the checksum can tell that the file has changed meanwhile.
        if have and (validator or self.archive.sha256):
            headers["Range"] = f"bytes={have}-"
            if validator:
                headers["If-Range"] = validator
        else:
            have = 0
        try:
            response = self._open(headers)
        except urllib.error.HTTPError as error:
            error.close()
            self.part.unlink()
            return self.attempt()
        with response:
            start, total = _extent(response)
            found = _validator(response)
            changed = total != state.get("total") or (validator and found and validator != found)
            if start and (start != have or changed):
                if not have:
                    raise DownloadError(f"{self.archive.url} sent a part that wasn't asked for.")
                self.part.unlink()
                return self.attempt()
            self._check_size(start, total)
            if not start:
                self.part.unlink(missing_ok=True)
                self.state_file.write_text(json.dumps({"validator": found, "total": total}))
            self._receive(response, start, total)

    def _open(self, headers: dict[str, str]) -> Any:
        """Return the response, or say what is wrong."""
        schemes = {"https", urlsplit(self.archive.url).scheme}
        opener = urllib.request.build_opener(_Redirects(schemes))
        request = urllib.request.Request(self.archive.url, headers=headers)
        try:
            return opener.open(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            if error.code == 416 and "Range" in headers:
                raise
            with error:
                if error.code in {408, 425, 429} or error.code >= 500:
                    raise _DroppedError(f"HTTP {error.code} ({error.reason})") from error
                raise DownloadError(
                    f"{self.archive.url} answered HTTP {error.code} ({error.reason}). Publishers "
                    f"move their files: look for the current address on {self.homepage} and give "
                    "it as url (--url), with its sha256 if you have it."
                ) from error
        except (OSError, http.client.HTTPException) as error:
            raise _DroppedError(str(getattr(error, "reason", error))) from error

    def _check_size(self, start: int, total: int | None) -> None:
        """Stop before anything is received if the file isn't the known one or doesn't fit."""
        size = self.archive.size
        if size is not None and total is not None and total != size:
            raise DownloadError(
                f"{self.archive.url} is {total} bytes long and should be {size}: the file has "
                f"changed. Look for it on {self.homepage} and give its address as url (--url)."
            )
        if total is not None:
            folder = self.part.parent.parent
            # Images hardly compress: unpacked they take about as much room again.
            need = total - start + int(self.share * total)
            free = shutil.disk_usage(folder).free
            if free < need:
                raise DownloadError(
                    f"{folder} has {free / 1e9:.2f} GB free; to download and unpack "
                    f"{self.archive.url} takes {need / 1e9:.2f} GB. Make room or choose another "
                    "folder."
                )

    def _receive(self, response: Any, start: int, total: int | None) -> None:
        """Append the body to `part`."""
        done = start
        with self.part.open("ab") as out:
            while True:
                if self.progress is not None:
                    self.progress(done, total)
                try:
                    chunk = response.read(_BLOCK)
                except (OSError, http.client.HTTPException) as error:
                    raise _DroppedError(str(error) or type(error).__name__) from error
                if not chunk:
                    break
                out.write(chunk)
                done += len(chunk)
        if total is not None and done < total:
            raise _DroppedError(f"the connection was closed after {done} of {total} bytes")

    def _read_state(self) -> dict[str, Any]:
        """Return what is known of the file; empty when that can't be read."""
        try:
            state = json.loads(self.state_file.read_text())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}


def _extent(response: Any) -> tuple[int, int | None]:
    """Return where the body begins within the file (-1: unclear) and the size of the file."""
    if response.status == 206:
        found = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not found:
            return -1, None
        return int(found[1]), None if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _validator(response: Any) -> str | None:
    """Return what tells this version of the file from another, as If-Range takes it."""
    etag: str | None = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return etag
    modified: str | None = response.headers.get("Last-Modified")
    return modified


def _install(
    file: Path,
    url: str,
    source: Source,
    names: Sequence[str],
    counts: Mapping[str, int],
    root: Path,
) -> None:
    """Extract the named categories beside the archive, check them, then move each into place."""
    staging = file.parent / "extracting"
    if staging.exists():
        shutil.rmtree(staging)
    staging.mkdir()
    try:
        try:
            _extract(file, source, names, staging)
        except _BadArchiveError as error:
            file.unlink()
            raise DownloadError(
                f"The archive {url} {error}. It was deleted, nothing extracted."
            ) from error
        for name in names:
            gap: str | None = "isn't in it"
            if (staging / name).exists():
                gap = _gap(staging / name, source, counts.get(name))
            if gap is not None:
                held = [each for each in source.images if (staging / each).exists()]
                raise DownloadError(
                    f"The archive {url} lacks what was asked for: {name} {gap}. Of the "
                    f"categories asked for it holds {_list(held) or 'none'}; ask for those with "
                    "categories (--categories), or give another url."
                )
        write_text(root / _NOTICE_FILE, source.notice)
        # Categories last: where one is, all that it shares with others is too.
        for name in (*source.shared, *names):
            if (staging / name).exists() and not (root / name).exists():
                (staging / name).rename(root / name)
    finally:
        shutil.rmtree(staging)


class _BadArchiveError(Exception):
    """An archive that is damaged or unsafe, as the end of a sentence that begins with its name."""


@dataclass(frozen=True)
class _Member:
    """An entry of an archive; `problem` says why it can't be extracted."""

    name: str
    size: int
    is_folder: bool
    problem: str | None
    open: Callable[[], IO[bytes] | None]


def _extract(file: Path, source: Source, names: Sequence[str], staging: Path) -> None:
    """Extract the named categories and what they share; every member is checked all the same."""
    keep = {*names, *source.shared}
    known = {*source.images, *source.shared}
    limit = max(_ALWAYS_ALLOWED_BYTES, _MAX_EXPANSION * file.stat().st_size)
    expanded = 0
    with _members(file) as members:
        for count, member in enumerate(members, start=1):
            parts = _checked_parts(member)
            expanded += member.size
            if count > _MAX_MEMBERS or expanded > limit:
                raise _BadArchiveError(
                    f"unpacks to more than {_MAX_MEMBERS} files or {limit / 1e9:.1f} GB, which no "
                    "archive of images of its size does"
                )
            # Some archives have the data set's own folder above the categories.
            if parts and parts[0] not in known and parts[0] != "__MACOSX":
                parts = parts[1:]
            if not parts or parts[0] not in keep:
                continue
            target = staging.joinpath(*parts)
            try:
                if member.is_folder:
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                # Mode x: a name that comes twice can't overwrite what is there.
                with target.open("xb") as out:
                    _copy(member, out)
            except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
                raise _BadArchiveError(f"holds {member.name!r} twice") from error


def _copy(member: _Member, out: IO[bytes]) -> None:
    """Write the member's content."""
    content = member.open()
    if content is None:
        raise _BadArchiveError(f"has no content for {member.name!r}")
    with content:
        shutil.copyfileobj(content, out, _BLOCK)


def _checked_parts(member: _Member) -> tuple[str, ...]:
    """Return the path in parts if the member stays in its folder on every operating system."""
    parts = PurePosixPath(member.name).parts
    if member.name.startswith("/") or ".." in parts or any(sign in member.name for sign in "\\:\0"):
        raise _BadArchiveError(f"isn't safe to extract: {member.name!r} leads out of its folder")
    if member.problem is not None:
        raise _BadArchiveError(f"isn't safe to extract: {member.name!r} is {member.problem}")
    return parts


@contextmanager
def _members(file: Path) -> Iterator[Iterator[_Member]]:
    """Open a tar or zip archive; what its reader chokes on becomes `_BadArchiveError`."""
    with file.open("rb") as opened:
        head = opened.read(64)
    try:
        if head.startswith(b"PK"):
            with zipfile.ZipFile(file) as zipped:
                yield _zip_members(zipped)
        else:
            with tarfile.open(file, "r:*") as tar:
                yield _tar_members(tar)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        lzma.LZMAError,
        zlib.error,
        EOFError,
        NotImplementedError,
    ) as error:
        reason = str(error).partition("\n")[0]
        raise _BadArchiveError(
            f"is damaged, cut short or no tar or zip archive ({reason}; it begins with "
            f"{head[:16]!r})"
        ) from error


def _tar_members(tar: tarfile.TarFile) -> Iterator[_Member]:
    """Yield the entries of a tar archive; only plain files and folders have no problem."""
    for info in tar:
        problem = None
        if info.issym() or info.islnk():
            problem = f"a link (to {info.linkname!r})"
        elif not (info.isreg() or info.isdir()):
            problem = "a device or another special file"
        yield _Member(info.name, info.size, info.isdir(), problem, partial(tar.extractfile, info))
    stream = tar.fileobj
    assert stream is not None
    # Cut between two entries, an archive looks whole but for the empty block at its end.
    if stream.tell() < tar.offset + tarfile.BLOCKSIZE:
        raise tarfile.ReadError("the end of the archive is missing")
    # Only at the end of their stream, some padding later, do gzip and xz check what they unpacked.
    for _ in range(16):
        if not stream.read(_BLOCK):
            break


def _zip_members(zipped: zipfile.ZipFile) -> Iterator[_Member]:
    """Yield the entries of a zip archive; only plain files and folders have no problem."""
    for info in zipped.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        problem = None
        if kind == stat.S_IFLNK:
            problem = "a link"
        elif kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            problem = "a device or another special file"
        elif info.flag_bits & 1:
            problem = "encrypted"
        yield _Member(
            info.filename,
            info.file_size,
            info.is_dir(),
            problem,
            partial(zipped.open, info),
        )


def _list(names: Sequence[str] | Mapping[str, Any]) -> str:
    """Names for a sentence."""
    return ", ".join(names)
