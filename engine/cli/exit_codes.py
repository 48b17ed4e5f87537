"""Exit codes of the command line."""

EXIT_USAGE = 2
EXIT_FAILED = 3
EXIT_DEPARTED = 4
EXIT_INTERRUPTED = 130
