"""A job's files on this machine: its workspace, temporary files and the source."""
