"""Where a teacher comes from: a package of the index, the hub, or a local folder."""

from bistil.models.encoders import load, load_as_saved, read_config
from bistil.models.sources import fingerprint, locate

__all__ = ["fingerprint", "load", "load_as_saved", "locate", "read_config"]
