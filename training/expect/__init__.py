"""Expect: what will a model do, measured through the decision that the daemon runs."""
