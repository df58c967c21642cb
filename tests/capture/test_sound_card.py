"""Sound cards that are told apart: a tree of /dev/snd and /proc/asound as udev and ALSA make it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.capture import sound_card
from streamd.capture.sound_card import stable_id, without_number

NAME = "USB PnP Sound Device: Audio (hw:1,0)"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sound_card, "ROOT", tmp_path)
    return tmp_path


def link(root: Path, folder: str, name: str, card: int) -> None:
    (root / "dev/snd" / folder).mkdir(parents=True, exist_ok=True)
    (root / "dev/snd" / folder / name).symlink_to(f"../controlC{card}")


def test_a_card_is_known_by_vendor_product_and_serial_number_whatever_its_number(root: Path) -> None:
    link(root, "by-id", "usb-C-Media_USB_PnP_Sound_Device-00", 1)
    link(root, "by-path", "pci-0000:00:14.0-usb-0:2:1.0", 1)
    link(root, "by-path", "pci-0000:00:14.0-usb-0:3:1.0", 12)
    assert stable_id(NAME) == "usb-C-Media_USB_PnP_Sound_Device-00"
    assert stable_id(NAME.replace("hw:1", "hw:12")) == "pci-0000:00:14.0-usb-0:3:1.0"
    (root / "dev/snd/by-id/usb-C-Media_USB_PnP_Sound_Device-00").unlink()
    link(root, "by-id", "usb-C-Media_USB_PnP_Sound_Device-00", 4)
    assert stable_id(NAME.replace("hw:1", "hw:4")) == "usb-C-Media_USB_PnP_Sound_Device-00"


def test_without_udev_alsa_says_a_short_name_and_plugins_have_no_card(root: Path) -> None:
    assert stable_id(NAME) is None
    (root / "proc/asound/card1").mkdir(parents=True)
    (root / "proc/asound/card1/id").write_text("Device\n")
    assert stable_id(NAME) == "Device"
    assert stable_id("pulse") is None
    assert stable_id("default") is None


def test_the_number_is_no_part_of_a_name() -> None:
    assert without_number(NAME) == "USB PnP Sound Device: Audio"
    assert without_number("pulse") == "pulse"
