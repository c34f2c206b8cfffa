"""The command `fraiseql-subs`: one module for each subcommand.

Not here: what programs use. The package never imports a command.
"""
