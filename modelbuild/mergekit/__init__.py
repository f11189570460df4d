"""mergekit's configurations as Modelfiles: what they mean kept, what cannot be kept said."""

from modelbuild.mergekit.toml import written
from modelbuild.mergekit.translate import Imported, imported

__all__ = ["Imported", "imported", "written"]
