"""What a client may say: requests and responses, names, filter settings, workflows."""
