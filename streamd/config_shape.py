"""The shape of streamd.yaml: every key, what it may hold, its default and what it means.

`yaml_lines` reads by these structs and `json_schema` is made from them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from streamd.events import SOURCE_NAME

_Text = Annotated[str, Meta(min_length=1)]
_SourceName = Annotated[
    str,
    Meta(
        pattern=f"^{SOURCE_NAME.pattern}$",
        title="a name of lower-case letters, digits and -, at most 63, beginning with a letter or digit",
    ),
]
_Endpoints = _Text | Annotated[tuple[_Text, ...], Meta(min_length=1)]


class SourceSection(Struct, frozen=True, forbid_unknown_fields=True):
    """A stream of audio: a microphone, a command, a recording or a remote agent. {} is the default microphone."""

    microphone: (
        Annotated[
            str, Meta(min_length=1, description="Name of a microphone or part of it, as `streamd devices` lists it.")
        ]
        | UnsetType
    ) = UNSET
    channel: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | Literal["mix"],
        Meta(
            title="a channel from 1 to 256, or mix",
            description="Which channel of a microphone is heard, counted from 1, or the mean of all.",
        ),
    ] = "mix"
    command: (
        Annotated[
            tuple[_Text, ...],
            Meta(
                min_length=1,
                description="A program and its arguments; it writes raw 16-bit little-endian PCM or a WAV stream to "
                "its standard output. No shell is involved.",
            ),
        ]
        | UnsetType
    ) = UNSET
    sample_rate: (
        Annotated[
            int,
            Meta(
                ge=1_000,
                le=768_000,
                description="Rate of a command's raw PCM, in Hz, left out where it writes WAV; or the rate to open a "
                "microphone at, left out for its own.",
            ),
        ]
        | UnsetType
    ) = UNSET
    n_channels: (
        Annotated[
            int, Meta(ge=1, le=256, description="Channels of a command's raw PCM, left out for one; they are mixed.")
        ]
        | UnsetType
    ) = UNSET
    recording: (
        Annotated[
            str, Meta(min_length=1, description="A WAV, FLAC, OGG or MP3 file, played as if it were a microphone.")
        ]
        | UnsetType
    ) = UNSET
    repeat: Annotated[bool, Meta(description="Play the recording again and again.")] = False
    fast: Annotated[bool, Meta(description="Play the recording as fast as it can be heard, not in real time.")] = False
    remote: (
        Annotated[
            bool, Meta(description="true: an agent that is started by hand, `streamd capture`, brings the audio.")
        ]
        | UnsetType
    ) = UNSET
    key: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="Public key of the remote agent, from `streamd keys list` there, in quotes: who has it may "
                "speak for this source, and nobody without a key.",
            ),
        ]
        | UnsetType
    ) = UNSET


class LabelSection(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a label is decided; what is left out stays as the model has it."""

    smoothing_seconds: (
        Annotated[float, Meta(ge=0, le=60, description="The score is the mean of the posteriors of this long.")]
        | UnsetType
    ) = UNSET
    onset_threshold: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=1,
                description="Score at or above which a sound begins. Given alone, offset_threshold moves with it, in "
                "the model's proportion.",
            ),
        ]
        | UnsetType
    ) = UNSET
    n_confirm: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=10_000,
                description="An onset is published once this many hops in a row were at or above onset_threshold.",
            ),
        ]
        | UnsetType
    ) = UNSET
    offset_threshold: (
        Annotated[float, Meta(gt=0, le=1, description="Score below which a sound fades; never above onset_threshold.")]
        | UnsetType
    ) = UNSET
    min_silence_seconds: (
        Annotated[
            float,
            Meta(
                ge=0,
                le=3_600,
                description="A sound is over after this long without a score at or above offset_threshold; joins the "
                "beeps of an alarm into one event.",
            ),
        ]
        | UnsetType
    ) = UNSET
    refractory_seconds: (
        Annotated[float, Meta(ge=0, le=86_400, description="No new onset for this long after an offset was published.")]
        | UnsetType
    ) = UNSET


class ModelSection(Struct, frozen=True, forbid_unknown_fields=True):
    """A model, the sources it listens to and the labels it tells."""

    file: Annotated[
        str,
        Meta(min_length=1, description="Name of a shipped model, or path of an .onnx file with a manifest of streamd."),
    ]
    sources: (
        Annotated[
            tuple[_Text, ...], Meta(min_length=1, description="Names of sources it listens to; left out: all of them.")
        ]
        | UnsetType
    ) = UNSET
    labels: (
        Annotated[
            Literal["all"] | Annotated[dict[_Text, LabelSection], Meta(min_length=1)],
            Meta(
                title="all, or a mapping of labels",
                description="Labels that are published, each with what differs from the model's own decision ({} for "
                "nothing), or all; left out: the model's default labels.",
            ),
        ]
        | UnsetType
    ) = UNSET


class EndpointsSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the daemon can be reached: ipc://PATH or tcp://ADDRESS:PORT. Left out: in the runtime folder.

    Beyond this machine (tcp://0.0.0.0:PORT, tcp://192.168.1.5:PORT) only who has an authorised key gets in.
    """

    events: (
        Annotated[_Endpoints, Meta(title="an endpoint or a list of them", description="Publishes events.")] | UnsetType
    ) = UNSET
    audio: (
        Annotated[
            _Endpoints, Meta(title="an endpoint or a list of them", description="Takes audio from capture agents.")
        ]
        | UnsetType
    ) = UNSET
    control: (
        Annotated[_Endpoints, Meta(title="an endpoint or a list of them", description="Answers `streamd status`.")]
        | UnsetType
    ) = UNSET
    history: (
        Annotated[
            _Endpoints,
            Meta(title="an endpoint or a list of them", description="Hands out past events, of the journal."),
        ]
        | UnsetType
    ) = UNSET


class JournalSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where events are kept, and for how long."""

    file: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="The database; left out: journal.db in $STATE_DIRECTORY, else in $XDG_STATE_HOME/streamd, "
                "else in ~/.local/state/streamd.",
            ),
        ]
        | UnsetType
    ) = UNSET
    max_days: Annotated[float, Meta(gt=0, le=36_500, description="What is older is deleted.")] = 30.0
    max_megabytes: Annotated[
        float, Meta(ge=1, le=1_000_000, description="The oldest is deleted where the file would grow beyond this.")
    ] = 100.0


class RecordedLabelSection(Struct, frozen=True, forbid_unknown_fields=True):
    """How the events of a label are kept."""

    audio: Annotated[bool, Meta(description="false: the event is kept, but no audio.")] = True


class RecorderSection(Struct, frozen=True, forbid_unknown_fields=True):
    """What is recorded. Without this section nothing is."""

    folder: Annotated[
        str, Meta(min_length=1, description="A folder that is there; audio of events is written into it, as FLAC.")
    ]
    max_days: Annotated[float, Meta(gt=0, le=36_500, description="Recordings that are older are removed.")] = 30.0
    max_megabytes: Annotated[
        float, Meta(ge=1, le=1_000_000_000, description="The oldest recordings are removed where all would take more.")
    ] = 1_000.0
    pre_roll_seconds: Annotated[float, Meta(ge=0, le=60, description="Audio before a sound.")] = 2.0
    post_roll_seconds: Annotated[float, Meta(ge=0, le=60, description="Audio after it.")] = 2.0
    longest_seconds: Annotated[
        float, Meta(ge=1, le=600, description="Of a sound that lasts longer only its beginning is recorded.")
    ] = 60.0
    near_miss: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=1,
                description="Sounds whose score reaches this, but that are not told as events, are recorded too; left "
                "out: none is.",
            ),
        ]
        | UnsetType
    ) = UNSET
    labels: (
        Annotated[
            dict[_Text, RecordedLabelSection],
            Meta(min_length=1, description="Labels that are recorded; left out: all that are on."),
        ]
        | UnsetType
    ) = UNSET


class StreamdYaml(Struct, frozen=True, forbid_unknown_fields=True):
    """What streamd hears, with which models, and where it tells of it. Everything has a default."""

    sources: Annotated[
        dict[_SourceName, SourceSection],
        Meta(
            min_length=1,
            description="Streams of audio by name; left out: one called microphone, the system's default input.",
        ),
    ] = {}  # msgspec copies it
    models: (
        Annotated[
            tuple[ModelSection, ...],
            Meta(
                min_length=1,
                description="Models that listen; left out: yamnet with its default labels, to all sources.",
            ),
        ]
        | UnsetType
    ) = UNSET
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Meta(description="Where networks run. auto: CUDA where it works, else the CPU; cuda: CUDA or an error."),
    ] = "auto"
    device_lost: Annotated[
        Literal["cpu", "stop"],
        Meta(description="When a GPU is lost and can't be had again: cpu goes on there and says degraded; stop ends."),
    ] = "cpu"
    endpoints: EndpointsSection = EndpointsSection()
    journal: Annotated[
        JournalSection | bool,
        Meta(
            title="a mapping, or off",
            description="Every event and state is kept, for `streamd history` and for subscribers that were away; "
            "off: none is.",
        ),
    ] = JournalSection()
    recorder: RecorderSection | UnsetType = UNSET
    max_lag_seconds: Annotated[
        float,
        Meta(
            ge=1,
            le=60,
            description="Live audio that waited longer is skipped, in one run that is published as a gap.",
        ),
    ] = 1.0
