"""A tenant's configuration as YAML in git: read, compared, applied and exported."""
