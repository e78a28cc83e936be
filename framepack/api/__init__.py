"""The API's vocabulary: requests and responses, names, filter settings, workflows."""
