"""Every error Hone raises on purpose.

    HoneError
    ├── PreflightError       what the recipe names is not there, or does not fit: exit code 2
    │   ├── DataError        the data cannot be read, or too much of it is unusable
    │   ├── ModelError       the encoder cannot be loaded, or does not fit the task
    │   └── OutputError      the output folder cannot be written, or holds what Hone did not write
    ├── UnsafeFileError      a pickle, or code that a model repository wants to run
    ├── DamagedArtifactError a file is not what its digest says
    ├── StorageError         the bucket that compute.storage names does not answer
    ├── TrainingError        the workers failed more often than allowed, or the loss is not finite
    ├── ExportError          the exported graph is not the model it was made from
    ├── MeasurementError     a process that was to measure a model died
    └── RegistryError        a registered model does not answer as the exported one, or is not there any more
        └── PromotionError   the champion stays as it is: what may not, or cannot, take its place

Settings that cannot be used are a `hone.configs.recipe.RecipeError`, and a refused model is a result, not an error.
"""

from hone.tasks.redact import without_credentials


class HoneError(Exception):
    """Base of all of them: says what was wrong, the value seen, what is allowed and what to do. Credentials in what it
    is told, of a URI say, are masked."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(without_credentials(part) if isinstance(part, str) else part for part in arguments))


class PreflightError(HoneError):
    """What the recipe names is not there, or does not fit. Raised before anything long starts."""


class DataError(PreflightError):
    """The data cannot be read, or too much of it is unusable."""


class ModelError(PreflightError):
    """The encoder cannot be loaded, or does not fit the task."""


class OutputError(PreflightError):
    """The output folder cannot be written, or holds what Hone did not write and a run would replace."""


class UnsafeFileError(HoneError):
    """A pickle was refused by name, or a model repository asks to run its own code."""


class DamagedArtifactError(HoneError):
    """A file is absent, or its content is not what its digest says."""


class StorageError(HoneError):
    """The bucket that compute.storage names does not answer, or refuses."""


class TrainingError(HoneError):
    """The workers failed more often than allowed, or the loss is not finite."""


class ExportError(HoneError):
    """The exported graph is not the model it was made from."""


class MeasurementError(HoneError):
    """A process that was to measure a model died or answered nonsense."""


class RegistryError(HoneError):
    """What the registry gives back does not answer as the exported model, or is not what was put there."""


class PromotionError(RegistryError):
    """A version was not made the champion: it may not be, its files are not those that were judged, it does not answer
    in a fresh process, or another change came first."""
