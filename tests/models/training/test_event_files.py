import struct
from pathlib import Path

import pandas as pd
import pytest

from melnb.data.shards.examples import read_frames
from melnb.models.training.event_files import EventFiles


def history(epochs: int) -> pd.DataFrame:
    rows = [
        {"epoch": k, "loss": 1 / k, "val_auc": float("nan") if k == 1 else 0.5 + k / 10,
         "seconds": 2.0}
        for k in range(1, epochs + 1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read the points by their tags, as TensorBoard does."""
    event_file_loader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_file_loader"
    )
    points: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.iterdir()):
        for event in event_file_loader.RawEventFileLoader(str(file)).Load():
            from tensorboard.compat.proto.event_pb2 import Event

            own = Event.FromString(event)
            for value in own.summary.value:
                points.setdefault(value.tag, []).append((own.step, round(value.simple_value, 4)))
    return points


def test_each_epoch_is_a_point_once_also_when_a_run_is_taken_up_again(tmp_path: Path) -> None:
    first = EventFiles(tmp_path)
    for epochs in (1, 2, 3):
        first.write(history(epochs))
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:-5])  # killed in the midst of a point
    again = EventFiles(tmp_path)
    again.write(history(3))
    again.write(history(4))
    assert scalars(tmp_path) == {
        "loss": [(1, 1.0), (2, 0.5), (3, 0.3333), (4, 0.25)],
        "val_auc": [(2, 0.7), (3, 0.8), (4, 0.9)],
    }
    assert [file.name for file in tmp_path.iterdir()] == ["events.out.tfevents.0000000003.melnb"]


def test_epochs_before_the_last_are_dated_by_how_long_they_took(tmp_path: Path) -> None:
    EventFiles(tmp_path).write(history(3))
    frames = [frame.data for frame in read_frames(next(tmp_path.iterdir()))]
    moments = [struct.unpack_from("<d", data, 1)[0] for data in frames[2:]]  # after the two heads
    assert moments[2] - moments[0] == pytest.approx(4)
