"""The ``anomalist`` command: one file a subcommand, thin: parse, call, print."""
