"""The command line `ct-pyramid`: one module a command. It knows nothing of how a volume is converted."""
