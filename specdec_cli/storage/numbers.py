"""Numbers as schemas say them: whole and within what machines count to, finite, never less than nothing."""

from __future__ import annotations

import sys
from typing import Annotated

from msgspec import Meta

LARGEST = 2**53  # whole numbers up to it are the same in every reader of JSON

Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Id = Annotated[int, Meta(ge=0, lt=2**31)]
Index = Annotated[int, Meta(ge=-1, lt=2**31)]  # of a parent, -1 for the root
Number = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]  # neither NaN nor infinite
Positive = Annotated[float, Meta(gt=0, le=sys.float_info.max)]
Amount = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
