"""The RunPod side: jobs in, answers out, by the platform's rules."""
