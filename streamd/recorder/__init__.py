"""The recorder: a process that keeps audio around events, if the configuration asks for it.

Only `shelf.py`, in that process, touches a disk and imports soundfile. `link.py` is the daemon's end, and `messages.py`
what the two say to each other.
"""
