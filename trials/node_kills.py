"""Kill the DICOM service with SIGKILL ten times while 200 images are sent, and count the results.

The sender retries images without an answer, as a scanner does, and the service is restarted each
time. At the end, a real Orthanc must have exactly one SR for each image, and exactly one SEG for
each image with a lesion. Run by ``make trial`` as root: it needs a network namespace and Debian's
orthanc. Writes docs/results/node-kills.json.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.sop_class import UltrasoundImageStorage

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

from tests.dicom import make, servers  # noqa: E402

from suraksha.dicom.network.logs import silence_loggers  # noqa: E402
from suraksha.inference.segmenter import load_segmenter  # noqa: E402
from suraksha.io.dicom import DicomFile  # noqa: E402

IMAGES, KILLS, SHAPE = 200, 10, (120, 150)
REPORT = REPO / "docs" / "results" / "node-kills.json"


class Sender(threading.Thread):
    """Sends each image until C-STORE is answered with success."""

    def __init__(self, paths: list[Path], pause_s: float) -> None:
        super().__init__(daemon=True)
        self.paths, self.pause_s, self.answered, self.attempts = paths, pause_s, 0, 0

    def run(self) -> None:
        """Send all images."""
        for path in self.paths:
            while not self.send(path):
                time.sleep(0.2)
            self.answered += 1
            time.sleep(self.pause_s)

    def send(self, path: Path) -> bool:
        """Send an image once; whether it was answered with success."""
        self.attempts += 1
        entity = AE(ae_title="SCANNER")
        entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = 10
        data = dcmread(path)
        entity.add_requested_context(UltrasoundImageStorage, data.file_meta.TransferSyntaxUID)
        association = entity.associate("127.0.0.1", servers.NODE, ae_title="SURAKSHA")
        if not association.is_established:
            return False
        try:
            status = association.send_c_store(data).get("Status")
        except (RuntimeError, ValueError):
            return False
        association.release()
        return status == 0


def sources(orthanc: servers.Orthanc, modality: str) -> Counter[str]:
    """The number of objects of a modality that refer to each image."""
    found: Counter[str] = Counter()
    for instance in orthanc.stored(modality):
        data = dcmread(BytesIO(orthanc.file(instance)), stop_before_pixels=True)
        if modality == "SR":
            items = [i for e in data.CurrentRequestedProcedureEvidenceSequence for i in _items(e)]
        else:
            items = [i for series in data.ReferencedSeriesSequence for i in _instances(series)]
        found.update(str(item.ReferencedSOPInstanceUID) for item in items)
    return found


def _items(evidence):  # noqa: ANN001, ANN202
    return [item for series in evidence.ReferencedSeriesSequence for item in _instances(series)]


def _instances(series):  # noqa: ANN001, ANN202
    for name in ("ReferencedInstanceSequence", "ReferencedSOPSequence"):
        if name in series:
            return list(series[name].value)
    return []


def main() -> int:
    """Run the trial; 0 if each image has exactly the expected results."""
    silence_loggers()
    rng, kills, start = random.Random(0), [], time.monotonic()
    with tempfile.TemporaryDirectory() as name, servers.private_network():
        folder = Path(name)
        paths = make.us_files(folder / "in", IMAGES, shape=SHAPE)
        with servers.Orthanc(folder / "orthanc") as orthanc:
            to = f"ORTHANC@127.0.0.1:{servers.DICOM}"
            node = servers.Listening(
                "listen", "--spool", folder / "spool", "--to", to, log=folder / "node.log"
            )
            node.start()
            sender = Sender(paths, pause_s=0.1)
            sender.start()
            for number in range(1, KILLS + 1):
                wanted = number * IMAGES // (KILLS + 1)
                servers.wait_for(lambda wanted=wanted: sender.answered >= wanted, 600, "images")
                time.sleep(rng.uniform(0.0, 0.6))
                state = (node.status() or {}).get("queue", {})
                node.kill()
                stored = len(orthanc.stored("SR"))
                kills.append({"answered": sender.answered, "stored_sr": stored, "queue": state})
                print(json.dumps(kills[-1]), flush=True)
                node.start()
            sender.join(600)
            done = servers.wait_for(lambda: finished(node), 1200, "the end")
            code = node.stop()
            segment = load_segmenter()
            lesion = {
                str(file.header.SOPInstanceUID): bool(segment(file.image()).lesions)
                for file in map(DicomFile, paths)
            }
            counted = {kind: sources(orthanc, kind) for kind in ("SR", "SEG")}
        left = [p.name for p in (folder / "spool" / "images").iterdir()]
    with_lesion = {uid for uid, found in lesion.items() if found}
    report = {
        "images": IMAGES,
        "with_lesion": len(with_lesion),
        "kills": kills,
        "tries_of_the_sender": sender.attempts,
        "queue_at_the_end": done,
        "sr": len(counted["SR"]),
        "seg": len(counted["SEG"]),
        "exit_code": code,
        "left_in_spool": len(left),
        "seconds": round(time.monotonic() - start),
        "ok": counted["SR"] == Counter(lesion.keys())
        and counted["SEG"] == Counter(with_lesion)
        and not left
        and len(kills) == KILLS,
    }
    REPORT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 0 if report["ok"] else 1


def finished(node: servers.Listening) -> dict[str, int] | None:
    """The counts of the queue, once all jobs are confirmed or dead; else None."""
    queue = (node.status() or {}).get("queue")
    is_done = queue and queue["confirmed"] + queue["dead"] == IMAGES
    return queue if is_done else None


if __name__ == "__main__":
    sys.exit(main())
