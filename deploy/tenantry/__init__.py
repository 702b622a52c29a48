"""The `tenantry` command: the whole product on one machine, and the one-off steps of a release."""
