"""Sources of frames, one file per real source, and the box that keeps only the latest one."""
