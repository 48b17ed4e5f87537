"""Built-in plugins: one plugin, one file, registered by the hooks that outsiders use."""
