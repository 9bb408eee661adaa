"""Settings of a replica, from a file, the environment and the caller.

Never: hide a key or a cause.
"""

from __future__ import annotations

from ..node.settings import NodeOptions as NodeOptions
from ..node.settings import ReplicaConfig as ReplicaConfig
from .keys import ENVIRONMENT_PREFIX as ENVIRONMENT_PREFIX
from .keys import TABLES as TABLES
from .keys import environment_variables as environment_variables
from .keys import setting_values as setting_values
from .loading import load_config as load_config
from .loading import setting_origins as setting_origins
from .state_machines import load_state_machine as load_state_machine
