"""Child processes: how they are started, supervised and stopped."""
