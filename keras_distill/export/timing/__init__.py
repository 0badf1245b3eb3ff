"""Measures latency and memory of an exported model on this machine."""
