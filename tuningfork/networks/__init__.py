"""The published networks as modules of torch, and the registry that builds them by name; no data, no training, no archive."""
