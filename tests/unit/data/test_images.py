from __future__ import annotations

import io
import os
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from normscape.data.images import (
    decode_image,
    decode_mask,
    image_size,
    image_statistics,
    is_image_name,
    mask_cells,
    read_image,
    read_mask,
)
from normscape.data.scan import image_facts
from normscape.errors import DataError

Picture = Callable[..., Image.Image]


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["a.png", "A.PNG", "b.JpEg", "c.tif", "d.webp", "e.bmp"])
def test_image_names(name: str) -> None:
    assert is_image_name(name)


@pytest.mark.parametrize("name", [".a.png", "a.txt", "png", "a.png.tmp"])
def test_other_names(name: str) -> None:
    assert not is_image_name(name)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_kinds_give_the_same_pixels(picture: Picture, kind: str) -> None:
    image = picture(1)
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(decode_image(encode(image, kind, **options)).image, image)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_files_are_refused(picture: Picture, kind: str, share: float) -> None:
    content = encode(picture(1, (200, 150)), kind)
    with pytest.raises(DataError, match=r"cannot be decoded|not an image"):
        decode_image(content[: int(len(content) * share)])


def test_a_png_cut_anywhere_in_its_pixels_is_refused(picture: Picture) -> None:
    content = encode(picture(1))
    end_of_pixels = content.index(b"IEND") - 8  # the last chunk's checksum comes before IEND
    for length in range(0, end_of_pixels, 7):
        with pytest.raises(DataError):
            decode_image(content[:length])


def test_message_names_the_file_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "note.png"
    path.write_text("this is no image")
    with pytest.raises(DataError, match=r"note\.png: not an image .*replace or remove"):
        read_image(path)
    with pytest.raises(DataError, match=r"gone\.png: cannot be read"):
        read_image(tmp_path / "gone.png")


def test_other_formats_behind_a_good_suffix_are_refused(picture: Picture) -> None:
    with pytest.raises(DataError, match="not an image of a supported kind"):
        decode_image(encode(picture(1), "EPS"))


@pytest.mark.parametrize("kind", ["TIFF", "MPO"])  # some cameras write MPO, two JPEGs, as .jpg
def test_of_several_frames_the_first_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ((200, 10, 10), (10, 10, 200))]
    content = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    assert np.allclose(decode_image(content).image, frames[0], atol=4)


def test_empty_file() -> None:
    with pytest.raises(DataError, match="0 bytes"):
        decode_image(b"")


def test_bombs_are_refused_before_decoding() -> None:
    bomb = encode(Image.new("1", (20_000, 20_000)))
    assert len(bomb) < 100_000
    with pytest.raises(DataError, match="100 megapixels"):
        decode_image(bomb)
    nearly = encode(Image.new("1", (10_400, 10_000)))
    with pytest.raises(DataError, match="10400x10000 pixels: more than 100 megapixels"):
        decode_image(nearly)


def png_of_zeros(side: int) -> bytes:
    """A real picture of one bit a pixel, written row by row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = zlib.compressobj(9)
    packed = [rows.compress(bytes(100 * ((side + 7) // 8 + 1))) for _ in range(side // 100)]
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    data = b"".join([*packed, rows.flush()])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_a_picture_of_two_and_a_half_gigapixels_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_zeros(50_000))
    assert path.stat().st_size < 1_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (read_image, lambda bomb: read_mask(bomb, 256)):
        with pytest.raises(DataError, match="more than 100 megapixels"):
            read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
    assert np.asarray(decode_image(png_of_zeros(800)).image).max() == 0  # the writer is right


def test_text_that_unpacks_to_very_much_is_refused() -> None:
    packed = zlib.compress(b"a" * 200_000_000)
    body = b"zTXt" + b"comment\0\0" + packed
    text = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    small = png_of_zeros(800)
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(small[:33] + text + small[33:])


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "huge"])
def test_what_is_no_plain_file_is_refused_and_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as stream:
            stream.truncate(1 << 40)  # a file with a hole
    with pytest.raises(DataError, match=r"image\.png"):
        read_image(path)
    assert image_facts(path).error


def test_grey_is_repeated(picture: Picture) -> None:
    grey = picture(1).convert("L")
    decoded = decode_image(encode(grey))
    assert decoded.channels == 1
    assert np.array_equal(np.asarray(decoded.image)[..., 2], grey)


def test_sixteen_bits_use_one_fixed_scale() -> None:
    values = np.array([[0, 257, 128 * 257, 65535, 128]], np.uint16)
    decoded = decode_image(encode(Image.fromarray(values)))
    assert np.asarray(decoded.image)[0, :, 0].tolist() == [0, 1, 128, 255, 0]
    assert decoded.channels == 1


def test_floating_point_has_no_scale() -> None:
    image = Image.fromarray(np.ones((4, 4), np.float32))
    with pytest.raises(DataError, match="floating point"):
        decode_image(encode(image, "TIFF"))


def test_transparency_lies_over_black() -> None:
    image = Image.new("RGBA", (2, 1), (200, 100, 50, 255))
    image.putpixel((1, 0), (200, 100, 50, 0))
    decoded = decode_image(encode(image))
    assert decoded.channels == 4
    assert np.asarray(decoded.image).tolist() == [[[200, 100, 50], [0, 0, 0]]]


def test_palette_gives_its_colours(picture: Picture) -> None:
    palette = picture(1).quantize(16)
    decoded = decode_image(encode(palette))
    assert decoded.channels == 3
    assert np.array_equal(decoded.image, palette.convert("RGB"))


def test_cmyk_is_converted() -> None:
    decoded = decode_image(encode(Image.new("RGB", (16, 16), (250, 0, 0)).convert("CMYK"), "JPEG"))
    red, green, blue = np.asarray(decoded.image)[8, 8]
    assert decoded.channels == 4
    assert red > 200 and green < 60 and blue < 60


def test_exif_orientation_is_applied(picture: Picture) -> None:
    image = picture(1, (30, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned = decode_image(encode(image, exif=exif)).image
    assert np.array_equal(turned, image.rotate(-90, expand=True))


def test_statistics_match_a_plain_computation(picture: Picture) -> None:
    image = picture(3, (70, 1100))  # more rows than a strip
    grey = np.asarray(image.convert("L"), np.float64) / 255
    laplacian = (
        grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    )
    statistics = image_statistics(image)
    assert statistics.mean_intensity == pytest.approx(grey.mean())
    assert statistics.std_intensity == pytest.approx(grey.std())
    assert statistics.sharpness == pytest.approx(laplacian.var())


def test_sharpness_falls_with_defocus(picture: Picture) -> None:
    image = picture(1)
    blurred = image.resize((10, 9)).resize(image.size)
    assert image_statistics(blurred).sharpness < image_statistics(image).sharpness / 10


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (3, 3)])
def test_statistics_of_the_smallest_images(size: tuple[int, int]) -> None:
    statistics = image_statistics(Image.new("RGB", size, (255, 255, 255)))
    assert (statistics.mean_intensity, statistics.std_intensity, statistics.sharpness) == (1, 0, 0)


@pytest.mark.parametrize("value", [1, 3, 31, 128, 255])
def test_masks_of_labels_and_of_grey_values(mask: Picture, value: int) -> None:
    assert decode_mask(encode(mask(value=value))).sum() == 30


def test_grey_below_one_half_is_background() -> None:
    pixels = np.array([[0, 100, 127, 128, 255]], np.uint8)
    assert decode_mask(encode(Image.fromarray(pixels))).tolist() == [[0, 0, 0, 1, 1]]


def test_masks_in_other_modes(mask: Picture) -> None:
    plain = mask()
    red = Image.merge("RGB", [plain, Image.new("L", plain.size), Image.new("L", plain.size)])
    labels = plain.point(lambda value: value // 255).convert("P")
    labels.putpalette([0, 0, 0, 64, 0, 0])
    sixteen = Image.fromarray(np.asarray(plain).astype(np.uint16) * 257)
    for image in (plain.convert("1"), red, red.convert("RGBA"), labels, sixteen):
        assert np.array_equal(decode_mask(encode(image)), np.asarray(plain) > 0), image.mode


def test_the_smallest_defect_survives_resizing(tmp_path: Path) -> None:
    for x, y in ((0, 0), (511, 299), (100, 7)):
        pixels = np.zeros((300, 512), np.uint8)
        pixels[y, x] = 255
        path = tmp_path / f"{x}.png"
        Image.fromarray(pixels).save(path)
        small = read_mask(path, 64)
        assert small.shape == (64, 64)
        assert np.argwhere(small).tolist() == [[y * 64 // 300, x * 64 // 512]]


def test_a_mask_may_be_enlarged(tmp_path: Path, mask: Picture) -> None:
    mask((40, 36)).save(tmp_path / "m.png")
    large = read_mask(tmp_path / "m.png", 256)
    assert large.mean() == pytest.approx(30 / (40 * 36), rel=0.05)


def test_unreadable_mask_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"m\.png"):
        read_mask(tmp_path / "m.png", 8)


def test_the_size_is_read_from_the_header_alone(tmp_path: Path) -> None:
    content = encode(Image.new("RGB", (8192, 8192)))
    assert image_size(content) == (8192, 8192)
    path = tmp_path / "large.png"
    path.write_bytes(content[:200])
    assert image_size(path) == (8192, 8192)
    with pytest.raises(DataError, match=r"gone\.png: "):
        image_size(tmp_path / "gone.png")
    with pytest.raises(DataError, match="not an image"):
        image_size(b"no image")


def test_a_mask_in_cells_keeps_single_pixels(tmp_path: Path) -> None:
    mask = np.zeros((70, 33), dtype=np.uint8)
    mask[15, 16] = mask[69, 32] = 255
    path = tmp_path / "mask.png"
    Image.fromarray(mask).save(path)
    cells = mask_cells(path, 16)
    assert cells.shape == (5, 3)
    assert np.argwhere(cells).tolist() == [[0, 1], [4, 2]]
    with pytest.raises(DataError, match=r"none\.png: cannot be read"):
        mask_cells(tmp_path / "none.png", 16)
