"""Samples from a folder of images, a class for each of its sub-folders."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .readings import Reading, Wish, refuse_more_samples_than_memory

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "PPM", "WEBP")  # of these none runs another program
GREY = ("1", "L")
COLOURED = ("P", "RGB", "RGBA", "RGBX", "LA", "CMYK", "YCbCr")


def read_folder(path: Path, wish: Wish) -> Reading:
    """Read images as planes, (n, channels, height, width) float32 from 0 to ``white``.

    Grey images have one channel; where one has colours, all have three. Images that lie in the
    folder itself have no labels.
    """
    classes = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    if classes:
        files = [(file, folder.name) for folder in classes for file in _images(folder)]
        empty = next((f for f in classes if not any(name == f.name for _, name in files)), None)
        if empty is not None:
            raise ValueError(f"the class {empty.name!r} of {path} has no images ({_kinds()})")
    else:
        files = [(file, "") for file in _images(path)]
    if not files:
        raise ValueError(f"{path} has neither images ({_kinds()}) nor folders of them")
    if wish.need_labels and not classes:
        raise ValueError(f"{path} has no folders, which are the classes of its images")
    count = wish.count(len(files))
    chosen = [files[k * len(files) // count] for k in range(count)]  # of every class
    headers = [_header(file) for file, _ in chosen]
    size, mode = headers[0]
    for (file, _), (own, _) in zip(chosen, headers, strict=True):
        if own != size:
            raise ValueError(
                f"images must have one size: {chosen[0][0]} has {size[0]} x {size[1]} pixels, "
                f"{file} {own[0]} x {own[1]} (bring them to one size first)"
            )
    mode = "L" if all(own in GREY for _, own in headers) else "RGB"
    shape = (1 if mode == "L" else 3, size[1], size[0])
    wish.check_shape((count, *shape))
    refuse_more_samples_than_memory(f"{path}", count, int(np.prod(shape)), 4)
    x = np.empty((count, *shape), np.float32)
    for k, (file, _) in enumerate(chosen):
        x[k] = _pixels(file, mode, wish.white)

    def place(index: tuple[int, ...]) -> str:
        return f"{chosen[index[0]][0]}, pixel {index[1:]}"

    labels = {next(iter(wish.labels), ""): np.array([name for _, name in chosen])}
    rows = tuple(str(file.relative_to(path)) for file, _ in chosen)
    return Reading(
        x=x, labels=labels if classes and wish.looks_at_labels else {}, place=place, rows=rows
    )


def _images(folder: Path) -> Sequence[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def _kinds() -> str:
    return ", ".join(SUFFIXES)


def _opened(file: Path) -> Image.Image:
    """Open an image of a known format; what Pillow raises has no common base."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(file, formats=FORMATS)
    except Exception as fault:
        raise ValueError(f"{file} is no image that can be read ({type(fault).__name__})") from None


def _header(file: Path) -> tuple[tuple[int, int], str]:
    """Return width and height, and the mode, of an image that was not decoded."""
    with _opened(file) as image:
        if image.mode not in (*GREY, *COLOURED):
            raise ValueError(
                f"{file} has pixels of mode {image.mode}, and 8 bits a channel are read (save it "
                f"with 8 bits, or write an .npz file)"
            )
        return image.size, image.mode


def _pixels(file: Path, mode: str, white: int) -> np.ndarray:
    """Return an image as planes, (channels, height, width) float32."""
    with _opened(file) as image:
        try:
            pixels = np.asarray(image.convert(mode), np.float32)
        except Exception as fault:
            raise ValueError(f"{file} is damaged ({type(fault).__name__})") from None
    planes = pixels[None] if mode == "L" else np.moveaxis(pixels, -1, 0)
    return planes if white == 255 else planes / np.float32(255)
