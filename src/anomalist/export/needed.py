"""What an export takes beside anomalist, known before anything large is loaded."""

from __future__ import annotations

from importlib.util import find_spec

from anomalist.errors import ExportError

_ONNX = ("onnx", "onnxscript", "onnxruntime")
#: The modules that each format takes, all of the ``export`` extra.
NEEDED: dict[str, tuple[str, ...]] = {"onnx": _ONNX, "openvino": (*_ONNX, "openvino")}


def check_installed(format: str) -> None:
    """Refuse an export whose packages aren't there; none is loaded to find out.

    Parameters
    ----------
    format : str
        ``onnx`` or ``openvino``.

    Raises
    ------
    ExportError
        If one isn't installed.

    Examples
    --------
    >>> check_installed("onnx")
    """
    missing = [module for module in NEEDED[format] if find_spec(module) is None]
    if missing:
        raise not_installed(missing)


def not_installed(modules: list[str], error: ImportError | None = None) -> ExportError:
    """Return what to say of modules that can't be imported."""
    are = "isn't" if len(modules) == 1 else "aren't"
    why = f" ({error})" if error is not None else ""
    return ExportError(
        f"{', '.join(modules)} {are} installed: pip install 'anomalist[export]'{why}"
    )
