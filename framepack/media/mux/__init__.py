"""Writing packets into files, and copying coded video without decoding it."""
