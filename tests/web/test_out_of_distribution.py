"""What does not look like ultrasound is told as such, not segmented."""

import io

import numpy as np
from PIL import Image as PilImage

from .serving import Served


def test_a_black_image_is_refused_and_a_good_one_beside_it_answered(tmp_path, png):
    black = io.BytesIO()
    PilImage.fromarray(np.zeros((200, 250), np.uint8)).save(black, "PNG")
    served = Served(tmp_path, any_image=False)
    with served.client() as client:
        files = [("files", ("a.png", black.getvalue()))]
        alone = client.post("/v1/segment", files=files)
        both = client.post("/v1/segment", files=[*files, ("files", ("b.png", png))])
    assert served.stop() == 0
    assert alone.status_code == 422
    assert "black" in alone.text
    assert "--any-image" in alone.text
    first, second = both.json()["results"]
    assert "does not look like" in str(first)
    assert second["lesions"]
