"""A point's key: a hash of all that its result depends on, and of the model."""

import json
from dataclasses import asdict
from fractions import Fraction
from hashlib import sha256
from typing import Any

import numpy as np

from mnsim.clocks.recurrence import Array
from mnsim.explore.evaluate import Structure
from mnsim.explore.version import model_version
from mnsim.operators import quantities
from mnsim.operators.quantities import kind_column
from mnsim.spec.records import amount_of, contents, own_rates

DIGITS = 32  # hexadecimal: 128 bits
_EFFICIENCY_COLUMNS = tuple(kind_column(quantity, kind) for quantity in quantities.EFFICIENCIES for kind in quantity.kinds)


def point_keys(structure: Structure, rates: dict[str, Array], count: int) -> list[str]:
    """A key for each setting of a structure: for its network's layers, multipliers, dtype, policy,
    hardware and model.

    The same point has the same key in every sweep, whatever else the sweep varies. Names of network and
    hardware are a part of it, for rows carry them; titles are not.
    """
    hardware = structure.hardware
    columns = {**dict.fromkeys(_EFFICIENCY_COLUMNS, 1.0), **own_rates(hardware), **rates}
    names = sorted(columns)
    planned = {
        "model": model_version(),
        "network": asdict(contents(structure.network)),
        "variant": [structure.alpha, structure.rho, structure.dtype, structure.policy, structure.fidelity],
        "hardware": [
            hardware.name,
            *(amount_of(hardware, quantity) for quantity in quantities.CAPACITIES),
            hardware.fused,
            *map(asdict, hardware.further),
        ],
        "rates": names,
    }
    prefix = sha256(json.dumps(planned, sort_keys=True, default=_plain).encode())
    settings = np.empty((count, len(names)), "<f8")
    for place, name in enumerate(names):
        settings[:, place] = columns[name]
    keys = []
    for setting in settings:
        digest = prefix.copy()
        digest.update(setting.tobytes())
        keys.append(digest.hexdigest()[:DIGITS])
    return keys


def _plain(value: Any) -> str:
    assert isinstance(value, Fraction)
    return str(value)
