"""One of the systems as a process: it hears a recording as fast as it can, or the default microphone for ever.

    python hear.py openwakeword HEAD.onnx RECORDING.wav
    python hear.py silero -

Both say when the first score is there; a recording (16-bit mono at 16 kHz) ends with all scores, in JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import wave
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_variable] = "1"

import numpy as np  # noqa: E402  # it reads the environment that was just made
from systems import SAMPLE_RATE, SYSTEMS, System  # noqa: E402


def hear_recording(system: System, file: str) -> list[float]:
    """Hear a file to its end; return the scores, and say when the first was there."""
    scores: list[float] = []
    with wave.open(file) as recording:
        while len(data := recording.readframes(system.hop_samples)) == 2 * system.hop_samples:
            score = system.hear(np.frombuffer(data, np.int16))
            if score is None:
                continue
            if not scores:
                print("first score", flush=True)
            scores.append(score)
    return scores


def hear_microphone(system: System) -> None:
    """Hear the default microphone."""
    import sounddevice

    heard = 0
    # The latency is that of streamd's agent.
    settings = {"samplerate": SAMPLE_RATE, "channels": 1, "dtype": "int16", "latency": 0.3}
    with sounddevice.RawInputStream(**settings) as microphone:
        while True:
            data, _ = microphone.read(system.hop_samples)
            score = system.hear(np.frombuffer(data, np.int16))
            if score is not None and not heard:
                print("first score", flush=True)
            heard += score is not None


def main() -> None:
    """Hear."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("model", type=Path, help="the head or network, where the system brings none")
    parser.add_argument("recording", nargs="?", help="without one it hears the default microphone")
    args = parser.parse_args()
    system = SYSTEMS[args.system](args.model)
    if args.recording:
        print(json.dumps(hear_recording(system, args.recording)))
    else:
        hear_microphone(system)


if __name__ == "__main__":
    main()
