"""First files for users: specs that fit their data, and studies of a spec."""
