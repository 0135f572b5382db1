"""Several replicas of TensorFlow, in a process of its own: devices are set before any is used."""

from collections.abc import Callable


def test_two_replicas_clip_decay_and_average_as_one_device_does(
    train: Callable[..., list[int]],
) -> None:
    assert train([{"module": "optimization.replicas_run"}], "tensorflow") == [0]
