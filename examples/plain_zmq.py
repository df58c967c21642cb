"""Hear streamd without its client: any language that has ZeroMQ and JSON can do this.

python plain_zmq.py [ENDPOINT [TOPIC]]        for instance: plain_zmq.py tcp://127.0.0.1:5555 event/kitchen/dog/
"""

import json
import os
import sys
from pathlib import Path

import zmq

# Of a user's daemon, or else of the system service streamd@main.
folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "streamd" if "XDG_RUNTIME_DIR" in os.environ else "/run/streamd/main"
arguments = dict(enumerate(sys.argv))

socket = zmq.Context().socket(zmq.SUB)
socket.subscribe(arguments.get(2, "event/"))  # ends in "/": "event/kitchen/cat" would hear cattle too
socket.connect(arguments.get(1, f"ipc://{folder}/events.sock"))
while True:
    _, payload = socket.recv_multipart()
    event = json.loads(payload)["data"]
    print(event["onset_time"], event["source"], event["label"], event["phase"], event["score"], flush=True)
