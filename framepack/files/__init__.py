"""Files of a job on this machine: the workspace, scratch files, sources."""
