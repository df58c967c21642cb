"""What a run keeps of its network, so that the model file can be written again: `python -m training export`.

Weights, the manifest as it was tuned, and the minute of scenes that the gates play; nothing that runs code when read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from streamd.errors import DataError
from streamd.manifest import Manifest, decode, encode
from training.design.choose import Chosen, choose_network
from training.design.gates import export_proved
from training.lesson import Lesson

FILE = "network.pt"


def keep(run: Path, chosen: Chosen, lesson: Lesson, manifest: Manifest) -> None:
    """Keep the network of a lesson in the folder of its run, with the manifest that its model file has in the end."""
    kept: dict[str, Any] = {
        "network": chosen.name,
        "n_blocks": chosen.depth.n_blocks,
        "weights": lesson.fitted.network.state_dict(),
        "manifest": encode(manifest),
        "heard": torch.from_numpy(lesson.heard),
    }
    torch.save(kept, run / FILE)


def export_again(out: Path, file: Path) -> Iterator[str]:
    """Write the model of a finished run anew, through all gates, and yield what each of them measured.

    Args:
        out: the folder that `train` wrote.
        file: the .onnx to write.

    Raises:
        DataError: there is no finished run in the folder.
        ModelError: a gate isn't passed; there is no new file then.
    """
    found = sorted(out.glob(f"*-run/{FILE}"))
    if not found:
        raise DataError(f"{out}: no finished run in it; expected the folder that `train DATA -o {out}` has written")
    kept = torch.load(found[0], weights_only=True)
    manifest = decode(kept["manifest"])
    if manifest.log_mel is None:
        raise DataError(f"{found[0]}: a network that hears samples; only networks of log-mel frames are trained here")
    network = choose_network(
        [1.0], manifest.log_mel, len(manifest.labels), kept["network"], kept["n_blocks"]
    ).network.eval()
    network.load_state_dict(kept["weights"])
    written, gates = export_proved(network, manifest, file, kept["heard"].numpy())
    yield from (f"{gate}: {measured}" for gate, measured in gates.items())
    yield f"{file}: {written.name}, {len(written.labels)} labels"
