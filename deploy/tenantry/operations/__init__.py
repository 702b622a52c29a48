"""Work on the databases, the stream and files of an installation. It fails with CommandFailed."""
