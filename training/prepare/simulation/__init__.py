"""Makes the recordings that nobody made: a few dry clips, heard in many places through many microphones.

The stages follow the physics, and any of them can be left out:

    source audio (gain, speed, pitch) → scene (onsets and offsets known) → room → mix with noise at an SNR
    → level at the microphone → its response → self-noise → AGC → DC → soft clipping → codec → 16 bit → drop-outs

One effect is one file: a frozen dataclass of what chance drew, with `apply(audio, sample_rate)`, and beside it the
range it is drawn from and `draw(rng, range)`. Applying holds no chance, so that what was drawn can be written down,
and heard again. Audio is float32, (n_samples,), full scale at 1.
"""
