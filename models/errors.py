"""What can go wrong with model artefacts, each as one line that says how to mend it."""

from __future__ import annotations

from pathlib import Path

INSTALL_COMMAND = "countersight models install"


class ModelsError(Exception):
    """Base of every refusal in this package."""


class ModelMissing(ModelsError):
    """A model file that the manifest names is not in the models folder."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(f"Model {name} is missing at {path}; run: {INSTALL_COMMAND}")
        self.name, self.path, self.fix_command = name, path, INSTALL_COMMAND


class ModelDigestMismatch(ModelsError):
    """A model file is not, byte for byte, what the manifest commits to."""

    def __init__(self, path: Path, found: str, expected: str) -> None:
        super().__init__(
            f"Model file {path} has SHA-256 {found}, expected {expected}; run: {INSTALL_COMMAND}"
        )
        self.path, self.found, self.expected = path, found, expected


class ModelSourceUnusable(ModelsError):
    """The wheel or folder given as source does not hold the wanted file."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"Cannot take models from {source}: {reason}")
        self.source, self.reason = source, reason


class ModelRefused(ModelsError):
    """A file that is not what its manifest says."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"Model {name} is not installed: {reason}")
        self.name, self.reason = name, reason


class LicenceNotAccepted(ModelsError):
    """The licence of the weights does not allow commercial use, and nobody accepted that."""

    def __init__(self, name: str, licence: str) -> None:
        super().__init__(
            f"Model {name} is not installed: its licence ({licence}) does not state commercial "
            "use; to install it nevertheless, add --accept-licence"
        )
        self.name, self.licence = name, licence


class ModelUnknown(ModelsError):
    """No installed model or pack has that name."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(
            f"No installed model or pack is named {name}; see: countersight models list"
        )
        self.name, self.folder = name, folder


class ModelUnreadable(ModelsError):
    """The file has the right digest, yet the runtime refuses to load it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"Model file {path} cannot be loaded: {reason}")
        self.path, self.reason = path, reason


class PreparationFailed(ModelsError):
    """A source model does not have the structure that preparation relies on."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"Model {model} cannot be prepared: {reason}")
        self.model, self.reason = model, reason


class InferenceFailed(ModelsError):
    """A model answered with something that is not a detection or an embedding."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"Model {model} failed: {reason}")
        self.model, self.reason = model, reason
