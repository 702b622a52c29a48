"""`python -m edge`."""

from edge.app import main

main()
