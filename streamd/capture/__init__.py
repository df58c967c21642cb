"""The capture agent: one process a source, from a microphone, a recording or a command to blocks.

specs.py says what can be captured, agent.py is the process; microphone.py, recording.py and command.py
are its three kinds of input (audio.py), stream.py cuts blocks, outbox.py and link.py hand them over.
"""
