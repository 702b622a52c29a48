"""`python -m identity`."""

from identity.app import main

main()
