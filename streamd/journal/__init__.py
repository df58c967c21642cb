"""The journal: a process beside the daemon that keeps every Event and State, and hands them out again as history.

`link.py` is the daemon's end, `backlog.py` what the journal has not confirmed to it yet; `contract.py` is what the two
tell each other; `__main__.py` and `server.py` are the process, `keeper.py` and `store.py` its database. The daemon
imports no sqlite3, touches no disk and waits for nothing here.
"""
