"""``python -m workers.cli``: the same as ``pingpost``."""

from workers.cli import main

main()
