"""One audit, from spec to published run directory."""
