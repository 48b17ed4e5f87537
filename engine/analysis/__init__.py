"""What a study says: its cells read, its arms compared, with the uncertainty that its seeds leave."""
