"""Claim: streaming log-mel costs a small part of what recomputing a window costs, and less than Kaldi's stream.

All variants hear the same noise, 80 ms at a time, in one process that alternates between them.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from itertools import cycle

import _harness as harness
import kaldi_native_fbank
import librosa
import numpy as np
from numpy.typing import NDArray

from streamd.logmel import LogMel, LogMelSpec, to_float

HOP = 1_280
"""Samples of a block: 80 ms, eight frames."""
SPEC = LogMelSpec()
NOISE = (0.1 * np.random.default_rng(0).standard_normal(SPEC.sample_rate * 10)).astype(np.float32)
PCM = (NOISE * 32767).astype(np.int16)


def blocks() -> Iterator[int]:
    """Where the next block begins, for ever."""
    return cycle(range(0, len(NOISE) - HOP, HOP))


def streamd(skip: int) -> harness.Work:
    """Our stream; its frames begin `skip` samples into the audio."""
    stream = LogMel(SPEC)
    stream.reset(skip)
    begins = blocks()

    def work() -> NDArray[np.float32]:
        begin = next(begins)
        return stream.push(PCM[begin : begin + HOP])

    return work


def kaldi(with_lists: bool) -> harness.Work:
    """Kaldi's stream with as much as it can have of our spec, and nothing it need not do (dither, pre-emphasis).

    Its binding reads any sequence number by number, a list faster than an array; with_lists spares it making them.
    """
    options = kaldi_native_fbank.FbankOptions()
    frames, mel = options.frame_opts, options.mel_opts
    frames.samp_freq, frames.frame_length_ms, frames.frame_shift_ms = SPEC.sample_rate, 32, 10
    frames.dither, frames.preemph_coeff, frames.remove_dc_offset, frames.window_type = 0, 0, False, "hann"
    mel.num_bins, mel.low_freq, mel.high_freq, mel.is_librosa, mel.norm = SPEC.n_mels, SPEC.fmin, SPEC.fmax, True, ""
    stream = kaldi_native_fbank.OnlineFbank(options)
    lists = cycle([NOISE[begin : begin + HOP].tolist() for begin in range(0, len(NOISE) - HOP, HOP)])
    begins = blocks()
    n_frames = 0

    def work() -> list[NDArray[np.float32]]:
        nonlocal n_frames
        begin = next(begins)
        block = next(lists) if with_lists else to_float(PCM[begin : begin + HOP]).tolist()
        stream.accept_waveform(SPEC.sample_rate, block)
        # A frame is a view of what pop() frees.
        found = [stream.get_frame(i).copy() for i in range(n_frames, stream.num_frames_ready)]
        n_frames = stream.num_frames_ready
        stream.pop(len(found))
        return found

    return work


def window_again(with_tables: bool) -> harness.Work:
    """librosa on the last second, again for every block; with_tables spares it making its filters each time."""
    filters = librosa.filters.mel(sr=SPEC.sample_rate, n_fft=512, n_mels=64, fmin=50, fmax=8_000, norm=None)
    begins = blocks()

    def work() -> NDArray[np.float32]:
        begin = next(begins) % (len(NOISE) - SPEC.sample_rate)
        audio = NOISE[begin : begin + SPEC.sample_rate]
        if with_tables:
            power = np.abs(librosa.stft(audio, n_fft=512, hop_length=160, center=False)) ** 2
            mel = filters @ power
        else:
            mel = librosa.feature.melspectrogram(
                y=audio,
                sr=SPEC.sample_rate,
                n_fft=512,
                hop_length=160,
                center=False,
                n_mels=64,
                fmin=50,
                fmax=8_000,
                norm=None,
            )
        frames: NDArray[np.float32] = librosa.power_to_db(mel, amin=1e-7, top_db=None)
        return frames

    return work


def main() -> None:
    """Measure, hot and paced."""
    # As the detector sets it: the eighth frame ends with a block.
    aligned = -(7 * SPEC.hop_length + SPEC.win_length) % HOP
    names = {
        "streamd": streamd(aligned),
        "streamd, blocks across its groups of eight frames": streamd(0),
        "kaldi-native-fbank OnlineFbank": kaldi(with_lists=False),
        "kaldi-native-fbank with its lists of floats made before": kaldi(with_lists=True),
        "librosa, the last second again": window_again(with_tables=False),
        "librosa with its filters kept": window_again(with_tables=True),
    }
    hot = harness.alternate(names)
    slow = harness.paced(names, HOP / SPEC.sample_rate)
    ours, _, theirs, ready, again, kept = names
    claims = [(again, "≥ 15"), (kept, ""), (theirs, "≥ 2"), (ready, "")]
    figures = [
        harness.Figure.of(f"log-mel, hot: cheaper than {name}", harness.ratios(hot[name], hot[ours]), "×", goal)
        for name, goal in claims
    ]
    figures += [
        harness.Figure.of(f"log-mel, paced: cheaper than {name}", harness.ratios(slow[name], slow[ours]), "×")
        for name, _ in claims
    ]
    table = [
        {
            "80 ms of audio by": name,
            "hot, CPU µs": round(1e6 * statistics.median(hot[name]), 1),
            "paced, CPU µs": round(1e6 * statistics.median(slow[name])),
        }
        for name in names
    ]
    how = """Noise in blocks of 80 ms; 16 kHz, FFT of 512, hop of 160 samples, 64 bands; decibels (Kaldi: natural
        logarithms, its own filters). CPU time of one process with one thread that alternates between the variants;
        medians of 15 rounds of 100 blocks (hot) and of 4 rounds of 25 blocks, one every 80 ms (paced). streamd and
        Kaldi get int16, librosa gets floats. Kaldi's Python binding reads numbers one by one, a list faster than an
        array: it gets lists, and neither dither nor pre-emphasis."""
    harness.save(__file__, how, figures, table)


if __name__ == "__main__":
    main()
