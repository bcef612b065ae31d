"""Errors for people: what was wrong, with which file or value, and what to do."""

from anomalist.origins import named


class AnomalistError(Exception):
    """Base of all errors whose message is meant for the person at the keyboard."""

    def __init__(self, *told: object) -> None:
        # Of a copy in the cache nobody has heard: what it is a copy of, was given.
        super().__init__(*(named(text) if isinstance(text, str) else text for text in told))


class DataError(AnomalistError, ValueError):
    """A data set, an image or a mask can't be used as it is."""


class ParameterError(AnomalistError, ValueError):
    """A hyperparameter or an argument has a value that makes no sense."""


class WeightsError(AnomalistError, RuntimeError):
    """A backbone or its weights can't be had, or don't fit."""


class ModelFileError(AnomalistError, ValueError):
    """A saved detector is damaged, of another version, or no detector at all."""


class ResultsError(AnomalistError, RuntimeError):
    """A folder of results is in use, or holds what must not be mixed with new results."""


class DownloadError(AnomalistError, RuntimeError):
    """A download failed, was cut short or didn't match its checksum."""


class ExportError(AnomalistError, RuntimeError):
    """A detector can't be exported, or its export doesn't do the same as itself."""


class ServerError(AnomalistError, RuntimeError):
    """A server can't be started, or what it stands on doesn't answer."""


class StorageError(AnomalistError, OSError):
    """An object storage, or an object in it, can't be reached, read or written."""


class ObjectNotFoundError(StorageError, FileNotFoundError):
    """There is no object, or no folder, at an address."""


class ClusterError(AnomalistError, RuntimeError):
    """A cluster can't be reached, or its machines can't do what is asked of them."""


class NotFoundError(AnomalistError, LookupError):
    """What was asked for by name isn't there."""


class UnavailableError(AnomalistError, RuntimeError):
    """What was asked for by name can't be used until a person has mended it."""


class BusyError(AnomalistError, RuntimeError):
    """There is more to do than may wait: to be asked again later."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out, of the machine or of an accelerator.

    Torch has an error of its own for CUDA alone, and its name is what it is known by here: whoever
    asks need not have imported torch. Of others the text tells.

    Parameters
    ----------
    error : exception
        As it was caught.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 5.22 GB)."))
    True
    >>> is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    False
    """
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    return type(error).__name__ == "OutOfMemoryError" or any(
        words in text
        for words in ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")
    )
