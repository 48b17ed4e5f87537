"""First files for users: specs that fit their data, studies of a spec, and plugins with their tests."""
