"""Types of the compiled tick of recorded movement."""

from typing import Any

import numpy as np
import numpy.typing as npt

def play(
    states: npt.NDArray[Any],
    since: npt.NDArray[np.uint32],
    position: npt.NDArray[np.float64],
    velocity: npt.NDArray[np.float64],
    copies: npt.NDArray[Any],
    points: npt.NDArray[np.complex128],
    tick: int,
    tick_hz: float,
) -> tuple[npt.NDArray[np.uint32], int]: ...
