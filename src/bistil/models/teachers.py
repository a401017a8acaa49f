"""Where a teacher comes from: a package of the index, the hub, or a local folder."""

from bistil.models.encoders import load, load_as_saved, read_config
from bistil.models.sources import Origin, fingerprint, locate, origin

__all__ = ["Origin", "fingerprint", "load", "load_as_saved", "locate", "origin", "read_config"]
