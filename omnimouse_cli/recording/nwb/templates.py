"""Templates of a stimulus, rendered once each to frames of 36 x 64 pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.grey import GreyScale, find_scale, require_images, spread_numbers
from omnimouse_cli.recording.nwb.geometry import PixelMap
from omnimouse_cli.recording.nwb.series import natural_key, scale_of
from omnimouse_cli.recording.nwb.sources import stated_rate
from omnimouse_cli.recording.nwb.timeline import Segment
from omnimouse_cli.recording.nwb.tree import Node, open_tree
from omnimouse_cli.recording.resize import FRAME_HEIGHT, FRAME_WIDTH, resize_frames

# Dataset of references to the images of a group, in the order of their indices.
_ORDER = "order_of_images"
# Images that are looked at for the scale of their values.
_NUM_SAMPLES = 8
# Bytes of stored images, and images, that are read at once at most.
_BLOCK_BYTES = 8 * 2**20
_BLOCK_IMAGES = 256

# Makes the operator that shows images of some height and width; None stretches them.
MapMaker = Callable[[tuple[int, int]], PixelMap | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Templates:
    """Images that a series shows by their number.

    Args:
        file: The file that holds them.
        paths: Path of the dataset of each image; or of one dataset of all, if `is_stack`.
        is_stack: Whether one dataset holds all images.
        num_images: Number of images.
        scale: How stored values become grey levels.
        make_map: Makes the operator from an image to the monitor.
    """

    file: Path
    paths: tuple[str, ...]
    is_stack: bool
    num_images: int
    scale: GreyScale
    make_map: MapMaker
    _maps: dict[tuple[int, int], PixelMap | None] = field(default_factory=dict)
    _frames: dict[int, NDArray[np.uint8]] = field(default_factory=dict)

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return images as the monitor shows them, uint8 `(len(numbers), 36, 64)`.

        Args:
            numbers: int64 `(n,)`: numbers of the images.

        Raises:
            RecordingError: An image cannot be read.
        """
        missing = {number for number in numbers.tolist() if number not in self._frames}
        if missing:
            with open_tree(self.file) as root:
                for number in sorted(missing):
                    # The block that holds it may be there by now.
                    if number not in self._frames:
                        self._read_block(root, number)
        frames = [self._frames[number] for number in numbers.tolist()]
        return np.array(frames, np.uint8).reshape(-1, FRAME_HEIGHT, FRAME_WIDTH)

    def _read_block(self, root: Node, number: int) -> None:
        """Render an image and those that are stored beside it."""
        data = require_dataset(root, self.paths[0 if self.is_stack else number])
        shape = data.shape[1:] if self.is_stack else data.shape
        image_bytes = int(np.prod(shape)) * max(data.dtype.itemsize, 1)
        length = min(max(1, _BLOCK_BYTES // image_bytes), _BLOCK_IMAGES)
        first = number // length * length
        last = min(first + length, self.num_images)
        if self.is_stack:
            images = self.scale.apply(data.read(first, last), data.where)
            self._frames.update(enumerate(self._render(images), start=first))
            return
        for one in range(first, last):
            data = require_dataset(root, self.paths[one])
            image = self.scale.apply(data.read()[None], data.where)
            self._frames[one] = self._render(image)[0]

    def _render(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        shape = (images.shape[1], images.shape[2])
        if shape not in self._maps:
            self._maps[shape] = self.make_map(shape)
        pixel_map = self._maps[shape]
        if pixel_map is None:
            return resize_frames(images)
        return np.stack([pixel_map.render(image) for image in images])


def open_templates(node: Node, make_map: MapMaker) -> Templates:
    """Open templates: a series of images, or a group of single images.

    Single images are in the order that the group states, else in that of the number in their names.

    Args:
        node: An ImageSeries, or an Images group.
        make_map: Makes the operator from an image to the monitor.

    Raises:
        RecordingError: It holds no images, or images of unknown grey levels.
    """
    data = node.get("data")
    is_stack = data is not None and data.is_dataset
    factor, offset = 1.0, 0.0
    if data is not None and is_stack:
        require_images(data.shape, data.where)
        paths: tuple[str, ...] = (data.path,)
        num_images = data.shape[0]
        samples = [
            data.read(number, number + 1) for number in spread_numbers(num_images, _NUM_SAMPLES)
        ]
        stated = scale_of(node)
        factor, offset = float(stated.factor[0]), stated.offset
    else:
        paths = _sorted_images(node)
        num_images = len(paths)
        sampled = spread_numbers(num_images, _NUM_SAMPLES)
        images = [require_dataset(node, paths[number]) for number in sampled]
        for image in images:
            require_images((1, *image.shape), image.where)
        samples = [image.read() for image in images]
    if not num_images:
        raise RecordingError(
            f"{node.where} holds no images", hint="name another stimulus: --stimulus"
        )
    values = np.concatenate([sample.reshape(-1) for sample in samples])
    return Templates(
        file=node.file if data is None else data.file,
        paths=paths,
        is_stack=is_stack,
        num_images=num_images,
        scale=find_scale(values, factor, offset, node.path),
        make_map=make_map,
    )


def require_dataset(root: Node, path: str) -> Node:
    """Return a dataset of an open file.

    Raises:
        RecordingError: It is no longer there.
    """
    node = root.get(path)
    if node is None or not node.is_dataset:
        raise RecordingError(
            f"{root.file}: {path} is missing now", hint="the file changed while it was read"
        )
    return node


def _sorted_images(node: Node) -> tuple[str, ...]:
    """Return the paths of the images of a group in the order of their indices."""
    order = node.get(_ORDER)
    if order is not None and order.is_dataset:
        listed = [node.dereference(value) for value in order.read().ravel()]
        found = [image.path for image in listed if image is not None and image.is_dataset]
        if found and len(found) == len(listed):
            return tuple(found)
    names = sorted((name for name in node.names() if name != _ORDER), key=natural_key)
    return tuple(f"{node.path}/{name}" for name in names)


def show_by_name(
    rows: Sequence[Segment],
    groups: Sequence[Node],
    open_group: Callable[[Node], Templates | None],
) -> list[Segment]:
    """Return rows of a table, with frames where their condition is the name of a template.

    This is a single image of a group, or a series of images with a rate, which is a movie.

    Args:
        rows: Segments without frames.
        groups: All templates of the file.
        open_group: Opens a group of templates; None if they are no images.
    """
    wanted = {row.condition for row in rows if row.condition and "/" not in row.condition}
    shown: dict[str | None, tuple[Templates, NDArray[np.int64], float]] = {}
    for group in groups:
        rate_hz = stated_rate(group)
        if group.get("data") is not None:
            movie = open_group(group) if group.name in wanted and rate_hz else None
            if movie is not None:
                shown[group.name] = (movie, np.arange(movie.num_images), 1 / rate_hz)
        elif any((child := group.get(str(name))) and child.is_dataset for name in wanted):
            images = open_group(group)
            for number, path in enumerate(images.paths if images is not None else ()):
                assert images is not None, "it has paths"
                shown[path.rpartition("/")[2]] = (images, np.array([number]), 0.0)
    return [_show(row, *shown[row.condition]) if row.condition in shown else row for row in rows]


def _show(
    row: Segment, templates: Templates, numbers: NDArray[np.int64], step_seconds: float
) -> Segment:
    """Return a row that shows templates one after the other, from its start to its end."""
    flips = row.start + step_seconds * np.arange(len(numbers), dtype=np.float64)
    num_flips = int((flips < row.end).sum())
    return replace(
        row,
        kind="video" if step_seconds else "image",
        source=templates,
        flips=flips[:num_flips],
        numbers=numbers[:num_flips],
    )
