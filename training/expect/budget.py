"""How many false alarms an hour may be: the default, and what is no budget."""

from __future__ import annotations

from math import inf

from streamd.errors import UsageError

ALARMS_PER_HOUR = 0.5
"""Of each label, if nobody says otherwise: what openWakeWord aims at; people switch off what cries wolf every hour."""


def check_budget(alarms_per_hour: float) -> None:
    """Raise UsageError if a budget of false alarms is none that any number of hours could show."""
    if not 0 < alarms_per_hour < inf:
        raise UsageError(
            f"{alarms_per_hour:g} false alarms an hour; expected a number above 0, such as 0.1: that there are never"
            " any takes endless hours to show"
        )
