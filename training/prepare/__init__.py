"""Prepare: get the audio and know it."""
