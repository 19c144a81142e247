"""Records (档案): what an inspector looks up, device by device and span by span, and takes away as files."""
