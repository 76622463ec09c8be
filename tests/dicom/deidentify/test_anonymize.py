"""De-identified copies: metadata by PS3.15, pixels by region, references intact."""

import json
import subprocess

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from suraksha.cli.app import main
from suraksha.dicom.deidentify.anonymize import anonymize
from suraksha.dicom.deidentify.profile import Pseudonyms, actions
from suraksha.errors import InputError

from ..make import NAME, PATIENT_ID, image, region, us_cine, us_image

SECRET = Pseudonyms(b"a secret of tests that is long enough")
SCAN = [region(30, 10, 199, 239)]
# what must not occur anywhere in a copy
IDENTIFYING = (
    "Phantom^Synthetic",
    PATIENT_ID,
    "ZZNAME",
    "ZZTEXT",
    "19700101",
    "20260102",
    "101500",
    "ZZDEVICE",
    "ZZPRIVATE",
    "1.2.826.0.1.3680043.8.498.77",
    "1.2.826.0.1.3680043.8.498.5",
)


def test_regions_that_cover_the_image_do_not_certify_clean_pixels(tmp_path):
    pixels = image(banner=40)
    us_image(tmp_path / "a.dcm", pixels=pixels, regions=[region(0, 0, 239, 249)])
    with pytest.raises(InputError, match="regions cover all of it"):
        anonymize(tmp_path / "a.dcm", tmp_path / "out", pseudonyms=SECRET)
    made = anonymize(tmp_path / "a.dcm", tmp_path / "out", pseudonyms=SECRET, whole_images=True)
    header = dcmread(made.path)
    assert not made.blanked
    assert header.BurnedInAnnotation == "YES"
    codes = {item.CodeValue for item in header.DeidentificationMethodCodeSequence}
    assert "113101" not in codes


def with_everything(path, **more):
    """An image with identifying data in many elements."""
    other = Dataset()
    other.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
    other.ReferencedSOPInstanceUID = "1.2.826.0.1.3680043.8.498.77"
    other.RetrieveAETitle = "ZZTEXT"
    request = Dataset()
    request.RequestedProcedureDescription, request.ScheduledProcedureStepID = "ZZTEXT", "ZZTEXT"
    elements = {
        "InstitutionName": "ZZTEXT",
        "InstitutionAddress": "ZZTEXT",
        "OperatorsName": "ZZNAME",
        "PerformingPhysicianName": "ZZNAME",
        "ReferringPhysicianName": "ZZNAME",
        "OtherPatientIDs": "ZZTEXT",
        "PatientAge": "055Y",
        "PatientComments": "ZZTEXT",
        "ImageComments": "ZZTEXT",
        "StudyDescription": "ZZTEXT",
        "SeriesDescription": "ZZTEXT",
        "ProtocolName": "ZZTEXT",
        "AccessionNumber": "ZZTEXT",
        "DeviceSerialNumber": "ZZDEVICE",
        "StationName": "ZZDEVICE",
        "DeviceUID": "1.2.826.0.1.3680043.8.498.5",
        "AcquisitionDateTime": "20260102101500",
        "SeriesDate": "20260102",
        "SourceImageSequence": [other],
        "RequestAttributesSequence": [request],
        "BurnedInAnnotation": "YES",
    }
    return us_image(path, **({"regions": SCAN, "study": "s"} | elements | more))


def test_a_copy_contains_no_identifying_data(tmp_path):
    data = with_everything(tmp_path / "a.dcm")
    data.private_block(0x0029, "ZZPRIVATE", create=True).add_new(1, "LO", "ZZPRIVATE")
    data.add_new(0x60003000, "OW", b"ZZTEXT")
    data.add_new(0x00091001, "UN", b"ZZTEXT")
    data.save_as(tmp_path / "a.dcm")
    made = anonymize(tmp_path / "a.dcm", tmp_path / "out", pseudonyms=SECRET)
    content = made.path.read_bytes()
    uids = (data.SOPInstanceUID, data.SeriesInstanceUID, data.StudyInstanceUID)
    assert [text for text in (*IDENTIFYING, *uids) if text.encode() in content] == []
    copy = dcmread(made.path)
    assert content[:128] == bytes(128)
    assert made.path.stem == copy.SOPInstanceUID == copy.file_meta.MediaStorageSOPInstanceUID
    assert (copy.PatientIdentityRemoved, copy.BurnedInAnnotation) == ("YES", "NO")
    assert copy.LongitudinalTemporalInformationModified == "REMOVED"
    codes = [item.CodeValue for item in copy.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101"]
    assert copy.PatientName == copy.PatientID
    assert copy.PatientID.startswith("ANON-")
    assert copy.StudyDate == ""
    assert "SeriesDate" not in copy
    assert (copy.Rows, copy.Manufacturer) == (200, "Suraksha tests")
    assert [e for e in copy if e.tag.is_private or e.tag.group >> 8 == 0x60] == []


def test_references_between_files_of_a_study_stay_intact(tmp_path):
    first = with_everything(tmp_path / "1.dcm", number=1)
    item = Dataset()
    item.ReferencedSOPClassUID = first.SOPClassUID
    item.ReferencedSOPInstanceUID = first.SOPInstanceUID
    with_everything(tmp_path / "2.dcm", number=2, ReferencedImageSequence=[item])
    a, b = (
        dcmread(anonymize(tmp_path / name, tmp_path / "out", pseudonyms=SECRET).path)
        for name in ("1.dcm", "2.dcm")
    )
    assert b.ReferencedImageSequence[0].ReferencedSOPInstanceUID == a.SOPInstanceUID
    assert b.ReferencedImageSequence[0].ReferencedSOPClassUID == first.SOPClassUID
    assert a.StudyInstanceUID == b.StudyInstanceUID != first.StudyInstanceUID
    assert a.SeriesInstanceUID == b.SeriesInstanceUID
    assert a.PatientID == b.PatientID
    assert a.StudyInstanceUID.startswith("2.25.")
    assert len(a.StudyInstanceUID) <= 64
    other = Pseudonyms(b"another secret")
    again = dcmread(anonymize(tmp_path / "1.dcm", tmp_path / "other", pseudonyms=other).path)
    assert again.StudyInstanceUID != a.StudyInstanceUID
    assert again.PatientID != a.PatientID


@pytest.mark.parametrize(
    ("syntax", "rgb", "exact"),
    [
        (None, False, True),
        (None, True, True),
        (RLELossless, False, True),
        (JPEG2000Lossless, True, True),
        (JPEGBaseline8Bit, True, False),
    ],
)
def test_pixels_outside_the_regions_are_black(tmp_path, syntax, rgb, exact):
    pixels = np.maximum(image(0, rgb=rgb), 1)
    more = {"syntax": syntax} if syntax else {}
    us_image(tmp_path / "a.dcm", pixels=pixels, regions=SCAN, **more)
    copy = dcmread(anonymize(tmp_path / "a.dcm", tmp_path / "out", pseudonyms=SECRET).path)
    assert copy.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
    found = copy.pixel_array
    inside = np.zeros(pixels.shape[:2], bool)
    inside[30:200, 10:240] = True  # 199 and 239 are inclusive
    assert not found[~inside].any()
    difference = np.abs(found[inside].astype(int) - pixels[inside])
    assert difference.max() == 0 if exact else difference.mean() < 12


def test_every_frame_of_a_cine_is_blanked(tmp_path):
    us_cine(tmp_path / "c.dcm", frames=3, regions=SCAN)
    made = anonymize(tmp_path / "c.dcm", tmp_path / "out", pseudonyms=SECRET)
    found = dcmread(made.path).pixel_array
    assert (made.frames, found.shape) == (3, (3, 200, 250))
    assert not found[:, :30].any()
    assert all(frame[30:].any() for frame in found)


def test_an_image_without_regions_is_refused_without_the_option(tmp_path):
    us_image(tmp_path / "a.dcm")
    with pytest.raises(InputError, match="--whole-images"):
        anonymize(tmp_path / "a.dcm", tmp_path / "out", pseudonyms=SECRET)
    assert not (tmp_path / "out").exists()
    made = anonymize(tmp_path / "a.dcm", tmp_path / "out", pseudonyms=SECRET, whole_images=True)
    copy = dcmread(made.path)
    assert not made.blanked
    assert copy.BurnedInAnnotation == "YES"
    assert [item.CodeValue for item in copy.DeidentificationMethodCodeSequence] == ["113100"]
    assert np.array_equal(copy.pixel_array, image(0))


def test_copies_conform(debian_tools, tmp_path):
    with_everything(tmp_path / "1.dcm")
    us_cine(tmp_path / "2.dcm", regions=SCAN, syntax=RLELossless)
    us_image(tmp_path / "3.dcm", regions=SCAN, sop_class=SecondaryCaptureImageStorage)
    for path in sorted(tmp_path.glob("*.dcm")):
        copy = anonymize(path, tmp_path / "out", pseudonyms=SECRET).path
        done = subprocess.run(
            ["dciodvfy", "-new", copy], capture_output=True, text=True, check=False, timeout=20
        )
        assert done.returncode == 0, done.stderr


def test_the_table_has_the_actions_of_the_standard():
    table = actions()
    assert len(table) > 600
    assert set(table.values()) <= {"X", "Z", "D", "U", "U*"}
    known = {0x00100010: "Z", 0x00080018: "U", 0x00081155: "U", 0x00204000: "X", 0x00080020: "Z"}
    assert {tag: table[tag] for tag in known} == known


def test_the_command_creates_and_uses_a_secret(tmp_path, capsys):
    folder, secret = tmp_path / "in", tmp_path / "secret"
    folder.mkdir()
    us_image(folder / "a.dcm", regions=SCAN)
    us_image(folder / "b.dcm", number=1)
    words = ["dicom", "anonymize", str(folder), "--secret-file", str(secret), "--json", "--out"]
    assert main([*words, str(tmp_path / "x")]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [("error" in line, line.get("blanked")) for line in lines] == [
        (False, True),
        (True, None),
    ]
    assert secret.stat().st_mode & 0o777 == 0o600
    main([*words, str(tmp_path / "y"), "--whole-images"])
    names = {p.name for p in (tmp_path / "y").iterdir()}
    assert {p.name for p in (tmp_path / "x").iterdir()} < names
    assert NAME not in capsys.readouterr().out


def test_a_short_secret_is_refused(tmp_path, capsys):
    us_image(tmp_path / "a.dcm", regions=SCAN)
    (tmp_path / "secret").write_text("short")
    words = ["dicom", "anonymize", str(tmp_path / "a.dcm"), "--out", str(tmp_path / "out")]
    assert main([*words, "--secret-file", str(tmp_path / "secret")]) == 1
    assert "does not contain a secret" in capsys.readouterr().err
