"""Arrow schemas of the tables of an investigation."""
