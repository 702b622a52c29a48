"""`python -m projects`."""

from projects.app import main

main()
