"""`python -m tests.faults.flooder PORT SECRET DAEMON WAY`: an agent of the source `flood` that sends without pause for
a second, and prints how many messages the daemon took."""

from __future__ import annotations

import os
import sys
import time

import numpy as np
import zmq

from streamd import blocks
from streamd.blocks import Block, Hello, Want

WAYS = "garbage", "hellos", "blocks", "giants", "recording", "name"
SECONDS = 1.0


def flood(line: zmq.Socket[bytes], way: str) -> int:
    """Send for SECONDS; return how many messages went."""
    take = os.urandom(6).hex()
    hello = Hello(
        sources=("flood",), take=take, host="h", clock_id="c", device="x", native_rate=8000, live=way != "recording"
    )
    line.send(blocks.encode(hello))
    want = blocks.decode_answer(line.recv_multipart())
    if not isinstance(want, Want):
        raise SystemExit(f"no want: {want}")
    n_samples = blocks.MAX_BLOCK_BYTES // 2 - 1000 if way == "giants" else want.n_samples  # room for its encryption
    pcm = np.zeros(n_samples, np.int16)
    n, end = 0, time.monotonic() + SECONDS
    while (now := time.monotonic()) < end:
        header = Block(
            sources=("s0",) if way == "name" else ("flood",),
            take=want.block_take,
            first_sample=n * len(pcm),
            sample_rate=want.sample_rate,
            captured_at=time.time(),
            monotonic=now,
        )
        others = {"garbage": [os.urandom(30), b""], "hellos": [blocks.encode(hello)]}
        line.send_multipart(others.get(way) or blocks.encode_block(header, pcm))
        n += 1
        while line.poll(0):
            line.recv_multipart()
    return n


if __name__ == "__main__":
    port, secret, daemon_key, way = sys.argv[1:]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    line = context.socket(zmq.DEALER)
    line.setsockopt(zmq.LINGER, 0)
    line.setsockopt(zmq.SNDTIMEO, 10_000)
    line.setsockopt(zmq.RCVTIMEO, 10_000)
    line.setsockopt_string(zmq.CURVE_SECRETKEY, secret)
    line.setsockopt(zmq.CURVE_PUBLICKEY, zmq.curve_public(secret.encode()))
    line.setsockopt_string(zmq.CURVE_SERVERKEY, daemon_key)
    line.connect(f"tcp://127.0.0.1:{port}")
    sys.stdout.write(f"{flood(line, way)}\n")
    line.close()
    context.term()
