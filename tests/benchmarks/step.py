"""Images a second of EfficientNet-B0 at 224 pixels, in a process of its own: what, rounds."""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SIDE, BATCH = 224, 32


def keras_step(what: str, *, deterministic: bool) -> Callable[[], Any]:
    """A training step, or a prediction, as `03_train` and `04_predict` make them."""
    from melnb import models

    models.setup(seed=0, deterministic=deterministic)
    import keras

    from melnb.models.networks.classifier import make_classifier
    from melnb.models.tta import open_viewer

    model = make_classifier(
        classes=("other", "melanoma"), image_size=SIDE, backbone="EfficientNetB0"
    )
    if what == "train":
        model.compile("adam", "categorical_crossentropy", jit_compile=False)
        return lambda: model.train_on_batch(pixels(), keras.ops.one_hot(np.arange(BATCH) % 2, 2))
    engine = "openvino" if what == "openvino" else "keras"
    viewer = open_viewer(model, image_size=SIDE, engine=engine)
    rows = {"image": pixels(), "draws": np.zeros((BATCH, 0)), "view": np.zeros(BATCH, "int32")}
    draws = viewer.input["draws"].shape[1] if engine == "keras" else 1
    rows["draws"] = np.zeros((BATCH, draws), "float32")
    return lambda: np.asarray(viewer.predict_on_batch(rows))


def timm_step(what: str) -> Callable[[], Any]:
    """The same by timm on PyTorch, channels last."""
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model("efficientnet_b0", num_classes=2)
    model = model.to(memory_format=torch.channels_last)
    given = torch.from_numpy(pixels()).permute(0, 3, 1, 2)  # channels last in memory
    if what == "predict":
        model.eval()

        def predict() -> Any:
            with torch.inference_mode():
                return model(given).numpy()

        return predict
    optimizer = torch.optim.Adam(model.parameters())
    truth = torch.arange(BATCH) % 2

    def train() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(given), truth)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return train


def pixels() -> np.ndarray:
    """A batch, 0-255."""
    return np.random.default_rng(0).uniform(0, 255, (BATCH, SIDE, SIDE, 3)).astype("float32")


def main(what: str, rounds: int) -> None:
    """Print images a second of wall and of processor, the best of the rounds."""
    library, _, kind = what.partition(" ")
    step = (
        timm_step(kind) if library == "timm"
        else keras_step(kind, deterministic=library == "deterministic")
    )  # fmt: skip
    step(), step()
    took = []
    for _ in range(rounds):
        wall, own = time.perf_counter(), time.process_time()
        step()
        took.append((time.perf_counter() - wall, time.process_time() - own))
    print(*(BATCH / min(each) for each in zip(*took, strict=True)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
