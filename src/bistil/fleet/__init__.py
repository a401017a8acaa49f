"""Many languages and tasks on several machines, and where what they make is kept."""
