"""What `tenantry dev` keeps in its data folder, and what other commands read there."""
