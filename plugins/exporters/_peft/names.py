"""Names that an adapter's files go by."""

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
HEAD_FILE = "head.safetensors"
"""A classifier's head, beside the adapter of its encoder."""
PREFIX = "base_model.model."
"""Before the path of a module in an adapter's file; `base_model.` alone for what belongs to no module."""
DEFAULT = "default"
"""What PEFT calls an adapter that nobody names."""
