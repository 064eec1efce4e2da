"""The dock widget that converts volumes. It knows nothing of how a volume is converted."""
