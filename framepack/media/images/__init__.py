"""Still images: reading, converting, contact sheets, comparisons."""
