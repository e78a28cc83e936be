"""One file per endpoint or small noun; the folder is the family of the API."""
