"""The filter controls, and their implementation for frames in host memory."""
