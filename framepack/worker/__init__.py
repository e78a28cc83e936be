"""The RunPod worker: takes jobs from the platform and returns answers within its limits."""
