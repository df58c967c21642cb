"""Start a program when a sound begins.

python run_command.py LABEL PROGRAM [ARGUMENT …]        for instance: run_command.py Doorbell notify-send "The door!"

The program finds the event in its environment: STREAMD_LABEL, STREAMD_SOURCE, STREAMD_TIME, STREAMD_SCORE.
"""

import os
import subprocess
import sys

import streamd


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    label, *program = sys.argv[1:]
    for message in streamd.subscribe(labels=[label]):
        if not isinstance(message, streamd.Event) or message.phase != "onset":
            continue
        facts = {
            "STREAMD_LABEL": message.label,
            "STREAMD_SOURCE": message.source,
            "STREAMD_TIME": message.onset_time.isoformat(),
            "STREAMD_SCORE": f"{message.score:.2f}",
        }
        subprocess.run(program, env=os.environ | facts, check=False)


if __name__ == "__main__":
    main()
