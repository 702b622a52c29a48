"""`python -m audit`."""

from audit.app import main

main()
