"""The command line `ct-pyramid`: one module a command. It does not know how a volume is converted."""
