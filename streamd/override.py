"""What somebody says of one label instead of its model: in the configuration, or on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from streamd.decision import DecisionSpec
from streamd.errors import ConfigError


@dataclass(frozen=True)
class DecisionOverride:
    """Values of a DecisionSpec that are given, and where."""

    values: Mapping[str, float]
    """Fields of DecisionSpec that were given."""
    where: str
    """"file:line: key" of the label, or the option."""

    def apply(self, spec: DecisionSpec) -> DecisionSpec:
        """Return the model's decision with the given values.

        Where only onset_threshold is given, the ratio of the two thresholds stays the model's.

        Raises:
            ConfigError: offset_threshold would lie above onset_threshold.
        """
        onset = self.values.get("onset_threshold", spec.onset_threshold)
        in_proportion = min(onset, spec.offset_threshold * (onset / spec.onset_threshold))
        offset = self.values.get("offset_threshold", in_proportion)
        if offset > onset:
            raise ConfigError(
                f"{self.where}: offset_threshold {offset:g} is above {onset:g}, the model's onset_threshold; "
                "a sound would end before it begins: lower it, or give onset_threshold too"
            )
        return msgspec.structs.replace(spec, **{**self.values, "onset_threshold": onset, "offset_threshold": offset})
