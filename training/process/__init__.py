"""Process: what the network is given of the audio."""
