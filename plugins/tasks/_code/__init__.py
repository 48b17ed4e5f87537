"""What tasks of programming have in common: exercises with tests, programs found in texts, and a sandbox that judges them."""
