"""Backends: the engine's arithmetic. They share no numerical code, so that each can be checked against the other."""
