"""`streamd bench`: how many real-time sources this machine holds, measured on the real daemon.

`measure.py` is one measurement, `search.py` looks for the highest number that holds, `table.py` says what came out.
A measurement has processes of its own (`jobs.py`): the daemon on one core, and on another `load.py`, which speaks for
all agents. `alone.py` is the detector without the daemon, `parts.py` where a hop's time goes.
"""
