"""How figures and names are written, on the page and on the terminal."""
