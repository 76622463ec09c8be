"""The table of codes as highdicom's values, and who did the work."""

from __future__ import annotations

from typing import Any

from suraksha.dicom.objects import codes
from suraksha.types import Result


def code(entry: codes.Code) -> Any:  # noqa: ANN401 - of highdicom
    """A coded concept."""
    import highdicom as hd

    return hd.sr.CodedConcept(entry.value, entry.scheme, entry.meaning)


def displayed() -> Any:  # noqa: ANN401 - of highdicom
    """The colour in which viewers show a lesion: the orange of the overlays."""
    import highdicom as hd

    return hd.color.CIELabColor.from_string("orange")


def _version(result: Result) -> str:
    return f"{codes.software_version()} / {result.card.name} {result.card.model_sha256[:12]}"


def algorithm(result: Result) -> Any:  # noqa: ANN401 - of highdicom
    """What made a segment: program, bundle and the hash of its network."""
    import highdicom as hd
    from pydicom.sr.codedict import codes as standard

    return hd.AlgorithmIdentificationSequence(
        name="Suraksha",
        version=_version(result),
        family=standard.DCM.ArtificialIntelligence,
        source=codes.MANUFACTURER,
        parameters={"bundle": result.card.name, "network-sha256": result.card.model_sha256},
    )


def algorithm_item(result: Result, *, corrected: bool) -> Any:  # noqa: ANN401 - of highdicom
    """The same as a content item of a structured report (TID 4019), and whether a person drew."""
    import highdicom as hd
    from pydicom.sr.codedict import codes as standard

    return hd.sr.AlgorithmIdentification(
        name="Suraksha",
        version=_version(result),
        family=standard.DCM.ArtificialIntelligence,
        parameters=[
            f"bundle={result.card.name}",
            f"network-sha256={result.card.model_sha256}",
            *([codes.CORRECTED] if corrected else []),
            codes.NOTICE,
        ],
    )
