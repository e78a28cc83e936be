"""Where jobs are computed: by a worker process of this machine, or by a RunPod endpoint."""
