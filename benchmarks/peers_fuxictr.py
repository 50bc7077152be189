"""FuxiCTR's side of `peers.py`; runs in FuxiCTR's own environment and knows nothing of fullrank or TensorFlow.

The model is FuxiCTR's parallel DCN V2, put together from its layers on its `BaseModel`, whose `train_epoch` trains it;
its `RankDataLoader` reads the files with the default settings. Orders come line by line on standard input (see `serve`
in `peers.py`), answers go out as one JSON object per line.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.layers import CrossNetV2, FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel


class DCNv2(BaseModel):
    """Three cross layers parallel to an MLP 400-400-400, joined by a linear layer."""

    def __init__(self, features: Any, *, width: int, directory: Path) -> None:
        super().__init__(features, verbose=0, model_root=str(directory), metrics=["AUC"])
        joined = features.num_fields * width
        self.embedding_layer = FeatureEmbedding(features, width)
        self.crossnet = CrossNetV2(joined, num_layers=3)
        self.mlp = MLP_Block(input_dim=joined, hidden_units=[400, 400, 400], hidden_activations="ReLU")
        self.fc = torch.nn.Linear(joined + 400, 1)
        self.compile("adam", "binary_crossentropy", lr=1e-3)
        self.reset_parameters()
        self.model_to_device()
        self._max_gradient_norm = 10.0
        self._eval_steps = sys.maxsize
        self._total_steps, self._stop_training = 0, False

    def forward(self, inputs: Any) -> dict[str, Any]:
        """`{"y_pred": [B, 1]}`."""
        joined = self.embedding_layer(self.get_inputs(inputs), flatten_emb=True)
        logit = self.fc(torch.cat([self.crossnet(joined), self.mlp(joined)], dim=-1))
        return {"y_pred": self.output_activation(logit)}


def feature_map(settings: dict[str, int], directory: Path) -> Any:
    """The columns that `peers.py` wrote, as FuxiCTR describes them."""
    features = FeatureMap("peers", str(directory))
    for k in range(settings["sparse"]):
        features.features[f"c{k}"] = {"source": "", "type": "categorical", "vocab_size": settings["ids"]}
    for k in range(settings["numeric"]):
        features.features[f"i{k}"] = {"source": "", "type": "numeric"}
    features.labels = ["click"]
    features.num_fields = features.get_num_fields()
    features.set_column_index()
    return features


def cpu_seconds() -> float:
    """Processor time of this process and of the loader's workers that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def main() -> None:
    """Serves orders until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    directory = options.directory
    settings = json.loads((directory / "settings.json").read_text(encoding="utf-8"))
    features = feature_map(settings, directory)
    model = DCNv2(features, width=settings["width"], directory=directory)

    def loader(part: str, *, shuffle: bool) -> Any:
        path = str(directory / f"{part}.npz")
        which = {"stage": "train", "train_data": path} if shuffle else {"stage": "test", "test_data": path}
        made = RankDataLoader(features, batch_size=settings["batch"], shuffle=shuffle, data_format="npz", **which)
        return made[0] if shuffle else made

    print(json.dumps({"ready": f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"}), flush=True)
    for line in sys.stdin:
        order, _, part = line.strip().partition(" ")
        batches = loader(part, shuffle=order == "train")
        if order == "train":
            wall, cpu = time.perf_counter(), cpu_seconds()
            model.train_epoch(batches)
            answer: dict[str, Any] = {"seconds": time.perf_counter() - wall, "cpu_seconds": cpu_seconds() - cpu}
        else:
            predictions = directory / "predictions-fuxictr.npy"
            np.save(predictions, model.predict(batches))
            answer = {"predictions": str(predictions)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
