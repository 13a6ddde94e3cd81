"""PESQ (ITU-T P.862.2, wide band) of two files of 32-bit float samples at 16 kHz, mono."""

import sys

import numpy
import pesq

reference, degraded = (numpy.fromfile(path, dtype="<f4") for path in sys.argv[1:])
print(pesq.pesq(16_000, reference, degraded, "wb"))
