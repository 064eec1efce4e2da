"""The dock widget that converts volumes. It does not know how a volume is converted."""
