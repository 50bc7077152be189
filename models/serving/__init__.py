"""From a trained model to a directory that TensorFlow Serving loads.

May import: data, layers, models/encoding, models/exploration, models/one_user.py, models/ranker.py,
models/table_layout.py.
"""

from fullrank.models.serving.export import Exported, export_model, next_version
from fullrank.models.serving.signatures import Signature, serving_signatures

__all__ = ["Exported", "Signature", "export_model", "next_version", "serving_signatures"]
