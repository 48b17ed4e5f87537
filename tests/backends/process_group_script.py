"""What processes do that `test_torch_parallel` starts together; each writes what it found into a file of its own."""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from boostlora.backends.torch.backend import Torch
from boostlora.backends.torch.distributed import current
from boostlora.engine.errors import NonFiniteError, PluginError, UsageError

processes = Torch(device="cpu").join()
found = {
    "index": processes.index,
    "size": processes.size,
    "same": current() is processes is Torch(device="cpu").join(),
}


def says(what, index, error):
    """What this process is told when one of them has failed."""

    def compute():
        if processes.index == index:
            raise error
        return [torch.ones(2)]

    try:
        what(compute)
    except Exception as caught:
        return [type(caught).__name__, str(caught), caught is error]
    return None


numbers = torch.tensor([[1e16, 1.0], [1.0, 1e-3], [-1e16, 7.0]], dtype=torch.float64)
total, half = processes.all_reduce(
    lambda: [numbers[processes.index], torch.full((1, 2), 0.25 * processes.index)],
    [numbers[0], torch.zeros(1, 2)],
)
found["sum"] = [x.hex() for x in total.tolist()]
found["half"] = [half.tolist(), str(half.dtype)]
found["gathered"] = processes.gathered(processes.index)
found["agreed"] = processes.agree(lambda: f"by {processes.index}")
groups = [np.arange(i, i + 2) for i in range(0, 8, 2)]
found["map_groups"] = sorted(
    (group.tolist(), who) for group, who in processes.map_groups(groups, lambda group: processes.index)
)
found["none"] = processes.map_groups([], lambda group: processes.index)
found["rows"] = processes.shard_rows(np.array([5, 1])).tolist()
like = [torch.zeros(2)]
found["all-reduce fails"] = says(lambda c: processes.all_reduce(c, like), 1, NonFiniteError("NaN in 1"))
found["gather fails"] = says(processes.gather_results, 2, RuntimeError("odd"))
found["agree fails"] = says(processes.agree, 0, PluginError("task", "t", "no"))
found["usage"] = says(processes.gather_results, 1, UsageError("no such device"))
found["after"] = processes.gathered("still here")
Path(sys.argv[1], f"{processes.index}.json").write_text(json.dumps(found))
