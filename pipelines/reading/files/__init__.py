"""Files and object stores: opening, what bytes say of a format, errors and bounds."""
