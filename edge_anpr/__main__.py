"""``python -m edge_anpr``: how the supervisor starts its children."""

from edge_anpr.cli import main

main()
