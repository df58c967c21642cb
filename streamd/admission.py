"""Who may come in, as a configuration and the keys beside it say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import UNSET

from streamd import endpoints, keys
from streamd.config_shape import StreamdYaml
from streamd.errors import KeysError
from streamd.keys import KeyPair, Permissions
from streamd.yaml_lines import Document


def read(given: StreamdYaml, document: Document, keys_folder: Path | None = None) -> tuple[KeyPair | None, Permissions]:
    """Return the daemon's keys, if it can be reached from beyond this machine, and what others' keys may do.

    Keys are read only where they are needed; what is wrong with them is noted at the endpoints that need them.

    keys_folder: where they are; None: where this process has its own (`keys.keys_folder`).
    """
    beyond = [word for word in given.endpoints.__struct_fields__ if _is_beyond(getattr(given.endpoints, word))]
    speakers: dict[str, frozenset[str]] = {}
    reserved = set()
    for name, section in given.sources.items():
        if section.key is UNSET:
            continue
        path = ("sources", name, "key")
        if not keys.is_key(section.key):
            document.mistake(path, "is no key; expected 40 characters, as `streamd keys list` prints them, in quotes")
        elif "audio" not in beyond:
            document.mistake(path, "no agent can show it; give endpoints.audio an address of this machine's network")
        speakers[section.key] = speakers.get(section.key, frozenset()) | {f"speak:{name}"}
        reserved.add(name)
    if not beyond:
        return None, Permissions()
    folder = keys_folder or keys.keys_folder()
    try:
        pair, roles = keys.load(folder), keys.load_roles(folder)
    except KeysError as error:
        for word in beyond:
            document.mistake(("endpoints", word), f"beyond this machine it needs keys: {error}")
        return None, Permissions()
    for key, more in speakers.items():
        roles[key] = roles.get(key, frozenset()) | more
    return pair, Permissions(roles, frozenset(reserved))


def _is_beyond(section: object) -> bool:
    texts = () if section is UNSET else (section,) if isinstance(section, str) else section
    return isinstance(texts, tuple) and any(endpoints.is_beyond(text) for text in texts)


def of_listeners(listen_at: Sequence[str]) -> tuple[KeyPair | None, Permissions]:
    """Return the daemon's keys and what others' may do, for a process beside it that serves listeners at endpoints.

    Raises:
        KeysError: as `keys.load` and `keys.load_roles`, where an endpoint needs them.
    """
    if not any(map(endpoints.is_beyond, listen_at)):
        return None, Permissions()
    folder = keys.keys_folder()
    return keys.load(folder), Permissions(keys.load_roles(folder))
