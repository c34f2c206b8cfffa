"""The exit statuses that subcommands share."""

FAILURE = 1
"""What was asked for was not done."""

INTERRUPTED = 130
"""Ctrl-C ended it."""
