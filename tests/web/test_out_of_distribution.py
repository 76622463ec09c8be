"""Images that are not ultrasound are rejected with a reason."""

import io

import numpy as np
from PIL import Image as PilImage

from .serving import Served


def test_a_black_image_is_rejected_and_the_other_image_segmented(tmp_path, png):
    black = io.BytesIO()
    PilImage.fromarray(np.zeros((200, 250), np.uint8)).save(black, "PNG")
    served = Served(tmp_path, input_check=True)
    with served.client() as client:
        files = [("files", ("a.png", black.getvalue()))]
        alone = client.post("/v1/segment", files=files)
        both = client.post("/v1/segment", files=[*files, ("files", ("b.png", png))])
    assert served.stop() == 0
    assert alone.status_code == 422
    assert "black" in alone.text
    assert "--no-input-check" in alone.text
    first, second = both.json()["results"]
    assert "does not look like" in str(first)
    assert second["lesions"]
