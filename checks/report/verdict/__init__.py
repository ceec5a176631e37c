"""The section on the verdict, and how judged figures moved over earlier runs."""
