"""What Linux knows of a sound card beyond the number that it has now, so that it is found again when it was plugged in.

PortAudio names a microphone of ALSA by its card's name and number, "USB PnP Sound Device: Audio (hw:1,0)". The number
is given in the order in which cards appear, and two cards of one make have one name. udev's links tell them apart.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path("/")

_NUMBER = re.compile(r" \(hw:(\d+),\d+\)$")
_LINKS = "dev/snd/by-id", "dev/snd/by-path"
"""Made by udev for each card: from vendor, product and serial number; and from the socket that it is plugged into."""


def without_number(name: str) -> str:
    """Return the name of a microphone without the number that its card has now."""
    return _NUMBER.sub("", name)


def stable_id(name: str) -> str | None:
    """Return what tells a sound card apart wherever and whenever it is plugged in; None if nothing does.

    That is the name of its link in /dev/snd/by-id; if it has none, which is so of a second card of one make without
    serial numbers, that of its link in /dev/snd/by-path, which stays with the socket; without udev, the short name
    that ALSA gives it (/proc/asound/cardN/id), which stays while there is one card of its make.

    Args:
        name: of the microphone, as PortAudio says it.
    """
    found = _NUMBER.search(name)
    if found is None:
        return None
    device = f"controlC{found[1]}"
    for folder in _LINKS:
        try:
            links = sorted((ROOT / folder).iterdir())
        except OSError:
            continue
        for link in links:
            if link.is_symlink() and link.readlink().name == device:
                return link.name
    try:
        return (ROOT / f"proc/asound/card{found[1]}/id").read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
