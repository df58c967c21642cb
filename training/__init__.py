"""Training of streamd's models, offline, with PyTorch. It imports streamd, never the reverse."""
