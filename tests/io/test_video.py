"""Sources of frames, whole and broken, and the video that is written."""

import sys

import numpy as np
import pytest
from PIL import Image as PilImage

from suraksha.errors import InputError, MissingExtraError, UsageError
from suraksha.io.video import FrameSource, opencv
from suraksha.io.video_writer import VideoWriter
from suraksha.types import Spacing

SHAPE = (48, 64)


def image(level, shape=SHAPE):
    """Grey, brighter to the right, with a level that identifies the frame."""
    ramp = np.linspace(0, 40, shape[1])[None].repeat(shape[0], axis=0)
    return (ramp + level).astype(np.uint8)


def levels(frames):
    return [round(float(frame.image.pixels.mean()) - 20) for frame in frames]


@pytest.fixture(params=["clip.avi", "clip.mp4"])
def clip(tmp_path, request):
    path = tmp_path / request.param
    with VideoWriter(path, 10.0) as writer:
        for level in (20, 60, 100, 140):
            writer.write(np.repeat(image(level)[..., None], 3, axis=2))
    return path


def test_a_video_is_read_frame_by_frame(clip):
    with FrameSource(clip, spacing=Spacing.square(0.2)) as source:
        assert (source.fps, source.live) == (10.0, False)
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert np.allclose(levels(frames), [20, 60, 100, 140], atol=4)
    assert {frame.image.shape for frame in frames} == {SHAPE}
    assert frames[0].image.spacing == Spacing.square(0.2)
    assert frames[2].image.name == "frame 2"


def test_frames_are_repeated_and_scaled_to_the_first(tmp_path):
    path = tmp_path / "clip.avi"
    with VideoWriter(path, 5.0) as writer:
        writer.write(np.full((40, 60, 3), 200, np.uint8), times=3)
        writer.write(np.full((80, 40, 3), 200, np.uint8))
    with FrameSource(path) as source:
        frames = list(source)
    assert len(frames) == 4
    assert {frame.image.shape for frame in frames} == {(40, 60)}
    last = frames[-1].image.pixels
    assert last[20, 30].min() > 180
    assert last[20, 5].max() < 20, "black at the sides"


def test_grey_frames_become_one_channel_and_colour_is_kept(tmp_path):
    path = tmp_path / "clip.avi"
    red = np.zeros((40, 60, 3), np.uint8)
    red[..., 0] = 250
    with VideoWriter(path, 5.0) as writer:
        writer.write(red)
    with FrameSource(path) as source:
        (frame,) = source
    assert frame.image.pixels.shape == (40, 60, 3)
    assert frame.image.pixels[20, 30, 0] > 200
    assert frame.image.pixels[20, 30, 2] < 60


def test_a_folder_is_read_in_natural_order_and_continues_after_a_damaged_file(tmp_path):
    for number in (1, 2, 10):
        PilImage.fromarray(image(number * 10)).save(tmp_path / f"f{number}.png")
    (tmp_path / "f3.png").write_bytes(b"\x89PNG, but no more")
    (tmp_path / "notes.txt").write_text("no frame")
    PilImage.fromarray(image(0, (20, 30))).save(tmp_path / "f11.png")
    with FrameSource(tmp_path) as source:
        frames = list(source)
    assert [frame.image is None for frame in frames] == [False, False, True, False, False]
    assert "f3.png" in frames[2].error
    assert levels([frames[0], frames[1], frames[3]]) == [10, 20, 100]
    assert frames[4].image.shape == (20, 30)


def test_a_tiff_with_pages(tmp_path):
    pages = [PilImage.fromarray(image(level)) for level in (0, 50, 90)]
    pages[0].save(tmp_path / "pages.tiff", save_all=True, append_images=pages[1:])
    with FrameSource(tmp_path / "pages.tiff") as source:
        assert levels(source) == [0, 50, 90]
        assert levels(source) == [0, 50, 90], "a second time too"


def test_a_truncated_video_gives_the_frames_that_it_has(tmp_path):
    path = tmp_path / "clip.avi"
    with VideoWriter(path, 10.0) as writer:
        for level in range(40):
            writer.write(np.repeat(image(level)[..., None], 3, axis=2))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with FrameSource(path) as source:
        frames = list(source)
    there = [frame for frame in frames if frame.image is not None]
    assert 5 < len(there) < 40
    assert all("cannot be decoded" in frame.error for frame in frames if frame.image is None)


@pytest.mark.parametrize("name", ["missing.mp4", "empty", "text.mp4", "broken.tiff", "camera:91"])
def test_other_sources_are_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "broken.tiff").write_bytes(b"II*\0nothing")
    with pytest.raises(InputError, match="cannot be used as a source of frames"):
        FrameSource(name if name.startswith("camera") else tmp_path / name)


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"\.mp4 or \.avi"):
        VideoWriter(tmp_path / "clip.gif", 10.0)


def test_without_opencv_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"suraksha\[video\]"):
        opencv()
    PilImage.fromarray(image(0)).save(tmp_path / "f.png")
    with FrameSource(tmp_path) as source:
        assert len(list(source)) == 1, "a folder needs none"


def test_a_dicom_clip_continues_after_a_corrupt_frame(make_dicom, tmp_path):
    from pydicom import dcmread
    from pydicom.encaps import encapsulate, generate_frames
    from pydicom.uid import JPEGBaseline8Bit

    path = tmp_path / "clip.dcm"
    make_dicom.us_cine(path, frames=4, syntax=JPEGBaseline8Bit)
    data = dcmread(path)
    frames = list(generate_frames(data.PixelData, number_of_frames=4))
    frames[1] = frames[1][:200] + bytes(len(frames[1]) - 200)
    data.PixelData = encapsulate(frames)
    data.save_as(path)
    with FrameSource(path) as source:
        found = list(source)
    assert source.fps == pytest.approx(25.0)
    assert [frame.image is not None for frame in found] == [True, False, True, True]
    assert "its frame 2 cannot be decoded" in found[1].error
    assert [frame.time_s for frame in found] == pytest.approx([0, 0.04, 0.08, 0.12])
