"""Types of the compiled tick of recorded movement."""

from typing import Any

import numpy as np
import numpy.typing as npt

class Player:
    def __init__(self, copies: npt.NDArray[Any], points: npt.NDArray[np.complex128]) -> None: ...
    def play(
        self,
        states: npt.NDArray[Any],
        since: npt.NDArray[np.uint32],
        position: npt.NDArray[np.float64],
        velocity: npt.NDArray[np.float64],
        tick: int,
        tick_hz: float,
    ) -> tuple[npt.NDArray[np.uint32], int]: ...
