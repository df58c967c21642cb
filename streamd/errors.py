"""Every error that streamd raises on purpose, and the exit code a command ends with.

    StreamdError
    ├── UsageError        a command line that can't be obeyed
    ├── ConfigError       streamd.yaml: all its mistakes, one line each
    ├── RecordingError    a recording that can't be read
    ├── DataError         a data set that nothing can be trained on
    ├── ModelError        a model file that is refused
    ├── DeviceError       a microphone, a GPU or a library that is not there
    │   └── DeviceLostError   a GPU that was there, and is lost or has no memory left
    ├── MessageError      bytes from another process that break their contract
    ├── EndpointError     an endpoint that nobody serves, or that somebody else holds
    └── KeysError         keys that lack, that others can read, or that are refused

A message is one line that says what was found, what was expected and what to do.
Exit codes are those of BSD's sysexits.h.
"""

from __future__ import annotations


class StreamdError(Exception):
    """Base of all errors of streamd."""

    exit_code = 70


class UsageError(StreamdError):
    """A command line that can't be obeyed."""

    exit_code = 64


class ConfigError(StreamdError):
    """A configuration with mistakes; `mistakes` holds one line for each."""

    exit_code = 78

    def __init__(self, mistakes: str | list[str]) -> None:
        self.mistakes = [mistakes] if isinstance(mistakes, str) else list(mistakes)
        super().__init__("\n".join(self.mistakes))


class RecordingError(StreamdError):
    """A recording that can't be read, or holds what is not audio."""

    exit_code = 65


class DataError(StreamdError):
    """A data set that nothing can be trained on as it is."""

    exit_code = 65


class ModelError(StreamdError):
    """A model file that is refused."""

    exit_code = 65


class DeviceError(StreamdError):
    """A microphone, a GPU or a library that was asked for and is not there."""

    exit_code = 69


class DeviceLostError(DeviceError):
    """A GPU that worked, and now is lost or has no memory left."""


class MessageError(StreamdError):
    """A message of another process that breaks its contract."""

    exit_code = 76


class EndpointError(StreamdError):
    """An endpoint that nobody serves, or that another daemon holds."""

    exit_code = 69


class KeysError(StreamdError):
    """Keys that lack, that are none, that others could read or change, or that a daemon refuses."""

    exit_code = 77
