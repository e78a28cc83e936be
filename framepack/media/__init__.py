"""Reading, converting and writing media files. Only this package uses PyAV."""
