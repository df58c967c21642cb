"""Design: networks, and how they become model files."""
