"""The errors that a user can meet. Each message names the object, the file or the key, and what to do."""


class TuningforkError(Exception):
    """Base of every error that this library raises on purpose. `exit_code` is that of a script which it ends."""

    exit_code = 1


class ConfigError(TuningforkError):
    """The configuration is wrong; raised before any job starts."""


class ArchiveError(TuningforkError):
    """An archive did not give what was asked, after all retries."""


class NotInArchive(ArchiveError):
    """The archive has no such file or row (HTTP 404): an answer, not a fault."""


class OutsideFootprint(NotInArchive):
    """The service has no image there: the position lies outside its survey."""


class CatalogueError(TuningforkError):
    """A published table has not the columns, units or values that its paper describes."""


class SampleError(TuningforkError):
    """A sample cannot be built: empty, duplicate ids, labels that do not fit."""


class StampError(TuningforkError):
    """A stamp file is damaged, or not what its digest promised."""


class ModelError(TuningforkError):
    """Weights, network and configuration do not belong together, or training diverged."""


class Interrupted(TuningforkError):
    """A training was asked to stop, and has saved its state: run again, it goes on. The exit code is EX_TEMPFAIL of sysexits.h."""

    exit_code = 75
