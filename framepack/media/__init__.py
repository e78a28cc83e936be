"""Files and streams. PyAV lives here and nowhere else."""
