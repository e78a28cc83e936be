"""Still images: decoding, conversion, contact sheets, before-and-after images."""
