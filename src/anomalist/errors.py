"""Errors for people: what was wrong, with which file or value, and what to do."""


class AnomalistError(Exception):
    """Base of all errors whose message is meant for the person at the keyboard."""


class DataError(AnomalistError, ValueError):
    """A data set, an image or a mask can't be used as it is."""


class ParameterError(AnomalistError, ValueError):
    """A hyperparameter or an argument has a value that makes no sense."""


class WeightsError(AnomalistError, RuntimeError):
    """A backbone or its weights can't be had, or don't fit."""


class ModelFileError(AnomalistError, ValueError):
    """A saved detector is damaged, of another version, or no detector at all."""


class DownloadError(AnomalistError, RuntimeError):
    """A download failed, was cut short or didn't match its checksum."""


class ExportError(AnomalistError, RuntimeError):
    """A detector can't be exported, or its export doesn't do the same as itself."""
