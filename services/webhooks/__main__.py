"""`python -m webhooks`."""

from webhooks.app import main

main()
