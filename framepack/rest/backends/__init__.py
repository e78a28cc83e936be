"""Where jobs are carried out: by a worker process of this machine, or by a RunPod endpoint."""
