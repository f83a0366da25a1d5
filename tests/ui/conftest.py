"""The pictures of the README are drawn on demand only: with ``NATIVEAUTH_SCREENSHOT`` set."""

import os

collect_ignore = [] if os.environ.get("NATIVEAUTH_SCREENSHOT") else ["test_pictures.py"]
