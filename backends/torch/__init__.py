"""PyTorch on CPU, CUDA or MPS, in the precision that is asked for: the speed."""
