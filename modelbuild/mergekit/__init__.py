"""mergekit's configurations as Modelfiles: what they mean kept, what cannot be kept said."""

from modelbuild.mergekit.export import Exported, exported
from modelbuild.mergekit.reading import read
from modelbuild.mergekit.toml import written
from modelbuild.mergekit.translate import Imported, imported

__all__ = ["Exported", "Imported", "exported", "imported", "read", "written"]
