"""streamd hears sounds in live audio and publishes them over ZeroMQ. This is its client.

    import streamd

    for message in streamd.subscribe():
        print(message)

`import streamd` loads nothing heavy: a name is loaded when it is first used. To reach inside the
module behind the function, write `from streamd.subscribe import …`.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamd.errors import StreamdError
    from streamd.events import Event, State
    from streamd.gap import Gap
    from streamd.subscribe import subscribe

__version__ = "0.1.0"

__all__ = ["Event", "Gap", "State", "StreamdError", "__version__", "subscribe"]

_HOMES = {
    "Event": "streamd.events",
    "Gap": "streamd.gap",
    "State": "streamd.events",
    "StreamdError": "streamd.errors",
    "subscribe": "streamd.subscribe",
}
"""Public name → the module that defines it."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'streamd' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Keeps `streamd.subscribe` the function: Python binds a submodule to its package once it is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "subscribe" and isinstance(value, ModuleType):
            value = value.subscribe
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
