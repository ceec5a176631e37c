"""Arrow schemas of every table that is published, with the unit of each column."""
